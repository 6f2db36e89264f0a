//! `[[sinks.elasticsearch]]`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Url;

use crate::client;
use crate::config::{Key, Secret, Section};
use crate::sinks::http;
use crate::sinks::kind::{Kind, KindInfo};
use crate::sinks::schedule::Schedule;

/// A sink's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The servers; the next is tried when one fails.
    pub urls: Vec<Url>,
    /// The data stream.
    pub data_stream: String,
    /// Whether Taffrail installs the index template.
    pub manages_template: bool,
    /// Basic authentication, if there is a user.
    pub user: Option<(String, Secret)>,
    /// The API key in base 64, if there is one.
    pub api_key: Option<Secret>,
    /// The HTTP settings.
    pub http: http::Settings,
}

const URLS: Key<Vec<String>> = Key::new(
    "urls",
    "[\"http://127.0.0.1:9200\"]",
    "URLs of the servers, Elasticsearch 7.13 or OpenSearch 1.0 or later. Points go to one of them; when it fails, the next one is tried.",
);
const DATA_STREAM: Key<String> = Key::new("data_stream", "\"metrics-taffrail-default\"", "The data stream.");
const MANAGE_TEMPLATE: Key<bool> = Key::new(
    "manage_template",
    "true",
    "Installs an index template named after the data stream, unless one of another origin exists. Needs the privilege manage_index_templates.",
);
const USERNAME: Key<String> = Key::optional("username", "The user, for basic authentication.");
const PASSWORD: Key<Secret> =
    Key::optional("password", "The user's password; better as \"${credential:NAME}\" or \"${file:PATH}\".");
const API_KEY: Key<Secret> =
    Key::optional("api_key", "An API key, encoded or as ID:KEY; better as \"${credential:NAME}\" or \"${file:PATH}\".");

impl Kind for Settings {
    const INFO: KindInfo = KindInfo {
        name: "elasticsearch",
        about: "Writes a document for each point to a data stream of Elasticsearch or OpenSearch.",
        keys: &[
            URLS.info(),
            DATA_STREAM.info(),
            MANAGE_TEMPLATE.info(),
            USERNAME.info(),
            PASSWORD.info(),
            API_KEY.info(),
        ],
        tables: &[],
        is_http: true,
    };

    fn new(section: &mut Section<'_>) -> (Settings, String) {
        let given = section.get(&URLS);
        let urls = http::urls(section, given);
        let data_stream = section.get(&DATA_STREAM);
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        if data_stream.is_empty() || data_stream.starts_with(['-', '_', '.']) || !data_stream.chars().all(is_name) {
            section.wrong(
                "data_stream",
                format!("expected a name of lower-case letters, digits, -, _ and ., found {data_stream:?}"),
            );
        }
        let (username, password) = (section.optional(&USERNAME), section.optional(&PASSWORD));
        if password.is_some() && username.is_none() {
            section.wrong("password", "expected a username with it, found none");
        }
        let api_key = section.optional(&API_KEY).map(encoded);
        if api_key.is_some() && username.is_some() {
            section.wrong("api_key", "expected either this or username, found both");
        }
        let manages_template = section.get(&MANAGE_TEMPLATE);
        let http = http::Settings::new(section);
        let host = urls.first().map(client::host).unwrap_or_default();
        let name = format!("elasticsearch:{host}/{data_stream}");
        let user = username.map(|name| (name, password.unwrap_or_default()));
        (Settings { urls, data_stream, manages_template, user, api_key, http }, name)
    }

    fn schedule(agent: &Schedule) -> Schedule {
        agent.clone()
    }
}

/// A key as it is sent.
fn encoded(key: Secret) -> Secret {
    match key.reveal().contains(':') {
        true => Secret::new(BASE64_STANDARD.encode(key.reveal())),
        false => key,
    }
}
