//! The names that a family occupies: its own, and those of a summary's or histogram's samples. No two families may share
//! one.

use crate::encode::parse::model::Kind;
use crate::encode::pushed::{escape_name, is_plain_metric_name};
use crate::gateway::key::unescape_name;

/// The suffixes of the names of a summary's or histogram's samples.
const SUFFIXES: [&str; 3] = ["_count", "_sum", "_bucket"];

/// Whether a family of this type has samples with this suffix.
fn has_part(kind: Kind, suffix: &str) -> bool {
    match kind {
        Kind::Summary => suffix != "_bucket",
        Kind::Histogram | Kind::GaugeHistogram => true,
        _ => false,
    }
}

/// Two families, one of which has samples with the name of the other.
pub(in crate::gateway) struct Clash<T> {
    /// The shared name.
    pub(in crate::gateway) part: String,
    /// The summary or histogram.
    pub(in crate::gateway) whole: String,
    /// What is known of the other family.
    pub(in crate::gateway) other: T,
}

/// The clash of a family of this name and type with a known family of another name. `known` returns what is known of a
/// family by its name, and its type.
pub(in crate::gateway) fn clash<T>(
    name: &str,
    kind: Kind,
    known: &dyn Fn(&str) -> Option<(T, Kind)>,
) -> Option<Clash<T>> {
    SUFFIXES.into_iter().find_map(|suffix| {
        if has_part(kind, suffix) {
            let part = format!("{name}{suffix}");
            if let Some((other, _)) = known(&part) {
                return Some(Clash { part, whole: name.to_owned(), other });
            }
        }
        let whole = name.strip_suffix(suffix)?;
        let (other, _) = known(whole).filter(|(_, kind)| has_part(*kind, suffix))?;
        Some(Clash { part: name.to_owned(), whole: whole.to_owned(), other })
    })
}

/// The other name that the default escaping writes like this one.
pub(in crate::gateway) fn twin(name: &str) -> Option<String> {
    match is_plain_metric_name(name) {
        true => unescape_name(name)
            .filter(|other| !other.is_empty() && !is_plain_metric_name(other) && escape_name(other) == name),
        false => Some(escape_name(name)),
    }
}

/// Whether a family of this name and type clashes with a family that `kind_of` knows, or has its name.
pub(in crate::gateway) fn is_taken(name: &str, kind: Kind, kind_of: &dyn Fn(&str) -> Option<Kind>) -> bool {
    let known = |name: &str| kind_of(name).map(|kind| ((), kind));
    kind_of(name).is_some() || clash(name, kind, &known).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_twin_where_they_are_escaped() {
        for (one, other) in [("a.b", "U__a_2e_b"), ("花火", "U___82b1__706b_"), ("a.b_c", "U__a_2e_b__c")] {
            assert_eq!((twin(one).as_deref(), twin(other).as_deref()), (Some(other), Some(one)));
        }
        for name in ["a", "a_b", "a:b", "U__", "U__a", "U__a_zz_b", "U__a_2E_b"] {
            assert_eq!(twin(name), None, "{name}");
        }
    }

    #[test]
    fn parts_are_names_too() {
        let kind_of = |name: &str| match name {
            "h" => Some(Kind::Histogram),
            "g" => Some(Kind::GaugeHistogram),
            "s" => Some(Kind::Summary),
            "x" | "y_count" | "z_bucket" => Some(Kind::Gauge),
            _ => None,
        };
        for name in ["h", "h_count", "h_sum", "h_bucket", "g_bucket", "s_count", "s_sum", "x", "y_count"] {
            assert!(is_taken(name, Kind::Untyped, &kind_of), "{name}");
        }
        for name in ["h_total", "s_bucket", "x_count", "y", "z", "count", "_count", "h_count_"] {
            assert!(!is_taken(name, Kind::Untyped, &kind_of), "{name}");
        }
        assert!(is_taken("y", Kind::Summary, &kind_of) && is_taken("z", Kind::Histogram, &kind_of));
        assert!(!is_taken("z", Kind::Summary, &kind_of) && !is_taken("w", Kind::Histogram, &kind_of));
    }
}
