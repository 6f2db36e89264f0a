//! Sockets of TCP by state.

use super::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::config::Section;
use crate::encode::infos::infos;
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter};
use crate::host::netlink::{Peer, Question, u32_at};
use crate::host::{Host, ReadError};

/// `SOCK_DIAG_BY_FAMILY` of sock_diag(7), which costs a fraction of what `/proc/net/tcp` does.
pub(super) struct Tcpstat;

/// Sockets by state, from `TCP_ESTABLISHED` on.
#[derive(Default)]
pub(super) struct TcpstatReading {
    states: [u64; STATES.len()],
    received_bytes: u64,
    sent_bytes: u64,
    udp_sockets: Option<u64>,
}

impl Collector for Tcpstat {
    const ABOUT: About = About {
        name: "tcpstat",
        summary: "sockets of TCP by state, and what waits in them; pushed as `netstat`",
        reads: &["sock_diag(7)"],
        needs: "the kernel module inet_diag; the host's network namespace",
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
    let mut request = [0; REQUEST];
    (request[0], request[1]) = (family, protocol);
    // In all states.
    request[4..8].fill(0xff);
    let question = Question { peer: Peer::Sockets, kind: SOCK_DIAG_BY_FAMILY, body: &request };
    cx.host.dump(question, cx.buffer, each)
}

impl TcpstatReading {
    /// Counts a `struct inet_diag_msg`.
    fn count(&mut self, message: &[u8]) {
        const RECEIVE_QUEUE: usize = 56;
        const SEND_QUEUE: usize = 60;
        let state = message.get(1).and_then(|state| usize::from(*state).checked_sub(1));
        if let Some(count) = state.and_then(|state| self.states.get_mut(state)) {
            *count += 1;
        }
        self.received_bytes = self.received_bytes.saturating_add(u32_at(message, RECEIVE_QUEUE).into());
        self.sent_bytes = self.sent_bytes.saturating_add(u32_at(message, SEND_QUEUE).into());
    }
}

/// As node_exporter names them, with Telegraf's fields: include/net/tcp_states.h, from 1 on.
const STATES: [(&str, Field<u64>); 11] = [
    ("established", Field::new("tcp_established", "sockets that are connected")),
    ("syn_sent", Field::new("tcp_syn_sent", "sockets that ask to be connected")),
    ("syn_recv", Field::new("tcp_syn_recv", "sockets that were asked to be connected")),
    ("fin_wait1", Field::new("tcp_fin_wait1", "sockets that were closed, and wait for that to be acknowledged")),
    ("fin_wait2", Field::new("tcp_fin_wait2", "sockets that were closed, and wait for the other side")),
    ("time_wait", Field::new("tcp_time_wait", "sockets that were closed, and wait for late packets")),
    ("close", Field::new("tcp_close", "sockets that are not used")),
    ("close_wait", Field::new("tcp_close_wait", "sockets that the other side closed")),
    ("last_ack", Field::new("tcp_last_ack", "sockets that wait for the last acknowledgement")),
    ("listen", Field::new("tcp_listen", "sockets that listen")),
    ("closing", Field::new("tcp_closing", "sockets that both sides closed")),
];
const UDP: Field<u64> = Field::new("udp_socket", "sockets of UDP");
const FIELDS: [crate::encode::point::FieldInfo; STATES.len() + 1] =
    crate::encode::infos::concat::<_, { STATES.len() + 1 }>(&[&infos!(STATES.1), &[UDP.info()]]);
const NETSTAT: Measurement<0> = Measurement::new("netstat", [], &FIELDS);
const CONNECTIONS: Family<1> = Family::gauge(
    "node_tcp_connection_states",
    "Sockets of TCP by state; and bytes that wait in all of them: rx_queued_bytes, tx_queued_bytes.",
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
        point.some(&UDP, self.udp_sockets);
    }
}
