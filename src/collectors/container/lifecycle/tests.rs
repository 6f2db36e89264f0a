use std::collections::BTreeMap;
use std::time::Instant;

use proptest::prelude::*;

use super::super::identity::identify;
use super::super::names::PodNamed;
use super::*;

const POD: &str = "/kubepods/pod8dbc5577-d0e2-4706-8787-57d52c03ddf2";

/// A cgroup of the host.
#[derive(Clone)]
struct Cgroup {
    inode: u64,
    kills: u64,
    named: Option<Arc<Named>>,
}

/// The cgroups, the kernel's log and the sources of names of a host.
struct Host {
    lifecycle: Lifecycle,
    cgroups: BTreeMap<String, Cgroup>,
    pod: Option<PodNamed>,
    killed: Vec<String>,
    listed: Vec<(String, Arc<Named>)>,
    is_v1: bool,
    is_nested: bool,
    /// Cgroups without processes.
    empty: Vec<String>,
    inodes: u64,
    seconds: u64,
    instant: Instant,
    /// Labels are shared as long as the names stay.
    labels: BTreeMap<(String, u64), Arc<Labels>>,
}

impl Host {
    fn new() -> Host {
        let pod = PodNamed { pod: "web-0".into(), namespace: "shop".into() };
        Host {
            lifecycle: Lifecycle::new(100),
            cgroups: BTreeMap::new(),
            pod: Some(pod),
            killed: Vec::new(),
            listed: Vec::new(),
            is_v1: false,
            is_nested: false,
            empty: Vec::new(),
            inodes: 1,
            seconds: 1_000_000,
            instant: Instant::now(),
            labels: BTreeMap::new(),
        }
    }

    /// Creates a cgroup, also in place of another one.
    fn start(&mut self, path: &str, named: Option<Named>) {
        self.inodes += 1;
        let cgroup = Cgroup { inode: self.inodes, kills: 0, named: named.map(Arc::new) };
        self.cgroups.insert(path.to_owned(), cgroup);
    }

    fn stop(&mut self, path: &str) {
        self.cgroups.remove(path);
    }

    /// Kills a process, which counts in all cgroups above it on cgroup v2.
    fn kill(&mut self, path: &str) {
        let is_v1 = self.is_v1;
        for (of, cgroup) in &mut self.cgroups {
            if of == path || (!is_v1 && path.starts_with(&format!("{of}/"))) {
                cgroup.kills += 1;
            }
        }
    }

    fn name(&mut self, path: &str, named: Named) {
        self.cgroups.get_mut(path).unwrap().named = Some(Arc::new(named));
        self.labels.clear();
    }

    /// `LABELS RESTARTS OOM-KILLS` of each subject after the next reading, `seconds` after the last one.
    fn read_after(&mut self, seconds: u64) -> Vec<String> {
        self.seconds += seconds;
        self.instant += Duration::from_secs(seconds);
        for (path, cgroup) in &self.cgroups {
            let Cgroup { inode, kills, named } = cgroup.clone();
            let pod = self.pod.as_ref().filter(|_| path.starts_with("/kubepods"));
            let new = || Arc::new(Labels::new(path, &identify(path), named, pod));
            let labels = self.labels.entry((path.clone(), inode)).or_insert_with(new);
            let (labels, is_v1) = (labels.clone(), self.is_v1);
            let is_running = !self.empty.contains(path);
            self.lifecycle.see(Seen { labels, inode, created: None, kills: Some(kills), is_v1, is_running });
        }
        let pod = self.pod.clone().filter(|_| !self.cgroups.is_empty());
        let counted = self.lifecycle.count(Inputs {
            now: Timestamp::from_seconds(self.seconds).unwrap(),
            instant: self.instant,
            killed: std::mem::take(&mut self.killed),
            is_nested: self.is_nested,
            listed: Some(self.listed.clone()),
            labels: &mut |path| Some(Arc::new(Labels::new(path, &identify(path), None, pod.as_ref()))),
            is_exported: &mut |_| true,
        });
        let line = |counted: Counted| {
            let labels = counted.subject.series().join(" ");
            format!("{} {} {}", labels.trim(), counted.restarts, counted.oom_kills)
        };
        counted.into_iter().map(line).collect()
    }

    fn read(&mut self) -> Vec<String> {
        self.read_after(15)
    }
}

fn id(number: u64) -> String {
    format!("{number:064x}")
}

fn path(number: u64) -> String {
    format!("{POD}/{}", id(number))
}

