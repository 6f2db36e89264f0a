//! Three NATS servers and three gateways, each at a site of its own, which can be killed, paused and started again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use taffrail::gateway::replication::nats::admin;
use taffrail::gateway::replication::nats::connection::Description;
use taffrail::gateway::replication::settings::Settings;
use taffrail::nats::settings::Nats;
use tempfile::NamedTempFile;

use crate::harness::Taffrail;
use crate::harness::real::{free_port, newest_peer};

use super::load::{get, series};

const STREAM: &str = "groups";

/// Long enough for elections of the servers, however busy the machine is.
pub(super) const LIMIT: Duration = Duration::from_secs(120);

/// Where a process runs.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// The address that it listens on.
    pub(super) listens_on: String,
    /// Its address for other servers and replicas.
    pub(super) address: String,
    /// Its address for clients.
    pub(super) client_address: String,
    pub(super) folder: PathBuf,
    /// The command that starts programs there.
    pub(super) launcher: Vec<String>,
    pub(super) environment: Vec<(&'static str, String)>,
}

impl Site {
    /// A folder on this machine.
    pub(super) fn loopback(folder: PathBuf) -> Site {
        let [listens_on, address, client_address] = [(); 3].map(|()| "127.0.0.1".to_owned());
        std::fs::create_dir_all(&folder).unwrap();
        Site { listens_on, address, client_address, folder, launcher: Vec::new(), environment: Vec::new() }
    }

    fn command(&self, program: &Path) -> Command {
        let mut words: Vec<&std::ffi::OsStr> = self.launcher.iter().map(AsRef::as_ref).collect();
        words.push(program.as_os_str());
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A process that can be killed, stopped and started again.
pub(super) trait Process {
    fn start(&mut self);
    fn pid(&self) -> Option<u32>;
    /// Ends it at once: SIGKILL.
    fn kill(&mut self);
    /// Ends it in its own time, and starts it again: SIGTERM.
    fn restart(&mut self);
    /// Whether it has caught up with the others.
    fn is_current(&self) -> bool;

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
        }
    }

    fn wait_until_current(&self) {
        wait_for(LIMIT, "a process that has caught up", || self.is_current().then_some(()));
    }
}

pub(super) struct NatsServer {
    /// The program, another one after an upgrade.
    pub(super) program: PathBuf,
    site: Site,
    config: PathBuf,
    /// The address of its monitoring port.
    monitor: String,
    /// Not on the site's disk, which may be full.
    log: NamedTempFile,
    child: Option<Child>,
}

impl NatsServer {
    /// A server of this number. `ports` are those for clients, routes and monitoring.
    fn new(index: usize, program: &Path, site: Site, ports: [u16; 3], routes: &str) -> NatsServer {
        let ([client, route, monitor], address) = (ports, &site.address);
        let text = format!(
            "server_name: n{index}\nlisten: {address}:{client}\nhttp: {address}:{monitor}\n\
             jetstream {{ store_dir: \"{}\", max_mem: 64MB, max_file: 4GB, sync_interval: always }}\n\
             cluster {{ name: taffrail, listen: {address}:{route}, routes: [ {routes} ] }}\n",
            site.folder.join("nats").display(),
        );
        let config = site.folder.join("nats.conf");
        std::fs::write(&config, text).unwrap();
        // The power may fail.
        std::fs::File::open(&config).unwrap().sync_all().unwrap();
        let (monitor, program) = (format!("{address}:{monitor}"), program.to_owned());
        NatsServer { program, site, config, monitor, log: NamedTempFile::new().unwrap(), child: None }
    }

    /// The version that it reports.
    pub(super) fn version(&self) -> String {
        wait_for(LIMIT, "a server's version", || {
            let report: Value = serde_json::from_slice(&get(&self.monitor, "/varz")?.body).ok()?;
            report["version"].as_str().map(str::to_owned)
        })
    }
}

impl Process for NatsServer {
    fn start(&mut self) {
        let mut command = self.site.command(&self.program);
        command
            .arg("-c")
            .arg(&self.config)
            .stdout(Stdio::null())
            .stderr(std::fs::File::options().append(true).open(self.log.path()).unwrap());
        self.child = Some(command.spawn().unwrap());
    }

    fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn restart(&mut self) {
        self.signal(Signal::TERM);
        if let Some(mut child) = self.child.take() {
            child.wait().unwrap();
        }
        self.start();
    }

