//! Reads the configuration in a separate thread.

use std::time::Duration;

use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::Origin;
use crate::settings::Settings;
use crate::sinks::http::ClientError;
use crate::sinks::settings::Prepared;

/// Timeout for reading all files that a configuration names.
const LOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// A checked configuration, with its sinks prepared.
pub(super) struct Loaded {
    /// All settings except the sinks.
    pub(super) settings: Settings,
    pub(super) sinks: Vec<Prepared>,
}

/// Why loading failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// One line each; formatted here, as positions need the whole text.
    #[error("{}", .0.join("\n"))]
    Mistakes(Vec<String>),
    #[error("{0}")]
    Sink(#[from] ClientError),
    #[error("not all files that it names were read within {} s", LOAD_TIMEOUT.as_secs())]
    Timeout,
    #[error("the files of an earlier attempt still do not answer")]
    StillHung,
    #[error("it cannot be read: {0}")]
    Failed(#[from] JoinError),
}

impl Loaded {
    fn new(origin: &Origin) -> Result<Loaded, LoadError> {
        let mut settings = origin.load().map_err(|problems| LoadError::Mistakes(problems.lines().collect()))?;
        settings.dependencies.without_effect().lines().for_each(|line| tracing::warn!("{line}"));
        let sinks = std::mem::take(&mut settings.sinks);
        let sinks = sinks.into_iter().map(Prepared::new).collect::<Result<_, _>>()?;
        Ok(Loaded { settings, sinks })
    }
}

/// Reads configurations, one at a time.
#[derive(Default)]
pub(super) struct Loader {
    /// An attempt that timed out and may still hang.
    abandoned: Option<JoinHandle<Result<Loaded, LoadError>>>,
}

impl Loader {
    /// Reads the configuration without blocking the runtime, within the timeout.
    ///
    /// # Errors
    /// If the configuration is invalid or cannot be read.
    pub(super) async fn load(&mut self, origin: &Origin) -> Result<Loaded, LoadError> {
        if self.abandoned.as_ref().is_some_and(|attempt| !attempt.is_finished()) {
            return Err(LoadError::StillHung);
        }
        let origin = origin.clone();
        let mut attempt = spawn_blocking(move || Loaded::new(&origin));
        match timeout(LOAD_TIMEOUT, &mut attempt).await {
            Ok(loaded) => loaded?,
            Err(_) => {
                self.abandoned = Some(attempt);
                Err(LoadError::Timeout)
            }
        }
    }
}
