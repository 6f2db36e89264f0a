//! NATS servers on loopback.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::harness::real::{free_port, newest_peer};

pub(super) struct NatsServer {
    pub(super) port: u16,
    pub(super) monitor: u16,
    config: PathBuf,
    child: Option<Child>,
}

impl NatsServer {
    fn start(&mut self) {
        let mut command = Command::new(newest_peer("nats-server"));
        command.arg("-c").arg(&self.config).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Servers that sync each message, and end when this is dropped.
pub(super) struct NatsServers {
    pub(super) all: Vec<NatsServer>,
    _folder: tempfile::TempDir,
}

const SYNC: &str = ", sync_interval: always";

impl NatsServers {
    /// Starts this number of them, with more lines of configuration.
    pub(super) fn start(number: usize, more: &str) -> NatsServers {
        let folder = tempfile::tempdir().unwrap();
        let routes: Vec<u16> = (0..number).map(|_| free_port()).collect();
        let urls: Vec<String> = routes.iter().map(|route| format!("nats://127.0.0.1:{route}")).collect();
        let server = |(index, route): (usize, &u16)| {
            let (port, monitor) = (free_port(), free_port());
            let store = folder.path().join(format!("store-{index}"));
            let mut text = format!(
                "server_name: n{index}\nlisten: 127.0.0.1:{port}\nhttp: 127.0.0.1:{monitor}\n\
                 jetstream {{ store_dir: \"{}\", max_mem: 64MB, max_file: 1GB{SYNC} }}\n{more}\n",
                store.display()
            );
            if number > 1 {
                let urls = urls.join(", ");
                text += &format!("cluster {{ name: taffrail, listen: 127.0.0.1:{route}, routes: [ {urls} ] }}\n");
            }
            let config = folder.path().join(format!("nats-{index}.conf"));
            std::fs::write(&config, text).unwrap();
            NatsServer { port, monitor, config, child: None }
        };
        let mut all: Vec<NatsServer> = routes.iter().enumerate().map(server).collect();
        all.iter_mut().for_each(NatsServer::start);
        NatsServers { all, _folder: folder }
    }

    /// Where clients connect.
    pub(super) fn urls(&self, scheme: &str) -> Vec<String> {
        self.all.iter().map(|server| format!("{scheme}://127.0.0.1:{}", server.port)).collect()
    }

    pub(super) fn stop(&mut self) {
        self.all.iter_mut().for_each(NatsServer::stop);
    }

    pub(super) fn restart(&mut self) {
        for server in &mut self.all {
            server.stop();
            let text = std::fs::read_to_string(&server.config).unwrap();
            let text = if text.contains(SYNC) { text } else { text.replace("1GB", &format!("1GB{SYNC}")) };
            std::fs::write(&server.config, text).unwrap();
            server.start();
        }
    }

    /// Restarts them with the default of `sync_interval`.
    pub(super) fn restart_without_sync(&mut self) {
        for server in &mut self.all {
            server.stop();
            let text = std::fs::read_to_string(&server.config).unwrap();
            std::fs::write(&server.config, text.replace(SYNC, "")).unwrap();
            server.start();
        }
    }
}
