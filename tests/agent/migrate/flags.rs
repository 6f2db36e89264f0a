//! Flags of node_exporter, Pushgateway and cAdvisor.

use std::process::Command;

use taffrail::collectors::list;
use taffrail::migrate::check::{Checked, check};
use taffrail::migrate::flags::{Becomes, Program, Takes};
use taffrail::migrate::node_exporter::{self, NODE_EXPORTER};
use taffrail::migrate::pushgateway::{self, PUSHGATEWAY};
use taffrail::migrate::translation::{Outcome, Source, Translation};
use taffrail::migrate::{cadvisor, defaults_file, helm_values};

use super::machine::{migrated, write_below};
use super::{assert_no_line_vanishes, corpus};
use crate::harness::recorded::archive::Tree;

fn arguments(tree: &Tree, case: &str) -> Vec<String> {
    tree.text(&format!("{case}/flags")).unwrap().lines().map(str::to_owned).collect()
}

/// A case with flags or with a file of variables.
fn of_flags(tree: &Tree, case: &str, translate: &dyn Fn(&[String], &Source) -> Translation) -> Translation {
    match tree.text(&format!("{case}/defaults")) {
        Some(text) => {
            let translation = defaults_file::translate("defaults", text, translate);
            assert_no_line_vanishes(text, &translation);
            translation
        }
        None => {
            let arguments = arguments(tree, case);
            let translation = translate(&arguments, &Source::default());
            assert_no_flag_vanishes(&arguments, &translation);
            translation
        }
    }
}

/// Every argument is in the report.
fn assert_no_flag_vanishes(arguments: &[String], translation: &Translation) {
    let of_command_line = translation.entries.iter().filter(|entry| entry.source.file.is_empty());
    let reported: Vec<&str> = of_command_line.map(|entry| entry.text.as_str()).collect();
    let given = arguments.join(" ");
    if !given.contains("geheim") {
        assert_eq!(reported.join(" "), given);
    }
}

#[test]
fn flags_of_node_exporter_become_settings() {
    corpus("node_exporter", 10, |case, tree| match tree.text(&format!("{case}/values.yaml")) {
        Some(text) => {
            let translation = helm_values::translate("values.yaml", text).unwrap();
            assert_no_line_vanishes(text, &translation);
            translation
        }
        None if case.ends_with("defaults") => of_flags(tree, case, &node_exporter::translate_debian),
        None => of_flags(tree, case, &|arguments, source| NODE_EXPORTER.translate(arguments, source)),
    });
}

#[test]
fn flags_of_pushgateway_become_settings() {
    corpus("pushgateway", 10, |case, tree| of_flags(tree, case, &pushgateway::translate));
}

#[test]
fn flags_of_cadvisor_become_settings() {
    corpus("cadvisor", 10, |case, tree| of_flags(tree, case, &cadvisor::translate));
}

/// A value that the flag takes.
fn value_of(program: &Program, name: &str) -> Option<&'static str> {
    match program.flag(name)?.takes {
        Takes::Switch => None,
        Takes::Number => Some("3"),
        Takes::Duration => Some("3s"),
        Takes::Words => Some("proto,local_port"),
        Takes::Addresses => Some(":9200"),
        Takes::Text | Takes::List => Some(match name {
            "collector.sysctl.include" => "kernel.threads-max",
            "collector.sysctl.include-info" => "kernel.core_pattern",
            "collector.perf.tracepoint" => "sched:sched_process_fork",
            "collector.perf.hardware-profilers" => "CpuCycles",
            "collector.perf.software-profilers" => "PageFault",
            "collector.perf.cache-profilers" => "LLReadMiss",
            "collector.perf.cpus" => "0-3",
            "collector.ntp.server" => "127.0.0.1",
            "collector.supervisord.url" => "http://127.0.0.1:9001/RPC2",
            "web.telemetry-path" => "/metrics",
            "web.external-url" => "http://gateway.example/",
            "log.level" => "debug",
            "log.format" => "json",
            _ => "/x",
        }),
    }
}

