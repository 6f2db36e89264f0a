//! The command line.

use std::process::Command;

use taffrail::collectors::About;
use taffrail::collectors::list::COLLECTORS;

use crate::harness::{config_file as config, host_section, printed, recorded, recorded_host, taffrail};

#[test]
fn help_names_every_command_and_version_the_version() {
    let (help, _) = printed(&taffrail(&["--help"]));
    for word in ["run", "gateway", "push", "print", "check", "collectors", "--config", "--listen"] {
        assert!(help.contains(word), "{word} in {help}");
    }
    let (version, _) = printed(&taffrail(&["--version"]));
    assert_eq!(version.trim(), format!("taffrail {}", env!("CARGO_PKG_VERSION")));
}

/// More processes or groups than the limits are left out, and the message names the setting.
#[test]
fn limits_of_process_groups_are_named() {
    let folder = recorded::host("process-groups");
    let host = host_section(&folder.join("after"));
    for setting in ["max_processes", "max_groups"] {
        let (_folder, path) = config(&format!(
            "{host}[collectors.procstat]\n{setting} = 1\n[[collectors.procstat.groups]]\nname = '{{pid}}'\npatterns = ['.']\n"
        ));
        let (text, errors) = printed(&taffrail(&["print", "--config", &path, "--collector", "procstat"]));
        assert!(errors.contains(&format!("{setting} of [collectors.procstat]")), "{errors}");
        let groups = text.lines().filter(|line| line.starts_with("namedprocess_namegroup_num_procs{")).count();
        assert!(groups <= 1, "{text}");
    }
}

#[test]
fn wrong_usage_has_status_2_and_failure_status_1() {
    assert_eq!(taffrail(&["--nonsense"]).status.code(), Some(2));
    assert_eq!(taffrail(&["print", "--format", "xml"]).status.code(), Some(2));
    assert_eq!(taffrail(&["run", "--listen", "nowhere"]).status.code(), Some(2));
    assert_eq!(taffrail(&["check", "--config", "/does/not/exist.toml"]).status.code(), Some(1));
    for push in [
        &[][..],
        &["--ttl", "2", "-"],
        &["--label", "x", "-"],
        &["--url", "ftp://x", "-"],
        &["--every", "1d", "-"],
        &["--"],
    ] {
        let output = taffrail(&[&["push", "--job", "x"], push].concat());
        assert_eq!(output.status.code(), Some(2), "{push:?}: {}", printed(&output).1);
    }
}

#[test]
fn a_forgotten_separator_before_a_command_is_named() {
    for (arguments, expected) in [
        (
            &["--job", "backup", "tar", "-cf", "x.tar", "/etc"][..],
            "put -- before the command: taffrail push --job backup -- tar …",
        ),
        (&["--job=backup", "tar", "x"], "put -- before the command: taffrail push --job backup -- tar …"),
        (
            &["--job", "b", "--label", "a=b", "nice", "-n", "5", "--", "tar"],
            "put -- before the command: taffrail push --job b … -- nice …",
        ),
        (&["--job", "backup", "tar", "--", "-cf"], "put -- before the command: taffrail push --job backup -- tar …"),
        (&["backup", "--", "true"], "--job is missing: taffrail push --job backup -- true"),
    ] {
        let output = taffrail(&[&["push"], arguments].concat());
        assert_eq!(
            (output.status.code(), printed(&output).1),
            (Some(2), format!("error: {expected}\n")),
            "{arguments:?}"
        );
    }
    // Options and files are no commands.
    for arguments in
        [&["--job", "x", "-v"][..], &["--job", "x", "--lable", "a=b", "tar"], &["--job", "x", "Cargo.toml", "build.rs"]]
    {
        let output = taffrail(&[&["push"], arguments].concat());
        let (_, errors) = printed(&output);
        assert!(output.status.code() == Some(2) && errors.contains("unexpected argument"), "{errors}");
        assert!(!errors.contains("put --") && !errors.contains("as a value"), "{errors}");
    }
    let (_, errors) = printed(&taffrail(&["push", "--job", "x", "true"]));
    assert!(errors.ends_with("; to run the command, put -- before it\n"), "{errors}");
    let (_, errors) = printed(&taffrail(&["push", "--job", "x", "no.prom"]));
    assert!(errors.starts_with("error: no.prom: No such file") && !errors.contains("--"), "{errors}");
}

