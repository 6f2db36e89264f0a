//! Whether the NATS servers sync each message before they acknowledge it, as far as their monitoring reports it.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::{Value, json};

/// What a server reports on `/varz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitored {
    /// The name of the server.
    pub name: String,
    /// Whether it syncs each message.
    pub syncs: bool,
}

impl Monitored {
    /// Reads `/varz` of a server.
    ///
    /// # Errors
    /// It is not `/varz` of a server with JetStream.
    pub fn decode(bytes: &[u8]) -> Result<Monitored, String> {
        #[derive(Deserialize)]
        struct Varz {
            server_name: String,
            jetstream: Option<JetStream>,
        }
        #[derive(Deserialize)]
        struct JetStream {
            config: Option<Config>,
        }
        // Servers before 2.10, and those with another setting, omit it.
        #[derive(Deserialize)]
        struct Config {
            #[serde(default)]
            sync_always: bool,
        }
        let varz: Varz =
            serde_json::from_slice(bytes).map_err(|error| format!("expected /varz of a NATS server: {error}"))?;
        let config = varz.jetstream.and_then(|jetstream| jetstream.config);
        let config = config.ok_or_else(|| format!("the server {} has no JetStream", varz.server_name))?;
        Ok(Monitored { name: varz.server_name, syncs: config.sync_always })
    }
}

/// Which servers of the stream sync each message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durability {
    /// The servers that store the stream, and whether each syncs; none if that is not known.
    pub servers: BTreeMap<String, Option<bool>>,
    /// Addresses in `[nats] monitoring` that did not respond as a server does, and why.
    pub failures: Vec<String>,
}

impl Durability {
    /// That of these servers, with what the addresses of `[nats] monitoring` reported.
    pub fn new(servers: &[String], reports: &[(String, Result<Monitored, String>)]) -> Durability {
        let syncs = |name: &String| {
            let mut reports = reports.iter().filter_map(|(_, report)| report.as_ref().ok());
            reports.find(|report| report.name == *name).map(|report| report.syncs)
        };
        let failure =
            |(address, report): &(String, Result<_, String>)| Some(format!("{address}: {}", report.as_ref().err()?));
        Durability {
            servers: servers.iter().map(|name| (name.clone(), syncs(name))).collect(),
            failures: reports.iter().filter_map(failure).collect(),
        }
    }

    /// Whether all servers sync each message; none if that is not known.
    pub fn is_synced(&self) -> Option<bool> {
        let has = |state| self.servers.values().any(|syncs| *syncs == state);
        match (has(Some(false)), has(None) || self.servers.is_empty()) {
            (true, _) => Some(false),
            (false, true) => None,
            (false, false) => Some(true),
        }
    }

    fn names(&self, state: Option<bool>) -> String {
        let names = self.servers.iter().filter(|(_, syncs)| **syncs == state).map(|(name, _)| name.as_str());
        names.collect::<Vec<_>>().join(", ")
    }

    /// In words: which servers sync, which do not, and which cannot be seen and why.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (state, what) in [
            (Some(false), "NOT each message, set `sync_interval: always`"),
            (Some(true), "each message"),
            (None, "unknown, [nats] monitoring needs a reachable address of each"),
        ] {
            let names = self.names(state);
            if !names.is_empty() {
                let separator = if text.is_empty() { "" } else { "; " };
                let _ = write!(text, "{separator}{what}: {names}");
            }
        }
        if text.is_empty() {
            text += "unknown";
        }
        self.failures.iter().for_each(|failure| text += &format!("; {failure}"));
        text
    }

    /// It in `/api/v1/status`.
    pub fn to_json(&self) -> Value {
        json!({"synced": self.is_synced(), "servers": self.servers, "failures": self.failures})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varz_is_read() {
        for (varz, expected) in [
            (r#"{"server_name":"n1","jetstream":{"config":{"sync_always":true,"x":1}}}"#, Ok(("n1", true))),
            (r#"{"server_name":"n1","jetstream":{"config":{"sync_interval":120000000000}}}"#, Ok(("n1", false))),
            (r#"{"server_name":"n1","jetstream":{}}"#, Err("the server n1 has no JetStream")),
            (r#"{"server_name":"n1"}"#, Err("the server n1 has no JetStream")),
            ("{}", Err("expected /varz of a NATS server: missing field `server_name` at line 1 column 2")),
        ] {
            let expected = expected.map(|(name, syncs)| Monitored { name: name.to_owned(), syncs });
            assert_eq!(Monitored::decode(varz.as_bytes()), expected.map_err(str::to_owned), "{varz}");
        }
    }

    #[test]
    fn a_stream_is_synced_if_all_of_its_servers_are_known_to_be() {
        let servers = ["n1".to_owned(), "n2".to_owned()];
        let report = |name: &str, syncs| (format!("http://{name}"), Ok(Monitored { name: name.to_owned(), syncs }));
        let failed = ("http://n2".to_owned(), Err("no route".to_owned()));
        for (reports, synced, described) in [
            (vec![report("n1", true), report("n2", true), report("n3", false)], Some(true), "each message: n1, n2"),
            (
                vec![report("n1", true), report("n2", false)],
                Some(false),
                "NOT each message, set `sync_interval: always`: n2; each message: n1",
            ),
            (
                vec![report("n1", true), failed],
                None,
                "each message: n1; unknown, [nats] monitoring needs a reachable address of each: n2; http://n2: no route",
            ),
            (vec![], None, "unknown, [nats] monitoring needs a reachable address of each: n1, n2"),
        ] {
            let durability = Durability::new(&servers, &reports);
            assert_eq!((durability.is_synced(), durability.describe().as_str()), (synced, described));
        }
        assert_eq!(Durability::default().is_synced(), None);
    }
}
