//! What a sink's queue holds: points of line protocol, or series of remote write.

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
    pub rewrite: Option<Box<dyn Rewrite>>,
    /// Whether types and help texts go with every reading, and not now and then.
    pub has_metadata_always: bool,
}

impl SeriesForm {
    /// An encoder of series in this form.
    pub fn encoder<'a>(&'a self, lines: &'a mut Lines, time: Timestamp, has_metadata: bool) -> SeriesEncoder<'a> {
        SeriesEncoder::new(lines, &self.labels, self.rewrite.as_deref(), time, has_metadata)
    }
}
