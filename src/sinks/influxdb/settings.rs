//! `[[sinks.influxdb]]`.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use crate::config::setting::ByteSize;
use crate::config::{Key, KeyInfo, Secret, Section};
use crate::sinks::schedule::Schedule;

/// A sink's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What the sink is called in metrics and the log. Its waiting points go on under this name after a reload.
    pub name: String,
    /// The servers; the next is tried when one fails.
    pub urls: Vec<Url>,
    /// Where in the servers the points go.
    pub target: Target,
    /// When to read, when to write, and what every point carries.
    pub schedule: Schedule,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// How long one request may take.
    pub timeout: Duration,
    /// How many bytes of points may wait.
    pub buffer_size: usize,
    /// The first pause after a failed write; it doubles up to `retry_max`.
    pub retry_min: Duration,
    /// The longest pause after a failed write.
    pub retry_max: Duration,
    /// The pause after the server refused credentials or does not know the database.
    pub refused_retry: Duration,
    /// Certificates to trust instead of the system's.
    pub tls_ca: Option<PathBuf>,
    /// Whether any certificate is trusted.
    pub insecure_skip_verify: bool,
}

/// The API and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `/write` of InfluxDB 1.x.
    Database {
        /// `db`.
        database: String,
        /// `rp`; the database's default if empty.
        retention_policy: String,
        /// `consistency`; the server's default if empty.
        consistency: String,
        /// Basic authentication, if there is a user.
        user: Option<(String, Secret)>,
    },
    /// `/api/v2/write` of InfluxDB 2.x and 3.
    Bucket {
        /// `org`.
        org: String,
        /// `bucket`.
        bucket: String,
        /// The token, if the server wants one.
        token: Option<Secret>,
    },
}

const NAME: Key<String> = Key::optional(
    "name",
    "What the sink is called in metrics and the log; made of the first URL and the database if absent.",
);
const URLS: Key<Vec<String>> = Key::new(
    "urls",
    "[\"http://127.0.0.1:8086\"]",
    "The servers. Points go to one of them; when it fails, the next is tried.",
);
const DATABASE: Key<String> = Key::optional("database", "The database, for InfluxDB 1.x.");
const RETENTION_POLICY: Key<String> =
    Key::new("retention_policy", "\"\"", "The retention policy, for InfluxDB 1.x; the database's default if empty.");
const CONSISTENCY: Key<String> =
    Key::new("consistency", "\"\"", "`any`, `one`, `quorum` or `all`, for a cluster of InfluxDB 1.x.");
const USERNAME: Key<String> = Key::optional("username", "The user, for InfluxDB 1.x with authentication.");
const PASSWORD: Key<Secret> = Key::optional("password", "The user's password; better as \"${VARIABLE}\".");
const ORG: Key<String> = Key::new("org", "\"\"", "The organisation, for InfluxDB 2.x.");
const BUCKET: Key<String> = Key::optional("bucket", "The bucket, for InfluxDB 2.x; the database, for InfluxDB 3.");
const TOKEN: Key<Secret> = Key::optional("token", "The token, for InfluxDB 2.x and 3; better as \"${VARIABLE}\".");
const INTERVAL: Key<Duration> =
    Key::optional("interval", "Time between readings for this sink, instead of the agent's.");
const FLUSH_INTERVAL: Key<Duration> = Key::optional("flush_interval", "Time between writes, instead of the agent's.");
const FLUSH_JITTER: Key<Duration> = Key::optional("flush_jitter", "Jitter of the writes, instead of the agent's.");
const METRIC_BATCH_SIZE: Key<usize> =
    Key::optional("metric_batch_size", "Points in a write, at the most, instead of the agent's.");
const CONTENT_ENCODING: Key<String> = Key::new("content_encoding", "\"gzip\"", "`gzip` or `identity`.");
const TIMEOUT: Key<Duration> = Key::new("timeout", "\"5s\"", "How long one request may take.");
const BUFFER_SIZE: Key<ByteSize> = Key::new(
    "buffer_size",
    "\"8MiB\"",
    "How much may wait while the server is away. When it is full, the oldest points are dropped, and counted.",
);
const RETRY_MIN: Key<Duration> =
    Key::new("retry_min", "\"1s\"", "The first pause after a failed write; each further one is twice as long.");
const RETRY_MAX: Key<Duration> = Key::new("retry_max", "\"1m\"", "The longest pause after a failed write.");
const REFUSED_RETRY: Key<Duration> = Key::new(
    "refused_retry",
    "\"1m\"",
    "The pause after the server refused the credentials or does not know the database; the points are kept.",
);
const TLS_CA: Key<PathBuf> =
    Key::optional("tls_ca", "A PEM file of the certificates to trust, instead of the system's.");
