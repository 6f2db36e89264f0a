//! Options of an input that hold for a whole collector, which may have the points of several inputs.

use super::present::{Present, collectors_of};
use super::read::Setting;
use super::tables::{EVERY_INPUT, Input};
use super::translate::{Place, Reader};
use crate::collectors::list;
use crate::migrate::output::strings;
use crate::migrate::translation::Outcome;

impl Reader {
    /// Why an option of an input cannot become one of its collectors: it would hold for another input too, which has not the
    /// same.
    pub(super) fn shared(&self, input: &Input, key: &str, raw: &str) -> Option<String> {
        let collectors = collectors_of(input);
        let others = self.present.iter().filter(|other| other.input.name != input.name);
        let differs = |other: &&Present| other.options.get(key).is_none_or(|value| value != raw);
        others.filter(differs).find_map(|other| {
            let collector = collectors_of(other.input).into_iter().find(|name| collectors.contains(name))?;
            Some(format!(
                "the collector {collector} has the points of inputs.{}, too, and this would hold for both: filter in the sinks",
                other.input.name
            ))
        })
    }

    /// An option that becomes a setting of the collectors that make the points of the input.
    pub(super) fn option_of_collectors(&mut self, input: &'static Input, setting: &Setting, has_namepass: bool) {
        if let Some(instead) = self.shared(input, &setting.key, &setting.raw) {
            return self.missing_setting(setting, &instead);
        }
        let collectors = collectors_of(input);
        self.option(setting, &[EVERY_INPUT], Place::Root(collectors[0]));
        let id = self.translation.entries.len() - 1;
        if matches!(self.translation.entries[id].outcome, Outcome::Missing(_)) {
            return;
        }
        let row = EVERY_INPUT.iter().find(|(option, _)| *option == setting.key);
        for collector in &collectors[1..] {
            if let Some((_, becomes)) = row {
                self.becomes(id, *becomes, setting, Place::Root(collector));
            }
        }
        // The name must not go to the collector's other measurements.
        for collector in collectors.iter().filter(|_| setting.key == "name_override" && !has_namepass) {
            let measurements = list::find(collector).map_or(&[][..], |entry| entry.about.measurements);
            if measurements.iter().any(|measurement| !input.measurements.contains(&measurement.name)) {
                let points = self.translation.output.table(&format!("collectors.{collector}.points"));
                points.set("namepass", strings(input.measurements), id);
            }
        }
    }
}
