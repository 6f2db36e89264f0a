//! Publishes and receives the announcements of replicas. They are ordinary messages, which no stream stores.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::connection::State;
use futures_util::StreamExt;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::gateway::replication::peers::{Announcement, INTERVAL, Peer, Peers};
use crate::gateway::replication::settings::Settings;
use crate::gateway::replication::shared::Shared;
use crate::log::Episode;

/// Pause before another attempt to subscribe.
const PAUSE: Duration = Duration::from_secs(1);

/// The subject of the announcements.
pub(super) fn subject(stream: &str) -> String {
    format!("{stream}.replicas")
}

/// Announces a replica, and stores what others announce, until it is cancelled.
pub(super) async fn run(client: Client, settings: Settings, shared: Arc<Shared>) {
    let subject = subject(&settings.stream);
    let life = format!("{:032x}", fastrand::u128(..));
    let mut twin = Episode::<()>::default();
    loop {
        let Ok(mut announced) = client.subscribe(subject.clone()).await else {
            sleep(PAUSE).await;
            continue;
        };
        let mut tick = interval(INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = announced.next() => match message {
                    Some(message) => if let Some(heard) = shared.peers.hear(&message.payload, Instant::now())
                        && heard.is_twin_of(&settings.url, &life)
                        && twin.fails(())
                    {
                        let Announcement { name, url, .. } = heard;
                        tracing::error!("another replica, {name}, also has the replica_url {url}; each needs its own");
                    },
                    None => break,
                },
                // Without a connection, messages would wait for it, and be old.
                _ = tick.tick() => if client.connection_state() == State::Connected && shared.may_announce() {
                    let announcement = Announcement::new(&settings, &shared.get(), &life);
                    let _ = client.publish(subject.clone(), announcement.encode().into()).await;
                },
            }
        }
        sleep(PAUSE).await;
    }
}

/// The replicas that announce themselves during two and a half intervals.
///
/// # Errors
/// There is no connection.
pub(super) async fn listen(client: &Client, stream: &str) -> Result<Vec<Peer>, String> {
    let peers = Peers::default();
    let mut announced = client.subscribe(subject(stream)).await.map_err(|error| error.to_string())?;
    let receive = async {
        while let Some(message) = announced.next().await {
            peers.hear(&message.payload, Instant::now());
        }
    };
    // It ends only with the connection.
    let _ = timeout(INTERVAL.mul_f64(2.5), receive).await;
    Ok(peers.all(Instant::now()))
}
