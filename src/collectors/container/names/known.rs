//! Names merged from all sources.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::query::Inventory;
use super::{EngineState, Named, PodNamed};

/// Merged names at a point in time.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) containers: HashMap<String, Arc<Named>>,
    pub(super) pods: HashMap<String, Arc<PodNamed>>,
    pub(super) engines: Vec<Arc<EngineState>>,
    /// Changes with each change of the names, not of the engines.
    pub(super) generation: u64,
}

impl Known {
    /// Merges `inventories`, best first. `None` if nothing has changed.
    pub(super) fn merge<'a>(&self, inventories: impl Iterator<Item = &'a Inventory>) -> Option<Known> {
        let (mut containers, mut pods, mut engines) = (HashMap::new(), HashMap::new(), Vec::new());
        for inventory in inventories {
            for (id, named) in &inventory.containers {
                match containers.get_mut(id) {
                    None => drop(containers.insert(id.clone(), named.clone())),
                    Some(better) => fill_empty(better, named),
                }
            }
            engines.extend(inventory.engine.clone());
            for (uid, pod) in &inventory.pods {
                if !pods.contains_key(uid) {
                    pods.insert(uid.clone(), pod.clone());
                }
            }
        }
        let (containers, pods) = (share(containers, &self.containers), share(pods, &self.pods));
        let is_same = containers == self.containers && pods == self.pods;
        let generation = self.generation.wrapping_add(u64::from(!is_same));
        (!is_same || engines != self.engines).then_some(Known { containers, pods, engines, generation })
    }
}

/// Reuses unchanged values.
fn share<K: Hash + Eq, V: PartialEq>(new: HashMap<K, V>, old: &HashMap<K, Arc<V>>) -> HashMap<K, Arc<V>> {
    let shared = |(key, value): (K, V)| match old.get(&key) {
        Some(known) if **known == value => (key, known.clone()),
        _ => (key, Arc::new(value)),
    };
    new.into_iter().map(shared).collect()
}

/// Fills empty fields of `better` from `other`.
fn fill_empty(better: &mut Named, other: &Named) {
    let texts = [
        (&mut better.name, &other.name),
        (&mut better.image, &other.image),
        (&mut better.pod, &other.pod),
        (&mut better.namespace, &other.namespace),
        (&mut better.container, &other.container),
        (&mut better.status, &other.status),
    ];
    for (text, other) in texts.into_iter().filter(|(text, _)| text.is_empty()) {
        text.clone_from(other);
    }
    better.is_sandbox |= other.is_sandbox;
    for (label, value) in &other.labels {
        if !better.labels.contains_key(label) {
            better.labels.insert(label.clone(), value.clone());
        }
    }
    better.started_at = better.started_at.or(other.started_at);
    better.restart_count = better.restart_count.or(other.restart_count);
    better.pid = better.pid.or(other.pid);
    better.oom_killed = better.oom_killed.or(other.oom_killed);
    better.exit_code = better.exit_code.or(other.exit_code);
    better.oom_end = better.oom_end.take().or_else(|| other.oom_end.clone());
    better.health = better.health.or(other.health);
    better.engine_host = better.engine_host.take().or_else(|| other.engine_host.clone());
    better.server_version = better.server_version.take().or_else(|| other.server_version.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(id: &str, named: Named) -> Inventory {
        let mut inventory = Inventory::default();
        inventory.add(id, named);
        inventory.add_pod("uid", PodNamed { pod: id.to_owned(), namespace: "n".to_owned() });
        inventory
    }

    #[test]
    fn the_best_source_wins_and_the_next_fills_what_is_empty() {
        let labels = |value: &str| [("tier".to_owned(), value.to_owned()), (value.to_owned(), String::new())].into();
        let best = Named { image: "app:1".into(), pod: "web".into(), labels: labels("a"), ..Named::default() };
        let next =
            Named { image: "sha".into(), name: "n".into(), pid: Some(7), labels: labels("b"), ..Named::default() };
        let last = Named { pid: Some(8), is_sandbox: true, ..Named::default() };
        let inventories =
            [inventory("1", best), inventory("1", next), inventory("1", last), inventory("2", Named::default())];
        let known = Known::default().merge(inventories.iter()).unwrap();
        let expected = Named {
            name: "n".into(),
            image: "app:1".into(),
            pod: "web".into(),
            pid: Some(7),
            is_sandbox: true,
            labels: [("a", ""), ("b", ""), ("tier", "a")].map(|(key, value)| (key.into(), value.into())).into(),
            ..Named::default()
        };
        assert_eq!(*known.containers["1"], expected);
        assert!(!known.containers.contains_key("2"), "nothing is known of it");
        assert_eq!(known.pods["uid"].pod, "1");
    }

    #[test]
    fn the_generation_changes_with_what_is_known_and_what_has_not_changed_is_shared() {
        let named = |name: &str| Named { name: name.to_owned(), ..Named::default() };
        let one = Known::default().merge([inventory("1", named("a"))].iter()).unwrap();
        assert!(one.merge([inventory("1", named("a"))].iter()).is_none());
        let two = one.merge([inventory("1", named("a")), inventory("2", named("b"))].iter()).unwrap();
        assert_ne!(one.generation, two.generation);
        assert!(Arc::ptr_eq(&one.containers["1"], &two.containers["1"]));
        let none = two.merge([].iter()).unwrap();
        assert!(none.containers.is_empty() && none.pods.is_empty());
    }
}
