//! InfiniBand and RoCE adapters.

use regex::Regex;

use crate::collectors::framework::gathered::{Attribute, Gathered, Unit};
use crate::collectors::framework::{About, Collector, ReadContext};
use crate::config::{Filter, Key, Section};
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::text::Number;
use crate::host::{Device, Devices, Host, ReadError};

/// `/sys/class/infiniband`: Documentation/ABI/stable/sysfs-class-infiniband.
pub(super) struct Infiniband {
    adapters: Devices,
    wanted: Filter,
}

const DEVICE_EXCLUDE: Key<Regex> = Key::optional("device_exclude", "Adapters to leave out of the families.");
const DEVICE_INCLUDE: Key<Regex> =
    Key::optional("device_include", "Only these adapters in the families; instead of `device_exclude`.");

impl Collector for Infiniband {
    const ABOUT: About = About {
        name: "infiniband",
        summary: "InfiniBand and RoCE adapters: port states, traffic and errors",
        reads: &["/sys/class/infiniband/*"],
        needs: "an InfiniBand or RoCE adapter",
        keys: &[DEVICE_EXCLUDE.info(), DEVICE_INCLUDE.info()],
        families: &concat::<_, 64>(&[
            &infos!(COUNTERS.family),
            &[INFO.info(), STATE.info(), PHYSICAL_STATE.info(), RATE.info()],
        ]),
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Infiniband {
            adapters: host.devices("class/infiniband"),
            wanted: section.optional_include_or_exclude(&DEVICE_INCLUDE, &DEVICE_EXCLUDE),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        for (name, device) in self.adapters.look(|_| true)? {
            if !self.wanted.wants(name) {
                continue;
            }
            let mut attribute = |file: &'static str| device.string(file, cx.buffer).unwrap_or_default();
            let [board, firmware, kind] = ["board_id", "fw_ver", "hca_type"].map(&mut attribute);
            reading.put(&INFO, [&board, name, &firmware, &kind], 1u64);
            let ports = device.below("ports");
            for port in ports.names() {
                read_port(cx, reading, ports.below(&port), [name, &port]);
            }
        }
        Ok(())
    }
}

fn read_port(cx: &mut ReadContext<'_>, reading: &mut Gathered, port: &mut Device, labels: [&str; 2]) {
    // "4: ACTIVE"
    let mut number = |file: &'static str| {
        let line = port.text(file, cx.buffer)?.first_line();
        let digits = line.bytes().split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii();
        let number = u64::parse(digits).ok_or_else(|| line.malformed("the number of a state", line.bytes()));
        cx.part(number)
    };
    let (state, physical) = (number("state"), number("phys_state"));
    reading.put_some(&STATE, labels, state);
    reading.put_some(&PHYSICAL_STATE, labels, physical);
    // "100 Gb/sec (4X EDR)"
    let rate = port.text("rate", cx.buffer);
    let gigabits = rate.map(|text| text.first_line().fields().number::<f64>("Gb/sec")).transpose();
    let gigabits = cx.part(gigabits).flatten();
    const BYTES_PER_GIGABIT: f64 = 125e6;
    reading.put_some(&RATE, labels, gigabits.map(|gigabits| (gigabits * BYTES_PER_GIGABIT) as u64));
    for Attribute { file, family, unit } in COUNTERS {
        // Some drivers return a text for counters that they do not support.
        let Some(text) = port.string(*file, cx.buffer) else { continue };
        reading.put_some(family, labels, unit.parse(text.as_bytes()));
    }
}

const PORT: [&str; 2] = ["device", "port"];

const fn counter(file: &'static str, name: &'static str, help: &'static str, unit: Unit) -> Attribute<2> {
    Attribute::counter(file, name, help, PORT, unit)
}

