//! Counters of CPU events: perf_event_open(2).

use std::fs::File;
use std::io::Read;

use super::errno::Errno;
use crate::descriptors::Permitted;

/// An event to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// `PERF_TYPE_*` of include/uapi/linux/perf_event.h.
    pub kind: u32,
    /// The event of that type: `config`.
    pub number: u64,
}

/// The value of a counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Occurrences while the counter was running.
    pub events: u64,
    /// Nanoseconds since the counter was opened.
    pub enabled_nanoseconds: u64,
    /// Nanoseconds in which it was running: a CPU counts only a few events at a time.
    pub running_nanoseconds: u64,
}

impl Count {
    /// Estimated total occurrences, scaled for the time the counter was not running; `None` if it never ran.
    pub fn scaled(self) -> Option<f64> {
        (self.running_nanoseconds > 0)
            .then(|| self.events as f64 * (self.enabled_nanoseconds as f64 / self.running_nanoseconds as f64))
    }
}

/// An open counter.
pub trait Counter: Send {
    /// Its current value.
    ///
    /// # Errors
    /// The error of read(2).
    fn read(&mut self) -> Result<Count, Errno>;
}

impl Counter for Permitted<File> {
    fn read(&mut self) -> Result<Count, Errno> {
        let mut values = [0; 24];
        self.get_mut().read_exact(&mut values).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        let at = |offset| super::netlink::u64_at(&values, offset);
        Ok(Count { events: at(0), enabled_nanoseconds: at(8), running_nanoseconds: at(16) })
    }
}

/// A counter of `event` on the CPU `cpu`, of all processes.
///
/// # Errors
/// The error of perf_event_open(2): `ENOENT` or `EOPNOTSUPP` for events that the CPU does not support. `EMFILE` also over
/// the quota of [`crate::descriptors::COUNTERS`].
// No safe crate wraps this call.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
pub fn open(event: Event, cpu: u32) -> Result<Box<dyn Counter>, Errno> {
    use std::os::fd::{FromRawFd, OwnedFd};

    /// `PERF_ATTR_SIZE_VER0` of `struct perf_event_attr`, which every kernel accepts.
    const LENGTH: usize = 64;
    const TOTAL_TIME_ENABLED: u64 = 1;
    const TOTAL_TIME_RUNNING: u64 = 2;
    const ALL_PROCESSES: libc::pid_t = -1;
    const NO_GROUP: libc::c_int = -1;
    const CLOSE_ON_EXEC: libc::c_ulong = 8;
    let permit = crate::descriptors::COUNTERS.acquire().ok_or(Errno::MFILE)?;
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
    Ok(Box::new(Permitted::new(counter, permit)))
}

/// Not supported on other systems.
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

    /// Runs where the kernel permits it: usually as root.
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
