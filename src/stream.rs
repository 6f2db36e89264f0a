//! `taffrail gateway stream`: the stream that replicas of the gateway share.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use taffrail::gateway::replication::nats::admin::{self, Report};
use taffrail::gateway::replication::nats::connection::Description;
use taffrail::gateway::replication::settings::Settings;

use super::configuration::Configuration;
use super::{Failure, runtime};

/// Create, describe or restore the stream that the replicas of this gateway share
#[derive(Args)]
pub(crate) struct Stream {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create the stream [gateway] stream, and the key-value bucket with its writer
    Create {
        #[command(flatten)]
        configuration: Configuration,
        /// Number of NATS servers that store it
        #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
        replicas: u8,
        /// Put the groups in this directory into it: of a gateway that was alone and is stopped, or of a replica after the loss
        /// of the stream
        #[arg(long, value_name = "DIRECTORY")]
        from: Option<PathBuf>,
        /// Delete a stream of this name and its bucket first, once the directory has been read; no replica may be running
        #[arg(long, requires = "from")]
        replace: bool,
    },
    /// Print the identity and the size of the stream, whether its servers sync each message, the writer and all replicas
    Status {
        #[command(flatten)]
        configuration: Configuration,
    },
    /// Put the groups of a directory into the empty stream: of a gateway that was alone, or of a replica after the loss of the
    /// stream
    ///
    /// Stop all replicas first, and start them with empty directories afterwards.
    Restore {
        #[command(flatten)]
        configuration: Configuration,
        /// The directory, by default [gateway] state
        #[arg(long, value_name = "DIRECTORY")]
        from: Option<PathBuf>,
    },
}

impl Stream {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        match &self.command {
            Command::Create { configuration, replicas, from, replace } => {
                let (settings, _) = settings(configuration)?;
                let created = admin::create(&settings, usize::from(*replicas), from.as_deref(), *replace);
                let (created, groups) = runtime()?.block_on(created)?;
                print(format_args!("created the stream {} with {groups} groups", settings.stream))?;
                describe(&created)?;
            }
            Command::Status { configuration } => {
                let (settings, _) = settings(configuration)?;
                report(&runtime()?.block_on(admin::status(&settings))?)?;
            }
            Command::Restore { configuration, from } => {
                let (settings, state) = settings(configuration)?;
                let directory = from.clone().or(state).ok_or("expected --from or [gateway] state, found none")?;
                let groups = runtime()?.block_on(admin::restore(&settings, &directory))?;
                print(format_args!(
                    "{groups} groups of {} are in the stream {}",
                    directory.display(),
                    settings.stream
                ))?;
            }
        }
        Ok(())
    }
}

/// The settings of the stream, and [gateway] state.
fn settings(configuration: &Configuration) -> Result<(Settings, Option<PathBuf>), Failure> {
    let gateway = configuration.origin().load()?.gateway;
    let replication = gateway.replication.ok_or("expected [gateway] stream, found none")?;
    Ok((replication, gateway.state))
}

fn describe(stream: &Description) -> io::Result<()> {
    let identity = stream.identity.map_or_else(|| "none".to_owned(), |identity| format!("{:032x}", identity.id));
    print(format_args!("identity: {identity}"))?;
    print(format_args!("messages: {} to {}, {} bytes", stream.first, stream.last, stream.bytes))?;
    print(format_args!("servers:  {}, led by {}", stream.replicas, stream.leader.as_deref().unwrap_or("none")))?;
    stream.warnings.iter().try_for_each(|warning| print(format_args!("warning:  {warning}")))
}

fn report(report: &Report) -> io::Result<()> {
    describe(&report.stream)?;
    print(format_args!("sync:     {}", report.durability.describe()))?;
    match &report.writer {
        Ok(writer) => print(format_args!("writer:   {}", writer.as_deref().unwrap_or("none")))?,
        Err(reason) => print(format_args!("writer:   unknown: {reason}"))?,
    }
    print(format_args!("replicas: {}", report.replicas.len()))?;
    for replica in report.replicas.iter().map(|peer| &peer.announced) {
        let reason = replica.reason.iter().map(|reason| format!(": {reason}")).collect::<String>();
        print(format_args!(
            "  {} at {}: {}, {} messages behind, {} applied, {} on disk{reason}",
            replica.name,
            replica.url,
            replica.role,
            replica.lag(),
            replica.applied,
            replica.persisted,
        ))?;
    }
    Ok(())
}

fn print(line: std::fmt::Arguments<'_>) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}
