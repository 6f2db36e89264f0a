//! What a process uses, by its files `status`, `io`, `limits`, `fd` and `smaps_rollup`: proc(5).

use std::path::{Path, PathBuf};

use crate::host::text::Number;
use crate::host::{ProcessStat, ReadError, Text, file};

/// Counters of a process, or of a group since it was first read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) user_ticks: u64,
    pub(super) system_ticks: u64,
    pub(super) io_delay_ticks: u64,
    pub(super) minor_faults: u64,
    pub(super) major_faults: u64,
    pub(super) child_minor_faults: u64,
    pub(super) child_major_faults: u64,
    pub(super) voluntary_switches: u64,
    pub(super) involuntary_switches: u64,
    pub(super) io: Io,
}

/// The file `io`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Io {
    /// Bytes read by system calls, `rchar`.
    pub(super) read_bytes: u64,
    pub(super) written_bytes: u64,
    /// System calls that read, `syscr`.
    pub(super) reads: u64,
    pub(super) writes: u64,
    /// Bytes read from storage, `read_bytes`.
    pub(super) storage_read_bytes: u64,
    pub(super) storage_written_bytes: u64,
}

macro_rules! for_each_counter {
    ($of:ident, $other:ident, $operation:ident) => {
        for (counter, other) in [
            (&mut $of.user_ticks, $other.user_ticks),
            (&mut $of.system_ticks, $other.system_ticks),
            (&mut $of.io_delay_ticks, $other.io_delay_ticks),
            (&mut $of.minor_faults, $other.minor_faults),
            (&mut $of.major_faults, $other.major_faults),
            (&mut $of.child_minor_faults, $other.child_minor_faults),
            (&mut $of.child_major_faults, $other.child_major_faults),
            (&mut $of.voluntary_switches, $other.voluntary_switches),
            (&mut $of.involuntary_switches, $other.involuntary_switches),
            (&mut $of.io.read_bytes, $other.io.read_bytes),
            (&mut $of.io.written_bytes, $other.io.written_bytes),
            (&mut $of.io.reads, $other.io.reads),
            (&mut $of.io.writes, $other.io.writes),
            (&mut $of.io.storage_read_bytes, $other.io.storage_read_bytes),
            (&mut $of.io.storage_written_bytes, $other.io.storage_written_bytes),
        ] {
            *counter = counter.$operation(other);
        }
    };
}

impl Counters {
    /// Adds an increase.
    pub(super) fn add(&mut self, increase: &Counters) {
        for_each_counter!(self, increase, saturating_add);
    }

    /// The increase since `earlier`; none of a counter that went down.
    pub(super) fn since(mut self, earlier: &Counters) -> Counters {
        for_each_counter!(self, earlier, saturating_sub);
        self
    }

    fn of_stat(stat: &ProcessStat) -> Self {
        Counters {
            user_ticks: stat.user_ticks,
            system_ticks: stat.system_ticks,
            io_delay_ticks: stat.io_delay_ticks,
            minor_faults: stat.minor_faults,
            major_faults: stat.major_faults,
            child_minor_faults: stat.child_minor_faults,
            child_major_faults: stat.child_major_faults,
            ..Counters::default()
        }
    }
}

/// Proportional memory in KiB: `smaps_rollup`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Smaps {
    pub(super) pss: u64,
    pub(super) swap_pss: u64,
    pub(super) shared_clean: u64,
    pub(super) shared_dirty: u64,
    pub(super) private_clean: u64,
    pub(super) private_dirty: u64,
    pub(super) referenced: u64,
    pub(super) anonymous: u64,
    pub(super) swap: u64,
}

impl Smaps {
    pub(super) fn add(&mut self, other: &Smaps) {
        for (sum, part) in [
            (&mut self.pss, other.pss),
            (&mut self.swap_pss, other.swap_pss),
            (&mut self.shared_clean, other.shared_clean),
            (&mut self.shared_dirty, other.shared_dirty),
            (&mut self.private_clean, other.private_clean),
            (&mut self.private_dirty, other.private_dirty),
            (&mut self.referenced, other.referenced),
            (&mut self.anonymous, other.anonymous),
            (&mut self.swap, other.swap),
        ] {
            *sum = sum.saturating_add(part);
        }
    }
}

