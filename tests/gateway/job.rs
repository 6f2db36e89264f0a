//! `taffrail push`, as a crontab has it.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::gateway::{Gateway, Own, Pushgateway};
use crate::harness::http::request;
use crate::harness::real::free_port;
use crate::harness::server::{FakeInflux, reply, reply_of};
use crate::harness::{printed, wait_until};
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
fn a_job_reports_its_interval_while_it_runs_and_when_it_has_ended() {
    let gateway = Own::start("");
    let shown = || gateway.sample(&format!("job_interval_seconds{GROUP}"));
    let every = |interval: &str, script: &str| {
        push(&gateway.address(), &[&LABELS[..], &["--every", interval, "--", "sh", "-c", script]].concat())
    };
    let mut child = every("7d", "sleep 60").spawn().unwrap();
    wait_until("the interval", || shown().filter(|interval| *interval == 604_800.0));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
    assert_eq!(every("90m", "exit 4").status().unwrap().code(), Some(4));
    assert_eq!(shown(), Some(5_400.0));
    // An invalid one does not keep the job from running.
    let output = every("weekly", "exit 5").output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(printed(&output).1.contains("--every"), "{}", printed(&output).1);
}

#[test]
fn an_executable_script_without_an_interpreter_runs_in_the_shell() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let run = |command: &[&str]| {
        let arguments = [&["--job", "x", "--"], command].concat();
        push("127.0.0.1:1", &arguments).env("PATH", &path).output().unwrap()
    };
    let script = put("ns.sh", b"echo \"$# $2\"; exit 3\n");
    for name in [&script[..], "ns.sh"] {
        let output = run(&[name, "a", "b c"]);
        assert_eq!((output.status.code(), &printed(&output).0[..]), (Some(3), "2 b c\n"), "{output:?}");
    }
    assert_eq!(run(&[&put("empty", b"")]).status.code(), Some(0));
    // A program for another machine is not a script.
    let output = run(&[&put("binary", b"\x7fELF\0\0exit 0\n")]);
    assert_eq!(output.status.code(), Some(126), "{output:?}");

    let (status, errors) = {
        let output = run(&[&put("bi.sh", b"#!/none/such\n")]);
        (output.status.code(), printed(&output).1)
    };
    assert_eq!(status, Some(127));
    assert!(errors.contains("; its first line has the interpreter /none/such\n"), "{errors}");
    let errors = printed(&run(&["tar -cf x.tar /etc"])).1;
    assert!(errors.contains("; the command is one word with spaces: remove the quotes"), "{errors}");
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

