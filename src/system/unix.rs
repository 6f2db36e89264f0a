use std::fs::{DirBuilder, File, FileType, Metadata, OpenOptions};
use std::future::pending;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpSocket;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Asked;

/// A connection to a socket that is a file.
pub use std::os::unix::net::UnixStream as LocalStream;

/// Connects to a socket that is a file, whose owner must take the connection within `patience`.
///
/// # Errors
/// What connect(2) answers; `WouldBlock` if as many wait already as may, and none was taken.
pub fn connect_within(socket: &Path, patience: Duration) -> io::Result<LocalStream> {
    #[cfg(target_os = "linux")]
    {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt};
        let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // unix(7): this is for how long connect(2) waits.
        sockopt::set_socket_timeout(&stream, sockopt::Timeout::Send, Some(patience))?;
        connect(&stream, &SocketAddrUnix::new(socket)?)?;
        Ok(stream.into())
    }
    // Others do not wait.
    #[cfg(not(target_os = "linux"))]
    {
        let _ = patience;
        LocalStream::connect(socket)
    }
}

/// Device and inode.
pub type Identity = (u64, u64);

/// Which file it is.
pub fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// As read(2), from a place on.
///
/// # Errors
/// What pread(2) answers.
pub fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    file.read_at(bytes, at)
}

/// Writes all from a place on.
///
/// # Errors
/// What pwrite(2) answers.
pub fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    file.write_all_at(bytes, at)
}

/// The same, for files that none but our user may read.
pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Opens a file to read it, and waits for nobody: neither for one who writes to a FIFO, nor for a line to be up.
///
/// # Errors
/// What open(2) answers.
pub fn open_without_blocking(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)
}

/// Whether a file is a pipe, with a name or without.
pub fn is_pipe(kind: FileType) -> bool {
    kind.is_fifo()
}

/// What a file is that is neither a regular one nor a folder.
pub fn kind_of_special_file(kind: FileType) -> &'static str {
    match kind {
        _ if kind.is_fifo() => "a FIFO",
        _ if kind.is_char_device() => "a character device",
        _ if kind.is_block_device() => "a block device",
        _ if kind.is_socket() => "a socket",
        _ => "a special file",
    }
}

/// Whether a file is ours, and nobody else may write it.
pub fn is_only_ours(metadata: &Metadata) -> bool {
    const OTHERS_WRITE: u32 = 0o022;
    metadata.uid() == user_id() && metadata.mode() & OTHERS_WRITE == 0
}

/// Makes a folder, and those above it, in which none but our user may look.
///
/// # Errors
/// Why it cannot be made.
pub fn create_private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Waits until the names in a folder are on disk.
///
/// # Errors
/// What fsync(2) answers.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Lets others go first; on Linux this thread alone.
pub fn yield_to_others() {
    const LOWEST: i32 = 19;
    let _ = rustix::process::nice(LOWEST);
}

/// How many file descriptors this process may have open.
pub fn descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// Asks for as many file descriptors as the process may ask for: the soft limit becomes the hard one.
pub fn raise_descriptor_limit() {
    /// `OPEN_MAX` of macOS, which has no hard limit and refuses to have no soft one.
    const OPEN_MAX: u64 = 10_240;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let may_have = [maximum, Some(OPEN_MAX)].into_iter().filter(|more| is_more(*more, current));
    for current in may_have {
        if setrlimit(Resource::Nofile, Rlimit { current, maximum }).is_ok() {
            return;
        }
    }
}

/// Whether the process, or the system, has no descriptors or no memory left for a connection: accept(2).
pub fn is_lack_of_room(error: &io::Error) -> bool {
    let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|error| lacks.contains(&error))
}

/// Lets a socket have an address at which connections of a process before this one are still closing.
///
/// # Errors
/// What setsockopt(2) answers.
pub fn take_over_address(socket: &TcpSocket) -> io::Result<()> {
    socket.set_reuseaddr(true)
}

/// Whether a connection waits to be accepted.
pub fn is_somebody_waiting(listener: &impl AsFd) -> bool {
    let mut asked = [PollFd::new(listener, PollFlags::IN)];
    poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) != Ok(0)
}

/// A descriptor to be given up when another one is wanted badly.
pub fn spare_descriptor() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Whether a limit is above another; nothing is no limit.
fn is_more(limit: Option<u64>, than: Option<u64>) -> bool {
    than.is_some_and(|than| limit.is_none_or(|limit| limit > than))
}

/// Who we are.
pub fn user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// How the process is asked to do something.
pub struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    /// Whoever writes beyond a limit on files' sizes gets an error, instead of the process an end.
    _file_size: Signal,
}

impl Signals {
    /// Listens to them from now on.
    ///
    /// # Errors
    /// What sigaction(2) answers.
    pub fn new() -> io::Result<Self> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_size: signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    /// What is asked next.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            Some(()) = self.terminate.recv() => Asked::End("SIGTERM"),
            Some(()) = self.interrupt.recv() => Asked::End("SIGINT"),
            Some(()) = self.hangup.recv() => Asked::Reload,
            else => pending().await,
        }
    }
}
