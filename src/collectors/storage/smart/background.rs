//! Reads the devices and files in the background.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::json::Device;
use super::report::{Reply, Report, label};
use super::settings::{Job, Measurements, Source};
use crate::collectors::exec::hash;
use crate::collectors::framework::arrivals::Log;
use crate::collectors::framework::background::{Background, Clock};
use crate::collectors::framework::globs::{self, MAX_MATCHES};
use crate::encode::Timestamp;
use crate::subprocess::GRACE;
use crate::system::regular_file::{READ_TIMEOUT, read_regular_within};

/// Devices of a job that are read; a scan that finds more has an error.
const MAX_DEVICES: usize = 1000;
/// Devices of a job that are read at a time.
const AT_ONCE: usize = 4;
/// Bytes of a file.
const MAX_FILE: u64 = 4 << 20;
/// Results retained for a sink that does not read.
const MAX_RESULTS: usize = 10_000;

/// The last result of a device.
#[derive(Debug)]
pub(super) struct Entry {
    /// The label `device`.
    pub(super) label: String,
    /// What it said last; none after a failure.
    pub(super) report: Option<Arc<Report>>,
    /// When it said so.
    pub(super) read_at: Timestamp,
    /// The power mode that was reported last; empty if none was.
    pub(super) power: String,
    /// Whether it was left alone last time.
    pub(super) is_asleep: bool,
    pub(super) exit_status: i64,
    /// The time of the points.
    pub(super) at: Timestamp,
    pub(super) measurements: Measurements,
    pub(super) error: Option<String>,
}

impl Entry {
    /// The result of a device after `previous`.
    fn after(
        previous: Option<&Entry>,
        label: String,
        result: Result<Reply, String>,
        measurements: Measurements,
    ) -> Entry {
        let now = Timestamp::from(SystemTime::now());
        let empty = Entry {
            label,
            report: None,
            read_at: now,
            power: String::new(),
            is_asleep: false,
            exit_status: 0,
            at: now,
            measurements,
            error: None,
        };
        let exit_status = |report: &Report| report.smartctl.exit_status.integer().unwrap_or(0);
        match result {
            Ok(Reply::Data(report)) => Entry {
                label: report.label(),
                read_at: report.time().unwrap_or(now),
                at: report.time().unwrap_or(now),
                power: report.power_mode().unwrap_or_default(),
                exit_status: exit_status(&report),
                report: Some(Arc::from(report)),
                ..empty
            },
            Ok(Reply::Asleep(report, power)) => {
                let known = previous.filter(|previous| previous.report.is_some());
                Entry {
                    label: known.map_or_else(|| report.label(), |known| known.label.clone()),
                    read_at: known.map_or(now, |known| known.read_at),
                    at: report.time().unwrap_or(now),
                    power,
                    is_asleep: true,
                    exit_status: exit_status(&report),
                    report: known.and_then(|known| known.report.clone()),
                    ..empty
                }
            }
            Err(error) => Entry { error: Some(error), ..empty },
        }
    }
}

/// The number of a job, and the device or path.
type Key = (usize, String);

/// The results of all jobs.
pub(super) struct Results {
    entries: BTreeMap<Key, Arc<Entry>>,
    /// Devices and files of each job that has found them, and why the last search failed.
    found: BTreeMap<usize, (BTreeSet<String>, Option<String>)>,
    /// All results, for sinks.
    pub(super) log: Log<Arc<Entry>>,
}

impl Results {
    pub(super) fn newest(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values()
    }

    pub(super) fn devices(&self) -> usize {
        self.found.values().map(|(names, _)| names.len()).sum()
    }

    /// What failed, and why.
    pub(super) fn failures(&self) -> Vec<(String, String)> {
        let searches = self.found.values().filter_map(|(_, error)| Some(("scan".to_owned(), error.clone()?)));
        let devices = self.entries.values().filter_map(|entry| Some((entry.label.clone(), entry.error.clone()?)));
        searches.chain(devices).collect()
    }

