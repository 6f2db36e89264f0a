//! Names that text 0.0.4 does not allow, in the escaping that the scraper requests.
//!
//! Lossy escapings can make two names equal. The second one is then escaped reversibly, as in the agent's exposition.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::encode::names::{Escaping, escaped_labels, is_plain_label_name, is_plain_metric_name};
use crate::encode::parse::model::{Kind, Metric};
use crate::gateway::groups::names;
use crate::gateway::groups::state::{FamilyEntry, Snapshot};

/// The names of families in one exposition.
pub(in crate::gateway) struct FamilyNames<'s> {
    escaping: Escaping,
    all: &'s Snapshot,
    /// The types of the exposition's other families: self-metrics and points.
    others: &'s dyn Fn(&str) -> Option<Kind>,
    assigned: HashMap<String, Kind>,
}

impl<'s> FamilyNames<'s> {
    /// The names of the families of `all` next to `others`.
    pub(in crate::gateway) fn new(
        escaping: Escaping,
        all: &'s Snapshot,
        others: &'s dyn Fn(&str) -> Option<Kind>,
    ) -> Self {
        FamilyNames { escaping, all, others, assigned: HashMap::new() }
    }

    /// The name of a family. The text format adds quotes where needed.
    pub(in crate::gateway) fn family<'n>(&mut self, name: &'n str, kind: Kind) -> Cow<'n, str> {
        if self.escaping == Escaping::AllowUtf8 || is_plain_metric_name(name) {
            return name.into();
        }
        let mut escaped = String::new();
        self.escaping.push_metric_name(&mut escaped, name);
        let kind_of = |name: &str| self.kind_of_pushed(name).or_else(|| (self.others)(name));
        if self.escaping.is_lossy() && names::is_taken(&escaped, kind, &kind_of) {
            escaped.clear();
            Escaping::Values.push_metric_name(&mut escaped, name);
        }
        self.assigned.insert(escaped.clone(), kind);
        escaped.into()
    }

    /// The type of the pushed family with this name, pushed or assigned.
    pub(in crate::gateway) fn kind_of_pushed(&self, name: &str) -> Option<Kind> {
        self.all.kind_of(name).or_else(|| self.assigned.get(name).copied())
    }
}

/// The labels of one family's series in one exposition.
pub(super) struct SeriesLabels {
    escaping: Escaping,
    assigned: HashSet<Vec<(String, String)>>,
}

/// The name and value of a label.
type Label<'l> = (&'l str, &'l str);

impl SeriesLabels {
    /// The labels of a family's series.
    pub(super) fn new(escaping: Escaping) -> Self {
        SeriesLabels { escaping, assigned: HashSet::new() }
    }

    /// Passes the escaped labels of a series to `put`. The text format adds quotes where needed. Series with plain labels must
    /// come first, since these are never changed.
    pub(super) fn escaped(&mut self, labels: &[Label<'_>], put: &mut dyn FnMut(&[Label<'_>])) {
        let is_plain = labels.iter().all(|(name, _)| is_plain_label_name(name));
        if self.escaping == Escaping::AllowUtf8 || (is_plain && !self.escaping.is_lossy()) {
            return put(labels);
        }
        let mut escaped = escaped_labels(labels.iter().copied(), self.escaping);
        if self.escaping.is_lossy() {
            let owned = escaped.iter().map(|(name, value)| (name.clone(), (*value).to_owned())).collect();
            if !self.assigned.insert(owned) {
                escaped = escaped_labels(labels.iter().copied(), Escaping::Values);
            }
        }
        let escaped: Vec<(&str, &str)> = escaped.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        put(&escaped);
    }
}

/// Passes the metrics of a family with their escaped labels to `put`, those with plain labels first.
pub(super) fn metrics(
    name: &str,
    entry: &FamilyEntry,
    escaping: Escaping,
    put: &mut dyn FnMut(&[Label<'_>], &Metric<'_>),
) {
    let mut labels = SeriesLabels::new(escaping);
    // A reversible escaping needs no order.
    let passes: &[bool] = if escaping.is_lossy() { &[true, false] } else { &[true] };
    for wants_plain in passes {
        for (_, block) in entry.blocks.iter() {
            block.decode(name, entry.kind, &entry.help, &mut |family| {
                for metric in &family.metrics {
                    let own: Vec<(&str, &str)> = metric.labels.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect();
                    let is_plain = own.iter().all(|(name, _)| is_plain_label_name(name));
                    if !escaping.is_lossy() || is_plain == *wants_plain {
                        labels.escaped(&own, &mut |labels| put(labels, metric));
                    }
                }
            });
        }
    }
}
