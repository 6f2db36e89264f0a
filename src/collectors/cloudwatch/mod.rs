//! Amazon CloudWatch: the metrics of AWS's services, and one's own.
//!
//! Each job is asked for in the background, in each of its regions and accounts by itself ([`place`]): which metrics there
//! are and of which resources ([`discovery`]), and their data on a schedule ([`schedule`]) in as few requests as can be
//! ([`batches`], [`fetch`]), within the job's budget ([`budget`]). What came is kept within the window ([`store`]), the
//! newest of it for Prometheus ([`snapshot`]), and everything once for push sinks ([`log`]). A reading takes what is
//! there, and waits for nothing.

mod batches;
mod budget;
mod discovery;
mod families;
mod fetch;
mod found;
mod id;
mod log;
mod metric;
mod names;
mod own;
mod place;
pub mod plan;
mod points;
mod resources;
mod schedule;
mod settings;
mod snapshot;
mod spending;
mod store;
mod told;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{About, Collector, ReadContext, Reading, Since, Table, Vocabularies};
use crate::aws::http_client;
use crate::config::Section;
use crate::encode::{FamilyWriter, PointWriter};
use crate::host::{Host, ReadError};
use budget::Purse;
use log::{Cursor, Log};
use place::Setup;
use settings::Job;
use snapshot::Published;

/// The collector.
pub struct Cloudwatch {
    jobs: Vec<Arc<Job>>,
    running: Option<Running>,
}

/// For how long what came is kept for sinks that read for the first time.
const FIRST_READINGS: Duration = Duration::from_secs(600);

/// What asks in the background. It ends when this is dropped.
struct Running {
    log: Arc<Mutex<Log>>,
    /// Keeps what comes first for sinks that have not read yet.
    first: Option<(Instant, Arc<Cursor>)>,
    places: Arc<[Arc<Published>]>,
    stop: CancellationToken,
}

/// What is there.
#[derive(Default)]
pub struct CloudwatchReading {
    places: Arc<[Arc<Published>]>,
    /// The log and up to where it is read, for points.
    read: Option<(Arc<Mutex<Log>>, Arc<Cursor>)>,
}

impl Collector for Cloudwatch {
    const ABOUT: About = About {
        name: "cloudwatch",
        summary: "metrics of Amazon CloudWatch, by jobs; pushed as `cloudwatch_*`",
        reads: &["CloudWatch", "Resource Groups Tagging API", "STS"],
        needs: "credentials that may cloudwatch:ListMetrics, cloudwatch:GetMetricData, tag:GetResources; see deploy/aws",
        on_by_default: Vocabularies::BOTH,
        is_list: true,
        keys: settings::KEYS,
        tables: &[
            Table {
                name: "dimensions",
                about: "The dimensions that a metric has, and no others: any name, with glob patterns of its value.",
                keys: &[],
            },
            Table {
                name: "tags",
                about: "The tags that a metric's resource has: any key, with glob patterns of its value.",
                keys: &[],
            },
            Table {
                name: "custom_tags",
                about: "Labels `custom_tag_KEY` of everything that this job brings, and tags of its points: any key, with a string.",
                keys: &[],
            },
            Table {
                name: "budget",
                about: "What the job may cost in an hour. What goes beyond it is asked for later, and that is told.",
                keys: budget::KEYS,
            },
        ],
        lists: &[
            Table {
                name: "roles",
                about: "The roles to assume, one for each account; without any, the credentials' own account is asked.",
                keys: crate::aws::account::ROLE_KEYS,
            },
            Table {
                name: "static",
                about: "Metrics that are asked for without being looked for, with their `dimensions`.",
                keys: settings::STATIC_KEYS,
            },
        ],
        families: own::FAMILIES,
        ..About::PLAIN
    };
    type Reading = CloudwatchReading;

    fn new(_: &Host, section: &mut Section<'_>) -> Self {
        Cloudwatch { jobs: Job::all(section).into_iter().map(Arc::new).collect(), running: None }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut CloudwatchReading) -> Result<(), ReadError> {
        let running = self.running.get_or_insert_with(|| Running::start(&self.jobs));
        running.first.take_if(|(since, _)| since.elapsed() > FIRST_READINGS);
        reading.places = running.places.clone();
        let log = &running.log;
        let cursor = || log.lock().unwrap_or_else(PoisonError::into_inner).cursor();
        reading.read = cx.wanted.points.then(|| (log.clone(), cursor()));
        Ok(())
    }

    fn begin(&mut self, patience: Duration) {
        let running = self.running.get_or_insert_with(|| Running::start(&self.jobs));
        let start = Instant::now();
        while start.elapsed() < patience && !running.places.iter().all(|place| place.has_tried()) {
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn report(&mut self) -> Vec<String> {
        self.jobs.iter().map(|job| job.summary()).collect()
    }
}

impl Running {
    fn start(jobs: &[Arc<Job>]) -> Running {
        let mut log = Log::default();
        let first = Some((Instant::now(), log.cursor()));
        let (log, stop) = (Arc::new(Mutex::new(log)), CancellationToken::new());
        let mut places = Vec::new();
        let mut setups = Vec::new();
        for job in jobs {
            let purse = Arc::new(Mutex::new(Purse::new(job.budget)));
            for (account, region) in job.places() {
                let published = Arc::new(Published::new(job.clone(), region));
                places.push(published.clone());
                let (job, region, purse, log) = (job.clone(), region.map(str::to_owned), purse.clone(), log.clone());
                let account = account.clone();
                setups.push(move |http| Setup { job, account, region, http, purse, log, published });
            }
        }
        let stopped = stop.clone();
        let run = move || {
            let runtime = match Builder::new_current_thread().enable_all().thread_name("cloudwatch").build() {
                Ok(runtime) => runtime,
                Err(error) => return tracing::error!("cloudwatch: no runtime to ask with: {error}"),
            };
            runtime.block_on(async {
                // Its connections live in this runtime.
                let http = match http_client() {
                    Ok(http) => http,
                    Err(error) => return tracing::error!("cloudwatch: {error}"),
                };
                let _running: JoinSet<()> = setups.into_iter().map(|setup| setup(http.clone()).run()).collect();
                stopped.cancelled().await;
            });
            runtime.shutdown_background();
        };
        if let Err(error) = thread::Builder::new().name("cloudwatch".to_owned()).spawn(run) {
            tracing::error!("cloudwatch: no thread to ask with: {error}");
        }
        Running { log, first, places: places.into(), stop }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Reading for CloudwatchReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        own::write(&self.places, out);
        families::write(&self.places, out);
    }

    fn points(&self, since: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        super::points_by_rule(|families| own::write(&self.places, families), out);
        if let Some((log, to)) = &self.read {
            // After a reload it is another log, of which nothing was read.
            let is_of_log = |(before, _): &&(Arc<Mutex<Log>>, Arc<Cursor>)| Arc::ptr_eq(before, log);
            let previous = since.and_then(|since| since.previous.read.as_ref()).filter(is_of_log);
            let from = previous.map(|(_, cursor)| &**cursor);
            let came = log.lock().unwrap_or_else(PoisonError::into_inner).between(from, to);
            points::write(&came, out);
        }
    }
}
