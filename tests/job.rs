//! `taffrail push`, as a crontab has it.

mod harness;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use harness::gateway::{Gateway, Own, Pushgateway};
use harness::http::request;
use harness::real::free_port;
use harness::{printed, wait_until};
use rustix::process::{Pid, Signal, kill_process};

fn push(address: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taffrail"));
    command.args(["push", "--url", address, "--timeout", "1s"]).args(arguments).stdin(Stdio::null());
    command
}

fn run(address: &str, arguments: &[&str]) -> Output {
    push(address, arguments).output().unwrap()
}

const GROUP: &str = "{host=\"web 1\",instance=\"\",job=\"backup\"}";
const LABELS: [&str; 4] = ["--job", "backup", "--label", "host=web 1"];

fn backup(address: &str, command: &[&str]) -> Output {
    run(address, &[&LABELS[..], &["--"], command].concat())
}

fn tells_how_a_job_went(gateway: &dyn Gateway) {
    let shown = |name: &str| gateway.sample(&format!("{name}{GROUP}"));
    let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.1; echo done; echo oops >&2";
    let output = backup(&gateway.address(), &["sh", "-c", script]);
    assert_eq!((output.status.code(), printed(&output)), (Some(0), ("done\n".into(), "oops\n".into())));
    let (start, end) = (shown("job_start_timestamp_seconds").unwrap(), shown("job_end_timestamp_seconds").unwrap());
    assert!(start >= begun - 0.001 && end >= start + 0.1, "{start} to {end} after {begun}");
    assert!((shown("job_duration_seconds").unwrap() - (end - start)).abs() < 0.01);
    assert_eq!(
        [shown("job_exit_status"), shown("job_success"), shown("job_running")],
        [Some(0.0), Some(1.0), Some(0.0)]
    );
    assert_eq!(shown("job_last_success_timestamp_seconds"), Some(end));
    let cpu = gateway.sample("job_cpu_seconds{host=\"web 1\",instance=\"\",job=\"backup\",mode=\"user\"}").unwrap();
    assert!(cpu > 0.0 && cpu < end - start, "{cpu}");
    assert!(shown("job_peak_memory_bytes").unwrap() > 500_000.0);
    assert!(shown("job_written_bytes").is_some() && shown("job_read_bytes").is_some());

    // A failure leaves the last success as it was.
    assert_eq!(backup(&gateway.address(), &["sh", "-c", "exit 7"]).status.code(), Some(7));
    assert_eq!([shown("job_exit_status"), shown("job_success")], [Some(7.0), Some(0.0)]);
    assert_eq!(shown("job_last_success_timestamp_seconds"), Some(end));
}

#[test]
fn a_job_runs_and_how_it_went_is_told() {
    tells_how_a_job_went(&Own::start(""));
}

#[test]
#[ignore = "needs Debian's package prometheus-pushgateway: tests/run"]
fn with_pushgateway_a_job_runs_and_how_it_went_is_told() {
    tells_how_a_job_went(&Pushgateway::start(&[]));
}

#[test]
fn a_job_that_runs_is_told_of_and_gets_signals() {
    let gateway = Own::start("");
    let script = "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let mut command = push(&gateway.address(), &[&LABELS[..], &["--", "sh", "-c", script]].concat());
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    let shown = |name: &str| gateway.sample(&format!("{name}{GROUP}"));
    wait_until("the job to run", || shown("job_running").filter(|running| *running == 1.0));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), printed(&output).0), (Some(3), "ready\ncaught\n".to_owned()));
    assert_eq!([shown("job_exit_status"), shown("job_running")], [Some(3.0), Some(0.0)]);
    // One that a signal ends has the status that a shell gives it.
    let killed = backup(&gateway.address(), &["sh", "-c", "kill -KILL $$"]);
    assert_eq!((killed.status.code(), shown("job_exit_status")), (Some(137), Some(137.0)));
}

#[test]
fn a_command_that_cannot_be_run_is_a_run_that_failed() {
    let gateway = Own::start("");
    for (command, status) in [("/none/such", 127), ("/etc/passwd", 126)] {
        let output = backup(&gateway.address(), &[command]);
        assert_eq!(output.status.code(), Some(status));
        assert!(printed(&output).1.contains(command));
        assert_eq!(gateway.sample(&format!("job_exit_status{GROUP}")), Some(f64::from(status)));
    }
}

