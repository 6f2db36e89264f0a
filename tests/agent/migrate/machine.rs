//! `taffrail migrate` alone, which looks at this machine.

use std::path::Path;

use crate::harness::taffrail;

pub(super) fn write_below(root: &std::path::Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn without_a_program_it_looks_at_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let write = |path: &str, text: &str| write_below(root, path, text);
    let migrate = |more: &[&str]| {
        let output = taffrail(&[&["migrate", "--root", root.to_str().unwrap()], more].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    assert_eq!(migrate(&[]).0, Some(0));
    write("proc/12/cmdline", "/usr/bin/cadvisor\0-housekeeping_interval=10s\0");
    write("proc/34/cmdline", "/opt/node_exporter\0--collector.systemd\0");
    write("proc/self/cmdline", "/opt/node_exporter\0--collector.nonsense\0");
    write("lib/systemd/system/telegraf.service", "[Service]\n");
    write("etc/telegraf/telegraf.conf", "[[outputs.influxdb]]\n[[inputs.mem]]\n");
    write("etc/telegraf/telegraf.d/a.conf", "[[inputs.swap]]\n");
    write("etc/default/prometheus-node-exporter", "ARGS=\"--collector.cpu\"\n");
    write("etc/default/prometheus-pushgateway", "ARGS=\"--web.enable-admin-api\"\n");
    let (status, toml, report) = migrate(&[]);
    assert_eq!(status, Some(0), "{report}");
    for found in ["node_exporter: process 34", "cadvisor: process 12", "telegraf: ", "prometheus-pushgateway: "] {
        assert!(report.contains(&format!("found {found}")), "{found} in {report}");
    }
    for setting in
        ["enabled = true  # process 34 --collector.systemd", "admin_api = true", "\":8080\"", "\":9100\"", "\"swap\""]
    {
        assert!(toml.contains(setting), "{setting} in {toml}");
    }
    assert!(!toml.contains("default = false") && !toml.contains("collectors.cpu"), "{toml}");
    let (status, _, report) = migrate(&["--apply"]);
    assert_eq!(status, Some(0));
    for command in ["systemctl disable --now telegraf.service", "kill 34", "systemctl enable --now taffrail"] {
        assert!(report.contains(command), "{command} in {report}");
    }
    assert_eq!(std::fs::read_to_string(root.join("etc/taffrail/conf.d/50-migrated.toml")).unwrap(), toml);
    write("etc/telegraf/telegraf.d/b.conf", "[[inputs.tail]]\n");
    let (_, _, report) = migrate(&[]);
    assert!(report.contains("# Telegraf is still needed"), "Telegraf stays for an input: {report}");
}

#[test]
fn without_a_program_it_reads_units_and_packages() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let write = |path: &str, text: &str| write_below(root, path, text);
    write(
        "var/lib/dpkg/status",
        "Package: telegraf\nStatus: install ok installed\nVersion: 1.37\n\n\
         Package: cadvisor\nStatus: deinstall ok config-files\nVersion: 1\n",
    );
    write(
        "lib/systemd/system/metrics.service",
        "[Service]\nEnvironment=PORT=9101\nEnvironmentFile=-/etc/default/metrics\n# of the host\n\
         ExecStart=-/opt/node_exporter --collector.cpu\n",
    );
    write(
        "etc/systemd/system/metrics.service.d/10-flags.conf",
        "[Service]\nExecStart=\nExecStart=/opt/node_exporter \\\n  --web.listen-address=:${PORT} $ARGS\n",
    );
    write("etc/default/metrics", "ARGS=\"--collector.systemd --no-collector.zfs\"\n");
    write("etc/systemd/system/aws.service", "[Service]\nExecStart=/usr/bin/yace -config.file /etc/yace.yml\n");
    write("etc/systemd/system/cw.service", "[Service]\nExecStart=java -jar /opt/cloudwatch_exporter.jar 9106 cw.yml\n");
    write("etc/systemd/system/other.service", "[Service]\nExecStart=/usr/bin/other --collector.nonsense\n");
    write(
        "etc/yace.yml",
        "apiVersion: v1alpha1\ndiscovery:\n  jobs:\n    - type: AWS/SQS\n      regions: [eu-west-1]\n      \
         metrics:\n        - name: NumberOfMessagesSent\n          statistics: [Sum]\n",
    );
    let output = taffrail(&["migrate", "--root", root.to_str().unwrap()]);
    let (toml, report) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(3), "{report}");
    for found in ["telegraf: package 1.37", "node_exporter: ", "yace: ", "cloudwatch_exporter: "] {
        assert!(report.contains(&format!("found {found}")), "{found} in {report}");
    }
    for unit in ["metrics", "aws", "cw"] {
        assert!(report.contains(&format!("systemctl disable --now {unit}.service")), "{unit} in {report}");
    }
    assert!(report.contains("taffrail migrate cloudwatch_exporter FILE"), "{report}");
    for other in ["cadvisor", "other.service"] {
        assert!(!report.contains(other), "{other} in {report}");
    }
    for setting in ["\":9101\"", "metrics.service --collector.systemd", "AWS/SQS"] {
        assert!(toml.contains(setting) || cfg!(not(feature = "cloudwatch")), "{setting} in {toml}\n{report}");
    }
}

