//! `taffrail push`.

mod advice;
mod arguments;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use taffrail::client::Tls;
use taffrail::config::Secret;
use taffrail::gateway::key::{Key, path_of};
use taffrail::job::command::Job;
use taffrail::job::delivery::{Delivered, Delivery, report};
#[cfg(target_os = "linux")]
use taffrail::job::guardian::{self, Guardian};
use taffrail::job::program::{hint, interpreter, is_program};
use taffrail::job::report::{self, Run};
use taffrail::job::runs::{ReportLock, Running, Runs};
use taffrail::job::spool::{PushRequest, Spool};
use taffrail::job::target::{Address, Credentials, Target};
use taffrail::system::regular_file::{READ_TIMEOUT, read_text_within, within};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

pub(crate) use self::advice::advice;
use self::advice::{as_command, is_command};
use self::arguments::{Parsed, duration_value, not_empty, parse_with, path_value, text_value, variable};
use crate::{Failure, InvalidArgument};

/// Run a job and report it to the gateway, or push a file of metrics
///
/// With a command after --, runs it, reports its start and its result to the gateway, and ends with its exit status. An
/// unreachable gateway never fails the job. With FILE, or - for standard input, pushes an exposition; exit status 0 if
/// the gateway accepted it, 1 if not.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    taffrail push --job backup --label host=web-1 -- /usr/local/bin/backup --all\n  \
    taffrail push --job import --ttl 2d rows.prom\n  \
    taffrail push --job import --delete")]
pub(crate) struct Push {
    /// Name of the job: the label `job` of the group
    #[arg(long, value_name = "NAME", value_parser = text_value("--job"))]
    job: Parsed<String>,
    /// Additional label of the group; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_with("--label", parse_label))]
    label: Vec<Parsed<(String, String)>>,
    /// URL or address of the gateway, or unix:/PATH of its Unix socket [env: TAFFRAIL_GATEWAY]
    #[arg(long, alias = "gateway", value_name = "URL", value_parser = text_value("--url"))]
    url: Option<Parsed<String>>,
    /// Delete the group when it receives no push for this time, such as 2d; Taffrail's gateway only
    #[arg(long, value_name = "DURATION", value_parser = duration_value("--ttl"))]
    ttl: Option<Parsed<Duration>>,
    /// Interval of the job, such as 7d, for alerts on overdue jobs
    #[arg(long, value_name = "DURATION", value_parser = duration_value("--every"))]
    every: Option<Parsed<Duration>>,
    /// What the push replaces
    #[arg(long, value_enum, default_value_t = Mode::Families)]
    mode: Mode,
    /// Delete the group
    #[arg(long, conflicts_with_all = ["exposition", "command"])]
    delete: bool,
    /// Store undelivered pushes in this directory; the next run sends them
    #[arg(long, value_name = "DIRECTORY", value_parser = path_value())]
    spool: Option<PathBuf>,
    /// Retry the push for this time
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration_value("--timeout"))]
    timeout: Parsed<Duration>,
    #[command(flatten)]
    credentials: CredentialArguments,
    /// File to push, or - for standard input
    #[arg(value_name = "FILE", conflicts_with = "command")]
    exposition: Option<PathBuf>,
    /// Command to run, with its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Args)]
