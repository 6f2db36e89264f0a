//! What runs on this machine whose place Taffrail can take: processes, services, files of variables, packages.

mod containers;
mod packages;
mod processes;
mod programs;
mod units;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use self::containers::Container;
pub use self::packages::has_debian_programs;
use self::processes::{Owner, Process, processes};
use self::programs::{Command, PROGRAMS, Program, Settings};
use self::units::{Unit, below, services};
use super::check::Checked;
use super::command_line::split_literally;
use super::defaults_file;
use super::environment_file::statements;
use super::pushgateway::{STATE, persistence_files};
use super::translation::{Entry, Outcome, Source, Translation};

/// What was found.
#[derive(Debug, Default)]
pub struct Machine {
    /// A line for each program that was found: its name, and where.
    pub found: Vec<String>,
    /// What becomes of it.
    pub translation: Translation,
    /// The commands that stop the old programs.
    pub stop: Vec<String>,
    /// Persistence files of Pushgateway, whose groups are imported when it has ended.
    pub persistence_files: Vec<String>,
    /// Files of variables that services of these programs read.
    pub variable_files: Vec<String>,
    /// Ports that programs serve because their command line has no address, each with the setting that has it.
    default_ports: Vec<(&'static str, &'static str)>,
    /// The place in `stop` of the first command that stops Telegraf.
    first_stop_of_telegraf: Option<usize>,
}

/// How a program is started.
#[derive(Clone)]
struct Start {
    /// The name of the executable file.
    name: &'static str,
    /// The words behind it.
    arguments: Vec<String>,
    /// Where the words are: `process 12`, the file of a unit, or the line of a file of variables.
    source: Source,
    /// The working directory.
    folder: String,
    /// The environment, as far as it is known.
    variables: BTreeMap<String, String>,
    /// The file system that it sees.
    root: PathBuf,
    /// The container that the command starts it in.
    container: Option<Container>,
}

impl Start {
    /// Where a file is that the program names.
    fn file(&self, path: &str) -> PathBuf {
        match &self.container {
            Some(container) => match container.on_host(&Path::new("/").join(path).display().to_string()) {
                Some(file) => below(&self.root, Path::new(&file)),
                None => Path::new("the container's").join(path.trim_start_matches('/')),
            },
            None => below(&self.root, &Path::new(&self.folder).join(path)),
        }
    }
}

/// Looks at the machine whose root is `root`.
pub fn look(root: &Path) -> Machine {
    let mut machine = Machine::default();
    let (services, processes) = (services(root), processes(root));
    for program in PROGRAMS {
        machine.program(root, program, &services, &processes);
    }
    machine.join_listeners();
    machine.join_gateways();
    machine
}

impl Machine {
    /// Translates a program as it runs; else as its services start it; else by the files that it would read.
    fn program(&mut self, root: &Path, program: &Program, services: &[Unit], processes: &[Process]) {
        let packages = packages::installed(root, program.packages);
        self.found.extend(packages.iter().map(|(name, version)| format!("{name}: package {version}")));
        let is_of = |command: &[String]| Program::of(command).filter(|start| std::ptr::eq(start.program, program));
        let units = services.iter().filter(|unit| {
            is_of(&unit.command).is_some() || program.names.contains(&unit.name.trim_end_matches(".service"))
        });
        let (taffrail, units): (Vec<&Unit>, Vec<&Unit>) = units.partition(|unit| is_taffrail(root, unit));
        for unit in &taffrail {
            self.found.push(format!("{}: Taffrail in its place, {}", program.names[0], unit.file.display()));
        }
        let running = processes.iter().filter(|process| !is_file_of_taffrail(&process.program));
        let mut running: Vec<_> = running.filter_map(|process| Some((process, is_of(&process.command)?))).collect();
        // The command that started a container says more than the process in it.
        let is_contained = |process: &Process| matches!(process.owner, Owner::Container(..));
        let contained = running.iter().filter(|(process, _)| is_contained(process)).count();
        let clients = running.iter().filter(|(_, command)| command.container.is_some()).count();
        if clients >= contained {
            running.retain(|(process, _)| !is_contained(process));
        }
        let first_stop = self.stop.len();
        self.stop.extend(units.iter().filter(|unit| !unit.is_template()).map(|unit| disable(&unit.name)));
        let starts: Vec<Start> = match running.is_empty() {
            true => units.iter().filter_map(|unit| self.start_of_unit(root, unit, is_of(&unit.command)?)).collect(),
            false => {
                running.iter().for_each(|(process, command)| self.stop_process(process, command.name));
                running.into_iter().map(|(process, command)| start_of_process(process, command)).collect()
            }
        };
        let is_unknown = |unit: &&&Unit| !unit.command.is_empty() && is_of(&unit.command).is_none();
        for unit in units.iter().filter(is_unknown).filter(|_| starts.is_empty()) {
            self.found.push(format!("{}: {}", program.names[0], unit.file.display()));
            let command = format!("ExecStart={} …", unit.command.first().map_or("", String::as_str));
            let instead =
                format!("what it starts is not known: taffrail migrate {} {}", program.names[0], program.by_hand);
            self.translation.add(source(unit.file.display().to_string()), command, Outcome::Missing(instead));
        }
        for start in &starts {
            self.found.push(format!("{}: {}", start.name, start.source.file));
            let translated = match &start.container {
                Some(container) => containers::translate(start, container, program.translate),
                None => (program.translate)(start),
            };
            self.append(start.name, translated);
        }
        let is_found = !starts.is_empty() || !taffrail.is_empty() || self.files(root, program);
        if program.names == ["telegraf"] && self.stop.len() > first_stop {
            self.first_stop_of_telegraf = Some(first_stop);
        }
        if let Some((name, version)) = packages.first().filter(|_| !is_found) {
            let instead = format!(
                "no process, service or file of it was found: taffrail migrate {} {}",
                program.names[0], program.by_hand
            );
            self.translation.add(Source::default(), format!("package {name} {version}"), Outcome::Missing(instead));
        }
    }

