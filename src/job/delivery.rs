//! Sends pushes: spooled ones first, then the run's own.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep};

use super::response::PushError;
use super::runs::Runs;
use super::spool::{self, PushRequest, Spool, SpoolLock};
use super::target::{Address, Target, Unsendable};
use crate::gateway::key::Key;

/// Sends pushes to one group.
pub struct Delivery {
    /// The group's address.
    pub address: Address,
    /// How to reach it, or why that is impossible: the file of a token or certificate is invalid.
    pub target: Result<Target, String>,
    /// Where undelivered pushes are stored.
    pub spool: Option<Spool>,
    /// How long to retry.
    pub timeout: Duration,
}

/// The result of a delivery without an error.
#[derive(Debug, PartialEq)]
pub enum Delivered {
    /// The gateway accepted it.
    Arrived,
    /// It is stored for the next run, for this reason.
    Spooled(String),
}

/// Prints a message for the user.
pub fn report(message: &str) {
    crate::say!("taffrail push: {message}");
}

impl Delivery {
    /// Sends a push without storing it.
    ///
    /// # Errors
    /// If it was not accepted.
    pub async fn send(&self, push: &PushRequest) -> Result<(), PushError> {
        match &self.target {
            Ok(target) => target.send(push).await,
            Err(reason) => Err(PushError::Retryable(reason.clone())),
        }
    }

    /// Sends stored pushes, then this one; stores it if it is not accepted and there is a spool.
    ///
    /// # Errors
    /// If it was neither accepted nor stored.
    pub async fn deliver(&self, push: &PushRequest) -> Result<Delivered, String> {
        let url = self.address.url();
        let Some(spool) = &self.spool else {
            let sent = self.send(push).await;
            return sent.map(|()| Delivered::Arrived).map_err(|error| self.did_not_arrive(&error));
        };
        // It is stored before sending, so that it survives a kill.
        let own = match spool.store(push, url) {
            Ok((path, 0)) => path,
            Ok((path, gone)) => {
                report(&format!(
                    "{}: more is kept than it takes; the {gone} oldest are dropped",
                    spool.folder().display()
                ));
                path
            }
            Err(reason) => {
                let sent = self.send(push).await.map(|()| Delivered::Arrived);
                let kept = |error| format!("{}; it could not be kept either: {reason}", self.did_not_arrive(&error));
                return sent.map_err(kept);
            }
        };
        let lock = match wait_for(spool, self.timeout).await {
            Ok(lock) => lock,
            Err(reason) => return Ok(Delivered::Spooled(reason)),
        };
        match self.send_all(spool, &lock, push, &own).await {
            Ok(()) => Ok(Delivered::Arrived),
            Err(PushError::Retryable(reason)) => Ok(Delivered::Spooled(reason)),
            Err(error @ (PushError::Denied(_) | PushError::Foreign(_))) => {
                Err(format!("{}; it is kept for the next run", self.did_not_arrive(&error)))
            }
            Err(refused) => {
                let _ = fs::remove_file(&own);
                Err(self.did_not_arrive(&refused))
            }
        }
    }

    /// The message for a push that was not accepted.
    fn did_not_arrive(&self, error: &PushError) -> String {
        let hint = match error {
            PushError::Foreign(_) if self.address.has_scrape_path() => "; the gateway's URL ends before /metrics",
            _ => "",
        };
        format!("the push to {} did not arrive: {error}{hint}", self.address.url())
    }

    /// Sends all stored pushes up to `own`, in order.
    async fn send_all(&self, spool: &Spool, _: &SpoolLock, push: &PushRequest, own: &Path) -> Result<(), PushError> {
        let mut earlier = Earlier::new(self);
        let kept = spool.list().unwrap_or_default();
        for path in kept.iter().filter(|path| path.as_path() < own) {
            if let Err(reason) = earlier.send(path).await {
                earlier.report_suppressed(spool);
                return Err(PushError::Retryable(reason));
            }
        }
        earlier.report_suppressed(spool);
        self.send(push).await?;
        let _ = fs::remove_file(own);
        Ok(())
    }
}

async fn wait_for(spool: &Spool, timeout: Duration) -> Result<SpoolLock, String> {
    const POLL_INTERVAL: Duration = Duration::from_millis(50);
    let deadline = Instant::now() + timeout;
    loop {
        match spool.lock() {
            Ok(Some(lock)) => return Ok(lock),
            Ok(None) if Instant::now() < deadline => sleep(POLL_INTERVAL).await,
            Ok(None) => return Err("another run still sends what was kept before".to_owned()),
            Err(error) => return Err(format!("{}: it cannot be locked: {error}", spool.folder().display())),
        }
    }
}

/// Stored pushes of earlier runs.
struct Earlier<'d> {
    delivery: &'d Delivery,
    own_group: Option<Key>,
    /// Groups that need a change of credentials or configuration.
    denied: HashSet<Key>,
    reports: Reports,
    /// Number of pushes for other gateways.
    other_gateways: BTreeMap<String, usize>,
    /// Time of the last push to each group; fetched once, on demand.
    last_pushes: Option<Option<HashMap<Key, SystemTime>>>,
}

