//! Work that only one of several processes does: the one that holds a lease. All work of a process with the same lease shares it.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[cfg(feature = "nats")]
use super::connection::Connection;
#[cfg(feature = "nats")]
use super::lease::{Holder, Lease, View};
use super::settings::Nats;
use crate::encode::family::FamilyInfo;
use crate::encode::{Family, FamilyWriter};

/// A lease that this process takes whenever it is free, until this is dropped.
#[derive(Debug)]
struct Taken {
    nats: Nats,
    name: String,
    /// Until when it is held for certain.
    until: watch::Receiver<Option<Instant>>,
    is_over: CancellationToken,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.is_over.cancel();
    }
}

/// The leases of this process.
static TAKEN: Mutex<Vec<Weak<Taken>>> = Mutex::new(Vec::new());

/// Whether this process holds a lease.
#[derive(Clone, Debug)]
pub struct Turn(Option<(Arc<Taken>, watch::Receiver<Option<Instant>>)>);

impl Turn {
    /// The turn of work with this lease; it is always the turn of work without one.
    pub fn of(nats: &Nats, lease: Option<&str>) -> Turn {
        let Some(name) = lease else { return Turn(None) };
        let mut all = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|taken| taken.strong_count() > 0);
        let is_same = |taken: &Arc<Taken>| taken.name == name && taken.nats == *nats;
        let taken = all.iter().filter_map(Weak::upgrade).find(is_same).unwrap_or_else(|| {
            let taken = Arc::new(take(nats, name));
            all.push(Arc::downgrade(&taken));
            taken
        });
        let until = taken.until.clone();
        Turn(Some((taken, until)))
    }

    /// Does the work whenever it is this process's turn. `report` gets whether it does, before it begins and after it has ended.
    pub async fn run<W: Future<Output = ()>>(mut self, report: impl Fn(bool), work: impl Fn() -> W) {
        loop {
            if self.0.is_some() {
                report(false);
            }
            self.begins().await;
            report(true);
            let work = work();
            tokio::select! {
                biased;
                // First: after a pause of the process, the work does nothing more.
                () = self.ends() => {}
                () = async move { work.await; pending().await } => {}
            }
        }
    }

    fn valid_until(&mut self) -> Option<Instant> {
        let (_, until) = self.0.as_mut()?;
        let until = *until.borrow_and_update();
        until.filter(|until| Instant::now() < *until)
    }

    /// Waits until this process holds the lease.
    async fn begins(&mut self) {
        while self.0.is_some() && self.valid_until().is_none() {
            self.changed().await;
        }
    }

    /// Waits until this process no longer holds the lease for certain. No other process holds it before.
    async fn ends(&mut self) {
        if self.0.is_none() {
            return pending().await;
        }
        while let Some(until) = self.valid_until() {
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => {}
                () = self.changed() => {}
            }
        }
    }

    /// Waits for news of the lease, of which there are none once its holder has ended.
    async fn changed(&mut self) {
        let is_over = match &mut self.0 {
            Some((_, until)) => until.changed().await.is_err(),
            None => true,
        };
        if is_over {
            pending().await
        }
    }
}

const HELD: Family<1> = Family::gauge("taffrail_lease_held", "Whether this process holds the lease", ["lease"]);

/// The self-metrics of leases.
pub const FAMILIES: &[FamilyInfo] = &[HELD.info()];

/// Writes the families for the leases of running jobs.
pub fn write_families(out: &mut FamilyWriter<'_>) {
    let mut held: BTreeMap<String, bool> = BTreeMap::new();
    for taken in TAKEN.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade) {
        let is_held = taken.until.borrow().is_some_and(|until| Instant::now() < until);
        *held.entry(taken.name.clone()).or_default() |= is_held;
    }
    let mut samples = out.family(&HELD);
    for (name, is_held) in &held {
        samples.sample([name], u64::from(*is_held));
    }
}

/// Takes a lease whenever it is free, in a thread of its own: it is the same for all work.
fn take(nats: &Nats, name: &str) -> Taken {
    let (sender, until) = watch::channel(None);
    let taken = Taken { nats: nats.clone(), name: name.to_owned(), until, is_over: CancellationToken::new() };
    #[cfg(feature = "nats")]
    {
        let (nats, name, is_over) = (taken.nats.clone(), taken.name.clone(), taken.is_over.clone());
        let hold = move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(hold(&nats, &name, sender, is_over)),
            Err(error) => tracing::error!("the lease {name} is never held: no runtime: {error}"),
        };
        if let Err(error) = std::thread::Builder::new().name("lease".to_owned()).spawn(hold) {
            tracing::error!("the lease {} is never held: no thread: {error}", taken.name);
        }
    }
    // Without NATS, no configuration names a lease.
    #[cfg(not(feature = "nats"))]
    drop(sender);
    taken
}

