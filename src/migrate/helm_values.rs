//! Values of the chart prometheus-node-exporter, also below the key of that name in the values of another chart.

use std::collections::HashSet;

use super::flags::Program;
use super::lines::Lines;
use super::node_exporter::NODE_EXPORTER;
use super::translation::{Outcome, Source, Translation};
use super::yaml_lines::{is_blank, without_text};
use crate::config::{Node, Problems, Table, Value, yaml};

/// Keys of the chart, with what becomes of them. A key of Taffrail's chart, or a sentence.
#[rustfmt::skip]
const KEYS: &[(&str, Becomes)] = &[
    ("affinity",                      Becomes::Value("exporter.affinity")),
    ("commonLabels",                  Becomes::Value("commonLabels")),
    ("configmaps",                    Becomes::Value("exporter.configmaps")),
    ("containerSecurityContext",      Becomes::Value("exporter.containerSecurityContext")),
    ("daemonsetAnnotations",          Becomes::Value("exporter.daemonsetAnnotations")),
    ("dnsConfig",                     Becomes::Value("exporter.dnsConfig")),
    ("dnsPolicy",                     Becomes::Value("exporter.dnsPolicy")),
    ("endpoints",                     Becomes::NotNeeded("pods are found by their labels or annotations")),
    ("env",                           Becomes::Value("exporter.env")),
    ("extraHostVolumeMounts",         Becomes::Value("exporter.extraHostVolumeMounts")),
    ("extraInitContainers",           Becomes::Value("exporter.extraInitContainers")),
    ("extraManifests",                Becomes::Value("extraManifests")),
    ("fullnameOverride",              Becomes::Value("fullnameOverride")),
    ("global",                        Becomes::Value("global")),
    ("hostIPC",                       Becomes::NotNeeded("only files are read")),
    ("hostNetwork",                   Becomes::Value("exporter.hostNetwork")),
    ("hostPID",                       Becomes::Value("exporter.hostPID")),
    ("hostProcFsMount",               Becomes::NotNeeded("procfs is read below hostRootFsMount")),
    ("hostRootFsMount",               Becomes::Value("exporter.hostRootFsMount")),
    ("hostSysFsMount",                Becomes::NotNeeded("sysfs is read below hostRootFsMount")),
    ("image",                         Becomes::Value("image")),
    ("imagePullSecrets",              Becomes::Value("imagePullSecrets")),
    ("kubeRBACProxy",                 Becomes::Missing("name the users in [[http.users]] or [http.tls]")),
    ("livenessProbe",                 Becomes::Value("exporter.livenessProbe")),
    ("nameOverride",                  Becomes::Value("nameOverride")),
    ("namespaceOverride",             Becomes::Value("namespaceOverride")),
    ("networkPolicy",                 Becomes::Missing("apply a NetworkPolicy beside the chart")),
    ("nodeSelector",                  Becomes::Value("exporter.nodeSelector")),
    ("podAnnotations",                Becomes::Value("exporter.podAnnotations")),
    ("podLabels",                     Becomes::Value("exporter.podLabels")),
    ("priorityClassName",             Becomes::Value("exporter.priorityClassName")),
    ("prometheus",                    Becomes::Value("exporter.prometheus")),
    ("rbac",                          Becomes::Value("exporter.rbac")),
    ("readinessProbe",                Becomes::Value("exporter.readinessProbe")),
    ("releaseLabel",                  Becomes::Missing("set the label in exporter.prometheus.podMonitor.additionalLabels")),
    ("resources",                     Becomes::Value("exporter.resources")),
    ("revisionHistoryLimit",          Becomes::Value("exporter.revisionHistoryLimit")),
    ("secrets",                       Becomes::Value("exporter.secrets")),
    ("securityContext",               Becomes::Value("exporter.securityContext")),
    ("service",                       Becomes::Value("exporter.service")),
    ("serviceAccount",                Becomes::Value("exporter.serviceAccount")),
    ("sidecars",                      Becomes::Value("exporter.sidecars")),
    ("terminationGracePeriodSeconds", Becomes::Value("exporter.terminationGracePeriodSeconds")),
    ("terminationMessageParams",      Becomes::NotNeeded("the log has the reason")),
    ("tolerations",                   Becomes::Value("exporter.tolerations")),
    ("updateStrategy",                Becomes::Value("exporter.updateStrategy")),
    ("version",                       Becomes::NotNeeded("the version is that of image")),
    ("verticalPodAutoscaler",         Becomes::Missing("apply it beside the chart")),
];

