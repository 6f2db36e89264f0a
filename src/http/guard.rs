//! What stands before the endpoints, in force: TLS, who may ask, headers, a rate. Read again when its files change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hyper::HeaderMap;
use rustls::ServerConfig;

use super::access::Access;
use super::protection::{Origin, Protection, Rate};
use super::tls::Tls;
use super::web_config;
use crate::system::Stamp;

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

fn stamp(path: &Path) -> Watch {
    (path.to_owned(), path.metadata().ok().map(|metadata| Stamp::from(&metadata)))
}

/// What holds, kept up to date with the files that it comes from.
pub struct Guard {
    origin: Origin,
    in_force: ArcSwap<InForce>,
    watched: Mutex<Watched>,
}

struct Watched {
    looked: Instant,
    stamps: Vec<Watch>,
}

impl Guard {
    /// What `origin` asks for.
    ///
    /// # Errors
    /// Why that cannot be had.
    pub fn new(origin: Origin) -> Result<Guard, String> {
        let (in_force, stamps) = load(&origin)?;
        let watched = Mutex::new(Watched { looked: Instant::now(), stamps });
        Ok(Guard { origin, in_force: ArcSwap::from_pointee(in_force), watched })
    }

    /// What lets everybody in.
    pub fn open() -> Guard {
        let in_force = InForce { tls: None, access: Access::new(Vec::new()), headers: HeaderMap::new(), bucket: None };
        let watched = Mutex::new(Watched { looked: Instant::now(), stamps: Vec::new() });
        let origin = Origin::Own(Box::default());
        Guard { origin, in_force: ArcSwap::from_pointee(in_force), watched }
    }

    /// Where it stands.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What holds now. Files are looked at once a second at most; what is wrong in them is told once, and what was
    /// before holds on.
    pub fn in_force(&self) -> Arc<InForce> {
        const EVERY: Duration = Duration::from_secs(1);
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.stamps.is_empty() || watched.looked.elapsed() < EVERY {
            return self.in_force.load_full();
        }
        watched.looked = Instant::now();
        let now: Vec<Watch> = watched.stamps.iter().map(|(path, _)| stamp(path)).collect();
        if now != watched.stamps {
            match load(&self.origin) {
                Ok((in_force, stamps)) => {
                    tracing::info!("certificates and users were read again");
                    self.in_force.store(Arc::new(in_force));
                    watched.stamps = stamps;
                }
                Err(error) => {
                    tracing::error!("certificates and users stay as they were: {error}");
                    watched.stamps = now;
                }
            }
        }
        self.in_force.load_full()
    }
}

fn load(origin: &Origin) -> Result<(InForce, Vec<Watch>), String> {
    let mut stamps = Vec::new();
    let protection = match origin {
        Origin::Own(protection) => Protection::clone(protection),
        Origin::WebConfig(path) => {
            stamps.push(stamp(path));
            web_config::load(path)?
        }
    };
    stamps.extend(protection.tls.iter().flat_map(Tls::files).map(stamp));
    let tls = protection.tls.as_ref().map(Tls::load).transpose()?;
    let bucket =
        protection.rate.map(|rate| Mutex::new(Bucket { rate, tokens: rate.burst as f64, filled: Instant::now() }));
    let in_force = InForce { tls, access: Access::new(protection.users), headers: protection.headers, bucket };
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
