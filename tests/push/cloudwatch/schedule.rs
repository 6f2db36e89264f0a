//! When data are asked for: again until they are published, and after an outage or a stop; and all with their times.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use super::scripted::{CPU, SERIES, account, job, metrics, now, own, queries, results, start, wait_for};
use crate::harness::aws::{Aws, Call, Reply};
use crate::harness::server::FakeInflux;
use crate::harness::wait_until;

fn time(call: &Call, name: &str) -> i64 {
    call.input[name].as_f64().unwrap() as i64
}

#[test]
fn what_is_published_late_is_asked_for_until_it_is_there_and_then_no_more() {
    const PERIOD: i64 = 10;
    // A datum is published four seconds after the end of its period.
    let newest = || (now() - 4) / PERIOD * PERIOD - PERIOD;
    let aws = Aws::start(account(metrics(&["CPUUtilization"], 1), move |_| {
        [newest() - PERIOD, newest()].map(|at| (at, at as f64)).to_vec()
    }));
    let settings = "namespace = \"AWS/EC2\"\ninterval = \"1s\"";
    let taffrail = start(&job(&aws, settings).replace("period = \"1s\"", "period = \"10s\""));
    let first = wait_for(&taffrail, &format!("{CPU}{SERIES}"));
    wait_until("two newer data", || {
        let shown = taffrail.get("/metrics").sample(&format!("{CPU}{SERIES}"));
        shown.filter(|shown| *shown >= first + 2.0 * PERIOD as f64)
    });
    let mut ends: BTreeMap<i64, usize> = BTreeMap::new();
    for call in aws.calls("GetMetricData") {
        *ends.entry(time(&call, "EndTime")).or_default() += 1;
    }
    let (_, full) = (ends.pop_first(), ends.pop_first().unwrap());
    assert!((2..=7).contains(&full.1), "until it is there: {full:?}");
    assert!(full.0 % PERIOD == 0 && ends.values().all(|requests| *requests <= 7), "{ends:?}");
}

/// The seconds of the points that InfluxDB has.
fn stored(influx: &FakeInflux) -> BTreeSet<i64> {
    let lines = influx.stored();
    let of_cloudwatch = lines.iter().filter(|line| line.starts_with("cloudwatch_aws_ec2"));
    of_cloudwatch.map(|line| line.rsplit_once(' ').unwrap().1.parse::<i64>().unwrap() / 1_000_000_000).collect()
}

/// An account with a datum of each second, in the range that is asked for.
fn each_second(count: usize) -> impl Fn(&Call) -> Reply + Send + Sync + 'static {
    let plain = account(metrics(&["CPUUtilization"], count), |_| Vec::new());
    move |call| match call.operation.as_str() {
        "GetMetricData" => {
            let range = time(call, "StartTime")..time(call, "EndTime");
            Reply::Output(results(call, |_| range.clone().map(|at| (at, at as f64)).collect()))
        }
        _ => plain(call),
    }
}

fn with_influx(config: &str, influx: &FakeInflux) -> String {
    format!(
        "[agent]\ninterval = \"1s\"\nflush_interval = \"100ms\"\nhostname = \"h\"\n{}\n\
         [[sinks.influxdb]]\nurls = [\"{}\"]\ndatabase = \"d\"\n",
        config.replace("\"1m\"", "\"3s\""),
        influx.url()
    )
}

/// Waits until there is a point of every second between `from` and now.
fn wait_until_whole(influx: &FakeInflux, from: i64) {
    wait_until("points without a gap", || {
        let (stored, until) = (stored(influx), now() - 2);
        (from..until).all(|second| stored.contains(&second)).then_some(())
    });
}

#[test]
fn what_an_outage_missed_is_asked_for_and_recent_metrics_alone_are_listed() {
    let plain = each_second(1);
    let is_down = Arc::new(AtomicBool::new(false));
    let down = is_down.clone();
    let aws = Aws::start(move |call| match down.load(SeqCst) {
        true => Reply::Error(400, "AccessDeniedException", "not now"),
        false => plain(call),
    });
    let influx = FakeInflux::agreeable();
    let taffrail = start(&with_influx(&job(&aws, "namespace = \"AWS/EC2\""), &influx));
    let first = wait_until("a point", || stored(&influx).first().copied());
    is_down.store(true, SeqCst);
    taffrail.wait_for_log("not now");
    // Longer than the window of three seconds.
    let since = now();
    wait_until("eight seconds", || (now() > since + 8).then_some(()));
    is_down.store(false, SeqCst);
    wait_until_whole(&influx, first);
    let longest = aws.calls("GetMetricData").iter().map(|call| time(call, "EndTime") - time(call, "StartTime")).max();
    assert!(longest.is_some_and(|longest| longest > 8), "one request for all of it: {longest:?}");
    let billed = own(&taffrail, "taffrail_cloudwatch_metrics_billed_total", "");
    assert!(billed <= aws.calls("GetMetricData").len() as f64, "time costs nothing");
    assert!(aws.calls("ListMetrics").iter().all(|call| call.input["RecentlyActive"] == "PT3H"));
}

