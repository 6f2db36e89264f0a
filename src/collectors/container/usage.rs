//! What one cgroup uses and may use, whichever version of cgroups told it, and how its files are read.

use super::super::pressure::Stalls;
use crate::host::text::Number;
use crate::host::{Directory, ReadError, Text};

/// What a limit is that is not set.
pub(super) const UNLIMITED: u64 = u64::MAX;

/// What the files of one cgroup said. What they did not say is absent: the controller is off, the kernel older.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage {
    pub(super) cpu: Cpu,
    pub(super) memory: Memory,
    pub(super) devices: Vec<Device>,
    pub(super) huge_pages: Vec<HugePages>,
    /// Processes of this cgroup itself, without those below it.
    pub(super) processes: Option<u64>,
    /// The first of them: of a container, its init. A process of another PID namespace is 0.
    pub(super) first_pid: Option<u64>,
    /// All of them, if they were asked for.
    pub(super) pids: Vec<u64>,
    /// Threads, those below it too.
    pub(super) threads: Option<u64>,
    pub(super) threads_max: Option<u64>,
    /// Waiting for CPU, memory and I/O.
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
    /// CPU time in microseconds that each period may hold.
    pub(super) quota: Option<u64>,
    /// The period, in microseconds.
    pub(super) period: Option<u64>,
    pub(super) shares: Option<u64>,
    pub(super) weight: Option<u64>,
}

impl Cpu {
    /// Whether a quota is set: without one nothing is throttled.
    pub(super) fn has_quota(&self) -> bool {
        self.quota.is_some_and(|quota| quota != UNLIMITED)
    }
}

/// In bytes, or counts of what happened; of the cgroup and all below it.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// Whether cgroup v1 told it, whose fields have other names.
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
    pub(super) scanned: Option<u64>,
    pub(super) stolen: Option<u64>,
    pub(super) refaulted_anon: Option<u64>,
    pub(super) refaulted_file: Option<u64>,
    /// How often the limit was hit.
    pub(super) limit_hits: Option<u64>,
    /// How often the throttling limit was hit.
    pub(super) high_hits: Option<u64>,
    pub(super) oom_kills: Option<u64>,
    pub(super) limit: Option<u64>,
    /// Of swap alone on v2; of memory and swap together on v1.
    pub(super) swap_limit: Option<u64>,
    pub(super) reservation: Option<u64>,
}

impl Memory {
    /// What cannot be taken back without harm: what is used, without file pages that were not used of late.
    pub(super) fn working_set(&self) -> Option<u64> {
        Some(self.usage?.saturating_sub(self.inactive_file?))
    }
}

/// What was read from, written to and discarded on one block device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) number: (u32, u32),
    pub(super) read_bytes: Option<u64>,
    pub(super) written_bytes: Option<u64>,
    pub(super) reads: Option<u64>,
    pub(super) writes: Option<u64>,
    pub(super) discarded_bytes: Option<u64>,
    pub(super) discards: Option<u64>,
    /// Of the controller `io.cost`, in microseconds: usage, wait, indebt, indelay.
    pub(super) cost: [Option<u64>; 4],
}

impl Device {
    /// Whether anything at all was done on it.
    pub(super) fn is_idle(&self) -> bool {
        let counts = [self.reads, self.writes, self.discards, self.read_bytes, self.written_bytes, self.cost[0]];
        counts.iter().all(|count| count.unwrap_or(0) == 0)
    }
}

/// Huge pages of one size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HugePages {
    /// As the kernel writes it: `2MB`.
    pub(super) size: String,
    pub(super) usage: Option<u64>,
    pub(super) max_usage: Option<u64>,
    pub(super) failures: Option<u64>,
}

/// What is to be read of each cgroup.
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
    /// All processes, and not only how many and the first.
    pub(super) pids: bool,
    pub(super) threads: bool,
    pub(super) threads_max: bool,
    pub(super) pressure: bool,
}

/// Reads the files of cgroups into one buffer, and gathers what was wrong with them.
pub(super) struct Files<'a> {
    pub(super) buffer: &'a mut Vec<u8>,
    pub(super) problems: &'a mut Vec<ReadError>,
}

impl Files<'_> {
    /// What `parse` makes of a file; nothing if the cgroup does not have it, or has gone.
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

    /// Notes what went wrong, unless the thing is just not there.
    pub(super) fn problem(&mut self, error: ReadError) {
        /// The same kernel says the same of each cgroup.
        const ENOUGH: usize = 10;
        if !error.is_absent() && self.problems.len() < ENOUGH {
            self.problems.push(error);
        }
    }

    /// A file of one number, or `max`.
    pub(super) fn number(&mut self, directory: &mut Directory, name: &str) -> Option<u64> {
        self.parse(directory, name, |text| match text.first_line().bytes() {
            b"max" => Ok(UNLIMITED),
            _ => text.number("a number or max"),
        })
    }

    /// A file of lines `key number`; other lines are passed over.
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

    /// How many processes there are, which is the first, and which are all of them if that is `wanted`.
    pub(super) fn processes(&mut self, directory: &mut Directory, wanted: Wanted, usage: &mut Usage) {
        // This one is made record by record.
        match directory.read("cgroup.procs", false, self.buffer) {
            Ok(text) => {
                let pids = text.bytes();
                let mut each = pids.split(|byte| *byte == b'\n').map_while(u64::parse);
                usage.processes = Some(memchr::memchr_iter(b'\n', pids).count() as u64);
                if wanted.pids {
                    usage.pids = each.collect();
                    usage.first_pid = usage.pids.first().copied();
                } else {
                    usage.first_pid = each.next();
                }
            }
            // A threaded cgroup has no processes of its own: cgroup.procs says EOPNOTSUPP.
            Err(error) => self.problem(error),
        }
    }

    /// The controller `pids`, alike in both versions.
    pub(super) fn threads(&mut self, directory: &mut Directory, wanted: Wanted, usage: &mut Usage) {
        if wanted.threads {
            usage.threads = self.number(directory, "pids.current");
        }
        if wanted.threads_max && usage.threads.is_some() {
            usage.threads_max = self.number(directory, "pids.max");
        }
    }

    /// The device called `MAJOR:MINOR`, which is added if it is not there.
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
