//! The commands and the configurations in README.md and docs: each runs here, or is listed with where it runs, or why it does not.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{LONG_TIMEOUT, Taffrail, recorded_host, wait_until};

/// Commands that do not run here, by how they start, and the reason.
const ELSEWHERE: &[(&str, &str)] = &[
    ("CC_aarch64", "needs a cross compiler; packaging/release uses it where there is one"),
    ("TAFFRAIL_ROUNDS", "TAFFRAIL_TESTS=all tests/run runs these tests: they need root and nats-server"),
    ("cargo install", "downloads crates"),
    ("cargo run", "benches/build runs it in a clean clone"),
    ("chown", "tests/system/package/scene: needs the user of the package"),
    (
        "curl --silent http://127.0.0.1:9100/metrics | grep ^taffrail_cloudwatch_",
        "tests/push/cloudwatch: needs an account",
    ),
    ("docker compose", "tests/system/deploy checks the files; their images come from the internet"),
    ("docker", "tests/system/deploy builds or loads the image and starts it with these options; there is no registry"),
    ("helm", "tests/system/deploy/cluster.rs renders it, tests/system/kubernetes/cluster installs it in a cluster"),
    ("journalctl", "tests/system/package/scene: needs a booted systemd"),
    ("kubectl", "tests/system/kubernetes/cluster runs it against a cluster"),
    ("ln -s", "tests/gateway/drop_in.rs"),
    ("node_exporter", "tests/push/node_exporter.rs: needs the link"),
    ("packaging/", "tests/system/package builds the packages"),
    ("rustup", "downloads a toolchain"),
    ("sha256sum", "tests/system/package/release.rs: needs a release"),
    ("sudo", "tests/system/package/scene: changes the machine"),
    ("systemctl", "tests/system/package/scene: needs a booted systemd"),
    ("taffrail gateway stream", "tests/gateway/replicas_operated.rs: needs NATS servers"),
    ("taffrail migrate pushgateway --persistence", "tests/agent/migrate, with a recorded file"),
    ("taffrail migrate verify points", "tests/agent/migrate, with points of Telegraf"),
    ("taffrail push --url unix:", "tests/agent/listeners.rs: needs a gateway on that socket"),
    ("telegraf", "benches/compare-telegraf: needs Telegraf"),
    ("xdg-open", "opens a browser"),
];

fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = docs.filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect();
    files.push(root.join("README.md"));
    files.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// The blocks of a page in the language `kind`.
fn blocks(page: &str, kind: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut current: Option<(bool, String)> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), &mut current) {
            (Some(language), None) => current = Some((language == kind, String::new())),
            (Some(_), Some(_)) => blocks.extend(current.take().and_then(|(wanted, text)| wanted.then_some(text))),
            (None, Some((_, text))) => *text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    blocks
}

/// The commands of a block: without comments, with the lines that continue them.
fn commands(block: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut lines = block.lines();
    while let Some(line) = lines.next() {
        let mut command = line.split_once("  #").map_or(line, |(command, _)| command).trim_end().to_owned();
        if let Some((_, end)) = line.split_once("<<") {
            command += "\n";
            command += &lines.by_ref().take_while(|line| *line != end).collect::<Vec<_>>().join("\n");
        }
        while command.ends_with('\\') {
            command.pop();
            command += lines.next().unwrap().trim();
        }
        let is_comment = command.trim_start().starts_with('#') || command.trim().is_empty();
        commands.extend((!is_comment).then_some(command));
    }
    commands
}

/// A folder with the files that the commands name, an agent and a gateway.
struct Stage {
    folder: tempfile::TempDir,
    taffrail: Taffrail,
}