/// How many pushes are kept in this folder.
fn kept_in(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".push")).count()
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
    let kept = kept_in;
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
        (&["--job", "x", "--label", "job=c", "-"], "use --job for the label job"),
        (&["--job", "x", "/none"], "/none: No such file"),
        (&["--job", "x", bad.to_str().unwrap()], "the gateway refuses it: 400"),
        (&["--job", "x", "--token-file", "/none", "-"], "/none: No such file"),
    ] {
        let output = run(&address, arguments);
        assert!(!output.status.success(), "{arguments:?}");
        let said = printed(&output).1;
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    let below = |path: &str| printed(&run(&format!("{address}{path}"), &["--job", "x", "--", "true"])).1;
    assert!(below("/metrics/job/x").contains("--url: expected the gateway's URL, which ends before /metrics"));
    let said = below("/metrics");
    assert!(said.contains("404") && said.contains("; the gateway's URL ends before /metrics; "), "{said}");
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

/// Taffrail raises its own limits where it needs to; a job has those of the process that started it.
#[test]
fn a_job_has_the_limits_of_whoever_started_it() {
    let script =
        r#"ulimit -Sn 200 && exec "$0" push --url 127.0.0.1:1 --timeout 1s --job j -- sh -c "ulimit -Sn; ulimit -Hn""#;
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_taffrail")]);
    let hard = Command::new("sh").args(["-c", "ulimit -Hn"]).output().unwrap();
    assert_eq!(printed(&command.output().unwrap()).0, format!("200\n{}", printed(&hard).0));
}

#[test]
fn what_a_push_cannot_use_keeps_no_job_from_running() {
    let gateway = Own::start("");
    let address = gateway.address();
    let folder = tempfile::tempdir().unwrap();
    let (file, fifo) = (folder.path().join("file"), folder.path().join("fifo"));
    std::fs::write(&file, "no certificate").unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
    let (file, fifo) = (file.to_str().unwrap(), fifo.to_str().unwrap());
    for unusable in [
        &["--spool", file][..],
        &["--token-file", "/none/such"],
        &["--token-file", fifo],
        &["--user", "ann", "--password-file", "/dev/zero"],
        &["--user", "ann"],
        &["--ca-file", file],
        &["--ca-file", "/none/such"],
        &["--cert-file", "/none/such", "--key-file", fifo],
    ] {
        let marker = folder.path().join("ran");
        let ran = marker.to_str().unwrap();
        let output = backup_with(&address, unusable, &["sh", "-c", &format!("touch {ran}; exit 4")]);
        assert_eq!((output.status.code(), marker.exists()), (Some(4), true), "{unusable:?} {output:?}");
        let said = printed(&output).1;
        assert!(said.lines().count() <= 2 && unusable.iter().any(|argument| said.contains(argument)), "{said}");
        std::fs::remove_file(marker).unwrap();
    }
    // Without a folder to keep it, a push arrives all the same.
    let output = backup_with(&address, &["--spool", file], &["sh", "-c", "exit 9"]);
    assert_eq!((output.status.code(), gateway.sample(&format!("job_exit_status{GROUP}"))), (Some(9), Some(9.0)));
    // A URL that is none.
    let output = run("nonsense://x", &[&LABELS[..], &["--", "sh", "-c", "exit 3"]].concat());
    assert_eq!(output.status.code(), Some(3));
    assert!(printed(&output).1.contains("--url"), "{output:?}");
}

fn backup_with(address: &str, arguments: &[&str], command: &[&str]) -> Output {
    run(address, &[&LABELS[..], arguments, &["--"], command].concat())
}

/// A gateway that is away, and comes to `address` later.
fn later() -> String {
    format!("127.0.0.1:{}", free_port())
}

fn start_at(address: &str) -> Own {
    Own::start_with(&format!("[gateway]\nlisten = [\"{address}\"]\n"), &["--listen", address])
}

#[test]
fn a_push_that_was_kept_takes_no_newer_ones_place() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    let spool = spool.to_str().unwrap();
    let address = later();
    // The gateway is away when the job runs first; the next run has no spool, the one after is of another job.
    assert_eq!(backup_with(&address, &["--spool", spool], &["sh", "-c", "exit 1"]).status.code(), Some(1));
    let kept = std::fs::read_dir(spool).unwrap().map(|entry| entry.unwrap().path());
    let kept = kept.filter(|path| path.extension().is_some_and(|name| name == "push")).last().unwrap();
    // It was kept an hour ago.
    let an_hour_ago = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() - 3_600_000_000_000;
    std::fs::rename(&kept, Path::new(spool).join(format!("{an_hour_ago:024}-00000000.push"))).unwrap();
    let gateway = start_at(&address);
    assert_eq!(backup(&address, &["sh", "-c", "exit 2"]).status.code(), Some(2));
    let other = run(&address, &["--job", "other", "--spool", spool, "--", "true"]);
    let said = printed(&other).1;
    assert!(said.contains("the gateway has a newer push to {host=\"web 1\",job=\"backup\"}"), "{said}");
    assert_eq!(gateway.sample(&format!("job_exit_status{GROUP}")), Some(2.0));
    assert_eq!(kept_in(Path::new(spool)), 0);
    // What adds up arrives, however old.
    let file = folder.path().join("rows.prom");
    std::fs::write(&file, "# TYPE rows counter\nrows 3\n").unwrap();
    let rows = ["--job", "x", "--mode", "aggregate", file.to_str().unwrap()];
    drop(gateway);
    let kept = run(&address, &[&["--spool", spool][..], &rows].concat());
    assert!(kept.status.success() && printed(&kept).1.contains("kept for the next run"), "{kept:?}");
    let gateway = start_at(&address);
    assert!(run(&address, &rows).status.success());
    assert!(run(&address, &["--job", "other", "--spool", spool, "--", "true"]).status.success());
    assert_eq!(gateway.sample("rows{instance=\"\",job=\"x\"}"), Some(6.0));
}

