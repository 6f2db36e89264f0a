//! The command line.

// These macros panic when the reader has gone; say! does not.
#![cfg_attr(not(test), deny(clippy::print_stderr, clippy::print_stdout))]

#[cfg(feature = "assets")]
mod assets;
mod configuration;
mod drop_in;
mod health;
mod migration;
mod push;
#[cfg(feature = "nats")]
mod stream;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use taffrail::agent::{self, Origin};
use taffrail::collectors::filter::Filter;
use taffrail::collectors::readers::Readers;
use taffrail::collectors::settings::unknown;
use taffrail::collectors::{Vocabularies, list};
#[cfg(feature = "cloudwatch")]
use taffrail::config::Document;
use taffrail::config::argument;
use taffrail::descriptors;
use taffrail::encode::lines::Lines;
use taffrail::encode::tags::CommonTags;
use taffrail::http::ListenAddress;
use taffrail::log::{self, Levels};
use taffrail::manager;
use taffrail::say;
use taffrail::settings::Overrides;
use taffrail::sinks::form::{LineProtocol, PointForm};
use taffrail::sinks::negotiate::Format;
use taffrail::sinks::prometheus::Exporter;
use taffrail::sinks::push::read_points;
use taffrail::sinks::schedule::Schedule;

use self::configuration::{Check, Config, Configuration};

/// Exposes host and container metrics to Prometheus, and writes them to InfluxDB and other databases
///
/// Without a command, taffrail serves /metrics on port 9100, as `taffrail run` does. It needs no configuration.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  taffrail                                 serve http://localhost:9100/metrics
  taffrail check                           check the files in /etc/taffrail
  taffrail config --section http           print the settings of a table
  taffrail print --collector cpu loadavg   print metrics of two collectors
  taffrail push --job backup -- ./backup   run a job and report it

Exit status: 0 success, 1 failure, 2 invalid argument, 69 address or directory in use, 78 invalid
configuration at the start. `taffrail push -- COMMAND` ends with the command's status."
)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Subcommand)]
enum Command {
    /// Serve /metrics and write to the configured sinks until SIGTERM or SIGINT; SIGHUP reloads the configuration
    Run(Run),
    /// Run only the push gateway, on port 9091 unless [gateway] listen is set
    Gateway(Gateway),
    Push(Box<push::Push>),
    /// Read the collectors once and print the metrics; errors go to standard error
    Print(Print),
    /// Check the configuration and report every mistake
    Check(Check),
    Config(Config),
    Health(health::Health),
    Migrate(migration::Migrate),
    /// Estimate the cost of importing from Amazon CloudWatch
    #[cfg(feature = "cloudwatch")]
    Cloudwatch {
        #[command(subcommand)]
        command: Cloudwatch,
    },
    /// List the collectors, whether each is enabled, and what it reads and needs
    Collectors(Configuration),
    /// Write man pages and shell completions to a directory
    #[cfg(feature = "assets")]
    #[command(hide = true)]
    Assets {
        /// The directory
        folder: PathBuf,
    },
}

#[cfg(feature = "cloudwatch")]
#[derive(Subcommand)]
enum Cloudwatch {
    /// Estimate the requests per hour and the cost per month, and suggest how to save
    ///
    /// Lists the metrics in AWS, at the cost of one discovery, unless --assume-metrics is given.
    Plan(Plan),
}