    /// Appends what becomes of a program, and notes the port that it serves without being told.
    fn append(&mut self, name: &str, mut translation: Translation) {
        if name.contains("node") && !translation.output.table("http").has("listen") {
            self.default_ports.push(("node_exporter's default", ":9100"));
        }
        self.translation.append(translation);
    }

    /// How a unit starts a program. A template without an instance starts nothing.
    fn start_of_unit(&mut self, root: &Path, unit: &Unit, command: Command) -> Option<Start> {
        let Command { name, arguments, container, .. } = command;
        let place = unit.file.display().to_string();
        if unit.is_template() {
            self.found.push(format!("{name}: {place}"));
            let reason = "no instance of this template is enabled".to_owned();
            self.translation.add(source(place), unit.command.join(" "), Outcome::NotNeeded(reason));
            return None;
        }
        let is_instance = unit.name.contains('@');
        self.variable_files.extend(unit.variable_files.iter().cloned());
        for (file, lines, mistake) in &unit.mistakes {
            let source = Source { lines: Some(*lines), ..source(file.clone()) };
            self.translation.add(source, "…", Outcome::Missing(mistake.clone()));
        }
        Some(Start {
            name,
            arguments,
            source: source(if is_instance { format!("{place} ({})", unit.name) } else { place }),
            folder: unit.folder.clone(),
            variables: unit.variables.clone(),
            root: root.to_owned(),
            container,
        })
    }

