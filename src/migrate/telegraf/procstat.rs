//! `[[inputs.procstat]]`: it, or each of its filters, becomes a group of processes.

use super::read::{Block, Setting, Value};
use super::tables::{Becomes, EVERY_INPUT, PROCSTAT, PROCSTAT_FILTER};
use super::translate::{Place, Reader};
use super::values::shown;
use crate::migrate::output::{literal, strings};
use crate::migrate::translation::Outcome;

const GROUPS: &str = "collectors.procstat.groups";
impl Reader {
    pub(super) fn procstat(&mut self, block: &Block) {
        let is_first = !self.measurements.iter().any(|(name, _)| name == PROCSTAT.measurements[0]);
        let head = self.head(block, Outcome::Changed(PROCSTAT.differs.to_owned()));
        let first = self.translation.entries.len();
        let is_filter = |table: &&Block| table.path.last().is_some_and(|name| name == "filter");
        let filters: Vec<&Block> = block.tables.iter().filter(is_filter).collect();
        if filters.is_empty() {
            self.translation.output.element(GROUPS, head);
        }
        if filters.iter().all(|filter| depth_of(filter) == 0.0) {
            let table = self.translation.output.table("collectors.procstat");
            if !table.has("children") {
                table.set("children", "false", head);
                self.omitted(head, "recursion_depth", "children", "false");
            }
        }
        let mut single = false;
        for setting in &block.settings {
            match setting.key.as_str() {
                "tag_with" => single = self.tag_with(setting),
                "properties" => self.properties(setting),
                "exe" => self.executable(setting),
                "cgroup" => self.cgroups(setting),
                "systemd_unit" => self.unit(block, setting),
                _ if PROCSTAT.options.iter().any(|(key, _)| *key == setting.key) => {
                    self.option(setting, &[PROCSTAT.options], Place::Sink(GROUPS));
                }
                _ => self.option(setting, &[EVERY_INPUT], Place::Root("procstat")),
            }
        }
        if is_first {
            self.measured(&PROCSTAT, block, head, first);
        }
        if filters.is_empty() && single {
            self.translation.output.last_element(GROUPS).set("single_processes", "true", head);
        }
        for table in &block.tables {
            match is_filter(&table) {
                true => self.filter(table, single),
                false if is_first => self.table_of_input(table, &PROCSTAT),
                false => self.whole(table, "a collector is there once: write it in [collectors.procstat.points]"),
            }
        }
    }

    fn filter(&mut self, table: &Block, single: bool) {
        let head = self.head(table, Outcome::Same);
        self.translation.output.element(GROUPS, head);
        for setting in &table.settings {
            match setting.key.as_str() {
                "cgroups" => self.cgroups(setting),
                "recursion_depth" => {
                    let reason = match depth_of(table) {
                        0.0 => Outcome::NotNeeded("it is the default".to_owned()),
                        _ => Outcome::Changed("children = true, for all groups: descendants of any depth".to_owned()),
                    };
                    let id = self.add(setting.lines, &shown(setting), reason);
                    if depth_of(table) != 0.0 {
                        self.translation.output.table("collectors.procstat").refine("children", "true", id);
                    }
                }
                _ => self.option(setting, &[PROCSTAT_FILTER], Place::Sink(GROUPS)),
            }
        }
        if single {
            self.translation.output.last_element(GROUPS).set("single_processes", "true", head);
        }
    }

    /// Whether points of single processes are wanted: their PID is a tag then.
    fn tag_with(&mut self, setting: &Setting) -> bool {
        let tags = setting.value.texts().unwrap_or_default();
        let outcome = match tags.as_slice() {
            [] => Outcome::NotNeeded("it is the default".to_owned()),
            ["pid"] => Outcome::Changed("single_processes = true".to_owned()),
            _ => Outcome::Missing("the PID alone is a tag, of single processes; the others are fields".to_owned()),
        };
        self.add(setting.lines, &shown(setting), outcome);
        tags.contains(&"pid")
    }

