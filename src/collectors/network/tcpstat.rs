//! TCP sockets by state.

use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::config::Section;
use crate::encode::infos::{concat, infos};
use crate::encode::point::FieldInfo;
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter};
use crate::host::netlink::{Peer, Question, u32_at};
use crate::host::{Host, ReadError};

/// `SOCK_DIAG_BY_FAMILY` of sock_diag(7), at a fraction of the cost of `/proc/net/tcp`.
pub(super) struct Tcpstat;

/// Sockets by state, starting at `TCP_ESTABLISHED`.
#[derive(Default)]
pub(super) struct TcpstatReading {
    states: [u64; STATES.len()],
    /// Sockets in states after `TCP_CLOSING` that no field has.
    other_states: u64,
    received_bytes: u64,
    sent_bytes: u64,
    udp_sockets: Option<u64>,
}

impl Collector for Tcpstat {
    const ABOUT: About = About {
        name: "tcpstat",
        summary: "TCP sockets by state, and their queued bytes; pushed as `netstat`",
        reads: &["sock_diag(7)"],
        needs: "the kernel module inet_diag; the network namespace of the host",
        on_by_default: Vocabularies::NONE,
        families: &[CONNECTIONS.info()],
        measurements: &[NETSTAT.info()],
        ..About::PLAIN
    };
    type Reading = TcpstatReading;

    fn new(_: &Host, _: &mut Section<'_>) -> Self {
        Tcpstat
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut TcpstatReading) -> Result<(), ReadError> {
        *reading = TcpstatReading::default();
        const AF_INET: u8 = 2;
        const AF_INET6: u8 = 10;
        const TCP: u8 = 6;
        const UDP: u8 = 17;
        for family in [AF_INET, AF_INET6] {
            dump(cx, family, TCP, &mut |message| reading.count(message))?;
        }
        if cx.wanted.points {
            let mut sockets = 0;
            let mut udp = Ok(());
            for family in [AF_INET, AF_INET6] {
                udp = udp.and_then(|()| dump(cx, family, UDP, &mut |_| sockets += 1));
            }
            reading.udp_sockets = cx.part(udp).map(|()| sockets);
        }
        Ok(())
    }
}

fn dump(cx: &mut ReadContext<'_>, family: u8, protocol: u8, each: &mut dyn FnMut(&[u8])) -> Result<(), ReadError> {
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    /// `struct inet_diag_req_v2` of include/uapi/linux/inet_diag.h.
    const REQUEST: usize = 56;
    let mut body = [0; REQUEST];
    (body[0], body[1]) = (family, protocol);
    // All states.
    body[4..8].fill(0xff);
    let request = Question { peer: Peer::Sockets, kind: SOCK_DIAG_BY_FAMILY, body: &body };
    cx.host.dump(request, cx.buffer, each)
}

impl TcpstatReading {
    /// Counts a `struct inet_diag_msg`.
    fn count(&mut self, message: &[u8]) {
        const RECEIVE_QUEUE: usize = 56;
        const SEND_QUEUE: usize = 60;
        let state = message.get(1).and_then(|state| usize::from(*state).checked_sub(1));
        *state.and_then(|state| self.states.get_mut(state)).unwrap_or(&mut self.other_states) += 1;
        self.received_bytes = self.received_bytes.saturating_add(u32_at(message, RECEIVE_QUEUE).into());
        self.sent_bytes = self.sent_bytes.saturating_add(u32_at(message, SEND_QUEUE).into());
    }
}

/// node_exporter's label values and Telegraf's fields, by number: include/net/tcp_states.h, starting at 1.
const STATES: [(&str, Field<u64>); 11] = [
    ("established", Field::new("tcp_established", "TCP sockets in ESTABLISHED")),
    ("syn_sent", Field::new("tcp_syn_sent", "TCP sockets in SYN_SENT")),
    ("syn_recv", Field::new("tcp_syn_recv", "TCP sockets in SYN_RECV")),
    ("fin_wait1", Field::new("tcp_fin_wait1", "TCP sockets in FIN_WAIT1")),
    ("fin_wait2", Field::new("tcp_fin_wait2", "TCP sockets in FIN_WAIT2")),
    ("time_wait", Field::new("tcp_time_wait", "TCP sockets in TIME_WAIT")),
    ("close", Field::new("tcp_close", "TCP sockets in CLOSE")),
    ("close_wait", Field::new("tcp_close_wait", "TCP sockets in CLOSE_WAIT")),
    ("last_ack", Field::new("tcp_last_ack", "TCP sockets in LAST_ACK")),
    ("listen", Field::new("tcp_listen", "TCP sockets in LISTEN")),
    ("closing", Field::new("tcp_closing", "TCP sockets in CLOSING")),
];
const NONE: Field<u64> = Field::new("tcp_none", "TCP sockets in no state above, such as bound and not connected");
const UDP: Field<u64> = Field::new("udp_socket", "UDP sockets");
const FIELDS: [FieldInfo; STATES.len() + 2] = concat(&[&infos!(STATES.1), &[NONE.info(), UDP.info()]]);
const NETSTAT: Measurement<0> = Measurement::new("netstat", [], &FIELDS);
const CONNECTIONS: Family<1> = Family::gauge(
    "node_tcp_connection_states",
    "TCP sockets by state; rx_queued_bytes and tx_queued_bytes are bytes in their queues",
    ["state"],
);

impl Reading for TcpstatReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        let mut connections = out.family(&CONNECTIONS);
        for ((state, _), count) in STATES.iter().zip(self.states).filter(|(_, count)| *count > 0) {
            connections.sample([state], count);
        }
        connections.sample(["rx_queued_bytes"], self.received_bytes);
        connections.sample(["tx_queued_bytes"], self.sent_bytes);
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        let mut point = out.point(&NETSTAT, []);
        for ((_, field), count) in STATES.iter().zip(self.states) {
            point.field(field, count);
        }
        point.field(&NONE, self.other_states).some(&UDP, self.udp_sockets);
    }
}
