//! Runs smartctl.

use std::ffi::OsString;
use std::time::Duration;

use super::json::Device;
use super::report::{Reply, scanned};
use crate::collectors::exec::run::{Bounds, End, run};
use crate::collectors::exec::sandbox;
use crate::subprocess::Program;

/// Bytes that smartctl may write; a disk with all logs takes 300 KiB.
const MAX_OUTPUT: usize = 4 << 20;

/// How smartctl is run.
#[derive(Debug)]
pub(super) struct Smartctl {
    pub(super) path: String,
    pub(super) sudo: bool,
    /// The power mode in which a disk is left alone.
    pub(super) nocheck: String,
    pub(super) logs: Vec<String>,
    pub(super) timeout: Duration,
}

impl Smartctl {
    /// The devices of this host.
    ///
    /// # Errors
    /// smartctl could not be run, or failed.
    pub(super) async fn scan(&self) -> Result<Vec<Device>, String> {
        self.run(vec!["--scan".to_owned()], scanned).await
    }

    /// What a device says.
    ///
    /// # Errors
    /// smartctl could not be run, or could not read the device.
    pub(super) async fn read(&self, device: &Device) -> Result<Reply, String> {
        let mut arguments = ["--info", "--health", "--attributes", "--tolerance=verypermissive", "--format=brief"]
            .map(str::to_owned)
            .to_vec();
        arguments.push(format!("--nocheck={}", self.nocheck));
        arguments.extend(self.logs.iter().map(|log| format!("--log={log}")));
        if !device.r#type.is_empty() {
            arguments.push(format!("--device={}", &*device.r#type));
        }
        arguments.push(device.name.0.clone());
        self.run(arguments, Reply::parse).await
    }

    async fn run<T>(&self, arguments: Vec<String>, parse: fn(&[u8]) -> Result<T, String>) -> Result<T, String> {
        let command = if self.sudo { vec!["sudo", "-n", &*self.path] } else { vec![&*self.path] };
        let program = command[0].to_owned();
        let words = command.into_iter().map(OsString::from).chain(["--json=c".into()]);
        let program_words: Vec<OsString> = words.chain(arguments.into_iter().map(OsString::from)).collect();
        let bounds = Bounds { timeout: self.timeout, max_output: MAX_OUTPUT };
        let run = run(Program { words: program_words, ..Program::default() }, bounds).await;
        let read = match (&run.end, run.messages.first_line()) {
            // sudo, or a smartctl without --json.
            (End::Exited(_), Some(line)) if run.output.trim_ascii().is_empty() => Err(line),
            (End::Exited(_), _) => parse(&run.output),
            (end, _) => Err(end.failure().unwrap_or_default()),
        };
        read.map_err(|error| {
            let drop_in = if self.sudo { "exec.conf" } else { "smart.conf" };
            let hint = sandbox::hint_with(drop_in, &program, &run.end, &error);
            hint.map_or_else(|| error.clone(), |hint| format!("{error}; {hint}"))
        })
    }
}
