//! Work that only one of several processes does: the one that holds a lease.

use std::future::pending;
use std::time::Instant;

use tokio::sync::watch;

#[cfg(feature = "nats")]
use super::connection::Connection;
#[cfg(feature = "nats")]
use super::lease::{Holder, Lease, View};
use super::settings::Nats;

/// Whether this process holds a lease.
#[derive(Clone, Debug)]
pub struct Turn(Option<watch::Receiver<Option<Instant>>>);

impl Turn {
    /// Work that needs no lease.
    pub fn always() -> Turn {
        Turn(None)
    }

    /// The lease `name` at the servers. It is taken whenever it is free, until the runtime ends that this is called in.
    pub fn start(nats: &Nats, name: &str) -> Turn {
        let (sender, receiver) = watch::channel(None);
        #[cfg(feature = "nats")]
        tokio::spawn(hold(nats.clone(), name.to_owned(), sender));
        // Without NATS, no configuration names a lease.
        #[cfg(not(feature = "nats"))]
        let _ = (nats, name, sender);
        Turn(Some(receiver))
    }

    fn valid_until(&mut self) -> Option<Instant> {
        let until = *self.0.as_mut()?.borrow_and_update();
        until.filter(|until| Instant::now() < *until)
    }

    /// Waits until this process holds the lease.
    pub async fn begins(&mut self) {
        while self.0.is_some() && self.valid_until().is_none() {
            self.changed().await;
        }
    }

    /// Waits until this process no longer holds the lease for certain. No other process holds it before.
    pub async fn ends(&mut self) {
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
            Some(receiver) => receiver.changed().await.is_err(),
            None => true,
        };
        if is_over {
            pending().await
        }
    }
}

/// Takes the lease whenever it is free, and reports until when it is held.
#[cfg(feature = "nats")]
async fn hold(nats: Nats, name: String, until: watch::Sender<Option<Instant>>) {
    use super::{connection, lease};
    use crate::log::Episode;
    use std::time::Duration;
    use tokio::time::sleep;

    /// How often the bucket is created again, in case that the servers have lost it.
    const INTERVAL: Duration = Duration::from_secs(10);
    const RETRY: Duration = Duration::from_secs(1);

    let connection: Connection = match connection::connect(&nats, &name).await {
        Ok(connection) => connection,
        Err(reason) => return tracing::error!("the lease {name} is never held: {reason}"),
    };
    let mut trouble = Episode::<()>::default();
    let store = loop {
        match lease::bucket(&connection, &name).await {
            Ok(store) => break store,
            Err(reason) if trouble.fails(()) => tracing::warn!("the lease {name} is not held yet: {reason}"),
            Err(_) => {}
        }
        sleep(RETRY).await;
    };
    let me = Holder { name: String::new(), url: String::new(), life: format!("{:032x}", fastrand::u128(..)) };
    let (view_sender, mut view) = watch::channel(View::default());
    // The lease is wanted as long as this exists.
    let (_wanted, is_wanted) = watch::channel(true);
    tokio::spawn(Lease::new(store, "holder", me, view_sender).run(is_wanted));
    let mut was_held = false;
    loop {
        let valid_until = tokio::select! {
            changed = view.changed() => match changed {
                Ok(()) => view.borrow_and_update().valid_until,
                Err(_) => return,
            },
            () = sleep(INTERVAL) => {
                _ = lease::bucket(&connection, &name).await;
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
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_turn_ends_with_its_validity_or_before() {
        let (sender, receiver) = watch::channel(None);
        let mut turn = Turn(Some(receiver));
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
        let mut always = Turn::always();
        always.begins().await;
        assert!(tokio::time::timeout(soon, always.ends()).await.is_err());
    }
}
