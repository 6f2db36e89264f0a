//! NVML, the library of NVIDIA's driver: nvml.h. It is opened at run time, so that Taffrail runs without it.
//!
//! The functions and structs are those of the stable ABI (names with `_v2` and `_v3`); one that the driver lacks is like
//! a value that the GPU lacks.
#![allow(unsafe_code)]

use std::error::Error as _;
use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::path::Path;
use std::ptr;

use libloading::Library;

use crate::system::regular_file::read_regular;

/// GPUs that are read at most.
const MAX_GPUS: u32 = 64;
/// Bytes of a text; NVML's longest has 96.
const TEXT: usize = 128;

const SUCCESS: c_int = 0;
const FUNCTION_NOT_FOUND: c_int = 13;

/// An open library.
pub(super) struct Nvml(Library);

type Handle = *mut c_void;

/// Calls a function by its types in nvml.h. One that the library lacks returns [`FUNCTION_NOT_FOUND`].
macro_rules! call {
    ($nvml:expr, $name:expr $(, $type:ty: $value:expr)*) => {{
        let name: &CStr = $name;
        // SAFETY: the function has these types in nvml.h, and the pointers are valid and of these types for the call.
        unsafe {
            let function = $nvml.0.get::<unsafe extern "C" fn($($type),*) -> c_int>(name.to_bytes_with_nul());
            function.map_or(FUNCTION_NOT_FOUND, |function| function($($value),*))
        }
    }};
}

/// What the driver says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Gpus {
    pub(super) driver_version: String,
    /// Newest version of CUDA that the driver supports.
    pub(super) cuda_version: String,
    pub(super) gpus: Vec<Gpu>,
    /// GPUs that cannot be read, and why.
    pub(super) errors: Vec<(u32, String)>,
}

/// A GPU. What it does not support is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Gpu {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) uuid: String,
    pub(super) serial: String,
    pub(super) vbios_version: String,
    pub(super) bus_id: String,
    pub(super) minor: Option<u32>,
    /// Degrees Celsius.
    pub(super) temperature: Option<u32>,
    /// Milliwatts.
    pub(super) power: Option<u32>,
    /// Milliwatts.
    pub(super) power_limit: Option<u32>,
    /// Millijoules since the driver was loaded.
    pub(super) energy: Option<u64>,
    /// Percent of the GPU and of the memory's time.
    pub(super) utilization: [Option<u32>; 2],
    pub(super) encoder: Option<u32>,
    pub(super) decoder: Option<u32>,
    pub(super) memory: Memory,
    /// MHz of graphics, SM, memory and video.
    pub(super) clocks: [Option<u32>; 4],
    /// Percent.
    pub(super) fan: Option<u32>,
    pub(super) performance_state: Option<u32>,
    pub(super) compute_mode: Option<u32>,
    pub(super) link_generation: Option<u32>,
    pub(super) link_width: Option<u32>,
    pub(super) pcie_replays: Option<u32>,
    /// Sessions, average frames per second, average microseconds of latency.
    pub(super) encoder_stats: [Option<u32>; 3],
    pub(super) capture_stats: [Option<u32>; 3],
    /// Correctable, uncorrectable, pending, failed.
    pub(super) remapped_rows: [Option<u32>; 4],
    pub(super) is_display_active: Option<bool>,
    pub(super) has_display: Option<bool>,
    pub(super) has_ecc: Option<bool>,
}

/// Frame buffer in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) total: Option<u64>,
    pub(super) free: Option<u64>,
    pub(super) used: Option<u64>,
    /// Of the driver and firmware; without it, a part of `used`.
    pub(super) reserved: Option<u64>,
}

/// `nvmlMemory_v2_t`.
#[repr(C)]
struct MemoryV2 {
    version: c_uint,
    total: c_ulonglong,
    reserved: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

/// `nvmlPciInfo_t`.
#[repr(C)]
struct PciInfo {
    legacy: [c_char; 16],
    numbers: [c_uint; 5],
    bus_id: [c_char; 32],
}

impl Nvml {
    /// Opens the library, and initialises it.
    ///
    /// # Errors
    /// It is not there, or finds no driver.
    pub(super) fn open(name: &str) -> Result<Nvml, String> {
        read_before(name)?;
        // SAFETY: the library of the driver runs nothing of consequence when it is loaded.
        let library = unsafe { Library::new(name) }.map_err(|error| {
            // The loader's own message, which begins with the name.
            let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            cause.strip_prefix(name).and_then(|cause| cause.strip_prefix(": ")).unwrap_or(&cause).to_owned()
        })?;
        let nvml = Nvml(library);
        match call!(nvml, c"nvmlInit_v2") {
            SUCCESS => Ok(nvml),
            status => Err(format!("nvmlInit_v2: {}", message(status))),
        }
    }

