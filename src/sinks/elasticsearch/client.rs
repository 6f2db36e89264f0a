//! The requests.

use std::collections::{HashMap, HashSet};

use reqwest::{Client, Method, RequestBuilder, StatusCode, Url, header};

use super::answer::{Outcome, outcomes};
use super::document::{self, Id};
use super::settings::Settings;
use super::template;
use crate::client;
use crate::encode::point::Lines;
use crate::sinks::answer::Answer;
use crate::sinks::http::{self, Answered, ClientError, Server, Servers};

/// Sends points to the servers of one sink.
pub(in crate::sinks) struct Connection {
    servers: Servers,
    settings: Settings,
    has_template: bool,
    /// What became of points of a batch that is not done with as a whole.
    settled: HashMap<Id, Settled>,
}

#[derive(Clone, Debug)]
enum Settled {
    Stored,
    Rejected(String),
}

/// A server, and the client that it is asked by now.
struct To {
    client: Client,
    url: Url,
}

/// What an answer tells of each point is some 200 bytes; of as many points as a batch may have, it is not more than this.
const MOST: usize = 64 << 20;

impl Connection {
    pub(in crate::sinks) fn new(settings: &Settings) -> Result<Self, ClientError> {
        Ok(Connection {
            servers: Servers::new(&settings.http, &settings.urls)?,
            has_template: !settings.manages_template,
            settings: settings.clone(),
            settled: HashMap::new(),
        })
    }

    /// Sends those of the points that the servers do not have yet.
    pub(in crate::sinks) async fn write(&mut self, lines: &Lines) -> Answer {
        let ids: Vec<Id> = lines.iter().map(document::id).collect();
        if !self.settled.is_empty() {
            // A batch that was not done with may never come again.
            let wanted: HashSet<&Id> = ids.iter().collect();
            self.settled.retain(|id, _| wanted.contains(id));
        }
        let (mut body, mut sent) = (Vec::new(), Vec::new());
        for (id, point) in ids.iter().zip(lines.iter()) {
            if self.settled.contains_key(id) {
                continue;
            }
            if document::push(&mut body, id, point) {
                sent.push(*id);
            } else {
                self.settled.insert(*id, Settled::Rejected("it is no point".to_owned()));
            }
        }
        if !sent.is_empty() {
            let again = match self.ask(&http::gzip(&body), sent.len()).await {
                Ok(outcomes) => self.learn(&sent, outcomes),
                Err(answer) => return answer,
            };
            if let Some(answer) = again {
                return answer;
            }
        }
        self.done_with(&ids)
    }

    /// Keeps what became of points, and says why some have to be sent again, if they have.
    fn learn(&mut self, sent: &[Id], outcomes: Vec<Outcome>) -> Option<Answer> {
        let (mut later, mut refused) = (None, None);
        for (id, outcome) in sent.iter().zip(outcomes) {
            match outcome {
                Outcome::Stored => drop(self.settled.insert(*id, Settled::Stored)),
                Outcome::Rejected(reason) => drop(self.settled.insert(*id, Settled::Rejected(reason))),
                Outcome::Later(reason) => later = Some(Answer::later(&reason)),
                Outcome::Refused(message) => refused = Some(Answer::Refused { message }),
            }
        }
        later.or(refused)
    }

    fn done_with(&mut self, ids: &[Id]) -> Answer {
        let (mut dropped, mut message) = (0, String::new());
        for id in ids {
            if let Some(Settled::Rejected(reason)) = self.settled.remove(id) {
                dropped += 1;
                message = reason;
            }
        }
        match dropped {
            0 => Answer::Delivered,
            _ => Answer::Partial { dropped: Some(dropped), message },
        }
    }

    /// What becomes of so many points, which are in `body`.
    async fn ask(&mut self, body: &[u8], count: usize) -> Result<Vec<Outcome>, Answer> {
        let mut failed = Answer::later("there is no server");
        for server in self.servers.in_turn() {
            match self.ask_one(&server, body, count).await {
                Ok(outcomes) => {
                    self.servers.prefer(&server);
                    return Ok(outcomes);
                }
                Err(answer) => failed = answer,
            }
            if self.servers.has_answered(&server, &failed) {
                break;
            }
        }
        Err(failed)
    }

    async fn ask_one(&mut self, server: &Server, body: &[u8], count: usize) -> Result<Vec<Outcome>, Answer> {
        let to = To { client: server.client.client().await, url: server.url.clone() };
        if !self.has_template {
            self.install_template(&to).await?;
            self.has_template = true;
        }
        let path = format!("{}/_bulk", self.settings.data_stream);
        let request = self
            .request(&to, Method::POST, &path, Some("filter_path=errors,items.*.status,items.*.error"))
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .header(header::CONTENT_ENCODING, "gzip");
        outcomes(&http::send(request.body(body.to_vec()), MOST).await?, count)
    }

    /// Sees to it that the server has the index template.
    async fn install_template(&self, server: &To) -> Result<(), Answer> {
        let name = &self.settings.data_stream;
        let path = format!("_index_template/{name}");
        let known = http::send(self.request(server, Method::GET, &path, None), http::MESSAGE).await?;
        let is_wanted = match known.status {
            404 => true,
            200 => template::is_to_be_replaced(&known.body),
            _ => return Err(refused_template(&known)),
        };
        if is_wanted {
            let body = template::template(name).to_string();
            let request =
                self.request(server, Method::PUT, &path, None).header(header::CONTENT_TYPE, "application/json");
            let answered = http::send(request.body(body), http::MESSAGE).await?;
            if answered.status != StatusCode::OK {
                return Err(refused_template(&answered));
            }
            tracing::info!("the index template {name} was installed at {}", client::place(&server.url));
        }
        Ok(())
    }

    fn request(&self, server: &To, method: Method, path: &str, query: Option<&str>) -> RequestBuilder {
        let mut url: Url = http::base(&server.url);
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        url.set_query(query);
        let request = server.client.request(method, url);
        match (&self.settings.user, &self.settings.api_key) {
            (Some((name, password)), _) => request.basic_auth(name, Some(password.reveal())),
            (None, Some(key)) => request.header(header::AUTHORIZATION, format!("ApiKey {}", key.reveal())),
            (None, None) => request,
        }
    }
}

fn refused_template(answered: &Answered) -> Answer {
    match answered.status {
        408 | 429 | 500..=599 => Answer::later(&answered.message()),
        _ => Answer::Refused {
            message: format!(
                "the index template cannot be installed, which manage_template = false leaves to others: {}",
                answered.message()
            ),
        },
    }
}
