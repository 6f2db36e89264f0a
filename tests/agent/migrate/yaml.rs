//! The configurations of both exporters of CloudWatch, and values of charts.

use taffrail::migrate::check::{check, check_in};
use taffrail::migrate::{cloudwatch_exporter, helm_values, yace};

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
