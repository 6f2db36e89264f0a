//! Why the last push to a group was refused, for the page and the JSON.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::groups::times::Times;
use super::key::Key;
use super::request::refusal::one_line;

/// Groups with a reason. Over this limit, the oldest reason is dropped.
const MAX_GROUPS: usize = 1000;
/// Characters of a reason.
const MAX_LENGTH: usize = 500;

/// The reasons of the last refused pushes, for at most 1,000 groups. They are not persisted.
#[derive(Default)]
pub struct LastRefusals(Mutex<HashMap<Key, Refused>>);

struct Refused {
    time: f64,
    reason: Arc<str>,
}

impl LastRefusals {
    /// Records the reason of a push that was refused at `time`, in seconds of Unix time.
    pub fn record(&self, key: &Key, time: f64, reason: &str) {
        let reason = one_line(reason, MAX_LENGTH).into();
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if groups.len() >= MAX_GROUPS && !groups.contains_key(key) {
            let oldest = groups.iter().min_by(|(_, one), (_, other)| one.time.total_cmp(&other.time));
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                groups.remove(&oldest);
            }
        }
        groups.insert(key.clone(), Refused { time, reason });
    }

    /// Why the last refused push to a group was refused, as one line. `times` are the group's: a reason from before the
    /// group was deleted is not its own.
    pub fn reason(&self, key: &Key, times: Times) -> Option<Arc<str>> {
        let groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        groups.get(key).filter(|refused| refused.time == times.failed).map(|refused| refused.reason.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::groups::tests::key;

    #[test]
    fn a_group_has_the_reason_of_its_last_refusal() {
        let refusals = LastRefusals::default();
        let at = |failed| Times { failed, ..Times::default() };
        refusals.record(&key("job/a"), 1.0, "first\n");
        refusals.record(&key("job/a"), 2.0, "second\n");
        assert_eq!(refusals.reason(&key("job/a"), at(2.0)).as_deref(), Some("second"));
        assert_eq!(refusals.reason(&key("job/a"), at(0.0)), None, "the group was deleted since");
        assert_eq!(refusals.reason(&key("job/b"), at(2.0)), None);
    }

    #[test]
    fn the_reasons_of_a_thousand_groups_are_retained() {
        let refusals = LastRefusals::default();
        for number in 0..1500 {
            refusals.record(&key(&format!("job/{number}")), f64::from(number), &"x".repeat(5000));
        }
        let reason = |number: u32| {
            refusals.reason(&key(&format!("job/{number}")), Times { failed: number.into(), ..Times::default() })
        };
        assert_eq!((reason(499), reason(500).unwrap().chars().count()), (None, MAX_LENGTH + 1));
        assert_eq!(refusals.0.lock().unwrap().len(), MAX_GROUPS);
    }
}
