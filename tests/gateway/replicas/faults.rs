//! Faults under a load whose history is checked: three gateways and three servers, each on a machine of its own.
//!
//! A fault lasts until the load has made progress where it can, so that the length of an election is no part of a test.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::real::newest_peer;

use super::deployment::{Deployment, LIMIT, Process, wait_for};
use super::load::{Load, Request, Summary};
use super::machines::{Machine, Machines, Network, in_namespaces};

/// How long there is no quorum.
const OUTAGE: Duration = Duration::from_secs(2);

/// More bytes than a stream has without a snapshot.
const LONG_STREAM: u64 = 100 << 20;

struct Scene<'s> {
    deployment: &'s mut Deployment,
    machines: &'s Machines,
    load: Load,
}

/// A fault and its end.
struct Fault {
    name: &'static str,
    strike: fn(&mut Scene<'_>),
}

const KILLS: &[Fault] = &[
    Fault { name: "kill -9 of the writer", strike: |scene| scene.kill(&[Victim::Writer], Lasts::Progress) },
    Fault { name: "kill -9 of the stream's leader", strike: |scene| scene.kill(&[Victim::Leader], Lasts::Progress) },
    Fault {
        name: "kill -9 of the writer and of the stream's leader",
        strike: |scene| scene.kill(&[Victim::Writer, Victim::Leader], Lasts::Progress),
    },
    Fault { name: "kill -9 of all servers", strike: |scene| scene.kill(&Victim::SERVERS, Lasts::Outage) },
];

const PAUSES: &[Fault] = &[
    Fault { name: "SIGSTOP of the writer", strike: |scene| scene.pause(&[Victim::Writer], Lasts::Progress) },
    Fault { name: "SIGSTOP of the stream's leader", strike: |scene| scene.pause(&[Victim::Leader], Lasts::Progress) },
    Fault {
        name: "SIGSTOP of the writer and of the stream's leader",
        strike: |scene| scene.pause(&[Victim::Writer, Victim::Leader], Lasts::Progress),
    },
    Fault { name: "SIGSTOP of a follower", strike: |scene| scene.pause(&[Victim::Follower], Lasts::Progress) },
    Fault { name: "SIGSTOP of a follower, past a compaction", strike: |scene| scene.compact_past_a_follower() },
];

const PARTITIONS: &[Fault] = &[
    Fault {
        name: "the writer cut off from servers and replicas",
        strike: |scene| scene.cut_off(Victim::Writer, &[Network::Servers, Network::Replicas]),
    },
    Fault {
        name: "the writer cut off from the servers",
        strike: |scene| scene.cut_off(Victim::Writer, &[Network::Servers]),
    },
    Fault {
        name: "the writer cut off from the replicas",
        strike: |scene| scene.cut_off(Victim::Writer, &[Network::Replicas]),
    },
    Fault {
        name: "the stream's leader cut off from servers and replicas",
        strike: |scene| scene.cut_off(Victim::Leader, &[Network::Servers]),
    },
];

const FULL_DISKS: &[Fault] = &[
    Fault {
        name: "full disk of a server that follows",
        strike: |scene| scene.fill_servers(&[Victim::Other], Lasts::Progress),
    },
    Fault {
        name: "full disk of the stream's leader",
        strike: |scene| scene.fill_servers(&[Victim::Leader], Lasts::Progress),
    },
    Fault { name: "full disks of all servers", strike: |scene| scene.fill_servers(&Victim::SERVERS, Lasts::Outage) },
    Fault { name: "full disk of the writer", strike: |scene| scene.fill_replica(Victim::Writer) },
    Fault { name: "full disk of a follower", strike: |scene| scene.fill_replica(Victim::Follower) },
];

const POWER_CUTS: &[Fault] = &[
    Fault { name: "power cut of all servers", strike: |scene| scene.lose_power(&Victim::SERVERS) },
    Fault { name: "power cut of all servers and replicas", strike: |scene| scene.lose_power(&Victim::ALL) },
];

const UPGRADES: &[Fault] = &[
    Fault { name: "restart of one replica after the other", strike: |scene| scene.upgrade(&Victim::REPLICAS) },
    Fault { name: "restart of one server after the other", strike: |scene| scene.upgrade(&Victim::SERVERS) },
];

/// For servers of the oldest version that replicas work with.
const NEW_VERSIONS: &[Fault] = &[Fault {
    name: "upgrade of one server after the other, to the newest version",
    strike: |scene| scene.upgrade_servers(),
}];

const SLOWNESS: &[Fault] = &[
    Fault { name: "slow links of a follower", strike: |scene| scene.slow_down_follower() },
    Fault { name: "slow disk of a follower", strike: |scene| scene.slow_down_disk(Victim::Follower) },
    Fault { name: "slow disk of the writer", strike: |scene| scene.slow_down_disk(Victim::Writer) },
    Fault { name: "slow link of a server that follows", strike: |scene| scene.slow_down_server() },
    Fault { name: "slow disk of a server that follows", strike: |scene| scene.slow_down_disk(Victim::Other) },
];

/// A process, as it is when the fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Writer,
    Follower,
    Leader,
    /// A server that does not lead the stream.
    Other,
    Server(usize),
    Replica(usize),
}

