//! The settings of replicas: `stream`, `scrape`, `replica_url`, `replica_name` and `replica_ca` of `[gateway]`.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use reqwest::Url;

use crate::client::{self, Tls};
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
        let stream = section.optional(&STREAM);
        if stream.is_none() {
            let set = [(SCRAPE.info(), section.has(&SCRAPE)), (REPLICA_URL.info(), url.is_some())];
            let set = set.into_iter().chain([(REPLICA_NAME.info(), name.is_some()), (REPLICA_CA.info(), ca.is_some())]);
            for (key, _) in set.filter(|(_, is_set)| *is_set) {
                section.wrong(key.name, "expected stream with it, found none: it is a setting of replicas");
            }
        }
        let stream = stream?;
        if let Some(ca) = ca.clone() {
            section.depends("replica_ca", move || Tls { ca: Some(ca.clone()), ..Tls::default() }.check_ca());
        }
        if !is_name(&stream) {
            section
                .wrong("stream", format!("expected a name of at most 200 letters, digits, - and _, found {stream:?}"));
        }
        if name.as_ref().is_some_and(|name| !is_replica_name(name)) {
            section.wrong("replica_name", "expected 1 to 200 characters, none of them a control character");
        }
        if nats.servers.is_empty() {
            section.wrong("stream", "expected [nats] servers with it, found none");
        }
        let Some(url) = url else {
            section.wrong("stream", "expected replica_url with it, found none");
            return None;
        };
        let parsed = match replica_url(&url) {
            Ok(parsed) => parsed,
            Err(reason) => {
                section.wrong("replica_url", reason);
                return None;
            }
        };
        let name = name.unwrap_or_else(|| client::host(&parsed));
        Some(Settings { stream, scrape, name, url: parsed.to_string().trim_end_matches('/').to_owned(), ca, nats })
    }
}

/// Why a replica without a directory does not start.
pub const NO_STATE: &str = "expected state = DIRECTORY or --state with it, found none: a replica keeps its copy there";

fn is_replica_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 200 && !name.contains(char::is_control)
}

