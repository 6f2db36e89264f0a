//! Every setting there is, for whatever documents them.

use crate::collectors::list::COLLECTORS;
use crate::collectors::settings as collectors;
use crate::config::KeyInfo;
use crate::settings;
use crate::sinks::schedule;
use crate::sinks::settings::KINDS;

/// The sections of the configuration, in the order of the documentation: head, what it is for, settings; a section
/// without settings takes the user's own keys.
pub fn sections() -> Vec<(String, String, &'static [KeyInfo])> {
    let mut sections = vec![
        ("[http]".to_owned(), "Where and how Taffrail is pulled.".to_owned(), crate::http::KEYS),
        (
            "[http.tls]".into(),
            "TLS on every address that is listened on. Files are read again when they change.".into(),
            crate::http::tls::KEYS,
        ),
        (
            "[[http.users]]".into(),
            "Those who may ask, at every address that is listened on; without any, everybody may.".into(),
            crate::http::access::KEYS,
        ),
        (
            "[gateway]".into(),
            "Where batch jobs push, as to Prometheus's Pushgateway.".into(),
            crate::gateway::settings::KEYS,
        ),
        (
            "[[gateway.jobs]]".into(),
            "What holds for the pushes of certain jobs; the first that matches holds.".into(),
            crate::gateway::rules::KEYS,
        ),
        ("[agent]".into(), "When push sinks read and write.".into(), schedule::KEYS),
        (
            "[spool]".into(),
            "Where points wait on disk for their servers. Each push sink has a folder of its own there.".into(),
            crate::spool::settings::KEYS,
        ),
        ("[tags]".into(), "Tags of every point that is pushed: any key, with a string.".into(), &[]),
        ("[host]".into(), "Where the host's trees are mounted.".into(), settings::HOST_KEYS),
    ];
    for kind in KINDS {
        sections.push((format!("[[sinks.{}]]", kind.name), kind.about.to_owned(), kind.keys));
        for (table, about, keys) in kind.tables {
            sections.push((format!("[sinks.{}.{table}]", kind.name), (*about).to_owned(), keys));
        }
    }
    sections.push(("[collectors]".into(), "Which collectors are on.".into(), collectors::KEYS));
    let common = "Every collector has these settings, and its own below.";
    sections.push(("[collectors.NAME]".into(), common.into(), collectors::COMMON_KEYS));
    for about in COLLECTORS.iter().map(|entry| entry.about) {
        if about.is_list {
            let of = format!("A job of {}. There may be any number of jobs.", about.summary);
            sections.push((format!("[[collectors.{}]]", about.name), of, about.keys));
        } else if !about.keys.is_empty() {
            let of = format!("What is pulled of {}.", about.summary);
            sections.push((format!("[collectors.{}]", about.name), of, about.keys));
        }
        for table in about.tables {
            sections.push((format!("[collectors.{}.{}]", about.name, table.name), table.about.to_owned(), table.keys));
        }
        for list in about.lists {
            sections.push((format!("[[collectors.{}.{}]]", about.name, list.name), list.about.to_owned(), list.keys));
        }
        if !about.point_keys.is_empty() {
            let of = format!("What is pushed of {}.", about.summary);
            sections.push((format!("[collectors.{}.points]", about.name), of, about.point_keys));
        }
    }
    sections
}
