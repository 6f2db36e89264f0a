//! Merges the families of all files.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::families::{Family, Metric, SeenLabels, put_in_order};
use super::problems::{Problems, shown};
use crate::encode::names::is_plain_metric_name;

/// A merged family, with the file that determines its type and help.
#[derive(Debug)]
pub(in crate::collectors) struct Shown {
    pub(in crate::collectors) family: Family,
    pub(in crate::collectors) file: Arc<str>,
    /// Label sets of the metrics, if several files have some.
    seen: Option<SeenLabels>,
}

/// What was omitted, and why.
pub(in crate::collectors) type LeftOut = BTreeMap<Arc<str>, Problems>;

/// Merges the families of all files, in the order of exposition, and lists what was omitted. If files share a family,
/// the first one determines type and help, and the first one with a series keeps it. Names that need no escaping come
/// first, so that a name that escapes to the same text cannot replace them.
pub(in crate::collectors) fn merge<'f>(files: impl Iterator<Item = (Arc<str>, &'f [Family])>) -> (Vec<Shown>, LeftOut) {
    let mut families: BTreeMap<(bool, String), Shown> = BTreeMap::new();
    let mut left_out = LeftOut::new();
    for (file, said) in files {
        for family in said {
            match families.entry((!is_plain_metric_name(&family.name), family.name.clone())) {
                Entry::Vacant(slot) => {
                    slot.insert(Shown::new(family.clone(), file.clone()));
                }
                Entry::Occupied(mut known) => {
                    if let Some((kind, reason)) = known.get_mut().add(family) {
                        left_out.entry(file.clone()).or_default().add(kind, || reason);
                    }
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

/// `x_count` would become part of a summary `x`.
fn leave_parts_out(families: &mut BTreeMap<(bool, String), Shown>, left_out: &mut LeftOut) {
    let whole: Vec<(bool, String, &[&str])> = families
        .values()
        .filter(|shown| shown.family.suffixes().len() > 1)
        .map(|Shown { family, .. }| (!is_plain_metric_name(&family.name), family.name.clone(), family.suffixes()))
        .collect();
    for (is_odd, name, suffixes) in whole {
        for part in suffixes.iter().filter(|suffix| !suffix.is_empty()).map(|suffix| format!("{name}{suffix}")) {
            if let Some(Shown { file, .. }) = families.remove(&(is_odd, part.clone())) {
                let reason = || format!("{} is a part of {}, and left out here", shown(&part), shown(&name));
                left_out.entry(file).or_default().add("part", reason);
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

    /// Adds the data of another file for the same family. Returns the kind and message of what was omitted.
    fn add(&mut self, other: &Family) -> Option<(&'static str, String)> {
        let name = shown(&other.name);
        if self.family.kind != other.kind {
            return Some(("type", format!("{name} is of another type in a file before it, and left out here")));
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
        let words = || format!("{repeated} series of {name} are in a file before it too, and left out here");
        (repeated > 0).then(|| ("series", words()))
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
        let messages = |(file, problems): (&Arc<str>, &Problems)| -> Vec<String> {
            problems.messages().map(|problem| format!("{file}: {problem}")).collect()
        };
        (shown, left_out.iter().flat_map(messages).collect())
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
                "b: 1 series of \"x\" are in a file before it too, and left out here",
                "c: \"x\" is of another type in a file before it, and left out here",
                "d: 1 series of \"x\" are in a file before it too, and left out here",
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
        assert_eq!(left_out, ["a: \"h_count\" is a part of \"h\", and left out here"]);
    }

    #[test]
    fn names_that_need_no_escaping_come_first() {
        let (shown, _) = merged(&[("a", "{\"a.b\"} 1\na_b 2\n")]);
        let names: Vec<&str> = shown.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a_b", "a.b"]);
    }
}
