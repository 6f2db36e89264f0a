//! The command line.

mod harness;

use std::process::Command;

use harness::{config_file as config, printed, recorded_host, taffrail};

#[test]
fn help_names_every_command_and_version_the_version() {
    let (help, _) = printed(&taffrail(&["--help"]));
    for word in ["run", "gateway", "push", "print", "check", "collectors", "--config", "--listen"] {
        assert!(help.contains(word), "{word} in {help}");
    }
    let (version, _) = printed(&taffrail(&["--version"]));
    assert_eq!(version.trim(), format!("taffrail {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_has_status_2_and_failure_status_1() {
    assert_eq!(taffrail(&["--nonsense"]).status.code(), Some(2));
    assert_eq!(taffrail(&["print", "--format", "xml"]).status.code(), Some(2));
    assert_eq!(taffrail(&["run", "--listen", "nowhere"]).status.code(), Some(2));
    assert_eq!(taffrail(&["check", "--config", "/does/not/exist.toml"]).status.code(), Some(1));
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

    let output = taffrail(&["print", "--collector", "loadavgg"]);
    let (_, error) = printed(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("did you mean loadavg?") && error.contains("vmstat"), "{error}");
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
        ":6:10: collectors.enable: there is no collector \"cpus\"; did you mean cpu?",
        ":8:10: collectors.vmstat.fields: expected a regular expression",
        ":9:1: sinks.influxdb[0].database: expected either database",
        ":10:8: sinks.influxdb[0].urls: expected an http or https URL, or unix:///PATH, found \"localhost\"",
    ] {
        assert!(errors.contains(&format!("{path}{expected}")), "{expected}\nin\n{errors}");
    }
    assert_eq!(errors.lines().filter(|line| line.starts_with("error: ")).count(), 6, "{errors}");
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
    assert!(line("cpu").contains("on    on") && line("cpu").contains("/proc/stat"));
    assert!(line("processes").contains("off   on"));
    assert!(line("vmstat").contains("off   off"));
    assert!(listed.contains("needs a kernel with pressure stall information"));
}
