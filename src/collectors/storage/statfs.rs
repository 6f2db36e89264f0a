//! Sizes of file systems by statfs(2), which may hang.
//!
//! A local file system returns its size from memory, and the reading thread calls statfs(2) itself. On a network file
//! system or FUSE the call may hang until the server responds. Other threads query such mounts ([`crate::blocking`]). A
//! reading waits once for all of them. A mount that does not respond has an error until it does.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::blocking::{BlockingCalls, CallFn, CallOutcome, CallTimeout};
use crate::host::errno::Errno;
use crate::host::{FsStat, Host, Kernel, text};
pub(super) use crate::system::mounts::is_remote;

/// The size, or the error message.
pub(super) type SizeResult = Result<FsStat, String>;

const HANGS: &str = "mountpoint timeout";
const NOT_ASKED: &str = "not asked, as others hang";
/// Minimum and maximum time that a reading waits for all mounts together. The minimum lets a thread start. The maximum
/// is below the hang limit of the readers.
const MIN_TIMEOUT: Duration = Duration::from_millis(10);
const MAX_TIMEOUT: Duration = Duration::from_millis(400);
/// A local file system that takes longer does not respond from memory.
const SLOW: Duration = Duration::from_millis(200);
/// Maximum number of slow local mounts that are remembered.
const MAX_SLOW: usize = 1024;

/// Identity of a mount. Another file system mounted later on the same path has another number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct MountId {
    /// Path at which Taffrail sees it.
    pub(super) path: Arc<Path>,
    /// Device number of the file system.
    pub(super) number: (u32, u32),
}

/// Reads sizes of file systems.
pub(super) struct SizeReader {
    kernel: Arc<dyn Kernel>,
    timeout: Duration,
    questions: BlockingCalls<MountId, Result<FsStat, Errno>>,
    answerer: CallFn<MountId, Result<FsStat, Errno>>,
    /// Local mounts that were slow.
    slow: HashSet<MountId>,
}

impl SizeReader {
    /// Uses the kernel of `host`. A reading waits at most `timeout` for all mounts that may hang.
    pub(super) fn new(host: &Host, timeout: Duration) -> Self {
        /// Maximum number of threads that hang.
        const MAX_THREADS: usize = 64;
        let kernel = host.kernel.clone();
        let answerer = {
            let kernel = kernel.clone();
            move |id: &MountId, _: &_| kernel.statfs(&id.path)
        };
        let questions = host.questions_to_mounts(MAX_THREADS);
        let slow = HashSet::new();
        SizeReader {
            kernel,
            timeout: timeout.clamp(MIN_TIMEOUT, MAX_TIMEOUT),
            questions,
            answerer: Arc::new(answerer),
            slow,
        }
    }

    /// Sizes of these mounts, in order. The flag marks mounts that may hang.
    pub(super) fn read<'p>(&mut self, mounts: impl Iterator<Item = (&'p MountId, bool)>) -> Vec<SizeResult> {
        let (mut sizes, mut deferred, mut indexes) = (Vec::new(), Vec::new(), Vec::new());
        let mut before = Instant::now();
        for (id, may_hang) in mounts {
            if may_hang || (!self.slow.is_empty() && self.slow.contains(id)) {
                indexes.push(sizes.len());
                deferred.push(id.clone());
                sizes.push(Err(String::new()));
                continue;
            }
            sizes.push(self.kernel.statfs(&id.path).map_err(text::reason));
            let now = Instant::now();
            if now - before > SLOW && self.slow.len() < MAX_SLOW {
                self.slow.insert(id.clone());
            }
            before = now;
        }
        let mut hanging = Vec::new();
        if !deferred.is_empty() {
            let outcomes = self.questions.run_all(deferred.clone(), &self.answerer, CallTimeout::from(self.timeout));
            for ((index, id), outcome) in indexes.into_iter().zip(deferred).zip(outcomes) {
                sizes[index] = match outcome {
                    // The error of a network file system after its own timeout.
                    CallOutcome::Hung | CallOutcome::Late(Err(Errno::TIMEDOUT)) => {
                        hanging.push(id);
                        Err(HANGS.to_owned())
                    }
                    CallOutcome::Completed(size) | CallOutcome::Late(size) => size.map_err(text::reason),
                    CallOutcome::NotStarted => Err(NOT_ASKED.to_owned()),
                };
            }
        }
        self.log(hanging);
        sizes
    }

    /// Logs the mounts that hang if they have changed.
    fn log(&self, hanging: Vec<MountId>) {
        let mut logged = self.questions.logged();
        if hanging.is_empty() {
            if let Some(over) = logged.recovered() {
                tracing::info!(collector = "filesystem", "all mounts answer again {over}");
            }
            return;
        }
        let message = message(&hanging);
        if logged.fails(hanging) {
            tracing::warn!(collector = "filesystem", "{message}");
        }
    }
}

/// The log message for mounts that hang. Names the first of them.
fn message(mounts: &[MountId]) -> String {
    const NAMED: usize = 3;
    let names: Vec<String> = mounts.iter().take(NAMED).map(|id| id.path.display().to_string()).collect();
    let (names, more) = (names.join(", "), mounts.len().saturating_sub(NAMED));
    let and_more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!(
        "no answer from {names}{and_more}; they are asked again in the background, and have no sizes until they answer"
    )
}

