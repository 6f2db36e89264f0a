//! `docker_sd_configs`: containers of a Docker daemon.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::{Found, Group, interval, label_name};
use crate::client::{display_url, target};
use crate::config::{Key, KeyInfo, Section};
use crate::encode::infos::concat;
use crate::json::Lenient;

/// A daemon.
#[derive(Debug)]
pub(in crate::collectors::prometheus) struct Docker {
    list: Url,
    client: target::Client,
    port: u16,
    host_networking_host: String,
    pub(super) interval: Duration,
}

const HOST: Key<String> =
    Key::new("host", "\"unix:///var/run/docker.sock\"", "The daemon: a Unix socket, or the URL of its API.");
const PORT: Key<usize> = Key::new("port", "80", "Port of containers that expose none.");
const HOST_NETWORKING_HOST: Key<String> =
    Key::new("host_networking_host", "\"localhost\"", "Host of containers in the network of the host.");
const REFRESH_INTERVAL: Key<Duration> = Key::new("refresh_interval", "\"1m\"", "Interval of requests.");
const TIMEOUT: Key<Duration> = Key::new("timeout", "\"10s\"", "Timeout of a request.");
const OWN_KEYS: &[KeyInfo] =
    &[HOST.info(), PORT.info(), HOST_NETWORKING_HOST.info(), REFRESH_INTERVAL.info(), TIMEOUT.info()];
pub(super) const KEYS: [KeyInfo; OWN_KEYS.len() + target::KEYS.len()] = concat(&[OWN_KEYS, &target::KEYS]);

impl Docker {
    pub(super) fn new(section: &mut Section<'_>) -> Docker {
        let host = section.get(&HOST);
        let list = target::parse(&host).and_then(|url| list_url(url).ok_or("expected the URL of a daemon"));
        let list = list.unwrap_or_else(|expected| {
            section.wrong("host", expected);
            Url::parse("http://localhost").unwrap_or_else(|_| unreachable!("a URL"))
        });
        let port = u16::try_from(section.get(&PORT)).unwrap_or_else(|_| {
            section.wrong("port", "expected at most 65535");
            80
        });
        let timeout = section.above_zero(&TIMEOUT);
        let settings = target::Settings::new(section, timeout);
        Docker {
            list,
            client: target::Client::new(Arc::new(settings)),
            port,
            host_networking_host: section.get(&HOST_NETWORKING_HOST),
            interval: interval(section, &REFRESH_INTERVAL),
        }
    }

    pub(super) fn summary(&self) -> String {
        display_url(&self.list)
    }

    pub(super) async fn find(&self) -> Found {
        let found = self.list().await;
        found.map_err(|reason| format!("{}: {reason}", self.summary())).into()
    }

    async fn list(&self) -> Result<Vec<Group>, String> {
        let page = self.client.get(&self.list, HeaderMap::new(), self.client.settings().http.timeout).await;
        let page = page.and_then(target::Page::ok).map_err(|failure| failure.to_string())?;
        let containers: Vec<Lenient<Container>> =
            serde_json::from_slice(&page.body).map_err(|error| error.to_string())?;
        Ok(containers.iter().flat_map(|container| self.groups(container)).collect())
    }

    /// One target for each network of a container and each of its TCP ports.
    fn groups(&self, container: &Container) -> Vec<Group> {
        let common = container.labels();
        let mut groups = Vec::new();
        for (network, endpoint) in container.network_settings.networks.iter() {
            let of_host = *container.host_config.network_mode == "host";
            let mut labels = common.clone();
            labels.insert("__meta_docker_network_name".to_owned(), network.clone());
            labels.insert("__meta_docker_network_ip".to_owned(), endpoint.ip_address.0.clone());
            let host = if of_host { &self.host_networking_host } else { &*endpoint.ip_address };
            let mut ports: Vec<&Port> =
                container.ports.iter().map(|port| &port.0).filter(|port| *port.kind == "tcp").collect();
            // The same port is listed once for IPv4 and once for IPv6.
            ports.dedup_by_key(|port| *port.private);
            for port in &ports {
                let mut labels = labels.clone();
                labels.insert("__meta_docker_port_private".to_owned(), port.private.to_string());
                if let Some(public) = *port.public {
                    labels.insert("__meta_docker_port_public".to_owned(), public.to_string());
                    labels.insert("__meta_docker_port_public_ip".to_owned(), port.ip.0.clone());
                }
                groups.push(Group { targets: vec![format!("{host}:{}", *port.private)], labels });
            }
            if ports.is_empty() {
                let target = if of_host { host.clone() } else { format!("{host}:{}", self.port) };
                groups.push(Group { targets: vec![target], labels });
            }
        }
        groups
    }
}

