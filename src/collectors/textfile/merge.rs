//! The families of all files together.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::families::{Family, Metric, SeenLabels, put_in_order};
use crate::encode::names::is_plain_metric_name;

/// A family as it is shown, with the file that says its type and help text.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) family: Family,
    pub(super) file: Arc<str>,
    /// Of the metrics, where several files have some.
    seen: Option<SeenLabels>,
}

/// What a file says that is left out, and why.
#[derive(Debug, PartialEq)]
pub(super) struct LeftOut {
    pub(super) file: Arc<str>,
    pub(super) reason: String,
}

/// The families of all files, in the order in which they are shown, and what is left out. Where files say something of
/// one family, the first of them says its type and help text, and the first that has a series keeps it. Names that need
/// no escaping come first, so that others that look like them once they are escaped do not take their places.
pub(super) fn merge<'f>(files: impl Iterator<Item = (Arc<str>, &'f [Family])>) -> (Vec<Shown>, Vec<LeftOut>) {
    let mut families: BTreeMap<(bool, String), Shown> = BTreeMap::new();
    let mut left_out = Vec::new();
    for (file, said) in files {
        for family in said {
            match families.entry((!is_plain_metric_name(&family.name), family.name.clone())) {
                Entry::Vacant(place) => {
                    place.insert(Shown::new(family.clone(), file.clone()));
                }
                Entry::Occupied(mut known) => {
                    let reason = known.get_mut().add(family);
                    left_out.extend(reason.map(|reason| LeftOut { file: file.clone(), reason }));
                }
            }
        }
    }
    leave_parts_out(&mut families, &mut left_out);
    for shown in families.values_mut() {
        if shown.seen.take().is_some() {
            let metrics: &mut Vec<Metric> = Arc::make_mut(&mut shown.family.metrics);
            put_in_order(metrics);
        }
    }
    (families.into_values().collect(), left_out)
}

/// `x_count` beside a summary `x` would be a part of it.
fn leave_parts_out(families: &mut BTreeMap<(bool, String), Shown>, left_out: &mut Vec<LeftOut>) {
    let whole: Vec<(bool, String, &[&str])> = families
        .values()
        .filter(|shown| shown.family.suffixes().len() > 1)
        .map(|Shown { family, .. }| (!is_plain_metric_name(&family.name), family.name.clone(), family.suffixes()))
        .collect();
    for (is_odd, name, suffixes) in whole {
        for part in suffixes.iter().filter(|suffix| !suffix.is_empty()).map(|suffix| format!("{name}{suffix}")) {
            if let Some(Shown { file, .. }) = families.remove(&(is_odd, part.clone())) {
                left_out.push(LeftOut { file, reason: format!("{part} is a part of {name}, and left out here") });
            }
        }
    }
}

impl Shown {
    fn new(mut family: Family, file: Arc<str>) -> Self {
        if family.help.is_empty() {
            family.help = format!("Metric read from {file}");
        }
        Shown { family, file, seen: None }
    }

    /// Adds what another file says of the same family; gives what is left out of that.
    fn add(&mut self, other: &Family) -> Option<String> {
        let name = &other.name;
        if self.family.kind != other.kind {
            return Some(format!("{name} is of another type in a file before it, and left out here"));
        }
        let metrics = &mut self.family.metrics;
        let seen = self.seen.get_or_insert_with(|| {
            let mut seen = SeenLabels::default();
            for metric in metrics.iter() {
                seen.insert(&metric.labels);
            }
            seen
        });
        let new: Vec<Metric> = other.metrics.iter().filter(|metric| seen.insert(&metric.labels)).cloned().collect();
        let repeated = other.metrics.len() - new.len();
        if !new.is_empty() {
            Arc::make_mut(metrics).extend(new);
        }
        (repeated > 0).then(|| format!("{repeated} series of {name} are in a file before it too, and left out here"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::families::read;
    use super::*;

    fn merged(files: &[(&str, &str)]) -> (Vec<(String, usize)>, Vec<String>) {
        let read: Vec<(Arc<str>, Vec<Family>)> =
            files.iter().map(|(name, text)| (Arc::from(*name), read(text.as_bytes()).0)).collect();
        let (shown, left_out) = merge(read.iter().map(|(name, families)| (name.clone(), families.as_slice())));
        let shown = shown.into_iter().map(|shown| (shown.family.name, shown.family.metrics.len())).collect();
        (shown, left_out.into_iter().map(|out| format!("{}: {}", out.file, out.reason)).collect())
    }

    #[test]
    fn files_share_families_and_the_first_keeps_a_series() {
        let (shown, left_out) = merged(&[
            ("a", "x{n=\"1\"} 1\ny 1\n"),
            ("b", "x{n=\"2\"} 1\nx{n=\"1\"} 2\n"),
            ("c", "# TYPE x gauge\nx{n=\"3\"} 1\n\"\"\n"),
            ("d", "x{n=\"3\"} 1\nx{n=\"2\"} 1\n"),
        ]);
        assert_eq!(shown, [("x".to_owned(), 3), ("y".to_owned(), 1)]);
        assert_eq!(
            left_out,
            [
                "b: 1 series of x are in a file before it too, and left out here",
                "c: x is of another type in a file before it, and left out here",
                "d: 1 series of x are in a file before it too, and left out here",
            ]
        );
    }

    #[test]
    fn a_part_of_a_histogram_is_no_family_of_its_own() {
        let (shown, left_out) = merged(&[
            ("a", "h_count 5\n"),
            (
                "b",
                "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 2\nh_count 1\n# TYPE s summary\ns_sum 1\ns_count 1\ns_bucket 2\n",
            ),
        ]);
        let names: Vec<&str> = shown.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["h", "s", "s_bucket"]);
        assert_eq!(left_out, ["a: h_count is a part of h, and left out here"]);
    }

    #[test]
    fn names_that_need_no_escaping_come_first() {
        let (shown, _) = merged(&[("a", "{\"a.b\"} 1\na_b 2\n")]);
        let names: Vec<&str> = shown.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a_b", "a.b"]);
    }
}
