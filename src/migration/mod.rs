//! `taffrail migrate`: translates the set-up of another program.

mod verify;
mod write;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use taffrail::config::Document;
use taffrail::migrate::check::{Checked, FILE, check};
use taffrail::migrate::node_exporter::{self, NODE_EXPORTER};
use taffrail::migrate::persistence_file::{self, ImportError};
use taffrail::migrate::translation::{Outcome, Source, Translation};
use taffrail::migrate::{
    blackbox_exporter, cadvisor, cloudwatch_exporter, defaults_file, helm_values, input_file, machine,
    process_exporter, pushgateway, report, statsd_exporter, telegraf, template, yace,
};
use taffrail::settings::{Overrides, Settings};
use taffrail::{log, say};

use crate::Failure;
use crate::configuration::check_files;
use write::{write, write_kept};

/// Status if a line has nothing in Taffrail.
const INCOMPLETE: u8 = 3;
/// Status of a command line without an input.
const USAGE: u8 = 2;

/// Translate the configuration of another program, and report the result for each line
///
/// Prints the settings as TOML, each with its source in a comment, and a report to standard error, or to standard output
/// with --output. The report has each line as the same, changed, not needed or missing, with the reason. Exit status: 0 if
/// nothing is missing, 3 if something is, 1 if the input cannot be read. Nothing is started, stopped or changed.
///
/// Without a command, inspects this machine: processes, units, packages, /etc/default, Telegraf's configuration.
#[derive(Args)]
pub(crate) struct Migrate {
    /// Write 50-migrated.toml to this directory instead of printing it
    #[arg(long, short, value_name = "DIR", global = true)]
    output: Option<PathBuf>,
    /// Format of the report
    #[arg(long, value_enum, default_value_t = ReportFormat::Text, global = true)]
    report: ReportFormat,
    /// Of this machine, write /etc/taffrail/conf.d/50-migrated.toml, and print the commands that stop the old programs and start
    /// Taffrail; they are not run
    #[arg(long, conflicts_with = "output")]
    apply: bool,
    /// The machine's root
    #[arg(long, hide = true, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    #[command(subcommand)]
    program: Option<Program>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum ReportFormat {
    /// Text
    Text,
    /// JSON
    Json,
}

#[derive(Subcommand)]
enum Program {
    /// Translate node_exporter's flags, from a command line, a file of variables or Helm values
    #[command(name = "node_exporter")]
    NodeExporter {
        #[command(flatten)]
        flags: Flags,
        /// Values of the chart prometheus-node-exporter
        #[arg(long, value_name = "FILE", conflicts_with_all = ["defaults", "arguments"])]
        helm_values: Option<PathBuf>,
    },
    /// Translate Pushgateway's flags, from a command line or a file of variables, and import its groups
    Pushgateway {
        #[command(flatten)]
        flags: Flags,
        /// A persistence file, whose groups are reported
        #[arg(long, value_name = "FILE", conflicts_with_all = ["defaults", "arguments"])]
        persistence: Option<PathBuf>,
        /// Import the groups into this new folder, for [gateway] state
        #[arg(long, value_name = "DIR", requires = "persistence")]
        state: Option<PathBuf>,
    },
    /// Translate cAdvisor's flags, from a command line or a file of variables
    Cadvisor(Flags),
    /// Translate a configuration of yet-another-cloudwatch-exporter (YACE)
    Yace {
        /// Its -config.file
        file: PathBuf,
    },
    /// Translate a configuration of cloudwatch_exporter
    #[command(name = "cloudwatch_exporter")]
    CloudwatchExporter {
        /// Its configuration
        file: PathBuf,
    },
    /// Translate modules of blackbox_exporter, and the jobs of Prometheus that use them
    #[command(name = "blackbox_exporter")]
    BlackboxExporter {
        /// Its --config.file
        file: PathBuf,
        /// A configuration of Prometheus, whose jobs have the targets; may be given several times
        #[arg(long, value_name = "FILE")]
        prometheus: Vec<PathBuf>,
    },
    /// Translate the groups of process-exporter
    #[command(name = "process-exporter")]
    ProcessExporter {
        /// Its -config.path
        file: PathBuf,
    },
    /// Check a mapping file of statsd_exporter, which Taffrail reads itself
    #[command(name = "statsd_exporter")]
    StatsdExporter {
        /// Its --statsd.mapping-config
        file: PathBuf,
    },
    /// Compare the metrics of an exporter or Telegraf with Taffrail's: names, types, labels and constant values
    ///
    /// Exit status: 0 if there are only expected differences, 3 if there are others, 1 if metrics cannot be read.
    Verify(verify::Verify),
    /// Translate configurations of Telegraf: files, and directories of *.conf files
    Telegraf {
        /// Such as /etc/telegraf/telegraf.conf and /etc/telegraf/telegraf.d
        #[arg(required = true, value_name = "FILE|DIR")]
        files: Vec<PathBuf>,
        /// Write the lines that Telegraf still needs, for the inputs that are missing, into this new file
        #[arg(long, value_name = "FILE")]
        keep: Option<PathBuf>,
    },
}

#[derive(Args)]
struct Flags {
    /// A file without an option that says what it is
    #[arg(hide = true)]
    file: Option<PathBuf>,
    /// A file of variables for the unit, such as /etc/default/prometheus-node-exporter
    #[arg(long, value_name = "FILE", conflicts_with = "arguments")]
    defaults: Option<PathBuf>,
    /// The flags, behind --
    #[arg(last = true, value_name = "FLAGS")]
    arguments: Vec<String>,
}

impl Flags {
    /// Whether the file of variables is of the package of this name.
    fn is_of(&self, package: &str) -> bool {
        self.defaults.as_deref().and_then(Path::file_name).is_some_and(|name| name == package)
    }

