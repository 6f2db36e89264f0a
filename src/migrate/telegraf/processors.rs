//! Processors that the settings of sinks have: new names of tags and fields, and tags of every point.

use super::read::{Block, Setting};
use super::tables::PROCESSOR;
use super::translate::{OfSinks, Reader};
use super::values::{raw, shown};
use crate::migrate::output::literal;
use crate::migrate::translation::Outcome;

impl Reader {
    pub(super) fn processor(&mut self, block: &Block) {
        let is_known = |setting: &Setting| PROCESSOR.iter().any(|(key, _)| *key == setting.key) || names(&setting.key);
        let is_simple = block.settings.iter().all(is_known);
        match block.path.last().map_or("", String::as_str) {
            "rename" if is_simple => self.rename(block),
            "override" if is_simple => self.overrides(block),
            _ => self.elsewhere(block),
        }
    }

    /// `[[processors.rename.replace]]`: a tag or field, and its new name.
    fn rename(&mut self, block: &Block) {
        self.head(block, Outcome::Same);
        for setting in &block.settings {
            self.of_processor(setting);
        }
        for replace in &block.tables {
            let text = |key: &str| {
                let setting = replace.settings.iter().find(|setting| setting.key == key)?;
                setting.value.text().filter(|text| !text.contains(['$', '@', '{']))
            };
            let (table, old) = match (text("tag"), text("field")) {
                (Some(tag), None) => ("rename_tags", tag),
                (None, Some(field)) => ("rename_fields", field),
                _ => {
                    self.whole(
                        replace,
                        "set name_override of a collector's points, and the new name in the sink's namepass",
                    );
                    continue;
                }
            };
            let Some(new) = text("dest").filter(|_| replace.settings.len() == 2 && replace.tables.is_empty()) else {
                self.whole(replace, "use rename_tags and rename_fields of a sink");
                continue;
            };
            let entry = self.head(replace, Outcome::Same);
            for setting in &replace.settings {
                self.add(setting.lines, &shown(setting), Outcome::Same);
            }
            let entries = entry..self.translation.entries.len();
            self.of_sinks.push(OfSinks { table, key: old.to_owned(), value: literal(new), entries });
        }
    }

    fn overrides(&mut self, block: &Block) {
        self.head(block, Outcome::Same);
        for setting in &block.settings {
            if names(&setting.key) {
                self.of_all_points("", setting, Outcome::Same);
            } else {
                self.of_processor(setting);
            }
        }
        for table in &block.tables {
            if table.path.last().is_none_or(|name| name != "tags") || !table.tables.is_empty() {
                self.whole(table, "Taffrail has no such table");
                continue;
            }
            self.head(table, Outcome::Same);
            for setting in &table.settings {
                let how = "a tag of this name that a point has stays".to_owned();
                self.of_all_points("tags", setting, Outcome::Changed(how));
            }
        }
    }

    fn of_all_points(&mut self, table: &'static str, setting: &Setting, outcome: Outcome) {
        let entry = self.add(setting.lines, &shown(setting), outcome);
        match raw(setting) {
            Ok(value) => {
                self.of_sinks.push(OfSinks { table, key: setting.key.clone(), value, entries: entry..entry + 1 });
            }
            Err(instead) => self.translation.entries[entry].outcome = Outcome::Missing(instead),
        }
    }

    fn of_processor(&mut self, setting: &Setting) {
        let row = PROCESSOR.iter().find(|(key, _)| *key == setting.key);
        let reason = row.map_or("it is the default", |(_, reason)| reason);
        self.add(setting.lines, &shown(setting), Outcome::NotNeeded(reason.to_owned()));
    }
}

/// Whether a setting of `processors.override` is one of a sink.
fn names(key: &str) -> bool {
    matches!(key, "name_override" | "name_prefix" | "name_suffix")
}