fn docker(number: u64) -> String {
    format!("/docker/{}", id(number))
}

fn in_pod(container: &str, restarts: Option<i64>) -> Named {
    Named {
        container: container.into(),
        pod: "web-0".into(),
        namespace: "shop".into(),
        status: "running".into(),
        restart_count: restarts,
        ..Named::default()
    }
}

fn by_name(name: &str, restarts: i64, started: u64) -> Named {
    Named {
        name: name.into(),
        status: "running".into(),
        restart_count: Some(restarts),
        started_at: Timestamp::from_seconds(started),
        ..Named::default()
    }
}

#[test]
fn each_new_id_of_a_container_is_a_restart() {
    let mut host = Host::new();
    host.start(&path(1), Some(in_pod("app", None)));
    host.start(&path(9), Some(in_pod("proxy", None)));
    assert_eq!(host.read(), ["app   shop web-0 0 0", "proxy   shop web-0 0 0"]);
    host.stop(&path(1));
    assert_eq!(host.read()[0], "app   shop web-0 0 0");
    // Its name is not known yet.
    host.start(&path(2), None);
    assert_eq!(host.read(), ["app   shop web-0 0 0", "proxy   shop web-0 0 0"]);
    host.name(&path(2), in_pod("app", None));
    assert_eq!(host.read()[0], "app   shop web-0 1 0");
    host.stop(&path(2));
    host.start(&path(3), Some(in_pod("app", None)));
    assert_eq!(host.read(), ["app   shop web-0 2 0", "proxy   shop web-0 0 0"]);
    assert_eq!(host.read(), ["app   shop web-0 2 0", "proxy   shop web-0 0 0"]);
}

#[test]
fn what_is_only_listed_takes_no_counters_from_what_has_a_cgroup() {
    let mut host = Host::new();
    host.start(&path(1), Some(in_pod("app", Some(0))));
    host.read();
    host.listed = (1000..21_000).map(|number| (id(number), Arc::new(by_name(&id(number), 0, 5)))).collect();
    let counted = host.read();
    assert_eq!((counted.len(), counted.last().unwrap().as_str()), (100, "app   shop web-0 0 0"));
    host.start(&path(2), Some(in_pod("proxy", Some(0))));
    let counted = host.read();
    assert_eq!(
        (counted.len(), &counted[98..]),
        (100, &["app   shop web-0 0 0", "proxy   shop web-0 0 0"].map(String::from)[..])
    );
}

#[test]
fn what_the_kubelet_counts_is_not_counted_again_and_adds_what_no_reading_saw() {
    let mut host = Host::new();
    host.start(&path(1), Some(in_pod("app", Some(4))));
    assert_eq!(host.read(), ["app   shop web-0 0 0"]);
    host.stop(&path(1));
    host.start(&path(2), None);
    host.read();
    host.name(&path(2), in_pod("app", Some(5)));
    assert_eq!(host.read(), ["app   shop web-0 1 0"]);
    // Two more starts between two readings.
    host.stop(&path(2));
    host.start(&path(4), Some(in_pod("app", Some(7))));
    assert_eq!(host.read(), ["app   shop web-0 3 0"]);
    // It ends at once, so that no reading sees its cgroup.
    host.stop(&path(4));
    host.listed = vec![(id(5), Arc::new(Named { status: "waiting".into(), ..in_pod("app", Some(8)) }))];
    assert_eq!(host.read(), ["app   shop web-0 4 0"]);
    host.listed = vec![(id(6), Arc::new(in_pod("app", Some(9))))];
    assert_eq!(host.read(), ["app   shop web-0 5 0"]);
    host.start(&path(6), Some(in_pod("app", Some(9))));
    assert_eq!(host.read(), ["app   shop web-0 5 0"]);
    host.stop(&path(6));
    host.start(&path(7), Some(in_pod("app", Some(10))));
    assert_eq!(host.read(), ["app   shop web-0 6 0"]);
}

#[test]
fn a_source_adds_at_most_one_restart_per_second() {
    let mut host = Host::new();
    host.start(&path(1), Some(in_pod("app", Some(4))));
    host.read();
    host.name(&path(1), in_pod("app", Some(1_000_000_000)));
    for _ in 0..3 {
        assert_eq!(host.read(), ["app   shop web-0 15 0"]);
    }
    host.name(&path(1), in_pod("app", Some(5)));
    assert_eq!(host.read(), ["app   shop web-0 15 0"]);
    host.name(&path(1), in_pod("app", Some(7)));
    assert_eq!(host.read(), ["app   shop web-0 17 0"]);
    // Without a cgroup.
    host.stop(&path(1));
    host.listed = vec![(id(2), Arc::new(in_pod("app", Some(1_000_000))))];
    for _ in 0..3 {
        assert_eq!(host.read_after(1), ["app   shop web-0 27 0"]);
    }
}