/// What `taffrail migrate` makes of a machine: the status, the settings and the report.
pub(super) fn migrated(root: &Path) -> (Option<i32>, String, String) {
    let output = taffrail(&["migrate", "--root", root.to_str().unwrap()]);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn units_are_read_as_systemd_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let write = |path: &str, text: &str| write_below(root, path, text);
    let link = |target: &str, path: &str| {
        std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, root.join(path)).unwrap();
    };
    // A template with two instances: one is enabled, one has a drop-in of its own.
    write(
        "usr/lib/systemd/system/node_exporter@.service",
        "[Unit]\nEnvironment=P=nonsense\n[Service]\nEnvironment=\"D=/srv/%p/%i\"\nEnvironmentFile=-/etc/default/%p-%i\n\
         ExecStart=@/opt/node_exporter exporter --web.listen-address=:%i --collector.textfile.directory=${D} $MORE\n",
    );
    link(
        "/usr/lib/systemd/system/node_exporter@.service",
        "etc/systemd/system/multi-user.target.wants/node_exporter@9101.service",
    );
    write(
        "etc/default/node_exporter-9101",
        "MORE=--collector.systemd --collector.systemd.unit-include=a\\\\\\\\.service\n",
    );
    write(
        "run/systemd/system/node_exporter@9102.service.d/10.conf",
        "[Service]\nExecStart=\nExecStart=/opt/node_exporter --web.listen-address=:%i --collector.wifi\n",
    );
    // Folders by their precedence: the first hides the second, and the third is masked.
    write("run/systemd/system/cadvisor.service", "[Service]\nExecStart=/opt/cadvisor -port 8081\n");
    write("usr/lib/systemd/system/cadvisor.service", "[Service]\nExecStart=/opt/cadvisor -port 8082\n");
    write("usr/lib/systemd/system/pushgateway.service", "[Service]\nExecStart=/opt/pushgateway --nonsense\n");
    link("/dev/null", "etc/systemd/system/pushgateway.service");
    // An alias is no second unit; a template without an instance starts nothing.
    link("cadvisor.service", "etc/systemd/system/containers.service");
    write("etc/systemd/system/yace@.service", "[Service]\nExecStart=/opt/yace -config.file /etc/%i.yml\n");
    let (status, toml, report) = migrated(root);
    assert_eq!(status, Some(0), "{report}");
    for setting in
        ["\":9101\"", "\":9102\"", "'a\\.service'", "/srv/node_exporter/9101", "[collectors.wifi]", "\":8081\""]
    {
        assert!(toml.contains(setting), "{setting} in {toml}{report}");
    }
    for other in ["nonsense", "8082", "containers.service", "9102\n  --collector.systemd"] {
        assert!(!toml.contains(other) && !report.contains(other), "{other} in {toml}{report}");
    }
    for unit in ["node_exporter@9101", "node_exporter@9102", "cadvisor"] {
        assert!(report.contains(&format!("systemctl disable --now {unit}.service\n")), "{unit} in {report}");
    }
    assert!(report.contains("no instance of this template is enabled"), "{report}");
}

