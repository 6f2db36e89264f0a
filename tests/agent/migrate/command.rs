//! Statuses, files and messages of the command.

use std::process::Command;

use super::machine::write_below;
use crate::harness::{printed, taffrail};

#[test]
fn a_template_of_another_file_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file").to_str().unwrap().to_owned();
    for (program, text) in [
        (&["yace"][..], "# {{ managed }}\ndiscovery:\n  jobs:\n    - type: \"{{ type }}\"\n"),
        (&["cloudwatch_exporter"], "a: 1\nb: 2\nmetrics:\n  {% for x in y %}\n"),
        (&["node_exporter", "--defaults"], "\n\n\nARGS=\"{{ node_exporter_flags }}\"\n"),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = taffrail(&[&["migrate"], program, &[file.as_str()]].concat());
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(&format!("{file}:4: a template: render the file first")), "{errors}");
    }
}

#[test]
fn a_command_without_an_input_says_what_it_expects() {
    for (program, expected) in [
        ("node_exporter", "expected --defaults FILE, --helm-values FILE, or the flags after --"),
        ("pushgateway", "expected --defaults FILE, --persistence FILE, or the flags after --"),
        ("cadvisor", "expected --defaults FILE, or the flags after --"),
    ] {
        let output = taffrail(&["migrate", program]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(expected), "{errors}");
        // A program without flags.
        assert_eq!(taffrail(&["migrate", program, "--"]).status.code(), Some(0), "{program}");
        let output = taffrail(&["migrate", program, "values.yaml"]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains("values.yaml: write --defaults values.yaml"), "{errors}");
    }
    let output = taffrail(&["migrate", "node_exporter", "values.yaml", "--helm-values", "values.yaml"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_status_is_0_1_2_or_3() {
    let status = |arguments: &[&str]| taffrail(&[&["migrate"], arguments].concat()).status.code();
    assert_eq!(status(&["node_exporter", "--", "--collector.systemd"]), Some(0));
    assert_eq!(status(&["node_exporter", "--", "--nonsense"]), Some(3));
    assert_eq!(status(&["node_exporter", "--defaults", "/does/not/exist"]), Some(1));
    assert_eq!(status(&["node_exporter", "--nonsense"]), Some(2));
    assert_eq!(status(&["nonsense"]), Some(2));
}

#[test]
fn the_output_is_for_its_group_alone_and_keeps_an_earlier_one() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (victim, path) = (folder.path().join("victim"), folder.path().join("out/50-migrated.toml"));
    write_below(folder.path(), "victim", "untouched");
    std::fs::create_dir(folder.path().join("out")).unwrap();
    std::os::unix::fs::symlink(&victim, &path).unwrap();
    let migrate = |flag: &str| {
        let out = folder.path().join("out");
        taffrail(&["migrate", "-o", out.to_str().unwrap(), "node_exporter", "--", flag])
    };
    assert_eq!(migrate("--collector.wifi").status.code(), Some(0));
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    // The same again is nothing new; after an edit, the edited file is kept.
    assert!(!String::from_utf8(migrate("--collector.wifi").stderr).unwrap().contains("kept"));
    std::fs::write(&path, "# mine\n").unwrap();
    let report = String::from_utf8(migrate("--collector.wifi").stderr).unwrap();
    assert!(report.contains("50-migrated.toml.2"), "{report}");
    assert_eq!(std::fs::read_to_string(folder.path().join("out/50-migrated.toml.2")).unwrap(), "# mine\n");
    let refused = taffrail(&["migrate", "-o", victim.to_str().unwrap(), "node_exporter", "--", "--collector.wifi"]);
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(message.contains(&format!("{}: cannot be written", victim.display())), "{message}");
}

#[test]
fn an_endless_file_is_refused() {
    for program in [&["telegraf"][..], &["node_exporter", "--defaults"], &["pushgateway", "--persistence"], &["yace"]] {
        let output = taffrail(&[&["migrate"], program, &["/dev/zero"]].concat());
        assert_eq!(output.status.code(), Some(1), "{program:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains("/dev/zero: "), "{message}");
    }
}

#[test]
fn the_output_is_a_file_and_the_report_is_json_if_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("conf.d");
    let output = taffrail(&[
        "migrate",
        "--report",
        "json",
        "-o",
        path.to_str().unwrap(),
        "node_exporter",
        "--",
        "--collector.systemd",
        "--nonsense",
    ]);
    assert_eq!(output.status.code(), Some(3));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["summary"]["same"], 1);
    assert_eq!(report["entries"][1]["outcome"], "missing");
    let written = std::fs::read_to_string(path.join("50-migrated.toml")).unwrap();
    assert_eq!(written, "[collectors.systemd]\nenabled = true  # --collector.systemd\n");
    printed(&taffrail(&["check", "--config", path.to_str().unwrap()]));
}

/// A certificate may be on the machine that the settings are for.
#[test]
fn a_file_that_is_not_here_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("telegraf.conf").to_str().unwrap().to_owned();
    std::fs::write(
        &file,
        "[[outputs.influxdb]]\n  urls = [\"https://a\"]\n  tls_ca = \"/does/not/exist.pem\"\n[[inputs.mem]]\n",
    )
    .unwrap();
    let output = taffrail(&["migrate", "telegraf", &file]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert!(errors.contains("taffrail check rejects these settings on this machine: "), "{errors}");
    assert!(errors.contains("/does/not/exist.pem"), "{errors}");
    let output = taffrail(&["migrate", "telegraf", &file, "--report", "json"]);
    assert!(serde_json::from_slice::<serde_json::Value>(&output.stderr).is_ok());
}

/// A server that answers each request with this body.
fn serving(content_type: &str, body: &str) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n{body}");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn verify_refuses_what_is_no_exposition() {
    for (content_type, body, reason) in [
        ("text/plain", "\n", "the exposition is empty"),
        ("text/html", "<html>Log in</html>", "this is a web page; expected an exposition"),
        ("text/plain", "a b c d\n", "line 1"),
    ] {
        let url = serving(content_type, body);
        let output = Command::new(env!("CARGO_BIN_EXE_taffrail"))
            .args(["migrate", "verify", &url, "--new-url", &serving("text/plain", "a 1\n")])
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(&url) && errors.contains(reason), "{errors}");
    }
}
