//! `[[collectors.redis]]`: `INFO` of Redis, and what few other commands have.

mod commands;
mod info;
mod items;
mod names;

use std::time::Duration;

use self::commands::Command;
use self::names::*;
use super::kind::{self, Kind, LABELS};
use super::outcome::{Found, Row};
use super::protocol::resp::{self, Reply};
use super::stream::{self, Address, Connection, Connector};
use crate::collectors::framework::About;
use crate::config::{Key, KeyInfo, Section};
use crate::encode::family::FamilyInfo;
use crate::encode::infos::concat;

/// The kind.
pub(super) struct Redis {
    connector: Connector,
    has_commands: bool,
    commands: Vec<Command>,
}

const SERVERS: Key<Vec<String>> = Key::optional(
    "servers",
    "The servers: addresses such as \"localhost:6379\", or Unix sockets such as \"unix:///run/redis/redis.sock\".",
);
const COMMAND_STATS: Key<bool> = Key::new(
    "command_stats",
    "true",
    "Reads calls and latencies of each command, about a hundred series of a busy server.",
);
const OWN_KEYS: &[KeyInfo] = &[SERVERS.info(), COMMAND_STATS.info()];
const ALL_KEYS: [KeyInfo; OWN_KEYS.len() + kind::KEYS.len() + stream::KEYS.len()] =
    concat(&[OWN_KEYS, kind::KEYS, &stream::KEYS]);
const PORT: u16 = 6379;

/// What is asked besides `INFO`, and which of them the server has refused. An ACL may forbid them, and each attempt would
/// be logged there.
const MORE: [&[&str]; 5] = [
    &["CONFIG", "GET", "databases"],
    &["CONFIG", "GET", "io-threads"],
    &["SLOWLOG", "LEN"],
    &["SLOWLOG", "GET", "1"],
    &["LATENCY", "LATEST"],
];

impl Kind for Redis {
    const ABOUT: About = About {
        name: "redis",
        summary: "INFO of Redis, with keyspace, commands, latencies and replicas",
        needs: "a user with +info; with +config|get, +slowlog and +latency for what they have",
        keys: &ALL_KEYS,
        tables: &[LABELS],
        lists: &[commands::TABLE],
        families: &FAMILIES,
        measurements: MEASUREMENTS,
        ..kind::PLAIN
    };
    const UP: &'static FamilyInfo = &UP;
    const TARGETS: Key<Vec<String>> = SERVERS;
    type Target = Address;
    type Memory = [bool; MORE.len()];

    fn new(section: &mut Section<'_>, timeout: Duration) -> Self {
        Redis {
            connector: Connector::new(section, timeout),
            has_commands: section.get(&COMMAND_STATS),
            commands: commands::all(section),
        }
    }

    fn target(text: &str) -> Result<(String, Address), &'static str> {
        let address = Address::parse(text, PORT)?;
        Ok((address.name(), address))
    }

    async fn query(
        &self,
        address: &Address,
        refused: &mut [bool; MORE.len()],
        found: &mut Found,
    ) -> Result<(), String> {
        let mut connection = self.connector.connect(address).await?;
        self.authenticate(&mut connection).await?;
        let text = match ask(&mut connection, &["INFO", "ALL"]).await? {
            Reply::Text(text) => text,
            Reply::Error(reason) => return Err(explained(&reason)),
            _ => return Err("INFO: expected text, found another reply".to_owned()),
        };
        info::write(&text, self.has_commands, found)?;
        for (words, is_refused) in MORE.iter().zip(refused) {
            if *is_refused {
                continue;
            }
            match ask(&mut connection, words).await? {
                Reply::Error(_) => *is_refused = true,
                reply => more(words, &reply, found),
            }
        }
        let mut row = Row::new("redis_commands");
        for command in &self.commands {
            let reply = ask(&mut connection, &command.words()).await?;
            command.write(&reply, &mut row, found);
        }
        if !row.fields.is_empty() {
            found.rows.push(row);
        }
        match address {
            Address::Tcp(host, port) => {
                found.tag("port", &port.to_string());
                found.tag("server", host);
            }
            Address::Unix(path) => found.tag("socket", &path.display().to_string()),
        }
        Ok(())
    }
}

impl Redis {
    async fn authenticate(&self, connection: &mut Connection) -> Result<(), String> {
        let Some((user, password)) = self.connector.credentials().await? else { return Ok(()) };
        let words: Vec<&str> = ["AUTH"].into_iter().chain(user).chain([password.reveal()]).collect();
        match ask(connection, &words).await? {
            Reply::Error(reason) => Err(format!("AUTH: {reason}")),
            _ => Ok(()),
        }
    }
}

