//! `[[sinks.elasticsearch]]`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Url;

use crate::client;
use crate::config::{Key, KeyInfo, Secret, Section};
use crate::encode::infos::concat;
use crate::sinks::settings::{KindInfo, Table};
use crate::sinks::{delivery, filter, http};

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
    /// How the servers are spoken to.
    pub http: http::Settings,
}

const URLS: Key<Vec<String>> = Key::new(
    "urls",
    "[\"http://127.0.0.1:9200\"]",
    "The servers, of Elasticsearch 7.13 or OpenSearch 1.0 at least. Points go to one of them; when it fails, the next is tried.",
);
const DATA_STREAM: Key<String> = Key::new("data_stream", "\"metrics-taffrail-default\"", "The data stream.");
const MANAGE_TEMPLATE: Key<bool> = Key::new(
    "manage_template",
    "true",
    "Install an index template of the data stream's name, unless there is one of another origin; it takes the privilege manage_index_templates.",
);
const USERNAME: Key<String> = Key::optional("username", "The user, for basic authentication.");
const PASSWORD: Key<Secret> =
    Key::optional("password", "The user's password; better as \"${credential:NAME}\" or \"${file:PATH}\".");
const API_KEY: Key<Secret> =
    Key::optional("api_key", "An API key, encoded or as ID:KEY; better as \"${credential:NAME}\" or \"${file:PATH}\".");

/// What documents this kind of sink.
pub const INFO: KindInfo = KindInfo {
    name: "elasticsearch",
    about: "A server of Elasticsearch or OpenSearch that gets a document for each point, in a data stream.",
    keys: &concat::<KeyInfo, 30>(&[
        &[
            delivery::NAME.info(),
            URLS.info(),
            DATA_STREAM.info(),
            MANAGE_TEMPLATE.info(),
            USERNAME.info(),
            PASSWORD.info(),
            API_KEY.info(),
            delivery::REFUSED_RETRY.info(),
        ],
        &delivery::KEYS,
        &http::KEYS,
        &filter::KEYS,
    ]),
    tables: &concat::<Table, 6>(&[
        &[
            ("tags", "Tags of every point that this sink sends, besides `[tags]`.", &[]),
            (http::HEADERS.0, http::HEADERS.1, &[]),
        ],
        &filter::TABLES,
    ]),
};

impl Settings {
    /// The settings in `section`, and what a sink with them is called unless it has a name.
    pub(crate) fn new(section: &mut Section<'_>) -> (Settings, String) {
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
}

/// A key as it is sent.
fn encoded(key: Secret) -> Secret {
    match key.reveal().contains(':') {
        true => Secret::new(BASE64_STANDARD.encode(key.reveal())),
        false => key,
    }
}
