//! Asking file systems for their size, though one of them may never answer.
//!
//! A local file system answers from memory, and is asked here and now. One whose answer comes over a network, or from a
//! program, may hang in the kernel until the server is back, and its thread with it. Such mounts are asked by other
//! threads ([`crate::ask`]): those that do not answer are waited for once, all together, and then have an error until
//! they answer.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ask::{Answerer, Asked, Patience, Questions};
use crate::host::errno::Errno;
use crate::host::{FsStat, Host, Kernel, text};

/// The size, or why there is none.
pub(super) type Answer = Result<FsStat, String>;

const HANGS: &str = "mountpoint timeout";
const NOT_ASKED: &str = "not asked, as others hang";
/// The shortest that a reading waits, in which a thread gets to ask, and the longest, all together: less than what the
/// readers take for a stall.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(400);
/// A local file system that has answered so late does not answer from memory.
const LATE: Duration = Duration::from_millis(200);
/// As many are remembered.
const MOST_LATE: usize = 1024;

/// A mount, and not another that is there later.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// Where Taffrail sees it.
    pub(super) path: Arc<Path>,
    /// The device number of its file system.
    pub(super) number: (u32, u32),
}

/// Asks file systems for their size.
pub(super) struct Asker {
    kernel: Arc<dyn Kernel>,
    patience: Duration,
    questions: Questions<Place, Result<FsStat, Errno>>,
    answerer: Answerer<Place, Result<FsStat, Errno>>,
    /// Local ones that were late all the same.
    late: HashSet<Place>,
}

impl Asker {
    /// Asks the kernel of `host`, and waits for all mounts that may hang together as long as `timeout`.
    pub(super) fn new(host: &Host, timeout: Duration) -> Self {
        /// As many threads hang at the most.
        const MOST: usize = 64;
        let kernel = host.kernel.clone();
        let answerer = {
            let kernel = kernel.clone();
            move |place: &Place, _: &_| kernel.statfs(&place.path)
        };
        let questions = host.questions(MOST);
        let late = HashSet::new();
        Asker { kernel, patience: timeout.clamp(SHORTEST, LONGEST), questions, answerer: Arc::new(answerer), late }
    }

    /// The sizes of the file systems at these places, of which some may hang.
    pub(super) fn ask<'p>(&mut self, mounts: impl Iterator<Item = (&'p Place, bool)>) -> Vec<Answer> {
        let (mut answers, mut elsewhere, mut places) = (Vec::new(), Vec::new(), Vec::new());
        let mut before = Instant::now();
        for (place, may_hang) in mounts {
            if may_hang || (!self.late.is_empty() && self.late.contains(place)) {
                places.push(answers.len());
                elsewhere.push(place.clone());
                answers.push(Err(String::new()));
                continue;
            }
            answers.push(self.kernel.statfs(&place.path).map_err(text::reason));
            let now = Instant::now();
            if now - before > LATE && self.late.len() < MOST_LATE {
                self.late.insert(place.clone());
            }
            before = now;
        }
        if !elsewhere.is_empty() {
            let asked = self.questions.ask(elsewhere, &self.answerer, Patience::from(self.patience));
            for (place, asked) in places.into_iter().zip(asked) {
                answers[place] = match asked {
                    // What a network file system says that has given up waiting itself.
                    Asked::Hangs | Asked::Late(Err(Errno::TIMEDOUT)) => Err(HANGS.to_owned()),
                    Asked::Now(answer) | Asked::Late(answer) => answer.map_err(text::reason),
                    Asked::NotAsked => Err(NOT_ASKED.to_owned()),
                };
            }
        }
        answers
    }
}

/// Whether a file system of this type may ask somebody else for its size: itself, or those that it is laid over.
pub(super) fn may_hang(file_system: &str) -> bool {
    asks_others(file_system) || ["autofs", "ecryptfs", "overlay"].contains(&file_system)
}

