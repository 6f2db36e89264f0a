//! The log: what is reported at the start and by a reload, levels, formats, and the journal.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::manager::Manager;
use crate::harness::{Taffrail, recorded_host, wait_until};
use rustix::process::Signal;

#[test]
fn a_start_reports_the_version_the_files_and_what_is_on() {
    let sink = "[[sinks.influxdb]]\nname = \"central\"\nurls = [\"http://127.0.0.1:1\"]\ndatabase = \"d\"\n";
    let gateway = "[gateway]\nlisten = [\"127.0.0.1:0\"]\n";
    let taffrail = Taffrail::start(&(recorded_host() + sink + gateway));
    let line = &taffrail.log()[0];
    let version = env!("CARGO_PKG_VERSION");
    assert!(line.starts_with(&format!(" INFO taffrail {version} starts with ")), "{line}");
    assert!(line.contains(&taffrail.config().display().to_string()), "{line}");
    assert!(line.ends_with(" collectors, 1 sink (central), a gateway"), "{line}");
}

#[test]
fn a_reload_is_reported_once_with_what_changed() {
    let taffrail = Taffrail::start(&recorded_host());
    let mut reported = 0;
    let mut last = |config: &str| {
        taffrail.reload(config);
        reported += 1;
        let lines: Vec<String> = taffrail.log().into_iter().filter(|line| line.contains("reloaded")).collect();
        assert_eq!(lines.len(), reported, "{lines:#?}");
        lines.last().unwrap().clone()
    };
    assert!(last(&recorded_host()).ends_with(" INFO the configuration was reloaded; no setting changed"));
    let more = "[tags]\nrack = \"a\"\n[collectors.loadavg]\nenabled = true\n";
    assert!(last(&(recorded_host() + more)).ends_with("reloaded; changed: [collectors.loadavg], [tags]"));
    let refused = last(&(recorded_host() + "[tags]\nrack = 1\n"));
    assert!(refused.ends_with("ERROR the configuration was not reloaded; the previous one stays active"), "{refused}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let gateway = last(&format!("{}[gateway]\nlisten = [\"{address}\"]\n", recorded_host()));
    let expected = "ERROR the configuration was reloaded except for [gateway], whose previous settings stay active: ";
    assert!(gateway.contains(expected) && gateway.contains(&address.to_string()), "{gateway}");
    assert!(gateway.ends_with("; changed: [collectors.loadavg], [tags]"), "{gateway}");
    drop(taken);
    let gateway = last(&format!("{}[gateway]\nlisten = [\"{address}\"]\n", recorded_host()));
    assert!(gateway.ends_with("reloaded; changed: [gateway]"), "{gateway}");
}

#[test]
fn a_reload_applies_format_and_levels() {
    let taffrail = Taffrail::start(&recorded_host());
    let config = |log: &str| format!("{}[log]\n{log}", recorded_host());
    taffrail.reload(&config("format = \"json\"\n"));
    let line = taffrail.log().pop().unwrap();
    let json: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&json["level"], &json["module"]), (&"INFO".into(), &"agent".into()), "{line}");
    assert_eq!(json["msg"], "the configuration was reloaded; changed: [log]");
    assert!(humantime::parse_rfc3339(json["time"].as_str().unwrap()).is_ok(), "{line}");
    taffrail.reload(&config("format = \"logfmt\"\n"));
    let line = taffrail.log().pop().unwrap();
    let end = r#" level=INFO module=agent msg="the configuration was reloaded; changed: [log]""#;
    assert!(line.starts_with("time=20") && line.ends_with(end), "{line}");
    taffrail.reload(&config("level = \"warn,agent=info\"\n"));
    let manager = Manager::new();
    let environment = [("NOTIFY_SOCKET", manager.path())];
    let quiet = Taffrail::start_with_environment("run", &recorded_host(), &["--listen", "127.0.0.1:0"], &environment);
    assert!(manager.next().starts_with("READY=1"));
    wait_until("the log of the start", || (quiet.log().len() == 2).then_some(()));
    quiet.write_config(&config("level = \"info,agent=error\"\n"));
    quiet.signal(Signal::HUP);
    assert!(manager.next().starts_with("RELOADING=1") && manager.next().starts_with("READY=1"));
    quiet.write_config(&config("level = \"loud\"\n"));
    quiet.signal(Signal::HUP);
    assert!(quiet.wait_for_log("ERROR").contains("log.level"), "{:#?}", quiet.log());
    assert_eq!(quiet.logged("changed: "), 0, "{:#?}", quiet.log());
}

#[test]
fn levels_are_taken_from_the_option_then_the_environment_then_the_configuration() {
    let config = recorded_host() + "[log]\nlevel = \"info\"\n";
    let start = |arguments: &[&str], level: &str| {
        let manager = Manager::new();
        let environment = [("NOTIFY_SOCKET", manager.path()), ("TAFFRAIL_LOG_LEVEL", level)];
        let arguments = [&["--listen", "127.0.0.1:0"], arguments].concat();
        let mut taffrail = Taffrail::start_with_environment("run", &config, &arguments, &environment);
        manager.next();
        taffrail.signal(Signal::TERM);
        taffrail.wait_for_whole_log()
    };
    assert!(start(&[], "").iter().any(|line| line.contains("starts with")));
    assert_eq!(start(&[], "error"), [""; 0]);
    assert!(start(&["--log-level", "info"], "error").iter().any(|line| line.contains("listening on")));
    assert_eq!(start(&["--log-level", "error,http=debug"], "info"), [""; 0]);
    let mut refused = Taffrail::start_with_environment("run", &config, &[], &[("TAFFRAIL_LOG_LEVEL", "loud")]);
    refused.wait();
    let line = refused.wait_for_log("error: TAFFRAIL_LOG_LEVEL: ");
    assert!(line.contains("\"loud\" is not a level"), "{line}");
}

/// What a process logs to a file, of which `JOURNAL_STREAM` says that it is the journal.
fn logged_to_journal(is_journal: bool, config: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let [path, log] = ["taffrail.toml", "log"].map(|name| folder.path().join(name));
    std::fs::write(&path, config).unwrap();
    let out = File::create(&log).unwrap();
    let metadata = out.metadata().unwrap();
    let stream = format!("{}:{}", metadata.dev(), metadata.ino() + u64::from(!is_journal));
    let mut command = Command::new(env!("CARGO_BIN_EXE_taffrail"));
    command.arg("run").arg("--config").arg(&path).env("JOURNAL_STREAM", stream).stderr(out).stdout(Stdio::null());
    assert!(!command.status().unwrap().success());
    std::fs::read_to_string(log).unwrap()
}

#[test]
fn lines_have_priorities_in_the_journal_alone() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!("{}[http]\nlisten = [\"{}\"]\n", recorded_host(), taken.local_addr().unwrap());
    let log = logged_to_journal(true, &config);
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines[0].starts_with("<6> INFO taffrail "), "{log}");
    assert!(lines[1].starts_with("<3>error: cannot listen on "), "{log}");
    let mistakes = logged_to_journal(true, "[tags]\na = 1\n[unknown]\n");
    assert!(mistakes.lines().count() > 1 && mistakes.lines().all(|line| line.starts_with("<3>")), "{mistakes}");
    assert!(!logged_to_journal(false, &config).contains('<'));
    let json = logged_to_journal(false, &(config + "[log]\nformat = \"json\"\n"));
    let last: Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!(last["level"], "ERROR", "{json}");
    assert!(last["msg"].as_str().unwrap().starts_with("cannot listen on "), "{json}");
}
