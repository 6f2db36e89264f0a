//! What the sandbox of Taffrail's service keeps programs from, by the names of systemd's directives.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::run::End;

/// The directives of a unit that keep programs from something, with their values.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sandbox {
    unit: String,
    directives: BTreeMap<String, String>,
}

/// The directories of units; those of the same name in an earlier one win.
const FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// The unit of the packages.
const UNIT: &str = "taffrail.service";
/// The drop-in for programs.
const EXEC: &str = "exec.conf";

fn opened_by(drop_in: &str) -> String {
    format!("the drop-in /usr/share/doc/taffrail/examples/{drop_in} opens it")
}

/// A sign of a directive in an error, and the directives that it is a sign of.
struct Sign {
    /// In lower case; the error has one of them.
    texts: &'static [&'static str],
    directives: &'static [&'static str],
    effect: &'static str,
}

const SIGNS: &[Sign] = &[
    Sign {
        texts: &["no new privileges", "effective uid is not 0", "must be setuid", "sudo:", "su: "],
        directives: &["NoNewPrivileges"],
        effect: "sudo and setuid programs gain no rights",
    },
    Sign { texts: &["/dev/"], directives: &["PrivateDevices"], effect: "disks and other devices are not in /dev" },
    Sign { texts: &["/tmp/"], directives: &["PrivateTmp"], effect: "/tmp and /var/tmp are other folders" },
    Sign {
        texts: &["read-only file system"],
        directives: &["ProtectSystem", "ProtectHome", "ProtectKernelTunables"],
        effect: "file systems are read-only",
    },
    Sign {
        texts: &["/home/", "/root/"],
        directives: &["ProtectHome"],
        effect: "home folders are not there, or read-only",
    },
    Sign {
        texts: &["executable memory", "mprotect", "failed to reserve"],
        directives: &["MemoryDenyWriteExecute"],
        effect: "programs with a JIT compiler, such as node and java, fail",
    },
    Sign {
        texts: &["address family not supported", "ping: socket"],
        directives: &["RestrictAddressFamilies"],
        effect: "sockets of other families cannot be opened",
    },
    Sign {
        texts: &["operation not permitted", "permission denied", "bad system call"],
        directives: &["CapabilityBoundingSet", "SystemCallFilter", "RestrictNamespaces", "NoNewPrivileges"],
        effect: "system calls and privileges are refused",
    },
];

/// Warns if the service's sandbox restricts programs, for `taffrail check` before the service runs them. The service
/// itself reports what fails instead.
pub(in crate::collectors) fn warn(collector: &str) {
    if unit_of_this_process().is_some() {
        return;
    }
    let sandbox = Sandbox::read(&FOLDERS.map(Path::new), UNIT);
    let restricting: Vec<&str> = sandbox.restricting().collect();
    if !restricting.is_empty() {
        tracing::warn!(
            "{collector}: {UNIT} has {}, which keep programs from sudo, devices, /tmp, JIT compilers and some system calls; \
             {}",
            restricting.join(", "),
            opened_by(EXEC)
        );
    }
}

/// The directive that may be why a program failed.
pub(in crate::collectors) fn hint(program: &str, end: &End, messages: &str) -> Option<String> {
    hint_with(EXEC, program, end, messages)
}

/// The same, with the drop-in to use.
pub(in crate::collectors) fn hint_with(drop_in: &str, program: &str, end: &End, messages: &str) -> Option<String> {
    let name = super::file_name(program);
    let signal = match end {
        End::Exited(status) => super::process::status_of(*status).checked_sub(128),
        End::NotStarted(error) => return own_hint(&error.to_string(), drop_in),
        End::TimedOut(_) | End::TooMuch(_) => return None,
    };
    let text = match signal {
        // SIGSYS
        Some(31) => format!("{messages} bad system call"),
        // SIGILL, SIGTRAP, SIGABRT, SIGSEGV: how a JIT compiler without executable memory ends.
        Some(4..=6 | 11) => format!("{messages} executable memory"),
        _ => messages.to_owned(),
    };
    let sign = match name {
        "sudo" | "su" | "doas" | "pkexec" => "sudo:",
        "ping" | "fping" => "ping: socket",
        "java" | "node" => "executable memory",
        _ => "",
    };
    own_hint(&format!("{sign} {text}"), drop_in)
}

fn own_hint(text: &str, drop_in: &str) -> Option<String> {
    static OWN: LazyLock<Sandbox> = LazyLock::new(|| match unit_of_this_process() {
        Some(unit) => Sandbox::read(&FOLDERS.map(Path::new), &unit),
        None => Sandbox::default(),
    });
    OWN.hint(text, drop_in)
}

/// The same for an error as text.
pub(in crate::collectors) fn hint_of_text(text: &str) -> Option<String> {
    own_hint(text, EXEC)
}

/// The same for a file that is not there.
pub(in crate::collectors) fn hint_of_path(path: &str) -> Option<String> {
    hint_of_text(path)
}

/// The service that this process belongs to, if systemd has started it as one.
fn unit_of_this_process() -> Option<String> {
    std::env::var_os("INVOCATION_ID")?;
    let cgroups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let name = |line: &str| line.rsplit('/').next().filter(|name| name.ends_with(".service")).map(str::to_owned);
    cgroups.lines().find_map(name)
}

