//! Usage and limits of one cgroup for both cgroup versions, and reading of its files.

use crate::collectors::memory::pressure::Stalls;
use crate::host::text::Number;
use crate::host::{Directory, ReadError, Text};

/// Value of a limit that is not set.
pub(super) const UNLIMITED: u64 = u64::MAX;

/// Content of a cgroup's files. Absent if the controller is off or the kernel too old.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage {
    pub(super) cpu: Cpu,
    pub(super) memory: Memory,
    pub(super) devices: Vec<Device>,
    pub(super) huge_pages: Vec<HugePages>,
    /// Processes in this cgroup, without those of cgroups below.
    pub(super) processes: Option<u64>,
    /// PID of the process that started first.
    pub(super) init_pid: Option<u64>,
    /// PIDs of all processes, if wanted. 0 in a foreign PID namespace.
    pub(super) pids: Vec<u64>,
    /// Threads, including those of cgroups below.
    pub(super) threads: Option<u64>,
    pub(super) threads_max: Option<u64>,
    /// Stalls on CPU, memory and I/O.
    pub(super) pressure: [Stalls; 3],
}

/// Times are in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Cpu {
    pub(super) usage: Option<u64>,
    pub(super) user: Option<u64>,
    pub(super) system: Option<u64>,
    pub(super) periods: Option<u64>,
    pub(super) throttled_periods: Option<u64>,
    pub(super) throttled: Option<u64>,
    pub(super) bursts: Option<u64>,
    pub(super) burst: Option<u64>,
    /// CPU quota per period in microseconds.
    pub(super) quota: Option<u64>,
    /// Period in microseconds.
    pub(super) period: Option<u64>,
    pub(super) shares: Option<u64>,
    pub(super) weight: Option<u64>,
}

impl Cpu {
    /// Whether a quota is set. Without one there is no throttling.
    pub(super) fn has_quota(&self) -> bool {
        self.quota.is_some_and(|quota| quota != UNLIMITED)
    }
}

/// Bytes or event counts, including cgroups below, except [`Memory::own_page_faults`] and [`Memory::own_major_faults`].
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// Whether the values come from cgroup v1, whose fields have other names.
    pub(super) is_v1: bool,
    pub(super) usage: Option<u64>,
    pub(super) max_usage: Option<u64>,
    pub(super) anon: Option<u64>,
    pub(super) file: Option<u64>,
    pub(super) mapped_file: Option<u64>,
    pub(super) swap: Option<u64>,
    pub(super) kernel: Option<u64>,
    pub(super) active_anon: Option<u64>,
    pub(super) inactive_anon: Option<u64>,
    pub(super) active_file: Option<u64>,
    pub(super) inactive_file: Option<u64>,
    pub(super) unevictable: Option<u64>,
    pub(super) dirty: Option<u64>,
    pub(super) writeback: Option<u64>,
    pub(super) page_faults: Option<u64>,
    pub(super) major_faults: Option<u64>,
    /// Page faults without those of cgroups below. cgroup v1 only.
    pub(super) own_page_faults: Option<u64>,
    pub(super) own_major_faults: Option<u64>,
    pub(super) scanned: Option<u64>,
    pub(super) stolen: Option<u64>,
    pub(super) refaulted_anon: Option<u64>,
    pub(super) refaulted_file: Option<u64>,
    /// Times usage hit the limit.
    pub(super) limit_hits: Option<u64>,
    /// Times usage hit memory.high.
    pub(super) high_hits: Option<u64>,
    pub(super) oom_kills: Option<u64>,
    pub(super) limit: Option<u64>,
    /// Swap limit on v2; memory and swap limit on v1.
    pub(super) swap_limit: Option<u64>,
    pub(super) reservation: Option<u64>,
}

impl Memory {
    /// Memory usage without inactive file pages.
    pub(super) fn working_set(&self) -> Option<u64> {
        Some(self.usage?.saturating_sub(self.inactive_file?))
    }
}

/// I/O statistics of one block device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) number: (u32, u32),
    pub(super) read_bytes: Option<u64>,
    pub(super) written_bytes: Option<u64>,
    pub(super) reads: Option<u64>,
    pub(super) writes: Option<u64>,
    pub(super) discarded_bytes: Option<u64>,
    pub(super) discards: Option<u64>,
    /// io.cost statistics in microseconds: usage, wait, indebt, indelay.
    pub(super) cost: [Option<u64>; 4],
}

