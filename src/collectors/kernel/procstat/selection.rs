//! `[[collectors.procstat.groups]]`: which processes form a group, and its name.

use std::path::PathBuf;

use regex::Regex;

use super::identity::Identity;
use crate::config::{Globs, Key, KeyInfo, Section};

const NAME: Key<String> = Key::new(
    "name",
    "\"{comm}\"",
    "Name of the group. A variable makes a group for each of its values: `{comm}`, `{exe}`, `{exe_path}`, `{user}`, `{unit}`, `{cgroup}`, `{pid}`, or a named part of a pattern.",
);
const PROCESS_NAMES: Key<Globs> =
    Key::optional("process_names", "Names of processes (`comm`, at most 15 characters), as glob patterns.");
const EXECUTABLES: Key<Globs> = Key::optional(
    "executables",
    "The first argument of the command line, as glob patterns: its last component, or all of it for a pattern with a slash.",
);
const PATTERNS: Key<Vec<Regex>> =
    Key::optional("patterns", "Regular expressions for the command line, whose arguments are joined by spaces.");
const USERS: Key<Globs> = Key::optional("users", "Effective users, by name or number, as glob patterns.");
const SYSTEMD_UNITS: Key<Globs> =
    Key::optional("systemd_units", "Units of systemd, as glob patterns: all processes in the cgroup of the unit.");
const CGROUPS: Key<Globs> = Key::optional(
    "cgroups",
    "Cgroups, as glob patterns for the path below the root of the hierarchy: `system.slice/nginx.service`; with all cgroups below.",
);
const PID_FILES: Key<Vec<PathBuf>> = Key::optional("pid_files", "Files with a PID.");
const SINGLE_PROCESSES: Key<bool> = Key::new(
    "single_processes",
    "false",
    "Pushes a point for each process, with the tag `pid`, in addition to the sum.",
);

/// Settings of a group.
pub(super) const KEYS: &[KeyInfo] = &[
    NAME.info(),
    PROCESS_NAMES.info(),
    EXECUTABLES.info(),
    PATTERNS.info(),
    USERS.info(),
    SYSTEMD_UNITS.info(),
    CGROUPS.info(),
    PID_FILES.info(),
    SINGLE_PROCESSES.info(),
];

/// A table `[[collectors.procstat.groups]]`. A process must satisfy each selector that is set, by any of its values.
#[derive(Debug)]
pub(super) struct Selection {
    name: Template,
    process_names: Option<Globs>,
    executables: Option<Globs>,
    patterns: Vec<Regex>,
    users: Option<Globs>,
    units: Option<Globs>,
    cgroups: Option<Globs>,
    pub(super) pid_files: Vec<PathBuf>,
    /// Whether points of single processes are wanted.
    pub(super) single_processes: bool,
    /// The tag by which Telegraf tells its selectors apart, and its value.
    pub(super) tag: (Selector, String),
}

/// The kind of a selector, which is a tag of `procstat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Selector {
    Cgroup,
    Executable,
    /// Several selectors.
    #[default]
    Filter,
    Pattern,
    PidFile,
    Unit,
    User,
}

impl Selection {
    /// All processes with a command line, which kernel threads lack: by name.
    pub(super) fn of_all() -> Self {
        Selection {
            name: Template { parts: vec![Part::Comm], is_fixed: false },
            process_names: None,
            executables: None,
            patterns: Regex::new(".").into_iter().collect(),
            users: None,
            units: None,
            cgroups: None,
            pid_files: Vec::new(),
            single_processes: false,
            tag: (Selector::Filter, "all".to_owned()),
        }
    }

    pub(super) fn new(section: &mut Section<'_>) -> Self {
        let patterns = section.optional(&PATTERNS).unwrap_or_default();
        let name = section.get(&NAME);
        let mut selection = Selection {
            name: Template::parse(&name, &patterns).unwrap_or_else(|problem| {
                section.wrong(NAME.info().name, problem);
                Template { parts: Vec::new(), is_fixed: true }
            }),
            process_names: section.optional(&PROCESS_NAMES),
            executables: section.optional(&EXECUTABLES),
            users: section.optional(&USERS),
            units: section.optional(&SYSTEMD_UNITS),
            cgroups: section.optional(&CGROUPS),
            pid_files: section.optional(&PID_FILES).unwrap_or_default(),
            single_processes: section.get(&SINGLE_PROCESSES),
            patterns,
            tag: (Selector::Filter, name),
        };
        let mut selectors = selection.selectors();
        match (selectors.pop(), selectors.is_empty()) {
            (None, _) => section.wrong(
                PROCESS_NAMES.info().name,
                "expected at least one of process_names, executables, patterns, users, systemd_units, cgroups, pid_files",
            ),
            // Of a single value, as the old settings of Telegraf.
            (Some((selector, values)), true) if values.len() == 1 && selector != Selector::Filter => {
                selection.tag = (selector, values.concat());
            }
            _ => {}
        }
        selection
    }

