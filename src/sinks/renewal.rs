//! Connections that are made anew when the files that their settings name have changed, such as certificates.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::connection::{Connection, Prepared};
use super::http::ClientError;
use super::named_files::NamedFiles;
use super::settings::Settings;
use crate::log::Episode;

/// How often files are looked at.
const EVERY: Duration = Duration::from_secs(5);

/// A connection that is to take the place of the one in use, when there is one.
pub(super) struct Renewal {
    latest: Mutex<Latest>,
    came: Notify,
}

struct Latest {
    /// The files as they were looked at last.
    files: NamedFiles,
    /// What was made of them, and is not in use yet.
    connection: Option<Connection>,
}

impl Renewal {
    /// Renewal of a connection that was made of `files`.
    pub(super) fn new(files: NamedFiles) -> Renewal {
        Renewal { latest: Mutex::new(Latest { files, connection: None }), came: Notify::new() }
    }

    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that is to be used from here on.
    pub(super) fn take(&self) -> Option<Connection> {
        self.latest().connection.take()
    }

    /// Waits until there is one.
    pub(super) async fn came(&self) {
        self.came.notified().await;
    }

    /// Takes what was made of the same settings, if their files hold something else by now, and says whether they do.
    pub(super) fn renew(&self, prepared: Prepared) -> bool {
        let mut latest = self.latest();
        let is_same = prepared.files.hold_the_same_as(&latest.files);
        latest.files = prepared.files;
        if !is_same {
            latest.connection = Some(prepared.connection);
            self.came.notify_one();
        }
        !is_same
    }

    /// Looks at the files, and takes what they hold, if that has changed; says whether it did, or why it cannot be used.
    fn look(&self, settings: &Settings) -> Result<bool, ClientError> {
        let before = self.latest().files.clone();
        let Some(now) = before.changed() else { return Ok(false) };
        if now.hold_the_same_as(&before) {
            self.latest().files = now;
            return Ok(false);
        }
        let prepared = Prepared::new(settings.clone()).inspect_err(|_| self.latest().files = now)?;
        Ok(self.renew(prepared))
    }
}

/// Looks at the files of `settings` now and then, as long as nobody stops it.
pub(super) async fn watch(settings: Settings, renewal: Arc<Renewal>) {
    let sink = settings.delivery.name.clone();
    let mut episode = Episode::default();
    loop {
        sleep(EVERY).await;
        let (looking, settings) = (renewal.clone(), settings.clone());
        match spawn_blocking(move || looking.look(&settings)).await {
            Ok(Ok(true)) => {
                episode.is_well();
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
