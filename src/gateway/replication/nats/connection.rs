//! The description of the stream.

use async_nats::Client;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{Config, Info, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context, ErrorCode};

use super::announcements;
use crate::gateway::groups::position::{Identity, Position};
use crate::gateway::replication::message::MAX_MESSAGE;

/// Bytes of the headers of a message, at most.
const HEADERS: usize = 1024;

/// The oldest version of the servers that was tested under faults.
const TESTED: (i64, i64, i64) = (2, 14, 0);

/// The key of the stream's metadata that holds its identity.
pub(super) const ID: &str = "taffrail_id";

/// The subject of the messages.
pub(super) fn subject(stream: &str) -> String {
    format!("{stream}.records")
}

/// The bucket of the lease.
pub(super) fn bucket(stream: &str) -> String {
    format!("{stream}_lease")
}

/// What matters of a stream.
#[derive(Clone, Debug)]
pub struct Description {
    /// None if Taffrail did not create it.
    pub identity: Option<Identity>,
    /// The first sequence that it still has; the next one if it is empty.
    pub first: u64,
    /// The last sequence.
    pub last: u64,
    /// How many servers store it.
    pub replicas: usize,
    /// The server that leads it.
    pub leader: Option<String>,
    /// The other servers that store it.
    pub followers: Vec<String>,
    /// Bytes that it takes on each server.
    pub bytes: u64,
    /// Its settings with which servers may lose, remove or refuse messages.
    pub warnings: Vec<String>,
    /// Whether it would also store what replicas announce.
    pub(super) stores_announcements: bool,
}

impl Description {
    pub(super) fn new(info: &Info) -> Description {
        let id = info.config.metadata.get(ID).and_then(|id| u128::from_str_radix(id, 16).ok());
        let created = i64::try_from(info.created.unix_timestamp_nanos()).unwrap_or_default();
        Description {
            identity: id.map(|id| Identity { id, created }),
            first: info.state.first_sequence.max(1),
            last: info.state.last_sequence,
            replicas: info.config.num_replicas,
            leader: info.cluster.as_ref().and_then(|cluster| cluster.leader.clone()),
            followers: info
                .cluster
                .iter()
                .flat_map(|cluster| &cluster.replicas)
                .map(|peer| peer.name.clone())
                .collect(),
            bytes: info.state.bytes,
            warnings: warnings(&info.config),
            stores_announcements: info
                .config
                .subjects
                .iter()
                .any(|pattern| matches(pattern, &announcements::subject(&info.config.name))),
        }
    }

    /// The servers that store it. A server without a cluster names no leader.
    pub(super) fn servers(&self, client: &Client) -> Vec<String> {
        let leader =
            self.leader.clone().or_else(|| self.followers.is_empty().then(|| client.server_info().server_name));
        leader.into_iter().chain(self.followers.iter().cloned()).collect()
    }

    /// Whether messages were removed that a replica at this position has not applied.
    pub fn lacks_next(&self, at: Position) -> bool {
        self.first > at.sequence + 1
    }

    /// Whether a replica at this position may continue.
    ///
    /// # Errors
    /// Why it must stop.
    pub fn check(&self, stream: &str, at: Position) -> Result<(), String> {
        let Position { identity, sequence, .. } = at;
        if self.identity != Some(identity) {
            return Err(format!("the stream {stream} is not the one that this replica has followed"));
        }
        if self.last < sequence {
            let last = self.last;
            return Err(format!("the stream {stream} ends at message {last}, and this replica has applied {sequence}"));
        }
        Ok(())
    }
}

/// The key of the lease in its bucket.
pub(super) const LEASE_KEY: &str = "writer";

/// Asks for the description of a stream.
///
/// # Errors
/// The stream does not exist, or the servers do not answer.
pub(super) async fn describe(
    context: &Context,
    stream: &str,
) -> Result<(jetstream::stream::Stream, Description), String> {
    let found = context.get_stream(stream).await.map_err(|error| {
        let is_absent = matches!(error.kind(), GetStreamErrorKind::JetStream(error)
            if error.error_code() == ErrorCode::STREAM_NOT_FOUND);
        let remedy = if is_absent { "; `taffrail gateway stream create` creates it" } else { "" };
        format!("the stream {stream}: {error}{remedy}")
    })?;
    let description = Description::new(found.cached_info());
    Ok((found, description))
}

