//! Amazon CloudWatch: metrics of AWS services, and custom metrics.
//!
//! Each job runs in the background, separately for each of its accounts and regions ([`target`]). It discovers metrics
//! and resources ([`discovery`]), and fetches data on a schedule ([`schedule`]), with as few requests as possible
//! ([`batches`], [`fetch`]), within the budget of the job ([`budget`]). The data of the window are retained
//! ([`store`]); the newest of them are exposed to Prometheus ([`snapshot`]), and each is pushed once ([`log`]). A
//! reading uses the available data, and does not wait.

mod alarms;
mod batches;
mod budget;
mod catch_up;
mod discovered;
mod discovery;
mod families;
mod fetch;
mod id;
mod log;
mod metric;
mod names;
pub mod plan;
mod position;
mod reported;
mod resources;
mod schedule;
mod self_metrics;
mod services;
mod settings;
mod snapshot;
mod store;
mod tags;
mod target;
mod terms;
mod unique_names;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::aws::http_client;
use crate::collectors::framework::arrivals::Cursor;
use crate::collectors::framework::background::Background;
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since, Vocabularies, write_generic_points};
use crate::config::{Section, TableInfo};
use crate::encode::{FamilyWriter, PointWriter};
use crate::host::{Host, ReadError};
use crate::nats::settings::Nats;
use crate::nats::turn::Turn;
use budget::Ledger;
use log::{Datum, Log, MAX_DATUMS};
use settings::Job;
use snapshot::Published;
use target::Setup;

/// The collector.
pub struct Cloudwatch {
    jobs: Vec<Arc<Job>>,
    /// The servers of leases.
    nats: Nats,
    running: Option<Running>,
}

/// How long data are retained for sinks that read for the first time.
const FIRST_READINGS: Duration = Duration::from_secs(600);

/// The background work. It ends when this is dropped.
struct Running {
    log: Arc<Mutex<Log>>,
    /// Retains the first data for sinks that have not read yet.
    first: Option<(Instant, Arc<Cursor>)>,
    targets: Arc<[Arc<Published>]>,
    _background: Background,
}

/// The available data.
#[derive(Default)]
pub struct CloudwatchReading {
    /// The targets that this process runs.
    targets: Arc<[Arc<Published>]>,
    /// The log, and the position to read up to, for sinks that are sent each data point once.
    read: Option<(Arc<Mutex<Log>>, Arc<Cursor>)>,
}

impl Collector for Cloudwatch {
    const ABOUT: About = About {
        name: "cloudwatch",
        summary: "metrics of Amazon CloudWatch; pushed as `cloudwatch_*`",
        reads: &["CloudWatch", "Resource Groups Tagging API", "STS"],
        needs: "credentials that may cloudwatch:ListMetrics, cloudwatch:GetMetricData, tag:GetResources; see deploy/aws",
        on_by_default: Vocabularies::BOTH,
        is_list: true,
        keys: &settings::KEYS,
        tables: &[
            TableInfo {
                name: "dimensions",
                about: "Selects metrics that have exactly these dimensions: any name, with glob patterns for its value.",
                keys: &[],
            },
            TableInfo {
                name: "tags",
                about: "Selects metrics whose resource has these tags: any key, with glob patterns for its value.",
                keys: &[],
            },
            TableInfo { name: "search_tags", about: "The same with unanchored regular expressions.", keys: &[] },
            TableInfo {
                name: "custom_tags",
                about: "Labels `custom_tag_KEY` of all metrics of this job, and tags of its points: any key, with a string value.",
                keys: &[],
            },
            TableInfo {
                name: "budget",
                about: "Cost limits of the job. Requests above a limit are postponed, which is logged and counted.",
                keys: budget::KEYS,
            },
        ],
        lists: &[
            TableInfo {
                name: "roles",
                about: "Roles to assume, one per account; without any, the account of the credentials is used.",
                keys: crate::aws::account::ROLE_KEYS,
            },
            TableInfo {
                name: "overrides",
                about: "Settings for some metrics of the job. The first entry that matches a metric applies.",
                keys: terms::OVERRIDE_KEYS,
            },
            TableInfo {
                name: "static",
                about: "Metrics that are requested without discovery, with their `dimensions`.",
                keys: settings::STATIC_KEYS,
            },
        ],
        families: self_metrics::FAMILIES,
        ..About::PLAIN
    };
    type Reading = CloudwatchReading;

    fn new(_: &Host, section: &mut Section<'_>) -> Self {
        let jobs = Job::all(section).into_iter().map(Arc::new).collect();
        Cloudwatch { jobs, nats: Nats::default(), running: None }
    }