#[test]
fn a_file_without_config_before_it_is_named() {
    for command in [&[][..], &["check"], &["run"], &["print"], &["collectors"], &["gateway"]] {
        let output = taffrail(&[command, &["Cargo.toml"]].concat());
        let expected = (Some(2), "error: expected --config Cargo.toml, found Cargo.toml\n".to_owned());
        assert_eq!((output.status.code(), printed(&output).1), expected, "{command:?}");
    }
    for arguments in [&["check", "no.toml"][..], &["health", "a", "Cargo.toml"], &["check", "--colour"]] {
        let (_, errors) = printed(&taffrail(arguments));
        assert!(errors.contains("unexpected argument"), "{errors}");
    }
}

#[test]
fn an_invalid_duration_has_one_message_everywhere() {
    let expected = "expected a duration such as \"10s\" or \"1m 30s\"";
    for (value, reason) in
        [("weekly", ""), ("2", " (without a unit: \"2s\", \"2m\", \"2h\" or \"2d\")"), ("7D", " (write \"7d\")")]
    {
        for option in ["--ttl", "--every", "--timeout"] {
            let (_, errors) = printed(&taffrail(&["push", "--job", "x", option, value, "--", "true"]));
            let start = format!("taffrail push: {option} {value:?}: {expected}{reason}; ");
            assert!(errors.starts_with(&start), "{errors}");
        }
        let (_, errors) = printed(&taffrail(&["health", "--timeout", value]));
        let start = format!("error: invalid value '{value}' for '--timeout <DURATION>': {expected}{reason}\n");
        assert!(errors.starts_with(&start), "{errors}");
        let (_folder, path) = config(&format!("[agent]\ninterval = {value:?}\n"));
        let (_, errors) = printed(&taffrail(&["check", "--config", &path]));
        assert!(
            errors.contains(&format!(":2:12: agent.interval: {expected}, found the string {value:?}{reason}\n")),
            "{errors}"
        );
    }
}

#[test]
fn every_mistake_at_the_start_is_an_error() {
    let (_folder, path) = config("[agent]\ninterval = 10\n[htpp]\n[collectors]\nenable = ['cpus']\n");
    let output = taffrail(&["run", "--config", &path]);
    let (_, errors) = printed(&output);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(errors.lines().count(), 3, "{errors}");
    assert!(errors.lines().all(|line| line.starts_with(&format!("error: {path}:"))), "{errors}");
}

