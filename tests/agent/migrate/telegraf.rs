//! Telegraf's configuration.

use std::collections::BTreeSet;
use std::path::Path;

use taffrail::migrate::check::{Checked, check};
use taffrail::migrate::translation::{Outcome, Translation};
use taffrail::migrate::{report, telegraf};

use super::{assert_is_sound, corpus};
use crate::harness::recorded::archive::Tree;
use crate::harness::taffrail;

/// The files of a case of Telegraf.
fn telegraf_files(tree: &Tree, case: &str) -> Vec<(String, String)> {
    let text = tree.to_string();
    let files = text.lines().filter_map(|line| line.strip_prefix("file "));
    let files = files.filter(|file| file.starts_with(&format!("{case}/")) && file.ends_with(".conf"));
    files.map(|file| (file[case.len() + 1..].to_owned(), tree.text(file).unwrap().to_owned())).collect()
}

#[test]
fn configurations_of_telegraf_become_settings() {
    corpus("telegraf", 20, |case, tree| {
        let files = telegraf_files(tree, case);
        let translation = telegraf::translate::translate(&files).unwrap();
        assert_no_line_of_files_vanishes(&files, &translation);
        translation
    });
}

/// Every line is in the report, or is blank or a comment.
pub(super) fn assert_no_line_of_files_vanishes(files: &[(String, String)], translation: &Translation) {
    let entries = translation.entries.iter();
    let lines = entries.filter_map(|entry| Some((&entry.source.file, entry.source.lines?)));
    let reported: BTreeSet<(&String, usize)> =
        lines.flat_map(|(file, (first, last))| (first..=last).map(move |line| (file, line))).collect();
    let all: usize = files.iter().map(|(_, text)| text.lines().count()).sum();
    assert_eq!(reported.len() + translation.comments, all, "{reported:?}\n{files:?}");
}

#[test]
fn a_file_of_telegraf_that_is_no_toml_is_refused_with_the_line() {
    let refused = |text: &str| {
        let files = [("telegraf.conf".to_owned(), text.to_owned())];
        telegraf::translate::translate(&files).unwrap_err().to_string()
    };
    assert_eq!(
        refused("[agent]\n{% for url in urls %}\n  interval = \"10s\"\n"),
        "telegraf.conf:2: a template: render the file first, and translate the result"
    );
    assert!(refused("[agent]\n  interval = 10s\n").starts_with("telegraf.conf:2: "));
    assert!(refused("[[outputs.influxdb]]\n  urls = {{ urls | to_json }}\n").contains(":2: a template"));
    // Also where the file is TOML before it is rendered.
    for (text, line) in [
        ("[agent]\n  hostname = \"{{ inventory_hostname }}\"\n", 2),
        ("[[inputs.ping]]\n  urls = [\n    \"a\",\n    \"{{ x }}\",\n  ]\n", 4),
        ("[[inputs.mysql]]\n  servers = [\"a\"] # {{ x }}\n  tls_ca = '{{ x }}'\n", 3),
        ("[global_tags]\n  \"{{ x }}\" = \"a\"\n", 2),
        ("[[inputs.cpu]]\n  [inputs.cpu.tags]\n    a = \"{{ .Values.a }}\"\n", 3),
        ("[[outputs.influxdb]]\n  http_headers = {a = \"{{ .Values.a }}\"}\n", 2),
        ("[[outputs.file]]\n  files = ['/tmp/{{.Time}}']\n", 2),
        ("[[inputs.exec]]\n  commands = [\"\"\"\n{% if x %}a\"\"\"]\n", 3),
        ("[[inputs.mem]]\n[[{{ x }}]]\n", 2),
    ] {
        assert!(refused(text).starts_with(&format!("telegraf.conf:{line}: a template: ")), "{text}: {}", refused(text));
    }
}

#[test]
fn a_variable_of_telegraf_outside_quotes_is_refused_with_what_to_write() {
    for (text, variable) in [
        ("[agent]\n  metric_batch_size = ${BATCH}\n", "${BATCH}"),
        ("[agent]\n  metric_batch_size = $BATCH # a\n", "$BATCH"),
        ("[[outputs.influxdb]]\n  urls=[\"$A\", ${URLS:-x}]\n", "${URLS:-x}"),
    ] {
        let files = [("telegraf.conf".to_owned(), text.to_owned())];
        let refused = telegraf::translate::translate(&files).unwrap_err().to_string();
        let message =
            format!("telegraf.conf:2: the variable {variable} is outside quotation marks: write its value here");
        assert!(refused.starts_with(&message), "{refused}");
    }
    let files = [("telegraf.conf".to_owned(), "[agent]\n  interval = 10s # $A\n".to_owned())];
    let refused = telegraf::translate::translate(&files).unwrap_err().to_string();
    assert!(!refused.contains("outside quotation marks"), "{refused}");
}

