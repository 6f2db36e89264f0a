//! Replicas as an operator sees them: the commands of docs/gateway.md as they stand, what shows the state of the replicas, and the
//! ways to authenticate at NATS servers; with real servers on loopback.

mod altered;
mod credentials;
mod jwt;
#[cfg(feature = "cloudwatch")]
mod leases;
mod servers;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::http::request;
use crate::harness::real::free_port;
use crate::harness::{Taffrail, get, printed, wait_until};
use servers::NatsServers;

const DOCS: &str = include_str!("../../docs/gateway.md");

/// What stands between the next ```KIND after `title` and its end.
fn block(title: &str, kind: &str) -> &'static str {
    let section = DOCS.split_once(title).unwrap_or_else(|| panic!("{title} is missing")).1;
    section.split_once(&format!("```{kind}\n")).unwrap().1.split_once("```").unwrap().0
}

/// The machines of the documentation, as folders and ports of this one.
struct Operated {
    folder: tempfile::TempDir,
    servers: NatsServers,
    /// Where the replicas listen.
    addresses: [String; 3],
}

impl Operated {
    fn new() -> Operated {
        let addresses = [(); 3].map(|()| format!("127.0.0.1:{}", free_port()));
        let folder = tempfile::tempdir().unwrap();
        let servers = NatsServers::start(3, "");
        let operated = Operated { folder, servers, addresses };
        std::fs::write(operated.config_path(), operated.config(0)).unwrap();
        operated
    }

    fn state(&self, replica: usize) -> PathBuf {
        self.folder.path().join(format!("replica-{replica}"))
    }

    fn config_path(&self) -> PathBuf {
        self.folder.path().join("taffrail.toml")
    }

    /// The documented configuration of a replica, with the ports and folders of this machine.
    fn config(&self, replica: usize) -> String {
        let mut text = block("**2. The configuration of each replica.**", "toml").to_owned();
        for (index, server) in self.servers.all.iter().enumerate() {
            let number = index + 1;
            text = text.replace(&format!("nats-{number}.example:4222"), &format!("127.0.0.1:{}", server.port));
            text = text.replace(&format!("nats-{number}.example:8222"), &format!("127.0.0.1:{}", server.monitor));
        }
        let address = &self.addresses[replica];
        text = text.replace("http://gateway-1.example:9091", &format!("http://{address}")).replace(":9091", address);
        text = text.replace("/var/lib/taffrail/replica", self.state(replica).to_str().unwrap());
        assert!(!text.contains(".example"), "{text}");
        text.replace("[nats]", &format!("replica_name = \"gateway-{replica}\"\n[nats]"))
    }

    fn start(&self, replica: usize) -> Taffrail {
        Taffrail::start_command("gateway", &self.config(replica), &[])
    }

    /// Runs the command in the next block after `title`, with its paths in `folder`.
    fn documented(&self, title: &str, replica: usize) -> (String, String) {
        let command = block(title, "sh");
        let command = command.replace("/var/lib/taffrail/replica", self.state(replica).to_str().unwrap());
        self.run(&command.replace("/var/lib/taffrail", self.folder.path().to_str().unwrap()))
    }

    /// Runs a command of a shell, in which taffrail has the configuration of the first replica.
    fn run(&self, command: &str) -> (String, String) {
        let output = self.output(command);
        assert!(output.status.success(), "{command}: {:?}", printed(&output));
        printed(&output)
    }

    fn output(&self, command: &str) -> Output {
        let function = format!("taffrail() {{ \"$PROGRAM\" \"$@\" --config \"$CONFIG\"; }}\n{command}");
        let mut shell = Command::new("sh");
        shell.args(["-euc", &function]).env("PROGRAM", env!("CARGO_BIN_EXE_taffrail"));
        shell.env("CONFIG", self.config_path()).output().unwrap()
    }

    fn status(&self, replica: usize) -> Option<Value> {
        let answer = get(&format!("http://{}/api/v1/status", self.addresses[replica]), &[]).ok()?;
        let status: Value = serde_json::from_str(answer.text()).ok()?;
        Some(status["data"]["replica"].clone())
    }

    /// Waits until this replica knows three, of which one is the writer, and all have everything on disk; returns the writer.
    fn wait_for_three(&self) -> usize {
        wait_until("three replicas", || {
            let status = self.status(0)?;
            let replicas = status["replicas"].as_array()?.clone();
            let has_all = |replica: &&Value| {
                replica["persisted_sequence"] == status["last_sequence"] && replica["is_silent"] == false
            };
            let writer = replicas.iter().position(|replica| replica["role"] == "writer")?;
            (replicas.iter().filter(has_all).count() == 3).then_some(writer)
        })
    }

    fn wait_for_group(&self, replica: usize, job: &str, value: u32) {
        let url = format!("http://{}/metrics/job/{job}", self.addresses[replica]);
        wait_until(&format!("the group {job}"), || {
            get(&url, &[]).ok().filter(|answer| answer.text().contains(&format!("job=\"{job}\"}} {value}\n")))
        });
    }
}

