//! The sink that writes to files.

mod harness;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{Taffrail, recorded_host, wait_until};
use serde_json::Value;

fn config(path: &Path, more: &str) -> String {
    format!(
        "{}[collectors]\ndefault = false\nenable = [\"loadavg\", \"filesystem\"]\n\
         [agent]\ninterval = \"100ms\"\nflush_interval = \"100ms\"\nhostname = \"web-1\"\n\
         [[sinks.file]]\nname = \"file\"\nretry_min = \"50ms\"\nretry_max = \"100ms\"\npath = \"{}\"\n{more}",
        recorded_host(),
        path.display()
    )
}

fn lines(path: &Path, least: usize) -> Vec<String> {
    wait_until("lines", || {
        let text = std::fs::read_to_string(path).ok()?;
        let lines: Vec<String> =
            text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::to_owned).collect();
        (lines.len() >= least).then_some(lines)
    })
}

#[test]
fn line_protocol_and_json_hold_the_same_points() {
    let folder = tempfile::tempdir().unwrap();
    let (influx, json) = (folder.path().join("m.influx"), folder.path().join("m.json"));
    let second = format!(
        "[[sinks.file]]\npath = \"{}\"\ndata_format = \"json\"\njson_timestamp_units = \"1ms\"\n",
        json.display()
    );
    let _taffrail = Taffrail::start(&config(&influx, &second));
    let objects: Vec<Value> = lines(&json, 20).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let points = lines(&influx, 20);
    let load = objects.iter().find(|object| object["fields"]["load1"].is_number()).unwrap();
    assert_eq!((&load["name"], &load["tags"]["host"]), (&"system".into(), &"web-1".into()));
    let milliseconds = load["timestamp"].as_i64().unwrap();
    let line =
        points.iter().find(|line| line.starts_with("system,") && line.contains(&format!(" {milliseconds}000000\n")));
    let line = line.or_else(|| points.iter().find(|line| line.contains("load1=")));
    assert!(line.unwrap().contains(&format!("load1={}", load["fields"]["load1"])), "{line:?} {load}");
}

#[test]
fn exposition_is_whole_at_every_tick() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.prom");
    let _taffrail = Taffrail::start(&config(&path, "data_format = \"prometheus\"\nnamedrop = [\"taffrail_*\"]\n"));
    let lines = lines(&path, 100);
    let heads: Vec<usize> =
        lines.iter().enumerate().filter(|(_, line)| **line == "# TYPE node_load1 gauge\n").map(|(at, _)| at).collect();
    assert!(heads.len() > 1, "{lines:#?}");
    let mut times = heads.iter().filter_map(|head| lines.get(head + 1)).map(|line| {
        let (name, rest) = line.split_once(' ').unwrap();
        assert_eq!(name, "node_load1");
        rest.trim().rsplit_once(' ').unwrap().1.parse::<i64>().unwrap()
    });
    let first = times.next().unwrap();
    assert!(times.all(|time| time > first));
    assert!(!lines.iter().any(|line| line.contains("taffrail_")));
}

#[test]
fn standard_output_is_for_points_and_the_log_is_not_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    std::fs::write(&path, config(Path::new("stdout"), "")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_taffrail"));
    command.args(["run", "--listen", "127.0.0.1:0", "--config"]).arg(&path);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(800));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut text).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(text.lines().count() > 3 && text.ends_with('\n'), "{text}");
    assert!(text.lines().all(|line| line.contains("host=web-1")), "{text}");
}

#[test]
fn a_pipe_that_nobody_reads_does_not_keep_taffrail_from_ending() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    std::fs::write(&path, config(Path::new("stdout"), "").replace("100ms", "5ms")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_taffrail"));
    command.args(["run", "--listen", "127.0.0.1:0", "--config"]).arg(&path);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    wait_until("its end", || child.try_wait().unwrap());
}

#[test]
fn files_are_rotated_and_no_point_is_lost_or_there_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.out");
    let more = "rotation_max_size = \"1KiB\"\nrotation_max_archives = -1\nnamepass = [\"system\"]\nfieldinclude = [\"load1\"]\n";
    let mut taffrail = Taffrail::start(&config(&path, more));
    let files = || -> Vec<_> {
        let mut files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    };
    wait_until("three files", || (files().len() >= 3).then_some(()));
    taffrail.signal(rustix::process::Signal::TERM);
    taffrail.wait();
    let mut files = files();
    assert!(files.iter().all(|file| file.metadata().unwrap().len() <= 1024));
    // The one that is written to is the last, and its name the shortest.
    let current = files.remove(0);
    files.push(current);
    let text: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let ticks: Vec<i64> = text.lines().map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect();
    assert!(ticks.windows(2).all(|pair| (50..150).contains(&((pair[1] - pair[0]) / 1_000_000))), "{ticks:?}");
}

#[test]
fn what_cannot_be_is_refused_by_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    std::fs::write(&path, "[[sinks.file]]\ndata_format = 'prometheus'\nfieldinclude = 'a'\nrotation_max_size = '1MiB'\n[[sinks.file]]\npath = 'x'\ndata_format = 'xml'\njson_timestamp_units = '2s'\n").unwrap();
    let (_, told) = harness::printed(&harness::taffrail(&["check", "--config", path.to_str().unwrap()]));
    let complaints = ["series have no fields", "found stdout", "found \"xml\"", "expected 1s, 1ms, 1us or 1ns"];
    for complaint in complaints {
        assert!(told.contains(complaint), "{complaint}: {told}");
    }
}
