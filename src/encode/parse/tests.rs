use super::*;
use crate::encode::pushed;

fn text(body: &str) -> Result<String, String> {
    printed(Format::Text, body.as_bytes())
}

fn open_metrics(body: &str) -> Result<String, String> {
    printed(Format::OpenMetrics, body.as_bytes())
}

/// A line `NAME KIND {labels} measure; …` for each family.
fn printed(format: Format, body: &[u8]) -> Result<String, String> {
    let parsed = parse(format, body, &Limits::default()).map_err(|error| error.to_string())?;
    let metric = |metric: &Metric<'_>| {
        let labels: Vec<_> = metric.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let measure = match &metric.measure {
            Measure::Number(number) => format!("{number}"),
            Measure::Summary { count, sum, quantiles } => format!("count {count} sum {sum} {quantiles:?}"),
            Measure::Histogram(histogram) => {
                format!("count {} sum {} {:?}", histogram.count, histogram.sum, histogram.buckets)
            }
        };
        let at = metric.timestamp.map(|at| format!(" @{at}")).unwrap_or_default();
        let created = metric.created.map(|created| format!(" since {created}")).unwrap_or_default();
        format!("{{{}}} {measure}{at}{created}", labels.join(","))
    };
    let family = |family: &Family<'_>| {
        let metrics: Vec<_> = family.metrics.iter().map(metric).collect();
        format!("{} {:?} {}", family.name, family.kind, metrics.join("; "))
    };
    Ok(parsed.families.iter().map(family).collect::<Vec<_>>().join("\n"))
}

