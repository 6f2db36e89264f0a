//! Creating, describing and restoring the stream.

use std::path::Path;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::context::{
    CreateStreamError, CreateStreamErrorKind, DeleteStreamError, DeleteStreamErrorKind,
};
use async_nats::jetstream::{self, Context, ErrorCode, kv, stream};

use super::announcements;
use super::connection::{self, Description, ID, LEASE_KEY, bucket, subject};
use super::loading;
use super::monitoring;
use crate::gateway::groups::position::Position;
use crate::gateway::groups::record;
use crate::gateway::persistence::group_store::GroupStore;
use crate::gateway::replication::decided::Decided;
use crate::gateway::replication::durability::Durability;
use crate::gateway::replication::message::{Content, HEADER_BYTES, MAX_MESSAGE, Message};
use crate::gateway::replication::peers::{Announcement, Peer};
use crate::gateway::replication::settings::Settings;
use crate::nats::connection::{Connection, connect};

/// How long the servers remember the ids of messages.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// What to do with a stream whose creation or restoration was interrupted: it has no bucket.
pub(super) const INCOMPLETE: &str = "; if nobody is creating or restoring it, it is incomplete: create it again with \
     `taffrail gateway stream create --replace --from DIRECTORY`";

/// Attempts to create something: the first request to a new cluster may time out.
const ATTEMPTS: usize = 10;

/// Creates the stream and the bucket of the lease, on this number of servers, with the groups in `from`. Returns the description
/// of the stream, and the number of groups.
///
/// Replicas wait for the bucket, so that none of them writes before the groups are in the stream. With `replaces`, an existing
/// stream is deleted, once the directory has been read.
///
/// # Errors
/// It exists, or a replica that uses it is running; the directory cannot be read, or the servers refuse.
pub async fn create(
    settings: &Settings,
    replicas: usize,
    from: Option<&Path>,
    replaces: bool,
) -> Result<(Description, usize), String> {
    // Before the stream exists: it is not to be left without its groups.
    let groups = match from {
        Some(directory) => read(directory).await?,
        None => Groups::default(),
    };
    let connection = connect(&settings.nats, &settings.name).await?;
    let context = &connection.context;
    if replaces {
        delete(&connection, &settings.stream).await?;
    }
    let description = create_stream(&connection, &settings.stream, replicas).await.map_err(|error| match replaces {
        true => format!("{error}; the old stream is deleted: repeat the command with what the servers can do"),
        false => error,
    })?;
    groups.publish(context, settings, &description).await.map_err(|error| connection.explain(error))?;
    let bucket = create_bucket(context, &settings.stream, replicas).await;
    bucket.map_err(|error| connection.explain(error))?;
    Ok((description, groups.number))
}

/// Deletes the stream and the bucket, if they exist and no replica is running.
async fn delete(connection: &Connection, name: &str) -> Result<(), String> {
    // Also waits for a connection: without one, no replica would be heard.
    describe(connection, name).await.map(drop).or_else(|error| match connection.client.connection_state() {
        State::Connected => Ok(()),
        _ => Err(error),
    })?;
    delete_bucket(connection, name).await?;
    delete_stream(&connection.context, name).await
}

/// Deletes the bucket, if it exists and no replica is running. Replicas wait for it: without it, the stream is not complete.
async fn delete_bucket(connection: &Connection, name: &str) -> Result<(), String> {
    if let Some(peer) = announcements::listen(&connection.client, name).await?.first() {
        let Announcement { name, url, .. } = &peer.announced;
        return Err(format!("the replica {name} at {url} is running; stop all replicas first"));
    }
    delete_stream(&connection.context, &format!("KV_{}", bucket(name))).await
}

async fn delete_stream(context: &Context, stream: &str) -> Result<(), String> {
    let is_absent = |error: &DeleteStreamError| match error.kind() {
        DeleteStreamErrorKind::JetStream(error) => error.error_code() == ErrorCode::STREAM_NOT_FOUND,
        _ => false,
    };
    match context.delete_stream(stream).await {
        Err(error) if !is_absent(&error) => Err(format!("the stream {stream}: {error}")),
        _ => Ok(()),
    }
}

