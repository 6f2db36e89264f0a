//! `dns_sd_configs`: records of names.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Found, Group, interval};
use crate::client::dns::message::{Data, Record, RecordType};
use crate::client::dns::resolver::{PORT as DNS_PORT, Resolver};
use crate::config::{Key, KeyInfo, Section};

/// Names in DNS.
#[derive(Debug)]
pub(in crate::collectors::prometheus) struct Dns {
    names: Vec<String>,
    kind: RecordType,
    port: u16,
    /// The name servers; those of the system if there are none.
    servers: Vec<SocketAddr>,
    pub(super) interval: Duration,
}

const NAMES: Key<Vec<String>> = Key::optional("names", "Names to resolve.");
const TYPE: Key<String> = Key::new("type", "\"SRV\"", "Type of record: SRV, A, AAAA, MX or NS.");
const PORT: Key<usize> = Key::optional("port", "Port of the targets; that of the record with type SRV.");
const SERVERS: Key<Vec<String>> =
    Key::new("servers", "[]", "Name servers, such as \"127.0.0.1:8600\"; those in /etc/resolv.conf if empty.");
const REFRESH_INTERVAL: Key<Duration> = Key::new("refresh_interval", "\"30s\"", "Interval of resolving.");
pub(super) const KEYS: &[KeyInfo] = &[NAMES.info(), TYPE.info(), PORT.info(), SERVERS.info(), REFRESH_INTERVAL.info()];

/// Time within which a name is resolved.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Dns {
    pub(super) fn new(section: &mut Section<'_>) -> Dns {
        const KINDS: [RecordType; 5] =
            [RecordType::SRV, RecordType::A, RecordType::AAAA, RecordType::MX, RecordType::NS];
        let names = section.optional(&NAMES).unwrap_or_default();
        if names.is_empty() {
            section.wrong("names", "required: at least one name");
        }
        let name = section.get(&TYPE);
        let kind = RecordType::from_name(&name).filter(|kind| KINDS.contains(kind)).unwrap_or_else(|| {
            section.wrong("type", format!("expected SRV, A, AAAA, MX or NS, found {name:?}"));
            RecordType::SRV
        });
        let port = section.optional(&PORT).map(u16::try_from);
        match port {
            None if kind != RecordType::SRV => section.wrong("port", format!("required: the type is {kind}")),
            Some(Err(_)) => section.wrong("port", "expected at most 65535"),
            _ => {}
        }
        let port = port.and_then(Result::ok).unwrap_or_default();
        let mut servers = Vec::new();
        for (index, server) in section.get(&SERVERS).iter().enumerate() {
            match server_address(server) {
                Some(address) => servers.push(address),
                None => section.wrong_element("servers", index, "expected an IP address, with a port or without"),
            }
        }
        Dns { names, kind, port, servers, interval: interval(section, &REFRESH_INTERVAL) }
    }

    pub(super) fn summary(&self) -> String {
        format!("{} of {}", self.kind, self.names.join(", "))
    }

    pub(super) async fn find(&self) -> Found {
        let resolver = match self.resolver().await {
            Ok(resolver) => resolver,
            Err(reason) => return Err(reason).into(),
        };
        let mut groups = Vec::new();
        for name in &self.names {
            let found = tokio::time::timeout(TIMEOUT, resolver.resolve(name, self.kind)).await;
            match found.unwrap_or_else(|_| Err(format!("no response within {} s", TIMEOUT.as_secs()))) {
                Ok(records) => groups.extend(records.iter().filter_map(|record| self.group(name, record))),
                Err(reason) => return Err(format!("{name}: {reason}")).into(),
            }
        }
        Ok(groups).into()
    }

    async fn resolver(&self) -> Result<Resolver, String> {
        if !self.servers.is_empty() {
            return Ok(Resolver::of_servers(self.servers.clone()));
        }
        let read = tokio::task::spawn_blocking(Resolver::of_system).await;
        read.map_err(|_| "the program ends".to_owned())?
    }

    /// The target of a record; `None` for records of other types, such as CNAME.
    fn group(&self, name: &str, record: &Record) -> Option<Group> {
        let mut labels = vec![("name", name.to_owned())];
        let target = match &record.data {
            _ if record.kind != self.kind => return None,
            Data::A(address) => format!("{address}:{}", self.port),
            Data::Aaaa(address) => format!("[{address}]:{}", self.port),
            Data::Srv { target, port, .. } => {
                labels.extend([("srv_record_target", format!("{target}.")), ("srv_record_port", port.to_string())]);
                format!("{target}:{port}")
            }
            Data::Mx { exchange, .. } => {
                labels.push(("mx_record_target", format!("{exchange}.")));
                format!("{exchange}:{}", self.port)
            }
            Data::Name(server) => {
                labels.push(("ns_record_target", format!("{server}.")));
                format!("{server}:{}", self.port)
            }
            _ => return None,
        };
        let labels = labels.into_iter().map(|(label, value)| (format!("__meta_dns_{label}"), value)).collect();
        Some(Group { targets: vec![target], labels })
    }
}

