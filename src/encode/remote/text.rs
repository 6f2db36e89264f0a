//! The records of series as lines of the text format 0.0.4, each sample with its time.

use super::record::Record;
use crate::encode::number::{push_float, push_integer};
use crate::encode::parse::model::Kind;
use crate::encode::pushed::{Names, push_head, push_value};

/// Appends a record as text; a native histogram, which text has no room for, is left out.
pub fn push(out: &mut Vec<u8>, record: &Record<'_>) {
    match record {
        Record::Metadata { kind, name, help } => push_head(out, name, kind_of(*kind), help, Names::Quoted),
        Record::Series(series) => {
            let Some(value) = series.value else { return };
            out.extend_from_slice(series.name().as_bytes());
            let mut separator = b'{';
            for (label, value) in series.labels.iter().filter(|(label, _)| *label != "__name__") {
                out.push(separator);
                out.extend_from_slice(label.as_bytes());
                out.extend_from_slice(b"=\"");
                push_value(out, value);
                out.push(b'"');
                separator = b',';
            }
            if separator == b',' {
                out.push(b'}');
            }
            out.push(b' ');
            push_float(out, value);
            out.push(b' ');
            push_integer(out, series.time);
            out.push(b'\n');
        }
    }
}

fn kind_of(number: u64) -> Kind {
    [
        Kind::Untyped,
        Kind::Counter,
        Kind::Gauge,
        Kind::Histogram,
        Kind::GaugeHistogram,
        Kind::Summary,
        Kind::Info,
        Kind::StateSet,
    ]
    .into_iter()
    .find(|kind| super::type_number(*kind) == number)
    .unwrap_or(Kind::Untyped)
}