/// What `taffrail check` would say of the output is in the report.
#[test]
fn a_variable_that_no_value_makes_valid_is_missing() {
    let translated = |text: &str| {
        let files = [("telegraf.conf".to_owned(), text.to_owned())];
        let checked = check(telegraf::translate::translate(&files).unwrap());
        assert_is_sound(&checked);
        checked
    };
    for line in [
        "[[inputs.cpu]]\n  collect_cpu_time = \"${TAFFRAIL_UNSET:-true}\"",
        "[[inputs.cpu]]\n  collect_cpu_time = \"$TAFFRAIL_UNSET\"",
        "[[inputs.net]]\n  interfaces = \"${TAFFRAIL_UNSET:-eth0}\"",
        "[agent]\n  metric_batch_size = \"${TAFFRAIL_UNSET:-1000}\"",
        "[agent]\n  interval = \"${TAFFRAIL_UNSET:-often}\"",
        "[[outputs.file]]\n  data_format = \"${TAFFRAIL_UNSET:-xml}\"",
    ] {
        let Checked { translation, toml } = translated(line);
        let missing: Vec<&str> = translation.missing().map(|entry| entry.outcome.remark()).collect();
        assert!(missing[0].contains("; write the value in place of ${TAFFRAIL_UNSET"), "{missing:?} {toml}");
        assert!(!missing[0].contains("[secret]"), "{missing:?}");
        assert!(!toml.contains("TAFFRAIL_UNSET") && translation.variables.is_empty(), "{toml}");
    }
    let Checked { translation, toml } = translated(
        "[global_tags]\n  a = \"$TAFFRAIL_UNSET\"\n[agent]\n  interval = \"${TAFFRAIL_UNSET}\"\n  hostname = \"${TAFFRAIL_OTHER:-h}\"\n\
         [[outputs.influxdb]]\n  urls = [\"$TAFFRAIL_URL\"]\n  username = \"pa$$word\"\n  password = \"pa$TAFFRAIL_PW\"\n[[inputs.mem]]\n",
    );
    assert_eq!(translation.missing().count(), 0, "{translation:?}");
    assert!(toml.contains("interval = \"${TAFFRAIL_UNSET}\""), "{toml}");
    let report = report::text(&translation);
    let variables = report.split_once("These variables are not set here. Set them for taffrail.service").unwrap().1;
    assert_eq!(
        variables.split_once('\n').unwrap().1,
        "  TAFFRAIL_PW: telegraf.conf:9\n  TAFFRAIL_UNSET: telegraf.conf:2, telegraf.conf:4\n  TAFFRAIL_URL: telegraf.conf:7\n"
    );
}

/// The same reason is there once for all lines in a row.
#[test]
fn a_reason_is_not_repeated_line_by_line() {
    let text = "[[inputs.modbus]]\n  urls = [\"a\"]\n  count = 1\n[[inputs.mem]]\n[[inputs.snmp]]\n[[inputs.zfs]]\n";
    let files = [("t.conf".to_owned(), text.to_owned())];
    let report = report::text(&telegraf::translate::translate(&files).unwrap());
    let expected = "missing     t.conf:1  [[inputs.modbus]]\n              Taffrail has no such input; keep Telegraf for it (also for \
                    the next 2 lines)\nmissing     t.conf:2  urls = …\nmissing     t.conf:3  count = 1\nsame        t.conf:4  [[inputs.mem]]\n\
                    missing     t.conf:5  [[inputs.snmp]]\n              Taffrail has no such input; keep Telegraf for it\n";
    assert!(report.starts_with(expected), "{report}");
}

