//! Files of cgroup v2: Documentation/admin-guide/cgroup-v2.rst.

use super::usage::{Cpu, Device, Files, HugePages, Memory, UNLIMITED, Wanted};
use crate::collectors::memory::pressure::Stalls;
use crate::host::text::Number;
use crate::host::{Directory, Line, ReadError};

impl Files<'_> {
    pub(super) fn cpu_v2(&mut self, directory: &mut Directory, wanted: Wanted, cpu: &mut Cpu) {
        const NANOSECONDS: u64 = 1000;
        if wanted.cpu {
            self.keyed(directory, "cpu.stat", |key, value| {
                let nanoseconds = Some(value.saturating_mul(NANOSECONDS));
                match key {
                    b"usage_usec" => cpu.usage = nanoseconds,
                    b"user_usec" => cpu.user = nanoseconds,
                    b"system_usec" => cpu.system = nanoseconds,
                    b"nr_periods" => cpu.periods = Some(value),
                    b"nr_throttled" => cpu.throttled_periods = Some(value),
                    b"throttled_usec" => cpu.throttled = nanoseconds,
                    b"nr_bursts" => cpu.bursts = Some(value),
                    b"burst_usec" => cpu.burst = nanoseconds,
                    _ => {}
                }
            });
        }
        // Without these counters the controller is off, and there is no quota.
        if wanted.cpu_quota && cpu.periods.is_some() {
            let quota_and_period = self.parse(directory, "cpu.max", |text| {
                let mut fields = text.first_line().fields();
                let quota = match fields.clone().next() {
                    Some(b"max") => fields.next().map(|_| UNLIMITED),
                    _ => Some(fields.number("microseconds or max")?),
                };
                Ok((quota, fields.number("microseconds")?))
            });
            if let Some((quota, period)) = quota_and_period {
                (cpu.quota, cpu.period) = (quota, Some(period));
            }
        }
        if wanted.cpu_shares {
            cpu.weight = self.number(directory, "cpu.weight");
            cpu.shares = cpu.weight.map(shares_of_weight);
        }
    }

    pub(super) fn memory_v2(&mut self, directory: &mut Directory, wanted: Wanted, memory: &mut Memory) {
        if wanted.memory {
            memory.usage = self.number(directory, "memory.current");
            self.keyed(directory, "memory.stat", |key, value| {
                if let Some(field) = field_of_stat(memory, key) {
                    *field = Some(value);
                }
            });
            memory.max_usage = self.number(directory, "memory.peak");
            memory.swap = self.number(directory, "memory.swap.current");
            // The root has no memory.current. Its usage is the sum of anonymous, file and kernel memory.
            memory.usage = memory.usage.or_else(|| Some(memory.anon?.saturating_add(memory.file?)));
        }
        if wanted.memory_events {
            self.keyed(directory, "memory.events", |key, value| match key {
                b"high" => memory.high_hits = Some(value),
                b"max" => memory.limit_hits = Some(value),
                b"oom_kill" => memory.oom_kills = Some(value),
                _ => {}
            });
        }
        if wanted.memory_limit {
            memory.limit = self.number(directory, "memory.max");
        }
        if wanted.memory_spec {
            memory.swap_limit = self.number(directory, "memory.swap.max");
            memory.reservation = self.number(directory, "memory.min");
        }
    }

    /// Whether the cgroup or one below has processes.
    pub(super) fn is_populated(&mut self, directory: &mut Directory) -> Option<bool> {
        let mut populated = None;
        self.keyed(directory, "cgroup.events", |key, value| {
            populated = Some(value != 0).filter(|_| key == b"populated").or(populated);
        });
        populated
    }

    pub(super) fn io_v2(&mut self, directory: &mut Directory, devices: &mut Vec<Device>) {
        self.parse(directory, "io.stat", |text| text.lines().try_for_each(|line| read_io_line(line, devices)));
    }

    pub(super) fn pressure(&mut self, directory: &mut Directory, pressure: &mut [Stalls; 3]) {
        for (name, stalls) in ["cpu.pressure", "memory.pressure", "io.pressure"].into_iter().zip(pressure) {
            self.parse(directory, name, |text| text.lines().try_for_each(|line| stalls.read_line(line)));
        }
    }

    pub(super) fn huge_pages_v2(&mut self, directory: &mut Directory, sizes: &[String], pages: &mut Vec<HugePages>) {
        for size in sizes {
            // Includes reserved huge pages that are not in use, if the kernel reports them.
            let (mut usage, mut prefix) = (None, String::new());
            for kind in [".rsvd", ""] {
                prefix = format!("hugetlb.{size}{kind}");
                usage = usage.or_else(|| self.number(directory, &format!("{prefix}.current")));
                if usage.is_some() {
                    break;
                }
            }
            let mut failures = None;
            self.keyed(directory, &format!("{prefix}.events"), |key, value| {
                failures = Some(value).filter(|_| key == b"max").or(failures);
            });
            if usage.is_some() {
                pages.push(HugePages { size: size.clone(), usage, max_usage: None, failures });
            }
        }
    }
}

