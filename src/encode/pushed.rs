//! Encodes pushed families as text and as delimited protobuf.

pub use super::names::{is_plain_label_name, is_plain_metric_name};

use super::names::Escaping;
use super::number::{go_float, push_float};
use super::parse::model::{Family, Histogram, Kind, Measure, Metric, Native};
use super::wire::{push_bytes, push_double, push_varint, push_varint_field, zigzag};

/// Escapes a name by Prometheus's scheme `values`.
pub fn escape_name(name: &str) -> String {
    let mut escaped = String::new();
    Escaping::push_escaped(&mut escaped, name);
    escaped
}

/// Appends the HELP and TYPE lines of a family.
pub fn push_header(out: &mut Vec<u8>, name: &str, kind: Kind, help: &str, escaping: Escaping) {
    let mut shown = Vec::new();
    push_metric_name(&mut shown, name, "", escaping);
    if !help.is_empty() {
        out.extend_from_slice(b"# HELP ");
        out.extend_from_slice(&shown);
        out.push(b' ');
        for byte in help.bytes() {
            match byte {
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                other => out.push(other),
            }
        }
        out.push(b'\n');
    }
    out.extend_from_slice(b"# TYPE ");
    out.extend_from_slice(&shown);
    out.push(b' ');
    out.extend_from_slice(kind.name().as_bytes());
    out.push(b'\n');
}

/// Appends the lines of a metric with the labels `labels`.
pub fn push_metric(out: &mut Vec<u8>, name: &str, labels: &[(&str, &str)], measure: &Measure, escaping: Escaping) {
    match measure {
        Measure::Number(number) => push_line(out, (name, ""), labels, None, *number, escaping),
        Measure::Summary { count, sum, quantiles } => {
            for (quantile, value) in quantiles {
                push_line(out, (name, ""), labels, Some(("quantile", *quantile)), *value, escaping);
            }
            push_line(out, (name, "_sum"), labels, None, *sum, escaping);
            push_line(out, (name, "_count"), labels, None, *count, escaping);
        }
        Measure::Histogram(histogram) => push_histogram(out, name, labels, histogram, escaping),
    }
}

fn push_histogram(out: &mut Vec<u8>, name: &str, labels: &[(&str, &str)], histogram: &Histogram, escaping: Escaping) {
    let mut has_last = false;
    for (bound, count) in &histogram.buckets {
        has_last |= *bound == f64::INFINITY;
        push_line(out, (name, "_bucket"), labels, Some(("le", *bound)), *count, escaping);
    }
    if !has_last {
        push_line(out, (name, "_bucket"), labels, Some(("le", f64::INFINITY)), histogram.count, escaping);
    }
    push_line(out, (name, "_sum"), labels, None, histogram.sum, escaping);
    push_line(out, (name, "_count"), labels, None, histogram.count, escaping);
}

fn push_line(
    out: &mut Vec<u8>,
    (name, suffix): (&str, &str),
    labels: &[(&str, &str)],
    bound: Option<(&str, f64)>,
    value: f64,
    escaping: Escaping,
) {
    let is_inside = escaping == Escaping::AllowUtf8 && !is_plain_metric_name(name);
    let mut separator = b'{';
    if is_inside {
        out.push(b'{');
        push_metric_name(out, name, suffix, escaping);
        separator = b',';
    } else {
        push_metric_name(out, name, suffix, escaping);
    }
    let bound_text = bound.map(|(label, bound)| (label, go_float(bound)));
    let bound = bound_text.iter().map(|(label, text)| (*label, text.as_str()));
    for (label, value) in labels.iter().copied().chain(bound) {
        out.push(separator);
        separator = b',';
        push_label_name(out, label, escaping);
        out.extend_from_slice(b"=\"");
        push_value(out, value);
        out.push(b'"');
    }
    if separator == b',' {
        out.push(b'}');
    }
    out.push(b' ');
    push_float(out, value);
    out.push(b'\n');
}

fn push_metric_name(out: &mut Vec<u8>, name: &str, suffix: &str, escaping: Escaping) {
    let mut written = String::new();
    match escaping {
        _ if is_plain_metric_name(name) => {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(suffix.as_bytes());
        }
        Escaping::AllowUtf8 => {
            out.push(b'"');
            push_value(out, name);
            out.extend_from_slice(suffix.as_bytes());
            out.push(b'"');
        }
        // Only the family's name is escaped, as in client_golang; the suffix is appended to it.
        other => {
            other.push_metric_name(&mut written, name);
            out.extend_from_slice(written.as_bytes());
            out.extend_from_slice(suffix.as_bytes());
        }
    }
}

fn push_label_name(out: &mut Vec<u8>, name: &str, escaping: Escaping) {
    match escaping {
        _ if is_plain_label_name(name) => out.extend_from_slice(name.as_bytes()),
        Escaping::AllowUtf8 => {
            out.push(b'"');
            push_value(out, name);
            out.push(b'"');
        }
        other => {
            let mut escaped = String::new();
            other.push_label_name(&mut escaped, name);
            out.extend_from_slice(escaped.as_bytes());
        }
    }
}

