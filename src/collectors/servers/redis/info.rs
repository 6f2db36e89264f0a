//! `INFO` in both vocabularies.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::items::ITEMS;
use super::names::*;
use crate::collectors::servers::outcome::{Found, Label, Row};
use crate::collectors::servers::owned::Owned;
use crate::collectors::servers::protocol::pairs::{self, Pair};

/// Fields of lines that are not known, of one server at most.
const MAX_UNKNOWN: usize = 300;

/// Writes `INFO`. Statistics of commands are left out unless `has_commands`.
///
/// # Errors
/// If it is not that of Redis.
pub(super) fn write(text: &str, has_commands: bool, found: &mut Found) -> Result<(), String> {
    let values = pairs::read(text, pairs::REDIS)?;
    let value = |key: &str| values.iter().find(|pair| pair.key == key).map(|pair| pair.value);
    let mut row = Row::new("redis");
    let (mut commands, mut unknown) = (BTreeMap::new(), 0);
    for pair in &values {
        match pair.section {
            "Keyspace" => keyspace(pair, found),
            "Commandstats" if has_commands => command(pair, &mut commands, found),
            "Latencystats" if has_commands => latency(pair, &commands, found),
            "Errorstats" => error(pair, found),
            "Commandstats" | "Latencystats" | "Modules" => {}
            "Replication" if is_replica(pair.key) => replica(pair, found),
            _ => line(pair, &mut row, &mut unknown, found),
        }
    }
    derived(&values, &mut row, found);
    found.rows.push(row);
    instance(&value, found);
    // A replica's own row has this tag already.
    found.tag("replication_role", value("role").unwrap_or_default());
    Ok(())
}

/// A line with one value. Types of lines that are not known are fixed, too: float.
fn line(pair: &Pair<'_>, row: &mut Row, unknown: &mut usize, found: &mut Found) {
    let mut is_known = false;
    for item in ITEMS.iter().filter(|item| item.key == pair.key) {
        item.write(pair.value, Some(row), found);
        is_known = true;
    }
    let is_left_out = pair.key.ends_with("_human") || pair.key.starts_with("master_replid");
    if is_known || is_left_out || pair.section == "Server" || *unknown >= MAX_UNKNOWN {
        return;
    }
    if let Ok(number) = pair.value.trim_end_matches('%').parse::<f64>() {
        *unknown += 1;
        row.put(pair.key.to_owned(), Owned::Float(number));
    }
}

/// Values that follow from others.
fn derived(values: &[Pair<'_>], row: &mut Row, found: &mut Found) {
    let number = |key: &str| values.iter().find(|pair| pair.key == key)?.value.parse::<i64>().ok();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
    if let Some(saved) = number("rdb_last_save_time") {
        row.put("rdb_last_save_time_elapsed", Owned::Integer(now.saturating_sub(saved)));
    }
    if let Some(uptime) = number("uptime_in_seconds") {
        found.add(&START_TIME, Vec::new(), now.saturating_sub(uptime));
    }
    let (hits, misses) = (number("keyspace_hits").unwrap_or(0) as f64, number("keyspace_misses").unwrap_or(0) as f64);
    row.put("keyspace_hitrate", Owned::Float(if hits + misses == 0.0 { 0.0 } else { hits / (hits + misses) }));
}

/// Families about the server, and about its master.
fn instance<'t>(value: &dyn Fn(&str) -> Option<&'t str>, found: &mut Found) {
    let labels = INSTANCE.labels[1..].iter().map(|label| (*label, value(label).unwrap_or_default().to_owned()));
    found.add(&INSTANCE, labels.collect(), 1_u64);
    if value("role") != Some("slave") {
        return;
    }
    let master = || -> Vec<Label> {
        ["master_host", "master_port"].map(|label| (label, value(label).unwrap_or_default().to_owned())).to_vec()
    };
    let mut labels = master();
    labels.push(("read_only", value("slave_read_only").unwrap_or_default().to_owned()));
    found.add(&SLAVE_INFO, labels, 1_u64);
    found.add(&MASTER_LINK, master(), value("master_link_status") == Some("up"));
    for (key, family) in [
        ("master_last_io_seconds_ago", &MASTER_LAST_IO),
        ("master_sync_in_progress", &MASTER_SYNC),
        ("slave_repl_offset", &SLAVE_OFFSET),
    ] {
        if let Some(number) = value(key).and_then(|text| text.parse::<i64>().ok()) {
            found.add(family, master(), number);
        }
    }
}

