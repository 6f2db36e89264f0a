//! Services of systemd: their commands, with drop-ins, variables and specifiers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::super::command_line::split_literally;
use super::super::environment_file::statements;
use super::super::systemd_words::{expanded, specified, words_of_setting};

/// Folders of units; the first wins.
const FOLDERS: [&str; 9] = [
    "etc/systemd/system.control",
    "run/systemd/system.control",
    "run/systemd/transient",
    "etc/systemd/system",
    "run/systemd/system",
    "run/systemd/generator",
    "usr/local/lib/systemd/system",
    "lib/systemd/system",
    "usr/lib/systemd/system",
];

/// A service.
#[derive(Debug, Default)]
pub(super) struct Unit {
    /// Its name, such as `node_exporter.service` or `node_exporter@9100.service`.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// The words of the last `ExecStart=`; empty if there is none.
    pub command: Vec<String>,
    /// Its `WorkingDirectory=`, or `/`.
    pub folder: String,
    /// What `Environment=` and `EnvironmentFile=` set.
    pub variables: BTreeMap<String, String>,
    /// The files of `EnvironmentFile=` that exist, without the root.
    pub variable_files: Vec<String>,
    /// Lines of these files that are no assignment, and why.
    pub mistakes: Vec<(String, (usize, usize), String)>,
}

impl Unit {
    /// Whether it is a template, of which no instance is known.
    pub(super) fn is_template(&self) -> bool {
        self.name.contains("@.")
    }
}

/// All services of the machine whose root is `root`, by their names. A template is there as its instances, or by itself
/// if it has none. Masked units and aliases are left out.
pub(super) fn services(root: &Path) -> Vec<Unit> {
    let search = Search::new(root);
    let names = search.files.keys().chain(&search.instances).collect::<BTreeSet<_>>();
    names.into_iter().filter_map(|name| search.service(name)).collect()
}

/// What the folders have.
struct Search<'r> {
    root: &'r Path,
    /// The file of each name. None for a unit that is masked.
    files: BTreeMap<String, Option<PathBuf>>,
    /// Further names of units, with the unit.
    aliases: Vec<(String, String)>,
    /// Names of instances of templates.
    instances: BTreeSet<String>,
}

