//! Prometheus's rules.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::python::run;

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules")
}

/// A rule, as far as a test asks.
pub(crate) struct Rule {
    pub(crate) file: String,
    pub(crate) name: String,
    pub(crate) expression: String,
}

pub(crate) fn files(folder: &Path) -> Vec<(String, String)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|file| (file.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(file).unwrap()))
        .collect()
}

/// The names of the groups of all files.
pub(crate) fn groups() -> Vec<String> {
    files(&folder()).iter().flat_map(|(_, text)| values(text, "  - name: ")).collect()
}

fn values(text: &str, key: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.strip_prefix(key)).map(str::to_owned).collect()
}

/// Every rule. The files are written in one way: an expression stands behind `expr:`, or folded on the lines after it.
pub(crate) fn all() -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for (file, text) in files(&folder()) {
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let name = ["      - alert: ", "      - record: "].iter().find_map(|start| line.strip_prefix(start));
            if let Some(name) = name {
                rules.push(Rule { file: file.clone(), name: name.to_owned(), expression: String::new() });
            } else if let Some(expression) = line.strip_prefix("        expr: ") {
                let rule = rules.last_mut().unwrap();
                if expression == ">-" {
                    while let Some(more) = lines.next_if(|line| line.starts_with("          ")) {
                        rule.expression.push_str(more.trim());
                        rule.expression.push(' ');
                    }
                } else {
                    rule.expression = expression.to_owned();
                }
            }
        }
    }
    assert!(rules.iter().all(|rule| !rule.expression.is_empty()));
    rules
}

#[test]
fn every_rule_has_a_unit_test() {
    let tests = files(&folder().with_file_name("tests"));
    let tested: BTreeSet<String> = tests
        .iter()
        .flat_map(|(_, text)| text.lines())
        .filter_map(|line| line.trim_start_matches([' ', '-']).split_once(": "))
        .filter(|(key, _)| matches!(*key, "alertname" | "expr"))
        .map(|(_, value)| value.to_owned())
        .collect();
    // A setting of the user's, with an example.
    let untested = |rule: &Rule| !tested.contains(&rule.name) && rule.name != "job:push_age_limit:seconds";
    let untested: Vec<String> = all().into_iter().filter(untested).map(|rule| rule.name).collect();
    assert!(untested.is_empty(), "{untested:?}");
}

/// Targets have labels that no rule knows: namespace, pod, cluster. One side of an operation that drops them matches
/// nothing.
#[test]
fn rules_keep_the_labels_of_their_targets_and_compare_within_a_cluster() {
    let matched = regex::Regex::new(r"\bon \(([^)]*)\)").unwrap();
    for rule in all() {
        assert!(!rule.expression.contains(" by ("), "{}: {}", rule.name, rule.expression);
        for labels in matched.captures_iter(&rule.expression) {
            // The groups of a gateway have no cluster.
            let labels: Vec<&str> = labels[1].split(", ").filter(|label| *label != "job").collect();
            assert!(labels.is_empty() || labels.contains(&"cluster"), "{}: {}", rule.name, rule.expression);
        }
    }
}

#[test]
#[ignore = "needs Debian's package prometheus: tests/run"]
fn with_prometheus_whose_promtool_passes_the_rules_unit_tests() {
    let tests = folder().with_file_name("tests");
    let mut promtool = Command::new("promtool");
    promtool.args(["test", "rules"]).args(files(&tests).iter().map(|(name, _)| tests.join(name)));
    let printed = run(&mut promtool);
    assert_eq!(printed.matches("SUCCESS").count(), files(&tests).len(), "{printed}");
}
