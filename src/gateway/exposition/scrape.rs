//! The exposition of all groups, copied from their blocks.

use super::escaping::FamilyNames;
use crate::encode::drain::CHUNK;
use crate::encode::names::Escaping;
use crate::encode::parse::model::{Kind, Measure, Metric};
use crate::encode::pushed;
use crate::gateway::groups::block::shown_labels;
use crate::gateway::groups::change::GroupFamily;
use crate::gateway::groups::markers::MARKERS;
use crate::gateway::groups::state::{FamilyEntry, Snapshot};
use crate::gateway::groups::times::Times;
use crate::gateway::key::Key;
use crate::sinks::negotiate::{Format, Wanted};

/// The format of the exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// Text 0.0.4.
    Text(Escaping),
    /// Delimited protobuf.
    Protobuf(Escaping),
}

impl From<Wanted> for OutputFormat {
    fn from(wanted: Wanted) -> Self {
        match wanted.format {
            Format::Protobuf => OutputFormat::Protobuf(wanted.escaping),
            Format::Text | Format::OpenMetrics => OutputFormat::Text(wanted.escaping),
        }
    }
}

impl OutputFormat {
    /// The escaping of names that text 0.0.4 does not allow.
    pub fn escaping(self) -> Escaping {
        match self {
            OutputFormat::Text(escaping) | OutputFormat::Protobuf(escaping) => escaping,
        }
    }
}

/// Writes all families sorted by name, under the names that `names` assigns. Passes full chunks to `drain`, and returns the
/// last one.
pub(in crate::gateway) fn families(
    all: &Snapshot,
    format: OutputFormat,
    names: &mut FamilyNames<'_>,
    drain: &mut dyn FnMut(&mut Vec<u8>),
) -> Vec<u8> {
    let mut out = Vec::with_capacity(CHUNK);
    let mut markers = markers(&all.groups, format).into_iter().peekable();
    for (name, entry) in &all.families {
        while let Some((_, mut marker)) = markers.next_if(|(marker, _)| **marker < **name) {
            drain(&mut out);
            drain(&mut marker);
        }
        let escaped_name = names.family(name, entry.kind);
        match format {
            OutputFormat::Text(escaping) => push_text(&mut out, name, &escaped_name, entry, escaping, drain),
            OutputFormat::Protobuf(escaping) => {
                push_protobuf(&mut out, name, &escaped_name, entry, escaping);
                drain(&mut out);
            }
        }
    }
    for (_, mut marker) in markers {
        drain(&mut out);
        drain(&mut marker);
    }
    out
}

/// The markers of all groups, sorted by name. Reading a key is a cache miss, so each key is read once for all markers.
fn markers(groups: &[(u32, Key, Times)], format: OutputFormat) -> Vec<(&'static str, Vec<u8>)> {
    let mut bodies = MARKERS.each_ref().map(|_| Vec::new());
    if groups.is_empty() {
        return Vec::new();
    }
    if let OutputFormat::Text(escaping) = format {
        for (marker, body) in MARKERS.iter().zip(&mut bodies) {
            pushed::push_header(body, marker.name, Kind::Gauge, marker.help, escaping);
        }
    }
    let metric = Metric { labels: Vec::new(), measure: Measure::Number(0.0), timestamp: None, created: None };
    let mut labels = super::escaping::SeriesLabels::new(format.escaping());
    for (_, key, times) in groups {
        let values = MARKERS.each_ref().map(|marker| Measure::Number((marker.of)(*times)));
        labels.escaped(&shown_labels(&metric, key), &mut |labels| {
            for ((marker, body), value) in MARKERS.iter().zip(&mut bodies).zip(&values) {
                match format {
                    OutputFormat::Text(escaping) => pushed::push_metric(body, marker.name, labels, value, escaping),
                    OutputFormat::Protobuf(_) => {
                        let of_marker = Metric { measure: value.clone(), ..metric.clone() };
                        pushed::push_metric_with(body, Kind::Gauge, &of_marker, labels.iter().copied());
                    }
                }
            }
        });
    }
    let encoded = MARKERS.iter().zip(bodies).map(|(marker, metrics)| match format {
        OutputFormat::Text(_) => (marker.name, metrics),
        OutputFormat::Protobuf(_) => {
            let mut message = Vec::with_capacity(metrics.len() + 100);
            pushed::push_family_message(&mut message, marker.name, Kind::Gauge, marker.help, &metrics);
            (marker.name, message)
        }
    });
    encoded.collect()
}