const INSECURE_SKIP_VERIFY: Key<bool> = Key::new(
    "insecure_skip_verify",
    "false",
    "Trust any certificate. Anybody on the way can then read and change what is sent.",
);

/// The settings of `[[sinks.influxdb]]`.
pub const KEYS: &[KeyInfo] = &[
    NAME.info(),
    URLS.info(),
    DATABASE.info(),
    RETENTION_POLICY.info(),
    CONSISTENCY.info(),
    USERNAME.info(),
    PASSWORD.info(),
    ORG.info(),
    BUCKET.info(),
    TOKEN.info(),
    INTERVAL.info(),
    FLUSH_INTERVAL.info(),
    FLUSH_JITTER.info(),
    METRIC_BATCH_SIZE.info(),
    CONTENT_ENCODING.info(),
    TIMEOUT.info(),
    BUFFER_SIZE.info(),
    RETRY_MIN.info(),
    RETRY_MAX.info(),
    REFUSED_RETRY.info(),
    TLS_CA.info(),
    INSECURE_SKIP_VERIFY.info(),
];

/// The tables below `[[sinks.influxdb]]`, with what they are for.
pub const TABLES: &[(&str, &str)] = &[("tags", "Tags of every point that this sink sends, besides `[tags]`.")];

impl Settings {
    /// The settings of all sinks of this kind.
    pub fn all(sinks: &mut Section<'_>, common: &Schedule) -> Vec<Settings> {
        let mut all: Vec<Settings> = Vec::new();
        for mut section in sinks.tables("influxdb") {
            let sink = Settings::new(&mut section, common);
            if all.iter().any(|other| other.name == sink.name) {
                section.wrong(
                    "name",
                    format!("expected another name, found a second sink that is called {:?}", sink.name),
                );
            }
            all.push(sink);
        }
        all
    }

    fn new(section: &mut Section<'_>, common: &Schedule) -> Settings {
        let urls = urls(section);
        let target = Target::new(section);
        let mut tags = common.tags.clone();
        tags.extend(section.table("tags").strings());
        let schedule = Schedule {
            interval: section.optional(&INTERVAL).filter(|interval| !interval.is_zero()).unwrap_or(common.interval),
            flush_interval: section.optional(&FLUSH_INTERVAL).unwrap_or(common.flush_interval),
            flush_jitter: section.optional(&FLUSH_JITTER).unwrap_or(common.flush_jitter),
            metric_batch_size: section.optional(&METRIC_BATCH_SIZE).unwrap_or(common.metric_batch_size),
            tags,
            ..common.clone()
        };
        let content_encoding = section.get(&CONTENT_ENCODING);
        if !["gzip", "identity"].contains(&content_encoding.as_str()) {
            section.wrong("content_encoding", format!("expected gzip or identity, found {content_encoding:?}"));
        }
        let first_host = urls.first().map(|url| url.authority().to_owned()).unwrap_or_default();
        let default_name = format!("influxdb:{first_host}/{}", target.name());
        Settings {
            name: section.optional(&NAME).unwrap_or(default_name),
            urls,
            target,
            schedule,
            gzip: content_encoding == "gzip",
            timeout: section.above_zero(&TIMEOUT),
            buffer_size: section.get(&BUFFER_SIZE).0,
            retry_min: section.above_zero(&RETRY_MIN),
            retry_max: section.above_zero(&RETRY_MAX),
            refused_retry: section.above_zero(&REFUSED_RETRY),
            tls_ca: section.optional(&TLS_CA),
            insecure_skip_verify: section.get(&INSECURE_SKIP_VERIFY),
        }
    }
}

fn urls(section: &mut Section<'_>) -> Vec<Url> {
    let given = section.get(&URLS);
    if given.is_empty() {
        section.wrong("urls", "expected at least one URL, found none");
    }
    let mut urls = Vec::new();
    for text in given {
        match Url::parse(&text) {
            Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => {
                // Credentials in a URL would end up in the log.
                if url.password().is_some() || !url.username().is_empty() {
                    section.wrong("urls", "expected a URL without credentials; use username and password, or token");
                }
                urls.push(url);
            }
            _ => section.wrong("urls", format!("expected an http or https URL, found {text:?}")),
        }
    }
    urls
}

