//! `taffrail push`.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
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
use taffrail::job::report::{self, Run};
use taffrail::job::running::{Running, Runs, Turn};
use taffrail::job::spool::{Kept, Spool};
use taffrail::job::target::{Address, Credentials, Target};
use taffrail::system::regular_file::{PATIENCE, read_text_within, within};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::Failure;

/// Run a job and push how it went, or push what a job wrote
///
/// With a command after --, runs it, tells the gateway when it began and how it ended, and exits with its status: a
/// gateway that is away never fails a job. With FILE, or - for standard input, pushes an exposition.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    taffrail push --job backup --label host=web-1 -- /usr/local/bin/backup --all\n  \
    taffrail push --job import --ttl 2d rows.prom\n  \
    taffrail push --job import --delete")]
pub(crate) struct Push {
    /// The job: the first label of the group that is pushed to
    #[arg(long, value_name = "NAME")]
    job: String,
    /// A further label of the group; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_label)]
    label: Vec<(String, String)>,
    /// The gateway; or the environment's TAFFRAIL_GATEWAY
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The group ends when nothing was pushed to it for so long, such as 2d; Taffrail's gateway only
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    ttl: Option<Duration>,
    /// What becomes of what was pushed before
    #[arg(long, value_enum, default_value_t = Mode::Families)]
    mode: Mode,
    /// Delete the group
    #[arg(long, conflicts_with_all = ["exposition", "command"])]
    delete: bool,
    /// Keep a push that does not arrive in this folder; the next run sends it
    #[arg(long, value_name = "DIRECTORY")]
    spool: Option<PathBuf>,
    /// How long to try to push
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    credentials: CredentialArguments,
    /// The exposition to push: a file, or - for standard input
    #[arg(value_name = "FILE", conflicts_with = "command")]
    exposition: Option<PathBuf>,
    /// The command to run, with its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Args)]
struct CredentialArguments {
    /// A file that holds the bearer token; or the environment's TAFFRAIL_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The user; the password is in the environment's TAFFRAIL_PASSWORD, or in --password-file
    #[arg(long, value_name = "NAME", conflicts_with = "token_file")]
    user: Option<String>,
    /// A file that holds the user's password
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// The authority that signed the gateway's certificate, if it is not one of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The certificate to show to the gateway
    #[arg(long, value_name = "FILE", requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// The certificate's key
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    key_file: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Mode {
    /// Families that are pushed take the place of those of the same name
    Families,
    /// The group has what is pushed, and nothing else
    Group,
    /// Series that are pushed take the place of the same series; Taffrail's gateway only
    Series,
    /// Counters, histograms and summaries add up; Taffrail's gateway only
    Aggregate,
}

/// The largest exposition that is pushed. Gateways take less unless they are told otherwise.
const MAX_BODY: u64 = 1 << 30;
/// A secret in a file is a line.
const MAX_SECRET: u64 = 64 << 10;

impl Push {
    pub(crate) fn execute(mut self) -> Result<ExitCode, Failure> {
        let path = self.path()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let command = std::mem::take(&mut self.command);
        #[cfg(target_os = "linux")]
        if let Some(job) = guardian::guarded().filter(|_| !command.is_empty()) {
            return Ok(runtime.block_on(self.guard(job, &path))?);
        }
        if !command.is_empty() {
            // Standard error may be a pipe that nobody reads, which is to keep no job from ending.
            let _ = taffrail::log::start(tracing::Level::ERROR);
            let status = runtime.block_on(self.run(&command, path));
            // A file that hangs is not waited for.
            runtime.shutdown_background();
            return Ok(status?);
        }
        let delivery = self.delivery(&path)?;
        if let Err(reason) = &delivery.target {
            return Err(reason.clone().into());
        }
        let push = match self.delete {
            true => Kept::new("DELETE", Vec::new()),
            false => Kept::new(if self.mode == Mode::Group { "PUT" } else { "POST" }, self.body()?),
        };
        let delivered = runtime.block_on(delivery.deliver(&push))?;
        report_kept(&delivered, &delivery);
        Ok(ExitCode::SUCCESS)
    }