/// Appends a label value, escaped, without quotes.
pub fn push_value(out: &mut Vec<u8>, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' => out.extend_from_slice(b"\\\""),
            other => out.push(other),
        }
    }
}

/// Appends a family as a delimited protobuf message. `metrics` is the output of [`push_metric_message`].
pub fn push_family_message(out: &mut Vec<u8>, name: &str, kind: Kind, help: &str, metrics: &[u8]) {
    let mut head = Vec::new();
    push_bytes(&mut head, 1, name.as_bytes());
    if !help.is_empty() {
        push_bytes(&mut head, 2, help.as_bytes());
    }
    push_varint_field(&mut head, 3, type_number(kind));
    push_varint(out, (head.len() + metrics.len()) as u64);
    out.extend_from_slice(&head);
    out.extend_from_slice(metrics);
}

/// Appends a metric as a field of its family's message.
pub fn push_metric_message(out: &mut Vec<u8>, kind: Kind, metric: &Metric<'_>) {
    let labels = metric.labels.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
    push_metric_with(out, kind, metric, labels);
}

/// As [`push_metric_message`], with other labels.
pub fn push_metric_with<'l>(
    out: &mut Vec<u8>,
    kind: Kind,
    metric: &Metric<'_>,
    labels: impl Iterator<Item = (&'l str, &'l str)>,
) {
    let mut message = Vec::new();
    for (label, value) in labels {
        let mut pair = Vec::new();
        push_bytes(&mut pair, 1, label.as_bytes());
        push_bytes(&mut pair, 2, value.as_bytes());
        push_bytes(&mut message, 1, &pair);
    }
    push_measure(&mut message, kind, metric);
    push_bytes(out, 4, &message);
}

fn type_number(kind: Kind) -> u64 {
    match kind {
        Kind::Counter => 0,
        Kind::Gauge | Kind::Info | Kind::StateSet => 1,
        Kind::Summary => 2,
        Kind::Untyped => 3,
        Kind::Histogram => 4,
        Kind::GaugeHistogram => 5,
    }
}

fn push_measure(message: &mut Vec<u8>, kind: Kind, metric: &Metric<'_>) {
    let mut value = Vec::new();
    let field = match &metric.measure {
        Measure::Number(number) => {
            push_double(&mut value, 1, *number);
            match kind {
                Kind::Counter => {
                    push_created(&mut value, 3, metric.created);
                    3
                }
                Kind::Untyped => 5,
                _ => 2,
            }
        }
        Measure::Summary { count, sum, quantiles } => {
            push_varint_field(&mut value, 1, *count as u64);
            push_double(&mut value, 2, *sum);
            for (quantile, at) in quantiles {
                let mut pair = Vec::new();
                push_double(&mut pair, 1, *quantile);
                push_double(&mut pair, 2, *at);
                push_bytes(&mut value, 3, &pair);
            }
            push_created(&mut value, 4, metric.created);
            4
        }
        Measure::Histogram(histogram) => {
            push_histogram_message(&mut value, histogram);
            push_created(&mut value, 15, metric.created);
            7
        }
    };
    push_bytes(message, field, &value);
}

fn push_histogram_message(out: &mut Vec<u8>, histogram: &Histogram) {
    let is_whole = |number: f64| number >= 0.0 && number.fract() == 0.0 && number < u64::MAX as f64;
    let is_float = histogram.native.as_ref().is_some_and(|native| native.is_float) || !is_whole(histogram.count);
    match is_float {
        true => push_double(out, 4, histogram.count),
        false => push_varint_field(out, 1, histogram.count as u64),
    }
    push_double(out, 2, histogram.sum);
    for (bound, count) in &histogram.buckets {
        let mut bucket = Vec::new();
        match is_whole(*count) && !is_float {
            true => push_varint_field(&mut bucket, 1, *count as u64),
            false => push_double(&mut bucket, 4, *count),
        }
        push_double(&mut bucket, 2, *bound);
        push_bytes(out, 3, &bucket);
    }
    if let Some(native) = &histogram.native {
        push_native(out, native, 5);
    }
}

/// Appends native buckets. Their field numbers start at `first`, which is the schema.
pub(super) fn push_native(out: &mut Vec<u8>, native: &Native, first: u8) {
    push_varint_field(out, first, zigzag(native.schema.into()));
    push_double(out, first + 1, native.zero_threshold);
    match native.is_float {
        true => push_double(out, first + 3, native.zero_count),
        false => push_varint_field(out, first + 2, native.zero_count as u64),
    }
    for (first, buckets) in [(first + 4, &native.negative), (first + 7, &native.positive)] {
        for (offset, length) in &buckets.spans {
            let mut span = Vec::new();
            push_varint_field(&mut span, 1, zigzag((*offset).into()));
            push_varint_field(&mut span, 2, (*length).into());
            push_bytes(out, first, &span);
        }
        if !buckets.deltas.is_empty() {
            let mut packed = Vec::new();
            buckets.deltas.iter().for_each(|delta| push_varint(&mut packed, zigzag(*delta)));
            push_bytes(out, first + 1, &packed);
        }
        if !buckets.counts.is_empty() {
            let packed: Vec<u8> = buckets.counts.iter().flat_map(|count| count.to_le_bytes()).collect();
            push_bytes(out, first + 2, &packed);
        }
    }
}

