//! Parses delimited protobuf: length-prefixed `io.prometheus.client.MetricFamily` messages of prometheus/client_model.
//! Unknown fields are ignored.

use std::borrow::Cow;
use std::collections::HashMap;

use super::model::{Buckets, Exposition, Family, Histogram, Kind, Label, Measure, Metric, Native};
use super::{Error, Limits, Message, check_length, is_name, sort_and_check, sort_parts};
use crate::encode::wire::{Reader, Value, unzigzag};

/// If `is_lenient`, a metric without a value of its family's type is zero, and a name may have two types, as in Prometheus.
pub(super) fn parse<'a>(body: &'a [u8], limits: &Limits, is_lenient: bool) -> Result<Exposition<'a>, Error> {
    let mut reader = Reader::new(body);
    let (mut families, mut series): (Vec<Family<'a>>, usize) = (Vec::new(), 0);
    let mut by_name: HashMap<Cow<'a, str>, usize, foldhash::fast::RandomState> = HashMap::default();
    while !reader.is_at_end() {
        let mut message = reader.message()?;
        let start = message;
        let family = read_family(&mut message, limits, &mut series, is_lenient)?;
        match by_name.get(&family.name).and_then(|index| families.get_mut(*index)) {
            None => {
                by_name.insert(family.name.clone(), families.len());
                families.push(family);
            }
            // A family may be split into several messages.
            Some(known) if known.kind == family.kind => known.metrics.extend(family.metrics),
            Some(_) if is_lenient => families.push(family),
            Some(known) => return start.malformed(Message::about("second type for metric name …", &*known.name)),
        }
    }
    families.retain(|family| !family.metrics.is_empty());
    Ok(Exposition { families })
}

fn read_family<'a>(
    message: &mut Reader<'a>,
    limits: &Limits,
    series: &mut usize,
    is_lenient: bool,
) -> Result<Family<'a>, Error> {
    let start = *message;
    let empty = Cow::Borrowed("");
    let mut family =
        Family { name: empty.clone(), kind: Kind::Counter, help: empty.clone(), unit: empty, metrics: Vec::new() };
    let mut metrics = Vec::new();
    while let Some(field) = message.field()? {
        match field {
            (1, Value::Bytes(text)) => family.name = text.text()?,
            (2, Value::Bytes(text)) => family.help = text.text()?,
            (3, value) => family.kind = kind(value.number(), message)?,
            (4, Value::Bytes(metric)) => metrics.push(metric),
            (5, Value::Bytes(text)) => family.unit = text.text()?,
            _ => {}
        }
    }
    if !is_name(&family.name) {
        return start.malformed(Message::about("invalid metric name …", &*family.name));
    }
    check_length(&family.name, "bytes of a name", limits.name_bytes, start.position())?;
    for mut metric in metrics {
        let read = read_metric(&mut metric, &family, limits, is_lenient)?;
        *series += read.measure.series();
        if *series > limits.series {
            return Err(Error::Limit { position: metric.position(), what: "series", max: limits.series });
        }
        family.metrics.push(read);
    }
    Ok(family)
}

fn kind(number: u64, at: &Reader<'_>) -> Result<Kind, Error> {
    Ok(match number {
        0 => Kind::Counter,
        1 => Kind::Gauge,
        2 => Kind::Summary,
        3 => Kind::Untyped,
        4 => Kind::Histogram,
        5 => Kind::GaugeHistogram,
        other => return at.malformed(Message::about("unknown metric type …", other.to_string())),
    })
}

