//! `dns_sd_configs`: addresses of names.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::{Found, Group, interval};
use crate::config::{Key, KeyInfo, Section};

/// Names in DNS.
#[derive(Debug)]
pub(in crate::collectors::prometheus) struct Dns {
    names: Vec<String>,
    is_v6: bool,
    port: u16,
    pub(super) interval: Duration,
}

const NAMES: Key<Vec<String>> = Key::optional("names", "Names to resolve.");
const TYPE: Key<String> = Key::new("type", "\"A\"", "Type of record: A or AAAA.");
const PORT: Key<usize> = Key::optional("port", "Port of the targets.");
const REFRESH_INTERVAL: Key<Duration> = Key::new("refresh_interval", "\"30s\"", "Interval of resolving.");
pub(super) const KEYS: &[KeyInfo] = &[NAMES.info(), TYPE.info(), PORT.info(), REFRESH_INTERVAL.info()];

/// Time within which a name is resolved.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Dns {
    pub(super) fn new(section: &mut Section<'_>) -> Dns {
        let names = section.optional(&NAMES).unwrap_or_default();
        if names.is_empty() {
            section.wrong("names", "required: at least one name");
        }
        let kind = section.get(&TYPE);
        if !["A", "AAAA"].contains(&kind.as_str()) {
            section.wrong("type", format!("expected A or AAAA, found {kind:?}"));
        }
        let port = section.optional(&PORT).and_then(|port| u16::try_from(port).ok());
        if port.is_none() {
            section.wrong("port", "required: a port, at most 65535");
        }
        let interval = interval(section, &REFRESH_INTERVAL);
        Dns { names, is_v6: kind == "AAAA", port: port.unwrap_or_default(), interval }
    }

    pub(super) fn summary(&self) -> String {
        self.names.join(", ")
    }

    pub(super) async fn find(&self) -> Found {
        let mut groups = Vec::new();
        for name in &self.names {
            match self.resolve(name).await {
                Ok(group) => groups.push(group),
                Err(reason) => return Err(format!("{name}: {reason}")).into(),
            }
        }
        Ok(groups).into()
    }

    async fn resolve(&self, name: &str) -> Result<Group, String> {
        let found = tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((name, self.port))).await;
        let found = found.map_err(|_| "no response".to_owned())?.map_err(|error| error.to_string())?;
        let addresses: BTreeSet<IpAddr> =
            found.map(|address| address.ip()).filter(|address| address.is_ipv6() == self.is_v6).collect();
        let target = |address: &IpAddr| match address {
            IpAddr::V4(address) => format!("{address}:{}", self.port),
            IpAddr::V6(address) => format!("[{address}]:{}", self.port),
        };
        let labels = [("__meta_dns_name".to_owned(), name.to_owned())].into();
        Ok(Group { targets: addresses.iter().map(target).collect(), labels })
    }
}
