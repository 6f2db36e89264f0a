//! Taffrail beside smartctl_exporter: both run a stand-in for smartctl, which prints what it printed of the 168 disks in the
//! repository of smartctl_exporter.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::python::run;
use crate::harness::real::{Server, free_port, newest_peer};
use crate::harness::series::{Exposition, Series};
use crate::harness::{Taffrail, get, wait_until};

/// The folder of smartctl_exporter's tests in the cache of Go's modules.
fn recorded() -> PathBuf {
    let cache = run(Command::new("go").args(["env", "GOMODCACHE"]));
    Path::new(cache.trim_end()).join("github.com/prometheus-community/smartctl_exporter@v0.14.0/testdata")
}

/// Writes a smartctl that has the recorded disks, each under a name of its own. Returns its path, and the types by label.
fn stand_in(folder: &Path) -> (PathBuf, BTreeMap<String, String>) {
    let mut files: Vec<PathBuf> = fs::read_dir(recorded()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let (mut devices, mut types) = (Vec::new(), BTreeMap::new());
    for (number, path) in files.iter().enumerate() {
        let mut output: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let of_type = output["device"]["type"].as_str().unwrap().to_owned();
        output["device"]["name"] = json!(format!("/dev/d{number}"));
        devices.push(json!({"name": format!("/dev/d{number}"), "type": of_type}));
        let status = &output["smartctl"]["exit_status"];
        let text = format!("cat <<'END'\n{output}\nEND\nexit {status}\n");
        fs::write(folder.join(format!("d{number}")), text).unwrap();
        let label = match of_type.contains(',') {
            true => format!("d{number}_{}", of_type.replace(',', "_")),
            false => format!("d{number}"),
        };
        types.insert(label, of_type);
    }
    let scan = json!({"smartctl": {"exit_status": 0}, "devices": devices});
    fs::write(folder.join("scan"), format!("cat <<'END'\n{scan}\nEND\n")).unwrap();
    let path = folder.join("smartctl");
    let script = "#!/bin/sh\nfor word; do [ \"$word\" = --scan ] && scan=1; device=$word; done\n\
                  [ \"$scan\" ] && device=scan\n. DIR/$(basename \"$device\")\n";
    fs::write(&path, script.replace("DIR", folder.to_str().unwrap())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    (path, types)
}

/// What smartctl_exporter makes up: 0 for what the disk does not report.
const MADE_UP: [&str; 11] = [
    "smartctl_device_capacity_blocks",
    "smartctl_device_capacity_bytes",
    "smartctl_device_block_size",
    "smartctl_device_percentage_used",
    "smartctl_device_available_spare",
    "smartctl_device_available_spare_threshold",
    "smartctl_device_critical_warning",
    "smartctl_device_media_errors",
    "smartctl_device_num_err_log_entries",
    "smartctl_device_bytes_read",
    "smartctl_device_bytes_written",
];

/// The series by name and labels, and the types by family.
fn parsed(text: &str) -> (BTreeMap<String, Series>, BTreeMap<String, String>) {
    let is_compared = |series: &Series| {
        series.name.starts_with("smartctl_")
            && !series.name.starts_with("smartctl_exporter")
            && series.name != "smartctl_version"
    };
    let series = Exposition::parse(text).0.into_iter().filter(is_compared);
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let types = types.map(|(family, kind)| (family.to_owned(), kind.to_owned()));
    (series.map(|series| (series.key(), series)).collect(), types.collect())
}

#[test]
#[ignore = "needs Debian's package golang-go: tests/run"]
fn with_golang_1_25_in_full_smartctl_exporter_says_the_same_of_168_disks() {
    let program = newest_peer("smartctl_exporter");
    let folder = tempfile::tempdir().unwrap();
    let (smartctl, types) = stand_in(folder.path());
    assert!(types.len() >= 168, "{}", types.len());
    let port = free_port();
    let mut command = Command::new(program);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.arg(format!("--smartctl.path={}", smartctl.display()));
    let exporter = Server::start_silent(command, port);
    let theirs = wait_until("smartctl_exporter's disks", || {
        let text = get(&format!("{}/metrics", exporter.url), &[]).ok()?.text().to_owned();
        (text.matches("\nsmartctl_device{").count() == types.len()).then_some(text)
    });
    let taffrail = Taffrail::start(&format!(
        "[collectors]\ndefault = false\n[[collectors.smart]]\npath = '{}'\n",
        smartctl.display()
    ));
    let ours = wait_until("all disks", || {
        let text = taffrail.get("/metrics").text().to_owned();
        (text.matches("\nsmartctl_device{").count() == types.len()).then_some(text)
    });
    let ((theirs, their_types), (ours, our_types)) = (parsed(&theirs), parsed(&ours));
    let mut differences = Vec::new();
    for (key, their) in &theirs {
        match ours.get(key) {
            Some(our) if our.value == their.value => {}
            None if their.value == 0.0 && MADE_UP.contains(&&*their.name) => {}
            our => differences.push(format!("{key}: theirs {}, ours {:?}", their.value, our.map(|our| our.value))),
        }
    }
    for (key, our) in ours.iter().filter(|(key, _)| !theirs.contains_key(*key)) {
        // It reads SCSI's counters of disks of the type scsi alone.
        let of_type = types.get(our.label("device")).map_or("", String::as_str);
        if matches!(of_type, "nvme" | "sat" | "scsi") || !of_type.contains("megaraid") {
            differences.push(format!("{key}: ours {}, theirs none", our.value));
        }
    }
    for (family, kind) in our_types.iter().filter(|(family, _)| family.starts_with("smartctl_")) {
        if their_types.get(family).is_some_and(|their| their != kind) {
            differences.push(format!("{family}: ours {kind}, theirs {}", their_types[family]));
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {}: {:#?}",
        differences.len(),
        theirs.len(),
        &differences[..differences.len().min(40)]
    );
    assert!(theirs.len() > 10_000, "{}", theirs.len());
    println!("{} series of {} disks, {} families", theirs.len(), types.len(), their_types.len());
}