fn server_address(text: &str) -> Option<SocketAddr> {
    let address = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let given = text.parse::<SocketAddr>().ok().filter(|address| address.port() != 0);
    given.or_else(|| Some(SocketAddr::new(address.ok()?, DNS_PORT)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;

    fn dns(toml: &str) -> Result<Dns, String> {
        let document = Document::parse("test", toml, &|_| None).unwrap();
        Section::check(&document, Dns::new).map_err(|problems| problems.lines().next().unwrap())
    }

    #[test]
    fn each_record_is_a_target_with_the_labels_of_prometheus() {
        let service = Data::Srv { priority: 0, weight: 0, port: 9100, target: "a.example.org".to_owned() };
        for (kind, data, target, labels) in [
            ("SRV", service, "a.example.org:9100", "name=n,srv_record_port=9100,srv_record_target=a.example.org."),
            ("A", Data::A([10, 0, 0, 1].into()), "10.0.0.1:80", "name=n"),
            ("AAAA", Data::Aaaa("fe80::1".parse().unwrap()), "[fe80::1]:80", "name=n"),
            ("MX", Data::Mx { preference: 1, exchange: "m".to_owned() }, "m:80", "mx_record_target=m.,name=n"),
            ("NS", Data::Name("ns.x".to_owned()), "ns.x:80", "name=n,ns_record_target=ns.x."),
        ] {
            let dns = dns(&format!("names = ['n']\ntype = {kind:?}\nport = 80")).unwrap();
            let record = Record { name: "n".to_owned(), kind: dns.kind, class: 1, ttl: 1, data };
            let found = dns.group("n", &record).unwrap();
            let shown: Vec<String> = found
                .labels
                .iter()
                .map(|(name, value)| format!("{}={value}", name.strip_prefix("__meta_dns_").unwrap()))
                .collect();
            assert_eq!((found.targets, shown.join(",").as_str()), (vec![target.to_owned()], labels));
            let alias = Record { kind: RecordType::CNAME, data: Data::Name("x".to_owned()), ..record };
            assert_eq!(dns.group("n", &alias), None);
        }
    }

    #[test]
    fn mistakes_are_found() {
        for (toml, key) in [
            ("", "names"),
            ("names = ['a']\ntype = 'TXT'", "type"),
            ("names = ['a']\ntype = 'A'", "port"),
            ("names = ['a']\nport = 65536", "port"),
            ("names = ['a']\nservers = ['ns.example.org']", "servers[0]"),
            ("names = ['a']\nservers = ['127.0.0.1:0']", "servers[0]"),
        ] {
            assert!(dns(toml).unwrap_err().contains(key), "{toml}");
        }
        let servers = dns("names = ['a']\nservers = ['127.0.0.1:8600', '::1', '[::1]:5353']").unwrap().servers;
        let servers: Vec<String> = servers.iter().map(SocketAddr::to_string).collect();
        assert_eq!(servers, ["127.0.0.1:8600", "[::1]:53", "[::1]:5353"]);
    }
}