#[test]
fn telegraf_is_read_from_where_its_unit_says() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let write = |path: &str, text: &str| write_below(root, path, text);
    write("etc/telegraf/telegraf.conf", "[[inputs.nonsense]]\n");
    write("opt/t/main.conf", "[[outputs.influxdb]]\n  username = \"u\"\n  password = \"$TOKEN\"\n[[inputs.mem]]\n");
    write("opt/t/one/b/c.conf", "[[inputs.swap]]\n");
    write("opt/t/two/d.conf", "[[inputs.processes]]\n");
    write("opt/t/two/d.txt", "nonsense\n");
    write("etc/default/telegraf", "TOKEN=geheim\n");
    let unit = |line: &str| {
        let text = format!("[Service]\nWorkingDirectory=/opt/t\nEnvironmentFile=/etc/default/telegraf\n{line}\n");
        write("etc/systemd/system/telegraf.service", &text);
        migrated(root)
    };
    let flags = "--config main.conf -config-directory=one --config-directory /opt/t/two --quiet --pidfile /x";
    let (status, toml, report) = unit(&format!("ExecStart=/usr/bin/telegraf {flags}"));
    assert_eq!(status, Some(0), "{toml}{report}");
    for measurement in ["\"mem\"", "\"swap\"", "\"processes\""] {
        assert!(toml.contains(measurement), "{measurement} in {toml}");
    }
    assert!(report.contains("cat /etc/default/telegraf >> /etc/default/taffrail"), "{report}");
    assert!(report.contains("--config-directory /opt/t/two") && !report.contains("geheim"), "{report}");
    // By a variable, and what cannot be read is missing.
    let (status, toml, report) = unit("Environment=TELEGRAF_CONFIG_PATH=main.conf\nExecStart=/usr/bin/telegraf");
    assert_eq!(status, Some(0), "{report}");
    assert!(toml.contains("\"mem\"") && !toml.contains("swap"), "{toml}");
    for (flags, instead) in [
        ("--config http://c.example/t.conf", "download it"),
        ("--config gone.conf", "gone.conf: cannot be read"),
        ("--config main.conf --input-filter cpu:mem", "remove the settings of those that the filter leaves out"),
        ("--config two/d.txt", "two/d.txt:1: "),
    ] {
        let (status, _, report) = unit(&format!("ExecStart=/usr/bin/telegraf {flags}"));
        assert_eq!(status, Some(3), "{flags}: {report}");
        assert!(report.contains(instead), "{instead} in {report}");
    }
}

/// A process is stopped by what started it, and wrappers are looked through.
#[test]
fn processes_are_stopped_by_what_started_them() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let write = |path: &str, text: &str| write_below(root, path, text);
    let id = "0123456789abcdef".repeat(4);
    write("proc/10/cmdline", "/opt/node_exporter\0--collector.wifi\0");
    write("proc/10/cgroup", "0::/system.slice/metrics.service\n");
    write(
        "etc/systemd/system/metrics.service",
        "[Service]\nExecStart=/bin/sh -c 'exec /opt/node_exporter --nonsense'\n",
    );
    write("proc/11/cmdline", "telegraf\0--config\0t.conf\0");
    write("proc/11/cgroup", &format!("0::/system.slice/docker-{id}.scope\n"));
    std::os::unix::fs::symlink("/srv", root.join("proc/11/cwd")).unwrap();
    write("proc/11/root/srv/t.conf", "[[inputs.mem]]\n");
    write(
        "etc/systemd/system/push.service",
        "[Service]\nExecStart=/usr/bin/docker run -p 1:9091 prom/pushgateway:v1 --web.enable-admin-api\n",
    );
    write("etc/systemd/system/c.service", "[Service]\nExecStart=/usr/bin/env A=b /opt/cadvisor -port=8081\n");
    // Taffrail in another program's place is none of them.
    write("proc/12/cmdline", "/usr/bin/node_exporter\0--nonsense\0");
    std::os::unix::fs::symlink("/usr/bin/taffrail (deleted)", root.join("proc/12/exe")).unwrap();
    let (status, toml, report) = migrated(root);
    assert_eq!(status, Some(0), "{report}");
    for setting in ["[collectors.wifi]", "admin_api = true", "\":8081\""] {
        assert!(toml.contains(setting), "{setting} in {toml}{report}");
    }
    for command in ["systemctl disable --now metrics.service\n", "docker stop 0123456789ab  # telegraf"] {
        assert_eq!(report.matches(command).count(), 1, "{command} in {report}");
    }
    assert!(!report.contains("kill 10") && !report.contains("nonsense"), "{report}");
}