    /// Translates what a program would read that nothing starts. Returns whether there is anything.
    fn files(&mut self, root: &Path, program: &Program) -> bool {
        let folders = ["etc/default", "etc/sysconfig", "etc/conf.d"];
        let mut files =
            program.names.iter().flat_map(|name| folders.map(|folder| (*name, root.join(folder).join(name))));
        let file = files.find_map(|(name, file)| Some((name, fs::read_to_string(&file).ok()?, file)));
        let start = |name: &'static str| Start {
            name,
            arguments: Vec::new(),
            source: Source::default(),
            folder: "/".to_owned(),
            variables: BTreeMap::new(),
            root: root.to_owned(),
            container: None,
        };
        match (program.settings, file) {
            (Settings::Variables, Some((name, text, file))) => {
                self.found.push(format!("{name}: {}", file.display()));
                let translate = |arguments: &[String], source: &Source| {
                    let (arguments, source) = (arguments.to_vec(), source.clone());
                    (program.translate)(&Start { arguments, source, ..start(name) })
                };
                self.append(name, defaults_file::translate(&file.display().to_string(), &text, &translate));
                true
            }
            (Settings::Files, file) => {
                let mut start = start(program.names[0]);
                if let Some((_, text, _)) = file {
                    let (statements, _) = statements(&text, split_literally);
                    start.variables.extend(statements.into_iter().filter_map(|statement| statement.assignment.ok()));
                }
                let translated = (program.translate)(&start);
                let is_there = !translated.entries.is_empty() || translated.comments > 0;
                if is_there {
                    self.found.push(format!("{}: {}", start.name, root.join("etc").join(start.name).display()));
                    self.translation.append(translated);
                }
                is_there
            }
            _ => false,
        }
    }

    fn stop_process(&mut self, process: &Process, name: &str) {
        let number = &process.number;
        let command = match &process.owner {
            Owner::Unit(unit) => disable(unit),
            Owner::UserUnit(unit, user) => format!("systemctl --user --machine={user}@ disable --now {}", quoted(unit)),
            Owner::Container(program, id) => format!("{program} stop {id}  # {name}, unless something starts it again"),
            Owner::Pod => format!("# {name}, process {number}, is in a pod: remove its DaemonSet or Deployment"),
            Owner::Unknown => format!("kill {number}  # {name}, unless something starts it again"),
        };
        if !self.stop.contains(&command) {
            self.stop.push(command);
        }
    }

    /// cAdvisor by itself exports containers alone, on its own port. Beside another program it has the host's metrics,
    /// and node_exporter's port stays.
    fn join_listeners(&mut self) {
        let has = |name: &str| self.found.iter().any(|found| found.contains(name));
        let has_node_exporter = has("node_exporter") || has("node-exporter");
        if has("cadvisor")
            && (has_node_exporter || has("telegraf"))
            && let Some(entry) = self.translation.output.table("collectors").unset("default")
        {
            let how = "with the host's metrics, which another program has".to_owned();
            self.translation.entries[entry].outcome = Outcome::Changed(how);
        }
        let is_in_its_place = self.found.iter().any(|found| found.starts_with("node_exporter: Taffrail"));
        if is_in_its_place && self.default_ports.is_empty() {
            self.default_ports.push(("node_exporter's default", ":9100"));
        }
        // Taffrail serves this port unless another is configured.
        if !self.translation.output.table("http").has("listen") {
            return;
        }
        if let Some((of, port)) = self.default_ports.first() {
            let default = source((*of).to_owned());
            let entry = self.translation.add(default, format!("--web.listen-address={port}"), Outcome::Same);
            self.translation.output.table("http").push("listen", format!("{port:?}"), entry);
        }
    }

    /// Taffrail's gateway takes the place of one Pushgateway: the groups of two cannot be in one folder.
    fn join_gateways(&mut self) {
        let files = persistence_files(&self.translation).into_iter().filter(|file| !file.is_empty());
        let mut files: Vec<String> = files.map(str::to_owned).collect();
        files.dedup();
        let entries = &mut self.translation.entries;
        for file in files.iter().skip(1) {
            let is_it = |entry: &&mut Entry| entry.source.flag == "--persistence.file" && entry.text.ends_with(file);
            let instead = format!(
                "the gateway has the groups of another Pushgateway: run a second Taffrail for this one, with a [gateway] \
                 state of its own, and import with taffrail migrate pushgateway --persistence {} --state DIR",
                quoted(file)
            );
            entries.iter_mut().filter(is_it).for_each(|entry| entry.outcome = Outcome::Missing(instead.clone()));
        }
        files.truncate(1);
        self.persistence_files = files;
    }

    /// The commands that stop the old programs and start Taffrail with the settings of `checked`, for a user to run.
    pub fn commands(&self, checked: &Checked) -> Vec<String> {
        let mut commands = Vec::new();
        // taffrail.service reads its variables from this file.
        let files: &[String] = if checked.toml.contains("${") { &self.variable_files } else { &[] };
        commands.extend(files.iter().map(|file| format!("cat {} >> /etc/default/taffrail", quoted(file))));
        commands.push(match files {
            [] => "taffrail check".to_owned(),
            _ => "systemd-run --quiet --wait --pipe --property=EnvironmentFile=/etc/default/taffrail taffrail check"
                .to_owned(),
        });
        let is_needed = !checked.translation.kept().is_empty();
        for (number, command) in self.stop.iter().enumerate() {
            if is_needed && self.first_stop_of_telegraf == Some(number) {
                let instead = "# Telegraf is still needed: reduce its files to the lines in the report, and restart it instead of:";
                commands.push(instead.to_owned());
            }
            commands.push(command.clone());
        }
        for file in &self.persistence_files {
            commands.push(format!("taffrail migrate pushgateway --persistence {} --state {STATE}", quoted(file)));
            commands.push(format!("chown -R taffrail: {STATE}"));
        }
        commands.push("systemctl enable --now taffrail && systemctl restart taffrail".to_owned());
        commands
    }
}

fn source(file: String) -> Source {
    Source { file, ..Source::default() }
}

fn disable(unit: &str) -> String {
    format!("systemctl disable --now {}", quoted(unit))
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=+@,%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

fn start_of_process(process: &Process, command: Command) -> Start {
    Start {
        name: command.name,
        arguments: command.arguments,
        container: command.container,
        source: source(format!("process {}", process.number)),
        folder: process.folder.clone(),
        variables: process.variables.clone(),
        root: process.root.clone(),
    }
}

/// Whether a unit starts Taffrail under another program's name.
fn is_taffrail(root: &Path, unit: &Unit) -> bool {
    let program = unit.command.first().map(|program| below(root, Path::new(program)));
    program.is_some_and(|program| fs::read_link(program).is_ok_and(|target| is_file_of_taffrail(&target)))
}

fn is_file_of_taffrail(file: &Path) -> bool {
    // The kernel adds a word to a file that an upgrade replaced.
    file.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| matches!(name, "taffrail" | "taffrail (deleted)"))
}
