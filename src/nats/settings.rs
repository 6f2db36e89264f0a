//! `[nats]`.

use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::client::Tls;
use crate::client::settings::depends_on_files;
use crate::config::{Key, KeyInfo, Secret, Section, Setting};
use crate::system::regular_file::read_pem;

/// `[nats]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nats {
    /// URLs of servers.
    pub servers: Vec<String>,
    /// URLs of the monitoring of the servers.
    pub monitoring: Vec<Url>,
    /// The file with a JWT and its key.
    pub credentials: Option<PathBuf>,
    /// The token.
    pub token: Option<Secret>,
    /// User and password.
    pub user: Option<(String, Secret)>,
    /// The CA of the servers, if it is not one of the system's.
    pub ca: Option<PathBuf>,
    /// The client certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Whether this build has NATS.
pub const IS_BUILT: bool = cfg!(feature = "nats");

/// The error for a setting that needs it.
pub const NOT_BUILT: &str = "this Taffrail was built without NATS; cargo build --features nats has it";

const SERVERS: Key<Vec<String>> = Key::new(
    "servers",
    "[]",
    "URLs of NATS servers, such as \"nats://nats-1.example:4222\" or \"tls://nats-1.example:4222\".",
);
const MONITORING: Key<Vec<String>> = Key::new(
    "monitoring",
    "[]",
    "URLs of the monitoring of all NATS servers, such as \"http://nats-1.example:8222\", to check that each has `sync_interval: always`.",
);
const CREDENTIALS: Key<PathBuf> =
    Key::optional("credentials", "File with a JWT and its private key, as `nsc generate creds` writes it.");
const TOKEN: Key<Secret> = Key::optional("token", "Token.");
const USER: Key<String> = Key::optional("user", "User.");
const PASSWORD: Key<Secret> = Key::optional("password", "Password of the user.");
const TLS_CA: Key<PathBuf> = Key::optional("tls_ca", "PEM file of CA certificates to trust, instead of the system's.");
const TLS_CERT: Key<PathBuf> = Key::optional("tls_cert", "PEM file with the client certificate.");
const TLS_KEY: Key<PathBuf> = Key::optional("tls_key", "PEM file with the client certificate's key.");

/// The settings of `[nats]`.
pub const NATS_KEYS: &[KeyInfo] = &[
    SERVERS.info(),
    MONITORING.info(),
    CREDENTIALS.info(),
    TOKEN.info(),
    USER.info(),
    PASSWORD.info(),
    TLS_CA.info(),
    TLS_CERT.info(),
    TLS_KEY.info(),
];

const LEASE: Key<String> = Key::optional(
    "lease",
    "Name of a lease at the servers of [nats]: of all Taffrails with this lease, only the one that holds it runs the job. The others expose and push nothing of it, and one of them takes over.",
);

/// The settings of jobs that one of several processes runs; none in builds without NATS.
pub const LEASE_KEYS: &[KeyInfo] = if IS_BUILT { &[LEASE.info()] } else { &[] };

/// The lease of a job, in its table.
pub fn lease(job: &mut Section<'_>) -> Option<String> {
    if !IS_BUILT {
        if job.has(&LEASE) {
            job.refuse("lease", NOT_BUILT);
        }
        return None;
    }
    let lease = job.optional(&LEASE)?;
    if !is_name(&lease) {
        job.wrong("lease", format!("expected a name of at most 200 letters, digits, - and _, found {lease:?}"));
    }
    Some(lease)
}