impl Sandbox {
    /// The directives of a unit and its drop-ins.
    fn read(folders: &[&Path], unit: &str) -> Sandbox {
        let mut sandbox = Sandbox { unit: unit.to_owned(), directives: BTreeMap::new() };
        let files = folders.iter().map(|folder| folder.join(unit));
        let Some(text) = files.into_iter().find_map(|file| fs::read_to_string(file).ok()) else { return sandbox };
        sandbox.apply(&text);
        let mut drop_ins: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
        for folder in folders.iter().map(|folder| folder.join(format!("{unit}.d"))) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().extension().is_some_and(|extension| extension == "conf") {
                    drop_ins.entry(entry.file_name()).or_insert_with(|| entry.path());
                }
            }
        }
        for path in drop_ins.values() {
            sandbox.apply(&fs::read_to_string(path).unwrap_or_default());
        }
        sandbox
    }

    /// Applies the assignments of a file. An empty one resets a directive.
    fn apply(&mut self, text: &str) {
        let assignments = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
        for (name, value) in assignments.filter_map(|line| line.split_once('=')) {
            self.directives.insert(name.trim().to_owned(), value.trim().to_owned());
        }
    }

    /// The directives that are in force.
    fn restricting(&self) -> impl Iterator<Item = &str> {
        const ALL: [&str; 10] = [
            "NoNewPrivileges",
            "PrivateDevices",
            "PrivateTmp",
            "MemoryDenyWriteExecute",
            "ProtectSystem",
            "ProtectHome",
            "CapabilityBoundingSet",
            "RestrictAddressFamilies",
            "RestrictNamespaces",
            "SystemCallFilter",
        ];
        ALL.into_iter().filter(|name| self.restricts(name))
    }

    fn restricts(&self, name: &str) -> bool {
        let Some(value) = self.directives.get(name) else { return false };
        match (name, value.as_str()) {
            // Empty is no capability at all, and ~ all of them.
            ("CapabilityBoundingSet", value) => value != "~",
            (_, "" | "no" | "false" | "off" | "0") => false,
            _ => true,
        }
    }

    /// The directive that an error is a sign of.
    fn hint(&self, text: &str, drop_in: &str) -> Option<String> {
        let text = text.to_lowercase();
        let signs = SIGNS.iter().filter(|sign| sign.texts.iter().any(|part| text.contains(part)));
        let found = signs.filter_map(|sign| {
            let restricting: Vec<&str> = sign.directives.iter().copied().filter(|name| self.restricts(name)).collect();
            (!restricting.is_empty()).then(|| (restricting.join(", "), sign.effect))
        });
        let (directives, effect) = found.into_iter().next()?;
        Some(format!("{} has {directives}: {effect}; {}", self.unit, opened_by(drop_in)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../../packaging/systemd/taffrail.service");
    const DROP_IN: &str = include_str!("../../../packaging/deb/examples/exec.conf");

    fn sandbox(drop_in: &str) -> Sandbox {
        let folder = tempfile::tempdir().unwrap();
        let drop_ins = folder.path().join("taffrail.service.d");
        fs::create_dir(&drop_ins).unwrap();
        fs::write(folder.path().join(UNIT), SHIPPED).unwrap();
        fs::write(drop_ins.join("exec.conf"), drop_in).unwrap();
        Sandbox::read(&[folder.path()], UNIT)
    }

    #[test]
    fn errors_name_the_directives_of_the_shipped_unit() {
        let shipped = sandbox("");
        for (text, directive) in [
            ("sudo: effective uid is not 0, is /usr/bin/sudo on a file system with 'nosuid'", "NoNewPrivileges"),
            ("sudo: The \"no new privileges\" flag is set", "NoNewPrivileges"),
            ("smartctl: Unable to open /dev/sda: No such device", "PrivateDevices"),
            ("cat: /tmp/state: No such file or directory", "PrivateTmp"),
            ("touch: cannot touch '/etc/x': Read-only file system", "ProtectSystem"),
            ("# Fatal process out of memory: Failed to reserve virtual memory for CodeRange", "MemoryDenyWriteExecute"),
            ("socket: Address family not supported by protocol", "RestrictAddressFamilies"),
            ("mount: operation not permitted", "SystemCallFilter"),
            ("bad system call", "SystemCallFilter"),
        ] {
            let hint = shipped.hint(text, EXEC).unwrap_or_default();
            assert!(hint.starts_with("taffrail.service has ") && hint.contains(directive), "{text}: {hint}");
        }
        assert_eq!(shipped.hint("the disk is full", EXEC), None);
        assert_eq!(shipped.restricting().count(), 10);
    }

    #[test]
    fn the_drop_in_opens_what_it_says() {
        let opened = sandbox(DROP_IN);
        assert_eq!(opened.restricting().collect::<Vec<_>>(), [] as [&str; 0]);
        assert_eq!(opened.hint("sudo: the no new privileges flag is set", EXEC), None);
        // Each of these implies NoNewPrivileges for a user without CAP_SYS_ADMIN (systemd.exec(5)).
        for implying in [
            "LockPersonality",
            "MemoryDenyWriteExecute",
            "PrivateDevices",
            "ProtectClock",
            "ProtectHostname",
            "ProtectKernelLogs",
            "ProtectKernelModules",
            "ProtectKernelTunables",
            "RestrictAddressFamilies",
            "RestrictNamespaces",
            "RestrictRealtime",
            "RestrictSUIDSGID",
            "SystemCallArchitectures",
            "SystemCallFilter",
        ] {
            assert!(!opened.restricts(implying), "{implying}");
        }
    }
}
