//! `[[collectors.memcached]]`: the statistics of memcached, over its text protocol.

mod items;

use std::time::Duration;

use self::items::{COMMANDS, CRAWLER, ITEMS, OF_ITEMS, OF_SLABS, SLAB_COMMANDS, STATS, VERSION};
use super::items::{Item, SERVER};
use super::kind::{self, Kind, LABELS};
use super::outcome::{Found, Row, TARGET};
use super::protocol::{memcached, pairs};
use super::stream::{self, Address, Connection, Connector};
use crate::collectors::framework::About;
use crate::config::{Key, KeyInfo, Section};
use crate::encode::family::{self, FamilyInfo};
use crate::encode::infos::concat;
use crate::encode::point::MeasurementInfo;

/// The kind.
pub(super) struct Memcached {
    connector: Connector,
    has_slabs: bool,
}

/// A server.
pub(super) struct Server {
    address: Address,
    name: String,
}

const SERVERS: Key<Vec<String>> = Key::optional(
    "servers",
    "The servers: addresses such as \"localhost:11211\", or Unix sockets such as \"unix:///run/memcached.sock\".",
);
const SLABS: Key<bool> =
    Key::new("slabs", "true", "Exposes the families of each slab class, of which a server has at most 63.");
const OWN_KEYS: &[KeyInfo] = &[SERVERS.info(), SLABS.info()];
const ALL_KEYS: [KeyInfo; OWN_KEYS.len() + kind::KEYS.len() + stream::KEYS.len()] =
    concat(&[OWN_KEYS, kind::KEYS, &stream::KEYS]);
const PORT: u16 = 11211;

static UP: FamilyInfo = UP_INFO;
const UP_INFO: FamilyInfo = FamilyInfo {
    name: "memcached_up",
    kind: family::Kind::Gauge,
    help: "Whether the last query of the statistics succeeded",
    labels: &[SERVER],
};
const FAMILIES: [FamilyInfo; 1 + items::FAMILIES.len()] = concat(&[&[UP_INFO], &items::FAMILIES]);

impl Kind for Memcached {
    const ABOUT: About = About {
        name: "memcached",
        summary: "statistics of memcached",
        keys: &ALL_KEYS,
        tables: &[LABELS],
        families: &FAMILIES,
        measurements: &[MeasurementInfo { name: "memcached", tags: &["server"], fields: &items::FIELDS }, TARGET],
        ..kind::PLAIN
    };
    const UP: &'static FamilyInfo = &UP;
    const TARGETS: Key<Vec<String>> = SERVERS;
    type Target = Server;
    type Memory = ();

    fn new(section: &mut Section<'_>, timeout: Duration) -> Self {
        Memcached { connector: Connector::new(section, timeout), has_slabs: section.get(&SLABS) }
    }

    fn target(text: &str) -> Result<(String, Server), &'static str> {
        let address = Address::parse(text, PORT)?;
        let name = address.name();
        Ok((name.clone(), Server { address, name }))
    }

    async fn query(&self, server: &Server, (): &mut (), found: &mut Found) -> Result<(), String> {
        let mut connection = self.connector.connect(&server.address).await?;
        self.authenticate(&mut connection).await?;
        let stats = ask(&mut connection, "stats").await?;
        let settings = ask(&mut connection, "stats settings").await?;
        let mut row = Row::new("memcached").tag("server", &server.name);
        write_stats(&stats, &mut row, found)?;
        found.rows.push(row);
        write_settings(&settings, found)?;
        let slabs = ask(&mut connection, "stats slabs").await?;
        write_slabs(&slabs, self.has_slabs, found)?;
        if self.has_slabs {
            write_items(&ask(&mut connection, "stats items").await?, found);
        }
        Ok(())
    }
}

impl Memcached {
    /// Authenticates as the text protocol has it: by storing the name and the password.
    async fn authenticate(&self, connection: &mut Connection) -> Result<(), String> {
        let Some((user, password)) = self.connector.credentials().await? else { return Ok(()) };
        let data = format!("{} {}", user.unwrap_or_default(), password.reveal());
        connection.send(format!("set auth 0 0 {}\r\n{data}\r\n", data.len()).as_bytes()).await?;
        let line = |bytes: &[u8]| {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            Ok(end.map(|end| (String::from_utf8_lossy(&bytes[..end]).trim_end().to_owned(), end + 1)))
        };
        match connection.receive(line).await?.as_str() {
            "STORED" => Ok(()),
            other => Err(format!("expected the server to accept the user, found {}", pairs::shown(other))),
        }
    }
}

