//! Compares what the old program and Taffrail report: families with their types, label sets and values of an exposition,
//! or measurements with their fields, types, tag sets and values of line protocol.

mod read;
pub mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use read::{exposition, line_protocol};

/// A difference.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What differs.
    pub kind: DifferenceKind,
    /// The family or measurement, with the field, or the series.
    pub name: String,
    /// The reason, if it is expected.
    pub expected: Option<&'static str>,
}

/// What differs.
#[derive(Clone, Debug, PartialEq)]
pub enum DifferenceKind {
    /// A family or measurement that only the old program has.
    FamilyMissing,
    /// A family or measurement that only Taffrail has.
    FamilyFurther,
    /// A field that only the old program has, of a measurement that both have.
    FieldMissing,
    /// A field that only Taffrail has, of a measurement that both have.
    FieldFurther,
    /// A family or field of another type: the old one and Taffrail's.
    Type(&'static str, &'static str),
    /// A series that only the old program has.
    SeriesMissing,
    /// A series that only Taffrail has.
    SeriesFurther,
    /// A value that does not move: the old one and Taffrail's.
    Value(Value, Value),
}

impl DifferenceKind {
    /// The name in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            DifferenceKind::FamilyMissing => "family_missing",
            DifferenceKind::FamilyFurther => "family_further",
            DifferenceKind::FieldMissing => "field_missing",
            DifferenceKind::FieldFurther => "field_further",
            DifferenceKind::Type(..) => "type",
            DifferenceKind::SeriesMissing => "series_missing",
            DifferenceKind::SeriesFurther => "series_further",
            DifferenceKind::Value(..) => "value",
        }
    }
}

/// A value of a series.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number, or 1 and 0 for true and false.
    Number(f64),
    /// A string of a point.
    Text(String),
}

impl Value {
    /// Whether they are equal but for the rounding of floats.
    fn is_equal(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Number(a), Value::Number(b)) => {
                a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= a.abs() * 1e-12
            }
            _ => self == other,
        }
    }

    /// Whether it is the same number, bit by bit, or the same string.
    fn is_same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Number(a), Value::Number(b)) => a.to_bits() == b.to_bits(),
            _ => self == other,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(value) => value.fmt(f),
            Value::Text(value) => write!(f, "{value:?}"),
        }
    }
}

/// What differs by its nature: the beginning of the name of a family or measurement, a part of the series, or of the field
/// behind the measurement, and the reason.
#[rustfmt::skip]
const EXPECTED: &[(&str, &str, &str)] = &[
    ("go_",                            "", "of Go's runtime"),
    ("process_",                       "", "of the exporter's own process"),
    ("promhttp_",                      "", "of Go's HTTP handler"),
    ("node_exporter_build_info",       "", "of the program"),
    ("node_scrape_collector_",         "", "of the collectors of each program"),
    ("node_filesystem_purgeable_bytes", "", "always 0 on Linux"),
    ("pushgateway_",                   "", "Pushgateway's own metrics; taffrail_gateway_* here"),
    ("taffrail_",                      "", "Taffrail's own metrics"),
    ("push_failure_time_seconds",      "", "of the pushes to each gateway"),
    ("push_time_seconds",              "", "of the pushes to each gateway"),
    ("cadvisor_",                      "", "cAdvisor's own metrics"),
    ("yace_",                          "", "yet-another-cloudwatch-exporter's own metrics"),
    ("internal_",                      "", "of each program itself"),
    ("cgroup",                         "", "cgroups with a name, and the keys that are of use"),
    ("net",                            "interface=all", "of /proc/net/snmp, which Telegraf 1.37 dropped"),
    ("netstat",                        "tcp_none", "Telegraf counts sockets of AF_UNIX there"),
];

/// Families and measurements whose values the scrape itself changes, by the beginning of their names.
#[rustfmt::skip]
const CHANGED_BY_THE_SCRAPE: &[&str] = &[
    "node_filefd_allocated", "node_netstat_Tcp_CurrEstab", "node_procs_running", "node_sockstat_",
    "node_tcp_connection_states", "node_processes_", "netstat", "processes", "linux_sysctl_fs",
];

/// A family with no field, or a measurement with a field.
type Family = (String, String);

