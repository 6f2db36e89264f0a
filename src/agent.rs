//! The process: starts what the configuration asks for, reloads it on SIGHUP, drains on SIGTERM and SIGINT.

mod failure;
mod load;
mod running;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::future::pending;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{sleep, timeout};

pub use self::failure::{exit_status, messages};
use self::load::{LoadError, Loader};
use self::running::Agent;
use crate::config::Problems;
use crate::http::{Inherited, ListenAddress};
use crate::manager::{self, Sockets};
use crate::settings::{Overrides, Settings};
use crate::system::{self, Control, Signals};

/// The source of the configuration, read again at each reload.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The files and directories.
    pub paths: Vec<PathBuf>,
    /// Settings of the command line.
    pub overrides: Overrides,
}

/// An environment variable.
pub fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Like [`variable`], but any systemd credential resolves to a placeholder.
pub fn variable_without_credentials(name: &str) -> Option<OsString> {
    if name.starts_with("credential:") { Some("credential".into()) } else { variable(name) }
}

impl Origin {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// All problems of the configuration.
    pub fn load(&self) -> Result<Settings, Problems> {
        Settings::load(&self.paths, &self.overrides, &variable)
    }

    /// Like [`Origin::load`], for commands other than the service: only the service may read its credentials, so
    /// placeholders stand for them.
    ///
    /// # Errors
    /// As [`Origin::load`].
    pub fn load_without_credentials(&self) -> Result<Settings, Problems> {
        Settings::load_once(&self.paths, &self.overrides, &variable_without_credentials)
    }

    /// Listens on sockets passed by the service manager instead, if there are any.
    fn listening_on(&self, sockets: &Sockets) -> Origin {
        let mut origin = self.clone();
        let addresses = |handed: &BTreeMap<ListenAddress, Inherited>| handed.keys().cloned().collect::<Vec<_>>();
        let (http, gateway) = (addresses(&sockets.http), addresses(&sockets.gateway));
        if origin.overrides.only_gateway && !(http.is_empty() && gateway.is_empty()) {
            origin.overrides.listen = [http, gateway].concat();
            return origin;
        }
        if !http.is_empty() {
            origin.overrides.listen = http;
        }
        origin.overrides.gateway_listen = gateway;
        origin
    }
}

/// Time after a start or a reload until code that only it used is released.
const SETTLED: Duration = Duration::from_secs(10);
/// Time that a reload in progress has to finish when the process must end.
const RELOAD_GRACE: Duration = Duration::from_secs(2);

const QUIT: Ended = Ended("a request to /-/quit");

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// Why it cannot start; [`exit_status`] has the process's exit status for it.
pub async fn run(origin: &Origin) -> Result<(), Box<dyn std::error::Error>> {
    // First of all: an unhandled SIGHUP would end the process.
    let requests = Requests { signals: Signals::new()?, is_reload_due: false };
    let sockets = Sockets::take().map_err(|error| format!("a socket of the service manager: {error}"))?;
    let origin = origin.listening_on(&sockets);
    let mut process = Process { origin, requests, loader: Loader::default() };
    let mut agent = match process.start(sockets).await {
        Ok(started) => started?,
        Err(Ended(why)) => {
            tracing::info!("{why}: ended before it was started");
            return Ok(());
        }
    };
    manager::ready(&agent.status());
    let _alive = manager::keep_alive();
    let Ended(why) = process.serve(&mut agent).await;
    manager::stopping();
    tracing::info!("{why}: shutting down");
    agent.drain().await;
    manager::flush();
    Ok(())
}

/// Releases code that only a start or a reload used, once.
async fn release_code() -> Infallible {
    sleep(SETTLED).await;
    system::release_code();
    pending().await
}

/// Requests to the process from outside.
struct Requests {
    signals: Signals,
    /// Whether a reload is pending.
    is_reload_due: bool,
}

/// The process must end, for this reason.
struct Ended(&'static str);

impl Requests {
    /// Runs `work` to its end, unless the process must end first. Reload requests meanwhile are merged into one.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Ended> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                asked = self.signals.next() => match asked {
                    Control::Reload => self.is_reload_due = true,
                    Control::End(name) => return Err(Ended(name)),
                },
            }
        }
    }

    /// Waits until a reload is due.
    async fn reload_is_due(&mut self) -> Result<(), Ended> {
        while !std::mem::take(&mut self.is_reload_due) {
            match self.signals.next().await {
                Control::Reload => self.is_reload_due = true,
                Control::End(name) => return Err(Ended(name)),
            }
        }
        Ok(())
    }
}

struct Process {
    origin: Origin,
    requests: Requests,
    loader: Loader,
}

impl Process {
    async fn start(&mut self, sockets: Sockets) -> Result<Result<Agent, Box<dyn std::error::Error>>, Ended> {
        let loading = self.loader.load(&self.origin);
        let starting = async { Agent::start(loading.await?, sockets).await };
        self.requests.during(starting).await
    }

    /// Reloads on request, until the process must end.
    async fn serve(&mut self, agent: &mut Agent) -> Ended {
        loop {
            let due = tokio::select! {
                due = self.requests.reload_is_due() => due,
                () = agent.quit_requested() => Err(QUIT),
                never = release_code() => match never {},
            };
            if let Err(ended) = due {
                return ended;
            }
            manager::reloading();
            if let Err(ended) = self.reload(agent).await {
                return ended;
            }
            manager::ready(&agent.status());
        }
    }

    /// Applies the current configuration. If it is invalid, nothing changes.
    async fn reload(&mut self, agent: &mut Agent) -> Result<(), Ended> {
        let loaded = tokio::select! {
            loaded = self.requests.during(self.loader.load(&self.origin)) => loaded?,
            () = agent.quit_requested() => return Err(QUIT),
        };
        match loaded {
            Ok(loaded) => {
                let mut applying = pin!(agent.apply(loaded));
                let applied = self.requests.during(applying.as_mut()).await;
                if applied.is_err() {
                    let _ = timeout(RELOAD_GRACE, applying).await;
                }
                return applied;
            }
            Err(LoadError::Mistakes(problems)) => {
                for line in problems {
                    tracing::error!("{line}");
                }
                tracing::error!("the configuration was not reloaded; the previous one stays active");
            }
            Err(error) => {
                tracing::error!("the configuration was not reloaded; the previous one stays active: {error}");
            }
        }
        Ok(())
    }
}
