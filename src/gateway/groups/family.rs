//! The checks of one pushed family by itself.

use super::block::shown_labels;
use super::conflict::Conflict;
use super::names::is_taken;
use crate::encode::names::{Escaping, is_plain_label_name};
use crate::encode::parse::model::{Exposition, Family, Kind};
use crate::gateway::key::Key;
use crate::gateway::self_metrics;

/// Checks a family of the group `key` without looking at other families.
///
/// # Errors
/// The first violation: a name of a self-metric, a timestamp, or a reserved or ambiguous label.
pub(super) fn check_family(family: &Family<'_>, key: &Key) -> Result<(), Conflict> {
    if is_taken(&family.name, family.kind, &self_metrics::kind_of) {
        return Err(Conflict::Own(family.name.to_string()));
    }
    let series = |index: usize| described(family, index, key);
    for (index, metric) in family.metrics.iter().enumerate() {
        if metric.timestamp.is_some() {
            return Err(Conflict::Timestamp { series: series(index) });
        }
        let reserved = match family.kind {
            Kind::Summary => "quantile",
            Kind::Histogram | Kind::GaugeHistogram => "le",
            _ => "",
        };
        // The group's labels count too: they appear next to those of buckets and quantiles.
        let labels = shown_labels(metric, key);
        let is_reserved = |name: &str| name.starts_with("__") || (!reserved.is_empty() && name == reserved);
        let invalid = labels.iter().find(|(name, _)| is_reserved(name)).or_else(|| {
            let is_present = |name: &str| labels.iter().any(|(other, _)| *other == name);
            labels.iter().find(|(name, _)| !is_plain_label_name(name) && is_present(&escaped_label(name)))
        });
        if let Some((label, _)) = invalid {
            return Err(Conflict::Label { series: series(index), label: (*label).to_owned() });
        }
    }
    Ok(())
}

/// A label's name in the default escaping.
fn escaped_label(name: &str) -> String {
    let mut escaped = String::new();
    Escaping::Values.push_label_name(&mut escaped, name);
    escaped
}

/// The metric at `index` of the pushed family `name` as text, for error messages.
pub(super) fn series(pushed: &Exposition<'_>, name: &str, index: usize, key: &Key) -> String {
    let family = pushed.families.iter().find(|family| family.name == name);
    family.map(|family| described(family, index, key)).unwrap_or_default()
}

fn described(family: &Family<'_>, index: usize, key: &Key) -> String {
    let Some(metric) = family.metrics.get(index) else { return family.name.to_string() };
    let labels = shown_labels(metric, key);
    let shown: Vec<String> =
        labels.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{}{{{}}}", family.name, shown.join(","))
}
