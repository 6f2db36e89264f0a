//! Checks whether the servers sync each message, at their monitoring addresses, and the settings of the stream.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::Context;
use reqwest::Url;
use tokio::time::sleep;

use super::connection;
use super::loading::Removed;
use crate::client;
use crate::gateway::replication::durability::{Durability, Monitored};
use crate::gateway::replication::settings::Settings;
use crate::gateway::replication::shared::Shared;
use crate::log::Episode;
use crate::nats::settings::Nats;

/// How often the servers are checked, and how soon again while they are not known to sync.
const INTERVAL: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(5);

/// How long a server may take to respond.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes of a response. Those of servers have 3 KB.
const MAX_BYTES: usize = 256 << 10;

/// Checks the servers of the stream again and again, until it is cancelled.
pub(super) async fn run(client: Client, context: Context, settings: Settings, shared: Arc<Shared>) {
    let (mut trouble, mut unsafe_settings) = (Episode::<String>::default(), Episode::<String>::default());
    // As last seen: without an answer, the stream may still be there.
    let mut stores_announcements = false;
    let mut removed = Removed::default();
    loop {
        let found = connection::describe(&context, &settings.stream).await;
        if let Ok((_, description)) = &found {
            stores_announcements = description.stores_announcements;
        }
        shared.set_may_announce(!stores_announcements);
        let Ok((_, mut description)) = found else {
            shared.set_durability(Durability::default());
            sleep(RETRY).await;
            continue;
        };
        description.warnings.extend(removed.warning(&context, &settings.stream, &description).await);
        let warnings = description.warnings.join("; ");
        if warnings.is_empty() {
            if unsafe_settings.recovered().is_some() {
                tracing::info!("the stream {} has the settings and the messages that it needs", settings.stream);
            }
        } else if unsafe_settings.fails(warnings.clone()) {
            tracing::warn!("the stream {} may lose pushes, or refuse them: {warnings}", settings.stream);
        }
        shared.set_warnings(description.warnings.clone());
        let durability = check(&settings.nats, &description.servers(&client)).await;
        let text = durability.describe();
        match durability.is_synced() {
            Some(true) => {
                if trouble.recovered().is_some() || shared.durability().servers.is_empty() {
                    tracing::info!("the NATS servers of the stream {} sync {text}", settings.stream);
                }
            }
            _ => {
                if trouble.fails(text.clone()) {
                    tracing::warn!("the NATS servers of the stream {} sync {text}", settings.stream);
                }
            }
        }
        let pause = if durability.is_synced() == Some(true) { INTERVAL } else { RETRY };
        shared.set_durability(durability);
        sleep(pause).await;
    }
}

/// Which of these servers sync each message.
pub(super) async fn check(nats: &Nats, servers: &[String]) -> Durability {
    let tls = client::Tls { ca: nats.ca.clone(), ..client::Tls::default() };
    let has_tls = nats.monitoring.iter().any(|url| url.scheme() == "https");
    let http = tls.apply(client::builder().timeout(TIMEOUT), has_tls, ["tls_ca", ""]);
    let http = http.and_then(|http| http.build().map_err(|error| client::reason(&error)));
    let mut reports = Vec::new();
    for url in &nats.monitoring {
        let report = match &http {
            Ok(http) => varz(http, url).await,
            Err(reason) => Err(reason.clone()),
        };
        reports.push((url.to_string().trim_end_matches('/').to_owned(), report));
    }
    Durability::new(servers, &reports)
}

async fn varz(http: &reqwest::Client, url: &Url) -> Result<Monitored, String> {
    let mut url = url.clone();
    let path = format!("{}/varz", url.path().trim_end_matches('/'));
    url.set_path(&path);
    let response = http.get(url).send().await.map_err(|error| client::reason(&error))?;
    if !response.status().is_success() {
        return Err(format!("expected /varz of a NATS server, found status {}", response.status()));
    }
    let body = client::read_whole(response, MAX_BYTES).await.map_err(|error| error.to_string())?;
    Monitored::decode(&body)
}
