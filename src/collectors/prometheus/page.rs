//! Reads the pages of one target.
//!
//! Most series of a page are those of the previous one. A known line costs a hash of its series' text and its value;
//! labels are parsed and relabelled once. All of it is forgotten when the metadata of the page changes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::relabel::{self, Labels, Rule};
use super::series::{Head, Sample, Series, Value, hash, id};
use crate::encode::hashed::HashedMap;
use crate::encode::number::go_float;
use crate::encode::parse::flat::{Flat, Line, Metadata, without_foreign_comments};
use crate::encode::parse::model::{Kind, Measure, Metric};
use crate::encode::parse::{self, Format};

/// What a job does with the samples of its targets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rules {
    /// Whether labels of the page take precedence over those of the target.
    pub(super) honor_labels: bool,
    /// Whether timestamps of the page are used.
    pub(super) honor_timestamps: bool,
    /// Whether classic buckets of a native histogram are read too.
    pub(super) classic_histograms: bool,
    /// Relabelling of samples.
    pub(super) relabel: Vec<Rule>,
    /// Limits; a page above one of them fails as a whole.
    pub(super) limits: Limits,
}

/// Limits of a page, after relabelling. `usize::MAX` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) samples: usize,
    pub(super) labels: usize,
    pub(super) name_bytes: usize,
    pub(super) value_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { samples: usize::MAX, labels: usize::MAX, name_bytes: usize::MAX, value_bytes: usize::MAX }
    }
}

/// What a page has.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Its samples, in its order.
    pub(super) samples: Vec<Sample>,
    /// Samples on the page.
    pub(super) scraped: u64,
    /// Those that relabelling left.
    pub(super) kept: u64,
    /// Samples left out because their series was there already, or is one of the scrape's own.
    pub(super) duplicates: u64,
}

/// Why a page is not used: it is malformed, or exceeds a limit.
#[derive(Debug, PartialEq)]
pub(super) struct PageError {
    /// What is wrong.
    pub(super) message: String,
    /// Samples read, as in [`Read`]. Those behind a malformed line are not.
    pub(super) scraped: u64,
    /// Samples that relabelling left, likewise.
    pub(super) kept: u64,
    /// The identifiers of the series up to the error.
    pub(super) series: Vec<u64>,
}

/// What is known about the pages of a target.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// Labels of the target, without those that begin with `__`.
    target: Labels,
    /// The series of the scrape itself.
    reserved: Vec<u64>,
    scrape: u32,
    metadata_hash: u64,
    metadata: HashMap<String, Described>,
    heads: HashMap<(String, &'static str), Arc<Head>>,
    /// Series by the hash of their text; `None` if relabelling drops them.
    known: HashedMap<Option<Arc<Series>>>,
}

/// What a page says about a name.
#[derive(Debug, Default)]
struct Described {
    kind: Option<Kind>,
    help: String,
    unit: String,
}

impl Pages {
    /// For the target with these labels. Samples of the series `own` are those of the scrape itself.
    pub(super) fn new(target: Labels, own: &[&str]) -> Pages {
        let reserved = own.iter().map(|name| id(name, &target)).collect();
        Pages { target, reserved, ..Pages::default() }
    }

    /// Reads a page.
    ///
    /// # Errors
    /// If it is malformed or exceeds a limit: nothing of it is used then.
    pub(super) fn read(&mut self, format: Format, body: &[u8], rules: &Rules) -> Result<Read, PageError> {
        self.scrape = self.scrape.wrapping_add(1).max(1);
        let mut reading = Reading { pages: self, rules, read: Read::default(), by_id: None, over: None };
        let result = match format {
            Format::Protobuf => reading.protobuf(body),
            Format::Text | Format::OpenMetrics => reading.text(format, body),
        };
        let Reading { read, over, .. } = reading;
        self.forget(read.scraped);
        match result.err().or(over) {
            None => Ok(read),
            Some(message) => {
                let series = read.samples.iter().map(|sample| sample.series.id).collect();
                Err(PageError { message, scraped: read.scraped, kept: read.kept, series })
            }
        }
    }

