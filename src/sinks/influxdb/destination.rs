//! The destination of points in InfluxDB, and its API.

use reqwest::Url;

use crate::config::{Key, KeyInfo, Secret, Secrets, Section};
use crate::sinks::http;

/// The API and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
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
    /// `/api/v2/write` of InfluxDB 2.x, and of 3 for compatibility.
    Bucket {
        /// `org`.
        org: String,
        /// `bucket`.
        bucket: String,
        /// The token, if the server requires one.
        token: Option<Secret>,
    },
    /// `/api/v3/write_lp` of InfluxDB 3.
    Table {
        /// `db`.
        database: String,
        /// The token, if the server requires one.
        token: Option<Secret>,
    },
}

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
const VERSION: Key<usize> = Key::optional(
    "version",
    "API version. `database` implies 1 and `bucket` implies 2; 3, with `database`, is InfluxDB 3's native API.",
);
const CREATE_DATABASE: Key<bool> = Key::new(
    "create_database",
    "false",
    "Creates the database if it does not exist, for InfluxDB 1.x; the user must be an admin.",
);

/// The settings in a sink's section.
pub(super) const KEYS: &[KeyInfo] = &[
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
];

impl Destination {
    /// The settings in a sink's section.
    pub(super) fn new(section: &mut Section<'_>) -> Destination {
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
                Destination::of(section, &others, "version 3");
                Destination::Table { database, token }
            }
            (Some(database), None) if is_of(&[1]) => {
                Destination::of(section, &["org", "token"], "database");
                let user = username.map(|name| (name, password.unwrap_or_default()));
                Destination::Database { database, retention_policy, consistency, user, is_created }
            }
            (None, Some(bucket)) if is_of(&[2]) => {
                let others = ["retention_policy", "consistency", "username", "password", "create_database"];
                Destination::of(section, &others, "bucket");
                Destination::Bucket { org, bucket, token }
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
                Destination::Bucket { org, bucket: bucket.unwrap_or_default(), token }
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

    /// Adds the user's password and the token.
    pub(super) fn add_secrets(&self, secrets: &mut Secrets) {
        match self {
            Destination::Database { user, .. } => {
                user.iter().for_each(|(name, password)| secrets.add_user(name, password.reveal()));
            }
            Destination::Bucket { token, .. } | Destination::Table { token, .. } => {
                token.iter().for_each(|token| secrets.add(token.reveal()));
            }
        }
    }

    /// The database's or the bucket's name.
    pub fn name(&self) -> &str {
        match self {
            Destination::Database { database, .. } | Destination::Table { database, .. } => database,
            Destination::Bucket { bucket, .. } => bucket,
        }
    }

    /// The destination with another database or bucket, and another retention policy.
    pub(super) fn with_route(&self, database_or_bucket: Option<String>, policy: Option<String>) -> Destination {
        let mut target = self.clone();
        let name = match &mut target {
            Destination::Bucket { bucket, .. } => bucket,
            Destination::Table { database, .. } => database,
            Destination::Database { database, retention_policy, .. } => {
                if let Some(policy) = policy {
                    *retention_policy = policy;
                }
                database
            }
        };
        if let Some(routed) = database_or_bucket {
            *name = routed;
        }
        target
    }

    /// The URL that points are posted to, at the server `base`. Timestamps are in nanoseconds.
    pub fn write_url(&self, base: &Url) -> Url {
        let mut url = http::base(base);
        let path = match self {
            Destination::Database { .. } => "write",
            Destination::Bucket { .. } => "api/v2/write",
            Destination::Table { .. } => "api/v3/write_lp",
        };
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        let mut query = url.query_pairs_mut();
        match self {
            Destination::Database { database, retention_policy, consistency, .. } => {
                query.append_pair("db", database).append_pair("precision", "ns");
                for (name, value) in [("rp", retention_policy), ("consistency", consistency)] {
                    if !value.is_empty() {
                        query.append_pair(name, value);
                    }
                }
            }
            Destination::Bucket { org, bucket, .. } => {
                if !org.is_empty() {
                    query.append_pair("org", org);
                }
                query.append_pair("bucket", bucket).append_pair("precision", "ns");
            }
            Destination::Table { database, .. } => {
                query.append_pair("db", database).append_pair("precision", "nanosecond");
            }
        }
        drop(query);
        url
    }
}
