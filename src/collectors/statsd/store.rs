//! The state of the collector: takes lines, and has the values of both vocabularies.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::aggregate::weight;
use super::counts::{Counts, FAMILY_KINDS, Limit, Numbers, event};
use super::families::{Families, FamilyValues, Labels, NoSeries, Observed};
use super::intervals::{FIELD, Flushed, Intervals, Subject, metric_type};
use super::mapping::{Mapped, Mapping, MetricKind, Options};
use super::names::escaped;
use super::pool::Pool;
use super::settings::Settings;
use crate::encode::Timestamp;
use crate::encode::parse::statsd::{Kind, Refusal, Sample, Tagged, Value, parse};
use crate::log::Limited;

/// The state of the collector.
pub(super) struct Store {
    settings: Arc<Settings>,
    mapping: Arc<Mapping>,
    /// Where samples go, by their names, types and tags as they are sent.
    routes: HashMap<Box<[u8]>, Route, foldhash::fast::RandomState>,
    key: Vec<u8>,
    families: Families,
    intervals: Intervals,
    /// Whether a sink reads points.
    has_points: bool,
    pool: Pool,
    pub(super) counts: Counts,
    refusals: Limited<&'static str>,
}

/// Where samples of one name, type and tags go.
#[derive(Clone, Copy)]
enum Route {
    Refused(Refusal),
    To { family: ToFamily, point: Option<usize>, has_tags: bool, tag_errors: u32 },
}

#[derive(Clone, Copy)]
enum ToFamily {
    /// A series, the factor of its values, and whether a mapping matches.
    Series(usize, f64, bool),
    /// The name of a family of another type, and whether a mapping matches.
    Conflict(bool),
    /// A refused sample of a counter that may have no series yet, and whether a mapping matches.
    Negative(bool),
    NoName,
    Dropped,
    /// Sets, and what a limit refused.
    None,
}

impl Store {
    pub(super) fn new(settings: Arc<Settings>) -> Store {
        let pool = Pool::new(settings.limits.values);
        Store {
            settings,
            mapping: Arc::default(),
            routes: HashMap::default(),
            key: Vec::new(),
            families: Families::default(),
            intervals: Intervals::default(),
            has_points: true,
            pool,
            counts: Counts::default(),
            refusals: Limited::new(32),
        }
    }

    /// Sets other settings. Series stay.
    pub(super) fn configure(&mut self, settings: Arc<Settings>) {
        self.pool.set_max(settings.limits.values);
        self.settings = settings;
        self.routes.clear();
    }

    /// Sets another mapping. Series stay until they expire.
    pub(super) fn set_mapping(&mut self, mapping: Mapping) {
        self.mapping = Arc::new(mapping);
        self.routes.clear();
    }

    /// Sets whether a sink reads points. Without one, samples are not aggregated for points.
    pub(super) fn set_points(&mut self, has_points: bool) {
        if std::mem::replace(&mut self.has_points, has_points) != has_points {
            self.routes.clear();
        }
    }

    /// Takes the lines of a packet, or whole lines of a stream.
    pub(super) fn take(&mut self, bytes: &[u8], now: Instant) {
        for line in bytes.split(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            self.counts.lines += 1;
            if line.len() > self.settings.limits.line {
                self.refuse_long_line();
                continue;
            }
            parse(line, &mut |sample| match sample {
                Ok(sample) => self.sample(&sample, now),
                Err(refusal) => {
                    self.counts.samples += u64::from(refusal.is_of_sample());
                    self.refuse(refusal, line);
                }
            });
        }
    }

    /// Counts a line that is longer than `max_line_length`.
    pub(super) fn refuse_long_line(&mut self) {
        self.counts.long_lines += 1;
        if let Some(suppressed) = self.refusals.allow(&"max_line_length") {
            let max = self.settings.limits.line;
            tracing::warn!("statsd: a line of more than {max} bytes is refused, see max_line_length{suppressed}");
        }
    }

    fn refuse(&mut self, refusal: Refusal, line: &[u8]) {
        self.counts.sample_errors[refusal as usize] += 1;
        if let Some(suppressed) = self.refusals.allow(&refusal.name()) {
            let line: String = String::from_utf8_lossy(line).escape_debug().take(120).collect();
            tracing::warn!("statsd: a sample is refused, {}: \"{line}\"{suppressed}", refusal.name());
        }
    }

    /// Counts what a limit refused.
    pub(super) fn refuse_by(&mut self, limit: Limit) {
        self.counts.refused[limit as usize] += 1;
        if let Some(suppressed) = self.refusals.allow(&limit.name()) {
            tracing::warn!("statsd: {} is reached, and more is refused{suppressed}", limit.name());
        }
    }

