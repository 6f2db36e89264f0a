//! Each failure costs its own data, is said once, and is over when AWS says so.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use super::scripted::{
    CPU, SERIES, account, asked, daily_job, job, metrics, now, own, queries, results, start, wait_for,
};
use crate::harness::aws::{Aws, Call, Reply};
use crate::harness::golden::assert_families;
use crate::harness::{Taffrail, wait_until};

const EC2: &str = "namespace = \"AWS/EC2\"";

fn series(instance: usize) -> String {
    format!("{CPU}{}", SERIES.replace("i-0", &format!("i-{instance}")))
}

/// How many times something was logged, once it was logged at all.
fn logged(taffrail: &Taffrail, text: &str) -> usize {
    taffrail.wait_for_log(text);
    taffrail.logged(text)
}

#[test]
fn an_answer_in_pages_is_put_together() {
    let plain = account(metrics(&["CPUUtilization"], 3), |_| Vec::new());
    let aws = Aws::start(move |call| {
        if call.operation != "GetMetricData" {
            return plain(call);
        }
        let result = |query: usize, value: f64, status: &str| json!({"Id": format!("q{query}"), "Timestamps": [now() - 2], "Values": [value], "StatusCode": status});
        Reply::Output(match call.input["NextToken"].as_str() {
            None => {
                json!({"MetricDataResults": [result(0, 1.0, "Complete"), result(1, 2.0, "PartialData")], "NextToken": "a"})
            }
            Some("a") => json!({"MetricDataResults": [result(1, 2.0, "Complete")], "NextToken": "b"}),
            _ => json!({"MetricDataResults": [result(2, 3.0, "Complete")]}),
        })
    });
    let taffrail = start(&job(&aws, &format!("{EC2}\nalarms = \"*\"")));
    assert_eq!(wait_for(&taffrail, &series(2)), 3.0);
    let alarm = "account_id=\"111122223333\",alarm=\"cpu\",region=\"eu-west-1\",state=\"OK\",type=\"metric\"";
    assert_eq!(wait_for(&taffrail, &format!("taffrail_cloudwatch_alarm_state{{{alarm}}}")), 1.0);
    let exposition = taffrail.get("/metrics");
    assert_eq!((exposition.sample(&series(0)), exposition.sample(&series(1))), (Some(1.0), Some(2.0)));
    assert_families("cloudwatch", exposition.text(), &["taffrail_cloudwatch_", "aws_"]);
    assert_eq!(taffrail.logged("WARN"), 0, "{:?}", taffrail.log());
}

#[test]
fn an_answer_without_end_is_a_failure_of_any_api() {
    let plain = account(metrics(&["CPUUtilization"], 1), |_| vec![(now() - 2, 7.0)]);
    let is_broken = Arc::new(AtomicBool::new(true));
    let broken = is_broken.clone();
    let aws = Aws::start(move |call| match call.operation.as_str() {
        _ if broken.load(SeqCst) => Reply::Endless,
        "ListAccountAliases" => {
            let xml = "<ListAccountAliasesResponse><ListAccountAliasesResult><AccountAliases><member>shop</member>\
                </AccountAliases></ListAccountAliasesResult></ListAccountAliasesResponse>";
            Reply::Raw(200, "text/xml".to_owned(), xml.as_bytes().to_vec())
        }
        _ => plain(call),
    });
    let settings = "account_alias = true\nalarms = \"*\"\ndiscovery_interval = \"1s\"";
    let taffrail = start(&job(&aws, &format!("{EC2}\n{settings}")));
    for (operation, region, bound) in [
        ("ListMetrics", "eu-west-1", "16 MiB"),
        ("GetResources", "eu-west-1", "16 MiB"),
        ("DescribeAlarms", "eu-west-1", "16 MiB"),
        ("GetCallerIdentity", "eu-west-1", "256 KiB"),
        ("ListAccountAliases", "us-east-1", "16 MiB"),
    ] {
        taffrail.wait_for_log(&format!("{operation} in {region}: expected at most {bound}, found a longer answer"));
    }
    is_broken.store(false, SeqCst);
    let alias = SERIES.replace('{', "{account_alias=\"shop\",");
    assert_eq!(wait_for(&taffrail, &format!("{CPU}{alias}")), 7.0);
    is_broken.store(true, SeqCst);
    taffrail.wait_for_log("GetMetricData in eu-west-1: expected at most 16 MiB, found a longer answer");
}

