//! What apt and rpm print about a service that has failed.

use std::net::{Ipv6Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A host with the configuration of the package, on which systemctl and journalctl print what they are told.
struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    /// The properties of the unit, and the lines of its journal.
    fn new(properties: &[(&str, &str)], journal: &str) -> Host {
        let host = Host { folder: tempfile::tempdir().unwrap() };
        let list: String = properties.iter().map(|(name, value)| format!("{name}) echo '{value}' ;;\n")).collect();
        host.put_program(
            "systemctl",
            &format!("for a; do case $a in --property=*) p=${{a#*=}} ;; esac; done\ncase $p in\n{list}esac"),
        );
        host.put("journal", journal);
        let journal = host.path().join("journal");
        host.put_program("journalctl", &format!("[ \"$1\" = --sync ] || cat {}", journal.display()));
        std::fs::create_dir(host.path().join("conf.d")).unwrap();
        host.put("taffrail.toml", include_str!("../../conf/taffrail.toml"));
        host
    }

    fn failed(status: &str, journal: &str) -> Host {
        Self::new(&[("ActiveState", "failed"), ("SubState", "failed"), ("ExecMainStatus", status)], journal)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    fn put_program(&self, name: &str, script: &str) {
        self.put(name, &format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(self.path().join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What is printed about the unit; /etc/taffrail is this host's folder.
    fn explain(&self, arguments: &[&str]) -> String {
        let script = include_str!("../../packaging/scripts/explain-failure");
        let script = script.replace("/etc/taffrail", self.path().to_str().unwrap());
        let path = format!("{}:{}", self.path().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg("explain-failure").args(arguments).env("PATH", path);
        let output = command.output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What is printed as `use another port`.
    fn other_port(&self, unit: &str) -> String {
        let printed = self.explain(&[unit]);
        let advice = printed.lines().find_map(|line| line.strip_prefix("  use another port:"));
        advice.unwrap_or_else(|| panic!("{printed}")).trim().to_owned()
    }
}

fn in_use(port: u16, table: &str) -> String {
    format!(
        "error: cannot listen on [::]:{port}: Address already in use (os error 98); is something else listening there? \
         Choose another address with listen of [{table}], or with --listen\n"
    )
}

#[test]
fn another_port_is_advised_in_the_table_that_has_the_port() {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let next = u32::from(port) + 1;

    // The command is run as printed, and what it writes is valid next to the package's file.
    for (unit, table, name) in
        [("taffrail.service", "http", "taffrail"), ("taffrail-gateway.service", "gateway", "taffrail-gateway")]
    {
        let host = Host::failed("69", &in_use(port, table));
        let advice = host.other_port(unit);
        let command = advice.strip_suffix(&format!(" && systemctl restart {name}")).unwrap();
        assert!(Command::new("sh").args(["-c", command]).status().unwrap().success());
        let written = std::fs::read_to_string(host.path().join(format!("conf.d/{table}-port.toml"))).unwrap();
        assert_eq!(written, format!("[{table}]\nlisten = [\":{next}\"]\n"));
    }

    // One that is set is changed where it is: [gateway] of the agent, too.
    let host = Host::failed("69", &in_use(port, "gateway"));
    host.put("conf.d/g.toml", &format!("[http]\n# x\n[gateway] # pushes\n  listen=[\":{port}\"]\n"));
    let place = host.path().join("conf.d/g.toml");
    assert_eq!(
        host.other_port("taffrail.service"),
        format!(
            "replace port {port} with {next} in {}, line 4 (listen of [gateway]), and systemctl restart taffrail",
            place.display()
        )
    );
}

#[test]
fn a_service_that_systemd_keeps_restarting_has_failed() {
    let host = Host::new(
        &[("ActiveState", "activating"), ("SubState", "auto-restart"), ("ExecMainStatus", "200")],
        "taffrail.service: Failed at step CHDIR spawning /usr/bin/taffrail: No such file or directory\n",
    );
    assert_eq!(
        host.explain(&["taffrail.service"]),
        "taffrail.service fails each time it starts; systemctl status taffrail shows it.\n\
         taffrail.service: Failed at step CHDIR spawning /usr/bin/taffrail: No such file or directory\n"
    );
    let host = Host::new(&[("ActiveState", "active"), ("SubState", "running")], "error: an earlier one\n");
    assert_eq!(host.explain(&["taffrail.service"]), "");
}

#[test]
fn a_refused_reload_has_its_reason() {
    let host = Host::new(&[("LoadState", "masked")], "");
    let printed = host.explain(&["taffrail.service", "reload"]);
    assert!(printed.starts_with("taffrail.service is masked, ") && printed.contains("systemctl unmask"), "{printed}");
    let host = Host::new(
        &[("LoadState", "loaded"), ("ExecReload", "{ path=/usr/bin/taffrail ; pid=12 ; status=1 }")],
        "starting\nerror: /etc/taffrail/conf.d/a.toml:1:1: unknown key\n",
    );
    assert_eq!(
        host.explain(&["taffrail.service", "reload"]),
        "the configuration is invalid, so taffrail.service still runs the old version.\n\
         error: /etc/taffrail/conf.d/a.toml:1:1: unknown key\n\
         Correct the configuration, and then: systemctl restart taffrail\n"
    );
}