/// What a process uses.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage {
    pub(super) counters: Counters,
    /// Whether `io` could be read, which takes the rights of its user.
    pub(super) has_io: bool,
    /// Open file descriptors; none if they cannot be counted for a lack of rights.
    pub(super) open_files: Option<u64>,
    /// Soft limit of open file descriptors.
    pub(super) max_files: Option<f64>,
    /// Resident bytes of `status`, which Linux 6.16 and later count exactly, unlike those of `stat`.
    pub(super) resident_bytes: u64,
    /// Swapped bytes.
    pub(super) swapped_bytes: u64,
    pub(super) smaps: Option<Smaps>,
    /// Whether `io` could not be read for a lack of rights.
    pub(super) lacks_io: bool,
    /// Whether it ended while it was read.
    pub(super) has_ended: bool,
    /// The file that could not be read, other than for a lack of rights.
    pub(super) failure: Option<ReadError>,
}

impl Usage {
    /// What the line of `stat` says.
    pub(super) fn of(stat: &ProcessStat) -> Self {
        Usage { counters: Counters::of_stat(stat), ..Usage::default() }
    }

    /// Reads the files of a process with the folder `path`, with `smaps_rollup` if `with_smaps`.
    pub(super) fn read(
        stat: &ProcessStat,
        with_smaps: bool,
        is_procfs: bool,
        path: &mut PathBuf,
        buffer: &mut Vec<u8>,
    ) -> Self {
        let mut usage = Usage::of(stat);
        usage.read_counters(path, buffer);
        usage.open_files = match in_folder(path, "fd", |path| file::count_entries_of(path, is_procfs)) {
            Ok(count) => Some(count),
            // A zombie has none.
            Err(error) if error.is_absent() => Some(0),
            Err(_) => None,
        };
        if usage.open_files.is_some() {
            usage.max_files =
                in_folder(path, "limits", |path| file::read_record(path, buffer).ok().and_then(max_files));
        }
        if with_smaps {
            usage.smaps = in_folder(path, "smaps_rollup", |path| file::read_record(path, buffer).ok().map(smaps));
        }
        usage
    }

    /// Reads `status` and `io` of a process or a thread.
    pub(super) fn read_counters(&mut self, path: &mut PathBuf, buffer: &mut Vec<u8>) {
        match in_folder(path, "status", |path| file::read_record(path, buffer).map(|text| self.read_status(text))) {
            Ok(()) => {}
            Err(error) if error.is_absent() => self.has_ended = true,
            Err(error) => self.failure = Some(error),
        }
        let io = in_folder(path, "io", |path| file::read_record(path, buffer).map(io));
        // Kernels without task I/O accounting have none.
        self.lacks_io = io.as_ref().is_err_and(|error| !error.is_absent());
        self.has_io = io.is_ok();
        self.counters.io = io.unwrap_or_default();
    }

    /// Whether a file could not be read for a lack of rights.
    pub(super) fn lacks_rights(&self) -> bool {
        self.lacks_io || self.open_files.is_none()
    }

    fn read_status(&mut self, text: Text<'_>) {
        const KIB: u64 = 1024;
        for line in text.lines() {
            let bytes = line.bytes();
            let value = |prefix: &[u8]| bytes.strip_prefix(prefix).and_then(first_number);
            match bytes.first() {
                Some(b'V') => {
                    self.swapped_bytes += value(b"VmSwap:").unwrap_or(0).saturating_mul(KIB);
                    self.resident_bytes += value(b"VmRSS:").unwrap_or(0).saturating_mul(KIB);
                }
                Some(b'v') => self.counters.voluntary_switches += value(b"voluntary_ctxt_switches:").unwrap_or(0),
                Some(b'n') => self.counters.involuntary_switches += value(b"nonvoluntary_ctxt_switches:").unwrap_or(0),
                _ => {}
            }
        }
    }
}