/// The parts of a value such as `keys=2,expires=1`.
fn parts(value: &str) -> impl Iterator<Item = (&str, &str)> {
    value.split(',').filter_map(|part| part.split_once('='))
}

/// Adds an integer as a field, and as a sample.
fn integer(key: &str, text: &str, found: &mut Found) -> Option<i64> {
    let number = text.parse().ok();
    if number.is_none() {
        found.malformed(key, "an integer", text);
    }
    number
}

fn float(key: &str, text: &str, found: &mut Found) -> Option<f64> {
    let number = text.parse().ok();
    if number.is_none() {
        found.malformed(key, "a number", text);
    }
    number
}

/// `db0:keys=2,expires=1,avg_ttl=0`
fn keyspace(pair: &Pair<'_>, found: &mut Found) {
    let mut row = Row::new("redis_keyspace").tag("database", pair.key);
    for (part, text) in parts(pair.value) {
        let Some(number) = integer(pair.key, text, found) else { continue };
        let labels = vec![("db", pair.key.to_owned())];
        let field = match part {
            "keys" => {
                found.add(&DB_KEYS, labels, number);
                "keys"
            }
            "expires" => {
                found.add(&DB_KEYS_EXPIRING, labels, number);
                "expires"
            }
            "avg_ttl" => {
                found.add(&DB_AVG_TTL, labels, number as f64 / 1000.0);
                "avg_ttl"
            }
            "subexpiry" => "subexpiry",
            _ => continue,
        };
        row.put(field, Owned::Integer(number));
    }
    found.rows.push(row);
}

/// Calls and µs of commands, for their summaries of latency.
type Commands<'t> = BTreeMap<&'t str, (i64, i64)>;

/// `cmdstat_get:calls=2,usec=9,usec_per_call=4.50,rejected_calls=0,failed_calls=0`
fn command<'t>(pair: &Pair<'t>, commands: &mut Commands<'t>, found: &mut Found) {
    let Some(name) = pair.key.strip_prefix("cmdstat_") else { return };
    let mut row = Row::new("redis_cmdstat").tag("command", name);
    for (part, text) in parts(pair.value) {
        let labels = vec![("cmd", name.to_owned())];
        let (field, family) = match part {
            "calls" => ("calls", &COMMANDS),
            "usec" => ("usec", &COMMAND_SECONDS),
            "rejected_calls" => ("rejected_calls", &COMMANDS_REJECTED),
            "failed_calls" => ("failed_calls", &COMMANDS_FAILED),
            "usec_per_call" => {
                if let Some(number) = float(pair.key, text, found) {
                    row.put("usec_per_call", Owned::Float(number));
                }
                continue;
            }
            _ => continue,
        };
        let Some(number) = integer(pair.key, text, found) else { continue };
        row.put(field, Owned::Integer(number));
        let counts = commands.entry(name).or_default();
        match field {
            "calls" => counts.0 = number,
            "usec" => counts.1 = number,
            _ => {}
        }
        match field {
            "usec" => found.add(family, labels, number as f64 / 1e6),
            _ => found.add(family, labels, number),
        }
    }
    found.rows.push(row);
}

/// `latency_percentiles_usec_get:p50=4.015,p99=5.023,p99.9=5.023`
fn latency(pair: &Pair<'_>, commands: &Commands<'_>, found: &mut Found) {
    let Some(name) = pair.key.strip_prefix("latency_percentiles_usec_") else { return };
    let mut row = Row::new("redis_latency_percentiles_usec").tag("command", name);
    let counts = commands.get(name);
    for (part, text) in parts(pair.value) {
        let Some(number) = float(pair.key, text, found) else { continue };
        let Some(quantile) = part.strip_prefix('p').filter(|_| PERCENTILES.contains(&part)) else { continue };
        row.put(part.to_owned(), Owned::Float(number));
        if counts.is_some() {
            found.add(&LATENCY, vec![("cmd", name.to_owned()), ("quantile", quantile.to_owned())], number);
        }
    }
    if let Some((calls, usec)) = counts {
        found.part(&LATENCY, "_sum", vec![("cmd", name.to_owned())], *usec);
        found.part(&LATENCY, "_count", vec![("cmd", name.to_owned())], *calls);
    }
    found.rows.push(row);
}