    /// The group's path, or what is wrong with the arguments that make it.
    fn path(&self) -> Result<String, Failure> {
        let labels = self.label.iter().cloned().chain([("job".to_owned(), self.job.clone())]);
        Key::new(labels).map_err(|error| format!("--job: {error}"))?;
        let path = path_of(&self.job, self.label.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        // What Taffrail would refuse is told before the job runs.
        Key::from_path(path.trim_start_matches("metrics/")).map_err(|error| format!("--label: {error}"))?;
        Ok(path)
    }

    fn body(&self) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        let read = match &self.exposition {
            // A pipe is as good as a file here: somebody gave it to be read.
            Some(path) if path.as_os_str() != "-" => {
                let file = File::open(path).and_then(|file| file.take(MAX_BODY + 1).read_to_end(&mut body));
                file.map_err(|error| format!("{}: {error}", path.display()))?
            }
            Some(_) => io::stdin().lock().take(MAX_BODY + 1).read_to_end(&mut body)?,
            None => return Err("nothing to do: expected FILE, - or -- COMMAND; see taffrail push --help".into()),
        };
        if read as u64 > MAX_BODY {
            return Err("the exposition has more than 1 GiB, which no gateway takes".into());
        }
        Ok(body)
    }

    fn address(&self, path: &str) -> Result<Address, String> {
        let mut query = Vec::new();
        query.extend(self.ttl.map(|ttl| format!("ttl={}s", ttl.as_secs_f64().max(1.0) as u64)));
        query.extend(match self.mode {
            Mode::Series => Some("mode=series".to_owned()),
            Mode::Aggregate => Some("mode=aggregate".to_owned()),
            Mode::Families | Mode::Group => None,
        });
        let url = self.url.clone().or_else(|| std::env::var("TAFFRAIL_GATEWAY").ok());
        let url = url.unwrap_or_else(|| "http://127.0.0.1:9091".to_owned());
        Address::new(&url, path, &query.join("&"))
    }

    /// Everything that a push needs. A file that is not as it should be is told when something is sent, so that no job
    /// fails for it.
    fn delivery(&self, path: &str) -> Result<Delivery, String> {
        let address = self.address(path)?;
        let read = self.credentials.read();
        let target = read.and_then(|(credentials, tls)| Target::new(address.clone(), credentials, &tls, self.timeout));
        Ok(Delivery { address, target, spool: self.spool(), timeout: self.timeout })
    }

    fn spool(&self) -> Option<Spool> {
        let folder = self.spool.clone()?;
        let asked = folder.clone();
        let opened = within(&folder, PATIENCE, move || Spool::open(&asked));
        let opened =
            opened.map_err(|reason| reason.to_string()).and_then(|spool| spool.map_err(|error| error.to_string()));
        opened.inspect_err(|error| report(&format!("--spool: {}: {error}; pushes are not kept", folder.display()))).ok()
    }

    /// Runs the job, and tells of it. Nothing that happens to a push keeps it from running, or changes its status.
    async fn run(self, command: &[String], path: String) -> io::Result<ExitCode> {
        let mut job = Job::start(command)?;
        #[cfg(target_os = "linux")]
        let guardian = job.process().map_or_else(Guardian::default, Guardian::start);
        let address = self.address(&path);
        let runs = address.as_ref().ok().and_then(|address| Runs::of(address.url()).ok());
        let running = runs.as_ref().and_then(|runs| runs.begin().ok());
        let opened = spawn_blocking(move || self.delivery(&path));
        let (run, failure, delivery) = accompany(&mut job, opened, runs.as_ref()).await?;
        if let Some(error) = failure {
            report(&format!("{}: {error}", command.first().map_or("", String::as_str)));
        }
        match delivery {
            Ok(delivery) => {
                let told = tell_end(&run, &delivery, runs.as_ref(), running);
                tokio::select! {
                    () = told => {}
                    () = job.asked_to_end() => report_broken_off(&delivery),
                }
            }
            Err(reason) => report(&format!("{reason}; the gateway was not told of the job")),
        }
        #[cfg(target_os = "linux")]
        guardian.dismiss();
        Ok(ExitCode::from(u8::try_from(run.status & 0xff).unwrap_or(1)))
    }