/// Whatever their names are.
#[test]
fn headers_of_telegraf_are_secrets() {
    for headers in [
        "  http_headers = {\"X-Scope\" = \"geheim\"}\n",
        "  [outputs.influxdb.http_headers]\n    X-Scope = \"geheim\"\n",
    ] {
        let text = format!("[[inputs.mem]]\n[[outputs.influxdb]]\n  urls = [\"http://a\"]\n{headers}");
        let checked = check(telegraf::translate::translate(&[("telegraf.conf".to_owned(), text)]).unwrap());
        assert_is_sound(&checked);
        assert!(checked.toml.contains("X-Scope = \"geheim\""), "{}", checked.toml);
        assert!(!report::text(&checked.translation).contains("geheim"));
    }
}

#[test]
fn an_old_filter_of_telegraf_is_no_secret() {
    let text = "[[inputs.mem]]\n  pass = [\"used\"]\n[[outputs.file]]\n  files = [\"stdout\"]\n  drop = [\"total\"]\n";
    let files = [("telegraf.conf".to_owned(), text.to_owned())];
    let checked = check(telegraf::translate::translate(&files).unwrap());
    assert!(!checked.translation.is_incomplete(), "{checked:?}");
    assert!(checked.translation.entries.iter().any(|entry| entry.text == "pass = [\"used\"]"), "{checked:?}");
    assert!(checked.toml.contains("fieldexclude = [\"total\"]"), "{}", checked.toml);
}

/// What Telegraf still needs has all that is missing, and nothing that Taffrail measures.
#[test]
fn the_lines_that_telegraf_still_needs_are_a_configuration_of_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (whole, kept) = (path("telegraf.conf"), path("kept.conf"));
    let text = "[agent]\n  interval = \"20s\"\n[[inputs.cpu]]\n  percpu = false\n# comment\n[[inputs.tail]]\n  files = [\n    \
                \"/var/log/a\",\n  ]\n[inputs.tail.tags]\n  a = \"b\"\n[[outputs.influxdb]]\n  database = \"d\"\n";
    std::fs::write(&whole, text).unwrap();
    let output = taffrail(&["migrate", "telegraf", &whole, "--keep", &kept]);
    assert_eq!(output.status.code(), Some(3));
    let report = String::from_utf8(output.stderr).unwrap();
    assert!(report.ends_with(&format!("Telegraf still needs these lines:\n  {whole}: 1-2, 6-13\n")), "{report}");
    let without = text.replace("[[inputs.cpu]]\n  percpu = false\n# comment\n", "");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), without);
    assert_eq!(taffrail(&["migrate", "telegraf", &whole, "--keep", &whole]).status.code(), Some(1), "it would be lost");
    assert_eq!(std::fs::read_to_string(&whole).unwrap(), text);
    std::fs::write(&whole, "[[inputs.cpu]]\n[[outputs.influxdb]]\n").unwrap();
    std::fs::remove_file(&kept).unwrap();
    assert_eq!(taffrail(&["migrate", "telegraf", &whole, "--keep", &kept]).status.code(), Some(0));
    assert!(!Path::new(&kept).exists(), "all inputs are there");
}

/// A collector that makes the points of several inputs has one filter.
#[test]
fn options_of_one_input_do_not_reach_another_of_the_same_collector() {
    let translated = |text: &str| {
        let files = [("t.conf".to_owned(), format!("[[outputs.influxdb]]\n{text}"))];
        let Checked { translation, toml } = check(telegraf::translate::translate(&files).unwrap());
        (report::text(&translation), toml)
    };
    let mem = "[[inputs.mem]]\n  fieldpass = [\"used\"]\n  name_override = \"memory\"\n";
    let (report, toml) = translated(&format!("{mem}[[inputs.swap]]\n  [inputs.swap.tags]\n    a = \"b\"\n"));
    assert!(!toml.contains("collectors.meminfo.points"), "{toml}");
    // The first reason is of two lines.
    assert_eq!(report.matches("the collector meminfo has the points of").count(), 2, "{report}");
    assert!(report.contains("(also for the next line)") && report.contains(" 3 missing"), "{report}");
    // Alone, the name is for its own measurement.
    let (report, toml) = translated(mem);
    assert!(toml.contains("namepass = [\"mem\"]") && report.contains("0 missing"), "{toml}{report}");
    // What both have is one setting.
    let (report, toml) = translated("[[inputs.mem]]\n  interval = \"30s\"\n[[inputs.swap]]\n  interval = \"30s\"\n");
    assert!(toml.contains("interval = \"30s\"") && report.contains("0 missing"), "{toml}{report}");
    // Points that several collectors make have the filter in each.
    let (_, toml) = translated("[[inputs.interrupts]]\n  tagexclude = [\"type\"]\n");
    for collector in ["interrupts", "softirqs"] {
        assert!(toml.contains(&format!("[collectors.{collector}.points]\ntagexclude")), "{toml}");
    }
    // Two names of one option.
    let (report, _) = translated("[[inputs.cpu]]\n  fieldpass = [\"a\"]\n  fieldinclude = [\"b\"]\n");
    assert!(report.contains("t.conf:4 sets the same to another value") && report.contains("1 missing"), "{report}");
}