/// A file that this user may not read.
#[cfg(target_os = "linux")]
#[test]
fn check_without_permission_leads_to_sudo() {
    let (_folder, path) = config("");
    let script = format!(
        "chmod 0 {path}; exec setpriv --bounding-set=-all --inh-caps=-all {} check --config {path}",
        env!("CARGO_BIN_EXE_taffrail")
    );
    let output = Command::new("unshare").args(["--user", "--map-root-user", "sh", "-c", &script]).output().unwrap();
    let (_, errors) = printed(&output);
    assert_eq!(errors, format!("error: {path}: permission denied; check it with: sudo taffrail check\n"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn print_gives_one_reading_in_each_format() {
    let (_folder, path) = config(&format!("[agent]\ninterval = \"10ms\"\n{}", recorded_host()));
    let print = |format: &str| printed(&taffrail(&["print", "--config", &path, "--format", format])).0;

    let text = print("prometheus");
    assert!(text.contains("# TYPE node_load1 gauge\nnode_load1 "), "{text}");
    assert!(text.contains("nodename=\"vm-1\""));
    let open_metrics = print("openmetrics");
    assert!(open_metrics.contains("# TYPE node_forks counter\nnode_forks_total "));
    assert!(open_metrics.ends_with("# EOF\n"));
    let points = print("influx");
    assert!(points.lines().any(|line| line.starts_with("system,host=") && line.contains("load1=")), "{points}");
}

#[test]
fn print_for_influx_takes_two_readings_so_that_rates_are_there() {
    let (_folder, path) = config("[agent]\ninterval = \"300ms\"\n");
    let output = taffrail(&["print", "--config", &path, "--format", "influx", "--collector", "cpu", "process"]);
    let (points, progress) = printed(&output);
    assert!(
        points.lines().any(|line| line.starts_with("cpu,cpu=cpu-total,") && line.contains("usage_idle=")),
        "{points}"
    );
    assert!(progress.contains("waiting 300ms"), "{progress}");
}

#[test]
fn print_can_be_limited_to_collectors_also_to_those_that_are_off() {
    let (_folder, path) = config(&recorded_host());
    let (text, _) = printed(&taffrail(&["print", "--config", &path, "--collector", "loadavg", "processes"]));
    assert!(text.contains("node_load1 ") && text.contains("node_processes_pids "), "{text}");
    assert!(!text.contains("node_cpu_seconds_total"));
    // What is asked for comes first.
    assert!(text.starts_with("# HELP node_load1 "), "{text}");
    assert!(text.contains("\n# TYPE taffrail_"), "{text}");
    let (text, _) = printed(&taffrail(&["print", "--config", &path, "--collector", "loadavg,processes"]));
    assert!(text.contains("node_load1 ") && text.contains("node_processes_pids "), "{text}");

    let output = taffrail(&["print", "--collector", "loadavgg"]);
    let (_, error) = printed(&output);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(error, "error: there is no collector \"loadavgg\"; did you mean loadavg?\n");
}

#[test]
fn print_reports_on_standard_error_what_could_not_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    file("proc/loadavg", "high\n");
    file("root/text/bad.prom", "a{ 1\n");
    let roots =
        format!("[host]\nproc = \"{0}/proc\"\nsys = \"{0}/sys\"\nroot = \"{0}/root\"\n", folder.path().display());
    let (_folder, path) =
        config(&format!("{roots}[agent]\ninterval = \"10ms\"\n[collectors.textfile]\ndirectory = [\"/text\"]\n"));
    for format in ["prometheus", "influx"] {
        let output = taffrail(&["print", "--config", &path, "--format", format]);
        let (text, errors) = printed(&output);
        assert_eq!(output.status.code(), Some(0));
        let about = |collector: &str| {
            errors.lines().filter(|line| line.ends_with(&format!("collector=\"{collector}\""))).count()
        };
        assert_eq!((about("loadavg"), about("textfile")), (1, 1), "{errors}");
        assert!(errors.contains("proc/loadavg:1: expected a load average, found \"high\""), "{errors}");
        // A host without files is no failure.
        assert!(!errors.contains("vmstat"), "{errors}");
        assert!(format == "influx" || text.contains("node_textfile_scrape_error 1"), "{text}");
    }
}

#[test]
fn print_reports_files_that_repeat_families_of_taffrail() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("own.prom"), "node_load1 99\n").unwrap();
    let (_folder, path) = config(&format!("[collectors.textfile]\ndirectory = [{:?}]\n", folder.path()));
    let (text, errors) = printed(&taffrail(&["print", "--config", &path, "--collector", "loadavg", "textfile"]));
    assert!(text.contains("node_textfile_scrape_error 1") && !text.contains(" 99\n"), "{text}");
    let told: Vec<&str> = errors.lines().filter(|line| line.contains("own.prom")).collect();
    assert!(told.len() == 1 && told[0].contains("node_load1"), "{errors}");
}

/// On a host without files. node_exporter 1.12.1 reports the same, where it reads files as well.
#[test]
fn collectors_succeed_without_their_subject_where_those_of_node_exporter_do() {
    const SUCCEED: [&str; 15] = [
        "bcache",
        "btrfs",
        "cpu_vulnerabilities",
        "drm",
        "edac",
        "lnstat",
        "meminfo_numa",
        "selinux",
        "sockstat",
        "sysctl",
        "textfile",
        "thermal_zone",
        "time",
        "timex",
        "xfs",
    ];
    // Servers and GPUs may be there or not, and listeners take ports.
    let is_asked = |about: &About| {
        about.is_list || ["docker_state", "ntp", "nvidia", "statsd", "supervisord"].contains(&about.name)
    };
    let abouts = COLLECTORS.iter().map(|entry| entry.about);
    let names: Vec<&str> = abouts.filter(|about| !is_asked(about)).map(|about| about.name).collect();
    let folder = tempfile::tempdir().unwrap();
    let roots =
        format!("[host]\nproc = \"{0}/proc\"\nsys = \"{0}/sys\"\nroot = \"{0}/root\"\n", folder.path().display());
    let (_folder, path) = config(&format!("{roots}udev = \"/nowhere\"\n[collectors]\nenable = {names:?}\n"));
    let (text, _) = printed(&taffrail(&["print", "--config", &path]));
    let success = |line: &str| {
        Some(line.strip_prefix("node_scrape_collector_success{collector=\"")?.strip_suffix("\"} 1")?.to_owned())
    };
    assert_eq!(text.lines().filter_map(success).collect::<Vec<_>>(), SUCCEED);
}