#[test]
fn what_is_no_answer_of_aws_is_shown() {
    let plain = account(metrics(&["CPUUtilization"], 1), |_| vec![(now() - 2, 7.0)]);
    let raw = |status: u16, body: &[u8]| Reply::Raw(status, "application/cbor".to_owned(), body.to_vec());
    let aws = Aws::start(move |call| match call.operation.as_str() {
        "ListMetrics" => raw(400, b""),
        "GetResources" => raw(404, b"\xff\x00\x1bsecret"),
        // The location is in the type, which is written into the head.
        "DescribeAlarms" => {
            Reply::Raw(302, "text/plain\r\nlocation: https://login.example/a".to_owned(), b"moved".to_vec())
        }
        _ => plain(call),
    });
    let taffrail = start(&job(&aws, &format!("{EC2}\nalarms = \"*\"")));
    for text in [
        "ListMetrics in eu-west-1: status 400, and no answer of AWS: an empty response",
        "GetResources in eu-west-1: status 404, and no answer of AWS: \\xff\\x00\\x1bsecret",
        "DescribeAlarms in eu-west-1: status 302, and no answer of AWS: a redirect to https://login.example/a",
    ] {
        taffrail.wait_for_log(text);
    }
}

#[test]
fn what_failed_inside_is_asked_for_again_and_nothing_else_is() {
    let plain = account(metrics(&["CPUUtilization"], 3), |_| Vec::new());
    let is_broken = Arc::new(AtomicBool::new(true));
    let broken = is_broken.clone();
    let aws = Aws::start(move |call| {
        if call.operation != "GetMetricData" {
            return plain(call);
        }
        let mut output = results(call, |_| vec![(now() - 2, 7.0)]);
        for (index, query) in queries(call).iter().enumerate() {
            if asked(query).1 == "i-1" && broken.load(SeqCst) {
                output["MetricDataResults"][index] =
                    json!({"Id": query["Id"], "StatusCode": "InternalError", "Timestamps": [], "Values": []});
            }
        }
        Reply::Output(output)
    });
    let taffrail = start(&daily_job(&aws, EC2));
    assert_eq!((wait_for(&taffrail, &series(0)), wait_for(&taffrail, &series(2))), (7.0, 7.0));
    assert_eq!(taffrail.get("/metrics").sample(&series(1)), None);
    assert_eq!(own(&taffrail, "taffrail_cloudwatch_up", ""), 0.0);
    assert_eq!(logged(&taffrail, "InternalError for some metrics"), 1);
    is_broken.store(false, SeqCst);
    assert_eq!(wait_for(&taffrail, &series(1)), 7.0);
    let again = &aws.calls("GetMetricData")[1];
    assert_eq!(queries(again).iter().map(|query| asked(query).1).collect::<Vec<_>>(), ["i-1"]);
    taffrail.wait_for_log("what was asked for: recovered");
}

#[test]
fn a_throttled_request_loses_nobody_elses_data_and_is_made_again() {
    let plain = account(metrics(&["CPUUtilization"], 501), |_| vec![(now() - 2, 7.0)]);
    let throttled = Arc::new(AtomicUsize::new(0));
    let times = throttled.clone();
    let aws = Aws::start(move |call| {
        // The second request of the first refresh, with all attempts of the SDK.
        if call.operation == "GetMetricData" && queries(call).len() == 1 && times.fetch_add(1, SeqCst) < 4 {
            return Reply::Error(400, "com.amazonaws.cloudwatch#ThrottlingException", "Rate exceeded");
        }
        plain(call)
    });
    let taffrail = start(&job(&aws, EC2));
    assert_eq!(wait_for(&taffrail, &series(0)), 7.0);
    assert_eq!(wait_for(&taffrail, &series(99)), 7.0);
    let exposition = taffrail.get("/metrics");
    assert_eq!(exposition.text().lines().filter(|line| line.starts_with(CPU)).count(), 501);
    assert_eq!(own(&taffrail, "taffrail_cloudwatch_throttles_total", "GetMetricData"), 4.0);
    assert_eq!(logged(&taffrail, "throttled (ThrottlingException): Rate exceeded"), 1);
}

#[test]
fn a_permission_that_is_missing_is_named_once() {
    let plain = account(metrics(&["CPUUtilization"], 1), |_| vec![(now() - 2, 7.0)]);
    let aws = Aws::start(move |call| match call.operation.as_str() {
        "GetResources" => Reply::Error(400, "AccessDeniedException", "User: arn:aws:iam::1:user/x is not authorized"),
        _ => plain(call),
    });
    let taffrail = start(&job(&aws, &format!("{EC2}\ndiscovery_interval = \"1s\"")));
    assert_eq!(wait_for(&taffrail, &series(0)), 7.0, "without tags, not without data");
    aws.wait_for_calls("GetResources", 3);
    let said = "GetResources in eu-west-1: not allowed, the policy needs tag:GetResources: User: arn:aws:iam::1:user/x";
    assert_eq!(logged(&taffrail, said), 1, "{:?}", taffrail.log());
}