struct CredentialArguments {
    /// File with the bearer token [env: TAFFRAIL_TOKEN, the token itself]
    #[arg(long, value_name = "FILE", value_parser = path_value())]
    token_file: Option<PathBuf>,
    /// User name; the password is in TAFFRAIL_PASSWORD or --password-file
    #[arg(long, value_name = "NAME", value_parser = text_value("--user"), conflicts_with = "token_file")]
    user: Option<Parsed<String>>,
    /// File with the user's password
    #[arg(long, value_name = "FILE", value_parser = path_value(), requires = "user")]
    password_file: Option<PathBuf>,
    /// CA certificate of the gateway, instead of the system's
    #[arg(long, value_name = "FILE", value_parser = path_value())]
    ca_file: Option<PathBuf>,
    /// Client certificate
    #[arg(long, value_name = "FILE", value_parser = path_value(), requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// Private key of the client certificate
    #[arg(long, value_name = "FILE", value_parser = path_value(), requires = "cert_file")]
    key_file: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Mode {
    /// Metric families of the same name
    Families,
    /// The whole group
    Group,
    /// Series with the same labels; Taffrail's gateway only
    Series,
    /// Nothing: counters, histograms and summaries are added; Taffrail's gateway only
    Aggregate,
}

/// Maximum size of an exposition. Gateways accept less by default.
const MAX_BODY: u64 = 1 << 30;
/// Maximum size of a file with a secret, which is one line.
const MAX_SECRET: u64 = 64 << 10;

impl Push {
    pub(crate) fn execute(mut self) -> Result<ExitCode, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let command = std::mem::take(&mut self.command);
        #[cfg(target_os = "linux")]
        if let Some(job) = guardian::guarded().filter(|_| !command.is_empty()) {
            return Ok(runtime.block_on(self.guard(job))?);
        }
        if !command.is_empty() {
            // Standard error may be a pipe that is not read, and must not block the job's end.
            let _ = taffrail::log::start(tracing::Level::ERROR);
            let status = runtime.block_on(self.run(&command));
            // Do not wait for a file that hangs.
            runtime.shutdown_background();
            return Ok(status?);
        }
        if self.every.is_some() {
            return Err(InvalidArgument("--every: expected a command, after --".to_owned()).into());
        }
        let delivery = self.delivery().map_err(InvalidArgument)?;
        if let Err(reason) = &delivery.target {
            return Err(reason.clone().into());
        }
        let push = match self.delete {
            true => PushRequest::new("DELETE", Vec::new()),
            false => PushRequest::new(if self.mode == Mode::Group { "PUT" } else { "POST" }, self.body()?),
        };
        let delivered = runtime.block_on(delivery.deliver(&push))?;
        report_spooled(&delivered, &delivery);
        Ok(ExitCode::SUCCESS)
    }