#[test]
fn check_shows_every_mistake_with_its_place() {
    let text = "[agent]\ninterval = 10\n[http]\nlistem = []\n[collectors]\nenable = [\"cpus\"]\n\
                [collectors.vmstat]\nfields = '('\n[[sinks.influxdb]]\nurls = [\"localhost\"]\n";
    let (_folder, path) = config(text);
    let output = taffrail(&["check", "--config", &path]);
    let (_, errors) = printed(&output);
    assert_eq!(output.status.code(), Some(1));
    for expected in [
        ":2:12: agent.interval: expected a duration",
        ":4:1: http.listem: unknown key; did you mean listen?",
        ":6:11: collectors.enable[0]: there is no collector \"cpus\"; did you mean cpu?",
        ":8:10: collectors.vmstat.fields: expected a regular expression",
        ":9:1: sinks.influxdb[0].database: expected either database",
        ":10:9: sinks.influxdb[0].urls[0]: expected an http or https URL, or unix:///PATH, found \"localhost\"",
    ] {
        assert!(errors.contains(&format!("{path}{expected}")), "{expected}\nin\n{errors}");
    }
    assert_eq!(errors.lines().filter(|line| line.starts_with("error: ")).count(), 6, "{errors}");
}

/// Each mistake has one message, which names what is invalid and the fix.
#[test]
fn one_mistake_has_one_message() {
    for (text, expected) in [
        (
            "[http]\nlisten = [\"0.0.0.0:9100\"\nmax_requests = 3\n",
            ":2:10: the list that begins here is not closed, expected ]",
        ),
        (
            "[collectors]\nenable = [\"cpu\", \"dsk\"]\n",
            ":2:18: collectors.enable[1]: there is no collector \"dsk\"; did you mean diskstats?",
        ),
        ("[http]\nlisten = [\"0.0.0.0:99999\"]\n", ":2:11: http.listen[0]: expected an address"),
        ("[http]\nmax_requests = 0\nmax_requests = 4\n", ":3:1: duplicate key; the first is in line 2"),
        ("[http]\n[agent]\n[http]\n", ":3:2: the table [http] is there twice; add to the one in line 1"),
        (
            "[http]\nlisten = \"9101\"\n",
            ":2:10: http.listen: expected a list of addresses such as [\":9100\"], found the string \"9101\" (write [\":9101\"])",
        ),
        (
            "[http]\nlisten = 9101\n",
            ":2:10: http.listen: expected a list of addresses such as [\":9100\"], found the integer 9101 (write [\":9101\"])",
        ),
        ("[http]\nlisten = [9101]\n", ":2:11: http.listen[0]: expected an address"),
        ("[http]\nmax_requests = 5000000000\n", ":2:16: http.max_requests: expected"),
        (
            "[sinks.influxdb]\ndatabase = 'a'\n",
            ":1:1: sinks.influxdb: expected a list of tables, [[sinks.influxdb]], found a table",
        ),
        ("[[http]]\n", ":1:1: http: expected a table, [http], found a list"),
        (
            "[[inputs.cpu]]\n[[outputs.file]]\n",
            ": this is Telegraf's configuration; translate it with: taffrail migrate telegraf ",
        ),
        (
            "[http]\n[[inputs.cpu]]\n",
            ":2:3: inputs: Telegraf's inputs are [collectors] here; taffrail migrate telegraf",
        ),
        ("global:\n  scrape_interval: 5s\nscrape_configs: []\n", ": this is Prometheus's configuration"),
        ("http:\n  listen: []\n", ": this is YAML; Taffrail's configuration is TOML"),
        (
            "#[[sinks.influxdb]]\nurls = ['http://h']\n",
            ":2:1: urls: unknown key; [[sinks.influxdb]] in line 1 is a comment",
        ),
    ] {
        let (_folder, path) = config(text);
        let (_, errors) = printed(&taffrail(&["check", "--config", &path]));
        assert!(errors.starts_with(&format!("error: {path}{expected}")), "{errors}");
        assert_eq!(errors.matches("error: ").count(), 1, "{errors}");
    }
}