    /// Forgets series that are no longer on the page, once they are the majority.
    fn forget(&mut self, scraped: u64) {
        const SLACK: u64 = 1000;
        if self.known.len() as u64 > 2 * scraped + SLACK {
            let scrape = self.scrape;
            let is_current = |series: &Arc<Series>| series.seen.load(Relaxed) == scrape;
            self.known.retain(|_, series| series.as_ref().is_some_and(is_current));
        }
    }

    fn forget_all(&mut self) {
        self.metadata.clear();
        self.heads.clear();
        self.known.clear();
    }

    /// The family of a sample, and the suffix of the sample's name in it.
    fn family(&mut self, name: &str, is_open_metrics: bool) -> (Arc<Head>, &'static str) {
        const COMPOUND: [&str; 3] = ["_bucket", "_sum", "_count"];
        let find = |name: &str| self.metadata.get(name).and_then(|described| Some((described.kind?, described)));
        let of_suffix = || {
            let compound = COMPOUND.into_iter().find_map(|suffix| {
                let stem = name.strip_suffix(suffix)?;
                let fits = |kind| kind == Kind::Histogram || (kind == Kind::Summary && suffix != "_bucket");
                find(stem).filter(|(kind, _)| fits(*kind)).map(|(kind, described)| (stem, suffix, kind, described))
            });
            let of_open_metrics = || {
                [("_total", Kind::Counter), ("_info", Kind::Info)].into_iter().find_map(|(suffix, kind)| {
                    let stem = name.strip_suffix(suffix).filter(|_| is_open_metrics)?;
                    find(stem).filter(|(known, _)| *known == kind).map(|(kind, described)| (name, "", kind, described))
                })
            };
            compound.or_else(of_open_metrics)
        };
        let found = match find(name) {
            Some((kind, described)) => Some((name, "", kind, described)),
            None => of_suffix().or_else(|| Some((name, "", Kind::Untyped, self.metadata.get(name)?))),
        };
        let (name, suffix, kind, help, unit) = match found {
            Some((name, suffix, kind, described)) => (name, suffix, kind, &*described.help, &*described.unit),
            None => (name, "", Kind::Untyped, "", ""),
        };
        let key = (name.to_owned(), kind.full_name());
        if let Some(head) = self.heads.get(&key) {
            return (head.clone(), suffix);
        }
        let (name, help, unit) = (name.to_owned(), help.to_owned(), unit.to_owned());
        let head = Arc::new(Head { name, kind, help, unit, is_open_metrics });
        self.heads.insert(key, head.clone());
        (head, suffix)
    }

    /// The name and labels of a sample after relabelling; `None` if it is dropped.
    fn relabelled(&self, name: &str, labels: Labels, rules: &Rules) -> Result<Option<(String, Labels)>, String> {
        let mut all = self.merged(labels, rules.honor_labels);
        all.insert(NAME.to_owned(), name.to_owned());
        if !relabel::apply(&rules.relabel, &mut all) {
            return Ok(None);
        }
        rules.limits.check(&all)?;
        let name = all.remove(NAME).ok_or_else(|| format!("metric_relabel_configs leave no name for {name:?}"))?;
        Ok(Some((name, all)))
    }

    /// Labels of the page, which may be empty, and those of the target.
    fn merged(&self, page: Labels, honor_labels: bool) -> Labels {
        let mut all = page;
        if honor_labels {
            // An empty label of the page counts.
            for (name, value) in &self.target {
                all.entry(name.clone()).or_insert_with(|| value.clone());
            }
            all.retain(|_, value| !value.is_empty());
            return all;
        }
        all.retain(|_, value| !value.is_empty());
        let taken: Vec<(String, String)> = self.target.keys().filter_map(|name| all.remove_entry(name)).collect();
        for (name, value) in taken {
            let mut exported = format!("exported_{name}");
            while all.contains_key(&exported) || self.target.contains_key(&exported) {
                exported.insert_str(0, "exported_");
            }
            all.insert(exported, value);
        }
        all.extend(self.target.iter().map(|(name, value)| (name.clone(), value.clone())));
        all
    }
}

const NAME: &str = "__name__";

