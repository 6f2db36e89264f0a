//! Queued records: decoded, and as a request of remote write 1.0.

use super::field;
use crate::encode::wire::{Reader, VARINT, Value, key};

/// A series, or the metadata of a family.
#[derive(Clone, Debug, PartialEq)]
pub enum Record<'a> {
    /// A family's type and help text.
    Metadata {
        /// The number of its type.
        kind: u64,
        /// Its name.
        name: &'a str,
        /// Its help text.
        help: &'a str,
    },
    /// A series with one sample.
    Series(Series<'a>),
}

/// A series with one sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series<'a> {
    /// Its labels, including the name, sorted.
    pub labels: Vec<(&'a str, &'a str)>,
    /// The value of a float sample.
    pub value: Option<f64>,
    /// The encoded `prometheus.Histogram` of a histogram sample.
    pub histogram: Option<&'a [u8]>,
    /// The timestamp, in milliseconds of Unix time.
    pub time: i64,
    /// The creation time, in milliseconds of Unix time.
    pub created: Option<i64>,
}

impl<'a> Record<'a> {
    /// Decodes concatenated records. Stops at an invalid one.
    pub fn all(bytes: &'a [u8]) -> impl Iterator<Item = Record<'a>> {
        let (mut reader, mut created) = (Reader::new(bytes), None);
        std::iter::from_fn(move || {
            while let Some((number, value)) = reader.field().ok()? {
                match (number as u8, value) {
                    (field::CREATED, value) => created = Some(value.number() as i64),
                    (field::TIMESERIES, Value::Bytes(message)) => {
                        return Some(Record::Series(Series { created: created.take(), ..series(message)? }));
                    }
                    (field::METADATA, Value::Bytes(message)) => return metadata(message),
                    _ => {}
                }
            }
            None
        })
    }
}

/// What identifies each series in concatenated records: its encoded labels, and whether its sample is a histogram. Stops
/// at an invalid record.
pub fn identities(bytes: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || {
        loop {
            if let Some(message) = reader.delimited(field::TIMESERIES) {
                return Some(identity(message));
            }
            reader.field().ok()??;
        }
    })
}

/// Labels are encoded before the sample.
fn identity(mut message: Reader<'_>) -> (&[u8], bool) {
    let whole = message.bytes();
    while message.delimited(field::SERIES_LABEL).is_some() {}
    let labels = &whole[..whole.len() - message.bytes().len()];
    (labels, message.delimited(field::SERIES_HISTOGRAM).is_some())
}

/// A request of remote write 1.0, `prometheus.WriteRequest`, with these records, which have up to `size` bytes.
pub fn first_version<'l>(records: impl Iterator<Item = &'l [u8]>, size: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(size);
    records.for_each(|record| body.extend_from_slice(without_created(record)));
    body
}

/// The record without its creation time, which 1.0 does not have.
fn without_created(record: &[u8]) -> &[u8] {
    match record {
        [first, rest @ ..] if *first == key(field::CREATED, VARINT) => {
            let end = rest.iter().position(|byte| *byte < 0x80).map_or(rest.len(), |last| last + 1);
            &rest[end..]
        }
        all => all,
    }
}

impl<'a> Series<'a> {
    /// Its name.
    pub fn name(&self) -> &'a str {
        self.labels.iter().find(|(name, _)| *name == "__name__").map_or("", |(_, name)| name)
    }
}

fn text<'a>(value: &Value<'a>) -> Option<&'a str> {
    match value {
        Value::Bytes(text) => std::str::from_utf8(text.bytes()).ok(),
        _ => None,
    }
}

fn metadata(mut message: Reader<'_>) -> Option<Record<'_>> {
    let (mut kind, mut name, mut help) = (0, "", "");
    while let Some((number, value)) = message.field().ok()? {
        match number as u8 {
            field::METADATA_TYPE => kind = value.number(),
            field::METADATA_NAME => name = text(&value)?,
            field::METADATA_HELP => help = text(&value)?,
            _ => {}
        }
    }
    Some(Record::Metadata { kind, name, help })
}

fn series(mut message: Reader<'_>) -> Option<Series<'_>> {
    let mut series = Series::default();
    while let Some((number, value)) = message.field().ok()? {
        let Value::Bytes(mut inner) = value else { continue };
        match number as u8 {
            field::SERIES_LABEL => {
                let (mut name, mut label) = ("", "");
                while let Some((number, value)) = inner.field().ok()? {
                    match number as u8 {
                        field::LABEL_NAME => name = text(&value)?,
                        field::LABEL_VALUE => label = text(&value)?,
                        _ => {}
                    }
                }
                series.labels.push((name, label));
            }
            field::SERIES_SAMPLE => {
                while let Some((number, value)) = inner.field().ok()? {
                    match number as u8 {
                        field::SAMPLE_VALUE => series.value = Some(value.double()),
                        field::SAMPLE_TIMESTAMP => series.time = value.number() as i64,
                        _ => {}
                    }
                }
            }
            field::SERIES_HISTOGRAM => {
                series.histogram = Some(inner.bytes());
                while let Some((number, value)) = inner.field().ok()? {
                    if number as u8 == field::HISTOGRAM_TIMESTAMP {
                        series.time = value.number() as i64;
                    }
                }
            }
            _ => {}
        }
    }
    Some(series)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::lines::Lines;
    use crate::encode::remote::SeriesEncoder;
    use crate::encode::{Family, FamilyWriter, Timestamp};

    const LOAD: Family<0> = Family::gauge("node_load1", "Load.", []);
    const CPU: Family<1> = Family::counter("node_cpu_seconds_total", "Seconds.", ["cpu"]);

    #[test]
    fn a_series_is_identified_by_its_labels_alone() {
        let mut lines = Lines::default();
        for (time, has_metadata) in [(1, true), (2, false)] {
            let mut encoder = SeriesEncoder::new(&mut lines, &[], None, Timestamp(time * 1_000_000_000), has_metadata);
            let mut out = FamilyWriter::new(&mut encoder);
            out.value(&LOAD, time as f64);
            out.family(&CPU).sample(["0"], 7u64);
        }
        let all: Vec<_> = identities(lines.bytes()).collect();
        assert_eq!(all.len(), 4);
        assert_eq!(all[..2], all[2..]);
        assert_ne!(all[0], all[1]);
        let histogram = [&[0x0a, 0x07, 0x0a, 0x03, 0x0a, 0x01, b'a'][..], &[0x22, 0x00]].concat();
        assert_eq!(identities(&histogram).collect::<Vec<_>>(), [(&[0x0a, 0x03, 0x0a, 0x01, b'a'][..], true)]);
        assert_eq!(identities(&histogram[..4]).count(), 0, "cut off");
    }
}
