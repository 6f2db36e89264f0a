//! Sending pushes: those that were kept before first, then a run's own.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep};

use super::running::Runs;
use super::spool::{self, Kept, Spool, SpoolLock};
use super::target::{Address, NotOurs, PushError, Target};
use crate::gateway::key::Key;

/// What sends pushes to one group.
pub struct Delivery {
    /// The group.
    pub address: Address,
    /// How to reach it, or why it cannot be reached: a file with a token or a certificate is not as it should be.
    pub target: Result<Target, String>,
    /// Where pushes wait.
    pub spool: Option<Spool>,
    /// How long to try.
    pub timeout: Duration,
}

/// What became of a push that is no error.
#[derive(Debug, PartialEq)]
pub enum Delivered {
    /// The gateway has it.
    Arrived,
    /// It is kept for the next run, and why.
    Kept(String),
}

/// Tells the user, if anybody listens.
pub fn report(message: &str) {
    crate::say!("taffrail push: {message}");
}

impl Delivery {
    /// Sends a push, and does not keep it.
    ///
    /// # Errors
    /// Why it did not arrive.
    pub async fn send(&self, push: &Kept) -> Result<(), PushError> {
        match &self.target {
            Ok(target) => target.send(push).await,
            Err(reason) => Err(PushError::Later(reason.clone())),
        }
    }

    /// Sends what was kept before, then this; keeps it if it does not arrive and there is a place.
    ///
    /// # Errors
    /// Why it did not arrive, and is not kept either.
    pub async fn deliver(&self, push: &Kept) -> Result<Delivered, String> {
        let url = self.address.url();
        let Some(spool) = &self.spool else {
            let sent = self.send(push).await;
            return sent.map(|()| Delivered::Arrived).map_err(|error| did_not_arrive(url, &error));
        };
        // It is kept before it is sent, so that nothing is lost whatever happens meanwhile.
        let own = match spool.keep(push, url) {
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
                let kept = |error| format!("{}; it could not be kept either: {reason}", did_not_arrive(url, &error));
                return sent.map_err(kept);
            }
        };
        let Some(lock) = wait_for(spool, self.timeout).await else {
            return Ok(Delivered::Kept("another run still sends what was kept before".to_owned()));
        };
        match self.send_all(spool, &lock, push, &own).await {
            Ok(()) => Ok(Delivered::Arrived),
            Err(PushError::Later(reason)) => Ok(Delivered::Kept(reason)),
            Err(denied @ PushError::Denied(_)) => {
                Err(format!("{}; it is kept for the next run", did_not_arrive(url, &denied)))
            }
            Err(refused) => {
                let _ = fs::remove_file(&own);
                Err(did_not_arrive(url, &refused))
            }
        }
    }

    /// Sends all that is kept up to `own`, in order: nothing overtakes what was kept before it.
    async fn send_all(&self, spool: &Spool, _: &SpoolLock, push: &Kept, own: &Path) -> Result<(), PushError> {
        let mut earlier = Earlier::new(self);
        let kept = spool.kept().unwrap_or_default();
        for path in kept.iter().filter(|path| path.as_path() < own) {
            let sent = earlier.send(path).await;
            if let Err(reason) = sent {
                earlier.report_elsewhere(spool);
                return Err(PushError::Later(reason));
            }
        }
        earlier.report_elsewhere(spool);
        self.send(push).await?;
        let _ = fs::remove_file(own);
        Ok(())
    }
}

fn did_not_arrive(url: &str, error: &PushError) -> String {
    format!("the push to {url} did not arrive: {error}")
}

async fn wait_for(spool: &Spool, at_most: Duration) -> Option<SpoolLock> {
    const LOOK_AGAIN: Duration = Duration::from_millis(50);
    let until = Instant::now() + at_most;
    loop {
        match spool.lock() {
            Ok(Some(lock)) => return Some(lock),
            Ok(None) if Instant::now() < until => sleep(LOOK_AGAIN).await,
            Ok(None) | Err(_) => return None,
        }
    }
}

/// What is kept of earlier runs.
struct Earlier<'d> {
    delivery: &'d Delivery,
    own_group: Option<Key>,
    /// Groups that the gateway does not let us push to.
    denied: HashSet<Key>,
    /// How many there are for other gateways.
    elsewhere: BTreeMap<String, usize>,
    /// When each group was pushed to last; asked for once, when it is needed.
    last_pushes: Option<Option<HashMap<Key, SystemTime>>>,
}

