use proptest::prelude::*;

use super::*;

const ALL: Dialects = Dialects { dogstatsd: true, influxdb: true, librato: true, signalfx: true };

/// Samples as text.
fn parsed(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    parse(line.as_bytes(), &mut |sample| {
        found.push(match sample {
            Err(refusal) => refusal.name().to_owned(),
            Ok(Sample { name, tags, container, kind, value, rate }) => {
                let value = match value {
                    Value::Number(value, is_signed) => format!("{}{value}", if is_signed { "±" } else { "" }),
                    Value::Member(member) => format!("{member:?}"),
                };
                let tags = if tags.is_empty() { String::new() } else { format!(" #{tags}") };
                let container = if container.is_empty() { String::new() } else { format!(" in {container}") };
                format!("{name} {kind:?} {value} @{rate}{tags}{container}")
            }
        });
    });
    found
}

#[test]
fn samples_of_all_types_are_read() {
    for (line, expected) in [
        ("a.b:1|c", &["a.b Counter 1 @1"] as &[&str]),
        ("a:-1.5e3|g", &["a Gauge ±-1500 @1"]),
        ("a:+4|g|@0.5", &["a Gauge ±4 @0.5"]),
        ("a:320|ms|@0.1", &["a Timer 320 @0.1"]),
        ("a:2|h", &["a Histogram 2 @1"]),
        ("a:2|d|#env:prod,host:x", &["a Distribution 2 @1 #env:prod,host:x"]),
        ("a:fred|s", &["a Set \"fred\" @1"]),
        ("a:fe80::1|s", &["a Set \"fe80::1\" @1"]),
        ("a:1|c|@0", &["a Counter 1 @1"]),
        ("a:1|c|@1e-9", &["a Counter 1 @0.000000001"]),
        ("a,x=1[y=2]:1|c", &["a,x=1[y=2] Counter 1 @1"]),
    ] {
        assert_eq!(parsed(line), expected, "{line}");
    }
}

#[test]
fn a_line_may_have_several_samples() {
    for (line, expected) in [
        ("a:1|c:2|g:+3|ms|@0.5", &["a Counter 1 @1", "a Gauge 2 @1", "a Timer ±3 @0.5"] as &[&str]),
        // Pieces that begin with `c:` are no containers.
        ("multi:1|c:2|c:5|ms", &["multi Counter 1 @1", "multi Counter 2 @1", "multi Timer 5 @1"]),
        ("a:1:2:3|h|#x:y", &["a Histogram 1 @1 #x:y", "a Histogram 2 @1 #x:y", "a Histogram 3 @1 #x:y"]),
        ("a:1:x|ms|@0.5", &["a Timer 1 @0.5", "malformed_value"]),
        ("a:1:2|c", &["invalid_extended_aggregate_type"]),
        ("a:1|c:|c", &["a Counter 1 @1", "malformed_value"]),
        ("a:1|c|@0.1:2|c", &["a Counter 1 @0.1", "a Counter 2 @1"]),
    ] {
        assert_eq!(parsed(line), expected, "{line}");
    }
}

#[test]
fn sections_of_dogstatsd_are_known() {
    for (line, expected) in [
        ("a:1|c|#x:y|c:83c0a99c", "a Counter 1 @1 #x:y in 83c0a99c"),
        ("a:1|c|c:83c0a99c", "a Counter 1 @1 in 83c0a99c"),
        ("a:1|c|c:83c0|#x:y", "a Counter 1 @1 #x:y in 83c0"),
        ("a:1|c|@0.5|#x:y|c:ci-1|T1656581400|e:it-false,cn-x|card:low", "a Counter 1 @0.5 #x:y in ci-1"),
        ("a:1|c|#x:y|c:", "malformed_container_id"),
        ("a:1|c|#x:y|q", "invalid_sample_factor"),
        ("_e{5,4}:title|text|p:low|#x:y", "event"),
        ("_sc|name|0|#x:y", "service_check"),
    ] {
        assert_eq!(parsed(line), [expected], "{line}");
    }
}

