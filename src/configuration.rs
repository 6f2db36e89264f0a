//! The configuration of a command: where it is, `taffrail check`, `taffrail collectors` and `taffrail config`.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use taffrail::agent::Origin;
use taffrail::collectors::{Vocabularies, list};
use taffrail::config::Document;
use taffrail::http::guard::Guard;
use taffrail::log;
use taffrail::reference::{REFERENCE, excerpt};
use taffrail::say;
use taffrail::settings::{Overrides, Settings};
use taffrail::sinks::settings::Prepared;

use crate::{Failure, InvalidArgument};

#[derive(Args)]
pub(crate) struct Configuration {
    /// A configuration file, or a directory of *.toml files; repeatable, later files win [default: /etc/taffrail and
    /// /etc/taffrail/conf.d, if they exist]
    #[arg(long, value_name = "PATH")]
    config: Vec<PathBuf>,
}

/// Read without `--config`: the directories that the packages and the images use.
const DEFAULT_PATHS: [&str; 2] = ["/etc/taffrail", "/etc/taffrail/conf.d"];

impl Configuration {
    pub(crate) fn origin(&self) -> Origin {
        Origin { paths: self.paths(), overrides: Overrides::default() }
    }

    fn paths(&self) -> Vec<PathBuf> {
        match self.config.is_empty() {
            true => DEFAULT_PATHS.iter().map(PathBuf::from).filter(|path| path.is_dir()).collect(),
            false => self.config.clone(),
        }
    }

    /// As [`Configuration::origin`], for commands that only report: reports on standard error which files are read, and
    /// does without those in the default place that this user cannot read.
    pub(crate) fn reported(&self) -> Origin {
        let mut origin = self.origin();
        if let Some(path) = origin.paths.iter().find_map(|path| unreadable(path)).filter(|_| self.config.is_empty()) {
            say!("{}: permission denied; the built-in configuration is used", path.display());
            origin.paths.clear();
        }
        let has_files = origin.paths.iter().any(|path| Document::files(path).is_ok_and(|files| !files.is_empty()));
        for path in &origin.paths {
            let files = Document::files(path).unwrap_or_default();
            match files.as_slice() {
                // Without --config, conf.d may be empty.
                [] if path.is_dir() && !(has_files && self.config.is_empty()) => {
                    say!("{}: no *.toml files", path.display());
                }
                [only] if only == path => {}
                files => files.iter().for_each(|file| say!("reading {}", file.display())),
            }
        }
        origin
    }
}

/// A file that `path` stands for, or the path itself, if this user may not read it.
fn unreadable(path: &Path) -> Option<PathBuf> {
    let is_denied = |error: io::Error| error.kind() == ErrorKind::PermissionDenied;
    let is_unreadable = |file: &Path| match file.metadata() {
        // A pipe is opened once.
        Ok(found) => found.is_file() && File::open(file).is_err_and(is_denied),
        Err(error) => is_denied(error),
    };
    match path.read_dir() {
        Ok(_) => Document::files(path).unwrap_or_default().into_iter().find(|file| is_unreadable(file)),
        Err(error) => (is_denied(error) || is_unreadable(path)).then(|| path.to_owned()),
    }
}

#[derive(Args)]
pub(crate) struct Check {
    #[command(flatten)]
    configuration: Configuration,
    /// Print nothing if the configuration is valid
    #[arg(long)]
    quiet: bool,
}

impl Check {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        // Shows on standard error what a running Taffrail would log.
        log::start(tracing::Level::WARN)?;
        let origin = self.configuration.origin();
        if let Some(path) = origin.paths.iter().find_map(|path| unreadable(path)) {
            let sudo = if cfg!(unix) { "; check it with: sudo taffrail check" } else { "" };
            return Err(format!("{}: permission denied{sudo}", path.display()).into());
        }
        let settings = origin.load_without_credentials()?;
        check_files(&settings)?;
        // Taffrail starts without these, and tries again.
        settings.dependencies.problems().lines().for_each(|line| say!("warning: {line}"));
        if self.quiet {
            return Ok(());
        }
        let sinks = settings.sinks.iter().map(|sink| sink.delivery.name.as_str());
        let mut out = io::stdout().lock();
        writeln!(out, "The configuration is sound.")?;
        writeln!(out, "  reads       {}", read_files(&origin.paths))?;
        writeln!(out, "  listens on  {}", or_none(settings.http.listen.iter()))?;
        writeln!(out, "  gateway on  {}", or_none(settings.gateway.listen.iter()))?;
        writeln!(out, "  pushes to   {}", or_none(sinks))?;
        writeln!(out, "  collectors  {} on", settings.collectors.len())?;
        Ok(())
    }
}

/// Checks the files that settings name, such as certificates.
pub(crate) fn check_files(settings: &Settings) -> Result<(), Failure> {
    for sink in &settings.sinks {
        Prepared::new(sink.clone())?;
    }
    Guard::new(settings.http.protection.clone())?;
    Ok(())
}

fn read_files(paths: &[PathBuf]) -> String {
    let files = paths.iter().flat_map(|path| match Document::files(path).unwrap_or_default() {
        files if files.is_empty() => vec![format!("{} (no *.toml files)", path.display())],
        files => files.iter().map(|file| file.display().to_string()).collect(),
    });
    if paths.is_empty() { "no files: these are the defaults".to_owned() } else { or_none(files) }
}

fn or_none<T: ToString>(list: impl Iterator<Item = T>) -> String {
    let list: Vec<String> = list.map(|item| item.to_string()).collect();
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}

impl Configuration {
    /// `taffrail collectors`.
    pub(crate) fn list_collectors(&self) -> Result<(), Failure> {
        let mut settings = self.reported().load_without_credentials()?;
        let mut out = io::stdout().lock();
        writeln!(out, "{:<16} SCRAPE PUSH READS", "COLLECTOR")?;
        for entry in list::COLLECTORS.iter() {
            let about = entry.about;
            let mut configured = settings.collectors.iter_mut().find(|configured| configured.about.name == about.name);
            let on = configured.as_ref().map_or(Vocabularies::NONE, |configured| configured.on);
            let state = |on: bool| if on { "on" } else { "off" };
            let reads = about.reads.join(" ");
            writeln!(out, "{:<16} {:<6} {:<4} {reads}", about.name, state(on.families), state(on.points))?;
            writeln!(out, "{:28} {}", "", about.summary)?;
            if !about.needs.is_empty() {
                writeln!(out, "{:28} needs {}", "", about.needs)?;
            }
            for line in configured.iter_mut().flat_map(|configured| configured.collector.report()) {
                writeln!(out, "{:28} {line}", "")?;
            }
        }
        Ok(())
    }
}

/// Print all settings as TOML, with their defaults
///
/// In the output, "#setting = value" shows a default and "# example: setting = value" an example. Nothing is read.
#[derive(Args)]
pub(crate) struct Config {
    /// Print only this table and those below it, such as http or sinks.influxdb; repeatable
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    section: Vec<String>,
}

impl Config {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        let parts =
            self.section.iter().map(|name| excerpt(name)).collect::<Result<Vec<_>, _>>().map_err(InvalidArgument)?;
        let text = if parts.is_empty() { REFERENCE.to_owned() } else { parts.join("\n") };
        Ok(io::stdout().lock().write_all(text.as_bytes())?)
    }
}
