//! Prometheus's `web.config.file` (github.com/prometheus/exporter-toolkit, docs/web-configuration.md), as strict as there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::access::User;
use super::passwords::Hash;
use super::protection::{Protection, Rate};
use super::tls::{ClientAuth, Pem, Tls, go_curve, names, version_of};
use crate::config::{Key, Problems, SecretText, Section, Setting, Value, yaml};
use crate::system::regular_file::{READ_TIMEOUT, read_text_within};

const CERT: Key<String> = Key::new("cert", "\"\"", "");
const CERT_FILE: Key<String> = Key::new("cert_file", "\"\"", "");
const KEY: Key<SecretText> = Key::new("key", "\"\"", "");
const KEY_FILE: Key<String> = Key::new("key_file", "\"\"", "");
const CLIENT_CA: Key<String> = Key::new("client_ca", "\"\"", "");
const CLIENT_CA_FILE: Key<String> = Key::new("client_ca_file", "\"\"", "");
const CLIENT_AUTH_TYPE: Key<String> = Key::new("client_auth_type", "\"\"", "");
const CLIENT_ALLOWED_SANS: Key<Vec<String>> = Key::new("client_allowed_sans", "[]", "");
const MIN_VERSION: Key<String> = Key::new("min_version", "\"TLS12\"", "");
const MAX_VERSION: Key<String> = Key::new("max_version", "\"TLS13\"", "");
const CIPHER_SUITES: Key<Vec<String>> = Key::new("cipher_suites", "[]", "");
const PREFER_SERVER: Key<Flag> = Key::new("prefer_server_cipher_suites", "true", "");
const CURVES: Key<Vec<String>> = Key::new("curve_preferences", "[]", "");
const HTTP2: Key<Flag> = Key::new("http2", "true", "");
const INTERVAL: Key<Interval> = Key::new("interval", "\"0s\"", "");
const BURST: Key<Burst> = Key::optional("burst", "");

/// A boolean of YAML 1.1.
struct Flag;

impl Setting for Flag {
    const EXPECTED: &'static str = "true or false";

    fn from_value(value: &Value) -> Result<Self, String> {
        const KNOWN: [&str; 8] = ["y", "yes", "true", "on", "n", "no", "false", "off"];
        match value {
            Value::Boolean(_) => Ok(Flag),
            Value::String(text) if KNOWN.iter().any(|known| text.eq_ignore_ascii_case(known)) => Ok(Flag),
            _ => Err(String::new()),
        }
    }
}

/// A Go duration such as `1m30s`; a plain number is in nanoseconds.
struct Interval(Duration);

impl Setting for Interval {
    const EXPECTED: &'static str = "a duration such as 1s, 500ms or 1m30s";

    fn from_value(value: &Value) -> Result<Self, String> {
        go_duration(&String::from_value(value)?).map(Interval).ok_or_else(String::new)
    }
}

fn go_duration(text: &str) -> Option<Duration> {
    if let Ok(nanoseconds) = text.parse() {
        return Some(Duration::from_nanos(nanoseconds));
    }
    let (mut sum, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(rest.len(), |at| digits + at);
        let seconds = match &rest[digits..unit] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        sum += rest[..digits].parse::<f64>().ok()? * seconds;
        rest = &rest[unit..];
    }
    Duration::try_from_secs_f64(sum).ok().filter(|_| !text.is_empty())
}

/// A burst size; 0 is valid.
struct Burst(usize);

impl Setting for Burst {
    const EXPECTED: &'static str = "an integer";

    fn from_value(value: &Value) -> Result<Self, String> {
        String::from_value(value)?.parse().map(Burst).map_err(|_| String::new())
    }
}

/// Reads the file at `path`. Relative paths in it start from its folder.
///
/// # Errors
/// All errors of the file.
pub fn load(path: &Path) -> Result<Protection, String> {
    /// Enough for 100,000 users.
    const MOST_BYTES: u64 = 16 << 20;
    let text = read_text_within(path, MOST_BYTES, READ_TIMEOUT).map_err(|error| error.to_string())?;
    let folder = path.parent().unwrap_or(Path::new("."));
    parse(&path.display().to_string(), &text, folder).map_err(|problems| problems.to_string())
}

fn parse(name: &str, text: &str, folder: &Path) -> Result<Protection, Problems> {
    let document = yaml::parse(name, text)?;
    Section::check(&document, |root| Protection {
        tls: tls(&mut root.table("tls_server_config"), folder),
        headers: headers(&mut root.table("http_server_config")),
        users: users(root),
        rate: rate(&mut root.table("rate_limit")),
    })
}

/// A PEM, inline or in a file.
fn pem(section: &mut Section<'_>, given: String, file: &Key<String>, names: [&str; 2], folder: &Path) -> Option<Pem> {
    let path = section.get(file);
    if !given.is_empty() && !path.is_empty() {
        section.wrong(names[1], format!("expected either {} or {}, found both", names[0], names[1]));
    }
    match () {
        () if !path.is_empty() => Some(Pem::File(folder.join(PathBuf::from(path)))),
        () if !given.is_empty() => Some(Pem::Text(given)),
        () => None,
    }
}

