//! Collectors: each reads one subject of the host, and says what the reading is called in both vocabularies.
//!
//! A collector is one file of three parts: how it reads, how the reading is named as families, how it is named as
//! points. [`list`] has all of them; [`readers`] runs them.

pub mod list;
pub mod readers;
pub mod settings;

mod arp;
mod bcache;
mod bcachefs;
mod bonding;
mod btrfs;
mod buddyinfo;
mod cgroups;
#[cfg(feature = "cloudwatch")]
pub mod cloudwatch;
mod conntrack;
mod container;
mod cpu;
mod cpu_list;
mod cpu_vulnerabilities;
mod cpufreq;
mod diskstats;
mod dmi;
mod dmmultipath;
mod drbd;
mod drm;
mod edac;
mod entropy;
mod ethtool;
mod fibrechannel;
mod filefd;
mod filesystem;
mod gathered;
mod hwmon;
mod infiniband;
mod interrupts;
mod ipvs;
mod irqs;
mod kernel_hung;
mod keys;
mod ksmd;
mod lnstat;
mod loadavg;
mod logind;
mod machine;
mod mdadm;
mod meminfo;
mod meminfo_numa;
mod mountstats;
mod netclass;
mod netdev;
mod netstat;
mod network_route;
mod nfs;
mod nfsd;
mod nvme;
mod nvmesubsystem;
mod os;
mod pcidevice;
mod perf;
mod powersupplyclass;
mod pressure;
mod process;
mod processes;
mod qdisc;
mod rapl;
mod rpc;
mod schedstat;
mod selinux;
mod slabinfo;
mod sockstat;
mod softirqs;
mod softnet;
mod stat;
mod statfs;
mod swap;
mod sysctl;
mod system_bus;
mod systemd;
mod tapestats;
mod tcpstat;
mod textfile;
mod thermal_zone;
mod time;
mod timex;
mod udp_queues;
mod uname;
mod vmstat;
mod watchdog;
mod wifi;
mod xfrm;
mod xfs;
mod zfs;
mod zoneinfo;

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{KeyInfo, Section};
use crate::encode::by_rule::PointsFromFamilies;
use crate::encode::family::FamilyInfo;
use crate::encode::point::MeasurementInfo;
use crate::encode::{FamilyWriter, PointWriter};
use crate::host::{Host, ReadError, Timestamp};

/// Which of the two vocabularies something is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vocabularies {
    /// Prometheus's families.
    pub families: bool,
    /// InfluxDB's points.
    pub points: bool,
}

impl Vocabularies {
    /// Neither.
    pub const NONE: Self = Vocabularies { families: false, points: false };
    /// Families alone.
    pub const FAMILIES: Self = Vocabularies { families: true, points: false };
    /// Points alone.
    pub const POINTS: Self = Vocabularies { families: false, points: true };
    /// Both.
    pub const BOTH: Self = Vocabularies { families: true, points: true };

    /// What is in either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Vocabularies { families: self.families || other.families, points: self.points || other.points }
    }

    /// What is in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Vocabularies { families: self.families && other.families, points: self.points && other.points }
    }

    /// Whether any is there.
    pub fn any(self) -> bool {
        self.families || self.points
    }
}

/// What a collector is: everything that lists, documentation and the configuration need to know.
#[derive(Debug)]
pub struct About {
    /// Its name, in `collect[]`, the configuration and the scrape's own metrics.
    pub name: &'static str,
    /// What it tells, in a few words.
    pub summary: &'static str,
    /// The files and calls that it reads.
    pub reads: &'static [&'static str],
    /// What it needs of the kernel or in privileges; empty where it needs nothing.
    pub needs: &'static str,
    /// For which vocabularies it is on by default.
    pub on_by_default: Vocabularies,
    /// Whether `[[collectors.NAME]]` is a list of tables, one for each of its jobs; it is on where there is one.
    pub is_list: bool,
    /// Whether others name its families, who may call them as ours are called.
    pub is_named_by_others: bool,
    /// Its settings in `[collectors.NAME]`.
    pub keys: &'static [KeyInfo],
    /// Its settings in `[collectors.NAME.points]`, which concern what is pushed.
    pub point_keys: &'static [KeyInfo],
    /// Its settings' tables, `[collectors.NAME.TABLE]`.
    pub tables: &'static [Table],
    /// Its settings' lists of tables, `[[collectors.NAME.LIST]]`.
    pub lists: &'static [Table],
    /// Its families.
    pub families: &'static [FamilyInfo],
    /// Its measurements; without any, its points are made from its families by the rule of [`by_rule`].
    ///
    /// [`by_rule`]: crate::encode::by_rule
    pub measurements: &'static [MeasurementInfo],
}