async fn ask(connection: &mut Connection, words: &[&str]) -> Result<Reply, String> {
    connection.send(&resp::command(words)).await?;
    let max_body = connection.max_body;
    connection.receive(|bytes| resp::read(bytes, max_body)).await
}

/// An error of `INFO`, with the remedy.
fn explained(reason: &str) -> String {
    match reason.split(' ').next().unwrap_or_default() {
        "NOAUTH" => format!("INFO: {reason}; set password, and username if the server has users"),
        "NOPERM" => format!("INFO: {reason}; the user needs +info"),
        _ => format!("INFO: {reason}"),
    }
}

/// Writes a reply to one of [`MORE`].
fn more(words: &[&str], reply: &Reply, found: &mut Found) {
    match (words, reply) {
        (["CONFIG", _, name], Reply::List(pair)) => {
            let Some(Reply::Text(text)) = pair.get(1) else { return };
            let Ok(number) = text.parse::<u64>() else { return };
            match *name {
                "databases" => empty_databases(number, found),
                _ => found.add(&IO_THREADS, Vec::new(), number),
            }
        }
        (["SLOWLOG", "LEN"], Reply::Integer(length)) => found.add(&SLOW_LENGTH, Vec::new(), *length),
        (["SLOWLOG", ..], Reply::List(entries)) => {
            // Each has an id, a time, and a duration in µs.
            let (id, duration) = match entries.first() {
                Some(Reply::List(entry)) => match entry.as_slice() {
                    [Reply::Integer(id), _, Reply::Integer(usec), ..] => (*id, *usec as f64 / 1e6),
                    _ => return,
                },
                _ => (0, 0.0),
            };
            found.add(&SLOW_LAST, Vec::new(), id);
            found.add(&SLOW_DURATION, Vec::new(), duration);
        }
        (["LATENCY", ..], Reply::List(events)) => {
            // Each has a name, a time, and the last and the longest duration in ms.
            for event in events {
                let Reply::List(event) = event else { continue };
                let [Reply::Text(name), Reply::Integer(time), Reply::Integer(last), ..] = event.as_slice() else {
                    continue;
                };
                let labels = || vec![("event_name", name.clone())];
                found.add(&SPIKE_LAST, labels(), *time);
                found.add(&SPIKE_DURATION, labels(), *last as f64 / 1e3);
            }
        }
        _ => {}
    }
}

/// Databases without keys are not in `INFO`. In a cluster there is only one.
fn empty_databases(count: u64, found: &mut Found) {
    const MAX_DATABASES: u64 = 256;
    for database in (0..count.min(MAX_DATABASES)).map(|index| format!("db{index}")) {
        if !found.has(&DB_KEYS, ("db", &database)) {
            found.add(&DB_KEYS, vec![("db", database.clone())], 0_u64);
            found.add(&DB_KEYS_EXPIRING, vec![("db", database)], 0_u64);
        }
    }
}

/// Replies with everything, for the golden.
#[cfg(test)]
pub(super) fn complete(found: &mut Found) {
    let mut text = "# Memory\nnew_in_a_later_release:1\n".to_owned();
    let keys: std::collections::BTreeSet<&str> = items::ITEMS.iter().map(|item| item.key).collect();
    keys.iter().for_each(|key| text += &format!("{key}:1\n"));
    text += "# Replication\nrole:slave\nslave0:ip=a,port=1,state=online,offset=1,lag=1\n\
             # Commandstats\ncmdstat_get:calls=1,usec=1,usec_per_call=1,rejected_calls=1,failed_calls=1\n\
             # Errorstats\nerrorstat_ERR:count=1\n# Latencystats\nlatency_percentiles_usec_get:p50=1,p99=1,p99.9=1\n\
             # Keyspace\ndb0:keys=1,expires=1,avg_ttl=1,subexpiry=1\n";
    info::write(&text, true, found).unwrap();
    let (one, text) = (Reply::Integer(1), |text: &str| Reply::Text(text.to_owned()));
    let entry = Reply::List(vec![one.clone(), one.clone(), one.clone()]);
    let event = Reply::List(vec![text("fork"), one.clone(), one.clone(), one.clone()]);
    let replies = [
        Reply::List(vec![text("databases"), text("2")]),
        Reply::List(vec![text("io-threads"), text("1")]),
        one,
        Reply::List(vec![entry]),
        Reply::List(vec![event]),
    ];
    MORE.iter().zip(replies).for_each(|(words, reply)| more(words, &reply, found));
    let mut row = Row::new("redis_commands");
    commands::complete(&mut row, found);
    found.rows.push(row);
}