fn tls(section: &mut Section<'_>, folder: &Path) -> Option<Tls> {
    let (certificate, key, client_ca) = (section.get(&CERT), section.get(&KEY), section.get(&CLIENT_CA));
    let certificate = pem(section, certificate, &CERT_FILE, ["cert", "cert_file"], folder);
    let key = pem(section, key.reveal().to_owned(), &KEY_FILE, ["key", "key_file"], folder);
    let client_ca = pem(section, client_ca, &CLIENT_CA_FILE, ["client_ca", "client_ca_file"], folder);
    let asked = section.get(&CLIENT_AUTH_TYPE);
    let client_auth = match asked.as_str() {
        "" => ClientAuth::No,
        name => ClientAuth::of(name).unwrap_or_else(|| {
            let message = format!("expected one of {}, found {name:?}", names(&ClientAuth::NAMES));
            section.wrong("client_auth_type", message);
            ClientAuth::No
        }),
    };
    let client_names = section.get(&CLIENT_ALLOWED_SANS);
    let min_version = version(section, &MIN_VERSION, "min_version").max(12);
    let max_version = version(section, &MAX_VERSION, "max_version");
    if max_version < 12 {
        section.wrong("max_version", "TLS below 1.2 is not spoken");
    }
    let cipher_suites = cipher_suites(section);
    let _the_servers_order_holds_always = section.get(&PREFER_SERVER);
    let curves = section.get(&CURVES);
    for (index, curve) in curves.iter().enumerate().filter(|(_, curve)| go_curve(curve).is_none()) {
        section.wrong_element("curve_preferences", index, format!("unknown curve {curve:?}"));
    }
    if certificate.is_none() && key.is_none() {
        if client_ca.is_some() || client_auth != ClientAuth::No {
            section.wrong("cert_file", "required where clients' certificates are asked for");
        }
        return None;
    }
    let missing = || Pem::File(PathBuf::new());
    let tls = Tls {
        certificate: certificate.unwrap_or_else(missing),
        key: key.unwrap_or_else(missing),
        client_ca,
        client_auth,
        client_names,
        min_version,
        max_version,
        cipher_suites,
        curves,
    };
    if let Err((key, message)) = tls.check() {
        section.wrong(key, message);
    }
    Some(tls)
}

fn version(section: &mut Section<'_>, key: &Key<String>, name: &str) -> u8 {
    let asked = section.get(key);
    version_of(&asked).unwrap_or_else(|| {
        section.wrong(name, format!("expected TLS10, TLS11, TLS12 or TLS13, found {asked:?}"));
        13
    })
}

/// The configured cipher suites. Obsolete ones are ignored, unknown ones are errors.
fn cipher_suites(section: &mut Section<'_>) -> Vec<String> {
    let spoken: Vec<String> =
        rustls::crypto::ring::ALL_CIPHER_SUITES.iter().map(|suite| format!("{:?}", suite.suite())).collect();
    let asked = section.get(&CIPHER_SUITES);
    let is_old = |name: &str| {
        name.starts_with("TLS_RSA_WITH_")
            || (name.starts_with("TLS_ECDHE_") && (name.contains("_CBC_") || name.contains("_RC4_")))
    };
    let is_alias = |name: &str| name.ends_with("_WITH_CHACHA20_POLY1305");
    let of_13 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
    for (index, name) in asked.iter().enumerate() {
        if !spoken.contains(name) && !is_old(name) && !is_alias(name) && !of_13.contains(&name.as_str()) {
            section.wrong_element("cipher_suites", index, format!("unknown cipher suite {name:?}"));
        }
    }
    asked.into_iter().map(|name| if is_alias(&name) { name + "_SHA256" } else { name }).collect()
}

fn users(root: &mut Section<'_>) -> Vec<User> {
    let section = root.table("basic_auth_users");
    let mut users = Vec::new();
    for (name, hash) in section.strings() {
        match Hash::new(&hash) {
            Ok(hash) => users.push(User::with_password(name, hash)),
            Err(reason) => root.wrong("basic_auth_users", format!("the password of {name:?}: {reason}")),
        }
    }
    users
}

/// Supported headers with their valid values; an empty list allows any value.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-XSS-Protection", &[]),
    ("Strict-Transport-Security", &[]),
];

fn headers(section: &mut Section<'_>) -> HeaderMap {
    let _only_http_1_is_spoken = section.get(&HTTP2);
    let mut headers = HeaderMap::new();
    for (name, text) in section.table("headers").strings() {
        let Some((known, values)) = HEADERS.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name)) else {
            let known = HEADERS.map(|(known, _)| known).join(", ");
            section.wrong("headers", format!("{name} cannot be set; expected one of {known}"));
            continue;
        };
        let is_allowed = values.is_empty() || values.iter().any(|value| value.eq_ignore_ascii_case(&text));
        match (is_allowed, HeaderName::from_bytes(known.as_bytes()), HeaderValue::from_str(&text)) {
            (_, _, Ok(value)) if value.is_empty() => {}
            (true, Ok(name), Ok(value)) => drop(headers.insert(name, value)),
            _ => section.wrong("headers", format!("{name}: {text:?} is not a value that it may have")),
        }
    }
    headers
}

