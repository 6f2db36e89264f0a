//! New clients when the files that settings name have changed, such as certificates.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::http::ClientError;
use super::kind::Client;
use super::named_files::NamedFiles;
use super::settings::Prepared;
use super::settings::Settings;
use crate::log::Episode;

/// Interval of checks.
const INTERVAL: Duration = Duration::from_secs(5);

/// The client that is to replace the one in use, if any.
pub(super) struct Reconnect {
    latest: Mutex<Latest>,
    changed: Notify,
}

struct Latest {
    /// The files as of the last check.
    files: NamedFiles,
    /// The client made from them, until it is in use.
    client: Option<Box<dyn Client>>,
}

impl Reconnect {
    /// For a client that was made from `files`.
    pub(super) fn new(files: NamedFiles) -> Reconnect {
        Reconnect { latest: Mutex::new(Latest { files, client: None }), changed: Notify::new() }
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client to use from here on.
    pub(super) fn take(&self) -> Option<Box<dyn Client>> {
        self.latest().client.take()
    }

    /// Waits for a new client.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Accepts a client made from the same settings, if the contents of their files have changed. Returns whether they
    /// have.
    pub(super) fn offer(&self, prepared: Prepared) -> bool {
        let mut latest = self.latest();
        let is_same = prepared.files.hold_the_same_as(&latest.files);
        latest.files = prepared.files;
        if !is_same {
            latest.client = Some(prepared.client);
            self.changed.notify_one();
        }
        !is_same
    }

    /// Makes a new client if the contents of the files have changed. Returns whether they have, or why they are
    /// invalid.
    fn check(&self, settings: &Settings) -> Result<bool, ClientError> {
        let before = self.latest().files.clone();
        let Some(now) = before.changed() else { return Ok(false) };
        if now.hold_the_same_as(&before) {
            self.latest().files = now;
            return Ok(false);
        }
        let prepared = Prepared::new(settings.clone()).inspect_err(|_| self.latest().files = now)?;
        Ok(self.offer(prepared))
    }
}

/// Checks the files of `settings` until it is cancelled.
pub(super) async fn watch(settings: Settings, reconnect: Arc<Reconnect>) {
    let sink = settings.delivery.name.clone();
    let mut episode = Episode::default();
    loop {
        sleep(INTERVAL).await;
        let (checking, settings) = (reconnect.clone(), settings.clone());
        match spawn_blocking(move || checking.check(&settings)).await {
            Ok(Ok(true)) => {
                episode.recovered();
                tracing::info!(sink, "certificates were read again");
            }
            Ok(Err(error)) => {
                let error = error.to_string();
                if episode.fails(error.clone()) {
                    tracing::error!(sink, "certificates stay as they were: {error}");
                }
            }
            Ok(Ok(false)) | Err(_) => {}
        }
    }
}
