//! The process: starts what the configuration asks for, reloads it on SIGHUP, drains on SIGTERM and SIGINT.

mod load;
mod running;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;

use self::load::{LoadError, Loader};
use self::running::Agent;
use crate::config::Problems;
use crate::manager::{self, Sockets};
use crate::settings::{Overrides, Settings};
use crate::system::{Asked, Signals};

/// Where the configuration comes from; asked again at each reload.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The files and directories.
    pub paths: Vec<PathBuf>,
    /// What the command line says instead.
    pub overrides: Overrides,
}

/// A variable of the environment.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The same, with credentials that stand for any.
pub fn variable_without_credentials(name: &str) -> Option<String> {
    if name.starts_with("credential:") { Some("credential".to_owned()) } else { variable(name) }
}

impl Origin {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// Every mistake.
    pub fn load(&self) -> Result<Settings, Problems> {
        Settings::load(&self.paths, &self.overrides, &variable)
    }

    /// The same, for those who look on: only the service may read its credentials, so that any are taken for good.
    ///
    /// # Errors
    /// As [`Origin::load`].
    pub fn load_without_credentials(&self) -> Result<Settings, Problems> {
        Settings::load_once(&self.paths, &self.overrides, &variable_without_credentials)
    }

    /// The same, but for listening on sockets that were handed over, if there are any.
    fn listening_on(&self, sockets: &Sockets) -> Origin {
        let mut origin = self.clone();
        let addresses = |handed: &BTreeMap<SocketAddr, TcpListener>| handed.keys().copied().collect::<Vec<_>>();
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

/// How long a reload that has begun to change things may go on when the process is to end.
const LAST_CHANGES: Duration = Duration::from_secs(2);

const QUIT: Ended = Ended("a request to /-/quit");

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps it from starting.
pub async fn run(origin: &Origin) -> Result<(), Box<dyn std::error::Error>> {
    // Before anything else: a SIGHUP that nobody handles would end the process.
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
    let Ended(why) = process.attend(&mut agent).await;
    manager::stopping();
    tracing::info!("{why}: shutting down");
    agent.drain().await;
    manager::told();
    Ok(())
}

/// What the process is asked from outside.
struct Requests {
    signals: Signals,
    /// Whether a reload was asked for that has not begun.
    is_reload_due: bool,
}

/// That the process was asked to end, and by what.
struct Ended(&'static str);

impl Requests {
    /// Does `work` until it is done, or the process is asked to end. Reloads that are asked for meanwhile are one.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Ended> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                asked = self.signals.next() => match asked {
                    Asked::Reload => self.is_reload_due = true,
                    Asked::End(name) => return Err(Ended(name)),
                },
            }
        }
    }

    /// Waits until a reload is due.
    async fn reload_is_due(&mut self) -> Result<(), Ended> {
        while !std::mem::take(&mut self.is_reload_due) {
            match self.signals.next().await {
                Asked::Reload => self.is_reload_due = true,
                Asked::End(name) => return Err(Ended(name)),
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

    /// Reloads as often as it is asked to, until it is asked to end.
    async fn attend(&mut self, agent: &mut Agent) -> Ended {
        loop {
            let due = tokio::select! {
                due = self.requests.reload_is_due() => due,
                () = agent.asked_to_quit() => Err(QUIT),
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

    /// Takes the configuration as it is now. If anything is wrong with it, everything stays as it was.
    async fn reload(&mut self, agent: &mut Agent) -> Result<(), Ended> {
        let loaded = tokio::select! {
            loaded = self.requests.during(self.loader.load(&self.origin)) => loaded?,
            () = agent.asked_to_quit() => return Err(QUIT),
        };
        match loaded {
            Ok(loaded) => {
                let mut applying = pin!(agent.apply(loaded));
                let applied = self.requests.during(applying.as_mut()).await;
                if applied.is_err() {
                    let _ = timeout(LAST_CHANGES, applying).await;
                }
                return applied;
            }
            Err(LoadError::Mistakes(problems)) => {
                for line in problems.lines() {
                    tracing::error!("{line}");
                }
                tracing::error!("the configuration was not reloaded; the one before stays in force");
            }
            Err(error) => {
                tracing::error!("the configuration was not reloaded; the one before stays in force: {error}");
            }
        }
        Ok(())
    }
}