fn rate(section: &mut Section<'_>) -> Option<Rate> {
    let Interval(interval) = section.get(&INTERVAL);
    let Burst(burst) = section.optional(&BURST).unwrap_or(Burst(1));
    (!interval.is_zero()).then_some(Rate { interval, burst })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        parse("web.yml", text, Path::new("/etc")).err().map(|problems| problems.lines().collect()).unwrap_or_default()
    }

    const HASH: &str = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

    #[test]
    fn a_whole_file_is_read() {
        let text = format!(
            "tls_server_config:\n  cert_file: server.crt\n  key_file: /keys/server.key\n  client_auth_type: RequireAndVerifyClientCert\n  \
             client_ca_file: ca.crt\n  client_allowed_sans: [a.example]\n  min_version: TLS13\n  max_version: TLS13\n  \
             cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_128_CBC_SHA]\n  \
             prefer_server_cipher_suites: false\n  curve_preferences: [X25519]\n\
             http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n\
             basic_auth_users:\n  alice: {HASH}\nrate_limit:\n  interval: 1s\n  burst: 20\n"
        );
        let protection = parse("web.yml", &text, Path::new("/etc")).unwrap();
        let tls = protection.tls.unwrap();
        assert_eq!(tls.certificate, Pem::File("/etc/server.crt".into()));
        assert_eq!(tls.key, Pem::File("/keys/server.key".into()));
        assert_eq!((tls.min_version, tls.max_version, tls.client_auth), (13, 13, ClientAuth::Require));
        assert_eq!(protection.headers["x-frame-options"], "deny");
        assert_eq!(protection.users[0].name, "alice");
        assert_eq!(protection.rate, Some(Rate { interval: Duration::from_secs(1), burst: 20 }));
        assert_eq!(parse("web.yml", "", Path::new("/etc")).unwrap(), Protection::default());
    }

    #[test]
    fn durations_are_those_of_go() {
        let milliseconds = |text: &str| go_duration(text).map(|duration| duration.as_millis());
        for (text, expected) in [
            ("0", 0),
            ("0s", 0),
            ("1s", 1000),
            ("1.5s", 1500),
            ("1h1m1s1ms", 3_661_001),
            (".5m", 30_000),
            ("2000000", 2),
        ] {
            assert_eq!(milliseconds(text), Some(expected), "{text}");
        }
        for text in ["", "s", "1d", "1 s", "-1s", "1.2.3s", "1s1", "9e99h"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, line) in [
            ("tls_config:\n  cert_file: a\n", "web.yml:1:1: tls_config: unknown key; did you mean tls_server_config?"),
            ("tls_server_config:\n  cert_file: a\n", "web.yml:2:3: tls_server_config.key_file: required"),
            ("tls_server_config:\n  key_file: a\n", "web.yml:2:3: tls_server_config.cert_file: required"),
            (
                "tls_server_config:\n  cert_file: a\n  key_file: b\n  client_ca_file: c\n",
                "web.yml:4:19: tls_server_config.client_ca_file: a client CA without",
            ),
            (
                "tls_server_config:\n  cert_file: a\n  key_file: b\n  client_auth_type: RequireAndVerifyClientCert\n",
                "web.yml:2:3: tls_server_config.client_ca_file: required",
            ),
            (
                "tls_server_config:\n  cert_file: a\n  cert: b\n  key_file: b\n",
                "web.yml:2:14: tls_server_config.cert_file: expected either",
            ),
            (
                "tls_server_config:\n  min_version: SSL3\n",
                "web.yml:2:16: tls_server_config.min_version: expected TLS10",
            ),
            ("tls_server_config:\n  max_version: TLS11\n", "web.yml:2:16: tls_server_config.max_version: TLS below"),
            (
                "tls_server_config:\n  cipher_suites: [X]\n",
                "web.yml:2:19: tls_server_config.cipher_suites[0]: unknown cipher suite \"X\"",
            ),
            (
                "tls_server_config:\n  client_auth_type: Maybe\n",
                "web.yml:2:21: tls_server_config.client_auth_type: expected one of",
            ),
            (
                "basic_auth_users:\n  a: secret\n",
                "web.yml:2:3: basic_auth_users: the password of \"a\": expected a bcrypt hash",
            ),
            (
                "http_server_config:\n  headers:\n    Server: x\n",
                "web.yml:3:5: http_server_config.headers: Server cannot be set",
            ),
            (
                "http_server_config:\n  headers:\n    X-Frame-Options: allow\n",
                "web.yml:3:5: http_server_config.headers: X-Frame-Options: \"allow\"",
            ),
        ] {
            let found = mistakes(text);
            assert!(found.iter().any(|mistake| mistake.starts_with(line)), "{line}: {found:#?}");
        }
    }
}