#[test]
fn a_discovery_that_fails_keeps_what_the_last_one_found() {
    let plain = account(Vec::new(), |_| vec![(now() - 2, 7.0)]);
    let lists = Arc::new(AtomicUsize::new(0));
    let count = lists.clone();
    let aws = Aws::start(move |call| {
        if call.operation != "ListMetrics" {
            return plain(call);
        }
        // The second list breaks off after its first page.
        match (count.fetch_add(1, SeqCst), call.input["NextToken"].as_str()) {
            (0, _) => Reply::Output(json!({"Metrics": metrics(&["CPUUtilization"], 3)})),
            (_, None) => Reply::Output(json!({"Metrics": metrics(&["CPUUtilization"], 1), "NextToken": "more"})),
            _ => Reply::Error(403, "AccessDenied", "no longer"),
        }
    });
    let taffrail = start(&job(&aws, &format!("{EC2}\ndiscovery_interval = \"1s\"")));
    assert_eq!(logged(&taffrail, "the policy needs cloudwatch:ListMetrics: no longer"), 1);
    let before = aws.calls("GetMetricData").len();
    let later = aws.wait_for_calls("GetMetricData", before + 2);
    assert_eq!(queries(later.last().unwrap()).len(), 3);
    assert_eq!(own(&taffrail, "taffrail_cloudwatch_metrics", ""), 3.0);
    assert!(own(&taffrail, "taffrail_cloudwatch_discovery_age_seconds", "") >= 0.0);
}

#[test]
fn credentials_that_expire_are_said_once_and_their_renewal_too() {
    let plain = account(metrics(&["CPUUtilization"], 1), |_| vec![(now() - 2, 7.0)]);
    let is_expired = Arc::new(AtomicBool::new(true));
    let expired = is_expired.clone();
    let aws = Aws::start(move |call| match call.operation.as_str() {
        "GetMetricData" if expired.load(SeqCst) => {
            Reply::Error(403, "ExpiredTokenException", "The security token included in the request is expired")
        }
        _ => plain(call),
    });
    let taffrail = start(&job(&aws, EC2));
    aws.wait_for_calls("GetMetricData", 3);
    let said = "the credentials are refused (ExpiredTokenException), renew or replace them: The security token";
    assert_eq!(logged(&taffrail, said), 1);
    is_expired.store(false, SeqCst);
    assert_eq!(wait_for(&taffrail, &series(0)), 7.0);
    taffrail.wait_for_log("what was asked for: recovered");
}

#[test]
fn an_outage_is_told_once_and_shows_no_access_key() {
    let plain = account(metrics(&["CPUUtilization"], 1), |_| vec![(now() - 2, 7.0)]);
    let is_down = Arc::new(AtomicBool::new(true));
    let down = is_down.clone();
    let aws = Aws::start(move |call| match down.load(SeqCst) {
        true => Reply::Error(500, "InternalFailure", "Credential=AKIAIOSFODNN7EXAMPLE/20260101 is not to blame"),
        false => plain(call),
    });
    let taffrail = start(&job(&aws, &format!("{EC2}\ndiscovery_interval = \"1s\"")));
    // Each is repeated by the SDK.
    aws.wait_for_calls("ListMetrics", 8);
    let reported = |level: &str| taffrail.log().iter().filter(|line| line.contains(level)).count();
    taffrail.wait_for_log("is not to blame");
    assert!((1..=3).contains(&reported("WARN")), "a line for each step: {:#?}", taffrail.log());
    is_down.store(false, SeqCst);
    assert_eq!(wait_for(&taffrail, &series(0)), 7.0);
    taffrail.wait_for_log("the list of metrics: recovered");
    let log = taffrail.log().join("\n");
    assert!(!log.contains("AKIA") && !log.contains("credentials are"), "{log}");
    assert!(taffrail.log().len() <= 8, "{log}");
}

#[test]
fn a_region_that_is_down_costs_its_own_data_only_and_no_scrape_waits() {
    let plain = account(metrics(&["CPUUtilization"], 1), |_| vec![(now() - 2, 7.0)]);
    let aws = Aws::start(move |call| match call.region.as_str() {
        "eu-north-1" if call.operation != "GetCallerIdentity" => Reply::Silence(Duration::from_secs(20)),
        _ => plain(call),
    });
    let config = job(&aws, EC2).replace("[\"eu-west-1\"]", "[\"eu-north-1\", \"eu-west-1\"]");
    let taffrail = start(&config);
    assert_eq!(wait_for(&taffrail, &series(0)), 7.0);
    let asked_at = Instant::now();
    let exposition = taffrail.get("/metrics");
    // A scrape that waited would wait for the silence.
    assert!(asked_at.elapsed() < Duration::from_secs(15));
    assert!(
        exposition.text().contains("taffrail_cloudwatch_up{job=\"AWS/EC2\",region=\"eu-north-1\"} 0")
            || exposition
                .text()
                .contains("taffrail_cloudwatch_up{account_id=\"\",job=\"AWS/EC2\",region=\"eu-north-1\"} 0"),
        "{}",
        exposition.text()
    );
}

