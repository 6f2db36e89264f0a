//! Containers' labels: which are taken over, and what those of Kubernetes say.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::json::{MAX_TEXT, shortened};
use super::source::Answer;
use super::{Named, PodNamed};
use crate::config::Filter;

/// How many labels of one container are taken.
const MAX_LABELS: usize = 64;

/// Which labels are taken over; none, by default.
#[derive(Debug, Default)]
pub(super) struct Labels {
    filter: Option<Mutex<Filter>>,
}

impl Labels {
    /// Those that the filter wants.
    pub(super) fn new(filter: Option<Filter>) -> Labels {
        Labels { filter: filter.map(Mutex::new) }
    }

    /// The wanted ones of a JSON object of labels.
    pub(super) fn of(&self, labels: Option<&Value>) -> BTreeMap<String, String> {
        let (Some(filter), Some(labels)) = (&self.filter, labels.and_then(Value::as_object)) else {
            return BTreeMap::new();
        };
        let mut filter = filter.lock().unwrap_or_else(PoisonError::into_inner);
        let sound = labels.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
        let wanted = sound.filter(|(name, _)| !name.is_empty() && name.len() <= MAX_TEXT && filter.wants(name));
        wanted.take(MAX_LABELS).map(|(name, value)| (name.clone(), shortened(value))).collect()
    }
}

/// Adds a container whose runtime keeps what Kubernetes calls it in labels, as those that serve a kubelet do.
pub(super) fn add_with_kubernetes_labels(answer: &mut Answer, id: &str, mut named: Named, labels: Option<&Value>) {
    let label = |name: &str| labels.and_then(|labels| labels.get(name)).and_then(Value::as_str).unwrap_or_default();
    named.pod = shortened(label("io.kubernetes.pod.name"));
    named.namespace = shortened(label("io.kubernetes.pod.namespace"));
    named.container = shortened(label("io.kubernetes.container.name"));
    if named.container == "POD" || label("io.kubernetes.docker.type") == "podsandbox" {
        named.is_sandbox = true;
        named.container.clear();
    }
    let pod = PodNamed { pod: named.pod.clone(), namespace: named.namespace.clone() };
    answer.add_pod(label("io.kubernetes.pod.uid"), pod);
    answer.add(id, named);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_those_on_the_list_and_not_without_bounds() {
        let labels: Value = serde_json::from_str(r#"{"app": "a", "app.tier": "b", "odd": 1, "other": "c"}"#).unwrap();
        let of = |globs: &[&str]| {
            let globs: Vec<String> = globs.iter().map(|glob| (*glob).to_owned()).collect();
            Labels::new(Some(Filter::from_globs(&globs).unwrap())).of(Some(&labels)).into_keys().collect::<Vec<_>>()
        };
        assert_eq!(of(&["app*", "odd"]), ["app", "app.tier"]);
        assert!(Labels::default().of(Some(&labels)).is_empty());

        let many: serde_json::Map<String, Value> =
            (0..1000).map(|n| (format!("l{n}"), Value::from("ü".repeat(2000)))).collect();
        let all = Labels::new(Some(Filter::default())).of(Some(&Value::Object(many)));
        assert_eq!(all.len(), MAX_LABELS);
        assert!(all.values().all(|value| value.len() <= MAX_TEXT));
    }
}
