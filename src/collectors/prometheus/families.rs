//! Scrapes as families, for Prometheus and for sinks of series.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::scrape::{Report, Scrape};
use super::series::{Head, Series, Value, hash};
use crate::collectors::foreign::{Claims, Collision};
use crate::encode::family::{self, FamilyInfo, ForeignFamilies, OpenFamily};
use crate::encode::parse::model::Kind;
use crate::encode::remote::STALE;
use crate::encode::{Family, FamilyWriter, Timestamp};

/// A family of a scrape's own series, and its value.
type Own = (FamilyInfo, fn(&Report) -> f64);

const UP: Family<0> = Family::gauge("up", "Whether the last scrape of the target succeeded", []);
const DURATION: Family<0> = Family::gauge("scrape_duration_seconds", "Duration of the last scrape", []);
const SCRAPED: Family<0> = Family::gauge("scrape_samples_scraped", "Samples on the page of the target", []);
const KEPT: Family<0> =
    Family::gauge("scrape_samples_post_metric_relabeling", "Samples that metric_relabel_configs left", []);
const ADDED: Family<0> = Family::gauge("scrape_series_added", "Series that were not on the previous page", []);
const DUPLICATES: Family<0> = Family::gauge(
    "taffrail_scrape_duplicate_samples",
    "Samples left out of the last scrape because their series occurs twice, or is one of the scrape's own",
    [],
);

const FAMILIES_OF_SCRAPES: [Own; 6] = [
    (UP.info(), |report| f64::from(u8::from(report.is_up))),
    (DURATION.info(), |report| report.duration),
    (SCRAPED.info(), |report| report.scraped as f64),
    (KEPT.info(), |report| report.kept as f64),
    (ADDED.info(), |report| report.added as f64),
    (DUPLICATES.info(), |report| report.duplicates as f64),
];

/// The names of a scrape's own series.
pub(super) const OWN: [&str; 6] =
    [UP.name(), DURATION.name(), SCRAPED.name(), KEPT.name(), ADDED.name(), DUPLICATES.name()];

/// Their documentation.
pub(super) const FAMILIES: &[FamilyInfo] =
    &[UP.info(), DURATION.info(), SCRAPED.info(), KEPT.info(), ADDED.info(), DUPLICATES.info()];

/// Scrapes as families. Those with the name of a family of Taffrail join it.
pub(super) struct Exposition {
    scrapes: Vec<Arc<Scrape>>,
    /// Whether each sample has the time of its scrape, and series that ended have a stale marker. Scrapes are in the
    /// order of time then.
    has_times: bool,
    entries: Vec<Entry>,
    /// Indexes of entries by the hashes of their names.
    by_name: HashMap<u64, usize>,
    /// Whether each family of the scrapes themselves has joined another.
    own_have_joined: [AtomicBool; OWN.len()],
    is_written: AtomicBool,
    /// Families that collide with other collectors'.
    claims: Arc<Claims>,
}

/// Samples of one scrape, or series of it that ended, which belong to one family.
struct Part {
    /// The index of the scrape.
    scrape: usize,
    /// The indexes of the samples, or of the series that ended.
    range: Range<usize>,
    is_end: bool,
    /// Whether the name of the family is that of the samples: it has their suffix.
    has_whole_name: bool,
}

/// A family of several scrapes.
struct Entry {
    head: Arc<Head>,
    parts: Vec<Part>,
    has_joined: AtomicBool,
}

impl Exposition {
    /// The families of scrapes.
    pub(super) fn new(scrapes: Vec<Arc<Scrape>>, has_times: bool, claims: Arc<Claims>) -> Exposition {
        let mut exposition = Exposition {
            scrapes: Vec::new(),
            has_times,
            entries: Vec::new(),
            by_name: HashMap::new(),
            own_have_joined: Default::default(),
            is_written: AtomicBool::new(false),
            claims,
        };
        for (index, scrape) in scrapes.iter().enumerate() {
            for (head, range) in &scrape.families {
                exposition
                    .add(head, Part { scrape: index, range: range.clone(), is_end: false, has_whole_name: false });
            }
            let mut start = 0;
            let ended = if has_times { &*scrape.ended } else { &[] };
            for part in ended.chunk_by(|one, other| Arc::ptr_eq(&one.family, &other.family)) {
                let range = start..start + part.len();
                start = range.end;
                exposition.add(&part[0].family, Part { scrape: index, range, is_end: true, has_whole_name: false });
            }
        }
        exposition.scrapes = scrapes;
        exposition.split_families();
        exposition
    }