/// Whether this can be a part of subjects and of names of streams and buckets, which have at most 255 bytes.
pub fn is_name(name: &str) -> bool {
    (1..=200).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

impl Nats {
    /// The settings in `[nats]` of `root`.
    pub fn new(root: &mut Section<'_>) -> Nats {
        if !IS_BUILT {
            if root.keys().any(|key| key == "nats") {
                root.refuse("nats", NOT_BUILT);
            }
            return Nats::default();
        }
        let section = &mut root.table("nats");
        let servers: Vec<String> = section.get(&SERVERS);
        for (index, server) in servers.iter().enumerate() {
            match url(server, ["nats", "tls"]) {
                Err(expected) => section.wrong_element("servers", index, expected),
                Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                    let expected =
                        "expected a URL without credentials; [nats] user and password, or token, are for these";
                    section.wrong_element("servers", index, expected);
                }
                Ok(_) => {}
            }
        }
        let mut monitoring = Vec::new();
        for (index, text) in section.get(&MONITORING).iter().enumerate() {
            match url(text, ["http", "https"]) {
                Err(expected) => section.wrong_element("monitoring", index, expected),
                Ok(url) => monitoring.push(url),
            }
        }
        let user = both(section, (&USER, "user"), (&PASSWORD, "password"));
        let identity = both(section, (&TLS_CERT, "tls_cert"), (&TLS_KEY, "tls_key"));
        let (credentials, token) = (section.optional(&CREDENTIALS), section.optional(&TOKEN));
        let given = [("credentials", credentials.is_some()), ("token", token.is_some()), ("user", user.is_some())];
        let mut given = given.into_iter().filter_map(|(key, is_given)| is_given.then_some(key));
        if let (Some(first), Some(second)) = (given.next(), given.next()) {
            section.wrong(second, format!("expected it without {first}, found both; servers accept one of them"));
        }
        if let Some(path) = credentials.clone() {
            section.depends("credentials", move || check_credentials(&path));
        }
        let ca: Option<PathBuf> = section.optional(&TLS_CA);
        depends_on_files(section, &Tls { ca: ca.clone(), identity: identity.clone(), trusts_any: false });
        Nats { servers, monitoring, credentials, token, user, ca, identity }
    }
}

impl Nats {
    /// Whether one of these jobs, which have names, has a lease.
    ///
    /// # Errors
    /// A job has a lease, and there are no servers.
    pub fn check_leases<'j>(
        &self,
        jobs: impl IntoIterator<Item = (&'j str, &'j Option<String>)>,
    ) -> Result<bool, String> {
        match jobs.into_iter().find(|(_, lease)| lease.is_some()) {
            Some((job, _)) if self.servers.is_empty() => {
                Err(format!("lease of the job {job:?}: expected [nats] servers with it, found none"))
            }
            found => Ok(found.is_some()),
        }
    }

    /// Whether connections must use TLS.
    pub fn needs_tls(&self) -> bool {
        self.ca.is_some() || self.identity.is_some() || self.servers.iter().any(|server| server.starts_with("tls:"))
    }
}

/// A URL with one of two schemes.
fn url(text: &str, schemes: [&str; 2]) -> Result<Url, String> {
    let is_server = |url: &Url| schemes.contains(&url.scheme()) && url.has_host() && url.port() != Some(0);
    let url = Url::parse(text).ok().filter(is_server);
    url.ok_or_else(|| format!("expected a {} or {} URL, found {text:?}", schemes[0], schemes[1]))
}

/// Two settings that need each other.
fn both<A: Setting, B: Setting>(
    section: &mut Section<'_>,
    (first, first_name): (&Key<A>, &str),
    (second, second_name): (&Key<B>, &str),
) -> Option<(A, B)> {
    match (section.optional(first), section.optional(second)) {
        (Some(first), Some(second)) => return Some((first, second)),
        (None, None) => {}
        (Some(_), None) => section.wrong(first_name, format!("expected {second_name} with it, found none")),
        (None, Some(_)) => section.wrong(second_name, format!("expected {first_name} with it, found none")),
    }
    None
}

/// Whether a file has a JWT and its key.
fn check_credentials(path: &Path) -> Result<(), String> {
    let text = read_pem(path).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&text);
    for part in ["BEGIN NATS USER JWT", "BEGIN USER NKEY SEED"] {
        if !text.contains(part) {
            return Err(format!(
                "{}: expected a block {part}, as `nsc generate creds` writes it, found none",
                path.display()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_server_has_a_host_and_no_port_0() {
        let is_good = |text: &str| url(text, ["nats", "tls"]).is_ok();
        assert!(is_good("nats://a") && is_good("tls://a:4222"));
        assert!(!is_good("nats://a:0") && !is_good("nats:a") && !is_good("http://a:1"));
    }
}
