//! `[[sinks.influxdb]]`.

use reqwest::Url;

use super::routing::{self, Routing};
use crate::client;
use crate::config::{Key, KeyInfo, Secret, Section};
use crate::encode::infos::concat;
use crate::sinks::settings::{KindInfo, Table};
use crate::sinks::state::Prepare;
use crate::sinks::{delivery, filter, http};

/// A sink's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The servers; the next is tried when one fails.
    pub urls: Vec<Url>,
    /// Where in the servers the points go.
    pub target: Target,
    /// Which points go elsewhere.
    pub routing: Option<Routing>,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// How the servers are spoken to.
    pub http: http::Settings,
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
        /// Whether the database is created when the server does not know it.
        is_created: bool,
    },
    /// `/api/v2/write` of InfluxDB 2.x, and of 3 in its guise.
    Bucket {
        /// `org`.
        org: String,
        /// `bucket`.
        bucket: String,
        /// The token, if the server wants one.
        token: Option<Secret>,
    },
    /// `/api/v3/write_lp` of InfluxDB 3.
    Table {
        /// `db`.
        database: String,
        /// The token, if the server wants one.
        token: Option<Secret>,
    },
}

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
const PASSWORD: Key<Secret> =
    Key::optional("password", "The user's password; better as \"${credential:NAME}\" or \"${file:PATH}\".");
const ORG: Key<String> = Key::new("org", "\"\"", "The organisation, for InfluxDB 2.x.");
const BUCKET: Key<String> = Key::optional("bucket", "The bucket, for InfluxDB 2.x; the database, for InfluxDB 3.");
const TOKEN: Key<Secret> =
    Key::optional("token", "The token, for InfluxDB 2.x and 3; better as \"${credential:NAME}\" or \"${file:PATH}\".");
const CONTENT_ENCODING: Key<String> = Key::new("content_encoding", "\"gzip\"", "`gzip` or `identity`.");
const VERSION: Key<usize> = Key::optional(
    "version",
    "The API: 1 is what `database` means, 2 what `bucket` does; 3, with `database`, is InfluxDB 3's own.",
);
const CREATE_DATABASE: Key<bool> = Key::new(
    "create_database",
    "false",
    "Create the database when the server does not know it, for InfluxDB 1.x; the user must be an admin.",
);