#[test]
fn what_a_stop_missed_is_asked_for_as_far_as_the_bounds_allow() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let aws = Aws::start(each_second(3));
    let influx = FakeInflux::agreeable();
    let settings = |bounds: &str| format!("namespace = \"AWS/EC2\"\nstate = {state:?}\n{bounds}");
    let run = |bounds: &str| start(&with_influx(&job(&aws, &settings(bounds)), &influx));
    let taffrail = run("");
    let first = wait_until("a point", || stored(&influx).first().copied());
    // Sinks are given some seconds to send, so that the position is behind.
    let file = wait_until("a position", || {
        let file = std::fs::read_dir(&state).ok()?.next()?.ok()?.path();
        std::fs::read(&file).is_ok_and(|text| !text.is_empty()).then_some(file)
    });
    drop(taffrail);
    let since = now();
    wait_until("six seconds", || (now() > since + 6).then_some(()));
    let taffrail = run("");
    wait_until_whole(&influx, first);
    drop(taffrail);
    // Two hours are more than goes with a regular request: they are fetched after it, in parts.
    let ago = |seconds: i64| std::fs::write(&file, format!("{:019}\n", now() - seconds)).unwrap();
    ago(7200);
    let from = now() - 7100;
    let taffrail = run("");
    wait_until_whole(&influx, from);
    drop(taffrail);
    let calls = aws.calls("GetMetricData");
    let range = |call: &Call| time(call, "EndTime") - time(call, "StartTime");
    let asked = calls.iter().filter(|call| range(call) > 7000).map(|call| queries(call).len());
    assert_eq!(asked.collect::<Vec<_>>(), [2, 1], "20,000 data at once are enough");
    // A minute at most, and for two of three metrics.
    ago(7200);
    let before = calls.len();
    let taffrail = run("catch_up = \"1m\"");
    aws.wait_for_calls("GetMetricData", before + 3);
    drop(taffrail);
    assert!(aws.calls("GetMetricData")[before..].iter().all(|call| range(call) <= 61));
    // Metrics that ended in a longer stop are not recently active.
    ago(4 * 3600);
    let before = aws.calls("ListMetrics").len();
    assert!(aws.calls("ListMetrics").iter().all(|call| call.input["RecentlyActive"] == "PT3H"));
    let taffrail = run("budget = { dollars_per_catch_up = 0.00002 }");
    taffrail.wait_for_log("1 metrics are not caught up on: dollars_per_catch_up is used up");
    assert!(aws.calls("ListMetrics")[before].input["RecentlyActive"].is_null());
}

/// The samples of the family, by their times in seconds.
fn samples(exposition: &str) -> Vec<(i64, f64)> {
    let lines = exposition.lines().filter(|line| line.starts_with(CPU));
    let sample = |line: &str| {
        let (value, time) = line.rsplit_once("} ").unwrap().1.split_once(' ').unwrap();
        // Milliseconds in plain text, seconds in OpenMetrics.
        let time: f64 = time.parse().unwrap();
        ((if time > 1e11 { time / 1e3 } else { time }) as i64, value.parse().unwrap())
    };
    lines.map(sample).collect()
}

#[test]
fn all_data_points_are_shown_with_their_times_and_sent_once() {
    let base = now() - 20;
    let data: Arc<Mutex<Vec<(i64, f64)>>> = Arc::new(Mutex::new((0..5).map(|n| (base + n, n as f64)).collect()));
    let known = data.clone();
    let aws = Aws::start(account(metrics(&["CPUUtilization"], 1), move |_| known.lock().unwrap().clone()));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("series");
    let config = format!(
        "[agent]\ninterval = \"500ms\"\nflush_interval = \"100ms\"\n{}\n\
         [[sinks.file]]\npath = {:?}\ndata_format = \"prometheus\"\n",
        job(&aws, "namespace = \"AWS/EC2\"\nall_data_points = true"),
        file
    );
    let taffrail = start(&config);
    let expected: Vec<(i64, f64)> = data.lock().unwrap().clone();
    wait_until("all data points", || (samples(taffrail.get("/metrics").text()) == expected).then_some(()));
    let sent = || samples(&std::fs::read_to_string(&file).unwrap_or_default());
    wait_until("the file", || (sent().len() == 5).then_some(()));
    // One that is new, one that is late, one that is corrected.
    data.lock().unwrap().splice(.., [(base + 6, 6.0), (base - 1, -1.0), (base + 4, 4.5)]);
    wait_until("three more", || (sent().len() == 8).then_some(()));
    let asked = aws.calls("GetMetricData").len();
    aws.wait_for_calls("GetMetricData", asked + 2);
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    sent().iter().for_each(|(at, _)| *counts.entry(at - base).or_default() += 1);
    assert_eq!(counts, [(-1, 1), (0, 1), (1, 1), (2, 1), (3, 1), (4, 2), (6, 1)].into());
    let shown: BTreeMap<i64, f64> = samples(taffrail.get("/metrics").text()).into_iter().collect();
    assert_eq!((shown[&(base + 4)], shown.len()), (4.5, 7));
}