impl<'d> Earlier<'d> {
    fn new(delivery: &'d Delivery) -> Self {
        let own_group = delivery.address.group_of(&PushRequest::new("POST", Vec::new())).ok();
        Earlier {
            delivery,
            own_group,
            denied: HashSet::new(),
            reports: Reports::default(),
            other_gateways: BTreeMap::new(),
            last_pushes: None,
        }
    }

    /// The push in a file, and its group; `None`, with a report, if this run cannot send it.
    fn read(&mut self, path: &Path) -> Option<(PushRequest, Key)> {
        let read = spool::read(path).map_err(Unsendable::Malformed);
        match read.and_then(|push| Ok((self.delivery.address.group_of(&push)?, push))) {
            Ok((group, push)) => return Some((push, group)),
            Err(Unsendable::OtherGateway(gateway)) => *self.other_gateways.entry(gateway).or_default() += 1,
            Err(Unsendable::Malformed(reason)) => self.reports.add("cannot be sent", &quarantine(path, &reason)),
        }
        None
    }

    /// Sends one push. An error means that the gateway is unreachable; problems of the push itself are reported.
    async fn send(&mut self, path: &PathBuf) -> Result<(), String> {
        let Some((push, group)) = self.read(path) else { return Ok(()) };
        if self.denied.contains(&group) || self.belongs_to_active_run(&group, &push) {
            return Ok(());
        }
        if self.is_superseded(&group, &push, path).await {
            let message = format!("{}: the gateway has a newer push to {group}; it is dropped", path.display());
            self.reports.add("are older than the gateway's", &message);
            let _ = fs::remove_file(path);
            return Ok(());
        }
        match self.delivery.send(&push).await {
            Ok(()) => self.reports.add("have arrived", &format!("a push to {group} that was kept has arrived")),
            Err(error @ (PushError::Denied(_) | PushError::Foreign(_))) => {
                let message = format!("{}: {error}; it stays for a run that may push to {group}", path.display());
                self.reports.add("stay", &message);
                self.denied.insert(group);
                return Ok(());
            }
            Err(PushError::Refused(reason)) => {
                self.reports
                    .add("are dropped, as they are refused", &format!("{} is dropped: {reason}", path.display()));
            }
            // The others would fail too.
            Err(PushError::Retryable(reason)) => return Err(reason),
        }
        let _ = fs::remove_file(path);
        Ok(())
    }

    /// Whether a run of another group is in progress. It sends that group's pushes before its own end: sent now, an
    /// earlier run's report would say that the job is not running.
    fn belongs_to_active_run(&self, group: &Key, push: &PushRequest) -> bool {
        let Some(url) = push.url.as_deref().filter(|_| self.own_group.as_ref() != Some(group)) else { return false };
        Runs::of(url).is_ok_and(|runs| runs.count() > 0)
    }

    /// Whether the group has received a later push, which this older one would overwrite. Aggregated pushes overwrite
    /// nothing.
    async fn is_superseded(&mut self, group: &Key, push: &PushRequest, path: &Path) -> bool {
        /// HTTP dates have a resolution of one second.
        const UNCERTAINTY: Duration = Duration::from_secs(2);
        let adds_up = push.url.as_deref().is_some_and(|url| url.contains("mode=aggregate"));
        let Some(stored_at) = spool::stored_at(path).filter(|_| !adds_up) else { return false };
        if self.last_pushes.is_none() {
            self.last_pushes = Some(match &self.delivery.target {
                Ok(target) => target.last_pushes().await,
                Err(_) => None,
            });
        }
        let last = self.last_pushes.as_ref().and_then(|pushes| pushes.as_ref()?.get(group));
        last.is_some_and(|last| *last > UNIX_EPOCH + stored_at + UNCERTAINTY)
    }

    /// Reports the totals of what was not reported one by one.
    fn report_suppressed(&self, spool: &Spool) {
        self.reports.report_suppressed();
        for (gateway, count) in &self.other_gateways {
            let pushes = if *count == 1 { "1 push waits".to_owned() } else { format!("{count} pushes wait") };
            report(&format!(
                "{}: {pushes} for another gateway, {gateway}; a run with --url {gateway} sends them",
                spool.folder().display()
            ));
        }
    }
}

/// Renames a file that cannot be sent, so that it is reported once. Returns the message.
fn quarantine(path: &Path, reason: &str) -> String {
    let quarantined = path.with_extension("refused");
    match fs::rename(path, &quarantined) {
        Ok(()) => format!("{}: {reason}; it is not sent", quarantined.display()),
        Err(error) => format!("{}: {reason}; it is not sent, and cannot be renamed: {error}", path.display()),
    }
}

/// Limits reports on stored pushes: the first few of each kind, then a count.
#[derive(Default)]
struct Reports(BTreeMap<&'static str, usize>);

impl Reports {
    const MAX_LINES: usize = 5;

    /// Reports a message, unless enough of its kind were.
    fn add(&mut self, kind: &'static str, message: &str) {
        let count = self.0.entry(kind).or_default();
        *count += 1;
        if *count <= Self::MAX_LINES {
            report(message);
        }
    }

    fn report_suppressed(&self) {
        for (kind, count) in self.0.iter().filter(|(_, count)| **count > Self::MAX_LINES) {
            report(&format!("{} more pushes that were kept {kind}", count - Self::MAX_LINES));
        }
    }
}
