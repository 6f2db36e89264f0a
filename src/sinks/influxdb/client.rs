//! The requests.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::{Client, RequestBuilder, Url, header};

use super::settings::{Settings, Target};
use crate::sinks::answer::Answer;
use crate::sinks::http::{self, Answered, ClientError};

/// Sends batches to the servers of one sink.
pub(in crate::sinks) struct Connection {
    /// Clients with the URLs that they write to.
    servers: Vec<(Client, Url)>,
    /// The server that is tried first: the last one that answered.
    preferred: usize,
    target: Target,
    gzip: bool,
}

impl Connection {
    pub(in crate::sinks) fn new(settings: &Settings) -> Result<Self, ClientError> {
        let server = |url: &Url| Ok((settings.http.client(url)?, settings.target.write_url(url)));
        let servers = settings.urls.iter().map(server).collect::<Result<_, _>>()?;
        Ok(Connection { servers, preferred: 0, target: settings.target.clone(), gzip: settings.gzip })
    }

    /// Sends `body`; when a server does not answer, to the next one.
    pub(in crate::sinks) async fn write(&mut self, body: &[u8]) -> Answer {
        let body = if self.gzip { gzip(body) } else { body.to_vec() };
        let mut last = Answer::later("there is no server");
        for attempt in 0..self.servers.len() {
            let index = (self.preferred + attempt) % self.servers.len();
            last = self.write_to(&self.servers[index], body.clone()).await;
            if !matches!(last, Answer::Later { .. }) {
                self.preferred = index;
                break;
            }
        }
        last
    }

    async fn write_to(&self, (client, url): &(Client, Url), body: Vec<u8>) -> Answer {
        let mut request = client.post(url.clone()).header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
        if self.gzip {
            request = request.header(header::CONTENT_ENCODING, "gzip");
        }
        let Answered { status, retry_after, body } = match http::send(self.authorized(request).body(body)).await {
            Ok(answered) => answered,
            Err(answer) => return answer,
        };
        let answer = Answer::of_influxdb(status, retry_after.as_deref(), &body);
        if status == 404 && body.contains("database not found") && self.create_database(client, url).await {
            return Answer::later("the database was created");
        }
        answer
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.target {
            Target::Database { user: Some((name, password)), .. } => request.basic_auth(name, Some(password.reveal())),
            Target::Bucket { token: Some(token), .. } => {
                request.header(header::AUTHORIZATION, format!("Token {}", token.reveal()))
            }
            Target::Table { token: Some(token), .. } => request.bearer_auth(token.reveal()),
            _ => request,
        }
    }

    /// Creates the database, where that was asked for, and says whether it is there now.
    async fn create_database(&self, client: &Client, write_url: &Url) -> bool {
        let Target::Database { database, is_created: true, .. } = &self.target else { return false };
        let mut url = write_url.clone();
        url.set_path(&format!("{}query", write_url.path().trim_end_matches("write")));
        let name = database.replace('\\', "\\\\").replace('"', "\\\"");
        url.query_pairs_mut().clear().append_pair("q", &format!("CREATE DATABASE \"{name}\""));
        let answer = self.authorized(client.post(url)).send().await;
        let is_there = answer.is_ok_and(|answer| answer.status().is_success());
        if is_there {
            tracing::info!("the database {database} was created");
        }
        is_there
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    let written = encoder.write_all(body).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}