    /// Tells of a job whose `taffrail push` was killed.
    #[cfg(target_os = "linux")]
    async fn guard(self, job: rustix::process::Pid, path: &str) -> io::Result<ExitCode> {
        // From here on they end nobody: who is the guardian's keeper would be asked next.
        let _ignored = taffrail::system::Signals::new()?;
        let (start, begun) = (SystemTime::now(), std::time::Instant::now());
        if guardian::watch(job)? {
            let run = Run { start, duration: begun.elapsed(), status: guardian::KILLED, usage: None };
            if let Ok(delivery) = self.delivery(path) {
                let runs = Runs::of(delivery.address.url()).ok();
                tell_end(&run, &delivery, runs.as_ref(), None).await;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Waits for the job, and tells meanwhile that it has begun. What comes back with the run is what the pushes need.
async fn accompany(
    job: &mut Job,
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
                let mut begin = std::pin::pin!(tell_begin(start, delivery, runs));
                let run = tokio::select! {
                    run = ended.as_mut() => Some(run?),
                    () = begin.as_mut() => None,
                };
                match run {
                    // The beginning may still be on its way, and must not arrive after the end.
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

/// Tells that the job has begun. It is not worth keeping: the end says more.
async fn tell_begin(start: SystemTime, delivery: &Delivery, runs: Option<&Runs>) {
    let _turn = turn(runs, delivery).await;
    if let Err(error) = delivery.send(&Kept::new("POST", report::begun(start))).await {
        report(&format!("the gateway was not told that the job began: {error}"));
    }
}

/// Tells how the job ended, and whether other runs of it are under way.
async fn tell_end(run: &Run, delivery: &Delivery, runs: Option<&Runs>, running: Option<Running>) {
    let _turn = turn(runs, delivery).await;
    drop(running);
    let others = runs.map_or(0, Runs::count);
    match delivery.deliver(&Kept::new("POST", report::ended(run, others))).await {
        Ok(delivered) => report_kept(&delivered, delivery),
        Err(error) => report(&format!("{error}; the status is the job's all the same")),
    }
}

async fn turn(runs: Option<&Runs>, delivery: &Delivery) -> Option<Turn> {
    match runs {
        // Whoever has it gives up pushing after that time.
        Some(runs) => Some(runs.turn(delivery.timeout + Duration::from_secs(1)).await),
        None => None,
    }
}

fn report_kept(delivered: &Delivered, delivery: &Delivery) {
    if let Delivered::Kept(reason) = delivered {
        let url = delivery.address.url();
        report(&format!("the push to {url} did not arrive: {reason}; it is kept for the next run"));
    }
}

fn report_broken_off(delivery: &Delivery) {
    let becomes = if delivery.spool.is_some() { "it is kept for the next run" } else { "it is lost" };
    report(&format!("asked to end before the push to {} had arrived; {becomes}", delivery.address.url()));
}

impl CredentialArguments {
    fn read(&self) -> Result<(Credentials, Tls), String> {
        let file = |path: &PathBuf| -> Result<Secret, String> {
            let text = read_text_within(path, MAX_SECRET, PATIENCE).map_err(|error| error.to_string())?;
            Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
        };
        let environment = |name: &str| std::env::var(name).ok().map(Secret::new);
        let credentials = match (&self.user, &self.token_file) {
            (Some(name), _) => {
                let password = match &self.password_file {
                    Some(path) => file(path)?,
                    None => environment("TAFFRAIL_PASSWORD")
                        .ok_or("--user: expected TAFFRAIL_PASSWORD in the environment, or --password-file")?,
                };
                Credentials::User(name.clone(), password)
            }
            (None, Some(path)) => Credentials::Token(file(path)?),
            (None, None) => environment("TAFFRAIL_TOKEN").map_or(Credentials::None, Credentials::Token),
        };
        let identity = self.cert_file.clone().zip(self.key_file.clone());
        Ok((credentials, Tls { ca: self.ca_file.clone(), identity, trusts_any: false }))
    }
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name == "job" {
        return Err("the job is said by --job".to_owned());
    }
    if name.is_empty() || name.starts_with("__") {
        return Err("a label has a name, which does not begin with __".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| error.to_string())
}
