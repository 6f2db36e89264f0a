//! `[[inputs.exec]]`, `[[inputs.execd]]` and `[[inputs.file]]`: each becomes a job of the collector of its name.

use super::present::{format, obstacle, setting};
use super::read::{Block, Setting};
use super::tables::{Becomes, Row};
use super::targets::EVERY_JOB;
use super::translate::{Place, Reader};
use super::values::{shown, shown_without_texts};
use crate::migrate::output::string;
use crate::migrate::translation::{EntryId, Outcome};

use Becomes::{Duration, NotNeeded, To, Unless};

/// The options of all three.
#[rustfmt::skip]
const OPTIONS: &[Row] = &[
    ("alias",                     To("name")),
    ("name_override",             To("name_override")),
    ("name_prefix",               To("name_prefix")),
    ("name_suffix",               To("name_suffix")),
    ("data_format",               To("data_format")),
    ("tag_keys",                  To("tag_keys")),
    ("json_string_fields",        To("json_string_fields")),
    ("json_query",                To("json_query")),
    ("json_name_key",             To("json_name_key")),
    ("json_time_key",             To("json_time_key")),
    ("json_time_format",          To("json_time_format")),
    ("json_timezone",             To("json_timezone")),
    ("json_strict",               To("json_strict")),
    ("value_field_name",          To("value_field_name")),
    ("prometheus_metric_version", To("prometheus_metric_version")),
    ("prometheus_ignore_timestamp", NotNeeded("points have the time of the run")),
    ("timeout",                   Duration("timeout")),
    ("ignore_error",              To("ignore_error")),
    ("log_stderr",                To("log_stderr")),
    ("signal",                    To("signal")),
    ("restart_delay",             Duration("restart_delay")),
    ("stop_on_error",             To("stop_on_error")),
    ("buffer_size",               NotNeeded("a line has at most 64 KiB")),
    ("files",                     To("files")),
    ("file_tag",                  To("file_tag")),
    ("file_path_tag",             To("file_path_tag")),
    ("character_encoding",        Unless("\"\"", "write the file in UTF-8")),
];

/// Options whose values may be secret.
const PROGRAMS: [&str; 3] = ["commands", "command", "environment"];

impl Reader {
    pub(super) fn program(&mut self, block: &Block) {
        if let Some(instead) = obstacle(block) {
            return self.whole(block, &instead);
        }
        let path = format!("collectors.{}", block.path.last().map_or("", String::as_str));
        let place = Place::Sink(&path);
        let is_file = block.path.last().is_some_and(|name| name == "file");
        let outcome = if is_file { Outcome::Same } else { Outcome::Changed(HOW.to_owned()) };
        let head = self.head(block, outcome);
        self.translation.output.element(&path, head);
        for setting in &block.settings {
            match setting.key.as_str() {
                key if PROGRAMS.contains(&key) => {
                    let id = self.add(setting.lines, &shown_without_texts(setting), Outcome::Same);
                    self.set(id, place, "", &setting.key, setting);
                }
                "data_type" => self.data_type(setting, place),
                _ => self.option(setting, &[OPTIONS, EVERY_JOB], place),
            }
        }
        if setting(block, "interval").is_none()
            && let Some(interval) = self.interval.clone()
        {
            self.table(place, "").set("interval", interval, head);
        }
        for table in &block.tables {
            match table.path.last().map_or("", String::as_str) {
                "tags" if table.tables.is_empty() => {
                    self.head(table, Outcome::Same);
                    for setting in &table.settings {
                        let id = self.add(setting.lines, &shown(setting), Outcome::Same);
                        self.set(id, place, "tags", &setting.key, setting);
                    }
                }
                "tagpass" | "tagdrop" => self.whole(table, "filter in the sinks"),
                _ => self.whole(table, "Taffrail has no such table"),
            }
        }
        self.measurements_of_program(block, head);
    }

    /// A type that depends on the value becomes the one that it is for numbers.
    fn data_type(&mut self, setting: &Setting, place: Place<'_>) {
        let of = setting.value.text().unwrap_or_default();
        let Some(fixed) = of.strip_prefix("auto_") else {
            return self.option(setting, &[&[("data_type", To("data_type"))]], place);
        };
        let how = format!("a field has one type: {fixed}; another value is an error");
        let id = self.add(setting.lines, &shown(setting), Outcome::Changed(how));
        self.table(place, "").set("data_type", string(fixed), id);
    }

    /// The measurements that an input has; all if the program names them.
    fn measurements_of_program(&mut self, block: &Block, head: EntryId) {
        let option = |name: &str| setting(block, name).and_then(|setting| setting.value.text()).unwrap_or_default();
        let own: &[&str] = match format(block) {
            _ if !option("name_override").is_empty() => &[option("name_override")],
            "nagios" => &["nagios", "nagios_state"],
            "prometheus" if setting(block, "prometheus_metric_version").is_none_or(|version| version.raw == "2") => {
                &["prometheus"]
            }
            "json" if option("json_name_key").is_empty() => &[block.path.last().map_or("", String::as_str)],
            "value" => &[block.path.last().map_or("", String::as_str)],
            _ => &["*"],
        };
        for name in own {
            let name = format!("{}{name}{}", option("name_prefix"), option("name_suffix"));
            if !self.measurements.iter().any(|(known, _)| *known == name) {
                self.measurements.push((name, head));
            }
        }
    }
}

const HOW: &str = "programs run as the user taffrail in the sandbox of its service: see exec.conf in docs/exec.md";