fn field_of_stat<'m>(memory: &'m mut Memory, key: &[u8]) -> Option<&'m mut Option<u64>> {
    Some(match key {
        b"anon" => &mut memory.anon,
        b"file" => &mut memory.file,
        b"kernel" => &mut memory.kernel,
        b"file_mapped" => &mut memory.mapped_file,
        b"file_dirty" => &mut memory.dirty,
        b"file_writeback" => &mut memory.writeback,
        b"inactive_anon" => &mut memory.inactive_anon,
        b"active_anon" => &mut memory.active_anon,
        b"inactive_file" => &mut memory.inactive_file,
        b"active_file" => &mut memory.active_file,
        b"unevictable" => &mut memory.unevictable,
        b"workingset_refault_anon" => &mut memory.refaulted_anon,
        b"workingset_refault_file" => &mut memory.refaulted_file,
        b"pgscan" => &mut memory.scanned,
        b"pgsteal" => &mut memory.stolen,
        b"pgfault" => &mut memory.page_faults,
        b"pgmajfault" => &mut memory.major_faults,
        _ => return None,
    })
}

/// Parses `MAJOR:MINOR key=number…`. Kernels before 6.0 omit the newline after idle devices: the last device on the
/// line counts.
fn read_io_line(line: Line<'_>, devices: &mut Vec<Device>) -> Result<(), ReadError> {
    let mut number: &[u8] = b"";
    for field in line.fields() {
        let Some(equals) = memchr::memchr(b'=', field) else {
            number = field;
            continue;
        };
        let device = Files::device(devices, number).ok_or_else(|| line.malformed("MAJOR:MINOR", number))?;
        let (key, value) = (&field[..equals], u64::parse(&field[equals + 1..]));
        let wanted = match key {
            b"rbytes" => &mut device.read_bytes,
            b"wbytes" => &mut device.written_bytes,
            b"rios" => &mut device.reads,
            b"wios" => &mut device.writes,
            b"dbytes" => &mut device.discarded_bytes,
            b"dios" => &mut device.discards,
            b"cost.usage" => &mut device.cost[0],
            b"cost.wait" => &mut device.cost[1],
            b"cost.indebt" => &mut device.cost[2],
            b"cost.indelay" => &mut device.cost[3],
            // Not a counter, such as cost.vrate.
            _ => continue,
        };
        *wanted = Some(value.ok_or_else(|| line.malformed("a count", field))?);
    }
    Ok(())
}

/// Converts a weight to the CPU shares of cgroup v1 with the linear formula that runtimes used until 2025.
fn shares_of_weight(weight: u64) -> u64 {
    2 + weight.saturating_sub(1).saturating_mul(262_142) / 9_999
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::host::Text;

    fn devices(text: &str) -> Result<Vec<Device>, ReadError> {
        let mut devices = Vec::new();
        let text = Text::new(Path::new("io.stat"), text.as_bytes());
        text.lines().try_for_each(|line| read_io_line(line, &mut devices))?;
        Ok(devices)
    }

    #[test]
    fn io_of_each_device() {
        let read = devices(
            "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6 cost.vrate=100.00 cost.usage=7 cost.wait=8 \
             cost.indebt=9 cost.indelay=10\n7:7 7:6 254:16 rbytes=11 wbytes=0 rios=1 wios=0\n7:1 \n",
        );
        let read = read.unwrap();
        assert_eq!(read.iter().map(|device| device.number).collect::<Vec<_>>(), [(8, 0), (254, 16)]);
        assert_eq!((read[0].read_bytes, read[0].discards), (Some(1), Some(6)));
        assert_eq!(read[0].cost, [Some(7), Some(8), Some(9), Some(10)]);
        assert_eq!((read[1].read_bytes, read[1].discards), (Some(11), None));
    }

    #[test]
    fn damaged_io_is_told() {
        let error = |text| devices(text).unwrap_err().to_string();
        assert_eq!(error("rbytes=1"), "io.stat:1: expected MAJOR:MINOR, found nothing");
        assert_eq!(error("8:0 rbytes=x"), "io.stat:1: expected a count, found \"rbytes=x\"");
    }

    #[test]
    fn weights_become_shares_by_the_line_of_old() {
        assert_eq!([1, 39, 100, 10_000].map(shares_of_weight), [2, 998, 2597, 262_144]);
    }
}