/// A family as text, under the name `escaped_name`: copied if its blocks store the lines in this escaping.
fn push_text(
    out: &mut Vec<u8>,
    name: &str,
    escaped_name: &str,
    entry: &FamilyEntry,
    escaping: Escaping,
    drain: &mut dyn FnMut(&mut Vec<u8>),
) {
    pushed::push_header(out, escaped_name, entry.kind, &entry.help, escaping);
    if entry.blocks.iter().all(|(_, block)| block.text(escaping).is_some()) {
        for (_, block) in entry.blocks.iter() {
            out.extend_from_slice(block.text(escaping).unwrap_or_default());
            if out.len() >= CHUNK {
                drain(out);
            }
        }
        return;
    }
    super::escaping::metrics(name, entry, escaping, &mut |labels, metric| {
        pushed::push_metric(out, escaped_name, labels, &metric.measure, escaping);
        if out.len() >= CHUNK {
            drain(out);
        }
    });
}

/// A family as one protobuf message.
fn push_protobuf(out: &mut Vec<u8>, name: &str, escaped_name: &str, entry: &FamilyEntry, escaping: Escaping) {
    let mut metrics = Vec::new();
    super::escaping::metrics(name, entry, escaping, &mut |labels, metric| {
        pushed::push_metric_with(&mut metrics, entry.kind, metric, labels.iter().copied());
    });
    pushed::push_family_message(out, escaped_name, entry.kind, &entry.help, &metrics);
}

