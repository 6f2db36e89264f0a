//! The announcements of replicas: each publishes its status every second, so that all replicas, and `taffrail gateway stream
//! status`, know all of them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::settings::Settings;
use super::status::{Role, Status};

/// How often a replica announces its status.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// A replica is silent if it has announced nothing for this time.
const SILENT: Duration = Duration::from_secs(5);

/// A silent replica is forgotten after this time.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// Replicas that are remembered. Of others, the announcements are dropped.
const MAX_PEERS: usize = 32;

/// Bytes of an announcement.
pub const MAX_BYTES: usize = 8192;

/// Characters of a reason.
const MAX_REASON: usize = 500;

/// The status of a replica, as it announces it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Its name.
    pub name: String,
    /// Where other replicas reach it.
    pub url: String,
    /// Its role.
    pub role: Role,
    /// The sequence of the last message that it has applied.
    pub applied: u64,
    /// The last sequence of the stream, as it knows it.
    pub last: u64,
    /// The sequence up to which its directory holds a copy.
    pub persisted: u64,
    /// Why it has stopped, or does not follow the stream.
    #[serde(default)]
    pub reason: Option<String>,
    /// The version of Taffrail.
    #[serde(default)]
    pub version: String,
    /// Another one for each start of a process; empty if its version does not announce it.
    #[serde(default)]
    pub life: String,
}

impl Announcement {
    /// The announcement of a replica with this status.
    pub fn new(settings: &Settings, status: &Status, life: &str) -> Announcement {
        let reason = status.shown_reason();
        Announcement {
            name: settings.name.clone(),
            url: settings.url.clone(),
            role: status.role,
            applied: status.applied,
            last: status.last,
            persisted: status.persisted,
            reason: reason.map(|reason| reason.chars().take(MAX_REASON).collect()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            life: life.to_owned(),
        }
    }

    /// Whether it is of another process than `life`, which has the same `url`.
    pub fn is_twin_of(&self, url: &str, life: &str) -> bool {
        self.url == url && !self.life.is_empty() && self.life != life
    }

    /// As JSON.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The announcement in a message; none if it is not one, or has more than [`MAX_BYTES`]. Fields of later versions are ignored.
    pub fn decode(bytes: &[u8]) -> Option<Announcement> {
        let mut decoded: Announcement =
            serde_json::from_slice(Some(bytes).filter(|bytes| bytes.len() <= MAX_BYTES)?).ok()?;
        for text in [&mut decoded.name, &mut decoded.url, &mut decoded.version].into_iter().chain(&mut decoded.reason) {
            text.retain(|c| !c.is_control());
        }
        Some(decoded)
    }

    /// Messages of the stream that it has not applied.
    pub fn lag(&self) -> u64 {
        self.last.saturating_sub(self.applied)
    }
}

/// A replica that has announced itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its last announcement.
    pub announced: Announcement,
    /// The time since then.
    pub age: Duration,
}

impl Peer {
    /// Its role, or for how long it has been silent.
    pub fn state(&self) -> String {
        match self.age < SILENT {
            true => self.announced.role.to_string(),
            false => format!("silent for {} s", self.age.as_secs()),
        }
    }

    /// Whether it has announced itself lately.
    pub fn is_heard(&self) -> bool {
        self.age < SILENT
    }

    /// It in `/api/v1/status`.
    pub fn to_json(&self) -> Value {
        let Announcement { name, url, role, applied, persisted, reason, version, .. } = &self.announced;
        json!({
            "name": name,
            "url": url,
            "role": role,
            "applied_sequence": applied,
            "lag_messages": self.announced.lag(),
            "persisted_sequence": persisted,
            "reason": reason,
            "version": version,
            "is_silent": !self.is_heard(),
            "announced_seconds_ago": self.age.as_secs(),
        })
    }
}

/// The replicas that have announced themselves, by name and URL.
#[derive(Debug, Default)]
pub struct Peers(Mutex<BTreeMap<(String, String), (Announcement, Instant)>>);

