//! The programs that are looked for, and how the command line of each is translated.

use super::super::command_line::{Given, Syntax, parse};
use super::super::input_file::read_text;
use super::super::node_exporter::{self, NODE_EXPORTER};
use super::super::output::literal;
use super::super::telegraf::files::configuration_files;
use super::super::translation::{Outcome, Source, Translation};
use super::super::{cadvisor, cloudwatch_exporter, pushgateway, telegraf, yace};
use super::Start;
use super::containers::{self, Container};
use super::packages::has_debian_programs;

/// A program whose place Taffrail takes.
pub(super) struct Program {
    /// What its executable file and its unit may be called; the first is the name in `taffrail migrate NAME`.
    pub names: &'static [&'static str],
    /// Names of packages.
    pub packages: &'static [&'static str],
    /// Translates how it is started.
    pub translate: fn(&Start) -> Translation,
    /// Where its settings are if nothing starts it.
    pub settings: Settings,
    /// What follows `taffrail migrate NAME` by hand.
    pub by_hand: &'static str,
}

/// Where a program has its settings, besides its command line.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Settings {
    /// Flags in `/etc/default/NAME` and its kin.
    Variables,
    /// Files where the program looks for them.
    Files,
    /// Only where its command line says.
    CommandLine,
}

#[rustfmt::skip]
pub(super) static PROGRAMS: &[Program] = &[
    Program {
        names: &["node_exporter", "prometheus-node-exporter", "prometheus-node_exporter", "node-exporter"],
        packages: &[
            "prometheus-node-exporter", "golang-github-prometheus-node-exporter", "golang-github-prometheus-node_exporter",
            "node_exporter", "node-exporter",
        ],
        translate: node_exporter_flags,
        settings: Settings::Variables,
        by_hand: "-- FLAGS",
    },
    Program {
        names: &["pushgateway", "prometheus-pushgateway"],
        packages: &[
            "prometheus-pushgateway", "golang-github-prometheus-pushgateway", "pushgateway",
        ],
        translate: pushgateway_flags,
        settings: Settings::Variables,
        by_hand: "-- FLAGS",
    },
    Program {
        names: &["cadvisor"],
        packages: &["cadvisor"],
        translate: |start| cadvisor::translate(&start.arguments, &start.source),
        settings: Settings::Variables,
        by_hand: "-- FLAGS",
    },
    Program {
        names: &["telegraf"],
        packages: &["telegraf"],
        translate: telegraf_files,
        settings: Settings::Files,
        by_hand: "FILE|DIR",
    },
    Program {
        names: &["yace", "yet-another-cloudwatch-exporter"],
        packages: &["yet-another-cloudwatch-exporter"],
        translate: yace_file,
        settings: Settings::CommandLine,
        by_hand: "FILE",
    },
    Program {
        names: &["cloudwatch_exporter"],
        packages: &["prometheus-cloudwatch-exporter", "cloudwatch_exporter"],
        translate: cloudwatch_exporter_file,
        settings: Settings::CommandLine,
        by_hand: "FILE",
    },
];

/// What a command starts.
pub(super) struct Command {
    pub program: &'static Program,
    /// Its name there.
    pub name: &'static str,
    /// The words behind it.
    pub arguments: Vec<String>,
    /// The container that it is in.
    pub container: Option<Container>,
}

impl Program {
    /// The program that a command starts. Wrappers such as `env` and `docker run` are looked through.
    pub(super) fn of(command: &[String]) -> Option<Command> {
        let (first, rest) = command.split_first()?;
        let name = first.rsplit('/').next()?;
        match name {
            "env" => Program::of(&rest[rest.iter().position(|word| !word.contains('=') && !word.starts_with('-'))?..]),
            "sh" | "bash" | "dash" => {
                let script = rest.iter().find(|word| !word.starts_with('-'))?;
                rest.first().filter(|option| option.starts_with('-') && option.ends_with('c'))?;
                let words = super::super::command_line::split_literally(script).ok()?;
                let start = usize::from(words.first().is_some_and(|word| word == "exec"));
                Program::of(&words[start..])
            }
            "docker" | "podman" => {
                let (container, image, rest) = containers::run(rest)?;
                let (program, name) = Program::named(image.rsplit('/').next()?.split([':', '@']).next()?)?;
                // The image's own command may be there.
                let is_itself =
                    |word: &&String| word.rsplit('/').next().is_some_and(|word| word == name.replace('-', "_"));
                let itself = usize::from(rest.first().filter(is_itself).is_some());
                let arguments = rest[itself..].to_vec();
                Some(Command { program, name, arguments, container: Some(container) })
            }
            "java" => {
                let is_jar = |word: &String| word.contains("cloudwatch_exporter") && word.ends_with(".jar");
                let (program, name) = Program::named("cloudwatch_exporter")?;
                let arguments = rest[rest.iter().position(is_jar)? + 1..].to_vec();
                Some(Command { program, name, arguments, container: None })
            }
            _ => {
                let (program, name) = Program::named(name)?;
                Some(Command { program, name, arguments: rest.to_vec(), container: None })
            }
        }
    }

