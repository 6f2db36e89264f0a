//! The configurations of both exporters of CloudWatch, and values of charts.

use taffrail::migrate::check::{check, check_in};
use taffrail::migrate::{blackbox_exporter, cloudwatch_exporter, helm_values, process_exporter, statsd_exporter, yace};

use super::{assert_is_sound, assert_no_line_vanishes, corpus};

#[cfg(feature = "cloudwatch")]
#[test]
fn jobs_of_yace_and_rules_of_cloudwatch_exporter_become_jobs() {
    for (program, translate) in
        [("yace", yace::translate as fn(&str, &str) -> _), ("cloudwatch_exporter", cloudwatch_exporter::translate)]
    {
        corpus(program, 10, |case, tree| {
            let text = tree.text(&format!("{case}/config.yml")).unwrap();
            let translation = translate("config.yml", text).unwrap();
            assert_no_line_vanishes(text, &translation);
            translation
        });
        let refused = translate("config.yml", "a: b: c\n").unwrap_err().to_string();
        assert!(refused.contains("config.yml:1:"), "{refused}");
    }
}

/// A setting without a line of its own in the settings has one in the input.
#[cfg(feature = "cloudwatch")]
#[test]
fn tags_of_a_namespace_that_has_none_are_missing() {
    let text = "region: eu-west-1\nmetrics:\n- aws_namespace: CWAgent\n  aws_metric_name: mem_used_percent\n  \
                aws_dimensions: [InstanceId]\n  aws_tag_select:\n    tag_selections:\n      Env: [prod]\n    \
                resource_type_selection: \"ec2:instance\"\n    resource_id_dimension: InstanceId\n";
    let checked = check(cloudwatch_exporter::translate("c.yml", text).unwrap());
    assert_is_sound(&checked);
    let missing: Vec<_> = checked.translation.missing().map(|entry| entry.source.place()).collect();
    // A job without its filter would import more.
    assert_eq!(missing, ["c.yml:1", "c.yml:3", "c.yml:4", "c.yml:5", "c.yml:6"]);
    assert_no_line_vanishes(text, &checked.translation);
}

#[test]
fn flags_of_a_chart_that_are_no_list_are_missing() {
    for (text, missing) in [
        ("extraArgs:\n  collector.systemd: true\n  --no-collector.wifi: \"\"\n", vec![1, 2, 3]),
        ("extraArgs: \"--collector.systemd --no-collector.wifi\"\n", vec![1]),
        ("extraArgs:\n  - --collector.ntp\n  - {a: b}\n  - [c,\n     d]\n", vec![3, 4]),
        ("extraArgs: [\n  --collector.ntp,\n  ]\n", vec![]),
        ("extraArgs:\n", vec![]),
    ] {
        let translation = helm_values::translate("values.yaml", text).unwrap();
        assert_no_line_vanishes(text, &translation);
        let lines: Vec<usize> = translation.missing().map(|entry| entry.source.lines.unwrap().0).collect();
        assert_eq!(lines, missing, "{text}: {translation:?}");
        let mut remarks = translation.missing().map(|entry| entry.outcome.remark());
        assert!(remarks.all(|remark| remark.starts_with("expected a list of flags, such as")), "{translation:?}");
    }
}

/// Anchors are common in values of charts.
#[test]
fn aliases_of_yaml_are_their_values() {
    let text = "x: &args\n  - --collector.systemd\ncommon: &common\n  extraArgs: *args\nprometheus-node-exporter:\n  <<: *common\n";
    let checked = check(helm_values::translate("values.yaml", text).unwrap());
    assert_no_line_vanishes(text, &checked.translation);
    assert!(checked.toml.contains("enabled = true  # values.yaml:2 --collector.systemd"), "{}", checked.toml);
    #[cfg(feature = "cloudwatch")]
    {
        let text = "discovery:\n  jobs:\n    - &job\n      type: AWS/EC2\n      regions: &regions [a]\n      metrics: &metrics\n        - name: CPUUtilization\n          \
                    statistics: [Sum]\n    - <<: *job\n      type: AWS/RDS\n    - type: AWS/ELB\n      regions: *regions\n      metrics: *metrics\n";
        let checked = check(yace::translate("y.yml", text).unwrap());
        assert_no_line_vanishes(text, &checked.translation);
        assert_is_sound(&checked);
        assert_eq!(checked.toml.matches("CPUUtilization").count(), 6, "{}", checked.toml);
    }
}

