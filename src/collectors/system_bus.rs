//! The host's message bus, to which services are connected that collectors ask.
//!
//! A bus may be silent, and so may a service on it. It is asked by another thread ([`crate::ask`]): one that does not
//! answer is waited for once, and then fails at once until it does.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{ReadContext, Vocabularies};
use crate::ask::{Answerer, Asked, Headway, Patience};
use crate::backoff::Backoff;
use crate::host::dbus::{Bus, Pace};
use crate::host::{Kernel, ReadError};

/// What is asked of a service.
pub(super) trait Service: Send + 'static {
    /// What it tells.
    type Told: Clone + Default + Send + 'static;

    /// Asks the service on `bus` for what these vocabularies have.
    ///
    /// # Errors
    /// Why it does not tell all; what it has told by then is used.
    fn ask(&mut self, bus: &mut Bus, wanted: Vocabularies, told: &mut Self::Told) -> Result<(), ReadError>;
}

/// Where the bus listens, below the host's root.
const SOCKET: &str = "/run/dbus/system_bus_socket";
/// How long a reading waits for an answer. Two services and the mounts together are waited for less than a second.
const PATIENCE: Patience = Patience { silence: Duration::from_millis(300), whole: Duration::from_secs(4) };
/// How long the first attempt waits for an answer, and the last of those that were in vain.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(120);

/// A service, asked by a thread that may hang.
pub(super) struct Background<S: Service> {
    asker: Arc<Mutex<Asker<S>>>,
    /// Which it is: after a reload another answer may come that was not for this one.
    number: u64,
    /// All that was ever wanted, which is asked for where the answer may be for another reading.
    ever_wanted: Vocabularies,
    is_slow: bool,
    failure: Option<ReadError>,
}

/// What somebody was told.
#[derive(Clone)]
struct Answer<Told> {
    /// Who.
    number: u64,
    /// For which vocabularies.
    wanted: Vocabularies,
    told: Told,
    /// Why it is not all.
    failure: Option<ReadError>,
}

impl<S: Service> Background<S> {
    pub(super) fn new(service: S) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let asker = Asker { service, kept: None, patience: FIRST, backoff: Backoff::new(FIRST * 2, LAST) };
        Background {
            asker: Arc::new(Mutex::new(asker)),
            number: NUMBER.fetch_add(1, Relaxed),
            ever_wanted: Vocabularies::NONE,
            is_slow: false,
            failure: None,
        }
    }

    /// Reads into `told` what the service tells.
    ///
    /// # Errors
    /// Why that is not all; the same for as long as the service does not answer.
    pub(super) fn read(&mut self, cx: &ReadContext<'_>, told: &mut S::Told) -> Result<(), ReadError> {
        /// Only after a reload more than one are there.
        const THREADS: usize = 4;
        self.ever_wanted = self.ever_wanted.or(cx.wanted);
        let (number, wanted) = (self.number, if self.is_slow { self.ever_wanted } else { cx.wanted });
        let (asker, kernel) = (self.asker.clone(), cx.host.kernel.clone());
        let answerer: Answerer<PathBuf, Answer<S::Told>> = Arc::new(move |socket: &PathBuf, headway: &Headway| {
            let mut asker = asker.lock().unwrap_or_else(PoisonError::into_inner);
            let mut told = S::Told::default();
            let failure = asker.ask(&*kernel, socket, headway, wanted, &mut told).err();
            Answer { number, wanted, told, failure }
        });
        let questions = cx.host.questions(THREADS);
        let socket = cx.host.root_path(SOCKET);
        let silent = ReadError::Silent { what: socket.display().to_string() };
        let asked = questions.ask(vec![socket], &answerer, PATIENCE).pop();
        self.is_slow = !matches!(asked, Some(Asked::Now(_)));
        let answer = match asked {
            Some(Asked::Now(answer)) => Some(answer),
            Some(Asked::Late(answer)) => {
                Some(answer).filter(|answer| answer.number == number && cx.wanted.and(answer.wanted) == cx.wanted)
            }
            _ => None,
        };
        self.failure = match answer {
            Some(answer) => {
                // What was told before a silence is not told at one reading and left out at the next.
                if !matches!(answer.failure, Some(ReadError::Silent { .. })) {
                    *told = answer.told;
                }
                answer.failure
            }
            // What was said last: the log is told when it changes.
            None => Some(self.failure.take().unwrap_or(silent)),
        };
        self.failure.clone().map_or(Ok(()), Err)
    }
}

/// Whoever asks, with a connection that is kept from one reading to the next.
struct Asker<S> {
    service: S,
    kept: Option<Bus>,
    /// How long the next attempt waits for an answer.
    patience: Duration,
    backoff: Backoff,
}

impl<S: Service> Asker<S> {
    fn ask(
        &mut self,
        kernel: &dyn Kernel,
        socket: &Path,
        headway: &Headway,
        wanted: Vocabularies,
        told: &mut S::Told,
    ) -> Result<(), ReadError> {
        let pace = Pace { silence: self.patience, headway: headway.clone() };
        let asked = self.try_to_ask(kernel, socket, pace, wanted, told);
        match &asked {
            // Who is silent is asked less and less often, and waited for each time longer.
            Err(ReadError::Silent { .. }) => self.patience = self.backoff.pause(),
            _ => {
                self.patience = FIRST.max(headway.longest_silence() * 2);
                self.backoff.reset();
            }
        }
        asked
    }

    fn try_to_ask(
        &mut self,
        kernel: &dyn Kernel,
        socket: &Path,
        pace: Pace,
        wanted: Vocabularies,
        told: &mut S::Told,
    ) -> Result<(), ReadError> {
        let mut bus = match self.kept.take() {
            Some(bus) => bus,
            None => Bus::connect(kernel, socket.to_owned(), pace.clone())?,
        };
        bus.allow(pace);
        self.service.ask(&mut bus, wanted, told)?;
        // Another, on which not all went well, is better made anew.
        self.kept = Some(bus);
        Ok(())
    }
}

/// That a service answers otherwise than its interface says.
pub(super) fn not_understood(service: &str) -> ReadError {
    ReadError::Refused { what: service.to_owned(), reason: "its list cannot be understood".to_owned() }
}
