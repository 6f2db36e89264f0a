//! Counting events of a CPU: perf_event_open(2).

use std::fs::File;
use std::io::Read;

use super::errno::Errno;
use crate::descriptors::Kept;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// `PERF_TYPE_*` of include/uapi/linux/perf_event.h.
    pub kind: u32,
    /// Which of that kind: `config`.
    pub number: u64,
}

/// How often an event was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// How often, while it was counted.
    pub events: u64,
    /// Nanoseconds since the counter was opened.
    pub enabled_nanoseconds: u64,
    /// Nanoseconds of them in which it was counted: a CPU counts but a few events at a time.
    pub running_nanoseconds: u64,
}

impl Count {
    /// How often, all in all: what was missed while other events were counted is estimated; nothing if it never was.
    pub fn scaled(self) -> Option<f64> {
        (self.running_nanoseconds > 0)
            .then(|| self.events as f64 * (self.enabled_nanoseconds as f64 / self.running_nanoseconds as f64))
    }
}

/// A counter that counts.
pub trait Counter: Send {
    /// What it has counted until now.
    ///
    /// # Errors
    /// What read(2) answers.
    fn read(&mut self) -> Result<Count, Errno>;
}

impl Counter for Kept<File> {
    fn read(&mut self) -> Result<Count, Errno> {
        let mut told = [0; 24];
        self.get_mut().read_exact(&mut told).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let at = |offset| super::netlink::u64_at(&told, offset);
        Ok(Count { events: at(0), enabled_nanoseconds: at(8), running_nanoseconds: at(16) })
    }
}

/// A counter of `event` on the CPU `cpu`, of all processes.
///
/// # Errors
/// What perf_event_open(2) answers: `ENOENT` or `EOPNOTSUPP` for what the CPU cannot count. `EMFILE` also if as many are
/// open as [`crate::descriptors::COUNTERS`] may be.
// No crate of safe calls has this one.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub fn open(event: Event, cpu: u32) -> Result<Box<dyn Counter>, Errno> {
    use std::os::fd::{FromRawFd, OwnedFd};

    /// `PERF_ATTR_SIZE_VER0` of `struct perf_event_attr`, which every kernel takes.
    const LENGTH: usize = 64;
    const TOTAL_TIME_ENABLED: u64 = 1;
    const TOTAL_TIME_RUNNING: u64 = 2;
    const ALL_PROCESSES: libc::pid_t = -1;
    const NO_GROUP: libc::c_int = -1;
    const CLOSE_ON_EXEC: libc::c_ulong = 8;
    let permit = crate::descriptors::COUNTERS.take().ok_or(Errno::MFILE)?;
    let mut attributes = [0u64; LENGTH / 8];
    let head = [event.kind.to_ne_bytes(), (LENGTH as u32).to_ne_bytes()].concat();
    attributes[0] = super::netlink::u64_at(&head, 0);
    attributes[1] = event.number;
    attributes[4] = TOTAL_TIME_ENABLED | TOTAL_TIME_RUNNING;
    // SAFETY: the pointer is to a structure of the length that stands in it, which lives as long as the call.
    let descriptor = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            attributes.as_ptr(),
            ALL_PROCESSES,
            cpu as libc::c_int,
            NO_GROUP,
            CLOSE_ON_EXEC,
        )
    };
    let descriptor = i32::try_from(descriptor).unwrap_or(-1);
    if descriptor < 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL));
    }
    // SAFETY: the kernel has just given us the descriptor.
    let counter = File::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
    Ok(Box::new(Kept::new(counter, permit)))
}

/// Other systems are not asked.
///
/// # Errors
/// `EOPNOTSUPP`.
#[cfg(not(target_os = "linux"))]
pub fn open(_: Event, _: u32) -> Result<Box<dyn Counter>, Errno> {
    Err(Errno::OPNOTSUPP)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_counted_all_the_time_is_estimated() {
        let count = Count { events: 10, enabled_nanoseconds: 300, running_nanoseconds: 100 };
        assert_eq!(count.scaled(), Some(30.0));
        assert_eq!(Count::default().scaled(), None);
    }

    /// Where the kernel lets us: as root, as a rule.
    #[test]
    fn the_running_kernel_counts_switches_or_says_why_not() {
        const SOFTWARE: u32 = 1;
        const CONTEXT_SWITCHES: u64 = 3;
        match open(Event { kind: SOFTWARE, number: CONTEXT_SWITCHES }, 0) {
            Ok(mut counter) => {
                let first = counter.read().unwrap();
                assert!(counter.read().unwrap().enabled_nanoseconds > first.enabled_nanoseconds);
            }
            Err(error) => assert!([Errno::ACCESS, Errno::PERM, Errno::NOSYS].contains(&error), "{error}"),
        }
    }
}
