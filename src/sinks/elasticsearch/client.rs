//! Writes to Elasticsearch.

use std::collections::{HashMap, HashSet};

use reqwest::{Method, RequestBuilder, StatusCode, Url, header};

use super::document::{Document, Id};
use super::response::{Outcome, outcomes};
use super::settings::Settings;
use super::template;
use crate::client;
use crate::encode::lines::Lines;
use crate::sinks::http::{self, ClientError, Response, Server, Servers};
use crate::sinks::kind::{Client, WriteFuture};
use crate::sinks::verdict::Verdict;

/// Sends points to the servers of one sink.
pub(super) struct ElasticsearchClient {
    servers: Servers,
    settings: Settings,
    has_template: bool,
    /// The results of the points of an incomplete batch.
    resolved: HashMap<Id, Resolved>,
}

#[derive(Clone, Debug)]
enum Resolved {
    Stored,
    Rejected(String),
}

/// A server, and the current client for it.
struct Endpoint {
    client: reqwest::Client,
    url: Url,
}

/// Limit of a response, in bytes. It has some 200 bytes for each point.
const MAX_RESPONSE: usize = 64 << 20;

impl Client for ElasticsearchClient {
    fn write<'a>(&'a mut self, lines: &'a Lines) -> WriteFuture<'a> {
        Box::pin(async move { (lines.count(), self.send_all(lines).await) })
    }
}

impl ElasticsearchClient {
    pub(super) fn new(settings: &Settings) -> Result<Self, ClientError> {
        Ok(ElasticsearchClient {
            servers: Servers::new(&settings.http, &settings.urls)?,
            has_template: !settings.manages_template,
            settings: settings.clone(),
            resolved: HashMap::new(),
        })
    }

    /// Sends the points that the servers do not have yet.
    async fn send_all(&mut self, lines: &Lines) -> Verdict {
        let documents: Vec<Document<'_>> = lines.iter().map(Document::new).collect();
        let ids: Vec<Id> = documents.iter().map(|document| document.id).collect();
        if !self.resolved.is_empty() {
            // An incomplete batch may never be sent again.
            let wanted: HashSet<&Id> = ids.iter().collect();
            self.resolved.retain(|id, _| wanted.contains(id));
        }
        let (mut body, mut sent) = (Vec::new(), Vec::new());
        for document in &documents {
            if self.resolved.contains_key(&document.id) {
                continue;
            }
            if document.push(&mut body) {
                sent.push(document.id);
            } else {
                self.resolved.insert(document.id, Resolved::Rejected("it is no point".to_owned()));
            }
        }
        if !sent.is_empty() {
            let retry = match self.bulk(&http::gzip(&body), sent.len()).await {
                Ok(outcomes) => self.record(&sent, outcomes),
                Err(verdict) => return verdict,
            };
            if let Some(verdict) = retry {
                return verdict;
            }
        }
        self.complete(&ids)
    }

    /// Records the results of points. Returns why some have to be retried, if any.
    fn record(&mut self, sent: &[Id], outcomes: Vec<Outcome>) -> Option<Verdict> {
        let (mut later, mut refused) = (None, None);
        for (id, outcome) in sent.iter().zip(outcomes) {
            match outcome {
                Outcome::Stored => drop(self.resolved.insert(*id, Resolved::Stored)),
                Outcome::Rejected(reason) => drop(self.resolved.insert(*id, Resolved::Rejected(reason))),
                Outcome::Later(reason) => later = Some(Verdict::later(&reason)),
                Outcome::Refused(message) => refused = Some(Verdict::Refused { message }),
            }
        }
        later.or(refused)
    }

    fn complete(&mut self, ids: &[Id]) -> Verdict {
        let (mut dropped, mut message) = (0, String::new());
        for id in ids {
            if let Some(Resolved::Rejected(reason)) = self.resolved.remove(id) {
                dropped += 1;
                message = reason;
            }
        }
        match dropped {
            0 => Verdict::Delivered,
            _ => Verdict::Partial { dropped: Some(dropped), message },
        }
    }

    /// Sends the `count` points in `body` to the first server that responds.
    async fn bulk(&mut self, body: &[u8], count: usize) -> Result<Vec<Outcome>, Verdict> {
        let mut failed = Verdict::later("there is no server");
        for server in self.servers.in_order() {
            match self.bulk_at(&server, body, count).await {
                Ok(outcomes) => {
                    self.servers.prefer(&server);
                    return Ok(outcomes);
                }
                Err(verdict) => failed = verdict,
            }
            if self.servers.is_final(&server, &failed, count) {
                break;
            }
        }
        Err(failed)
    }

    async fn bulk_at(&mut self, server: &Server, body: &[u8], count: usize) -> Result<Vec<Outcome>, Verdict> {
        let to = Endpoint { client: server.client.client().await, url: server.url.clone() };
        if !self.has_template {
            self.install_template(&to).await?;
            self.has_template = true;
        }
        let path = format!("{}/_bulk", self.settings.data_stream);
        let request = self
            .request(&to, Method::POST, &path, Some("filter_path=errors,items.*.status,items.*.error"))
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .header(header::CONTENT_ENCODING, "gzip");
        outcomes(&http::send(request.body(body.to_vec()), MAX_RESPONSE).await?, count)
    }

    /// Installs the index template, unless the server has a current one.
    async fn install_template(&self, server: &Endpoint) -> Result<(), Verdict> {
        let name = &self.settings.data_stream;
        let path = format!("_index_template/{name}");
        let known = http::send(self.request(server, Method::GET, &path, None), http::MESSAGE).await?;
        let is_wanted = match known.status {
            404 => true,
            200 => template::is_outdated(&known.body),
            _ => return Err(refused_template(&known)),
        };
        if is_wanted {
            let body = template::template(name).to_string();
            let request =
                self.request(server, Method::PUT, &path, None).header(header::CONTENT_TYPE, "application/json");
            let response = http::send(request.body(body), http::MESSAGE).await?;
            if response.status != StatusCode::OK {
                return Err(refused_template(&response));
            }
            tracing::info!("the index template {name} was installed at {}", client::display_url(&server.url));
        }
        Ok(())
    }

    fn request(&self, server: &Endpoint, method: Method, path: &str, query: Option<&str>) -> RequestBuilder {
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

fn refused_template(response: &Response) -> Verdict {
    match response.status {
        408 | 429 | 500..=599 => Verdict::later(&response.message()),
        _ => Verdict::Refused {
            message: format!(
                "the index template cannot be installed, which manage_template = false leaves to others: {}",
                response.message()
            ),
        },
    }
}
