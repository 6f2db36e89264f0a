//! A mount whose server answers, or does not: what a dead NFS server or a stuck FUSE program looks like to the kernel.
//!
//! It speaks the few messages of FUSE (linux/fuse.h) that statfs(2), stat(2) and readdir(3) of the root need. Root alone
//! can mount it.

use std::collections::VecDeque;
use std::ffi::CString;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

const GETATTR: u32 = 3;
const STATFS: u32 = 17;
const INIT: u32 = 26;
const FORGET: u32 = 2;
const INTERRUPT: u32 = 36;
const ENOSYS: i32 = 38;

/// The type that such a mount has in the table of mounts.
pub const TYPE: &str = "fuse.taffrail-test";

/// A mount that answers until a test stops it.
pub struct FuseMount {
    folder: tempfile::TempDir,
    device: Arc<File>,
    server: Arc<Mutex<Server>>,
}

#[derive(Default)]
struct Server {
    hangs: bool,
    /// What was asked and is not answered: the request's number and kind.
    pending: VecDeque<(u64, u32)>,
    /// How often the size was asked for.
    asked: usize,
}

impl FuseMount {
    /// Mounts it in a folder of its own.
    pub fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let device = File::options().read(true).write(true).open("/dev/fuse").expect("/dev/fuse; are you root?");
        mount(folder.path(), &device);
        let mount = FuseMount { folder, device: Arc::new(device), server: Arc::new(Mutex::new(Server::default())) };
        let (device, server) = (mount.device.clone(), mount.server.clone());
        thread::spawn(move || serve(&device, &server));
        mount
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Answers nothing from now on.
    pub fn hang(&self) {
        self.server.lock().unwrap().hangs = true;
    }

    /// Answers again, and what was asked meanwhile too.
    pub fn answer(&self) {
        let mut server = self.server.lock().unwrap();
        server.hangs = false;
        for (number, kind) in std::mem::take(&mut server.pending) {
            reply(&self.device, number, kind);
        }
    }

    /// Whether a caller waits for a response.
    pub fn is_waited_for(&self) -> bool {
        !self.server.lock().unwrap().pending.is_empty()
    }

    /// Unmounts it lazily: a caller that waits goes on waiting, and no other gets to it.
    pub fn detach(&self) {
        let path = c_path(self.path());
        // SAFETY: a valid C string; the call touches no memory of ours.
        #[allow(unsafe_code)]
        let done = unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        assert_eq!(done, 0, "umount: {}", std::io::Error::last_os_error());
    }

    /// How often the size was asked for.
    pub fn asked(&self) -> usize {
        self.server.lock().unwrap().asked
    }

    /// Its line of mountinfo, with this number.
    pub fn mountinfo(&self, number: u32) -> String {
        format!("{number} 26 0:{number} / {} rw,nosuid - {TYPE} taffrail-test rw\n", self.path().display())
    }
}

impl Drop for FuseMount {
    fn drop(&mut self) {
        // What still waits is answered, so that no thread is left in the kernel.
        self.answer();
        let path = c_path(self.folder.path());
        // SAFETY: a valid C string; the call touches no memory of ours.
        #[allow(unsafe_code)]
        unsafe {
            libc::umount2(path.as_ptr(), libc::MNT_FORCE | libc::MNT_DETACH);
        }
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

fn mount(folder: &Path, device: &File) {
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
    let (options, path) = (CString::new(options).unwrap(), c_path(folder));
    // SAFETY: all pointers are to C strings that outlive the call.
    #[allow(unsafe_code)]
    let mounted = unsafe {
        libc::mount(
            c"taffrail-test".as_ptr(),
            path.as_ptr(),
            c"fuse.taffrail-test".as_ptr(),
            libc::MS_NOSUID,
            options.as_ptr().cast(),
        )
    };
    assert_eq!(mounted, 0, "mount: {}", std::io::Error::last_os_error());
}

fn serve(device: &File, server: &Mutex<Server>) {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let mut device_of_reads = device;
        let length = match device_of_reads.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            // ENODEV: it is no longer mounted.
            Err(_) => return,
        };
        let Some(head) = buffer[..length].get(..16) else { return };
        let kind = u32::from_le_bytes(head[4..8].try_into().unwrap());
        let number = u64::from_le_bytes(head[8..16].try_into().unwrap());
        let mut server = server.lock().unwrap();
        server.asked += usize::from(kind == STATFS);
        match kind {
            FORGET | INTERRUPT => {}
            _ if server.hangs && kind != INIT => server.pending.push_back((number, kind)),
            _ => reply(device, number, kind),
        }
    }
}

fn reply(device: &File, number: u64, kind: u32) {
    let (error, body) = match kind {
        INIT => (0, init()),
        STATFS => (0, size()),
        GETATTR => (0, attributes()),
        _ => (-ENOSYS, Vec::new()),
    };
    let mut message = Vec::new();
    message.extend_from_slice(&(16 + body.len() as u32).to_le_bytes());
    message.extend_from_slice(&error.to_le_bytes());
    message.extend_from_slice(&number.to_le_bytes());
    message.extend_from_slice(&body);
    let mut device = device;
    // Who asked may be gone.
    let _ = device.write(&message);
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// `struct fuse_init_out`: protocol 7.31.
fn init() -> Vec<u8> {
    let mut body = words(&[7, 31, 65_536, 0, 16 | 12 << 16, 65_536, 1, 0]);
    body.resize(64, 0);
    body
}

/// `struct fuse_kstatfs`: 1,000 blocks of 4,096 bytes, of which 500 are free.
fn size() -> Vec<u8> {
    let mut body: Vec<u8> = [1_000_u64, 500, 500, 100, 50].iter().flat_map(|value| value.to_le_bytes()).collect();
    body.extend(words(&[4_096, 255, 4_096, 0, 0, 0, 0, 0, 0, 0]));
    body
}

/// `struct fuse_attr_out`: a directory, whose attributes are asked for each time.
fn attributes() -> Vec<u8> {
    let mut body = vec![0; 16];
    body.extend([1_u64, 0, 0, 0, 0, 0].iter().flat_map(|value| value.to_le_bytes()));
    body.extend(words(&[0, 0, 0, 0o040_755, 2, 0, 0, 0, 4_096, 0]));
    body
}
