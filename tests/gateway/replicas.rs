//! Replicas on real NATS servers: three gateways and three servers on loopback, which are killed and stopped.

mod deployment;
mod faults;
mod history;
mod load;
mod machines;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::real::free_port;
use crate::harness::{Taffrail, get, wait_until};

use deployment::{Deployment, LIMIT, Process, wait_for};
use load::push;

/// Pushes to any replica until it is acknowledged.
fn push_until_accepted(addresses: &[String], group: &str, value: u32) -> Duration {
    let started = Instant::now();
    wait_for(LIMIT, "a replica that accepts pushes", || {
        addresses.iter().any(|address| push(address, group, value)).then_some(())
    });
    started.elapsed()
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
    push_until_accepted(std::slice::from_ref(&address), "g0", 7);
    drop(gateway);
    let mut deployment = Deployment::start_with(Some(folder.path()));
    let writer = deployment.writer();
    deployment.wait_for_all("g0", 7);
    push_until_accepted(&deployment.addresses(), "g1", 8);
    deployment.wait_for_all("g1", 8);
    // Acknowledgements do not wait for the writer's own copy.
    wait_for(LIMIT, "the writer's copy", || deployment.replicas[writer].has_whole_copy().then_some(()));
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
    push_until_accepted(&addresses, "g0", 1);
    deployment.wait_for_all("g0", 1);
    // A follower forwards pushes to the writer.
    for (value, address) in (2..).zip(&addresses) {
        push_until_accepted(std::slice::from_ref(address), "g3", value);
        assert_eq!(deployment.replicas[writer].value("g3"), Some(value));
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
    push_until_accepted(&addresses, "g0", 2);
    push_until_accepted(&addresses, "g1", 7);
    deployment.replicas[writer].start();
    deployment.wait_for_all("g0", 2);
    deployment.wait_for_all("g1", 7);
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
    deployment.wait_for_all("g1", 7);
    deployment.writer();
}

/// Messages that a snapshot in the stream replaces are removed, also if a replica has not read them.
#[test]
fn replicas_begin_with_the_snapshot_in_the_stream() {
    let mut deployment = Deployment::start();
    let writer = deployment.writer();
    let [late, new] = [(writer + 1) % 3, (writer + 2) % 3];
    push_until_accepted(&deployment.addresses(), "g0", 1);
    deployment.wait_for_all("g0", 1);
    deployment.replicas[late].kill();
    for value in 0..30 {
        let large = format!("# HELP y {}\ny {value}\n", "h".repeat(3_000_000));
        let request = crate::harness::http::request("PUT", "/metrics/job/large", large);
        assert_eq!(request.send(&deployment.replicas[writer].address).status, 200);
    }
    wait_for(LIMIT, "a shorter stream", || (deployment.describe()?.first > 30).then_some(()));
    deployment.replicas[new].kill();
    std::fs::remove_dir_all(&deployment.replicas[new].state).unwrap();
    deployment.replicas[new].start();
    deployment.replicas[late].start();
    push_until_accepted(&deployment.addresses(), "g1", 7);
    for group in [0, 1] {
        deployment.wait_for_all(&format!("g{group}"), if group == 0 { 1 } else { 7 });
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
            push_until_accepted(&addresses, "g0", round);
            let lost = if is_writer { writer } else { (writer + 1) % 3 };
            deployment.replicas[lost].kill();
            let others: Vec<String> =
                (0..3).filter(|index| *index != lost).map(|index| addresses[index].clone()).collect();
            waits.push(push_until_accepted(&others, "g0", round + 100));
            deployment.replicas[lost].start();
            deployment.wait_for_all("g0", round + 100);
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
                        assert!(push(address, &format!("g{group}"), times.len() as u32));
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