/// The families of one group as text, with names in quotes where needed. Passes full chunks to `drain`, and returns the last
/// one.
pub fn group(families: &[GroupFamily], drain: &mut dyn FnMut(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    for family in families {
        pushed::push_header(&mut out, &family.name, family.kind, &family.help, Escaping::AllowUtf8);
        out.extend_from_slice(family.block.quoted());
        if out.len() >= CHUNK {
            drain(&mut out);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::encode::parse::{self, Limits, parse};
    use crate::encode::{FamilyWriter, family};
    use crate::gateway::groups::change::Replace;
    use crate::gateway::groups::markers::is_marker;
    use crate::gateway::groups::names;
    use crate::gateway::groups::state::State;
    use crate::gateway::points::Points;
    use crate::gateway::self_metrics;
    use crate::sinks::render;

    /// The labels of each series.
    type LabelSets = &'static [&'static [(&'static str, &'static str)]];

    /// Families with the labels of their series. Some names become equal when escaped.
    const FAMILIES: &[(&str, LabelSets)] = &[
        ("a_b", &[&[("l", "1")]]),
        ("plain", &[&[("x_y", "1")], &[("x.y", "1")], &[("x.y", "2"), ("x_y", "3")], &[("x.z", "4")]]),
        ("a.b", &[&[("l", "1")], &[("l.m", "2")]]),
        ("a:c.d", &[&[]]),
        ("花火", &[&[("花", "火")], &[("火", "花")]]),
    ];

    fn pushed(state: &mut State) {
        let mut body = String::new();
        for (name, series) in FAMILIES {
            for labels in *series {
                let labels: String = labels.iter().map(|(name, value)| format!(",\"{name}\"=\"{value}\"")).collect();
                body += &format!("{{\"{name}\"{labels}}} 1\n");
            }
        }
        let read = parse(parse::Format::Text, body.as_bytes(), &Limits::default()).unwrap();
        let key = Key::from_path("job/j/U__k_2e_k/v").unwrap();
        let plan = state.plan(&key, &read, Replace::Everything, Times::default());
        state.apply(&plan.unwrap());
    }

    /// The agent's exposition of the same families.
    fn of_agent(wanted: Wanted) -> Vec<u8> {
        let of_group = [("instance", ""), ("job", "j"), ("k.k", "v")];
        render::whole(wanted, 0, |out: &mut FamilyWriter<'_>| {
            for (name, series) in FAMILIES {
                let mut out = out.free_family(name, family::Kind::Untyped, "");
                for labels in *series {
                    let labels = labels.iter().chain(&of_group).map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
                    let mut labels: Vec<(String, String)> = labels.collect();
                    labels.sort();
                    out.sample(&labels, 1u64, None);
                }
            }
        })
    }

    type Series = (String, Vec<(String, String)>);

    fn series(format: Format, body: &[u8]) -> BTreeSet<Series> {
        let format = if format == Format::Protobuf { parse::Format::Protobuf } else { parse::Format::Text };
        let shown = String::from_utf8_lossy(body);
        let read = parse(format, body, &Limits::default()).unwrap_or_else(|error| panic!("{error}: {shown}"));
        let mut all = BTreeSet::new();
        for family in read.families.iter().filter(|family| !is_marker(&family.name)) {
            for metric in &family.metrics {
                // Empty labels do not count.
                let labels = metric.labels.iter().filter(|(_, value)| !value.is_empty());
                let labels = labels.map(|(name, value)| (name.to_string(), value.to_string()));
                let is_new = all.insert((family.name.to_string(), labels.collect()));
                assert!(is_new, "{} is there twice: {shown}", family.name);
            }
        }
        all
    }

    #[test]
    fn names_are_written_as_an_agent_writes_them_in_every_format() {
        let mut state = State::default();
        pushed(&mut state);
        let all = state.snapshot();
        let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        for format in ["text/plain;version=0.0.4", "text/plain;version=1.0.0", protobuf, "*/*"] {
            for escaping in ["", "allow-utf-8", "underscores", "dots", "values", "nonsense"] {
                let accept = match escaping {
                    "" => format.to_owned(),
                    other => {
                        format!("application/openmetrics-text;q=0.1,{format};escaping={other};q=0.9,text/plain;q=0.5")
                    }
                };
                let wanted = Wanted::from_accept(&accept);
                let mut body = Vec::new();
                let format = OutputFormat::from(wanted);
                let mut assigned = FamilyNames::new(format.escaping(), &all, &|_| None);
                let rest = families(&all, format, &mut assigned, &mut |part| body.append(part));
                body.extend(rest);
                assert_eq!(series(wanted.format, &body), series(wanted.format, &of_agent(wanted)), "{accept}");
                let expected: usize = FAMILIES.iter().map(|(_, series)| series.len()).sum();
                assert_eq!(series(wanted.format, &body).len(), expected, "{accept}");
            }
        }
    }

    #[test]
    fn a_pushed_name_meets_no_family_of_others() {
        let body = "{\"taffrail gateway bytes\"} 1\n{\"taffrail.connections\"} 2\n{\"push time_seconds\"} 3\n\
            {\"a point\"} 4\n{\"taffrail gateway\"} 5\n\
            # TYPE \"s s\" summary\n{\"s s_count\"} 1\n{\"s s_sum\"} 1\n\
            # TYPE \"s.s.count\" untyped\n{\"s.s.count\"} 1\n";
        let read = parse(parse::Format::Text, body.as_bytes(), &Limits::default()).unwrap();
        let mut state = State::default();
        let key = Key::from_path("job/j").unwrap();
        let plan = state.plan(&key, &read, Replace::Everything, Times::default());
        state.apply(&plan.unwrap());
        let all = state.snapshot();
        let others = |name: &str| self_metrics::kind_of(name).or_else(|| (name == "a_point").then_some(Kind::Untyped));
        for escaping in [Escaping::Underscores, Escaping::Dots, Escaping::Values, Escaping::AllowUtf8] {
            let mut assigned = FamilyNames::new(escaping, &all, &others);
            let called: Vec<_> = all.families.iter().map(|(name, entry)| assigned.family(name, entry.kind)).collect();
            for name in &called {
                assert!(!names::is_taken(name, Kind::Untyped, &others), "{escaping:?}: {name} is another's");
            }
            let format = OutputFormat::Text(escaping);
            let mut text = Vec::new();
            let rest =
                families(&all, format, &mut FamilyNames::new(escaping, &all, &others), &mut |part| text.append(part));
            text.extend(rest);
            let text = String::from_utf8(text).unwrap();
            let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
            assert_eq!(heads.len(), heads.iter().collect::<BTreeSet<_>>().len(), "{text}");
        }
        let called = |name: &str| {
            FamilyNames::new(Escaping::Underscores, &all, &others).family(name, Kind::Untyped).into_owned()
        };
        assert_eq!(called("taffrail gateway bytes"), "U__taffrail_20_gateway_20_bytes");
        assert_eq!(called("a point"), "U__a_20_point");
        assert_eq!(called("taffrail gateway"), "taffrail_gateway");
        // The samples of an assigned name also clash.
        let mut assigned = FamilyNames::new(Escaping::Underscores, &all, &others);
        assert_eq!(assigned.family("s s", Kind::Summary), "s_s");
        assert_eq!(assigned.family("s.s.count", Kind::Untyped), "U__s_2e_s_2e_count");
        assert_eq!(Points::default().kind_of("a_point"), None);
    }
}
