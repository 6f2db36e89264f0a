//! Asking file systems for their size, though one of them may never answer.
//!
//! A local file system answers from memory. One whose answer comes over a network, or from a program, may hang in the
//! kernel until the server is back, and its thread with it. Such mounts are asked by a helper thread, one after the
//! other; when one hangs, the helper is left to it and another goes on with the rest. A mount that hangs is not asked
//! again until the helper comes back: one thread in all, however often it is scraped.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::host::errno::Errno;

use crate::host::{FsStat, Kernel, text};

/// The size, or why there is none.
pub(super) type Answer = Result<FsStat, String>;

const HANGS: &str = "mountpoint timeout";
/// A helper that has not answered for this long is left to its mount.
const STALL: Duration = Duration::from_millis(200);

/// Asks file systems for their size.
pub(super) struct Asker {
    kernel: Arc<dyn Kernel>,
    timeout: Duration,
    helper: Option<Helper>,
    /// The mounts that hang, each with the helper that is left to it.
    hanging: HashMap<PathBuf, Helper>,
}

struct Helper {
    questions: Sender<PathBuf>,
    answers: Receiver<Result<FsStat, Errno>>,
}

impl Helper {
    fn start(kernel: Arc<dyn Kernel>) -> Option<Helper> {
        let (questions, asked) = channel::<PathBuf>();
        let (answered, answers) = channel();
        let serve = move || {
            while let Ok(path) = asked.recv() {
                if answered.send(kernel.statfs(&path)).is_err() {
                    break;
                }
            }
        };
        thread::Builder::new().name("statfs".to_owned()).spawn(serve).ok()?;
        Some(Helper { questions, answers })
    }
}

impl Asker {
    /// Asks `kernel`, and waits for all mounts that may hang together as long as `timeout`.
    pub(super) fn new(kernel: Arc<dyn Kernel>, timeout: Duration) -> Self {
        Asker { kernel, timeout, helper: None, hanging: HashMap::new() }
    }

    /// The sizes of the file systems mounted at these paths and of these types.
    pub(super) fn ask(&mut self, mounts: &[(&Path, &str)]) -> Vec<Answer> {
        let deadline = Instant::now() + self.timeout;
        self.hanging.retain(|path, _| mounts.iter().any(|(mount, _)| mount == path));
        let mut answers: Vec<Answer> = Vec::with_capacity(mounts.len());
        for (path, file_system) in mounts {
            answers.push(if may_hang(file_system) { self.ask_helper(path, deadline) } else { self.ask_here(path) });
        }
        for ((path, _), answer) in mounts.iter().zip(&mut answers) {
            if answer.is_err() && self.hanging.contains_key(*path) {
                *answer = self.wait_for(path, deadline);
            }
        }
        answers
    }

    fn ask_here(&self, path: &Path) -> Answer {
        self.kernel.statfs(path).map_err(text::reason)
    }

    fn ask_helper(&mut self, path: &Path, deadline: Instant) -> Answer {
        if self.hanging.contains_key(path) {
            // It may have answered in the meantime; then it is asked anew.
            if self.wait_for(path, Instant::now()).is_err_and(|error| error == HANGS) {
                return Err(HANGS.to_owned());
            }
        }
        if Instant::now() >= deadline {
            return Err(HANGS.to_owned());
        }
        let helper = self.helper.take().or_else(|| Helper::start(self.kernel.clone()));
        let Some(helper) = helper else { return Err("no thread to ask with".to_owned()) };
        if helper.questions.send(path.to_owned()).is_err() {
            return Err("no thread to ask with".to_owned());
        }
        match helper.answers.recv_timeout(STALL) {
            Ok(answer) => {
                self.helper = Some(helper);
                answer.map_err(text::reason)
            }
            Err(_) => {
                self.hanging.insert(path.to_owned(), helper);
                Err(HANGS.to_owned())
            }
        }
    }

    fn wait_for(&mut self, path: &Path, deadline: Instant) -> Answer {
        let Some(helper) = self.hanging.get(path) else { return Err(HANGS.to_owned()) };
        match helper.answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(answer) => {
                self.helper = self.hanging.remove(path);
                answer.map_err(text::reason)
            }
            Err(RecvTimeoutError::Timeout) => Err(HANGS.to_owned()),
            Err(RecvTimeoutError::Disconnected) => {
                self.hanging.remove(path);
                Err("no thread to ask with".to_owned())
            }
        }
    }
}

/// Whether a file system of this type asks somebody else for its size.
fn may_hang(file_system: &str) -> bool {
    const ASK_OTHERS: [&str; 22] = [
        "9p",
        "acfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "davfs",
        "fuse",
        "fuseblk",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "smb3",
        "smbfs",
        "virtiofs",
    ];
    file_system.starts_with("fuse.") || ASK_OTHERS.contains(&file_system)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::host::{LiveKernel, Timestamp};

    /// A kernel whose file systems below `/dead` hang until the gate opens.
    struct Gated {
        gate: Mutex<Receiver<()>>,
    }

    impl Kernel for Gated {
        fn now(&self) -> Timestamp {
            LiveKernel::default().now()
        }
        fn monotonic(&self) -> Duration {
            LiveKernel::default().monotonic()
        }
        fn statfs(&self, path: &Path) -> Result<FsStat, Errno> {
            if path.starts_with("/dead") {
                let _ = self.gate.lock().unwrap().recv();
            }
            Ok(FsStat { blocks: 1, ..FsStat::default() })
        }
        fn machine(&self) -> String {
            String::new()
        }
        fn hostname(&self) -> String {
            String::new()
        }
        fn page_size(&self) -> u64 {
            4096
        }
    }

    fn threads() -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        tasks.map(name).filter(|name| name.trim() == "statfs").count()
    }

    #[test]
    fn a_dead_mount_costs_its_own_size_and_one_thread_until_it_answers_again() {
        let (open, gate) = channel::<()>();
        let mut asker = Asker::new(Arc::new(Gated { gate: Mutex::new(gate) }), Duration::from_millis(300));
        let mounts = || [(Path::new("/dead/nfs"), "nfs4"), (Path::new("/alive/nfs"), "nfs4"), (Path::new("/"), "ext4")];
        let alive = |answers: Vec<Answer>| answers.iter().map(Result::is_ok).collect::<Vec<_>>();
        for _ in 0..5 {
            assert_eq!(alive(asker.ask(&mounts())), [false, true, true]);
            assert_eq!(threads(), 2, "one for the dead mount, one for the others");
        }
        drop(open);
        while alive(asker.ask(&mounts())) != [true, true, true] {}
        assert!(asker.hanging.is_empty());
    }
}
