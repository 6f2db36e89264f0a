//! Merging a push with the families that its group has.

use std::collections::HashMap;
use std::fmt;

use super::State;
use crate::encode::parse::model::{Exposition, Family, Kind, Label, Metric};
use crate::gateway::groups::block::shown_labels;
use crate::gateway::groups::conflict::Conflict;
use crate::gateway::groups::merge::{Mode, combine};
use crate::gateway::key::Key;

/// A series of a family while a push is merged.
struct Merged {
    /// Its index in the family.
    index: usize,
    /// Whether the push has named it already.
    is_pushed: bool,
}

impl State {
    /// The push, with each of its families merged with the one that the group has.
    ///
    /// # Errors
    /// Values that cannot be added, or a family with another type in the group.
    pub fn merged<'p>(&self, key: &Key, pushed: Exposition<'p>, mode: Mode) -> Result<Exposition<'p>, Conflict> {
        let mut families = Vec::with_capacity(pushed.families.len());
        for family in pushed.families {
            families.push(self.merged_family(key, family, mode)?);
        }
        Ok(Exposition { families })
    }

    fn merged_family<'p>(&self, key: &Key, mut family: Family<'p>, mode: Mode) -> Result<Family<'p>, Conflict> {
        let present = self.number(key).and_then(|number| self.family_of(&family.name, number));
        let Some(present) = present else { return Ok(family) };
        if present.kind != stored_kind(family.kind) {
            let (name, is) = (family.name.to_string(), family.kind);
            return Err(Conflict::Kind { name, is, elsewhere: present.kind, other: key.clone() });
        }
        let mut before: Vec<Metric<'static>> = Vec::with_capacity(present.block.metrics());
        present.block.decode(&present.name, present.kind, &present.help, &mut |read| {
            before.extend(read.metrics.iter().map(owned));
        });
        let mut by_labels: HashMap<Vec<(String, String)>, Merged> = HashMap::with_capacity(before.len());
        for (index, metric) in before.iter().enumerate() {
            by_labels.insert(labels(metric, key), Merged { index, is_pushed: false });
        }
        let mut metrics: Vec<Metric<'p>> = before.into_iter().collect();
        for pushed in family.metrics {
            let labels = labels(&pushed, key);
            let series = |labels: &[(String, String)]| format!("{}{}", family.name, Shown(labels));
            match by_labels.get_mut(&labels) {
                None => {
                    by_labels.insert(labels, Merged { index: metrics.len(), is_pushed: true });
                    metrics.push(pushed);
                }
                // Once merged, a duplicate would go unnoticed.
                Some(merged) if merged.is_pushed => return Err(Conflict::Twice { series: series(&labels) }),
                Some(merged) => {
                    merged.is_pushed = true;
                    let combined = combine(family.kind, &metrics[merged.index], &pushed, mode);
                    metrics[merged.index] =
                        combined.map_err(|reason| Conflict::Merge { series: series(&labels), reason })?;
                }
            }
        }
        family.metrics = metrics;
        Ok(family)
    }
}

/// The type that a family is stored with.
fn stored_kind(kind: Kind) -> Kind {
    if matches!(kind, Kind::Info | Kind::StateSet) { Kind::Gauge } else { kind }
}

struct Shown<'l>(&'l [(String, String)]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        write!(f, "{{{}}}", shown.join(","))
    }
}

/// The non-empty labels of a metric in the group.
fn labels(metric: &Metric<'_>, key: &Key) -> Vec<(String, String)> {
    let shown = shown_labels(metric, key).into_iter().filter(|(_, value)| !value.is_empty());
    shown.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn owned(metric: &Metric<'_>) -> Metric<'static> {
    let own = |(name, value): &Label<'_>| (name.clone().into_owned().into(), value.clone().into_owned().into());
    Metric { labels: metric.labels.iter().map(own).collect(), ..metric.clone_without_labels() }
}
