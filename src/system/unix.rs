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

use super::Control;

/// A connection to a Unix socket.
pub use std::os::unix::net::UnixStream as LocalStream;

/// Connects to a Unix socket whose owner must accept the connection within `timeout`.
///
/// # Errors
/// Errors of connect(2); `WouldBlock` if the listen backlog stays full.
pub fn connect_within(socket: &Path, timeout: Duration) -> io::Result<LocalStream> {
    #[cfg(target_os = "linux")]
    {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt};
        let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // unix(7): the send timeout also limits connect(2).
        sockopt::set_socket_timeout(&stream, sockopt::Timeout::Send, Some(timeout))?;
        connect(&stream, &SocketAddrUnix::new(socket)?)?;
        Ok(stream.into())
    }
    // Other systems do not block.
    #[cfg(not(target_os = "linux"))]
    {
        let _ = timeout;
        LocalStream::connect(socket)
    }
}

/// Device and inode.
pub type Identity = (u64, u64);

/// The identity of a file.
pub fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// Reads at an offset, like read(2).
///
/// # Errors
/// Errors of pread(2).
pub fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    file.read_at(bytes, at)
}

/// Writes all bytes at an offset.
///
/// # Errors
/// Errors of pwrite(2).
pub fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    file.write_all_at(bytes, at)
}

/// Restricts new files to our user.
pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Makes opening non-blocking: no waiting for the other end of a FIFO, or for a terminal line.
pub fn without_blocking(options: &mut OpenOptions) -> &mut OpenOptions {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    options.custom_flags(flags.bits() as i32)
}

/// Whether a file is a pipe, named or not.
pub fn is_pipe(kind: FileType) -> bool {
    kind.is_fifo()
}

/// The type of a file that is neither regular nor a folder.
pub fn special_file_type(kind: FileType) -> &'static str {
    match kind {
        _ if kind.is_fifo() => "a FIFO",
        _ if kind.is_char_device() => "a character device",
        _ if kind.is_block_device() => "a block device",
        _ if kind.is_socket() => "a socket",
        _ => "a special file",
    }
}

/// Whether a file belongs to our user and no one else may write to it.
pub fn is_private(metadata: &Metadata) -> bool {
    const OTHERS_WRITE: u32 = 0o022;
    metadata.uid() == user_id() && metadata.mode() & OTHERS_WRITE == 0
}

/// Creates a folder and its parents, accessible to our user only.
///
/// # Errors
/// If it cannot be created.
pub fn create_private_dir(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Bytes that our user may still write on a folder's volume; `None` if unknown.
pub fn free_space(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    // A file system without a size limit reports no blocks: tmpfs with size=0, and those that count nothing.
    if found.f_blocks == 0 {
        return None;
    }
    found.f_bavail.checked_mul(found.f_frsize)
}

/// Allocates space for a file, where the file system can do that without writing.
///
/// # Errors
/// Errors of fallocate(2).
pub fn allocate(file: &File, bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if bytes > 0 {
        rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, bytes);
    Ok(())
}

/// Waits until a folder's entries are on disk.
///
/// # Errors
/// Errors of fsync(2).
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Lowers the scheduling priority; on Linux only of this thread.
pub fn lower_priority() {
    const LOWEST: i32 = 19;
    let _ = rustix::process::nice(LOWEST);
}

/// The process's limit of file descriptors.
pub fn descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// Raises the soft limit of file descriptors to the hard limit.
pub fn raise_descriptor_limit() {
    /// `OPEN_MAX` of macOS, which has no hard limit and rejects an unlimited soft one.
    const OPEN_MAX: u64 = 10_240;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let may_have = [maximum, Some(OPEN_MAX)].into_iter().filter(|more| is_more(*more, current));
    for current in may_have {
        if setrlimit(Resource::Nofile, Rlimit { current, maximum }).is_ok() {
            return;
        }
    }
}

/// Whether accept(2) failed because the process or the system is out of descriptors or memory.
pub fn is_out_of_resources(error: &io::Error) -> bool {
    let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|error| lacks.contains(&error))
}

/// Allows binding an address with connections of an earlier process in TIME_WAIT.
///
/// # Errors
/// Errors of setsockopt(2).
pub fn reuse_address(socket: &TcpSocket) -> io::Result<()> {
    socket.set_reuseaddr(true)
}

/// Whether a connection is waiting to be accepted.
pub fn has_pending_connection(listener: &impl AsFd) -> bool {
    let mut asked = [PollFd::new(listener, PollFlags::IN)];
    poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) != Ok(0)
}

/// A descriptor to close when another one is needed urgently.
pub fn spare_descriptor() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Whether a limit is above another; `None` is unlimited.
fn is_more(limit: Option<u64>, than: Option<u64>) -> bool {
    than.is_some_and(|than| limit.is_none_or(|limit| limit > than))
}

/// The effective user id.
pub fn user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Signals that control the process.
pub struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    /// Makes writes over the file size limit fail instead of ending the process.
    _file_size: Signal,
}

impl Signals {
    /// Installs the signal handlers.
    ///
    /// # Errors
    /// Errors of sigaction(2).
    pub fn new() -> io::Result<Self> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_size: signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?,
        })
    }

    /// Waits for the next request.
    pub async fn next(&mut self) -> Control {
        tokio::select! {
            Some(()) = self.terminate.recv() => Control::End("SIGTERM"),
            Some(()) = self.interrupt.recv() => Control::End("SIGINT"),
            Some(()) = self.hangup.recv() => Control::Reload,
            else => pending().await,
        }
    }
}
