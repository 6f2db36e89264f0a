//! The protection in force: TLS, users, headers, rate limit. Reloaded when its files change.

use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hyper::HeaderMap;
use rustls::ServerConfig;
use tokio::task::spawn_blocking;

use super::access::Access;
use super::protection::{Origin, Protection, Rate};
use super::tls::Tls;
use super::web_config;
use crate::log::Episode;
use crate::system::Stamp;
use crate::system::regular_file::{READ_TIMEOUT, RegularFileError, within};

/// The protection of new connections and requests.
pub struct InForce {
    /// TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// Users.
    pub access: Access,
    /// Headers of every response.
    pub headers: HeaderMap,
    bucket: Option<Mutex<Bucket>>,
}

struct Bucket {
    rate: Rate,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let gained = now.duration_since(self.filled).as_secs_f64() / self.rate.interval.as_secs_f64();
        self.tokens = (self.tokens + gained).min(self.rate.burst as f64);
        self.filled = now;
        let is_there = self.tokens >= 1.0;
        if is_there {
            self.tokens -= 1.0;
        }
        is_there
    }
}

impl InForce {
    /// Whether one more request is within the rate limit.
    pub fn is_within_rate(&self) -> bool {
        let Some(bucket) = &self.bucket else { return true };
        bucket.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now())
    }
}

/// A file with its stamp; none if it is absent.
type Watch = (PathBuf, Option<Stamp>);

fn stamp(path: &Path) -> Result<Watch, RegularFileError> {
    let named = path.to_owned();
    let found = within(path, READ_TIMEOUT, move || named.metadata().ok().map(|metadata| Stamp::from(&metadata)));
    match found {
        Ok(stamp) => Ok((path.to_owned(), stamp)),
        Err(reason) => Err(RegularFileError { path: path.to_owned(), reason }),
    }
}

/// The protection, state up to date with its files.
pub struct Guard {
    state: Arc<State>,
}

struct State {
    origin: Origin,
    in_force: ArcSwap<InForce>,
    watched: Mutex<Watched>,
}

struct Watched {
    checked_at: Instant,
    /// Whether a check of the files is in progress.
    is_checking: bool,
    stamps: Vec<Watch>,
    /// Whether their file system hangs.
    hanging: Episode<()>,
}

impl Guard {
    /// Loads the protection from `origin`.
    ///
    /// # Errors
    /// If a file cannot be loaded.
    pub fn new(origin: Origin) -> Result<Guard, String> {
        let (in_force, stamps) = load(&origin, None)?;
        Ok(Guard { state: Arc::new(State::new(origin, in_force, stamps)) })
    }

    /// Without any protection.
    pub fn open() -> Guard {
        let in_force =
            InForce { tls: None, access: Access::new(Vec::new(), None), headers: HeaderMap::new(), bucket: None };
        Guard { state: Arc::new(State::new(Origin::Own(Box::default()), in_force, Vec::new())) }
    }

    /// Loads the protection from `origin`, reusing this one if its origin is the same. Files are read unconditionally,
    /// on a thread of their own.
    ///
    /// # Errors
    /// As [`Guard::new`].
    pub async fn renewed(self: &Arc<Guard>, origin: Origin) -> Result<Arc<Guard>, String> {
        let guard = self.clone();
        let renew = move || match origin == guard.state.origin {
            true => guard.state.read_again().map(|()| guard),
            false => Guard::new(origin).map(Arc::new),
        };
        let renewed = spawn_blocking(renew).await;
        renewed.unwrap_or_else(|failed| Err(format!("certificates and users cannot be read: {failed}")))
    }

    /// The protection in force. Checks the files at most once a second. An error is logged once and leaves the protection
    /// unchanged. The caller waits for the check, but not for a hanging file system.
    pub fn in_force(&self) -> Arc<InForce> {
        if self.state.is_due() {
            self.check();
        }
        self.state.in_force.load_full()
    }

