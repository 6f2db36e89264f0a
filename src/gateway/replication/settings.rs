//! The settings of replicas: `stream`, `scrape`, `replica_url`, `replica_name` and `replica_ca` of `[gateway]`.

use std::path::PathBuf;

use crate::client;
use crate::config::{Key, KeyInfo, Section, Setting, Value};
use crate::nats::settings::{IS_BUILT, NOT_BUILT, Nats, is_name};

/// The settings of a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The name of the stream.
    pub stream: String,
    /// What a scrape of a replica that is not the writer gets.
    pub scrape: Scrape,
    /// The name of this replica.
    pub name: String,
    /// Where other replicas reach this one.
    pub url: String,
    /// The CA of the other replicas' certificates, if it is not one of the system's.
    pub ca: Option<PathBuf>,
    /// `[nats]`.
    pub nats: Nats,
}

/// What a scrape of a replica that is not the writer gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scrape {
    /// Its self-metrics, without groups.
    #[default]
    Own,
    /// The response of the writer.
    Writer,
}

impl Setting for Scrape {
    const EXPECTED: &'static str = "own or writer";

    fn from_value(value: &Value) -> Result<Self, String> {
        match String::from_value(value)?.as_str() {
            "own" => Ok(Scrape::Own),
            "writer" => Ok(Scrape::Writer),
            _ => Err(String::new()),
        }
    }
}

const STREAM: Key<String> = Key::optional(
    "stream",
    "Name of the JetStream stream that the replicas of this gateway share; `taffrail gateway stream create` creates it. Needs state, replica_url and [nats].",
);
const SCRAPE: Key<Scrape> = Key::new(
    "scrape",
    "\"own\"",
    "Response of a replica that is not the writer to a scrape: \"own\" is its self-metrics only, for Prometheus scraping every replica; \"writer\" is that of the writer, for one address of all replicas.",
);
const REPLICA_URL: Key<String> = Key::optional(
    "replica_url",
    "URL at which the other replicas reach this one, such as \"http://gateway-1.example:9091\". They forward pushes and deletions to it while it is the writer.",
);
const REPLICA_NAME: Key<String> = Key::optional(
    "replica_name",
    "Name of this replica in the log, on the page and in metrics; by default the host of replica_url.",
);

const REPLICA_CA: Key<PathBuf> = Key::optional(
    "replica_ca",
    "PEM file of CA certificates to trust, instead of the system's, when requests are forwarded to the writer over https.",
);

/// The settings in `[gateway]`; none in builds without NATS.
pub const GATEWAY_KEYS: &[KeyInfo] = if IS_BUILT {
    &[STREAM.info(), SCRAPE.info(), REPLICA_URL.info(), REPLICA_NAME.info(), REPLICA_CA.info()]
} else {
    &[]
};

impl Settings {
    /// The settings in `[gateway]`, which is `section`; none without a stream.
    pub fn new(section: &mut Section<'_>, nats: Nats) -> Option<Settings> {
        if !IS_BUILT {
            if section.has(&STREAM) {
                section.refuse("stream", NOT_BUILT);
            }
            return None;
        }
        let scrape = section.get(&SCRAPE);
        let (url, name) = (section.optional(&REPLICA_URL), section.optional(&REPLICA_NAME));
        let ca = section.optional(&REPLICA_CA);
        let stream = section.optional(&STREAM)?;
        if !is_name(&stream) {
            section.wrong("stream", format!("expected a name of letters, digits, - and _, found {stream:?}"));
        }
        if nats.servers.is_empty() {
            section.wrong("stream", "expected [nats] servers with it, found none");
        }
        let Some(url) = url else {
            section.wrong("stream", "expected replica_url with it, found none");
            return None;
        };
        let parsed =
            client::parse_url(&url, "http").filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        let Some(parsed) = parsed else {
            section.wrong("replica_url", format!("expected an http or https URL, found {url:?}"));
            return None;
        };
        let name = name.unwrap_or_else(|| client::host(&parsed));
        Some(Settings { stream, scrape, name, url: parsed.to_string().trim_end_matches('/').to_owned(), ca, nats })
    }
}
