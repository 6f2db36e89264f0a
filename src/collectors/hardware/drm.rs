//! GPUs of the amdgpu driver.

use crate::collectors::framework::gathered::{Attribute, Gathered, Unit};
use crate::collectors::framework::{About, Collector, ReadContext, Vocabularies};
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
        summary: "GPU load and memory",
        reads: &["/sys/class/drm/card*/device/*"],
        needs: "the amdgpu driver",
        on_by_default: Vocabularies::NONE,
        families: &concat::<_, 8>(&[&infos!(ATTRIBUTES.family), &[INFO.info()]]),
        may_be_absent: true,
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Drm { cards: host.devices("class/drm") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        // Connectors, such as card0-HDMI-A-1, are in the same directory.
        let is_card = |name: &str| number_in(name, "card").is_some();
        for (card, device) in self.cards.look(is_card)? {
            // Only amdgpu has this file.
            if device.text("device/gpu_busy_percent", cx.buffer).is_none() {
                continue;
            }
            reading.put_attributes(cx, device, ATTRIBUTES, [card]);
            let mut attribute = |file: &'static str| device.string(file, cx.buffer).unwrap_or_default();
            let [memory, level, id] =
                ["device/mem_info_vram_vendor", "device/power_dpm_force_performance_level", "device/unique_id"]
                    .map(&mut attribute);
            reading.put(&INFO, [card, &memory, &level, &id, "amd"], 1u64);
        }
        Ok(())
    }
}

const fn gauge(file: &'static str, name: &'static str, help: &'static str) -> Attribute<1> {
    Attribute::gauge(file, name, help, ["card"], Unit::Plain)
}

const ATTRIBUTES: &[Attribute<1>] = &[
    gauge("device/gpu_busy_percent", "node_drm_gpu_busy_percent", "GPU load in percent"),
    gauge(
        "device/mem_info_gtt_total",
        "node_drm_memory_gtt_size_bytes",
        "Size of GTT memory (system memory accessible to the GPU) in bytes",
    ),
    gauge("device/mem_info_gtt_used", "node_drm_memory_gtt_used_bytes", "Used GTT memory in bytes"),
    gauge(
        "device/mem_info_vis_vram_total",
        "node_drm_memory_vis_vram_size_bytes",
        "Size of visible (CPU-accessible) VRAM in bytes",
    ),
    gauge("device/mem_info_vis_vram_used", "node_drm_memory_vis_vram_used_bytes", "Used visible VRAM in bytes"),
    gauge("device/mem_info_vram_total", "node_drm_memory_vram_size_bytes", "Size of VRAM in bytes"),
    gauge("device/mem_info_vram_used", "node_drm_memory_vram_used_bytes", "Used VRAM in bytes"),
];
const INFO: Family<5> = Family::gauge(
    "node_drm_card_info",
    "GPU, always 1",
    ["card", "memory_vendor", "power_performance_level", "unique_id", "vendor"],
);
