//! NVIDIA GPUs, by the library of their driver: the names of dcgm-exporter and of Telegraf's `inputs.nvidia_smi`.

mod library;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::library::{Gpu, Gpus, Nvml};
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::collectors::services::service_call::{MAX_THREADS, ServiceCall};
use crate::config::{Key, Section};
use crate::encode::family::FamilyInfo;
use crate::encode::infos::{concat, infos};
use crate::encode::point::FieldInfo;
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter, Value};
use crate::host::{Host, ReadError};

const LIBRARY: Key<String> =
    Key::new("library", "\"libnvidia-ml.so.1\"", "The library of the driver: its name, or its path.");

/// The collector.
pub(super) struct Nvidia {
    driver: ServiceCall<Arc<Gpus>>,
}

/// The library, which is opened once it is there.
enum Opened {
    Open(Nvml),
    /// Why it was not opened, and when that was tried.
    Failed(Instant, String),
    NotYet,
}

/// The time between two attempts to open the library: each searches through folders.
const RETRY: Duration = Duration::from_secs(60);

impl Opened {
    fn read(&mut self, name: &str) -> Result<Gpus, String> {
        match self {
            Opened::Failed(at, reason) if at.elapsed() < RETRY => return Err(reason.clone()),
            Opened::Open(_) => {}
            _ => match Nvml::open(name) {
                Ok(nvml) => *self = Opened::Open(nvml),
                Err(reason) => {
                    *self = Opened::Failed(Instant::now(), reason.clone());
                    return Err(reason);
                }
            },
        }
        let Opened::Open(nvml) = self else { return Err(String::new()) };
        nvml.read()
    }
}

impl Collector for Nvidia {
    const ABOUT: About = About {
        name: "nvidia",
        summary: "NVIDIA GPUs",
        reads: &["libnvidia-ml.so.1"],
        needs: "NVIDIA's driver, and for the service the drop-in `nvidia.conf`",
        remarks: REMARKS,
        on_by_default: Vocabularies::NONE,
        keys: &[LIBRARY.info()],
        families: &FAMILIES,
        measurements: &[NVIDIA_SMI.info()],
        ..About::PLAIN
    };
    type Reading = NvidiaReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let library = section.get(&LIBRARY);
        let opened = Mutex::new(Opened::NotYet);
        let query = move |name: &str| {
            let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
            let read = opened.read(name).map(Arc::new);
            read.map_err(|reason| ReadError::Refused { what: name.to_owned(), reason })
        };
        Nvidia { driver: ServiceCall::new(host.questions(MAX_THREADS), library, query) }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut NvidiaReading) -> Result<(), ReadError> {
        reading.0 = Arc::default();
        reading.0 = self.driver.read()?;
        for (index, reason) in &reading.0.errors {
            cx.problem(ReadError::Refused { what: format!("GPU {index}"), reason: reason.clone() });
        }
        Ok(())
    }
}

const REMARKS: &str = "\
The library is opened at run time, and calls to it have a thread of their own: a GPU that has fallen off the bus may block them. \
What a GPU does not support is absent, not 0. The families that dcgm-exporter reads by DCGM alone, `DCGM_FI_PROF_*` and \
`DCGM_FI_DEV_XID_ERRORS` among them, are absent: scrape dcgm-exporter for them. See docs/devices.md.";

/// The GPUs.
#[derive(Default)]
pub(super) struct NvidiaReading(Arc<Gpus>);

const LABELS: [&str; 6] = ["DCGM_FI_DRIVER_VERSION", "UUID", "device", "gpu", "modelName", "pci_bus_id"];

type GpuFamily = (Family<6>, fn(&Gpu) -> Option<Value>);

const fn gauge(name: &'static str, help: &'static str, value: fn(&Gpu) -> Option<Value>) -> GpuFamily {
    (Family::gauge(name, help, LABELS), value)
}

const fn counter(name: &'static str, help: &'static str, value: fn(&Gpu) -> Option<Value>) -> GpuFamily {
    (Family::counter(name, help, LABELS), value)
}

fn value(number: Option<u32>) -> Option<Value> {
    number.map(|number| Value::Unsigned(number.into()))
}

/// Bytes in MiB, rounded down.
fn mebibytes(bytes: u64) -> u64 {
    bytes >> 20
}