/// Pushes until that is acknowledged.
fn push(address: &str, job: &str, value: u32) {
    wait_until("an acknowledged push", || {
        let pushed = request("PUT", &format!("/metrics/job/{job}"), format!("x {value}\n")).send(address);
        (pushed.status == 200).then_some(())
    });
}

fn stop(mut gateway: Taffrail) {
    gateway.signal(Signal::TERM);
    assert!(gateway.wait().success());
}

/// A gateway that is alone, with its groups in this folder.
fn alone(operated: &Operated, command: &str) -> (Taffrail, String) {
    let state = command.split_once("--state ").unwrap().1.split_whitespace().next().unwrap();
    let address = operated.addresses[0].clone();
    let gateway = Taffrail::start_command("gateway", "", &["--listen", &address, "--state", state]);
    assert_eq!(gateway.gateway(), address);
    (gateway, address)
}

#[test]
fn the_documented_commands_move_a_gateway_to_replicas_and_back_without_loss() {
    let operated = Operated::new();
    let single = format!("--state {}", operated.folder.path().join("gateway").display());
    let (gateway, address) = alone(&operated, &single);
    push(&address, "a", 1);
    stop(gateway);

    let (created, _) = operated.documented("**To three.**", 0);
    assert!(created.starts_with("created the stream taffrail with 1 groups\n"), "{created}");
    let replicas = [0, 1, 2].map(|replica| operated.start(replica));
    let writer = operated.wait_for_three();
    push(&operated.addresses[(writer + 1) % 3], "b", 2);
    operated.wait_for_three();
    for replica in 0..3 {
        operated.wait_for_group(replica, "a", 1);
        operated.wait_for_group(replica, "b", 2);
    }
    shows_the_replicas(&operated, writer);
    let refused = operated.output("taffrail gateway stream create");
    assert!(printed(&refused).1.contains("the stream taffrail exists already"), "{refused:?}");

    // Back to one: the writer is the last to be stopped.
    let mut replicas = replicas.map(Some);
    replicas.iter_mut().enumerate().filter(|(index, _)| *index != writer).for_each(|(_, it)| stop(it.take().unwrap()));
    stop(replicas[writer].take().unwrap());
    let command = block("**Back to one.**", "sh");
    assert_eq!(command, "taffrail gateway --state /var/lib/taffrail/replica\n");
    let (gateway, _) =
        alone(&operated, &command.replace("/var/lib/taffrail/replica", operated.state(writer).to_str().unwrap()));
    operated.wait_for_group(0, "a", 1);
    operated.wait_for_group(0, "b", 2);
    push(&address, "c", 3);
    stop(gateway);
    restores_the_stream(&operated, writer);
}

/// `taffrail gateway stream status`, the page, the JSON and the metrics show all replicas, and that the servers sync.
fn shows_the_replicas(operated: &Operated, writer: usize) {
    let status = wait_until("each replica in the status", || {
        let (status, _) = operated.documented("### Watching replicas", 0);
        (status.matches(", 0 messages behind, ").count() == 3).then_some(status)
    });
    let line = |start: &str| status.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default().to_owned();
    assert_eq!(line("sync:     "), "each message: n0, n1, n2", "{status}");
    assert_eq!(line("writer:   "), format!("gateway-{writer}"), "{status}");
    assert_eq!(line("replicas: "), "3", "{status}");
    assert_eq!(line("identity: ").len(), 32, "{status}");
    for (replica, address) in operated.addresses.iter().enumerate() {
        let role = if replica == writer { "writer" } else { "follower" };
        let shown = line(&format!("  gateway-{replica} at http://{address}: "));
        assert!(shown.starts_with(&format!("{role}, 0 messages behind, ")), "{status}");
        let durability = wait_until("the durability", || {
            let status = operated.status(replica)?;
            (status["durability"]["synced"] == true).then(|| status["durability"].clone())
        });
        assert_eq!(durability["servers"], serde_json::json!({"n0": true, "n1": true, "n2": true}));
        let page = get(&format!("http://{address}/"), &[]).unwrap();
        assert!(page.text().contains("NATS servers sync each message: n0, n1, n2"), "{}", page.text());
        for other in &operated.addresses {
            assert!(page.text().contains(&format!("http://{other}</span>")), "{}", page.text());
        }
        let exposition = get(&format!("http://{address}/metrics"), &[]).unwrap();
        assert_eq!(exposition.sample("taffrail_gateway_stream_synced{server=\"n1\"}"), Some(1.0));
    }
}

