//! The requests.

use reqwest::{Client, RequestBuilder, Url, header};

use super::routing;
use super::settings::{Settings, Target};
use crate::encode::point::Lines;
use crate::sinks::answer::Answer;
use crate::sinks::http::{self, Answered, ClientError, Server, Servers};

/// Sends batches to the servers of one sink.
pub(in crate::sinks) struct Connection {
    servers: Servers,
    settings: Settings,
}

impl Connection {
    pub(in crate::sinks) fn new(settings: &Settings) -> Result<Self, ClientError> {
        let servers = Servers::new(&settings.http, &settings.urls)?;
        Ok(Connection { servers, settings: settings.clone() })
    }

    /// Sends points, or as many of the first as go to one place, and says how many the answer is about.
    pub(in crate::sinks) async fn write(&mut self, lines: &Lines) -> (usize, Answer) {
        let settings = &self.settings;
        let routed = settings.routing.as_ref().map(|routing| routing.first_run(lines, &settings.target));
        let (count, target, body) = match &routed {
            None => (lines.count(), &settings.target, lines.bytes()),
            Some(routing::Run { count, target, body }) => (*count, target, body.as_slice()),
        };
        let body = if settings.gzip { http::gzip(body) } else { body.to_vec() };
        let mut answer = Answer::later("there is no server");
        for server in self.servers.in_turn() {
            answer = write(settings.gzip, target, &server, body.clone()).await;
            if self.servers.has_answered(&server, &answer) {
                break;
            }
        }
        (count, answer)
    }
}

async fn write(is_gzip: bool, target: &Target, Server { client, url, .. }: &Server, body: Vec<u8>) -> Answer {
    let (client, url) = (client.client().await, target.write_url(url));
    let mut request = client.post(url.clone()).header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
    if is_gzip {
        request = request.header(header::CONTENT_ENCODING, "gzip");
    }
    let answered = match http::send(authorized(target, request).body(body), http::MESSAGE).await {
        Ok(answered) => answered,
        Err(answer) => return answer,
    };
    let is_unknown = answered.status == 404 && answered.body.contains("database not found");
    if is_unknown && create_database(target, &client, &url).await {
        return Answer::later("the database was created");
    }
    Answer::of_influxdb(&answered)
}

fn authorized(target: &Target, request: RequestBuilder) -> RequestBuilder {
    match target {
        Target::Database { user: Some((name, password)), .. } => request.basic_auth(name, Some(password.reveal())),
        Target::Bucket { token: Some(token), .. } => {
            request.header(header::AUTHORIZATION, format!("Token {}", token.reveal()))
        }
        Target::Table { token: Some(token), .. } => request.bearer_auth(token.reveal()),
        _ => request,
    }
}

/// Creates the database, where that was asked for, and says whether it is there now.
async fn create_database(target: &Target, client: &Client, write_url: &Url) -> bool {
    let Target::Database { database, is_created: true, .. } = target else { return false };
    let mut url = write_url.clone();
    url.set_path(&format!("{}query", write_url.path().trim_end_matches("write")));
    let name = database.replace('\\', "\\\\").replace('"', "\\\"");
    url.query_pairs_mut().clear().append_pair("q", &format!("CREATE DATABASE \"{name}\""));
    let answer = http::send(authorized(target, client.post(url)), http::MESSAGE).await;
    let is_done =
        |answer: Answered| answer.status == 200 && answer.object().is_some_and(|told| !told.contains_key("error"));
    let is_there = answer.is_ok_and(is_done);
    if is_there {
        tracing::info!("the database {database} was created");
    }
    is_there
}