    fn check(&self) {
        /// A check takes less than a millisecond; more under load or on a network file system.
        const CHECK_TIMEOUT: Duration = Duration::from_millis(50);
        let (done, is_done) = channel();
        let guarded = self.state.clone();
        let check = move || {
            let _check = Check(&guarded);
            guarded.check();
            let _ = done.send(());
        };
        match thread::Builder::new().name("certificates".to_owned()).spawn(check) {
            Ok(_) => drop(is_done.recv_timeout(CHECK_TIMEOUT)),
            Err(_) => self.state.watched().is_checking = false,
        }
    }
}

/// A check in progress. Dropping it ends the check, even after a panic.
struct Check<'s>(&'s State);

impl Drop for Check<'_> {
    fn drop(&mut self) {
        self.0.watched().is_checking = false;
    }
}

impl State {
    fn new(origin: Origin, in_force: InForce, stamps: Vec<Watch>) -> Self {
        let watched = Watched { checked_at: Instant::now(), is_checking: false, stamps, hanging: Episode::default() };
        State { origin, in_force: ArcSwap::from_pointee(in_force), watched: Mutex::new(watched) }
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a check is due. If so, the caller must make it.
    fn is_due(&self) -> bool {
        const EVERY: Duration = Duration::from_secs(1);
        let mut watched = self.watched();
        if watched.stamps.is_empty() || watched.is_checking || watched.checked_at.elapsed() < EVERY {
            return false;
        }
        watched.checked_at = Instant::now();
        watched.is_checking = true;
        true
    }

    fn check(&self) {
        let before = self.watched().stamps.clone();
        let now: Result<Vec<Watch>, _> = before.iter().map(|(path, _)| stamp(path)).collect();
        match now {
            Err(error) => {
                if self.watched().hanging.fails(()) {
                    tracing::error!("certificates and users stay as they were: {error}");
                }
            }
            Ok(now) => {
                if let Some(over) = self.watched().hanging.recovered() {
                    tracing::info!("certificates and users can be looked at again {over}");
                }
                if now != before {
                    self.load(now);
                }
            }
        }
    }

    /// Reloads the files.
    fn read_again(&self) -> Result<(), String> {
        let (in_force, stamps) = load(&self.origin, Some(&self.in_force.load().access))?;
        self.in_force.store(Arc::new(in_force));
        self.watched().stamps = stamps;
        Ok(())
    }

    /// Reloads the files, whose stamps are `now`.
    fn load(&self, now: Vec<Watch>) {
        match self.read_again() {
            Ok(()) => tracing::info!("certificates and users were read again"),
            Err(error) => {
                tracing::error!("certificates and users stay as they were: {error}");
                self.watched().stamps = now;
            }
        }
    }
}

fn load(origin: &Origin, before: Option<&Access>) -> Result<(InForce, Vec<Watch>), String> {
    let mut stamps = Vec::new();
    let protection = match origin {
        Origin::Own(protection) => Protection::clone(protection),
        Origin::WebConfig(path) => {
            stamps.push(stamp(path).map_err(|error| error.to_string())?);
            web_config::load(path)?
        }
    };
    for path in protection.tls.iter().flat_map(Tls::files) {
        stamps.push(stamp(path).map_err(|error| error.to_string())?);
    }
    let tls = protection.tls.as_ref().map(Tls::load).transpose()?;
    let bucket =
        protection.rate.map(|rate| Mutex::new(Bucket { rate, tokens: rate.burst as f64, filled: Instant::now() }));
    let in_force = InForce { tls, access: Access::new(protection.users, before), headers: protection.headers, bucket };
    Ok((in_force, stamps))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_a_burst_and_fills_by_time() {
        let start = Instant::now();
        let rate = Rate { interval: Duration::from_millis(100), burst: 2 };
        let mut bucket = Bucket { rate, tokens: 2.0, filled: start };
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        let taken: Vec<bool> = [0, 0, 0, 150, 150, 900, 900, 900].map(|time| bucket.take(after(time))).to_vec();
        assert_eq!(taken, [true, true, false, true, false, true, true, false]);
    }
}