/// What one program reports at one time.
#[derive(Default)]
pub struct Scrape {
    types: BTreeMap<Family, &'static str>,
    /// Values by family, and by series. Those of a series that moved while it was read are several.
    values: BTreeMap<Family, BTreeMap<String, Vec<Value>>>,
}

impl Scrape {
    fn has(&self, name: &str) -> bool {
        let first = (name.to_owned(), String::new());
        self.types.range(first..).next().is_some_and(|((found, _), _)| found == name)
    }

    /// The names of families and measurements that `other` does not have.
    fn names_without(&self, other: &Scrape) -> BTreeSet<&str> {
        self.types.keys().map(|(name, _)| name.as_str()).filter(|name| !other.has(name)).collect()
    }
}

/// The differences that are found.
#[derive(Default)]
struct Found(Vec<Difference>);

impl Found {
    /// Adds what differs in `series` of `name`, or in all of it.
    fn add(&mut self, kind: DifferenceKind, name: &str, series: String) {
        let is_expected = |(start, part, _): &&(&str, &str, &str)| name.starts_with(start) && series.contains(part);
        let is_changed = matches!(kind, DifferenceKind::Value(..))
            && CHANGED_BY_THE_SCRAPE.iter().any(|start| name.starts_with(start));
        let expected = EXPECTED.iter().find(is_expected).map(|(_, _, reason)| *reason);
        let expected = expected.or_else(|| is_changed.then_some("the scrape itself changes them"));
        self.0.push(Difference { kind, name: series, expected });
    }
}

/// Compares what the old program reports with what Taffrail reports before it and after it. Values that moved between
/// these two, or in the old program's report, are not compared.
pub fn compare(before: &Scrape, old: &Scrape, after: &Scrape) -> Vec<Difference> {
    let mut found = Found::default();
    compare_families(old, after, &mut found);
    for (family, theirs) in &old.values {
        let Some(ours) = after.values.get(family) else { continue };
        let first = before.values.get(family);
        for (series, values) in theirs {
            let was = first.and_then(|first| first.get(series));
            match (was.map(Vec::as_slice), ours.get(series).map(Vec::as_slice)) {
                (None, None) => found.add(DifferenceKind::SeriesMissing, &family.0, series.clone()),
                (Some([was]), Some([now])) if was.is_same(now) => {
                    let [value] = values.as_slice() else { continue };
                    if !value.is_equal(now) {
                        let kind = DifferenceKind::Value(value.clone(), now.clone());
                        found.add(kind, &family.0, series.clone());
                    }
                }
                _ => {}
            }
        }
        let is_in_both = |series: &&String| first.is_some_and(|first| first.contains_key(*series));
        for series in ours.keys().filter(|series| !theirs.contains_key(*series)).filter(is_in_both) {
            found.add(DifferenceKind::SeriesFurther, &family.0, series.clone());
        }
    }
    found.0
}

/// Compares families and types, or measurements with their fields and types.
fn compare_families(old: &Scrape, after: &Scrape, found: &mut Found) {
    let (missing, further) = (old.names_without(after), after.names_without(old));
    for name in &missing {
        found.add(DifferenceKind::FamilyMissing, name, (*name).to_owned());
    }
    let text = |(name, field): &Family| format!("{name} {field}").trim_end().to_owned();
    for (family, kind) in old.types.iter().filter(|((name, _), _)| !missing.contains(name.as_str())) {
        match after.types.get(family) {
            None => found.add(DifferenceKind::FieldMissing, &family.0, text(family)),
            Some(own) if own != kind => found.add(DifferenceKind::Type(kind, own), &family.0, text(family)),
            Some(_) => {}
        }
    }
    for name in &further {
        found.add(DifferenceKind::FamilyFurther, name, (*name).to_owned());
    }
    let is_new = |family: &&Family| !old.types.contains_key(*family) && !further.contains(family.0.as_str());
    for family in after.types.keys().filter(is_new) {
        found.add(DifferenceKind::FieldFurther, &family.0, text(family));
    }
}

/// Whether a difference is not expected.
pub fn is_unexpected(difference: &Difference) -> bool {
    // What Taffrail has besides takes nothing away.
    difference.expected.is_none() && !is_further(&difference.kind)
}