#[test]
fn pushes_for_another_gateway_are_reported_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().to_str().unwrap();
    let away = later();
    backup_with(&away, &["--spool", spool], &["true"]);
    backup_with(&away, &["--spool", spool], &["true"]);
    let gateway = Own::start("");
    let said = printed(&backup_with(&gateway.address(), &["--spool", spool], &["true"])).1;
    assert!(said.contains(&format!("2 pushes wait for another gateway, http://{away}")), "{said}");
    assert_eq!(kept_in(folder.path()), 2);
}

#[test]
fn what_others_put_into_a_spool_is_not_sent() {
    let gateway = Own::start("admin_api = true\n");
    let address = gateway.address();
    assert_eq!(request("PUT", "/metrics/job/x", "rows 3\n").send(&address).status, 200);
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().to_str().unwrap();
    for (number, (method, path)) in
        [("PUT", "api/v1/admin/wipe"), ("DELETE", "metrics/job/y/../x"), ("GET", "metrics/job/x")].iter().enumerate()
    {
        let kept = format!(
            "{{\"method\":\"{method}\",\"url\":\"http://{address}/{path}\",\"key\":\"k\",\"content_type\":\"\",\"body\":\"\"}}"
        );
        std::fs::write(folder.path().join(format!("00000000000000000000000{number}-0.push")), kept).unwrap();
    }
    let said = printed(&backup_with(&address, &["--spool", spool], &["true"])).1;
    assert_eq!(said.matches("it is not sent").count(), 3, "{said}");
    assert_eq!(gateway.sample("rows{instance=\"\",job=\"x\"}"), Some(3.0));
    // It is reported once.
    assert_eq!(printed(&backup_with(&address, &["--spool", spool], &["true"])).1, "");
}

#[test]
fn what_one_run_may_not_push_waits_for_one_that_may() {
    let users = "[[http.users]]\nname = \"job\"\ntoken = \"t0ken\"\nrights = [\"push\"]\njobs = [\"other\"]\n\
                 [[http.users]]\nname = \"all\"\ntoken = \"all\"\n";
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().to_str().unwrap();
    let address = later();
    backup_with(&address, &["--spool", spool], &["true"]);
    let _gateway = Own::start_with(&format!("[gateway]\nlisten = [\"{address}\"]\n{users}"), &["--listen", &address]);
    let as_one = |token: &str, job: &str| {
        let mut command = push(&address, &["--job", job, "--spool", spool, "--", "true"]);
        printed(&command.env("TAFFRAIL_TOKEN", token).output().unwrap()).1
    };
    assert!(as_one("t0ken", "other").contains("stays for a run that may push"));
    assert_eq!(kept_in(folder.path()), 1);
    assert!(as_one("all", "third").contains("that was kept has arrived"));
    assert_eq!(kept_in(folder.path()), 0);
}

/// A gateway that takes connections, and says nothing.
fn silent() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn once_the_job_has_ended_a_signal_is_obeyed_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, ended) = (folder.path().join("spool"), folder.path().join("ended"));
    let (_listener, address) = silent();
    let script = format!("touch {}; exit 7", ended.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_taffrail"));
    command.args(["push", "--url", &address, "--timeout", "1h", "--spool", spool.to_str().unwrap()]).args(LABELS);
    let child = command.args(["--", "sh", "-c", &script]).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the push to be kept", || (ended.exists() && spool.exists() && kept_in(&spool) == 1).then_some(()));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert!(printed(&output).1.contains("asked to end before the push"), "{output:?}");
    assert_eq!(kept_in(&spool), 1);
}

