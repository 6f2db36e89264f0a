//! Native histograms: those that Prometheus takes come through, others are refused.

use taffrail::encode::parse::model::{Buckets, Histogram, Kind, Measure, Metric, Native};
use taffrail::encode::parse::{Format, Limits, parse};
use taffrail::encode::pushed::{push_family_message, push_metric_message};

use super::more::{ok, prometheus_of};
use crate::harness::gateway::{Gateway, Own};
use crate::harness::http::{Request, request};

pub(crate) const DELIMITED: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// A sound histogram with native buckets, and with a `change` to it.
fn native_histogram(change: impl FnOnce(&mut Histogram, &mut Native)) -> Metric<'static> {
    let positive = Buckets { spans: vec![(0, 2), (3, 1)], deltas: vec![1, 2, -1], counts: Vec::new() };
    let mut native = Native { schema: 3, zero_threshold: 0.5, zero_count: 2.0, positive, ..Native::default() };
    let mut histogram = Histogram { count: 8.0, sum: 12.5, buckets: Vec::new(), native: None };
    change(&mut histogram, &mut native);
    histogram.native = Some(native);
    let measure = Measure::Histogram(Box::new(histogram));
    Metric { labels: Vec::new(), measure, timestamp: None, created: None }
}

/// A push of the family `h` with this metric.
fn push_of(method: &'static str, path: &str, metric: &Metric<'_>) -> Request {
    let (mut metrics, mut body) = (Vec::new(), Vec::new());
    push_metric_message(&mut metrics, Kind::Histogram, metric);
    push_family_message(&mut body, "h", Kind::Histogram, "Native.", &metrics);
    request(method, path, body).header("Content-Type", DELIMITED)
}

type Change = fn(&mut Histogram, &mut Native);

/// What makes a histogram one that Prometheus, or the arithmetic of an index, does not take.
const UNSOUND: [(&str, Change); 12] = [
    ("a bucket below 0", |_, native| native.positive.deltas = vec![1, -5, 0]),
    ("a longer span", |_, native| native.positive.spans = vec![(0, 4)]),
    ("a shorter span", |_, native| native.positive.spans = vec![(0, 2)]),
    ("an endless span", |_, native| native.positive.spans = vec![(0, u32::MAX)]),
    ("a span far below", |_, native| native.positive.spans = vec![(i32::MIN, 3)]),
    ("spans far above", |_, native| native.positive.spans = vec![(i32::MAX, 1), (i32::MAX, 2)]),
    ("a span backwards", |_, native| native.positive.spans = vec![(0, 2), (-1, 1)]),
    ("a schema of 100", |_, native| native.schema = 100),
    ("a threshold that is no number", |_, native| native.zero_threshold = f64::NAN),
    ("deltas that overflow", |_, native| native.positive.deltas = vec![1 << 62; 3]),
    ("a smaller count", |histogram, _| histogram.count = 7.0),
    ("a larger count", |histogram, _| histogram.count = 9.0),
];

#[test]
fn a_native_histogram_that_contradicts_itself_is_refused() {
    let gateway = Own::start("");
    for (number, (name, change)) in UNSOUND.into_iter().enumerate() {
        for path in [format!("/metrics/job/{number}"), format!("/metrics/job/{number}?mode=aggregate")] {
            let refused = gateway.send(&push_of("POST", &path, &native_histogram(change)));
            assert!(refused.status == 400 && refused.body.contains("a metric of \"h\" has "), "{name}: {refused:?}");
        }
        let marked = format!("push_failure_time_seconds{{instance=\"\",job=\"{number}\"}}");
        assert!(gateway.sample(&marked).is_some_and(|time| time > 0.0), "{name}");
    }
    let refused = gateway.sample("taffrail_gateway_pushes_total{outcome=\"refused\"}");
    assert_eq!(refused, Some(2.0 * UNSOUND.len() as f64));
}

#[test]
fn native_histograms_are_scraped_as_they_were_pushed() {
    let metric = native_histogram(|_, _| ());
    let folder = tempfile::tempdir().unwrap();
    let gateway = Own::keeping(folder.path(), "");
    ok(gateway.send(&push_of("PUT", "/metrics/job/a", &metric)));
    gateway.signal(rustix::process::Signal::KILL);
    drop(gateway);
    let gateway = Own::keeping(folder.path(), "");
    let url = format!("http://{}/metrics", gateway.address());
    let scraped = crate::harness::get(&url, &[("accept", DELIMITED)]).unwrap();
    let read = parse(Format::Protobuf, &scraped.body, &Limits::default()).unwrap();
    let family = read.families.iter().find(|family| family.name == "h").unwrap();
    assert_eq!(family.metrics[0].measure, metric.measure);
    assert_eq!(family.metrics[0].labels, [("instance".into(), "".into()), ("job".into(), "a".into())]);
}

#[test]
#[ignore = "needs Debian's package prometheus: tests/run"]
fn with_prometheus_that_pulls_every_native_histogram_that_is_taken() {
    let gateway = Own::start("");
    ok(gateway.put("/metrics/job/good", "good 1\n"));
    let sound: [(&str, Change); 7] = [
        ("as it is", |_, _| ()),
        ("far apart", |_, native| native.positive.spans = vec![(-(1 << 29), 2), (1 << 30, 1)]),
        ("no number", |histogram, _| (histogram.sum, histogram.count) = (f64::NAN, 20.0)),
        ("floats", |histogram, native| {
            (native.is_float, histogram.count) = (true, 5.5);
            (native.positive.deltas, native.positive.counts) = (Vec::new(), vec![0.5, 0.0, 4.0]);
        }),
        ("empty floats", |histogram, native| {
            (native.is_float, native.zero_count, histogram.count) = (true, 0.0, 0.0);
            (native.positive.deltas, native.positive.counts) = (Vec::new(), vec![0.0; 3]);
        }),
        ("nothing", |histogram, native| (*native, histogram.count) = (Native::default(), 3.0)),
        ("coarse", |_, native| native.schema = -4),
    ];
    for (name, change) in sound {
        let path = format!("/metrics/job/{}", name.replace(' ', "-"));
        ok(gateway.send(&push_of("PUT", &path, &native_histogram(change))));
        // What comes of adding it to another.
        for (method, metric) in [("PUT", native_histogram(change)), ("POST", native_histogram(|_, _| ()))] {
            let added = gateway.send(&push_of(method, &format!("{path}/added/1?mode=aggregate"), &metric));
            // Where the zero buckets differ there is no sum.
            assert!(added.status == 200 || added.body.contains("different widths"), "{name}: {added:?}");
        }
    }
    for (name, change) in UNSOUND {
        let refused = gateway.send(&push_of("PUT", "/metrics/job/bad", &native_histogram(change)));
        assert_eq!(refused.status, 400, "{name}");
    }
    let (_folder, prometheus) = prometheus_of(&gateway, &["--enable-feature=native-histograms"]);
    assert_eq!(prometheus.promql("up{job='gateway'} == 1"), [1.0]);
    assert_eq!(prometheus.promql("histogram_count(h{job='as-it-is',added=''})"), [8.0]);
    assert_eq!(prometheus.promql("histogram_count(h{job='as-it-is',added='1'})"), [16.0]);
    assert_eq!(prometheus.promql("histogram_count(h{job='floats',added='1'})"), [13.5]);
    assert_eq!(prometheus.promql("good"), [1.0]);
    let target = &prometheus.json("/api/v1/targets")["data"]["activeTargets"][0];
    assert_eq!((target["health"].as_str(), target["lastError"].as_str()), (Some("up"), Some("")));
}
