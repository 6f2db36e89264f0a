//! Running processes: their command lines, and the service or container that each belongs to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::units::entries;

/// A running process.
pub(super) struct Process {
    /// Its number.
    pub number: String,
    /// Its command line.
    pub command: Vec<String>,
    /// Its working directory as the process sees it.
    pub folder: String,
    /// Its environment; empty where it may not be read.
    pub variables: BTreeMap<String, String>,
    /// The file system that it sees.
    pub root: PathBuf,
    /// The file that it executes.
    pub program: PathBuf,
    /// What it belongs to.
    pub owner: Owner,
}

/// What starts a process again, and can stop it.
pub(super) enum Owner {
    /// A service of the machine.
    Unit(String),
    /// A service of a user, by the user's number.
    UserUnit(String, String),
    /// A container of Docker or Podman, by the command and its id.
    Container(&'static str, String),
    /// A pod of Kubernetes.
    Pod,
    /// None of these.
    Unknown,
}

/// All processes below `proc` of the machine whose root is `root`.
pub(super) fn processes(root: &Path) -> Vec<Process> {
    entries(&root.join("proc")).into_iter().filter_map(|folder| process(root, &folder)).collect()
}

fn process(root: &Path, folder: &Path) -> Option<Process> {
    let number = folder.file_name()?.to_str()?.to_owned();
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Each word ends with a zero.
    let words = |name: &str| {
        let text = fs::read(folder.join(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let words = text.strip_suffix('\0').unwrap_or(&text).split('\0').map(str::to_owned);
        words.collect::<Vec<_>>()
    };
    let command = words("cmdline");
    if command[0].is_empty() {
        return None;
    }
    let variables = words("environ").into_iter().filter_map(|variable| {
        let (name, value) = variable.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    let link = |name: &str| fs::read_link(folder.join(name)).ok();
    let owner = owner(&fs::read_to_string(folder.join("cgroup")).unwrap_or_default());
    let is_contained = matches!(owner, Owner::Container(..) | Owner::Pod);
    Some(Process {
        number,
        command,
        folder: link("cwd").map_or_else(|| "/".to_owned(), |folder| folder.display().to_string()),
        variables: variables.collect(),
        root: if is_contained { folder.join("root") } else { root.to_owned() },
        program: link("exe").unwrap_or_default(),
        owner,
    })
}

/// The owner of a process with these cgroups.
fn owner(cgroups: &str) -> Owner {
    let paths = cgroups.lines().filter_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        (controllers.is_empty() || controllers == "name=systemd").then_some(path)
    });
    for path in paths {
        let last = path.rsplit('/').next().unwrap_or_default();
        let scope = last.trim_end_matches(".scope");
        if path.contains("kubepods") {
            return Owner::Pod;
        }
        let container = |start: &str| scope.strip_prefix(start).filter(|id| id.len() >= 12);
        if let Some(id) = container("docker-").or_else(|| path.strip_prefix("/docker/")) {
            return Owner::Container("docker", id.chars().take(12).collect());
        }
        if let Some(id) = container("libpod-") {
            return Owner::Container("podman", id.chars().take(12).collect());
        }
        if let Some(unit) = last.strip_suffix(".service").filter(|unit| !unit.starts_with("user@")) {
            let unit = format!("{unit}.service");
            let user = path.split_once("/user@").and_then(|(_, rest)| rest.split_once(".service/"));
            return match user {
                Some((user, _)) => Owner::UserUnit(unit, user.to_owned()),
                None => Owner::Unit(unit),
            };
        }
    }
    Owner::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_process_is_in_its_cgroup() {
        let id = "0123456789abcdef".repeat(4);
        let named = |cgroups: &str| match owner(cgroups) {
            Owner::Unit(unit) => unit,
            Owner::UserUnit(unit, user) => format!("{unit} of {user}"),
            Owner::Container(command, id) => format!("{command} {id}"),
            Owner::Pod => "pod".to_owned(),
            Owner::Unknown => String::new(),
        };
        assert_eq!(named("0::/system.slice/node_exporter.service\n"), "node_exporter.service");
        assert_eq!(named("0::/system.slice/system-a.slice/a@1.service\n"), "a@1.service");
        let of_user = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/a.service\n";
        assert_eq!(named(of_user), "a.service of 1000");
        assert_eq!(named(&format!("0::/system.slice/docker-{id}.scope\n")), "docker 0123456789ab");
        assert_eq!(named(&format!("3:cpu:/x\n1:name=systemd:/docker/{id}\n")), "docker 0123456789ab");
        assert_eq!(named(&format!("0::/machine.slice/libpod-{id}.scope\n")), "podman 0123456789ab");
        assert_eq!(named(&format!("0::/kubepods.slice/x/cri-containerd-{id}.scope\n")), "pod");
        assert_eq!(named("0::/user.slice/user-0.slice/session-1.scope\n"), "");
    }
}
