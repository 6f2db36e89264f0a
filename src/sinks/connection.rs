//! What sends to a sink's target.

use super::answer::Answer;
#[cfg(feature = "cloudwatch")]
use super::cloudwatch;
use super::http::ClientError;
use super::named_files::NamedFiles;
use super::remote_write;
use super::settings::{Settings, Target};
use super::{elasticsearch, file, influxdb};
use crate::encode::point::Lines;

/// A sink that can be started: its settings, and what they ask for that takes its time, since files are read for it.
pub struct Prepared {
    /// Its settings.
    pub settings: Settings,
    pub(super) connection: Connection,
    /// The files as they were when the connection was made.
    pub(super) files: NamedFiles,
}

impl Prepared {
    /// Makes what `settings` ask for. This waits for files, though not for ever.
    ///
    /// # Errors
    /// That its TLS settings cannot be used.
    pub fn new(settings: Settings) -> Result<Prepared, ClientError> {
        // Looked at first: what changes meanwhile is found to have changed.
        let files = NamedFiles::read(settings.files());
        let connection = Connection::new(&settings)?;
        Ok(Prepared { settings, connection, files })
    }
}

/// What sends to a sink's target.
pub(super) enum Connection {
    InfluxDb(influxdb::Connection),
    RemoteWrite(remote_write::Connection),
    Elasticsearch(elasticsearch::Connection),
    File(file::Connection),
    #[cfg(feature = "cloudwatch")]
    CloudWatch(Box<cloudwatch::Connection>),
}

impl Connection {
    pub(super) fn new(settings: &Settings) -> Result<Connection, ClientError> {
        Ok(match &settings.target {
            Target::InfluxDb(settings) => Connection::InfluxDb(influxdb::Connection::new(settings)?),
            Target::RemoteWrite(settings) => Connection::RemoteWrite(remote_write::Connection::new(settings)?),
            Target::Elasticsearch(settings) => Connection::Elasticsearch(elasticsearch::Connection::new(settings)?),
            Target::File(settings) => Connection::File(file::Connection::new(settings)),
            #[cfg(feature = "cloudwatch")]
            Target::CloudWatch(settings) => Connection::CloudWatch(Box::new(cloudwatch::Connection::new(settings))),
        })
    }

    /// Sends points, or as many of the first as go into one request, and says how many the answer is about.
    pub(super) async fn write(&mut self, lines: &Lines) -> (usize, Answer) {
        match self {
            Connection::InfluxDb(connection) => connection.write(lines).await,
            Connection::RemoteWrite(connection) => connection.write(lines).await,
            Connection::Elasticsearch(connection) => (lines.count(), connection.write(lines).await),
            Connection::File(connection) => (lines.count(), connection.write(lines).await),
            #[cfg(feature = "cloudwatch")]
            Connection::CloudWatch(connection) => connection.write(lines).await,
        }
    }
}
