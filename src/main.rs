//! The command line.

// They panic where nobody reads: say! does not.
#![cfg_attr(not(test), deny(clippy::print_stderr, clippy::print_stdout))]

#[cfg(feature = "assets")]
mod assets;
mod health;
mod push;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use taffrail::agent::{self, Origin};
use taffrail::collectors::readers::Readers;
use taffrail::collectors::settings::unknown;
use taffrail::collectors::{Vocabularies, list};
#[cfg(feature = "cloudwatch")]
use taffrail::config::Document;
use taffrail::descriptors;
use taffrail::encode::point::CommonTags;
use taffrail::http::guard::Guard;
use taffrail::log;
use taffrail::manager;
use taffrail::say;
use taffrail::settings::Overrides;
use taffrail::sinks::connection::Prepared;
use taffrail::sinks::negotiate::Format;
use taffrail::sinks::prometheus::Exposition;
use taffrail::sinks::push::read_points;
use taffrail::sinks::schedule::Schedule;

/// Measures this host: Prometheus pulls it, InfluxDB gets it pushed.
///
/// Without a command, taffrail runs. It needs no configuration: it then listens on port 9100.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Subcommand)]
enum Command {
    /// Serve /metrics and push to the configured sinks until SIGTERM or SIGINT; SIGHUP reloads the configuration
    Run(Run),
    /// Serve as a push gateway and nothing else, on port 9091 unless [gateway] listen says otherwise
    Gateway(Gateway),
    Push(Box<push::Push>),
    /// Take one reading and print it
    Print(Print),
    /// Check a configuration, and show every mistake in it
    Check(Check),
    Health(health::Health),
    /// Amazon CloudWatch: what it will cost
    #[cfg(feature = "cloudwatch")]
    Cloudwatch {
        #[command(subcommand)]
        command: Cloudwatch,
    },
    /// List the collectors: whether they are on, what they read, and what they need
    Collectors(Configuration),
    /// Write man pages and completions of shells into a folder
    #[cfg(feature = "assets")]
    #[command(hide = true)]
    Assets {
        /// The folder
        folder: PathBuf,
    },
}

#[derive(Args)]
struct Configuration {
    /// A configuration file, or a directory of *.toml files; may be given several times, later ones win
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
}

#[cfg(feature = "cloudwatch")]
#[derive(Subcommand)]
enum Cloudwatch {
    /// Tell what the jobs of a configuration will ask for per hour, what that costs per month, and where it could be cheaper
    ///
    /// AWS is asked which metrics there are, which costs what one discovery costs; with --assume-metrics it is not.
    Plan(Plan),
}

#[cfg(feature = "cloudwatch")]
#[derive(Args)]
struct Plan {
    #[command(flatten)]
    configuration: Configuration,
    /// Do not ask AWS; assume that each job finds this many metrics in each account and region
    #[arg(long, value_name = "NUMBER")]
    assume_metrics: Option<usize>,
}

#[derive(Args)]
struct Check {
    #[command(flatten)]
    configuration: Configuration,
    /// Say nothing if it is sound
    #[arg(long)]
    quiet: bool,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    configuration: Configuration,
    /// Listen here instead of where [http] listen says, such as 127.0.0.1:9100; may be given several times
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    listen: Vec<SocketAddr>,
    /// How much to log to standard error
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    log_level: LogLevel,
}

#[derive(Args)]
struct Gateway {
    #[command(flatten)]
    configuration: Configuration,
    /// Listen here instead of where [gateway] listen says, such as 127.0.0.1:9091; may be given several times
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    listen: Vec<SocketAddr>,
    /// Keep what is pushed in this folder, instead of where [gateway] state says
    #[arg(long, value_name = "DIRECTORY")]
    state: Option<PathBuf>,
    /// How much to log to standard error
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    log_level: LogLevel,
}

#[derive(Args)]
struct Print {
    #[command(flatten)]
    configuration: Configuration,
    /// The format; for influx two readings are taken, [agent] interval apart, so that rates are there
    #[arg(long, value_enum, default_value_t = PrintFormat::Prometheus)]
    format: PrintFormat,
    /// Only these collectors, whether they are on or not; may be given several times
    #[arg(long, value_name = "NAME", num_args = 1..)]
    collector: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum PrintFormat {
    /// Text 0.0.4
    Prometheus,
    /// OpenMetrics 1.0
    Openmetrics,
    /// Line protocol
    Influx,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

type Failure = Box<dyn std::error::Error>;

/// How long it may take in the end to write what was logged.
const LAST_LINES: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let status = execute(CommandLine::parse());
    log::flush(LAST_LINES);
    status
}

fn execute(line: CommandLine) -> ExitCode {
    let done = match line.command.unwrap_or(Command::Run(line.run)) {
        Command::Run(run) => run.execute(),
        Command::Gateway(gateway) => gateway.execute(),
        Command::Push(push) => return exit_of(push.execute()),
        Command::Print(print) => print.execute(),
        Command::Check(check) => check.execute(),
        Command::Health(health) => health.execute(),
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
            let text = failure.to_string();
            let prefix = if text.starts_with("error: ") { "" } else { "error: " };
            say!("{prefix}{text}");
            ExitCode::FAILURE
        }
    }
}