#[test]
fn a_budget_puts_off_what_is_too_much_and_says_so() {
    let aws = Aws::start(account(metrics(&["CPUUtilization"], 30), |_| vec![(now() - 2, 7.0)]));
    let taffrail = start(&job(&aws, &format!("{EC2}\nbudget = {{ metrics_per_hour = 20 }}")));
    taffrail.wait_for_log("the job's budget of this hour is used up");
    wait_until("twenty metrics", || {
        let exposition = taffrail.get("/metrics");
        (exposition.text().lines().filter(|line| line.starts_with(CPU)).count() == 20).then_some(())
    });
    assert_eq!(own(&taffrail, "taffrail_cloudwatch_metrics_billed_total", ""), 20.0);
    assert!(own(&taffrail, "taffrail_cloudwatch_metrics_deferred_total", "") >= 10.0);
    assert_eq!(own(&taffrail, "taffrail_cloudwatch_metrics", ""), 30.0);
    let asked: usize = aws.calls("GetMetricData").iter().map(|call| queries(call).len()).sum();
    assert_eq!((asked, taffrail.logged("budget")), (20, 1));
}

/// What was sent to InfluxDB of CloudWatch: without the collector's own counts.
fn points(lines: &[String]) -> Vec<String> {
    lines.iter().filter(|line| line.starts_with("cloudwatch_")).cloned().collect()
}

#[test]
fn every_datum_is_pushed_once_also_when_it_comes_late_or_is_corrected() {
    use crate::harness::server::FakeInflux;
    let base = now() - 30;
    let data: Arc<Mutex<Vec<(i64, f64)>>> = Arc::new(Mutex::new(vec![(base, 1.0), (base + 1, 2.0)]));
    let known = data.clone();
    let aws = Aws::start(account(metrics(&["CPUUtilization"], 1), move |_| known.lock().unwrap().clone()));
    let influx = FakeInflux::agreeable();
    // The first tick is later than the first answer.
    let config = format!(
        "[agent]\ninterval = \"1s\"\nflush_interval = \"100ms\"\nhostname = \"h\"\n{}\n\
         [[sinks.influxdb]]\nurls = [\"{}\"]\ndatabase = \"d\"\n",
        job(&aws, &format!("{EC2}\nstatistics = [\"Average\", \"Maximum\"]")),
        influx.url()
    );
    let taffrail = start(&config);
    let wait_for_points = |count: usize| {
        wait_until(&format!("{count} points"), || Some(points(&influx.stored())).filter(|points| points.len() >= count))
    };
    wait_for_points(2);
    // One that is late, and one that was not yet whole.
    data.lock().unwrap().splice(.., [(base - 5, 0.5), (base, 1.0), (base + 1, 2.5)]);
    wait_for_points(4);
    // A reload of the sink loses none and repeats none.
    data.lock().unwrap().push((base + 2, 3.0));
    taffrail.reload(&config.replace("database = \"d\"", "database = \"d\"\nretry_min = \"2s\""));
    wait_for_points(5);
    let asked = aws.calls("GetMetricData").len();
    aws.wait_for_calls("GetMetricData", asked + 2);
    let line = |at: i64, value: &str| {
        format!(
            "cloudwatch_aws_ec2,host=h,instance_id=i-0,region=eu-west-1 \
             cpu_utilization_average={value},cpu_utilization_maximum={value} {at}000000000"
        )
    };
    let expected =
        [line(base, "1"), line(base + 1, "2"), line(base - 5, "0.5"), line(base + 1, "2.5"), line(base + 2, "3")];
    assert_eq!(points(&influx.stored()), expected);
}

#[test]
fn without_credentials_it_says_where_they_are_looked_for() {
    let aws = Aws::start(|call: &Call| panic!("{call:?}"));
    let environment: Vec<(&str, &str)> =
        super::scripted::ENVIRONMENT.into_iter().filter(|(name, _)| !name.contains("ACCESS_KEY")).collect();
    let config = job(&aws, EC2);
    let taffrail = Taffrail::start_with_environment("run", &config, &["--listen", "127.0.0.1:0"], &environment);
    let said = taffrail.wait_for_log("no credentials");
    assert!(said.contains("cloudwatch") && said.contains("job=\"AWS/EC2\""), "{said}");
}
