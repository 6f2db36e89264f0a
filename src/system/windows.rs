use std::fs::{DirBuilder, File, FileType, Metadata, OpenOptions};
use std::future::pending;
use std::io::{self, ErrorKind, Read, Write};
use std::os::windows::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::signal::windows::{CtrlBreak, CtrlC, CtrlClose, CtrlShutdown};
use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};

use super::Control;

/// Creation time: the closest to an identity that std offers.
pub type Identity = u64;

/// The identity of a file.
pub fn identity(metadata: &Metadata) -> Identity {
    metadata.creation_time()
}

/// Reads at an offset.
///
/// # Errors
/// Errors of `ReadFile`.
pub fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    file.seek_read(bytes, at)
}

/// Writes all bytes at an offset.
///
/// # Errors
/// Errors of `WriteFile`.
pub fn write_all_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.seek_write(bytes, at) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => (bytes, at) = (&bytes[written..], at + written as u64),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Does nothing: the folder determines who may read a file.
pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Does nothing: opening does not block.
pub fn without_blocking(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Whether a file is a pipe; always false here.
pub fn is_pipe(_: FileType) -> bool {
    false
}

/// The type of a file that is neither regular nor a folder.
pub fn special_file_type(_: FileType) -> &'static str {
    "a special file"
}

/// Always true: the folder determines who may write to a file.
pub fn is_private(_: &Metadata) -> bool {
    true
}

/// Creates a folder and its parents, with inherited permissions.
///
/// # Errors
/// If it cannot be created.
pub fn create_private_dir(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(folder)
}

/// Always unknown.
pub fn free_space(_: &Path) -> Option<u64> {
    None
}

/// Does nothing: space is allocated on writing.
///
/// # Errors
/// None.
pub fn allocate(_: &File, _: u64) -> io::Result<()> {
    Ok(())
}

/// Does nothing: entries are on disk when their files are.
///
/// # Errors
/// None.
pub fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Does nothing: it would slow down the whole process.
pub fn lower_priority() {}

/// Unlimited.
pub fn descriptor_limit() -> usize {
    usize::MAX
}

/// Does nothing: there is no limit.
pub fn raise_descriptor_limit() {}

/// Always false.
pub fn is_out_of_resources(_: &io::Error) -> bool {
    false
}

/// Does nothing: such a socket could take over an address that another process listens on.
///
/// # Errors
/// None.
pub fn reuse_address(_: &TcpSocket) -> io::Result<()> {
    Ok(())
}

/// Always true: unknown.
pub fn has_pending_connection<L>(_: &L) -> bool {
    true
}

/// Always `None`: there is no limit.
pub fn spare_descriptor() -> Option<File> {
    None
}

/// Always 0: there are no numeric user ids.
pub fn user_id() -> u32 {
    0
}

/// Console events that control the process. There is no request to reload.
pub struct Signals {
    interrupt: CtrlC,
    stop: CtrlBreak,
    close: CtrlClose,
    shutdown: CtrlShutdown,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// Errors of `SetConsoleCtrlHandler`.
    pub fn new() -> io::Result<Self> {
        Ok(Signals { interrupt: ctrl_c()?, stop: ctrl_break()?, close: ctrl_close()?, shutdown: ctrl_shutdown()? })
    }

    /// Waits for the next request.
    pub async fn next(&mut self) -> Control {
        tokio::select! {
            Some(()) = self.interrupt.recv() => Control::End("Ctrl-C"),
            Some(()) = self.stop.recv() => Control::End("Ctrl-Break"),
            Some(()) = self.close.recv() => Control::End("the console was closed"),
            Some(()) = self.shutdown.recv() => Control::End("the system shuts down"),
            else => pending().await,
        }
    }
}

/// A connection to a Unix socket; never exists here.
#[derive(Debug)]
pub enum LocalStream {}

/// Always fails.
///
/// # Errors
/// Always `NotFound`.
pub fn connect_within(_: &Path, _: Duration) -> io::Result<LocalStream> {
    Err(ErrorKind::NotFound.into())
}

impl LocalStream {
    /// Sets the read timeout.
    ///
    /// # Errors
    /// None.
    pub fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        match *self {}
    }

    /// Sets the write timeout.
    ///
    /// # Errors
    /// None.
    pub fn set_write_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        match *self {}
    }
}

impl Read for LocalStream {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }
}

impl Write for LocalStream {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match *self {}
    }
}