/// The URL at which other replicas reach this one.
fn replica_url(text: &str) -> Result<Url, String> {
    let url = client::parse_url(&bracketed(text), "http");
    let url = url.filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    let url = url.ok_or_else(|| format!("expected an http or https URL, found {text:?}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("expected a URL without credentials: requests are forwarded with those of the client".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("expected a URL without a query and a fragment, found {text:?}"));
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_nowhere = host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified());
    match is_nowhere {
        true => Err(format!("expected an address that other replicas can connect to, found {text:?}")),
        false => Ok(url),
    }
}

/// The URL, with brackets around an IPv6 address before a port: in Kubernetes, the address of a pod has none.
fn bracketed(text: &str) -> Cow<'_, str> {
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, _)) if host.parse::<Ipv6Addr>().is_ok() => {
            let after = &rest[host.len()..];
            Cow::Owned(format!("{scheme}://[{host}]{after}"))
        }
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_replicas_can_connect_to_the_url() {
        for (text, expected) in [
            ("http://gateway-1.example:9091", Ok("http://gateway-1.example:9091/")),
            ("gateway-1.example:9091", Ok("http://gateway-1.example:9091/")),
            ("https://10.0.0.1:9091/a", Ok("https://10.0.0.1:9091/a")),
            ("http://[fd00::1]:9091", Ok("http://[fd00::1]:9091/")),
            ("http://fd00::1:9091", Ok("http://[fd00::1]:9091/")),
            ("http://fd00:0:0:0:0:0:0:1:9091/a", Ok("http://[fd00::1]:9091/a")),
            ("http://", Err("expected an http or https URL")),
            ("ftp://a:1", Err("expected an http or https URL")),
            ("http://u:p@a:1", Err("expected a URL without credentials")),
            ("http://a:1?b", Err("expected a URL without a query")),
            ("http://a:1#b", Err("expected a URL without a query")),
            ("http://a:0", Err("expected an http or https URL")),
            ("http://0.0.0.0:9091", Err("expected an address that other replicas can connect to")),
            ("http://[::]:9091", Err("expected an address that other replicas can connect to")),
        ] {
            match (replica_url(text), expected) {
                (Ok(url), Ok(expected)) => assert_eq!(url.as_str(), expected),
                (Err(reason), Err(expected)) => assert!(reason.starts_with(expected), "{text}: {reason}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn names_of_replicas_are_printable() {
        for (name, expected) in [("a b.ü", true), ("", false), ("a\n", false), (&"n".repeat(201)[..], false)] {
            assert_eq!(is_replica_name(name), expected, "{name:?}");
        }
    }

    /// The problems of a configuration and, if it has none, what `taffrail check` warns of.
    #[cfg(feature = "nats")]
    fn said_of(toml: &str) -> Vec<String> {
        let document = crate::config::Document::parse("f", toml, &|_| None).unwrap();
        let checked = crate::settings::Settings::check(&document, &crate::settings::Overrides::default());
        match checked {
            Ok(settings) => settings.dependencies.problems().lines().collect(),
            Err(problems) => problems.lines().collect(),
        }
    }

    #[cfg(feature = "nats")]
    const NATS: &str = "[nats]\nservers = [\"nats://a\"]\n";

    #[cfg(feature = "nats")]
    #[test]
    fn settings_of_replicas_need_a_stream() {
        let settings =
            ["scrape = \"own\"", "replica_url = \"http://a:1\"", "replica_name = \"a\"", "replica_ca = \"/a.pem\""];
        for setting in settings {
            let (key, value) = setting.split_once(" = ").unwrap();
            let column = setting.len() - value.len() + 1;
            let expected = format!(
                "f:2:{column}: gateway.{key}: expected stream with it, found none: it is a setting of replicas"
            );
            assert_eq!(said_of(&format!("[gateway]\n{setting}")), [expected]);
        }
    }

    #[cfg(feature = "nats")]
    #[test]
    fn servers_that_nothing_uses_are_warned_of() {
        let warning =
            "f:1:1: nats: it has no effect without [gateway] stream and without a job with a lease; remove it";
        assert_eq!(said_of(NATS), [warning]);
        assert_eq!(said_of("[nats]\ntoken = \"a\""), [warning]);
        assert_eq!(said_of("[nats]"), [""; 0]);
        let gateway = "[gateway]\nstate = \"/s\"\nstream = \"s\"\nreplica_url = \"http://a:1\"\n";
        assert_eq!(said_of(&format!("{NATS}{gateway}")), [""; 0]);
        let job = "[[collectors.prometheus]]\nname = \"a\"\ntargets = [\"http://a:1/metrics\"]\n";
        assert_eq!(said_of(&format!("{NATS}{job}lease = \"l\"\n")), [""; 0]);
        assert_eq!(said_of(&format!("{NATS}{job}")), [warning]);
    }

    #[cfg(feature = "nats")]
    #[test]
    fn a_stream_without_a_directory_is_warned_of() {
        let said = said_of(&format!("{NATS}[gateway]\nstream = \"s\"\nreplica_url = \"http://a:1\"\n"));
        assert_eq!(said, [format!("f:4:10: gateway.stream: {NO_STATE}")]);
    }

    /// Taffrail starts without them, as they may appear later.
    #[cfg(feature = "nats")]
    #[test]
    fn files_that_replicas_need_are_looked_for() {
        let gateway = "[gateway]\nstate = \"/s\"\nstream = \"s\"\nreplica_url = \"https://a:1\"\n";
        let said = said_of(&format!(
            "{NATS}credentials = \"/nowhere/c\"\ntls_ca = \"/nowhere/ca\"\ntls_cert = \"/nowhere/cert\"\n\
             tls_key = \"/nowhere/key\"\n{gateway}replica_ca = \"/nowhere/replicas\"\n"
        ));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c");
        std::fs::write(&file, "-----BEGIN NATS USER JWT-----\nx\n").unwrap();
        let wrong = said_of(&format!("{NATS}credentials = {file:?}\n{gateway}"));
        assert!(wrong[0].contains("c: expected a block BEGIN USER NKEY SEED"), "{wrong:?}");
        let places =
            ["f:3:15: nats.credentials", "f:4:10: nats.tls_ca", "f:5:12: nats.tls_cert", "f:11:14: gateway.replica_ca"];
        let files = ["c", "ca", "cert", "replicas"];
        // What belongs into the file is not shown.
        assert!(!format!("{:?}", said_of(&format!("{NATS}credentials = \"S3CRET\"\n{gateway}"))).contains("S3CRET"));
        assert_eq!(said.len(), places.len(), "{said:?}");
        for ((line, place), file) in said.iter().zip(places).zip(files) {
            assert!(line.starts_with(&format!("{place}: ")), "{line}");
            assert!(line.contains(&format!(": /nowhere/{file}: No such file or directory")), "{line}");
        }
    }
}