/// The reply to a command.
async fn ask(connection: &mut Connection, command: &str) -> Result<String, String> {
    connection.send(format!("{command}\r\n").as_bytes()).await?;
    connection.receive(memcached::read).await.map_err(|reason| format!("{command}: {reason}"))
}

/// The named values of a reply; none if it has none.
fn named(reply: &str) -> Vec<pairs::Pair<'_>> {
    pairs::read(reply, pairs::MEMCACHED).unwrap_or_default()
}

fn write_all(items: &'static [Item], key: &str, value: &str, found: &mut Found) {
    items.iter().filter(|item| item.key == key).for_each(|item| item.write(value, None, found));
}

fn write_stats(reply: &str, row: &mut Row, found: &mut Found) -> Result<(), String> {
    let values = pairs::read(reply, pairs::MEMCACHED)?;
    for pair in &values {
        STATS.iter().filter(|item| item.key == pair.key).for_each(|item| item.write(pair.value, Some(row), found));
        if pair.key == "version" {
            found.add(&VERSION, vec![("version", pair.value.to_owned())], 1_u64);
        }
    }
    // Their number is part of cmd_set.
    let number = |key: &str| values.iter().find(|pair| pair.key == key)?.value.parse::<u64>().ok();
    if let Some(sets) = number("cmd_set") {
        let cas = ["cas_misses", "cas_hits", "cas_badval"].map(|key| number(key).unwrap_or(0));
        let sets = sets.saturating_sub(cas.iter().sum());
        found.add(&COMMANDS, vec![("command", "set".to_owned()), ("status", "hit".to_owned())], sets);
    }
    Ok(())
}

fn write_settings(reply: &str, found: &mut Found) -> Result<(), String> {
    let values = pairs::read(reply, pairs::MEMCACHED)?;
    let has_crawler = values.iter().any(|pair| pair.key == "lru_crawler" && pair.value == "yes");
    for pair in values.iter().filter(|pair| has_crawler || pair.key == "maxconns") {
        write_all(CRAWLER, pair.key, pair.value, found);
    }
    Ok(())
}

/// Lines such as `1:chunk_size`, and totals.
fn write_slabs(reply: &str, has_slabs: bool, found: &mut Found) -> Result<(), String> {
    let values = named(reply);
    for pair in &values {
        match pair.key.split_once(':') {
            None => write_all(OF_SLABS, pair.key, pair.value, found),
            Some((slab, key)) if has_slabs => write_slab(ITEMS, slab, key, pair.value, found),
            Some(_) => {}
        }
    }
    for pair in values.iter().filter(|_| has_slabs) {
        let Some((slab, "cmd_set")) = pair.key.split_once(':') else { continue };
        let number = |key: &str| {
            let pair = values.iter().find(|pair| pair.key.split_once(':') == Some((slab, key)))?;
            pair.value.parse::<u64>().ok()
        };
        let cas = ["cas_hits", "cas_badval"].map(|key| number(key).unwrap_or(0));
        let sets = number("cmd_set").unwrap_or(0).saturating_sub(cas.iter().sum());
        let labels = [("command", "set"), ("status", "hit"), ("slab", slab)];
        found.add(&SLAB_COMMANDS, labels.map(|(name, value)| (name, value.to_owned())).to_vec(), sets);
    }
    Ok(())
}

/// Lines such as `items:1:number`.
fn write_items(reply: &str, found: &mut Found) {
    for pair in named(reply) {
        if let Some((slab, key)) = pair.key.strip_prefix("items:").and_then(|key| key.split_once(':')) {
            write_slab(OF_ITEMS, slab, key, pair.value, found);
        }
    }
}

fn write_slab(items: &'static [Item], slab: &str, key: &str, value: &str, found: &mut Found) {
    let before = found.samples.len();
    write_all(items, key, value, found);
    found.label_from(before, "slab", slab);
}

/// Replies with everything, for the golden.
#[cfg(test)]
pub(super) fn complete(found: &mut Found) {
    let lines = |items: &[Item], prefix: &str| -> String {
        let line = |item: &Item| {
            let value = if ["lru_crawler", "lru_maintainer_thread"].contains(&item.key) { "yes" } else { "1" };
            format!("STAT {prefix}{} {value}\r\n", item.key)
        };
        items.iter().map(line).collect()
    };
    let mut row = Row::new("memcached");
    write_stats(&(lines(STATS, "") + "STAT version 1.6.18\r\n"), &mut row, found).unwrap();
    found.rows.push(row);
    write_settings(&lines(CRAWLER, ""), found).unwrap();
    write_slabs(&(lines(OF_SLABS, "") + &lines(ITEMS, "1:") + "STAT 1:cmd_set 1\r\n"), true, found).unwrap();
    write_items(&lines(OF_ITEMS, "items:1:"), found);
}
