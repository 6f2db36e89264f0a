//! Series of a target: name and labels after relabelling, shared by all of its scrapes.

use std::hash::BuildHasher;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, LazyLock};

use super::relabel::Labels;
use crate::encode::names::is_plain_label_name;
use crate::encode::parse::model::{Histogram, Kind};

/// A family, as its page describes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Its name. A counter has that of its samples.
    pub(super) name: String,
    /// Its type.
    pub(super) kind: Kind,
    /// Its help text; empty if there is none.
    pub(super) help: String,
    /// Its unit; empty if there is none.
    pub(super) unit: String,
    /// Whether its page is in OpenMetrics.
    pub(super) is_open_metrics: bool,
}

impl Head {
    /// The family of its samples with this suffix, without a type.
    pub(super) fn untyped(&self, suffix: &str) -> Head {
        let (name, help, unit) = ([&self.name, suffix].concat(), self.help.clone(), self.unit.clone());
        Head { name, kind: Kind::Untyped, help, unit, is_open_metrics: self.is_open_metrics }
    }

    /// Whether a metric of the family has several samples.
    pub(super) fn is_compound(&self) -> bool {
        matches!(self.kind, Kind::Summary | Kind::Histogram)
    }

    /// The label that distinguishes the samples of a metric; empty if there is none.
    pub(super) fn bound_label(&self) -> &'static str {
        match self.kind {
            Kind::Summary => "quantile",
            Kind::Histogram => "le",
            _ => "",
        }
    }
}

/// A series.
#[derive(Debug)]
pub(super) struct Series {
    /// Its family.
    pub(super) family: Arc<Head>,
    /// The suffix of its name in the family.
    pub(super) suffix: &'static str,
    /// Identifies name and labels in this process.
    pub(super) id: u64,
    /// Identifies the metric in its family: the labels without the bound.
    pub(super) metric: u64,
    /// The last scrape that it was in.
    pub(super) seen: AtomicU32,
    /// Whether no label name needs quotes.
    pub(super) is_plain: bool,
    /// All label names and values, each behind its length.
    text: Box<str>,
}

/// The hasher of identifiers: 64 bits with a random key, so that collisions are not expected in the lifetime of a host.
static HASHER: LazyLock<foldhash::fast::RandomState> = LazyLock::new(Default::default);

/// The hash of any value, by the process's key.
pub(super) fn hash(value: impl std::hash::Hash) -> u64 {
    HASHER.hash_one(value)
}

/// Identifies the series with this name and these labels.
pub(super) fn id(name: &str, labels: &Labels) -> u64 {
    hash((name, labels))
}

impl Series {
    /// A series of `family`. The `labels` have no name.
    pub(super) fn new(family: Arc<Head>, suffix: &'static str, labels: &Labels) -> Series {
        let mut text = String::new();
        for part in labels.iter().flat_map(|(name, value)| [name, value]) {
            push_length(&mut text, part.len());
            text.push_str(part);
        }
        let bound = family.bound_label();
        let of_metric: Vec<_> = labels.iter().filter(|(name, _)| *name != bound || bound.is_empty()).collect();
        Series {
            id: id(&format!("{}{suffix}", family.name), labels),
            metric: hash(of_metric),
            family,
            suffix,
            seen: AtomicU32::new(0),
            is_plain: labels.keys().all(|name| is_plain_label_name(name)),
            text: text.into(),
        }
    }

    /// Its labels, sorted by name.
    pub(super) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut text = &*self.text;
        let mut part = move || {
            let (length, start) = length_of(text.as_bytes())?;
            let part = text.get(start..start + length)?;
            text = text.get(start + length..)?;
            Some(part)
        };
        std::iter::from_fn(move || Some((part()?, part()?)))
    }
}

/// Bits of a length in a character of ASCII. The next bit is set if more characters follow.
const LENGTH_BITS: u32 = 6;
const MORE: u8 = 1 << LENGTH_BITS;

/// Appends a length as characters of ASCII, the lowest bits first.
fn push_length(text: &mut String, mut length: usize) {
    loop {
        let low = length as u8 & (MORE - 1);
        length >>= LENGTH_BITS;
        text.push(char::from(low | if length > 0 { MORE } else { 0 }));
        if length == 0 {
            return;
        }
    }
}

/// The length at the start, and where its part begins; `None` at the end.
fn length_of(text: &[u8]) -> Option<(usize, usize)> {
    let (mut length, mut at) = (0, 0);
    loop {
        let byte = *text.get(at)?;
        length |= usize::from(byte & (MORE - 1)) << (LENGTH_BITS * at as u32);
        at += 1;
        if byte & MORE == 0 {
            return Some((length, at));
        }
    }
}

/// The value of a sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A number.
    Number(f64),
    /// A native histogram.
    Native(Arc<Histogram>),
}

/// A sample of a scrape.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Its series.
    pub(super) series: Arc<Series>,
    /// Its value.
    pub(super) value: Value,
    /// Its own timestamp, in milliseconds of Unix time, if any.
    pub(super) timestamp: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_has_its_labels_in_order() {
        let (long, longer) = ("é".repeat(32), "x".repeat(300_000));
        let labels: Labels = [("b", "2"), ("a", ""), ("le", "0.1"), ("ü", "é"), ("long", &long), ("longer", &longer)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let head = |kind| {
            Arc::new(Head { name: "h".into(), kind, help: String::new(), unit: String::new(), is_open_metrics: false })
        };
        let series = Series::new(head(Kind::Histogram), "_bucket", &labels);
        let expected = [("a", ""), ("b", "2"), ("le", "0.1"), ("long", &long), ("longer", &longer), ("ü", "é")];
        assert_eq!(series.labels().collect::<Vec<_>>(), expected);
        let without: Labels =
            labels.iter().filter(|(name, _)| *name != "le").map(|(n, v)| (n.clone(), v.clone())).collect();
        assert_eq!(series.metric, Series::new(head(Kind::Histogram), "_sum", &without).metric);
        assert_ne!(series.metric, Series::new(head(Kind::Gauge), "", &labels).metric);
        assert_eq!(series.id, id("h_bucket", &labels));
    }
}