#[test]
fn a_container_that_only_the_kubelet_sees_is_counted() {
    let mut host = Host::new();
    let listed = |number, restarts, status: &str| {
        vec![(id(number), Arc::new(Named { status: status.into(), ..in_pod("app", Some(restarts)) }))]
    };
    // One that has finished is not coming back.
    host.listed = listed(1, 0, "terminated");
    assert!(host.read().is_empty());
    for (restarts, expected) in [(2i64, 0), (3, 1), (5, 3), (5, 3)] {
        host.listed = listed(10 + restarts.unsigned_abs(), restarts, "waiting");
        assert_eq!(host.read(), [format!("app   shop web-0 {expected} 0")]);
    }
}

#[test]
fn docker_restarts_in_a_new_cgroup_with_the_same_id() {
    let mut host = Host::new();
    host.start(&docker(1), Some(by_name("nginx", 0, 100)));
    assert_eq!(host.read(), ["nginx 0 0"]);
    // Docker is asked again only after the reading.
    host.start(&docker(1), Some(by_name("nginx", 0, 100)));
    assert_eq!(host.read(), ["nginx 1 0"]);
    host.name(&docker(1), by_name("nginx", 1, 200));
    assert_eq!(host.read(), ["nginx 1 0"]);
    // By hand: Docker's own count starts again.
    host.start(&docker(1), Some(by_name("nginx", 0, 300)));
    assert_eq!(host.read(), ["nginx 2 0"]);
    // Three starts, one of which is seen.
    host.start(&docker(1), Some(by_name("nginx", 3, 400)));
    assert_eq!(host.read(), ["nginx 5 0"]);
    // A start in the same cgroup.
    host.name(&docker(1), by_name("nginx", 4, 500));
    assert_eq!(host.read(), ["nginx 6 0"]);
    // Another container by this name.
    host.stop(&docker(1));
    host.start(&docker(2), Some(by_name("nginx", 0, 600)));
    assert_eq!(host.read(), ["nginx 7 0"]);
}

#[test]
fn a_new_pod_with_the_name_of_the_last_one_is_no_restart() {
    let mut host = Host::new();
    host.start(&path(1), Some(in_pod("app", Some(3))));
    host.read();
    host.stop(&path(1));
    let other = "/kubepods/podffffffff-d0e2-4706-8787-57d52c03ddf2";
    host.start(&format!("{other}/{}", id(2)), Some(in_pod("app", Some(0))));
    assert_eq!(host.read(), ["app   shop web-0 0 0"]);
    host.stop(&format!("{other}/{}", id(2)));
    host.start(&format!("{other}/{}", id(3)), Some(in_pod("app", Some(1))));
    assert_eq!(host.read(), ["app   shop web-0 1 0"]);
}

#[test]
fn a_kill_in_a_living_container_counts_from_the_first_reading_on() {
    let mut host = Host::new();
    host.start(&docker(1), Some(by_name("nginx", 0, 1)));
    host.kill(&docker(1));
    assert_eq!(host.read(), ["nginx 0 0"]);
    host.kill(&docker(1));
    host.kill(&docker(1));
    assert_eq!(host.read(), ["nginx 0 2"]);
    // In a new container all count, one reading after the first 0.
    host.start(&docker(2), Some(by_name("redis", 0, 1)));
    host.kill(&docker(2));
    assert_eq!(host.read(), ["nginx 0 2", "redis 0 0"]);
    assert_eq!(host.read(), ["nginx 0 2", "redis 0 1"]);
    host.start(&docker(1), Some(by_name("nginx", 0, 1)));
    assert_eq!(host.read()[0], "nginx 1 2");
}

