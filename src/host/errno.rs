//! Errors of system calls: errno(3).

#[cfg(unix)]
pub use rustix::io::Errno;
#[cfg(windows)]
pub use windows::Errno;

#[cfg(windows)]
mod windows {
    use std::io::{self, ErrorKind};

    /// Error numbers for systems without them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[allow(missing_docs, clippy::upper_case_acronyms)]
    pub enum Errno {
        ACCESS,
        AGAIN,
        BUSY,
        FBIG,
        INVAL,
        IO,
        MFILE,
        NODEV,
        NOENT,
        NOSYS,
        NOTDIR,
        NXIO,
        OPNOTSUPP,
        PERM,
        PROTO,
        SRCH,
        TIMEDOUT,
    }

    impl Errno {
        /// Numbers of Linux, which never occur here.
        pub fn from_raw_os_error(_: i32) -> Errno {
            Errno::IO
        }

        /// Converts an error of the standard library.
        pub fn from_io_error(error: &io::Error) -> Option<Errno> {
            Some(match error.kind() {
                ErrorKind::NotFound => Errno::NOENT,
                ErrorKind::NotADirectory => Errno::NOTDIR,
                ErrorKind::PermissionDenied => Errno::ACCESS,
                ErrorKind::Unsupported => Errno::OPNOTSUPP,
                ErrorKind::InvalidInput => Errno::INVAL,
                ErrorKind::WouldBlock => Errno::AGAIN,
                ErrorKind::TimedOut => Errno::TIMEDOUT,
                _ => return None,
            })
        }
    }

    impl From<io::Error> for Errno {
        fn from(error: io::Error) -> Errno {
            Errno::from_io_error(&error).unwrap_or(Errno::IO)
        }
    }

    impl From<Errno> for io::Error {
        fn from(error: Errno) -> io::Error {
            match error {
                Errno::NOENT | Errno::NODEV | Errno::NXIO => ErrorKind::NotFound,
                Errno::NOTDIR => ErrorKind::NotADirectory,
                Errno::ACCESS | Errno::PERM => ErrorKind::PermissionDenied,
                Errno::OPNOTSUPP | Errno::NOSYS => ErrorKind::Unsupported,
                Errno::INVAL => ErrorKind::InvalidInput,
                Errno::AGAIN => ErrorKind::WouldBlock,
                Errno::BUSY => ErrorKind::ResourceBusy,
                Errno::FBIG => ErrorKind::FileTooLarge,
                Errno::TIMEDOUT => ErrorKind::TimedOut,
                Errno::IO | Errno::MFILE | Errno::PROTO => ErrorKind::Other,
            }
            .into()
        }
    }
}
