//! Interrupts, context switches, forks and boot time.

use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since};
use crate::config::{Key, Section};
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter};
use crate::host::{Host, HostFile, Line, ReadError, SharedFile};

pub(super) struct Stat {
    stat: SharedFile,
    entropy_avail: HostFile,
    softirq: bool,
}

const SOFTIRQ: Key<bool> = Key::new("softirq", "false", "Softirqs by type, `node_softirqs_total`.");

/// Lines of `/proc/stat` except those of CPUs: fs/proc/stat.c, `show_stat`.
#[derive(Default)]
pub(super) struct StatReading {
    interrupts: Option<u64>,
    context_switches: Option<u64>,
    boot_time_seconds: Option<u64>,
    forks: Option<u64>,
    running: Option<u64>,
    blocked: Option<u64>,
    softirqs: Vec<u64>,
    entropy_avail_bits: Option<u64>,
}

impl Collector for Stat {
    const ABOUT: About = About {
        name: "stat",
        summary: "interrupts, context switches, forks, boot time; pushed as `kernel`",
        reads: &["/proc/stat", "/proc/sys/kernel/random/entropy_avail"],
        keys: &[SOFTIRQ.info()],
        families: &[
            INTR.info(),
            CONTEXT_SWITCHES.info(),
            FORKS.info(),
            BOOT_TIME.info(),
            RUNNING.info(),
            BLOCKED.info(),
            SOFTIRQS.info(),
        ],
        measurements: &[KERNEL.info()],
        is_portable: true,
        ..About::PLAIN
    };
    type Reading = StatReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Stat {
            stat: host.shared_proc("stat"),
            entropy_avail: host.proc("sys/kernel/random/entropy_avail").one_record(),
            softirq: section.get(&SOFTIRQ),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut StatReading) -> Result<(), ReadError> {
        *reading = StatReading::default();
        if let Some(portable) = cx.host.by_sysinfo() {
            reading.boot_time_seconds = Some(portable.uptime().1);
            return Ok(());
        }
        if cx.wanted.points {
            let entropy = self.entropy_avail.read(cx.buffer).and_then(|text| text.number("a number of bits"));
            reading.entropy_avail_bits = cx.part(entropy);
        }
        let text = self.stat.read(cx.round, cx.buffer)?;
        for line in text.lines() {
            if let Err(error) = reading.read_line(line, self.softirq) {
                cx.problems.push(error);
            }
        }
        match reading.forks {
            Some(_) => Ok(()),
            None => Err(text.end().malformed("a line processes", b"")),
        }
    }
}

impl StatReading {
    fn read_line(&mut self, line: Line<'_>, softirq: bool) -> Result<(), ReadError> {
        let mut fields = line.fields();
        let value = match fields.next() {
            Some(b"intr") => &mut self.interrupts,
            Some(b"ctxt") => &mut self.context_switches,
            Some(b"btime") => &mut self.boot_time_seconds,
            Some(b"processes") => &mut self.forks,
            Some(b"procs_running") => &mut self.running,
            Some(b"procs_blocked") => &mut self.blocked,
            Some(b"softirq") if softirq => {
                fields.number::<u64>("the count of all soft interrupts")?;
                while let Some(count) = fields.optional("a count of soft interrupts")? {
                    self.softirqs.push(count);
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        *value = Some(fields.number("a count")?);
        Ok(())
    }
}

const INTR: Family<0> = Family::counter("node_intr_total", "Interrupts serviced", []);
const CONTEXT_SWITCHES: Family<0> = Family::counter("node_context_switches_total", "Context switches", []);
const FORKS: Family<0> = Family::counter("node_forks_total", "Forks", []);
const BOOT_TIME: Family<0> = Family::gauge("node_boot_time_seconds", "Boot time in Unix time", []);
const RUNNING: Family<0> = Family::gauge("node_procs_running", "Runnable processes", []);
const BLOCKED: Family<0> = Family::gauge("node_procs_blocked", "Processes blocked on I/O", []);
const SOFTIRQS: Family<1> = Family::counter("node_softirqs_total", "Softirqs serviced, by type", ["vector"]);
/// Types in the order of the columns: include/linux/interrupt.h, from `HI_SOFTIRQ`.
const VECTORS: [&str; 10] =
    ["hi", "timer", "net_tx", "net_rx", "block", "block_iopoll", "tasklet", "sched", "hrtimer", "rcu"];

const INTERRUPTS_FIELD: Field<u64> = Field::new("interrupts", "interrupts serviced since boot");
const CONTEXT_SWITCHES_FIELD: Field<u64> = Field::new("context_switches", "context switches since boot");
const BOOT_TIME_FIELD: Field<u64> = Field::new("boot_time", "boot time, Unix time in seconds");
const PROCESSES_FORKED: Field<u64> = Field::new("processes_forked", "forks since boot");
const ENTROPY_AVAIL: Field<u64> = Field::new("entropy_avail", "available entropy in bits");
const KERNEL: Measurement<0> = Measurement::new(
    "kernel",
    [],
    &[
        INTERRUPTS_FIELD.info(),
        CONTEXT_SWITCHES_FIELD.info(),
        BOOT_TIME_FIELD.info(),
        PROCESSES_FORKED.info(),
        ENTROPY_AVAIL.info(),
    ],
);

impl Reading for StatReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        let values = [
            (&INTR, self.interrupts),
            (&CONTEXT_SWITCHES, self.context_switches),
            (&FORKS, self.forks),
            (&BOOT_TIME, self.boot_time_seconds),
            (&RUNNING, self.running),
            (&BLOCKED, self.blocked),
        ];
        for (family, value) in values {
            if let Some(value) = value {
                out.value(family, value);
            }
        }
        let mut softirqs = out.family(&SOFTIRQS);
        for (vector, count) in VECTORS.iter().zip(&self.softirqs) {
            softirqs.sample([vector], *count);
        }
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        let mut point = out.point(&KERNEL, []);
        point.some(&INTERRUPTS_FIELD, self.interrupts);
        point.some(&CONTEXT_SWITCHES_FIELD, self.context_switches);
        point.some(&BOOT_TIME_FIELD, self.boot_time_seconds);
        point.some(&PROCESSES_FORKED, self.forks);
        point.some(&ENTROPY_AVAIL, self.entropy_avail_bits);
    }
}