#[test]
fn texts_of_what_is_not_translated_are_not_in_the_report() {
    let text = "[[outputs.influxdb]]\n  http_headers = { \"Authorization\" = \"geheim\" }\n\
                [[inputs.exec]]\n  commands = [\"x --password geheim\"]\n  timeout = \"5s\"\n  n = 3\n\
                [[inputs.mem]]\n  webhook = \"https://geheim\"\n";
    let files = [("t.conf".to_owned(), text.to_owned())];
    let report = report::text(&check(telegraf::translate::translate(&files).unwrap()).translation);
    assert!(!report.contains("geheim"), "{report}");
    for shown in ["http_headers = { … }", "commands = …", "timeout = \"5s\"", "n = 3"] {
        assert!(report.contains(shown), "{shown} in {report}");
    }
}

#[test]
fn programs_and_files_become_jobs() {
    let translated = |text: &str| {
        let files = [("t.conf".to_owned(), text.to_owned())];
        let Checked { translation, toml } = check(telegraf::translate::translate(&files).unwrap());
        (report::text(&translation), toml)
    };
    let (report, toml) = translated(
        "[agent]\n  interval = \"30s\"\n[[outputs.influxdb]]\n  urls = [\"http://a:8086\"]\n  database = \"d\"\n\
         [[inputs.exec]]\n  commands = [\"/a --password geheim\", [\"/b\", \"c d\"]]\n  timeout = \"3s\"\n  name_suffix = \"_x\"\n\
         \x20 [inputs.exec.tags]\n    room = \"1\"\n\
         [[inputs.exec]]\n  commands = [\"/n\"]\n  data_format = \"nagios\"\n  interval = \"1m\"\n\
         [[inputs.file]]\n  files = [\"/sys/a\"]\n  data_format = \"value\"\n  data_type = \"auto_integer\"\n\
         [[inputs.exec]]\n  commands = [\"/c\"]\n  data_format = \"csv\"\n",
    );
    for part in [
        "commands = [\"/a --password geheim\", [\"/b\", \"c d\"]]",
        "timeout = \"3s\"",
        "room = \"1\"",
        "interval = \"30s\"",
        "interval = \"1m\"",
        "data_type = \"integer\"",
        "\"exec_x\",",
        "\"nagios_state\",",
        "\"file\",",
    ] {
        assert!(toml.contains(part), "{part} in {toml}");
    }
    assert_eq!(toml.matches("[[collectors.exec]]").count(), 2, "{toml}");
    assert!(!report.contains("geheim"), "{report}");
    for part in
        ["data_format is one of influx, json, value, nagios, prometheus here: keep Telegraf for it", "exec.conf"]
    {
        assert!(report.contains(part), "{part} in {report}");
    }
    assert!(report.contains("a field has one type: integer"), "{report}");
    // Lines may have any measurement: what no input has is not pushed even so.
    let (report, toml) = translated(
        "[[outputs.influxdb]]\n  urls = [\"http://a:8086\"]\n[[inputs.mem]]\n[[inputs.execd]]\n  command = [\"/a\"]\n",
    );
    assert_any_measurement(&toml);
    assert!(report.contains("collectors without an input push nothing"), "{report}");
    for silenced in ["cpu", "filesystem", "uname", "container"] {
        assert!(toml.contains(&format!("[collectors.{silenced}.points]")), "{silenced} in {toml}");
    }
    assert!(toml.contains("[collectors.meminfo.points]\nnamepass = [\"mem\"]"), "{toml}");
    let (_, toml) = translated(
        "[[outputs.influxdb]]\n  urls = [\"http://a:8086\"]\n  namedrop = [\"x\"]\n[[inputs.kernel]]\n[[inputs.internal]]\n\
         [[outputs.influxdb]]\n  urls = [\"http://b:8086\"]\n  namepass = [\"y\"]\n[[inputs.execd]]\n  command = [\"/a\"]\n",
    );
    assert!(toml.contains("namedrop = [\"x\"]") && !toml.contains("internal_*"), "{toml}");
}