fn read_metric<'a>(
    message: &mut Reader<'a>,
    family: &Family<'a>,
    limits: &Limits,
    is_lenient: bool,
) -> Result<Metric<'a>, Error> {
    let start = *message;
    let mut metric = Metric { labels: Vec::new(), measure: Measure::Number(0.0), timestamp: None, created: None };
    let expected = if family.kind == Kind::GaugeHistogram { Kind::Histogram } else { family.kind };
    let mut measured = is_lenient.then(|| (expected, zero(expected)));
    while let Some(field) = message.field()? {
        let (kind, measure) = match field {
            (2, Value::Bytes(mut gauge)) => (Kind::Gauge, read_number(&mut gauge, &mut metric)?),
            (3, Value::Bytes(mut counter)) => (Kind::Counter, read_number(&mut counter, &mut metric)?),
            (5, Value::Bytes(mut untyped)) => (Kind::Untyped, read_number(&mut untyped, &mut metric)?),
            (4, Value::Bytes(mut summary)) => (Kind::Summary, read_summary(&mut summary, &mut metric)?),
            (7, Value::Bytes(mut histogram)) => (Kind::Histogram, read_histogram(&mut histogram, &mut metric)?),
            (1, Value::Bytes(mut label)) => {
                metric.labels.push(read_label(&mut label)?);
                continue;
            }
            (6, value) => {
                metric.timestamp = Some(value.number() as i64);
                continue;
            }
            _ => continue,
        };
        if !is_lenient || kind == expected {
            measured = Some((kind, measure));
        }
    }
    metric.measure = match measured {
        Some((kind, measure)) if kind == expected => measure,
        _ => {
            return start
                .malformed(Message::about(format!("a metric of … is no {}", family.kind.name()), &*family.name));
        }
    };
    sort_and_check(&mut metric.labels, start.position(), limits)?;
    if let Some(reason) = invalid_reason(&metric.measure) {
        return start.malformed(Message::about(format!("a metric of … has {reason}"), &*family.name));
    }
    sort_parts(&family.name, &mut metric)?;
    Ok(metric)
}

/// The value of a metric that has none.
fn zero(kind: Kind) -> Measure {
    match kind {
        Kind::Summary => Measure::Summary { count: 0.0, sum: 0.0, quantiles: Vec::new() },
        Kind::Histogram => Measure::Histogram(Box::default()),
        _ => Measure::Number(0.0),
    }
}

/// Why a measure is invalid, in addition to the checks shared with text.
fn invalid_reason(measure: &Measure) -> Option<&'static str> {
    let (count, parts, are_counts) = match measure {
        Measure::Number(_) => return None,
        Measure::Summary { count, quantiles, .. } => (*count, quantiles, false),
        Measure::Histogram(histogram) => (histogram.count, &histogram.buckets, true),
    };
    if count < 0.0 || (are_counts && parts.iter().any(|(_, count)| *count < 0.0)) {
        return Some("a negative count");
    }
    if parts.iter().any(|(bound, _)| bound.is_nan()) {
        return Some("a bound that is no number");
    }
    match measure {
        Measure::Histogram(histogram) => histogram.check_native().err(),
        _ => None,
    }
}

fn read_label<'a>(message: &mut Reader<'a>) -> Result<Label<'a>, Error> {
    let start = *message;
    let (mut name, mut value) = (Cow::Borrowed(""), Cow::Borrowed(""));
    while let Some(field) = message.field()? {
        match field {
            (1, Value::Bytes(text)) => name = text.text()?,
            (2, Value::Bytes(text)) => value = text.text()?,
            _ => {}
        }
    }
    if !is_name(&name) || name == "__name__" {
        return start.malformed(Message::about("invalid label name …", &*name));
    }
    Ok((name, value))
}

/// `Gauge`, `Counter` and `Untyped`. A counter may have a creation time.
fn read_number(message: &mut Reader<'_>, metric: &mut Metric<'_>) -> Result<Measure, Error> {
    let mut number = 0.0;
    while let Some(field) = message.field()? {
        match field {
            (1, value) => number = value.double(),
            (3, Value::Bytes(mut time)) => metric.created = Some(read_time(&mut time)?),
            _ => {}
        }
    }
    Ok(Measure::Number(number))
}

/// `google.protobuf.Timestamp`, in seconds.
fn read_time(message: &mut Reader<'_>) -> Result<f64, Error> {
    let mut seconds = 0.0;
    while let Some(field) = message.field()? {
        match field {
            (1, value) => seconds += value.number() as i64 as f64,
            (2, value) => seconds += value.number() as i64 as f64 / 1e9,
            _ => {}
        }
    }
    Ok(seconds)
}