impl<'r> Search<'r> {
    fn new(root: &'r Path) -> Search<'r> {
        let mut search = Search { root, files: BTreeMap::new(), aliases: Vec::new(), instances: BTreeSet::new() };
        for folder in FOLDERS {
            for entry in entries(&root.join(folder)) {
                search.add(entry);
            }
        }
        search
    }

    fn add(&mut self, path: PathBuf) {
        let Some(name) = name_of(&path) else { return };
        let is_instance = |name: &str| name.ends_with(".service") && name.contains('@') && !name.contains("@.");
        if let Some(unit) = name.strip_suffix(".d").filter(|unit| is_instance(unit)) {
            self.instances.insert(unit.to_owned());
        } else if name.ends_with(".wants") || name.ends_with(".requires") || name.ends_with(".upholds") {
            let wanted = entries(&path).into_iter().filter_map(|entry| name_of(&entry));
            self.instances.extend(wanted.filter(|name| is_instance(name)));
        } else if name.ends_with(".service") && !self.files.contains_key(&name) {
            let target = fs::read_link(&path).ok();
            let other = target.as_deref().and_then(name_of).filter(|other| *other != name);
            match other {
                Some(other) if other == "null" => drop(self.files.insert(name, None)),
                Some(other) if is_instance(&name) && other.contains("@.") => drop(self.instances.insert(name)),
                Some(other) => {
                    self.files.insert(name.clone(), None);
                    self.aliases.push((name, other));
                }
                None => {
                    let file = target.filter(|target| target.is_absolute()).map(|target| below(self.root, &target));
                    let file = file.unwrap_or(path);
                    let is_masked = fs::metadata(&file).is_ok_and(|file| file.is_file() && file.len() == 0);
                    self.files.insert(name, (!is_masked).then_some(file));
                }
            }
        }
    }

    fn service(&self, name: &str) -> Option<Unit> {
        let template = template_of(name);
        let file = match (self.files.get(name), &template) {
            (Some(file), _) => file.clone()?,
            (None, Some(template)) => self.files.get(template)?.clone()?,
            (None, None) => return None,
        };
        let has_instances = || self.instances.iter().any(|other| template_of(other).as_deref() == Some(name));
        if name.contains("@.") && has_instances() {
            return None;
        }
        let files: Vec<PathBuf> = std::iter::once(file.clone()).chain(self.drop_ins(name)).collect();
        let specifier = |specifier: char| self.specifier(name, specifier);
        let settings = Settings::read(&files, &specifier);
        let mut unit = Unit { name: name.to_owned(), file, ..Unit::default() };
        unit.folder = settings.folder.unwrap_or_else(|| "/".to_owned());
        unit.variables = settings.variables;
        // They override what Environment= has.
        for file in settings.variable_files {
            let Ok(text) = fs::read_to_string(below(self.root, Path::new(&file))) else { continue };
            let (statements, _) = statements(&text, split_literally);
            for statement in statements {
                match statement.assignment {
                    Ok((name, value)) => drop(unit.variables.insert(name, value)),
                    Err(mistake) => unit.mistakes.push((file.clone(), statement.lines, mistake)),
                }
            }
            unit.variable_files.push(file);
        }
        unit.command = command(&settings.command, &unit.variables, &specifier);
        Some(unit)
    }

    /// Drop-ins in the order in which they apply. Of those with the same name, the first folder wins.
    fn drop_ins(&self, name: &str) -> Vec<PathBuf> {
        let aliases = self.aliases.iter().filter(|(_, unit)| unit == name).map(|(alias, _)| alias.as_str());
        let names: Vec<String> = std::iter::once(name).chain(aliases).flat_map(drop_in_names).collect();
        let ordinary = FOLDERS.iter().flat_map(|folder| names.iter().map(move |name| format!("{folder}/{name}.d")));
        let of_all = FOLDERS.iter().map(|folder| format!("{folder}/service.d"));
        let mut drop_ins = BTreeMap::new();
        for folder in ordinary.chain(of_all) {
            for file in entries(&self.root.join(folder)) {
                if let Some(name) = name_of(&file).filter(|name| name.ends_with(".conf")) {
                    drop_ins.entry(name).or_insert(file);
                }
            }
        }
        drop_ins.into_values().collect()
    }

    /// The value of `%i` and others.
    fn specifier(&self, name: &str, specifier: char) -> Option<String> {
        let stem = name.trim_end_matches(".service");
        let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
        let first_line = |file: &str| {
            let text = fs::read_to_string(self.root.join(file)).ok()?;
            Some(text.lines().next()?.trim().to_owned())
        };
        let host = || first_line("proc/sys/kernel/hostname").or_else(|| first_line("etc/hostname"));
        Some(match specifier {
            'n' => name.to_owned(),
            'N' => stem.to_owned(),
            'p' => prefix.to_owned(),
            'P' => unescaped(prefix),
            'i' => instance.to_owned(),
            'I' => unescaped(instance),
            'j' => prefix.rsplit('-').next()?.to_owned(),
            'J' => unescaped(prefix.rsplit('-').next()?),
            'f' => format!("/{}", unescaped(if instance.is_empty() { prefix } else { instance })),
            'H' | 'q' => host()?,
            'l' => host()?.split('.').next()?.to_owned(),
            'm' => first_line("etc/machine-id")?,
            'b' => first_line("proc/sys/kernel/random/boot_id")?.replace('-', ""),
            'v' => first_line("proc/sys/kernel/osrelease")?,
            'd' => format!("/run/credentials/{name}"),
            'h' => "/root".to_owned(),
            'u' | 'g' => "root".to_owned(),
            'U' | 'G' => "0".to_owned(),
            's' => "/bin/sh".to_owned(),
            't' => "/run".to_owned(),
            'S' => "/var/lib".to_owned(),
            'C' => "/var/cache".to_owned(),
            'L' => "/var/log".to_owned(),
            'E' => "/etc".to_owned(),
            'T' => "/tmp".to_owned(),
            'V' => "/var/tmp".to_owned(),
            _ => return None,
        })
    }
}

/// The settings of `[Service]` that matter here.
#[derive(Default)]
struct Settings {
    command: String,
    folder: Option<String>,
    variables: BTreeMap<String, String>,
    variable_files: Vec<String>,
}

impl Settings {
    fn read(files: &[PathBuf], specifier: &dyn Fn(char) -> Option<String>) -> Settings {
        let mut settings = Settings::default();
        for file in files {
            let mut section = String::new();
            for line in joined_lines(&fs::read_to_string(file).unwrap_or_default()) {
                if line.trim_start().starts_with('[') {
                    line.trim().clone_into(&mut section);
                } else if section == "[Service]"
                    && let Some((key, value)) = line.split_once('=')
                {
                    settings.set(key.trim(), value.trim(), specifier);
                }
            }
        }
        settings
    }

