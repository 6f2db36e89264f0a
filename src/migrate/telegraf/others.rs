//! What Taffrail measures and Telegraf did not, where sinks do not name the measurements of the inputs.

use super::tables::INPUTS;
use super::translate::{Place, Reader};
use crate::collectors::list;
use crate::config::Filter;
use crate::migrate::output::{literal, strings};
use crate::migrate::translation::{EntryId, Outcome};

impl Reader {
    /// Whether programs or exporters name measurements, so that sinks have no list of all.
    pub(super) fn has_any_measurement(&self) -> bool {
        self.measurements.iter().any(|(measurement, _)| measurement == "*")
    }

    /// Keeps the points of collectors without an input from the sinks, as far as the `passed` names of a sink have them.
    /// Families are exposed even so.
    pub(super) fn silence_others(&mut self, head: EntryId, passed: &[String]) {
        /// The measurement of a collector without measurements of its own.
        const GENERIC: &str = "prometheus";
        let mut passed = Filter::from_globs(passed).unwrap_or_default();
        let is_input = |name: &&str| {
            let of_input = INPUTS.iter().filter(|input| self.inputs.iter().any(|(known, _)| *known == input.name));
            of_input.flat_map(|input| input.measurements).any(|known| known == name)
                || self.measurements.iter().any(|(known, _)| known == name)
        };
        let about = list::COLLECTORS.iter().map(|entry| entry.about);
        let mut silenced = Vec::new();
        for about in about.filter(|about| about.on_by_default.points && !about.is_list) {
            let all = about.measurements.iter().map(|measurement| measurement.name);
            let (wanted, others): (Vec<&str>, Vec<&str>) = all.partition(is_input);
            let others = if about.measurements.is_empty() { vec![GENERIC] } else { others };
            if !others.into_iter().any(|name| passed.wants(name)) {
                continue;
            }
            match wanted.is_empty() {
                true => silenced.push((about.name, "namedrop", strings(&["*"]))),
                false => silenced.push((about.name, "namepass", strings(&wanted))),
            }
        }
        if silenced.is_empty() {
            return;
        }
        for (collector, key, names) in silenced {
            let points = self.table(Place::Root(""), &format!("collectors.{collector}.points"));
            if !points.has("namepass") && !points.has(key) {
                points.set(key, names, head);
            }
        }
        let how = "collectors without an input push nothing: namedrop in their points".to_owned();
        let outcome = &mut self.translation.entries[head].outcome;
        *outcome = match outcome {
            Outcome::Changed(before) => Outcome::Changed(format!("{before}; {how}")),
            _ => Outcome::Changed(how),
        };
    }

    /// Keeps Taffrail's own metrics from a sink, as Telegraf has them in an input.
    pub(super) fn silence_own(&mut self, place: Place<'_>, head: EntryId) {
        const OWN: &str = "internal_*";
        if self.measurements.iter().any(|(measurement, _)| measurement.starts_with("internal")) {
            return;
        }
        let sink = self.table(place, "");
        match sink.values("namedrop").first() {
            Some((list, entry)) => {
                let (inside, entry) = (list.trim().trim_end_matches([']', ',', ' ']).to_owned(), *entry);
                let separator = if inside.ends_with('[') { "" } else { ", " };
                sink.refine("namedrop", format!("{inside}{separator}{}]", literal(OWN)), entry);
            }
            None => drop(sink.push("namedrop", literal(OWN), head)),
        }
    }
}