#[test]
fn what_is_malformed_has_a_reason() {
    for (line, reason) in [
        ("", "malformed_line"),
        ("a", "malformed_line"),
        (":1|c", "malformed_line"),
        ("a:1", "not_enough_parts_after_colon"),
        ("a:|c", "malformed_value"),
        ("a:x|c", "malformed_value"),
        ("a:NaN|g", "malformed_value"),
        ("a:inf|g", "malformed_value"),
        ("a:1e999|g", "malformed_value"),
        ("a:|s", "malformed_value"),
        ("a:1|q", "illegal_event"),
        ("a:1|", "illegal_event"),
        ("a:1|c|", "malformed_component"),
        ("a:1|c||#x:y", "malformed_component"),
        ("a:1|c|@x", "invalid_sample_factor"),
        ("a:1|c|@-1", "invalid_sample_factor"),
        ("a:1|c|@inf", "invalid_sample_factor"),
        ("a:1|c|#a|#b", "malformed_component"),
        ("a:1|c|T|T|T|T|T|T|T|T|T", "malformed_component"),
    ] {
        assert_eq!(parsed(line), [reason], "{line}");
    }
    let mut found = Vec::new();
    parse(b"a\xff:1|c", &mut |sample| found.push(sample));
    assert_eq!(found, [Err(Refusal::Line)]);
}

/// The tags of a line as text, and the number of errors.
fn tagged(line: &str, dialects: Dialects) -> (String, u32) {
    let mut found = None;
    parse(line.as_bytes(), &mut |sample| found = Some(Tagged::new(&sample.unwrap(), dialects)));
    match found.unwrap() {
        Err(refusal) => (refusal.name().to_owned(), 0),
        Ok(Tagged { name, tags, errors }) => {
            let tag = |(key, value): &(String, Option<String>)| format!(" {key}={}", value.as_deref().unwrap_or("?"));
            (name + &tags.iter().map(tag).collect::<String>(), errors)
        }
    }
}

#[test]
fn tags_of_all_dialects_are_read() {
    for (line, expected, errors) in [
        ("a:1|c|#x:1,y:2:3", "a x=1 y=2:3", 0),
        ("a:1|c|#x:1,#y:2", "a x=1 y=2", 0),
        ("a:1|c|#x,y:,:z,", "a x=?", 4),
        ("a,x=1,y=2:1|c", "a x=1 y=2", 0),
        ("a#x=1,y=2:1|c", "a x=1 y=2", 0),
        ("a[x=1,y=2].b:1|c", "a.b x=1 y=2", 0),
        ("a[x=1:1|c", "a[x=1", 1),
        ("a]x[:1|c", "a]x[", 1),
        ("a,x=1:1|c|#y:2", "mixed_tagging_styles", 0),
        (",x=1:1|c", " x=1", 0),
    ] {
        assert_eq!(tagged(line, ALL), (expected.to_owned(), errors), "{line}");
    }
    let none = Dialects { dogstatsd: false, influxdb: false, librato: false, signalfx: false };
    for (line, name) in [("a:1|c|#x:1", "a"), ("a,x=1:1|c", "a,x=1"), ("a#x=1:1|c", "a#x=1"), ("a[x=1]:1|c", "a[x=1]")]
    {
        assert_eq!(tagged(line, none), (name.to_owned(), 0), "{line}");
    }
}

proptest! {
    #[test]
    fn any_line_is_read_and_numbers_are_sound(line in prop::collection::vec(prop::sample::select(b"a1.:|@#cgmshdT,=[]+-e\xff".to_vec()), 0..40)) {
        let mut count = 0;
        parse(&line, &mut |sample| {
            count += 1;
            if let Ok(sample) = sample {
                assert!(sample.rate > 0.0 && sample.rate.is_finite() && !sample.name.is_empty());
                if let Ok(tagged) = Tagged::new(&sample, ALL) {
                    assert!(tagged.tags.iter().all(|(key, value)| !key.is_empty() && value.as_deref() != Some("")));
                }
            }
        });
        prop_assert!(count > 0 && count <= line.len() + 1);
    }

    #[test]
    fn what_is_written_is_read(name in "[a-z][a-z0-9._-]{0,20}", value in -1e9..1e9, rate in 0.001..1.0, tags in "([a-z]{1,5}:[a-z0-9:]{1,5}){0,1}") {
        let tags = if tags.is_empty() { tags } else { format!("|#{tags}") };
        let found = parsed(&format!("{name}:{value}|ms|@{rate}{tags}"));
        let sign = if value < 0.0 { "±" } else { "" };
        prop_assert_eq!(found, [format!("{name} Timer {sign}{value} @{rate}{}", tags.replace('|', " "))]);
    }
}
