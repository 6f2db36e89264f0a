//! Tables of named values: what each becomes in both vocabularies. The type of a field is fixed by its name.

use super::outcome::{Found, Label, Row};
use super::owned::Owned;
use crate::encode::Value;
use crate::encode::family::{FamilyInfo, Kind};
use crate::encode::point::FieldInfo;

/// A named value of a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// Its name.
    pub(super) key: &'static str,
    help: &'static str,
    of: Type,
    /// The field; empty if there is none.
    field: &'static str,
    /// The family, and the values of its labels after that of the server.
    family: Option<(FamilyInfo, &'static [&'static str])>,
    /// The factor from the value to that of the sample.
    scale: f64,
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Integer,
    Float,
    Text,
}

/// The label of every family.
pub(super) const SERVER: &str = "server";

/// A value that is an integer. Without more, it is a field of this name.
pub(super) const fn integer(key: &'static str, help: &'static str) -> Item {
    Item { key, help, of: Type::Integer, field: key, family: None, scale: 1.0 }
}

/// A value that is a float.
pub(super) const fn float(key: &'static str, help: &'static str) -> Item {
    Item { of: Type::Float, ..integer(key, help) }
}

/// A value that is text. In families, words such as `ok` are 1 and others 0.
pub(super) const fn text(key: &'static str, help: &'static str) -> Item {
    Item { of: Type::Text, ..integer(key, help) }
}

/// A value without a field.
pub(super) const fn sample(key: &'static str, help: &'static str) -> Item {
    Item { field: "", ..float(key, help) }
}

impl Item {
    /// Names the field.
    pub(super) const fn named(self, field: &'static str) -> Item {
        Item { field, ..self }
    }

    /// Adds a gauge without further labels.
    pub(super) const fn gauge(self, name: &'static str) -> Item {
        self.family(FamilyInfo { name, kind: Kind::Gauge, help: self.help, labels: &[SERVER] }, &[])
    }

    /// Adds a counter without further labels.
    pub(super) const fn counter(self, name: &'static str) -> Item {
        self.family(FamilyInfo { name, kind: Kind::Counter, help: self.help, labels: &[SERVER] }, &[])
    }

    /// Adds a sample of a family with these values of its labels after that of the server.
    pub(super) const fn family(self, family: FamilyInfo, values: &'static [&'static str]) -> Item {
        Item { family: Some((family, values)), ..self }
    }

    /// Multiplies the value of the sample.
    pub(super) const fn scaled(self, scale: f64) -> Item {
        Item { scale, ..self }
    }

    /// Writes the value as a field and as a sample.
    pub(super) fn write(&'static self, value: &str, row: Option<&mut Row>, found: &mut Found) {
        let value = value.strip_suffix('%').unwrap_or(value);
        let is_sound = match self.of {
            Type::Integer => value.parse::<i128>().is_ok(),
            Type::Float => value.parse::<f64>().is_ok(),
            Type::Text => true,
        };
        if !is_sound {
            return found.malformed(self.key, if self.of == Type::Integer { "an integer" } else { "a number" }, value);
        }
        if let Some(row) = row.filter(|_| !self.field.is_empty()) {
            row.put(self.field, self.owned(value));
        }
        if let Some((family, values)) = &self.family {
            let Some(number) = self.number(value) else { return found.malformed(self.key, "a number", value) };
            let labels = family.labels[1..].iter().zip(*values).map(|(name, value)| (*name, (*value).to_owned()));
            found.add(family, labels.collect::<Vec<Label>>(), number);
        }
    }

    fn owned(&self, value: &str) -> Owned {
        match self.of {
            Type::Integer => Owned::integer(value.parse().unwrap_or_default()),
            Type::Float => Owned::Float(value.parse().unwrap_or_default()),
            Type::Text => Owned::Text(value.to_owned()),
        }
    }

    /// The value of the sample.
    fn number(&self, value: &str) -> Option<Value> {
        let number = match (value, self.of) {
            ("ok" | "up" | "yes" | "on" | "true", _) => Value::Unsigned(1),
            ("err" | "fail" | "down" | "no" | "off" | "false", _) => Value::Unsigned(0),
            (_, Type::Integer) => Value::from(value.parse::<i128>().ok()?),
            _ => Value::Float(value.parse().ok()?),
        };
        Some(if self.scale == 1.0 { number } else { Value::Float(number.as_f64() * self.scale) })
    }
}