impl Limits {
    fn check(&self, labels: &Labels) -> Result<(), String> {
        if labels.len() > self.labels {
            return Err(format!("label_limit: a series has {} labels", labels.len()));
        }
        for (name, value) in labels {
            if name.len() > self.name_bytes {
                return Err(format!("label_name_length_limit: a label name has {} bytes", name.len()));
            }
            if value.len() > self.value_bytes {
                return Err(format!("label_value_length_limit: the label {name} has {} bytes", value.len()));
            }
        }
        Ok(())
    }
}

/// A page that is being read.
struct Reading<'p> {
    pages: &'p mut Pages,
    rules: &'p Rules,
    read: Read,
    /// Known series by their identifiers, once the page has a new one: its text may be that of a known series in another
    /// spelling.
    by_id: Option<HashedMap<Arc<Series>>>,
    /// The limit of samples, if it was exceeded. All samples are counted even so.
    over: Option<String>,
}

impl Reading<'_> {
    fn text(&mut self, format: Format, body: &[u8]) -> Result<(), String> {
        let is_open_metrics = format == Format::OpenMetrics;
        let body = &*without_foreign_comments(body);
        // The second attempt is for a page whose metadata has changed: it may follow its samples.
        for _ in 0..2 {
            if self.text_has_known_metadata(is_open_metrics, body)? {
                return Ok(());
            }
            self.pages.scrape = self.pages.scrape.wrapping_add(1).max(1);
            (self.read, self.by_id, self.over) = (Read::default(), None, None);
        }
        Ok(())
    }

    /// Reads a text. Returns false if its metadata is not the known one, which it is then.
    fn text_has_known_metadata(&mut self, is_open_metrics: bool, body: &[u8]) -> Result<bool, String> {
        let malformed = |error: parse::Error| error.to_string();
        let mut flat = Flat::new(body, is_open_metrics);
        let mut metadata = u64::from(is_open_metrics);
        while let Some(line) = flat.line().map_err(malformed)? {
            match line {
                Line::Comment(comment) => {
                    // A malformed one fails every scrape, known or not.
                    flat.metadata(comment).map_err(malformed)?;
                    metadata = hash((metadata, comment));
                }
                Line::Sample(sample) => {
                    let series = || {
                        let (name, labels) = flat.series(sample.series).map_err(malformed)?;
                        let is_unique = flat.unique(&labels).map_err(malformed);
                        let labels = labels.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned()));
                        Ok((name, is_unique.map(|()| labels.collect())))
                    };
                    let value = Value::Number(sample.value);
                    self.sample(hash(sample.series), series, value, sample.timestamp, is_open_metrics)?;
                }
            }
        }
        if metadata == self.pages.metadata_hash {
            return Ok(true);
        }
        self.pages.forget_all();
        self.pages.metadata_hash = metadata;
        let mut flat = Flat::new(body, is_open_metrics);
        while let Some(line) = flat.line().map_err(malformed)? {
            let Line::Comment(comment) = line else { continue };
            let Some((name, says)) = flat.metadata(comment).map_err(malformed)? else { continue };
            let described = self.pages.metadata.entry(name.into_owned()).or_default();
            match says {
                Metadata::Help(text) => described.help = text.into_owned(),
                Metadata::Type(kind) => described.kind = Some(kind),
                Metadata::Unit(unit) => described.unit = unit.to_owned(),
            }
        }
        Ok(false)
    }

    fn protobuf(&mut self, body: &[u8]) -> Result<(), String> {
        let page = parse::parse_scraped_protobuf(body);
        let page = page.map_err(|error| error.to_string())?;
        let metadata = page
            .families
            .iter()
            .fold(2, |known, family| hash((known, &*family.name, family.kind, &*family.help, &*family.unit)));
        if metadata != self.pages.metadata_hash {
            self.pages.forget_all();
            self.pages.metadata_hash = metadata;
            for family in &page.families {
                let described =
                    Described { kind: Some(family.kind), help: family.help.to_string(), unit: family.unit.to_string() };
                self.pages.metadata.insert(family.name.to_string(), described);
            }
        }
        for family in &page.families {
            for metric in &family.metrics {
                self.metric(&family.name, metric)?;
            }
        }
        Ok(())
    }

    /// The samples of a metric: a native histogram is one sample, with the classic ones on request.
    fn metric(&mut self, family: &str, metric: &Metric<'_>) -> Result<(), String> {
        let key = hash((family, &metric.labels));
        let labels =
            || -> Labels { metric.labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect() };
        if let Measure::Histogram(histogram) = &metric.measure
            && histogram.native.is_some()
        {
            let native = Value::Native(Arc::new((**histogram).clone()));
            let series = || Ok((Cow::Borrowed(family), Ok(labels())));
            self.sample(hash((key, "native")), series, native, metric.timestamp, false)?;
            if !self.rules.classic_histograms {
                return Ok(());
            }
        }
        let mut failed = None;
        let mut put = |suffix: &str, bound: Option<(&'static str, f64)>, value: f64| {
            let bound = bound.map(|(label, bound)| (label, open_metrics_float(bound)));
            let series = || {
                let mut labels = labels();
                labels.extend(bound.clone().map(|(name, value)| (name.to_owned(), value)));
                Ok((Cow::Owned(format!("{family}{suffix}")), Ok(labels)))
            };
            if failed.is_some() {
                return;
            }
            let result =
                self.sample(hash((key, suffix, &bound)), series, Value::Number(value), metric.timestamp, false);
            failed = result.err();
        };
        metric.measure.samples(&mut put);
        if let Measure::Histogram(histogram) = &metric.measure
            && histogram.buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY)
        {
            put("_bucket", Some(("le", f64::INFINITY)), histogram.count);
        }
        failed.map_or(Ok(()), Err)
    }

    /// Adds a sample. `key` identifies its series on the page, `series` parses it: a malformed one is no sample, and one
    /// with invalid labels is.
    fn sample<'a>(
        &mut self,
        key: u64,
        series: impl FnOnce() -> Result<(Cow<'a, str>, Result<Labels, String>), String>,
        value: Value,
        timestamp: Option<i64>,
        is_open_metrics: bool,
    ) -> Result<(), String> {
        let found = match self.pages.known.get(&key) {
            Some(known) => {
                self.read.scraped += 1;
                known.clone()
            }
            None => {
                let (name, labels) = series()?;
                self.read.scraped += 1;
                let new = self.new_series(&name, labels?, is_open_metrics)?;
                self.pages.known.insert(key, new.clone());
                new
            }
        };
        let Some(series) = found else { return Ok(()) };
        self.read.kept += 1;
        if self.read.kept > self.rules.limits.samples as u64 {
            let limit = self.rules.limits.samples;
            self.over.get_or_insert_with(|| format!("sample_limit: more than {limit} samples"));
        }
        let (scrape, before) = (self.pages.scrape, series.seen.load(Relaxed));
        if before == scrape || self.pages.reserved.contains(&series.id) {
            self.read.duplicates += 1;
            return Ok(());
        }
        series.seen.store(scrape, Relaxed);
        if self.over.is_none() {
            let timestamp = timestamp.filter(|_| self.rules.honor_timestamps);
            // No server stores samples before 1970, and the text format has no negative timestamps.
            if timestamp.is_none_or(|timestamp| timestamp >= 0) {
                self.read.samples.push(Sample { series, value, timestamp });
            }
        }
        Ok(())
    }

    /// The series after relabelling; `None` if it is dropped.
    fn new_series(&mut self, name: &str, labels: Labels, is_open_metrics: bool) -> Result<Option<Arc<Series>>, String> {
        let Some((new_name, labels)) = self.pages.relabelled(name, labels, self.rules)? else { return Ok(None) };
        let id = id(&new_name, &labels);
        let known = || self.pages.known.values().flatten().map(|series| (series.id, series.clone())).collect();
        let by_id = self.by_id.get_or_insert_with(known);
        if let Some(series) = by_id.get(&id) {
            return Ok(Some(series.clone()));
        }
        let (family, suffix) = self.pages.family(name, is_open_metrics);
        // A renamed sample has the type of its family if it keeps its suffix.
        let (family, suffix) = match new_name.strip_suffix(suffix) {
            _ if new_name == name => (family, suffix),
            Some(stem) if !stem.is_empty() => (self.pages.renamed(&family, stem), suffix),
            _ => (self.pages.family(&new_name, is_open_metrics).0, ""),
        };
        let series = Arc::new(Series::new(family, suffix, &labels));
        by_id.insert(id, series.clone());
        Ok(Some(series))
    }
}

