//! Host metrics put into CloudWatch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::scripted::{ENVIRONMENT, start};
use crate::harness::aws::{Aws, Call, Metadata, Reply};
use crate::harness::{Taffrail, recorded_host, wait_until};

/// A sink at `aws` that reads and writes often.
fn config(aws: &Aws, settings: &str) -> String {
    format!(
        "{}\n[agent]\ninterval = \"100ms\"\nhostname = \"h\"\n[[sinks.cloudwatch]]\nname = \"cw\"\nregion = \"eu-west-1\"\n\
         endpoint_url = \"{}\"\nflush_interval = \"200ms\"\nretry_min = \"100ms\"\nretry_max = \"100ms\"\nrefused_retry = \"100ms\"\n{settings}\n",
        recorded_host(),
        aws.url()
    )
}

fn data(call: &Call) -> &Vec<Value> {
    call.input["MetricData"].as_array().unwrap()
}

fn names(calls: &[Call]) -> BTreeSet<String> {
    calls.iter().flat_map(data).map(|datum| datum["MetricName"].as_str().unwrap().to_owned()).collect()
}

fn counted(taffrail: &Taffrail, family: &str, labels: &str) -> f64 {
    taffrail.get("/metrics").sample(&format!("{family}{{{labels}sink=\"cw\"}}")).unwrap()
}

#[test]
fn chosen_metrics_are_put_by_the_names_of_amazons_agent() {
    let aws = Aws::start(|_| Reply::Output(json!({})));
    let taffrail = start(&config(&aws, "[sinks.cloudwatch.names]\nmem_used_percent = \"Memory\""));
    let calls = aws.wait_for_calls("PutMetricData", 3);
    assert_eq!(calls[0].input["Namespace"], "CWAgent");
    // Nothing of CPUs: the recorded host stands still.
    let expected = ["Memory", "disk_inodes_free", "disk_used_percent", "diskio_io_time", "swap_used_percent"];
    assert_eq!(names(&calls), expected.map(str::to_owned).into());
    let datum = data(&calls[0]).iter().find(|datum| datum["MetricName"] == "disk_used_percent").unwrap();
    let dimensions: Vec<&str> =
        datum["Dimensions"].as_array().unwrap().iter().map(|dimension| dimension["Name"].as_str().unwrap()).collect();
    assert_eq!(dimensions, ["device", "fstype", "host", "path"]);
    assert_eq!(datum["StorageResolution"], 60);
    assert_eq!(datum["Timestamp"].as_f64().unwrap() % 60.0, 0.0);
    // All readings of a minute are one datum for each metric.
    let of_memory = |call: &Call| data(call).iter().filter(|datum| datum["MetricName"] == "Memory").count();
    assert!(calls.iter().all(|call| of_memory(call) <= 2), "a minute may end in between");
    wait_until("the count", || (counted(&taffrail, "taffrail_sink_points_sent_total", "") > 0.0).then_some(()));
}

#[test]
fn what_is_not_taken_now_waits_and_what_is_never_taken_costs_itself() {
    let is_down = Arc::new(AtomicBool::new(true));
    let down = is_down.clone();
    let aws = Aws::start(move |call| {
        let has = |name: &str| data(call).iter().any(|datum| datum["MetricName"] == name);
        match down.load(SeqCst) {
            true => Reply::Error(403, "AccessDenied", "User: x is not authorized"),
            false if has("swap_used_percent") => Reply::Error(400, "InvalidParameterValue", "not swap"),
            false if data(call).len() > 3 => Reply::Error(413, "RequestEntityTooLarge", "too large"),
            false => Reply::Output(json!({})),
        }
    });
    let settings =
        "storage_resolution = \"1s\"\nmetrics = [\"mem_*used_percent\", \"swap_used_percent\", \"disk_used_percent\"]";
    let taffrail = start(&config(&aws, settings));
    let said = taffrail.wait_for_log("the server refuses writes");
    assert!(
        said.contains("PutMetricData in eu-west-1: not allowed, the policy needs cloudwatch:PutMetricData"),
        "{said}"
    );
    aws.wait_for_calls("PutMetricData", 3);
    assert_eq!(taffrail.logged("the server refuses writes"), 1);
    assert!(counted(&taffrail, "taffrail_sink_queued_points", "") > 0.0);
    is_down.store(false, SeqCst);
    wait_until("memory and disks", || (counted(&taffrail, "taffrail_sink_points_sent_total", "") > 5.0).then_some(()));
    wait_until("no swap", || {
        (counted(&taffrail, "taffrail_sink_points_dropped_total", "reason=\"rejected\",") > 0.0).then_some(())
    });
    taffrail.wait_for_log("not swap");
}

#[test]
fn what_waits_is_put_before_the_end() {
    let aws = Aws::start(|_| Reply::Output(json!({})));
    let mut taffrail = start(&config(&aws, "").replace("flush_interval = \"200ms\"", "flush_interval = \"1000d\""));
    wait_until("points", || (counted(&taffrail, "taffrail_sink_queued_points", "") > 10.0).then_some(()));
    assert!(aws.calls("PutMetricData").is_empty());
    taffrail.signal(rustix::process::Signal::TERM);
    assert!(taffrail.wait().success());
    let calls = aws.calls("PutMetricData");
    let datum = data(&calls[0]).iter().find(|datum| datum["MetricName"] == "mem_used_percent").unwrap();
    // The host stands still, so that all its readings are one value, seen so many times.
    assert!(datum["Counts"][0].as_f64().unwrap() > 1.0 && datum["Values"].as_array().unwrap().len() == 1, "{datum}");
}