fn read_summary(message: &mut Reader<'_>, metric: &mut Metric<'_>) -> Result<Measure, Error> {
    let (mut count, mut sum, mut quantiles) = (0.0, 0.0, Vec::new());
    while let Some(field) = message.field()? {
        match field {
            (1, value) => count = value.number() as f64,
            (2, value) => sum = value.double(),
            (3, Value::Bytes(mut quantile)) => quantiles.push(read_pair(&mut quantile)?),
            (4, Value::Bytes(mut time)) => metric.created = Some(read_time(&mut time)?),
            _ => {}
        }
    }
    Ok(Measure::Summary { count, sum, quantiles })
}

/// `Quantile`: two doubles.
fn read_pair(message: &mut Reader<'_>) -> Result<(f64, f64), Error> {
    let mut pair = (0.0, 0.0);
    while let Some(field) = message.field()? {
        match field {
            (1, value) => pair.0 = value.double(),
            (2, value) => pair.1 = value.double(),
            _ => {}
        }
    }
    Ok(pair)
}

fn read_histogram(message: &mut Reader<'_>, metric: &mut Metric<'_>) -> Result<Measure, Error> {
    let (mut histogram, mut native, mut is_native) = (Histogram::default(), Native::default(), false);
    while let Some((number, value)) = message.field()? {
        is_native |= (5..=14).contains(&number);
        match (number, value) {
            (1, value) => histogram.count = value.number() as f64,
            (2, value) => histogram.sum = value.double(),
            (3, Value::Bytes(mut bucket)) => histogram.buckets.push(read_bucket(&mut bucket)?),
            // A float count makes all counts floats.
            (4, value) => {
                histogram.count = value.double();
                native.is_float = true;
            }
            (5, value) => native.schema = value.signed() as i32,
            (6, value) => native.zero_threshold = value.double(),
            (7, value) => native.zero_count = value.number() as f64,
            (8, value) => {
                native.zero_count = value.double();
                native.is_float = true;
            }
            (field @ 9..=11, value) => read_buckets(field - 9, value, &mut native.negative)?,
            (field @ 12..=14, value) => read_buckets(field - 12, value, &mut native.positive)?,
            (15, Value::Bytes(mut time)) => metric.created = Some(read_time(&mut time)?),
            _ => {}
        }
    }
    let count = histogram.count;
    histogram.native = is_native.then(|| native.without_empty_floats(count));
    Ok(Measure::Histogram(Box::new(histogram)))
}

/// `Bucket`: the bound, and the cumulative count as an integer or a float.
fn read_bucket(message: &mut Reader<'_>) -> Result<(f64, f64), Error> {
    let (mut bound, mut count) = (0.0, 0.0);
    while let Some(field) = message.field()? {
        match field {
            (1, value) => count = value.number() as f64,
            (2, value) => bound = value.double(),
            (4, value) => count = value.double(),
            _ => {}
        }
    }
    Ok((bound, count))
}

/// The fields of one side of a native histogram: spans, deltas and counts, packed or not.
fn read_buckets(field: u64, value: Value<'_>, buckets: &mut Buckets) -> Result<(), Error> {
    match (field, value) {
        (0, Value::Bytes(mut span)) => {
            let (mut offset, mut length) = (0, 0);
            while let Some(field) = span.field()? {
                match field {
                    (1, value) => offset = value.signed() as i32,
                    (2, value) => length = value.number() as u32,
                    _ => {}
                }
            }
            buckets.spans.push((offset, length));
        }
        (1, Value::Bytes(mut packed)) => {
            while !packed.is_at_end() {
                buckets.deltas.push(unzigzag(packed.varint()?));
            }
        }
        (1, value) => buckets.deltas.push(value.signed()),
        (2, Value::Bytes(mut packed)) => {
            while !packed.is_at_end() {
                buckets.counts.push(f64::from_bits(packed.fixed64()?));
            }
        }
        (_, value) => buckets.counts.push(value.double()),
    }
    Ok(())
}