/// Standard error is a full pipe without a reader.
#[test]
fn what_cannot_be_reported_keeps_no_job_from_ending() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    let mut command = push("127.0.0.1:1", &[&LABELS[..], &["--", "sh", "-c", "exit 6"]].concat());
    let mut child = command.stderr(writer).spawn().unwrap();
    drop(command);
    assert_eq!(wait_until("the end", || child.try_wait().unwrap()).code(), Some(6));
    drop(reader);
}

#[test]
fn a_job_runs_as_long_as_one_of_its_runs_does() {
    let gateway = Own::start("");
    let address = gateway.address();
    let running = || gateway.sample(&format!("job_running{GROUP}"));
    let begin = |seconds: &str| {
        push(&address, &[&LABELS[..], &["--", "sh", "-c", &format!("read line; exit {seconds}")]].concat())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let (mut first, mut second) = (begin("1"), begin("2"));
    let ends = |run: &mut std::process::Child| {
        run.stdin.take().unwrap().write_all(b"\n").unwrap();
        run.wait().unwrap().code()
    };
    wait_until("both to run", || {
        let of_shells = std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
            let parent = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent = parent.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse::<u32>().ok());
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            name == "sh\n" && [Some(first.id()), Some(second.id())].contains(&parent)
        });
        (of_shells.count() == 2).then_some(())
    });
    wait_until("the job to run", || running().filter(|running| *running == 1.0));
    assert_eq!((ends(&mut first), running()), (Some(1), Some(1.0)));
    assert_eq!((ends(&mut second), running()), (Some(2), Some(0.0)));
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_whose_push_was_killed_is_told_as_over_and_failed() {
    let gateway = Own::start("");
    let address = gateway.address();
    let folder = tempfile::tempdir().unwrap();
    let go_on = folder.path().join("go-on");
    let script = format!("while [ ! -e {} ]; do sleep 0.05; done", go_on.display());
    let mut child = push(&address, &[&LABELS[..], &["--", "sh", "-c", &script]].concat()).spawn().unwrap();
    let shown = |name: &str| gateway.sample(&format!("{name}{GROUP}"));
    wait_until("the job to run", || shown("job_running").filter(|running| *running == 1.0));
    child.kill().unwrap();
    child.wait().unwrap();
    // The job itself still runs.
    assert_eq!(shown("job_running"), Some(1.0));
    std::fs::write(&go_on, "").unwrap();
    wait_until("its end", || shown("job_running").filter(|running| *running == 0.0));
    assert_eq!([shown("job_success"), shown("job_exit_status")], [Some(0.0), Some(137.0)]);
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs root: tests/run"]
fn with_mount_as_the_first_process_of_a_container_it_reaps() {
    let gateway = Own::start("");
    // Each inner shell leaves a child behind, which ends as an orphan.
    let script = "for i in 1 2 3 4 5; do sh -c 'sleep 0.1 & exit 0'; done; \
                  for i in $(seq 200); do ls /proc | grep -c '^[0-9]' > /dev/null; zombies=0; \
                  for s in /proc/[0-9]*/stat; do grep -q ') Z ' $s 2>/dev/null && zombies=1; done; \
                  sleeping=$(grep -l '^sleep$' /proc/[0-9]*/comm 2>/dev/null | wc -l); \
                  [ $sleeping = 0 ] && [ $zombies = 0 ] && exit 0; sleep 0.05; done; exit 1";
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", env!("CARGO_BIN_EXE_taffrail"), "push", "--url"]);
    command.arg(gateway.address()).args(LABELS).args(["--", "sh", "-c", script]).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(gateway.sample(&format!("job_success{GROUP}")), Some(1.0));
}

/// A server that answers everything by this, whole or not, and closes.
fn says(answer: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = std::io::BufReader::new(stream);
            if crate::harness::wire::Incoming::read(&mut reader).is_some() {
                let _ = reader.get_mut().write_all(answer.as_bytes());
            }
        }
    });
    address
}

