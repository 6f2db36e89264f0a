//! Groups of processes, and their ends.

use tokio::io::AsyncReadExt;
use tokio::runtime::Builder;

use super::*;

fn shell(script: &str) -> Program {
    Program { words: ["/bin/sh", "-c", script].map(OsString::from).to_vec(), ..Program::default() }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn line(process: &mut Subprocess) -> String {
    let mut read = Vec::new();
    let stdout = process.stdout.as_mut().unwrap();
    while !read.ends_with(b"\n") {
        read.push(stdout.read_u8().await.unwrap());
    }
    String::from_utf8(read).unwrap().trim().to_owned()
}

/// Whether a process runs, and is no zombie.
fn lives(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn wait_until_gone(pid: &str) {
    while lives(pid) {
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_group_ends_as_a_whole() {
    run(async {
        let mut process = Subprocess::start(shell("sleep 1000 & echo $!; sleep 1000")).await.unwrap();
        let grandchild = line(&mut process).await;
        assert!(lives(&grandchild));
        let status = process.end().await.unwrap();
        assert!(!status.success());
        wait_until_gone(&grandchild);
    });
}

#[test]
fn dropping_a_process_ends_its_group() {
    let grandchild = run(async {
        let mut process = Subprocess::start(shell("sleep 1000 & echo $!; wait")).await.unwrap();
        line(&mut process).await
    });
    wait_until_gone(&grandchild);
}

#[test]
fn a_program_has_the_environment_and_no_variables_of_the_service_manager() {
    run(async {
        let mut program = shell("echo $A-$LC_ALL-${NOTIFY_SOCKET-none}; cat");
        program.environment = vec![("A".to_owned(), "b c".to_owned())];
        program.has_stdin = true;
        let mut process = Subprocess::start(program).await.unwrap();
        assert_eq!(line(&mut process).await, "b c-C-none");
        process.stdin = None;
        process.ended().await.unwrap();
        assert!(process.reap().unwrap().success());
    });
}

#[test]
fn what_cannot_be_started_is_an_error() {
    run(async {
        let program = Program { words: vec!["/no/such/program".into()], ..Program::default() };
        assert_eq!(Subprocess::start(program).await.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(Subprocess::start(Program::default()).await.is_err());
    });
}
