//! Recorded hosts, read as Taffrail reads a live one, give the expositions and the points that stand beside them.
//!
//! `TAFFRAIL_BLESS=1 cargo test --test collectors hosts` writes what is expected anew; look at the difference before you commit it.

use std::fs;
use std::path::Path;

use crate::common::{
    Replay, all_on, collectors, copy_tree, exposition, line_diff, line_protocol, read, recorded_hosts, unpacked,
};
use crate::harness::recorded::archive::{Entry, Tree};
use crate::harness::recorded::{EXPECTED, expected, folder, small_archive, small_hosts};
use regex::Regex;
use taffrail::collectors::readers::{CollectorReading, Readers};
use taffrail::config::Document;
use taffrail::encode::line::LineEncoder;
use taffrail::encode::lines::Lines;
use taffrail::encode::text::Dialect;
use taffrail::settings::{Overrides, Settings};
use taffrail::sinks::form::write_line;

#[test]
fn every_host_reads_as_expected() {
    let mut differences = String::new();
    let mut problems = Tree::default();
    for host in recorded_hosts() {
        let read = render(&host);
        let mut expected = Tree::default();
        for (name, text) in [("prom", read.exposition), ("influx", read.points)] {
            expected.add(name.into(), Entry::File(text.into_bytes())).unwrap();
        }
        differences += &differs(&host.join(EXPECTED), &expected.to_string());
        if !read.problems.is_empty() {
            problems.add(host.file_name().unwrap().into(), Entry::File(read.problems.into_bytes())).unwrap();
        }
    }
    differences += &differs(&folder().join("problems.tree"), &problems.to_string());
    assert!(
        differences.is_empty(),
        "- is expected, + was read:\n{differences}If + is right: TAFFRAIL_BLESS=1 cargo test --test collectors hosts"
    );
}

/// Those who know something that stays as it is from boot to boot, or that a counter does not go back.
const KNOWN_FROM_THE_START: [&str; 6] = ["container", "cpu", "dmi", "machine", "process", "time"];

/// Readings are used again: what one host left in them must not be reported of the next.
#[test]
fn nothing_of_a_reading_is_left_in_the_next() {
    let hosts = recorded_hosts();
    let mut differences = String::new();
    for (host, next) in hosts.iter().zip(hosts.iter().cycle().skip(1)) {
        let replay = Replay::new(host);
        replay.go_on();
        let used = Readers::new(replay.host.clone(), collectors(&replay.host, &all_on()));
        drop(read(&used));
        replay.go_on_to(&unpacked(next).join("after"));
        // A collector that chooses between two files finds at this reading that one is missing.
        drop(read(&used));
        let new = Readers::new(replay.host.clone(), collectors(&replay.host, &all_on()));
        let reported = |readers| {
            let mut answers = read(&readers);
            answers.retain(|answer| !KNOWN_FROM_THE_START.contains(&answer.about.name));
            mask(&exposition(&answers, Dialect::Plain))
        };
        let (used, new) = (reported(used), reported(new));
        let diff = line_diff(&new, &used);
        if !diff.is_empty() {
            differences += &format!("{} to {}:\n{diff}", host.display(), next.display());
        }
    }
    assert!(differences.is_empty(), "- is of new readers, + of used ones:\n{differences}");
}

#[test]
fn what_passes_a_sinks_filter_is_left_byte_by_byte() {
    let config = "[[sinks.influxdb]]\nurls = [\"http://127.0.0.1:1\"]\ndatabase = \"d\"\nnamepass = [\"*\"]\n";
    let document = Document::parse("test", config, &|_| None).unwrap();
    let settings = Settings::check(&document, &Overrides::default()).unwrap();
    let filter = &settings.sinks[0].delivery.filter;
    assert!(!filter.is_plain());
    let mut checked = 0;
    for host in recorded_hosts() {
        let text = expected(&host, "influx");
        let mut lines = Lines::default();
        let mut encoder = LineEncoder::new(&mut lines);
        let mut filtered = filter.before(&mut encoder);
        text.split_inclusive('\n').for_each(|line| write_line(line.as_bytes(), &mut filtered));
        drop(filtered);
        assert_eq!(String::from_utf8_lossy(lines.bytes()), text, "{}", host.display());
        checked += lines.count();
    }
    assert!(checked > 500, "{checked}");
}