impl<'d> Earlier<'d> {
    fn new(delivery: &'d Delivery) -> Self {
        let own_group = delivery.address.group_of(&Kept::new("POST", Vec::new())).ok();
        Earlier { delivery, own_group, denied: HashSet::new(), elsewhere: BTreeMap::new(), last_pushes: None }
    }

    /// The push in a file, and its group; nothing if it is none that is sent from here, which is reported.
    fn read(&mut self, path: &Path) -> Option<(Kept, Key)> {
        let read = spool::read(path).map_err(NotOurs::Wrong);
        match read.and_then(|push| Ok((self.delivery.address.group_of(&push)?, push))) {
            Ok((group, push)) => return Some((push, group)),
            Err(NotOurs::Elsewhere(gateway)) => *self.elsewhere.entry(gateway).or_default() += 1,
            Err(NotOurs::Wrong(reason)) => set_aside(path, &reason),
        }
        None
    }

    /// Sends one. An error says that the gateway cannot be reached now; what is wrong with the push itself is reported.
    async fn send(&mut self, path: &PathBuf) -> Result<(), String> {
        let Some((push, group)) = self.read(path) else { return Ok(()) };
        if self.denied.contains(&group) || self.is_left_to_another(&group, &push) {
            return Ok(());
        }
        if self.is_superseded(&group, &push, path).await {
            report(&format!("{}: the gateway has a newer push to {group}; it is dropped", path.display()));
            let _ = fs::remove_file(path);
            return Ok(());
        }
        match self.delivery.send(&push).await {
            Ok(()) => report(&format!("a push to {group} that was kept has arrived")),
            Err(PushError::Denied(reason)) => {
                report(&format!("{}: {reason}; it stays for a run that may push to {group}", path.display()));
                self.denied.insert(group);
                return Ok(());
            }
            Err(PushError::Refused(reason)) => report(&format!("{} is dropped: {reason}", path.display())),
            // The others would not arrive either.
            Err(PushError::Later(reason)) => return Err(reason),
        }
        let _ = fs::remove_file(path);
        Ok(())
    }

    /// Whether a run of another group is under way, which sends what is kept for it before its own end: a report of an
    /// earlier run would say that it does not run.
    fn is_left_to_another(&self, group: &Key, push: &Kept) -> bool {
        let Some(url) = push.url.as_deref().filter(|_| self.own_group.as_ref() != Some(group)) else { return false };
        Runs::of(url).is_ok_and(|runs| runs.count() > 0)
    }

    /// Whether the gateway was pushed to for this group since: the older push would take the newer one's place. What adds
    /// up takes no place.
    async fn is_superseded(&mut self, group: &Key, push: &Kept, path: &Path) -> bool {
        /// Times in headers of HTTP are in whole seconds.
        const UNCERTAINTY: Duration = Duration::from_secs(2);
        let adds_up = push.url.as_deref().is_some_and(|url| url.contains("mode=aggregate"));
        let Some(kept_at) = spool::kept_at(path).filter(|_| !adds_up) else { return false };
        if self.last_pushes.is_none() {
            self.last_pushes = Some(match &self.delivery.target {
                Ok(target) => target.last_pushes().await,
                Err(_) => None,
            });
        }
        let last = self.last_pushes.as_ref().and_then(|pushes| pushes.as_ref()?.get(group));
        last.is_some_and(|last| *last > UNIX_EPOCH + kept_at + UNCERTAINTY)
    }

    fn report_elsewhere(&self, spool: &Spool) {
        for (gateway, count) in &self.elsewhere {
            let pushes = if *count == 1 { "1 push waits".to_owned() } else { format!("{count} pushes wait") };
            report(&format!(
                "{}: {pushes} for another gateway, {gateway}; a run with --url {gateway} sends them",
                spool.folder().display()
            ));
        }
    }
}

/// Puts a file that cannot be sent out of the way, so that this is reported once.
fn set_aside(path: &Path, reason: &str) {
    let aside = path.with_extension("refused");
    match fs::rename(path, &aside) {
        Ok(()) => report(&format!("{}: {reason}; it is not sent", aside.display())),
        Err(error) => report(&format!("{}: {reason}; it is not sent, and cannot be renamed: {error}", path.display())),
    }
}