#[test]
fn text_is_read() {
    let cases = [
        ("", ""),
        ("# a comment\n\n# TYPE nothing gauge\n", ""),
        ("a 1\n", "a Untyped {} 1"),
        ("\t a \t 1e3\n", "a Untyped {} 1000"),
        ("a{} +1\na{b=\"c\",}2\n", "a Untyped {} 1; {b=\"c\"} 2"),
        ("a{z=\"1\",b=\"\\\"\\\\\\n\"} NaN 17\n", "a Untyped {b=\"\\\"\\\\\\n\",z=\"1\"} NaN @17"),
        ("# TYPE a COUNTER\na -Inf\n", "a Counter {} -inf"),
        ("# TYPE a gauge\na{x=\"1\"} 1\nb 2\na{x=\"2\"} 3\n", "a Gauge {x=\"1\"} 1; {x=\"2\"} 3\nb Untyped {} 2"),
        ("{\"a.b\",\"c d\"=\"e\"} 1\n", "a.b Untyped {c d=\"e\"} 1"),
        (
            "# TYPE s summary\ns{quantile=\"0.9\"} 3\ns{quantile=\"0.5\"} 2\ns_sum 10\ns_count 4\n",
            "s Summary {} count 4 sum 10 [(0.5, 2.0), (0.9, 3.0)]",
        ),
        (
            "# TYPE h histogram\nh_bucket{l=\"1\",le=\"+Inf\"} 4\nh_bucket{le=\"1\",l=\"1\"} 2\nh_sum{l=\"1\"} 10\nh_count{l=\"1\"} 4\n",
            "h Histogram {l=\"1\"} count 4 sum 10 [(1.0, 2.0), (inf, 4.0)]",
        ),
        ("# TYPE h histogram\nh 5\n", "h Histogram {} count 0 sum 0 []"),
        ("a_count 1\n# TYPE a summary\na_sum 2\n", "a_count Untyped {} 1\na Summary {} count 0 sum 2 []"),
        ("# EOF\na 1\n", "a Untyped {} 1"),
        ("a 1\n \t ", "a Untyped {} 1"),
        // Metadata without samples, and without a text.
        ("#\n# HELP\n# TYPE \n# HELP a\n# TYPE a\n# TYPE b \t\n# TYPE a gauge\na 1\n", "a Gauge {} 1"),
        ("# HELP a \n# HELP a x\na 1\n# TYPE a\n# HELP a\n", "a Untyped {} 1"),
        ("# TYPE s summary\n# HELP s_count x\ns_count 2\n", "s Summary {} count 2 sum 0 []"),
        ("# HELP a \\\"x\\\"\na 1\n", "a Untyped {} 1"),
        (
            "a INF\nb -inFinity\nc nan\nd -0\ne 1e-400\nf .5e+1\ng 5.\n",
            "a Untyped {} inf\nb Untyped {} -inf\nc Untyped {} NaN\nd Untyped {} -0\ne Untyped {} 0\nf Untyped {} 5\ng Untyped {} 5",
        ),
        (
            "# TYPE g gaugehistogram\ng_bucket{le=\"+Inf\"} 2\ng_gcount 2\ng_gsum -4\n",
            "g GaugeHistogram {} count 2 sum -4 [(inf, 2.0)]",
        ),
        (
            "# TYPE g GAUGE_HISTOGRAM\ng_bucket{le=\"1\"} 2\ng_count 3\ng_sum 4\n",
            "g GaugeHistogram {} count 3 sum 4 [(1.0, 2.0)]",
        ),
        // A NaN bound is ignored, and a bound of a count is not one of its labels.
        (
            "# TYPE h histogram\nh_bucket{le=\"nan\"} 1\nh_bucket 2\nh{le=\"1\"} 3\nh_count{le=\"1\"} 4\n",
            "h Histogram {} count 4 sum 0 [(1.0, 3.0)]",
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(text(body).as_deref(), Ok(expected), "{body}");
    }
}

#[test]
fn text_that_is_wrong_says_where() {
    let cases = [
        ("a 1", "line 1: unexpected end of input stream"),
        ("a 1\r\n", "line 1: expected float as value, got \"1\\r\""),
        ("a 0x1\n", "line 1: expected float as value"),
        ("a 1_0\n", "line 1: expected float as value"),
        ("a\n", "line 1: expected float as value, got \"\""),
        ("1a 1\n", "line 1: invalid metric name"),
        ("a 1\n# TYPE a gauge\n", "line 2: second TYPE line for metric name \"a\""),
        ("# HELP a x\n# HELP a y\n", "line 2: second HELP line"),
        ("# TYPE a info\n", "line 1: unknown metric type \"info\""),
        ("a{b=\"c\" 1\n", "line 1: unexpected end of label value"),
        ("a{b=\"c} 1\n", "line 1: a quote that is not closed"),
        ("a{b=\"\\t\"} 1\n", "line 1: invalid escape sequence"),
        ("a{b} 1\n", "line 1: expected '=' after label name"),
        ("a{b=1} 1\n", "line 1: expected '\"' at start of label value"),
        ("a{b=\"1\",b=\"2\"} 1\n", "line 1: label \"b\" is there twice"),
        ("a{__name__=\"b\"} 1\n", "line 1: label name \"__name__\" is reserved"),
        ("a 1 # {x=\"1\"} 2\n", "line 1: expected integer as timestamp, got \"#\""),
        ("# TYPE h histogram\nh_bucket{le=\"1\",l=\"1\",le=\"1\"} 1\n", "line 2: label \"le\" is there twice"),
        ("a 1\n b", "line 2: unexpected end of input stream"),
        ("a 1e400\n", "line 1: expected float as value, got \"1e400\", which is out of range"),
        ("a -1e309\n", "line 1: expected float as value, got \"-1e309\", which is out of range"),
        ("# TYPE h histogram\nh_bucket{le=\"1e400\"} 1\n", "line 2: expected float as value, got \"1e400\""),
        ("a 0x1p-2\n", "line 1: expected float as value"),
        ("a +nan\n", "line 1: expected float as value"),
        ("a .\n", "line 1: expected float as value"),
        ("a e5\n", "line 1: expected float as value"),
        ("a 1e\n", "line 1: expected float as value"),
        ("a +-1\n", "line 1: expected float as value"),
        ("a in\n", "line 1: expected float as value"),
        ("a 1\u{661}\n", "line 1: expected float as value"),
        ("# HELP a \\t\n", "line 1: invalid escape sequence"),
        ("# HELP a x\\\n", "line 1: invalid escape sequence"),
        ("# TYPE 1a gauge\n", "line 1: invalid metric name in comment"),
        ("# TYPE a{} gauge\n", "line 1: invalid metric name in comment"),
        ("# TYPE s summary\n# TYPE s_sum gauge\n", "line 2: second TYPE line for metric name \"s\""),
        ("# TYPE h histogram\nh_count -1\n", "line 2: negative count -1 of \"h_count\""),
        ("# TYPE h histogram\nh_bucket{le=\"1\"} -1\n", "line 2: negative count -1 of \"h_bucket\""),
        ("a{b=\"c\\", "line 1: unexpected end of input stream"),
        ("a{b=\"c\\\n", "line 1: a quote that is not closed"),
        ("a 1 2 3\n", "line 1: spurious string after timestamp"),
    ];
    for (body, expected) in cases {
        let error = text(body).unwrap_err();
        assert!(error.starts_with(&format!("text format parsing error in {expected}")), "{body:?}: {error}");
    }
    assert!(printed(Format::Text, b"a 1\nb{c=\"\xff\"} 1\n").unwrap_err().ends_with("line 2: invalid UTF-8"));
}

#[test]
fn open_metrics_is_read_as_what_text_would_make_of_it() {
    let cases = [
        ("# EOF\n", ""),
        ("# TYPE a counter\n# HELP a x\na_total 1\na_created 12.5\n# EOF\n", "a_total Counter {} 1 since 12.5"),
        ("# TYPE a info\na_info{v=\"1\"} 1\n# EOF\n", "a_info Info {v=\"1\"} 1"),
        ("# TYPE a stateset\na{a=\"on\"} 1\n# EOF\n", "a StateSet {a=\"on\"} 1"),
        ("# TYPE a unknown\na 1 1.5\n# EOF\n", "a Untyped {} 1 @1500"),
        (
            "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1 # {t=\"x\"} 0.5 1\nh_count 1\nh_sum 0.5\nh_created 3\n# EOF\n",
            "h Histogram {} count 1 sum 0.5 [(inf, 1.0)] since 3",
        ),
        (
            "# TYPE g gaugehistogram\ng_bucket{le=\"+Inf\"} 2\ng_gcount 2\ng_gsum 4\n# EOF\n",
            "g GaugeHistogram {} count 2 sum 4 [(inf, 2.0)]",
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(open_metrics(body).as_deref(), Ok(expected), "{body}");
    }
    let as_the_grammar_has_it = [
        ("# HELP a say \\\"q\\\"\n# TYPE a gauge\na 1\n# EOF\n", "a Gauge {} 1"),
        ("# HELP a \\d\\\u{fc}\na{b=\"\\d\\\u{fc}\\n\\\\\\\"\"} 1\n# EOF", "a Untyped {b=\"\\\\d\\\\ü\\n\\\\\\\"\"} 1"),
        (
            "# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total 1 1e3 # {} 2 1.5\n# EOF",
            "a_seconds_total Counter {} 1 @1000000",
        ),
        ("# TYPE a_total counter\na_total 1\na_created 2\n# EOF\n", "a_total Counter {} 1 since 2"),
        (
            "# TYPE a counter\na_total 1\n# TYPE a_created gauge\na_created 2\n# EOF\n",
            "a_total Counter {} 1\na_created Gauge {} 2",
        ),
        ("# TYPE a info\na_info{v=\"1\"} 1\n# EOF", "a_info Info {v=\"1\"} 1"),
    ];
    for (body, expected) in as_the_grammar_has_it {
        assert_eq!(open_metrics(body).as_deref(), Ok(expected), "{body}");
    }
    let help = |body: &str| {
        parse(Format::OpenMetrics, body.as_bytes(), &Limits::default()).unwrap().families[0].help.to_string()
    };
    assert_eq!(
        help("# HELP a say \\\"q\\\" \"r\" \\\\ \\n \\d\\\na 1\n# EOF".replace("\\d\\", "\\d").as_str()),
        "say \"q\" \"r\" \\ \n \\d"
    );
    // Creation times may follow all counts, or precede them.
    let counts = ["a_total{l=\"1\"} 1\n", "a_total{l=\"2\"} 2\n"];
    let created = ["a_created{l=\"1\"} 3\n", "a_created{l=\"2\"} 4\n"];
    for lines in
        [[counts, created].concat(), [created, counts].concat(), vec![counts[0], created[0], counts[1], created[1]]]
    {
        let body = format!("# TYPE a counter\n{}# EOF\n", lines.concat());
        let expected = "a_total Counter {l=\"1\"} 1 since 3; {l=\"2\"} 2 since 4";
        assert_eq!(open_metrics(&body).as_deref(), Ok(expected), "{body}");
    }
    assert!(open_metrics("a 1\n").unwrap_err().contains("expected # EOF"));
    assert!(open_metrics("# EOF\na 1\n").unwrap_err().contains("behind # EOF"));
    assert!(open_metrics("a 1\n# EOF\n\n").unwrap_err().contains("behind # EOF"));
    assert!(open_metrics("a 1\n# EO").unwrap_err().contains("line 2: unexpected end"));
    assert!(open_metrics("a 1 2 3\n# EOF\n").unwrap_err().contains("spurious string after timestamp"));
    assert!(open_metrics("a 1 NaN\n# EOF\n").unwrap_err().contains("expected seconds as timestamp"));
    assert!(open_metrics("a 1 # {} 1 2 3\n# EOF\n").unwrap_err().contains("spurious string after timestamp"));
    assert!(open_metrics("a 1 # {} 1e999\n# EOF\n").unwrap_err().contains("out of range"));
    assert!(open_metrics("a 1 # 5\n# EOF\n").unwrap_err().contains("labels of an exemplar"));
}

#[test]
fn no_part_of_a_metric_is_there_twice() {
    let histogram = |more: &str| {
        format!("# TYPE h histogram\nh_bucket{{l=\"1\",le=\"1\"}} 1\nh_count{{l=\"1\"}} 1\nh_sum{{l=\"1\"}} 1\n{more}")
    };
    let summary = |more: &str| format!("# TYPE s summary\ns{{quantile=\"0.5\"}} 1\ns_count 1\ns_sum 1\n{more}");
    for (body, twice) in [
        (histogram("h_bucket{le=\"1.0\",l=\"1\"} 2\n"), "h_bucket{l=\"1\",le=\"1\"}"),
        (histogram("h_bucket{l=\"1\",le=\"2\"} 2\nh_bucket{l=\"1\",le=\"1\"} 1\n"), "h_bucket{l=\"1\",le=\"1\"}"),
        (histogram("h_bucket{l=\"1\",le=\"0\"} 0\nh_bucket{l=\"1\",le=\"-0\"} 0\n"), "h_bucket{l=\"1\",le=\"-0\"}"),
        (
            histogram("h_bucket{l=\"1\",le=\"+Inf\"} 1\nh_bucket{l=\"1\",le=\"inf\"} 1\n"),
            "h_bucket{l=\"1\",le=\"+Inf\"}",
        ),
        (histogram("h_count{l=\"1\"} 1\n"), "h_count{l=\"1\"}"),
        (histogram("h_sum{l=\"2\"} 1\nh_sum{l=\"1\"} 1\n"), "h_sum{l=\"1\"}"),
        (summary("s{quantile=\".50\"} 1\n"), "s{quantile=\"0.5\"}"),
        (summary("s_sum 1\n"), "s_sum{}"),
        (summary("s_count{} 1\n"), "s_count{}"),
    ] {
        let expected = format!("{twice} is there twice");
        assert_eq!(text(&body), Err(expected.clone()), "{body}");
        assert_eq!(open_metrics(&format!("{body}# EOF\n")), Err(expected), "{body}");
    }
    let created = "# TYPE a counter\na_total 1\na_total{l=\"1\"} 1\na_created 1\na_created 1\n# EOF\n";
    assert_eq!(open_metrics(created), Err("a_created{} is there twice".to_owned()));
    let created = "# TYPE s summary\ns_count 1\ns_created 1\ns_created 1\n# EOF\n";
    assert_eq!(open_metrics(created), Err("s_created{} is there twice".to_owned()));
}

/// The families of a text as concatenated delimited messages.
fn messages(bodies: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for body in bodies {
        for family in &parse(Format::Text, body.as_bytes(), &Limits::default()).unwrap().families {
            let mut metrics = Vec::new();
            family.metrics.iter().for_each(|metric| pushed::push_metric_message(&mut metrics, family.kind, metric));
            pushed::push_family_message(&mut out, &family.name, family.kind, &family.help, &metrics);
        }
    }
    out
}

#[test]
fn scraped_messages_are_read_as_leniently_as_by_prometheus() {
    let values = |body: &[u8]| -> Vec<(Kind, Measure)> {
        let families = parse_scraped_protobuf(body).unwrap().families;
        families
            .into_iter()
            .flat_map(|family| family.metrics.into_iter().map(move |m| (family.kind, m.measure)))
            .collect()
    };
    let two_types = messages(&["a 1\n", "# TYPE a gauge\na{l=\"1\"} 2\n"]);
    assert_eq!(values(&two_types), [(Kind::Untyped, Measure::Number(1.0)), (Kind::Gauge, Measure::Number(2.0))]);
    let gauge = parse(Format::Text, b"# TYPE a gauge\na 7\n", &Limits::default()).unwrap();
    let mut metrics = Vec::new();
    pushed::push_metric_message(&mut metrics, Kind::Gauge, &gauge.families[0].metrics[0]);
    let summary = Measure::Summary { count: 0.0, sum: 0.0, quantiles: Vec::new() };
    let zeros = [(Kind::Counter, Measure::Number(0.0)), (Kind::Summary, summary), (Kind::Gauge, Measure::Number(7.0))];
    for (kind, expected) in zeros {
        let mut family = Vec::new();
        pushed::push_family_message(&mut family, "a", kind, "", &metrics);
        assert_eq!(values(&family), [(kind, expected)]);
        assert_eq!(parse(Format::Protobuf, &family, &Limits::default()).is_ok(), kind == Kind::Gauge);
    }
}

#[test]
fn a_family_of_messages_may_come_in_parts() {
    let parts = messages(&["# TYPE a gauge\na{l=\"1\"} 1\n", "b 1\n", "# TYPE a gauge\na{l=\"2\"} 2\n"]);
    let expected = "a Gauge {l=\"1\"} 1; {l=\"2\"} 2\nb Untyped {} 1";
    assert_eq!(printed(Format::Protobuf, &parts).as_deref(), Ok(expected));
    let other = messages(&["a 1\n", "# TYPE a gauge\na{l=\"1\"} 1\n"]);
    assert!(printed(Format::Protobuf, &other).unwrap_err().ends_with("second type for metric name \"a\""));
    // Two equal buckets: the second bound, 2, is replaced by 1.
    let mut twice = messages(&["# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 1\nh_count 1\n"]);
    let at = twice.windows(8).position(|bytes| bytes == 2f64.to_le_bytes()).unwrap();
    twice[at..at + 8].copy_from_slice(&1f64.to_le_bytes());
    assert_eq!(printed(Format::Protobuf, &twice), Err("h_bucket{le=\"1\"} is there twice".to_owned()));
}

#[test]
fn messages_say_nothing_that_text_could_not() {
    let sound = messages(&["# TYPE h histogram\nh_bucket{le=\"7\"} 1.5\nh_count 2.5\n"]);
    let with = |from: f64, to: f64| {
        let mut message = sound.clone();
        let at = message.windows(8).position(|bytes| bytes == from.to_le_bytes()).unwrap();
        message[at..at + 8].copy_from_slice(&to.to_le_bytes());
        printed(Format::Protobuf, &message)
    };
    assert!(with(7.0, 7.0).is_ok());
    assert!(with(7.0, f64::NAN).unwrap_err().ends_with("a metric of \"h\" has a bound that is no number"));
    // A float count in field 4: `Histogram` in `Metric` in `MetricFamily`.
    let negative = [&b"\x12\x0a\x01h\x18\x04\x22\x0b\x3a\x09\x21"[..], &(-1f64).to_le_bytes()].concat();
    let error = printed(Format::Protobuf, &negative).unwrap_err();
    assert!(error.ends_with("a metric of \"h\" has a negative count"), "{error}");
}

#[test]
fn limits_hold() {
    let limits = Limits { series: 2, labels: 1, name_bytes: 4, value_bytes: 3 };
    let refused = |body: &str| match parse(Format::Text, body.as_bytes(), &limits) {
        Err(Error::Limit { what, max, .. }) => format!("{max} {what}"),
        other => format!("{other:?}"),
    };
    assert_eq!(refused("a 1\nb 2\nc 3\n"), "2 series");
    assert_eq!(refused("a{b=\"1\",c=\"2\"} 1\n"), "1 labels of one series");
    assert_eq!(refused("abcde 1\n"), "4 bytes of a name");
    assert_eq!(refused("a{b=\"1234\"} 1\n"), "3 bytes of a label's value");
}

#[test]
fn content_types_name_formats() {
    let protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let cases = [
        ("", Format::Text),
        ("text/plain; version=0.0.4", Format::Text),
        ("application/json", Format::Text),
        (protobuf, Format::Protobuf),
        (
            "application/vnd.google.protobuf;encoding=delimited;proto=io.prometheus.client.MetricFamily",
            Format::Protobuf,
        ),
        ("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text", Format::Text),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", Format::OpenMetrics),
    ];
    for (content_type, format) in cases {
        assert_eq!(Format::from_content_type(content_type), format, "{content_type}");
    }
}
