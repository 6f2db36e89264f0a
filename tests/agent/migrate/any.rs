//! What holds for any input.

use std::collections::BTreeSet;

use proptest::prelude::*;
use taffrail::migrate::check::check;
#[cfg(feature = "cloudwatch")]
use taffrail::migrate::cloudwatch_exporter;
use taffrail::migrate::node_exporter::{self, NODE_EXPORTER};
use taffrail::migrate::pushgateway::{self, PUSHGATEWAY};
use taffrail::migrate::translation::{Outcome, Source, Translation};
#[cfg(feature = "cloudwatch")]
use taffrail::migrate::yace;
use taffrail::migrate::{blackbox_exporter, cadvisor, defaults_file, helm_values, telegraf};

use super::telegraf::assert_no_line_of_files_vanishes;
use super::{assert_is_sound, assert_no_line_vanishes};

/// A module without one of its checks would report success where the original reports a failure.
#[test]
fn no_probe_is_weaker_than_its_original() {
    let blackbox = |prober: &str, keys: &str| {
        let text = format!("modules:\n  m:\n    prober: {prober}\n    {prober}:\n      {keys}\n");
        let translation = blackbox_exporter::translate("b.yml", &text, &[]).unwrap();
        assert_no_line_vanishes(&text, &translation);
        check(translation)
    };
    let telegraf = |input: &str, options: &str| {
        let text = format!("[[inputs.{input}]]\n  {options}\n  [inputs.{input}.tags]\n    a = \"b\"\n");
        check(telegraf::translate::translate(&[("t.conf".to_owned(), text)]).unwrap())
    };
    for (prober, keys) in [
        ("tcp", "query_response: [{starttls: true}]"),
        ("tcp", "query_response: [{expect: a}, {send: b}, {expect: c}]"),
        // Expects first.
        ("tcp", "query_response: [{send: a, expect: b}]"),
        ("tcp", "query_response: [{expect: 'a(?=b)'}]"),
        ("tcp", "tls: perhaps"),
        ("tcp", "of_the_future: true"),
        ("tcp", "tls_config: {min_version: TLS13}"),
        ("tcp", "tls_config: {ca: '-----BEGIN CERTIFICATE-----'}"),
        ("http", "fail_if_header_matches: [{header: A, regexp: b}]"),
        ("http", "fail_if_header_not_matches: [{header: A, regexp: b}]"),
        ("http", "fail_if_body_json_matches_cel: 'body.a'"),
        ("http", "fail_if_body_matches_regexp: [a, 'b(?=c)']"),
        ("http", "valid_http_versions: [HTTP/2.0]"),
        ("http", "valid_status_codes: [200, 9999]"),
        ("http", "compression: gzip"),
        ("http", "enable_http3: true"),
        ("icmp", "ttl: 3"),
        ("icmp", "dont_fragment: true"),
        ("dns", "query_name: a\n      validate_additional_rrs: {fail_if_matches_regexp: [a]}"),
        ("dns", "query_name: a\n      validate_authority_rrs: {fail_if_matches_regexp: [a]}"),
        ("dns", "query_name: a\n      validate_answer_rrs: {fail_if_all_match_regexp: [a]}"),
    ] {
        let checked = blackbox(prober, keys);
        assert!(!checked.toml.contains("probe"), "{keys}: {}", checked.toml);
        let is_missing = |line| checked.translation.missing().any(|entry| entry.source.lines.unwrap().0 == line);
        assert!([2, 3, 5].into_iter().all(is_missing), "{keys}: {checked:#?}");
    }
    for (input, options) in [
        ("http_response", "response_string_match = \"a(?=b)\""),
        ("http_response", "response_status_code = \"204\""),
        ("http_response", "tls_min_version = \"TLS13\""),
        ("http_response", "cookie_auth_url = \"http://a\""),
        ("net_response", "address = \"a:1\"\n  protocol = \"udp4\""),
        ("net_response", "address = \"a:1\"\n  expect = \"(\""),
    ] {
        let checked = telegraf(input, options);
        assert!(!checked.toml.contains("probe"), "{options}: {}", checked.toml);
        assert!(
            checked.translation.entries.iter().skip(1).all(|entry| { matches!(entry.outcome, Outcome::Missing(_)) }),
            "{options}: {checked:#?}"
        );
    }
    for (prober, keys, missing) in [
        ("http", "source_ip_address: 192.0.2.9", 1),
        ("http", "proxy_from_environment: true", 1),
        ("tcp", "tls_config: {min_version: TLS10}", 1),
        ("tcp", "query_response: []", 0),
        ("http", "compression: ''", 0),
        ("http", "fail_if_header_matches: []", 0),
        ("http", "valid_http_versions: [HTTP/1.0, HTTP/1.1]", 0),
        ("http", "no_follow_redirects: false", 0),
    ] {
        let checked = blackbox(prober, keys);
        assert_is_sound(&checked);
        assert!(checked.toml.contains("[[collectors.probe]]"), "{keys}: {checked:#?}");
        assert_eq!(checked.translation.missing().count(), missing, "{keys}: {checked:#?}");
    }
    assert!(blackbox("http", "no_follow_redirects: true").toml.contains("follow_redirects = false"));
    let lower = telegraf("http_response", "tls_min_version = \"TLS11\"\n  namepass = [\"a\"]");
    assert!(lower.toml.contains("[[collectors.probe]]"), "{lower:#?}");
}

