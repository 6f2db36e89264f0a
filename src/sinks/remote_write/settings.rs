//! `[[sinks.remote_write]]`.

use std::collections::BTreeMap;

use reqwest::Url;

use crate::client;
use crate::config::{Key, Secret, Section, TableInfo, has_credentials};
use crate::encode::names::check_label_name;
use crate::sinks::http;
use crate::sinks::kind::{Kind, KindInfo};
use crate::sinks::schedule::Schedule;

/// A sink's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The URL of the receiver.
    pub url: Url,
    /// The version of the protocol.
    pub version: Version,
    /// Labels of every series. They override tags.
    labels: BTreeMap<String, String>,
    /// Basic authentication, if there is a user.
    pub user: Option<(String, Secret)>,
    /// The bearer token, if there is one.
    pub token: Option<Secret>,
    /// The HTTP settings.
    pub http: http::Settings,
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 2.0, or 1.0 if the server does not support it.
    Any,
    /// 1.0: `prometheus.WriteRequest`.
    First,
    /// 2.0: `io.prometheus.write.v2.Request`.
    Second,
}

const VERSION: Key<String> =
    Key::new("version", "\"auto\"", "Protocol version: `1.0`, `2.0`, or `auto` for 2.0 if the server supports it.");
const URL: Key<String> = Key::new(
    "url",
    "\"http://127.0.0.1:9090/api/v1/write\"",
    "URL of the receiver: Prometheus with --web.enable-remote-write-receiver, VictoriaMetrics, Mimir, Thanos …",
);
const USERNAME: Key<String> = Key::optional("username", "The user, for basic authentication.");
const PASSWORD: Key<Secret> =
    Key::optional("password", "The user's password; better as \"${credential:NAME}\" or \"${file:PATH}\".");
const TOKEN: Key<Secret> =
    Key::optional("token", "A bearer token; better as \"${credential:NAME}\" or \"${file:PATH}\".");

impl Kind for Settings {
    const INFO: KindInfo = KindInfo {
        name: "remote_write",
        about: "Writes series by Prometheus remote write, with the same names as in scrapes.",
        keys: &[URL.info(), VERSION.info(), USERNAME.info(), PASSWORD.info(), TOKEN.info()],
        tables: &[TableInfo::open(
            "external_labels",
            "Labels of every series, in addition to `[tags]`. `job` is \"taffrail\" and `instance` is the host name unless set here.",
        )],
        is_http: true,
    };

    fn new(section: &mut Section<'_>) -> (Settings, String) {
        let text = section.get(&URL);
        let url =
            client::parse_url(&text, "http").filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        let url = url.unwrap_or_else(|| {
            section.wrong("url", format!("expected an http or https URL, found {text:?}"));
            Url::parse("http://127.0.0.1").unwrap_or_else(|_| unreachable!("a URL"))
        });
        if has_credentials(&url) {
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
        let labels = section.table("external_labels").strings_that(|name, _| check_label_name(name));
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
        (Settings { url, version, labels, user, token, http }, name)
    }

    fn schedule(agent: &Schedule) -> Schedule {
        agent.clone()
    }
}

impl Settings {
    /// The labels of every series, where every point has these tags.
    pub fn labels(&self, tags: &BTreeMap<String, String>) -> Vec<(String, String)> {
        let mut labels = BTreeMap::from([("job".to_owned(), "taffrail".to_owned())]);
        let name_of = |tag: &str| if tag == "host" { "instance".to_owned() } else { label_name(tag) };
        labels.extend(tags.iter().map(|(tag, value)| (name_of(tag), value.clone())));
        labels.extend(self.labels.clone());
        labels.into_iter().collect()
    }
}

/// A tag's name as a label name: characters invalid in label names become `_`.
fn label_name(name: &str) -> String {
    let is_fine = |(index, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || (index > 0 && c.is_ascii_digit());
    name.chars().enumerate().map(|(index, c)| if is_fine((index, c)) { c } else { '_' }).collect()
}