/// Whether statfs(2) on this file system type may hang, because the type or a layer below it needs a server.
pub(super) fn may_hang(file_system: &str) -> bool {
    is_remote(file_system) || ["autofs", "ecryptfs", "overlay"].contains(&file_system)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::{Condvar, Mutex};

    use super::*;
    use crate::encode::Timestamp;
    use crate::host::{LiveKernel, Roots};

    /// A kernel whose file systems below `/dead` hang until the gate opens.
    #[derive(Default)]
    struct Gated {
        is_open: Mutex<bool>,
        opened: Condvar,
        asked: AtomicUsize,
    }

    impl Gated {
        fn open(&self, is_open: bool) {
            *self.is_open.lock().unwrap() = is_open;
            self.opened.notify_all();
        }
    }

    impl Kernel for Gated {
        fn now(&self) -> Timestamp {
            LiveKernel::default().now()
        }
        fn monotonic(&self) -> Duration {
            LiveKernel::default().monotonic()
        }
        fn statfs(&self, path: &Path) -> Result<FsStat, Errno> {
            self.asked.fetch_add(1, SeqCst);
            if path.starts_with("/dead") {
                drop(self.opened.wait_while(self.is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
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

    fn host() -> (Arc<Gated>, Host) {
        let kernel = Arc::new(Gated::default());
        (kernel.clone(), Host::new(Roots::default(), kernel))
    }

    fn id(path: String) -> MountId {
        MountId { path: Path::new(&path).into(), number: (0, 9) }
    }

    /// Whether these mounts have sizes. All except `/local` may hang.
    fn sizes(reader: &mut SizeReader, mounts: &[MountId]) -> Vec<bool> {
        let may_hang = |id: &MountId| !id.path.starts_with("/local");
        reader.read(mounts.iter().map(|id| (id, may_hang(id)))).iter().map(Result::is_ok).collect()
    }

    /// A reader with a timeout that live mounts meet on any machine.
    fn reader(host: &Host) -> SizeReader {
        SizeReader { timeout: Duration::from_secs(2), ..SizeReader::new(host, MAX_TIMEOUT) }
    }

    #[test]
    fn dead_mounts_cost_their_own_sizes_and_are_asked_once_over_reloads() {
        let (kernel, host) = host();
        let mut reader = reader(&host);
        let mounts = ["/dead/a", "/local", "/dead/b", "/alive/a", "/dead/c"].map(|path| id(path.to_owned()));
        for round in 0..5 {
            assert_eq!(sizes(&mut reader, &mounts), [false, true, false, true, false]);
            // The three hanging mounts are queried once, the others each time.
            assert_eq!(kernel.asked.load(SeqCst), 3 + 2 * (round + 1));
            assert_eq!(host.hanging(), 3);
            assert!(reader.questions.busy_threads() <= 3 + 1, "one for each that hangs, and one for the others");
            reader = super::tests::reader(&host);
        }
        kernel.open(true);
        while sizes(&mut reader, &mounts) != [true; 5] {}
        while host.hanging() > 0 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn those_that_are_mounted_where_a_dead_one_was_are_others() {
        let (kernel, host) = host();
        let mut reader = reader(&host);
        let dead = id("/dead".to_owned());
        assert_eq!(sizes(&mut reader, std::slice::from_ref(&dead)), [false]);
        let successor = MountId { number: (0, 10), ..dead.clone() };
        kernel.open(true);
        // It responds at once, independent of the mount before.
        assert_eq!(sizes(&mut super::tests::reader(&host), &[successor]), [true]);
    }

    #[test]
    fn a_thousand_dead_mounts_have_a_bounded_number_of_threads() {
        let (kernel, host) = host();
        let mut reader = reader(&host);
        let mounts: Vec<MountId> = (0..1000).map(|number| id(format!("/dead/{number}"))).collect();
        for _ in 0..3 {
            assert_eq!(sizes(&mut reader, &mounts), [false; 1000]);
            assert!(reader.questions.busy_threads() <= 64 && host.hanging() <= 64);
        }
        let results = reader.read(mounts.iter().map(|id| (id, true)));
        let with = |error: &str| {
            results.iter().filter(|results| results.as_ref().is_err_and(|results| results == error)).count()
        };
        assert_eq!(with(HANGS) + with(NOT_ASKED), 1000);
        assert!(with(NOT_ASKED) >= 936, "{} were not asked", with(NOT_ASKED));
        kernel.open(true);
        while sizes(&mut reader, &mounts) != [true; 1000] {}
    }

    #[test]
    fn a_line_of_the_log_names_some_of_the_mounts_that_hang() {
        let mounts: Vec<MountId> = ["/a", "/b", "/c", "/d", "/e"].map(|path| id(path.to_owned())).to_vec();
        let rest = "; they are asked again in the background, and have no sizes until they answer";
        assert_eq!(message(&mounts[..1]), format!("no answer from /a{rest}"));
        assert_eq!(message(&mounts), format!("no answer from /a, /b, /c and 2 more{rest}"));
    }

    #[test]
    fn types_that_ask_others_may_hang() {
        for file_system in ["nfs4", "cifs", "fuse", "fuse.sshfs", "9p", "overlay", "autofs"] {
            assert!(may_hang(file_system), "{file_system}");
        }
        for file_system in ["ext4", "xfs", "btrfs", "tmpfs", "zfs", "fusectl"] {
            assert!(!may_hang(file_system), "{file_system}");
        }
        assert!(!is_remote("overlay"), "what is mounted in a container is not behind its root");
    }
}