    fn properties(&mut self, setting: &Setting) {
        let properties = setting.value.texts().unwrap_or_default();
        let missing: Vec<&str> =
            properties.iter().copied().filter(|name| !["cpu", "memory", "mmap"].contains(name)).collect();
        let has_smaps = properties.contains(&"mmap");
        let outcome = match missing.as_slice() {
            // The defaults of Telegraf.
            [] | ["limits"] if has_smaps => Outcome::Changed("smaps = true, of [collectors.procstat]".to_owned()),
            [] | ["limits"] => Outcome::NotNeeded("CPU and memory are always there".to_owned()),
            names => Outcome::Missing(format!("there are no {}", names.join(" and no "))),
        };
        let id = self.add(setting.lines, &shown(setting), outcome);
        if has_smaps {
            self.translation.output.table("collectors.procstat").set("smaps", "true", id);
        }
    }

    /// A unit, of which Telegraf reads the main process unless children are included.
    fn unit(&mut self, block: &Block, setting: &Setting) {
        let has_all = block.settings.iter().any(|other| other.key == "include_systemd_children" && other.raw == "true");
        self.option(setting, &[&[("systemd_unit", Becomes::Texts("systemd_units"))]], Place::Sink(GROUPS));
        if let Some(entry) = self.translation.entries.last_mut()
            && entry.outcome == Outcome::Same
            && !has_all
        {
            entry.outcome = Outcome::Changed("all processes of the unit, not the main one only".to_owned());
        }
    }

    /// A regular expression for a part of the name, as of pgrep.
    fn executable(&mut self, setting: &Setting) {
        let name = setting.value.text().unwrap_or_default();
        let is_plain = |c: char| c.is_alphanumeric() || "-_.:/@ ".contains(c);
        if name.is_empty() || !name.chars().all(is_plain) {
            return self.missing_setting(setting, "write glob patterns of names, process_names of the group");
        }
        let outcome = Outcome::Changed("a glob pattern in place of a regular expression".to_owned());
        let id = self.add(setting.lines, &shown(setting), outcome);
        let pattern = strings(&[format!("*{name}*")]);
        self.translation.output.last_element(GROUPS).set("process_names", pattern, id);
    }

    /// Paths of cgroups, below the root of their hierarchy.
    fn cgroups(&mut self, setting: &Setting) {
        let paths: Vec<String> =
            setting.value.texts().unwrap_or_default().iter().map(|path| below_root(path)).collect();
        let id = self.add(setting.lines, &shown(setting), Outcome::Same);
        let list = if paths.len() == 1 { format!("[{}]", literal(&paths[0])) } else { strings(&paths) };
        self.translation.output.last_element(GROUPS).set("cgroups", list, id);
    }
}

/// The path of a cgroup below the root of its hierarchy, whose name on cgroup v1 is the first part.
fn below_root(path: &str) -> String {
    const HIERARCHIES: [&str; 8] = ["systemd", "unified", "cpu", "cpu,cpuacct", "cpuacct", "memory", "pids", "blkio"];
    let path = path.strip_prefix("/sys/fs/cgroup").unwrap_or(path).trim_matches('/');
    match path.split_once('/') {
        Some((first, rest)) if HIERARCHIES.contains(&first) => rest.to_owned(),
        _ => path.to_owned(),
    }
}

/// How deep a filter follows the children of what it selects.
fn depth_of(filter: &Block) -> f64 {
    let depth = filter.settings.iter().find(|setting| setting.key == "recursion_depth");
    match depth.map(|setting| &setting.value) {
        Some(Value::Number(depth)) => *depth,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_below_the_root_of_the_hierarchy() {
        for path in
            ["systemd/system.slice/x.service", "/sys/fs/cgroup/system.slice/x.service/", "system.slice/x.service"]
        {
            assert_eq!(below_root(path), "system.slice/x.service");
        }
        assert_eq!(below_root("/sys/fs/cgroup/cpu,cpuacct/a/*"), "a/*");
    }
}
