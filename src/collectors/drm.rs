//! Graphics cards, as far as the driver amdgpu tells.

use super::gathered::{Attribute, Gathered, Unit};
use super::{About, Collector, ReadContext, Vocabularies};
use crate::config::Section;
use crate::encode::Family;
use crate::encode::infos::{concat, infos};
use crate::host::devices::number_in;
use crate::host::{Devices, Host, ReadError};

/// `/sys/class/drm/card*/device`: Documentation/gpu/amdgpu/driver-misc.rst.
pub(super) struct Drm {
    cards: Devices,
}

impl Collector for Drm {
    const ABOUT: About = About {
        name: "drm",
        summary: "graphics cards: how busy they are, and their memory",
        reads: &["/sys/class/drm/card*/device/*"],
        needs: "the driver amdgpu",
        on_by_default: Vocabularies::NONE,
        families: &concat::<_, 8>(&[&infos!(ATTRIBUTES.family), &[INFO.info()]]),
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Drm { cards: host.devices("class/drm") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        // Beside card0 there are its connectors, such as card0-HDMI-A-1.
        let is_card = |name: &str| number_in(name, "card").is_some();
        for (card, device) in self.cards.look(is_card)? {
            // Other drivers do not have this file.
            if device.text("device/gpu_busy_percent", cx.buffer).is_none() {
                continue;
            }
            reading.put_attributes(cx, device, ATTRIBUTES, [card]);
            let mut of = |file: &'static str| device.string(file, cx.buffer).unwrap_or_default();
            let [memory, level, id] =
                ["device/mem_info_vram_vendor", "device/power_dpm_force_performance_level", "device/unique_id"]
                    .map(&mut of);
            reading.put(&INFO, [card, &memory, &level, &id, "amd"], 1u64);
        }
        Ok(())
    }
}

const fn gauge(file: &'static str, name: &'static str, help: &'static str) -> Attribute<1> {
    Attribute::gauge(file, name, help, ["card"], Unit::Plain)
}

const ATTRIBUTES: &[Attribute<1>] = &[
    gauge("device/gpu_busy_percent", "node_drm_gpu_busy_percent", "How busy the card is, in percent."),
    gauge(
        "device/mem_info_gtt_total",
        "node_drm_memory_gtt_size_bytes",
        "Bytes of the host's memory that the card may use.",
    ),
    gauge("device/mem_info_gtt_used", "node_drm_memory_gtt_used_bytes", "Bytes of the host's memory that it uses."),
    gauge(
        "device/mem_info_vis_vram_total",
        "node_drm_memory_vis_vram_size_bytes",
        "Bytes of its memory that the host sees.",
    ),
    gauge("device/mem_info_vis_vram_used", "node_drm_memory_vis_vram_used_bytes", "Bytes of these that are used."),
    gauge("device/mem_info_vram_total", "node_drm_memory_vram_size_bytes", "Bytes of its memory."),
    gauge("device/mem_info_vram_used", "node_drm_memory_vram_used_bytes", "Bytes of its memory that are used."),
];
const INFO: Family<5> = Family::gauge(
    "node_drm_card_info",
    "The card; 1.",
    ["card", "memory_vendor", "power_performance_level", "unique_id", "vendor"],
);
