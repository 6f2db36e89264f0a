//! Applies the tables to the settings of files.

use std::collections::BTreeSet;
use std::ops::Range;

use super::kept;
use super::present::{Present, SCRAPING, SMART, collectors_of, is_of_collector, is_probe, present};
use super::read::{Block, ReadError, Setting, Value, read};
use super::server_tables::SERVERS;
use super::tables::{AGENT, Becomes, ELSEWHERE, EVERY_INPUT, INPUTS, Input, NOT_NEEDED, PROCSTAT, Row, STATSD};
use super::values::{duration_of, list_of, raw, shown, shown_option, shown_without_texts, unless, urls_and_user};
use crate::collectors::list;
use crate::migrate::output::{Table, literal, string, strings};
use crate::migrate::translation::{EntryId, Outcome, Source, Translation};

/// Translates files, each with its name and content.
///
/// # Errors
/// A file is no TOML.
pub fn translate(files: &[(String, String)]) -> Result<Translation, ReadError> {
    let blocks: Vec<Block> = files.iter().map(|(file, text)| read(file, text)).collect::<Result<_, _>>()?;
    let mut reader = Reader { present: present(&blocks), interval: interval_of(&blocks), ..Reader::default() };
    for ((file, _), root) in files.iter().zip(&blocks) {
        reader.file.clone_from(file);
        reader.root(root);
    }
    reader.sinks(&blocks);
    for (file, text) in files {
        reader.file.clone_from(file);
        reader.translation.comments += reader.comments(text);
    }
    let mut translation = reader.translation;
    translation.inputs.push(kept::inputs(files, &blocks));
    // Outputs were translated last, and stand in the report where they are in their file.
    translation.sort_by_line(&files.iter().map(|(file, _)| file.as_str()).collect::<Vec<_>>());
    Ok(translation)
}

/// The interval of the agent, if it is configured.
fn interval_of(roots: &[Block]) -> Option<String> {
    let agents = roots.iter().flat_map(|root| &root.tables).filter(|table| table.path[0] == "agent");
    let interval = agents.flat_map(|agent| &agent.settings).find(|setting| setting.key == "interval")?;
    duration_of(&interval.value)
}