    fn is_current(&self) -> bool {
        get(&self.monitor, "/healthz").is_some_and(|answer| answer.status == 200)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(super) struct Replica {
    /// Its address for clients.
    pub(super) address: String,
    pub(super) state: PathBuf,
    /// How many times it was started and killed.
    pub(super) life: Arc<AtomicU32>,
    pub(super) gateway: Option<Taffrail>,
    site: Site,
    listen: String,
    config: String,
}

impl Process for Replica {
    fn start(&mut self) {
        self.life.fetch_add(1, Relaxed);
        let mut command = self.site.command(Path::new(env!("CARGO_BIN_EXE_taffrail")));
        command.arg("gateway");
        let arguments = ["--listen", &self.listen, "--state", self.state.to_str().unwrap()];
        let gateway = Taffrail::spawn(command, &self.config, &arguments);
        gateway.gateway();
        self.gateway = Some(gateway);
    }

    fn pid(&self) -> Option<u32> {
        self.gateway.as_ref().map(Taffrail::pid)
    }

    fn kill(&mut self) {
        self.life.fetch_add(1, Relaxed);
        self.gateway = None;
    }

    fn restart(&mut self) {
        self.signal(Signal::TERM);
        self.gateway.as_mut().unwrap().wait();
        self.start();
    }

    fn is_current(&self) -> bool {
        get(&self.address, "/-/ready").is_some_and(|answer| answer.status == 200)
    }
}

impl Replica {
    fn new(index: usize, site: Site, servers: &[String]) -> Replica {
        let port = free_port();
        let config = format!(
            "[gateway]\nstream = \"{STREAM}\"\nreplica_url = \"http://{}:{port}\"\nreplica_name = \"r{index}\"\n\
             [nats]\nservers = {servers:?}\n",
            site.address
        );
        let (address, listen) = (format!("{}:{port}", site.client_address), format!("{}:{port}", site.listens_on));
        let (state, life) = (site.folder.join("gateway"), Arc::default());
        Replica { address, state, life, gateway: None, site, listen, config }
    }

    /// The value of the group, as this replica has it.
    pub(super) fn value(&self, group: &str) -> Option<u32> {
        let exposition = get(&self.address, &format!("/metrics/job/{group}"))?;
        exposition.sample(&series(group)).map(|value| value as u32)
    }

    /// What it reports of its replication.
    pub(super) fn status(&self) -> Option<Value> {
        let status = get(&self.address, "/api/v1/status")?;
        let mut status: Value = serde_json::from_slice(&status.body).ok()?;
        Some(status["data"]["replica"].take())
    }

    fn exposes_groups(&self) -> bool {
        self.status().is_some_and(|status| status["role"] == "writer" && status["exposes_groups"] == true)
    }

    /// Whether its directory has all that it has applied.
    pub(super) fn has_whole_copy(&self) -> bool {
        let status = self.status().filter(|status| status["stream_id"].is_string());
        status.is_some_and(|status| status["persisted_sequence"] == status["last_sequence"])
    }
}

/// Three servers and three gateways.
pub(super) struct Deployment {
    pub(super) servers: Vec<NatsServer>,
    pub(super) replicas: Vec<Replica>,
    pub(super) settings: Settings,
    folder: Option<tempfile::TempDir>,
}

impl Deployment {
    pub(super) fn start() -> Deployment {
        Deployment::start_with(None)
    }

    /// Starts it on loopback, with the groups in a directory.
    pub(super) fn start_with(from: Option<&Path>) -> Deployment {
        let folder = tempfile::tempdir().unwrap();
        let site = |kind: &str, index: usize| Site::loopback(folder.path().join(format!("{kind}-{index}")));
        let servers = [0, 1, 2].map(|index| site("server", index));
        let replicas = [0, 1, 2].map(|index| site("replica", index));
        let mut deployment = Deployment::start_at(servers, replicas, &newest_peer("nats-server"), from);
        deployment.folder = Some(folder);
        deployment
    }

    /// Starts it at these sites with this nats-server, with the groups in a directory.
    pub(super) fn start_at(
        servers: [Site; 3],
        replicas: [Site; 3],
        nats_server: &Path,
        from: Option<&Path>,
    ) -> Deployment {
        let ports: Vec<[u16; 3]> = (0..3).map(|_| [(); 3].map(|()| free_port())).collect();
        let url = |site: &Site, port: u16| format!("nats://{}:{port}", site.address);
        let sites = || servers.iter().zip(&ports);
        let routes: Vec<String> = sites().map(|(site, [_, route, _])| url(site, *route)).collect();
        let urls: Vec<String> = sites().map(|(site, [client, ..])| url(site, *client)).collect();
        let server =
            |(index, site): (usize, Site)| NatsServer::new(index, nats_server, site, ports[index], &routes.join(", "));
        let mut servers: Vec<NatsServer> = servers.clone().into_iter().enumerate().map(server).collect();
        servers.iter_mut().for_each(Process::start);
        let settings = Settings {
            stream: STREAM.to_owned(),
            name: "test".to_owned(),
            nats: Nats { servers: urls.clone(), ..Nats::default() },
            ..Settings::default()
        };
        let replicas = replicas.into_iter().enumerate().map(|(index, site)| Replica::new(index, site, &urls));
        let mut deployment = Deployment { replicas: replicas.collect(), folder: None, servers, settings };
        runtime().block_on(admin::create(&deployment.settings, 3, from, false)).unwrap();
        deployment.replicas.iter_mut().for_each(Process::start);
        deployment
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        self.replicas.iter().map(|replica| replica.address.clone()).collect()
    }

    /// Waits for a writer that exposes the groups; returns its index.
    pub(super) fn writer(&self) -> usize {
        wait_for(LIMIT, "a writer", || self.replicas.iter().position(Replica::exposes_groups))
    }

    /// What the servers say of the stream.
    pub(super) fn describe(&self) -> Option<Description> {
        runtime().block_on(admin::status(&self.settings)).ok().map(|report| report.stream)
    }

    /// Waits until the servers have a leader of the stream; returns its index.
    pub(super) fn leader(&self) -> usize {
        wait_for(LIMIT, "a leader of the stream", || self.describe()?.leader?.strip_prefix('n')?.parse().ok())
    }

    /// Waits until all replicas have this value.
    pub(super) fn wait_for_all(&self, group: &str, expected: u32) {
        for replica in &self.replicas {
            wait_for(LIMIT, "a follower", || (replica.value(group) == Some(expected)).then_some(()));
        }
    }
}

impl Drop for Deployment {
    /// Shows why a test has failed.
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        for (index, replica) in self.replicas.iter().enumerate() {
            println!("replica {index}: {:#?}\n{:#?}", replica.status(), replica.gateway.as_ref().map(Taffrail::log));
        }
        for server in &self.servers {
            let log = std::fs::read_to_string(&server.log).unwrap_or_default();
            println!("{}:\n{}", server.monitor, log.lines().rev().take(40).collect::<Vec<_>>().join("\n"));
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub(super) fn wait_for<T>(limit: Duration, what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} is missing");
        thread::sleep(Duration::from_millis(20));
    }
}
