//! `taffrail push`.

use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use taffrail::client::Tls;
use taffrail::config::Secret;
use taffrail::gateway::key::{Key, path_of};
use taffrail::job::command;
use taffrail::job::report::{self, Run};
use taffrail::job::spool::{self, Kept, Spool};
use taffrail::job::target::{Credentials, PushError, Target};
use taffrail::say;

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

impl Push {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let target = self.target()?;
        let spool = self.spool.as_deref().map(Spool::open).transpose();
        let spool = spool.map_err(|error| format!("--spool: {error}"))?;
        let pusher = Pusher { target, spool, method: if self.mode == Mode::Group { "PUT" } else { "POST" } };
        runtime.block_on(async {
            if self.delete {
                return pusher.deliver(Kept::new("DELETE", Vec::new())).await;
            }
            if !self.command.is_empty() {
                return Ok(pusher.run(&self.command).await?);
            }
            let body = match &self.exposition {
                Some(path) if path.as_os_str() != "-" => {
                    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?
                }
                Some(_) => {
                    let mut body = Vec::new();
                    io::stdin().lock().read_to_end(&mut body)?;
                    body
                }
                None => return Err("nothing to do: expected FILE, - or -- COMMAND; see taffrail push --help".into()),
            };
            pusher.deliver(Kept::new(pusher.method, body)).await
        })
    }

    fn target(&self) -> Result<Target, Failure> {
        let labels = self.label.iter().cloned().chain([("job".to_owned(), self.job.clone())]);
        Key::new(labels).map_err(|error| format!("--job: {error}"))?;
        let path = path_of(&self.job, self.label.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        // What Taffrail would refuse is told before the job runs.
        Key::from_path(path.trim_start_matches("metrics/")).map_err(|error| format!("--label: {error}"))?;
        let mut query = Vec::new();
        query.extend(self.ttl.map(|ttl| format!("ttl={}s", ttl.as_secs_f64().max(1.0) as u64)));
        query.extend(match self.mode {
            Mode::Series => Some("mode=series".to_owned()),
            Mode::Aggregate => Some("mode=aggregate".to_owned()),
            Mode::Families | Mode::Group => None,
        });
        let url = self.url.clone().or_else(|| std::env::var("TAFFRAIL_GATEWAY").ok());
        let url = url.unwrap_or_else(|| "http://127.0.0.1:9091".to_owned());
        let (credentials, tls) = self.credentials.read()?;
        Ok(Target::new(&url, &path, &query.join("&"), credentials, &tls, self.timeout)?)
    }
}

impl CredentialArguments {
    fn read(&self) -> Result<(Credentials, Tls), Failure> {
        let file = |path: &PathBuf| -> Result<Secret, Failure> {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
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

struct Pusher {
    target: Target,
    spool: Option<Spool>,
    method: &'static str,
}

impl Pusher {
    /// Runs the job, and tells of it. Nothing that happens to a push changes the status.
    async fn run(&self, command: &[String]) -> io::Result<ExitCode> {
        let begin = async {
            let begun = Kept::new("POST", report::begun(SystemTime::now()));
            // It is not worth keeping: the end says more.
            if let Err(error) = self.target.send(&begun).await {
                say!("taffrail push: the gateway was not told that the job began: {error}");
            }
        };
        let mut begin = std::pin::pin!(begin);
        let mut is_told = false;
        let job = command::run(command);
        let mut job = std::pin::pin!(job);
        let (run, failure): (Run, _) = loop {
            tokio::select! {
                ended = job.as_mut() => break ended?,
                () = begin.as_mut(), if !is_told => is_told = true,
            }
        };
        if let Some(error) = failure {
            say!("taffrail push: {}: {error}", command.first().map_or("", String::as_str));
        }
        // The beginning may still be on its way, and must not arrive after the end.
        if !is_told {
            let _ = tokio::time::timeout(Duration::from_secs(1), begin).await;
        }
        let _ = self.deliver(Kept::new("POST", report::ended(&run))).await.inspect_err(|error| {
            say!("taffrail push: {error}; the status is the job's all the same");
        });
        Ok(ExitCode::from(u8::try_from(run.status & 0xff).unwrap_or(1)))
    }

    /// Sends what was kept before, then this; keeps it if it does not arrive and there is a place.
    async fn deliver(&self, push: Kept) -> Result<ExitCode, Failure> {
        self.send_kept().await;
        let url = self.target.url();
        let error = match self.target.send(&push).await {
            Ok(()) => return Ok(ExitCode::SUCCESS),
            Err(error) => error,
        };
        match (&self.spool, &error) {
            (Some(spool), PushError::Later(_)) => {
                spool.keep(&push, url).map_err(|reason| {
                    format!("the push to {url} did not arrive: {error}; it could not be kept either: {reason}")
                })?;
                say!("taffrail push: the push to {url} did not arrive: {error}; it is kept for the next run");
                Ok(ExitCode::SUCCESS)
            }
            _ => Err(format!("the push to {url} did not arrive: {error}").into()),
        }
    }

    async fn send_kept(&self) {
        let Some(spool) = &self.spool else { return };
        for path in spool.kept().unwrap_or_default() {
            let sent = match spool::read(&path) {
                Some(push) if !self.target.is_for(&push) => continue,
                Some(push) => self.target.send(&push).await,
                None => Err(PushError::Refused("it cannot be read".to_owned())),
            };
            match sent {
                Ok(()) => say!("taffrail push: a push that was kept has arrived"),
                Err(PushError::Refused(reason)) => {
                    say!("taffrail push: {} is dropped: {reason}", path.display());
                }
                // The others would not arrive either.
                Err(PushError::Later(_)) => return,
            }
            let _ = std::fs::remove_file(&path);
        }
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