    fn named(name: &str) -> Option<(&'static Program, &'static str)> {
        PROGRAMS.iter().find_map(|program| Some((program, *program.names.iter().find(|other| **other == name)?)))
    }
}

/// Debian's program has other defaults than upstream's.
fn node_exporter_flags(start: &Start) -> Translation {
    match start.name {
        "prometheus-node-exporter" if has_debian_programs(&start.root) => {
            node_exporter::translate_debian(&start.arguments, &start.source)
        }
        _ => NODE_EXPORTER.translate(&start.arguments, &start.source),
    }
}

/// Debian's program persists its groups by default.
fn pushgateway_flags(start: &Start) -> Translation {
    match start.name {
        "prometheus-pushgateway" if has_debian_programs(&start.root) => {
            pushgateway::translate_debian(&start.arguments, &start.source)
        }
        _ => pushgateway::translate(&start.arguments, &start.source),
    }
}

/// What becomes of a flag that has no file.
type Rest = fn(&Given) -> Outcome;

/// Flags of Telegraf that take a value, besides those that name a file.
const TELEGRAF_VALUES: &[&str] = &[
    "pidfile",
    "watch-config",
    "watch-interval",
    "config-url-retry-attempts",
    "config-url-watch-interval",
    "pprof-addr",
    "plugin-directory",
    "password",
    "test-wait",
    "section-filter",
    "sample-config",
    "usage",
];
/// Flags of Telegraf that leave out plugins of its files.
const TELEGRAF_FILTERS: &[&str] = &[
    "input-filter",
    "output-filter",
    "processor-filter",
    "aggregator-filter",
    "secretstore-filter",
    "filter",
    "outputfilter",
];

/// The level of the log that a flag of Telegraf sets.
fn level_of(flag: &str) -> Option<&'static str> {
    match flag {
        "debug" => Some("debug"),
        "quiet" => Some("error"),
        _ => None,
    }
}

fn telegraf_files(start: &Start) -> Translation {
    const FILES: &[&str] = &["config", "config-directory", "configdirectory"];
    let takes_value = [FILES, TELEGRAF_VALUES, TELEGRAF_FILTERS].concat();
    let mut translation = Translation::default();
    let mut paths = Vec::new();
    let given = parse(Syntax::Go, &start.arguments, &|name| Some(!takes_value.contains(&name)));
    for given in given {
        let outcome = if !FILES.contains(&given.name.as_str()) {
            match given.name.as_str() {
                name if TELEGRAF_FILTERS.contains(&name) => Outcome::Missing(
                    "all plugins of the files are translated: remove the settings of those that the filter leaves out"
                        .to_owned(),
                ),
                name if level_of(name).is_some() => {
                    Outcome::Changed(format!("log.level = \"{}\"", level_of(name).unwrap_or_default()))
                }
                "watch-config" => {
                    Outcome::Changed("systemctl reload taffrail reads the configuration again".to_owned())
                }
                "" => Outcome::Missing("expected a flag".to_owned()),
                _ => Outcome::NotNeeded("it is about the program Telegraf".to_owned()),
            }
        } else if given.value.contains("://") {
            Outcome::Missing(format!("download it, and run taffrail migrate telegraf with the file: {}", given.value))
        } else if let Some(mistake) = given.mistake {
            Outcome::Missing(mistake)
        } else {
            paths.push(start.file(&given.value));
            Outcome::Same
        };
        let level = level_of(&given.name);
        let entry = translation.add(start.source.clone(), given.text, outcome);
        if let Some(level) = level {
            translation.output.table("log").set("level", literal(level), entry);
        }
    }
    if translation.entries.iter().all(|entry| !entry.text.trim_start_matches('-').starts_with("config")) {
        paths = telegraf_defaults(start);
    }
    if paths.is_empty() && start.container.is_some() {
        let instead = "it is in the image: copy it to this host, and run taffrail migrate telegraf FILE".to_owned();
        translation.add(start.source.clone(), "the configuration of telegraf", Outcome::Missing(instead));
    }
    let read = configuration_files(&paths).map_err(|error| error.to_string());
    let translated = read.and_then(|files| telegraf::translate::translate(&files).map_err(|error| error.to_string()));
    match translated {
        Ok(files) => translation.append(files),
        Err(error) => {
            let command = "the configuration of telegraf";
            translation.add(start.source.clone(), command, Outcome::Missing(error));
        }
    }
    translation
}

