//! Describes all settings, for the documentation.

use crate::collectors::About;
use crate::collectors::filter;
use crate::collectors::list::COLLECTORS;
use crate::collectors::settings as collectors;
use crate::config::section::closest;
use crate::config::{KeyInfo, TableInfo};
use crate::nats::settings::{IS_BUILT, NATS_KEYS};
use crate::settings;
use crate::sinks::kind::KindInfo;
use crate::sinks::kinds::KINDS;
use crate::sinks::{delivery, http, schedule};

/// All settings as TOML. `#key = value` is a default; `# example: key = value` sets what has none.
pub const REFERENCE: &str = include_str!("../conf/reference.toml");

/// The part of [`REFERENCE`] about the table `name` and those below it, such as `http` or `sinks.influxdb`.
///
/// # Errors
/// The table is unknown.
pub fn excerpt(name: &str) -> Result<String, String> {
    let name = name.trim_matches(['[', ']']);
    let is_below = |head: &str| head.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let texts = texts();
    let parts: Vec<&str> =
        texts.iter().filter(|(head, _)| is_below(head)).map(|(_, text)| without_next_chapter(text)).collect();
    if parts.is_empty() {
        let close = closest(name, tables());
        let hint = close.map_or_else(String::new, |close| format!("; did you mean {close}?"));
        return Err(format!("there is no table {name:?}{hint}"));
    }
    Ok(parts.join("\n\n") + "\n")
}

/// The names of the tables of [`REFERENCE`].
pub fn tables() -> impl Iterator<Item = &'static str> {
    texts().into_iter().map(|(head, _)| head)
}

/// The tables of [`REFERENCE`], each with the comment before it.
fn texts() -> Vec<(&'static str, &'static str)> {
    let (mut tables, mut start, mut at) = (Vec::<(&str, usize)>::new(), 0, 0);
    for line in REFERENCE.split_inclusive('\n') {
        let next = at + line.len();
        if let Some(head) = head_of(line) {
            tables.push((head, start));
            start = next;
        } else if line.starts_with("# ---") || setting_of(line).is_some() {
            start = next;
        }
        at = next;
    }
    let ends: Vec<usize> = tables.iter().skip(1).map(|(_, start)| *start).chain([REFERENCE.len()]).collect();
    tables.into_iter().zip(ends).map(|((head, start), end)| (head, &REFERENCE[start..end])).collect()
}

/// A table's text without the title of the chapter that begins after it.
fn without_next_chapter(text: &str) -> &str {
    text.split("\n# ---").next().unwrap_or_default().trim()
}

/// The table whose header, commented or not, a line of [`REFERENCE`] is.
pub fn head_of(line: &str) -> Option<&str> {
    let table = line.trim().trim_start_matches('#').strip_prefix('[')?.strip_suffix(']')?;
    Some(table.trim_matches(['[', ']']))
}

/// The setting that a line of [`REFERENCE`] shows and its value, and whether it is an example.
pub fn setting_of(line: &str) -> Option<(&str, &str, bool)> {
    const EXAMPLE: &str = "# example: ";
    let example = line.strip_prefix(EXAMPLE);
    let (name, value) = example.or_else(|| line.strip_prefix('#'))?.split_once(" = ")?;
    let is_name = !name.is_empty() && !name.contains(' ');
    is_name.then_some((name, value.trim_end(), example.is_some()))
}

/// A section of the configuration.
#[derive(Debug)]
pub struct SectionInfo {
    /// `[TABLE]`, or `[[LIST]]` of tables.
    pub head: String,
    /// Its purpose.
    pub about: String,
    /// Its settings; empty if the keys are the user's own.
    pub keys: Vec<KeyInfo>,
    /// Values of `NAME` in the head; empty if it does not occur.
    pub names: Vec<&'static str>,
}

fn section(head: impl Into<String>, about: impl Into<String>, keys: &[KeyInfo]) -> SectionInfo {
    SectionInfo { head: head.into(), about: about.into(), keys: keys.to_vec(), names: Vec::new() }
}

/// All sections, in the order of the documentation.
pub fn sections() -> Vec<SectionInfo> {
    let mut sections = vec![
        section("[http]", "The HTTP server that Prometheus scrapes.", crate::http::KEYS),
        section(
            "[http.tls]",
            "TLS on every address that Taffrail listens on. Changed files are reloaded automatically.",
            crate::http::tls::KEYS,
        ),
        section(
            "[[http.users]]",
            "Users and their permissions, on every address that Taffrail listens on. Without users, every client has access.",
            crate::http::access::KEYS,
        ),
        section(
            "[gateway]",
            "The push gateway for batch jobs, compatible with Prometheus's Pushgateway.",
            crate::gateway::settings::KEYS,
        ),
        section(
            "[[gateway.jobs]]",
            "Settings for the pushes of certain jobs; the first match applies.",
            crate::gateway::job_rules::KEYS,
        ),
        section("[agent]", "The schedule of push sinks.", schedule::KEYS),
        section(
            "[spool]",
            "The queue on disk in which points wait for their servers. Each push sink has its own directory in it.",
            crate::spool::settings::KEYS,
        ),
        section("[tags]", "Tags of every point that is pushed: any key except `time`, with a string value.", &[]),
        section("[host]", "Where the host's file systems are mounted.", settings::HOST_KEYS),
        section("[log]", "The log on standard error.", crate::log::settings::KEYS),
    ];
    let nats = || {
        section(
            "[nats]",
            "The NATS servers of the stream that replicas of the gateway share, and of leases.",
            NATS_KEYS,
        )
    };
    sections.extend(IS_BUILT.then(nats));
    sections.extend(shared_by_sinks());
    for kind in KINDS.iter().map(|kind| kind.info) {
        sections.push(section(format!("[[sinks.{}]]", kind.name), kind.about, kind.keys));
        for table in kind.tables {
            sections.push(section(format!("[sinks.{}.{}]", kind.name, table.name), table.about, table.keys));
        }
    }
    sections.push(section("[collectors]", "Enables and disables collectors.", collectors::KEYS));
    sections.push(SectionInfo {
        names: COLLECTORS.iter().map(|entry| entry.about.name).collect(),
        ..section(
            "[collectors.NAME]",
            "Settings of every collector; those of each collector follow below.",
            collectors::COMMON_KEYS,
        )
    });
    sections.extend(points_of_collectors());
    sections.extend(COLLECTORS.iter().flat_map(|entry| of_collector(entry.about)));
    sections
}

