//! The policies in deploy/aws allow what the code asks for, and nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::Value;
use taffrail::aws::Operation;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn actions(policy: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("deploy/aws").join(policy)).unwrap();
    let policy: Value = serde_json::from_str(&text).unwrap();
    let statements = policy["Statement"].as_array().unwrap().iter();
    let actions = statements.flat_map(|statement| {
        assert_eq!(statement["Effect"], "Allow");
        statement["Action"].as_array().unwrap().clone()
    });
    actions.map(|action| action.as_str().unwrap().to_owned()).collect()
}

fn sources(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match entry.is_dir() {
            true => sources(&entry, all),
            false => all.push(entry),
        }
    }
}

/// The operations that the code calls, by their names in AWS's APIs.
fn called() -> BTreeSet<String> {
    let call = Regex::new(r"\b(?:cloudwatch|tagging|sts)\s*\.\s*([a-z_]+)\(\)").unwrap();
    let signed = Regex::new(r"\b(?:call_at\(\S+ \S+|operation:) Operation::([A-Za-z]+)").unwrap();
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut called = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for found in call.captures_iter(&text) {
            let capital = |part: &str| part[..1].to_uppercase() + &part[1..];
            called.insert(found[1].split('_').map(capital).collect());
        }
        called.extend(signed.captures_iter(&text).map(|found| found[1].to_owned()));
        if text.contains("AssumeRoleProvider::builder") {
            called.insert("AssumeRole".to_owned());
        }
    }
    called
}

#[test]
fn every_call_is_allowed_and_nothing_else() {
    let known: BTreeSet<String> = Operation::ALL.iter().map(|operation| operation.name().to_owned()).collect();
    assert_eq!(called(), known, "what the code calls is what it says that it asks for");

    let mut allowed = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("deploy/aws")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".json") {
            allowed.extend(actions(&name));
        }
    }
    let asked: BTreeSet<String> =
        Operation::ALL.iter().filter_map(|operation| operation.action()).map(str::to_owned).collect();
    assert_eq!(allowed, asked);
}

#[test]
fn each_feature_has_the_least_that_it_needs() {
    let of = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    assert_eq!(actions("collector.json"), of(&["cloudwatch:GetMetricData", "cloudwatch:ListMetrics"]));
    assert_eq!(actions("collector-static.json"), of(&["cloudwatch:GetMetricData"]));
    assert_eq!(actions("collector-tags.json"), of(&["tag:GetResources"]));
    assert_eq!(actions("collector-alias.json"), of(&["iam:ListAccountAliases"]));
    assert_eq!(actions("collector-alarms.json"), of(&["cloudwatch:DescribeAlarms"]));
    let services = actions("collector-services.json");
    let of_namespaces = ["apigateway", "aps", "autoscaling", "dms", "ec2", "shield", "storagegateway"];
    assert_eq!(
        services.iter().map(|action| action.split(':').next().unwrap()).collect::<BTreeSet<_>>(),
        of_namespaces.into()
    );
    assert_eq!(services.len(), 9);
    assert_eq!(actions("collector-roles.json"), of(&["sts:AssumeRole"]));
    assert_eq!(actions("sink.json"), of(&["cloudwatch:PutMetricData"]));
}