/// A table of settings below a collector's own.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Its settings; none where the keys are the user's.
    pub keys: &'static [KeyInfo],
}

impl About {
    /// What a collector is that has no settings, needs nothing and is on by default, to be completed.
    pub const PLAIN: About = About {
        name: "",
        summary: "",
        reads: &[],
        needs: "",
        on_by_default: Vocabularies::BOTH,
        is_list: false,
        is_named_by_others: false,
        keys: &[],
        point_keys: &[],
        tables: &[],
        lists: &[],
        families: &[],
        measurements: &[],
    };

    /// The same, on by default for pulling alone: what has no counterpart in Telegraf is pushed when it is asked for.
    pub const PULLED: About = About { on_by_default: Vocabularies::FAMILIES, ..About::PLAIN };
}

/// A reader of one subject.
pub trait Collector: Send + Sized + 'static {
    /// What it is.
    const ABOUT: About;
    /// What it leaves behind.
    type Reading: Reading;

    /// The collector with its settings. Nothing is opened yet.
    fn new(host: &Host, section: &mut Section<'_>) -> Self;

    /// Reads into `reading`, which is empty or holds an older reading whose allocations may serve again; nothing else of
    /// it may be left, also when this fails.
    ///
    /// # Errors
    /// What could not be read. Whatever `reading` holds by then is used; a part that failed alone is better told to
    /// [`ReadContext::problem`], so that the rest is still read.
    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Self::Reading) -> Result<(), ReadError>;

    /// Begins whatever it does in the background, and waits until that has brought something or `limit` is over.
    fn begin(&mut self, limit: Duration) {
        let _ = limit;
    }

    /// What can be said of this host for `taffrail collectors`, a line each: which optional sources it can use.
    fn report(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// What a collector has at hand while it reads.
pub struct ReadContext<'a> {
    /// For whom the reading is: what only the other vocabulary has need not be read.
    pub wanted: Vocabularies,
    /// When the round of readings began: what was read since then is fresh.
    pub round: Instant,
    /// The host.
    pub host: &'a Host,
    /// Room for a file's content.
    pub buffer: &'a mut Vec<u8>,
    /// What failed without ending the reading.
    pub problems: &'a mut Vec<ReadError>,
}

impl ReadContext<'_> {
    /// Notes that a part could not be read; the collector counts as failed, and the rest is used.
    pub fn problem(&mut self, problem: ReadError) {
        self.problems.push(problem);
    }

    /// The value of `part`; if it failed, that is noted, unless this host simply has no such thing.
    pub fn part<T>(&mut self, part: Result<T, ReadError>) -> Option<T> {
        match part {
            Ok(value) => Some(value),
            Err(error) => {
                if !error.is_absent() {
                    self.problem(error);
                }
                None
            }
        }
    }
}

/// What a collector read, in the source's own units, and how it is named.
pub trait Reading: Default + Send + Sync + 'static {
    /// Names the reading as Prometheus families.
    fn families(&self, out: &mut FamilyWriter<'_>);

    /// Names the reading as Influx points. What needs a difference is derived from `since`; without it, it is left out.
    fn points(&self, since: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        let _ = since;
        points_by_rule(|families| self.families(families), out);
    }
}

/// Writes as points what `write` writes as families, by the rule of [`crate::encode::by_rule`]; no family twice of all
/// that `out` writes.
pub fn points_by_rule(write: impl FnOnce(&mut FamilyWriter<'_>), out: &mut PointWriter<'_>) {
    let mut points = PointsFromFamilies::default();
    let mut families = FamilyWriter::continuing(&mut points, out.take_written_by_rule());
    write(&mut families);
    let written = families.into_written();
    points.write(out);
    out.put_written_by_rule(written);
}

/// An earlier reading of the same sink, and how long ago it was.
#[derive(Debug)]
pub struct Since<'a, R> {
    /// The reading.
    pub previous: &'a R,
    /// The time between that reading and this one; not zero.
    pub elapsed: Duration,
}

// Not derived: R need not be Clone.
impl<R> Clone for Since<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Since<'_, R> {}

