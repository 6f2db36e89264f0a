//! The names of points as series. They are influxdb_exporter's: `measurement_field`, or `measurement` for a field called
//! `value`; invalid characters become underscores.

use std::collections::BTreeMap;

/// The name of the family of a field.
pub fn family(measurement: &str, field: &str) -> String {
    match field {
        "value" => plain(measurement),
        field => plain(&format!("{measurement}_{field}")),
    }
}

/// The name with invalid characters replaced.
fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len() + 1);
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        plain.push('_');
    }
    plain.extend(name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
    plain
}

/// Tags as labels. The tag `__name__` is left out.
///
/// # Errors
/// A tag that would be a reserved label, or two that would be the same label.
pub fn labels<'t>(tags: impl Iterator<Item = (&'t str, &'t str)>) -> Result<BTreeMap<String, &'t str>, String> {
    let mut labels: BTreeMap<String, &str> = BTreeMap::new();
    for (key, value) in tags.filter(|(key, _)| *key != "__name__") {
        let label = plain(key);
        if label.starts_with("__") {
            return Err(format!("the tag {key:?} would be a reserved label, {label}"));
        }
        if labels.insert(label.clone(), value).is_some() {
            return Err(format!("two tags would be the same label, {label}"));
        }
    }
    Ok(labels)
}
