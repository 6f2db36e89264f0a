//! Scrapes as points, as Telegraf's `inputs.prometheus` writes them.
//!
//! Version 1 has a measurement for each family, and a point for each metric. Version 2 has one measurement for all,
//! and a field for each sample; samples with the same labels share a point. The labels `job` and `instance` of the
//! target are no tags: the URL is.

use std::collections::HashMap;

use super::scrape::Scrape;
use super::series::{Head, Sample, Value, hash};
use crate::encode::parse::model::{Histogram, Kind};
use crate::encode::point::MeasurementInfo;
use crate::encode::{Field, Measurement, PointWriter, Timestamp};

const UP: Field<u64> = Field::new("up", "1 if the last scrape succeeded, else 0");
const DURATION: Field<f64> = Field::new("duration", "duration of the scrape in seconds");
const SCRAPED: Field<u64> = Field::new("samples_scraped", "samples on the page");
const KEPT: Field<u64> = Field::new("samples_kept", "samples that metric_relabel_configs left");
/// Whether targets can be reached. Telegraf has no counterpart.
const TARGET: Measurement<3> = Measurement::new(
    "taffrail_target",
    ["input", "job", "url"],
    &[UP.info(), DURATION.info(), SCRAPED.info(), KEPT.info()],
);

/// The measurements.
pub(super) const MEASUREMENTS: &[MeasurementInfo] = &[TARGET.info()];

/// Writes the points of scrapes.
pub(super) fn write<'s>(scrapes: impl Iterator<Item = &'s Scrape>, out: &mut PointWriter<'_>) {
    for scrape in scrapes {
        let Some(report) = &scrape.report else { continue };
        let target = &scrape.target;
        let mut point = out.point_at(scrape.at, &TARGET, ["prometheus", &target.job.name, &target.shown_url]);
        point.field(&UP, report.is_up.into()).field(&DURATION, report.duration);
        point.field(&SCRAPED, report.scraped).field(&KEPT, report.kept);
        drop(point);
        match target.job.points.has_one_measurement {
            false => write_by_family(scrape, out),
            true => write_in_one(scrape, out),
        }
    }
}

/// The tags of a sample, without the label `bound`.
fn tags<'s>(scrape: &'s Scrape, sample: &'s Sample, bound: &str) -> Vec<(&'s str, &'s str)> {
    let target = &scrape.target;
    let is_of_target = |name: &str, value: &str| {
        ["instance", "job"].contains(&name) && target.labels.get(name).is_some_and(|of_target| of_target == value)
    };
    let labels = sample.series.labels();
    let mut tags: Vec<_> = labels.filter(|(name, value)| *name != bound && !is_of_target(name, value)).collect();
    let family = &sample.series.family;
    for (tag, value) in [(&*target.job.points.url_tag, &*target.shown_url), ("unit", &*family.unit)] {
        if !tag.is_empty() && !value.is_empty() && !tags.iter().any(|(name, _)| *name == tag) {
            tags.push((tag, value));
        }
    }
    tags.sort_unstable();
    tags
}

fn time(scrape: &Scrape, sample: &Sample) -> Timestamp {
    sample.timestamp.map_or(scrape.at, |milliseconds| Timestamp(milliseconds.saturating_mul(1_000_000)))
}

/// The value of a label.
fn label<'s>(sample: &'s Sample, name: &str) -> Option<&'s str> {
    sample.series.labels().find(|(label, _)| *label == name).map(|(_, value)| value)
}

/// The name of a family in points. OpenMetrics counts without `_total`.
fn name(family: &Head) -> &str {
    let suffix = match family.kind {
        Kind::Counter => "_total",
        Kind::Info => "_info",
        _ => "",
    };
    let bare = if family.is_open_metrics { family.name.strip_suffix(suffix) } else { None };
    bare.filter(|bare| !bare.is_empty()).unwrap_or(&family.name)
}

/// Version 1: a point for each metric.
fn write_by_family(scrape: &Scrape, out: &mut PointWriter<'_>) {
    for (family, range) in &scrape.families {
        let bound = match family.kind {
            Kind::StateSet => family.name.as_str(),
            _ => family.bound_label(),
        };
        let is_same = |one: &Sample, other: &Sample| {
            family.is_compound() && one.series.metric == other.series.metric && one.timestamp == other.timestamp
        };
        for metric in scrape.samples[range.clone()].chunk_by(is_same) {
            let tags = tags(scrape, &metric[0], bound);
            let mut point = out.free_point_at(time(scrape, &metric[0]), name(family), tags.into_iter());
            for sample in metric {
                let value = match &sample.value {
                    Value::Number(value) => *value,
                    Value::Native(histogram) => {
                        count_and_sum(histogram, "", &mut |name, value| {
                            point.free_field::<f64>(&[name], value);
                        });
                        continue;
                    }
                };
                let field = match (family.kind, sample.series.suffix) {
                    (_, "_sum") => "sum",
                    (_, "_count") => "count",
                    (Kind::Counter, _) => "counter",
                    (Kind::Gauge, _) => "gauge",
                    (Kind::Info, _) => {
                        point.free_field::<i64>(&["info"], value as i64);
                        continue;
                    }
                    (Kind::StateSet, _) => {
                        point.free_field::<bool>(&[label(sample, bound).unwrap_or_default()], value != 0.0);
                        continue;
                    }
                    (Kind::Summary | Kind::Histogram, _) => label(sample, bound).unwrap_or("value"),
                    _ => "value",
                };
                point.free_field::<f64>(&[field], value);
            }
        }
    }
}

/// Version 2: a point for each set of labels.
fn write_in_one(scrape: &Scrape, out: &mut PointWriter<'_>) {
    let mut points: Vec<Vec<&Sample>> = Vec::new();
    let mut indexes = HashMap::new();
    for sample in &scrape.samples {
        let labels: Vec<(&str, &str)> = sample.series.labels().collect();
        let key = hash((labels, &sample.series.family.unit, sample.timestamp));
        let index = *indexes.entry(key).or_insert_with(|| {
            points.push(Vec::new());
            points.len() - 1
        });
        points[index].push(sample);
    }
    for samples in points {
        let Some(first) = samples.first() else { continue };
        let is_open_metrics = first.series.family.is_open_metrics;
        let measurement = if is_open_metrics { "openmetric" } else { "prometheus" };
        let state = if first.series.family.kind == Kind::StateSet { &*first.series.family.name } else { "" };
        let tags = tags(scrape, first, state);
        let mut point = out.free_point_at(time(scrape, first), measurement, tags.into_iter());
        for sample in samples {
            let (family, suffix) = (&sample.series.family, sample.series.suffix);
            match &sample.value {
                Value::Native(histogram) => {
                    count_and_sum(histogram, &family.name, &mut |name, value| {
                        point.free_field::<f64>(&[name], value);
                    });
                }
                Value::Number(value) => match family.kind {
                    Kind::Info => {
                        point.free_field::<i64>(&[&family.name], *value as i64);
                    }
                    Kind::StateSet => {
                        let state = label(sample, &family.name).unwrap_or_default();
                        point.free_field::<bool>(&[&family.name, "_", state], *value != 0.0);
                    }
                    _ => {
                        point.free_field::<f64>(&[name(family), suffix], *value);
                    }
                },
            }
        }
    }
}

/// What points have of a native histogram.
fn count_and_sum(histogram: &Histogram, family: &str, put: &mut dyn FnMut(&str, f64)) {
    let prefix = if family.is_empty() { String::new() } else { format!("{family}_") };
    put(&format!("{prefix}count"), histogram.count);
    put(&format!("{prefix}sum"), histogram.sum);
}