impl Stage {
    fn new() -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let sink = "[[sinks.influxdb]]\nurls = [\"http://127.0.0.1:1\"]\ndatabase = \"d\"\n";
        let cloud = "[[collectors.cloudwatch]]\nnamespace = \"AWS/EC2\"\nregions = [\"eu-west-1\"]\naccess_key = \"a\"\n\
                     secret_key = \"b\"\nendpoint_url = \"http://127.0.0.1:1\"\n";
        write("taffrail.toml", &format!("{}{sink}{cloud}", recorded_host()));
        write("etc/taffrail/taffrail.toml", &format!("{}{sink}{cloud}", recorded_host()));
        write("conf.d/agent.toml", &recorded_host());
        write("etc/default/prometheus-node-exporter", "ARGS=\"--collector.systemd\"\n");
        write("etc/default/prometheus-pushgateway", "ARGS=\"--web.enable-admin-api\"\n");
        write("etc/taffrail/conf.d/agent.toml", &recorded_host());
        write("etc/telegraf/telegraf.conf", "[[inputs.cpu]]\n[[outputs.influxdb]]\nurls = [\"http://influx:8086\"]\n");
        write("etc/telegraf/telegraf.d/mem.conf", "[[inputs.mem]]\n");
        write("etc/apt/sources.list", "");
        write("values.yaml", "extraArgs: [--collector.systemd]\n");
        write("blackbox.yml", "modules:\n  http_2xx:\n    prober: http\n");
        write("prometheus.yml", "scrape_configs:\n- job_name: web\n  static_configs:\n  - targets: [a]\n");
        write("process-exporter.yml", "process_names:\n- comm: [nginx]\n");
        write("mapping.yml", "mappings:\n- match: a.*\n  name: b\n");
        write("rows.prom", "# TYPE rows_total counter\nrows_total 3\n");
        write("tmp/empty", "");
        for script in ["backup.sh", "bin/backup"] {
            write(script, "#!/bin/sh\nexit 0\n");
            fs::set_permissions(folder.path().join(script), fs::Permissions::from_mode(0o755)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_taffrail"), folder.path().join("bin/taffrail")).unwrap();
        let config = format!("{}{sink}[gateway]\nlisten = [\"127.0.0.1:0\"]\n", recorded_host());
        Stage { folder, taffrail: Taffrail::start(&config) }
    }

    /// The command with this folder's paths, and the addresses of this agent and gateway.
    fn adapted(&self, command: &str) -> String {
        let folder = self.folder.path().display();
        let mut adapted = command
            .replace("127.0.0.1:9100", &self.taffrail.addresses()[0])
            .replace("localhost:9100", &self.taffrail.addresses()[0])
            .replace("localhost:9101", &self.taffrail.addresses()[0])
            .replace("localhost:8080", &self.taffrail.addresses()[0])
            .replace("localhost:9091", &self.taffrail.gateway())
            .replace("localhost:9092", &self.taffrail.gateway())
            .replace("127.0.0.1:9091", &self.taffrail.gateway());
        for (path, here) in [("/tmp/", "tmp/"), ("/etc/", "etc/"), ("/var/lib/", "var/"), ("/usr/local/bin/", "bin/")] {
            adapted = adapted.replace(&format!(" {path}"), &format!(" {folder}/{here}"));
        }
        if matches!(command, "taffrail migrate" | "taffrail migrate --apply") {
            // It looks at this folder in place of the machine.
            adapted += &format!(" --root {folder}");
        } else if command.starts_with("taffrail cloudwatch plan") {
            adapted += " --assume-metrics 500";
        } else if command == "taffrail health" {
            adapted += &format!(" http://{}", self.taffrail.addresses()[0]);
        }
        adapted
    }

    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("bash");
        let path = format!("{}/bin:{}", self.folder.path().display(), std::env::var("PATH").unwrap());
        shell.args(["-e", "-o", "pipefail", "-c", command]).current_dir(self.folder.path()).env("PATH", path);
        shell.env("TAFFRAIL_GATEWAY", format!("http://{}", self.taffrail.gateway())).stdin(Stdio::null());
        shell
    }

