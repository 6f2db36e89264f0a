//! Scheduler statistics by CPU.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, Problems, ReadContext};
use crate::config::Section;
use crate::encode::Family;
use crate::host::{Host, HostFile, ReadError};

/// `/proc/schedstat`: Documentation/scheduler/sched-stats.rst.
pub(super) struct Schedstat {
    schedstat: HostFile,
}

impl Collector for Schedstat {
    const ABOUT: About = About {
        name: "schedstat",
        summary: "run time and run queue wait time of tasks by CPU",
        reads: &["/proc/schedstat"],
        needs: "CONFIG_SCHEDSTATS",
        families: &[RUNNING.info(), WAITING.info(), TIMESLICES.info()],
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Schedstat { schedstat: host.proc("schedstat") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        const NANOSECONDS: f64 = 1e9;
        /// sched_yield() calls, a legacy field, schedule() calls, idle schedules, wake-ups, local wake-ups.
        const SKIPPED_FIELDS: usize = 6;
        for line in self.schedstat.read(cx.buffer)?.lines() {
            let mut fields = line.fields();
            let name = fields.next().unwrap_or_default();
            let Some(cpu) = name.strip_prefix(b"cpu").filter(|number| !number.is_empty()) else { continue };
            let cpu = String::from_utf8_lossy(cpu);
            fields.nth(SKIPPED_FIELDS - 1);
            let mut number = |expected| cx.problems.part(fields.number::<u64>(expected));
            let running = number("the time that tasks ran");
            let waiting = number("the time that tasks waited");
            let timeslices = number("a count of time slices");
            reading.put_some(&RUNNING, [&cpu], running.map(|time| time as f64 / NANOSECONDS));
            reading.put_some(&WAITING, [&cpu], waiting.map(|time| time as f64 / NANOSECONDS));
            reading.put_some(&TIMESLICES, [&cpu], timeslices);
        }
        Ok(())
    }
}

const RUNNING: Family<1> =
    Family::counter("node_schedstat_running_seconds_total", "Time that tasks ran on the CPU", ["cpu"]);
const WAITING: Family<1> = Family::counter(
    "node_schedstat_waiting_seconds_total",
    "Time that runnable tasks waited on the run queue of the CPU",
    ["cpu"],
);
const TIMESLICES: Family<1> = Family::counter("node_schedstat_timeslices_total", "Timeslices run on the CPU", ["cpu"]);