#[test]
fn a_second_table_hides_no_other_mistake() {
    let (_folder, path) = config(
        "[collectors]\n[agent]\ninterval = '10s'\n[htpp]\n[collectors]\nenable = ['cpuu']\n[collectors.cpu]\ninfoo = true\n\
         [agent]\nintervall = 1\n[[sinks.influxdb]]\nbucket = 'd'\ntoken = 'hunter2'\ntoken = ['hunter2']\n",
    );
    let output = taffrail(&["check", "--config", &path]);
    let (_, errors) = printed(&output);
    assert_eq!(output.status.code(), Some(1));
    let found: Vec<&str> = errors.lines().filter_map(|line| line.strip_prefix(&*format!("error: {path}"))).collect();
    let expected = [
        ":4:2: htpp: unknown key; did you mean http?",
        ":5:2: the table [collectors] is there twice; add to the one in line 1",
        ":6:11: collectors.enable[0]: there is no collector \"cpuu\"; did you mean cpu?",
        ":8:1: collectors.cpu.infoo: unknown key; did you mean info?",
        ":9:2: the table [agent] is there twice; add to the one in line 2",
        ":10:1: agent.intervall: unknown key; did you mean interval?",
        ":14:1: duplicate key; the first is in line 13",
    ];
    assert_eq!(found, expected, "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn a_secret_is_not_shown_with_a_mistake_of_syntax_either() {
    let sink = "[[sinks.influxdb]]\nbucket = 'b'\n";
    for text in [
        "token = 'hunter2\n",
        "token = hunter2\n",
        "token = ['hunter2'\n",
        "token = 'a'\ntoken = 'hunter2'\n",
        "urls = ['http://u:hunter2@h'\norg = 'x'\n",
    ] {
        let (_folder, path) = config(&format!("{sink}{text}"));
        let output = taffrail(&["check", "--config", &path]);
        let (_, errors) = printed(&output);
        assert!(output.status.code() == Some(1) && !errors.contains("hunter2"), "{errors}");
    }
}

#[test]
fn check_finds_an_address_that_is_listened_on_twice() {
    for (text, expected) in [
        (
            "[gateway]\nlisten = [\":9100\"]\n",
            ":2:11: gateway.listen[0]: [::]:9100 is configured twice: http.listen[0] is [::]:9100",
        ),
        (
            "[http]\nlisten = [\"0.0.0.0:1\", \"[::]:1\"]\n",
            ":2:24: http.listen[1]: [::]:1 is configured twice: http.listen[0] is 0.0.0.0:1",
        ),
        (
            "[http]\nlisten = [\"localhost:1\"]\n[gateway]\nlisten = [\":2\", \"127.0.0.1:1\"]\n",
            ":4:17: gateway.listen[1]: 127.0.0.1:1 is configured twice: http.listen[0] is localhost:1",
        ),
    ] {
        let (_folder, path) = config(text);
        let output = taffrail(&["check", "--config", &path]);
        let (_, errors) = printed(&output);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.starts_with(&format!("error: {path}{expected}\n")), "{errors}");
        assert_eq!(errors.matches("error: ").count(), 1, "{errors}");
    }
    let (_folder, path) = config("[http]\nlisten = [\"127.0.0.1:1\", \"[::1]:1\"]\n[gateway]\nlisten = [\":2\"]\n");
    let (said, errors) = printed(&taffrail(&["check", "--config", &path]));
    assert!(said.contains("listens on  127.0.0.1:1, [::1]:1\n  gateway on  [::]:2\n"), "{said}{errors}");
}

