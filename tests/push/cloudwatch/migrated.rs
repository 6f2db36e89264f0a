//! What a translated configuration of yet-another-cloudwatch-exporter asks for.

use std::collections::BTreeSet;

use serde_json::json;
use taffrail::migrate::check::check;
use taffrail::migrate::yace;

use super::scripted::{account, asked, metrics, now, queries, start};
use crate::harness::aws::Aws;
use crate::harness::wait_until;

/// A query: metric, value of the first dimension, statistic, and the period in seconds.
type Query = (&'static str, &'static str, &'static str, u64);

/// Files, and the queries that YACE makes of them where two instances are listed. `benches/compare-yace-examples` compares
/// them with YACE's own.
const FILES: [(&str, &[Query]); 5] = [
    (
        "discovery:\n  jobs:\n    - type: AWS/EC2\n      regions: [eu-west-1]\n      period: 300\n      length: 300\n      \
         metrics:\n        - name: CPUUtilization\n          statistics: [Average, Maximum]\n        \
         - name: NetworkIn\n          statistics: [Sum]\n          period: 60\n          length: 600\n",
        &[
            ("CPUUtilization", "i-0", "Average", 300),
            ("CPUUtilization", "i-0", "Maximum", 300),
            ("CPUUtilization", "i-1", "Average", 300),
            ("CPUUtilization", "i-1", "Maximum", 300),
            ("NetworkIn", "i-0", "Sum", 60),
            ("NetworkIn", "i-1", "Sum", 60),
        ],
    ),
    (
        "static:\n  - name: one\n    namespace: AWS/EC2\n    regions: [eu-west-1]\n    dimensions:\n      \
         - name: InstanceId\n        value: i-9\n    metrics:\n      - name: CPUUtilization\n        \
         statistics: [Minimum, p95]\n        period: 120\n        length: 600\n",
        &[("CPUUtilization", "i-9", "Minimum", 120), ("CPUUtilization", "i-9", "p95", 120)],
    ),
    (
        "customNamespace:\n  - name: own\n    namespace: AWS/EC2\n    regions: [eu-west-1]\n    \
         dimensionNameRequirements: [InstanceId]\n    statistics: [Sum]\n    period: 60\n    length: 300\n    \
         metrics:\n      - name: NetworkIn\n",
        &[("NetworkIn", "i-0", "Sum", 60), ("NetworkIn", "i-1", "Sum", 60)],
    ),
    (
        "static:\n  - name: one\n    namespace: AWS/EC2\n    regions: [eu-west-1]\n    period: 600\n    statistics: [Sum]\n    \
         dimensions:\n      - name: InstanceId\n        value: i-9\n    metrics:\n      - name: CPUUtilization\n        \
         statistics: [Average]\n",
        &[("CPUUtilization", "i-9", "Average", 300)],
    ),
    (
        "discovery:\n  jobs:\n    - type: AWS/EC2\n      regions: [eu-west-1]\n      metrics:\n        - name: NetworkIn\n          \
         statistics: [Average]\n        - name: NetworkIn\n          statistics: [Average, Sum]\n",
        &[
            ("NetworkIn", "i-0", "Average", 300),
            ("NetworkIn", "i-1", "Average", 300),
            ("NetworkIn", "i-0", "Sum", 300),
            ("NetworkIn", "i-1", "Sum", 300),
        ],
    ),
];

#[test]
fn translated_jobs_of_yace_ask_for_the_same() {
    for (file, expected) in FILES {
        let aws = Aws::start(account(metrics(&["CPUUtilization", "NetworkIn"], 2), |_| vec![(now() - 2, 1.0)]));
        let checked = check(yace::translate("config.yml", &format!("apiVersion: v1alpha1\n{file}")).unwrap());
        assert!(!checked.translation.is_incomplete(), "{:?}", checked.translation.entries);
        let job = "[[collectors.cloudwatch]]";
        let toml = checked.toml.replace(job, &format!("{job}\nendpoint_url = \"{}\"", aws.url()));
        let _taffrail = start(&format!("[collectors]\ndefault = false\n{toml}"));
        let expected: BTreeSet<_> = expected
            .iter()
            .map(|(metric, instance, statistic, period)| {
                (((*metric).to_owned(), (*instance).to_owned(), (*statistic).to_owned()), json!(period).to_string())
            })
            .collect();
        let query = |query: &serde_json::Value| (asked(query), query["MetricStat"]["Period"].to_string());
        let found = || aws.calls("GetMetricData").iter().flat_map(|call| queries(call).iter().map(query)).collect();
        wait_until("the queries", || Some::<BTreeSet<_>>(found()).filter(|found| found.len() >= expected.len()));
        assert_eq!(found(), expected, "{file}\n{toml}");
    }
}
