//! How long tasks ran and waited on each CPU.

use super::gathered::Gathered;
use super::{About, Collector, ReadContext};
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
        summary: "how long tasks ran and waited to run on each CPU",
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
        /// Yields, an empty field, calls of schedule, idle calls, wake-ups, and those on this CPU.
        const BEFORE: usize = 6;
        for line in self.schedstat.read(cx.buffer)?.lines() {
            let mut fields = line.fields();
            let name = fields.next().unwrap_or_default();
            let Some(cpu) = name.strip_prefix(b"cpu").filter(|number| !number.is_empty()) else { continue };
            let cpu = String::from_utf8_lossy(cpu);
            fields.nth(BEFORE - 1);
            let running: u64 = fields.number("the time that tasks ran")?;
            let waiting: u64 = fields.number("the time that tasks waited")?;
            let timeslices: u64 = fields.number("a count of time slices")?;
            reading.put(&RUNNING, [&cpu], running as f64 / NANOSECONDS);
            reading.put(&WAITING, [&cpu], waiting as f64 / NANOSECONDS);
            reading.put(&TIMESLICES, [&cpu], timeslices);
        }
        Ok(())
    }
}

const RUNNING: Family<1> =
    Family::counter("node_schedstat_running_seconds_total", "Seconds that tasks ran on the CPU.", ["cpu"]);
const WAITING: Family<1> =
    Family::counter("node_schedstat_waiting_seconds_total", "Seconds that tasks waited to run on the CPU.", ["cpu"]);
const TIMESLICES: Family<1> =
    Family::counter("node_schedstat_timeslices_total", "Time slices that were run on the CPU.", ["cpu"]);