/// The URL of the list of running containers.
fn list_url(host: Url) -> Option<Url> {
    let base = host.as_str().trim_end_matches('/');
    let separator = if host.scheme() == crate::client::unix::UNIX { ":" } else { "" };
    Url::parse(&format!("{base}{separator}/containers/json")).ok()
}

/// A container, as the daemon lists it.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Container {
    id: Lenient<String>,
    names: Lenient<Vec<String>>,
    image: Lenient<String>,
    labels: Lenient<BTreeMap<String, Lenient<String>>>,
    ports: Lenient<Vec<Lenient<Port>>>,
    host_config: Lenient<HostConfig>,
    network_settings: Lenient<NetworkSettings>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HostConfig {
    network_mode: Lenient<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct NetworkSettings {
    networks: Lenient<BTreeMap<String, Lenient<Endpoint>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    #[serde(rename = "IPAddress")]
    ip_address: Lenient<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Port {
    #[serde(rename = "IP")]
    ip: Lenient<String>,
    #[serde(rename = "PrivatePort")]
    private: Lenient<u16>,
    #[serde(rename = "PublicPort")]
    public: Lenient<Option<u16>>,
    #[serde(rename = "Type")]
    kind: Lenient<String>,
}

impl Container {
    fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::from([
            ("__meta_docker_container_id".to_owned(), self.id.0.clone()),
            ("__meta_docker_container_name".to_owned(), self.names.first().cloned().unwrap_or_default()),
            ("__meta_docker_container_image".to_owned(), self.image.0.clone()),
            ("__meta_docker_container_network_mode".to_owned(), self.host_config.network_mode.0.clone()),
        ]);
        for (name, value) in self.labels.iter() {
            labels.insert(format!("__meta_docker_container_label_{}", label_name(name)), value.0.clone());
        }
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;

    const LIST: &str = r#"[
        {"Id": "1", "Names": ["/web"], "Image": "nginx", "Labels": {"prometheus.io/port": "9113"},
         "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
                   {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
                   {"PrivatePort": 53, "Type": "udp"}, {"PrivatePort": 9113, "Type": "tcp"}],
         "HostConfig": {"NetworkMode": "bridge"},
         "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "172.17.0.2"}}}},
        {"Id": "2", "Names": ["/node"], "HostConfig": {"NetworkMode": "host"}, "Ports": [],
         "NetworkSettings": {"Networks": {"host": {"IPAddress": ""}}}},
        {"Id": "3", "Names": ["/plain"], "Labels": null, "Ports": 7, "NetworkSettings": {"Networks": {"a": {"IPAddress": "10.0.0.3"}}}}
    ]"#;

    fn docker(toml: &str) -> Docker {
        let document = Document::parse("test", toml, &|_| None).unwrap();
        Section::check(&document, Docker::new).unwrap()
    }

    #[test]
    fn each_port_of_a_container_is_a_target() {
        let containers: Vec<Container> = serde_json::from_str(LIST).unwrap();
        let groups: Vec<Group> = containers.iter().flat_map(|container| docker("").groups(container)).collect();
        let targets: Vec<&str> = groups.iter().map(|group| group.targets[0].as_str()).collect();
        assert_eq!(targets, ["172.17.0.2:80", "172.17.0.2:9113", "localhost", "10.0.0.3:80"]);
        let labels = &groups[0].labels;
        assert_eq!(labels["__meta_docker_container_name"], "/web");
        assert_eq!(labels["__meta_docker_container_label_prometheus_io_port"], "9113");
        assert_eq!((&*labels["__meta_docker_port_private"], &*labels["__meta_docker_port_public"]), ("80", "8080"));
    }

    #[test]
    fn a_daemon_is_a_socket_or_a_url() {
        assert_eq!(docker("").list.as_str(), "unix:///var/run/docker.sock:/containers/json");
        assert_eq!(docker("host = 'http://h:2375'").list.as_str(), "http://h:2375/containers/json");
    }
}
