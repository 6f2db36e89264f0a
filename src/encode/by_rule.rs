//! Points of a collector for which Telegraf has no counterpart, by one rule: that of Telegraf's `inputs.prometheus`
//! with `metric_version = 2`. The measurement is `prometheus`, labels are tags, and each family is a float field of
//! its own name; samples with the same labels share a point.

use std::collections::HashMap;

use super::family::{FamilyEncoder, Kind, Value};
use super::point::PointWriter;
use crate::host::Timestamp;

/// The measurement of all points made by the rule.
pub const MEASUREMENT: &str = "prometheus";

/// Takes families in and hands points on.
#[derive(Debug, Default)]
pub struct PointsFromFamilies {
    name: String,
    /// What stands behind the name in that of a field.
    suffix: &'static str,
    points: Vec<Gathered>,
    /// The place of a point by its tags.
    places: HashMap<Tags, usize, foldhash::fast::RandomState>,
}

/// Sorted by key; no value is empty.
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
        match self.places.get(&tags) {
            Some(place) => self.points[*place].fields.push(field),
            None => {
                self.places.insert(tags.clone(), self.points.len());
                self.points.push(Gathered { tags, fields: vec![field] });
            }
        }
    }

    fn end(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::point::{CommonTags, Lines};
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
        points.write(&mut PointWriter::new(&mut lines, &tags, Timestamp(9)));
        assert_eq!(lines.bytes(), b"prometheus a=1,b=2.5 9\nprometheus,id=x,version=1 some_info=1 9\n".as_slice());
    }
}