    fn set(&mut self, key: &str, value: &str, specifier: &dyn Fn(char) -> Option<String>) {
        match (key, value) {
            ("ExecStart", value) => value.clone_into(&mut self.command),
            ("Environment", "") => self.variables.clear(),
            ("Environment", value) => {
                let words = words_of_setting(value).into_iter().map(|word| specified(&word, specifier));
                let assignments = words.filter_map(|word| {
                    let (name, value) = word.split_once('=')?;
                    Some((name.to_owned(), value.to_owned()))
                });
                self.variables.extend(assignments);
            }
            ("EnvironmentFile", "") => self.variable_files.clear(),
            ("EnvironmentFile", value) => self.variable_files.push(specified(value.trim_start_matches('-'), specifier)),
            ("WorkingDirectory", "") => self.folder = None,
            ("WorkingDirectory", value) => {
                let folder = specified(value.trim_start_matches('-'), specifier);
                self.folder = Some(if folder == "~" { "/root".to_owned() } else { folder });
            }
            _ => {}
        }
    }
}

/// The words of an `ExecStart=`, without its prefixes.
fn command(
    text: &str,
    variables: &BTreeMap<String, String>,
    specifier: &dyn Fn(char) -> Option<String>,
) -> Vec<String> {
    let command = text.trim_start_matches(['@', '-', ':', '+', '!', '|']);
    let prefixes = &text[..text.len() - command.len()];
    let mut words = words_of_setting(command).into_iter().map(|word| specified(&word, specifier));
    let mut out: Vec<String> = words.by_ref().take(1).collect();
    // After `@`, the second word is the name that the program gets.
    let others = words.skip(usize::from(prefixes.contains('@')));
    match prefixes.contains(':') {
        true => out.extend(others),
        false => out.extend(others.flat_map(|word| expanded(&word, variables))),
    }
    out
}

/// Lines without comments; a backslash joins the next one.
fn joined_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut is_continued = false;
    for line in text.lines().filter(|line| !line.trim_start().starts_with(['#', ';'])) {
        let part = line.strip_suffix('\\');
        match lines.last_mut().filter(|_| is_continued) {
            Some(last) => *last = format!("{last} {}", part.unwrap_or(line).trim()),
            None => lines.push(part.unwrap_or(line).to_owned()),
        }
        is_continued = part.is_some();
    }
    lines
}

/// The names whose `.d` folders apply to a unit, the most specific first: `a-b@1.service`, `a-b@.service`, `a-.service`.
fn drop_in_names(name: &str) -> Vec<String> {
    let mut names = vec![name.to_owned()];
    names.extend(template_of(name));
    let mut stem = name.trim_end_matches(".service").split('@').next().unwrap_or_default().trim_end_matches('-');
    while let Some((prefix, _)) = stem.rsplit_once('-') {
        names.push(format!("{prefix}-.service"));
        stem = prefix;
    }
    names
}

/// `a@.service` of `a@b.service`.
fn template_of(name: &str) -> Option<String> {
    let (prefix, instance) = name.strip_suffix(".service")?.split_once('@')?;
    (!instance.is_empty()).then(|| format!("{prefix}@.service"))
}

/// A name as `systemd-escape` wrote it: `-` is `/`, and `\x2d` is `-`.
fn unescaped(text: &str) -> String {
    text.split("\\x").enumerate().fold(String::new(), |out, (index, part)| {
        let code = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| index > 0);
        match code {
            Some(code) => out + &char::from(code).to_string() + &part[2..].replace('-', "/"),
            None if index > 0 => out + "\\x" + &part.replace('-', "/"),
            None => out + &part.replace('-', "/"),
        }
    })
}

/// The entries of a folder, by their names.
pub(super) fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

fn name_of(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

/// An absolute path of the machine, below its root.
pub(super) fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}