    /// What is wrong if there is no input, or a file that may be any of `options`. A lone `--` is a program without flags.
    fn mistake(&self, options: &[&str]) -> Option<String> {
        if let Some(file) = &self.file {
            let file = file.display();
            let options: Vec<String> = options.iter().map(|option| format!("{option} {file}")).collect();
            return Some(format!("{file}: write {}; flags come after --", options.join(" or ")));
        }
        let is_given =
            self.defaults.is_some() || !self.arguments.is_empty() || std::env::args_os().any(|word| word == "--");
        let options: Vec<String> = options.iter().map(|option| format!("{option} FILE")).collect();
        let message = format!("expected {}, or the flags after --; without flags, -- alone", options.join(", "));
        (!is_given).then_some(message)
    }

    fn translate(&self, of: &dyn Fn(&[String], &Source) -> Translation) -> Result<Translation, Failure> {
        match &self.defaults {
            Some(file) => Ok(defaults_file::translate(&name(file), &read_rendered(file)?, of)),
            None => Ok(of(&self.arguments, &Source::default())),
        }
    }
}

impl Migrate {
    pub(crate) fn execute(&self) -> Result<ExitCode, Failure> {
        let checked = match &self.program {
            Some(Program::Verify(verify)) => return verify.execute(self.report),
            Some(_) if self.apply => return Err("--apply is of this machine: leave the program out".into()),
            Some(program) => {
                if let Some(mistake) = program.mistake() {
                    log::say_failure(&mistake);
                    return Ok(ExitCode::from(USAGE));
                }
                let checked = check(program.translate()?);
                program.keep(&checked.translation)?;
                checked
            }
            None => return self.machine(),
        };
        self.finish(&checked, self.output.as_deref())
    }

    /// Looks at this machine.
    fn machine(&self) -> Result<ExitCode, Failure> {
        let mut machine = machine::look(&self.root);
        if machine.found.is_empty() {
            say!("found none of the programs whose place Taffrail takes");
            return Ok(ExitCode::SUCCESS);
        }
        machine.found.iter().for_each(|found| say!("found {found}"));
        let folder = self.root.join("etc/taffrail/conf.d");
        let output = if self.apply { Some(folder.as_path()) } else { self.output.as_deref() };
        let checked = check(std::mem::take(&mut machine.translation));
        let status = self.finish(&checked, output)?;
        let then = if self.apply { "now run" } else { "with --apply, this would be in /etc/taffrail/conf.d; then run" };
        say!("{then}:");
        machine.commands(&checked).iter().for_each(|command| say!("  {command}"));
        Ok(status)
    }

    fn finish(&self, checked: &Checked, output: Option<&Path>) -> Result<ExitCode, Failure> {
        let report = match self.report {
            ReportFormat::Text => report::text(&checked.translation),
            ReportFormat::Json => report::json(checked),
        };
        match output {
            Some(folder) => {
                let file = write(folder, checked)?;
                io::stdout().lock().write_all(report.as_bytes())?;
                say!("wrote {}", file.display());
            }
            None => {
                io::stdout().lock().write_all(checked.toml.as_bytes())?;
                say!("{}", report.trim_end());
            }
        }
        if let Some(error) = absent_file(&checked.toml).filter(|_| self.report == ReportFormat::Text) {
            say!("taffrail check rejects these settings on this machine: {error}");
        }
        Ok(if checked.translation.is_incomplete() { ExitCode::from(INCOMPLETE) } else { ExitCode::SUCCESS })
    }
}

impl Program {
    /// What is wrong with the command line.
    fn mistake(&self) -> Option<String> {
        match self {
            Program::NodeExporter { helm_values: Some(_), flags } if flags.file.is_none() => None,
            Program::NodeExporter { flags, .. } => flags.mistake(&["--defaults", "--helm-values"]),
            Program::Pushgateway { persistence: Some(_), flags, .. } if flags.file.is_none() => None,
            Program::Pushgateway { flags, .. } => flags.mistake(&["--defaults", "--persistence"]),
            Program::Cadvisor(flags) => flags.mistake(&["--defaults"]),
            _ => None,
        }
    }