/// Each by itself gives settings that are accepted, unless the table says that there are none.
#[test]
fn every_flag_of_the_tables_has_the_outcome_that_its_row_says() {
    for program in [&NODE_EXPORTER, &PUSHGATEWAY] {
        for flag in program.flags {
            let value = value_of(program, flag.name);
            let argument = value.map_or(format!("--{}", flag.name), |value| format!("--{}={value}", flag.name));
            let Checked { translation, toml } =
                check(program.translate(std::slice::from_ref(&argument), &Source::default()));
            let [entry] = &translation.entries[..] else { panic!("{argument}: {translation:?}") };
            match flag.becomes {
                Becomes::Setting(setting) | Becomes::Changed(setting, _) => {
                    let key = setting.rsplit('.').next().unwrap();
                    assert!(toml.contains(&format!("\n{key} = ")), "{argument}: {entry:?} {toml}");
                    assert!(matches!(entry.outcome, Outcome::Same | Outcome::Changed(_)), "{entry:?}");
                }
                Becomes::NotNeeded(_) => assert!(matches!(entry.outcome, Outcome::NotNeeded(_)), "{entry:?}"),
                Becomes::Missing { .. } => assert!(matches!(entry.outcome, Outcome::Missing(_)), "{entry:?}"),
                Becomes::By(_) => assert!(
                    flag.name.starts_with("web.telemetry") || !matches!(entry.outcome, Outcome::Missing(_)),
                    "{entry:?}"
                ),
            }
        }
        for (old, new) in program.renamed {
            assert!(program.flag(new).is_some(), "{old} is now {new}, which is no flag");
            assert!(!program.flags.iter().any(|flag| flag.name == *old), "{old}");
        }
    }
}

#[test]
fn every_collector_of_node_exporter_is_one_of_taffrails() {
    assert_eq!(NODE_EXPORTER.collectors.len(), 79);
    for name in NODE_EXPORTER.collectors {
        assert!(list::find(name).is_some(), "{name}");
    }
}

/// The flags of Debian's programs, which are older, are in the tables.
#[test]
#[ignore = "needs Debian's packages prometheus-node-exporter and prometheus-pushgateway: tests/run"]
fn the_tables_have_every_flag_that_the_programs_have() {
    for (program, table) in [("prometheus-node-exporter", &NODE_EXPORTER), ("prometheus-pushgateway", &PUSHGATEWAY)] {
        let Ok(output) = Command::new(program).arg("--help").output() else { panic!("{program} cannot be run") };
        let help = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let flags: Vec<&str> = help
            .lines()
            .filter_map(|line| line.strip_prefix("      --"))
            .filter_map(|rest| rest.split(['=', ' ']).next())
            .map(|name| name.strip_prefix("[no-]").unwrap_or(name))
            .collect();
        assert!(flags.len() > 10, "{help}");
        for flag in flags {
            let is_collector = flag.strip_prefix("collector.").is_some_and(|name| table.collectors.contains(&name));
            assert!(is_collector || table.flag(flag).is_some() || flag == "version", "{program} --{flag}");
        }
    }
}

#[test]
fn an_empty_pattern_of_node_exporter_excludes_nothing() {
    let translated = |flag: &str| {
        let Checked { translation, toml } = check(NODE_EXPORTER.translate(&[flag.to_owned()], &Source::default()));
        (translation.entries[0].outcome.name(), toml)
    };
    for flag in
        ["diskstats.device-exclude", "filesystem.mount-points-exclude", "netdev.device-exclude", "arp.device-exclude"]
    {
        let (outcome, toml) = translated(&format!("--collector.{flag}="));
        assert!(outcome == "same" && toml.contains("exclude = \"\""), "{flag}: {outcome} {toml}");
    }
    // A setting of Taffrail is no filter either if it is empty. These are not so in node_exporter.
    for flag in ["netclass.ignored-devices", "powersupply.ignored-supplies", "tapestats.ignored-devices"] {
        assert_eq!(translated(&format!("--collector.{flag}=")).0, "missing", "{flag}");
    }
    // Under their earlier names, an empty one is no value.
    for flag in ["diskstats.ignored-devices", "filesystem.ignored-mount-points", "netdev.device-blacklist"] {
        assert_eq!(translated(&format!("--collector.{flag}=")), ("not_needed", String::new()), "{flag}");
    }
}

#[test]
fn flags_of_node_exporter_that_imply_others_do_so() {
    let toml = |flag: &str| check(NODE_EXPORTER.translate(&[flag.to_owned()], &Source::default())).toml;
    assert!(toml("--collector.cpu.info.flags-include=^fpu$").contains("\ninfo = true"));
}

/// Fedora's program has Debian's name, but upstream's defaults.
#[test]
fn debians_defaults_are_for_debians_program() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write_below(
        root,
        "etc/systemd/system/n.service",
        "[Service]\nExecStart=/usr/bin/prometheus-node-exporter --collector.wifi\n",
    );
    assert!(migrated(root).1.contains("Debian's default"));
    write_below(root, "var/lib/rpm/rpmdb.sqlite", "");
    let (status, toml, report) = migrated(root);
    assert_eq!(status, Some(0), "{report}");
    assert!(!toml.contains("Debian's default") && toml.contains("[collectors.wifi]"), "{toml}");
}
