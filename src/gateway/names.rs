//! Names that families take: their own, and those of the samples of summaries and histograms. No two families may have the
//! same.

use crate::encode::parse::model::Kind;

/// What the names of a summary's or histogram's samples end with.
const SUFFIXES: [&str; 3] = ["_count", "_sum", "_bucket"];

/// Whether a family of this type has samples with this suffix.
fn has_part(kind: Kind, suffix: &str) -> bool {
    match kind {
        Kind::Summary => suffix != "_bucket",
        Kind::Histogram | Kind::GaugeHistogram => true,
        _ => false,
    }
}

/// Two families, of which one would have samples by the name of the other.
pub(super) struct Clash<T> {
    /// The name of both.
    pub(super) part: String,
    /// The summary or histogram.
    pub(super) whole: String,
    /// Who has the family that is known already.
    pub(super) other: T,
}

/// What is in the way of a family of this name and type beside those that `held` knows by their names, with what it says of
/// them and their types. That another has the very same name is nothing that this tells.
pub(super) fn clash<T>(name: &str, kind: Kind, held: &dyn Fn(&str) -> Option<(T, Kind)>) -> Option<Clash<T>> {
    SUFFIXES.into_iter().find_map(|suffix| {
        if has_part(kind, suffix) {
            let part = format!("{name}{suffix}");
            if let Some((other, _)) = held(&part) {
                return Some(Clash { part, whole: name.to_owned(), other });
            }
        }
        let whole = name.strip_suffix(suffix)?;
        let (other, _) = held(whole).filter(|(_, kind)| has_part(*kind, suffix))?;
        Some(Clash { part: name.to_owned(), whole: whole.to_owned(), other })
    })
}

/// Whether a family of this name and type cannot stand beside those whose types `kind_of` knows.
pub(super) fn is_taken(name: &str, kind: Kind, kind_of: &dyn Fn(&str) -> Option<Kind>) -> bool {
    let held = |name: &str| kind_of(name).map(|kind| ((), kind));
    kind_of(name).is_some() || clash(name, kind, &held).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

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