const OF_GPU: [GpuFamily; 16] = [
    gauge("DCGM_FI_DEV_SM_CLOCK", "SM clock in MHz", |gpu| value(gpu.clocks[1])),
    gauge("DCGM_FI_DEV_MEM_CLOCK", "Memory clock in MHz", |gpu| value(gpu.clocks[2])),
    gauge("DCGM_FI_DEV_GPU_TEMP", "Temperature of the GPU in degrees Celsius", |gpu| value(gpu.temperature)),
    gauge("DCGM_FI_DEV_POWER_USAGE", "Power draw in W", |gpu| {
        gpu.power.map(|milliwatts| Value::Float(f64::from(milliwatts) / 1000.0))
    }),
    counter("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "Energy consumed since the driver was loaded, in mJ", |gpu| {
        gpu.energy.map(Value::Unsigned)
    }),
    counter("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "PCIe retries", |gpu| value(gpu.pcie_replays)),
    gauge("DCGM_FI_DEV_GPU_UTIL", "Utilization of the GPU in percent", |gpu| value(gpu.utilization[0])),
    gauge("DCGM_FI_DEV_MEM_COPY_UTIL", "Utilization of the memory's bandwidth in percent", |gpu| {
        value(gpu.utilization[1])
    }),
    gauge("DCGM_FI_DEV_ENC_UTIL", "Utilization of the encoder in percent", |gpu| value(gpu.encoder)),
    gauge("DCGM_FI_DEV_DEC_UTIL", "Utilization of the decoder in percent", |gpu| value(gpu.decoder)),
    gauge("DCGM_FI_DEV_FB_FREE", "Free frame buffer in MiB", |gpu| Some(mebibytes(gpu.memory.free?).into())),
    gauge("DCGM_FI_DEV_FB_USED", "Used frame buffer in MiB", |gpu| Some(mebibytes(gpu.memory.used?).into())),
    gauge("DCGM_FI_DEV_FB_RESERVED", "Frame buffer reserved by the driver, in MiB", |gpu| {
        Some(mebibytes(gpu.memory.reserved?).into())
    }),
    counter("DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", "Rows remapped after uncorrectable errors", |gpu| {
        value(gpu.remapped_rows[1])
    }),
    counter("DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", "Rows remapped after correctable errors", |gpu| {
        value(gpu.remapped_rows[0])
    }),
    gauge("DCGM_FI_DEV_ROW_REMAP_FAILURE", "Whether remapping of rows has failed", |gpu| value(gpu.remapped_rows[3])),
];
const FAMILIES: [FamilyInfo; OF_GPU.len()] = infos!(OF_GPU.0);

type NumberField = (Field<i64>, fn(&Gpu) -> Option<u64>);

const NUMBERS: [NumberField; 24] = [
    (Field::new("temperature_gpu", "degrees Celsius"), |g| Some(g.temperature?.into())),
    (Field::new("fan_speed", "% of the maximum"), |g| Some(g.fan?.into())),
    (Field::new("utilization_gpu", "%"), |g| Some(g.utilization[0]?.into())),
    (Field::new("utilization_memory", "%"), |g| Some(g.utilization[1]?.into())),
    (Field::new("utilization_encoder", "%"), |g| Some(g.encoder?.into())),
    (Field::new("utilization_decoder", "%"), |g| Some(g.decoder?.into())),
    (Field::new("memory_total", "MiB"), |g| Some(mebibytes(g.memory.total?))),
    (Field::new("memory_used", "MiB"), |g| Some(mebibytes(g.memory.used?))),
    (Field::new("memory_free", "MiB"), |g| Some(mebibytes(g.memory.free?))),
    (Field::new("memory_reserved", "MiB"), |g| Some(mebibytes(g.memory.reserved?))),
    (Field::new("clocks_current_graphics", "MHz"), |g| Some(g.clocks[0]?.into())),
    (Field::new("clocks_current_sm", "MHz"), |g| Some(g.clocks[1]?.into())),
    (Field::new("clocks_current_memory", "MHz"), |g| Some(g.clocks[2]?.into())),
    (Field::new("clocks_current_video", "MHz"), |g| Some(g.clocks[3]?.into())),
    (Field::new("pcie_link_gen_current", "generation of PCIe"), |g| Some(g.link_generation?.into())),
    (Field::new("pcie_link_width_current", "lanes"), |g| Some(g.link_width?.into())),
    (Field::new("encoder_stats_session_count", "sessions"), |g| Some(g.encoder_stats[0]?.into())),
    (Field::new("encoder_stats_average_fps", "frames per second"), |g| Some(g.encoder_stats[1]?.into())),
    (Field::new("encoder_stats_average_latency", "microseconds"), |g| Some(g.encoder_stats[2]?.into())),
    (Field::new("fbc_stats_session_count", "sessions"), |g| Some(g.capture_stats[0]?.into())),
    (Field::new("fbc_stats_average_fps", "frames per second"), |g| Some(g.capture_stats[1]?.into())),
    (Field::new("fbc_stats_average_latency", "microseconds"), |g| Some(g.capture_stats[2]?.into())),
    (Field::new("remapped_rows_correctable", "rows"), |g| Some(g.remapped_rows[0]?.into())),
    (Field::new("remapped_rows_uncorrectable", "rows"), |g| Some(g.remapped_rows[1]?.into())),
];
const NUMBER_INFOS: [FieldInfo; NUMBERS.len()] = infos!(NUMBERS.0);

