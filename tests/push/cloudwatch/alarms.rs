//! States of alarms.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use serde_json::json;

use super::scripted::{account, job, metrics, now, start, wait_for};
use crate::harness::aws::{Aws, Reply};
use crate::harness::server::FakeInflux;
use crate::harness::wait_until;

fn series(alarm: &str, state: &str, kind: &str) -> String {
    format!(
        "taffrail_cloudwatch_alarm_state{{account_id=\"111122223333\",alarm=\"{alarm}\",region=\"eu-west-1\",\
         state=\"{state}\",type=\"{kind}\"}}"
    )
}

#[test]
fn alarms_are_shown_with_each_state_and_pushed() {
    let plain = account(metrics(&["CPUUtilization"], 1), |_| vec![(now() - 2, 4.0)]);
    let aws = Aws::start(move |call| {
        if call.operation != "DescribeAlarms" {
            return plain(call);
        }
        let alarm = |name: &str, state: &str| json!({"AlarmName": name, "StateValue": state});
        Reply::Output(match call.input["NextToken"].as_str() {
            None => json!({"MetricAlarms": [alarm("cpu", "OK"), alarm("disk full", "ALARM")],
                "CompositeAlarms": [], "NextToken": "more"}),
            _ => json!({"MetricAlarms": [alarm("new", "MUTED"), alarm("test", "OK")],
                "CompositeAlarms": [alarm("all", "INSUFFICIENT_DATA")]}),
        })
    });
    let influx = FakeInflux::agreeable();
    // Two jobs that ask for the same.
    let settings = "namespace = \"AWS/EC2\"\nalarms = [\"[!t]*\"]\n";
    let second = job(&aws, &settings.replace("AWS/EC2", "Shop")).replace("[collectors]\ndefault = false\n", "");
    let config = format!(
        "[agent]\ninterval = \"1s\"\nflush_interval = \"100ms\"\nhostname = \"h\"\n{}{second}\n\
         [[sinks.influxdb]]\nurls = [\"{}\"]\ndatabase = \"d\"\n",
        job(&aws, settings),
        influx.url()
    );
    let taffrail = start(&config);
    assert_eq!(wait_for(&taffrail, &series("disk full", "ALARM", "metric")), 1.0);
    let exposition = taffrail.get("/metrics");
    let value = |alarm: &str, state: &str, kind: &str| exposition.sample(&series(alarm, state, kind));
    assert_eq!((value("disk full", "OK", "metric"), value("cpu", "OK", "metric")), (Some(0.0), Some(1.0)));
    assert_eq!(value("all", "INSUFFICIENT_DATA", "composite"), Some(1.0));
    assert_eq!((value("new", "MUTED", "metric"), value("new", "ALARM", "metric")), (Some(1.0), Some(0.0)));
    assert_eq!(value("test", "OK", "metric"), None);
    let asked = &aws.calls("DescribeAlarms")[0].input;
    assert_eq!(asked["AlarmTypes"], json!(["MetricAlarm", "CompositeAlarm"]));
    let expected = "cloudwatch_alarm,account=111122223333,alarm=disk\\ full,host=h,region=eu-west-1,type=metric \
        state=\"ALARM\",state_code=2i ";
    wait_until("the point", || influx.stored().iter().any(|line| line.starts_with(expected)).then_some(()));
    assert!(exposition.text().lines().filter(|line| line.starts_with("taffrail_refused_samples_total 0")).count() == 1);
}

#[test]
fn states_that_cannot_be_had_are_not_shown_and_cost_no_data() {
    let plain = account(metrics(&["CPUUtilization"], 1), |_| vec![(now() - 2, 4.0)]);
    let times = Arc::new(AtomicUsize::new(0));
    let asked = times.clone();
    let aws = Aws::start(move |call| match call.operation.as_str() {
        "DescribeAlarms" if asked.fetch_add(1, SeqCst) == 0 => {
            Reply::Output(json!({"MetricAlarms": [{"AlarmName": "cpu", "StateValue": "OK"}], "CompositeAlarms": []}))
        }
        "DescribeAlarms" => Reply::Error(403, "AccessDenied", "User: x is not authorized"),
        _ => plain(call),
    });
    let config = job(&aws, "namespace = \"AWS/EC2\"\nalarms = \"cpu\"").replace("max_age = \"1m\"", "max_age = \"1s\"");
    let taffrail = start(&config);
    wait_for(&taffrail, &series("cpu", "OK", "metric"));
    let said = taffrail.wait_for_log("cloudwatch:DescribeAlarms");
    assert!(
        said.contains("DescribeAlarms in eu-west-1: not allowed, the policy needs cloudwatch:DescribeAlarms"),
        "{said}"
    );
    assert_eq!(aws.calls("DescribeAlarms")[0].input["AlarmNames"], json!(["cpu"]));
    wait_until("no state", || {
        let exposition = taffrail.get("/metrics");
        let is_up = exposition
            .sample("taffrail_cloudwatch_up{account_id=\"111122223333\",job=\"AWS/EC2\",region=\"eu-west-1\"}");
        (is_up == Some(1.0) && !exposition.text().contains("taffrail_cloudwatch_alarm_state{")).then_some(())
    });
    assert_eq!(taffrail.logged("DescribeAlarms"), 1);
}
