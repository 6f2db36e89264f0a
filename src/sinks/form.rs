//! What a sink's queue holds: points of line protocol, or series of remote write.

use crate::encode::PointWriter;
use crate::encode::by_rule::MEASUREMENT;
use crate::encode::point::{CommonTags, Lines};
use crate::encode::remote::{Rewrite, SeriesEncoder};
use crate::host::Timestamp;

/// The form of what a sink sends.
pub enum Form {
    /// Points, each with these tags.
    Points(CommonTags),
    /// Series, each with these labels.
    Series(SeriesForm),
}

/// The form of series.
pub struct SeriesForm {
    /// Labels of every series; the sample's own win.
    pub labels: Vec<(String, String)>,
    /// What is left of a series, and under which name.
    pub rewrite: Option<Box<Rewrite>>,
}

impl SeriesForm {
    /// An encoder of series in this form.
    pub fn encoder<'a>(&'a self, lines: &'a mut Lines, time: Timestamp, has_metadata: bool) -> SeriesEncoder<'a> {
        SeriesEncoder::new(lines, &self.labels, self.rewrite.as_deref(), time, has_metadata)
    }
}

impl Form {
    /// Samples without a family, by their labels: names with values.
    pub fn of_samples<'s>(
        &self,
        samples: impl Iterator<Item = (&'s Vec<(String, String)>, &'s Vec<(String, f64)>)>,
        time: Timestamp,
    ) -> Lines {
        let mut lines = Lines::default();
        let pairs =
            |labels: &'s Vec<(String, String)>| labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        match self {
            Form::Points(tags) => {
                let mut out = PointWriter::new(&mut lines, tags, time);
                for (labels, values) in samples {
                    let mut point = out.free_point(MEASUREMENT, pairs(labels));
                    for (name, value) in values {
                        point.free_field::<f64>(&[name], *value);
                    }
                }
            }
            Form::Series(form) => {
                let mut out = form.encoder(&mut lines, time, false);
                for (labels, values) in samples {
                    for (name, value) in values {
                        out.series(name, pairs(labels), *value, None);
                    }
                }
            }
        }
        lines
    }
}
