//! `[[sinks.remote_write]]`.

use std::collections::BTreeMap;

use reqwest::Url;

use crate::client;
use crate::config::{Key, KeyInfo, Secret, Section};
use crate::encode::infos::concat;
use crate::sinks::settings::{KindInfo, Table};
use crate::sinks::{delivery, filter, http};

/// A sink's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where to write.
    pub url: Url,
    /// The version of the protocol.
    pub version: Version,
    /// Labels of every series, which win over tags.
    labels: BTreeMap<String, String>,
    /// Basic authentication, if there is a user.
    pub user: Option<(String, Secret)>,
    /// The bearer token, if there is one.
    pub token: Option<Secret>,
    /// How the server is spoken to.
    pub http: http::Settings,
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 2.0, or 1.0 where the server does not understand that.
    Any,
    /// 1.0: `prometheus.WriteRequest`.
    First,
    /// 2.0: `io.prometheus.write.v2.Request`.
    Second,
}

const VERSION: Key<String> =
    Key::new("version", "\"auto\"", "The protocol: `1.0`, `2.0`, or `auto` for 2.0 where the server understands it.");
const URL: Key<String> = Key::new(
    "url",
    "\"http://127.0.0.1:9090/api/v1/write\"",
    "Where to write: Prometheus with --web.enable-remote-write-receiver, VictoriaMetrics, Mimir, Thanos …",
);
const USERNAME: Key<String> = Key::optional("username", "The user, for basic authentication.");
const PASSWORD: Key<Secret> =
    Key::optional("password", "The user's password; better as \"${credential:NAME}\" or \"${file:PATH}\".");
const TOKEN: Key<Secret> =
    Key::optional("token", "A bearer token; better as \"${credential:NAME}\" or \"${file:PATH}\".");

/// What documents this kind of sink.
pub const INFO: KindInfo = KindInfo {
    name: "remote_write",
    about: "A server that series are pushed to by Prometheus's remote write, under the names that are pulled.",
    keys: &concat::<KeyInfo, 27>(&[
        &[
            delivery::NAME.info(),
            URL.info(),
            VERSION.info(),
            USERNAME.info(),
            PASSWORD.info(),
            TOKEN.info(),
            delivery::REFUSED_RETRY.info(),
        ],
        &delivery::KEYS,
        &http::KEYS,
        &filter::KEYS_OF_SERIES,
    ]),
    tables: &concat::<Table, 6>(&[
        &[
            ("tags", "Labels of every series that this sink sends, besides `[tags]`.", &[]),
            (
                "external_labels",
                "Labels of every series, besides `[tags]`; `job` is \"taffrail\" and `instance` the host's name, unless they are here.",
                &[],
            ),
            (http::HEADERS.0, http::HEADERS.1, &[]),
        ],
        &filter::TABLES_OF_SERIES,
    ]),
};

impl Settings {
    /// The settings in `section`, and what a sink with them is called unless it has a name.
    pub(crate) fn new(section: &mut Section<'_>) -> (Settings, String) {
        let text = section.get(&URL);
        let url = Url::parse(&text).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        let url = url.unwrap_or_else(|| {
            section.wrong("url", format!("expected an http or https URL, found {text:?}"));
            Url::parse("http://127.0.0.1").unwrap_or_else(|_| unreachable!("a URL"))
        });
        if url.password().is_some() || !url.username().is_empty() {
            section.wrong("url", "expected a URL without credentials; use username and password, or token");
        }
        let (username, password) = (section.optional(&USERNAME), section.optional(&PASSWORD));
        if password.is_some() && username.is_none() {
            section.wrong("password", "expected a username with it, found none");
        }
        let token = section.optional(&TOKEN);
        if token.is_some() && username.is_some() {
            section.wrong("token", "expected either this or username, found both");
        }
        let labels = section.table("external_labels").strings();
        for name in labels.keys().filter(|name| label_name(name) != **name || name.is_empty()) {
            section.wrong("external_labels", format!("expected the name of a label, found {name:?}"));
        }
        let version = match section.get(&VERSION).as_str() {
            "auto" => Version::Any,
            "1.0" => Version::First,
            "2.0" => Version::Second,
            other => {
                section.wrong("version", format!("expected auto, 1.0 or 2.0, found {other:?}"));
                Version::Any
            }
        };
        let name = format!("remote_write:{}", client::host(&url));
        let user = username.map(|name| (name, password.unwrap_or_default()));
        let http = http::Settings::new(section);
        filter::refuse_fields(section);
        (Settings { url, version, labels, user, token, http }, name)
    }

    /// The labels of every series, where every point has these tags.
    pub fn labels(&self, tags: &BTreeMap<String, String>) -> Vec<(String, String)> {
        let mut labels = BTreeMap::from([("job".to_owned(), "taffrail".to_owned())]);
        let name_of = |tag: &str| if tag == "host" { "instance".to_owned() } else { label_name(tag) };
        labels.extend(tags.iter().map(|(tag, value)| (name_of(tag), value.clone())));
        labels.extend(self.labels.clone());
        labels.into_iter().collect()
    }
}

/// A tag's name as a label's: what a label may not have becomes `_`.
fn label_name(name: &str) -> String {
    let is_fine = |(index, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || (index > 0 && c.is_ascii_digit());
    name.chars().enumerate().map(|(index, c)| if is_fine((index, c)) { c } else { '_' }).collect()
}
