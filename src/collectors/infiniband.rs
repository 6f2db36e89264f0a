//! InfiniBand and RoCE adapters.

use regex::Regex;

use super::gathered::{Attribute, Gathered, Unit};
use super::{About, Collector, ReadContext};
use crate::config::{Filter, Key, Section};
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::{Device, Devices, Host, ReadError};

/// `/sys/class/infiniband`: Documentation/ABI/stable/sysfs-class-infiniband.
pub(super) struct Infiniband {
    adapters: Devices,
    wanted: Filter,
}

const DEVICE_EXCLUDE: Key<Regex> = Key::optional("device_exclude", "Adapters without families.");
const DEVICE_INCLUDE: Key<Regex> =
    Key::optional("device_include", "Only these adapters have families; instead of `device_exclude`.");

impl Collector for Infiniband {
    const ABOUT: About = About {
        name: "infiniband",
        summary: "InfiniBand and RoCE adapters: states of ports, traffic, errors",
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
            let mut of = |file: &'static str| device.string(file, cx.buffer).unwrap_or_default();
            let [board, firmware, kind] = ["board_id", "fw_ver", "hca_type"].map(&mut of);
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
        let text = port.string(file, cx.buffer)?;
        text.split(':').next()?.trim().parse::<u64>().ok()
    };
    let (state, physical) = (number("state"), number("phys_state"));
    reading.put_some(&STATE, labels, state);
    reading.put_some(&PHYSICAL_STATE, labels, physical);
    // "100 Gb/sec (4X EDR)"
    let rate = port.string("rate", cx.buffer);
    let gigabits = rate.and_then(|rate| rate.split_whitespace().next()?.parse::<f64>().ok());
    const BYTES_OF_A_GIGABIT: f64 = 125e6;
    reading.put_some(&RATE, labels, gigabits.map(|gigabits| (gigabits * BYTES_OF_A_GIGABIT) as u64));
    for Attribute { file, family, unit } in COUNTERS {
        // Some drivers say in words that they do not count something.
        let Some(text) = port.string(*file, cx.buffer) else { continue };
        reading.put_some(family, labels, unit.parse(text.as_bytes()));
    }
}

const PORT: [&str; 2] = ["device", "port"];

const fn counter(file: &'static str, name: &'static str, help: &'static str, unit: Unit) -> Attribute<2> {
    Attribute::counter(file, name, help, PORT, unit)
}