#[cfg(feature = "cloudwatch")]
#[derive(Args)]
struct Plan {
    #[command(flatten)]
    configuration: Configuration,
    /// Assume this number of metrics per job, account and region instead of listing them in AWS
    #[arg(long, value_name = "NUMBER")]
    assume_metrics: Option<usize>,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    configuration: Configuration,
    /// Listen on this address instead of [http] listen, such as 127.0.0.1:9100; repeatable
    #[arg(long, value_name = "ADDRESS", value_parser = argument::<ListenAddress>)]
    listen: Vec<ListenAddress>,
    #[command(flatten)]
    log: LogOptions,
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
struct Gateway {
    #[cfg(feature = "nats")]
    #[command(subcommand)]
    command: Option<OfGateway>,
    #[command(flatten)]
    configuration: Configuration,
    /// Listen on this address instead of [gateway] listen, such as 127.0.0.1:9091; repeatable
    #[arg(long, value_name = "ADDRESS", value_parser = argument::<ListenAddress>)]
    listen: Vec<ListenAddress>,
    /// Persist pushed metrics in this directory instead of [gateway] state
    #[arg(long, value_name = "DIRECTORY")]
    state: Option<PathBuf>,
    #[command(flatten)]
    log: LogOptions,
}

#[cfg(feature = "nats")]
#[derive(Subcommand)]
enum OfGateway {
    Stream(stream::Stream),
}

#[derive(Args)]
struct Print {
    #[command(flatten)]
    configuration: Configuration,
    /// Output format; influx takes two readings, one [agent] interval apart, to compute rates
    #[arg(long, value_enum, default_value_t = PrintFormat::Prometheus)]
    format: PrintFormat,
    /// Print only these collectors, such as cpu,loadavg, enabled or not; repeatable
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    collector: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum PrintFormat {
    /// Prometheus text format 0.0.4
    Prometheus,
    /// OpenMetrics 1.0
    Openmetrics,
    /// InfluxDB line protocol
    Influx,
}

/// How much to log.
#[derive(Args)]
struct LogOptions {
    /// Log level: error, warn, info or debug, also per module, such as info,gateway=debug [env: TAFFRAIL_LOG_LEVEL] [default:
    /// [log] level]
    #[arg(long, value_name = "LEVEL", value_parser = argument::<Levels>)]
    log_level: Option<Levels>,
}

impl LogOptions {
    /// The levels given on the command line or in the environment.
    fn levels(&self) -> Result<Option<Levels>, String> {
        const VARIABLE: &str = "TAFFRAIL_LOG_LEVEL";
        if self.log_level.is_some() {
            return Ok(self.log_level.clone());
        }
        let given = std::env::var_os(VARIABLE).filter(|given| !given.is_empty());
        let parse = |given: OsString| argument(&given.to_string_lossy());
        given.map(parse).transpose().map_err(|reason| format!("{VARIABLE}: {reason}"))
    }
}

type Failure = Box<dyn std::error::Error>;

/// An argument has the right form for clap, and is invalid.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct InvalidArgument(String);

/// The exit status for it, which is clap's.
const INVALID_ARGUMENT: u8 = 2;

/// Timeout for writing the remaining log lines at exit.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let called = arguments.next().unwrap_or_default();
    let status = match drop_in::DropIn::of(called.as_ref()) {
        Some(drop_in) => exit_of(drop_in.execute(arguments).map(|()| ExitCode::SUCCESS)),
        None => match parse() {
            Ok(line) => execute(line),
            Err(invalid) => exit_of(Err(invalid.into())),
        },
    };
    log::flush(FLUSH_TIMEOUT);
    status
}

/// The command line. Ends the process with a message of clap's if it is invalid, unless there is advice.
fn parse() -> Result<CommandLine, InvalidArgument> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    CommandLine::try_parse_from(&arguments).or_else(|mut error| {
        if arguments.get(1).is_some_and(|command| command == "push") && error.use_stderr() {
            let push = |arguments: &[OsString]| match CommandLine::try_parse_from(arguments).ok()?.command? {
                Command::Push(push) => Some(*push),
                _ => None,
            };
            if let Some(advice) = push::advice(&arguments, push) {
                return Err(InvalidArgument(advice));
            }
            // It is to write `-- -c` for an unknown option `-c`, which would run that as a command.
            error.remove(ContextKind::Suggested);
        }
        match misplaced_file(&arguments, &error) {
            Some(file) => Err(InvalidArgument(format!("expected --config {file}, found {file}"))),
            None => error.exit(),
        }
    })
}

/// A file in the place of an argument or command that is unknown, if the command reads a configuration.
fn misplaced_file<'e>(arguments: &[OsString], error: &'e clap::Error) -> Option<&'e str> {
    let given = error.get(ContextKind::InvalidArg).or(error.get(ContextKind::InvalidSubcommand));
    let Some(ContextValue::String(file)) = given else { return None };
    let all = CommandLine::command();
    let command = arguments.get(1).and_then(|name| all.find_subcommand(name)).unwrap_or(&all);
    let reads_configuration = command.get_arguments().any(|argument| argument.get_id() == "config");
    (reads_configuration && !file.starts_with('-') && Path::new(file).exists()).then_some(file)
}

fn execute(line: CommandLine) -> ExitCode {
    let done = match line.command.unwrap_or(Command::Run(line.run)) {
        Command::Run(run) => run.execute(),
        Command::Gateway(gateway) => gateway.execute(),
        Command::Push(push) => return exit_of(push.execute()),
        Command::Print(print) => print.execute(),
        Command::Check(check) => check.execute(),
        Command::Config(config) => config.execute(),
        Command::Health(health) => health.execute(),
        Command::Migrate(migrate) => return exit_of(migrate.execute()),
        #[cfg(feature = "cloudwatch")]
        Command::Cloudwatch { command: Cloudwatch::Plan(plan) } => plan.execute(),
        Command::Collectors(configuration) => configuration.list_collectors(),
        #[cfg(feature = "assets")]
        Command::Assets { folder } => assets::write(&folder).map_err(Failure::from),
    };
    exit_of(done.map(|()| ExitCode::SUCCESS))
}

fn exit_of(done: Result<ExitCode, Failure>) -> ExitCode {
    match done {
        Ok(code) => code,
        Err(failure) if is_broken_pipe(&*failure) => ExitCode::SUCCESS,
        Err(failure) => {
            agent::messages(&*failure).iter().for_each(|message| log::say_failure(message));
            ExitCode::from(match failure.is::<InvalidArgument>() {
                true => INVALID_ARGUMENT,
                false => agent::exit_status(&*failure),
            })
        }
    }
}