#[test]
fn commands_report_the_files_that_they_read() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, full) = (folder.path().join("empty"), folder.path().join("full"));
    std::fs::create_dir(&empty).unwrap();
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("a.toml"), recorded_host()).unwrap();
    let (empty, full) = (empty.to_str().unwrap(), full.to_str().unwrap());
    for command in [&["print", "--collector", "loadavg", "--config"][..], &["collectors", "--config"]] {
        let (_, errors) = printed(&taffrail(&[command, &[full]].concat()));
        assert_eq!(errors, format!("reading {full}/a.toml\n"));
        let (_, errors) = printed(&taffrail(&[command, &[empty]].concat()));
        assert!(errors.starts_with(&format!("{empty}: no *.toml files\n")), "{errors}");
        let (_, errors) = printed(&taffrail(&[command, &[&format!("{full}/a.toml")]].concat()));
        assert_eq!(errors, "");
    }
    let (said, _) = printed(&taffrail(&["check", "--config", full, "--config", empty]));
    assert!(said.contains(&format!("  reads       {full}/a.toml, {empty} (no *.toml files)\n")), "{said}");
}

#[test]
fn config_prints_the_settings_of_a_table() {
    let (all, _) = printed(&taffrail(&["config"]));
    assert!(all.contains("\n[collectors.cpu]\n") && all.contains("\n#listen = [\":9100\"]\n"));
    let (part, _) = printed(&taffrail(&["config", "--section", "gateway", "--section", "collectors.cpu"]));
    assert!(part.contains("# example: state = ") && part.contains("[collectors.cpu]"), "{part}");
    assert!(!part.contains("[http]"), "{part}");
    let output = taffrail(&["config", "--section", "gatway"]);
    let (_, errors) = printed(&output);
    assert_eq!(
        (output.status.code(), &*errors),
        (Some(2), "error: there is no table \"gatway\"; did you mean gateway?\n")
    );
}

/// In a mount namespace, where /etc is empty otherwise.
#[cfg(target_os = "linux")]
fn taffrail_with_etc(files: &[(&str, &str)], arguments: &str) -> std::process::Output {
    let mut script = "mount -t tmpfs none /etc && mkdir -p /etc/taffrail/conf.d".to_owned();
    for (file, text) in files {
        script.push_str(&format!("\ncat >/etc/taffrail/{file} <<'EOF'\n{text}\nEOF"));
    }
    script.push_str(&format!("\nexec {} {arguments}", env!("CARGO_BIN_EXE_taffrail")));
    Command::new("unshare").args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).output().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn without_config_the_files_in_etc_are_read() {
    let files = [
        ("taffrail.toml", "[http]\nlisten = [\"127.0.0.1:1\"]"),
        ("conf.d/10.toml", "[gateway]\nlisten = [\"127.0.0.1:2\"]"),
    ];
    let (said, errors) = printed(&taffrail_with_etc(&files, "check"));
    assert!(
        said.contains("  reads       /etc/taffrail/taffrail.toml, /etc/taffrail/conf.d/10.toml\n"),
        "{said}{errors}"
    );
    assert!(said.contains("  listens on  127.0.0.1:1\n  gateway on  127.0.0.1:2\n"), "{said}");
    let (text, errors) = printed(&taffrail_with_etc(&files, "print --collector loadavg"));
    assert!(text.contains("node_load1 "), "{text}{errors}");
    assert_eq!(errors, "reading /etc/taffrail/taffrail.toml\nreading /etc/taffrail/conf.d/10.toml\n");
    let (said, _) = printed(&taffrail_with_etc(&[], "check"));
    assert!(said.contains("/etc/taffrail (no *.toml files), /etc/taffrail/conf.d (no *.toml files)"), "{said}");
    let (said, _) = printed(&taffrail_with_etc(&files, "check --config /etc/taffrail/conf.d"));
    assert!(said.contains("  reads       /etc/taffrail/conf.d/10.toml\n") && said.contains(":9100"), "{said}");
    let output = taffrail_with_etc(&[("taffrail.toml", "[http]\nlisten = [\"127.0.0.1:x\"]")], "run");
    let (_, errors) = printed(&output);
    assert!(errors.contains("/etc/taffrail/taffrail.toml:2:11: http.listen[0]: expected"), "{errors}");
}