    /// Reads all GPUs.
    ///
    /// # Errors
    /// The driver does not know how many there are.
    pub(super) fn read(&self) -> Result<Gpus, String> {
        let mut count: c_uint = 0;
        let status = call!(self, c"nvmlDeviceGetCount_v2", *mut c_uint: &mut count);
        if status != SUCCESS {
            return Err(format!("nvmlDeviceGetCount_v2: {}", message(status)));
        }
        let mut cuda: c_int = 0;
        let has_cuda = call!(self, c"nvmlSystemGetCudaDriverVersion_v2", *mut c_int: &mut cuda) == SUCCESS;
        let mut gpus = Gpus {
            driver_version: text(
                |to, length| call!(self, c"nvmlSystemGetDriverVersion", *mut c_char: to, c_uint: length),
            ),
            cuda_version: if has_cuda { format!("{}.{}", cuda / 1000, cuda % 1000 / 10) } else { String::new() },
            ..Gpus::default()
        };
        for index in 0..count.min(MAX_GPUS) {
            let mut device: Handle = ptr::null_mut();
            let status = call!(self, c"nvmlDeviceGetHandleByIndex_v2", c_uint: index, *mut Handle: &mut device);
            match status {
                SUCCESS => gpus.gpus.push(self.gpu(index, device)),
                status => gpus.errors.push((index, message(status))),
            }
        }
        Ok(gpus)
    }

    fn gpu(&self, index: u32, device: Handle) -> Gpu {
        let number = |name| self.number(device, name);
        let flag = |name| self.number(device, name).map(|number| number != 0);
        Gpu {
            index,
            name: self.text(device, c"nvmlDeviceGetName"),
            uuid: self.text(device, c"nvmlDeviceGetUUID"),
            serial: self.text(device, c"nvmlDeviceGetSerial"),
            vbios_version: self.text(device, c"nvmlDeviceGetVbiosVersion"),
            bus_id: self.bus_id(device),
            minor: number(c"nvmlDeviceGetMinorNumber"),
            temperature: self.of_kind(device, c"nvmlDeviceGetTemperature", 0),
            power: number(c"nvmlDeviceGetPowerUsage"),
            power_limit: number(c"nvmlDeviceGetEnforcedPowerLimit"),
            energy: self.energy(device),
            utilization: self.numbers(device, c"nvmlDeviceGetUtilizationRates"),
            encoder: self.sampled(device, c"nvmlDeviceGetEncoderUtilization"),
            decoder: self.sampled(device, c"nvmlDeviceGetDecoderUtilization"),
            memory: self.memory(device),
            clocks: [0, 1, 2, 3].map(|kind| self.of_kind(device, c"nvmlDeviceGetClockInfo", kind)),
            fan: number(c"nvmlDeviceGetFanSpeed"),
            // 32 is unknown.
            performance_state: number(c"nvmlDeviceGetPerformanceState").filter(|state| *state < 32),
            compute_mode: number(c"nvmlDeviceGetComputeMode"),
            link_generation: number(c"nvmlDeviceGetCurrPcieLinkGeneration"),
            link_width: number(c"nvmlDeviceGetCurrPcieLinkWidth"),
            pcie_replays: number(c"nvmlDeviceGetPcieReplayCounter"),
            encoder_stats: self.encoder_stats(device),
            capture_stats: self.numbers(device, c"nvmlDeviceGetFBCStats"),
            remapped_rows: self.remapped_rows(device),
            is_display_active: flag(c"nvmlDeviceGetDisplayActive"),
            has_display: flag(c"nvmlDeviceGetDisplayMode"),
            has_ecc: self.ecc(device),
        }
    }

    /// A function with one number as its result.
    fn number(&self, device: Handle, name: &CStr) -> Option<u32> {
        let mut number: c_uint = 0;
        let status = call!(self, name, Handle: device, *mut c_uint: &mut number);
        available(status, number)
    }

    /// A function with a kind of value: a sensor, or a clock.
    fn of_kind(&self, device: Handle, name: &CStr, kind: c_int) -> Option<u32> {
        let mut number: c_uint = 0;
        let status = call!(self, name, Handle: device, c_int: kind, *mut c_uint: &mut number);
        available(status, number)
    }

    /// A function with a value, and the period in which it was sampled.
    fn sampled(&self, device: Handle, name: &CStr) -> Option<u32> {
        let (mut number, mut period): (c_uint, c_uint) = (0, 0);
        let status = call!(self, name, Handle: device, *mut c_uint: &mut number, *mut c_uint: &mut period);
        available(status, number)
    }

    /// A function whose result is a struct of numbers.
    fn numbers<const COUNT: usize>(&self, device: Handle, name: &CStr) -> [Option<u32>; COUNT] {
        let mut numbers: [c_uint; COUNT] = [0; COUNT];
        let status = call!(self, name, Handle: device, *mut [c_uint; COUNT]: &mut numbers);
        numbers.map(|number| available(status, number))
    }

    fn text(&self, device: Handle, name: &CStr) -> String {
        text(|to, length| call!(self, name, Handle: device, *mut c_char: to, c_uint: length))
    }

