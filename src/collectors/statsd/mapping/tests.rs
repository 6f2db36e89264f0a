use super::*;

fn mapping(text: &str) -> Mapping {
    file::parse("m.yml", text).unwrap()
}

/// What a name becomes, as text.
fn mapped(mapping: &Mapping, name: &str, kind: MetricKind) -> String {
    match mapping.map(name, kind) {
        Mapped::Dropped => "dropped".to_owned(),
        Mapped::Unmapped(_) => "unmapped".to_owned(),
        Mapped::Family(name, labels, _) => {
            let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
            format!("{name} {}", labels.join(",")).trim().to_owned()
        }
    }
}

const EXAMPLE: &str = r#"
defaults:
  observer_type: histogram
  histogram_options:
    buckets: [.1, 1, 10]
    native_histogram_bucket_factor: 1.1
  ttl: 1m
mappings:
# As in the README of statsd_exporter.
- match: "test.dispatcher.*.*.*"
  name: "dispatcher_events_total"
  labels:
    processor: "$1"
    action: "$2"
    outcome: "${3}"
    job: "test_dispatcher"
- match: "*.signup.*.*"
  name: "signup_events_total"
  match_metric_type: counter
  labels: {provider: "$2", outcome: "$3"}
- match: "client.*.request_*"
  match_type: regex
  name: "never"
- match: '^(\w+)\.http\.(get|post)\.(\d+)$'
  match_type: regex
  name: "http_${1}_requests"
  help: "Requests by code"
  labels: {method: "$2", code: "$3"}
  observer_type: summary
  summary_options:
    quantiles: [{quantile: 0.95, error: 0.005}, {quantile: 0.5, error: 0.05}]
    max_age: 30s
    age_buckets: 3
    buf_cap: 1000
  ttl: 0s
  scale: 0.5
  honor_labels: true
- match: "*.signup.x.y"
  name: "specific"
- match: "."
  match_type: regex
  action: drop
  name: "dropped"
  match_metric_type: gauge
"#;

#[test]
fn names_are_mapped_as_by_statsd_exporter() {
    let mapping = mapping(EXAMPLE);
    let (counter, gauge, observer) = (MetricKind::Counter, MetricKind::Gauge, MetricKind::Observer);
    for (name, kind, expected) in [
        (
            "test.dispatcher.FooProcessor.send.success",
            counter,
            "dispatcher_events_total action=send,job=test_dispatcher,outcome=success,processor=FooProcessor",
        ),
        ("test.dispatcher.a.b", counter, "unmapped"),
        ("foo.signup.facebook.failure", counter, "signup_events_total outcome=failure,provider=facebook"),
        ("foo.signup.x.y", counter, "signup_events_total outcome=y,provider=x"),
        ("foo.signup.x.y", observer, "specific"),
        ("foo.signup.facebook.failure", gauge, "dropped"),
        ("web.http.get.200", observer, "http_web_requests code=200,method=get"),
        ("web.http.get.20x", observer, "unmapped"),
        ("web-1.http.get.200", observer, "unmapped"),
        ("client.1.request_x", counter, "never"),
    ] {
        assert_eq!(mapped(&mapping, name, kind), expected, "{name}");
    }
    let Mapped::Family(_, _, options) = mapping.map("web.http.get.200", MetricKind::Observer) else { panic!() };
    assert_eq!((options.help.as_deref(), options.honors_labels, options.scale), (Some("Requests by code"), true, 0.5));
    assert_eq!(options.ttl, Some(Duration::from_secs(60)), "a ttl of 0 is the default's");
    let Observer::Summary(summary) = &options.observer else { panic!() };
    assert_eq!((summary.max_age, summary.age_buckets), (Duration::from_secs(30), 3));
    assert_eq!(summary.objectives, [(0.5, 0.05), (0.95, 0.005)]);
    let Mapped::Unmapped(options) = mapping.map("x.y", MetricKind::Counter) else { panic!() };
    assert!(matches!(&options.observer, Observer::Histogram(bounds) if **bounds == [0.1, 1.0, 10.0]));
}

#[test]
fn without_order_the_most_specific_glob_wins() {
    let globs = "mappings: [{match: a.*.*, name: wide}, {match: a.b.*, name: middle}, {match: a.*.c, name: end}]";
    let ordered = mapping(globs);
    let unordered = mapping(&format!("defaults: {{glob_disable_ordering: true}}\n{globs}"));
    for (name, first, specific) in [("a.b.c", "wide", "middle"), ("a.x.c", "wide", "end"), ("a.x.y", "wide", "wide")] {
        assert_eq!(mapped(&ordered, name, MetricKind::Counter), first);
        assert_eq!(mapped(&unordered, name, MetricKind::Counter), specific, "{name}");
    }
}

#[test]
fn references_have_the_rules_of_globs_and_of_go() {
    let mapping = mapping(
        "mappings:\n- {match: 'a.*', name: 'n_${1}_x$1_y', labels: {l: 'p$1-${2}.$0$'}}\n\
         - {match: '^b[.](.+)$', match_type: regex, name: 'n_${1}_x', labels: {l: '$1_x'}}\n",
    );
    assert_eq!(mapped(&mapping, "a.q", MetricKind::Gauge), "n_q_x l=pq-.");
    assert_eq!(mapped(&mapping, "b.q", MetricKind::Gauge), "n_q_x l=");
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_its_line() {
    for (text, error) in [
        ("mappings:\n- match: a.b*\n  name: x\n", "m.yml:2:10: mappings[0].match: expected parts of letters"),
        ("mappings:\n- match: a\n  name: x y\n", "m.yml:3:9: mappings[0].name: expected a name"),
        ("mappings:\n- match: a\n", "mappings[0].name: expected a name"),
        ("mappings:\n- match: '('\n  match_type: regex\n  name: x\n", "expected a regular expression"),
        ("mappings:\n- {match: a, name: x, labels: {a-b: c}}\n", "labels.a-b: expected a name of letters"),
        ("mappings:\n- {match: a, name: x, action: keep}\n", "action: expected map, drop, found \"keep\""),
        ("mappings:\n- {match: a, name: x, tll: 1m}\n", "tll: unknown key; did you mean ttl?"),
        ("mappings:\n- {match: a, name: x, histogram_options: {buckets: [2, 1]}}\n", "expected ascending bounds"),
        ("mappings:\n- {match: a, name: x, histogram_options: {buckets: [.inf, 1]}}\n", "expected ascending bounds"),
        ("defaults: {summary_options: {quantiles: [{quantile: 2, error: 1}]}}\n", "expected a number from 0 to 1"),
        ("mappings: [\n", "m.yml:"),
    ] {
        let found = file::parse("m.yml", text).unwrap_err();
        assert!(found.contains(error), "{text}: {found}");
    }
    assert_eq!(mapping("").len(), 0);
    let infinite = mapping("defaults: {observer_type: histogram, histogram_options: {buckets: [1, .inf]}}\n");
    let Mapped::Unmapped(options) = infinite.map("x", MetricKind::Observer) else { panic!() };
    assert!(matches!(&options.observer, Observer::Histogram(bounds) if **bounds == [1.0]));
}