impl Victim {
    const SERVERS: [Victim; 3] = [Victim::Server(0), Victim::Server(1), Victim::Server(2)];
    const REPLICAS: [Victim; 3] = [Victim::Replica(0), Victim::Replica(1), Victim::Replica(2)];
    const ALL: [Victim; 6] = {
        let ([a, b, c], [d, e, f]) = (Victim::SERVERS, Victim::REPLICAS);
        [a, b, c, d, e, f]
    };
}

/// How long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasts {
    /// Until pushes that begin after it are acknowledged.
    Progress,
    /// For a while, as no push can be acknowledged.
    Outage,
}

impl Scene<'_> {
    /// The server or replica that this is at the moment.
    fn found(&self, victim: Victim) -> Victim {
        match victim {
            Victim::Writer => Victim::Replica(self.deployment.writer()),
            Victim::Follower => Victim::Replica((self.deployment.writer() + 1) % 3),
            Victim::Leader => Victim::Server(self.deployment.leader()),
            Victim::Other => Victim::Server((self.deployment.leader() + 1) % 3),
            Victim::Server(_) | Victim::Replica(_) => victim,
        }
    }

    fn all_found(&self, victims: &[Victim]) -> Vec<Victim> {
        victims.iter().map(|victim| self.found(*victim)).collect()
    }

    fn process(&mut self, victim: Victim) -> &mut dyn Process {
        match self.found(victim) {
            Victim::Server(index) => &mut self.deployment.servers[index],
            Victim::Replica(index) => &mut self.deployment.replicas[index],
            other => unreachable!("{other:?} is found"),
        }
    }

    fn machine(&self, victim: Victim) -> &Machine {
        match self.found(victim) {
            Victim::Server(index) => &self.machines.servers[index],
            Victim::Replica(index) => &self.machines.replicas[index],
            other => unreachable!("{other:?} is found"),
        }
    }

    fn last(&self, lasts: Lasts) {
        match lasts {
            Lasts::Progress => self.load.wait_for_progress(),
            Lasts::Outage => thread::sleep(OUTAGE),
        }
    }

    fn kill(&mut self, victims: &[Victim], lasts: Lasts) {
        let victims = self.all_found(victims);
        victims.iter().for_each(|victim| self.process(*victim).kill());
        self.last(lasts);
        victims.iter().for_each(|victim| self.process(*victim).start());
    }

    fn pause(&mut self, victims: &[Victim], lasts: Lasts) {
        let victims = self.all_found(victims);
        victims.iter().for_each(|victim| self.process(*victim).signal(Signal::STOP));
        self.last(lasts);
        victims.iter().for_each(|victim| self.process(*victim).signal(Signal::CONT));
    }

    fn cut_off(&mut self, victim: Victim, networks: &[Network]) {
        let victim = self.found(victim);
        networks.iter().for_each(|network| self.machine(victim).cut_off(*network));
        self.last(Lasts::Progress);
        networks.iter().for_each(|network| self.machine(victim).connect(*network));
    }

    /// Servers whose disk was full need a restart.
    fn fill_servers(&mut self, victims: &[Victim], lasts: Lasts) {
        let victims = self.all_found(victims);
        victims.iter().for_each(|victim| self.machine(*victim).disk.fill());
        self.last(lasts);
        victims.iter().for_each(|victim| self.machine(*victim).disk.free());
        victims.iter().for_each(|victim| self.process(*victim).restart());
    }

    /// Its directory is complete again after the disk is writable, and it starts from it.
    fn fill_replica(&mut self, victim: Victim) {
        let Victim::Replica(index) = self.found(victim) else { unreachable!("{victim:?} is a replica") };
        self.machines.replicas[index].disk.fill();
        self.last(Lasts::Progress);
        self.machines.replicas[index].disk.free();
        wait_for(LIMIT, "a whole copy", || self.deployment.replicas[index].has_whole_copy().then_some(()));
        self.kill(&[Victim::Replica(index)], Lasts::Progress);
    }

    fn lose_power(&mut self, victims: &[Victim]) {
        victims.iter().for_each(|victim| self.process(*victim).kill());
        victims.iter().for_each(|victim| self.machine(*victim).disk.lose_power());
        victims.iter().for_each(|victim| self.process(*victim).start());
    }

    fn upgrade(&mut self, victims: &[Victim]) {
        for victim in victims {
            self.process(*victim).restart();
            self.process(*victim).wait_until_current();
        }
    }

    /// Each has its own program afterwards.
    fn upgrade_servers(&mut self) {
        let newest = newest_peer("nats-server");
        for index in 0..self.deployment.servers.len() {
            let before = self.deployment.servers[index].version();
            self.deployment.servers[index].program = newest.clone();
            self.upgrade(&[Victim::Server(index)]);
            let after = self.deployment.servers[index].version();
            assert_ne!(before, after, "the version of a server that was upgraded");
            println!("server {index}: {before} to {after}");
            self.load.wait_for_progress();
        }
    }

    /// Longer than other faults last.
    fn last_long(&self) {
        (0..20).for_each(|_| self.load.wait_for_progress());
    }

    /// It gets messages more slowly than the others append them.
    fn slow_down_follower(&mut self) {
        let (victim, writer) = (self.found(Victim::Follower), self.deployment.writer());
        let Victim::Replica(index) = victim else { unreachable!("{victim:?} is a replica") };
        self.machine(victim).slow_down_links();
        self.last_long();
        let replicas = &self.deployment.replicas;
        wait_for(LIMIT, "a follower that lags", || {
            let [ahead, behind] = [writer, index].map(|of| replicas[of].status()?["applied_sequence"].as_u64());
            (ahead? > behind? + 1).then_some(())
        });
        self.machine(victim).speed_up_links();
    }

    fn slow_down_server(&mut self) {
        let victim = self.found(Victim::Other);
        self.machine(victim).slow_down_links();
        self.last_long();
        self.machine(victim).speed_up_links();
    }

    fn slow_down_disk(&mut self, victim: Victim) {
        let slow = self.machine(victim).disk.slow_down();
        self.last_long();
        drop(slow);
    }

    /// The stream loses messages that a replica has not read.
    fn compact_past_a_follower(&mut self) {
        let follower = self.found(Victim::Follower);
        let first = || self.deployment.describe().map(|description| description.first);
        let (before, writer) = (wait_for(LIMIT, "the stream", first), self.deployment.writer());
        let address = self.deployment.replicas[writer].address.clone();
        self.process(follower).signal(Signal::STOP);
        let body = format!("# HELP y {}\ny 1\n", "h".repeat(3_000_000));
        wait_for(LIMIT, "a shorter stream", || {
            let description = self.deployment.describe()?;
            // The writer pauses between two snapshots; the disks are small.
            if description.bytes < LONG_STREAM {
                Request::put("large", &body).send(&address);
            }
            (description.first > before).then_some(())
        });
        self.process(follower).signal(Signal::CONT);
        let Victim::Replica(index) = follower else { unreachable!("it is a replica") };
        self.deployment.replicas[index].gateway.as_ref().unwrap().wait_for_log("begins with the snapshot");
    }
}

