//! Fibre Channel host adapters.

use crate::collectors::framework::gathered::{Attribute, Gathered, Unit};
use crate::collectors::framework::{About, Collector, ReadContext};
use crate::config::Section;
use crate::encode::Family;
use crate::encode::family::Value;
use crate::encode::infos::{concat, infos};
use crate::host::{Devices, Host, ReadError};

/// `/sys/class/fc_host`: drivers/scsi/scsi_transport_fc.c.
pub(super) struct Fibrechannel {
    hosts: Devices,
}

impl Collector for Fibrechannel {
    const ABOUT: About = About {
        name: "fibrechannel",
        summary: "Fibre Channel hosts: frames and errors",
        reads: &["/sys/class/fc_host/host*"],
        needs: "a Fibre Channel host adapter",
        families: &concat::<_, 15>(&[&infos!(STATISTICS.family), &[INFO.info()]]),
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Fibrechannel { hosts: host.devices("class/fc_host") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        for (name, device) in self.hosts.look(|_| true)? {
            for Attribute { file, family, unit } in STATISTICS {
                // The transport class reports -1 for counters that the driver does not support.
                let count = unit.read(cx, device, file).filter(|count| *count != Value::Unsigned(u64::MAX));
                reading.put_some(family, [name], count);
            }
            let mut values = INFO_FILES.map(|file| device.string(file, cx.buffer).unwrap_or_default());
            for hexadecimal in [FABRIC_NAME, PORT_ID, PORT_NAME] {
                if let Some(digits) = values[hexadecimal].strip_prefix("0x") {
                    values[hexadecimal] = digits.to_owned();
                }
            }
            name.clone_into(&mut values[FC_HOST]);
            reading.put(&INFO, values.each_ref().map(String::as_str), 1u64);
        }
        Ok(())
    }
}

const fn counter(file: &'static str, name: &'static str, help: &'static str) -> Attribute<1> {
    Attribute::counter(file, name, help, ["fc_host"], Unit::Hex)
}

const STATISTICS: &[Attribute<1>] = &[
    counter("statistics/dumped_frames", "node_fibrechannel_dumped_frames_total", "Frames dropped for lack of buffers"),
    counter("statistics/error_frames", "node_fibrechannel_error_frames_total", "Frames with errors"),
    counter("statistics/fcp_packet_aborts", "node_fibrechannel_fcp_packet_aborts_total", "FCP packets aborted"),
    counter("statistics/invalid_crc_count", "node_fibrechannel_invalid_crc_total", "Frames with an invalid CRC"),
    counter(
        "statistics/invalid_tx_word_count",
        "node_fibrechannel_invalid_tx_words_total",
        "Invalid transmission words",
    ),
    counter("statistics/link_failure_count", "node_fibrechannel_link_failure_total", "Link failures"),
    counter("statistics/loss_of_signal_count", "node_fibrechannel_loss_of_signal_total", "Losses of signal"),
    counter("statistics/loss_of_sync_count", "node_fibrechannel_loss_of_sync_total", "Losses of synchronisation"),
    counter("statistics/nos_count", "node_fibrechannel_nos_total", "Not-operational primitive sequences (NOS)"),
    counter("statistics/rx_frames", "node_fibrechannel_rx_frames_total", "Frames received"),
    counter("statistics/rx_words", "node_fibrechannel_rx_words_total", "Transmission words received"),
    counter(
        "statistics/seconds_since_last_reset",
        "node_fibrechannel_seconds_since_last_reset_total",
        "Time since the last reset of the statistics",
    ),
    counter("statistics/tx_frames", "node_fibrechannel_tx_frames_total", "Frames transmitted"),
    counter("statistics/tx_words", "node_fibrechannel_tx_words_total", "Transmission words transmitted"),
];
/// Names of both the files and the labels, except the name of the host.
const INFO_FILES: [&str; 11] = [
    "dev_loss_tmo",
    "fabric_name",
    "fc_host",
    "port_id",
    "port_name",
    "port_state",
    "port_type",
    "speed",
    "supported_classes",
    "supported_speeds",
    "symbolic_name",
];
const FABRIC_NAME: usize = 1;
const FC_HOST: usize = 2;
const PORT_ID: usize = 3;
const PORT_NAME: usize = 4;
const INFO: Family<11> = Family::gauge("node_fibrechannel_info", "Fibre Channel host, always 1", INFO_FILES);