/// Where Telegraf looks if no flag names a file.
fn telegraf_defaults(start: &Start) -> Vec<std::path::PathBuf> {
    let variable = |name: &str| start.variables.get(name).filter(|value| !value.is_empty());
    let of_home = variable("HOME").map(|home| format!("{home}/.telegraf/telegraf.conf"));
    let single = variable("TELEGRAF_CONFIG_PATH").cloned().into_iter().chain(of_home);
    let single = single.map(|path| start.file(&path)).find(|path| path.exists());
    let system = ["/etc/telegraf/telegraf.conf", "/etc/telegraf/telegraf.d"].map(|path| start.file(path));
    match single {
        Some(file) => vec![file],
        None => system.into_iter().filter(|path| path.exists()).collect(),
    }
}

fn yace_file(start: &Start) -> Translation {
    const SWITCHES: &[&str] =
        &["debug", "fips", "labels-snake-case", "profiling.enabled", "floating-time-window", "v", "version"];
    let rest: Rest = |given| match given.name.as_str() {
        "debug" | "log.level" | "log.format" | "profiling.enabled" => {
            Outcome::NotNeeded("it is about the program itself".to_owned())
        }
        "cloudwatch-concurrency" | "tag-concurrency" | "metrics-per-query" => {
            Outcome::NotNeeded("requests are planned by themselves".to_owned())
        }
        "scraping-interval" => Outcome::Missing("set interval in each [[collectors.cloudwatch]]".to_owned()),
        _ => Outcome::Missing("Taffrail has no such flag".to_owned()),
    };
    let mut translation = Translation::default();
    let mut file = "config.yml".to_owned();
    let (mut address, mut snake_case) = (None, None);
    for given in parse(Syntax::Go, &start.arguments, &|name| Some(SWITCHES.contains(&name))) {
        let outcome = match (given.name.as_str(), &given.mistake) {
            (_, Some(mistake)) => Outcome::Missing(mistake.clone()),
            ("config.file", None) => {
                file.clone_from(&given.value);
                Outcome::Same
            }
            ("listen-address", None) => {
                address = Some((given.value.clone(), translation.entries.len()));
                also_of_the_host()
            }
            ("labels-snake-case", None) => {
                snake_case = Some((!given.is_negated, translation.entries.len()));
                Outcome::Same
            }
            _ => rest(&given),
        };
        translation.add(start.source.clone(), given.text, outcome);
    }
    append_file(&mut translation, start, "yace", &file, |file, text| {
        yace::translate(file, text).map_err(|error| error.to_string())
    });
    if let Some((is_on, entry)) = snake_case {
        for job in translation.output.elements("collectors.cloudwatch") {
            job.set("snake_case_labels", is_on.to_string(), entry);
        }
    }
    let (address, entry) = address.unwrap_or_else(|| {
        let source = Source { file: "yace's default".to_owned(), ..Source::default() };
        let default = ":5000";
        (default.to_owned(), translation.add(source, format!("-listen-address={default}"), also_of_the_host()))
    });
    translation.output.table("http").push("listen", literal(&address), entry);
    translation
}

/// What is reported of the port of a program whose metrics Taffrail exposes with all others.
fn also_of_the_host() -> Outcome {
    Outcome::Changed("[http] listen, with the metrics of the other collectors".to_owned())
}

/// Its arguments are a port and a file.
fn cloudwatch_exporter_file(start: &Start) -> Translation {
    let mut translation = Translation::default();
    let [port, file, ..] = &start.arguments[..] else {
        let instead = "expected a port and a file: taffrail migrate cloudwatch_exporter FILE".to_owned();
        translation.add(start.source.clone(), start.arguments.join(" "), Outcome::Missing(instead));
        return translation;
    };
    let address = port.parse::<u16>().map(|port| literal(&format!(":{port}"))).ok();
    let outcome = match address {
        Some(_) => also_of_the_host(),
        None => Outcome::Missing("expected a port: set [http] listen".to_owned()),
    };
    let entry = translation.add(start.source.clone(), port, outcome);
    if let Some(address) = address {
        translation.output.table("http").push("listen", address, entry);
    }
    append_file(&mut translation, start, "cloudwatch_exporter", file, |file, text| {
        cloudwatch_exporter::translate(file, text).map_err(|error| error.to_string())
    });
    translation
}

fn append_file(
    translation: &mut Translation,
    start: &Start,
    name: &str,
    file: &str,
    translate: fn(&str, &str) -> Result<Translation, String>,
) {
    let path = start.file(file);
    let shown = path.display().to_string();
    let text = read_text(&path).map_err(|error| format!("{error}; by hand: taffrail migrate {name} FILE"));
    match text.and_then(|text| translate(&shown, &text)) {
        Ok(translated) => translation.append(translated),
        Err(error) => {
            let command = format!("the configuration of {name}");
            translation.add(start.source.clone(), command, Outcome::Missing(error));
        }
    }
}
