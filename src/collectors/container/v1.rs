//! Files of cgroup v1: Documentation/admin-guide/cgroup-v1.

use super::usage::{Cpu, Device, Files, HugePages, Memory, UNLIMITED, Wanted};
use crate::host::{Directory, Line, ReadError};

/// Source of the block I/O counters: the I/O scheduler, or the throttling policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum BlockIo {
    /// Counters of BFQ.
    Bfq,
    /// Counters of CFQ, removed in Linux 5.0.
    Cfq,
    /// Counters of the throttling policy, including cgroups below.
    #[default]
    Throttle,
    /// Counters of the throttling policy on kernels without recursive counters.
    ThrottleNonrecursive,
}

impl BlockIo {
    /// Selects the first source with counters in the root of the hierarchy.
    pub(super) fn detect(root: &mut Directory, buffer: &mut Vec<u8>) -> BlockIo {
        const CANDIDATES: [BlockIo; 3] = [BlockIo::Bfq, BlockIo::Cfq, BlockIo::Throttle];
        let counts = |candidate: &BlockIo, root: &mut Directory, buffer: &mut Vec<u8>| {
            let text = root.read(candidate.files()[1], true, buffer);
            text.is_ok_and(|text| *candidate == BlockIo::Throttle || memchr::memchr(b':', text.bytes()).is_some())
        };
        let source = CANDIDATES.into_iter().find(|candidate| counts(candidate, root, buffer));
        source.unwrap_or(BlockIo::ThrottleNonrecursive)
    }

    /// Files for bytes and for operations.
    fn files(self) -> [&'static str; 2] {
        match self {
            BlockIo::Bfq => ["blkio.bfq.io_service_bytes_recursive", "blkio.bfq.io_serviced_recursive"],
            BlockIo::Cfq => ["blkio.io_service_bytes_recursive", "blkio.io_serviced_recursive"],
            BlockIo::Throttle => ["blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_serviced_recursive"],
            BlockIo::ThrottleNonrecursive => ["blkio.throttle.io_service_bytes", "blkio.throttle.io_serviced"],
        }
    }
}

impl Files<'_> {
    pub(super) fn cpu_v1(&mut self, directory: &mut Directory, wanted: Wanted, cpu: &mut Cpu) {
        if wanted.cpu_quota {
            self.keyed(directory, "cpu.stat", |key, value| match key {
                b"nr_periods" => cpu.periods = Some(value),
                b"nr_throttled" => cpu.throttled_periods = Some(value),
                b"throttled_time" => cpu.throttled = Some(value),
                b"nr_bursts" => cpu.bursts = Some(value),
                b"burst_time" => cpu.burst = Some(value),
                _ => {}
            });
            let quota = self.parse(directory, "cpu.cfs_quota_us", |text| text.number::<i64>("microseconds or -1"));
            cpu.quota = quota.map(|quota| u64::try_from(quota).unwrap_or(UNLIMITED));
        }
        if wanted.cpu_shares {
            cpu.shares = self.number(directory, "cpu.shares");
            cpu.period = self.number(directory, "cpu.cfs_period_us");
        }
    }

    pub(super) fn cpuacct_v1(&mut self, directory: &mut Directory, wanted: Wanted, cpu: &mut Cpu) {
        /// Per tick of `USER_HZ`, which is 100 on every supported architecture.
        const NANOSECONDS: u64 = 10_000_000;
        if wanted.cpu {
            cpu.usage = self.number(directory, "cpuacct.usage");
            self.keyed(directory, "cpuacct.stat", |key, ticks| match key {
                b"user" => cpu.user = Some(ticks.saturating_mul(NANOSECONDS)),
                b"system" => cpu.system = Some(ticks.saturating_mul(NANOSECONDS)),
                _ => {}
            });
        }
    }

    pub(super) fn memory_v1(&mut self, directory: &mut Directory, wanted: Wanted, memory: &mut Memory) {
        memory.is_v1 = true;
        if wanted.memory {
            memory.usage = self.number(directory, "memory.usage_in_bytes");
            memory.max_usage = self.number(directory, "memory.max_usage_in_bytes");
            self.keyed(directory, "memory.stat", |key, value| {
                if let Some(field) = field_of_stat(memory, key) {
                    *field = Some(value);
                }
            });
        }
        if wanted.memory_kernel {
            memory.kernel = self.number(directory, "memory.kmem.usage_in_bytes");
        }
        if wanted.memory_events {
            memory.limit_hits = self.number(directory, "memory.failcnt");
            self.keyed(directory, "memory.oom_control", |key, value| {
                memory.oom_kills = Some(value).filter(|_| key == b"oom_kill").or(memory.oom_kills);
            });
        }
        if wanted.memory_limit {
            memory.limit = self.limit(directory, "memory.limit_in_bytes");
        }
        if wanted.memory_spec {
            memory.swap_limit = self.limit(directory, "memory.memsw.limit_in_bytes");
            memory.reservation = self.limit(directory, "memory.soft_limit_in_bytes");
        }
    }

    /// A limit in bytes. If unset, it is the kernel's maximum page count in bytes.
    fn limit(&mut self, directory: &mut Directory, name: &str) -> Option<u64> {
        const HIGHEST: u64 = 1 << 62;
        self.number(directory, name).map(|limit| if limit > HIGHEST { UNLIMITED } else { limit })
    }

    pub(super) fn io_v1(&mut self, directory: &mut Directory, from: BlockIo, devices: &mut Vec<Device>) {
        let [bytes, operations] = from.files();
        self.rows(directory, bytes, devices, |device| {
            [&mut device.read_bytes, &mut device.written_bytes, &mut device.discarded_bytes]
        });
        self.rows(directory, operations, devices, |device| {
            [&mut device.reads, &mut device.writes, &mut device.discards]
        });
    }

    /// Reads rows `MAJOR:MINOR OPERATION count` and the final `Total count`.
    fn rows(
        &mut self,
        directory: &mut Directory,
        name: &str,
        devices: &mut Vec<Device>,
        fields: impl Fn(&mut Device) -> [&mut Option<u64>; 3],
    ) {
        self.parse(directory, name, |text| text.lines().try_for_each(|line| read_row(line, devices, &fields)));
    }

    pub(super) fn huge_pages_v1(&mut self, directory: &mut Directory, sizes: &[String], pages: &mut Vec<HugePages>) {
        for size in sizes {
            for kind in [".rsvd", ""] {
                let mut number = |name| self.number(directory, &format!("hugetlb.{size}{kind}.{name}"));
                let usage = number("usage_in_bytes");
                if usage.is_some() {
                    let (max_usage, failures) = (number("max_usage_in_bytes"), number("failcnt"));
                    pages.push(HugePages { size: size.clone(), usage, max_usage, failures });
                    break;
                }
            }
        }
    }
}