#[test]
fn an_address_needs_no_scheme() {
    let (_folder, path) = config(
        "[[sinks.influxdb]]\nurls = [\"localhost:8086\"]\ndatabase = \"d\"\nhttp_proxy = \"localhost:3128\"\n\
         [[sinks.remote_write]]\nurl = \"localhost:9090/api/v1/write\"\n\
         [[sinks.elasticsearch]]\nurls = [\"[::1]:9200\"]\n\
         [collectors.supervisord]\nurl = \"localhost:9001/RPC2\"\n\
         [collectors.container]\nkubelet_url = \"fd00::1:10250\"\nkubernetes_url = \"10.0.0.1:6443\"\n\
         docker_sockets = [\"unix:///run/docker.sock\"]\n",
    );
    let output = taffrail(&["check", "--config", &path]);
    let (said, errors) = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert!(said.contains("pushes to   influxdb:localhost:8086/d"), "{said}");
    let output = taffrail(&["health", "localhost:1"]);
    let (_, errors) = printed(&output);
    assert!(errors.starts_with("error: http://localhost:1/-/healthy: "), "{errors}");
    // The cause is in several errors of the chain.
    assert_eq!(errors.matches("refused").count(), 1, "{errors}");
}

#[cfg(unix)]
#[test]
fn a_program_is_not_pushed() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("b.sh");
    std::fs::write(&program, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = taffrail(&["push", "--job", "x", program.to_str().unwrap()]);
    let (_, errors) = printed(&output);
    assert_eq!(output.status.code(), Some(1));
    let program = program.display();
    let expected = format!("error: {program} is executable; run it with: taffrail push --job x -- {program}\n");
    assert!(errors.starts_with(&expected), "{errors}");

    // A script that is not executable would be read as a comment and samples.
    for (first, interpreter) in [
        ("#!/bin/sh", "/bin/sh"),
        ("#! /bin/bash -e", "/bin/bash -e"),
        ("#!/usr/bin/env python3", "/usr/bin/env python3"),
        ("#!", "sh"),
    ] {
        let script = folder.path().join("c.sh");
        std::fs::write(&script, format!("{first}\nexit 0\n")).unwrap();
        let output = taffrail(&["push", "--job", "x", script.to_str().unwrap()]);
        let (_, errors) = printed(&output);
        assert_eq!(output.status.code(), Some(1));
        let script = script.display();
        let expected =
            format!("error: {script} is a script; run it with: taffrail push --job x -- {interpreter} {script}\n");
        assert!(errors.starts_with(&expected), "{errors}");
    }
}

#[test]
fn check_leads_from_names_of_telegraf_to_the_collectors() {
    let text = "[collectors]\nenable = [\"mem\", \"disk\", \"net\", \"system\", \"kernel\", \"docker\", \"diskio\"]\n\
                [collectors.mem]\ncollect_extended = true\n[tags]\ntime = \"x\"\n";
    let (_folder, path) = config(text);
    let output = taffrail(&["check", "--config", &path]);
    let (_, errors) = printed(&output);
    assert_eq!(output.status.code(), Some(1));
    for expected in [
        "\"mem\"; Telegraf's mem is meminfo here",
        "\"disk\"; Telegraf's disk is filesystem here",
        "\"net\"; Telegraf's net is netdev",
        "\"system\"; Telegraf's system is loadavg here",
        "\"kernel\"; Telegraf's kernel is ksmd and stat here",
        "\"docker\"; Telegraf's docker is container here",
        "\"diskio\"; Telegraf's diskio is diskstats here",
        ":3:1: collectors.mem: there is no collector \"mem\"; Telegraf's mem is meminfo here",
        ":6:8: tags.time: expected another name: InfluxDB rejects every point with a tag of this one",
    ] {
        assert!(errors.contains(expected), "{expected}\nin\n{errors}");
    }
    assert_eq!(errors.lines().filter(|line| line.starts_with("error: ")).count(), 9, "{errors}");

    let (_folder, path) = config("[collectors]\nenable = [\"netstat\"]\n");
    let output = taffrail(&["check", "--config", &path]);
    let (_, noted) = printed(&output);
    assert_eq!(output.status.code(), Some(0));
    assert!(noted.contains("netstat is on already; Telegraf's netstat is tcpstat here"), "{noted}");
    let (_folder, path) = config("[collectors]\ndefault = false\nenable = [\"netstat\"]\n");
    let (_, noted) = printed(&taffrail(&["check", "--config", &path]));
    assert!(noted.contains("[collectors] enable: Telegraf's netstat is tcpstat here"), "{noted}");
}