/// A push of an exposition, kept in `spool`.
fn rows<'a>(spool: &'a str, file: &'a Path) -> [&'a str; 5] {
    std::fs::write(file, "rows 1\n").unwrap();
    ["--job", "x", "--spool", spool, file.to_str().unwrap()]
}

#[test]
fn only_what_a_gateway_answers_has_arrived() {
    let page = "<html>Please log in</html>";
    for (status, kind, body) in [
        (200, "text/html", page),
        (200, "text/html", ""),
        (202, "text/plain", "<!DOCTYPE html>"),
        (200, "application/json", "{\"status\":\"error\"}"),
        (203, "text/plain", ""),
        (204, "text/plain", ""),
        (302, "text/plain", ""),
        (404, "text/html", page),
        (400, "text/html", page),
        (413, "text/html", page),
        (407, "text/plain", "who are you?"),
    ] {
        let server = FakeInflux::start(move |_| reply_of(status, kind, body));
        let address = server.address.to_string();
        let folder = tempfile::tempdir().unwrap();
        let (spool, file) = (folder.path().join("spool"), folder.path().join("rows.prom"));
        let arguments = rows(spool.to_str().unwrap(), &file);
        let output = run(&address, &arguments);
        let said = printed(&output).1;
        assert_eq!((output.status.code(), kept_in(&spool)), (Some(1), 1), "{status} {body}: {said}");
        assert!(said.contains(&format!("{status} ")) && said.contains("kept for the next run"), "{said}");
        // Nor has what was kept before.
        let output = run(&address, &["--job", "y", "--spool", arguments[3], "--", "true"]);
        assert_eq!((output.status.code(), kept_in(&spool)), (Some(0), 2), "{status} {body}: {output:?}");
        server.answer(|_| reply(200, ""));
        assert_eq!(run(&address, &arguments).status.code(), Some(0));
        assert_eq!(kept_in(&spool), 0);
    }
}

#[test]
fn an_answer_that_breaks_off_or_does_not_end_is_none() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n1\r\n",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("spool");
        run(&says(answer), &rows(spool.to_str().unwrap(), &folder.path().join("rows.prom")));
        assert_eq!(kept_in(&spool), 1, "{answer}");
    }
}

#[test]
fn what_a_gateway_says_shows_no_secret_and_steers_no_terminal() {
    let server = FakeInflux::start(|post| {
        let who = post.header("authorization").unwrap_or_default();
        reply_of(400, "text/plain", &format!("\u{1b}[31mred\u{7}\0\u{8} {who}\nsecond line"))
    });
    let address = server.address.to_string();
    let said_with = |arguments: &[&str], (name, value): (&str, &str)| {
        let mut command = push(&address, &[&["--job", "x"][..], arguments, &["--", "true"]].concat());
        printed(&command.env(name, value).output().unwrap()).1
    };
    for said in [
        said_with(&[], ("TAFFRAIL_TOKEN", "s3cretTOK")),
        said_with(&["--user", "u"], ("TAFFRAIL_PASSWORD", "s3cretTOK")),
    ] {
        assert!(said.contains("[31mred") && said.contains("[secret]"), "{said}");
        assert!(!said.contains("s3cretTOK") && !said.contains("dTpzM2NyZXRUT0s"), "{said}");
        assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said:?}");
    }
}

/// Bytes that are no UTF-8 are for the job to know.
#[test]
fn a_job_gets_its_arguments_byte_for_byte() {
    let mut command = push("127.0.0.1:1", &["--job", "x", "--", "printf", "%s"]);
    let output = command.arg(OsStr::from_bytes(b"caf\xe9 \xff")).output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(0), b"caf\xe9 \xff".to_vec()));
    let output = push("127.0.0.1:1", &["--job", "x", "--"]).arg(OsStr::from_bytes(b"/none/\xff")).output().unwrap();
    assert_eq!(output.status.code(), Some(127));
}