/// Each shows one thing, with settings of its own: a value or a name as the kernel writes it in some place.
#[test]
fn every_small_host_reads_as_expected() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("small");
    copy_tree(&small_hosts(), &hosts, &|_| true);
    let mut differences = String::new();
    for name in names_in(&hosts) {
        let host = hosts.join(&name);
        let replay = Replay::of(host.clone());
        let settings = fs::read_to_string(host.join("settings.toml")).unwrap();
        let read = read(&Readers::new(replay.host.clone(), collectors(&replay.host, &settings)));
        let exposition = samples(&exposition(&read, Dialect::Plain));
        differences += &differs(&host.join("expected.prom"), &exposition);
        differences += &differs(&host.join("problems"), &replay.without_paths(&problems(&read)));
        differences += &missing(&name, &host.join("node_exporter.prom"), &exposition);
    }
    if blesses() {
        fs::write(small_archive(), Tree::pack(&hosts).unwrap().to_string()).unwrap();
    }
    assert!(differences.is_empty(), "- is expected, + was read:\n{differences}");
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The samples of an exposition, without comments and durations.
fn samples(exposition: &str) -> String {
    let lines = exposition.split_inclusive('\n');
    lines.filter(|line| !line.starts_with('#') && !line.starts_with("node_scrape_collector_duration")).collect()
}

/// The samples of node_exporter in the file `path`, if there is one, that `exposition` lacks.
fn missing(host: &str, path: &Path, exposition: &str) -> String {
    let theirs = fs::read_to_string(path).unwrap_or_default();
    let sample =
        |line: &str| line.rsplit_once(' ').map(|(series, value)| (series.to_owned(), value.parse::<f64>().unwrap()));
    let ours: Vec<_> = exposition.lines().map(sample).collect();
    let lacks = |line: &&str| !ours.contains(&sample(line));
    theirs.lines().filter(lacks).map(|line| format!("{host}: node_exporter has {line}\n")).collect()
}

/// What was read of a host.
struct Rendered {
    /// The exposition of `after`.
    exposition: String,
    /// The points of `after`, with rates since `before`.
    points: String,
    /// What failed, a line for each problem.
    problems: String,
}

fn render(host: &Path) -> Rendered {
    let replay = Replay::new(host);
    let settings = fs::read_to_string(host.join("settings.toml")).unwrap_or_else(|_| all_on());
    let readers = Readers::new(replay.host.clone(), collectors(&replay.host, &settings));
    let before = if replay.has_before() { read(&readers) } else { Vec::new() };
    replay.go_on();
    let after = read(&readers);
    Rendered {
        exposition: mask(&exposition(&after, Dialect::Plain)),
        points: mask(&line_protocol(&after, &before, &replay.host)),
        problems: replay.without_paths(&problems(&after)),
    }
}

/// Whether to write the expected files anew.
fn blesses() -> bool {
    std::env::var_os("TAFFRAIL_BLESS").is_some()
}

/// How `actual` differs from the text of the file `path`, which becomes `actual` where the expected files are written anew.
fn differs(path: &Path, actual: &str) -> String {
    if blesses() {
        if actual.is_empty() {
            // It may not have been there.
            let _ = fs::remove_file(path);
        } else {
            fs::write(path, actual).unwrap();
        }
        return String::new();
    }
    let diff = line_diff(&fs::read_to_string(path).unwrap_or_default(), actual);
    if diff.is_empty() { diff } else { format!("{}:\n{diff}", path.display()) }
}

/// What failed, a line for each problem.
fn problems(answers: &[CollectorReading]) -> String {
    let mut problems = String::new();
    for answer in answers {
        let failure = match &answer.collected {
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
    let gathering = Regex::new(r"(gather_time_ns=)\d+i").unwrap();
    // Git does not keep when a file was changed.
    let changes = Regex::new(r#"(node_textfile_mtime_seconds(\{[^}]*\} |=))[-0-9.e+]+"#).unwrap();
    let goarch = Regex::new(r#"(goarch="?)[0-9a-z]+"#).unwrap();
    let mut masked = String::with_capacity(text.len());
    for line in text.lines() {
        let line = durations.replace_all(line, "${1}0");
        let line = changes.replace_all(&line, "${1}0");
        let line = gathering.replace_all(&line, "${1}0i");
        if line.contains("_build_info") || line.starts_with("internal_") {
            let line = goarch.replace(&line, "${1}GOARCH");
            masked += &line.replace(std::env::consts::ARCH, "ARCH").replace(env!("CARGO_PKG_VERSION"), "VERSION");
        } else {
            masked += &line;
        }
        masked.push('\n');
    }
    masked
}