/// Whether only Taffrail has a family, measurement or field.
fn is_further(kind: &DifferenceKind) -> bool {
    matches!(kind, DifferenceKind::FamilyFurther | DifferenceKind::FieldFurther)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_is_left_out_and_what_differs_is_named() {
        let before = b"# TYPE a gauge\na 1\na{l=\"x\",e=\"\"} 2\n# TYPE c counter\nc 5\n# TYPE t gauge\nt 1\n# TYPE go_x gauge\ngo_x 1\n";
        let old = b"# TYPE a gauge\na 2\na{l=\"x\"} 2\na{l=\"y\"} 2\n# TYPE c counter\nc 6\n# TYPE t counter\nt 1\n# TYPE gone gauge\ngone 1\n# TYPE go_y gauge\ngo_y 1\n";
        let after = b"# TYPE a gauge\na 1\na{l=\"x\",e=\"\"} 2\n# TYPE c counter\nc 7\n# TYPE t gauge\nt 1\n# TYPE go_x gauge\ngo_x 1\n";
        let scrape = |body: &[u8]| exposition(body).unwrap();
        let differences = compare(&scrape(before), &scrape(old), &scrape(after));
        let shown = report::text(&differences, ["family is", "families are"]);
        let shown: Vec<&str> = shown.lines().collect();
        assert_eq!(
            shown,
            [
                "missing   gone, the whole family",
                "type      t: counter, and gauge here",
                "value     a: 2, and 1 here",
                "missing   a{l=\"y\"}",
                "expected  2 differences: of Go's runtime",
                "4 differences; 0 families are in Taffrail alone"
            ]
        );
        assert!(report::json(&differences).contains("\"family_missing\""));
        assert!(compare(&scrape(before), &scrape(before), &scrape(before)).is_empty());
        let one = compare(&scrape(b"y 1\n"), &scrape(b"x 1\n"), &scrape(b"y 1\n"));
        let one = report::text(&one, ["family is", "families are"]);
        assert!(one.ends_with("\n1 difference; 1 family is in Taffrail alone\n"), "{one}");
    }

    #[test]
    fn points_of_telegraf_are_compared_by_measurement_tags_and_field() {
        let old = "2026-01-01T00:00:00Z I! a log of=1\n> mem,host=a total=8u,huge=1i,used=5i 1\n> kernel,host=a up=\"1d\" 1\n\
                   > ipvs,host=a conns=1i,bytes=2i 1\n> netstat,host=a tcp_none=3i 1\n> disk,path=/,host=a free=1 1\n\
                   > disk,path=/b,host=a free=1 1\n> internal_agent,host=a errors=1i 1\n";
        let new = "mem,host=a total=8i,huge=1,used=4i,more=1i\nkernel,host=a up=\"2d\"\nnetstat,host=a tcp_none=0i\n\
                   disk,host=a,path=/ free=1\ndisk,host=a,path=/c free=1\nnet,interface=all x=1i\n";
        let (old, new) = (line_protocol(old).unwrap(), line_protocol(new).unwrap());
        let differences = compare(&new, &old, &new);
        let shown = report::text(&differences, ["measurement or field is", "measurements and fields are"]);
        assert_eq!(
            shown.lines().collect::<Vec<_>>(),
            [
                "missing   ipvs, the whole family",
                "type      mem huge: integer, and float here",
                "missing   disk,host=a,path=/b free",
                "further   disk,host=a,path=/c free",
                "value     kernel,host=a up: \"1d\", and \"2d\" here",
                "value     mem,host=a used: 5, and 4 here",
                "expected  1 difference: Telegraf counts sockets of AF_UNIX there",
                "expected  1 difference: of each program itself",
                "6 differences; 2 measurements and fields are in Taffrail alone"
            ]
        );
        assert!(report::json(&differences).contains("\"old\": \"1d\""));
        assert!(compare(&new, &new, &new).is_empty());
        // What moves in the file of several ticks is not compared.
        let several = line_protocol("mem,host=a used=5i 1\nmem,host=a used=6i 2\n").unwrap();
        assert!(!compare(&new, &several, &new).iter().any(is_unexpected));
        assert_eq!(line_protocol("").err().unwrap(), "expected line protocol, found no point");
        assert!(line_protocol("no point\n").err().unwrap().ends_with(": no point"));
    }
}