    /// Splits histograms and summaries whose samples have the names of other families, such as those of a target without
    /// types: the samples join these. Two families that share a name cannot be on one page.
    fn split_families(&mut self) {
        let has_other = |head: &Head| {
            let mut names = ["_bucket", "_count", "_sum"].iter().map(|suffix| [&head.name, *suffix].concat());
            head.is_compound() && names.any(|name| self.by_name.contains_key(&hash(&name)))
        };
        let split: Vec<usize> = (0..self.entries.len()).filter(|index| has_other(&self.entries[*index].head)).collect();
        for index in split {
            let head = self.entries[index].head.clone();
            self.entries[index].head = Arc::new(head.untyped(""));
            for part in std::mem::take(&mut self.entries[index].parts) {
                for (suffix, range) in self.runs(&part) {
                    self.add(&Arc::new(head.untyped(suffix)), Part { range, has_whole_name: true, ..part });
                }
            }
        }
    }

    /// The ranges of a part whose samples have the same suffix.
    fn runs(&self, part: &Part) -> Vec<(&'static str, Range<usize>)> {
        let mut runs: Vec<(&'static str, Range<usize>)> = Vec::new();
        for number in part.range.clone() {
            let suffix = self.series(part, number).suffix;
            match runs.last_mut() {
                Some((of, range)) if *of == suffix => range.end = number + 1,
                _ => runs.push((suffix, number..number + 1)),
            }
        }
        runs
    }

    fn series(&self, part: &Part, number: usize) -> &Series {
        let scrape = &self.scrapes[part.scrape];
        if part.is_end { &scrape.ended[number] } else { &scrape.samples[number].series }
    }

    fn add(&mut self, head: &Arc<Head>, part: Part) {
        let index = *self.by_name.entry(hash(&head.name)).or_insert_with(|| {
            let (head, parts, has_joined) = (head.clone(), Vec::new(), AtomicBool::new(false));
            self.entries.push(Entry { head, parts, has_joined });
            self.entries.len() - 1
        });
        self.entries[index].parts.push(part);
    }

    /// Calls `each` with every series of a family, its labels, its sample unless it ended, and the time.
    fn each(&self, entry: &Entry, each: &mut EachSeries<'_>) {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        for part in &entry.parts {
            let scrape = &*self.scrapes[part.scrape];
            let time = self.has_times.then_some(scrape.at);
            for number in part.range.clone() {
                let sample = (!part.is_end).then(|| &scrape.samples[number]);
                let series = self.series(part, number);
                let suffix = if part.has_whole_name { "" } else { series.suffix };
                names.clear();
                values.clear();
                for (name, value) in series.labels() {
                    names.push(name);
                    values.push(value);
                }
                if self.has_times {
                    hide_labels_of_sinks(&mut names, &mut values);
                }
                let own_time = sample.and_then(|sample| sample.timestamp).map(milliseconds);
                each((scrape, series), suffix, &names, &values, sample.map(|sample| &sample.value), own_time.or(time));
            }
        }
    }

    fn write_entry(&self, entry: &Entry, out: &mut FamilyWriter<'_>) {
        // Samples of other collectors have no identifiers.
        let is_identified = !out.is_shared(&entry.head.name);
        let mut out = out.free_family(&entry.head.name, family_kind(entry.head.kind), &entry.head.help);
        if self.has_times {
            out = out.with_times();
        }
        let out = out.open();
        self.each(entry, &mut |(scrape, series), suffix, names, values, value, time| match value {
            None | Some(Value::Number(_)) if series.is_plain && is_identified => {
                out.identified_sample(series.id, suffix, names, values, number(value), time);
            }
            _ => put(entry, scrape, (suffix, names, values, value, time), out),
        });
    }

    /// Adds the samples of a family to another collector's, except histograms and summaries that it has.
    fn join_entry(&self, entry: &Entry, out: &mut dyn OpenFamily) {
        let mut known: HashMap<Vec<(String, String)>, bool> = HashMap::new();
        self.each(entry, &mut |(scrape, _), suffix, names, values, value, time| {
            let sample = (suffix, names, values, value, time);
            if !entry.head.is_compound() {
                return put(entry, scrape, sample, out);
            }
            let labels = names.iter().zip(values).filter(|(name, _)| !["le", "quantile"].contains(*name));
            let (names, values): (Vec<&str>, Vec<&str>) = labels.unzip();
            let metric = names.iter().zip(&values).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            match known.entry(metric.collect()).or_insert_with(|| out.has_metric(&names, &values)) {
                true => out.refuse(1),
                false => put(entry, scrape, sample, out),
            }
        });
    }

