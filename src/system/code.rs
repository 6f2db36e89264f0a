//! Memory that holds the code of this program.

/// Unmaps the code of the program and of its libraries. What is used again is mapped again from the page cache.
///
/// The kernel maps 16 pages around each one that is used, so that a start, which reads arguments, configuration and certificates
/// once, leaves most of the code in the resident memory of the process.
///
/// Does nothing on other systems than Linux.
#[cfg(target_os = "linux")]
pub fn release_code() {
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    for (start, length) in maps.lines().filter_map(code) {
        // SAFETY: The mapping is of a file, and neither the linker nor the program writes to it: a page that is used again
        // has the same content. An address that is no longer mapped is an error of the call.
        #[allow(unsafe_code)]
        unsafe {
            libc::madvise(std::ptr::with_exposed_provenance_mut(start), length, libc::MADV_DONTNEED);
        }
    }
}

/// Does nothing.
#[cfg(not(target_os = "linux"))]
pub fn release_code() {}

/// Address and length of a mapping of code in a file, from a line of `/proc/PID/maps`: proc_pid_maps(5).
#[cfg(target_os = "linux")]
fn code(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    // Only what is mapped from a file, and cannot be written to.
    let is_code = fields.next() == Some("r-xp") && fields.nth(2).is_some_and(|inode| inode != "0");
    let [start, end] = [start, end].map(|address| usize::from_str_radix(address, 16).ok());
    is_code.then_some((start?, end?.checked_sub(start?)?))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_mappings_of_code_in_files_are_released() {
        let code_of = |line| code(line).map(|(start, length)| format!("{start:x} {length:x}"));
        for (line, found) in [
            ("55d0-55e0 r-xp 004df000 fe:00 9978228                    /usr/bin/taffrail", Some("55d0 10")),
            ("55d0-55e0 r-xp 004df000 fe:00 9978228 /usr/bin/taffrail (deleted)", Some("55d0 10")),
            ("55d0-55e0 r--p 004df000 fe:00 9978228                    /usr/bin/taffrail", None),
            ("55d0-55e0 rwxp 004df000 fe:00 9978228                    /usr/bin/taffrail", None),
            ("7f79-7f80 r-xp 00000000 00:00 0                          [vdso]", None),
            ("7f79-7f80 r-xp 00000000 00:00 0", None),
            ("7f79 r-xp 00000000 00:00 1", None),
            ("", None),
        ] {
            assert_eq!(code_of(line).as_deref(), found, "{line}");
        }
    }
}
