//! The D-Bus system bus, through which collectors query services.
//!
//! The bus or a service on it may not respond. A separate thread sends the queries ([`crate::blocking`]). A reading waits
//! once for a service that does not respond; later readings fail at once until it responds again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::backoff::Backoff;
use crate::blocking::{CallFn, CallOutcome, CallTimeout, Heartbeat};
use crate::collectors::framework::{ReadContext, Vocabularies};
use crate::host::dbus::{Bus, Pace};
use crate::host::{Kernel, ReadError};

/// A query to one service.
pub(super) trait Service: Send + 'static {
    /// The result.
    type Data: Clone + Default + Send + 'static;

    /// Queries the service on `bus` for what these vocabularies need.
    ///
    /// # Errors
    /// Why the result is incomplete. The part received so far is used.
    fn query(&mut self, bus: &mut Bus, wanted: Vocabularies, data: &mut Self::Data) -> Result<(), ReadError>;
}

/// The socket of the bus, below the root of the host.
const SOCKET: &str = "/run/dbus/system_bus_socket";
/// How long a reading waits for a response. Two services and the mounts together take less than a second.
const TIMEOUT: CallTimeout = CallTimeout { idle: Duration::from_millis(300), total: Duration::from_secs(4) };
/// Timeout of the first attempt, and the longest timeout after failed attempts.
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(120);

/// A service, queried by a thread that may hang.
pub(super) struct Background<S: Service> {
    asker: Arc<Mutex<Asker<S>>>,
    /// Its number. After a reload, a response may arrive that belongs to another one.
    number: u64,
    /// The union of all requests so far. A response may serve a different reading, so it has to cover them all.
    ever_wanted: Vocabularies,
    is_slow: bool,
    failure: Option<ReadError>,
}

/// The last result for one reader.
#[derive(Clone)]
struct Cached<Data> {
    /// The reader.
    number: u64,
    /// The vocabularies that it covers.
    wanted: Vocabularies,
    data: Data,
    /// Why it is incomplete.
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

    /// Reads the data of the service into `data`.
    ///
    /// # Errors
    /// Why it is incomplete. The same error is returned until the service responds.
    pub(super) fn read(&mut self, cx: &ReadContext<'_>, data: &mut S::Data) -> Result<(), ReadError> {
        /// There is more than one only after a reload.
        const THREADS: usize = 4;
        self.ever_wanted = self.ever_wanted.or(cx.wanted);
        let (number, wanted) = (self.number, if self.is_slow { self.ever_wanted } else { cx.wanted });
        let (asker, kernel) = (self.asker.clone(), cx.host.kernel.clone());
        let answerer: CallFn<PathBuf, Cached<S::Data>> = Arc::new(move |socket: &PathBuf, heartbeat: &Heartbeat| {
            let mut asker = asker.lock().unwrap_or_else(PoisonError::into_inner);
            let mut data = S::Data::default();
            let failure = asker.query(&*kernel, socket, heartbeat, wanted, &mut data).err();
            Cached { number, wanted, data, failure }
        });
        let questions = cx.host.questions(THREADS);
        let socket = cx.host.root_path(SOCKET);
        let silent = ReadError::Silent { what: socket.display().to_string() };
        let response = questions.run_all(vec![socket], &answerer, TIMEOUT).pop();
        self.is_slow = !matches!(response, Some(CallOutcome::Completed(_)));
        let answer = match response {
            Some(CallOutcome::Completed(answer)) => Some(answer),
            Some(CallOutcome::Late(answer)) => {
                Some(answer).filter(|answer| answer.number == number && cx.wanted.and(answer.wanted) == cx.wanted)
            }
            _ => None,
        };
        self.failure = match answer {
            Some(answer) => {
                // Data from before an outage must not appear in one reading and be missing in the next.
                if !matches!(answer.failure, Some(ReadError::Silent { .. })) {
                    *data = answer.data;
                }
                answer.failure
            }
            // The last error: it is logged when it changes.
            None => Some(self.failure.take().unwrap_or(silent)),
        };
        self.failure.clone().map_or(Ok(()), Err)
    }
}

/// The client, which keeps its connection between readings.
struct Asker<S> {
    service: S,
    kept: Option<Bus>,
    /// Timeout of the next attempt.
    patience: Duration,
    backoff: Backoff,
}

impl<S: Service> Asker<S> {
    fn query(
        &mut self,
        kernel: &dyn Kernel,
        socket: &Path,
        heartbeat: &Heartbeat,
        wanted: Vocabularies,
        data: &mut S::Data,
    ) -> Result<(), ReadError> {
        let pace = Pace { silence: self.patience, heartbeat: heartbeat.clone() };
        let response = self.try_to_ask(kernel, socket, pace, wanted, data);
        match &response {
            // A service that does not respond is queried less and less often, with an increasing timeout.
            Err(ReadError::Silent { .. }) => self.patience = self.backoff.pause(),
            _ => {
                self.patience = FIRST.max(heartbeat.longest_gap() * 2);
                self.backoff.reset();
            }
        }
        response
    }

    fn try_to_ask(
        &mut self,
        kernel: &dyn Kernel,
        socket: &Path,
        pace: Pace,
        wanted: Vocabularies,
        data: &mut S::Data,
    ) -> Result<(), ReadError> {
        let mut bus = match self.kept.take() {
            Some(bus) => bus,
            None => Bus::connect(kernel, socket.to_owned(), pace.clone())?,
        };
        bus.allow(pace);
        self.service.query(&mut bus, wanted, data)?;
        // A connection with an error is replaced.
        self.kept = Some(bus);
        Ok(())
    }
}

/// A response that does not match the interface.
pub(super) fn not_understood(service: &str) -> ReadError {
    ReadError::Refused { what: service.to_owned(), reason: "its list cannot be understood".to_owned() }
}