/// Whether the reader of our output has closed it.
fn is_broken_pipe(failure: &(dyn std::error::Error + 'static)) -> bool {
    failure.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(feature = "cloudwatch")]
impl Plan {
    fn execute(&self) -> Result<(), Failure> {
        use taffrail::collectors::cloudwatch::plan::Plans;
        use taffrail::settings::Settings;
        let document = Document::load_once(&self.configuration.reported().paths, &agent::variable_without_credentials)?;
        // The whole configuration is checked, not only what is planned.
        Settings::check(&document, &Overrides::default())?;
        let plans = Plans::new(&document)?;
        let forecast = runtime()?.block_on(plans.tell(self.assume_metrics, |line| say!("{line}")))?;
        io::stdout().lock().write_all(forecast.as_bytes())?;
        Ok(())
    }
}

impl Run {
    fn execute(&self) -> Result<(), Failure> {
        let mut origin = self.configuration.origin();
        origin.overrides.listen.clone_from(&self.listen);
        origin.overrides.state_directory = manager::state_directory();
        serve(origin, &self.log)
    }
}

impl Gateway {
    fn execute(&self) -> Result<(), Failure> {
        #[cfg(feature = "nats")]
        if let Some(OfGateway::Stream(stream)) = &self.command {
            return stream.execute();
        }
        let mut origin = self.configuration.origin();
        origin.overrides = Overrides {
            listen: self.listen.clone(),
            only_gateway: true,
            gateway_state: self.state.clone(),
            ..Overrides::default()
        };
        serve(origin, &self.log)
    }
}

fn serve(mut origin: Origin, log: &LogOptions) -> Result<(), Failure> {
    origin.overrides.log_levels = log.levels()?;
    log::start(origin.overrides.log_levels.clone().unwrap_or_default())?;
    run(&origin)
}

/// Runs until a signal ends it. The log has been started.
fn run(origin: &Origin) -> Result<(), Failure> {
    // Not for `push`: the limit of the job belongs to its author.
    descriptors::raise_limit();
    let runtime = runtime()?;
    let end = runtime.block_on(agent::run(origin));
    // Do not wait for threads that hang in the kernel or on a pipe that is not read.
    runtime.shutdown_background();
    end
}

/// Timeout for remote sources in a single reading.
const REMOTE_TIMEOUT: Duration = Duration::from_secs(60);

impl Print {
    fn execute(&self) -> Result<(), Failure> {
        for name in &self.collector {
            list::find(name).ok_or_else(|| InvalidArgument(unknown(name)))?;
        }
        // Reports on standard error what the log of a running Taffrail would.
        log::start(tracing::Level::WARN)?;
        descriptors::raise_limit();
        let mut origin = self.configuration.reported();
        origin.overrides.collectors.clone_from(&self.collector);
        let mut settings = origin.load_without_credentials()?;
        // Pushed points show what changed between the two readings.
        if self.format != PrintFormat::Influx {
            for configured in &mut settings.collectors {
                configured.collector.begin(REMOTE_TIMEOUT);
            }
        }
        let readers = Arc::new(Readers::new(settings.host.clone(), settings.collectors));
        let exporter = Exporter::new(readers.clone());
        let schedule = settings.schedule;
        let body = runtime()?.block_on(async {
            let format = match self.format {
                PrintFormat::Influx => return print_points(&exporter, &schedule).await,
                PrintFormat::Prometheus => Format::Text,
                PrintFormat::Openmetrics => Format::OpenMetrics,
            };
            let answers = readers.read(Vocabularies::FAMILIES, |_| true, MAX_READING_TIME).await;
            let body = exporter.render_readings_first(&answers, format);
            // Names that are Taffrail's own are found while the reading is encoded, and reported by the next one.
            drop(readers.read(Vocabularies::FAMILIES, |about| about.is_named_by_others, MAX_READING_TIME).await);
            body
        });
        io::stdout().lock().write_all(&body)?;
        Ok(())
    }
}

/// Only the user waits for printed output, and each collector has its own timeout.
const MAX_READING_TIME: Duration = Duration::from_secs(3600);

async fn print_points(exporter: &Exporter, schedule: &Schedule) -> Vec<u8> {
    let form = PointForm::new(CommonTags::new(&schedule.tags), &Filter::default(), LineProtocol);
    let first = read_points(exporter, schedule, &form, &[], MAX_READING_TIME, &mut Lines::default()).await;
    let interval = schedule.interval;
    say!("waiting {} for the second reading", humantime::format_duration(interval));
    tokio::time::sleep(interval).await;
    let mut lines = Lines::default();
    read_points(exporter, schedule, &form, &first, MAX_READING_TIME, &mut lines).await;
    lines.bytes().to_vec()
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