/// A pattern of an output passes the measurements of the inputs alone.
#[test]
fn a_pattern_of_an_output_does_not_pass_what_no_input_has() {
    let of = |names: &str| {
        of_text(&format!("[[inputs.disk]]\n[[outputs.influxdb]]\n  urls = [\"http://a:8086\"]\n  namepass = {names}\n"))
            .toml
    };
    let toml = of("[\"disk*\"]");
    assert!(toml.contains("namepass = [\"disk*\"]"), "{toml}");
    assert!(toml.contains("[collectors.diskstats.points]\nnamedrop = [\"*\"]"), "{toml}");
    assert!(toml.matches("namedrop").count() == 1 && !toml.contains("[collectors.cpu"), "{toml}");
    assert!(!of("[\"disk\"]").contains("namedrop") && of("[\"*\"]").contains("[collectors.cpu.points]"));
}

/// The sinks of a configuration have no list of measurements; collectors without an input push nothing.
pub(super) fn assert_any_measurement(toml: &str) {
    let sinks = toml.split_once("[[sinks").unwrap().1.split("\n\n").next().unwrap();
    assert!(!sinks.contains("namepass") && sinks.contains("\"internal_*\""), "{toml}");
    assert!(toml.contains("[collectors.uname.points]") && toml.contains("namedrop = [\"*\"]"), "{toml}");
}

#[test]
fn statsd_becomes_a_collector_with_the_same_address() {
    let checked = of_text(
        "[agent]\n  interval = \"20s\"\n[[outputs.influxdb]]\n  urls = [\"http://a:8086\"]\n[[inputs.mem]]\n\
         [[inputs.statsd]]\n  protocol = \"tcp\"\n  service_address = \"127.0.0.1:9125\"\n  percentiles = [50.0, 99.9]\n\
         \x20 templates = [\"cpu.* measurement.measurement.host\"]\n  delete_gauges = false\n  datadog_extensions = true\n\
         \x20 max_ttl = \"10h\"\n  read_buffer_size = 65535\n\
         [[inputs.statsd]]\n  service_address = \":8126\"\n",
    );
    for part in [
        "[collectors.statsd]",
        "listen = [\"tcp://127.0.0.1:9125\"]",
        "flush_interval = \"20s\"",
        "percentiles = [50.0, 99.9]",
        "templates = [\"cpu.* measurement.measurement.host\"]",
        "delete_gauges = false",
        "expire_after = \"10h\"",
    ] {
        assert!(checked.toml.contains(part), "{part} in {}", checked.toml);
    }
    // Clients name the measurements.
    assert_any_measurement(&checked.toml);
    let missing: Vec<&str> = checked.translation.missing().map(|entry| entry.text.as_str()).collect();
    assert!(missing.iter().any(|text| text.contains("read_buffer_size")), "{missing:?}");
    assert!(missing.iter().any(|text| text.contains(":8126") || text.contains("service_address")), "{missing:?}");
    let default = of_text("[[inputs.statsd]]\n");
    assert!(default.toml.contains("listen = [\"udp://:8125\"]"), "{}", default.toml);
}

#[test]
fn telegraf_is_not_needed_for_disks() {
    let text = "[agent]\n[[inputs.smart]]\n  attributes = true\n[[inputs.smartctl]]\n[[inputs.nvidia_smi]]\n";
    let checked = of_text(text);
    assert!(checked.toml.contains("[[collectors.smart]]") && checked.toml.contains("[collectors.nvidia]"));
    assert_eq!(checked.translation.missing().count(), 0);
    assert_eq!(checked.translation.kept().values().flatten().count(), 0);
    let other = of_text(&format!("{text}[[inputs.snmp]]\n")).translation.kept();
    assert_eq!(other.values().flatten().copied().collect::<Vec<_>>(), [1, 6]);
}