    /// Whether every device of the first `jobs` jobs has a result.
    fn is_complete(&self, jobs: usize) -> bool {
        self.found.len() >= jobs && self.entries.len() >= self.devices()
    }

    /// Replaces the devices or files of a job.
    fn set_found(&mut self, job: usize, names: BTreeSet<String>, error: Option<String>) {
        self.entries.retain(|(of, name), _| *of != job || names.contains(name));
        self.found.insert(job, (names, error));
    }

    fn publish(&mut self, key: Key, label: String, result: Result<Reply, String>, measurements: Measurements) {
        // A device that is gone meanwhile.
        if !self.found.get(&key.0).is_some_and(|(names, _)| names.contains(&key.1)) {
            return;
        }
        let previous = self.entries.get(&key);
        let entry = Arc::new(Entry::after(previous.map(|entry| &**entry), label, result, measurements));
        // A file that was not written again since.
        let is_known =
            previous.is_some_and(|previous| (previous.at, previous.is_asleep) == (entry.at, entry.is_asleep));
        if self.log.is_read() && !is_known && entry.report.is_some() {
            self.log.push(vec![entry.clone()]);
        }
        self.entries.insert(key, entry);
    }
}

/// The results, shared with the background work.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Results>>);

impl Shared {
    fn new() -> Shared {
        let results = Results { entries: BTreeMap::new(), found: BTreeMap::new(), log: Log::new(MAX_RESULTS) };
        Shared(Arc::new(Mutex::new(results)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Results> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_same(&self, other: &Shared) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Waits until all devices have been read once, for at most `limit`.
    pub(super) fn wait(&self, jobs: usize, limit: Duration) {
        const POLL_INTERVAL: Duration = Duration::from_millis(20);
        let start = Instant::now();
        while start.elapsed() < limit && !self.lock().is_complete(jobs) {
            thread::sleep(POLL_INTERVAL);
        }
    }
}

/// The background work, which ends when this is dropped.
pub(super) struct Running {
    shared: Shared,
    _background: Background,
}

impl Running {
    pub(super) fn start(jobs: &[Arc<Job>]) -> Running {
        let shared = Shared::new();
        let (jobs, results) = (jobs.to_vec(), shared.clone());
        let background = Background::start("smart", || async move {
            let mut running = JoinSet::new();
            for (index, job) in jobs.into_iter().enumerate() {
                running.spawn(run(index, job, results.clone()));
            }
            running.join_all().await;
        });
        Running { shared, _background: background }
    }

    pub(super) fn shared(&self) -> Shared {
        self.shared.clone()
    }
}

/// Runs a job forever.
async fn run(index: usize, job: Arc<Job>, shared: Shared) {
    match &job.source {
        Source::Files(files) => {
            let mut clock = Clock::new(job.interval, hash(&files[0].0));
            loop {
                clock.tick().await;
                read_files(index, &job, files, &shared).await;
            }
        }
        Source::Program { rescan_interval, .. } => {
            let (mut clock, mut running) = (Clock::new(*rescan_interval, 0), BTreeMap::new());
            let permits = Arc::new(Semaphore::new(AT_ONCE));
            let mut tasks = JoinSet::new();
            loop {
                search(index, &job, &shared, &permits, &mut running, &mut tasks).await;
                clock.tick().await;
            }
        }
    }
}

/// The devices of one name, and the task that reads them.
type Tasks = BTreeMap<String, (Vec<Device>, tokio::task::AbortHandle)>;

/// Finds the devices, and starts and ends their tasks. After a failure, the previous devices stay.
async fn search(
    index: usize,
    job: &Arc<Job>,
    shared: &Shared,
    permits: &Arc<Semaphore>,
    running: &mut Tasks,
    tasks: &mut JoinSet<()>,
) {
    let Source::Program { smartctl, devices, exclude, .. } = &job.source else { return };
    let mut found = match devices.is_empty() {
        false => devices.clone(),
        true => match smartctl.scan().await {
            Ok(found) => found.into_iter().filter(|device| !exclude.matches(&device.name)).map(detected).collect(),
            Err(error) => {
                let mut results = shared.lock();
                let names = results.found.get(&index).map(|(names, _)| names.clone()).unwrap_or_default();
                return results.set_found(index, names, Some(error));
            }
        },
    };
    let too_many = found
        .len()
        .checked_sub(MAX_DEVICES + 1)
        .map(|more| format!("{} devices are left out: a job has at most {MAX_DEVICES}", more + 1));
    found.truncate(MAX_DEVICES);
    shared.lock().set_found(index, found.iter().map(source).collect(), too_many);
    let mut groups: BTreeMap<String, Vec<Device>> = BTreeMap::new();
    for device in found {
        groups.entry(device.name.0.clone()).or_default().push(device);
    }
    let names = |devices: &[Device]| devices.iter().map(source).collect::<Vec<_>>();
    running.retain(|name, (devices, task)| {
        let stays = groups.get(name).is_some_and(|group| names(group) == names(devices));
        if !stays {
            task.abort();
        }
        stays
    });
    for (name, group) in groups {
        running.entry(name).or_insert_with(|| {
            let task = read_devices(index, job.clone(), group.clone(), shared.clone(), permits.clone());
            (group, tasks.spawn(task))
        });
    }
    while tasks.try_join_next().is_some() {}
}

/// The device of a scan. ATA disks are reported as SCSI; smartctl detects what they are.
fn detected(mut device: Device) -> Device {
    if &*device.r#type == "scsi" {
        device.r#type.0.clear();
    }
    device
}

/// The key of a device.
fn source(device: &Device) -> String {
    format!("{} {}", &*device.name, &*device.r#type)
}

/// Reads the devices of one name forever, one after the other.
async fn read_devices(index: usize, job: Arc<Job>, devices: Vec<Device>, shared: Shared, permits: Arc<Semaphore>) {
    let Source::Program { smartctl, .. } = &job.source else { return };
    let mut clock = Clock::new(job.interval, hash(&devices[0].name));
    loop {
        clock.tick().await;
        for device in &devices {
            let permit = permits.acquire().await;
            let mut reading = pin!(smartctl.read(device));
            let limit = smartctl.timeout + GRACE * 2;
            let publish = |result| {
                let label = label(&device.name, &device.r#type);
                shared.lock().publish((index, source(device)), label, result, job.measurements);
            };
            match timeout(limit, &mut reading).await {
                Ok(result) => publish(result),
                Err(_) => {
                    // Not even SIGKILL ends a process that waits for a disk. It delays no other device.
                    drop(permit);
                    publish(Err("the device does not respond, and smartctl cannot be ended".to_owned()));
                    publish(reading.await);
                }
            }
        }
    }
}

/// Reads the files of a job.
async fn read_files(index: usize, job: &Job, files: &[(String, PathBuf)], shared: &Shared) {
    let patterns = files.to_vec();
    let expand = move || -> Vec<PathBuf> {
        let of = |(name, path): &(String, PathBuf)| match globs::has_wildcard(name) {
            true => globs::matches(path),
            false => vec![path.clone()],
        };
        patterns.iter().flat_map(of).collect()
    };
    let mut paths = spawn_blocking(expand).await.unwrap_or_default();
    let too_many =
        (paths.len() > MAX_MATCHES).then(|| format!("more than {MAX_MATCHES} files; the others are not read"));
    paths.truncate(MAX_MATCHES);
    let name = |path: &PathBuf| path.to_string_lossy().into_owned();
    shared.lock().set_found(index, paths.iter().map(name).collect(), too_many);
    for path in paths {
        let (key, of) = ((index, name(&path)), path.clone());
        let read = spawn_blocking(move || read_regular_within(&of, MAX_FILE, READ_TIMEOUT)).await;
        let Ok(read) = read else { continue };
        let result = read.map_err(|error| error.reason.to_string()).and_then(|bytes| Reply::parse(&bytes));
        let label = key.1.clone();
        shared.lock().publish(key, label, result, job.measurements);
    }
}