/// No group is lost on the day of the switch.
#[test]
fn the_commands_import_the_groups_of_pushgateway() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write_below(root, "etc/default/prometheus-pushgateway", "ARGS=\"--web.enable-admin-api\"\nbroken\n");
    let unit = "[Service]\nEnvironmentFile=/etc/default/prometheus-pushgateway\nExecStart=/usr/bin/prometheus-pushgateway $ARGS\n";
    write_below(root, "lib/systemd/system/prometheus-pushgateway.service", unit);
    let (status, toml, report) = migrated(root);
    assert!(toml.contains("state = ") && toml.contains("admin_api = true"), "{toml}");
    let at = |text: &str| report.find(text).unwrap_or_else(|| panic!("{text} in {report}"));
    let import = "taffrail migrate pushgateway --persistence /var/lib/prometheus/pushgateway.data --state /var/lib/taffrail/gateway\n";
    let steps = [
        "taffrail check",
        "systemctl disable --now prometheus-pushgateway",
        import,
        "chown",
        "systemctl enable --now taffrail",
    ];
    assert!(steps.map(at).is_sorted(), "{report}");
    // A line of the file that is not understood is not passed over.
    assert_eq!(status, Some(3), "{report}");
    assert!(report.contains("/etc/default/prometheus-pushgateway:2"), "{report}");
}

#[test]
fn a_package_without_unit_and_file_is_missing_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write_below(root, "lib/apk/db/installed", "P:telegraf\nV:1.29-r0\n\nP:musl\nV:1\n");
    std::fs::create_dir_all(root.join("var/lib/pacman/local/prometheus-node-exporter-1.8.2-1")).unwrap();
    let (status, _, report) = migrated(root);
    assert_eq!(status, Some(3), "{report}");
    for text in
        ["package telegraf 1.29-r0", "taffrail migrate telegraf FILE|DIR", "taffrail migrate node_exporter -- FLAGS"]
    {
        assert!(report.contains(text), "{text} in {report}");
    }
}

/// Every port that the old programs serve is served.
#[test]
fn a_default_port_stays_beside_a_port_that_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let unit = |name: &str, command: &str| {
        write_below(root, &format!("etc/systemd/system/{name}.service"), &format!("[Service]\nExecStart={command}\n"));
    };
    unit("a", "/opt/node_exporter");
    unit("b", "/opt/node_exporter --web.listen-address=:9102 --collector.ntp");
    unit("c", "/opt/yace -labels-snake-case -config.file /etc/yace.yml");
    let job = "{type: AWS/SQS, regions: [eu-west-1], metrics: [{name: NumberOfMessagesSent, statistics: [Sum]}]}";
    write_below(root, "etc/yace.yml", &format!("apiVersion: v1alpha1\ndiscovery:\n  jobs:\n  - {job}\n"));
    let (status, toml, report) = migrated(root);
    for port in [":9100", ":9102", ":5000"] {
        assert!(toml.contains(&format!("{port:?}")), "{port} in {toml}{report}");
    }
    if cfg!(feature = "cloudwatch") {
        assert!(toml.contains("snake_case_labels = true"), "{toml}{report}");
        assert_eq!(status, Some(0), "{report}");
    }
}

/// Taffrail has one gateway; the groups of a second Pushgateway are not dropped, and no command removes groups.
#[test]
fn the_groups_of_a_second_pushgateway_are_missing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (name, port) in [("a b", 9091), ("c", 9099)] {
        let command = format!("/opt/pushgateway --web.listen-address=:{port} --persistence.file=\"/srv/{name}\"");
        let unit = format!("etc/systemd/system/push-{port}.service");
        write_below(root, &unit, &format!("[Service]\nExecStart={command}\n"));
    }
    let (status, toml, report) = migrated(root);
    assert_eq!(status, Some(3), "{report}");
    assert!(toml.contains("\":9091\"") && toml.contains("\":9099\""), "{toml}");
    assert!(
        report.contains("taffrail migrate pushgateway --persistence '/srv/a b' --state /var/lib/taffrail"),
        "{report}"
    );
    assert!(report.contains("run a second Taffrail"), "{report}");
    assert!(!report.contains("--persistence /srv/c --state /var/lib/taffrail"), "{report}");
}