impl Pages {
    /// The family under another name.
    fn renamed(&mut self, family: &Head, name: &str) -> Arc<Head> {
        let key = (name.to_owned(), family.kind.full_name());
        let renamed = || {
            let (help, unit) = (family.help.clone(), family.unit.clone());
            let is_open_metrics = family.is_open_metrics;
            Arc::new(Head { name: name.to_owned(), kind: family.kind, help, unit, is_open_metrics })
        };
        self.heads.entry(key).or_insert_with(renamed).clone()
    }
}

/// The bound of a bucket or quantile as OpenMetrics writes it: `1.0`.
fn open_metrics_float(bound: f64) -> String {
    let mut text = go_float(bound);
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        text.push_str(".0");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Document, Section};

    const DUPLICATE_TYPE: &str =
        "# HELP a x\n# TYPE a gauge\na{i=\"1\"} 1\n# HELP a x\n# TYPE a gauge\na{i=\"2\"} 2\nb 3\n";

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn pages() -> Pages {
        Pages::new(labels(&[("instance", "i:1"), ("job", "j")]), &["up"])
    }

    fn rules(toml: &str) -> Vec<Rule> {
        let document = Document::parse("test", toml, &|_| None).unwrap();
        let all = |root: &mut Section<'_>| root.tables("rules").iter_mut().map(Rule::new).collect();
        Section::check(&document, all).unwrap()
    }

    /// Each sample as its family's name and type, the suffix, the labels without those of the target, and the value.
    fn shown(read: &Read) -> Vec<String> {
        let line = |sample: &Sample| {
            let Series { family, suffix, .. } = &*sample.series;
            let is_own = |label: &(&str, &str)| ![("instance", "i:1"), ("job", "j")].contains(label);
            let labels: Vec<String> =
                sample.series.labels().filter(is_own).map(|(name, value)| format!("{name}={value}")).collect();
            let value = match &sample.value {
                Value::Number(value) => value.to_string(),
                Value::Native(histogram) => format!("native {}", histogram.count),
            };
            format!("{}:{}{suffix} {} {value}", family.kind.full_name(), family.name, labels.join(","))
        };
        read.samples.iter().map(line).collect()
    }

    fn read_with(rules: &Rules, text: &str) -> Result<Vec<String>, PageError> {
        pages().read(Format::Text, text.as_bytes(), rules).map(|read| shown(&read))
    }

    fn of(text: &str) -> Vec<String> {
        read_with(&Rules::default(), text).unwrap()
    }

    #[test]
    fn pages_from_the_field_are_read() {
        // Each lost its whole page elsewhere: second HELP and TYPE (Ceph, Couchbase), upper case, CR LF, no last line end.
        let twice = ["gauge:a i=1 1", "gauge:a i=2 2", "untyped:b  3"];
        assert_eq!(of(DUPLICATE_TYPE), twice);
        assert_eq!(of("# TYPE a gauge\na{i=\"1\"} 1\nb 3\na{i=\"2\"} 2\n"), [twice[0], twice[2], twice[1]]);
        for text in
            ["# TYPE a GAUGE\na 1\n", "# TYPE a gauge\r\na 1\r\n", "# TYPE a gauge\na 1", "a 1\n# TYPE a gauge\n"]
        {
            assert_eq!(of(text), ["gauge:a  1"], "{text}");
        }
        assert_eq!(of("# TYPE \"a.b\" gauge\n{\"a.b\",\"x.y\"=\"1\"} 4\n"), ["gauge:a.b x.y=1 4"]);
        assert_eq!(of("a NaN\na{empty=\"\",b=\"c\"} 2"), ["untyped:a  NaN", "untyped:a b=c 2"]);
    }

    #[test]
    fn malformed_metadata_fails_every_scrape() {
        let (mut pages, rules) = (pages(), Rules::default());
        for (format, text) in [
            (Format::Text, "a 1\n# TYPE a foo\nb 2\n"),
            (Format::Text, "a 1\n# TYPE a gauge gauge\nb 2\n"),
            (Format::Text, "a 1\n# HELP 1a x\nb 2\n"),
            (Format::OpenMetrics, "a 1\n# TYPE a foo\nb 2\n# EOF\n"),
        ] {
            for _ in 0..3 {
                let failed = pages.read(format, text.as_bytes(), &rules).unwrap_err();
                assert!(failed.message.contains("line 2: "), "{}", failed.message);
                assert_eq!(failed.scraped, 1, "those before it, as Prometheus has it");
            }
            assert_eq!(shown(&pages.read(Format::Text, b"# TYPE a gauge\na 1\n", &rules).unwrap()), ["gauge:a  1"]);
        }
    }

    #[test]
    fn a_series_that_is_there_twice_counts_once() {
        let mut pages = pages();
        let rules = Rules::default();
        for _ in 0..2 {
            let read = pages.read(Format::Text, b"a 1\na 2\nup 7\nup{x=\"y\"} 8\n", &rules).unwrap();
            assert_eq!(shown(&read), ["untyped:a  1", "untyped:up x=y 8"]);
            assert_eq!((read.scraped, read.kept, read.duplicates), (4, 4, 2));
        }
    }

    #[test]
    fn samples_belong_to_the_family_that_the_metadata_names() {
        let text = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 2\nh_count 3\nh_total 4\n# TYPE s summary\n\
            s{quantile=\"0.5\"} 5\ns_count 6\ns_bucket 7\n# TYPE h_count gauge\n";
        assert_eq!(
            of(text),
            [
                "histogram:h_bucket le=1 1",
                "histogram:h_sum  2",
                "gauge:h_count  3",
                "untyped:h_total  4",
                "summary:s quantile=0.5 5",
                "summary:s_count  6",
                "untyped:s_bucket  7"
            ]
        );
        let open = "# TYPE r counter\nr_total 5\nr_created 6\n# TYPE b info\nb_info{v=\"1\"} 1\n# EOF\n";
        let read = pages().read(Format::OpenMetrics, open.as_bytes(), &Rules::default()).unwrap();
        assert_eq!(shown(&read), ["counter:r_total  5", "untyped:r_created  6", "gauge:b_info v=1 1"]);
    }

    #[test]
    fn a_change_of_the_metadata_is_seen() {
        let (mut pages, rules) = (pages(), Rules::default());
        for kind in ["gauge", "counter", "counter", "gauge"] {
            let text = format!("a 1\n# TYPE a {kind}\n");
            let read = pages.read(Format::Text, text.as_bytes(), &rules).unwrap();
            assert_eq!((shown(&read), read.scraped), (vec![format!("{kind}:a  1")], 1));
        }
        assert_eq!(shown(&pages.read(Format::OpenMetrics, b"a 2\n# EOF", &rules).unwrap()), ["untyped:a  2"]);
    }

    #[test]
    fn labels_of_the_page_are_kept_under_another_name_or_win() {
        let text = "a{job=\"x\",exported_job=\"y\",instance=\"\"} 1\n";
        assert_eq!(of(text), ["untyped:a exported_exported_job=x,exported_job=y 1"]);
        let honest = Rules { honor_labels: true, ..Rules::default() };
        let read = pages().read(Format::Text, text.as_bytes(), &honest).unwrap();
        let all: Vec<(&str, &str)> = read.samples[0].series.labels().collect();
        assert_eq!(all, [("exported_job", "y"), ("job", "x")], "an empty instance is none, as Pushgateway needs it");
    }

    #[test]
    fn samples_are_relabelled_with_name_and_bound() {
        let relabel = rules(
            "[[rules]]\nsource_labels = ['__name__']\nregex = 'go_.*'\naction = 'drop'\n\
             [[rules]]\nsource_labels = ['le']\nregex = '0\\.5'\naction = 'drop'\n\
             [[rules]]\nsource_labels = ['__name__']\nregex = 'h(.*)'\ntarget_label = '__name__'\nreplacement = 'new$1'\n",
        );
        let rules = Rules { relabel, ..Rules::default() };
        let text = "go_x 1\n# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
        let mut pages = pages();
        for _ in 0..2 {
            let read = pages.read(Format::Text, text.as_bytes(), &rules).unwrap();
            assert_eq!((read.scraped, read.kept), (5, 3));
            assert_eq!(
                shown(&read),
                ["histogram:new_bucket le=+Inf 2", "histogram:new_sum  3", "histogram:new_count  2"]
            );
        }
    }

    #[test]
    fn a_page_above_a_limit_fails_as_a_whole() {
        let limited = |limits| Rules { limits, ..Rules::default() };
        let none = Limits::default();
        let text = "a{b=\"123456789\"} 1\na 2\nc 3\n";
        for (limits, (setting, count)) in [
            (Limits { samples: 2, ..none }, ("sample_limit", 3)),
            // Nothing is read behind these.
            (Limits { labels: 3, ..none }, ("label_limit", 1)),
            (Limits { name_bytes: 7, ..none }, ("label_name_length_limit", 1)),
            (Limits { value_bytes: 8, ..none }, ("label_value_length_limit", 1)),
        ] {
            let (mut pages, rules) = (pages(), limited(limits));
            for _ in 0..2 {
                let failed = pages.read(Format::Text, text.as_bytes(), &rules).unwrap_err();
                let PageError { message, scraped, .. } = failed;
                assert!(message.starts_with(setting) && scraped == count, "{message} {scraped}");
            }
            pages.read(Format::Text, text.as_bytes(), &limited(none)).unwrap();
        }
        // Counted after relabelling.
        let relabel = rules("[[rules]]\nsource_labels = ['__name__']\nregex = 'c'\naction = 'drop'\n");
        assert!(read_with(&Rules { relabel, ..limited(Limits { samples: 2, ..none }) }, text).is_ok());
    }

    #[test]
    fn timestamps_are_used_unless_the_job_says_otherwise() {
        let timestamp = |honor_timestamps| {
            let rules = Rules { honor_timestamps, ..Rules::default() };
            pages().read(Format::Text, b"a 1 1700000000123\n", &rules).unwrap().samples[0].timestamp
        };
        assert_eq!((timestamp(true), timestamp(false)), (Some(1_700_000_000_123), None));
        let before_1970 = |honor_timestamps| {
            let rules = Rules { honor_timestamps, ..Rules::default() };
            let read = pages().read(Format::OpenMetrics, b"a 1 -5.5\nb 2\n# EOF\n", &rules).unwrap();
            (shown(&read), read.kept)
        };
        assert_eq!(before_1970(true), (vec!["untyped:b  2".to_owned()], 2));
        assert_eq!(before_1970(false).0, ["untyped:a  1", "untyped:b  2"]);
    }

    #[test]
    fn a_page_that_changes_all_the_time_does_not_grow() {
        let (mut pages, rules) = (pages(), Rules::default());
        for scrape in 0..200 {
            let text: String = (0..100).map(|index| format!("a{{id=\"{scrape}-{index}\"}} 1\n")).collect();
            pages.read(Format::Text, text.as_bytes(), &rules).unwrap();
        }
        assert!(pages.known.len() <= 1200);
    }

    #[test]
    fn samples_that_relabelling_drops_are_relabelled_once() {
        let rules = rules("[[rules]]\nsource_labels = ['__name__']\nregex = 'b'\naction = 'drop'\n");
        let text: String = (0..5000).map(|index| format!("b{{id=\"{index}\"}} 1\n")).chain(["a 1\n".into()]).collect();
        let mut pages = pages();
        for _ in 0..2 {
            let read = pages.read(Format::Text, text.as_bytes(), &Rules { relabel: rules.clone(), ..Rules::default() });
            assert_eq!(read.unwrap().kept, 1);
            assert_eq!(pages.known.len(), 5001);
        }
    }

    #[test]
    fn a_series_in_another_spelling_is_the_same() {
        let mut pages = pages();
        let mut series = |text: &str| {
            let read = pages.read(Format::Text, text.as_bytes(), &Rules::default()).unwrap();
            (read.samples[0].series.clone(), read.duplicates)
        };
        let (first, _) = series("a{x=\"1\",y=\"2\"} 1\n");
        let (second, duplicates) = series("a{y=\"2\",x=\"1\"} 1\na{x=\"1\",y=\"2\"} 1\n");
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(duplicates, 1);
    }
}