/// Sections shared by all sinks, and by those that send over HTTP.
fn shared_by_sinks() -> impl Iterator<Item = SectionInfo> {
    let names = |is_among: fn(&KindInfo) -> bool| {
        KINDS.iter().map(|kind| kind.info).filter(|kind| is_among(kind)).map(|kind| kind.name).collect::<Vec<_>>()
    };
    let (all, over_http) = (names(|_| true), names(|kind| kind.is_http));
    let of_all = [section(
        "[[sinks.NAME]]",
        "Settings and tables of every push sink; those of each kind follow below. Sinks that send series have no fields, and reject the settings about fields.",
        &[delivery::KEYS, filter::KEYS].concat(),
    )];
    let list = over_http.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let of_http = [section(
        "[[sinks.NAME]]",
        format!("Additional settings of the sinks that send over HTTP: {list}."),
        http::KEYS,
    )];
    let table = |table: &TableInfo| section(format!("[sinks.NAME.{}]", table.name), table.about, table.keys);
    let of_all = of_all.into_iter().chain([delivery::TAGS].iter().chain(filter::TABLES).map(table));
    let of_http = of_http.into_iter().chain([table(&http::HEADERS)]);
    let of_all: Vec<_> = of_all.map(|section| SectionInfo { names: all.clone(), ..section }).collect();
    let of_http = of_http.map(move |section| SectionInfo { names: over_http.clone(), ..section });
    of_all.into_iter().chain(of_http)
}

/// Sections for the points of every collector.
fn points_of_collectors() -> impl Iterator<Item = SectionInfo> {
    let own = COLLECTORS.iter().map(|entry| entry.about).filter(|about| !about.is_list);
    let names: Vec<&str> = own.map(|about| about.name).collect();
    let points = section(
        "[collectors.NAME.points]",
        "Settings of the points of every collector; those of each collector follow below. They apply only to points, before the filter of a sink.",
        filter::KEYS,
    );
    let table =
        |table: &TableInfo| section(format!("[collectors.NAME.points.{}]", table.name), table.about, table.keys);
    let tables = [filter::COLLECTOR_TAGS].iter().chain(filter::TABLES).map(table).collect::<Vec<_>>();
    [points].into_iter().chain(tables).map(move |section| SectionInfo { names: names.clone(), ..section })
}

fn capitalised(text: &str) -> String {
    text[..1].to_uppercase() + &text[1..]
}

fn of_collector(about: &About) -> Vec<SectionInfo> {
    let (name, mut sections) = (about.name, Vec::new());
    if about.is_list {
        let of = format!("{}. Each table is a job.", capitalised(about.summary));
        sections.push(section(format!("[[collectors.{name}]]"), of, about.keys));
    } else if !about.keys.is_empty() {
        let of = format!("{}.", capitalised(about.summary));
        sections.push(section(format!("[collectors.{name}]"), of, about.keys));
    }
    for table in about.tables {
        sections.push(section(format!("[collectors.{name}.{}]", table.name), table.about, table.keys));
    }
    for list in about.lists {
        sections.push(section(format!("[[collectors.{name}.{}]]", list.name), list.about, list.keys));
    }
    if !about.point_keys.is_empty() {
        let of = match about.keys {
            [] => format!("Points of `{name}`: {}.", about.summary),
            _ => format!("Points of `{name}`."),
        };
        sections.push(section(format!("[collectors.{name}.points]"), of, about.point_keys));
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_a_table_with_its_comments_and_those_below() {
        let http = excerpt("http").unwrap();
        assert!(http.contains("\n#listen = [\":9100\"]\n") && http.contains("\n#[http.tls]\n"), "{http}");
        assert!(!http.contains("[gateway]") && !http.contains("# ---"), "{http}");
        let tls = excerpt("[http.tls]").unwrap();
        assert!(tls.starts_with("# TLS") && !tls.contains("#listen"), "{tls}");
        let sinks = excerpt("sinks").unwrap();
        assert!(sinks.contains("#[[sinks.influxdb]]") && sinks.contains("#[[sinks.cloudwatch]]"));
        assert_eq!(
            excerpt("sinks.influxd").unwrap_err(),
            "there is no table \"sinks.influxd\"; did you mean sinks.influxdb?"
        );
    }
}