/// Data is counted in words of four bytes.
const WORDS: Unit = Unit::Times(4);
const COUNTERS: &[Attribute<2>] = &[
    counter(
        "counters/excessive_buffer_overrun_errors",
        "node_infiniband_excessive_buffer_overrun_errors_total",
        "Times that a buffer was overrun for long.",
        Unit::Plain,
    ),
    counter("counters/link_downed", "node_infiniband_link_downed_total", "Times that the link went down.", Unit::Plain),
    counter(
        "counters/link_error_recovery",
        "node_infiniband_link_error_recovery_total",
        "Times that the link recovered from errors.",
        Unit::Plain,
    ),
    counter(
        "counters/local_link_integrity_errors",
        "node_infiniband_local_link_integrity_errors_total",
        "Errors of the local link's integrity.",
        Unit::Plain,
    ),
    counter(
        "counters/multicast_rcv_packets",
        "node_infiniband_multicast_packets_received_total",
        "Multicast packets that were received.",
        Unit::Plain,
    ),
    counter(
        "counters/multicast_xmit_packets",
        "node_infiniband_multicast_packets_transmitted_total",
        "Multicast packets that were sent.",
        Unit::Plain,
    ),
    counter(
        "counters/port_rcv_constraint_errors",
        "node_infiniband_port_constraint_errors_received_total",
        "Packets that were dropped on arrival by a constraint.",
        Unit::Plain,
    ),
    counter(
        "counters/port_xmit_constraint_errors",
        "node_infiniband_port_constraint_errors_transmitted_total",
        "Packets that were not sent by a constraint.",
        Unit::Plain,
    ),
    counter(
        "counters/port_rcv_discards",
        "node_infiniband_port_discards_received_total",
        "Packets that were dropped on arrival.",
        Unit::Plain,
    ),
    counter(
        "counters/port_xmit_discards",
        "node_infiniband_port_discards_transmitted_total",
        "Packets that were dropped before they were sent.",
        Unit::Plain,
    ),
    counter(
        "counters/port_rcv_errors",
        "node_infiniband_port_errors_received_total",
        "Packets that arrived with errors.",
        Unit::Plain,
    ),
    counter(
        "counters/port_rcv_packets",
        "node_infiniband_port_packets_received_total",
        "Packets that were received.",
        Unit::Plain,
    ),
    counter(
        "counters/port_xmit_packets",
        "node_infiniband_port_packets_transmitted_total",
        "Packets that were sent.",
        Unit::Plain,
    ),
    counter(
        "counters/port_rcv_remote_physical_errors",
        "node_infiniband_port_receive_remote_physical_errors_total",
        "Packets that the sender marked as bad.",
        Unit::Plain,
    ),
    counter(
        "counters/port_rcv_switch_relay_errors",
        "node_infiniband_port_receive_switch_relay_errors_total",
        "Packets that could not be relayed.",
        Unit::Plain,
    ),
    counter(
        "counters/port_xmit_wait",
        "node_infiniband_port_transmit_wait_total",
        "Ticks during which something waited to be sent.",
        Unit::Plain,
    ),
    counter("counters/symbol_error", "node_infiniband_symbol_error_total", "Symbols with errors.", Unit::Plain),
    counter(
        "counters/unicast_rcv_packets",
        "node_infiniband_unicast_packets_received_total",
        "Unicast packets that were received.",
        Unit::Plain,
    ),
    counter(
        "counters/unicast_xmit_packets",
        "node_infiniband_unicast_packets_transmitted_total",
        "Unicast packets that were sent.",
        Unit::Plain,
    ),
    counter(
        "counters/VL15_dropped",
        "node_infiniband_vl15_dropped_total",
        "Management packets that were dropped.",
        Unit::Plain,
    ),
    counter(
        "counters_ext/port_multicast_rcv_packets",
        "node_infiniband_legacy_multicast_packets_received_total",
        "Multicast packets that were received, as old drivers count them.",
        Unit::Plain,
    ),
    counter(
        "counters_ext/port_multicast_xmit_packets",
        "node_infiniband_legacy_multicast_packets_transmitted_total",
        "Multicast packets that were sent, as old drivers count them.",
        Unit::Plain,
    ),
    counter(
        "counters_ext/port_rcv_packets_64",
        "node_infiniband_legacy_packets_received_total",
        "Packets that were received, as old drivers count them.",
        Unit::Plain,
    ),
    counter(
        "counters_ext/port_xmit_packets_64",
        "node_infiniband_legacy_packets_transmitted_total",
        "Packets that were sent, as old drivers count them.",
        Unit::Plain,
    ),
    counter(
        "counters_ext/port_unicast_rcv_packets",
        "node_infiniband_legacy_unicast_packets_received_total",
        "Unicast packets that were received, as old drivers count them.",
        Unit::Plain,
    ),
    counter(
        "counters_ext/port_unicast_xmit_packets",
        "node_infiniband_legacy_unicast_packets_transmitted_total",
        "Unicast packets that were sent, as old drivers count them.",
        Unit::Plain,
    ),
    counter(
        "counters/port_rcv_data",
        "node_infiniband_port_data_received_bytes_total",
        "Bytes that were received.",
        WORDS,
    ),
    counter(
        "counters/port_xmit_data",
        "node_infiniband_port_data_transmitted_bytes_total",
        "Bytes that were sent.",
        WORDS,
    ),
    counter(
        "counters_ext/port_rcv_data_64",
        "node_infiniband_legacy_data_received_bytes_total",
        "Bytes that were received, as old drivers count them.",
        WORDS,
    ),
    counter(
        "counters_ext/port_xmit_data_64",
        "node_infiniband_legacy_data_transmitted_bytes_total",
        "Bytes that were sent, as old drivers count them.",
        WORDS,
    ),
    counter(
        "hw_counters/duplicate_request",
        "node_infiniband_duplicate_requests_packets_total",
        "Requests that came twice.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/implied_nak_seq_err",
        "node_infiniband_implied_nak_seq_errors_total",
        "Gaps that an answer left.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/local_ack_timeout_err",
        "node_infiniband_local_ack_timeout_errors_total",
        "Acknowledgements that did not come in time.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/np_cnp_sent",
        "node_infiniband_np_cnp_packets_sent_total",
        "Notices of congestion that were sent.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/np_ecn_marked_roce_packets",
        "node_infiniband_np_ecn_marked_roce_packets_received_total",
        "Packets that arrived marked by congestion.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/out_of_buffer",
        "node_infiniband_out_of_buffer_drops_total",
        "Packets that were dropped for want of a buffer.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/out_of_sequence",
        "node_infiniband_out_of_sequence_packets_received_total",
        "Packets that came out of order.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/packet_seq_err",
        "node_infiniband_packet_sequence_errors_total",
        "Gaps that the other side told of.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/req_cqe_error",
        "node_infiniband_req_cqes_errors_total",
        "Requests that ended with an error.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/req_cqe_flush_error",
        "node_infiniband_req_cqes_flush_errors_total",
        "Requests that were flushed.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/req_remote_access_errors",
        "node_infiniband_req_remote_access_errors_total",
        "Requests that the other side did not allow.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/req_remote_invalid_request",
        "node_infiniband_req_remote_invalid_request_errors_total",
        "Requests that the other side found wrong.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/resp_cqe_error",
        "node_infiniband_resp_cqes_errors_total",
        "Answers that ended with an error.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/resp_cqe_flush_error",
        "node_infiniband_resp_cqes_flush_errors_total",
        "Answers that were flushed.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/resp_local_length_error",
        "node_infiniband_resp_local_length_errors_total",
        "Answers of a wrong length.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/resp_remote_access_errors",
        "node_infiniband_resp_remote_access_errors_total",
        "Requests of the other side that were not allowed.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/rnr_nak_retry_err",
        "node_infiniband_rnr_nak_retry_packets_received_total",
        "Notices that the other side was not ready.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/roce_adp_retrans",
        "node_infiniband_roce_adp_retransmits_total",
        "Retransmissions by adaptive timing.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/roce_adp_retrans_to",
        "node_infiniband_roce_adp_retransmits_timeout_total",
        "Timeouts of adaptive timing.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/roce_slow_restart",
        "node_infiniband_roce_slow_restart_used_total",
        "Slow restarts.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/roce_slow_restart_cnps",
        "node_infiniband_roce_slow_restart_cnps_total",
        "Notices of congestion by slow restarts.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/roce_slow_restart_trans",
        "node_infiniband_roce_slow_restart_total",
        "Changes to slow restart.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/rp_cnp_handled",
        "node_infiniband_rp_cnp_packets_handled_total",
        "Notices of congestion that were heeded.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/rp_cnp_ignored",
        "node_infiniband_rp_cnp_ignored_packets_received_total",
        "Notices of congestion that were ignored.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/rx_atomic_requests",
        "node_infiniband_rx_atomic_requests_total",
        "Atomic requests that were received.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/rx_dct_connect",
        "node_infiniband_rx_dct_connect_requests_total",
        "Requests to connect dynamically.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/rx_icrc_encapsulated",
        "node_infiniband_rx_icrc_encapsulated_errors_total",
        "Packets with a wrong inner checksum.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/rx_read_requests",
        "node_infiniband_rx_read_requests_total",
        "Requests to read that were received.",
        Unit::Plain,
    ),
    counter(
        "hw_counters/rx_write_requests",
        "node_infiniband_rx_write_requests_total",
        "Requests to write that were received.",
        Unit::Plain,
    ),
    Attribute::gauge(
        "hw_counters/lifespan",
        "node_infiniband_lifespan_seconds",
        "How old the counts of the hardware may be.",
        PORT,
        Unit::Per(1000.0),
    ),
];
const INFO: Family<4> =
    Family::gauge("node_infiniband_info", "The adapter; 1.", ["board_id", "device", "firmware_version", "hca_type"]);
const STATE: Family<2> =
    Family::gauge("node_infiniband_state_id", "State of the port: 1 down, 2 initialised, 3 armed, 4 active.", PORT);
const PHYSICAL_STATE: Family<2> = Family::gauge(
    "node_infiniband_physical_state_id",
    "Physical state of the port: 2 polling, 3 disabled, 5 link up.",
    PORT,
);
const RATE: Family<2> =
    Family::gauge("node_infiniband_rate_bytes_per_second", "Bytes that the port can carry a second.", PORT);