    /// Adds the samples of a family of the scrapes themselves.
    fn put_own(&self, value: fn(&Report) -> f64, out: &mut dyn OpenFamily) {
        for scrape in &self.scrapes {
            let (names, values): (Vec<&str>, Vec<&str>) =
                scrape.target.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).unzip();
            let value = scrape.report.as_ref().map_or(STALE, value);
            out.sample("", &names, &values, value.into(), self.has_times.then_some(scrape.at));
        }
    }

    /// Writes the series of the scrapes themselves that have joined none.
    fn write_own(&self, out: &mut FamilyWriter<'_>) {
        for ((info, value), has_joined) in FAMILIES_OF_SCRAPES.iter().zip(&self.own_have_joined) {
            if has_joined.swap(true, Relaxed) {
                continue;
            }
            let mut out = out.free_family(info.name, info.kind, info.help);
            if self.has_times {
                out = out.with_times();
            }
            self.put_own(*value, out.open());
        }
    }

    /// The job of the first scrape of a family, and the other collector that has its name, if they collide.
    fn collision(&self, entry: &Entry, out: &FamilyWriter<'_>) -> Option<Collision> {
        let (name, kind) = (&entry.head.name, family_kind(entry.head.kind));
        let keeper = out.keeper(name, kind).filter(|_| out.is_taken(name, kind))?;
        let job = self.scrapes[entry.parts.first()?.scrape].target.job.name.clone();
        Some((name.to_string(), job.as_str().into(), Some(keeper)))
    }
}

/// A sample: suffix, names and values of labels, the value unless the series ended, and its time.
type Sample<'s> = (&'static str, &'s [&'s str], &'s [&'s str], Option<&'s Value>, Option<Timestamp>);

fn put(entry: &Entry, scrape: &Scrape, (suffix, names, values, value, time): Sample<'_>, out: &mut dyn OpenFamily) {
    match value {
        Some(Value::Native(histogram)) => {
            let is_with_classic = scrape.target.job.rules.classic_histograms;
            out.native(names, values, (histogram, entry.head.kind), !is_with_classic, time);
        }
        _ => out.sample(suffix, names, values, number(value), time),
    }
}

/// The number of a sample that is no native histogram.
fn number(value: Option<&Value>) -> family::Value {
    match value {
        Some(Value::Number(value)) => (*value).into(),
        _ => STALE.into(),
    }
}

/// Adds the labels that a sink has for Taffrail's own series, without a value: a series of another job does not get them.
fn hide_labels_of_sinks(names: &mut Vec<&str>, values: &mut Vec<&str>) {
    for label in ["instance", "job"] {
        if !names.contains(&label) {
            let index = names.partition_point(|name| *name < label);
            names.insert(index, label);
            values.insert(index, "");
        }
    }
}

/// The callback of [`Exposition::each`].
type EachSeries<'e> =
    dyn FnMut((&Scrape, &Series), &'static str, &[&str], &[&str], Option<&Value>, Option<Timestamp>) + 'e;

impl ForeignFamilies for Exposition {
    fn has(&self, name: &str) -> bool {
        OWN.contains(&name) || self.by_name.contains_key(&hash(name))
    }

    fn join(&self, name: &str, kind: family::Kind, out: &mut dyn OpenFamily) {
        if let Some(index) = OWN.iter().position(|own| *own == name) {
            let (info, value) = FAMILIES_OF_SCRAPES[index];
            if info.kind.goes_with(kind) && !self.own_have_joined[index].swap(true, Relaxed) {
                self.put_own(value, out);
            }
        }
        let Some(entry) = self.by_name.get(&hash(name)).map(|index| &self.entries[*index]) else { return };
        if family_kind(entry.head.kind).goes_with(kind) && !entry.has_joined.swap(true, Relaxed) {
            self.join_entry(entry, out);
        }
    }

    fn write_others(&self, out: &mut FamilyWriter<'_>) {
        self.write_own(out);
        let mut collisions = Vec::new();
        for entry in &self.entries {
            // A reserved name is that of a family that follows, which it joins then.
            if out.is_reserved(&entry.head.name) || entry.has_joined.swap(true, Relaxed) {
                continue;
            }
            match self.collision(entry, out) {
                Some(collision) => collisions.push(collision),
                None => self.write_entry(entry, out),
            }
        }
        if !self.is_written.swap(true, Relaxed) {
            self.claims.set_others(collisions);
        }
    }
}

fn milliseconds(time: i64) -> Timestamp {
    Timestamp(time.saturating_mul(1_000_000))
}

fn family_kind(kind: Kind) -> family::Kind {
    match kind {
        Kind::Counter => family::Kind::Counter,
        Kind::Gauge | Kind::Info | Kind::StateSet => family::Kind::Gauge,
        Kind::Summary => family::Kind::Summary,
        Kind::Histogram => family::Kind::Histogram,
        Kind::Untyped | Kind::GaugeHistogram => family::Kind::Untyped,
    }
}
