//! Taffrail as its users run it: the real binary, with a configuration, signals and a log.

// Each test uses its own part of this module.
#![allow(dead_code, unreachable_pub)]

pub mod aws;
pub mod browser;
pub mod cgroups;
pub mod clock;
pub mod disk;
pub mod docker;
pub mod fuse;
pub mod gateway;
pub mod golden;
pub mod hanging;
pub mod http;
pub mod manager;
pub mod python;
pub mod real;
#[path = "../common/recorded.rs"]
pub mod recorded;
pub mod series;
pub mod server;
pub mod tls;
pub mod wire;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Long enough for what must happen to happen, however busy the machine is.
pub const LONG_TIMEOUT: Duration = Duration::from_secs(30);

/// Waits until `done` gives a value, and fails with `what` if it does not.
pub fn wait_until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(start.elapsed() < LONG_TIMEOUT, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A value in KiB of `/proc/PID/status`, such as `RssAnon`: memory without what is mapped from files, as code is.
pub fn status_kib(pid: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
    value.trim().trim_end_matches(" kB").parse().unwrap()
}

/// While it is held, no other test, not even of another program, has containers or mounts that hang: all of them see all of
/// the machine's cgroups and mounts.
pub fn alone() -> File {
    let lock = File::create(Path::new(env!("CARGO_TARGET_TMPDIR")).join("alone")).unwrap();
    lock.lock().unwrap();
    lock
}

/// The `[host]` section for a recorded host, which is the same on every machine.
pub fn recorded_host() -> String {
    host_section(&recorded::host("debian-12-vm").join("after"))
}

/// The `[host]` section for the host in `tree`.
pub fn host_section(tree: &Path) -> String {
    let tree = tree.display();
    format!(
        "[host]\nproc = \"{tree}/proc\"\nsys = \"{tree}/sys\"\nroot = \"{tree}/root\"\nudev = \"{tree}/udev/data\"\n"
    )
}

/// A configuration file in a folder of its own.
pub fn config_file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taffrail.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

/// Runs Taffrail to its end.
pub fn taffrail(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_taffrail")).args(arguments).output().unwrap()
}

/// What a finished Taffrail printed.
pub fn printed(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// A Taffrail that runs until it is dropped.
pub struct Taffrail {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    log_reader: thread::JoinHandle<()>,
    config: PathBuf,
    folder: TempDir,
}

/// An answer to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: String,
    pub content_encoding: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The value of a series, written as in the exposition.
    pub fn sample(&self, series: &str) -> Option<f64> {
        sample(self.text(), series)
    }
}

/// The value of a series in an exposition.
pub fn sample(exposition: &str, series: &str) -> Option<f64> {
    let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
    exposition.lines().find_map(value)
}

/// What the log says of a listener for both versions of IP.
const DUAL_STACK: &str = " (IPv6 and IPv4)";

impl Taffrail {
    /// Starts with this configuration on a port of the kernel's choice, and waits until it listens.
    pub fn start(config: &str) -> Self {
        let taffrail = Self::start_with(config, &["--listen", "127.0.0.1:0"]);
        taffrail.wait_for_log("listening on");
        taffrail
    }

    /// Starts with this configuration and these arguments, and does not wait.
    pub fn start_with(config: &str, arguments: &[&str]) -> Self {
        Self::start_command("run", config, arguments)
    }

    /// The same with another command than `run`.
    pub fn start_command(subcommand: &str, config: &str, arguments: &[&str]) -> Self {
        Self::start_with_environment(subcommand, config, arguments, &[])
    }

    /// The same with these variables in its environment.
    pub fn start_with_environment(
        subcommand: &str,
        config: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_taffrail"));
        command.arg(subcommand).envs(environment.iter().copied());
        Self::spawn(command, config, arguments)
    }

    /// Starts like [`Taffrail::start`] what a shell has prepared: `ulimit -n 64`.
    pub fn start_after(prepare: &str, config: &str) -> Self {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{prepare} && exec \"$0\" run \"$@\"")).arg(env!("CARGO_BIN_EXE_taffrail"));
        let taffrail = Self::spawn(command, config, &["--listen", "127.0.0.1:0"]);
        taffrail.wait_for_log("listening on");
        taffrail
    }

    /// Starts like [`Taffrail::start`] in the mount, network and PID namespaces of a process, whose end ends it.
    pub fn start_beside(pid: u32, config: &str) -> Self {
        let mut command = Command::new("nsenter");
        command.args([
            "--target",
            &pid.to_string(),
            "--mount",
            "--net",
            "--pid",
            env!("CARGO_BIN_EXE_taffrail"),
            "run",
        ]);
        let taffrail = Self::spawn(command, config, &["--listen", "127.0.0.1:0"]);
        taffrail.wait_for_log("listening on");
        taffrail
    }

    /// Starts what `command` begins, and does not wait.
    pub fn spawn(mut command: Command, config: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taffrail.toml");
        std::fs::write(&path, config).unwrap();
        command.arg("--config").arg(&path).args(arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, gathered) = (BufReader::new(child.stderr.take().unwrap()).lines(), log.clone());
        let gather = move || lines.map_while(Result::ok).for_each(|line| gathered.lock().unwrap().push(line));
        let log_reader = thread::spawn(gather);
        Taffrail { child, log, log_reader, config: path, folder }
    }

    /// A folder that lives as long as this Taffrail.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What was logged so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// How many lines of the log hold `text`.
    pub fn logged(&self, text: &str) -> usize {
        self.log().iter().filter(|line| line.contains(text)).count()
    }

    /// Waits for a line that holds `text`.
    pub fn wait_for_log(&self, text: &str) -> String {
        wait_until(&format!("a line with {text:?} in {:#?}", self.log()), || {
            self.log().into_iter().find(|line| line.contains(text))
        })
    }

    /// The address of the gateway, which listens after the agent does.
    pub fn gateway(&self) -> String {
        self.wait_for_log("the gateway listens on ").split_once("://").unwrap().1.replace(DUAL_STACK, "")
    }

    /// The addresses that were listened on, in the order of the log.
    pub fn addresses(&self) -> Vec<String> {
        let address = |line: String| {
            let url = line.split_once("listening on http")?.1.split_once("://")?.1.trim_end_matches(DUAL_STACK);
            Some(url.strip_suffix("/metrics")?.to_owned())
        };
        self.log().into_iter().filter_map(address).collect()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addresses()[0])
    }

    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        get(&self.url(path), headers).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The file that the configuration is in.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Writes another configuration, without a signal to Taffrail.
    pub fn write_config(&self, config: &str) {
        std::fs::write(&self.config, config).unwrap();
    }

    /// Takes another configuration, and waits until the log reports the result.
    pub fn reload(&self, config: &str) {
        let before = self.logged("reloaded");
        self.configure(config);
        self.signal(Signal::HUP);
        wait_until("the reload", || (self.logged("reloaded") > before).then_some(()));
    }

    /// Writes another configuration, and says nothing of it.
    pub fn configure(&self, config: &str) {
        std::fs::write(&self.config, config).unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid() as i32).unwrap(), signal).unwrap();
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait_until("the end of Taffrail", || child.try_wait().unwrap())
    }

    /// Waits for the end, and returns the whole log.
    pub fn wait_for_whole_log(&mut self) -> Vec<String> {
        self.wait();
        wait_until("the end of the log", || self.log_reader.is_finished().then_some(()));
        self.log()
    }

    /// The number of the process's threads.
    pub fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap().count()
    }
}

impl Drop for Taffrail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gets a URL; the body is as it came, also if it is compressed.
pub fn get(url: &str, headers: &[(&str, &str)]) -> Result<Answer, ureq::Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .accept_encoding(ureq::config::AutoHeaderValue::None)
        .timeout_global(Some(LONG_TIMEOUT))
        .build()
        .into();
    let mut request = agent.get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = request.call()?;
    let header = |name: &str| {
        let value = response.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (content_type, content_encoding) = (header("content-type"), header("content-encoding"));
    let body = response.body_mut().read_to_vec()?;
    Ok(Answer { status: response.status().as_u16(), content_type, content_encoding, body })
}
