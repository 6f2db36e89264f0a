//! Scrapes exporters, as Prometheus does.
//!
//! Each job finds its targets in the background ([`discovery`]), relabels them ([`relabel`], [`target`]), and scrapes
//! each by its own clock ([`running`]). What a page has is read leniently ([`page`]) into an immutable [`scrape`].
//! Prometheus gets the newest scrape of each target ([`families`]); sinks get each scrape once, as series with stale
//! markers or as points ([`points`]). A reading uses what is there, and does not wait.

mod discovery;
mod families;
mod job;
mod md5;
mod page;
mod points;
mod relabel;
mod running;
mod scrape;
mod series;
mod target;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use self::families::Exposition;
use self::job::{Exposed, Job};
use self::running::Shared;
use self::scrape::Scrape;
use crate::client::settings::HEADERS;
use crate::collectors::foreign::Claims;
use crate::collectors::framework::arrivals::Cursor;
use crate::collectors::framework::background::Background;
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::config::{Section, TableInfo};
use crate::encode::family::{ForeignFamilies, Limit};
use crate::encode::infos::concat;
use crate::encode::{FamilyWriter, PointWriter};
use crate::host::{Host, ReadError};
use crate::nats::settings::Nats;

/// The collector.
pub(super) struct Prometheus {
    jobs: Vec<Arc<Job>>,
    /// The servers of leases.
    nats: Nats,
    running: Option<(Shared, Background)>,
    claims: Arc<Claims>,
}

/// What was scraped.
#[derive(Default)]
pub(super) struct PrometheusReading {
    /// The newest scrape of each target.
    newest: Arc<[Arc<Scrape>]>,
    /// Where all scrapes are, and the position to read up to.
    read: Option<(Shared, Arc<Cursor>)>,
    /// Families that collide with other collectors' on `/metrics`.
    claims: Arc<Claims>,
}

const RELABEL: &str = "Relabelling of targets, before they are scraped: all actions of Prometheus.";
const METRIC_RELABEL: &str = "Relabelling of samples, with `__name__`, and with `le` and `quantile` as labels.";
const LISTS: [TableInfo; discovery::LISTS.len() + 2] = concat(&[
    &discovery::LISTS,
    &[
        TableInfo { name: "relabel_configs", about: RELABEL, keys: relabel::KEYS },
        TableInfo { name: "metric_relabel_configs", about: METRIC_RELABEL, keys: relabel::KEYS },
    ],
]);

impl Collector for Prometheus {
    const ABOUT: About = About {
        name: "prometheus",
        summary: "metrics of other exporters; pushed as Telegraf's inputs.prometheus does",
        reads: &["HTTP servers and Unix sockets"],
        remarks: "Names and labels are those of the page; each target also has the families below. docs/scraping.md has examples.",
        on_by_default: Vocabularies::BOTH,
        is_list: true,
        is_named_by_others: true,
        keys: &job::KEYS,
        tables: &[
            TableInfo { name: "labels", about: "Labels of `targets`: any name, with a string value.", keys: &[] },
            TableInfo {
                name: "params",
                about: "Parameters of every request: any name, with a list of values.",
                keys: &[],
            },
            HEADERS,
        ],
        lists: &LISTS,
        families: families::FAMILIES,
        measurements: points::MEASUREMENTS,
        ..About::PLAIN
    };
    type Reading = PrometheusReading;

    fn new(_: &Host, section: &mut Section<'_>) -> Self {
        let claims = Arc::new(Claims::new("prometheus", "pages"));
        Prometheus { jobs: target::jobs(section), nats: Nats::default(), running: None, claims }
    }

    fn use_servers(&mut self, nats: &Nats) -> Result<bool, String> {
        self.nats = nats.clone();
        nats.check_leases(self.jobs.iter().map(|job| (&*job.name, &job.lease)))
    }

    fn read(&mut self, _: &mut ReadContext<'_>, reading: &mut PrometheusReading) -> Result<(), ReadError> {
        let claims = self.claims.clone();
        let (shared, _) = self.running();
        let (newest, cursor) = shared.read();
        *reading = PrometheusReading { newest, read: Some((shared.clone(), cursor)), claims };
        Ok(())
    }

    fn begin(&mut self, limit: Duration) {
        let (shared, _) = self.running();
        let start = Instant::now();
        while start.elapsed() < limit && !shared.has_tried() {
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn report(&mut self) -> Vec<String> {
        self.jobs.iter().map(|job| job.summary()).collect()
    }
}

impl Prometheus {
    fn running(&mut self) -> &(Shared, Background) {
        self.running.get_or_insert_with(|| running::start(&self.jobs, &self.nats))
    }
}

impl Reading for PrometheusReading {
    const HAS_HISTORY: bool = true;

    /// All of them were named elsewhere, see [`Reading::foreign_families`].
    fn families(&self, _: &mut FamilyWriter<'_>) {}

    fn families_since(&self, previous: Option<&Self>, out: &mut FamilyWriter<'_>) {
        let exposition = Arc::new(Exposition::new(self.since(previous), true, Arc::default()));
        // Families of Taffrail may have the same names: that matters to expositions only.
        let mut out = out.apart();
        let limit = out.set_limit(Limit::NONE);
        out.add_foreign(Prometheus::ABOUT.name, exposition, limit);
        out.write_foreign(Prometheus::ABOUT.name);
    }

    fn foreign_families(&self, page: Option<&str>) -> Option<Arc<dyn ForeignFamilies>> {
        let is_on = |scrape: &Scrape| match page {
            None => scrape.target.job.exposed == Exposed::Together,
            Some(page) => scrape.target.job.exposed != Exposed::Nowhere && scrape.target.is_on(page),
        };
        let scrapes: Vec<Arc<Scrape>> = self.newest.iter().filter(|scrape| is_on(scrape)).cloned().collect();
        // Nothing collides on a page of its own.
        let claims = || if page.is_none() { self.claims.clone() } else { Arc::default() };
        (page.is_none() || !scrapes.is_empty()).then(|| Arc::new(Exposition::new(scrapes, false, claims())) as _)
    }

    fn points(&self, since: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        let scrapes = self.since(since.map(|since| since.previous));
        points::write(scrapes.iter().map(|scrape| &**scrape), out);
    }
}

impl PrometheusReading {
    /// The scrapes since the `previous` reading of the same sink, oldest first; the newest ones without it.
    fn since(&self, previous: Option<&Self>) -> Vec<Arc<Scrape>> {
        let Some(before) = previous else { return self.newest.to_vec() };
        match (&before.read, &self.read) {
            (Some((of, from)), Some((shared, to))) if of.is_same(shared) => {
                let batches = shared.state().log.between(Some(from), to);
                batches.iter().flat_map(|scrapes| scrapes.iter().cloned()).collect()
            }
            // After a reload: what is no longer a target ends.
            _ => {
                let is_target = |old: &Scrape| self.newest.iter().any(|new| new.target.labels == old.target.labels);
                let gone = before.newest.iter().filter(|old| !is_target(old));
                let ends =
                    gone.map(|old| Arc::new(Scrape::without_page(old.target.clone(), running::now(), None, Some(old))));
                ends.chain(self.newest.iter().cloned()).collect()
            }
        }
    }
}
