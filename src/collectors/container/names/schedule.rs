//! When a source is queried: when a container is new, and seldom otherwise.

use std::time::{Duration, Instant};

use super::wanted::Demand;

/// Delay after the first failure. Doubles with each failure.
const MIN_BACKOFF: Duration = Duration::from_secs(1);
/// Maximum delay after failures.
const MAX_BACKOFF: Duration = Duration::from_secs(5 * 60);
/// Maximum delay while a container is missing.
const MAX_MISSING: Duration = Duration::from_secs(60 * 60);

/// Outcome of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The source returned what it has.
    Complete,
    /// The query was cut short.
    Partial,
    /// The source does not exist. A query costs nothing.
    Absent,
    /// The query failed.
    Failed,
}

/// Schedule of a source.
pub(super) struct Schedule {
    min_delay: Duration,
    refresh_interval: Duration,
    /// Delay while a container is missing.
    missing: Option<Duration>,
    /// Delay while the source fails.
    failing: Option<Duration>,
    /// Outcome and time of the last query.
    last: Option<(Outcome, Instant)>,
    /// Time of the last full query.
    refreshed: Option<Instant>,
    /// The newest container when the source was last queried.
    pub(super) seen: u64,
}

impl Schedule {
    /// A source with at least `min_delay` between two queries, and full queries every `refresh_interval` while it is in
    /// use.
    pub(super) fn new(min_delay: Duration, refresh_interval: Duration) -> Schedule {
        let (missing, failing, last, refreshed) = (None, None, None, None);
        Schedule { min_delay, refresh_interval, missing, failing, last, refreshed, seen: 0 }
    }

    /// Whether a full query is due.
    pub(super) fn is_refresh(&self, now: Instant) -> bool {
        self.refreshed.is_none_or(|refreshed| now >= refreshed + self.refresh_interval)
    }

    /// When the next query is due. `None` without demand.
    pub(super) fn due(&self, demand: Demand, now: Instant) -> Option<Instant> {
        let after = |delay| self.last.map_or(now, |(_, last)| last + delay);
        let is_idle = demand == Demand::default();
        match (self.last, self.failing) {
            _ if is_idle => None,
            (Some((Outcome::Partial, _)), _) => Some(after(self.min_delay)),
            // What does not exist is looked for at once if a container is new. A server that fails is left alone.
            (Some((outcome, _)), Some(failing)) if outcome == Outcome::Failed || !demand.has_new => {
                Some(after(failing))
            }
            _ => {
                let new = demand.has_new.then(|| after(self.min_delay));
                let missing = demand.has_missing.then(|| after(self.missing.unwrap_or(self.min_delay)));
                let refreshed = self.refreshed.map_or(now, |refreshed| refreshed + self.refresh_interval);
                let refresh = demand.is_in_use.then_some(refreshed);
                [new, missing, refresh].into_iter().flatten().min()
            }
        }
    }

    /// Records a query that was made for `demand` when `newest` was the newest container.
    pub(super) fn record(&mut self, demand: Demand, outcome: Outcome, is_full: bool, newest: u64, now: Instant) {
        self.last = Some((outcome, now));
        let (missing, failing) = (self.missing.filter(|_| !demand.has_new), self.failing.take());
        match outcome {
            Outcome::Absent | Outcome::Failed => {
                self.failing = Some(doubled(failing, MIN_BACKOFF, MAX_BACKOFF));
            }
            Outcome::Complete | Outcome::Partial => {
                self.missing = Some(doubled(missing, self.min_delay, MAX_MISSING));
                if is_full {
                    self.refreshed = Some(now);
                }
            }
        }
        if outcome != Outcome::Failed {
            self.seen = newest;
        }
    }
}

