//! Recorded hosts, read as Taffrail reads a live one, give the expositions and the points that stand beside them.
//!
//! `TAFFRAIL_BLESS=1 cargo test --test hosts` writes what is expected anew; look at the difference before you commit it.

mod common;

use std::fs;
use std::path::Path;

use common::{Replay, all_on, collectors, exposition, line_diff, line_protocol, read, recorded_hosts};
use regex::Regex;
use taffrail::collectors::readers::{Answer, Readers};
use taffrail::encode::text::Dialect;

#[test]
fn every_host_reads_as_expected() {
    let bless = std::env::var_os("TAFFRAIL_BLESS").is_some();
    let mut differences = String::new();
    for host in recorded_hosts() {
        for (file, actual) in render(&host) {
            let path = host.join(file);
            if bless {
                write_or_remove(&path, &actual);
                continue;
            }
            let expected = fs::read_to_string(&path).unwrap_or_default();
            let diff = line_diff(&expected, &actual);
            if !diff.is_empty() {
                differences += &format!("{}:\n{diff}", path.display());
            }
        }
    }
    assert!(
        differences.is_empty(),
        "- is expected, + was read:\n{differences}If + is right: TAFFRAIL_BLESS=1 cargo test --test hosts"
    );
}

/// Those who know something that stays as it is from boot to boot, or that a counter does not go back.
const KNOWN_FROM_THE_START: [&str; 6] = ["container", "cpu", "dmi", "machine", "process", "time"];

/// Readings are used again: what one host left in them must not be told of the next.
#[test]
fn nothing_of_a_reading_is_left_in_the_next() {
    let hosts = recorded_hosts();
    let mut differences = String::new();
    for (host, next) in hosts.iter().zip(hosts.iter().cycle().skip(1)) {
        let replay = Replay::new(host);
        replay.go_on();
        let used = Readers::new(replay.host.clone(), collectors(&replay.host, &all_on()));
        drop(read(&used));
        replay.go_on_to(&next.join("after"));
        // Whoever chooses between two files finds at this reading that the one is gone.
        drop(read(&used));
        let new = Readers::new(replay.host.clone(), collectors(&replay.host, &all_on()));
        let told = |readers| {
            let mut answers = read(&readers);
            answers.retain(|answer| !KNOWN_FROM_THE_START.contains(&answer.about.name));
            mask(&exposition(&answers, Dialect::Plain))
        };
        let (used, new) = (told(used), told(new));
        let diff = line_diff(&new, &used);
        if !diff.is_empty() {
            differences += &format!("{} to {}:\n{diff}", host.display(), next.display());
        }
    }
    assert!(differences.is_empty(), "- is of new readers, + of used ones:\n{differences}");
}

/// The files that are expected beside a host, with what they should hold.
fn render(recording: &Path) -> [(&'static str, String); 3] {
    let replay = Replay::new(recording);
    let settings = fs::read_to_string(recording.join("settings.toml")).unwrap_or_else(|_| all_on());
    let readers = Readers::new(replay.host.clone(), collectors(&replay.host, &settings));
    let before = if replay.has_before() { read(&readers) } else { Vec::new() };
    replay.go_on();
    let after = read(&readers);
    [
        ("expected.prom", mask(&exposition(&after, Dialect::Plain))),
        ("expected.influx", mask(&line_protocol(&after, &before, &replay.host))),
        ("expected.problems", replay.without_paths(&problems(&after))),
    ]
}

/// What failed, a line for each problem.
fn problems(answers: &[Answer]) -> String {
    let mut problems = String::new();
    for answer in answers {
        let failure = match &answer.taken {
            Ok(taken) => taken.failure.as_deref(),
            Err(failure) => Some(failure),
        };
        for message in failure.iter().flat_map(|failure| failure.message.split("; ")) {
            problems += &format!("{}: {message}\n", answer.about.name);
        }
    }
    problems
}

/// Replaces what depends on the run and on the build.
fn mask(text: &str) -> String {
    let durations = Regex::new(r#"(node_scrape_collector_duration_seconds(\{[^}]*\} |=))[-0-9.e]+"#).unwrap();
    // Git does not keep when a file was changed.
    let changes = Regex::new(r#"(node_textfile_mtime_seconds(\{[^}]*\} |=))[-0-9.e+]+"#).unwrap();
    let mut masked = String::with_capacity(text.len());
    for line in text.lines() {
        let line = durations.replace_all(line, "${1}0");
        let line = changes.replace_all(&line, "${1}0");
        if line.contains("taffrail_build_info") {
            masked += &line.replace(std::env::consts::ARCH, "ARCH").replace(env!("CARGO_PKG_VERSION"), "VERSION");
        } else {
            masked += &line;
        }
        masked.push('\n');
    }
    masked
}

fn write_or_remove(path: &Path, content: &str) {
    if content.is_empty() {
        // It may not have been there.
        let _ = fs::remove_file(path);
    } else {
        fs::write(path, content).unwrap();
    }
}