impl Device {
    /// Whether all counters are zero.
    pub(super) fn is_idle(&self) -> bool {
        let counts = [self.reads, self.writes, self.discards, self.read_bytes, self.written_bytes, self.cost[0]];
        counts.iter().all(|count| count.unwrap_or(0) == 0)
    }
}

/// Huge pages of one size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HugePages {
    /// In the kernel's format: `2MB`.
    pub(super) size: String,
    pub(super) usage: Option<u64>,
    pub(super) max_usage: Option<u64>,
    pub(super) failures: Option<u64>,
}

/// Which files to read for each cgroup.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub(super) cpu: bool,
    pub(super) cpu_quota: bool,
    pub(super) cpu_shares: bool,
    pub(super) memory: bool,
    pub(super) memory_kernel: bool,
    pub(super) memory_events: bool,
    pub(super) memory_limit: bool,
    pub(super) memory_spec: bool,
    pub(super) io: bool,
    pub(super) huge_pages: bool,
    /// PIDs of all processes, not only the count.
    pub(super) pids: bool,
    pub(super) threads: bool,
    pub(super) threads_max: bool,
    pub(super) pressure: bool,
}

/// Reads files of cgroups into one buffer, and collects problems.
pub(super) struct Files<'a> {
    pub(super) buffer: &'a mut Vec<u8>,
    pub(super) problems: &'a mut Vec<ReadError>,
}

impl Files<'_> {
    /// Reads and parses a file. `None` if the cgroup does not have it or was removed.
    pub(super) fn parse<T>(
        &mut self,
        directory: &mut Directory,
        name: &str,
        parse: impl FnOnce(Text<'_>) -> Result<T, ReadError>,
    ) -> Option<T> {
        match directory.read(name, true, self.buffer).and_then(parse) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(error);
                None
            }
        }
    }

    /// Records an error, unless the file is absent.
    pub(super) fn problem(&mut self, error: ReadError) {
        /// Maximum number of recorded problems. Cgroups usually have the same ones.
        const MAX_PROBLEMS: usize = 10;
        if !error.is_absent() && self.problems.len() < MAX_PROBLEMS {
            self.problems.push(error);
        }
    }

    /// Reads a file with one number, or `max`.
    pub(super) fn number(&mut self, directory: &mut Directory, name: &str) -> Option<u64> {
        self.parse(directory, name, |text| match text.first_line().bytes() {
            b"max" => Ok(UNLIMITED),
            _ => text.number("a number or max"),
        })
    }

    /// Reads a file of lines `key number`. Skips other lines.
    pub(super) fn keyed(&mut self, directory: &mut Directory, name: &str, mut each: impl FnMut(&[u8], u64)) {
        self.parse(directory, name, |text| {
            for line in text.lines() {
                let mut fields = line.fields();
                let key = fields.required("a key")?;
                each(key, fields.number("a number")?);
            }
            Ok(())
        });
    }

    /// Reads the number of processes, and their PIDs if `wanted`.
    pub(super) fn processes(&mut self, directory: &mut Directory, wanted: Wanted, usage: &mut Usage) {
        // The kernel generates this file record by record.
        match directory.read("cgroup.procs", false, self.buffer) {
            Ok(text) => {
                let pids = text.bytes();
                usage.processes = Some(memchr::memchr_iter(b'\n', pids).count() as u64);
                if wanted.pids {
                    usage.pids = pids.split(|byte| *byte == b'\n').map_while(u64::parse).collect();
                }
            }
            // In a threaded cgroup reading cgroup.procs fails with EOPNOTSUPP.
            Err(error) => self.problem(error),
        }
    }

    /// Reads the `pids` controller, which is the same in both versions.
    pub(super) fn threads(&mut self, directory: &mut Directory, wanted: Wanted, usage: &mut Usage) {
        if wanted.threads {
            usage.threads = self.number(directory, "pids.current");
        }
        if wanted.threads_max && usage.threads.is_some() {
            usage.threads_max = self.number(directory, "pids.max");
        }
    }

    /// The device `MAJOR:MINOR`. Added if missing.
    pub(super) fn device<'d>(devices: &'d mut Vec<Device>, name: &[u8]) -> Option<&'d mut Device> {
        let colon = memchr::memchr(b':', name)?;
        let part = |bytes| u64::parse(bytes).and_then(|number| u32::try_from(number).ok());
        let number = (part(&name[..colon])?, part(&name[colon + 1..])?);
        let index = devices.iter().position(|device| device.number == number).unwrap_or_else(|| {
            devices.push(Device { number, ..Device::default() });
            devices.len() - 1
        });
        devices.get_mut(index)
    }
}
