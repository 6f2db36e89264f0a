//! A file as blocks, each of one family, so that what is wrong in one does not cost the others.

use std::hash::{Hash, Hasher};

use crate::encode::family::Kind;
use crate::encode::parse::model::{Kind as ParsedKind, Metric as ParsedMetric};
use crate::encode::parse::{Format, Limits, parse};
use crate::encode::pushed::go_float;

/// A family.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) kind: ParsedKind,
    pub(super) help: String,
    pub(super) metrics: Vec<Metric>,
}

/// A sample: what follows the family's name, the labels, the value. Samples are the same if their series is.
#[derive(Clone, Debug)]
pub(super) struct Metric {
    pub(super) suffix: &'static str,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
}

impl PartialEq for Metric {
    fn eq(&self, other: &Self) -> bool {
        (self.suffix, &self.labels) == (other.suffix, &other.labels)
    }
}

impl Eq for Metric {}

impl Hash for Metric {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.suffix, &self.labels).hash(state);
    }
}

impl Family {
    /// The type that it is told as; nothing for one that text 0.0.4 does not have, and of which each part is a gauge.
    pub(super) fn told_as(&self) -> Option<Kind> {
        match self.kind {
            ParsedKind::Counter => Some(Kind::Counter),
            ParsedKind::Gauge | ParsedKind::Info | ParsedKind::StateSet => Some(Kind::Gauge),
            ParsedKind::Untyped => Some(Kind::Untyped),
            ParsedKind::Summary => Some(Kind::Summary),
            ParsedKind::Histogram => Some(Kind::Histogram),
            ParsedKind::GaugeHistogram => None,
        }
    }
}

/// What follows a family's name in those of its samples.
pub(super) const SUFFIXES: [&str; 4] = ["", "_bucket", "_sum", "_count"];

/// The families of a file, and what is wrong with the others, each with its line.
pub(super) fn read(text: &str) -> (Vec<Family>, Vec<String>) {
    let (mut families, mut problems): (Vec<Family>, Vec<String>) = (Vec::new(), Vec::new());
    let has_end = text.trim_end().ends_with("# EOF");
    let format = if has_end { Format::OpenMetrics } else { Format::Text };
    for Block { first_line, mut text } in blocks(text) {
        if has_end {
            text.push_str("# EOF\n");
        }
        match family(format, &text) {
            Ok(None) => {}
            Ok(Some(new)) => match families.iter_mut().find(|known| known.name == new.name) {
                Some(known) => known.metrics.extend(new.metrics),
                None => families.push(new),
            },
            Err((line, reason)) => {
                problems.push(format!(
                    "line {}: {reason}, and the family is left out",
                    first_line + line.saturating_sub(1)
                ));
            }
        }
    }
    (families, problems)
}

fn family(format: Format, text: &str) -> Result<Option<Family>, (usize, String)> {
    use crate::encode::parse::{Error, Place};
    let line_of = |place: &Place| if let Place::Line(line) = place { *line } else { 1 };
    let exposition = parse(format, text.as_bytes(), &Limits::default()).map_err(|error| match &error {
        Error::Malformed { place, message } => (line_of(place), message.clone()),
        Error::Limit { place, what, at_most } => (line_of(place), format!("more than {at_most} {what}")),
        Error::Twice { .. } => (1, error.to_string()),
    })?;
    let Some(found) = exposition.families.into_iter().next() else { return Ok(None) };
    if found.metrics.iter().any(|metric| metric.timestamp.is_some()) {
        return Err((1, format!("{} has samples with timestamps, which a file must not have", found.name)));
    }
    let metrics = found.metrics.iter().flat_map(samples).collect();
    Ok(Some(Family { name: found.name.into_owned(), kind: found.kind, help: found.help.into_owned(), metrics }))
}

fn samples(metric: &ParsedMetric<'_>) -> Vec<Metric> {
    let mut samples = Vec::new();
    let labels: Vec<(String, String)> =
        metric.labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    metric.measure.samples(&mut |suffix, more, value| {
        let suffix = SUFFIXES.into_iter().find(|known| *known == suffix).unwrap_or("");
        let mut labels = labels.clone();
        labels.extend(more.map(|(name, bound)| (name.to_owned(), go_float(bound))));
        labels.sort();
        samples.push(Metric { suffix, labels, value });
    });
    samples
}

struct Block {
    /// From 1.
    first_line: usize,
    text: String,
}

/// The lines of each family together: its comments, and the samples that follow.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<(String, Block)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some(name) = name_of(line) else { continue };
        let is_of = |family: &str| {
            name == family
                || name.strip_prefix(family).is_some_and(|rest| {
                    ["_bucket", "_sum", "_count", "_total", "_created", "_info", "_gsum", "_gcount"].contains(&rest)
                })
        };
        let open = blocks.last_mut().filter(|(family, block)| is_of(family) && (block.is_typed() || name == *family));
        match open {
            Some((_, block)) => block.text.extend([line, "\n"]),
            None => blocks.push((name.to_owned(), Block { first_line: index + 1, text: format!("{line}\n") })),
        }
    }
    blocks.into_iter().map(|(_, block)| block).collect()
}

impl Block {
    fn is_typed(&self) -> bool {
        self.text.starts_with('#')
    }
}

/// The name that a line is about; nothing for those that say nothing.
fn name_of(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let name = match line.strip_prefix('#') {
        None => line,
        Some(comment) => {
            let comment = comment.trim_start();
            let keyword = ["HELP ", "TYPE ", "UNIT "].into_iter().find(|keyword| comment.starts_with(keyword))?;
            comment[keyword.len()..].trim_start()
        }
    };
    let end = name.find(['{', ' ', '\t']).unwrap_or(name.len());
    (!name.is_empty()).then(|| &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> (Vec<String>, Vec<String>) {
        let (families, problems) = read(text);
        (families.into_iter().map(|family| family.name).collect(), problems)
    }

    #[test]
    fn what_is_wrong_costs_its_family_alone() {
        let (found, problems) = names(
            "# HELP a A.\n# TYPE a counter\na 1\n\n# TYPE b gauge\nb{x=\"1\" 2\nb 3\nc 1 1500000000000\n# TYPE h histogram\n\
             h_bucket{le=\"+Inf\"} 1\nh_sum 2\nh_count 1\nd nonsense\ne 5\n",
        );
        assert_eq!(found, ["a", "h", "e"]);
        assert_eq!(problems.len(), 3, "{problems:#?}");
        assert!(problems[0].starts_with("line 6: "), "{problems:#?}");
        assert!(problems[1].contains("c has samples with timestamps"), "{problems:#?}");
        assert!(problems[2].starts_with("line 13: "), "{problems:#?}");
    }

    #[test]
    fn openmetrics_is_read_where_the_file_ends_as_it_does() {
        let (families, problems) =
            read("# TYPE jobs counter\njobs_total{kind=\"a\"} 3\njobs_created{kind=\"a\"} 1.5\n# EOF\n");
        assert!(problems.is_empty(), "{problems:#?}");
        assert_eq!(families[0].metrics[0].value, 3.0);
        assert_eq!(families[0].kind, ParsedKind::Counter);
    }

    #[test]
    fn a_histogram_is_the_series_that_it_is_as_text() {
        let (families, _) =
            read("# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n");
        let suffixes: Vec<&str> = families[0].metrics.iter().map(|metric| metric.suffix).collect();
        assert_eq!(suffixes, ["_bucket", "_bucket", "_sum", "_count"]);
    }
}