/// Data counters are in words of four bytes.
const WORDS: Unit = Unit::Times(4);
const COUNTERS: &[Attribute<2>] = &[
    counter(
        "counters/excessive_buffer_overrun_errors",
        "node_infiniband_excessive_buffer_overrun_errors_total",
        "Consecutive buffer overruns beyond OverrunErrors",
        Unit::Plain,
    ),
    counter(
        "counters/link_downed",
        "node_infiniband_link_downed_total",
        "Failed link error recoveries that downed the link",
        Unit::Plain,
    ),
    counter(
        "counters/link_error_recovery",
        "node_infiniband_link_error_recovery_total",
        "Successful link error recoveries",
        Unit::Plain,
    ),
    counter(
        "counters/local_link_integrity_errors",
        "node_infiniband_local_link_integrity_errors_total",
        "Local physical errors beyond LocalPhyErrors",
        Unit::Plain,
    ),
    counter(
        "counters/multicast_rcv_packets",
        "node_infiniband_multicast_packets_received_total",
        "Multicast packets received, including errors",
        Unit::Plain,
    ),
    counter(
        "counters/multicast_xmit_packets",
        "node_infiniband_multicast_packets_transmitted_total",
        "Multicast packets transmitted, including errors",
        Unit::Plain,
    ),
    counter(
        "counters/port_rcv_constraint_errors",
        "node_infiniband_port_constraint_errors_received_total",
        "Packets received on the switch physical port that were discarded",
        Unit::Plain,
    ),
    counter(
        "counters/port_xmit_constraint_errors",
        "node_infiniband_port_constraint_errors_transmitted_total",
        "Packets not transmitted from the switch physical port",
        Unit::Plain,
    ),
    counter(
        "counters/port_rcv_discards",
        "node_infiniband_port_discards_received_total",
        "Inbound packets discarded because the port was down or congested",
        Unit::Plain,
    ),
    counter(
        "counters/port_xmit_discards",
        "node_infiniband_port_discards_transmitted_total",
        "Outbound packets discarded because the port was down or congested",
        Unit::Plain,
    ),
    counter(
        "counters/port_rcv_errors",
        "node_infiniband_port_errors_received_total",
        "Packets with errors received",
        Unit::Plain,
    ),
    counter(
        "counters/port_rcv_packets",
        "node_infiniband_port_packets_received_total",
        "Packets received, including errors",
        Unit::Plain,
    ),
    counter(
        "counters/port_xmit_packets",
        "node_infiniband_port_packets_transmitted_total",
        "Packets transmitted, including errors",
        Unit::Plain,
    ),
    counter(
        "counters/port_rcv_remote_physical_errors",
        "node_infiniband_port_receive_remote_physical_errors_total",
        "Packets received with the end bad packet (EBP) delimiter",
        Unit::Plain,
    ),
    counter(
        "counters/port_rcv_switch_relay_errors",
        "node_infiniband_port_receive_switch_relay_errors_total",
        "Packets received that the switch could not forward",
        Unit::Plain,
    ),
    counter(
        "counters/port_xmit_wait",
        "node_infiniband_port_transmit_wait_total",
        "Ticks in which the port had data to transmit but could not send",
        Unit::Plain,
    ),
    counter(
        "counters/symbol_error",
        "node_infiniband_symbol_error_total",
        "Minor link errors on the physical lanes",
        Unit::Plain,
    ),
    counter(
        "counters/unicast_rcv_packets",
        "node_infiniband_unicast_packets_received_total",
        "Unicast packets received, including errors",
        Unit::Plain,
    ),
    counter(
        "counters/unicast_xmit_packets",
        "node_infiniband_unicast_packets_transmitted_total",
        "Unicast packets transmitted, including errors",
        Unit::Plain,
    ),
    counter(
        "counters/VL15_dropped",
        "node_infiniband_vl15_dropped_total",
        "VL15 (subnet management) packets dropped for lack of buffers",
        Unit::Plain,
    ),
    counter(
        "counters_ext/port_multicast_rcv_packets",
        "node_infiniband_legacy_multicast_packets_received_total",
        "Multicast packets received (legacy counter)",
        Unit::Plain,
    ),
    counter(
        "counters_ext/port_multicast_xmit_packets",
        "node_infiniband_legacy_multicast_packets_transmitted_total",
        "Multicast packets transmitted (legacy counter)",
        Unit::Plain,
    ),
    counter(
        "counters_ext/port_rcv_packets_64",
        "node_infiniband_legacy_packets_received_total",
        "Packets received (legacy counter)",
        Unit::Plain,
    ),
    counter(
        "counters_ext/port_xmit_packets_64",
        "node_infiniband_legacy_packets_transmitted_total",
        "Packets transmitted (legacy counter)",
        Unit::Plain,
    ),
    counter(
        "counters_ext/port_unicast_rcv_packets",
        "node_infiniband_legacy_unicast_packets_received_total",
        "Unicast packets received (legacy counter)",
        Unit::Plain,
    ),
    counter(
        "counters_ext/port_unicast_xmit_packets",
        "node_infiniband_legacy_unicast_packets_transmitted_total",
        "Unicast packets transmitted (legacy counter)",
        Unit::Plain,
    ),
    counter(
        "counters/port_rcv_data",
        "node_infiniband_port_data_received_bytes_total",
        "Data octets received on all virtual lanes",
        WORDS,
    ),
    counter(
        "counters/port_xmit_data",
        "node_infiniband_port_data_transmitted_bytes_total",
        "Data octets transmitted on all virtual lanes",
        WORDS,
    ),
    counter(
        "counters_ext/port_rcv_data_64",
        "node_infiniband_legacy_data_received_bytes_total",
        "Data octets received on all virtual lanes (legacy counter)",
        WORDS,
    ),
    counter(
        "counters_ext/port_xmit_data_64",
        "node_infiniband_legacy_data_transmitted_bytes_total",
        "Data octets transmitted on all virtual lanes (legacy counter)",
        WORDS,
    ),
    counter(
        "hw_counters/duplicate_request",
        "node_infiniband_duplicate_requests_packets_total",
        "Duplicate request packets received",
        Unit::Plain,
    ),
    counter(
        "hw_counters/implied_nak_seq_err",
        "node_infiniband_implied_nak_seq_errors_total",
        "Implied NAK sequence errors: packets lost between ACKs",
        Unit::Plain,
    ),
    counter(
        "hw_counters/local_ack_timeout_err",
        "node_infiniband_local_ack_timeout_errors_total",
        "ACK timeouts of the local QP",
        Unit::Plain,
    ),
    counter(
        "hw_counters/np_cnp_sent",
        "node_infiniband_np_cnp_packets_sent_total",
        "CNPs sent by the notification point",
        Unit::Plain,
    ),
    counter(
        "hw_counters/np_ecn_marked_roce_packets",
        "node_infiniband_np_ecn_marked_roce_packets_received_total",
        "ECN-marked RoCEv2 packets received by the notification point",
        Unit::Plain,
    ),
    counter(
        "hw_counters/out_of_buffer",
        "node_infiniband_out_of_buffer_drops_total",
        "Packets dropped for lack of receive work requests (out of buffer)",
        Unit::Plain,
    ),
    counter(
        "hw_counters/out_of_sequence",
        "node_infiniband_out_of_sequence_packets_received_total",
        "Out-of-sequence packets received",
        Unit::Plain,
    ),
    counter(
        "hw_counters/packet_seq_err",
        "node_infiniband_packet_sequence_errors_total",
        "NAK sequence errors received",
        Unit::Plain,
    ),
    counter(
        "hw_counters/req_cqe_error",
        "node_infiniband_req_cqes_errors_total",
        "Requester CQEs with errors",
        Unit::Plain,
    ),
    counter(
        "hw_counters/req_cqe_flush_error",
        "node_infiniband_req_cqes_flush_errors_total",
        "Requester CQEs flushed with errors",
        Unit::Plain,
    ),
    counter(
        "hw_counters/req_remote_access_errors",
        "node_infiniband_req_remote_access_errors_total",
        "Remote access errors detected by the requester",
        Unit::Plain,
    ),
    counter(
        "hw_counters/req_remote_invalid_request",
        "node_infiniband_req_remote_invalid_request_errors_total",
        "Remote invalid request errors detected by the requester",
        Unit::Plain,
    ),
    counter(
        "hw_counters/resp_cqe_error",
        "node_infiniband_resp_cqes_errors_total",
        "Responder CQEs with errors",
        Unit::Plain,
    ),
    counter(
        "hw_counters/resp_cqe_flush_error",
        "node_infiniband_resp_cqes_flush_errors_total",
        "Responder CQEs flushed with errors",
        Unit::Plain,
    ),
    counter(
        "hw_counters/resp_local_length_error",
        "node_infiniband_resp_local_length_errors_total",
        "Local length errors detected by the responder",
        Unit::Plain,
    ),
    counter(
        "hw_counters/resp_remote_access_errors",
        "node_infiniband_resp_remote_access_errors_total",
        "Remote access errors detected by the responder",
        Unit::Plain,
    ),
    counter(
        "hw_counters/rnr_nak_retry_err",
        "node_infiniband_rnr_nak_retry_packets_received_total",
        "RNR NAK packets received",
        Unit::Plain,
    ),
    counter(
        "hw_counters/roce_adp_retrans",
        "node_infiniband_roce_adp_retransmits_total",
        "RoCE adaptive retransmissions",
        Unit::Plain,
    ),
    counter(
        "hw_counters/roce_adp_retrans_to",
        "node_infiniband_roce_adp_retransmits_timeout_total",
        "RoCE adaptive retransmission timeouts",
        Unit::Plain,
    ),
    counter(
        "hw_counters/roce_slow_restart",
        "node_infiniband_roce_slow_restart_used_total",
        "Uses of RoCE slow restart",
        Unit::Plain,
    ),
    counter(
        "hw_counters/roce_slow_restart_cnps",
        "node_infiniband_roce_slow_restart_cnps_total",
        "CNPs generated by RoCE slow restart",
        Unit::Plain,
    ),
    counter(
        "hw_counters/roce_slow_restart_trans",
        "node_infiniband_roce_slow_restart_total",
        "Changes to the RoCE slow restart state",
        Unit::Plain,
    ),
    counter("hw_counters/rp_cnp_handled", "node_infiniband_rp_cnp_packets_handled_total", "CNPs handled", Unit::Plain),
    counter(
        "hw_counters/rp_cnp_ignored",
        "node_infiniband_rp_cnp_ignored_packets_received_total",
        "CNPs ignored",
        Unit::Plain,
    ),
    counter(
        "hw_counters/rx_atomic_requests",
        "node_infiniband_rx_atomic_requests_total",
        "ATOMIC requests received by the associated QPs",
        Unit::Plain,
    ),
    counter(
        "hw_counters/rx_dct_connect",
        "node_infiniband_rx_dct_connect_requests_total",
        "Connection requests received by the associated DCTs",
        Unit::Plain,
    ),
    counter(
        "hw_counters/rx_icrc_encapsulated",
        "node_infiniband_rx_icrc_encapsulated_errors_total",
        "RoCE packets received with ICRC errors",
        Unit::Plain,
    ),
    counter(
        "hw_counters/rx_read_requests",
        "node_infiniband_rx_read_requests_total",
        "READ requests received by the associated QPs",
        Unit::Plain,
    ),
    counter(
        "hw_counters/rx_write_requests",
        "node_infiniband_rx_write_requests_total",
        "WRITE requests received by the associated QPs",
        Unit::Plain,
    ),
    Attribute::gauge(
        "hw_counters/lifespan",
        "node_infiniband_lifespan_seconds",
        "Refresh interval of the hardware counters",
        PORT,
        Unit::Per(1000.0),
    ),
];
const INFO: Family<4> = Family::gauge(
    "node_infiniband_info",
    "InfiniBand adapter, always 1",
    ["board_id", "device", "firmware_version", "hca_type"],
);
const STATE: Family<2> =
    Family::gauge("node_infiniband_state_id", "State of the port: 1 down, 2 init, 3 armed, 4 active", PORT);
const PHYSICAL_STATE: Family<2> = Family::gauge(
    "node_infiniband_physical_state_id",
    "Physical state of the port: 2 polling, 3 disabled, 5 link up",
    PORT,
);
const RATE: Family<2> =
    Family::gauge("node_infiniband_rate_bytes_per_second", "Signaling rate of the port in bytes per second", PORT);