async fn create_stream(connection: &Connection, name: &str, replicas: usize) -> Result<Description, String> {
    let context = &connection.context;
    let id = format!("{:032x}", fastrand::u128(..));
    let config = stream::Config {
        name: name.to_owned(),
        description: Some("Changes of the groups of Taffrail's gateways".to_owned()),
        subjects: vec![subject(name)],
        num_replicas: replicas,
        storage: stream::StorageType::File,
        retention: stream::RetentionPolicy::Limits,
        // Full: refuse new messages, rather than drop old ones.
        discard: stream::DiscardPolicy::New,
        duplicate_window: DUPLICATE_WINDOW,
        deny_delete: true,
        metadata: [(ID.to_owned(), id.clone())].into(),
        ..stream::Config::default()
    };
    let mut result = Err(String::new());
    for _ in 0..ATTEMPTS {
        // A request without an answer may have succeeded: then the stream has this id.
        if let Ok((_, description)) = connection::describe(context, name).await {
            let is_ours = description.identity.is_some_and(|identity| format!("{:032x}", identity.id) == id);
            result = if is_ours { Ok(description) } else { Err(format!("the stream {name} exists already")) };
            break;
        }
        match context.create_stream(config.clone()).await {
            Ok(_) => {}
            Err(error) => {
                let (remedy, is_final) = too_few_servers(&error);
                result = Err(format!("the stream {name}: {error}{remedy}"));
                if is_final {
                    break;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    result.map_err(|error| connection.explain(error))
}

/// What to do if there are fewer servers than are to store the stream, and whether another attempt is in vain.
fn too_few_servers(error: &CreateStreamError) -> (&'static str, bool) {
    let CreateStreamErrorKind::JetStream(error) = error.kind() else { return ("", false) };
    match error.error_code() {
        ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED => (
            "; the NATS server has no cluster: use --replicas 1, with which the stream is on that server only, and is lost \
             with it, or run a cluster of three servers",
            true,
        ),
        // A new cluster may not know all of its servers yet.
        ErrorCode::CLUSTER_NO_PEERS | ErrorCode::INSUFFICIENT_RESOURCES => (
            "; the cluster needs as many running servers with JetStream, and space on their disks, as --replicas says; with \
             --replicas 1, the stream is on one server only, and is lost with it",
            false,
        ),
        _ => ("", false),
    }
}

async fn create_bucket(context: &Context, name: &str, replicas: usize) -> Result<(), String> {
    let mut result = Err(String::new());
    for _ in 0..ATTEMPTS {
        let config = kv::Config {
            bucket: bucket(name),
            description: "The writer of Taffrail's gateways".to_owned(),
            history: 1,
            storage: stream::StorageType::File,
            num_replicas: replicas,
            ..kv::Config::default()
        };
        match context.create_key_value(config).await {
            Ok(_) => return Ok(()),
            Err(error) => result = Err(format!("the bucket {}: {error}", bucket(name))),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    result
}

/// What `taffrail gateway stream status` prints.
#[derive(Debug)]
pub struct Report {
    /// The stream.
    pub stream: Description,
    /// The holder of the lease, by name.
    ///
    /// # Errors
    /// The lease cannot be read.
    pub writer: Result<Option<String>, String>,
    /// The replicas that are running and reach the servers.
    pub replicas: Vec<Peer>,
    /// Which servers sync each message.
    pub durability: Durability,
}

/// Describes the stream, its servers and its replicas.
///
/// # Errors
/// It does not exist, or the servers do not answer.
pub async fn status(settings: &Settings) -> Result<Report, String> {
    let connection = connect(&settings.nats, &settings.name).await?;
    let Connection { client, context, .. } = &connection;
    let mut stream = describe(&connection, &settings.stream).await?;
    stream.warnings.extend(loading::Removed::default().warning(context, &settings.stream, &stream).await);
    let bucket = bucket(&settings.stream);
    let writer =
        writer(context, &bucket).await.map_err(|error| connection.explain(format!("the bucket {bucket}: {error}")));
    let replicas = announcements::listen(client, &settings.stream).await?;
    let durability = monitoring::check(&settings.nats, &stream.servers(client)).await;
    Ok(Report { stream, writer, replicas, durability })
}

/// The holder of the lease in a bucket, by name.
async fn writer(context: &Context, bucket: &str) -> Result<Option<String>, String> {
    let store = context.get_key_value(bucket).await.map_err(|error| error.to_string())?;
    let value = store.get(LEASE_KEY).await.map_err(|error| error.to_string())?;
    let holder = value.and_then(|value| serde_json::from_slice::<serde_json::Value>(&value).ok());
    Ok(holder.and_then(|holder| holder["name"].as_str().map(str::to_owned)))
}

/// Describes the stream, when there is a connection.
async fn describe(connection: &Connection, stream: &str) -> Result<Description, String> {
    let mut found = connection::describe(&connection.context, stream).await;
    for _ in 1..ATTEMPTS {
        if found.is_err() && connection.client.connection_state() != State::Connected {
            tokio::time::sleep(Duration::from_millis(200)).await;
            found = connection::describe(&connection.context, stream).await;
        }
    }
    found.map(|(_, description)| description).map_err(|error| connection.explain(error))
}

/// Puts the groups in `directory` into the stream, which must be empty; returns their number. The directory is only read: a
/// replica starts with an empty one.
///
/// # Errors
/// The directory cannot be read, the stream has messages, or the servers refuse.
pub async fn restore(settings: &Settings, directory: &Path) -> Result<usize, String> {
    let connection = connect(&settings.nats, &settings.name).await?;
    let context = &connection.context;
    let description = describe(&connection, &settings.stream).await?;
    let name = &settings.stream;
    if description.last > 0 {
        let remedy = match context.get_key_value(bucket(name)).await {
            Ok(_) => "",
            Err(_) => INCOMPLETE,
        };
        return Err(format!("the stream {name} has messages already{remedy}"));
    }
    let groups = read(directory).await?;
    // Created again at the end: no replica takes a part of the groups for all of them.
    delete_bucket(&connection, name).await?;
    groups.publish(context, settings, &description).await.map_err(|error| format!("{error}{INCOMPLETE}"))?;
    create_bucket(context, name, description.replicas).await.map_err(|error| connection.explain(error))?;
    Ok(groups.number)
}

/// The groups in a directory, as records.
#[derive(Default)]
struct Groups {
    number: usize,
    batches: Vec<Vec<u8>>,
}

async fn read(directory: &Path) -> Result<Groups, String> {
    // Opening would make a directory, and files in it.
    if !GroupStore::is_at(directory).map_err(|error| format!("{}: {error}", directory.display()))? {
        return Err(format!("{}: expected the directory of a gateway, found no groups in it", directory.display()));
    }
    let store = GroupStore::open(Some(directory)).map_err(|error| error.to_string())?;
    let mut batches = vec![Vec::new()];
    store.records(&mut |bytes| {
        let full = |batch: &Vec<u8>| !batch.is_empty() && batch.len() + bytes.len() + 4 > MAX_MESSAGE - HEADER_BYTES;
        if batches.last().is_some_and(full) {
            batches.push(Vec::new());
        }
        // The length was checked when the record was encoded.
        batches.last_mut().into_iter().for_each(|batch| _ = record::push_to_batch(batch, bytes));
    })?;
    let number = store.read(crate::gateway::groups::state::State::groups);
    store.close_and_wait().await;
    Ok(Groups { number, batches })
}

impl Groups {
    /// Puts them into the stream, which is empty.
    async fn publish(&self, context: &Context, settings: &Settings, stream: &Description) -> Result<(), String> {
        if self.batches.is_empty() {
            return Ok(());
        }
        let identity = stream.identity.ok_or("another program created the stream")?;
        let mut written = Decided::new(Position::start(identity));
        publish(context, settings, &mut written, fastrand::u128(..), Content::Claim(&settings.name)).await?;
        for batch in &self.batches {
            let parts = batch.chunks(MAX_MESSAGE - HEADER_BYTES);
            let (id, count) = (fastrand::u128(..), parts.len() as u32);
            for (part, payload) in (0..).zip(parts) {
                publish(context, settings, &mut written, id, Content::Batch { part, parts: count, payload }).await?;
            }
        }
        Ok(())
    }
}

async fn publish(
    context: &Context,
    settings: &Settings,
    written: &mut Decided,
    id: u128,
    content: Content<'_>,
) -> Result<(), String> {
    let Position { sequence: expected, claim, chain, .. } = written.position();
    let epoch = if matches!(content, Content::Claim(_)) { 0 } else { claim };
    let payload = bytes::Bytes::from(Message { id, epoch, expected, chain, content }.encode());
    let mut result = Err(String::new());
    for _ in 0..ATTEMPTS {
        let publish = jetstream::message::PublishMessage::build()
            .payload(payload.clone())
            .message_id(format!("{id:032x}-{expected}"))
            .expected_last_sequence(expected);
        let sent = context.send_publish(subject(&settings.stream), publish).await;
        let stored = match sent {
            Ok(acknowledgement) => acknowledgement.await,
            Err(error) => Err(error),
        };
        match stored {
            Ok(stored) if stored.sequence == expected + 1 => {
                return written.read(stored.sequence, &payload).map(drop).map_err(|violation| violation.to_string());
            }
            Ok(stored) => return Err(format!("message {} of the stream was not expected", stored.sequence)),
            Err(error) => result = Err(error.to_string()),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    result
}