    /// The selectors that are set, with their values.
    fn selectors(&self) -> Vec<(Selector, Vec<String>)> {
        let globs = |globs: &Option<Globs>| globs.iter().flat_map(|globs| globs.patterns().to_vec()).collect();
        let patterns = self.patterns.iter().map(|pattern| pattern.as_str().to_owned()).collect();
        let pid_files = self.pid_files.iter().map(|path| path.display().to_string()).collect();
        let all: [(Selector, Vec<String>); 7] = [
            (Selector::Filter, globs(&self.process_names)),
            (Selector::Executable, globs(&self.executables)),
            (Selector::Pattern, patterns),
            (Selector::User, globs(&self.users)),
            (Selector::Unit, globs(&self.units)),
            (Selector::Cgroup, globs(&self.cgroups)),
            (Selector::PidFile, pid_files),
        ];
        all.into_iter().filter(|(_, values)| !values.is_empty()).collect()
    }

    /// The name of its only group, which exists even without processes.
    pub(super) fn fixed_name(&self) -> Option<String> {
        self.name.is_fixed.then(|| self.name.fill(&mut Identity::default(), &[]))
    }

    /// The name of the group of a process that it selects. `pids` are those of its PID files.
    pub(super) fn group_of(&self, process: &mut Identity<'_, '_>, pids: &[u32]) -> Option<String> {
        let is_any =
            |globs: &Option<Globs>, matches: &mut dyn FnMut(&Globs) -> bool| globs.as_ref().is_none_or(matches);
        // The cheapest first.
        let is_selected = (self.pid_files.is_empty() || pids.contains(&process.pid))
            && is_any(&self.process_names, &mut |globs| globs.matches(process.name))
            && is_any(&self.cgroups, &mut |globs| is_below(process.cgroup(), globs))
            && is_any(&self.units, &mut |globs| units(process.cgroup()).any(|unit| globs.matches(unit)))
            && is_any(&self.users, &mut |globs| {
                let (user, uid) = process.user();
                globs.matches(&user) || globs.matches(&uid)
            })
            && is_any(&self.executables, &mut |globs| is_executable(process.executable(), globs))
            && (self.patterns.is_empty() || {
                let line = process.command_line();
                self.patterns.iter().any(|pattern| pattern.is_match(line))
            });
        is_selected.then(|| self.name.fill(process, &self.patterns))
    }
}

/// Whether the cgroup at `path`, or one above it, matches.
fn is_below(path: &str, globs: &Globs) -> bool {
    let path = path.trim_matches('/');
    let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
    ends.map(|end| &path[..end]).any(|above| globs.matches(above))
}

/// The units of systemd that a process in the cgroup at `path` belongs to: a user's manager, and a unit of that.
fn units(path: &str) -> impl Iterator<Item = &str> {
    const SUFFIXES: [&str; 6] = [".service", ".scope", ".slice", ".socket", ".mount", ".swap"];
    path.split('/').filter(|part| SUFFIXES.iter().any(|suffix| part.ends_with(suffix)))
}