/// Logs what is known of the server's version.
pub(super) fn warn(client: &Client) {
    let version = client.server_info().version;
    let (major, minor, patch) = TESTED;
    if !client.is_server_compatible(major, minor, patch) {
        tracing::warn!("the NATS server has version {version}; {major}.{minor} and newer are tested");
    }
}

/// The settings of a stream that differ from those of [`super::admin::create`] in a way that may lose, remove or refuse messages.
fn warnings(config: &Config) -> Vec<String> {
    let subjects = [subject(&config.name)];
    let limit = |name: &str, value: i64| (value > 0).then(|| format!("{name}: expected -1, found {value}"));
    let differs = |differs: bool, text: &str| differs.then(|| text.to_owned());
    let age = config.max_age;
    let warnings = [
        (config.num_replicas < 3).then(|| {
            format!("replicas: expected 3, which survive the loss of one server, found {}", config.num_replicas)
        }),
        differs(config.storage != StorageType::File, "storage: expected file, found memory"),
        (config.retention != RetentionPolicy::Limits)
            .then(|| format!("retention: expected limits, found {:?}", config.retention).to_lowercase()),
        (config.subjects != subjects).then(|| format!("subjects: expected {subjects:?}, found {:?}", config.subjects)),
        limit("max_msgs", config.max_messages),
        limit("max_msgs_per_subject", config.max_messages_per_subject),
        limit("max_bytes", config.max_bytes),
        limit("max_msg_size", config.max_message_size.into()),
        limit("max_consumers", config.max_consumers.into()),
        (!age.is_zero()).then(|| format!("max_age: expected 0, found {}", humantime::format_duration(age))),
        differs(config.no_ack, "no_ack: expected false, found true"),
        differs(config.sealed, "sealed: expected false, found true"),
        differs(config.deny_purge, "deny_purge: expected false, found true"),
        differs(config.mirror.is_some() || config.sources.is_some(), "sources: expected none, found others"),
    ];
    warnings.into_iter().flatten().collect()
}

/// Whether a subject with wildcards covers this one.
fn matches(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some(part), Some(found)) if part == "*" || part == found => {}
            _ => return false,
        }
    }
}

/// Whether the servers accept messages of the size that is needed.
pub(super) fn check_size(client: &Client) -> Result<(), String> {
    let max = client.server_info().max_payload;
    match max >= MAX_MESSAGE + HEADERS {
        true => Ok(()),
        false => Err(format!("the NATS servers have max_payload {max}; set it to 1MB")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created() -> Config {
        Config { name: "s".to_owned(), subjects: vec![subject("s")], num_replicas: 3, ..Config::default() }
    }

    #[test]
    fn settings_that_lose_messages_are_named() {
        assert_eq!(warnings(&Config { max_messages: -1, max_bytes: -1, ..created() }), [""; 0]);
        for (config, expected) in [
            (Config { storage: StorageType::Memory, ..created() }, "storage: expected file, found memory"),
            (
                Config { retention: RetentionPolicy::WorkQueue, ..created() },
                "retention: expected limits, found workqueue",
            ),
            (Config { max_messages: 5, ..created() }, "max_msgs: expected -1, found 5"),
            (Config { max_age: std::time::Duration::from_secs(3600), ..created() }, "max_age: expected 0, found 1h"),
            (
                Config { num_replicas: 1, ..created() },
                "replicas: expected 3, which survive the loss of one server, found 1",
            ),
            (
                Config { subjects: vec!["s.>".to_owned()], ..created() },
                "subjects: expected [\"s.records\"], found [\"s.>\"]",
            ),
            (Config { sealed: true, ..created() }, "sealed: expected false, found true"),
        ] {
            assert_eq!(warnings(&config), [expected]);
        }
    }

    #[test]
    fn wildcards_match_parts_of_subjects() {
        for (pattern, expected) in [
            ("s.replicas", true),
            ("s.*", true),
            ("s.>", true),
            (">", true),
            ("s.records", false),
            ("s", false),
            ("s.replicas.>", false),
            ("*.*.*", false),
        ] {
            assert_eq!(matches(pattern, "s.replicas"), expected, "{pattern}");
        }
    }
}