/// One reading as it was taken.
pub struct Taken {
    /// The wall clock when it began.
    pub at: Timestamp,
    /// A clock that nobody sets, when it began.
    pub monotonic: Duration,
    /// How long it took.
    pub took: Duration,
    /// Why it is not complete, if it is not.
    pub failure: Option<Arc<Failure>>,
    reading: Arc<dyn AnyReading>,
}

/// Why a reading is not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whether the host simply has no such thing.
    pub absent: bool,
    /// What failed.
    pub message: String,
}

impl Taken {
    /// Names the reading as families.
    pub fn families(&self, out: &mut FamilyWriter<'_>) {
        self.reading.families(out);
    }

    /// Names the reading as points, with differences since `previous`, an earlier one of the same collector.
    pub fn points(&self, previous: Option<&Taken>, out: &mut PointWriter<'_>) {
        let since = previous.and_then(|previous| {
            let elapsed = self.monotonic.checked_sub(previous.monotonic)?;
            (!elapsed.is_zero()).then_some((&*previous.reading, elapsed))
        });
        self.reading.points(since, out);
    }
}

/// A reading of any collector.
trait AnyReading: Any + Send + Sync {
    fn families(&self, out: &mut FamilyWriter<'_>);
    fn points(&self, since: Option<(&dyn AnyReading, Duration)>, out: &mut PointWriter<'_>);
}

impl<R: Reading> AnyReading for R {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        Reading::families(self, out);
    }

    fn points(&self, since: Option<(&dyn AnyReading, Duration)>, out: &mut PointWriter<'_>) {
        let since = since.and_then(|(previous, elapsed)| {
            let previous = (previous as &dyn Any).downcast_ref::<R>()?;
            Some(Since { previous, elapsed })
        });
        Reading::points(self, since, out);
    }
}

/// A collector of any kind.
pub trait AnyCollector: Send {
    /// Takes a reading in the round that began at `round`.
    fn take(&mut self, wanted: Vocabularies, round: Instant, host: &Host, buffer: &mut Vec<u8>) -> Taken;

    /// As [`Collector::begin`].
    fn begin(&mut self, limit: Duration);

    /// What [`Collector::report`] says.
    fn report(&mut self) -> Vec<String>;
}

/// A collector with its last reading, whose allocations serve again once nobody holds it any more.
struct Runner<C: Collector> {
    collector: C,
    last: Arc<C::Reading>,
    failed: Failed,
}

/// Why the last reading was not complete. As a rule the next is not for the same reason, which need not be told anew.
#[derive(Default)]
struct Failed {
    problems: Vec<ReadError>,
    failure: Option<Arc<Failure>>,
}

impl Failed {
    /// The failure of a reading that met these problems, if there are any.
    fn with(&mut self, problems: Vec<ReadError>) -> Option<Arc<Failure>> {
        if self.problems != problems {
            let absent = problems.iter().all(ReadError::is_absent);
            let message = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            self.failure = (!problems.is_empty()).then(|| Arc::new(Failure { absent, message }));
            self.problems = problems;
        }
        self.failure.clone()
    }
}

impl<C: Collector> AnyCollector for Runner<C> {
    fn take(&mut self, wanted: Vocabularies, round: Instant, host: &Host, buffer: &mut Vec<u8>) -> Taken {
        let at = host.kernel.now();
        let monotonic = host.kernel.monotonic();
        let start = Instant::now();
        if Arc::get_mut(&mut self.last).is_none() {
            self.last = Arc::default();
        }
        let mut problems = Vec::new();
        if let Some(reading) = Arc::get_mut(&mut self.last) {
            let mut cx = ReadContext { wanted, round, host, buffer, problems: &mut problems };
            if let Err(error) = self.collector.read(&mut cx, reading) {
                problems.push(error);
            }
        }
        let failure = self.failed.with(problems);
        Taken { at, monotonic, took: start.elapsed(), failure, reading: self.last.clone() }
    }

    fn begin(&mut self, limit: Duration) {
        self.collector.begin(limit);
    }

    fn report(&mut self) -> Vec<String> {
        self.collector.report()
    }
}

/// A collector that is known by name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// What it is.
    pub about: &'static About,
    build: fn(&Host, &mut Section<'_>) -> Box<dyn AnyCollector>,
}

impl Entry {
    const fn of<C: Collector>() -> Entry {
        Entry {
            about: &C::ABOUT,
            build: |host, section| {
                Box::new(Runner { collector: C::new(host, section), last: Arc::default(), failed: Failed::default() })
            },
        }
    }
}

/// `part` in % of `whole`; 0 of nothing.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}