#[test]
fn a_gateway_that_is_away_fails_no_job_and_gets_the_push_later() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    let spool_argument = spool.to_str().unwrap();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let with_spool =
        |command: &[&str]| run(&address, &[&LABELS[..], &["--spool", spool_argument, "--"], command].concat());
    let output = backup(&address, &["sh", "-c", "exit 5"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(printed(&output).1.contains("did not arrive"), "{output:?}");
    assert_eq!(with_spool(&["sh", "-c", "exit 6"]).status.code(), Some(6));
    let kept = |folder: &Path| std::fs::read_dir(folder).unwrap().count();
    assert_eq!(kept(&spool), 1);

    let gateway = Own::start_with(&format!("[gateway]\nlisten = [\"{address}\"]\n"), &["--listen", &address]);
    let other = run(&address, &["--job", "other", "--spool", spool_argument, "--", "true"]);
    assert!(other.status.success());
    assert_eq!(gateway.sample(&format!("job_exit_status{GROUP}")), Some(6.0));
    assert_eq!(gateway.sample("job_exit_status{instance=\"\",job=\"other\"}"), Some(0.0));
    assert_eq!(kept(&spool), 0);
}

#[test]
fn an_exposition_is_pushed_replaced_added_to_and_deleted() {
    let gateway = Own::start("");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows.prom");
    std::fs::write(&file, "# TYPE rows counter\nrows 3\n").unwrap();
    let path = file.to_str().unwrap();
    let rows = || gateway.sample("rows{instance=\"\",job=\"x\",path=\"/a b\"}");
    let group = ["--job", "x", "--label", "path=/a b"];
    let pushed = |more: &[&str]| {
        let output = run(&gateway.address(), &[&group[..], more].concat());
        assert!(output.status.success(), "{output:?}");
    };
    pushed(&[path]);
    assert_eq!(rows(), Some(3.0));
    pushed(&["--mode", "aggregate", "--ttl", "1h", path]);
    assert_eq!(rows(), Some(6.0));
    let mut child = push(&gateway.address(), &[&group[..], &["--mode", "group", "-"]].concat())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"other 1\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(rows(), None);
    pushed(&["--delete"]);
    assert!(!gateway.exposition().contains("job=\"x\""));
}

#[test]
fn what_is_wrong_is_told() {
    let gateway = Own::start("");
    let address = gateway.address();
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.prom");
    std::fs::write(&bad, "x{ 1\n").unwrap();
    for (arguments, says) in [
        (&["--job", "x"][..], "nothing to do"),
        (&["--job", ""], "--job"),
        (&["--job", "x", "--label", "__a=c", "-"], "does not begin with __"),
        (&["--job", "x", "--label", "job=c", "-"], "the job is said by --job"),
        (&["--job", "x", "/none"], "/none: No such file"),
        (&["--job", "x", bad.to_str().unwrap()], "the gateway refuses it: 400"),
        (&["--job", "x", "--token-file", "/none", "-"], "/none: No such file"),
    ] {
        let output = run(&address, arguments);
        assert!(!output.status.success(), "{arguments:?}");
        let said = printed(&output).1;
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    let help = run(&address, &["--help"]);
    assert!(printed(&help).0.contains("Examples:"));
}

#[test]
fn credentials_are_shown_to_the_gateway_and_to_nobody_else() {
    let users = format!(
        "[[http.users]]\nname = \"ann\"\npassword_hash = \"{}\"\n[[http.users]]\nname = \"job\"\ntoken = \"t0ken\"\nrights = [\"push\"]\njobs = [\"backup\"]\n",
        bcrypt::hash("wonder", 4).unwrap()
    );
    let gateway = Own::start_with(&users, &[]);
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "t0ken\n").unwrap();
    let address = gateway.address();
    let token_file = token.to_str().unwrap();
    let pushed = |arguments: &[&str]| run(&address, &[arguments, &["--", "true"]].concat());
    assert!(printed(&pushed(&["--job", "backup"])).1.contains("401"));
    assert!(printed(&pushed(&["--job", "other", "--token-file", token_file])).1.contains("403"));
    assert_eq!(printed(&pushed(&["--job", "backup", "--token-file", token_file])).1, "");
    let with_url = run(&format!("http://ann:wrong@{address}"), &["--job", "a", "--", "true"]);
    let said = printed(&with_url).1;
    assert!(said.contains("401") && !said.contains("wrong"), "{said}");
    let mut by_environment = push(&address, &["--job", "a", "--user", "ann", "--", "true"]);
    assert_eq!(printed(&by_environment.env("TAFFRAIL_PASSWORD", "wonder").output().unwrap()).1, "");
    let read = request("GET", "/metrics", "").header("Authorization", "Basic YW5uOndvbmRlcg==").send(&address);
    assert!(read.body.contains("job_success{instance=\"\",job=\"a\"} 1"));
}

/// Taffrail raises its own limits where it needs to; a job has those that whoever started it gave it.
#[test]
fn a_job_has_the_limits_of_whoever_started_it() {
    let script =
        r#"ulimit -Sn 200 && exec "$0" push --url 127.0.0.1:1 --timeout 1s --job j -- sh -c "ulimit -Sn; ulimit -Hn""#;
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_taffrail")]);
    let hard = Command::new("sh").args(["-c", "ulimit -Hn"]).output().unwrap();
    assert_eq!(printed(&command.output().unwrap()).0, format!("200\n{}", printed(&hard).0));
}
