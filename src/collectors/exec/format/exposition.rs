//! The points of an exposition, as Telegraf's parser of Prometheus's formats makes them.

use std::borrow::Cow;

use crate::collectors::foreign::Family;
use crate::encode::parse::line::{FieldValue, Point};
use crate::encode::parse::model::Kind;

/// How an exposition becomes points: as Telegraf's `metric_version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetricVersion {
    One,
    Two,
}

/// The points of a family.
pub(super) fn exposition_points(family: &Family, version: MetricVersion) -> Vec<Point<'static>> {
    let mut points: Vec<Point<'static>> = Vec::new();
    for metric in family.metrics.iter() {
        let first = points.len();
        metric.samples(&mut |suffix, labels, value| {
            if !value.is_finite() {
                return;
            }
            let (mut labels, mut bound) = (labels.clone(), None);
            let (measurement, field) = match version {
                MetricVersion::Two => ("prometheus", format!("{}{suffix}", family.name)),
                MetricVersion::One => {
                    labels.retain(|(name, value)| {
                        let is_bound = family.suffixes().len() > 1 && ["le", "quantile"].contains(&name.as_str());
                        if is_bound {
                            bound = Some(value.clone());
                        }
                        !is_bound
                    });
                    (family.name.as_str(), bound.unwrap_or_else(|| field_of(family.kind, suffix).to_owned()))
                }
            };
            let tags: Vec<(Cow<'static, str>, Cow<'static, str>)> =
                labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
            let field = (Cow::Owned(field), FieldValue::Float(value));
            match points[first..].iter_mut().find(|point| point.tags == tags) {
                Some(point) => point.fields.push(field),
                None => points.push(Point {
                    measurement: measurement.to_owned().into(),
                    tags,
                    fields: vec![field],
                    time: None,
                }),
            }
        });
    }
    points
}

/// The field of a sample in `metric_version` 1.
fn field_of(kind: Kind, suffix: &str) -> &str {
    match (kind, suffix.strip_prefix('_')) {
        (_, Some(part)) => part,
        (Kind::Counter, None) => "counter",
        (Kind::Gauge | Kind::Info | Kind::StateSet, None) => "gauge",
        _ => "value",
    }
}
