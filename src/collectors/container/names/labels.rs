//! Container labels: which to keep, and the names in those of Kubernetes.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::json::{MAX_TEXT, Texts, truncated};
use super::query::Inventory;
use super::{Named, PodNamed};
use crate::config::Filter;

/// Maximum number of labels per container.
const MAX_LABELS: usize = 64;

/// Filter for labels. Keeps none by default.
#[derive(Debug, Default)]
pub(super) struct Labels {
    filter: Option<Mutex<Filter>>,
}

impl Labels {
    /// Keeps the labels that match the filter.
    pub(super) fn new(filter: Option<Filter>) -> Labels {
        Labels { filter: filter.map(Mutex::new) }
    }

    /// The labels that match the filter.
    pub(super) fn of(&self, labels: &Texts) -> BTreeMap<String, String> {
        let Some(filter) = &self.filter else { return BTreeMap::new() };
        let mut filter = filter.lock().unwrap_or_else(PoisonError::into_inner);
        let valid = labels.iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let wanted = valid.filter(|(name, _)| !name.is_empty() && name.len() <= MAX_TEXT && filter.wants(name));
        wanted.take(MAX_LABELS).map(|(name, value)| (name.clone(), truncated(value))).collect()
    }
}

/// Adds a container. Runtimes that serve a kubelet have the Kubernetes names in its labels.
pub(super) fn add_with_kubernetes_labels(inventory: &mut Inventory, id: &str, mut named: Named, labels: &Texts) {
    let label = |name: &str| labels.of(name);
    named.pod = truncated(label("io.kubernetes.pod.name"));
    named.namespace = truncated(label("io.kubernetes.pod.namespace"));
    named.container = truncated(label("io.kubernetes.container.name"));
    if named.container == "POD" || label("io.kubernetes.docker.type") == "podsandbox" {
        named.is_sandbox = true;
        named.container.clear();
    }
    let pod = PodNamed { pod: named.pod.clone(), namespace: named.namespace.clone() };
    inventory.add_pod(label("io.kubernetes.pod.uid"), pod);
    inventory.add(id, named);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::container::names::json::Lenient;

    #[test]
    fn labels_are_those_on_the_list_and_not_without_bounds() {
        let labels: Texts = serde_json::from_str(r#"{"app": "a", "app.tier": "b", "odd": 1, "other": "c"}"#).unwrap();
        let of = |globs: &[&str]| {
            let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
            Labels::new(Some(Filter::from_globs(&globs).unwrap())).of(&labels).into_keys().collect::<Vec<_>>()
        };
        assert_eq!(of(&["app*", "odd"]), ["app", "app.tier"]);
        assert!(Labels::default().of(&labels).is_empty());

        let many = (0..1000).map(|n| (format!("l{n}"), Lenient(Some("ü".repeat(2000))))).collect();
        let all = Labels::new(Some(Filter::default())).of(&Lenient(many));
        assert_eq!(all.len(), MAX_LABELS);
        assert!(all.values().all(|value| value.len() <= MAX_TEXT));
    }
}
