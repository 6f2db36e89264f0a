//! `[[sinks.influxdb]]`.

use reqwest::Url;

use super::destination::{self, Destination};
use super::routing::{self, Routing};
use crate::client;
use crate::config::{Key, KeyInfo, Section};
use crate::encode::infos::concat;
use crate::sinks::http;
use crate::sinks::kind::{Kind, KindInfo};
use crate::sinks::schedule::Schedule;

/// A sink's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The servers; the next is tried when one fails.
    pub urls: Vec<Url>,
    /// The destination on the servers.
    pub destination: Destination,
    /// Routes points elsewhere by tag.
    pub routing: Option<Routing>,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// The HTTP settings.
    pub http: http::Settings,
}

const URLS: Key<Vec<String>> = Key::new(
    "urls",
    "[\"http://127.0.0.1:8086\"]",
    "URLs of the servers. Points go to one of them; when it fails, the next one is tried.",
);
const CONTENT_ENCODING: Key<String> = Key::new("content_encoding", "\"gzip\"", "`gzip` or `identity`.");

impl Kind for Settings {
    const INFO: KindInfo = KindInfo {
        name: "influxdb",
        about: "Writes points to InfluxDB: 1.x with `database`, 2.x and 3 with `bucket`.",
        keys: &concat::<KeyInfo, 18>(&[&[URLS.info(), CONTENT_ENCODING.info()], destination::KEYS, routing::KEYS]),
        tables: &[],
        is_http: true,
    };

    fn new(section: &mut Section<'_>) -> (Settings, String) {
        let given = section.get(&URLS);
        let urls = http::urls(section, given);
        let destination = Destination::new(section);
        let content_encoding = section.get(&CONTENT_ENCODING);
        if !["gzip", "identity"].contains(&content_encoding.as_str()) {
            section.wrong("content_encoding", format!("expected gzip or identity, found {content_encoding:?}"));
        }
        let first_host = urls.first().map(client::host).unwrap_or_default();
        let default_name = format!("influxdb:{first_host}/{}", destination.name());
        let routing = Routing::new(section, &destination);
        let settings = Settings {
            urls,
            routing,
            destination,
            gzip: content_encoding == "gzip",
            http: http::Settings::new(section),
        };
        (settings, default_name)
    }

    fn schedule(agent: &Schedule) -> Schedule {
        agent.clone()
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Document;

    fn load(text: &str) -> Result<Vec<crate::sinks::settings::Settings>, Vec<String>> {
        let document = Document::parse("t.toml", text, &|_| None).map_err(|p| p.lines().collect::<Vec<_>>())?;
        crate::settings::Settings::check(&document, &Default::default())
            .map(|settings| settings.sinks)
            .map_err(|p| p.lines().collect())
    }

    #[test]
    fn a_sink_needs_a_database_or_a_bucket() {
        let lines = load("[[sinks.influxdb]]\nurls = ['ftp://x', 'http://u:p@h']\n").unwrap_err();
        assert_eq!(lines.len(), 3, "{lines:#?}");
        let lines = load("[[sinks.influxdb]]\nbucket = 'b'\nusername = 'u'\n").unwrap_err();
        assert!(lines[0].contains("sinks.influxdb[0].username: does not go with bucket"), "{lines:?}");
    }

    fn write_url(sink: &crate::sinks::settings::Settings) -> String {
        let target: &dyn std::any::Any = &*sink.target;
        let settings = target.downcast_ref::<super::Settings>().unwrap();
        settings.destination.write_url(&settings.urls[0]).to_string()
    }

    #[test]
    fn the_parameters_are_in_the_url() {
        let sink = &load("[[sinks.influxdb]]\nurls = ['http://h:1/base/']\ndatabase = 'a b'\nretention_policy = 'r'")
            .unwrap()[0];
        assert_eq!(write_url(sink), "http://h:1/base/write?db=a+b&precision=ns&rp=r");
        let sink = &load("[[sinks.influxdb]]\nbucket = 'b'\norg = 'o'\ntags = { room = 'x' }").unwrap()[0];
        let url = "http://127.0.0.1:8086/api/v2/write?org=o&bucket=b&precision=ns";
        assert_eq!(write_url(sink), url);
        assert_eq!(sink.delivery.schedule.tags["room"], "x");
        assert!(sink.delivery.schedule.tags.contains_key("host"));
    }
}