enum Becomes {
    /// A value of Taffrail's chart.
    Value(&'static str),
    NotNeeded(&'static str),
    Missing(&'static str),
}

/// Keys below which other charts have the values of this one. `exporter` is that of Taffrail's chart, which refuses flags of
/// node_exporter and names this translation.
const NESTED: [&str; 4] = ["prometheus-node-exporter", "prometheusNodeExporter", "kube-prometheus-stack", "exporter"];

/// Translates the values. Flags in `extraArgs` become settings; all else is reported with the value of Taffrail's chart.
///
/// # Errors
/// The file is no YAML.
pub fn translate(file: &str, text: &str) -> Result<Translation, Problems> {
    let document = yaml::parse_single(file, text)?;
    let mut reader = Reader { file, lines: Lines::new(text), found: Vec::new() };
    reader.mapping(&document.root, false);
    let entries = reader.found.iter().flat_map(|(_, translation)| &translation.entries);
    let covered: HashSet<usize> = entries.filter_map(|entry| entry.source.lines).flat_map(|(a, b)| a..=b).collect();
    let rest: Vec<usize> = (1..=text.lines().count()).filter(|line| !covered.contains(line)).collect();
    let (blank, rest): (Vec<usize>, Vec<usize>) = rest.into_iter().partition(|line| is_blank(reader.lines.line(*line)));
    // A bracket, a key to merge, or a part of a value that spans lines.
    rest.into_iter().for_each(|line| reader.report(line, line, Outcome::Same));
    reader.found.sort_by_key(|(line, _)| *line);
    let mut translation = Translation { comments: blank.len(), ..Translation::default() };
    reader.found.into_iter().for_each(|(_, found)| translation.append(found));
    Ok(translation)
}

struct Reader<'t> {
    file: &'t str,
    lines: Lines<'t>,
    /// Translations by their first line.
    found: Vec<(usize, Translation)>,
}

impl Reader<'_> {
    fn mapping(&mut self, table: &Table, is_chart: bool) {
        // Beside the values of node_exporter's chart are those of the chart around it.
        let is_around = !is_chart && NESTED[..3].iter().any(|key| table.get(*key).is_some());
        for (key, (at, node)) in table {
            let line = self.line(at.span.start);
            match &node.value {
                Value::Table(table) if NESTED.contains(&key.as_str()) && !is_chart => {
                    self.report(line, line, Outcome::Same);
                    let is_chart = key != "kube-prometheus-stack";
                    self.mapping(table, is_chart);
                }
                Value::Array(arguments) if key == "extraArgs" => {
                    self.report(line, line, Outcome::Same);
                    self.arguments(arguments, &NODE_EXPORTER);
                }
                Value::Table(flags) if key == "extraArgs" => {
                    self.report(line, line, no_list());
                    for (at, node) in flags.values() {
                        let first = self.line(at.span.start);
                        self.report(first, self.last_line(node).max(first), no_list());
                    }
                }
                _ => {
                    let outcome = match key.as_str() {
                        "extraArgs" if node.is_nothing() => Outcome::NotNeeded("it is empty".to_owned()),
                        "extraArgs" => no_list(),
                        _ if is_around => {
                            Outcome::NotNeeded("it is a value of the chart around node_exporter's".to_owned())
                        }
                        key => outcome(key),
                    };
                    self.report(line, self.last_line(node).max(line), outcome);
                }
            }
        }
    }

    /// A flag of each element; a flag and its value may be in two.
    fn arguments(&mut self, arguments: &[Node], program: &Program) {
        let mut rest = arguments.iter().peekable();
        while let Some(node) = rest.next() {
            let first = self.line(node.position.span.start);
            let mut last = self.line(node.position.span.end.saturating_sub(1)).max(first);
            let Some(flag) = text_of(node) else {
                self.report(first, self.last_line(node).max(first), no_list());
                continue;
            };
            let mut words = vec![flag];
            while let Some(value) = rest.next_if(|next| text_of(next).is_some_and(|text| !text.starts_with('-'))) {
                last = self.line(value.position.span.start);
                words.extend(text_of(value));
            }
            let source = self.source(first, last);
            self.found.push((first, program.translate(&words, &source)));
        }
    }

    fn report(&mut self, first: usize, last: usize, outcome: Outcome) {
        let text = match outcome {
            Outcome::Same => self.lines.line(first).trim().to_owned(),
            _ => without_text(self.lines.line(first).trim()),
        };
        let source = self.source(first, last);
        let mut translation = Translation::default();
        translation.add(source, text, outcome);
        self.found.push((first, translation));
    }

    fn source(&self, first: usize, last: usize) -> Source {
        Source { file: self.file.to_owned(), lines: Some((first, last)), ..Source::default() }
    }

    fn last_line(&self, node: &Node) -> usize {
        let below = match &node.value {
            Value::Table(table) => table.values().map(|(_, node)| self.last_line(node)).max(),
            Value::Array(nodes) => nodes.iter().map(|node| self.last_line(node)).max(),
            _ => None,
        };
        below.unwrap_or(0).max(self.line(node.position.span.end.saturating_sub(1)))
    }

    /// The line of a byte, from 1.
    fn line(&self, byte: usize) -> usize {
        self.lines.number_at(byte)
    }
}

/// What is reported of `extraArgs` that are no list of strings.
fn no_list() -> Outcome {
    Outcome::Missing("expected a list of flags, such as [\"--collector.systemd\"]".to_owned())
}

fn text_of(node: &Node) -> Option<String> {
    match &node.value {
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

fn outcome(key: &str) -> Outcome {
    match KEYS.iter().find(|(name, _)| *name == key) {
        Some((_, Becomes::Value(value))) => Outcome::Changed(format!("the value {value} of Taffrail's chart")),
        Some((_, Becomes::NotNeeded(reason))) => Outcome::NotNeeded((*reason).to_owned()),
        Some((_, Becomes::Missing(instead))) => Outcome::Missing((*instead).to_owned()),
        None => Outcome::Missing("Taffrail's chart has no such value; see its values.yaml".to_owned()),
    }
}
