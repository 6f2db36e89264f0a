//! Taffrail in another program's place: called by the name of node_exporter or Pushgateway, it understands that program's
//! own flags.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use taffrail::agent::Origin;
use taffrail::log;
use taffrail::migrate::check::{Checked, check};
use taffrail::migrate::flags::{Becomes, Program, Takes};
use taffrail::migrate::machine::has_debian_programs;
use taffrail::migrate::node_exporter::{self, NODE_EXPORTER};
use taffrail::migrate::persistence_file::{self, ImportError};
use taffrail::migrate::pushgateway::{self, PUSHGATEWAY};
use taffrail::migrate::translation::{EntryId, Outcome, Source, Translation};
use taffrail::migrate::{output, report};
use taffrail::settings::Overrides;
use tracing::Level;

use crate::{Failure, run, runtime};

/// A program whose place Taffrail takes.
pub(crate) struct DropIn {
    /// The name that Taffrail was called by.
    name: String,
    program: &'static Program,
    /// Whether it is Debian's, which has other defaults.
    is_debian: bool,
}

impl DropIn {
    /// The program of this path, if Taffrail takes its place.
    pub(crate) fn of(path: &Path) -> Option<DropIn> {
        let name = path.file_stem()?.to_str()?;
        let (program, is_debian) = match name {
            "node_exporter" => (&NODE_EXPORTER, false),
            "prometheus-node-exporter" => (&NODE_EXPORTER, true),
            "pushgateway" => (&PUSHGATEWAY, false),
            "prometheus-pushgateway" => (&PUSHGATEWAY, true),
            _ => return None,
        };
        let is_debian = is_debian && has_debian_programs(Path::new("/"));
        Some(DropIn { name: name.to_owned(), program, is_debian })
    }

    /// Runs with that program's arguments.
    pub(crate) fn execute(&self, arguments: impl Iterator<Item = OsString>) -> Result<(), Failure> {
        let arguments = arguments.map(|argument| argument.into_string().map_err(|_| "an argument is no UTF-8"));
        let arguments = arguments.collect::<Result<Vec<String>, _>>()?;
        if arguments.iter().any(|argument| matches!(argument.as_str(), "-h" | "--help" | "--help-long")) {
            return Ok(io::stdout().lock().write_all(self.help().as_bytes())?);
        }
        if arguments.iter().any(|argument| argument == "--version") {
            let (name, version, own) = (self.program.name, self.program.version, env!("CARGO_PKG_VERSION"));
            return Ok(writeln!(io::stdout().lock(), "{name}, version {version} (taffrail {own})")?);
        }
        let level = level(&arguments);
        log::start(level)?;
        let (Checked { translation, toml }, persistence) = self.translate(&arguments);
        self.report(&translation)?;
        let is_gateway = self.program.name == PUSHGATEWAY.name;
        if let Some((file, state)) = persistence {
            import(&file, &state)?;
        }
        let overrides = Overrides {
            only_gateway: is_gateway,
            built_in: Some(toml),
            log_levels: Some(level.into()),
            ..Overrides::default()
        };
        run(&Origin { paths: Vec::new(), overrides })
    }

    /// The configuration, and the file and folder of persisted groups.
    fn translate(&self, arguments: &[String]) -> (Checked, Option<(PathBuf, PathBuf)>) {
        let source = Source::default();
        let mut translation = match (self.program.name, self.is_debian) {
            ("node_exporter", is_debian) => {
                let mut translation = match is_debian {
                    true => node_exporter::translate_debian(arguments, &source),
                    false => NODE_EXPORTER.translate(arguments, &source),
                };
                without_cadvisors(&mut translation);
                translation
            }
            (_, is_debian) => {
                let is_given = arguments.iter().any(|argument| argument.starts_with("--persistence.file"));
                let default =
                    (is_debian && !is_given).then(|| format!("--persistence.file={}", pushgateway::DEBIAN_FILE));
                pushgateway::translate(&[arguments, default.as_slice()].concat(), &source)
            }
        };
        let persistence = persistence(&translation).map(|(entry, file)| {
            let state = PathBuf::from(format!("{file}.taffrail"));
            let folder = output::literal(&state.display().to_string());
            translation.output.table("gateway").set("state", folder, entry);
            (PathBuf::from(file), state)
        });
        (check(translation), persistence)
    }

