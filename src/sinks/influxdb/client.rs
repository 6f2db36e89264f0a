//! Writes to InfluxDB.

use reqwest::{RequestBuilder, Url, header};

use super::destination::Destination;
use super::routing;
use super::settings::Settings;
use crate::encode::lines::Lines;
use crate::sinks::form::OWN_FORMAT;
use crate::sinks::http::{self, ClientError, Response, Server, Servers};
use crate::sinks::kind::{Client, WriteFuture};
use crate::sinks::verdict::Verdict;

/// Sends batches to the servers of one sink.
pub(super) struct InfluxDbClient {
    servers: Servers,
    settings: Settings,
}

impl Client for InfluxDbClient {
    fn write<'a>(&'a mut self, lines: &'a Lines) -> WriteFuture<'a> {
        Box::pin(self.send_first(lines))
    }
}

impl InfluxDbClient {
    pub(super) fn new(settings: &Settings) -> Result<Self, ClientError> {
        let servers = Servers::new(&settings.http, &settings.urls)?;
        Ok(InfluxDbClient { servers, settings: settings.clone() })
    }

    /// Sends the leading points that share a destination.
    async fn send_first(&mut self, lines: &Lines) -> (usize, Verdict) {
        let settings = &self.settings;
        let is_routed = settings.routing.is_some() || lines.iter().any(|record| record.starts_with(&[OWN_FORMAT]));
        let run = is_routed.then(|| routing::first_run(lines, settings.routing.as_ref(), &settings.destination));
        let (count, target, body) = match &run {
            None => (lines.count(), &settings.destination, lines.bytes()),
            Some(routing::Run { count, destination, body }) => (*count, destination, body.as_slice()),
        };
        let body = if settings.gzip { http::gzip(body) } else { body.to_vec() };
        let mut verdict = Verdict::later("there is no server");
        for server in self.servers.in_order() {
            verdict = write(settings.gzip, target, &server, body.clone()).await;
            if self.servers.is_final(&server, &verdict, count) {
                break;
            }
        }
        (count, verdict)
    }
}

async fn write(is_gzip: bool, target: &Destination, Server { client, url, .. }: &Server, body: Vec<u8>) -> Verdict {
    let (client, url) = (client.client().await, target.write_url(url));
    let mut request = client.post(url.clone()).header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
    if is_gzip {
        request = request.header(header::CONTENT_ENCODING, "gzip");
    }
    let response = match http::send(authorized(target, request).body(body), http::MESSAGE).await {
        Ok(response) => response,
        Err(verdict) => return verdict,
    };
    let is_unknown = response.status == 404 && response.body.contains("database not found");
    if is_unknown && create_database(target, &client, &url).await {
        return Verdict::later("the database was created");
    }
    Verdict::of_influxdb(&response)
}

fn authorized(target: &Destination, request: RequestBuilder) -> RequestBuilder {
    match target {
        Destination::Database { user: Some((name, password)), .. } => request.basic_auth(name, Some(password.reveal())),
        Destination::Bucket { token: Some(token), .. } => {
            request.header(header::AUTHORIZATION, format!("Token {}", token.reveal()))
        }
        Destination::Table { token: Some(token), .. } => request.bearer_auth(token.reveal()),
        _ => request,
    }
}

/// Creates the database if the settings say so. Returns whether it exists now.
async fn create_database(target: &Destination, client: &reqwest::Client, write_url: &Url) -> bool {
    let Destination::Database { database, is_created: true, .. } = target else { return false };
    let mut url = write_url.clone();
    url.set_path(&format!("{}query", write_url.path().trim_end_matches("write")));
    let name = database.replace('\\', "\\\\").replace('"', "\\\"");
    url.query_pairs_mut().clear().append_pair("q", &format!("CREATE DATABASE \"{name}\""));
    let response = http::send(authorized(target, client.post(url)), http::MESSAGE).await;
    let is_done = |response: Response| {
        response.status == 200 && response.object().is_some_and(|object| !object.contains_key("error"))
    };
    let exists = response.is_ok_and(is_done);
    if exists {
        tracing::info!("the database {database} was created");
    }
    exists
}
