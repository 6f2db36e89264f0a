//! Host metrics put into CloudWatch.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use serde_json::{Value, json};

use super::aws::{Aws, Call, Reply};
use super::harness::{Taffrail, recorded_host, wait_until};
use super::scripted::start;

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
    let mut taffrail = start(&config(&aws, "").replace("flush_interval = \"200ms\"", "flush_interval = \"1h\""));
    wait_until("points", || (counted(&taffrail, "taffrail_sink_queued_points", "") > 10.0).then_some(()));
    assert!(aws.calls("PutMetricData").is_empty());
    taffrail.signal(rustix::process::Signal::TERM);
    assert!(taffrail.wait().success());
    let calls = aws.calls("PutMetricData");
    let datum = data(&calls[0]).iter().find(|datum| datum["MetricName"] == "mem_used_percent").unwrap();
    // The host stands still, so that all its readings are one value, seen so many times.
    assert!(datum["Counts"][0].as_f64().unwrap() > 1.0 && datum["Values"].as_array().unwrap().len() == 1, "{datum}");
}
