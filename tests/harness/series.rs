//! An exposition as series, to look into.

use std::collections::{BTreeMap, BTreeSet};

/// A sample: its name, its labels, its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
    /// Its timestamp in milliseconds. Taffrail's own samples have none.
    pub timestamp: Option<f64>,
}

impl Series {
    /// The value of a label; one that is absent is empty.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// What it is called, without its value.
    pub fn key(&self) -> String {
        format!("{}{:?}", self.name, self.labels)
    }
}

/// All samples of an exposition.
#[derive(Debug, Default)]
pub struct Exposition(pub Vec<Series>);

impl Exposition {
    /// Parses text 0.0.4.
    pub fn parse(text: &str) -> Self {
        Exposition(text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(sample).collect())
    }

    /// The series of a family with these labels, whatever others they have.
    pub fn all<'e>(&'e self, name: &str, labels: &[(&str, &str)]) -> Vec<&'e Series> {
        let with = |series: &&Series| labels.iter().all(|(label, value)| series.label(label) == *value);
        self.0.iter().filter(|series| series.name == name).filter(with).collect()
    }

    /// The value of the only series of a family with these labels, if there is one.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let found = self.all(name, labels);
        assert!(found.len() <= 1, "{name} {labels:?}: {found:#?}");
        Some(found.first()?.value)
    }

    /// The same, where it must be there.
    #[track_caller]
    pub fn expect(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.value(name, labels).unwrap_or_else(|| panic!("no {name} {labels:?} among {:#?}", self.all(name, &[])))
    }

    /// The names of the families that begin with `prefix`.
    pub fn families(&self, prefix: &str) -> BTreeSet<&str> {
        self.0.iter().map(|series| series.name.as_str()).filter(|name| name.starts_with(prefix)).collect()
    }

    /// The series whose `id` is that of this cgroup or of one below it.
    pub fn below<'e>(&'e self, id: &str) -> impl Iterator<Item = &'e Series> {
        let id = id.to_owned();
        self.0.iter().filter(move |series| {
            series.label("id").strip_prefix(&id).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// Whether a collector could read everything.
    pub fn succeeded(&self, collector: &str) -> bool {
        self.value("node_scrape_collector_success", &[("collector", collector)]) == Some(1.0)
    }
}

fn sample(line: &str) -> Series {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no sample: {line}"));
    let (name, mut rest) = (&line[..end], line[end..].trim_start_matches('{'));
    let mut labels = BTreeMap::new();
    while let Some((label, quoted)) = rest.trim_start_matches(',').split_once("=\"") {
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next().unwrap_or_else(|| panic!("a label without an end: {line}")) {
                (at, '"') => break at,
                (_, '\\') => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, other)) => value.push(other),
                    None => panic!("a label without an end: {line}"),
                },
                (_, other) => value.push(other),
            }
        };
        labels.insert(label.to_owned(), value);
        rest = &quoted[end + 1..];
    }
    let mut numbers = rest.trim_start_matches('}').split_whitespace();
    let mut number = || numbers.next().map(|text| text.parse().unwrap_or_else(|error| panic!("{error}: {line}")));
    let value = number().unwrap_or_else(|| panic!("no value: {line}"));
    Series { name: name.to_owned(), labels, value, timestamp: number() }
}