fn is_executable(executable: &str, globs: &Globs) -> bool {
    let name = file_name(executable);
    globs.matches(executable) || name != executable && globs.matches(name)
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The name of a group, with variables.
#[derive(Debug)]
struct Template {
    parts: Vec<Part>,
    is_fixed: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Comm,
    Exe,
    ExePath,
    User,
    Unit,
    Cgroup,
    Pid,
    /// A named part of a pattern.
    Captured(String),
}

/// Maximum length of the name of a group, in bytes.
const MAX_NAME: usize = 256;

impl Template {
    /// # Errors
    /// If a variable is unknown, or the name is empty.
    fn parse(text: &str, patterns: &[Regex]) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, behind)) = rest.split_once('{') {
            let (variable, behind) = behind.split_once('}').ok_or("expected a } after each {, found none")?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(match variable {
                "comm" => Part::Comm,
                "exe" => Part::Exe,
                "exe_path" => Part::ExePath,
                "user" => Part::User,
                "unit" => Part::Unit,
                "cgroup" => Part::Cgroup,
                "pid" => Part::Pid,
                name if patterns.iter().any(|pattern| pattern.capture_names().flatten().any(|known| known == name)) => {
                    Part::Captured(name.to_owned())
                }
                name => {
                    return Err(format!(
                        "expected comm, exe, exe_path, user, unit, cgroup, pid or a named part of a pattern, found {{{name}}}"
                    ));
                }
            });
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        let is_fixed = parts.iter().all(|part| matches!(part, Part::Text(_)));
        if parts.is_empty() { Err("expected a name, found none".to_owned()) } else { Ok(Template { parts, is_fixed }) }
    }

    fn fill(&self, process: &mut Identity<'_, '_>, patterns: &[Regex]) -> String {
        let mut name = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => name += text,
                Part::Comm => name += process.name,
                Part::Exe => name += file_name(process.executable()),
                Part::ExePath => name += process.executable(),
                Part::User => name += &process.user().0,
                // A slice is no unit that processes are in, but of others.
                Part::Unit => {
                    name += units(process.cgroup()).find(|unit| !unit.ends_with(".slice")).unwrap_or_default();
                }
                Part::Cgroup => name += process.cgroup().trim_matches('/'),
                Part::Pid => name += &process.pid.to_string(),
                Part::Captured(key) => {
                    let line = process.command_line();
                    let found = patterns.iter().find_map(|pattern| pattern.captures(line)?.name(key));
                    name += found.map_or("", |found| found.as_str());
                }
            }
        }
        name.truncate(name.floor_char_boundary(MAX_NAME));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(patterns: &[&str]) -> Globs {
        Globs::new(patterns.iter().map(|pattern| (*pattern).to_owned()).collect()).unwrap()
    }

    #[test]
    fn a_cgroup_stands_for_those_below() {
        let one = globs(&["system.slice/nginx.service"]);
        assert!(is_below("/system.slice/nginx.service", &one));
        assert!(is_below("/system.slice/nginx.service/worker", &one));
        assert!(!is_below("/system.slice/nginx.service2", &one));
        assert!(!is_below("/", &one));
        assert!(is_below("/user.slice/user-0.slice/session-1.scope", &globs(&["user.slice/*/session-*"])));
    }

    #[test]
    fn a_process_is_in_all_units_of_its_path() {
        let path = "/user.slice/user-0.slice/user@0.service/app.slice/x.service/below";
        let found: Vec<&str> = units(path).collect();
        assert_eq!(found, ["user.slice", "user-0.slice", "user@0.service", "app.slice", "x.service"]);
    }

    #[test]
    fn an_executable_is_a_name_or_a_path() {
        assert!(is_executable("/usr/sbin/nginx", &globs(&["nginx"])));
        assert!(is_executable("/usr/sbin/nginx", &globs(&["/usr/sbin/nginx"])));
        assert!(!is_executable("/opt/nginx", &globs(&["/usr/sbin/nginx"])));
        assert!(!is_executable("/usr/sbin/nginx-debug", &globs(&["nginx"])));
    }

    #[test]
    fn a_name_has_variables() {
        let patterns = [Regex::new("-jar (?P<jar>[^ ]+)").unwrap()];
        let name = |text: &str| {
            let mut process = Identity::default();
            (process.pid, process.name) = (7, "java");
            process.set_command_line("/usr/bin/java\0-jar\0a.jar\0");
            Template::parse(text, &patterns).map(|template| template.fill(&mut process, &patterns))
        };
        assert_eq!(name("fixed").unwrap(), "fixed");
        assert_eq!(name("{comm}:{exe}:{exe_path}:{pid}:{jar}").unwrap(), "java:java:/usr/bin/java:7:a.jar");
        assert_eq!(name("é{jar}".repeat(60).as_str()).unwrap().len(), MAX_NAME);
        for wrong in ["", "{", "{colour}", "a{comm"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }
}