#[test]
fn check_does_not_list_all_collectors_where_none_is_near() {
    let text = "[collectors]\nenable = [\"c1\"]\n[collectors.c1]\n[collectors.netdef]\n\
                [[sinks.influxdb]]\ndatabase = \"d\"\n[sinks.influxdb.rename_tags]\nhost = \"time\"\n";
    let (_folder, path) = config(text);
    let (_, errors) = printed(&taffrail(&["check", "--config", &path]));
    let found: Vec<&str> = errors.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    let expected = [
        ":2:11: collectors.enable[0]: there is no collector \"c1\"; taffrail collectors lists all",
        ":3:13: collectors.c1: unknown key",
        ":4:13: collectors.netdef: unknown key; did you mean netdev?",
        ":8:8: sinks.influxdb[0].rename_tags.host: expected another name: InfluxDB rejects every point with a tag of this one",
    ];
    assert_eq!(found, expected.map(|problem| format!("{path}{problem}")), "{errors}");
}

#[test]
fn check_says_what_a_sound_configuration_does() {
    let (folder, path) = config("[[sinks.influxdb]]\nname = \"central\"\ndatabase = \"telegraf\"\n");
    std::fs::create_dir(folder.path().join("conf.d")).unwrap();
    let directory = folder.path().join("conf.d");
    std::fs::write(directory.join("10.toml"), "[http]\nlisten = [\"127.0.0.1:1\"]\n").unwrap();
    std::fs::write(directory.join("20.toml"), "[http]\nlisten = [\"127.0.0.1:2\"]\n").unwrap();
    let output = taffrail(&["check", "--config", &path, "--config", directory.to_str().unwrap()]);
    let (said, _) = printed(&output);
    assert_eq!(output.status.code(), Some(0));
    assert!(said.contains("127.0.0.1:2") && !said.contains("127.0.0.1:1") && said.contains("central"), "{said}");
}

#[test]
fn the_environment_is_put_in_and_secrets_are_not_shown() {
    let text =
        "[http]\nlisten = [\"${LISTEN:-127.0.0.1:1234}\"]\n[[sinks.influxdb]]\nbucket = 'b'\ntoken = \"${TOKEN}\"\n";
    let (_folder, path) = config(text);
    let check = |environment: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_taffrail"));
        command.args(["check", "--config", &path]).envs(environment.iter().copied());
        let output = command.output().unwrap();
        let (said, errors) = printed(&output);
        (output.status.code(), said + &errors)
    };
    let (status, said) = check(&[("TOKEN", "hunter2")]);
    assert_eq!(status, Some(0));
    assert!(said.contains("127.0.0.1:1234") && !said.contains("hunter2"), "{said}");
    let (status, said) = check(&[]);
    assert_eq!(status, Some(1));
    assert!(said.contains(":5:9: sinks.influxdb.token: the environment variable TOKEN is not set"), "{said}");
}

#[test]
fn a_secret_is_not_shown_with_a_mistake_either() {
    let sink = "[[sinks.influxdb]]\nbucket = 'b'\n";
    let (_folder, path) =
        config(&format!("{sink}token = ['hunter2']\n{sink}tokenn = 'hunter2'\n{sink}password = 'hunter2'"));
    let (_, errors) = printed(&taffrail(&["check", "--config", &path]));
    assert!(errors.contains("[0].token: expected a string") && errors.contains("[1].tokenn: unknown key"), "{errors}");
    assert!(errors.contains("[2].password: expected a username with it"), "{errors}");
    assert!(!errors.contains("hunter2"), "{errors}");
}

#[test]
fn collectors_are_listed_with_what_they_read_and_need() {
    let (_folder, path) = config("[collectors]\ndisable = [\"vmstat\"]\n");
    let (listed, _) = printed(&taffrail(&["collectors", "--config", &path]));
    let line = |name: &str| {
        listed.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap_or_else(|| panic!("{listed}"))
    };
    taffrail::collectors::list::names().for_each(|name| assert!(!line(name).is_empty()));
    let columns = |name: &str| line(name).split_whitespace().take(4).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(columns("COLLECTOR"), ["COLLECTOR", "SCRAPE", "PUSH", "READS"]);
    assert_eq!(columns("cpu"), ["cpu", "on", "on", "/proc/stat"]);
    assert_eq!(columns("processes")[1..3], ["off", "on"]);
    assert_eq!(columns("vmstat")[1..3], ["off", "off"]);
    assert!(listed.contains("needs pressure stall information"));
}
