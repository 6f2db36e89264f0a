//! Pushgateway's flags.
//!
//! The columns of the table: the flag, what it takes, and what becomes of it.

use super::command_line::Syntax;
use super::flags::Becomes::{By, Missing, NotNeeded, Setting};
use super::flags::Takes::{Addresses, Duration, Switch, Text};
use super::flags::{Becomes, Decision, Flag, Program, Takes};
use super::node_exporter::{log_format, log_level, web_config_file};
use super::output::literal;
use super::translation::{Outcome, Source, Translation};

/// Pushgateway 1.11.
pub static PUSHGATEWAY: Program = Program {
    name: "pushgateway",
    version: "1.11",
    syntax: Syntax::Kingpin,
    collectors: &[],
    flags: FLAGS,
    renamed: &[("web.config", "web.config.file")],
    removed: &[],
};

#[rustfmt::skip]
const FLAGS: &[Flag] = &[
    flag("web.listen-address",             Addresses, Setting("gateway.listen")),
    flag("web.systemd-socket",             Switch,    NotNeeded("sockets of systemd are taken where it passes any")),
    flag("web.config.file",                Text,      By(web_config_file)),
    flag("web.local-assets",               Text,      NotNeeded("the page is in the program")),
    flag("web.telemetry-path",             Text,      By(telemetry_path)),
    flag("web.external-url",               Text,      By(external_url)),
    flag("web.route-prefix",               Text,      By(route_prefix)),
    flag("web.enable-lifecycle",           Switch,    Setting("gateway.lifecycle")),
    flag("web.enable-admin-api",           Switch,    Setting("gateway.admin_api")),
    flag("persistence.file",               Text,      By(persistence_file)),
    flag("persistence.interval",           Duration,  NotNeeded("a push is on disk when it is answered")),
    flag("push.disable-consistency-check", Switch,    Missing {
        default: "false",
        instead: "Taffrail checks every push: it answers 400, not 202, to one that has timestamps or contradicts another; leave the flag out, the check costs what the push holds, not what the gateway holds",
    }),
    flag("push.enable-utf8-names",         Switch,    NotNeeded("names in UTF-8 are always accepted")),
    flag("log.level",                      Text,      By(log_level)),
    flag("log.format",                     Text,      By(log_format)),
];

/// The folder of the gateway's groups where the package puts it.
pub const STATE: &str = "/var/lib/taffrail/gateway";

/// The address that Pushgateway listens on unless it is told another.
pub const LISTEN: &str = "--web.listen-address=:9091";

/// Translates a command line; without an address, the gateway listens on Pushgateway's.
pub fn translate(arguments: &[String], source: &Source) -> Translation {
    let mut translation = PUSHGATEWAY.translate(arguments, source);
    if !translation.output.table("gateway").has("listen") {
        let default = Source { file: "Pushgateway's default".into(), ..Source::default() };
        translation.append(PUSHGATEWAY.translate(&[LISTEN.to_owned()], &default));
    }
    translation
}

/// Where Debian's Pushgateway persists its groups.
pub const DEBIAN_FILE: &str = "/var/lib/prometheus/pushgateway.data";

/// Translates a command line of Debian's package, which persists its groups by default.
pub fn translate_debian(arguments: &[String], source: &Source) -> Translation {
    let mut translation = translate(arguments, source);
    if persistence_files(&translation).is_empty() {
        let default = Source { file: "Debian's default".into(), ..Source::default() };
        translation.append(PUSHGATEWAY.translate(&[format!("--persistence.file={DEBIAN_FILE}")], &default));
    }
    translation
}

/// The files of `--persistence.file`, of which one may be empty.
pub fn persistence_files(translation: &Translation) -> Vec<&str> {
    let entries = translation
        .entries
        .iter()
        .filter(|entry| entry.source.flag == "--persistence.file" && !matches!(entry.outcome, Outcome::Missing(_)));
    entries.filter_map(|entry| Some(entry.text.split_once(['=', ' '])?.1)).collect()
}

const fn flag(name: &'static str, takes: Takes, becomes: Becomes) -> Flag {
    Flag { name, takes, becomes }
}

fn telemetry_path(value: &str) -> Decision {
    Decision::none(match value {
        "/metrics" => Outcome::NotNeeded("it is the default".to_owned()),
        _ => Outcome::Missing("the gateway is scraped at /metrics: change metrics_path in Prometheus".to_owned()),
    })
}

fn external_url(value: &str) -> Decision {
    text("gateway.external_url", value)
}

fn route_prefix(value: &str) -> Decision {
    text("gateway.route_prefix", value)
}

fn text(setting: &'static str, value: &str) -> Decision {
    match value {
        "" => Decision::none(Outcome::NotNeeded("it is the default".to_owned())),
        value => Decision::one(setting, literal(value), Outcome::Same),
    }
}

/// The groups are persisted in a folder, not in a file.
fn persistence_file(value: &str) -> Decision {
    match value {
        "" => Decision::none(Outcome::NotNeeded("without a directory, groups are in memory only".to_owned())),
        _ => {
            let how = format!("groups are in the folder {STATE}, and each push is on disk when it is answered");
            Decision::one("gateway.state", literal(STATE), Outcome::Changed(how))
        }
    }
}
