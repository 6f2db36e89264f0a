//! What all sources together know.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::source::Answer;
use super::{Named, PodNamed};

/// What is known at one moment.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) containers: HashMap<String, Arc<Named>>,
    pub(super) pods: HashMap<String, Arc<PodNamed>>,
    /// Differs from that of anything else that was known before.
    pub(super) generation: u64,
}

impl Known {
    /// What `answers`, the best first, say together; nothing, if that is what was known already.
    pub(super) fn merge<'a>(&self, answers: impl Iterator<Item = &'a Answer>) -> Option<Known> {
        let (mut containers, mut pods) = (HashMap::new(), HashMap::new());
        for answer in answers {
            for (id, named) in &answer.containers {
                match containers.get_mut(id) {
                    None => drop(containers.insert(id.clone(), named.clone())),
                    Some(better) => complete(better, named),
                }
            }
            for (uid, pod) in &answer.pods {
                if !pods.contains_key(uid) {
                    pods.insert(uid.clone(), pod.clone());
                }
            }
        }
        let (containers, pods) = (share(containers, &self.containers), share(pods, &self.pods));
        let is_same = containers == self.containers && pods == self.pods;
        (!is_same).then(|| Known { containers, pods, generation: self.generation.wrapping_add(1) })
    }
}

/// Shares what has not changed with what was known before.
fn share<K: Hash + Eq, V: PartialEq>(new: HashMap<K, V>, old: &HashMap<K, Arc<V>>) -> HashMap<K, Arc<V>> {
    let shared = |(key, value): (K, V)| match old.get(&key) {
        Some(known) if **known == value => (key, known.clone()),
        _ => (key, Arc::new(value)),
    };
    new.into_iter().map(shared).collect()
}

/// Fills what is empty in `better` from `other`.
fn complete(better: &mut Named, other: &Named) {
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
    better.health = better.health.or(other.health);
    better.engine_host = better.engine_host.take().or_else(|| other.engine_host.clone());
    better.server_version = better.server_version.take().or_else(|| other.server_version.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(id: &str, named: Named) -> Answer {
        let mut answer = Answer::default();
        answer.add(id, named);
        answer.add_pod("uid", PodNamed { pod: id.to_owned(), namespace: "n".to_owned() });
        answer
    }

    #[test]
    fn the_best_source_wins_and_the_next_fills_what_is_empty() {
        let labels = |value: &str| [("tier".to_owned(), value.to_owned()), (value.to_owned(), String::new())].into();
        let best = Named { image: "app:1".into(), pod: "web".into(), labels: labels("a"), ..Named::default() };
        let next =
            Named { image: "sha".into(), name: "n".into(), pid: Some(7), labels: labels("b"), ..Named::default() };
        let last = Named { pid: Some(8), is_sandbox: true, ..Named::default() };
        let answers = [answer("1", best), answer("1", next), answer("1", last), answer("2", Named::default())];
        let known = Known::default().merge(answers.iter()).unwrap();
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
        let one = Known::default().merge([answer("1", named("a"))].iter()).unwrap();
        assert!(one.merge([answer("1", named("a"))].iter()).is_none());
        let two = one.merge([answer("1", named("a")), answer("2", named("b"))].iter()).unwrap();
        assert_ne!(one.generation, two.generation);
        assert!(Arc::ptr_eq(&one.containers["1"], &two.containers["1"]));
        let none = two.merge([].iter()).unwrap();
        assert!(none.containers.is_empty() && none.pods.is_empty());
    }
}