/// Takes the lease whenever it is free, and reports until when it is held. Releases it when it is over.
#[cfg(feature = "nats")]
async fn hold(nats: &Nats, name: &str, until: watch::Sender<Option<Instant>>, is_over: CancellationToken) {
    use std::time::Duration;
    use tokio::time::timeout;

    /// How long the servers have to release it.
    const GRACE: Duration = Duration::from_secs(2);

    let Some(Some((connection, store))) = is_over.run_until_cancelled(open(nats, name)).await else { return };
    let me = Holder { name: String::new(), url: String::new(), life: format!("{:032x}", fastrand::u128(..)) };
    let (view_sender, view) = watch::channel(View::default());
    // The lease is wanted as long as this exists.
    let (wanted, is_wanted) = watch::channel(true);
    let lease = tokio::spawn(Lease::new(store, "holder", me, view_sender).run(is_wanted));
    is_over.run_until_cancelled(publish(&connection, name, view, &until)).await;
    until.send_replace(None);
    drop(wanted);
    _ = timeout(GRACE, lease).await;
}

/// The bucket of the lease, for as long as it takes; none if the settings are unusable.
#[cfg(feature = "nats")]
async fn open(nats: &Nats, name: &str) -> Option<(Connection, async_nats::jetstream::kv::Store)> {
    use super::{connection, lease};
    use crate::log::Episode;
    use std::time::Duration;
    use tokio::time::sleep;

    const RETRY: Duration = Duration::from_secs(1);

    let connection: Connection = match connection::connect(nats, name).await {
        Ok(connection) => connection,
        Err(reason) => {
            tracing::error!("the lease {name} is never held: {reason}");
            return None;
        }
    };
    let mut trouble = Episode::<()>::default();
    loop {
        match lease::bucket(&connection, name).await {
            Ok(store) => return Some((connection, store)),
            Err(reason) if trouble.fails(()) => tracing::warn!("the lease {name} is not held yet: {reason}"),
            Err(_) => {}
        }
        sleep(RETRY).await;
    }
}

/// Publishes and logs until when the lease is held.
#[cfg(feature = "nats")]
async fn publish(
    connection: &Connection,
    name: &str,
    mut view: watch::Receiver<View>,
    until: &watch::Sender<Option<Instant>>,
) {
    use std::time::Duration;

    /// How often the bucket is created again, in case that the servers have lost it.
    const INTERVAL: Duration = Duration::from_secs(10);

    let mut was_held = false;
    loop {
        let valid_until = tokio::select! {
            changed = view.changed() => match changed {
                Ok(()) => view.borrow_and_update().valid_until,
                Err(_) => return,
            },
            () = tokio::time::sleep(INTERVAL) => {
                _ = super::lease::bucket(connection, name).await;
                view.borrow().valid_until
            }
        };
        let is_held = valid_until.is_some_and(|until| Instant::now() < until);
        if is_held != was_held {
            tracing::info!("the lease {name} is {} here", if is_held { "held" } else { "no longer held" });
        }
        was_held = is_held;
        until.send_replace(valid_until);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::time::Duration;

    use super::*;

    fn turn(until: watch::Receiver<Option<Instant>>) -> Turn {
        let taken = Taken { nats: Nats::default(), name: "x".to_owned(), until, is_over: CancellationToken::new() };
        let until = taken.until.clone();
        Turn(Some((Arc::new(taken), until)))
    }

    #[tokio::test]
    async fn a_turn_ends_with_its_validity_or_before() {
        let (sender, receiver) = watch::channel(None);
        let mut turn = turn(receiver);
        let soon = Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, turn.begins()).await.is_err());
        sender.send_replace(Some(Instant::now() + Duration::from_secs(3600)));
        turn.begins().await;
        assert!(tokio::time::timeout(soon, turn.ends()).await.is_err());
        // Nobody renews it.
        sender.send_replace(Some(Instant::now() + soon));
        turn.ends().await;
        sender.send_replace(Some(Instant::now() + Duration::from_secs(3600)));
        turn.begins().await;
        sender.send_replace(None);
        turn.ends().await;
        drop(sender);
        assert!(tokio::time::timeout(soon, turn.begins()).await.is_err());
        let mut always = Turn::of(&Nats::default(), None);
        always.begins().await;
        assert!(tokio::time::timeout(soon, always.ends()).await.is_err());
    }

    #[tokio::test]
    async fn work_begins_and_ends_with_each_turn() {
        let (sender, receiver) = watch::channel(None);
        let (begun, reports) = (AtomicU32::new(0), Mutex::new(Vec::new()));
        let work = || async {
            // Work that ends by itself does not begin again in the same turn.
            begun.fetch_add(1, Relaxed);
        };
        let run = turn(receiver).run(|runs| reports.lock().unwrap().push(runs), work);
        let later = Some(Instant::now() + Duration::from_secs(3600));
        let change = async {
            for until in [later, None, later] {
                tokio::task::yield_now().await;
                sender.send_replace(until);
                while reports.lock().unwrap().last() != Some(&until.is_some()) {
                    tokio::task::yield_now().await;
                }
            }
            tokio::task::yield_now().await;
        };
        tokio::select! {
            () = run => {}
            () = change => {}
        }
        assert_eq!((begun.load(Relaxed), reports.into_inner().unwrap()), (2, vec![false, true, false, true]));
    }

    #[test]
    fn work_with_the_same_lease_shares_it() {
        let nats = Nats { servers: vec!["nats://127.0.0.1:1".to_owned()], ..Nats::default() };
        let [first, second, other] =
            ["shared", "shared", "another"].map(|name| Turn::of(&nats, Some(name)).0.unwrap().0);
        assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&first, &other));
        let is_over = first.is_over.clone();
        drop((first, second));
        assert!(is_over.is_cancelled());
    }
}
