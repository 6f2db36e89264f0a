//! Programs and files as collectors: results in both vocabularies, hangs, and ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::harness::golden::assert_families;
use crate::harness::{Taffrail, config_file, printed, taffrail, wait_until};

/// Writes a script.
fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn start(folder: &Path, settings: &str) -> Taffrail {
    let settings = settings.replace("DIR", folder.to_str().unwrap());
    Taffrail::start(&format!("[collectors]\ndefault = false\n{settings}"))
}

fn wait_for(taffrail: &Taffrail, series: &str, value: f64) {
    wait_until(series, || taffrail.get("/metrics").sample(series).filter(|found| *found == value));
}

fn lives(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_failure_or_hang_costs_itself_alone() {
    let folder = tempfile::tempdir().unwrap();
    script(folder.path(), "good.sh", "echo '{\"depth\":7,\"name\":\"a\"}'");
    script(folder.path(), "bad.sh", "echo half; echo 'no such queue' >&2; exit 3");
    script(folder.path(), "hang.sh", &format!("sleep 1000 & echo $! > {}/pid; sleep 1000", folder.path().display()));
    let taffrail = start(
        folder.path(),
        "[[collectors.exec]]\nname = 'queue'\ncommands = ['DIR/good.sh', ['DIR/bad.sh'], 'DIR/none.sh']\ninterval = '1s'\n\
         [[collectors.exec]]\ncommand = 'DIR/hang.sh'\ntimeout = '500ms'\ninterval = '100s'\n",
    );
    wait_for(&taffrail, "taffrail_exec_success{name=\"queue\",program=\"good.sh\"}", 1.0);
    for failed in [
        "name=\"queue\",program=\"bad.sh\"",
        "name=\"queue\",program=\"none.sh\"",
        "name=\"hang.sh\",program=\"hang.sh\"",
    ] {
        wait_for(&taffrail, &format!("taffrail_exec_success{{{failed}}}"), 0.0);
    }
    let page = taffrail.get("/metrics");
    assert_eq!(page.sample("exec_depth"), Some(7.0));
    assert_eq!(page.sample("taffrail_exec_exit_status{name=\"queue\",program=\"bad.sh\"}"), Some(3.0));
    assert!(page.sample("taffrail_exec_result_age_seconds{name=\"queue\",program=\"good.sh\"}").is_some());
    let pid = fs::read_to_string(folder.path().join("pid")).unwrap();
    wait_until("the end of what hangs", || (!lives(&pid)).then_some(()));
    taffrail.wait_for_log("queue: bad.sh: exit status 3: no such queue");
    let log = taffrail.log().join("\n");
    for line in ["queue: none.sh: not started", "hang.sh: not ended within timeout = 500ms"] {
        assert!(log.contains(line), "{line}: {log}");
    }
}

/// A program that takes longer than its interval is not started beside itself.
#[test]
fn a_program_runs_once_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "mkdir DIR/running || touch DIR/twice\nsleep 0.7\nrmdir DIR/running\necho run >> DIR/runs\necho '{\"x\":1}'";
    script(folder.path(), "slow.sh", &text.replace("DIR", folder.path().to_str().unwrap()));
    let _taffrail = start(folder.path(), "[[collectors.exec]]\ncommand = 'DIR/slow.sh'\ninterval = '100ms'\n");
    let runs = || fs::read_to_string(folder.path().join("runs")).unwrap_or_default().lines().count();
    wait_until("three runs", || (runs() >= 3).then_some(()));
    assert!(!folder.path().join("twice").exists());
}

#[test]
fn a_program_that_comes_later_is_run_and_one_that_goes_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    script(folder.path(), "a.check", "echo 1");
    let taffrail = start(
        folder.path(),
        "[[collectors.exec]]\nname = 'checks'\ncommands = ['DIR/*.check']\ninterval = '100ms'\ndata_format = 'value'\n",
    );
    let series = |program: &str| format!("taffrail_exec_success{{name=\"checks\",program=\"{program}\"}}");
    wait_for(&taffrail, &series("a.check"), 1.0);
    script(folder.path(), "b.check", "echo 2");
    wait_for(&taffrail, &series("b.check"), 1.0);
    fs::remove_file(folder.path().join("a.check")).unwrap();
    wait_until("its end", || taffrail.get("/metrics").sample(&series("a.check")).is_none().then_some(()));
    assert_eq!(taffrail.get("/metrics").sample("exec"), Some(2.0));
}