impl Target {
    fn new(section: &mut Section<'_>) -> Target {
        let (database, bucket) = (section.optional(&DATABASE), section.optional(&BUCKET));
        let retention_policy = section.get(&RETENTION_POLICY);
        let consistency = section.get(&CONSISTENCY);
        let (username, password) = (section.optional(&USERNAME), section.optional(&PASSWORD));
        let (org, token) = (section.get(&ORG), section.optional(&TOKEN));
        if !["", "any", "one", "quorum", "all"].contains(&consistency.as_str()) {
            section.wrong("consistency", format!("expected any, one, quorum or all, found {consistency:?}"));
        }
        if password.is_some() && username.is_none() {
            section.wrong("password", "expected a username with it, found none");
        }
        match (database, bucket) {
            (Some(database), None) => {
                Target::of(section, &["org", "token"], "database");
                let user = username.map(|name| (name, password.unwrap_or_default()));
                Target::Database { database, retention_policy, consistency, user }
            }
            (None, Some(bucket)) => {
                Target::of(section, &["retention_policy", "consistency", "username", "password"], "bucket");
                Target::Bucket { org, bucket, token }
            }
            (database, bucket) => {
                let found = if database.is_some() { "both" } else { "neither" };
                section.wrong(
                    "database",
                    format!("expected either database, for InfluxDB 1.x, or bucket, for 2.x and 3; found {found}"),
                );
                Target::Bucket { org, bucket: bucket.unwrap_or_default(), token }
            }
        }
    }

    /// Reports settings of the other API.
    fn of(section: &Section<'_>, others: &[&str], key: &str) {
        let keys: Vec<&str> = section.keys().collect();
        for other in others.iter().filter(|other| keys.contains(other)) {
            section.wrong(other, format!("does not go with {key}: InfluxDB 1.x takes database, username, password; 2.x and 3 bucket, org, token"));
        }
    }

    /// The database's or the bucket's name.
    pub fn name(&self) -> &str {
        match self {
            Target::Database { database, .. } => database,
            Target::Bucket { bucket, .. } => bucket,
        }
    }

    /// The URL that points are posted to, at the server `base`. Timestamps are in nanoseconds.
    pub fn write_url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        let path = match self {
            Target::Database { .. } => "write",
            Target::Bucket { .. } => "api/v2/write",
        };
        url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
        let mut query = url.query_pairs_mut();
        match self {
            Target::Database { database, retention_policy, consistency, .. } => {
                query.append_pair("db", database).append_pair("precision", "ns");
                for (name, value) in [("rp", retention_policy), ("consistency", consistency)] {
                    if !value.is_empty() {
                        query.append_pair(name, value);
                    }
                }
            }
            Target::Bucket { org, bucket, .. } => {
                if !org.is_empty() {
                    query.append_pair("org", org);
                }
                query.append_pair("bucket", bucket).append_pair("precision", "ns");
            }
        }
        drop(query);
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;

    fn load(text: &str) -> Result<Vec<Settings>, Vec<String>> {
        let document = Document::parse("t.toml", text, &|_| None).map_err(|p| p.lines().collect::<Vec<_>>())?;
        crate::settings::Settings::check(&document, &Default::default())
            .map(|s| s.influxdb)
            .map_err(|p| p.lines().collect())
    }

    #[test]
    fn a_sink_needs_a_database_or_a_bucket() {
        let lines = load("[[sinks.influxdb]]\nurls = ['ftp://x', 'http://u:p@h']\n").unwrap_err();
        assert_eq!(lines.len(), 3, "{lines:#?}");
        let lines = load("[[sinks.influxdb]]\nbucket = 'b'\nusername = 'u'\n").unwrap_err();
        assert!(lines[0].contains("sinks.influxdb[0].username: does not go with bucket"), "{lines:?}");
    }

    #[test]
    fn the_parameters_are_in_the_url() {
        let sink = &load("[[sinks.influxdb]]\nurls = ['http://h:1/base/']\ndatabase = 'a b'\nretention_policy = 'r'")
            .unwrap()[0];
        assert_eq!(sink.target.write_url(&sink.urls[0]).as_str(), "http://h:1/base/write?db=a+b&precision=ns&rp=r");
        let sink = &load("[[sinks.influxdb]]\nbucket = 'b'\norg = 'o'\ntags = { room = 'x' }").unwrap()[0];
        let url = "http://127.0.0.1:8086/api/v2/write?org=o&bucket=b&precision=ns";
        assert_eq!(sink.target.write_url(&sink.urls[0]).as_str(), url);
        assert_eq!(sink.schedule.tags["room"], "x");
        assert!(sink.schedule.tags.contains_key("host"));
    }
}