/// A rename that is missing does not filter the measurement out of the sinks.
#[test]
fn a_name_that_is_missing_is_no_filter() {
    let conf = "[[outputs.influxdb]]\n  urls = [\"http://h:8086\"]\n[[inputs.mem]]\n  name_override = \"memory\"\n\
                [[inputs.swap]]\n  fieldinclude = [\"used\"]\n";
    let checked = of_text(conf);
    let is_refused = checked.translation.missing().any(|entry| entry.text.contains("name_override"));
    assert_eq!(checked.toml.contains("\"mem\""), is_refused, "{}", checked.toml);
    assert_eq!(checked.toml.contains("\"memory\""), !is_refused, "{}", checked.toml);
}

#[test]
fn templates_of_udev_are_no_variables() {
    let checked = of_text("[[inputs.diskio]]\n  name_templates = [\"$ID_FS_LABEL\"]\n");
    assert!(checked.toml.contains("name_templates = [\"$ID_FS_LABEL\"]"), "{}", checked.toml);
    assert!(checked.translation.variables.is_empty());
}

/// Telegraf keeps the second instances that are missing.
#[test]
fn instances_that_are_missing_are_kept() {
    let conf = "[[inputs.cpu]]\n[[inputs.mem]]\n[[inputs.cpu]]\n  name_override = \"pre_cpu\"\n";
    let kept = of_text(conf).translation.kept();
    let lines: Vec<usize> = kept.values().flatten().copied().collect();
    assert_eq!(lines, [3, 4]);
}

/// So it does the inputs that Taffrail refuses, wherever the reason is found, and all of their lines are missing.
#[test]
fn inputs_that_are_refused_are_kept_as_a_whole() {
    for input in [
        "[[inputs.http_response]]\n  urls = [\"http://a\", \"https://u:p@b\"]\n  method = \"POST\"\n",
        "[[inputs.prometheus]]\n  urls = [\"http://a\", \"http://u:p@b\"]\n  [inputs.prometheus.tags]\n    a = \"b\"\n",
        "[[inputs.file]]\n  files = [\"/a/**.log\"]\n  data_format = \"value\"\n",
        "[[inputs.procstat]]\n  pattern = \"java(?!x)\"\n",
        "[[inputs.x509_cert]]\n  timeout = \"3s\"\n  sources = [\"smtp://a:25\"]\n",
        "[[inputs.dns_query]]\n  servers = [\"192.0.2.1\"]\n  domains = [\"a..b\"]\n",
    ] {
        let checked = of_text(&format!("[[inputs.mem]]\n[agent]\n  interval = \"20s\"\n{input}"));
        assert_is_sound(&checked);
        let report = report::text(&checked.translation);
        let kept: Vec<usize> = checked.translation.kept().values().flatten().copied().collect();
        let expected: Vec<usize> = (2..4 + input.lines().count()).collect();
        assert_eq!(kept, expected, "{report}");
        let of_input =
            checked.translation.entries.iter().filter(|entry| entry.source.lines.is_some_and(|(first, _)| first > 3));
        assert!(of_input.clone().count() >= input.lines().count(), "{report}");
        assert!(of_input.into_iter().all(|entry| matches!(entry.outcome, Outcome::Missing(_))), "{report}");
        assert!(!checked.toml.contains("[[collectors"), "{}", checked.toml);
    }
}

/// Telegraf counts the processes that it finds, without their children, and a unit's main process.
#[test]
fn groups_of_processes_are_those_of_telegraf() {
    let checked = of_text("[[inputs.procstat]]\n  systemd_unit = \"a.service\"\n");
    assert!(checked.toml.contains("children = false"), "{}", checked.toml);
    assert!(report::text(&checked.translation).contains("all processes of the unit"));
    let all = of_text("[[inputs.procstat]]\n  systemd_unit = \"a.service\"\n  include_systemd_children = true\n");
    assert!(!report::text(&all.translation).contains("all processes of the unit"));
    let filter = "[[inputs.procstat]]\n  [[inputs.procstat.filter]]\n    name = \"a\"\n    patterns = [\"a\"]\n";
    assert!(of_text(filter).toml.contains("children = false"));
    let deep = of_text(&format!("{filter}    recursion_depth = 2\n"));
    assert!(deep.toml.contains("children = true") && !deep.translation.is_incomplete(), "{}", deep.toml);
}

pub(super) fn of_text(text: &str) -> Checked {
    check(telegraf::translate::translate(&[("t.conf".to_owned(), text.to_owned())]).unwrap())
}