#[test]
fn the_pod_has_the_kill_of_a_container_that_has_ended() {
    let mut host = Host::new();
    host.start(POD, None);
    host.start(&path(1), Some(in_pod("app", None)));
    host.start(&path(2), Some(in_pod("proxy", None)));
    host.read();
    host.kill(&path(2));
    host.kill(&path(1));
    host.stop(&path(1));
    assert_eq!(host.read(), ["app   shop web-0 0 1", "proxy   shop web-0 0 1"]);
    // The kernel's log is late, and names the same kills.
    host.killed = vec![path(1), format!("{}/init", path(2))];
    assert_eq!(host.read(), ["app   shop web-0 0 1", "proxy   shop web-0 0 1"]);
    // Two have ended, and nothing says which one was killed.
    host.start(&path(3), Some(in_pod("app", None)));
    host.read();
    host.kill(&path(3));
    host.stop(&path(2));
    host.stop(&path(3));
    host.read();
    assert_eq!(host.read(), ["   shop web-0 0 1".trim(), "app   shop web-0 1 1", "proxy   shop web-0 0 1"]);
    // The kubelet says it later.
    let end = OomEnd { container_id: id(3), at: Timestamp::from_seconds(host.seconds) };
    host.listed = vec![(id(4), Arc::new(Named { oom_end: Some(end), ..in_pod("app", Some(2)) }))];
    assert_eq!(host.read()[1], "app   shop web-0 1 1");
}

#[test]
fn the_kernels_log_has_the_kills_of_cgroups_that_are_gone() {
    let mut host = Host::new();
    host.is_v1 = true;
    host.start(&path(1), Some(in_pod("app", None)));
    host.start(&docker(1), Some(by_name("nginx", 0, 1)));
    host.read();
    host.stop(&path(1));
    host.killed = vec![path(1), "/system.slice/ssh.service".into(), "/".into()];
    host.kill(&docker(1));
    host.killed.push(docker(1));
    assert_eq!(host.read(), [" nginx 0 1".trim(), "app   shop web-0 0 1"]);
    // It is restarted before the reading: the kill is that of the last run.
    host.killed = vec![docker(1)];
    host.start(&docker(1), Some(by_name("nginx", 0, 1)));
    assert_eq!(host.read(), ["nginx 1 2", "app   shop web-0 0 1"]);
}

#[test]
fn the_kernels_log_has_longer_paths_in_a_cgroup_namespace() {
    let mut host = Host::new();
    (host.is_v1, host.is_nested) = (true, true);
    host.start(&docker(1), Some(by_name("nginx", 0, 1)));
    host.read();
    // The same kill in the cgroup and in the log, one in a cgroup below, and those of containers outside.
    host.kill(&docker(1));
    host.killed = vec![format!("/lxc/a{}", docker(1)), format!("/other{}", docker(2)), docker(3), docker(1)];
    assert_eq!(host.read(), ["nginx 0 1"]);
    host.killed = vec![format!("/lxc/a{}/init", docker(1))];
    host.stop(&docker(1));
    assert_eq!(host.read(), ["nginx 0 2"]);
}

#[test]
fn a_reload_continues_the_counters_of_what_is_still_exported() {
    let mut host = Host::new();
    host.start(&docker(1), Some(by_name("a", 0, 1)));
    host.start(&docker(2), Some(by_name("b", 0, 1)));
    host.read();
    host.start(&docker(1), Some(by_name("a", 0, 50)));
    host.kill(&docker(2));
    assert_eq!(host.read(), ["a 1 0", "b 0 1"]);
    host.lifecycle.adopt(100, &mut |_| true);
    // The first reading has no names yet.
    host.cgroups.get_mut(&docker(1)).unwrap().named = None;
    host.cgroups.get_mut(&docker(2)).unwrap().named = None;
    host.labels.clear();
    assert_eq!(host.read(), ["a 1 0", "b 0 1"]);
    host.name(&docker(1), by_name("a", 0, 50));
    host.name(&docker(2), by_name("b", 0, 1));
    host.kill(&docker(2));
    assert_eq!(host.read(), ["a 1 0", "b 0 2"]);
    host.start(&docker(1), Some(by_name("a", 0, 90)));
    host.stop(&docker(2));
    host.lifecycle.adopt(100, &mut |labels| labels.name != "b");
    assert_eq!(host.read(), ["a 2 0"]);
}

#[test]
fn a_restart_belongs_to_the_name_that_the_container_has_then() {
    let mut host = Host::new();
    host.start(&docker(1), Some(by_name("steady", 0, 1)));
    host.read();
    // The source was not queried since the start.
    let stale = host.cgroups[&docker(1)].named.clone();
    host.start(&docker(1), None);
    host.cgroups.get_mut(&docker(1)).unwrap().named = stale.clone();
    assert_eq!(host.read(), ["steady 0 0"]);
    host.name(&docker(1), by_name("calm", 0, 50));
    assert_eq!(host.read(), ["calm 0 0", "steady 0 0"]);
    assert_eq!(host.read(), ["calm 1 0", "steady 0 0"]);
    // It does not respond: the last name counts.
    let stale = host.cgroups[&docker(1)].named.clone();
    host.start(&docker(1), None);
    host.cgroups.get_mut(&docker(1)).unwrap().named = stale.clone();
    assert_eq!(host.read(), ["calm 1 0", "steady 0 0"]);
    assert_eq!(host.read_after(60), ["calm 2 0", "steady 0 0"]);
}