fn doubled(last: Option<Duration>, first: Duration, max: Duration) -> Duration {
    last.map_or(first, |last| last.saturating_mul(2).min(max))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Named;
    use super::super::cluster::Cluster;
    use super::super::crio::Crio;
    use super::super::docker::Docker;
    use super::super::known::Known;
    use super::super::links;
    use super::super::query::Inventory;
    use super::super::running::Running;
    use super::super::source::{Source, SourceKind};
    use super::super::wanted::Wanted;
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);
    const QUARTER: Duration = Duration::from_secs(15 * 60);

    /// A source that is polled in model time.
    struct Model {
        source: Source,
        schedule: Schedule,
        wanted: Wanted,
        inventory: Inventory,
        known: Known,
        now: Instant,
        queries: usize,
    }

    fn model(kind: SourceKind) -> Model {
        let source = Source { kind, is_optional: true };
        let schedule = Schedule::new(source.min_delay(), source.refresh_interval(INTERVAL));
        let (wanted, inventory, known) = Default::default();
        Model { source, schedule, wanted, inventory, known, now: Instant::now(), queries: 0 }
    }

    fn docker(socket: &str) -> SourceKind {
        SourceKind::Docker(Docker::new(socket.into(), Arc::default()))
    }

    fn podman() -> Model {
        model(docker("/nonexistent/podman/podman.sock"))
    }

    fn kubernetes() -> Model {
        model(SourceKind::Kubernetes(Cluster::new(&[], &Arc::default())))
    }

    fn of<'i>(runtime: &'static str, pod_uid: &'i str, id: &'i str) -> Running<'i> {
        Running { id, pod_uid, runtime, ..Running::default() }
    }

    impl Model {
        /// Polls for the duration while these containers run. The source has those of `has`.
        fn run(&mut self, duration: Duration, running: &[Running<'_>], has: &[&str], outcome: Outcome) -> usize {
            let (end, before) = (self.now + duration, self.queries);
            self.wanted.replace(running.iter().copied(), self.now);
            while self.now < end {
                let (seen, time) = (self.schedule.seen, (INTERVAL, self.now));
                let demand = self.wanted.demand(&self.source, &self.inventory, &self.known, seen, time);
                let due = self.schedule.due(demand, self.now).unwrap_or(end);
                if due > self.now {
                    self.now = due.min(self.now + INTERVAL).min(end);
                    continue;
                }
                self.queries += 1;
                if outcome == Outcome::Complete {
                    self.inventory = inventory(has);
                    self.known = self.known.merge([&self.inventory].into_iter()).unwrap_or_default();
                }
                self.schedule.record(demand, outcome, true, self.wanted.newest(), self.now);
            }
            self.queries - before
        }

        fn quarter(mut self, running: &[Running<'_>], has: &[&str]) -> usize {
            self.run(QUARTER, running, has, Outcome::Complete)
        }
    }

    fn inventory(has: &[&str]) -> Inventory {
        let mut inventory = Inventory::default();
        for id in has {
            inventory.add(id, Named { name: (*id).to_owned(), ..Named::default() });
        }
        inventory
    }

    #[test]
    fn without_containers_no_source_is_queried() {
        let log_links = SourceKind::Links(links::of_containers("/nonexistent".into()));
        let crio = SourceKind::Crio(Crio::new("/nonexistent/crio.sock".into(), Arc::default()));
        for model in [podman(), kubernetes(), model(docker("/nonexistent/docker.sock")), model(log_links), model(crio)]
        {
            assert_eq!(model.quarter(&[], &[]), 0);
        }
    }

    #[test]
    fn an_engine_that_runs_is_queried_even_without_containers() {
        let folder = tempfile::tempdir().unwrap();
        let running = || model(docker(folder.path().join("docker.sock").to_str().unwrap()));
        assert_eq!(running().quarter(&[], &[]), 0);
        std::fs::write(folder.path().join("docker.pid"), "1").unwrap();
        assert_eq!(running().quarter(&[], &[]), 30);
    }

    #[test]
    fn what_a_source_has_is_refreshed_seldom() {
        assert_eq!(podman().quarter(&[of("podman", "", "a")], &["a"]), 2, "after ten minutes");
        assert_eq!(kubernetes().quarter(&[of("containerd", "u", "a")], &["a"]), 2);
        let docker = model(docker("/nonexistent/docker.sock"));
        assert_eq!(docker.quarter(&[of("docker", "", "a")], &["a"]), 30, "it runs anyway, and has health states");
    }

    #[test]
    fn containers_of_other_engines_are_not_asked_for() {
        let (in_pod, rootless) = (of("containerd", "u", "b"), Running { is_rootless: true, ..of("podman", "", "c") });
        for running in [of("docker", "", "a"), of("cri-o", "", "a"), in_pod, rootless] {
            assert_eq!(podman().quarter(&[running], &[]), 0, "{running:?}");
        }
        assert_eq!(kubernetes().quarter(&[of("docker", "", "a"), of("podman", "", "b")], &[]), 0);
    }

    #[test]
    fn what_no_source_knows_is_asked_for_after_growing_delays() {
        assert_eq!(podman().quarter(&[of("podman", "", "a")], &[]), 14);
        let mut kubernetes = kubernetes();
        let unknown = [of("containerd", "u", "a")];
        assert_eq!(kubernetes.run(QUARTER, &unknown, &[], Outcome::Complete), 10);
        assert_eq!(kubernetes.run(Duration::from_secs(24 * 60 * 60), &unknown, &[], Outcome::Complete), 26);
    }

    #[test]
    fn a_new_container_is_asked_for_at_once() {
        let mut podman = podman();
        assert_eq!(podman.run(QUARTER / 3, &[of("podman", "", "a")], &["a"], Outcome::Complete), 1);
        let two = [of("podman", "", "a"), of("podman", "", "b")];
        assert_eq!(podman.run(Duration::from_millis(1), &two, &["a", "b"], Outcome::Complete), 1);
        assert_eq!(podman.run(QUARTER / 3, &two, &["a", "b"], Outcome::Complete), 0);
        assert_eq!(podman.run(QUARTER / 4, &two[..1], &["a"], Outcome::Complete), 0, "one has ended");
    }

    #[test]
    fn a_container_is_asked_for_at_once_in_each_new_cgroup() {
        for (runtime, mut model) in [("podman", podman()), ("docker", model(docker("/nonexistent/docker.sock")))] {
            let moment = Duration::from_secs(1);
            for (cgroup, expected) in [(7, 1), (7, 0), (8, 1), (8, 0), (9, 1)] {
                let running = [Running { cgroup, ..of(runtime, "", "a") }, of(runtime, "", "a")];
                assert_eq!(model.run(moment, &running, &["a"], Outcome::Complete), expected, "{runtime} {cgroup}");
            }
        }
    }

    #[test]
    fn the_sandbox_of_a_pod_is_not_asked_for_where_no_sandbox_is_listed() {
        let pod = [of("containerd", "u", "sandbox"), of("containerd", "u", "app")];
        assert_eq!(kubernetes().quarter(&pod, &["app"]), 2);
        let restarted = [of("containerd", "u", "sandbox"), of("containerd", "u", "app"), of("containerd", "u", "new")];
        assert_eq!(kubernetes().quarter(&restarted, &["app"]), 10, "one of the two is a container");
    }

    #[test]
    fn another_source_is_not_asked_for_long_for_what_one_knows() {
        let mut kubernetes = kubernetes();
        kubernetes.known = Known::default().merge([&inventory(&["a"])].into_iter()).unwrap();
        kubernetes.wanted.replace([of("containerd", "u", "a")], kubernetes.now);
        let known = Known::default().merge([&inventory(&["a"])].into_iter()).unwrap();
        let demand = |since: Duration| {
            let time = (INTERVAL, kubernetes.now + since);
            kubernetes.wanted.demand(&kubernetes.source, &Inventory::default(), &known, 1, time)
        };
        assert!(demand(INTERVAL / 2).has_missing, "it may know more");
        assert_eq!(demand(INTERVAL), Demand::default());
    }

    #[test]
    fn a_source_that_fails_is_left_alone_and_one_that_is_absent_is_looked_for_with_each_new_container() {
        let (a, b) = ([of("podman", "", "a")], [of("podman", "", "b")]);
        let second = Duration::from_secs(1);
        for (outcome, at_once) in [(Outcome::Failed, 0), (Outcome::Absent, 1)] {
            let mut podman = podman();
            assert_eq!(podman.run(QUARTER, &a, &[], outcome), 11, "{outcome:?}");
            assert_eq!(podman.run(second, &b, &[], outcome), at_once, "{outcome:?}");
        }
        let mut found = podman();
        found.run(QUARTER, &a, &[], Outcome::Failed);
        assert_eq!(found.run(QUARTER, &a, &["a"], Outcome::Complete), 2);
    }
}
