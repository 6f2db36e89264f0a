//! Packets that IPsec could not handle.

use super::gathered::Gathered;
use super::{About, Collector, ReadContext, Vocabularies};
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
        summary: "packets that IPsec could not handle, by reason",
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
                reading.put(family, [], fields.number::<u64>("a count of packets")?);
            }
        }
        Ok(())
    }
}

const fn counter(name: &'static str) -> Family<0> {
    Family::counter(name, "Packets for this reason: Documentation/networking/xfrm_proc.rst.", [])
}

const COUNTERS: &[(&str, Family<0>)] = &[
    ("XfrmAcquireError", counter("node_xfrm_acquire_error_packets_total")),
    ("XfrmFwdHdrError", counter("node_xfrm_fwd_hdr_error_packets_total")),
    ("XfrmInBufferError", counter("node_xfrm_in_buffer_error_packets_total")),
    ("XfrmInError", counter("node_xfrm_in_error_packets_total")),
    ("XfrmInHdrError", counter("node_xfrm_in_hdr_error_packets_total")),
    ("XfrmInNoPols", counter("node_xfrm_in_no_pols_packets_total")),
    ("XfrmInNoStates", counter("node_xfrm_in_no_states_packets_total")),
    ("XfrmInPolBlock", counter("node_xfrm_in_pol_block_packets_total")),
    ("XfrmInPolError", counter("node_xfrm_in_pol_error_packets_total")),
    ("XfrmInStateExpired", counter("node_xfrm_in_state_expired_packets_total")),
    ("XfrmInStateInvalid", counter("node_xfrm_in_state_invalid_packets_total")),
    ("XfrmInStateMismatch", counter("node_xfrm_in_state_mismatch_packets_total")),
    ("XfrmInStateModeError", counter("node_xfrm_in_state_mode_error_packets_total")),
    ("XfrmInStateProtoError", counter("node_xfrm_in_state_proto_error_packets_total")),
    ("XfrmInStateSeqError", counter("node_xfrm_in_state_seq_error_packets_total")),
    ("XfrmInTmplMismatch", counter("node_xfrm_in_tmpl_mismatch_packets_total")),
    ("XfrmOutBundleCheckError", counter("node_xfrm_out_bundle_check_error_packets_total")),
    ("XfrmOutBundleGenError", counter("node_xfrm_out_bundle_gen_error_packets_total")),
    ("XfrmOutError", counter("node_xfrm_out_error_packets_total")),
    ("XfrmOutNoStates", counter("node_xfrm_out_no_states_packets_total")),
    ("XfrmOutPolBlock", counter("node_xfrm_out_pol_block_packets_total")),
    ("XfrmOutPolDead", counter("node_xfrm_out_pol_dead_packets_total")),
    ("XfrmOutPolError", counter("node_xfrm_out_pol_error_packets_total")),
    ("XfrmOutStateExpired", counter("node_xfrm_out_state_expired_packets_total")),
    ("XfrmOutStateInvalid", counter("node_xfrm_out_state_invalid_packets_total")),
    ("XfrmOutStateModeError", counter("node_xfrm_out_state_mode_error_packets_total")),
    ("XfrmOutStateProtoError", counter("node_xfrm_out_state_proto_error_packets_total")),
    ("XfrmOutStateSeqError", counter("node_xfrm_out_state_seq_error_packets_total")),
];
