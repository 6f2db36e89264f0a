use std::fs::{DirBuilder, File, FileType, Metadata, OpenOptions};
use std::future::pending;
use std::io::{self, ErrorKind, Read, Write};
use std::os::windows::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::signal::windows::{CtrlBreak, CtrlC, CtrlClose, CtrlShutdown};
use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};

use super::Asked;

/// When the file was made: what std tells that is most like an identity.
pub type Identity = u64;

/// Which file it is.
pub fn identity(metadata: &Metadata) -> Identity {
    metadata.creation_time()
}

/// Reads what there is from a place on.
///
/// # Errors
/// What `ReadFile` answers.
pub fn read_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<usize> {
    file.seek_read(bytes, at)
}

/// Writes all from a place on.
///
/// # Errors
/// What `WriteFile` answers.
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

/// The same: who may read a file is what its folder says.
pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Opens a file to read it.
///
/// # Errors
/// What `CreateFile` answers.
pub fn open_without_blocking(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Whether a file is a pipe: none is known as one.
pub fn is_pipe(_: FileType) -> bool {
    false
}

/// What a file is that is neither a regular one nor a folder.
pub fn kind_of_special_file(_: FileType) -> &'static str {
    "a special file"
}

/// Whether a file is ours, and nobody else may write it: the folder that it is in says so here.
pub fn is_only_ours(_: &Metadata) -> bool {
    true
}

/// Makes a folder, and those above it; who may look into it is what the folder above says.
///
/// # Errors
/// Why it cannot be made.
pub fn create_private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(folder)
}

/// Nothing: names are on disk when their files are.
///
/// # Errors
/// None.
pub fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Nothing: it would hold back the whole process.
pub fn yield_to_others() {}

/// As many as one likes.
pub fn descriptor_limit() -> usize {
    usize::MAX
}

/// Nothing: there is no limit.
pub fn raise_descriptor_limit() {}

/// Nobody lacks room.
pub fn is_lack_of_room(_: &io::Error) -> bool {
    false
}

/// Nothing: such a socket could take an address that another process listens on.
///
/// # Errors
/// None.
pub fn take_over_address(_: &TcpSocket) -> io::Result<()> {
    Ok(())
}

/// Perhaps somebody is.
pub fn is_somebody_waiting<L>(_: &L) -> bool {
    true
}

/// Nothing: there is no limit.
pub fn spare_descriptor() -> Option<File> {
    None
}

/// Who we are, as far as there are numbers for that.
pub fn user_id() -> u32 {
    0
}

/// How the process is asked to do something: keys, and the end of the session. There is no signal to reload.
pub struct Signals {
    interrupt: CtrlC,
    stop: CtrlBreak,
    close: CtrlClose,
    shutdown: CtrlShutdown,
}

impl Signals {
    /// Listens to them from now on.
    ///
    /// # Errors
    /// What `SetConsoleCtrlHandler` answers.
    pub fn new() -> io::Result<Self> {
        Ok(Signals { interrupt: ctrl_c()?, stop: ctrl_break()?, close: ctrl_close()?, shutdown: ctrl_shutdown()? })
    }

    /// What is asked next.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            Some(()) = self.interrupt.recv() => Asked::End("Ctrl-C"),
            Some(()) = self.stop.recv() => Asked::End("Ctrl-Break"),
            Some(()) = self.close.recv() => Asked::End("the console was closed"),
            Some(()) = self.shutdown.recv() => Asked::End("the system shuts down"),
            else => pending().await,
        }
    }
}

/// A connection to a socket that is a file: nobody has one.
#[derive(Debug)]
pub enum LocalStream {}

/// No connection.
///
/// # Errors
/// That there is no such thing.
pub fn connect_within(_: &Path, _: Duration) -> io::Result<LocalStream> {
    Err(ErrorKind::NotFound.into())
}

impl LocalStream {
    /// Bounds how long reading may take.
    ///
    /// # Errors
    /// None.
    pub fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        match *self {}
    }

    /// Bounds how long writing may take.
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
