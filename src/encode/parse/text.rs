//! Parses text 0.0.4 with the quoted names of version 1.0.0: prometheus/docs, `exposition_formats`.

use std::borrow::Cow;
use std::collections::HashMap;

use super::model::{Exposition, Family, Kind, Label, Measure, Metric};
use super::parts::{Part, SUFFIXES, add, set_created};
use super::scan::{END, Scanner, shortened, skip_blanks, word};
use super::{Error, Limits, Message, check_length, duplicate_error, is_name, sort_and_check, sort_parts};

pub(super) fn parse<'a>(body: &'a [u8], limits: &Limits) -> Result<Exposition<'a>, Error> {
    Builder::new(body, limits, false)?.read()
}

/// Parses OpenMetrics 1.0: prometheus/OpenMetrics, `specification/OpenMetrics.md`.
///
/// It differs from text 0.0.4 in the names of families, timestamps in seconds, exemplars, and the final line. Families
/// are converted to those of text 0.0.4, so that both can be combined: a counter is named like its samples, and `_info`
/// and `_created` are parts of names.
pub(super) fn parse_open_metrics<'a>(body: &'a [u8], limits: &Limits) -> Result<Exposition<'a>, Error> {
    Builder::new(body, limits, true)?.read()
}

/// The metric name of a line, on a best-effort basis. None for a comment or an empty line. Empty if the name is inside
/// malformed braces.
pub fn name_of_line(line: &str) -> Option<Cow<'_, str>> {
    let line = skip_blanks(line);
    let of_quotes = |text| {
        let scanner = Scanner::new(&[], &Limits::default(), false).ok()?;
        let (mut name, mut labels) = (Cow::Borrowed(""), Vec::new());
        match line.starts_with('#') {
            true => name = scanner.name(text, true).ok()?.0,
            false => drop(scanner.labels(text, &mut labels, &mut name).ok()?),
        }
        Some(name)
    };
    let name = match line.strip_prefix('#').map(|comment| word(skip_blanks(comment))) {
        None => line,
        Some(("HELP" | "TYPE" | "UNIT", rest)) => rest,
        Some(_) => return None,
    };
    match name.as_bytes().first()? {
        b'"' if name.len() < line.len() => Some(of_quotes(name).unwrap_or_default()),
        b'{' => Some(of_quotes(&name[1..]).unwrap_or_default()),
        _ => Some(Cow::Borrowed(&name[..name.find(['{', ' ', '\t']).unwrap_or(name.len())])),
    }
}

/// Parses the lines of text or OpenMetrics, and assembles families.
pub(super) struct Builder<'a> {
    scanner: Scanner<'a>,
    limits: Limits,
    is_open_metrics: bool,
    families: Vec<Family<'a>>,
    states: Vec<FamilyState<'a>>,
    by_name: HashMap<Cow<'a, str>, usize, foldhash::fast::RandomState>,
    /// Indexes of metrics of summaries and histograms, by the hash of family and labels.
    compound: HashMap<u64, Vec<usize>, foldhash::fast::RandomState>,
    hasher: foldhash::fast::RandomState,
    series: usize,
}

/// The parsing state of a family.
#[derive(Default)]
struct FamilyState<'a> {
    has_type: bool,
    has_help: bool,
    /// A bit set of the parts seen, for each summary or histogram.
    parts: Vec<u8>,
    /// Creation times of counters other than the last one read.
    created: Vec<(Vec<Label<'a>>, f64)>,
}

impl<'a> Builder<'a> {
    /// A parser of `body`.
    pub(super) fn new(body: &'a [u8], limits: &Limits, is_open_metrics: bool) -> Result<Self, Error> {
        Ok(Builder {
            scanner: Scanner::new(body, limits, is_open_metrics)?,
            limits: *limits,
            is_open_metrics,
            families: Vec::new(),
            states: Vec::new(),
            by_name: HashMap::default(),
            compound: HashMap::default(),
            hasher: foldhash::fast::RandomState::default(),
            series: 0,
        })
    }