#[test]
fn a_value_that_is_wrong_keeps_no_job_from_running() {
    let gateway = Own::start("");
    let no_text = OsStr::from_bytes(b"\xff");
    for option in ["--job", "--label", "--url", "--ttl", "--timeout", "--spool", "--user", "--token-file", "--ca-file"]
    {
        for value in [OsStr::new(""), no_text] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_taffrail"));
            command.arg("push").args(["--job", "x"].iter().filter(|_| option != "--job"));
            command.args(["--url", &gateway.address()].iter().filter(|_| option != "--url"));
            command.arg(option).arg(value).args(["--", "sh", "-c", "echo ran; exit 3"]);
            let output = command.current_dir(tempfile::tempdir().unwrap().path()).output().unwrap();
            let said = printed(&output).1;
            assert_eq!((output.status.code(), &output.stdout[..]), (Some(3), &b"ran\n"[..]), "{option}: {said}");
            // A folder may have such a name.
            assert!(said.contains(option) || (option, value) == ("--spool", no_text), "{option}: {said}");
        }
    }
}

#[test]
fn a_variable_that_is_no_text_is_told() {
    let gateway = Own::start("");
    let no_text = OsStr::from_bytes(b"http://gw\xff.example");
    for name in ["TAFFRAIL_GATEWAY", "TAFFRAIL_TOKEN", "TAFFRAIL_PASSWORD"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_taffrail"));
        command.args(["push", "--job", "x", "--timeout", "1s"]).env(name, no_text);
        command.args(["--url", &gateway.address()].iter().filter(|_| name != "TAFFRAIL_GATEWAY"));
        command.args(["--user", "ann"].iter().filter(|_| name == "TAFFRAIL_PASSWORD"));
        let output = command.args(["--", "sh", "-c", "exit 3"]).output().unwrap();
        let said = printed(&output).1;
        assert!(output.status.code() == Some(3) && said.contains(&format!("{name}: expected")), "{said}");
    }
}

#[test]
fn a_spool_that_others_may_change_is_not_used() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let folder = tempfile::tempdir().unwrap();
    let (open, linked, fifo) = (folder.path().join("open"), folder.path().join("linked"), folder.path().join("fifo"));
    for spool in [&open, &linked, &fifo] {
        std::fs::create_dir(spool).unwrap();
    }
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
    let victim = folder.path().join("victim");
    symlink(&victim, linked.join(".lock")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, fifo.join(".lock"), rustix::fs::Mode::RUSR).unwrap();
    for (spool, says) in [
        (open, "everybody may write to it"),
        (linked, ".lock: expected a regular file, found a symbolic link"),
        (fifo, ".lock: expected a regular file, found a FIFO"),
    ] {
        let output = backup_with("127.0.0.1:1", &["--spool", spool.to_str().unwrap()], &["sh", "-c", "exit 3"]);
        let said = printed(&output).1;
        assert_eq!((output.status.code(), kept_in(&spool)), (Some(3), 0), "{said}");
        assert!(said.contains("--spool") && said.contains(says) && said.contains("pushes are not kept"), "{said}");
    }
    assert!(!victim.exists());
}

#[test]
fn many_damaged_files_are_told_of_in_few_lines() {
    let gateway = Own::start("");
    let folder = tempfile::tempdir().unwrap();
    for number in 0..200 {
        std::fs::write(folder.path().join(format!("{number:024}-0.push")), "no push").unwrap();
    }
    let output = backup_with(&gateway.address(), &["--spool", folder.path().to_str().unwrap()], &["true"]);
    let said = printed(&output).1;
    assert!(said.lines().count() < 10 && said.contains("damaged") && said.contains("195 more"), "{said}");
    assert_eq!(kept_in(folder.path()), 0);
}
