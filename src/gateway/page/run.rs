//! What a group's metrics report about the runs of its job.

use crate::gateway::groups::state::{FamilyEntry, State};
use crate::gateway::groups::times::Times;
use crate::job::report::{self, is_duration};

/// The metrics of `taffrail push`, of all groups.
pub(super) struct Reports {
    duration: Option<FamilyEntry>,
    end: Option<FamilyEntry>,
    exit_status: Option<FamilyEntry>,
    interval: Option<FamilyEntry>,
    last_success: Option<FamilyEntry>,
    running: Option<FamilyEntry>,
    start: Option<FamilyEntry>,
    success: Option<FamilyEntry>,
}

/// How the last run ended, as far as its group reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The run failed.
    Failed,
    /// The gateway refused the last push.
    Refused,
    /// A run is in progress.
    Running,
    /// The run succeeded.
    Succeeded,
    /// The group does not report it.
    Pushed,
}

/// Why a group is listed before others, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// The last run failed, or the last push was refused.
    Failed,
    /// No push arrived in time.
    Overdue,
    /// A run is in progress.
    Running,
    /// None of these.
    Normal,
}

/// The last run of a group's job. Times are in seconds of Unix time, durations in seconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Run {
    /// How it ended.
    pub outcome: Outcome,
    /// Its exit status, if it failed.
    pub exit_status: Option<f64>,
    /// When the run in progress started.
    pub running_since: Option<f64>,
    /// Whether the run before the one in progress failed.
    pub failed_before: bool,
    /// When it ended, or when it was pushed.
    pub time: Option<f64>,
    /// How long it took.
    pub duration: Option<f64>,
    /// When the last successful one ended.
    pub last_success: Option<f64>,
    /// When the next one starts.
    pub next: Option<f64>,
    /// Whether the next push is late.
    pub is_overdue: bool,
}

impl Reports {
    pub(super) fn of(state: &State) -> Reports {
        Reports {
            duration: state.family(report::DURATION.name()),
            end: state.family(report::END.name()),
            exit_status: state.family(report::EXIT_STATUS.name()),
            interval: state.family(report::INTERVAL.name()),
            last_success: state.family(report::LAST_SUCCESS.name()),
            running: state.family(report::RUNNING.name()),
            start: state.family(report::START.name()),
            success: state.family(report::SUCCESS.name()),
        }
    }

    /// Whether the group with this number reports that its last run failed, or succeeded.
    fn success(&self, group: u32) -> Option<bool> {
        number(&self.success, group).map(|success| success != 0.0)
    }

    fn outcome(&self, group: u32, times: Times) -> Outcome {
        let is_running = number(&self.running, group).is_some_and(|running| running != 0.0);
        match self.success(group) {
            Some(false) if !is_running => Outcome::Failed,
            _ if times.failed > times.pushed => Outcome::Refused,
            _ if is_running => Outcome::Running,
            Some(_) => Outcome::Succeeded,
            None => Outcome::Pushed,
        }
    }

    fn interval(&self, group: u32) -> Option<f64> {
        number(&self.interval, group).filter(|interval| is_duration(*interval) && *interval > 0.0)
    }

    /// Whether the group's last push is older than the interval that it reports, plus a twelfth or a quarter of an hour:
    /// the condition of the alert `JobDidNotPush`.
    fn is_overdue(&self, group: u32, times: Times, now: f64) -> bool {
        const MIN_GRACE: f64 = 15.0 * 60.0;
        self.interval(group).is_some_and(|every| now - times.pushed > every + (every / 12.0).max(MIN_GRACE))
    }

    /// The urgency of the group with this number and these times.
    pub(super) fn urgency(&self, group: u32, times: Times, now: f64) -> Urgency {
        match self.outcome(group, times) {
            Outcome::Failed | Outcome::Refused => Urgency::Failed,
            _ if self.is_overdue(group, times, now) => Urgency::Overdue,
            Outcome::Running => Urgency::Running,
            Outcome::Succeeded | Outcome::Pushed => Urgency::Normal,
        }
    }

    /// The last run of the group with this number and these times.
    pub(super) fn run(&self, group: u32, times: Times, now: f64) -> Run {
        let time = |family: &Option<FamilyEntry>| number(family, group).filter(|time| is_time(*time));
        let (outcome, success) = (self.outcome(group, times), self.success(group));
        let (start, last_success) = (time(&self.start), time(&self.last_success));
        let pushed = Some(times.pushed).filter(|time| is_time(*time));
        // A run that succeeded ended at the last success.
        let end = time(&self.end).or(last_success.filter(|_| success == Some(true)));
        let is_running = outcome == Outcome::Running;
        let interval = self.interval(group);
        Run {
            outcome,
            exit_status: number(&self.exit_status, group).filter(|_| outcome == Outcome::Failed),
            running_since: start.filter(|_| is_running),
            failed_before: is_running && success == Some(false),
            time: end.or(pushed.filter(|_| !is_running)),
            duration: number(&self.duration, group).filter(|duration| is_duration(*duration)),
            last_success,
            next: start.or(end).or(pushed).and_then(|time| Some(time + interval?)).filter(|time| is_time(*time)),
            is_overdue: self.is_overdue(group, times, now),
        }
    }
}

/// The value of the only sample that the group has of a family.
fn number(family: &Option<FamilyEntry>, group: u32) -> Option<f64> {
    family.as_ref()?.blocks.get(group)?.number()
}

