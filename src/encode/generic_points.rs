//! The generic mapping of families to points, for collectors without a counterpart in Telegraf. It is the mapping of
//! Telegraf's `inputs.prometheus` with `metric_version = 2`: the measurement is `prometheus`, labels are tags, and each
//! family is a float field of the same name. Samples with the same labels share a point.

use std::collections::HashMap;

use super::PointWriter;
use super::family::{FamilyEncoder, Kind, Value};
use crate::encode::Timestamp;

/// The measurement of all generic points.
pub const MEASUREMENT: &str = "prometheus";

/// Collects families, and writes them as points.
#[derive(Debug, Default)]
pub struct PointsFromFamilies {
    name: String,
    /// The suffix of the open part, such as `_bucket`.
    suffix: &'static str,
    points: Vec<Gathered>,
    /// Indexes of points by their tags.
    indexes: HashMap<Tags, usize, foldhash::fast::RandomState>,
}

/// Sorted by key. No value is empty.
type Tags = Vec<(String, String)>;

#[derive(Debug)]
struct Gathered {
    tags: Tags,
    fields: Vec<(String, f64)>,
}

impl PointsFromFamilies {
    /// Writes the points.
    pub fn write(self, out: &mut PointWriter<'_>) {
        for gathered in self.points {
            let mut point = out.free_point(MEASUREMENT, gathered.tags.iter().map(|(k, v)| (k.as_str(), v.as_str())));
            for (name, value) in &gathered.fields {
                point.free_field::<f64>(&[name], *value);
            }
        }
    }
}

impl FamilyEncoder for PointsFromFamilies {
    fn begin(&mut self, name: &str, _: Kind, _: &str) {
        name.clone_into(&mut self.name);
        self.suffix = "";
    }

    fn part(&mut self, suffix: &'static str) {
        self.suffix = suffix;
    }

    fn sample(&mut self, names: &[&str], values: &[&str], value: Value, _: Option<Timestamp>) {
        let labels = names.iter().zip(values).filter(|(_, value)| !value.is_empty());
        let mut tags: Tags = labels.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        tags.sort_unstable();
        let field = (format!("{}{}", self.name, self.suffix), value.as_f64());
        match self.indexes.get(&tags) {
            Some(index) => self.points[*index].fields.push(field),
            None => {
                self.indexes.insert(tags.clone(), self.points.len());
                self.points.push(Gathered { tags, fields: vec![field] });
            }
        }
    }

    fn end(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::line::LineEncoder;
    use crate::encode::lines::Lines;
    use crate::encode::tags::CommonTags;
    use crate::encode::{Family, FamilyWriter};

    const INFO: Family<2> = Family::gauge("some_info", "", ["version", "id"]);
    const A: Family<0> = Family::gauge("a", "", []);
    const B: Family<0> = Family::gauge("b", "", []);

    #[test]
    fn samples_with_the_same_labels_share_a_point() {
        let mut points = PointsFromFamilies::default();
        let mut families = FamilyWriter::new(&mut points);
        families.value(&A, 1u64);
        families.family(&INFO).sample(["1", "x"], 1u64);
        families.value(&B, 2.5);
        families.family(&INFO).sample(["late", ""], 1u64);
        let (mut lines, tags) = (Lines::default(), CommonTags::default());
        points.write(&mut PointWriter::new(&mut LineEncoder::new(&mut lines), &tags, Timestamp(9)));
        assert_eq!(lines.bytes(), b"prometheus a=1,b=2.5 9\nprometheus,id=x,version=1 some_info=1 9\n".as_slice());
    }
}
