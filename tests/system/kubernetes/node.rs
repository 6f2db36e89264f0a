//! A node of Kubernetes on this machine: containerd and the kubelet, in namespaces of their own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::docker::run;
use crate::harness::python;

/// The image that all containers are made of.
pub(crate) const IMAGE: &str = "docker.io/library/busybox:test";

/// The script that starts the node.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/kubernetes/node");

/// The kubelet's program, which Go builds of the module proxy once. That takes a quarter of an hour.
pub(crate) fn kubelet() -> String {
    let mut peer = Command::new("bash");
    peer.args(["-c", "set -euo pipefail; . benches/common; peer kubelet"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let peers = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers");
    python::run(peer.env("PEERS", peers)).trim_end().to_owned()
}

/// A node that runs static pods without an API server, until it is dropped.
pub(crate) struct Node {
    unshare: Child,
    /// Process 1 of the node's namespaces.
    pub(crate) pid: u32,
    folder: TempDir,
}

impl Node {
    /// Starts this kubelet with these pods, and waits until it serves.
    pub(crate) fn start(kubelet: &str, pods: &[Value]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manifests = folder.path().join("manifests");
        fs::create_dir(&manifests).unwrap();
        for pod in pods {
            let name = pod["metadata"]["name"].as_str().unwrap();
            fs::write(manifests.join(format!("{name}.json")), pod.to_string()).unwrap();
        }
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", SCRIPT]);
        unshare.arg(folder.path()).arg(kubelet);
        let mut unshare = unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(unshare.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", unshare.id())).unwrap_or_default();
        let node = Node { unshare, pid: children.trim().parse().unwrap_or_default(), folder };
        assert!(line.starts_with("the kubelet serves"), "{}", node.logs());
        node
    }

    /// The end of what the node's programs logged.
    pub(crate) fn logs(&self) -> String {
        let logs = ["containerd", "kubelet"].map(|name| {
            let log = fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            format!("{name}:\n{}\n", lines[lines.len().saturating_sub(20)..].join("\n"))
        });
        logs.concat()
    }

    /// The body of a response in the node's network.
    pub(crate) fn get(&self, url: &str) -> String {
        let target = self.pid.to_string();
        run("nsenter", &["--target", &target, "--net", "curl", "--silent", "--show-error", "--fail", url])
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The script ends with its input, and with it all processes of its namespaces.
        drop(self.unshare.stdin.take());
        let _ = self.unshare.wait();
        let _ = Command::new("bash").args(["-c", &format!(". {SCRIPT}; remove_cgroups")]).status();
    }
}