/// The check has the variables that the service will have.
#[test]
fn variables_are_copied_before_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write_below(root, "etc/telegraf/telegraf.conf", "[[outputs.influxdb]]\n  urls = [\"${U}\"]\n[[inputs.mem]]\n");
    write_below(root, "etc/default/telegraf", "U=http://h:8086\n");
    let unit = "[Service]\nEnvironmentFile=/etc/default/telegraf\nExecStart=/usr/bin/telegraf\n";
    write_below(root, "etc/systemd/system/telegraf.service", unit);
    let (_, _, report) = migrated(root);
    let at = |text: &str| report.find(text).unwrap_or_else(|| panic!("{text} in {report}"));
    let steps = ["cat /etc/default/telegraf", "EnvironmentFile=/etc/default/taffrail taffrail check", "disable --now"];
    assert!(steps.map(at).is_sorted(), "{report}");
}

#[test]
fn a_fifo_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for program in ["telegraf", "yace"] {
        let output = taffrail(&["migrate", program, fifo.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{program}");
    }
}

/// Ports and files of a container are those of the host, or missing.
#[test]
fn options_of_docker_are_dockers() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let unit = |options: &str| {
        let text = format!("[Service]\nExecStart=/usr/bin/docker run --rm --name=x {options}\n");
        write_below(root, "etc/systemd/system/d.service", &text);
        migrated(root)
    };
    let (status, toml, report) = unit("-v /:/rootfs:ro -p 127.0.0.1:8081:8080 gcr.io/cadvisor/cadvisor:v0.49");
    assert_eq!(status, Some(0), "{report}");
    assert!(toml.contains("\"127.0.0.1:8081\"") && !toml.contains("\":8080\""), "{toml}{report}");
    let (status, toml, report) = unit("-p 9191:9091 -v /srv/pg:/data prom/pushgateway --persistence.file=/data/x");
    assert_eq!(status, Some(0), "{report}");
    assert!(toml.contains("\":9191\"") && report.contains("--persistence /srv/pg/x --state"), "{toml}{report}");
    let (status, toml, report) = unit("-p 9191:9091 -v pg:/data prom/pushgateway --persistence.file=/data/x");
    assert_eq!(status, Some(3), "{report}");
    assert!(toml.contains("state = ") && !report.contains("--persistence /data/x"), "{toml}{report}");
    let (status, toml, report) = unit("--net=host -v /:/host:ro,rslave prom/node-exporter --path.rootfs=/host");
    assert_eq!(status, Some(0), "{report}");
    assert!(toml.contains("root = \"/\""), "{toml}{report}");
    let (status, _, report) = unit("prom/node-exporter");
    assert!(status == Some(3) && report.contains("publishes no port"), "{report}");
    write_below(root, "opt/tele/telegraf.conf", "[[inputs.mem]]\n[[outputs.influxdb]]\n");
    let (status, toml, report) = unit("-v /opt/tele:/etc/telegraf:ro -e HOST_PROC=/hostfs/proc -e T=geheim telegraf");
    assert_eq!(status, Some(0), "{report}");
    assert!(toml.contains("\"mem\"") && !report.contains("geheim"), "{toml}{report}");
    let (status, _, report) = unit("-it telegraf telegraf --config /etc/x.conf");
    assert_eq!(status, Some(3), "{report}");
}

/// A unit is stopped only with a word about what it starts.
#[test]
fn a_unit_whose_command_is_not_known_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let text = "[Service]\nExecStart=/usr/bin/docker start -a node_exporter\n";
    write_below(root, "etc/systemd/system/node_exporter.service", text);
    let (status, _, report) = migrated(root);
    assert!(status == Some(3) && report.contains("what it starts is not known"), "{report}");
}