fn dimensions(datum: &Value) -> BTreeMap<&str, &str> {
    let dimensions = datum["Dimensions"].as_array().map(Vec::as_slice).unwrap_or_default();
    dimensions
        .iter()
        .map(|dimension| (dimension["Name"].as_str().unwrap(), dimension["Value"].as_str().unwrap()))
        .collect()
}

#[test]
fn dimensions_of_the_instance_come_from_its_metadata_and_aggregate() {
    let aws = Aws::start(|_| Reply::Output(json!({})));
    let is_ready = Arc::new(AtomicBool::new(false));
    let ready = is_ready.clone();
    let asked = AtomicUsize::new(0);
    let metadata = Metadata::start(move |path| match path {
        _ if !ready.load(SeqCst) => Err(503),
        "/latest/meta-data/instance-id" => Ok("i-0abc".to_owned()),
        "/latest/meta-data/ami-id" => Ok("ami-1".to_owned()),
        "/latest/meta-data/tags/instance/aws:autoscaling:groupName" => Ok("web".to_owned()),
        "/latest/meta-data/instance-type" => match asked.fetch_add(1, SeqCst) {
            0 => Err(404),
            1 => Ok(String::new()),
            2 => Ok("a page".to_owned()),
            3 => Ok("x".repeat(20_000)),
            _ => Ok("t4g.micro".to_owned()),
        },
        _ => Err(404),
    });
    let settings = "metrics = [\"mem_used_percent\", \"disk_used_percent\"]\n\
        append_dimensions = [\"InstanceId\", \"ImageId\", \"InstanceType\", \"AutoScalingGroupName\"]\n\
        aggregation_dimensions = [[\"AutoScalingGroupName\"], [\"InstanceId\", \"path\"], []]";
    let url = metadata.url();
    let mut environment = ENVIRONMENT.to_vec();
    environment.retain(|(name, _)| *name != "AWS_EC2_METADATA_DISABLED");
    environment.extend([("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)]);
    let arguments = ["--listen", "127.0.0.1:0"];
    let taffrail = Taffrail::start_with_environment("run", &config(&aws, settings), &arguments, &environment);
    taffrail.wait_for_log("instance metadata: InstanceId");
    assert!(aws.calls("PutMetricData").is_empty(), "without them these were other metrics");
    is_ready.store(true, SeqCst);
    let calls = aws.wait_for_calls("PutMetricData", 2);
    let instance = [
        ("AutoScalingGroupName", "web"),
        ("ImageId", "ami-1"),
        ("InstanceId", "i-0abc"),
        ("InstanceType", "t4g.micro"),
    ];
    let of = |name: &str| -> Vec<BTreeMap<&str, &str>> {
        data(&calls[0]).iter().filter(|datum| datum["MetricName"] == name).map(dimensions).collect()
    };
    let memory = of("mem_used_percent");
    for expected in [&instance[..], &instance[..1], &[]] {
        assert!(memory.contains(&expected.iter().copied().collect()), "{expected:?} of {memory:?}");
    }
    let disk = of("disk_used_percent");
    assert!(disk.contains(&[("InstanceId", "i-0abc"), ("path", "/")].into()), "{disk:?}");
    assert!(disk.iter().all(|dimensions| !dimensions.contains_key("host")), "{disk:?}");
    // What every instance has is waited for.
    for text in [
        "no InstanceType in the instance metadata",
        "InstanceType in the instance metadata: an empty response",
        "InstanceType: not of its form: \"a page\"",
        "expected at most 16 KiB, found a longer answer",
    ] {
        taffrail.wait_for_log(text);
    }
    assert!(metadata.has_asked_with_tokens_alone());
}

#[test]
fn metadata_without_an_answer_do_not_hold_up_the_end() {
    let aws = Aws::start(|call| match call.operation.as_str() {
        "/latest/api/token" => Reply::Silence(Duration::from_secs(60)),
        _ => Reply::Output(json!({})),
    });
    let url = aws.url();
    let mut environment = ENVIRONMENT.to_vec();
    environment.retain(|(name, _)| *name != "AWS_EC2_METADATA_DISABLED");
    environment.extend([("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)]);
    let arguments = ["--listen", "127.0.0.1:0"];
    let config = config(&aws, "append_dimensions = [\"InstanceId\"]");
    let mut taffrail = Taffrail::start_with_environment("run", &config, &arguments, &environment);
    aws.wait_for_calls("/latest/api/token", 1);
    let stopped_at = Instant::now();
    taffrail.signal(rustix::process::Signal::TERM);
    assert!(taffrail.wait().success());
    assert!(stopped_at.elapsed() < Duration::from_secs(8), "{:?}", stopped_at.elapsed());
}

#[test]
fn metadata_that_are_forbidden_are_not_asked_for() {
    let aws = Aws::start(|_| Reply::Output(json!({})));
    let taffrail = start(&config(&aws, "append_dimensions = [\"InstanceId\"]"));
    taffrail.wait_for_log("instance metadata are needed, and AWS_EC2_METADATA_DISABLED forbids them");
    assert!(aws.calls("PutMetricData").is_empty());
}