    /// Refuses flags that have nothing in Taffrail, and warns about those that have no effect.
    fn report(&self, translation: &Translation) -> Result<(), Failure> {
        for entry in &translation.entries {
            if let Outcome::NotNeeded(reason) = &entry.outcome {
                tracing::warn!("{} has no effect: {reason}", entry.text);
            }
        }
        let missing = translation.missing().map(|entry| format!("{}: {}", entry.text, entry.outcome.remark()));
        let missing: Vec<String> = missing.collect();
        if missing.is_empty() {
            return Ok(());
        }
        let more = format!("\nTaffrail runs in place of {}; taffrail migrate explains every flag", self.name);
        Err(format!("{}{more}", missing.join("\nerror: ")).into())
    }

    fn help(&self) -> String {
        let Program { name, version, flags, collectors, .. } = self.program;
        let mut help = format!(
            "usage: {} [<flags>]\n\nTaffrail in place of {name}. It understands the flags of {name} {version}.\n\n\
             Flags:\n  -h, --help\n      Show this text.\n      --version\n      Show the version.\n",
            self.name
        );
        for collector in *collectors {
            help.push_str(&format!("      --[no-]collector.{collector}\n          [collectors.{collector}] enabled\n"));
        }
        for flag in *flags {
            let no = if flag.takes == Takes::Switch { "[no-]" } else { "" };
            let becomes = match flag.becomes {
                Becomes::Setting(setting) | Becomes::Changed(setting, _) => {
                    let (table, key) = setting.rsplit_once('.').unwrap_or(("", setting));
                    format!("[{table}] {key}")
                }
                Becomes::NotNeeded(reason) => format!("No effect: {reason}."),
                Becomes::Missing { instead, .. } => format!("Refused: {instead}."),
                Becomes::By(_) => {
                    format!("Depends on the value: taffrail migrate {} -- --{}=…", self.program.name, flag.name)
                }
            };
            help.push_str(&format!("      --{no}{}{}\n          {becomes}\n", flag.name, flag.takes.placeholder()));
        }
        help
    }
}

/// node_exporter has none of cAdvisor's metrics. Next to cAdvisor, they would be there twice.
fn without_cadvisors(translation: &mut Translation) {
    let source = Source { file: "node_exporter has no metrics of cAdvisor".into(), ..Source::default() };
    let entry = translation.add(source, "", Outcome::Same);
    for collector in ["container", "machine"] {
        translation.output.table(&format!("collectors.{collector}")).set("enabled", "false", entry);
    }
}

/// The flag that names the persistence file, and the file.
fn persistence(translation: &Translation) -> Option<(EntryId, String)> {
    let mut entries = translation.entries.iter().enumerate();
    let (id, entry) = entries.rfind(|(_, entry)| entry.source.flag == "--persistence.file")?;
    let file = entry.text.split_once(['=', ' '])?.1;
    (!file.is_empty()).then(|| (id, file.to_owned()))
}

/// Imports the groups of Pushgateway at the first start.
fn import(file: &Path, state: &Path) -> Result<(), Failure> {
    if state.exists() || !file.exists() {
        return Ok(());
    }
    let imported = runtime()?.block_on(persistence_file::import(file, state));
    let (groups, refused) = imported.map_err(|error| {
        let remedy = match error {
            ImportError::Malformed(_) => "; restore it from a backup, or move it away to start without its groups",
            _ => "",
        };
        format!("{}: {error}{remedy}", file.display())
    })?;
    let groups = report::counted(groups, "group", "groups");
    tracing::info!("imported {groups} of {} into {}", file.display(), state.display());
    for group in refused {
        tracing::error!("the group {} of {} was not imported: {}", group.group, file.display(), group.reason);
    }
    Ok(())
}

/// The level of `--log.level`.
fn level(arguments: &[String]) -> Level {
    let mut given = arguments.iter().zip(arguments.iter().skip(1).map(Some).chain([None]));
    let level = given.find_map(|(argument, next)| match argument.split_once('=') {
        Some(("--log.level", level)) => Some(level),
        None if argument == "--log.level" => next.map(String::as_str),
        _ => None,
    });
    match level {
        Some("debug") => Level::DEBUG,
        Some("warn") => Level::WARN,
        Some("error") => Level::ERROR,
        _ => Level::INFO,
    }
}