/// The values of keys that are secret, or that no table knows.
#[cfg(feature = "cloudwatch")]
#[test]
fn secrets_of_yaml_are_not_in_the_report() {
    let text = "discovery:\n  jobs:\n    - type: AWS/EC2\n      regions: [a]\n      roles:\n        - roleArn: arn:aws:iam::1:role/r\n          \
                externalId: geheim\n        - {roleArn: arn:aws:iam::2:role/r, externalId: geheim}\n      searchTags:\n        - key: Name\n          value: web\n      \
                password: |\n        geheim\n      other: [geheim]\n      metrics:\n        - name: CPUUtilization\n          statistics: [Sum]\n";
    let checked = check(yace::translate("y.yml", text).unwrap());
    assert_no_line_vanishes(text, &checked.translation);
    assert_is_sound(&checked);
    assert!(checked.toml.contains("geheim"), "{}", checked.toml);
    assert!(checked.translation.entries.iter().any(|entry| entry.text.ends_with("key: Name")), "{checked:?}");
    let values = "password: geheim\nenv: {TOKEN: geheim}\nsidecars:\n  - geheim\nhostNetwork: true\n";
    let translation = helm_values::translate("values.yaml", values).unwrap();
    assert!(translation.entries.iter().all(|entry| !entry.text.contains("geheim")), "{translation:?}");
    assert!(translation.entries.iter().any(|entry| entry.text == "hostNetwork: true"), "{translation:?}");
}

#[test]
fn a_second_document_of_yaml_is_refused_with_its_line() {
    let text = "# values\n---\nextraArgs: [--collector.systemd]\n---\nextraArgs: [--collector.ntp]\n";
    let refused = helm_values::translate("values.yaml", text).unwrap_err().to_string();
    assert!(refused.contains("values.yaml:4:") && refused.contains("a second document"), "{refused}");
    assert!(helm_values::translate("values.yaml", "---\nextraArgs: [--collector.systemd]\n").is_ok());
    assert!(yace::translate("c.yml", "a: 1\n---\n").is_err());
}

#[cfg(feature = "cloudwatch")]
#[test]
fn values_of_yaml_with_another_type_are_missing() {
    for text in [
        "discovery: 3\n",
        "discovery:\n  jobs: {a: b}\n",
        "discovery:\n  jobs: [1, null]\n",
        "discovery:\n  jobs:\n    -\n    -\n",
        "static: x\n",
    ] {
        let translation = yace::translate("c.yml", text).unwrap();
        assert_no_line_vanishes(text, &translation);
        assert!(translation.is_incomplete(), "{text}: {translation:?}");
    }
    assert!(cloudwatch_exporter::translate("c.yml", "metrics: x\n").unwrap().is_incomplete());
}

/// Taffrail's chart refuses flags of node_exporter in `exporter.extraArgs` and names this translation.
#[test]
fn flags_below_exporter_become_settings() {
    let text = "exporter:\n  extraArgs:\n    - --collector.systemd\n";
    let translation = helm_values::translate("values.yaml", text).unwrap();
    assert_eq!(translation.missing().count(), 0);
    let toml = taffrail::migrate::check::check(translation).toml;
    assert!(toml.contains("[collectors.systemd]"), "{toml}");
}

/// A job without one of its filters, its role or its metrics would import more, or of another account.
#[test]
fn a_job_that_would_import_more_is_missing_as_a_whole() {
    let job = "apiVersion: v1alpha1\ndiscovery:\n  jobs:\n  - type: AWS/SQS\n    regions: [eu-west-1]\n";
    for rest in [
        "    metrics: x\n",
        "    metrics:\n    -\n",
        "",
        "    roles: x\n    metrics: [{name: A, statistics: [Sum]}]\n",
        "    searchTags: x\n    metrics: [{name: A, statistics: [Sum]}]\n",
    ] {
        let checked = check_in(yace::translate("y.yml", &format!("{job}{rest}")).unwrap(), &|_| None);
        assert!(!checked.toml.contains("cloudwatch"), "{rest}: {}", checked.toml);
        assert!(checked.translation.is_incomplete(), "{rest}");
    }
    let rule = "region: eu-west-1\nmetrics:\n- aws_namespace: AWS/S3\n  aws_metric_name: A\n";
    let translated = |rest: &str| {
        let translation = cloudwatch_exporter::translate("c.yml", &format!("{rule}{rest}")).unwrap();
        check_in(translation, &|_| None)
    };
    let dimensions = "  aws_dimensions: [B]\n";
    let checked = translated(&format!("{dimensions}  aws_dimension_select_regex:\n    B: ['a|b']\n"));
    assert!(!checked.toml.contains("cloudwatch") && checked.translation.is_incomplete(), "{}", checked.toml);
    if cfg!(feature = "cloudwatch") {
        // Without dimensions, it is the metric that has none.
        let checked = translated("");
        assert!(checked.toml.contains("[[collectors.cloudwatch.static]]"), "{}", checked.toml);
        assert!(!checked.translation.is_incomplete());
        assert!(!translated(dimensions).toml.contains("static"));
    }
}