fn any_argument() -> impl Strategy<Value = String> {
    let names: Vec<String> = [&NODE_EXPORTER, &PUSHGATEWAY, &cadvisor::CADVISOR]
        .iter()
        .flat_map(|program| {
            let flags = program.flags.iter().map(|flag| flag.name.to_owned());
            flags.chain(program.collectors.iter().map(|name| format!("collector.{name}")))
        })
        .collect();
    let name = proptest::sample::select(names);
    let value = prop_oneof!["[ -~]{0,12}", Just(":9100".to_owned()), Just("true".to_owned()), "\\PC{0,6}"];
    let flag = ("-{1,2}", prop_oneof![Just(""), Just("no-")], name, proptest::option::of(value.clone()));
    prop_oneof![
        8 => flag.prop_map(|(hyphens, no, name, value)| match value {
            Some(value) => format!("{hyphens}{no}{name}={value}"),
            None => format!("{hyphens}{no}{name}"),
        }),
        1 => value,
    ]
}

/// Whether `shown` is `text` with its secrets hidden: a value as `…`, and what may be the user of a URL as `[secret]`.
fn is_shown(text: &str, shown: &str) -> bool {
    let parts: Vec<String> = shown.split("[secret]").flat_map(|part| part.split('…')).map(regex::escape).collect();
    regex::Regex::new(&format!("^(?s){}$", parts.join(".*"))).unwrap().is_match(text)
}

#[test]
fn a_secret_is_all_that_is_missing_from_what_is_shown() {
    for (text, shown) in [("--a=b c", "--a=b c"), ("--a=b@c d", "--a=[secret]@c d"), ("--p=x --q", "--p=… --q")] {
        assert!(is_shown(text, shown), "{text}");
    }
    for (text, shown) in [("--a=b c", "--a=b"), ("--a=b@c d", "--a=[secret]@c"), ("--a --b@", "--b@")] {
        assert!(!is_shown(text, shown), "{text}");
    }
}