#[test]
fn a_cgroup_that_was_left_behind_does_not_run_but_has_its_kills() {
    let mut host = Host::new();
    host.start(&docker(1), Some(by_name("nginx", 0, 1)));
    host.start(&docker(2), Some(by_name("left", 0, 1)));
    host.empty = vec![docker(2)];
    assert_eq!(host.read(), ["nginx 0 0"]);
    host.kill(&docker(1));
    host.empty.push(docker(1));
    assert_eq!(host.read(), ["nginx 0 1"]);
    host.start(&docker(3), Some(by_name("nginx", 0, 1)));
    assert_eq!(host.read(), ["nginx 1 1"]);
    assert_eq!(host.read_after(3000), ["nginx 1 1"]);
}

#[test]
fn without_names_the_pod_has_the_counters() {
    let mut host = Host::new();
    (host.pod, host.is_v1) = (None, true);
    host.start(&path(1), None);
    host.start(&docker(7), None);
    let (of_docker, of_pod) = (docker(7), POD);
    let lines = |pod: u64, docker: u64| vec![format!("{of_docker} {docker} 0"), format!("{of_pod} 0 {pod}")];
    assert_eq!(host.read(), lines(0, 0));
    host.stop(&path(1));
    host.killed = vec![path(1)];
    assert_eq!(host.read(), lines(1, 0));
    host.start(&path(2), None);
    host.start(&docker(7), None);
    assert_eq!(host.read(), lines(1, 1));
}

#[test]
fn what_a_runtime_reports_counts_once() {
    let mut host = Host::new();
    host.start(&docker(1), Some(by_name("nginx", 0, 100)));
    let at = |seconds| Timestamp::from_seconds(seconds);
    let app = |number: u64, end: Option<OomEnd>| {
        vec![(id(number), Arc::new(Named { oom_end: end, ..in_pod("app", Some(0)) }))]
    };
    // Before Taffrail has started.
    host.listed = app(91, Some(OomEnd { container_id: id(90), at: at(5) }));
    assert_eq!(host.read(), ["nginx 0 0", "app   shop web-0 0 0"]);
    host.name(&docker(1), Named { oom_killed: Some(true), ..by_name("nginx", 0, 100) });
    host.listed = app(92, Some(OomEnd { container_id: id(91), at: at(host.seconds + 1) }));
    for _ in 0..3 {
        assert_eq!(host.read(), ["nginx 0 1", "app   shop web-0 0 1"]);
    }
}

#[test]
fn counters_are_dropped_an_hour_after_the_last_run_and_are_limited() {
    let mut host = Host::new();
    host.start(&docker(1), Some(by_name("a", 0, 1)));
    host.start(&docker(2), Some(by_name("b", 0, 1)));
    host.read();
    host.stop(&docker(1));
    assert_eq!(host.read_after(3000), ["a 0 0", "b 0 0"]);
    assert_eq!(host.read_after(601), ["b 0 0"]);
    for number in 0..1000 {
        host.start(&docker(1), Some(by_name(&format!("c{number}"), 0, 1)));
        assert!(host.read_after(1).len() <= 100);
    }
    let lines = host.read();
    assert!(lines.contains(&"b 0 0".to_owned()) && lines.contains(&"c999 0 0".to_owned()));
    for number in 0..1000 {
        host.start(&docker(10 + number), Some(by_name(&format!("d{number}"), 0, 1)));
    }
    assert_eq!(host.read().len(), 100);
}

/// What may happen to a container between two readings.
#[derive(Clone, Copy, Debug)]
enum Event {
    Start,
    Stop,
    /// The kernel kills one of several processes.
    KillChild,
    /// The kernel kills the first process, which ends the container.
    KillMain,
    Read,
}

fn events() -> impl Strategy<Value = Vec<(usize, Event)>> {
    let event = prop_oneof![
        3 => Just(Event::Start), 2 => Just(Event::Stop), 2 => Just(Event::KillChild), 2 => Just(Event::KillMain),
        4 => Just(Event::Read)
    ];
    proptest::collection::vec((0..3usize, event), 0..60)
}

