//! What is asked for is what must be asked for, counted where it is paid for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::scripted::{account, asked, daily_job, job, metrics, now, own, queries, start, wait_until_up};
use crate::harness::aws::{Aws, Call, Reply};
use crate::harness::status_kib;

const EC2: &str = "namespace = \"AWS/EC2\"";

/// An account whose metrics are listed in pages of `size`.
fn paged(listed: Vec<Value>, size: usize) -> impl Fn(&Call) -> Reply + Send + Sync + 'static {
    let plain = account(Vec::new(), |_| vec![(now() - 2, 1.0)]);
    move |call| {
        if call.operation != "ListMetrics" {
            return plain(call);
        }
        let page: usize = call.input["NextToken"].as_str().map_or(0, |token| token.parse().unwrap());
        let next = (page + 1) * size;
        let metrics = &listed[page * size..next.min(listed.len())];
        let token = if next < listed.len() { json!((page + 1).to_string()) } else { Value::Null };
        Reply::Output(json!({"Metrics": metrics, "NextToken": token}))
    }
}

#[test]
fn ten_thousand_metrics_take_the_fewest_requests_and_little_memory() {
    const METRICS: usize = 10_000;
    let aws = Aws::start(paged(metrics(&["CPUUtilization", "NetworkIn"], METRICS / 2), 500));
    let taffrail = start(&daily_job(&aws, &format!("{EC2}\nstatistics = [\"Average\", \"Maximum\", \"p99\"]")));
    // Three statistics of 166 metrics are 498 of the 500 queries that a request may have.
    // The pages of the program itself are half of a debug build's; some of them are released after the start.
    let from_files = || status_kib(taffrail.pid(), "RssFile");
    let mapped = from_files();
    let requests = METRICS.div_ceil(500 / 3);
    wait_until_up(&taffrail);
    let mapped = mapped.max(from_files());
    let shown = |family: &str| {
        let exposition = taffrail.get("/metrics");
        exposition.text().lines().filter(|line| line.starts_with(&format!("{family}{{"))).count()
    };
    assert_eq!(shown("aws_ec2_network_in_p99"), METRICS / 2);

    let calls = aws.calls("GetMetricData");
    assert_eq!((aws.calls("ListMetrics").len(), calls.len()), (METRICS / 500, requests));
    assert_eq!(aws.calls("GetCallerIdentity").len() + aws.calls("GetResources").len(), 2);
    let mut seen = BTreeSet::new();
    for call in &calls {
        let mut of_metric: BTreeMap<(String, String), usize> = BTreeMap::new();
        for query in queries(call) {
            let (metric, instance, _) = asked(query);
            *of_metric.entry((metric, instance)).or_default() += 1;
        }
        assert!(of_metric.values().all(|statistics| *statistics == 3), "a metric's statistics are apart");
        assert!(call.size <= 614_400, "{} bytes", call.size);
        seen.extend(of_metric.into_keys());
    }
    assert_eq!(seen.len(), METRICS);
    assert_eq!(own(&taffrail, "taffrail_cloudwatch_queries_total", ""), 3.0 * METRICS as f64);
    assert_eq!(own(&taffrail, "taffrail_cloudwatch_metrics_billed_total", ""), METRICS as f64);
    let dollars = own(&taffrail, "taffrail_cloudwatch_estimated_cost_dollars_total", "");
    assert!((dollars - (METRICS as f64 + 20.0) * 0.01 / 1000.0).abs() < 1e-9, "{dollars}");

    let (peak, mapped) = (status_kib(taffrail.pid(), "VmHWM"), mapped.max(from_files()));
    println!("{peak} kB, of which {mapped} kB are mapped from files");
    assert!(peak - mapped < 40 << 10, "{peak} kB, of which {mapped} kB are mapped from files");
}

#[test]
fn more_than_a_hundred_pages_are_read_to_the_end() {
    let aws = Aws::start(paged(metrics(&["CPUUtilization"], 505), 5));
    let taffrail = start(&daily_job(&aws, EC2));
    wait_until_up(&taffrail);
    assert_eq!(own(&taffrail, "taffrail_cloudwatch_metrics", ""), 505.0);
    assert_eq!(aws.calls("ListMetrics").len(), 101);
}