    fn use_servers(&mut self, nats: &Nats) -> Result<bool, String> {
        self.nats = nats.clone();
        nats.check_leases(self.jobs.iter().map(|job| (&*job.name, &job.lease)))
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut CloudwatchReading) -> Result<(), ReadError> {
        let running = self.running.get_or_insert_with(|| Running::start(&self.jobs, &self.nats));
        running.first.take_if(|(since, _)| since.elapsed() > FIRST_READINGS);
        reading.targets = running.targets.clone();
        if self.jobs.iter().any(|job| job.lease.is_some()) {
            reading.targets = running.targets.iter().filter(|target| target.runs()).cloned().collect();
        }
        let log = &running.log;
        let cursor = || log.lock().unwrap_or_else(PoisonError::into_inner).read();
        let is_sent_once =
            cx.wanted.points || self.jobs.iter().any(|job| job.all_terms().any(|terms| terms.all_data_points));
        reading.read = is_sent_once.then(|| (log.clone(), cursor()));
        Ok(())
    }

    fn begin(&mut self, timeout: Duration) {
        let running = self.running.get_or_insert_with(|| Running::start(&self.jobs, &self.nats));
        let start = Instant::now();
        while start.elapsed() < timeout && !running.targets.iter().all(|target| target.has_tried()) {
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn report(&mut self) -> Vec<String> {
        self.jobs.iter().map(|job| job.summary()).collect()
    }
}

impl Running {
    fn start(jobs: &[Arc<Job>], nats: &Nats) -> Running {
        let mut log = Log::new(MAX_DATUMS);
        let first = Some((Instant::now(), log.cursor()));
        let log = Arc::new(Mutex::new(log));
        let mut targets = Vec::new();
        let mut setups = Vec::new();
        for job in jobs {
            let ledger = Arc::new(Mutex::new(Ledger::new(job.budget)));
            for (account, region) in job.targets() {
                let published = Arc::new(Published::new(job.clone(), region));
                targets.push(published.clone());
                let (job, region, ledger, log) = (job.clone(), region.map(str::to_owned), ledger.clone(), log.clone());
                let account = account.clone();
                setups.push(move |http| Setup { job, account, region, http, ledger, log, published });
            }
        }
        let nats = nats.clone();
        let background = Background::start("cloudwatch", || async move {
            // The connections of the client belong to this runtime.
            let http = match http_client() {
                Ok(http) => http,
                Err(error) => return tracing::error!("cloudwatch: {error}"),
            };
            let mut running = JoinSet::new();
            for setup in setups {
                let setup: Setup = setup(http.clone());
                let (turn, published) = (Turn::of(&nats, setup.job.lease.as_deref()), setup.published.clone());
                running.spawn(turn.run(move |runs| published.set_runs(runs), move || setup.clone().run()));
            }
            while running.join_next().await.is_some() {}
        });
        Running { log, first, targets: targets.into(), _background: background }
    }
}

impl Reading for CloudwatchReading {
    const HAS_HISTORY: bool = true;

    fn families(&self, out: &mut FamilyWriter<'_>) {
        self_metrics::write(&self.targets, out);
        alarms::write_families(&self.targets, out);
        families::write(&self.targets, None, out);
    }

    fn families_since(&self, previous: Option<&Self>, out: &mut FamilyWriter<'_>) {
        self_metrics::write(&self.targets, out);
        alarms::write_families(&self.targets, out);
        families::write(&self.targets, Some(&self.arrived_since(previous)), out);
    }

    fn points(&self, since: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        write_generic_points(|families| self_metrics::write(&self.targets, families), out);
        alarms::write_points(&self.targets, out);
        log::write_points(&self.arrived_since(since.map(|since| since.previous)), out);
    }
}

impl CloudwatchReading {
    /// The data points that arrived since the `previous` reading of the same sink.
    fn arrived_since(&self, previous: Option<&Self>) -> Vec<Arc<[Datum]>> {
        let Some((log, to)) = &self.read else { return Vec::new() };
        // After a reload, the log is a new one without read positions.
        let is_of_log = |(before, _): &&(Arc<Mutex<Log>>, Arc<Cursor>)| Arc::ptr_eq(before, log);
        let previous = previous.and_then(|previous| previous.read.as_ref()).filter(is_of_log);
        let from = previous.map(|(_, cursor)| &**cursor);
        log.lock().unwrap_or_else(PoisonError::into_inner).between(from, to)
    }
}