/// A container as it is: its running instance, and the true counts.
#[derive(Clone, Default)]
struct Truth {
    running: Option<u64>,
    last: u64,
    starts: i64,
    kills: u64,
    last_oom: Option<OomEnd>,
}

/// Numbers of a line.
fn numbers(line: &str) -> (String, u64, u64) {
    let mut parts = line.rsplitn(3, ' ');
    let (kills, restarts) = (parts.next().unwrap().parse().unwrap(), parts.next().unwrap().parse().unwrap());
    (parts.next().unwrap().trim().to_owned(), restarts, kills)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Counters never fall. No kill is counted twice, and none is lost that the kernel's log or a pod has. Restarts are exact
    /// if the kubelet reports them, otherwise at most the true ones.
    #[test]
    fn counters_equal_a_model(events in events(), has_log: bool, has_kubelet: bool, is_v1: bool) {
        let mut host = Host::new();
        host.is_v1 = is_v1;
        host.start(POD, None);
        let names = ["a", "b", "c"];
        let mut truths = vec![Truth::default(); 3];
        let mut next = 0;
        let mut last: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let mut run = |host: &mut Host, truths: &mut Vec<Truth>, which: usize, event: Event| {
            let truth = &mut truths[which];
            match (event, truth.running) {
                (Event::Start, None) => {
                    next += 1;
                    host.seconds += 1;
                    host.instant += Duration::from_secs(1);
                    (truth.running, truth.last) = (Some(next), next);
                    truth.starts += 1;
                    let restarts = has_kubelet.then_some(truth.starts - 1);
                    host.start(&path(next), Some(in_pod(names[which], restarts)));
                }
                (Event::Stop, Some(number)) => {
                    truth.running = None;
                    host.stop(&path(number));
                }
                (Event::KillChild | Event::KillMain, Some(number)) => {
                    truth.kills += 1;
                    host.kill(&path(number));
                    if has_log {
                        host.killed.push(path(number));
                    }
                    if matches!(event, Event::KillMain) {
                        truth.running = None;
                        host.stop(&path(number));
                        let at = Timestamp::from_seconds(host.seconds + 1);
                        truth.last_oom = Some(OomEnd { container_id: id(number), at });
                    }
                }
                _ => {}
            }
        };
        // All run at the first reading, so that the model starts there.
        for which in 0..3 {
            run(&mut host, &mut truths, which, Event::Start);
        }
        let read = |host: &mut Host, truths: &[Truth], last: &mut BTreeMap<String, (u64, u64)>| {
            if has_kubelet {
                host.listed = (0..3).map(|which| {
                    let truth = &truths[which];
                    let number = truth.last;
                    let status = if truth.running.is_some() { "running" } else { "waiting" };
                    let named = Named {
                        status: status.into(),
                        oom_end: truth.last_oom.clone(),
                        ..in_pod(names[which], Some(truth.starts - 1))
                    };
                    (id(number), Arc::new(named))
                }).collect();
            }
            for line in host.read() {
                let (subject, restarts, kills) = numbers(&line);
                let before = last.insert(subject.clone(), (restarts, kills)).unwrap_or_default();
                assert!(restarts >= before.0 && kills >= before.1, "{subject}: {before:?} to {restarts}, {kills}");
            }
        };
        read(&mut host, &truths, &mut last);
        for (which, event) in events {
            match event {
                Event::Read => read(&mut host, &truths, &mut last),
                event => run(&mut host, &mut truths, which, event),
            }
        }
        for which in 0..3 {
            run(&mut host, &mut truths, which, Event::Start);
        }
        for _ in 0..6 {
            read(&mut host, &truths, &mut last);
        }
        let kills: u64 = last.values().map(|(_, kills)| kills).sum();
        let true_kills: u64 = truths.iter().map(|truth| truth.kills).sum();
        prop_assert!(kills <= true_kills, "{kills} of {true_kills}: {last:?}");
        if has_log || !is_v1 {
            prop_assert_eq!(kills, true_kills, "{:?}", last);
        }
        for (name, truth) in names.iter().zip(&truths) {
            let (restarts, kills) = last[&format!("{name}   shop web-0")];
            let true_restarts = truth.starts.unsigned_abs() - 1;
            prop_assert!(restarts <= true_restarts);
            if has_kubelet {
                prop_assert_eq!(restarts, true_restarts);
            }
            if has_log {
                prop_assert!(kills <= truth.kills, "{name}: {kills} of {}", truth.kills);
            }
        }
    }
}