    /// Parses the whole exposition.
    pub(super) fn read(mut self) -> Result<Exposition<'a>, Error> {
        while let Some(line) = self.scanner.next_line()? {
            if self.is_open_metrics && line == END {
                return match self.scanner.is_at_end() {
                    true => self.finish(),
                    false => self.scanner.malformed("text behind # EOF"),
                };
            }
            let line = skip_blanks(line);
            match line.strip_prefix('#') {
                Some(comment) => self.comment(skip_blanks(comment))?,
                None if line.is_empty() => {}
                None => self.sample(line)?,
            }
        }
        if self.is_open_metrics {
            return self.scanner.malformed("expected # EOF at the end: the body may have been cut off");
        }
        self.finish()
    }

    fn finish(self) -> Result<Exposition<'a>, Error> {
        let mut families = self.families;
        for (family, state) in families.iter_mut().zip(self.states) {
            set_created(family, state.created)?;
            for metric in &mut family.metrics {
                sort_parts(&family.name, metric)?;
            }
        }
        families.retain(|family| !family.metrics.is_empty());
        Ok(Exposition { families })
    }

    /// Parses `HELP NAME TEXT`, `TYPE NAME TYPE` and `UNIT NAME UNIT`. Ignores other comments.
    fn comment(&mut self, comment: &'a str) -> Result<(), Error> {
        let (keyword, rest) = word(comment);
        let is_known = keyword == "HELP" || keyword == "TYPE" || (keyword == "UNIT" && self.is_open_metrics);
        if !is_known || rest.is_empty() {
            return Ok(());
        }
        let (name, rest) = self.scanner.name(rest, true)?;
        if !is_name(&name) || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
            return self.scanner.malformed(Message::about("invalid metric name in comment …", shortened(comment)));
        }
        // A line without a text does not count as the HELP or TYPE line.
        let rest = skip_blanks(rest);
        if rest.is_empty() {
            return Ok(());
        }
        // Metadata of a part applies to the whole family.
        let index = match self.compound_of(&name) {
            Some((index, part)) if part != Part::Created => index,
            _ => self.family(name)?,
        };
        match keyword {
            "HELP" => self.set_help(index, rest),
            "UNIT" => {
                self.families[index].unit = Cow::Borrowed(rest);
                Ok(())
            }
            _ => self.set_type(index, rest),
        }
    }

    fn set_help(&mut self, index: usize, text: &'a str) -> Result<(), Error> {
        if std::mem::replace(&mut self.states[index].has_help, true) {
            return self
                .scanner
                .malformed(Message::about("second HELP line for metric name …", &*self.families[index].name));
        }
        self.families[index].help = self.scanner.unescaped(text)?;
        Ok(())
    }

    fn set_type(&mut self, index: usize, text: &str) -> Result<(), Error> {
        if self.states[index].has_type || !self.families[index].metrics.is_empty() {
            let name = &self.families[index].name;
            return self.scanner.malformed(Message::about(
                "second TYPE line for metric name …, or TYPE reported after samples",
                &**name,
            ));
        }
        self.states[index].has_type = true;
        let kind = self.kind(text.trim_end_matches([' ', '\t']))?;
        self.families[index].kind = kind;
        let suffix = match kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            _ => "",
        };
        if self.is_open_metrics && !suffix.is_empty() {
            self.rename(index, suffix);
        }
        Ok(())
    }

    fn kind(&self, name: &str) -> Result<Kind, Error> {
        Ok(match (name.to_ascii_lowercase().as_str(), self.is_open_metrics) {
            ("counter", _) => Kind::Counter,
            ("gauge", _) => Kind::Gauge,
            ("summary", _) => Kind::Summary,
            ("histogram", _) => Kind::Histogram,
            ("gaugehistogram", _) | ("gauge_histogram", false) => Kind::GaugeHistogram,
            ("untyped", false) | ("unknown", true) => Kind::Untyped,
            ("info", true) => Kind::Info,
            ("stateset", true) => Kind::StateSet,
            (other, _) => return self.scanner.malformed(Message::about("unknown metric type …", shortened(other))),
        })
    }

    /// Adds the suffix of the samples, which OpenMetrics omits in the names of families.
    fn rename(&mut self, index: usize, suffix: &str) {
        let name = &self.families[index].name;
        if !name.ends_with(suffix) {
            let name: Cow<'a, str> = Cow::Owned(format!("{name}{suffix}"));
            self.by_name.insert(name.clone(), index);
            self.families[index].name = name;
        }
    }

    /// The index of the family `name`. Creates it if it is new.
    fn family(&mut self, name: Cow<'a, str>) -> Result<usize, Error> {
        if let Some(index) = self.by_name.get(&name) {
            return Ok(*index);
        }
        check_length(&name, "bytes of a name", self.limits.name_bytes, self.scanner.position())?;
        self.by_name.insert(name.clone(), self.families.len());
        let empty = Cow::Borrowed("");
        self.families.push(Family { name, kind: Kind::Untyped, help: empty.clone(), unit: empty, metrics: Vec::new() });
        self.states.push(FamilyState::default());
        Ok(self.families.len() - 1)
    }

    fn sample(&mut self, line: &'a str) -> Result<(), Error> {
        let (mut name, mut rest) = self.scanner.name(line, true)?;
        rest = skip_blanks(rest);
        let mut labels = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = skip_blanks(self.scanner.labels(inside, &mut labels, &mut name)?);
        }
        if !is_name(&name) {
            return self.scanner.malformed(Message::about("invalid metric name in …", shortened(line)));
        }
        let (value, rest) = word(rest);
        let value = self.scanner.number(value)?;
        let timestamp = if self.is_open_metrics { self.seconds(rest)? } else { self.timestamp(rest)? };
        self.series += 1;
        if self.series > self.limits.series {
            let (position, max) = (self.scanner.position(), self.limits.series);
            return Err(Error::Limit { position, what: "series", max });
        }
        self.add_sample(name, labels, value, timestamp)
    }

    fn timestamp(&self, text: &str) -> Result<Option<i64>, Error> {
        let (timestamp, rest) = word(text);
        if timestamp.is_empty() {
            return Ok(None);
        }
        let Ok(milliseconds) = timestamp.parse() else {
            return self
                .scanner
                .malformed(Message::about("expected integer as timestamp, got …", shortened(timestamp)));
        };
        if !rest.is_empty() {
            return self.scanner.malformed(Message::about("spurious string after timestamp: …", shortened(rest)));
        }
        Ok(Some(milliseconds))
    }

    /// Parses a timestamp of OpenMetrics, in seconds. Checks and ignores an exemplar after it.
    fn seconds(&self, text: &'a str) -> Result<Option<i64>, Error> {
        let (text, exemplar) = match text.split_once('#') {
            Some((timestamp, exemplar)) => (timestamp, Some(exemplar)),
            None => (text, None),
        };
        if let Some(exemplar) = exemplar {
            let Some(labels) = skip_blanks(exemplar).strip_prefix('{') else {
                return self.scanner.malformed("expected the labels of an exemplar");
            };
            let rest = self.scanner.labels(labels, &mut Vec::new(), &mut Cow::Borrowed("exemplar"))?;
            let (value, rest) = word(skip_blanks(rest));
            self.scanner.number(value)?;
            self.timestamp_in_seconds(rest)?;
        }
        self.timestamp_in_seconds(text)
    }

    fn timestamp_in_seconds(&self, text: &str) -> Result<Option<i64>, Error> {
        let (timestamp, rest) = word(text);
        if !rest.is_empty() {
            return self.scanner.malformed(Message::about("spurious string after timestamp: …", shortened(rest)));
        }
        if timestamp.is_empty() {
            return Ok(None);
        }
        match self.scanner.number(timestamp)? {
            seconds if seconds.is_finite() => Ok(Some((seconds * 1000.0) as i64)),
            _ => self.scanner.malformed(Message::about("expected seconds as timestamp, got …", timestamp)),
        }
    }

    fn add_sample(
        &mut self,
        name: Cow<'a, str>,
        mut labels: Vec<Label<'a>>,
        value: f64,
        timestamp: Option<i64>,
    ) -> Result<(), Error> {
        let position = self.scanner.position();
        let (index, part) = match self.compound_of(&name) {
            Some(found) => found,
            None => (self.family(name)?, Part::Itself),
        };
        let kind = self.families[index].kind;
        if !matches!(kind, Kind::Summary | Kind::Histogram | Kind::GaugeHistogram) {
            sort_and_check(&mut labels, position, &self.limits)?;
            let metrics = &mut self.families[index].metrics;
            if part != Part::Created {
                metrics.push(Metric { labels, measure: Measure::Number(value), timestamp, created: None });
                return Ok(());
            }
            match metrics.last_mut().filter(|metric| metric.labels == labels && metric.created.is_none()) {
                Some(metric) => metric.created = Some(value),
                None => self.states[index].created.push((labels, value)),
            }
            return Ok(());
        }
        let bound_label = if kind == Kind::Summary { "quantile" } else { "le" };
        let at = labels.iter().position(|(label, _)| label == bound_label);
        let bound = at.map(|at| self.scanner.number(&labels.remove(at).1)).transpose()?;
        if bound.is_some() && labels.iter().any(|(label, _)| label == bound_label) {
            return self.scanner.malformed(Message::about("label … is there twice", bound_label));
        }
        sort_and_check(&mut labels, position, &self.limits)?;
        let number = self.compound_metric(index, labels);
        let (Family { name, metrics, .. }, state) = (&mut self.families[index], &mut self.states[index]);
        let metric = &mut metrics[number];
        state.parts.resize(state.parts.len().max(number + 1), 0);
        if part.once() & state.parts[number] != 0 {
            return Err(duplicate_error(name, part.suffix(), &metric.labels, None));
        }
        state.parts[number] |= part.once();
        metric.timestamp = timestamp.or(metric.timestamp);
        match part {
            Part::Created => metric.created = Some(value),
            Part::Count | Part::Bucket if value < 0.0 => {
                let series = format!("{name}{}", part.suffix());
                return self.scanner.malformed(Message::about(format!("negative count {value} of …"), series));
            }
            // A NaN bound is ignored.
            _ => add(&mut metric.measure, part, bound.filter(|bound| !bound.is_nan()), value),
        }
        Ok(())
    }

    /// The summary or histogram that a sample with a suffix belongs to.
    fn compound_of(&self, name: &str) -> Option<(usize, Part)> {
        if self.by_name.contains_key(name) {
            return None;
        }
        SUFFIXES.into_iter().find_map(|(suffix, part)| {
            let stem = name.strip_suffix(suffix)?;
            let index = match self.by_name.get(stem) {
                Some(index) => *index,
                // A counter may be named like its samples.
                None if part == Part::Created => *self.by_name.get(format!("{stem}_total").as_str())?,
                None => return None,
            };
            let is_of_gauge = suffix.starts_with("_g");
            let fits = match (self.families[index].kind, part) {
                (Kind::Summary | Kind::Histogram | Kind::Counter, Part::Created) => self.is_open_metrics,
                (_, Part::Created) => false,
                (Kind::Summary, _) => part != Part::Bucket && !is_of_gauge,
                (Kind::Histogram, _) => !is_of_gauge,
                (Kind::GaugeHistogram, _) => true,
                _ => false,
            };
            fits.then_some((index, part))
        })
    }

    /// The index of the metric with these labels in a family of summaries or histograms. Creates it if it is new.
    fn compound_metric(&mut self, family: usize, labels: Vec<Label<'a>>) -> usize {
        use std::hash::BuildHasher;
        let metrics = &mut self.families[family].metrics;
        if metrics.last().is_some_and(|metric| metric.labels == labels) {
            return metrics.len() - 1;
        }
        let known = self.compound.entry(self.hasher.hash_one((family, &labels))).or_default();
        if let Some(index) =
            known.iter().find(|index| metrics.get(**index).is_some_and(|metric| metric.labels == labels))
        {
            return *index;
        }
        known.push(metrics.len());
        let measure = match self.families[family].kind {
            Kind::Summary => Measure::Summary { count: 0.0, sum: 0.0, quantiles: Vec::new() },
            _ => Measure::Histogram(Box::default()),
        };
        let metrics = &mut self.families[family].metrics;
        metrics.push(Metric { labels, measure, timestamp: None, created: None });
        metrics.len() - 1
    }
}