/// What documents this kind of sink.
pub const INFO: KindInfo = KindInfo {
    name: "influxdb",
    about: "A server that points are pushed to: InfluxDB 1.x with `database`, 2.x and 3 with `bucket`.",
    keys: &concat::<KeyInfo, 42>(&[
        &[
            delivery::NAME.info(),
            URLS.info(),
            VERSION.info(),
            DATABASE.info(),
            CREATE_DATABASE.info(),
            RETENTION_POLICY.info(),
            CONSISTENCY.info(),
            USERNAME.info(),
            PASSWORD.info(),
            ORG.info(),
            BUCKET.info(),
            TOKEN.info(),
            routing::DATABASE_TAG.info(),
            routing::EXCLUDE_DATABASE_TAG.info(),
            routing::RETENTION_POLICY_TAG.info(),
            routing::EXCLUDE_RETENTION_POLICY_TAG.info(),
            routing::BUCKET_TAG.info(),
            routing::EXCLUDE_BUCKET_TAG.info(),
            CONTENT_ENCODING.info(),
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
        let target = Target::new(section);
        let content_encoding = section.get(&CONTENT_ENCODING);
        if !["gzip", "identity"].contains(&content_encoding.as_str()) {
            section.wrong("content_encoding", format!("expected gzip or identity, found {content_encoding:?}"));
        }
        let first_host = urls.first().map(client::host).unwrap_or_default();
        let default_name = format!("influxdb:{first_host}/{}", target.name());
        let routing = Routing::new(section, &target);
        let settings =
            Settings { urls, routing, target, gzip: content_encoding == "gzip", http: http::Settings::new(section) };
        (settings, default_name)
    }
}

impl Settings {
    /// What becomes of points before they wait.
    pub(in crate::sinks) fn preparation(&self) -> Option<Prepare> {
        let routing = self.routing.clone()?;
        Some(Box::new(move |lines| routing.sort(&lines)))
    }
}

impl Target {
    fn new(section: &mut Section<'_>) -> Target {
        let (database, bucket) = (section.optional(&DATABASE), section.optional(&BUCKET));
        let retention_policy = section.get(&RETENTION_POLICY);
        let consistency = section.get(&CONSISTENCY);
        let (username, password) = (section.optional(&USERNAME), section.optional(&PASSWORD));
        let (org, token) = (section.get(&ORG), section.optional(&TOKEN));
        let (version, is_created) = (section.optional(&VERSION), section.get(&CREATE_DATABASE));
        let is_of = |wanted: &[usize]| version.is_none_or(|version| wanted.contains(&version));
        if version.is_some_and(|version| !(1..=3).contains(&version)) {
            section.wrong("version", "expected 1, 2 or 3");
        }
        if !["", "any", "one", "quorum", "all"].contains(&consistency.as_str()) {
            section.wrong("consistency", format!("expected any, one, quorum or all, found {consistency:?}"));
        }
        if password.is_some() && username.is_none() {
            section.wrong("password", "expected a username with it, found none");
        }
        match (database, bucket) {
            (Some(database), None) if version == Some(3) => {
                let others = ["org", "retention_policy", "consistency", "username", "password", "create_database"];
                Target::of(section, &others, "version 3");
                Target::Table { database, token }
            }
            (Some(database), None) if is_of(&[1]) => {
                Target::of(section, &["org", "token"], "database");
                let user = username.map(|name| (name, password.unwrap_or_default()));
                Target::Database { database, retention_policy, consistency, user, is_created }
            }
            (None, Some(bucket)) if is_of(&[2]) => {
                let others = ["retention_policy", "consistency", "username", "password", "create_database"];
                Target::of(section, &others, "bucket");
                Target::Bucket { org, bucket, token }
            }
            (database, bucket) => {
                let found = match (database.is_some(), bucket.is_some()) {
                    (true, true) => "both",
                    (true, false) => "database, with version 2",
                    (false, true) => "bucket, with another version",
                    (false, false) => "neither",
                };
                section.wrong(
                    "database",
                    format!("expected either database, for InfluxDB 1.x and 3, or bucket, for 2.x; found {found}"),
                );
                Target::Bucket { org, bucket: bucket.unwrap_or_default(), token }
            }
        }
    }

    /// Reports settings of the other API.
    fn of(section: &Section<'_>, others: &[&str], key: &str) {
        let keys: Vec<&str> = section.keys().collect();
        for other in others.iter().filter(|other| keys.contains(other)) {
            section.wrong(other, format!("does not go with {key}: InfluxDB 1.x takes database, username, password; 2.x bucket, org, token; 3 database, token, version"));
        }
    }

    /// The user with the password, and the token.
    pub(in crate::sinks) fn credentials(&self) -> (Option<&(String, Secret)>, Option<&Secret>) {
        match self {
            Target::Database { user, .. } => (user.as_ref(), None),
            Target::Bucket { token, .. } | Target::Table { token, .. } => (None, token.as_ref()),
        }
    }

    /// The database's or the bucket's name.
    pub fn name(&self) -> &str {
        match self {
            Target::Database { database, .. } | Target::Table { database, .. } => database,
            Target::Bucket { bucket, .. } => bucket,
        }
    }

    /// The same with another database or bucket, and another retention policy.
    pub(super) fn with_place(&self, place: Option<String>, policy: Option<String>) -> Target {
        let mut target = self.clone();
        let name = match &mut target {
            Target::Bucket { bucket, .. } => bucket,
            Target::Table { database, .. } => database,
            Target::Database { database, retention_policy, .. } => {
                if let Some(policy) = policy {
                    *retention_policy = policy;
                }
                database
            }
        };
        if let Some(place) = place {
            *name = place;
        }
        target
    }

    /// The URL that points are posted to, at the server `base`. Timestamps are in nanoseconds.
    pub fn write_url(&self, base: &Url) -> Url {
        let mut url = http::base(base);
        let path = match self {
            Target::Database { .. } => "write",
            Target::Bucket { .. } => "api/v2/write",
            Target::Table { .. } => "api/v3/write_lp",
        };
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
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
            Target::Table { database, .. } => {
                query.append_pair("db", database).append_pair("precision", "nanosecond");
            }
        }
        drop(query);
        url
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
        match &sink.target {
            crate::sinks::settings::Target::InfluxDb(settings) => {
                settings.target.write_url(&settings.urls[0]).to_string()
            }
            #[cfg(feature = "cloudwatch")]
            other => panic!("{other:?}"),
        }
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