/// The number of families of a table.
pub(super) const fn count_families(items: &[Item]) -> usize {
    let (mut count, mut index) = (0, 0);
    while index < items.len() {
        count += is_first(items, index) as usize;
        index += 1;
    }
    count
}

/// The families of a table, whose items of the same family are adjacent.
pub(super) const fn families_of<const N: usize>(items: &[Item]) -> [FamilyInfo; N] {
    let mut families = [FamilyInfo { name: "", kind: Kind::Gauge, help: "", labels: &[] }; N];
    let (mut count, mut index) = (0, 0);
    while index < items.len() {
        if let (true, Some((family, _))) = (is_first(items, index), &items[index].family) {
            families[count] = *family;
            count += 1;
        }
        index += 1;
    }
    families
}

/// Whether the item has a family that the item before it has not.
const fn is_first(items: &[Item], index: usize) -> bool {
    let Some((family, _)) = &items[index].family else { return false };
    if index == 0 {
        return true;
    }
    match &items[index - 1].family {
        Some((before, _)) => !is_same(before.name, family.name),
        None => true,
    }
}

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

/// The number of fields of a table.
pub(super) const fn count_fields(items: &[Item]) -> usize {
    let (mut count, mut index) = (0, 0);
    while index < items.len() {
        count += !items[index].field.is_empty() as usize;
        index += 1;
    }
    count
}

/// The fields of a table.
pub(super) const fn fields_of<const N: usize>(items: &[Item]) -> [FieldInfo; N] {
    let mut fields = [FieldInfo { name: "", help: "", type_name: "" }; N];
    let (mut count, mut index) = (0, 0);
    while index < items.len() {
        let item = &items[index];
        if !item.field.is_empty() {
            let type_name = match item.of {
                Type::Integer => "integer",
                Type::Float => "float",
                Type::Text => "string",
            };
            fields[count] = FieldInfo { name: item.field, help: item.help, type_name };
            count += 1;
        }
        index += 1;
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: FamilyInfo =
        FamilyInfo { name: "x_workers", kind: Kind::Gauge, help: "Workers", labels: &[SERVER, "state"] };
    const ITEMS: &[Item] = &[
        integer("a b", "A").named("ab").counter("x_a_total"),
        float("busy", "Busy").family(STATE, &["busy"]),
        float("idle", "Idle").family(STATE, &["idle"]),
        text("status", "Status"),
        sample("usec", "Time").gauge("x_seconds").scaled(1e-6),
    ];

    #[test]
    fn a_table_has_fields_and_families() {
        const FIELDS: [FieldInfo; count_fields(ITEMS)] = fields_of(ITEMS);
        const FAMILIES: [FamilyInfo; count_families(ITEMS)] = families_of(ITEMS);
        assert_eq!(
            FIELDS.map(|field| (field.name, field.type_name)),
            [("ab", "integer"), ("busy", "float"), ("idle", "float"), ("status", "string")]
        );
        assert_eq!(FAMILIES.map(|family| family.name), ["x_a_total", "x_workers", "x_seconds"]);
    }

    #[test]
    fn a_value_of_another_type_costs_itself() {
        let (mut found, mut row) = (Found::default(), Row::new("x"));
        for (item, value) in ITEMS.iter().zip(["18446744073709551615", "1", "x", "ok", "1500000"]) {
            item.write(value, Some(&mut row), &mut found);
        }
        let fields: Vec<_> = row.fields.iter().map(|(name, value)| (&**name, value.clone())).collect();
        let expected =
            [("ab", Owned::Integer(i64::MAX)), ("busy", Owned::Float(1.0)), ("status", Owned::Text("ok".to_owned()))];
        assert_eq!(fields, expected);
        let samples: Vec<_> = found.samples.iter().map(|sample| (sample.family.name, sample.value)).collect();
        let expected = [
            ("x_a_total", Value::Unsigned(u64::MAX)),
            ("x_workers", Value::Float(1.0)),
            ("x_seconds", Value::Float(1.5)),
        ];
        assert_eq!(samples, expected);
        assert_eq!(found.malformed.unwrap(), "idle: expected a number, found \"x\"");
    }
}
