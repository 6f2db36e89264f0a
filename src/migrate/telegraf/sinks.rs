//! Outputs become sinks, each with the measurements of the inputs.

use std::collections::BTreeSet;

use super::present::setting;
use super::read::Block;
use super::tables::{EVERY_HTTP, EVERY_OUTPUT, OUTPUTS, Output, Row};
use super::translate::{OfSinks, Place, Reader};
use super::values::shown;
use crate::migrate::output::literal;
use crate::migrate::translation::{EntryId, Outcome};

const NAME_FILTERS: [&str; 2] = ["namepass", "namedrop"];
const TAG_FILTERS: [&str; 4] = ["taginclude", "tagexclude", "tagpass", "tagdrop"];
const FIELD_FILTERS: [&str; 6] = ["fieldinclude", "fieldpass", "pass", "fieldexclude", "fielddrop", "drop"];

/// Options that say where an output writes.
const ADDRESSES: [&str; 3] = ["urls", "url", "files"];

impl Reader {
    /// An output is translated when all inputs are known; its head is reported now.
    pub(super) fn output(&mut self, block: &Block) {
        let name = block.path.last().map_or("", String::as_str);
        if OUTPUTS.iter().any(|output| output.name == name) {
            let head = self.head(block, Outcome::Same);
            self.outputs.push((self.file.clone(), head));
        } else {
            self.elsewhere(block);
        }
    }

    /// Translates the outputs, each to a sink with the measurements of the inputs.
    pub(super) fn sinks(&mut self, roots: &[Block]) {
        let kinds = roots.iter().flat_map(|root| &root.tables).filter(|kind| kind.path[0] == "outputs");
        let blocks: Vec<&Block> = kinds.flat_map(|kind| &kind.tables).collect();
        let named = |block: &&&Block| {
            let name = block.path.last().map_or("", String::as_str);
            OUTPUTS.iter().any(|output| output.name == name)
        };
        let heads = std::mem::take(&mut self.outputs);
        for (block, (file, head)) in blocks.iter().filter(named).zip(heads) {
            self.file = file;
            let name = block.path.last().map_or("", String::as_str);
            let Some(output) = OUTPUTS.iter().find(|output| output.name == name) else { continue };
            self.sink(output, block, head);
        }
    }

    fn sink(&mut self, output: &Output, block: &Block, head: EntryId) {
        let path = format!("sinks.{}", output.sink);
        self.translation.output.element(&path, head);
        let place = Place::Sink(&path);
        let first = self.translation.entries.len();
        for setting in &block.settings {
            let http: &[Row] = if output.sink == "file" { &[] } else { EVERY_HTTP };
            self.option(setting, &[output.options, EVERY_OUTPUT, http], place);
        }
        let options = block.settings.iter().zip(&self.translation.entries[first..]);
        let mut addresses = options.filter(|(setting, _)| ADDRESSES.contains(&setting.key.as_str()));
        if addresses.any(|(_, entry)| matches!(entry.outcome, Outcome::Missing(_))) {
            return self.without_address(block, head, first);
        }
        for (option, key, value) in output.defaults {
            if !block.settings.iter().any(|setting| setting.key == *option) {
                if !option.is_empty() {
                    self.omitted(head, option, key, value);
                }
                self.table(place, "").set(key, *value, head);
            }
        }
        for table in &block.tables {
            self.table_of_sink(table, place);
        }
        let (of_sinks, measurements) = (self.of_sinks.clone(), self.measurements.clone());
        for setting in of_sinks {
            self.of_sinks(setting, block, place);
        }
        if measurements.is_empty() && !self.table(place, "").has("namepass") {
            let how = "no input was translated, so it sends Taffrail's own metrics alone".to_owned();
            self.translation.entries[head].outcome = Outcome::Changed(how);
            self.table(place, "").push("namepass", literal("internal_*"), head);
            return;
        }
        if self.table(place, "").has("namepass") {
            let passed = setting(block, "namepass").and_then(|names| names.value.texts()).unwrap_or_default();
            return self.silence_others(head, &passed.into_iter().map(str::to_owned).collect::<Vec<_>>());
        }
        if self.has_any_measurement() {
            self.silence_own(place, head);
            return self.silence_others(head, &[]);
        }
        for (measurement, entry) in measurements {
            self.table(place, "").push("namepass", literal(&measurement), entry);
        }
    }

    /// Sets what all sinks get, unless the output has it, or filters by a name that processors changed before.
    fn of_sinks(&mut self, OfSinks { table, key, value, entries }: OfSinks, block: &Block, place: Place<'_>) {
        let filters = match table {
            "rename_tags" => &TAG_FILTERS[..],
            "rename_fields" => &FIELD_FILTERS,
            _ if key.starts_with("name_") => &NAME_FILTERS,
            _ => &[],
        };
        let is_filter = |name: &String| filters.contains(&name.as_str());
        let lists = block.settings.iter().filter(|setting| is_filter(&setting.key)).map(|setting| &setting.raw);
        let tables = block.tables.iter().filter(|table| table.path.last().is_some_and(is_filter));
        let tags = tables.flat_map(|table| &table.settings).map(|setting| &setting.key);
        let new = value.trim_matches('"');
        let is_filtered = lists.chain(tags).any(|text| {
            key.starts_with("name_") || text.contains(['*', '?']) || text.contains(&key) || text.contains(new)
        });
        let has_own = self.table(place, table).has(&key);
        let instead = match (is_filtered, has_own) {
            (false, false) => {
                self.table(place, table).set(&key, value, entries.start);
                return;
            }
            (false, true) if key == "buffer_size" => return,
            (false, true) => format!("the sink has a {key} of its own: join both"),
            (true, _) => "the output filters by it: use the filters and names of the sink".to_owned(),
        };
        for entry in &mut self.translation.entries[entries] {
            entry.outcome = Outcome::Missing(instead.clone());
        }
    }

    /// A sink whose address is missing would write to the default one.
    fn without_address(&mut self, block: &Block, head: EntryId, first: EntryId) {
        self.translation.output.remove(&BTreeSet::from([head]));
        let instead = "the address of this output is missing";
        let options = &mut self.translation.entries[first..];
        for entry in options.iter_mut().filter(|entry| !matches!(entry.outcome, Outcome::Missing(_))) {
            entry.outcome = Outcome::Missing(instead.to_owned());
        }
        self.translation.entries[head].outcome = Outcome::Missing(instead.to_owned());
        block.tables.iter().for_each(|table| self.whole(table, instead));
    }

    fn table_of_sink(&mut self, table: &Block, place: Place<'_>) {
        let name = match table.path.last().map_or("", String::as_str) {
            "http_headers" | "headers" => "headers",
            name @ ("tagpass" | "tagdrop") => name,
            _ => return self.whole(table, "Taffrail has no such table"),
        };
        self.head(table, Outcome::Same);
        for setting in &table.settings {
            // Any header may be a secret.
            let text = if name == "headers" { format!("{} = …", setting.key) } else { shown(setting) };
            let id = self.add(setting.lines, &text, Outcome::Same);
            self.set(id, place, name, &setting.key, setting);
        }
        table.tables.iter().for_each(|below| self.whole(below, "Taffrail has no such table"));
    }
}