/// Calls `read` with the path of the file `name` in the folder `path`.
fn in_folder<T>(path: &mut PathBuf, name: &str, read: impl FnOnce(&Path) -> T) -> T {
    path.push(name);
    let read = read(path);
    path.pop();
    read
}

fn first_number(bytes: &[u8]) -> Option<u64> {
    u64::parse(bytes.split(u8::is_ascii_whitespace).find(|field| !field.is_empty())?)
}

fn io(text: Text<'_>) -> Io {
    let mut io = Io::default();
    for line in text.lines() {
        let Some((key, rest)) = line.key_and_rest() else { continue };
        let to = match key {
            b"rchar" => &mut io.read_bytes,
            b"wchar" => &mut io.written_bytes,
            b"syscr" => &mut io.reads,
            b"syscw" => &mut io.writes,
            b"read_bytes" => &mut io.storage_read_bytes,
            b"write_bytes" => &mut io.storage_written_bytes,
            _ => continue,
        };
        *to = first_number(rest.bytes()).unwrap_or(0);
    }
    io
}

/// The soft limit of open files: proc_pid_limits(5).
fn max_files(text: Text<'_>) -> Option<f64> {
    let limit = text.lines().find_map(|line| line.bytes().strip_prefix(b"Max open files"))?.trim_ascii_start();
    if limit.starts_with(b"unlimited") { Some(f64::INFINITY) } else { first_number(limit).map(|limit| limit as f64) }
}

fn smaps(text: Text<'_>) -> Smaps {
    let mut smaps = Smaps::default();
    for line in text.lines() {
        let Some((key, rest)) = line.key_and_rest() else { continue };
        let to = match key {
            b"Pss" => &mut smaps.pss,
            b"SwapPss" => &mut smaps.swap_pss,
            b"Shared_Clean" => &mut smaps.shared_clean,
            b"Shared_Dirty" => &mut smaps.shared_dirty,
            b"Private_Clean" => &mut smaps.private_clean,
            b"Private_Dirty" => &mut smaps.private_dirty,
            b"Referenced" => &mut smaps.referenced,
            b"Anonymous" => &mut smaps.anonymous,
            b"Swap" => &mut smaps.swap,
            _ => continue,
        };
        *to = first_number(rest.bytes()).unwrap_or(0);
    }
    smaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Text<'_> {
        Text::new("file".as_ref(), text.as_bytes())
    }

    #[test]
    fn files_of_a_process_are_read() {
        let mut usage = Usage::default();
        usage.read_status(text(
            "Name:\tx\nVmRSS:\t      20 kB\nVmSwap:\t      12 kB\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t7\n",
        ));
        assert_eq!((usage.resident_bytes, usage.swapped_bytes), (20 << 10, 12 << 10));
        assert_eq!((usage.counters.voluntary_switches, usage.counters.involuntary_switches), (5, 7));
        let read = io(text(
            "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 7\n",
        ));
        let expected = Io {
            read_bytes: 1,
            written_bytes: 2,
            reads: 3,
            writes: 4,
            storage_read_bytes: 5,
            storage_written_bytes: 6,
        };
        assert_eq!(read, expected);
        assert_eq!(
            max_files(text("Limit  Soft\nMax open files            1024                 4096  files\n")),
            Some(1024.0)
        );
        assert_eq!(max_files(text("Max open files   unlimited   unlimited   files\n")), Some(f64::INFINITY));
        let read =
            smaps(text("55-7f ---p 0 00:00 0 [rollup]\nRss: 9 kB\nPss:   879 kB\nPss_Dirty: 3 kB\nSwapPss: 1 kB\n"));
        assert_eq!(read, Smaps { pss: 879, swap_pss: 1, ..Smaps::default() });
    }

    #[test]
    fn a_counter_that_went_down_has_not_increased() {
        let earlier = Counters { user_ticks: 5, minor_faults: 5, ..Counters::default() };
        let later = Counters { user_ticks: 7, minor_faults: 3, ..Counters::default() };
        assert_eq!(later.since(&earlier), Counters { user_ticks: 2, ..Counters::default() });
    }
}