const POWER_DRAW: Field<f64> = Field::new("power_draw", "W");
const POWER_LIMIT: Field<f64> = Field::new("power_limit", "W");

type TextField = (Field<str>, for<'g> fn(&'g Gpus, &'g Gpu) -> &'g str);

fn enabled(flag: Option<bool>) -> &'static str {
    match flag {
        Some(true) => "Enabled",
        Some(false) => "Disabled",
        None => "",
    }
}

const TEXTS: [TextField; 7] = [
    (Field::new("driver_version", "version of the driver"), |gpus, _| &gpus.driver_version),
    (Field::new("cuda_version", "newest version of CUDA that the driver supports"), |gpus, _| &gpus.cuda_version),
    (Field::new("serial", "serial number"), |_, gpu| &gpu.serial),
    (Field::new("vbios_version", "version of the VBIOS"), |_, gpu| &gpu.vbios_version),
    (Field::new("display_active", "Enabled or Disabled"), |_, gpu| enabled(gpu.is_display_active)),
    (Field::new("display_mode", "Enabled or Disabled"), |_, gpu| enabled(gpu.has_display)),
    (Field::new("current_ecc", "Enabled or Disabled"), |_, gpu| enabled(gpu.has_ecc)),
];
const TEXT_INFOS: [FieldInfo; TEXTS.len()] = infos!(TEXTS.0);
const FIELDS: [FieldInfo; NUMBERS.len() + TEXTS.len() + 2] =
    concat(&[&NUMBER_INFOS, &TEXT_INFOS, &[POWER_DRAW.info(), POWER_LIMIT.info()]]);
const NVIDIA_SMI: Measurement<5> =
    Measurement::new("nvidia_smi", ["compute_mode", "index", "name", "pstate", "uuid"], &FIELDS);

/// The word of nvidia-smi for a compute mode.
fn compute_mode(mode: Option<u32>) -> &'static str {
    match mode {
        Some(0) => "Default",
        Some(1) => "Exclusive_Thread",
        Some(2) => "Prohibited",
        Some(3) => "Exclusive_Process",
        _ => "",
    }
}

impl Reading for NvidiaReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        for (family, value) in &OF_GPU {
            let mut samples = out.family(family);
            for gpu in &self.0.gpus {
                let Some(value) = value(gpu) else { continue };
                let device = gpu.minor.map(|minor| format!("nvidia{minor}")).unwrap_or_default();
                let index = gpu.index.to_string();
                samples.sample([&self.0.driver_version, &gpu.uuid, &device, &index, &gpu.name, &gpu.bus_id], value);
            }
        }
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        for gpu in &self.0.gpus {
            let pstate = gpu.performance_state.map(|state| format!("P{state}")).unwrap_or_default();
            let tags = [compute_mode(gpu.compute_mode), &gpu.index.to_string(), &gpu.name, &pstate, &gpu.uuid];
            let mut point = out.point(&NVIDIA_SMI, tags);
            for (field, value) in &NUMBERS {
                point.some(field, value(gpu).and_then(|number| i64::try_from(number).ok()));
            }
            let watts = |milliwatts: Option<u32>| milliwatts.map(|milliwatts| f64::from(milliwatts) / 1000.0);
            point.some(&POWER_DRAW, watts(gpu.power)).some(&POWER_LIMIT, watts(gpu.power_limit));
            for (field, text) in &TEXTS {
                point.some(field, Some(text(&self.0, gpu)).filter(|text| !text.is_empty()));
            }
        }
    }
}