    /// The group's path, or the invalid argument.
    fn path(&self) -> Parsed<String> {
        let job = self.job.clone()?;
        let labels = self.label.iter().cloned().collect::<Parsed<Vec<_>>>()?;
        let all = labels.iter().cloned().chain([("job".to_owned(), job.clone())]);
        Key::new(all).map_err(|error| format!("--job: {error}"))?;
        let path = path_of(&job, labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        // Report labels that Taffrail would reject by the option's name.
        Key::from_path(path.trim_start_matches("metrics/")).map_err(|error| format!("--label: {error}"))?;
        Ok(path)
    }

    fn body(&self) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        let read = match &self.exposition {
            // A pipe is fine here, such as a shell's process substitution.
            Some(path) if path.as_os_str() != "-" => {
                if is_program(path) {
                    return Err(self.runnable(path, "executable", "")?.into());
                }
                let file = File::open(path).and_then(|file| file.take(MAX_BODY + 1).read_to_end(&mut body));
                let read = file.map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound if is_command(path.as_os_str()) => {
                        format!("{}: {error}; to run the command, put -- before it", path.display())
                    }
                    _ => format!("{}: {error}", path.display()),
                })?;
                // To a parser, this is a comment, and `exit 0` a sample.
                if body.starts_with(b"#!") {
                    let program = interpreter(&body).unwrap_or("sh");
                    return Err(self.runnable(path, "a script", &format!("{program} "))?.into());
                }
                read
            }
            Some(_) => io::stdin().lock().take(MAX_BODY + 1).read_to_end(&mut body)?,
            None => {
                let reason = "nothing to do: expected FILE, - or -- COMMAND; see taffrail push --help";
                return Err(InvalidArgument(reason.to_owned()).into());
            }
        };
        if read as u64 > MAX_BODY {
            return Err("the exposition has more than 1 GiB, which no gateway takes".into());
        }
        Ok(body)
    }

    /// The error for a file that is to be run, with this program before it.
    fn runnable(&self, path: &Path, what: &str, program: &str) -> Parsed<String> {
        let (job, command, path) = (self.job.clone()?, as_command(path.as_os_str()), path.display());
        Ok(format!(
            "{path} is {what}; run it with: taffrail push --job {job} -- {program}{command}\n\
             or push what it contains with: taffrail push --job {job} - <{path}"
        ))
    }

    fn address(&self) -> Parsed<Address> {
        let path = self.path()?;
        let mut query = Vec::new();
        let ttl = self.ttl.clone().transpose()?;
        query.extend(ttl.map(|ttl| format!("ttl={}s", ttl.as_secs_f64().max(1.0) as u64)));
        query.extend(match self.mode {
            Mode::Series => Some("mode=series".to_owned()),
            Mode::Aggregate => Some("mode=aggregate".to_owned()),
            Mode::Families | Mode::Group => None,
        });
        const VARIABLE: &str = "TAFFRAIL_GATEWAY";
        let (source, url) = match self.url.clone().transpose()? {
            Some(url) => ("--url", Some(url)),
            None => (VARIABLE, variable(VARIABLE)?),
        };
        let url = url.unwrap_or_else(|| "http://127.0.0.1:9091".to_owned());
        Address::new(&url, &path, &query.join("&")).map_err(|reason| format!("{source}: {reason}"))
    }

    /// All parts of a delivery. An invalid file is reported when something is sent, so that it does not fail the job.
    fn delivery(&self) -> Parsed<Delivery> {
        let (address, timeout) = (self.address()?, self.timeout.clone()?);
        self.every.clone().transpose()?;
        let read = self.credentials.read();
        let target = read.and_then(|(credentials, tls)| Target::new(address.clone(), credentials, &tls, timeout));
        Ok(Delivery { address, target, spool: self.spool(), timeout })
    }

    /// The job's interval. Without a valid one nothing is reported at all.
    fn interval(&self) -> Option<Duration> {
        self.every.clone()?.ok()
    }

    fn spool(&self) -> Option<Spool> {
        let opened = open_spool(self.spool.as_deref()?);
        opened.inspect_err(|reason| report(&format!("{reason}; pushes are not kept"))).ok()
    }

    /// Runs the job, and reports it. Problems with pushes never prevent the job from running or change its status.
    async fn run(self, command: &[OsString]) -> io::Result<ExitCode> {
        let mut job = Job::start(command)?;
        #[cfg(target_os = "linux")]
        let guardian = job.process().map_or_else(Guardian::default, Guardian::start);
        let (address, every) = (self.address(), self.interval());
        let runs = address.as_ref().ok().and_then(|address| Runs::of(address.url()).ok());
        let running = runs.as_ref().and_then(|runs| runs.begin().ok());
        let opened = spawn_blocking(move || self.delivery());
        let (run, failure, delivery) = wait_and_report_start(&mut job, every, opened, runs.as_ref()).await?;
        if let Some(error) = failure {
            let name = command.first().map_or(OsStr::new(""), OsString::as_os_str);
            let hint = hint(name, &error).map_or(String::new(), |hint| format!("; {hint}"));
            report(&format!("{}: {error}{hint}", name.to_string_lossy()));
        }
        match delivery {
            Ok(delivery) => {
                let end_report = report_end(&run, every, &delivery, runs.as_ref(), running);
                tokio::select! {
                    () = end_report => {}
                    () = job.termination_requested() => report_interrupted(&delivery),
                }
            }
            Err(reason) => report(&format!("{reason}; the job is not reported to the gateway")),
        }
        #[cfg(target_os = "linux")]
        guardian.dismiss();
        Ok(ExitCode::from(u8::try_from(run.status & 0xff).unwrap_or(1)))
    }

    /// Reports a job whose `taffrail push` was killed.
    #[cfg(target_os = "linux")]
    async fn guard(self, job: rustix::process::Pid) -> io::Result<ExitCode> {
        // Installing the handlers keeps termination signals from ending the guardian.
        let _ignored = taffrail::system::Signals::new()?;
        let (start, begun) = (SystemTime::now(), std::time::Instant::now());
        if guardian::watch(job)? {
            let run = Run { start, duration: begun.elapsed(), status: guardian::KILLED, usage: None };
            if let Ok(delivery) = self.delivery() {
                let runs = Runs::of(delivery.address.url()).ok();
                report_end(&run, self.interval(), &delivery, runs.as_ref(), None).await;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Waits for the job, and reports its start meanwhile. Also returns the delivery for the final report.
async fn wait_and_report_start(
    job: &mut Job,
    every: Option<Duration>,
    opened: JoinHandle<Result<Delivery, String>>,
    runs: Option<&Runs>,
) -> io::Result<(Run, Option<io::Error>, Result<Delivery, String>)> {
    let start = job.start_time();
    let mut opened = std::pin::pin!(opened);
    let mut delivery = None;
    let (run, failure) = {
        let mut ended = std::pin::pin!(job.wait());
        let first = tokio::select! {
            run = ended.as_mut() => Some(run?),
            done = opened.as_mut() => { delivery = Some(joined(done)); None }
        };
        match (first, &delivery) {
            (Some(ended), _) => ended,
            (None, Some(Ok(delivery))) => {
                let mut begin = std::pin::pin!(report_start(start, every, delivery, runs));
                let run = tokio::select! {
                    run = ended.as_mut() => Some(run?),
                    () = begin.as_mut() => None,
                };
                match run {
                    // The start report may still be in flight, and must not arrive after the end.
                    Some(run) => {
                        let _ = tokio::time::timeout(Duration::from_secs(1), begin).await;
                        run
                    }
                    None => ended.await?,
                }
            }
            (None, _) => ended.await?,
        }
    };
    let delivery = match delivery {
        Some(delivery) => delivery,
        None => joined(opened.await),
    };
    Ok((run, failure, delivery))
}

fn joined(done: Result<Result<Delivery, String>, JoinError>) -> Result<Delivery, String> {
    done.unwrap_or_else(|error| Err(error.to_string()))
}

/// Reports that the job has started. It is not stored on failure: the final report supersedes it.
async fn report_start(start: SystemTime, every: Option<Duration>, delivery: &Delivery, runs: Option<&Runs>) {
    let _lock = lock(runs, delivery).await;
    if let Err(error) = delivery.send(&PushRequest::new("POST", report::started(start, every))).await {
        report(&format!("the start of the job is not reported: {error}"));
    }
}

/// Reports how the job ended, and whether other runs of it are in progress.
async fn report_end(
    run: &Run,
    every: Option<Duration>,
    delivery: &Delivery,
    runs: Option<&Runs>,
    running: Option<Running>,
) {
    let _lock = lock(runs, delivery).await;
    drop(running);
    let others = runs.map_or(0, Runs::count);
    match delivery.deliver(&PushRequest::new("POST", report::finished(run, others, every))).await {
        Ok(delivered) => report_spooled(&delivered, delivery),
        Err(error) => report(&format!("{error}; the exit status is that of the job")),
    }
}

async fn lock(runs: Option<&Runs>, delivery: &Delivery) -> Option<ReportLock> {
    match runs {
        // The holder stops pushing after that time.
        Some(runs) => Some(runs.report_lock(delivery.timeout + Duration::from_secs(1)).await),
        None => None,
    }
}

fn report_spooled(delivered: &Delivered, delivery: &Delivery) {
    if let Delivered::Spooled(reason) = delivered {
        let url = delivery.address.url();
        report(&format!("the push to {url} did not arrive: {reason}; it is kept for the next run"));
    }
}

fn report_interrupted(delivery: &Delivery) {
    let becomes = if delivery.spool.is_some() { "it is kept for the next run" } else { "it is lost" };
    report(&format!("asked to end before the push to {} had arrived; {becomes}", delivery.address.url()));
}

fn open_spool(folder: &Path) -> Parsed<Spool> {
    let folder = not_empty("--spool", folder)?.to_owned();
    let asked = folder.clone();
    let opened = within(&folder, READ_TIMEOUT, move || Spool::open(&asked));
    let opened = opened.map_err(|reason| reason.to_string()).and_then(|spool| spool.map_err(|error| error.to_string()));
    opened.map_err(|reason| format!("--spool: {}: {reason}", folder.display()))
}

impl CredentialArguments {
    fn read(&self) -> Result<(Credentials, Tls), String> {
        let file = |option: &str, path: &Path| -> Parsed<Secret> {
            let path = not_empty(option, path)?;
            let text =
                read_text_within(path, MAX_SECRET, READ_TIMEOUT).map_err(|error| format!("{option}: {error}"))?;
            let secret = Secret::of_one_line(text.trim_end_matches(['\r', '\n']));
            secret.map_err(|reason| format!("{option}: {}: {reason}", path.display()))
        };
        let environment = |name: &str| -> Parsed<Option<Secret>> {
            let secret = variable(name)?.map(Secret::of_one_line).transpose();
            secret.map_err(|reason| format!("{name}: {reason}"))
        };
        let credentials = match (&self.user, &self.token_file) {
            (Some(name), _) => {
                let password = match &self.password_file {
                    Some(path) => file("--password-file", path)?,
                    None => environment("TAFFRAIL_PASSWORD")?
                        .ok_or("--user: expected TAFFRAIL_PASSWORD in the environment, or --password-file")?,
                };
                Credentials::User(name.clone()?, password)
            }
            (None, Some(path)) => Credentials::Token(file("--token-file", path)?),
            (None, None) => environment("TAFFRAIL_TOKEN")?.map_or(Credentials::None, Credentials::Token),
        };
        let identity = self.cert_file.clone().zip(self.key_file.clone());
        Ok((credentials, Tls { ca: self.ca_file.clone(), identity, trusts_any: false }))
    }
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name == "job" {
        return Err("use --job for the label job".to_owned());
    }
    if name.is_empty() || name.starts_with("__") {
        return Err("expected a label name that does not begin with __".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}