/// `errorstat_ERR:count=1`
fn error(pair: &Pair<'_>, found: &mut Found) {
    let Some(name) = pair.key.strip_prefix("errorstat_") else { return };
    let Some((_, text)) = parts(pair.value).find(|(part, _)| *part == "count") else { return };
    let Some(number) = integer(pair.key, text, found) else { return };
    found.add(&ERRORS, vec![("err", name.to_owned())], number);
    let mut row = Row::new("redis_errorstat").tag("err", name);
    row.put("total", Owned::Integer(number));
    found.rows.push(row);
}

/// Whether a line is that of a replica: `slave0`.
fn is_replica(key: &str) -> bool {
    key.strip_prefix("slave").is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `slave0:ip=127.0.0.1,port=26380,state=online,offset=107,lag=0`
fn replica(pair: &Pair<'_>, found: &mut Found) {
    let of = |name: &str| parts(pair.value).find(|(part, _)| *part == name).map(|(_, value)| value);
    let text = |name: &str| of(name).unwrap_or_default().to_owned();
    let labels = || -> Vec<Label> {
        vec![("slave_ip", text("ip")), ("slave_port", text("port")), ("slave_state", text("state"))]
    };
    let id = pair.key.trim_start_matches("slave");
    let mut row = Row::new("redis_replication")
        .tag("replica_id", id)
        .tag("replica_ip", text("ip"))
        .tag("replica_port", text("port"))
        .tag("replication_role", "slave")
        .tag("state", text("state"));
    for (part, family) in [("offset", &REPLICA_OFFSET), ("lag", &REPLICA_LAG)] {
        if let Some(number) = of(part).and_then(|text| integer(pair.key, text, found)) {
            row.put(part, Owned::Integer(number));
            found.add(family, labels(), number);
        }
    }
    found.rows.push(row);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(text: &str) -> Vec<String> {
        let mut found = Found::default();
        write(text, true, &mut found).unwrap();
        found.samples.iter().map(|sample| format!("{} {}", sample.text(), sample.value.as_f64())).collect()
    }

    #[test]
    fn lines_with_parts_have_labels() {
        let info = "# Replication\r\nrole:master\r\nslave0:ip=10.0.0.1,port=1,state=online,offset=5,lag=2\r\n\
                    # Commandstats\r\ncmdstat_config|get:calls=1,usec=307,usec_per_call=307.00\r\n\
                    # Errorstats\r\nerrorstat_ERR:count=3\r\n\
                    # Latencystats\r\nlatency_percentiles_usec_config|get:p50=307.199,p99=307.199,p99.9=400\r\n\
                    # Keyspace\r\ndb0:keys=2,expires=1,avg_ttl=1500,subexpiry=0\r\n";
        let samples = samples(info);
        for expected in [
            "redis_connected_slave_lag_seconds slave_ip=10.0.0.1 slave_port=1 slave_state=online 2",
            "redis_commands_duration_seconds_total cmd=config|get 0.000307",
            "redis_latency_percentiles_usec cmd=config|get quantile=99.9 400",
            "redis_latency_percentiles_usec_sum cmd=config|get 307",
            "redis_errors_total err=ERR 3",
            "redis_db_avg_ttl_seconds db=db0 1.5",
        ] {
            assert!(samples.iter().any(|sample| sample == expected), "{expected}: {samples:#?}");
        }
    }

    #[test]
    fn types_do_not_depend_on_values() {
        let mut found = Found::default();
        let info = "# Memory\nused_memory:x\nallocator_frag_bytes:5\nnew_in_redis_9:7\nmem_allocator:jemalloc\nused_memory_human:1M\n\
                    # Server\nother:1\n";
        write(info, true, &mut found).unwrap();
        let fields: Vec<_> = found.rows[0].fields.iter().map(|(name, value)| (&**name, value.clone())).collect();
        let expected = [
            ("allocator_frag_bytes", Owned::Float(5.0)),
            ("new_in_redis_9", Owned::Float(7.0)),
            ("keyspace_hitrate", Owned::Float(0.0)),
        ];
        assert_eq!(fields, expected);
        assert_eq!(found.malformed.unwrap(), "used_memory: expected an integer, found \"x\"");
    }
}