#[test]
fn secrets_of_any_argument_are_hidden_and_the_rest_is_shown() {
    for (argument, expected) in [
        (":a A@", "[secret]@"),
        ("http://ann:geheim@host/", "http://[secret]@host/"),
        ("-collector.disable-defaults=:a A@", "-collector.disable-defaults=[secret]@"),
        ("--collector.disable-defaults=http://ann:geheim@host/", "--collector.disable-defaults=http://[secret]@host/"),
        ("--web.password=geheim", "--web.password=…"),
    ] {
        let (arguments, source) = ([argument.to_owned()], Source::default());
        for translation in [
            pushgateway::translate(&arguments, &source),
            NODE_EXPORTER.translate(&arguments, &source),
            node_exporter::translate_debian(&arguments, &source),
            cadvisor::translate(&arguments, &source),
        ] {
            let given = translation.entries.iter().filter(|entry| entry.source.file.is_empty());
            let shown: Vec<&str> = given.map(|entry| entry.text.as_str()).collect();
            assert_eq!(shown, [expected], "{argument}");
            assert!(translation.is_incomplete(), "{argument}");
        }
    }
    // A value that is an argument of its own stays one, also after a flag that is unknown.
    for flag in ["-storage_driver_password", "--web.password"] {
        let translation = cadvisor::translate(&[flag, "geheim"].map(str::to_owned), &Source::default());
        assert_eq!(translation.entries[0].text, format!("{flag} …"));
        assert!(translation.entries.iter().all(|entry| !entry.text.contains("geheim")), "{translation:?}");
    }
}

/// A line as it may be in a file of Telegraf: a head, an option of a table with some value, a comment.
fn any_line_of_telegraf() -> impl Strategy<Value = String> {
    use taffrail::migrate::telegraf::tables::{AGENT, EVERY_HTTP, EVERY_INPUT, EVERY_OUTPUT, INPUTS, OUTPUTS};
    let inputs = INPUTS.iter().map(|input| format!("[[inputs.{}]]", input.name));
    let outputs = OUTPUTS.iter().map(|output| format!("[[outputs.{}]]", output.name));
    let others =
        ["[agent]", "[global_tags]", "[[inputs.ping]]", "[[processors.rename]]", "[inputs.cpu.tagpass]", "[x.y]"];
    let heads: Vec<String> = inputs.chain(outputs).chain(others.map(str::to_owned)).collect();
    let rows = INPUTS.iter().map(|input| input.options).chain(OUTPUTS.iter().map(|output| output.options));
    let rows = rows.chain([AGENT, EVERY_HTTP, EVERY_INPUT, EVERY_OUTPUT]).flatten();
    let mut options: Vec<String> = rows.map(|(option, _)| (*option).to_owned()).collect();
    options.extend(["nonsense", "a.b", "\"odd key\"", "tags"].map(str::to_owned));
    let values = [
        "true",
        "false",
        "0",
        "10",
        "-1.5",
        "\"10s\"",
        "\"\"",
        "'x'",
        "[]",
        "[\"a*\", \"b\"]",
        "[1, 2]",
        "{ a = 1 }",
        "\"$HOME ${X:-y}\"",
        "\"@{s:k}\"",
        "1979-05-27",
        "[\n  \"a\", # b\n\n]",
        "\"unix:///x\"",
        "\"http://u:p@h/\"",
        "\"(\"",
    ];
    let setting = (proptest::sample::select(options), proptest::sample::select(values.to_vec()));
    prop_oneof![
        4 => proptest::sample::select(heads),
        8 => setting.prop_map(|(option, value)| format!("  {option} = {value}")),
        1 => Just(String::new()),
        1 => Just("  # comment = 1".to_owned()),
        // Of all lines, as the whole file is refused.
        1 => proptest::sample::select(vec!["  topic = \"{{ .Name }}\"", "  hostname = \"{{ x }}\"", "  # {{ x }}"]).prop_map(str::to_owned),
        1 => "[ -~]{0,20}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_command_line_gives_valid_settings_and_a_report_of_all_of_it(
        arguments in proptest::collection::vec(any_argument(), 0..8),
    ) {
        let translate: [fn(&[String], &Source) -> Translation; 4] = [
            |arguments, source| NODE_EXPORTER.translate(arguments, source),
            node_exporter::translate_debian,
            pushgateway::translate,
            cadvisor::translate,
        ];
        for translate in translate {
            let translation = translate(&arguments, &Source::default());
            let shown: Vec<&str> = translation
                .entries
                .iter()
                .filter(|entry| entry.source.file.is_empty())
                .map(|entry| entry.text.as_str())
                .collect();
            prop_assert!(is_shown(&arguments.join(" "), &shown.join(" ")), "{shown:?} {arguments:?}");
            assert_is_sound(&check(translation));
        }
    }

    #[test]
    fn any_file_of_variables_gives_a_report_of_every_line(text in "([ -~]{0,30}|ARGS=\"--[ -~]{0,30}|ARGS=\"--collector.systemd\"|\n){0,6}") {
        let translation = defaults_file::translate("defaults", &text, &pushgateway::translate);
        assert_no_line_vanishes(&text, &translation);
        assert_is_sound(&check(translation));
    }

    #[test]
    fn whatever_parses_as_toml_is_translated_or_refused(lines in proptest::collection::vec(any_line_of_telegraf(), 0..20)) {
        let files = [("telegraf.conf".to_owned(), lines.join("\n") + "\n")];
        if let Ok(translation) = telegraf::translate::translate(&files) {
            assert_no_line_of_files_vanishes(&files, &translation);
            let lines = translation.entries.iter().filter_map(|entry| entry.source.lines);
            let reported: BTreeSet<usize> = lines.flat_map(|(first, last)| first..=last).collect();
            let checked = check(translation);
            let kept = checked.translation.kept();
            prop_assert!(kept.values().all(|kept| kept.is_subset(&reported)), "{kept:?}");
            assert_is_sound(&checked);
        }
    }

    #[test]
    fn any_values_of_a_chart_give_a_report_of_every_line(lines in proptest::collection::vec(
        proptest::sample::select(vec![
            "prometheus-node-exporter:", "  extraArgs:", "    - --collector.systemd", "    - --no-collector.cpu", "  # comment", "",
            "  tolerations:", "    - {a: b}", "  hostNetwork: true", "extraArgs: [--a, b]", "image: |", "    some text", "unknown: 1",
        ]), 0..12)) {
        let text = lines.join("\n") + "\n";
        if let Ok(translation) = helm_values::translate("values.yaml", &text) {
            assert_no_line_vanishes(&text, &translation);
            assert_is_sound(&check(translation));
        }
    }
}