fn field_of_stat<'m>(memory: &'m mut Memory, key: &[u8]) -> Option<&'m mut Option<u64>> {
    let Some(total) = key.strip_prefix(b"total_") else {
        return match key {
            b"pgfault" => Some(&mut memory.own_page_faults),
            b"pgmajfault" => Some(&mut memory.own_major_faults),
            _ => None,
        };
    };
    Some(match total {
        b"rss" => &mut memory.anon,
        b"cache" => &mut memory.file,
        b"swap" => &mut memory.swap,
        b"mapped_file" => &mut memory.mapped_file,
        b"dirty" => &mut memory.dirty,
        b"writeback" => &mut memory.writeback,
        b"inactive_anon" => &mut memory.inactive_anon,
        b"active_anon" => &mut memory.active_anon,
        b"inactive_file" => &mut memory.inactive_file,
        b"active_file" => &mut memory.active_file,
        b"unevictable" => &mut memory.unevictable,
        b"pgfault" => &mut memory.page_faults,
        b"pgmajfault" => &mut memory.major_faults,
        b"workingset_refault_anon" => &mut memory.refaulted_anon,
        b"workingset_refault_file" => &mut memory.refaulted_file,
        _ => return None,
    })
}

fn read_row(
    line: Line<'_>,
    devices: &mut Vec<Device>,
    fields: impl Fn(&mut Device) -> [&mut Option<u64>; 3],
) -> Result<(), ReadError> {
    let mut columns = line.fields();
    let number = columns.required("MAJOR:MINOR or Total")?;
    if number == b"Total" {
        return Ok(());
    }
    let device = Files::device(devices, number).ok_or_else(|| line.malformed("MAJOR:MINOR or Total", number))?;
    let [read, written, discarded] = fields(device);
    let field = match columns.required("an operation")? {
        b"Read" => read,
        b"Write" => written,
        b"Discard" => discarded,
        _ => return Ok(()),
    };
    *field = Some(columns.number("a count")?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::host::Text;

    #[test]
    fn page_faults_are_known_with_and_without_the_cgroups_below() {
        let mut memory = Memory::default();
        let stat = [("pgfault", 3), ("pgmajfault", 1), ("cache", 4096), ("total_pgfault", 9), ("total_pgmajfault", 2)];
        for (key, value) in stat {
            if let Some(field) = field_of_stat(&mut memory, key.as_bytes()) {
                *field = Some(value);
            }
        }
        assert_eq!((memory.own_page_faults, memory.own_major_faults), (Some(3), Some(1)));
        assert_eq!((memory.page_faults, memory.major_faults, memory.file), (Some(9), Some(2), None));
    }

    #[test]
    fn rows_of_each_device() {
        let text =
            "8:0 Read 1\n8:0 Write 2\n8:0 Sync 3\n8:0 Async 0\n8:0 Discard 4\n8:0 Total 7\n8:16 Read 9\nTotal 16\n";
        let (text, mut devices) = (Text::new(Path::new("io"), text.as_bytes()), Vec::new());
        for line in text.lines() {
            read_row(line, &mut devices, |device| [&mut device.reads, &mut device.writes, &mut device.discards])
                .unwrap();
        }
        assert_eq!(devices.len(), 2);
        assert_eq!((devices[0].reads, devices[0].writes, devices[0].discards), (Some(1), Some(2), Some(4)));
        assert_eq!((devices[1].number, devices[1].reads, devices[1].writes), ((8, 16), Some(9), None));
    }
}