/// Whether whoever read our output has seen enough.
fn is_broken_pipe(failure: &(dyn std::error::Error + 'static)) -> bool {
    failure.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

impl Configuration {
    fn origin(&self) -> Origin {
        Origin { paths: self.config.clone(), overrides: Overrides::default() }
    }
}

impl Check {
    fn execute(&self) -> Result<(), Failure> {
        let settings = self.configuration.origin().load_without_credentials()?;
        for sink in &settings.sinks {
            Prepared::new(sink.clone())?;
        }
        Guard::new(settings.http.protection.clone())?;
        if self.quiet {
            return Ok(());
        }
        let listen = settings.http.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let sinks = settings.sinks.iter().map(|sink| sink.delivery.name.as_str()).collect::<Vec<_>>().join(", ");
        let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
        let mut out = io::stdout().lock();
        writeln!(out, "The configuration is sound.")?;
        writeln!(out, "  listens on  {}", or_none(listen))?;
        writeln!(out, "  pushes to   {}", or_none(sinks))?;
        writeln!(out, "  collectors  {} on", settings.collectors.len())?;
        Ok(())
    }
}

impl Configuration {
    fn list_collectors(&self) -> Result<(), Failure> {
        let mut settings = self.origin().load_without_credentials()?;
        let mut out = io::stdout().lock();
        writeln!(out, "{:<12} {:<5} {:<5} READS", "COLLECTOR", "PULL", "PUSH")?;
        for entry in list::COLLECTORS {
            let about = entry.about;
            let mut configured = settings.collectors.iter_mut().find(|configured| configured.about.name == about.name);
            let on = configured.as_ref().map_or(Vocabularies::NONE, |configured| configured.on);
            let state = |on: bool| if on { "on" } else { "off" };
            let reads = about.reads.join(" ");
            writeln!(out, "{:<12} {:<5} {:<5} {reads}", about.name, state(on.families), state(on.points))?;
            writeln!(out, "{:24} {}", "", about.summary)?;
            if !about.needs.is_empty() {
                writeln!(out, "{:24} needs {}", "", about.needs)?;
            }
            for line in configured.iter_mut().flat_map(|configured| configured.collector.report()) {
                writeln!(out, "{:24} {line}", "")?;
            }
        }
        Ok(())
    }
}

#[cfg(feature = "cloudwatch")]
impl Plan {
    fn execute(&self) -> Result<(), Failure> {
        use taffrail::collectors::cloudwatch::plan::Plans;
        use taffrail::settings::Settings;
        let document = Document::load_once(&self.configuration.config, &agent::variable_without_credentials)?;
        // The whole configuration is checked, not only what is planned.
        Settings::check(&document, &Overrides::default())?;
        let plans = Plans::new(&document)?;
        let told = runtime()?.block_on(plans.tell(self.assume_metrics, |line| say!("{line}")))?;
        io::stdout().lock().write_all(told.as_bytes())?;
        Ok(())
    }
}

impl Run {
    fn execute(&self) -> Result<(), Failure> {
        let mut origin = self.configuration.origin();
        origin.overrides.listen.clone_from(&self.listen);
        origin.overrides.state_directory = manager::state_directory();
        serve(&origin, self.log_level)
    }
}

impl Gateway {
    fn execute(&self) -> Result<(), Failure> {
        let mut origin = self.configuration.origin();
        origin.overrides = Overrides {
            listen: self.listen.clone(),
            only_gateway: true,
            gateway_state: self.state.clone(),
            ..Overrides::default()
        };
        serve(&origin, self.log_level)
    }
}

fn serve(origin: &Origin, level: LogLevel) -> Result<(), Failure> {
    let level = match level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
    };
    log::start(level)?;
    // Not for `push`: the job that it runs has the limit that its author knows.
    descriptors::raise_limit();
    let runtime = runtime()?;
    let end = runtime.block_on(agent::run(origin));
    // What hangs, in the kernel or in a pipe that nobody reads, is not waited for.
    runtime.shutdown_background();
    end
}

/// How long one reading waits for what comes from far away.
const PATIENCE: Duration = Duration::from_secs(60);

impl Print {
    fn execute(&self) -> Result<(), Failure> {
        for name in &self.collector {
            list::find(name).ok_or_else(|| unknown(name))?;
        }
        descriptors::raise_limit();
        let mut origin = self.configuration.origin();
        origin.overrides.collectors.clone_from(&self.collector);
        let mut settings = origin.load_without_credentials()?;
        // Of what is pushed, what comes between the two readings is shown.
        if self.format != PrintFormat::Influx {
            for configured in &mut settings.collectors {
                configured.collector.begin(PATIENCE);
            }
        }
        let readers = Arc::new(Readers::new(settings.host.clone(), settings.collectors));
        let exposition = Exposition::new(readers.clone(), 1);
        let schedule = settings.schedule;
        let body = runtime()?.block_on(async {
            let format = match self.format {
                PrintFormat::Influx => return print_points(&exposition, &schedule).await,
                PrintFormat::Prometheus => Format::Text,
                PrintFormat::Openmetrics => Format::OpenMetrics,
            };
            let answers = readers.read(Vocabularies::FAMILIES, |_| true, Duration::from_secs(3600)).await;
            exposition.render(&answers, format)
        });
        io::stdout().lock().write_all(&body)?;
        Ok(())
    }
}

async fn print_points(exposition: &Exposition, schedule: &Schedule) -> Vec<u8> {
    let tags = CommonTags::new(&schedule.tags);
    let (_, first) = read_points(exposition, schedule, &tags, &[]).await;
    let interval = schedule.interval;
    say!("waiting {} for the second reading", humantime::format_duration(interval));
    tokio::time::sleep(interval).await;
    read_points(exposition, schedule, &tags, &first).await.0.bytes().to_vec()
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    use taffrail::config::Setting;
    use taffrail::config::document::Value;
    SocketAddr::from_value(&Value::String(text.to_owned())).map_err(|_| format!("expected {}", SocketAddr::EXPECTED))
}
