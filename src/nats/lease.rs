//! A lease: which of several processes may do something. It is a key in a bucket, with the name and the URL of its holder.
//!
//! The holder updates the key every second, with the revision that it knows. The others take it when its revision has not
//! changed for [`TERM`] of their own clocks. The holder regards it as valid for [`VALID`] after it sent the last update that
//! succeeded, which is less: no two processes regard it as theirs at the same time.

use std::time::{Duration, Instant};

use async_nats::jetstream::kv::{self, Entry, Operation, Store, UpdateErrorKind};
use async_nats::jetstream::stream::StorageType;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::connection::{Connection, TIMEOUT};

/// After this time without an update, others may take it.
const TERM: Duration = Duration::from_secs(5);
/// How long it is valid after an update.
const VALID: Duration = Duration::from_secs(4);
/// How often it is updated or read.
const INTERVAL: Duration = Duration::from_millis(500);

/// A process that may hold the lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its name.
    pub name: String,
    /// Where others reach it; empty if they need not.
    pub url: String,
    /// Another one for each start of a process.
    pub life: String,
}

/// The lease as this process sees it.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Until when this process holds it for certain; none if it does not hold it.
    pub valid_until: Option<Instant>,
    /// Who holds it, as last seen.
    pub holder: Option<Holder>,
    /// Since when it can be neither read nor updated, and why.
    pub failure: Option<(Instant, String)>,
}

impl View {
    /// Whether this process holds it now. A process that was stopped may see this before its view follows.
    pub fn is_held(&self) -> bool {
        self.valid_until.is_some_and(|until| Instant::now() < until)
    }
}

/// A process that takes the lease.
#[derive(Debug)]
pub struct Lease {
    store: Store,
    key: &'static str,
    me: Holder,
    view: watch::Sender<View>,
    /// Its revision, if this process holds it.
    revision: Option<u64>,
    seen: Seen,
}

/// The revision that was read last, and since when it is the same.
#[derive(Debug, Default)]
struct Seen(Option<(u64, Instant)>);

/// What an entry means for a process that does not hold the lease as far as it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// It has it: an update without an answer succeeded, or a release without an answer did not.
    Own,
    /// It may take it.
    Free,
    /// Another process has it.
    Taken,
}

impl Seen {
    fn found(&mut self, me: &Holder, (revision, holder): (u64, Option<&Holder>), now: Instant) -> Found {
        let since = match self.0 {
            Some((known, since)) if known == revision => since,
            _ => now,
        };
        self.0 = Some((revision, since));
        match holder {
            Some(holder) if holder == me => Found::Own,
            Some(_) if now.duration_since(since) < TERM => Found::Taken,
            _ => Found::Free,
        }
    }
}

impl Lease {
    /// The lease at `key` of a bucket. `view` gets what this process sees of it.
    pub fn new(store: Store, key: &'static str, me: Holder, view: watch::Sender<View>) -> Lease {
        Lease { store, key, me, view, revision: None, seen: Seen::default() }
    }

    /// Takes the lease when it is free and `is_wanted`, and keeps it; releases it when it is wanted no longer. Ends when the
    /// sender is dropped, after releasing it.
    pub async fn run(mut self, mut is_wanted: watch::Receiver<bool>) {
        loop {
            let is_over = is_wanted.has_changed().is_err();
            let wanted = *is_wanted.borrow_and_update() && !is_over;
            match self.revision {
                Some(revision) if wanted => self.renew(revision).await,
                Some(revision) => self.release(revision).await,
                None if is_over => return,
                None => self.observe(wanted).await,
            }
            if is_over {
                return;
            }
            tokio::select! {
                () = sleep(INTERVAL) => {}
                _ = is_wanted.changed() => {}
            }
        }
    }

    fn value(&self) -> bytes::Bytes {
        serde_json::to_vec(&self.me).unwrap_or_default().into()
    }

    async fn renew(&mut self, revision: u64) {
        let sent = Instant::now();
        match self.update(revision).await {
            Ok(revision) => self.hold(revision, sent),
            Err(Some(UpdateErrorKind::WrongLastRevision)) => {
                // An update without an answer may have succeeded.
                match self.read().await {
                    Some(Some(entry)) if holder(&entry).as_ref() == Some(&self.me) => {
                        self.revision = Some(entry.revision)
                    }
                    Some(entry) => self.lose(entry),
                    None => {}
                }
            }
            // Unknown: the validity ends by itself.
            Err(_) => {}
        }
    }

    async fn release(&mut self, revision: u64) {
        self.view.send_modify(|view| *view = View::default());
        let _ = timeout(TIMEOUT, self.store.update(self.key, bytes::Bytes::new(), revision)).await;
        self.revision = None;
    }