/// Whether a number is a time that has a date: jobs may push anything.
fn is_time(seconds: f64) -> bool {
    /// The year 10000.
    const END: f64 = 253_402_300_800.0;
    seconds > 0.0 && seconds < END
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::groups::change::Replace;
    use crate::gateway::groups::tests::{key, plan, push};

    const NOW: f64 = 1_000_000.0;

    fn run(body: &str, times: Times) -> (Run, Urgency) {
        let mut state = State::default();
        push(&mut state, "job/x", body).unwrap();
        let number = state.number(&key("job/x")).unwrap();
        let reports = Reports::of(&state);
        (reports.run(number, times, NOW), reports.urgency(number, times, NOW))
    }

    fn pushed(pushed: f64) -> Times {
        Times { pushed, ..Times::default() }
    }

    #[test]
    fn a_run_is_read_from_what_taffrail_push_reports() {
        let body = |success, running| {
            format!(
                "job_success {success}\njob_running {running}\njob_exit_status 3\njob_start_timestamp_seconds 999000\n\
                 job_end_timestamp_seconds 999100\njob_duration_seconds 100\njob_interval_seconds 3600\n\
                 job_last_success_timestamp_seconds 900000\n"
            )
        };
        let failed = Run {
            outcome: Outcome::Failed,
            exit_status: Some(3.0),
            running_since: None,
            failed_before: false,
            time: Some(999_100.0),
            duration: Some(100.0),
            last_success: Some(900_000.0),
            next: Some(1_002_600.0),
            is_overdue: false,
        };
        assert_eq!(run(&body(0, 0), pushed(999_100.0)), (failed.clone(), Urgency::Failed));
        let ok = Run { outcome: Outcome::Succeeded, exit_status: None, ..failed.clone() };
        assert_eq!(run(&body(1, 0), pushed(999_100.0)), (ok, Urgency::Normal));
        let running = Run {
            outcome: Outcome::Running,
            running_since: Some(999_000.0),
            failed_before: true,
            exit_status: None,
            ..failed
        };
        assert_eq!(run(&body(0, 1), pushed(999_100.0)), (running, Urgency::Running));
    }

    #[test]
    fn a_group_of_a_client_library_has_the_times_that_the_gateway_knows() {
        let (shown, urgency) = run("rows 3\n", pushed(999_000.0));
        assert_eq!((shown.outcome, shown.time, urgency), (Outcome::Pushed, Some(999_000.0), Urgency::Normal));
        assert_eq!((shown.duration, shown.next, shown.is_overdue), (None, None, false));
        let (shown, urgency) = run("rows 3\n", Times { pushed: 999_000.0, failed: 999_001.0, expires: None });
        assert_eq!((shown.outcome, urgency), (Outcome::Refused, Urgency::Failed));
        let (shown, _) = run("job_success 1\njob_last_success_timestamp_seconds 998000\n", pushed(999_000.0));
        assert_eq!((shown.outcome, shown.time), (Outcome::Succeeded, Some(998_000.0)));
    }

    #[test]
    fn a_job_is_overdue_when_the_alert_fires() {
        for (interval, age, is_overdue) in
            [(3600.0, 4500.0, false), (3600.0, 4501.0, true), (86_400.0, 93_600.0, false), (86_400.0, 93_601.0, true)]
        {
            let (shown, urgency) = run(&format!("job_interval_seconds {interval}\n"), pushed(NOW - age));
            assert_eq!((shown.is_overdue, urgency == Urgency::Overdue), (is_overdue, is_overdue), "{interval} {age}");
            assert_eq!(shown.next, Some(NOW - age + interval));
        }
        let failed = "job_success 0\njob_interval_seconds 60\n";
        assert_eq!(run(failed, pushed(1.0)).1, Urgency::Failed);
        let running = "job_running 1\njob_interval_seconds 60\n";
        assert_eq!(run(running, pushed(1.0)).1, Urgency::Overdue);
    }

    #[test]
    fn numbers_that_are_no_times_are_ignored() {
        for value in ["NaN", "-1", "1e300", "+Inf", "0"] {
            let body = ["end_timestamp", "start_timestamp", "last_success_timestamp", "interval"]
                .map(|name| format!("job_{name}_seconds {value}\n"));
            let (shown, _) = run(&body.concat(), Times::default());
            let times = [shown.time, shown.last_success, shown.next, shown.running_since];
            assert_eq!(times, [None; 4], "{value}");
        }
        assert_eq!(run("job_duration_seconds -1\n", pushed(1.0)).0.duration, None);
    }

    #[test]
    fn durations_are_remembered_until_their_push_is_undone() {
        let mut state = State::default();
        let durations =
            |state: &State| -> Vec<f32> { state.group(&key("job/x")).unwrap().1.history.durations().collect() };
        for duration in ["1", "NaN", "-1", "2.5", "1e99"] {
            push(&mut state, "job/x", &format!("job_duration_seconds {duration}\n")).unwrap();
        }
        push(&mut state, "job/x", "job_running 1\n").unwrap();
        assert_eq!(durations(&state), [1.0, 2.5]);
        let change = plan(&state, "job/x", "job_duration_seconds 7\n", Replace::Named).unwrap();
        state.apply(&change);
        assert_eq!(durations(&state), [1.0, 2.5, 7.0]);
        state.undo(&change);
        assert_eq!(durations(&state), [1.0, 2.5]);
        assert!(state.is_size_exact());
    }
}