    fn sample(&mut self, sample: &Sample<'_>, now: Instant) {
        self.counts.samples += 1;
        let container = if self.settings.has_container_id { sample.container } else { "" };
        self.key.clear();
        self.key.extend_from_slice(sample.name.as_bytes());
        self.key.extend_from_slice(&[0, sample.kind as u8]);
        self.key.extend_from_slice(sample.tags.as_bytes());
        if !container.is_empty() {
            self.key.push(0);
            self.key.extend_from_slice(container.as_bytes());
        }
        let route = match self.routes.get(self.key.as_slice()) {
            Some(route) => *route,
            None => {
                let Some((route, is_final)) = self.route(sample, container, now) else { return };
                if is_final {
                    self.remember(route);
                }
                route
            }
        };
        self.follow(route, sample, now);
    }

    fn remember(&mut self, route: Route) {
        // Several spellings lead to one series, and refused ones to none.
        if self.routes.len() >= self.settings.limits.metrics.saturating_mul(2) {
            self.routes.clear();
        }
        self.routes.insert(self.key.as_slice().into(), route);
    }

    fn follow(&mut self, route: Route, sample: &Sample<'_>, now: Instant) {
        let (family, point) = match route {
            Route::Refused(refusal) => {
                self.counts.samples -= u64::from(!refusal.is_of_sample());
                return self.refuse(refusal, sample.name.as_bytes());
            }
            Route::To { family, point, has_tags, tag_errors } => {
                self.counts.tags += u64::from(has_tags);
                self.counts.tag_errors += u64::from(tag_errors);
                (family, point)
            }
        };
        self.observe(family, sample, now);
        let refused = self.pool.refused;
        if let Some(index) = point {
            let retained = self.settings.points.percentile_limit;
            self.intervals.add(index, (sample.value, sample.rate), retained, now, &mut self.pool);
        }
        if self.pool.refused != refused {
            self.refuse_by(Limit::Values);
        }
    }

    /// Adds a sample to its family.
    fn observe(&mut self, family: ToFamily, sample: &Sample<'_>, now: Instant) {
        let (Value::Number(value, is_relative), Some(kind)) = (sample.value, MetricKind::of(sample.kind)) else {
            return;
        };
        let weight = if kind == MetricKind::Observer { weight(sample.rate) } else { 1 };
        let events = u64::from(weight);
        match family {
            ToFamily::Dropped => self.counts.dropped += events,
            ToFamily::NoName => self.counts.empty_names += events,
            ToFamily::Conflict(is_mapped) => {
                self.count_mapped(is_mapped, events);
                self.conflict(kind, sample.name, events);
            }
            ToFamily::None => {}
            ToFamily::Negative(is_mapped) => {
                self.count_mapped(is_mapped, events);
                self.counts.negative_counters += 1;
            }
            ToFamily::Series(index, scale, is_mapped) => {
                self.count_mapped(is_mapped, events);
                let in_unit = match sample.kind {
                    Kind::Counter => value / sample.rate,
                    // Prometheus has seconds.
                    Kind::Timer => value / 1000.0,
                    _ => value,
                };
                let value = in_unit * scale;
                if kind == MetricKind::Counter && value < 0.0 {
                    self.counts.negative_counters += 1;
                    return;
                }
                self.counts.events[event(kind)] += events;
                let refused = self.pool.refused;
                if weight > 0 {
                    self.families.add(index, Observed { value, weight, is_relative }, now, &mut self.pool);
                }
                if self.pool.refused != refused {
                    self.refuse_by(Limit::Values);
                }
            }
        }
    }

    fn count_mapped(&mut self, is_mapped: bool, events: u64) {
        let mapped = if is_mapped { &mut self.counts.mapped } else { &mut self.counts.unmapped };
        *mapped += events;
    }

    fn conflict(&mut self, kind: MetricKind, name: &str, events: u64) {
        self.counts.conflicts[event(kind)] += events;
        if let Some(suppressed) = self.refusals.allow(&"conflict") {
            let name: String = name.escape_debug().take(120).collect();
            tracing::warn!(
                "statsd: \"{name}\" has the name of a family of another type, or a reserved label{suppressed}"
            );
        }
    }

    /// Where a sample goes, and whether that is so for further ones; `None` if a limit refuses it.
    fn route(&mut self, sample: &Sample<'_>, container: &str, now: Instant) -> Option<(Route, bool)> {
        let limits = self.settings.limits;
        if self.key.len() > limits.name {
            self.refuse_by(Limit::NameLength);
            return None;
        }
        let tagged = match Tagged::new(sample, self.settings.dialects) {
            Ok(tagged) => tagged,
            Err(refusal) => return Some((Route::Refused(refusal), true)),
        };
        if tagged.tags.len() > limits.tags {
            self.refuse_by(Limit::Tags);
            return None;
        }
        let (family, has_family) = self.family_of(&tagged, sample, container, now);
        let (point, has_point) = self.point_of(&tagged, sample.kind, container, now);
        if !(has_family && has_point) {
            self.refuse_by(Limit::Metrics);
        }
        let has_tags = tagged.tags.iter().any(|(_, value)| value.is_some());
        let tag_errors = tagged.errors;
        // Another sample of the counter may be positive.
        let is_final = has_family && has_point && !matches!(family, ToFamily::Negative(_));
        Some((Route::To { family, point, has_tags, tag_errors }, is_final))
    }