/// The groups of a directory are put into a new stream.
fn restores_the_stream(operated: &Operated, directory: usize) {
    let saved = operated.folder.path().join("saved");
    std::fs::rename(operated.state(directory), &saved).unwrap();
    (0..3).for_each(|replica| drop(std::fs::remove_dir_all(operated.state(replica))));
    // A replica that runs is in the way.
    let running = operated.start(1);
    let command = block("### When a replica stops", "sh").replace("/var/lib/taffrail/replica", saved.to_str().unwrap());
    wait_until("the refusal", || {
        let refused = printed(&operated.output(&command)).1;
        refused.contains("the replica gateway-1 at ").then_some(())
    });
    stop(running);
    std::fs::remove_dir_all(operated.state(1)).unwrap();
    let (created, _) = operated.run(&command);
    assert!(created.starts_with("created the stream taffrail with 3 groups\n"), "{created}");
    let replicas = [0, 1, 2].map(|replica| operated.start(replica));
    operated.wait_for_three();
    for replica in 0..3 {
        (1..).zip(["a", "b", "c"]).for_each(|(value, job)| operated.wait_for_group(replica, job, value));
    }
    replicas.into_iter().for_each(stop);
}

/// A replica of one server, with these settings of `[nats]` and `[gateway]`.
fn replica_config(gateway: &str, nats: &str, address: &str, state: &Path) -> String {
    format!(
        "[gateway]\nlisten = [\"{address}\"]\nstate = \"{}\"\nstream = \"groups\"\n{gateway}\n[nats]\n{nats}\n",
        state.display()
    )
}

/// Runs `taffrail gateway stream …` with this configuration; returns what it printed, or else its error.
fn stream(config: &str, arguments: &[&str]) -> Result<String, String> {
    let (_folder, path) = crate::harness::config_file(config);
    let arguments: Vec<&str> =
        ["gateway", "stream"].iter().chain(arguments).copied().chain(["--config", &path]).collect();
    let output = crate::harness::taffrail(&arguments);
    let (out, error) = printed(&output);
    if output.status.success() { Ok(out) } else { Err(error) }
}

#[test]
fn a_replica_without_a_directory_does_not_start() {
    let (_folder, path) = crate::harness::config_file(
        "[gateway]\nstream = \"s\"\nreplica_url = \"http://a:1\"\n[nats]\nservers = [\"nats://127.0.0.1:1\"]\n",
    );
    let output = crate::harness::taffrail(&["gateway", "--config", &path]);
    assert_eq!(output.status.code(), Some(78));
    let (_, error) = printed(&output);
    assert!(error.contains("[gateway] stream: expected state = DIRECTORY or --state with it, found none"), "{error}");
}

/// Servers that do not sync, and servers that cannot be seen.
#[test]
fn a_replica_warns_of_servers_that_do_not_sync() {
    let mut servers = NatsServers::start(1, "");
    let (folder, address) = (tempfile::tempdir().unwrap(), format!("127.0.0.1:{}", free_port()));
    let nats = |servers: &NatsServers, monitoring: &str| format!("servers = {:?}\n{monitoring}", servers.urls("nats"));
    let gateway = format!("replica_url = \"http://{address}\"");
    let monitoring = format!("monitoring = [\"http://127.0.0.1:{}\"]", servers.all[0].monitor);
    let config = replica_config(&gateway, &nats(&servers, &monitoring), &address, folder.path());
    wait_until("the stream", || stream(&config, &["create", "--replicas", "1"]).ok());
    assert!(stream(&config, &["status"]).unwrap().contains("sync:     each message: n0\n"));
    servers.restart_without_sync();
    let status = wait_until("the server", || stream(&config, &["status"]).ok());
    let warning = "NOT each message, set `sync_interval: always`: n0";
    assert!(status.contains(&format!("sync:     {warning}\n")), "{status}");

    let replica = Taffrail::start_command("gateway", &config, &[]);
    replica.wait_for_log(&format!("the NATS servers of the stream groups sync {warning}"));
    wait_until("the metric", || {
        let exposition = get(&format!("http://{address}/metrics"), &[]).ok()?;
        exposition.sample("taffrail_gateway_stream_synced{server=\"n0\"}").filter(|value| *value == 0.0)
    });
    servers.restart();
    replica.wait_for_log("the NATS servers of the stream groups sync each message: n0");
    stop(replica);

    let dead = format!("monitoring = [\"http://127.0.0.1:{}\"]", free_port());
    for (monitoring, expected) in
        [("", "unknown, [nats] monitoring needs a reachable address of each: n0"), (&dead[..], "Connection refused")]
    {
        let config = replica_config(&gateway, &nats(&servers, monitoring), &address, folder.path());
        let replica = Taffrail::start_command("gateway", &config, &[]);
        let warning = replica.wait_for_log("the NATS servers of the stream groups sync unknown");
        assert!(warning.contains(expected), "{warning}");
        let exposition = get(&format!("http://{address}/metrics"), &[]).unwrap();
        assert!(!exposition.text().contains("taffrail_gateway_stream_synced{"), "{}", exposition.text());
        stop(replica);
    }
}