/// `google.protobuf.Timestamp`.
fn push_created(out: &mut Vec<u8>, field: u8, created: Option<f64>) {
    if let Some(seconds) = created.filter(|seconds| seconds.is_finite()) {
        let mut time = Vec::new();
        push_varint_field(&mut time, 1, seconds.floor() as i64 as u64);
        push_varint_field(&mut time, 2, ((seconds - seconds.floor()) * 1e9) as u64);
        push_bytes(out, field, &time);
    }
}

/// Appends a whole family as text.
pub fn push_text(out: &mut Vec<u8>, family: &Family<'_>, escaping: Escaping) {
    push_header(out, &family.name, family.kind, &family.help, escaping);
    for metric in &family.metrics {
        let labels: Vec<_> = metric.labels.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
        push_metric(out, &family.name, &labels, &metric.measure, escaping);
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::{Format, Limits, parse};
    use super::*;

    fn push_message(out: &mut Vec<u8>, family: &Family<'_>) {
        let mut metrics = Vec::new();
        family.metrics.iter().for_each(|metric| push_metric_message(&mut metrics, family.kind, metric));
        push_family_message(out, &family.name, family.kind, &family.help, &metrics);
    }

    fn rewritten(format: Format, body: &[u8]) -> Vec<u8> {
        let parsed = parse(format, body, &Limits::default()).unwrap();
        let mut out = Vec::new();
        for family in &parsed.families {
            match format {
                Format::Protobuf => push_message(&mut out, family),
                _ => push_text(&mut out, family, Escaping::AllowUtf8),
            }
        }
        out
    }

    const TEXT: &str = "# HELP a An \\\\ \\n a.\n# TYPE a counter\na{b=\"\\\"\\n\\\\\"} 3\na{b=\"2\"} 1.5\n\
        # TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 3\ns_count 2\n\
        # TYPE h histogram\nh_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n\
        # TYPE \"a.b\" gauge\n{\"a.b\",\"c d\"=\"e\"} NaN\n";

    #[test]
    fn text_is_written_as_it_was_read() {
        assert_eq!(String::from_utf8(rewritten(Format::Text, TEXT.as_bytes())).unwrap(), TEXT);
    }

    #[test]
    fn protobuf_is_written_as_it_was_read() {
        let parsed = parse(Format::Text, TEXT.as_bytes(), &Limits::default()).unwrap();
        let mut first = Vec::new();
        parsed.families.iter().for_each(|family| push_message(&mut first, family));
        assert_eq!(rewritten(Format::Protobuf, &first), first);
        let read = parse(Format::Protobuf, &first, &Limits::default()).unwrap();
        let mut text = Vec::new();
        read.families.iter().for_each(|family| push_text(&mut text, family, Escaping::AllowUtf8));
        assert_eq!(String::from_utf8(text).unwrap(), TEXT);
    }

    #[test]
    fn native_histograms_are_kept() {
        let native = Native {
            schema: -3,
            zero_threshold: 0.001,
            zero_count: 2.0,
            is_float: false,
            negative: super::super::parse::model::Buckets::default(),
            positive: super::super::parse::model::Buckets {
                spans: vec![(-2, 1), (3, 2)],
                deltas: vec![1, -1, 5],
                counts: Vec::new(),
            },
        };
        let histogram = Histogram { count: 8.0, sum: 1.5, buckets: Vec::new(), native: Some(native) };
        let metric = Metric {
            labels: Vec::new(),
            measure: Measure::Histogram(Box::new(histogram)),
            timestamp: None,
            created: Some(12.5),
        };
        let mut out = Vec::new();
        let mut metrics = Vec::new();
        push_metric_message(&mut metrics, Kind::Histogram, &metric);
        push_family_message(&mut out, "h", Kind::Histogram, "", &metrics);
        let read = parse(Format::Protobuf, &out, &Limits::default()).unwrap();
        assert_eq!(read.families[0].metrics[0], metric);
        for end in 1..out.len() {
            assert!(parse(Format::Protobuf, &out[..end], &Limits::default()).is_err(), "cut off at {end}");
        }
    }

    #[test]
    fn names_that_do_not_fit_are_escaped_each_to_its_own() {
        let mut out = Vec::new();
        push_metric(&mut out, "a.b", &[("c d", "e")], &Measure::Number(1.0), Escaping::Values);
        assert_eq!(String::from_utf8(out).unwrap(), "U__a_2e_b{U__c_20_d=\"e\"} 1\n");
    }
}
