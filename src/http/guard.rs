//! What stands before the endpoints, in force: TLS, who may ask, headers, a rate. Read again when its files change.

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
use crate::system::regular_file::{PATIENCE, RegularFileError, within};

/// What holds for connections and requests at one moment.
pub struct InForce {
    /// TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// Who may ask.
    pub access: Access,
    /// Headers of every answer.
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
    /// Whether one more request may be answered.
    pub fn has_room(&self) -> bool {
        let Some(bucket) = &self.bucket else { return true };
        bucket.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now())
    }
}

/// A file, and how to know whether it has changed; nothing if it is not there.
type Watch = (PathBuf, Option<Stamp>);

fn stamp(path: &Path) -> Result<Watch, RegularFileError> {
    let named = path.to_owned();
    let found = within(path, PATIENCE, move || named.metadata().ok().map(|metadata| Stamp::from(&metadata)));
    match found {
        Ok(stamp) => Ok((path.to_owned(), stamp)),
        Err(reason) => Err(RegularFileError { path: path.to_owned(), reason }),
    }
}

/// What holds, kept up to date with the files that it comes from.
pub struct Guard {
    kept: Arc<Kept>,
}

struct Kept {
    origin: Origin,
    in_force: ArcSwap<InForce>,
    watched: Mutex<Watched>,
}

struct Watched {
    looked: Instant,
    /// Whether somebody looks at the files at the moment.
    is_looked_at: bool,
    stamps: Vec<Watch>,
    /// Whether their file system does not answer.
    hanging: Episode<()>,
}

impl Guard {
    /// What `origin` asks for.
    ///
    /// # Errors
    /// Why that cannot be had.
    pub fn new(origin: Origin) -> Result<Guard, String> {
        let (in_force, stamps) = load(&origin, None)?;
        Ok(Guard { kept: Arc::new(Kept::new(origin, in_force, stamps)) })
    }

    /// What lets everybody in.
    pub fn open() -> Guard {
        let in_force =
            InForce { tls: None, access: Access::new(Vec::new(), None), headers: HeaderMap::new(), bucket: None };
        Guard { kept: Arc::new(Kept::new(Origin::Own(Box::default()), in_force, Vec::new())) }
    }

    /// What `origin` asks for: this one, if it stands there, with its files read again, whether they seem to have changed or
    /// not; or another. They are read off the thread that serves.
    ///
    /// # Errors
    /// As [`Guard::new`].
    pub async fn renewed(self: &Arc<Guard>, origin: Origin) -> Result<Arc<Guard>, String> {
        let guard = self.clone();
        let renew = move || match origin == guard.kept.origin {
            true => guard.kept.read_again().map(|()| guard),
            false => Guard::new(origin).map(Arc::new),
        };
        let renewed = spawn_blocking(renew).await;
        renewed.unwrap_or_else(|failed| Err(format!("certificates and users cannot be read: {failed}")))
    }

    /// What holds now. Files are looked at once a second at most; what is wrong in them is told once, and what was
    /// before holds on. Whoever asks waits for the look, but not for a file system that hangs.
    pub fn in_force(&self) -> Arc<InForce> {
        if self.kept.is_due() {
            self.look();
        }
        self.kept.in_force.load_full()
    }

    fn look(&self) {
        /// A look takes less than a millisecond; under load, or where a file is behind a network, it may take longer.
        const A_MOMENT: Duration = Duration::from_millis(50);
        let (done, is_done) = channel();
        let kept = self.kept.clone();
        let looking = move || {
            let _looking = Looking(&kept);
            kept.look();
            let _ = done.send(());
        };
        match thread::Builder::new().name("certificates".to_owned()).spawn(looking) {
            Ok(_) => drop(is_done.recv_timeout(A_MOMENT)),
            Err(_) => self.kept.watched().is_looked_at = false,
        }
    }
}

/// Whoever looks at the files; by being dropped he is done, however it went.
struct Looking<'k>(&'k Kept);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.watched().is_looked_at = false;
    }
}

impl Kept {
    fn new(origin: Origin, in_force: InForce, stamps: Vec<Watch>) -> Self {
        let watched = Watched { looked: Instant::now(), is_looked_at: false, stamps, hanging: Episode::default() };
        Kept { origin, in_force: ArcSwap::from_pointee(in_force), watched: Mutex::new(watched) }
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the files are to be looked at, which is then up to whoever asked.
    fn is_due(&self) -> bool {
        const EVERY: Duration = Duration::from_secs(1);
        let mut watched = self.watched();
        if watched.stamps.is_empty() || watched.is_looked_at || watched.looked.elapsed() < EVERY {
            return false;
        }
        watched.looked = Instant::now();
        watched.is_looked_at = true;
        true
    }

    fn look(&self) {
        let before = self.watched().stamps.clone();
        let now: Result<Vec<Watch>, _> = before.iter().map(|(path, _)| stamp(path)).collect();
        match now {
            Err(error) => {
                if self.watched().hanging.fails(()) {
                    tracing::error!("certificates and users stay as they were: {error}");
                }
            }
            Ok(now) => {
                if let Some(over) = self.watched().hanging.is_well() {
                    tracing::info!("certificates and users can be looked at again {over}");
                }
                if now != before {
                    self.load(now);
                }
            }
        }
    }

    /// Takes what the files say now.
    fn read_again(&self) -> Result<(), String> {
        let (in_force, stamps) = load(&self.origin, Some(&self.in_force.load().access))?;
        self.in_force.store(Arc::new(in_force));
        self.watched().stamps = stamps;
        Ok(())
    }

    /// Takes what the files say now, when they look like `now`.
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
        let begun = Instant::now();
        let rate = Rate { interval: Duration::from_millis(100), burst: 2 };
        let mut bucket = Bucket { rate, tokens: 2.0, filled: begun };
        let after = |milliseconds| begun + Duration::from_millis(milliseconds);
        let taken: Vec<bool> = [0, 0, 0, 150, 150, 900, 900, 900].map(|time| bucket.take(after(time))).to_vec();
        assert_eq!(taken, [true, true, false, true, false, true, true, false]);
    }
}