    fn bus_id(&self, device: Handle) -> String {
        let mut info = PciInfo { legacy: [0; 16], numbers: [0; 5], bus_id: [0; 32] };
        let status = call!(self, c"nvmlDeviceGetPciInfo_v3", Handle: device, *mut PciInfo: &mut info);
        if status == SUCCESS { string(&info.bus_id) } else { String::new() }
    }

    fn energy(&self, device: Handle) -> Option<u64> {
        let mut energy: c_ulonglong = 0;
        let name = c"nvmlDeviceGetTotalEnergyConsumption";
        let status = call!(self, name, Handle: device, *mut c_ulonglong: &mut energy);
        available_long(status, energy)
    }

    fn memory(&self, device: Handle) -> Memory {
        // The size and the number of the struct.
        const VERSION: c_uint = size_of::<MemoryV2>() as c_uint | (2 << 24);
        let mut of = MemoryV2 { version: VERSION, total: 0, reserved: 0, free: 0, used: 0 };
        let status = call!(self, c"nvmlDeviceGetMemoryInfo_v2", Handle: device, *mut MemoryV2: &mut of);
        if status == SUCCESS {
            let [total, free, used, reserved] =
                [of.total, of.free, of.used, of.reserved].map(|bytes| available_long(status, bytes));
            return Memory { total, free, used, reserved };
        }
        let mut of: [c_ulonglong; 3] = [0; 3];
        let status = call!(self, c"nvmlDeviceGetMemoryInfo", Handle: device, *mut [c_ulonglong; 3]: &mut of);
        let [total, free, used] = of.map(|bytes| available_long(status, bytes));
        Memory { total, free, used, reserved: None }
    }

    fn encoder_stats(&self, device: Handle) -> [Option<u32>; 3] {
        let mut of: [c_uint; 3] = [0; 3];
        let [sessions, fps, latency] = &mut of;
        let status = call!(
            self, c"nvmlDeviceGetEncoderStats",
            Handle: device, *mut c_uint: sessions, *mut c_uint: fps, *mut c_uint: latency
        );
        of.map(|number| available(status, number))
    }

    fn remapped_rows(&self, device: Handle) -> [Option<u32>; 4] {
        let mut of: [c_uint; 4] = [0; 4];
        let [correctable, uncorrectable, pending, failed] = &mut of;
        let status = call!(
            self, c"nvmlDeviceGetRemappedRows",
            Handle: device, *mut c_uint: correctable, *mut c_uint: uncorrectable, *mut c_uint: pending, *mut c_uint: failed
        );
        of.map(|number| available(status, number))
    }

    fn ecc(&self, device: Handle) -> Option<bool> {
        let (mut current, mut pending): (c_uint, c_uint) = (0, 0);
        let name = c"nvmlDeviceGetEccMode";
        let status = call!(self, name, Handle: device, *mut c_uint: &mut current, *mut c_uint: &mut pending);
        available(status, current).map(|current| current != 0)
    }
}

/// The number, unless the GPU does not have it: -1 is NVML's value for that.
fn available(status: c_int, number: c_uint) -> Option<u32> {
    (status == SUCCESS && number != c_uint::MAX).then_some(number)
}

/// The same of a number of 64 bits.
fn available_long(status: c_int, number: c_ulonglong) -> Option<u64> {
    (status == SUCCESS && number != c_ulonglong::MAX).then_some(number)
}

/// Reads the file, if the name is a path. While the loader waits for a file, it has a lock that the other threads need:
/// a FIFO, or a mount that hangs, blocks this thread alone.
fn read_before(name: &str) -> Result<(), String> {
    /// NVIDIA's has 2 MiB.
    const MAX_BYTES: u64 = 64 << 20;
    if !name.contains('/') {
        return Ok(());
    }
    let read = read_regular(Path::new(name), MAX_BYTES);
    read.map(drop).map_err(|error| error.reason.to_string())
}

/// The text that a function writes; empty if it fails.
fn text(write: impl FnOnce(*mut c_char, c_uint) -> c_int) -> String {
    let mut text: [c_char; TEXT] = [0; TEXT];
    match write(text.as_mut_ptr(), TEXT as c_uint) {
        SUCCESS => string(&text),
        _ => String::new(),
    }
}

/// The text before the first NUL.
fn string(text: &[c_char]) -> String {
    let bytes: Vec<u8> = text.iter().map(|byte| *byte as u8).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The meaning of a status, `nvmlReturn_t`.
fn message(status: c_int) -> String {
    let known = match status {
        3 => "not supported",
        4 => "no permission to use the driver",
        9 => "the driver is not loaded",
        FUNCTION_NOT_FOUND => "the library lacks the function",
        15 => "the GPU is lost: it has fallen off the bus",
        16 => "the GPU requires a reset",
        17 => "the operating system blocks the GPU",
        18 => "the versions of library and driver differ: reboot, or load the new driver",
        _ => return format!("error {status} of NVML"),
    };
    known.to_owned()
}