    async fn observe(&mut self, is_wanted: bool) {
        let Some(entry) = self.read().await else { return };
        let revision = entry.as_ref().map_or(0, |entry| entry.revision);
        let (now, holder) = (Instant::now(), entry.as_ref().and_then(holder));
        let found = self.seen.found(&self.me, (revision, holder.as_ref()), now);
        let may_take = is_wanted && matches!(found, Found::Free);
        self.view.send_if_modified(|view| {
            let is_new = view.holder != holder;
            view.holder = holder;
            // Without an attempt to take it, reading is all that can fail.
            if !may_take {
                view.failure = None;
            }
            is_new
        });
        match found {
            // It is valid after the next update.
            Found::Own => self.revision = Some(revision),
            Found::Free if is_wanted => {
                if let Ok(revision) = self.update(revision).await {
                    self.hold(revision, now);
                }
            }
            Found::Free | Found::Taken => {}
        }
    }

    fn hold(&mut self, revision: u64, sent: Instant) {
        self.revision = Some(revision);
        let holder = Some(self.me.clone());
        self.view.send_modify(|view| *view = View { valid_until: Some(sent + VALID), holder, failure: None });
    }

    fn lose(&mut self, entry: Option<Entry>) {
        self.revision = None;
        self.seen = Seen::default();
        let holder = entry.as_ref().and_then(holder);
        self.view.send_modify(|view| *view = View { valid_until: None, holder, failure: None });
    }

    /// Makes this process the holder; returns the new revision, or why that failed: none without an answer.
    async fn update(&mut self, revision: u64) -> Result<u64, Option<UpdateErrorKind>> {
        match timeout(TIMEOUT, self.store.update(self.key, self.value(), revision)).await {
            Ok(Ok(revision)) => Ok(revision),
            Ok(Err(error)) if error.kind() == UpdateErrorKind::WrongLastRevision => Err(Some(error.kind())),
            Ok(Err(error)) => {
                self.fail(error.to_string());
                Err(Some(error.kind()))
            }
            Err(_) => {
                self.fail("the servers do not answer".to_owned());
                Err(None)
            }
        }
    }

    /// The entry; the outer value is none if the servers do not answer.
    async fn read(&mut self) -> Option<Option<Entry>> {
        let reason = match timeout(TIMEOUT, self.store.entry(self.key)).await {
            Ok(Ok(entry)) => return Some(entry),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the servers do not answer".to_owned(),
        };
        self.fail(reason);
        None
    }

    /// Keeps the reason of a failure, and when the first one was.
    fn fail(&mut self, reason: String) {
        self.view.send_if_modified(|view| {
            let since = view.failure.as_ref().map_or_else(Instant::now, |(since, _)| *since);
            view.failure = Some((since, reason));
            false
        });
    }
}

/// The holder in an entry; none if it was released.
fn holder(entry: &Entry) -> Option<Holder> {
    let is_set = entry.operation == Operation::Put;
    is_set.then(|| serde_json::from_slice(&entry.value).ok()).flatten()
}

/// The bucket `name`; it is created on three servers, or on the only one, if it does not exist.
///
/// # Errors
/// The servers refuse, or do not answer.
pub async fn bucket(connection: &Connection, name: &str) -> Result<Store, String> {
    let Connection { client, context, .. } = connection;
    if let Ok(store) = context.get_key_value(name).await {
        return Ok(store);
    }
    let failed = |error: String| connection.explain(format!("the bucket {name}: {error}"));
    let server = client.server_info();
    if server.server_id.is_empty() {
        return Err(failed("no server has responded".to_owned()));
    }
    let config = kv::Config {
        bucket: name.to_owned(),
        description: "A lease of Taffrail".to_owned(),
        history: 1,
        storage: StorageType::File,
        num_replicas: if server.cluster.is_some() { 3 } else { 1 },
        ..kv::Config::default()
    };
    context.create_key_value(config).await.map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(life: &str) -> Holder {
        Holder { name: "a".to_owned(), url: String::new(), life: life.to_owned() }
    }

    #[test]
    fn a_lease_is_free_if_it_was_released_or_not_renewed() {
        let (me, other, start) = (process("1"), process("2"), Instant::now());
        let mut seen = Seen::default();
        let mut found =
            |revision, holder, seconds| seen.found(&me, (revision, holder), start + Duration::from_secs(seconds));
        assert_eq!(found(0, None, 0), Found::Free);
        assert_eq!(found(1, Some(&other), 1), Found::Taken);
        assert_eq!(found(1, Some(&other), 5), Found::Taken);
        assert_eq!(found(2, Some(&other), 6), Found::Taken);
        assert_eq!(found(2, Some(&other), 10), Found::Taken);
        assert_eq!(found(2, Some(&other), 11), Found::Free);
        assert_eq!(found(3, None, 11), Found::Free);
    }

    /// An update whose answer is lost does not make the process wait for itself.
    #[test]
    fn a_lease_that_was_taken_without_an_answer_is_its_own_at_once() {
        let (me, before) = (process("1"), process("0"));
        let mut seen = Seen::default();
        let start = Instant::now();
        assert_eq!(seen.found(&me, (7, Some(&me)), start), Found::Own);
        // An earlier process of the same name.
        assert_eq!(seen.found(&me, (8, Some(&before)), start), Found::Taken);
    }
}