    /// Runs a command to its end.
    fn run(&self, command: &str) -> Result<(), String> {
        self.write_exporters_file(command);
        let output = self.shell(&self.adapted(command)).output().unwrap();
        // Something that the input has is missing in Taffrail, or differs.
        let reports = command.starts_with("taffrail migrate") && output.status.code() == Some(3);
        if output.status.success() || reports {
            return Ok(());
        }
        Err(format!("{command}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
    }

    /// Both exporters of CloudWatch call their file `config.yml`.
    fn write_exporters_file(&self, command: &str) {
        let text = match command {
            "taffrail migrate yace config.yml" => {
                "apiVersion: v1alpha1\ndiscovery:\n  jobs:\n  - type: AWS/EC2\n    regions: [eu-west-1]\n    period: 300\n    \
                 length: 300\n    metrics:\n    - name: CPUUtilization\n      statistics: [Average]\n"
            }
            _ => "region: eu-west-1\nmetrics:\n- aws_namespace: AWS/EC2\n  aws_metric_name: CPUUtilization\n",
        };
        fs::write(self.folder.path().join("config.yml"), text).unwrap();
    }

    /// Runs a command that serves until it is ended.
    fn serve(&self, command: &str) -> Result<(), String> {
        let adapted = format!("exec {} --listen 127.0.0.1:0", self.adapted(command));
        let log = self.folder.path().join("log");
        let mut child = self.shell(&adapted).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
        let start = std::time::Instant::now();
        wait_until(command, || {
            let ends = child.try_wait().unwrap().is_some() || start.elapsed() > LONG_TIMEOUT;
            let listens = fs::read_to_string(&log).unwrap().contains("listen");
            (ends || listens).then_some(())
        });
        let log = fs::read_to_string(&log).unwrap();
        let served = child.try_wait().unwrap().is_none() && log.contains("listen");
        let _ = child.kill();
        child.wait().unwrap();
        if served { Ok(()) } else { Err(format!("{command}: {log}")) }
    }
}

/// The command with the files that it would read as root, if it only reads.
fn with_configuration(command: String) -> String {
    let read_only = ["check", "collectors", "cloudwatch plan"];
    match command.strip_prefix("sudo taffrail ").filter(|rest| read_only.iter().any(|start| rest.starts_with(start))) {
        Some(rest) => format!("taffrail {rest} --config /etc/taffrail"),
        None => command,
    }
}

#[test]
fn every_command_runs_or_is_listed() {
    let stage = Stage::new();
    let (mut failed, mut run) = (Vec::new(), 0);
    let mut unused: Vec<&str> = ELSEWHERE.iter().map(|(prefix, _)| *prefix).collect();
    for (page, text) in pages() {
        for command in blocks(&text, "sh").iter().flat_map(|block| commands(block)).map(with_configuration) {
            if let Some((prefix, _)) = ELSEWHERE.iter().find(|(prefix, _)| command.starts_with(prefix)) {
                unused.retain(|known| known != prefix);
                continue;
            }
            run += 1;
            let serves = command.starts_with("taffrail gateway") || command.starts_with("taffrail --config");
            let result = if serves { stage.serve(&command) } else { stage.run(&command) };
            failed.extend(result.err().map(|error| format!("{page}: {error}")));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(run > 30, "{run}");
    assert!(unused.is_empty(), "in no page: {unused:?}");
}

/// Parts of a section, and the section.
const PARTS: [(&str, &str); 3] = [
    ("access_key", "[[collectors.cloudwatch]]\nnamespace = \"AWS/EC2\"\n"),
    ("append_dimensions", "[[sinks.cloudwatch]]\n"),
    ("[collectors.cloudwatch.dimensions]", "[[collectors.cloudwatch]]\nnamespace = \"AWS/EC2\"\n"),
];

#[test]
fn every_configuration_is_valid() {
    let (mut failed, mut checked) = (Vec::new(), 0);
    for (page, text) in pages() {
        for block in blocks(&text, "toml") {
            let overrides = "[[collectors.cloudwatch.overrides]]";
            let part = PARTS.iter().find(|(start, _)| block.starts_with(start));
            let section = part.map_or("", |(_, section)| *section);
            let section = if block.starts_with(overrides) { PARTS[0].1 } else { section };
            // Replicas are a feature of their own builds.
            if !cfg!(feature = "nats") && block.contains("[nats]") {
                continue;
            }
            checked += 1;
            let block = block.replace("$2y$10$…", "$2y$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy");
            let problems = super::load(&format!("{section}{block}")).err();
            failed.extend(problems.map(|problems| format!("{page}: {problems}\n{block}")));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(checked > 15, "{checked}");
}

/// Links within the documentation lead to a file, and to a heading of it.
#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let link = regex::Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut broken = Vec::new();
    for (page, text) in pages() {
        let (folder, own) = match &*page {
            "README.md" => (root.to_owned(), root.join(&page)),
            _ => (root.join("docs"), root.join("docs").join(&page)),
        };
        for target in link.captures_iter(&text).map(|found| found[1].to_owned()) {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let path = if file.is_empty() { own.clone() } else { folder.join(file) };
            if target.contains("://") {
                continue;
            }
            let is_there = match anchor {
                "" => path.exists(),
                _ => fs::read_to_string(&path).is_ok_and(|text| anchors(&text).contains(&anchor.to_owned())),
            };
            broken.extend((!is_there).then(|| format!("{page}: {target}")));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| super::configuration::anchor(line.trim_start_matches('#').trim())).collect()
}

/// The messages in the first columns of docs/troubleshooting.md are in the sources; `…` stands for what varies.
#[test]
fn every_message_is_one_of_the_program() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let (_, page) = pages().into_iter().find(|(name, _)| name == "troubleshooting.md").unwrap();
    let quoted = regex::Regex::new("`([^`]+)`").unwrap();
    let (mut unknown, mut known) = (Vec::new(), 0);
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cell = row.split(" | ").next().unwrap();
        let messages = quoted.captures_iter(cell).map(|found| found[1].to_owned());
        for message in messages.filter(|message| message.contains(' ')) {
            let is_there = message.split('…').all(|part| sources.contains(part.trim()));
            if is_there { known += 1 } else { unknown.push(message) }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert!(known > 10, "{known}");
}

/// All sources below a folder, with strings that go on in the next line as one.
fn sources(folder: &Path) -> String {
    let goes_on = regex::Regex::new(r"\\\n\s*").unwrap();
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let text = |path: PathBuf| match path.is_dir() {
        true => sources(&path),
        false => goes_on.replace_all(&fs::read_to_string(&path).unwrap_or_default(), "").into_owned(),
    };
    entries.map(text).collect()
}