    /// Writes the lines that Telegraf still needs, if there are any and they are wanted.
    fn keep(&self, translation: &Translation) -> Result<(), Failure> {
        match self {
            Program::Telegraf { files, keep: Some(file) } if !translation.kept().is_empty() => {
                write_kept(file, &telegraf::files::configuration_files(files)?, translation)
            }
            _ => Ok(()),
        }
    }

    fn translate(&self) -> Result<Translation, Failure> {
        match self {
            Program::NodeExporter { helm_values: Some(file), .. } => {
                Ok(helm_values::translate(&name(file), &read(file)?)?)
            }
            Program::NodeExporter { flags, .. } => match flags.is_of("prometheus-node-exporter") {
                true => flags.translate(&node_exporter::translate_debian),
                false => flags.translate(&|arguments, source| NODE_EXPORTER.translate(arguments, source)),
            },
            Program::Pushgateway { persistence: Some(file), state, .. } => groups(file, state.as_deref()),
            Program::Pushgateway { flags, .. } => match flags.is_of("prometheus-pushgateway") {
                true => flags.translate(&pushgateway::translate_debian),
                false => flags.translate(&pushgateway::translate),
            },
            Program::Cadvisor(flags) => flags.translate(&cadvisor::translate),
            Program::Verify(_) => Ok(Translation::default()),
            Program::Yace { file } => Ok(yace::translate(&name(file), &read_rendered(file)?)?),
            Program::CloudwatchExporter { file } => {
                Ok(cloudwatch_exporter::translate(&name(file), &read_rendered(file)?)?)
            }
            Program::BlackboxExporter { file, prometheus } => {
                let with_name = |file: &PathBuf| Ok((name(file), read_rendered(file)?));
                let jobs = prometheus.iter().map(with_name).collect::<Result<Vec<_>, Failure>>()?;
                Ok(blackbox_exporter::translate(&name(file), &read_rendered(file)?, &jobs)?)
            }
            Program::ProcessExporter { file } => Ok(process_exporter::translate(&name(file), &read_rendered(file)?)?),
            Program::StatsdExporter { file } => Ok(statsd_exporter::translate(&name(file), &read_rendered(file)?)?),
            Program::Telegraf { files, .. } => {
                Ok(telegraf::translate::translate(&telegraf::files::configuration_files(files)?)?)
            }
        }
    }
}

/// The error of `taffrail check` for a file that the settings name, such as a certificate: it may be on another machine.
fn absent_file(toml: &str) -> Option<String> {
    let document = Document::parse(FILE, toml, &|name| std::env::var_os(name)).ok()?;
    let settings = Settings::check(&document, &Overrides::default()).ok()?;
    check_files(&settings).err().map(|error| error.to_string())
}

/// Reports the groups of a persistence file, and imports them if there is a folder for them.
fn groups(file: &Path, state: Option<&Path>) -> Result<Translation, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::from(format!("{}: {error}", file.display()));
    if fs::metadata(file).is_ok_and(|file| !file.is_file()) {
        return Err(failed(&"expected a persistence file of Pushgateway"));
    }
    let content = fs::read(file).map_err(|error| failed(&format!("cannot be read: {error}")))?;
    let groups = persistence_file::groups(&content).map_err(|error| failed(&ImportError::from(error)))?;
    let (_, refused) = match state {
        Some(state) => {
            crate::runtime()?.block_on(persistence_file::import(file, state)).map_err(|error| failed(&error))?
        }
        None => crate::runtime()?.block_on(persistence_file::check(&groups)).map_err(|error| failed(&error))?,
    };
    let mut translation = Translation::default();
    for group in groups {
        let group = group.name();
        let reason = refused.iter().find(|refused| refused.group == group).map(|refused| refused.reason.clone());
        let source = Source { file: name(file), ..Source::default() };
        translation.add(source, group, reason.map_or(Outcome::Same, Outcome::Missing));
    }
    if let Some(state) = state {
        say!("imported into {}; the user of the service must own it", state.display());
    }
    Ok(translation)
}

fn name(file: &Path) -> String {
    file.display().to_string()
}

fn read(file: &Path) -> Result<String, Failure> {
    Ok(input_file::read_text(file)?)
}

/// The text of a file that must not be a template.
fn read_rendered(file: &Path) -> Result<String, Failure> {
    let text = read(file)?;
    match template::line_of(&text) {
        Some(line) => Err(format!("{}:{line}: {}", file.display(), template::MESSAGE).into()),
        None => Ok(text),
    }
}
