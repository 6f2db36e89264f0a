//! Replicas on real NATS servers: three gateways and three servers on loopback, which are killed and stopped.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use taffrail::gateway::replication::nats::admin;
use taffrail::gateway::replication::settings::{Nats, Scrape, Settings};

use crate::harness::real::{free_port, newest_peer};
use crate::harness::{Taffrail, get, wait_until};

const STREAM: &str = "groups";

/// A process that can be killed, stopped and started again.
trait Process {
    fn start(&mut self);
    fn pid(&self) -> Option<u32>;
    fn kill(&mut self);

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
        }
    }
}

struct NatsServer {
    config: PathBuf,
    child: Option<Child>,
}

impl Process for NatsServer {
    fn start(&mut self) {
        let mut command = Command::new(newest_peer("nats-server"));
        command.arg("-c").arg(&self.config).stdout(Stdio::null()).stderr(Stdio::null());
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
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Replica {
    address: String,
    config: String,
    state: PathBuf,
    gateway: Option<Taffrail>,
}

impl Process for Replica {
    fn start(&mut self) {
        let arguments = ["--listen", &self.address, "--state", self.state.to_str().unwrap()];
        let gateway = Taffrail::start_command("gateway", &self.config, &arguments);
        gateway.gateway();
        self.gateway = Some(gateway);
    }

    fn pid(&self) -> Option<u32> {
        self.gateway.as_ref().map(Taffrail::pid)
    }

    fn kill(&mut self) {
        self.gateway = None;
    }
}

impl Replica {
    /// The value of the group, as this replica has it.
    fn value(&self, group: usize) -> Option<u32> {
        let exposition = get(&format!("http://{}/metrics/job/g{group}", self.address), &[]).ok()?;
        crate::harness::sample(exposition.text(), &format!("x{{instance=\"\",job=\"g{group}\"}}"))
            .map(|value| value as u32)
    }

    fn is_writer(&self) -> bool {
        let mut roles = self.gateway.iter().flat_map(|gateway| gateway.log());
        let last = roles.rfind(|line| line.contains("this replica "));
        last.is_some_and(|line| line.contains("is a writer"))
    }
}

/// Three servers and three gateways.
struct Deployment {
    _folder: tempfile::TempDir,
    servers: Vec<NatsServer>,
    replicas: Vec<Replica>,
    settings: Settings,
}

impl Deployment {
    fn start() -> Deployment {
        Deployment::start_with(None)
    }

    /// Starts it with the groups in a directory.
    fn start_with(from: Option<&Path>) -> Deployment {
        let folder = tempfile::tempdir().unwrap();
        let ports: Vec<[u16; 2]> = (0..3).map(|_| [free_port(), free_port()]).collect();
        let routes: Vec<String> = ports.iter().map(|[_, route]| format!("nats://127.0.0.1:{route}")).collect();
        let mut servers = Vec::new();
        for (index, [client, route]) in ports.iter().enumerate() {
            let store = folder.path().join(format!("nats-{index}"));
            let text = format!(
                "server_name: n{index}\nlisten: 127.0.0.1:{client}\n\
                 jetstream {{ store_dir: \"{}\", max_mem: 64MB, max_file: 4GB, sync_interval: always }}\n\
                 cluster {{ name: taffrail, listen: 127.0.0.1:{route}, routes: [ {} ] }}\n",
                store.display(),
                routes.join(", ")
            );
            let config = folder.path().join(format!("nats-{index}.conf"));
            std::fs::write(&config, text).unwrap();
            servers.push(NatsServer { config, child: None });
        }
        servers.iter_mut().for_each(Process::start);
        let urls: Vec<String> = ports.iter().map(|[client, _]| format!("nats://127.0.0.1:{client}")).collect();
        let settings = Settings {
            stream: STREAM.to_owned(),
            scrape: Scrape::Own,
            name: "test".to_owned(),
            url: String::new(),
            nats: Nats { servers: urls.clone(), ..Nats::default() },
        };
        let replica = |index: usize| {
            let address = format!("127.0.0.1:{}", free_port());
            let config = format!(
                "[gateway]\nstream = \"{STREAM}\"\nreplica_url = \"http://{address}\"\nreplica_name = \"r{index}\"\n\
                 [nats]\nservers = {urls:?}\n"
            );
            Replica { address, config, state: folder.path().join(format!("state-{index}")), gateway: None }
        };
        let replicas = (0..3).map(replica).collect();
        let mut deployment = Deployment { replicas, _folder: folder, servers, settings };
        runtime().block_on(admin::create(&deployment.settings, 3, from)).unwrap();
        deployment.replicas.iter_mut().for_each(Process::start);
        deployment
    }

    fn addresses(&self) -> Vec<String> {
        self.replicas.iter().map(|replica| replica.address.clone()).collect()
    }

    /// Waits for a writer; returns its index.
    fn writer(&self) -> usize {
        wait_for(Duration::from_secs(60), "a writer", || self.replicas.iter().position(Replica::is_writer))
    }

    /// Waits until all replicas have this value.
    fn wait_for_all(&self, group: usize, expected: u32) {
        for replica in &self.replicas {
            wait_for(Duration::from_secs(60), "a follower", || (replica.value(group) == Some(expected)).then_some(()));
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn wait_for<T>(limit: Duration, what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} is missing");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a push; returns the status, or none if its outcome is unknown.
fn push(address: &str, group: usize, value: u32) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    let body = format!("x {value}\n");
    let head =
        format!("PUT /metrics/job/g{group} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}", body.len());
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).ok()?;
    let (mut reader, mut line) = (BufReader::new(stream), String::new());
    reader.read_line(&mut line).ok()?;
    let _ = reader.read_to_string(&mut String::new());
    line.split(' ').nth(1)?.parse().ok()
}

/// Pushes to any replica until it is acknowledged.
fn push_until_accepted(addresses: &[String], group: usize, value: u32) -> Duration {
    let started = Instant::now();
    loop {
        for address in addresses {
            if push(address, group, value) == Some(200) {
                return started.elapsed();
            }
        }
        assert!(started.elapsed() < Duration::from_secs(90), "no replica accepts pushes");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_groups_of_one_gateway_become_those_of_three_and_of_one_again() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let alone = |state: &Path| {
        let arguments = ["--listen", &address, "--state", state.to_str().unwrap()];
        let gateway = Taffrail::start_command("gateway", "", &arguments);
        gateway.gateway();
        gateway
    };
    let gateway = alone(folder.path());
    assert_eq!(push(&address, 0, 7), Some(200));
    drop(gateway);
    let mut deployment = Deployment::start_with(Some(folder.path()));
    let writer = deployment.writer();
    deployment.wait_for_all(0, 7);
    push_until_accepted(&deployment.addresses(), 1, 8);
    deployment.wait_for_all(1, 8);
    // Acknowledgements do not wait for the writer's own copy.
    wait_for(Duration::from_secs(60), "the writer's copy", || {
        let status = get(&format!("http://{}/api/v1/status", deployment.replicas[writer].address), &[]).ok()?;
        let status: serde_json::Value = serde_json::from_str(status.text()).ok()?;
        let replica = &status["data"]["replica"];
        (replica["role"] == "writer" && replica["persisted_sequence"] == replica["last_sequence"]).then_some(())
    });
    deployment.replicas.iter_mut().for_each(Process::kill);
    let gateway = alone(&deployment.replicas[writer].state);
    for (group, expected) in [(0, 7), (1, 8)] {
        let exposition = get(&format!("http://{address}/metrics/job/g{group}"), &[]).unwrap();
        assert!(exposition.text().contains(&format!(" {expected}\n")), "{}", exposition.text());
    }
    drop(gateway);
}

#[test]
fn replicas_have_the_groups_of_a_writer_that_was_killed() {
    let mut deployment = Deployment::start();
    let addresses = deployment.addresses();
    let writer = deployment.writer();
    push_until_accepted(&addresses, 0, 1);
    deployment.wait_for_all(0, 1);
    // A follower forwards pushes to the writer.
    for (value, address) in (2..).zip(&addresses) {
        assert_eq!(push(address, 3, value), Some(200));
        assert_eq!(deployment.replicas[writer].value(3), Some(value));
    }
    // Only the writer exposes the groups.
    for (index, replica) in deployment.replicas.iter().enumerate() {
        let exposition = get(&format!("http://{}/metrics", replica.address), &[]).unwrap();
        let sample = |series: &str| exposition.sample(series);
        let is_writer = f64::from(u8::from(index == writer));
        assert_eq!(sample("taffrail_gateway_role{role=\"writer\"}"), Some(is_writer));
        assert_eq!(sample("x{instance=\"\",job=\"g0\"}").is_some(), index == writer);
    }
    deployment.replicas[writer].kill();
    push_until_accepted(&addresses, 0, 2);
    push_until_accepted(&addresses, 1, 7);
    deployment.replicas[writer].start();
    deployment.wait_for_all(0, 2);
    deployment.wait_for_all(1, 7);
    // Larger than a message.
    let large = format!("# HELP y {}\ny 1\n", "h".repeat(3_000_000));
    let writer = deployment.writer();
    let answer =
        crate::harness::http::request("PUT", "/metrics/job/large", large).send(&deployment.replicas[writer].address);
    assert_eq!(answer.status, 200, "{answer:?}");
    for replica in &deployment.replicas {
        let url = format!("http://{}/metrics/job/large", replica.address);
        wait_until("the large group", || get(&url, &[]).ok().filter(|answer| answer.body.len() > 3_000_000));
    }
    // Everything starts again, from the copies on disk.
    deployment.replicas.iter_mut().for_each(Process::kill);
    deployment.replicas.iter_mut().for_each(Process::start);
    deployment.wait_for_all(1, 7);
    deployment.writer();
}

/// Messages that a snapshot in the stream replaces are removed, also if a replica has not read them.
#[test]
fn replicas_begin_with_the_snapshot_in_the_stream() {
    let mut deployment = Deployment::start();
    let writer = deployment.writer();
    let [late, new] = [(writer + 1) % 3, (writer + 2) % 3];
    push_until_accepted(&deployment.addresses(), 0, 1);
    deployment.wait_for_all(0, 1);
    deployment.replicas[late].kill();
    for value in 0..30 {
        let large = format!("# HELP y {}\ny {value}\n", "h".repeat(3_000_000));
        let request = crate::harness::http::request("PUT", "/metrics/job/large", large);
        assert_eq!(request.send(&deployment.replicas[writer].address).status, 200);
    }
    wait_for(Duration::from_secs(60), "a shorter stream", || {
        let (description, _) = runtime().block_on(admin::status(&deployment.settings)).ok()?;
        (description.first > 30).then_some(())
    });
    deployment.replicas[new].kill();
    std::fs::remove_dir_all(&deployment.replicas[new].state).unwrap();
    deployment.replicas[new].start();
    deployment.replicas[late].start();
    push_until_accepted(&deployment.addresses(), 1, 7);
    for group in [0, 1] {
        deployment.wait_for_all(group, if group == 0 { 1 } else { 7 });
    }
    for replica in &deployment.replicas {
        let url = format!("http://{}/metrics/job/large", replica.address);
        wait_until("the large group", || get(&url, &[]).ok().filter(|answer| answer.text().ends_with("} 29\n")));
    }
    assert_eq!(deployment.replicas[late].gateway.as_ref().unwrap().logged("begins with the snapshot"), 1);
}

#[test]
#[ignore = "a measurement, which takes minutes"]
fn how_long_pushes_wait_for_another_writer() {
    let mut deployment = Deployment::start();
    let addresses = deployment.addresses();
    for (what, is_writer) in [("the writer", true), ("a follower", false)] {
        let mut waits: Vec<Duration> = Vec::new();
        for round in 0..20 {
            let writer = deployment.writer();
            push_until_accepted(&addresses, 0, round);
            let lost = if is_writer { writer } else { (writer + 1) % 3 };
            deployment.replicas[lost].kill();
            let others: Vec<String> =
                (0..3).filter(|index| *index != lost).map(|index| addresses[index].clone()).collect();
            waits.push(push_until_accepted(&others, 0, round + 100));
            deployment.replicas[lost].start();
            deployment.wait_for_all(0, round + 100);
        }
        waits.sort();
        println!("loss of {what}: median {:?}, longest {:?}", waits[waits.len() / 2], waits[waits.len() - 1]);
    }
}

#[test]
#[ignore = "a measurement"]
fn how_many_pushes_a_second_there_are() {
    const PUSHERS: usize = 32;
    let deployment = Deployment::start();
    let writer = deployment.writer();
    let folder = tempfile::tempdir().unwrap();
    let single = Taffrail::start_command(
        "gateway",
        "",
        &["--listen", "127.0.0.1:0", "--state", folder.path().to_str().unwrap()],
    );
    for (what, address) in
        [("one gateway", single.gateway()), ("replicas", deployment.replicas[writer].address.clone())]
    {
        let over = Instant::now() + Duration::from_secs(10);
        let counts: Vec<Vec<Duration>> = thread::scope(|scope| {
            let address = &address;
            let pusher = |group| {
                scope.spawn(move || {
                    let mut times = Vec::new();
                    while Instant::now() < over {
                        let started = Instant::now();
                        assert_eq!(push(address, group, times.len() as u32), Some(200));
                        times.push(started.elapsed());
                    }
                    times
                })
            };
            let pushers: Vec<_> = (0..PUSHERS).map(pusher).collect();
            pushers.into_iter().map(|pusher| pusher.join().unwrap()).collect()
        });
        let mut times: Vec<Duration> = counts.into_iter().flatten().collect();
        times.sort();
        println!("{what}: {} pushes a second, p50 {:?}", times.len() / 10, times[times.len() / 2]);
    }
}

/// What a group may hold.
#[derive(Debug, Default)]
struct Known {
    acknowledged: Option<u32>,
    /// Pushes without an answer: each may take effect at any time.
    unknown: BTreeSet<u32>,
    slowest: Duration,
    count: u32,
}

/// Pushes growing numbers to a group until the test is over.
fn push_until(is_over: &AtomicBool, addresses: &[String], group: usize) -> Known {
    let (mut known, mut value, mut random) = (Known::default(), 0, fastrand::Rng::new());
    let mut last = Instant::now();
    while !is_over.load(Relaxed) {
        value += 1;
        let address = &addresses[random.usize(0..addresses.len())];
        match push(address, group, value) {
            Some(200) => {
                known.slowest = known.slowest.max(last.elapsed());
                last = Instant::now();
                known.acknowledged = Some(value);
                known.count += 1;
            }
            _ => {
                known.unknown.insert(value);
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
    known
}

#[test]
#[ignore = "takes minutes"]
fn nothing_acknowledged_is_lost_under_faults() {
    const GROUPS: usize = 6;
    let rounds = std::env::var("TAFFRAIL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(20);
    let mut deployment = Deployment::start();
    let (addresses, is_over) = (deployment.addresses(), AtomicBool::new(false));
    deployment.writer();
    let known: Vec<Known> = thread::scope(|scope| {
        let (addresses, is_over) = (&addresses, &is_over);
        let pusher = |group| scope.spawn(move || push_until(is_over, addresses, group));
        let pushers: Vec<_> = (0..GROUPS).map(pusher).collect();
        let mut random = fastrand::Rng::with_seed(rounds);
        for round in 0..rounds {
            thread::sleep(Duration::from_millis(random.u64(1000..6000)));
            fault(&mut deployment, &mut random, round);
        }
        thread::sleep(Duration::from_secs(15));
        is_over.store(true, Relaxed);
        pushers.into_iter().map(|pusher| pusher.join().unwrap()).collect()
    });
    // A last push that is acknowledged: what is unknown before it may still count.
    for (group, known) in known.iter().enumerate() {
        let values: Vec<Option<u32>> = wait_for(Duration::from_secs(60), "agreement", || {
            let values: Vec<_> = deployment.replicas.iter().map(|replica| replica.value(group)).collect();
            values.iter().all(|value| *value == values[0]).then_some(values)
        });
        let value = values[0];
        let is_allowed = value == known.acknowledged || value.is_some_and(|value| known.unknown.contains(&value));
        assert!(is_allowed, "group {group}: {value:?} is there, acknowledged was {:?}", known.acknowledged);
        println!(
            "group {group}: {} acknowledged, {} unknown, longest wait {:?}",
            known.count,
            known.unknown.len(),
            known.slowest
        );
        assert!(known.count > 0);
    }
}

/// Kills or stops a replica, a server, or both.
fn fault(deployment: &mut Deployment, random: &mut fastrand::Rng, round: u64) {
    let (replica, server) = (random.usize(0..3), random.usize(0..3));
    let pause = Duration::from_millis(random.u64(100..9000));
    let kind = random.u8(0..6);
    println!("round {round}: fault {kind}, replica {replica}, server {server}, {pause:?}");
    let kill = |process: &mut dyn Process| {
        process.kill();
        thread::sleep(pause);
        process.start();
    };
    let stop = |process: &mut dyn Process| {
        process.signal(Signal::STOP);
        thread::sleep(pause);
        process.signal(Signal::CONT);
    };
    match kind {
        0 => kill(&mut deployment.replicas[replica]),
        1 => stop(&mut deployment.replicas[replica]),
        2 => kill(&mut deployment.servers[server]),
        3 => stop(&mut deployment.servers[server]),
        4 => {
            deployment.replicas[replica].kill();
            kill(&mut deployment.servers[server]);
            deployment.replicas[replica].start();
        }
        _ => {
            deployment.servers.iter_mut().for_each(Process::kill);
            thread::sleep(pause / 4);
            deployment.servers.iter_mut().for_each(Process::start);
        }
    }
}