#[test]
fn more_metrics_than_the_limit_are_left_out_and_that_is_said() {
    let aws = Aws::start(paged(metrics(&["CPUUtilization"], 40), 10));
    let taffrail = start(&daily_job(&aws, &format!("{EC2}\nlimit = 15\ndiscovery_interval = \"1s\"")));
    wait_until_up(&taffrail);
    assert_eq!(own(&taffrail, "taffrail_cloudwatch_metrics", ""), 15.0);
    aws.wait_for_calls("ListMetrics", 6);
    assert_eq!(taffrail.logged("there are more than 15 metrics"), 1);
    assert!(aws.calls("ListMetrics").iter().all(|call| call.input["NextToken"] != "2"), "what is beyond is not listed");
}

#[test]
fn long_dimensions_make_smaller_requests() {
    let long = |index: usize| {
        json!({"Namespace": "AWS/EC2", "MetricName": "CPUUtilization", "Dimensions": (0..10).map(|n|
            json!({"Name": format!("Dimension{n}"), "Value": format!("{index:0>250}")})).collect::<Vec<_>>()})
    };
    let aws = Aws::start(paged((0..500).map(long).collect(), 500));
    let taffrail = start(&daily_job(&aws, EC2));
    wait_until_up(&taffrail);
    let sizes: Vec<usize> = aws.calls("GetMetricData").iter().map(|call| call.size).collect();
    // 500 queries of 10 dimensions of 260 bytes are 1.4 MB; no more than 614,400 bytes go into one request.
    assert!(sizes.len() == 3 && sizes.iter().all(|size| *size <= 614_400), "{sizes:?}");
    assert!(sizes.iter().any(|size| *size > 560_000), "what is allowed is used: {sizes:?}");
}

#[test]
fn nothing_is_asked_for_twice_and_all_at_the_end_of_an_interval() {
    let aws = Aws::start(account(metrics(&["CPUUtilization"], 3), |_| vec![(now() - 2, 1.0)]));
    let taffrail = start(&job(&aws, &format!("{EC2}\ninterval = \"2s\"")));
    let calls = aws.wait_for_calls("GetMetricData", 4);
    for _ in 0..20 {
        taffrail.get("/metrics");
    }
    let mut ends = BTreeSet::new();
    for call in &calls {
        let end = call.input["EndTime"].as_f64().unwrap() as i64;
        assert_eq!((end % 2, queries(call).len()), (0, 3));
        assert_eq!(call.input["StartTime"].as_f64().unwrap() as i64, end - 60);
        assert!(ends.insert(end), "{end} is asked for twice");
    }
}

#[test]
fn the_plan_tells_what_will_be_asked_for_and_what_that_costs() {
    let aws = Aws::start(paged(metrics(&["CPUUtilization", "NetworkIn"], 1000), 500));
    let config = daily_job(&aws, EC2)
        .replace("period = \"1h\"\ninterval = \"1d\"", "period = \"1m\"")
        .replace("\"1d\"", "\"15m\"");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taffrail.toml");
    std::fs::write(&path, config).unwrap();
    let plan = |more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_taffrail"));
        command.args(["cloudwatch", "plan", "--config", path.to_str().unwrap()]).args(more);
        let output = command.envs(super::scripted::ENVIRONMENT).output().unwrap();
        let (reported, progress) = crate::harness::printed(&output);
        assert!(output.status.success(), "{progress}");
        (reported, progress)
    };
    let (reported, progress) = plan(&[]);
    assert!(progress.contains("listing the metrics of AWS/EC2 in eu-west-1"), "{progress}");
    assert!(reported.contains("2000 metrics, 1 statistic each, every 1m"), "{reported}");
    assert!(
        reported.contains("240 GetMetricData requests for 120000 billed metrics, 16 ListMetrics requests"),
        "{reported}"
    );
    assert!(reported.contains("per month  $876.12") && reported.contains("interval = \"5m\""), "{reported}");
    assert_eq!((aws.calls("ListMetrics").len(), aws.calls("GetMetricData").len()), (4, 0));
    let (reported, _) = plan(&["--assume-metrics", "500"]);
    assert!(reported.contains("500 metrics, 1 statistic each"), "{reported}");
    assert_eq!(aws.calls("ListMetrics").len(), 4);
}