/// Lines of both exporters of CloudWatch.
#[cfg(feature = "cloudwatch")]
const LINES_OF_CLOUDWATCH: [&str; 24] = [
    "apiVersion: v1alpha1",
    "discovery:",
    "  exportedTagsOnMetrics:",
    "    AWS/EC2: [Name]",
    "  jobs:",
    "  - type: AWS/EC2",
    "    regions: [eu-west-1]",
    "    - type: AWS/EC2",
    "    <<: *a",
    "    metrics: &a",
    "      - name: CPUUtilization",
    "        statistics: [Average,",
    "          Sum]",
    "static:",
    "  - name: x",
    "    dimensions: [{name: A, value: b}]",
    "",
    "# a comment",
    "region: eu-west-1",
    "metrics:",
    "- aws_namespace: AWS/EC2",
    "  aws_metric_name: CPUUtilization",
    "  aws_tag_select: {tag_selections: {a: [b]}}",
    "  unknown: |",
];

#[cfg(feature = "cloudwatch")]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_file_of_cloudwatch_exporters_gives_a_report_of_every_line(
        lines in proptest::collection::vec(proptest::sample::select(LINES_OF_CLOUDWATCH.to_vec()), 0..14),
    ) {
        let text = lines.join("\n") + "\n";
        for translate in [yace::translate as fn(&str, &str) -> _, cloudwatch_exporter::translate] {
            if let Ok(translation) = translate("config.yml", &text) {
                assert_no_line_vanishes(&text, &translation);
                assert_is_sound(&check(translation));
            }
        }
    }
}
