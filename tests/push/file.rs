//! The sink that writes to files.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::http::request;
use crate::harness::{Taffrail, recorded_host, wait_until};
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
fn a_reading_of_the_background_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.influx");
    let _taffrail = Taffrail::start(&config(&path, "[collectors.loadavg]\ninterval = \"1h\"\n"));
    let count = |measurement: &str, tag: &str| {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        text.lines().filter(|line| line.starts_with(measurement) && line.contains(tag)).count()
    };
    wait_until("ticks", || (count("internal_gather,", "input=loadavg") >= 5 && count("system,", "") > 0).then_some(()));
    assert_eq!(count("system,", ""), 1);
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

/// No process has the other end of the FIFO, and none accepts a connection of the socket.
#[test]
fn what_is_no_regular_file_is_told_once_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.out");
    let make = |kind: &str| match kind {
        "a FIFO" => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
        "a socket" => drop(std::os::unix::net::UnixListener::bind(&path).unwrap()),
        _ => std::os::unix::fs::symlink("/dev/zero", &path).unwrap(),
    };
    for kind in ["a FIFO", "a socket", "a character device"] {
        let mut taffrail = Taffrail::start(&config(&path, "namepass = [\"system\"]\nfieldinclude = [\"load1\"]\n"));
        lines(&path, 3);
        let moved = folder.path().join("moved");
        std::fs::rename(&path, &moved).unwrap();
        make(kind);
        let reported = format!("{}: expected a regular file, found {kind}", path.display());
        taffrail.wait_for_log(&reported);
        wait_until("more attempts", || {
            (taffrail.get("/metrics").sample("taffrail_sink_retries_total{sink=\"file\"}")? > 3.0).then_some(())
        });
        assert_eq!(taffrail.logged(&reported), 1, "{:#?}", taffrail.log());
        std::fs::remove_file(&path).unwrap();
        lines(&path, 3);
        taffrail.wait_for_log("takes writes again");
        // What was sent is there once, in this file or the one before.
        let sent = taffrail.get("/metrics").sample("taffrail_sink_points_sent_total{sink=\"file\"}").unwrap();
        let text = std::fs::read_to_string(&moved).unwrap() + &std::fs::read_to_string(&path).unwrap();
        let ticks: Vec<i64> = text.lines().filter_map(|line| line.rsplit_once(' ')?.1.parse().ok()).collect();
        assert!(ticks.len() as f64 >= sent && ticks.is_sorted_by(|one, next| one < next), "{sent}: {ticks:?}");
        std::fs::remove_file(&path).unwrap();
        make(kind);
        taffrail.signal(rustix::process::Signal::TERM);
        taffrail.wait();
        std::fs::remove_file(&path).unwrap();
    }
}

/// They are pipes here, as under a service manager or in a container.
#[test]
fn the_streams_of_the_process_may_be_named_as_files() {
    for (name, is_out) in [("/dev/stdout", true), ("/proc/self/fd/1", true), ("/dev/stderr", false)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.toml");
        std::fs::write(&path, config(Path::new(name), "")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_taffrail"));
        command.args(["run", "--listen", "127.0.0.1:0", "--config"]).arg(&path);
        let (out, err) = if is_out { (Stdio::piped(), Stdio::null()) } else { (Stdio::null(), Stdio::piped()) };
        let mut child = command.stdout(out).stderr(err).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(800));
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
        let mut text = String::new();
        let read = match is_out {
            true => std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut text),
            false => std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut text),
        };
        read.unwrap();
        assert!(child.wait().unwrap().success());
        assert!(text.lines().filter(|line| line.contains("host=web-1")).count() > 3, "{name}: {text}");
    }
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
    let (_, reported) =
        crate::harness::printed(&crate::harness::taffrail(&["check", "--config", path.to_str().unwrap()]));
    let complaints = ["series have no fields", "found stdout", "found \"xml\"", "expected 1s, 1ms, 1us or 1ns"];
    for complaint in complaints {
        assert!(reported.contains(complaint), "{complaint}: {reported}");
    }
}

/// Servers of remote write take samples in their order, and one for each millisecond.
#[test]
fn pushes_at_once_to_a_group_come_in_the_order_of_their_times_each_with_a_millisecond_of_its_own() {
    const JOBS: usize = 20;
    const PUSHES: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.influx");
    let state = folder.path().join("state");
    let gateway = format!(
        "tagpass = {{ job = [\"*\"] }}\n[gateway]\nlisten = [\"127.0.0.1:0\"]\nstate = \"{}\"\n",
        state.display()
    );
    let taffrail = Taffrail::start(&config(&path, &gateway));
    let address = &taffrail.gateway();
    std::thread::scope(|scope| {
        for push in 0..PUSHES {
            scope.spawn(move || {
                for job in 0..JOBS {
                    let sent = request("PUT", &format!("/metrics/job/{job}"), format!("number {push}\n")).send(address);
                    assert_eq!(sent.status, 200);
                }
            });
        }
    });
    let lines = lines(&path, JOBS * PUSHES);
    let shown = crate::harness::get(&format!("http://{address}/metrics"), &[]).unwrap();
    for job in 0..JOBS {
        let of_job = lines.iter().filter(|line| line.contains(&format!(",job={job} number=")));
        let points: Vec<(i64, f64)> = of_job
            .map(|line| {
                let (value, time) = line.split_once("number=").unwrap().1.trim_end().rsplit_once(' ').unwrap();
                (time.parse::<i64>().unwrap() / 1_000_000, value.parse().unwrap())
            })
            .collect();
        assert_eq!(points.len(), PUSHES, "{lines:#?}");
        assert!(points.is_sorted_by(|one, next| one.0 < next.0), "{points:?}");
        let last = shown.sample(&format!("number{{instance=\"\",job=\"{job}\"}}"));
        assert_eq!(last, points.last().map(|point| point.1), "{points:?}");
    }
}

/// The same push again would be answered as repeated, and go nowhere.
#[test]
fn what_the_gateway_has_goes_on_though_the_client_has_gone() {
    const JOBS: usize = 100;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.influx");
    let state = folder.path().join("state");
    let gateway = format!(
        "tagpass = {{ job = [\"*\"] }}\n[gateway]\nlisten = [\"127.0.0.1:0\"]\nstate = \"{}\"\n",
        state.display()
    );
    let taffrail = Taffrail::start(&config(&path, &gateway));
    let address = &taffrail.gateway();
    for job in 0..JOBS {
        let mut stream = TcpStream::connect(address).unwrap();
        let head =
            format!("PUT /metrics/job/gone{job} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 9\r\n\r\nnumber 1\n");
        stream.write_all(head.as_bytes()).unwrap();
        // Long enough for it to be read, at times.
        std::thread::sleep(Duration::from_micros(job as u64 * 50));
    }
    assert_eq!(request("PUT", "/metrics/job/last", "number 1\n").send(address).status, 200);
    let shown = crate::harness::get(&format!("http://{address}/metrics"), &[]).unwrap();
    for job in (0..JOBS).filter(|job| shown.text().contains(&format!("job=\"gone{job}\""))) {
        wait_until("a push to come", || {
            std::fs::read_to_string(&path).ok()?.contains(&format!("job=gone{job} number=1")).then_some(())
        });
    }
}
