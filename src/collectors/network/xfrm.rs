//! IPsec (XFRM) errors.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, Problems, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::encode::infos::infos;
use crate::host::{Host, HostFile, ReadError};

/// `/proc/net/xfrm_stat`: Documentation/networking/xfrm_proc.rst.
pub(super) struct Xfrm {
    stat: HostFile,
}

impl Collector for Xfrm {
    const ABOUT: About = About {
        name: "xfrm",
        summary: "packets not handled by IPsec (XFRM), by reason",
        reads: &["/proc/net/xfrm_stat"],
        needs: "CONFIG_XFRM_STATISTICS",
        on_by_default: Vocabularies::NONE,
        families: &infos!(COUNTERS.1),
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Xfrm { stat: host.proc("net/xfrm_stat") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        for line in self.stat.read(cx.buffer)?.lines() {
            let mut fields = line.fields();
            let key = fields.next().unwrap_or_default();
            if let Some((_, family)) = COUNTERS.iter().find(|(known, _)| known.as_bytes() == key) {
                reading.put_some(family, [], cx.problems.part(fields.number::<u64>("a count of packets")));
            }
        }
        Ok(())
    }
}

const fn counter(name: &'static str, help: &'static str) -> Family<0> {
    Family::counter(name, help, [])
}

const COUNTERS: &[(&str, Family<0>)] = &[
    ("XfrmAcquireError", counter("node_xfrm_acquire_error_packets_total", "State not fully acquired before use")),
    ("XfrmFwdHdrError", counter("node_xfrm_fwd_hdr_error_packets_total", "Forward routing of a packet not allowed")),
    ("XfrmInBufferError", counter("node_xfrm_in_buffer_error_packets_total", "No buffer left")),
    ("XfrmInError", counter("node_xfrm_in_error_packets_total", "Inbound errors not matched by other counters")),
    ("XfrmInHdrError", counter("node_xfrm_in_hdr_error_packets_total", "Inbound header errors")),
    ("XfrmInNoPols", counter("node_xfrm_in_no_pols_packets_total", "No policy found for inbound states")),
    (
        "XfrmInNoStates",
        counter(
            "node_xfrm_in_no_states_packets_total",
            "No inbound state found (wrong SPI, address or IPsec protocol)",
        ),
    ),
    ("XfrmInPolBlock", counter("node_xfrm_in_pol_block_packets_total", "Inbound packets discarded by policy")),
    ("XfrmInPolError", counter("node_xfrm_in_pol_error_packets_total", "Inbound policy errors")),
    ("XfrmInStateExpired", counter("node_xfrm_in_state_expired_packets_total", "Inbound state expired")),
    ("XfrmInStateInvalid", counter("node_xfrm_in_state_invalid_packets_total", "Inbound state invalid")),
    (
        "XfrmInStateMismatch",
        counter(
            "node_xfrm_in_state_mismatch_packets_total",
            "Inbound state option mismatch, such as UDP encapsulation type",
        ),
    ),
    (
        "XfrmInStateModeError",
        counter("node_xfrm_in_state_mode_error_packets_total", "Inbound transformation mode errors"),
    ),
    (
        "XfrmInStateProtoError",
        counter(
            "node_xfrm_in_state_proto_error_packets_total",
            "Inbound transformation protocol errors, such as a wrong SA key",
        ),
    ),
    (
        "XfrmInStateSeqError",
        counter("node_xfrm_in_state_seq_error_packets_total", "Inbound sequence number outside the window"),
    ),
    (
        "XfrmInTmplMismatch",
        counter("node_xfrm_in_tmpl_mismatch_packets_total", "No matching template for inbound states"),
    ),
    (
        "XfrmOutBundleCheckError",
        counter("node_xfrm_out_bundle_check_error_packets_total", "Outbound bundle check errors"),
    ),
    (
        "XfrmOutBundleGenError",
        counter("node_xfrm_out_bundle_gen_error_packets_total", "Outbound bundle generation errors"),
    ),
    ("XfrmOutError", counter("node_xfrm_out_error_packets_total", "Outbound errors not matched by other counters")),
    ("XfrmOutNoStates", counter("node_xfrm_out_no_states_packets_total", "No outbound state found")),
    ("XfrmOutPolBlock", counter("node_xfrm_out_pol_block_packets_total", "Outbound packets discarded by policy")),
    ("XfrmOutPolDead", counter("node_xfrm_out_pol_dead_packets_total", "Outbound policy dead")),
    ("XfrmOutPolError", counter("node_xfrm_out_pol_error_packets_total", "Outbound policy errors")),
    ("XfrmOutStateExpired", counter("node_xfrm_out_state_expired_packets_total", "Outbound state expired")),
    ("XfrmOutStateInvalid", counter("node_xfrm_out_state_invalid_packets_total", "Outbound state invalid")),
    (
        "XfrmOutStateModeError",
        counter("node_xfrm_out_state_mode_error_packets_total", "Outbound transformation mode errors"),
    ),
    (
        "XfrmOutStateProtoError",
        counter("node_xfrm_out_state_proto_error_packets_total", "Outbound transformation protocol errors"),
    ),
    (
        "XfrmOutStateSeqError",
        counter("node_xfrm_out_state_seq_error_packets_total", "Outbound sequence number overflow"),
    ),
];