impl Peers {
    /// A message has arrived at this time; returns the announcement in it, if it is one.
    pub fn hear(&self, bytes: &[u8], now: Instant) -> Option<Announcement> {
        let announced = Announcement::decode(bytes)?;
        let key = (announced.name.clone(), announced.url.clone());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (_, heard)| now.saturating_duration_since(*heard) < FORGOTTEN);
        if known.len() < MAX_PEERS || known.contains_key(&key) {
            known.insert(key, (announced.clone(), now));
        }
        Some(announced)
    }

    /// All of them at this time, by name.
    pub fn all(&self, now: Instant) -> Vec<Peer> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = |(announced, heard): &(Announcement, Instant)| Peer {
            announced: announced.clone(),
            age: now.saturating_duration_since(*heard),
        };
        known.values().map(peer).filter(|peer| peer.age < FORGOTTEN).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement(name: &str) -> Announcement {
        let name = name.to_owned();
        Announcement { name, role: Role::Writer, applied: 3, last: 5, ..Announcement::default() }
    }

    #[test]
    fn peers_are_those_that_have_announced_themselves_lately() {
        let (peers, start) = (Peers::default(), Instant::now());
        _ = peers.hear(&announcement("b").encode(), start);
        _ = peers.hear(&announcement("a").encode(), start + Duration::from_secs(4));
        let seen = |after| {
            let all = peers.all(start + Duration::from_secs(after));
            all.iter().map(|peer| format!("{} {}", peer.announced.name, peer.state())).collect::<Vec<_>>()
        };
        assert_eq!(seen(4), ["a writer", "b writer"]);
        assert_eq!(seen(8), ["a writer", "b silent for 8 s"]);
        assert_eq!(seen(3602), ["a silent for 3598 s"]);
        assert_eq!(peers.all(start)[0].announced.lag(), 2);
    }

    #[test]
    fn another_process_with_the_same_url_is_a_twin() {
        for (url, life, expected) in [("u", "2", true), ("u", "1", false), ("u", "", false), ("v", "2", false)] {
            let announced = Announcement { url: url.to_owned(), life: life.to_owned(), ..announcement("a") };
            let decoded = Announcement::decode(&announced.encode()).unwrap();
            assert_eq!(decoded.is_twin_of("u", "1"), expected, "{url} {life}");
        }
    }

    #[test]
    fn announcements_are_bounded() {
        let (peers, now) = (Peers::default(), Instant::now());
        (0..100).for_each(|number| drop(peers.hear(&announcement(&number.to_string()).encode(), now)));
        assert_eq!(peers.all(now).len(), MAX_PEERS);
        _ = peers.hear(&announcement("0").encode(), now + SILENT);
        assert_eq!(peers.all(now + SILENT).iter().filter(|peer| peer.is_heard()).count(), 1);
        assert_eq!(Announcement::decode(&announcement(&"x".repeat(MAX_BYTES)).encode()), None);
        let status = Status { reason: Some("€".repeat(9000)), ..Status::default() };
        let settings = Settings { name: "n".to_owned(), ..Settings::default() };
        let encoded = Announcement::new(&settings, &status, "l").encode();
        assert_eq!(Announcement::decode(&encoded).unwrap().reason.unwrap().chars().count(), MAX_REASON);
    }

    #[test]
    fn announcements_of_other_versions_and_of_others_are_read_as_far_as_they_can_be() {
        for (text, expected) in [
            (
                r#"{"name":"a\n\u001b","url":"u","role":"stopped","applied":1,"last":2,"persisted":0,"more":[]}"#,
                Some("a"),
            ),
            (r#"{"name":"a","url":"u","role":"king","applied":1,"last":2,"persisted":0}"#, None),
            ("writer", None),
        ] {
            let decoded = Announcement::decode(text.as_bytes()).map(|announced| announced.name);
            assert_eq!(decoded.as_deref(), expected, "{text}");
        }
    }
}