/// All Nagios plugins have series of the same names.
#[test]
fn each_nagios_plugin_has_its_state() {
    let folder = tempfile::tempdir().unwrap();
    script(folder.path(), "a", "echo 'OK | load=1;2;3'");
    script(folder.path(), "b", "echo 'BAD | load=4;2;3'; exit 2");
    let taffrail = start(
        folder.path(),
        "[[collectors.exec]]\nname = 'checks'\ncommands = ['DIR/a', 'DIR/b']\ninterval = '100ms'\ndata_format = 'nagios'\n",
    );
    for (program, state, load) in [("a", 0.0, 1.0), ("b", 2.0, 4.0)] {
        let of = format!("name=\"checks\",program=\"{program}\"");
        wait_for(&taffrail, &format!("nagios_state_state{{{of}}}"), state);
        wait_for(&taffrail, &format!("nagios{{name=\"checks\",perfdata=\"load\",program=\"{program}\"}}"), load);
        wait_for(&taffrail, &format!("taffrail_exec_success{{{of}}}"), 1.0);
    }
}

#[test]
fn programs_end_with_taffrail_and_their_groups_too() {
    let folder = tempfile::tempdir().unwrap();
    let pids = ["run.pid", "daemon.pid"].map(|name| folder.path().join(name));
    script(folder.path(), "run.sh", &format!("sleep 1000 & echo $! > {}; sleep 1000", pids[0].display()));
    let trap = format!("trap 'echo ended > {}/ended; exit 0' TERM", folder.path().display());
    script(folder.path(), "daemon.sh", &format!("{trap}\nsleep 1000 & echo $! > {}; wait", pids[1].display()));
    let mut taffrail = start(
        folder.path(),
        "[[collectors.exec]]\ncommands = ['DIR/run.sh']\ntimeout = '100s'\n[[collectors.execd]]\ncommand = ['DIR/daemon.sh']\n",
    );
    let read = |path: &PathBuf| fs::read_to_string(path).ok().filter(|pid| pid.ends_with('\n'));
    let children = pids.map(|path| wait_until("children", || read(&path)));
    assert!(children.iter().all(|pid| lives(pid)));
    taffrail.signal(Signal::TERM);
    assert!(taffrail.wait().success());
    assert!(children.iter().all(|pid| !lives(pid)));
    assert_eq!(fs::read_to_string(folder.path().join("ended")).unwrap(), "ended\n");
}

#[test]
fn a_daemon_is_asked_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    script(
        folder.path(),
        "asked.sh",
        "n=0; while read _; do n=$((n+1)); echo \"asked n=${n}i\"; echo broken; [ $n = 3 ] && exit 4; done",
    );
    let taffrail = start(
        folder.path(),
        "[[collectors.execd]]\ncommand = ['DIR/asked.sh']\nsignal = 'STDIN'\ninterval = '50ms'\nrestart_delay = '50ms'\n\
         [[collectors.exec]]\ncommands = ['echo {}']\n[[collectors.file]]\nfiles = ['DIR/asked.sh']\n",
    );
    wait_until("a start again", || {
        taffrail
            .get("/metrics")
            .sample("taffrail_execd_restarts_total{name=\"asked.sh\"}")
            .filter(|count| *count >= 1.0)
    });
    wait_for(&taffrail, "taffrail_exec_success{name=\"echo\",program=\"echo\"}", 1.0);
    let file = format!("taffrail_file_success{{file=\"{0}/asked.sh\",name=\"{0}/asked.sh\"}}", folder.path().display());
    wait_for(&taffrail, &file, 0.0);
    let page = taffrail.get("/metrics");
    assert!(page.sample("asked_n").is_some_and(|n| (1.0..=3.0).contains(&n)), "{}", page.text());
    assert_eq!(page.sample("taffrail_execd_exit_status{name=\"asked.sh\"}"), Some(4.0));
    assert_families("exec", page.text(), &["taffrail_exec", "taffrail_file_"]);
}

#[test]
fn standard_error_is_logged_with_its_program_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    script(folder.path(), "good.sh", "echo '{\"depth\":7}'");
    script(folder.path(), "odd.sh", "echo 'W! odd' >&2");
    script(folder.path(), "loud.sh", "i=0; while [ $i -lt 1500 ]; do echo \"E! oops $i\" >&2; i=$((i+1)); done");
    let taffrail = start(
        folder.path(),
        "[[collectors.exec]]\ncommands = ['DIR/good.sh', 'DIR/odd.sh']\nlog_stderr = true\ninterval = '100s'\n\
         [[collectors.execd]]\ncommand = 'DIR/loud.sh'\nlog_stderr = true\nrestart_delay = '100s'\n",
    );
    taffrail.wait_for_log("exec: good.sh: odd.sh: odd");
    taffrail.wait_for_log("execd: loud.sh: log_stderr: 500 lines were left out");
    assert_eq!(taffrail.log().iter().filter(|line| line.contains("execd: loud.sh: oops")).count(), 1000);
}

