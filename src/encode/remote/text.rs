//! Records as lines of the text format 0.0.4, with timestamps. Invalid names are quoted, as in version 1.0.0.

use super::STALE;
use super::record::Record;
use crate::encode::names::{Escaping, is_plain_label_name, is_plain_metric_name};
use crate::encode::number::{push_float, push_integer};
use crate::encode::parse::model::Kind;
use crate::encode::pushed::{push_header, push_value};

/// Appends a record as text, except native histograms and stale markers, which the text format does not have.
pub fn push(out: &mut Vec<u8>, record: &Record<'_>) {
    match record {
        Record::Metadata { kind, name, help } => push_header(out, name, kind_of(*kind), help, Escaping::AllowUtf8),
        Record::Series(series) => {
            let Some(value) = series.value.filter(|value| value.to_bits() != STALE.to_bits()) else { return };
            let mut separator = b'{';
            if is_plain_metric_name(series.name()) {
                out.extend_from_slice(series.name().as_bytes());
            } else {
                out.push(b'{');
                push_quoted(out, series.name());
                separator = b',';
            }
            for (label, value) in series.labels.iter().filter(|(label, _)| *label != "__name__") {
                out.push(separator);
                match is_plain_label_name(label) {
                    true => out.extend_from_slice(label.as_bytes()),
                    false => push_quoted(out, label),
                }
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

fn push_quoted(out: &mut Vec<u8>, name: &str) {
    out.push(b'"');
    push_value(out, name);
    out.push(b'"');
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

#[cfg(test)]
mod tests {
    use crate::encode::FamilyWriter;
    use crate::encode::Timestamp;
    use crate::encode::family::Kind;
    use crate::encode::lines::Lines;
    use crate::encode::parse::{Format, Limits, parse};
    use crate::encode::remote::SeriesEncoder;
    use crate::encode::remote::record::Record;

    #[test]
    fn names_that_need_quotes_have_them() {
        let mut lines = Lines::default();
        let mut encoder = SeriesEncoder::new(&mut lines, &[], None, Timestamp(1_500_000_000), true);
        let mut out = FamilyWriter::new(&mut encoder);
        let labels = [("a.b".to_owned(), "\"".to_owned()), ("c".to_owned(), "d".to_owned())];
        out.free_family("my.gauge", Kind::Gauge, "").sample(&labels, 1u64, None);
        out.free_family("plain", Kind::Gauge, "").sample(&labels, 2u64, None);
        drop(out);
        let mut text = Vec::new();
        lines.iter().flat_map(Record::all).for_each(|record| super::push(&mut text, &record));
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("{\"my.gauge\",\"a.b\"=\"\\\"\",c=\"d\"} 1 1500\n"), "{text}");
        assert!(text.contains("plain{\"a.b\"=\"\\\"\",c=\"d\"} 2 1500\n"), "{text}");
        parse(Format::Text, text.as_bytes(), &Limits::default()).unwrap();
    }
}