/// Whether what is in a file system of this type is told by a server or a program.
pub(super) fn asks_others(file_system: &str) -> bool {
    const ASK_OTHERS: [&str; 27] = [
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
        "panfs",
        "pvfs2",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
        "vmhgfs",
        "wekafs",
    ];
    file_system.starts_with("fuse.") || ASK_OTHERS.contains(&file_system)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::{Condvar, Mutex};

    use super::*;
    use crate::host::{LiveKernel, Roots, Timestamp};

    /// A kernel whose file systems below `/dead` do not answer before it is told so.
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

    fn place(path: String) -> Place {
        Place { path: Path::new(&path).into(), number: (0, 9) }
    }

    /// Whether these mounts have sizes; all but local ones may hang.
    fn sizes(asker: &mut Asker, places: &[Place]) -> Vec<bool> {
        let may_hang = |place: &Place| !place.path.starts_with("/local");
        asker.ask(places.iter().map(|place| (place, may_hang(place)))).iter().map(Result::is_ok).collect()
    }

    /// An asker who waits long enough for those that are alive, on any machine.
    fn asker(host: &Host) -> Asker {
        Asker { patience: Duration::from_secs(2), ..Asker::new(host, LONGEST) }
    }

    #[test]
    fn dead_mounts_cost_their_own_sizes_and_are_asked_once_over_reloads() {
        let (kernel, host) = host();
        let mut asker = asker(&host);
        let places = ["/dead/a", "/local", "/dead/b", "/alive/a", "/dead/c"].map(|path| place(path.to_owned()));
        for round in 0..5 {
            assert_eq!(sizes(&mut asker, &places), [false, true, false, true, false]);
            // The three that hang once, the others each time.
            assert_eq!(kernel.asked.load(SeqCst), 3 + 2 * (round + 1));
            assert_eq!(host.hanging(), 3);
            assert!(asker.questions.asking() <= 3 + 1, "one for each that hangs, and one for the others");
            asker = super::tests::asker(&host);
        }
        kernel.open(true);
        while sizes(&mut asker, &places) != [true; 5] {}
        while host.hanging() > 0 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn those_that_are_mounted_where_a_dead_one_was_are_others() {
        let (kernel, host) = host();
        let mut asker = asker(&host);
        let dead = place("/dead".to_owned());
        assert_eq!(sizes(&mut asker, std::slice::from_ref(&dead)), [false]);
        let successor = Place { number: (0, 10), ..dead.clone() };
        kernel.open(true);
        // It answers at once, whatever became of the other.
        assert_eq!(sizes(&mut super::tests::asker(&host), &[successor]), [true]);
    }

    #[test]
    fn a_thousand_dead_mounts_have_a_bounded_number_of_threads() {
        let (kernel, host) = host();
        let mut asker = asker(&host);
        let places: Vec<Place> = (0..1000).map(|number| place(format!("/dead/{number}"))).collect();
        for _ in 0..3 {
            assert_eq!(sizes(&mut asker, &places), [false; 1000]);
            assert!(asker.questions.asking() <= 64 && host.hanging() <= 64);
        }
        let told = asker.ask(places.iter().map(|place| (place, true)));
        let with = |error: &str| told.iter().filter(|told| told.as_ref().is_err_and(|told| told == error)).count();
        assert_eq!(with(HANGS) + with(NOT_ASKED), 1000);
        assert!(with(NOT_ASKED) >= 936, "{} were not asked", with(NOT_ASKED));
        kernel.open(true);
        while sizes(&mut asker, &places) != [true; 1000] {}
    }

    #[test]
    fn types_that_ask_others_may_hang() {
        for file_system in ["nfs4", "cifs", "fuse", "fuse.sshfs", "9p", "overlay", "autofs"] {
            assert!(may_hang(file_system), "{file_system}");
        }
        for file_system in ["ext4", "xfs", "btrfs", "tmpfs", "zfs", "fusectl"] {
            assert!(!may_hang(file_system), "{file_system}");
        }
        assert!(!asks_others("overlay"), "what is mounted in a container is not behind its root");
    }
}
