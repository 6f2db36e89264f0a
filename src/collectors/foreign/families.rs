//! The content of a file, as families.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::Arc;

use super::blocks::{Block, blocks};
use super::problems::{Problems, shown};
use crate::encode::family::Kind;
use crate::encode::names::is_plain_label_name;
use crate::encode::number::go_float;
use crate::encode::parse::model::{Exposition, Kind as ParsedKind, Measure, Metric as ParsedMetric};
use crate::encode::parse::{Error, Format, Limits, Position, parse};

/// A family.
#[derive(Clone, Debug)]
pub(in crate::collectors) struct Family {
    pub(in crate::collectors) name: String,
    pub(in crate::collectors) kind: ParsedKind,
    pub(in crate::collectors) help: String,
    /// All label sets are distinct. Sets whose label names need no escaping come first, so that they take precedence
    /// over sets that escape to the same names.
    pub(in crate::collectors) metrics: Arc<Vec<Metric>>,
}

/// A metric.
#[derive(Clone, Debug)]
pub(in crate::collectors) struct Metric {
    /// Sorted by name; none is empty.
    pub(in crate::collectors) labels: Labels,
    samples: Samples,
}

/// Labels: name and value.
pub(in crate::collectors) type Labels = Vec<(String, String)>;

#[derive(Clone, Debug)]
enum Samples {
    One(f64),
    /// For histograms and summaries: suffix of the name, all labels, value.
    Parts(Vec<(&'static str, Labels, f64)>),
}

impl Metric {
    /// Each sample: suffix of the name, labels, value.
    pub(in crate::collectors) fn samples(&self, each: &mut dyn FnMut(&'static str, &Labels, f64)) {
        match &self.samples {
            Samples::One(value) => each("", &self.labels, *value),
            Samples::Parts(parts) => parts.iter().for_each(|(suffix, labels, value)| each(suffix, labels, *value)),
        }
    }
}

impl Family {
    /// A family without a type, with distinct series.
    pub(in crate::collectors) fn untyped(
        name: String,
        help: &str,
        series: impl IntoIterator<Item = (Labels, f64)>,
    ) -> Family {
        let series = series.into_iter().map(|(labels, value)| Metric { labels, samples: Samples::One(value) });
        Family { name, kind: ParsedKind::Untyped, help: help.to_owned(), metrics: Arc::new(series.collect()) }
    }

    /// The exposed type; `None` if text 0.0.4 does not have it, and each part becomes a gauge.
    pub(in crate::collectors) fn told_as(&self) -> Option<Kind> {
        match self.kind {
            ParsedKind::Counter => Some(Kind::Counter),
            ParsedKind::Gauge | ParsedKind::Info | ParsedKind::StateSet => Some(Kind::Gauge),
            ParsedKind::Untyped => Some(Kind::Untyped),
            ParsedKind::Summary => Some(Kind::Summary),
            ParsedKind::Histogram => Some(Kind::Histogram),
            ParsedKind::GaugeHistogram => None,
        }
    }

    /// The suffixes of its samples.
    pub(in crate::collectors) fn suffixes(&self) -> &'static [&'static str] {
        match self.kind {
            ParsedKind::Summary => &["", "_sum", "_count"],
            ParsedKind::Histogram | ParsedKind::GaugeHistogram => &["", "_bucket", "_sum", "_count"],
            _ => &[""],
        }
    }
}

/// Parses the families of a file, and lists the problems with the first line of each kind. A problem in one family does
/// not affect the others. The file may be a link to a secret, so messages contain line numbers only, and no names
/// except those of metrics with samples. Time and memory are linear in the size of the file.
pub(in crate::collectors) fn read(bytes: &[u8]) -> (Vec<Family>, Problems) {
    read_with(bytes, Reader::default())
}

/// The same, but timestamps are ignored: the samples are of the time at which they are read.
pub(in crate::collectors) fn read_without_times(bytes: &[u8]) -> (Vec<Family>, Problems) {
    read_with(bytes, Reader { ignores_times: true, ..Reader::default() })
}

fn read_with(bytes: &[u8], mut reader: Reader) -> (Vec<Family>, Problems) {
    let is_open_metrics = bytes.trim_ascii_end().ends_with(b"# EOF");
    for block in blocks(bytes, is_open_metrics) {
        reader.read(&block, is_open_metrics);
    }
    (reader.families, reader.problems)
}

#[derive(Default)]
struct Reader {
    families: Vec<Family>,
    names: HashSet<String, foldhash::fast::RandomState>,
    problems: Problems,
    ignores_times: bool,
}

impl Reader {
    fn read(&mut self, block: &Block<'_>, is_open_metrics: bool) {
        let mut text = block.text();
        let format = if is_open_metrics { Format::OpenMetrics } else { Format::Text };
        if is_open_metrics {
            text.push_str("# EOF\n");
        }
        let exposition = match block.broken {
            Some(line) => return self.problem(line, "invalid UTF-8, and the family is left out"),
            None => parse(format, text.as_bytes(), &Limits::default()),
        };
        match exposition {
            Ok(exposition) => self.take(exposition, block.line(1)),
            Err(error) => {
                let (position, message) = match &error {
                    Error::Malformed { position, message } => (position, message.without_content().to_owned()),
                    Error::Limit { position, what, max } => (position, format!("more than {max} {what}")),
                    Error::Duplicate { .. } => (&Position::Line(1), "a series is there twice".to_owned()),
                };
                let line = if let Position::Line(line) = position { *line } else { 1 };
                self.problem(block.line(line), &format!("{message}, and the family is left out"));
            }
        }
    }

    fn problem(&mut self, line: usize, what: &str) {
        self.problems.add(what, || format!("line {line}: {what}"));
    }

    fn problem_of(&mut self, name: &str, line: usize, what: &str) {
        self.problems.add(what, || format!("line {line}: {} {what}", shown(name)));
    }

    fn take(&mut self, exposition: Exposition<'_>, line: usize) {
        for found in exposition.families {
            let name = found.name.into_owned();
            if !self.ignores_times && found.metrics.iter().any(|metric| metric.timestamp.is_some()) {
                let what = "has samples with timestamps, which a file must not have, and the family is left out";
                self.problem_of(&name, line, what);
                continue;
            }
            if !self.names.insert(name.clone()) {
                self.problem_of(&name, line, "is a family of this file already, and left out here");
                continue;
            }
            let (metrics, repeated) = metrics(&found.metrics);
            if repeated > 0 {
                let message = || {
                    format!("line {line}: {repeated} series of {} are there before, and left out here", shown(&name))
                };
                self.problems.add("series", message);
            }
            let help = found.help.into_owned();
            self.families.push(Family { name, kind: found.kind, help, metrics: Arc::new(metrics) });
        }
    }
}

/// The metrics, and the number of duplicate series.
fn metrics(found: &[ParsedMetric<'_>]) -> (Vec<Metric>, usize) {
    let mut seen = SeenLabels::default();
    let (mut metrics, mut repeated) = (Vec::with_capacity(found.len()), 0);
    for metric in found {
        // An empty label value means no label.
        let labels = metric.labels.iter().filter(|(_, value)| !value.is_empty());
        let labels: Labels = labels.map(|(name, value)| (name.to_string(), value.to_string())).collect();
        if found.len() > 1 && !seen.insert(&labels) {
            repeated += 1;
            continue;
        }
        let samples = samples(&metric.measure, &labels);
        metrics.push(Metric { labels, samples });
    }
    put_in_order(&mut metrics);
    (metrics, repeated)
}

/// Moves label sets whose names need no escaping to the front.
pub(in crate::collectors) fn put_in_order(metrics: &mut [Metric]) {
    metrics.sort_by_key(|metric| !metric.labels.iter().all(|(name, _)| is_plain_label_name(name)));
}

/// The label sets of the metrics of a family.
#[derive(Clone, Debug, Default)]
pub(in crate::collectors) struct SeenLabels {
    hasher: foldhash::fast::RandomState,
    /// 64-bit hashes with a random key, so collisions are not to be expected.
    hashes: HashSet<u64, foldhash::fast::RandomState>,
}

impl SeenLabels {
    /// Whether the labels are new.
    pub(in crate::collectors) fn insert(&mut self, labels: &Labels) -> bool {
        self.hashes.insert(self.hasher.hash_one(labels))
    }
}

fn samples(measure: &Measure, labels: &Labels) -> Samples {
    if let Measure::Number(value) = measure {
        return Samples::One(*value);
    }
    let (mut parts, mut last_bound) = (Vec::new(), None);
    measure.samples(&mut |suffix, more, value| {
        let suffix = ["_bucket", "_sum", "_count"].into_iter().find(|known| *known == suffix).unwrap_or("");
        if let Some((name, bound)) = more {
            last_bound = Some(bound);
            return parts.push((suffix, with(labels, name, bound), value));
        }
        // Every histogram has a bucket for +Inf, even if the file omits it.
        if let Measure::Histogram(histogram) = measure
            && last_bound.replace(f64::INFINITY) != Some(f64::INFINITY)
        {
            parts.push(("_bucket", with(labels, "le", f64::INFINITY), histogram.count));
        }
        parts.push((suffix, labels.clone(), value));
    });
    Samples::Parts(parts)
}

fn with(labels: &Labels, name: &str, bound: f64) -> Labels {
    let mut labels = labels.clone();
    labels.push((name.to_owned(), go_float(bound)));
    labels.sort();
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> (Vec<String>, Vec<String>) {
        let (families, problems) = read(text.as_bytes());
        (families.into_iter().map(|family| family.name).collect(), problems.messages().collect())
    }

    fn samples_of(family: &Family) -> Vec<String> {
        let mut message = Vec::new();
        for metric in family.metrics.iter() {
            metric.samples(&mut |suffix, labels, value| message.push(format!("{suffix}{labels:?} {value}")));
        }
        message
    }

    #[test]
    fn what_is_wrong_costs_its_family_alone() {
        let (found, problems) = message(
            "# HELP a A.\n# TYPE a counter\na 1\n\n# TYPE b gauge\nb{x=\"1\" 2\nb 3\nc 1 1500000000000\n# TYPE h histogram\n\
             h_bucket{le=\"+Inf\"} 1\nh_sum 2\nh_count 1\nd nonsense\ne 5\n",
        );
        assert_eq!(found, ["a", "h", "e"]);
        assert_eq!(problems.len(), 3, "{problems:#?}");
        assert!(problems[0].starts_with("line 6: "), "{problems:#?}");
        assert!(problems[1].contains("\"c\" has samples with timestamps"), "{problems:#?}");
        assert!(problems[2].starts_with("line 13: "), "{problems:#?}");
    }

    #[test]
    fn nothing_is_told_of_what_a_secret_file_holds() {
        // Links to /etc/shadow, a token, a key and a configuration.
        for secret in [
            "root:$6$SECRET:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n",
            "SECRET\n",
            "SECRET",
            "-----BEGIN PRIVATE KEY-----\nSECRET+SECRET/SECRET==\n-----END PRIVATE KEY-----\n",
            "password = \"SECRET\"\n[a]\nb SECRET\n# TYPE SECRET SECRET\n# HELP SECRET a\n# HELP SECRET b\n",
            "{\"password\": \"SECRET\"}\na{SECRET=\"SECRET\",SECRET=\"SECRET\"} 1\nb{c=SECRET} 1\nd 1 SECRET\ne 1 2 SECRET\n",
            "# TYPE h histogram\nh_bucket{le=\"SECRET\"} 1\nh_count{a=\"SECRET\"} 1\nh_count{a=\"SECRET\"} 1\n",
            "# TYPE s summary\ns{quantile=\"1\",a=\"SECRET\"} 1\ns{quantile=\"1\",a=\"SECRET\"} 1\n# EOF\n",
        ] {
            let (_, problems) = message(secret);
            assert!(!problems.is_empty() && !problems.concat().contains("SECRET"), "{problems:#?}");
        }
    }

    #[test]
    fn many_lines_of_one_kind_are_told_once() {
        let lines: String = (0..5_000).map(|number| format!("a{number} nonsense{number}\n")).collect();
        let (_, problems) = message(&lines);
        assert_eq!(
            problems,
            ["line 1: expected float as value, got …, and the family is left out (and 4999 more like this)"]
        );
    }

    #[test]
    fn bytes_that_are_no_text_cost_their_family() {
        let (families, problems) = read(b"a 1\nb{x=\"\xff\"} 2\nb 3\nc 4\n");
        assert_eq!(families.len(), 2);
        assert_eq!(problems.messages().collect::<Vec<_>>(), ["line 2: invalid UTF-8, and the family is left out"]);
    }

    #[test]
    fn openmetrics_is_read_where_the_file_ends_as_it_does() {
        let (families, problems) =
            read(b"# TYPE jobs counter\njobs_total{kind=\"a\"} 3\njobs_created{kind=\"a\"} 1.5\n# EOF\n");
        assert!(problems.is_empty(), "{problems:#?}");
        assert_eq!((families[0].name.as_str(), families[0].kind), ("jobs_total", ParsedKind::Counter));
        assert_eq!(samples_of(&families[0]), ["[(\"kind\", \"a\")] 3"]);
    }

    #[test]
    fn a_histogram_is_the_series_that_it_is_as_text() {
        let (families, _) = read(b"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 3\nh_count 2\n");
        let expected = ["_bucket[(\"le\", \"1\")] 1", "_bucket[(\"le\", \"+Inf\")] 2", "_sum[] 3", "_count[] 2"];
        assert_eq!(samples_of(&families[0]), expected);
    }

    #[test]
    fn a_family_is_one_wherever_its_lines_stand() {
        let (families, problems) = read(
            b"# TYPE a counter\n# TYPE b gauge\na{x=\"1\"} 1\nb 2\n# TYPE a counter\na{x=\"2\"} 3\n\
              # TYPE c gauge\nc 1\nc_count 2\n# TYPE c_sum counter\nc_sum 3\n",
        );
        assert!(problems.is_empty(), "{problems:#?}");
        let summary: Vec<_> = families.iter().map(|f| (f.name.as_str(), f.kind, f.metrics.len())).collect();
        let expected = [
            ("a", ParsedKind::Counter, 2),
            ("b", ParsedKind::Gauge, 1),
            ("c", ParsedKind::Gauge, 1),
            ("c_count", ParsedKind::Untyped, 1),
            ("c_sum", ParsedKind::Counter, 1),
        ];
        assert_eq!(summary, expected);
    }

    #[test]
    fn a_series_that_comes_again_is_left_out_and_told() {
        let (families, problems) = read(
            b"a{x=\"1\"} 1\na{x=\"1\",y=\"\"} 2\nb 1\na{x=\"1\"} 3\n\
              # TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1.0\"} 2\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\n",
        );
        assert_eq!(families.len(), 2);
        assert_eq!(samples_of(&families[0]), ["[(\"x\", \"1\")] 1"]);
        assert_eq!(
            problems.messages().collect::<Vec<_>>(),
            [
                "line 1: 2 series of \"a\" are there before, and left out here",
                "line 5: a series is there twice, and the family is left out"
            ]
        );
    }

    #[test]
    fn names_in_quotes_are_families_of_their_own() {
        let (found, problems) = message(
            "# TYPE \"a.b\" gauge\n{\"a.b\",x=\"1\"} 1\n{\"c d\"} 2\n{ x=\"1\" , \"a.b\" } 3\ne{\"f.g\"=\"h\"} 4\n{\"i\"} 5\n{\"x\n",
        );
        assert_eq!(found, ["a.b", "c d", "e", "i"]);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[1].starts_with("line 7: "), "{problems:?}");
    }
}