const BLACKBOX: &str = r#"modules:
  http_2xx:
    prober: http
    timeout: 5s
    http:
      valid_status_codes: [200, 301]
      headers:
        Accept: text/html
      fail_if_body_not_matches_regexp:
        - "a${1}"
      valid_http_versions: ["HTTP/1.1", "HTTP/2.0"]
      tls_config:
        insecure_skip_verify: true
      basic_auth:
        username: ann
        password: geheim
      body_size_limit: 10MB
    tcp: {tls: true}
  smtp:
    prober: tcp
    tcp:
      query_response:
        - expect: "^220"
  redis:
    prober: tcp
    tcp:
      query_response: [{send: PING}, {expect: PONG}]
      tls: true
  irc:
    prober: tcp
    tcp:
      query_response:
        - send: NICK
        - expect: PING
          send: PONG
  ping: {prober: icmp, icmp: {payload_size: 100, source_ip_address: 192.0.2.9}}
  soa:
    prober: dns
    dns:
      query_name: example.org
      transport_protocol: tcp
      dns_over_tls: true
      validate_answer_rrs:
        fail_if_none_matches_regexp: [a, b]
  rpc:
    prober: grpc
"#;

const PROMETHEUS: &str = r#"global:
  scrape_interval: 1m
  evaluation_interval: 1m
scrape_configs:
  - job_name: node
    static_configs:
      - targets: [a:9100]
  - job_name: web
    metrics_path: /probe
    scrape_interval: 15s
    params:
      module: [http_2xx]
    static_configs:
      - targets:
          - https://example.org
          - example.net
        labels: {team: web}
    relabel_configs: &relabel
      - source_labels: [__address__]
        target_label: __param_target
      - source_labels: [__param_target]
        target_label: instance
      - {target_label: __address__, replacement: "127.0.0.1:9115"}
  - job_name: others
    metrics_path: /probe
    static_configs:
      - targets: [192.0.2.1, 192.0.2.2]
        labels: {probe: ping}
      - targets: [mail:25]
        labels: {probe: nothing}
    file_sd_configs: [{files: [a.yml]}]
    relabel_configs:
      - {source_labels: [probe], target_label: __param_module}
      - {source_labels: [__address__], target_label: __param_target}
"#;

#[test]
fn modules_of_blackbox_exporter_have_the_targets_of_prometheus() {
    let prometheus = [("p.yml".to_owned(), PROMETHEUS.to_owned())];
    let checked = check(blackbox_exporter::translate("b.yml", BLACKBOX, &prometheus).unwrap());
    assert_is_sound(&checked);
    let toml: String = checked.toml.lines().map(|line| format!("{}\n", line.split("  # ").next().unwrap())).collect();
    let expected = r#"[[collectors.probe]]
name = "http_2xx"
prober = "http"
timeout = "5s"
insecure_skip_verify = true
username = "ann"
password = "geheim"
max_body = "10MiB"
follow_redirects = true
preferred_ip_protocol = "ip6"
targets = [
    "https://example.org",
    "http://example.net",
]
interval = "15s"

[collectors.probe.http]
valid_status_codes = [200, 301]
fail_if_body_not_matches_regexp = ["a$${1}"]

[collectors.probe.headers]
Accept = "text/html"
"#;
    assert!(toml.starts_with(expected), "{}", checked.toml);
    for part in [
        "[collectors.probe.net]\nexpect = \"^220\"\n",
        "[collectors.probe.net]\nsend = \"PING\\n\"\nexpect = \"PONG\"\ntls = true\n",
        "targets = [\n    \"192.0.2.1\",\n    \"192.0.2.2\",\n    \"*\",\n]\ninterval = \"1m\"\n\n[collectors.probe.icmp]\npayload_size = 100\n",
        "query_name = \"example.org\"\ntransport = \"tls\"\nfail_if_none_matches_regexp = [\"(?:a)|(?:b)\"]\nquery_type = \"ANY\"\n",
        "name = \"smtp\"\nprober = \"tcp\"\npreferred_ip_protocol = \"ip6\"\ntargets = [\"*\"]\n",
    ] {
        assert!(toml.contains(part), "{part}\n{}", checked.toml);
    }
    assert!(!toml.contains("grpc") && !toml.contains("irc"), "{toml}");
    let missing: Vec<_> = checked.translation.missing().map(|entry| entry.source.place()).collect();
    let lines_of = |file: &str, lines: &[usize]| lines.iter().map(|line| format!("{file}:{line}")).collect::<Vec<_>>();
    let expected = [lines_of("b.yml", &[29, 30, 31, 32, 36, 45]), lines_of("p.yml", &[17, 29, 31])].concat();
    assert_eq!(missing, expected, "{checked:#?}");
    assert!(checked.translation.entries.iter().all(|entry| !entry.text.contains("geheim")), "{checked:?}");
    let alone = blackbox_exporter::translate("b.yml", BLACKBOX, &[]).unwrap();
    assert_no_line_vanishes(BLACKBOX, &alone);
}