    /// The family of a sample, and whether no limit refuses it.
    fn family_of(&mut self, tagged: &Tagged, sample: &Sample<'_>, container: &str, now: Instant) -> (ToFamily, bool) {
        let Some(kind) = MetricKind::of(sample.kind) else { return (ToFamily::None, true) };
        let (name, more, options, is_mapped) = match self.mapping.map(&tagged.name, kind) {
            Mapped::Dropped => return (ToFamily::Dropped, true),
            Mapped::Unmapped(options) => (tagged.name.clone(), Vec::new(), options, false),
            Mapped::Family(name, labels, options) => (name, labels, options, true),
        };
        if name.is_empty() {
            return (ToFamily::NoName, true);
        }
        if kind == MetricKind::Counter && matches!(sample.value, Value::Number(value, _) if value * options.scale < 0.0)
        {
            return (ToFamily::Negative(is_mapped), true);
        }
        let labels = labels(tagged, container, more, &options);
        let limits = (self.settings.expire_after, self.settings.limits.metrics, now);
        match self.families.series((&escaped(&name), labels), kind, &options, limits) {
            Ok(index) => (ToFamily::Series(index, options.scale, is_mapped), true),
            Err(NoSeries::Conflict) => (ToFamily::Conflict(is_mapped), true),
            Err(NoSeries::Limit) => (ToFamily::None, false),
        }
    }

    /// The series of points of a sample, and whether no limit refuses it.
    fn point_of(&mut self, tagged: &Tagged, kind: Kind, container: &str, now: Instant) -> (Option<usize>, bool) {
        let settings = &self.settings.points;
        let is_wanted = self.has_points && (kind != Kind::Distribution || settings.distributions);
        if !is_wanted || tagged.name.is_empty() {
            return (None, true);
        }
        let templated = settings.templates.apply(&tagged.name);
        let mut tags: BTreeMap<String, String> = templated.tags.into_iter().collect();
        for (key, value) in &tagged.tags {
            tags.insert(key.clone(), value.clone().unwrap_or_else(|| "true".to_owned()));
        }
        if !container.is_empty() {
            tags.insert("container".to_owned(), container.to_owned());
        }
        tags.insert("metric_type".to_owned(), metric_type(kind).to_owned());
        let field = if templated.field.is_empty() { FIELD } else { templated.field.as_str() };
        let (measurement, field) = (templated.measurement.into(), field.into());
        let subject = Subject { measurement, field, tags: tags.into_iter().collect() };
        let max = (self.settings.limits.metrics, now);
        let mut index = self.intervals.series(subject.clone(), kind, settings, max);
        if index.is_none() && self.intervals.remove_empty(&mut self.pool) {
            self.routes.clear();
            index = self.intervals.series(subject, kind, settings, max);
        }
        (index, index.is_some())
    }

    /// Ends an interval: returns its points, and removes expired series.
    pub(super) fn flush(&mut self, at: Timestamp, now: Instant) -> Vec<Flushed> {
        let flushed = self.intervals.flush(at, &self.settings.points, &mut self.pool);
        let has_expired = [
            self.intervals.expire(self.settings.expire_after, now, &mut self.pool),
            self.families.expire(now, &mut self.pool),
        ];
        if has_expired.contains(&true) {
            self.routes.clear();
        }
        flushed
    }

    /// The values of all families.
    pub(super) fn families(&mut self, now: Instant) -> Vec<FamilyValues> {
        if self.families.expire(now, &mut self.pool) {
            self.routes.clear();
        }
        self.families.snapshot(now, &mut self.pool)
    }

    /// The counts, with current numbers.
    pub(super) fn counts(&self, connections: usize) -> Counts {
        let numbers = Numbers {
            mappings: self.mapping.len(),
            families: FAMILY_KINDS.map(|kind| self.families.count(kind)),
            series: self.families.len(),
            point_series: self.intervals.len(),
            values: self.pool.used(),
            connections,
        };
        Counts { numbers, ..self.counts.clone() }
    }
}

/// The labels of a series: its tags, and those of its mapping, which win unless the mapping honors tags.
fn labels(tagged: &Tagged, container: &str, mapped: Vec<(String, String)>, options: &Options) -> Labels {
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in &tagged.tags {
        if let Some(value) = value {
            labels.insert(escaped(key), value.clone());
        }
    }
    if !container.is_empty() {
        labels.insert("container_id".to_owned(), container.to_owned());
    }
    for (label, value) in mapped {
        if !(options.honors_labels && labels.contains_key(&label)) {
            labels.insert(label, value);
        }
    }
    labels.into_iter().collect()
}

#[cfg(test)]
mod tests;
