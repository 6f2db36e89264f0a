//! The report of differences: text for people, JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::json;

use crate::migrate::report::counted;

use super::{Difference, DifferenceKind, Value, is_further, is_unexpected};

/// The differences for people: those that are not expected, further ones, and the expected ones by reason.
/// The `subject` is what Taffrail may have besides, with its verb, for one and for several: `family is`, `families are`.
pub fn text(differences: &[Difference], subject: [&str; 2]) -> String {
    let mut out = String::new();
    for Difference { kind, name, .. } in differences.iter().filter(|difference| is_unexpected(difference)) {
        let _ = match kind {
            DifferenceKind::Type(old, new) => writeln!(out, "type      {name}: {old}, and {new} here"),
            DifferenceKind::Value(old, new) => writeln!(out, "value     {name}: {old}, and {new} here"),
            DifferenceKind::FamilyMissing => writeln!(out, "missing   {name}, the whole family"),
            DifferenceKind::FieldMissing => writeln!(out, "missing   {name}, the whole field"),
            DifferenceKind::SeriesMissing => writeln!(out, "missing   {name}"),
            DifferenceKind::FamilyFurther | DifferenceKind::FieldFurther | DifferenceKind::SeriesFurther => {
                writeln!(out, "further   {name}")
            }
        };
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in differences.iter().filter_map(|difference| difference.expected) {
        *reasons.entry(reason).or_default() += 1;
    }
    for (reason, number) in reasons {
        let _ = writeln!(out, "expected  {}: {reason}", counted(number, "difference", "differences"));
    }
    let further =
        differences.iter().filter(|difference| difference.expected.is_none() && is_further(&difference.kind)).count();
    let unexpected = differences.iter().filter(|difference| is_unexpected(difference)).count();
    let further = counted(further, subject[0], subject[1]);
    let _ = writeln!(out, "{}; {further} in Taffrail alone", counted(unexpected, "difference", "differences"));
    out
}

/// The differences for programs.
pub fn json(differences: &[Difference]) -> String {
    let list = differences.iter().map(|Difference { kind, name, expected }| {
        let mut entry = json!({ "kind": kind.name(), "name": name });
        match kind {
            DifferenceKind::Type(old, new) => (entry["old"], entry["new"]) = (json!(old), json!(new)),
            DifferenceKind::Value(old, new) => {
                (entry["old"], entry["new"]) = (number_or_text(old), number_or_text(new))
            }
            _ => {}
        }
        if let Some(reason) = expected {
            entry["expected"] = json!(reason);
        }
        entry
    });
    format!("{:#}\n", json!({ "differences": list.collect::<Vec<_>>() }))
}

fn number_or_text(value: &Value) -> serde_json::Value {
    match value {
        Value::Number(number) => json!(number),
        Value::Text(text) => json!(text),
    }
}
