//! Targets as discovery finds them.

use std::collections::BTreeMap;

/// Targets that discovery found, with their common labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Group {
    /// Addresses or URLs.
    pub(super) targets: Vec<String>,
    /// Labels, including those that begin with `__meta_`.
    pub(super) labels: BTreeMap<String, String>,
}

/// The part of a label's name that stands for a label of a container or an annotation.
pub(super) fn label_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}
