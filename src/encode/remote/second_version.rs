//! Requests of remote write 2.0: `io.prometheus.write.v2.Request`. Strings are interned in a symbol table, and every
//! series carries the metadata of its family.

use std::collections::HashMap;

use super::record::{Record, Series};
use crate::encode::wire::{push_bytes, push_double, push_varint, push_varint_field};

mod field {
    pub(super) const SYMBOLS: u8 = 4;
    pub(super) const TIMESERIES: u8 = 5;
    pub(super) const SERIES_LABELS: u8 = 1;
    pub(super) const SERIES_SAMPLE: u8 = 2;
    pub(super) const SERIES_HISTOGRAM: u8 = 3;
    pub(super) const SERIES_METADATA: u8 = 5;
    /// Of the drafts up to 2.0-rc.3, which early versions of Prometheus read.
    pub(super) const SERIES_CREATED: u8 = 6;
    pub(super) const SAMPLE_VALUE: u8 = 1;
    pub(super) const SAMPLE_TIMESTAMP: u8 = 2;
    /// Of 2.0-rc.4 and later.
    pub(super) const SAMPLE_START: u8 = 3;
    pub(super) const METADATA_TYPE: u8 = 1;
    pub(super) const METADATA_HELP: u8 = 3;
    pub(super) const HISTOGRAM_START: u64 = 17;
}

/// Known metadata of families: type and help text by name.
#[derive(Default)]
pub struct Families(HashMap<String, (u64, String)>);

impl Families {
    /// Maximum number of known families. Jobs may create names without limit.
    const MAX: usize = 20_000;

    fn learn(&mut self, name: &str, kind: u64, help: &str) {
        if self.0.len() >= Self::MAX {
            self.0.clear();
        }
        self.0.insert(name.to_owned(), (kind, help.to_owned()));
    }

    /// The metadata for a series of this name, which has a suffix in a histogram or a summary.
    fn of_series(&self, name: &str) -> Option<&(u64, String)> {
        const HISTOGRAMS_AND_SUMMARIES: std::ops::RangeInclusive<u64> = 3..=5;
        self.0.get(name).or_else(|| {
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|ending| name.strip_suffix(ending))?;
            self.0.get(family).filter(|(kind, _)| HISTOGRAMS_AND_SUMMARIES.contains(kind))
        })
    }
}

/// An encoded request.
#[derive(Debug)]
pub struct Request {
    /// The message.
    pub body: Vec<u8>,
    /// The number of samples, including histograms.
    pub samples: usize,
}

impl Request {
    /// A request with these records. Adds their metadata to `families`, and attaches it to every series.
    pub fn new<'l>(records: impl Iterator<Item = &'l [u8]>, families: &mut Families) -> Request {
        let mut symbols = SymbolTable::default();
        symbols.reference("");
        let (mut series_bytes, mut samples) = (Vec::new(), 0);
        for record in records.flat_map(Record::all) {
            match record {
                Record::Metadata { kind, name, help } => families.learn(name, kind, help),
                Record::Series(series) => {
                    let message = message(&series, families, &mut symbols);
                    push_bytes(&mut series_bytes, field::TIMESERIES, &message);
                    samples += 1;
                }
            }
        }
        let mut body = symbols.bytes;
        body.append(&mut series_bytes);
        Request { body, samples }
    }
}

/// The symbol symbols.
#[derive(Default)]
struct SymbolTable<'t> {
    known: HashMap<std::borrow::Cow<'t, str>, u64, foldhash::fast::RandomState>,
    bytes: Vec<u8>,
}

impl<'t> SymbolTable<'t> {
    fn reference(&mut self, text: &'t str) -> u64 {
        match self.known.get(text) {
            Some(reference) => *reference,
            None => self.add(text.into()),
        }
    }

    fn reference_of_copy(&mut self, text: &str) -> u64 {
        match self.known.get(text) {
            Some(reference) => *reference,
            None => self.add(text.to_owned().into()),
        }
    }

    fn add(&mut self, text: std::borrow::Cow<'t, str>) -> u64 {
        let reference = self.known.len() as u64;
        push_bytes(&mut self.bytes, field::SYMBOLS, text.as_bytes());
        self.known.insert(text, reference);
        reference
    }
}

fn message<'t>(series: &Series<'t>, families: &Families, symbols: &mut SymbolTable<'t>) -> Vec<u8> {
    let (mut message, mut inner) = (Vec::with_capacity(64), Vec::with_capacity(32));
    for (name, value) in &series.labels {
        for text in [name, value] {
            push_varint(&mut inner, symbols.reference(text));
        }
    }
    push_bytes(&mut message, field::SERIES_LABELS, &inner);
    inner.clear();
    if let Some(value) = series.value {
        push_double(&mut inner, field::SAMPLE_VALUE, value);
        push_varint_field(&mut inner, field::SAMPLE_TIMESTAMP, series.time as u64);
        if let Some(created) = series.created {
            push_varint_field(&mut inner, field::SAMPLE_START, created as u64);
        }
        push_bytes(&mut message, field::SERIES_SAMPLE, &inner);
    }
    if let Some(histogram) = series.histogram {
        inner.extend_from_slice(histogram);
        if let Some(created) = series.created {
            push_varint(&mut inner, field::HISTOGRAM_START << 3);
            push_varint(&mut inner, created as u64);
        }
        push_bytes(&mut message, field::SERIES_HISTOGRAM, &inner);
    }
    if let Some((kind, help)) = families.of_series(series.name()) {
        inner.clear();
        push_varint_field(&mut inner, field::METADATA_TYPE, *kind);
        push_varint_field(&mut inner, field::METADATA_HELP, symbols.reference_of_copy(help));
        push_bytes(&mut message, field::SERIES_METADATA, &inner);
    }
    if let Some(created) = series.created {
        push_varint_field(&mut message, field::SERIES_CREATED, created as u64);
    }
    message
}