/// The others of the module are translated.
#[test]
fn a_target_with_a_user_is_missing_and_not_shown() {
    let blackbox = "modules:\n  web:\n    prober: http\n";
    let prometheus = "scrape_configs:\n- metrics_path: /probe\n  params: {module: [web]}\n  static_configs:\n  - targets:\n    \
                      - https://ann:geheim@a.example/\n    - ann:geheim@b.example\n    - http://c.example/?token=geheim\n  \
                      - targets: [\"d.example\", 'http://ann:geheim@e.example']\n";
    let prometheus = [("p.yml".to_owned(), prometheus.to_owned())];
    let checked = check(blackbox_exporter::translate("b.yml", blackbox, &prometheus).unwrap());
    assert_is_sound(&checked);
    let missing: Vec<_> = checked.translation.missing().map(|entry| entry.source.place()).collect();
    assert_eq!(missing, ["p.yml:6", "p.yml:7", "p.yml:9"], "{checked:#?}");
    assert!(checked.toml.contains("http://c.example/?token=geheim") && checked.toml.contains("http://d.example"));
    assert!(!checked.toml.contains("ann"), "{}", checked.toml);
    let shown = format!("{:?}", checked.translation.entries);
    assert!(!shown.contains("geheim") && shown.contains("a.example"), "{shown}");
}

#[test]
fn items_of_process_exporter_become_groups() {
    let text = "process_names:\n  - name: \"{{.Comm}} of {{.Username}}\"\n    comm: [nginx]\n  - exe:\n      - /opt/x\n    cmdline:\n      \
                - (?P<jar>.+)\n  - name: '{{.StartTime}}'\n    comm: [a]\n  - cmdline: [one, two]\n";
    let checked = check(process_exporter::translate("p.yml", text).unwrap());
    assert_is_sound(&checked);
    assert_no_line_vanishes(text, &checked.translation);
    let toml: String = checked.toml.lines().map(|line| format!("{}\n", line.split("  # ").next().unwrap())).collect();
    let expected = "[[collectors.procstat.groups]]\nname = \"{comm} of {user}\"\nprocess_names = [\"nginx\"]\n\n\
                    [[collectors.procstat.groups]]\nname = \"{exe}\"\nexecutables = [\"/opt/x\"]\npatterns = [\"(?P<jar>.+)\"]\n";
    assert_eq!(toml, expected, "{}", checked.toml);
    let missing: Vec<_> = checked.translation.missing().map(|entry| entry.source.place()).collect();
    assert_eq!(missing, ["p.yml:8", "p.yml:9", "p.yml:10"]);
}

#[test]
fn a_mapping_of_statsd_exporter_is_read_by_taffrail_itself() {
    let text = "defaults:\n  ttl: 5m\n  histogram_options:\n    native_histogram_bucket_factor: 1.1\nmappings:\n- match: a.*\n  name: b\n  \
                labels:\n    which: $1\n  summary_options:\n    quantiles:\n      - {quantile: 0.9, error: 0.1}\n    buf_cap: 5\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, text).unwrap();
    let name = file.path().display().to_string();
    let checked = check(statsd_exporter::translate(&name, text).unwrap());
    assert_is_sound(&checked);
    assert_no_line_vanishes(text, &checked.translation);
    assert!(checked.toml.contains(&format!("mapping_file = {name:?}")), "{}", checked.toml);
    let missing: Vec<_> = checked.translation.missing().map(|entry| entry.source.place()).collect();
    assert_eq!(missing, [format!("{name}:4")]);
    let refused = check(statsd_exporter::translate("m.yml", "mappings:\n- match: a b\n  name: c\n").unwrap());
    assert_eq!(refused.toml, "");
    let remark = refused.translation.entries[0].outcome.remark();
    assert!(remark.contains("m.yml:2") && remark.contains("expected parts of letters"), "{remark}");
}
