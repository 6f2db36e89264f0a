//! Threads that share no file descriptors with the process.

/// Gives this thread an empty descriptor table of its own: it and the process can no longer use each other's
/// descriptors.
///
/// A thread blocked on a file system that hangs may be impossible to end, even with `kill -9`. The kernel closes a
/// process's descriptors when the last thread that shares them ends: if such a thread shared them, locks and ports
/// would stay taken, and the next Taffrail could not start.
///
/// Does nothing on Linux before 5.9 and on other systems.
#[cfg(target_os = "linux")]
pub fn unshare_descriptors() {
    /// close_range(2): unshare the table before closing anything in it.
    const CLOSE_RANGE_UNSHARE: libc::c_uint = 1 << 1;
    // SAFETY: The call touches no memory. It closes descriptors only in a table that no other thread uses, and
    // callers guarantee that this thread uses only descriptors that it opens afterwards.
    #[allow(unsafe_code)]
    unsafe {
        libc::syscall(libc::SYS_close_range, 0 as libc::c_uint, libc::c_uint::MAX, CLOSE_RANGE_UNSHARE);
    }
}

/// Does nothing: descriptors belong to the whole process here.
#[cfg(not(target_os = "linux"))]
pub fn unshare_descriptors() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek};

    use super::*;

    #[test]
    fn what_such_a_thread_closes_and_opens_is_its_own() {
        let mut file = tempfile::tempfile().unwrap();
        let table = || std::fs::read_dir("/proc/thread-self/fd").unwrap().count();
        let apart = std::thread::spawn(move || {
            unshare_descriptors();
            let own = File::open("/proc/self/stat").unwrap();
            let count = table();
            drop(own);
            count
        });
        // The file, and the directory being listed.
        assert_eq!(apart.join().unwrap(), 2);
        file.rewind().unwrap();
        assert_eq!(file.read(&mut [0]).unwrap(), 0, "it is open");
    }
}
