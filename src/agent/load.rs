//! Reading a configuration off the thread that serves.

use std::time::Duration;

use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::Origin;
use crate::config::Problems;
use crate::settings::Settings;
use crate::sinks::connection::Prepared;
use crate::sinks::http::ClientError;

/// How long it may take to read everything that a configuration names.
const PATIENCE: Duration = Duration::from_secs(60);

/// A checked configuration, with what was made of files for it.
pub(super) struct Loaded {
    /// All but the sinks, of which there are none.
    pub(super) settings: Settings,
    pub(super) sinks: Vec<Prepared>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("{0}")]
    Mistakes(Problems),
    #[error("{0}")]
    Sink(#[from] ClientError),
    #[error("not all files that it names were read within {} s", PATIENCE.as_secs())]
    NoAnswer,
    #[error("the files of an earlier attempt still do not answer")]
    StillNoAnswer,
    #[error("it cannot be read: {0}")]
    Failed(#[from] JoinError),
}

impl Loaded {
    fn new(origin: &Origin) -> Result<Loaded, LoadError> {
        let mut settings = origin.load().map_err(LoadError::Mistakes)?;
        let sinks = std::mem::take(&mut settings.sinks);
        let sinks = sinks.into_iter().map(Prepared::new).collect::<Result<_, _>>()?;
        Ok(Loaded { settings, sinks })
    }
}

/// Reads configurations, one after the other.
#[derive(Default)]
pub(super) struct Loader {
    /// An attempt that was given up, and may still wait.
    given_up: Option<JoinHandle<Result<Loaded, LoadError>>>,
}

impl Loader {
    /// Reads the configuration, while this thread serves; it answers within a minute.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn load(&mut self, origin: &Origin) -> Result<Loaded, LoadError> {
        if self.given_up.as_ref().is_some_and(|attempt| !attempt.is_finished()) {
            return Err(LoadError::StillNoAnswer);
        }
        let origin = origin.clone();
        let mut attempt = spawn_blocking(move || Loaded::new(&origin));
        match timeout(PATIENCE, &mut attempt).await {
            Ok(loaded) => loaded?,
            Err(_) => {
                self.given_up = Some(attempt);
                Err(LoadError::NoAnswer)
            }
        }
    }
}
