//! Limits the age of connections.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Client;
use tokio::task::spawn_blocking;

use crate::backoff::jittered;
use crate::log::Episode;

/// Maximum age of connections, resolved names and loaded certificates. Each client is replaced at a random age of at least half,
/// so that agents that have started together do not connect together from then on.
const MAX_AGE: Duration = Duration::from_secs(300);
/// Maximum age after a failure. Creating a client may mean reading certificates.
const AGE_AFTER_FAILURE: Duration = Duration::from_secs(10);

type Make = dyn Fn() -> Result<Client, String> + Send + Sync;

/// A client that is replaced from time to time, with new connections. Kept-alive connections would still lead to the
/// old address of a server that has moved; certificates are read again, too.
pub struct RenewingClient {
    make: std::sync::Arc<Make>,
    max_age: Duration,
    state: Mutex<State>,
}

struct State {
    client: Client,
    made: Instant,
    /// The age at which it is replaced.
    max_age: Duration,
    has_failed: bool,
    failure: Episode<String>,
}

impl RenewingClient {
    /// A client created by `make`, which is called again for each replacement and may read files.
    ///
    /// # Errors
    /// If the first client cannot be created.
    pub fn new(make: impl Fn() -> Result<Client, String> + Send + Sync + 'static) -> Result<RenewingClient, String> {
        RenewingClient::with_max_age(MAX_AGE, make)
    }

    fn with_max_age(
        max_age: Duration,
        make: impl Fn() -> Result<Client, String> + Send + Sync + 'static,
    ) -> Result<RenewingClient, String> {
        let (client, made, failure) = (make()?, Instant::now(), Episode::default());
        let state = State { client, made, max_age: jittered(max_age), has_failed: false, failure };
        Ok(RenewingClient { make: std::sync::Arc::new(make), max_age, state: Mutex::new(state) })
    }

    /// The client for the next request. If a replacement cannot be created, the old client stays in use.
    pub async fn client(&self) -> Client {
        if let Some(client) = self.current() {
            return client;
        }
        let make = self.make.clone();
        let made = spawn_blocking(move || make()).await;
        let mut state = self.state();
        match made {
            Ok(Ok(client)) => {
                state.client = client;
                if let Some(over) = state.failure.recovered() {
                    tracing::info!("connections are made anew again {over}");
                }
            }
            Ok(Err(reason)) => {
                if state.failure.fails(reason.clone()) {
                    tracing::warn!("connections are not made anew, and those that are there are used: {reason}");
                }
            }
            // The process is ending.
            Err(_) => {}
        }
        state.client.clone()
    }

    /// The current client, unless it is too old: the caller then replaces it.
    fn current(&self) -> Option<Client> {
        let mut state = self.state();
        let max_age = if state.has_failed { state.max_age.min(AGE_AFTER_FAILURE) } else { state.max_age };
        if state.made.elapsed() < max_age {
            return Some(state.client.clone());
        }
        (state.made, state.max_age, state.has_failed) = (Instant::now(), jittered(self.max_age), false);
        None
    }

    /// Reports a failed request, or a response that another server may have sent: the client is replaced sooner.
    pub fn has_failed(&self) {
        self.state().has_failed = true;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for RenewingClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RenewingClient").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    /// Answers every request, and counts connections.
    fn server() -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, SeqCst);
                std::thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while stream.read(&mut bytes).is_ok_and(|count| count > 0) {
                        if stream.write_all(b"HTTP/1.1 204 x\r\ncontent-length: 0\r\n\r\n").is_err() {
                            return;
                        }
                    }
                });
            }
        });
        (url, count)
    }

    async fn send(renewing: &RenewingClient, url: &str) {
        assert_eq!(renewing.client().await.get(url).send().await.unwrap().status(), 204);
    }

    fn make() -> Result<Client, String> {
        crate::client::builder().tls_certs_only([]).build().map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn connections_are_kept_until_they_are_too_old() {
        let (url, count) = server();
        let young = RenewingClient::new(make).unwrap();
        for _ in 0..3 {
            send(&young, &url).await;
        }
        assert_eq!(count.load(SeqCst), 1);
        let old = RenewingClient::with_max_age(Duration::ZERO, make).unwrap();
        for _ in 0..3 {
            send(&old, &url).await;
        }
        assert_eq!(count.load(SeqCst), 1 + 3);
    }

    #[test]
    fn clients_that_were_made_together_are_replaced_at_different_times() {
        let ages = (0..50).map(|_| RenewingClient::new(make).unwrap().state().max_age);
        let ages: std::collections::BTreeSet<u64> = ages.map(|age| age.as_secs()).collect();
        assert!(ages.len() > 20 && ages.iter().all(|age| (150..=300).contains(age)), "{ages:?}");
    }

    #[tokio::test]
    async fn after_a_failure_they_are_older_sooner() {
        let (url, count) = server();
        let renewing = RenewingClient::new(make).unwrap();
        send(&renewing, &url).await;
        renewing.has_failed();
        send(&renewing, &url).await;
        assert_eq!(count.load(SeqCst), 1, "not at every failure");
        renewing.state().made -= AGE_AFTER_FAILURE;
        send(&renewing, &url).await;
        send(&renewing, &url).await;
        assert_eq!(count.load(SeqCst), 2);
    }

    #[tokio::test]
    async fn what_cannot_be_made_anew_is_used_further() {
        let (url, count) = server();
        let made = AtomicUsize::new(0);
        let once = move || if made.fetch_add(1, SeqCst) == 0 { make() } else { Err("no".to_owned()) };
        let renewing = RenewingClient::with_max_age(Duration::ZERO, once).unwrap();
        send(&renewing, &url).await;
        send(&renewing, &url).await;
        assert_eq!(count.load(SeqCst), 1);
    }
}