/// Has each of these faults strike so often, one after the other, and checks all histories.
fn strike(faults: &[Fault], nats_server: &Path, rounds: usize) {
    let machines = Machines::new();
    let mut deployment = Deployment::start_at(
        machines.servers.each_ref().map(Machine::site),
        machines.replicas.each_ref().map(Machine::site),
        nats_server,
        None,
    );
    deployment.writer();
    let mut rows = Vec::new();
    for (index, Fault { name, strike }) in faults.iter().enumerate() {
        let load = Load::start(&deployment, &format!("g{index}"));
        let mut scene = Scene { deployment: &mut deployment, machines: &machines, load };
        scene.load.wait_for_progress();
        for _ in 0..rounds {
            strike(&mut scene);
            scene.load.wait_for_progress();
            scene.deployment.servers.iter().for_each(Process::wait_until_current);
            scene.deployment.replicas.iter().for_each(Process::wait_until_current);
        }
        let summary = scene.load.finish(&deployment);
        println!("{}", summary.row(name, rounds));
        // A later fault may fail first.
        summary.violations().for_each(|violation| println!("{violation}"));
        rows.push(summary);
    }
    for replica in &deployment.replicas {
        assert_eq!(replica.gateway.as_ref().unwrap().logged("has stopped"), 0);
    }
    let violations: Vec<&String> = rows.iter().flat_map(Summary::violations).collect();
    assert!(violations.is_empty(), "{violations:#?}");
}

macro_rules! faults {
    ($($name:ident: $faults:expr, $nats_server:literal, $rounds:expr;)*) => {$(
        #[test]
        #[ignore = "needs Debian's packages faketime, iproute2 and mount, and root: tests/run"]
        fn $name() {
            in_namespaces(concat!("replicas::faults::", stringify!($name)), || {
                strike($faults, &newest_peer($nats_server), $rounds);
            });
        }
    )*};
}

faults! {
    with_mount_nothing_is_lost_if_replicas_and_servers_are_killed: KILLS, "nats-server", rounds();
    with_mount_nothing_is_lost_if_replicas_and_servers_pause: PAUSES, "nats-server", rounds();
    with_mount_nothing_is_lost_if_replicas_and_servers_are_cut_off: PARTITIONS, "nats-server", rounds();
    with_mount_nothing_is_lost_if_disks_are_full: FULL_DISKS, "nats-server", rounds();
    with_mount_nothing_is_lost_if_the_power_fails: POWER_CUTS, "nats-server", rounds();
    with_mount_nothing_is_lost_if_replicas_and_servers_are_upgraded: UPGRADES, "nats-server", rounds();
    with_mount_nothing_is_lost_if_servers_get_a_new_version: NEW_VERSIONS, "nats-server-oldest", 1;
    with_mount_nothing_is_lost_if_followers_are_slow: SLOWNESS, "nats-server", rounds();
}

/// How often each fault strikes.
fn rounds() -> usize {
    std::env::var("TAFFRAIL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}