#[derive(Default)]
pub(super) struct Reader {
    pub(super) file: String,
    pub(super) translation: Translation,
    /// Inputs that are there already, and whether they have settings.
    pub(super) inputs: Vec<(&'static str, bool)>,
    /// All inputs of the files.
    pub(super) present: Vec<Present>,
    /// Measurements that are pushed, with the entry of their input.
    pub(super) measurements: Vec<(String, EntryId)>,
    /// Settings that all sinks get, with their entry.
    pub(super) of_sinks: Vec<OfSinks>,
    /// The interval of the agent, as TOML.
    pub(super) interval: Option<String>,
    /// The number of jobs that scrape.
    pub(super) scraping_jobs: usize,
    /// Outputs: their file, and the entry of their head.
    pub(super) outputs: Vec<(String, EntryId)>,
}

/// A setting that all sinks get.
#[derive(Clone)]
pub(super) struct OfSinks {
    /// The table below the sink; empty for the sink itself.
    pub(super) table: &'static str,
    pub(super) key: String,
    /// As TOML.
    pub(super) value: String,
    /// Its lines; the first is its source.
    pub(super) entries: Range<EntryId>,
}

/// Where the settings of a plugin go.
#[derive(Clone, Copy)]
pub(super) enum Place<'p> {
    /// The root; `NAME` in a row is this collector.
    Root(&'p str),
    /// The sink that was added last.
    Sink(&'p str),
}

impl Reader {
    fn source(&self, lines: (usize, usize)) -> Source {
        Source { file: self.file.clone(), lines: Some(lines), ..Source::default() }
    }

    pub(super) fn add(&mut self, lines: (usize, usize), text: &str, outcome: Outcome) -> EntryId {
        let source = self.source(lines);
        self.translation.add(source, text, outcome)
    }

    fn root(&mut self, root: &Block) {
        for setting in &root.settings {
            self.missing_setting(setting, "Telegraf has no such table");
        }
        for block in &root.tables {
            match block.path[0].as_str() {
                "global_tags" | "tags" => self.global_tags(block),
                "agent" => self.agent(block),
                "inputs" => self.plugins(block, Reader::input),
                "outputs" => self.plugins(block, Reader::output),
                "processors" => self.plugins(block, Reader::processor),
                "aggregators" | "secretstores" => {
                    self.plugins(block, |reader, block| reader.elsewhere(block));
                }
                _ => self.whole(block, "Telegraf has no such table"),
            }
        }
    }

    /// Every plugin of a kind. `[inputs]` itself may have a head.
    fn plugins(&mut self, kind: &Block, translate: fn(&mut Reader, &Block)) {
        self.head(kind, Outcome::Same);
        for setting in &kind.settings {
            self.missing_setting(setting, "expected a plugin");
        }
        kind.tables.iter().for_each(|plugin| translate(self, plugin));
    }

    pub(super) fn head(&mut self, block: &Block, outcome: Outcome) -> EntryId {
        // A table without a head of its own has that of its first table below.
        match block.lines {
            Some(lines) => self.add(lines, &block.text, outcome),
            None => self.translation.entries.len().saturating_sub(1),
        }
    }

    fn global_tags(&mut self, block: &Block) {
        self.head(block, Outcome::Same);
        for setting in &block.settings {
            let id = self.add(setting.lines, &shown(setting), Outcome::Same);
            self.set(id, Place::Root(""), "tags", &setting.key, setting);
        }
        block.tables.iter().for_each(|table| self.whole(table, "a tag is a string"));
    }

    fn agent(&mut self, block: &Block) {
        self.head(block, Outcome::Same);
        for setting in &block.settings {
            self.option(setting, &[AGENT], Place::Root(""));
        }
        block.tables.iter().for_each(|table| self.whole(table, "[agent] has no such table"));
    }

    fn input(&mut self, block: &Block) {
        let name = block.path.last().map_or("", String::as_str);
        match name {
            "exec" | "execd" | "file" => return self.program(block),
            SCRAPING => return self.scraping(block),
            name if name == STATSD => return self.statsd(block),
            name if SMART.contains(&name) => return self.smart(block),
            name if name == PROCSTAT.name => return self.procstat(block),
            _ if is_probe(block) => return self.probe(block),
            _ => {}
        }
        if let Some(server) = SERVERS.iter().find(|server| server.name == name) {
            return self.server(block, server);
        }
        let Some(input) = INPUTS.iter().find(|input| input.name == name) else { return self.elsewhere(block) };
        let has_settings = !block.settings.is_empty() || !block.tables.is_empty();
        if let Some((_, had_settings)) = self.inputs.iter().find(|(name, _)| *name == input.name) {
            let instead = "a collector is there once: join the instances, and divide them by the filters of sinks";
            return if has_settings || *had_settings { self.whole(block, instead) } else { self.again(block) };
        }
        self.inputs.push((input.name, has_settings));
        let outcome = if input.differs.is_empty() { Outcome::Same } else { Outcome::Changed(input.differs.into()) };
        let head = self.head(block, outcome);
        for collector in input.collectors {
            if list::find(collector).is_some_and(|entry| !entry.about.on_by_default.points) {
                self.translation.output.table(&format!("collectors.{collector}")).set("enabled", "true", head);
            }
        }
        let first = self.translation.entries.len();
        let place = Place::Root(input.collectors[0]);
        let has_namepass = block.settings.iter().any(|setting| setting.key == "namepass");
        for setting in &block.settings {
            match is_of_collector(input, &setting.key) {
                true => self.option_of_collectors(input, setting, has_namepass),
                false => self.option(setting, &[input.options, EVERY_INPUT], place),
            }
        }
        self.measured(input, block, head, first);
        for (option, setting, value) in input.defaults {
            if !block.settings.iter().any(|setting| setting.key == *option) {
                let (table, key) = setting.rsplit_once('.').unwrap_or(("", setting));
                self.omitted(head, option, key, value);
                self.translation.output.table(table).set(key, *value, head);
            }
        }
        for table in &block.tables {
            self.table_of_input(table, input);
        }
    }

    fn again(&mut self, block: &Block) {
        self.head(block, Outcome::NotNeeded("the input is there already".to_owned()));
    }

    /// Notes in the report that an option that is left out has another default.
    pub(super) fn omitted(&mut self, head: EntryId, option: &str, key: &str, value: &str) {
        let how = format!("{option} is left out: {key} = {value}, as Telegraf has it");
        let outcome = &mut self.translation.entries[head].outcome;
        *outcome = match outcome {
            Outcome::Changed(before) => Outcome::Changed(format!("{before}; {how}")),
            _ => Outcome::Changed(how),
        };
    }

    /// The measurements of an input, under the names that it gives them. A name that is missing does not count: the
    /// collector keeps its own. The entries of the settings begin at `first`.
    pub(super) fn measured(&mut self, input: &Input, block: &Block, head: EntryId, first: EntryId) {
        let entries = &self.translation.entries[first..];
        let option = |name: &str| {
            let setting = block.settings.iter().find(|setting| setting.key == name)?;
            let mut own = entries.iter().filter(|entry| entry.source.lines == Some(setting.lines));
            let is_missing = own.any(|entry| matches!(entry.outcome, Outcome::Missing(_)));
            setting.value.text().filter(|_| !is_missing).map(str::to_owned)
        };
        for measurement in input.measurements {
            let name = option("name_override").unwrap_or_else(|| (*measurement).to_owned());
            let (prefix, suffix) = (option("name_prefix"), option("name_suffix"));
            let name = format!("{}{name}{}", prefix.unwrap_or_default(), suffix.unwrap_or_default());
            self.measurements.push((name, head));
        }
        if input.name == "kernel" && block.settings.iter().any(|setting| setting.raw.contains("psi")) {
            self.measurements.push(("pressure".to_owned(), head));
        }
    }

    pub(super) fn table_of_input(&mut self, table: &Block, input: &'static Input) {
        let name = table.path.last().map_or("", String::as_str);
        if !matches!(name, "tags" | "tagpass" | "tagdrop") || !table.tables.is_empty() {
            return self.whole(table, "Taffrail has no such table");
        }
        self.head(table, Outcome::Same);
        for setting in &table.settings {
            if let Some(instead) = self.shared(input, &format!("{name}.{}", setting.key), &setting.raw) {
                self.missing_setting(setting, &instead);
                continue;
            }
            let id = self.add(setting.lines, &shown(setting), Outcome::Same);
            for collector in collectors_of(input) {
                let path = format!("collectors.{collector}.points.{name}");
                self.set(id, Place::Root(collector), &path, &setting.key, setting);
            }
        }
    }

    /// A plugin without a counterpart.
    pub(super) fn elsewhere(&mut self, block: &Block) {
        let name = block.path.join(".");
        if let Some((_, reason)) = NOT_NEEDED.iter().find(|(plugin, _)| *plugin == name) {
            self.head(block, Outcome::NotNeeded((*reason).to_owned()));
            let needs_nothing = Outcome::NotNeeded((*reason).to_owned());
            for setting in &block.settings {
                self.add(setting.lines, &shown(setting), needs_nothing.clone());
            }
            return block.tables.iter().for_each(|table| self.whole(table, "Taffrail has no such table"));
        }
        let found =
            ELSEWHERE.iter().find(|(plugin, _)| *plugin == name || plugin.ends_with('.') && name.starts_with(plugin));
        self.whole(block, found.map_or("Taffrail has nothing for it", |(_, instead)| instead));
    }

    /// Reports a table, and everything below it, as missing.
    pub(super) fn whole(&mut self, block: &Block, instead: &str) {
        self.head(block, Outcome::Missing(instead.to_owned()));
        block.settings.iter().for_each(|setting| self.missing_setting(setting, instead));
        block.tables.iter().for_each(|table| self.whole(table, instead));
    }

    pub(super) fn missing_setting(&mut self, setting: &Setting, instead: &str) {
        self.add(setting.lines, &shown_without_texts(setting), Outcome::Missing(instead.to_owned()));
    }

    pub(super) fn option(&mut self, setting: &Setting, tables: &[&[Row]], place: Place<'_>) {
        let row = tables.iter().copied().flatten().find(|(key, _)| *key == setting.key);
        let Some((_, becomes)) = row else {
            return self.missing_setting(setting, "Taffrail has no such option");
        };
        let id = self.add(setting.lines, &shown_option(setting, *becomes), Outcome::Same);
        let outcome = self.becomes(id, *becomes, setting, place);
        // A value that was refused has its outcome already.
        if self.translation.entries[id].outcome == Outcome::Same {
            self.translation.entries[id].outcome = outcome;
        }
    }

    pub(super) fn becomes(&mut self, id: EntryId, becomes: Becomes, setting: &Setting, place: Place<'_>) -> Outcome {
        let missing = |instead: &str| Outcome::Missing(instead.to_owned());
        match becomes {
            Becomes::To(path) => self.copy(id, path, setting, place),
            Becomes::Changed("", _) if setting.value == Value::Text(String::new()) => {
                return Outcome::NotNeeded("it is the default".to_owned());
            }
            Becomes::Changed("", how) => return Outcome::Changed(how.to_owned()),
            Becomes::Changed(path, how) => {
                self.copy(id, path, setting, place);
                return Outcome::Changed(how.to_owned());
            }
            Becomes::NotNeeded(reason) => return Outcome::NotNeeded(reason.to_owned()),
            Becomes::Missing(instead) => return missing(instead),
            Becomes::Unless(raw, instead) => return unless(setting, raw, instead),
            Becomes::Templates(path) => {
                let Some(texts) = setting.value.texts() else { return missing("expected a list of strings") };
                if texts.iter().any(|text| text.contains("${")) {
                    return missing("write $NAME in place of ${NAME}");
                }
                self.put(id, path, strings(&texts), place);
            }
            Becomes::Duration(path) => match duration_of(&setting.value) {
                Some(value) => self.put(id, path, value, place),
                None => self.copy(id, path, setting, place),
            },
            Becomes::Opposite(path) => match setting.value {
                Value::Switch(value) => {
                    self.put(id, path, (!value).to_string(), place);
                    return Outcome::Changed(format!("the other way round: {path} = {}", !value));
                }
                _ => return missing("expected true or false"),
            },
            Becomes::Words(path)
            | Becomes::Texts(path)
            | Becomes::Sockets(path)
            | Becomes::Regex(path)
            | Becomes::Only(path) => {
                let Some(texts) = setting.value.texts() else {
                    return missing("expected a string, or a list of strings");
                };
                if texts.is_empty() && matches!(becomes, Becomes::Regex(_)) {
                    return Outcome::NotNeeded("it is the default".to_owned());
                }
                match list_of(becomes, &texts) {
                    Ok(value) => self.put(id, path, value, place),
                    Err(instead) => return missing(instead),
                }
                if matches!(becomes, Becomes::Regex(_)) {
                    return Outcome::Changed("a regular expression in place of globs".to_owned());
                }
            }
            Becomes::Urls(path) => {
                let Some(texts) = setting.value.texts() else { return missing("expected a list of URLs") };
                let (urls, user) = match urls_and_user(&texts) {
                    Ok(parts) => parts,
                    Err(instead) => return missing(instead),
                };
                self.put(id, path, strings(&urls), place);
                let Some((name, password)) = user else { return Outcome::Same };
                for (key, value) in [("username", name), ("password", password)] {
                    if !value.is_empty() && !self.table(place, "").has(key) {
                        self.put(id, key, string(&value), place);
                    }
                }
                return Outcome::Changed("the user is username and password".to_owned());
            }
            Becomes::Either(path, on, off) => {
                let Value::Switch(value) = setting.value else { return missing("expected true or false") };
                let value = if value { on } else { off };
                self.put(id, path, value.to_owned(), place);
                return Outcome::Changed(format!("{path} = {value}"));
            }
            Becomes::Bytes(key) => return self.limit(id, key, setting, place),
            Becomes::LogLevel(level) => {
                if setting.value == Value::Switch(true) {
                    self.translation.output.table("log").set("level", string(level), id);
                    return Outcome::Changed(format!("log.level = \"{level}\""));
                }
                return Outcome::NotNeeded("it is the default".to_owned());
            }
            Becomes::DropsTag(tag) => {
                if setting.value == Value::Switch(true) {
                    self.of_sinks.push(OfSinks {
                        table: "",
                        key: "tagexclude".to_owned(),
                        value: strings(&[tag]),
                        entries: id..id + 1,
                    });
                    return Outcome::Changed(format!("tagexclude = [\"{tag}\"] of each sink"));
                }
                return Outcome::NotNeeded("it is the default".to_owned());
            }
            Becomes::Collects(known) => {
                let texts = setting.value.texts().unwrap_or_default();
                if let Some(unknown) = texts.iter().find(|text| !known.iter().any(|(name, _)| name == *text)) {
                    return missing(&format!("there is no {unknown}"));
                }
                for (_, collector) in known.iter().filter(|(name, _)| texts.contains(name)) {
                    self.translation.output.table(&format!("collectors.{collector}")).set("enabled", "true", id);
                }
            }
        }
        Outcome::Same
    }

    /// A limit of points, as bytes of about as many. Of `[agent]`, every sink gets it.
    fn limit(&mut self, id: EntryId, key: &'static str, setting: &Setting, place: Place<'_>) -> Outcome {
        const BYTES_OF_A_POINT: f64 = 250.0;
        const LEAST: f64 = 8.0;
        let Value::Number(points) = setting.value else { return Outcome::Missing("expected a number".to_owned()) };
        let mebibytes = (points * BYTES_OF_A_POINT / f64::from(1 << 20)).ceil().clamp(LEAST, 65_536.0);
        let value = literal(&format!("{mebibytes}MiB"));
        match place {
            Place::Root(_) => {
                self.of_sinks.push(OfSinks { table: "", key: key.to_owned(), value, entries: id..id + 1 })
            }
            Place::Sink(_) => {
                self.table(place, "").set(key, value, id);
            }
        }
        Outcome::Changed(format!("a limit in bytes, of about 250 for each point: {key} = \"{mebibytes}MiB\""))
    }

    fn copy(&mut self, id: EntryId, path: &str, setting: &Setting, place: Place<'_>) {
        match (path.rsplit_once('.'), place) {
            (Some((table, key)), Place::Root(name)) => self.set(id, place, &table.replace("NAME", name), key, setting),
            _ => self.set(id, place, "", path, setting),
        }
    }

    /// Copies a value as it is in the file.
    pub(super) fn set(&mut self, id: EntryId, place: Place<'_>, table: &str, key: &str, setting: &Setting) {
        match raw(setting) {
            Ok(value) => {
                self.table(place, table).set(key, value, id);
            }
            Err(instead) => self.translation.entries[id].outcome = Outcome::Missing(instead),
        }
    }

    fn put(&mut self, id: EntryId, path: &str, value: String, place: Place<'_>) {
        match (path.rsplit_once('.'), place) {
            (Some((table, key)), Place::Root(name)) => {
                self.table(place, &table.replace("NAME", name)).set(key, value, id)
            }
            _ => self.table(place, "").set(path, value, id),
        };
    }

    pub(super) fn table(&mut self, place: Place<'_>, table: &str) -> &mut Table {
        match (place, table) {
            (Place::Root(_), table) => self.translation.output.table(table),
            (Place::Sink(path), "") => self.translation.output.last_element(path),
            (Place::Sink(path), table) => self.translation.output.last_element(path).table(table),
        }
    }

    /// Counts the lines of a file that are blank or comments. A line that is neither, and in no entry, is reported.
    fn comments(&mut self, text: &str) -> usize {
        let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
        let of_file = self.translation.entries.iter().filter(|entry| entry.source.file == self.file);
        let lines = of_file.filter_map(|entry| entry.source.lines);
        let covered: BTreeSet<usize> = lines.flat_map(|(first, last)| first..=last).collect();
        let rest: Vec<_> = text.lines().zip(1..).filter(|(_, number)| !covered.contains(number)).collect();
        for (line, number) in rest.iter().filter(|(line, _)| !blank(line)) {
            self.add((*number, *number), line.trim(), Outcome::Missing("it is not understood".to_owned()));
        }
        rest.iter().filter(|(line, _)| blank(line)).count()
    }
}
