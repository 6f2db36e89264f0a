//! The parts of summaries and histograms. In text, each is a sample.

use std::collections::HashMap;

use super::model::{Family, Label, Measure};
use super::{Error, duplicate_error};

/// Suffixes of the names of parts.
pub(super) const SUFFIXES: [(&str, Part); 6] = [
    ("_count", Part::Count),
    ("_sum", Part::Sum),
    ("_bucket", Part::Bucket),
    ("_gcount", Part::Count),
    ("_gsum", Part::Sum),
    ("_created", Part::Created),
];

/// The part of its summary or histogram that a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Itself,
    Count,
    Sum,
    Bucket,
    /// The creation time.
    Created,
}

impl Part {
    /// The bit of a part that may occur only once; 0 for others.
    pub(super) fn once(self) -> u8 {
        match self {
            Part::Count => 1,
            Part::Sum => 2,
            Part::Created => 4,
            Part::Itself | Part::Bucket => 0,
        }
    }

    pub(super) fn suffix(self) -> &'static str {
        match self {
            Part::Itself => "",
            Part::Count => "_count",
            Part::Sum => "_sum",
            Part::Bucket => "_bucket",
            Part::Created => "_created",
        }
    }
}

/// Sets the creation times of counters.
pub(super) fn set_created<'a>(family: &mut Family<'a>, created: Vec<(Vec<Label<'a>>, f64)>) -> Result<(), Error> {
    if created.is_empty() {
        return Ok(());
    }
    let mut by_labels: HashMap<&[Label<'a>], &mut Option<f64>, foldhash::fast::RandomState> = HashMap::default();
    by_labels.extend(family.metrics.iter_mut().map(|metric| (metric.labels.as_slice(), &mut metric.created)));
    for (labels, time) in &created {
        // Ignored without its counter.
        let Some(slot) = by_labels.get_mut(labels.as_slice()) else { continue };
        if slot.replace(*time).is_some() {
            return Err(duplicate_error(family.name.trim_end_matches("_total"), "_created", labels, None));
        }
    }
    Ok(())
}

pub(super) fn add(measure: &mut Measure, part: Part, bound: Option<f64>, value: f64) {
    match (measure, part) {
        (Measure::Summary { count, .. }, Part::Count) => *count = value,
        (Measure::Summary { sum, .. }, Part::Sum) => *sum = value,
        (Measure::Summary { quantiles, .. }, _) => quantiles.extend(bound.map(|quantile| (quantile, value))),
        (Measure::Histogram(histogram), Part::Count) => histogram.count = value,
        (Measure::Histogram(histogram), Part::Sum) => histogram.sum = value,
        // A sample with the histogram's own name is a bucket too, if it has a bound.
        (Measure::Histogram(histogram), _) => histogram.buckets.extend(bound.map(|bound| (bound, value))),
        (Measure::Number(_), _) => {}
    }
}
