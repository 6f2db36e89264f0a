//! Connections that do not live for ever.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Client;
use tokio::task::spawn_blocking;

use crate::log::Episode;

/// How long connections are used, and what their names and certificates were taken for.
const GREATEST_AGE: Duration = Duration::from_secs(300);
/// The same after a failure. To make a client may cost some reading of certificates.
const AGE_AFTER_FAILURE: Duration = Duration::from_secs(10);

type Make = dyn Fn() -> Result<Client, String> + Send + Sync;

/// A client that is made anew now and then, with new connections: a server that has moved is found where its name is now,
/// though connections that are kept alive still lead to where it was, and certificates are read again.
pub struct Renewing {
    make: std::sync::Arc<Make>,
    greatest_age: Duration,
    state: Mutex<State>,
}

struct State {
    client: Client,
    made: Instant,
    has_failed: bool,
    trouble: Episode<String>,
}

impl Renewing {
    /// A client that `make` makes, now and again later; it may read files.
    ///
    /// # Errors
    /// Why it cannot be made now.
    pub fn new(make: impl Fn() -> Result<Client, String> + Send + Sync + 'static) -> Result<Renewing, String> {
        Renewing::of_age(GREATEST_AGE, make)
    }

    fn of_age(
        greatest_age: Duration,
        make: impl Fn() -> Result<Client, String> + Send + Sync + 'static,
    ) -> Result<Renewing, String> {
        let state = State { client: make()?, made: Instant::now(), has_failed: false, trouble: Episode::default() };
        Ok(Renewing { make: std::sync::Arc::new(make), greatest_age, state: Mutex::new(state) })
    }

    /// The client for the next request. One that cannot be made anew is used further.
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
                if let Some(over) = state.trouble.is_well() {
                    tracing::info!("connections are made anew again {over}");
                }
            }
            Ok(Err(reason)) => {
                if state.trouble.fails(reason.clone()) {
                    tracing::warn!("connections are not made anew, and those that are there are used: {reason}");
                }
            }
            // The process ends.
            Err(_) => {}
        }
        state.client.clone()
    }

    /// The one that is there, unless it is too old: then the caller sees to the next.
    fn current(&self) -> Option<Client> {
        let mut state = self.state();
        let bound = if state.has_failed { self.greatest_age.min(AGE_AFTER_FAILURE) } else { self.greatest_age };
        if state.made.elapsed() < bound {
            return Some(state.client.clone());
        }
        (state.made, state.has_failed) = (Instant::now(), false);
        None
    }

    /// A request failed, or was answered by what may be another server: the next one is sent anew.
    pub fn has_failed(&self) {
        self.state().has_failed = true;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Renewing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewing").finish_non_exhaustive()
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

    async fn ask(renewing: &Renewing, url: &str) {
        assert_eq!(renewing.client().await.get(url).send().await.unwrap().status(), 204);
    }

    fn make() -> Result<Client, String> {
        crate::client::builder().tls_certs_only([]).build().map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn connections_are_kept_until_they_are_too_old() {
        let (url, count) = server();
        let young = Renewing::new(make).unwrap();
        for _ in 0..3 {
            ask(&young, &url).await;
        }
        assert_eq!(count.load(SeqCst), 1);
        let old = Renewing::of_age(Duration::ZERO, make).unwrap();
        for _ in 0..3 {
            ask(&old, &url).await;
        }
        assert_eq!(count.load(SeqCst), 1 + 3);
    }

    #[tokio::test]
    async fn after_a_failure_they_are_older_sooner() {
        let (url, count) = server();
        let renewing = Renewing::new(make).unwrap();
        ask(&renewing, &url).await;
        renewing.has_failed();
        ask(&renewing, &url).await;
        assert_eq!(count.load(SeqCst), 1, "not at every failure");
        renewing.state().made -= AGE_AFTER_FAILURE;
        ask(&renewing, &url).await;
        ask(&renewing, &url).await;
        assert_eq!(count.load(SeqCst), 2);
    }

    #[tokio::test]
    async fn what_cannot_be_made_anew_is_used_further() {
        let (url, count) = server();
        let made = AtomicUsize::new(0);
        let once = move || if made.fetch_add(1, SeqCst) == 0 { make() } else { Err("no".to_owned()) };
        let renewing = Renewing::of_age(Duration::ZERO, once).unwrap();
        ask(&renewing, &url).await;
        ask(&renewing, &url).await;
        assert_eq!(count.load(SeqCst), 1);
    }
}