#[test]
fn points_are_pushed_once_with_telegrafs_names_and_types() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("state.json"), "[{\"at\":1700000000,\"v\":1},{\"at\":1700000001,\"v\":2.5}]").unwrap();
    let lines = folder.path().join("lines");
    let _taffrail = start(
        folder.path(),
        "[agent]\ninterval = '50ms'\n[tags]\nhost = 'h'\n[[sinks.file]]\npath = 'DIR/lines'\n\
         [[collectors.file]]\nfiles = ['DIR/*.json']\nfile_tag = 'file'\ninterval = '1000s'\ndata_format = 'json'\n\
         json_time_key = 'at'\njson_time_format = 'unix'\n\
         [[collectors.exec]]\ncommands = ['echo a,x=1 i=1i,u=2u,f=3,b=t,s=\\\"t\\\" 5']\ndata_format = 'influx'\ninterval = '1000s'\n",
    );
    let expected = [
        "a,host=h,x=1 i=1i,u=2i,f=3,b=true,s=\"t\" 5",
        "file,file=state.json,host=h v=1 1700000000000000000",
        "file,file=state.json,host=h v=2.5 1700000001000000000",
    ];
    let ticks = |text: &str| text.lines().filter(|line| line.contains("taffrail_exec_success=")).count();
    let text = wait_until("some ticks", || {
        let text = fs::read_to_string(&lines).unwrap_or_default();
        (ticks(&text) > 5 && expected.iter().all(|line| text.contains(line))).then_some(text)
    });
    for line in expected {
        assert_eq!(text.lines().filter(|found| *found == line).count(), 1, "{line}: {text}");
    }
}

#[test]
fn mistakes_are_found_by_check() {
    let (_folder, path) = config_file(
        "[[collectors.exec]]\n[[collectors.exec]]\ncommands = ['a \"b', []]\n[[collectors.exec]]\ncommands = ['/a/**/b']\n\
         environment = ['A']\n[[collectors.execd]]\ncommand = 'a'\ndata_format = 'nagios'\nsignal = 'SIGKILL'\n\
         [[collectors.file]]\nfiles = ['a']\n",
    );
    let (_, errors) = printed(&taffrail(&["check", "--config", &path]));
    for error in [
        "exec[0].commands: required",
        "the quote \" is not closed",
        "the command is empty",
        "** is not supported",
        "expected NAME=VALUE",
        "expected a format of lines",
        "expected none, STDIN, SIGHUP, SIGUSR1 or SIGUSR2, found \"SIGKILL\"",
        "expected a path from the root, found \"a\"",
    ] {
        assert!(errors.contains(error), "{error}: {errors}");
    }
}

/// The agent starts without them, as they may be installed later.
#[test]
fn check_warns_of_programs_that_cannot_be_started() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text"), "a\n").unwrap();
    script(folder.path(), "good.sh", "echo 1");
    let dir = folder.path().display().to_string();
    let (_folder, path) = config_file(&format!(
        "[[collectors.exec]]\nname = 'a'\ncommands = ['{dir}/none x', '{dir}/good.sh', '{dir}/no*ne', 'none']\n\
         [[collectors.exec]]\nname = 'b'\ncommand = ['{dir}/text', 'x']\n\
         [[collectors.execd]]\ncommand = '{dir}'\n"
    ));
    let output = taffrail(&["check", "--config", &path]);
    let (_, errors) = printed(&output);
    assert!(output.status.success(), "{errors}");
    let warnings: Vec<&str> = errors.lines().filter(|line| line.starts_with("warning: ")).collect();
    let expected = [
        format!("exec[0].commands: {dir}/none: No such file or directory"),
        format!("exec[1].command: {dir}/text: expected a program, found a file that is not executable"),
        format!("execd[0].command: {dir}: expected a program, found a directory"),
    ];
    assert_eq!(warnings.len(), expected.len(), "{errors}");
    for (warning, expected) in warnings.iter().zip(&expected) {
        assert!(warning.contains(expected), "{expected} in {errors}");
    }
}
