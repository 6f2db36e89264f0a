//! The content of files in every format, with every escaping.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;
use crate::collectors::foreign::read;
use crate::encode::names::{Escaping, is_plain_label_name, is_plain_metric_name};
use crate::encode::parse::{Exposition, Format, Limits, parse};
use crate::encode::protobuf::ProtobufEncoder;
use crate::encode::text::{Dialect, TextEncoder};

fn reading(files: &[(&str, &str)]) -> TextfileReading {
    let source = |(name, text): &(&str, &str)| (Arc::from(*name), read(text.as_bytes()).0.into());
    let families = Sources::new("textfile", "files").update(files.iter().map(source).collect());
    TextfileReading { families, ..TextfileReading::default() }
}

/// The output of a reading, and the number of rejected samples.
fn written(reading: &TextfileReading, format: Format, escaping: Escaping) -> (Vec<u8>, u64) {
    match format {
        Format::Protobuf => {
            let mut encoder = ProtobufEncoder::new(Vec::new());
            let mut out = FamilyWriter::escaping(&mut encoder, escaping);
            reading.all_families(&mut out);
            let refused = out.refused();
            (encoder.finish(), refused)
        }
        _ => {
            let dialect = if format == Format::Text { Dialect::Plain } else { Dialect::OpenMetrics };
            let mut encoder = TextEncoder::new(dialect, Vec::new());
            let mut out = FamilyWriter::escaping(&mut encoder, escaping);
            reading.all_families(&mut out);
            let refused = out.refused();
            (encoder.finish(), refused)
        }
    }
}

/// All series of an exposition.
fn series(exposition: &Exposition<'_>) -> Vec<String> {
    let mut series = Vec::new();
    for family in &exposition.families {
        for metric in &family.metrics {
            metric.measure.samples(&mut |suffix, more, value| {
                series.push(format!("{}{suffix} {:?} {more:?} {}", family.name, metric.labels, value.to_bits()));
            });
        }
    }
    series
}

/// Checks the text against the rules of strict parsers: each family once, with one header and only its own samples.
fn check_heads(text: &str) {
    let mut types: HashMap<String, &str> = HashMap::new();
    let (mut family, mut kind) = (String::new(), "");
    for line in text.lines().filter(|line| *line != "# EOF" && !line.starts_with("# HELP ")) {
        let name = crate::encode::parse::name_of_line(line).unwrap();
        if line.starts_with("# TYPE ") {
            (family, kind) = (name.into_owned(), line.rsplit_once(' ').unwrap().1);
            assert!(types.insert(family.clone(), kind).is_none(), "TYPE {family} twice in {text}");
            continue;
        }
        let known: &[&str] = match kind {
            "histogram" => &["_bucket", "_sum", "_count"],
            "summary" => &["", "_sum", "_count"],
            "counter" => &["", "_total"],
            _ => &[""],
        };
        let is_of_family = name.strip_prefix(family.as_str()).is_some_and(|suffix| known.contains(&suffix));
        assert!(is_of_family, "{line} below TYPE {family} {kind}");
    }
}

fn check(reading: &TextfileReading) {
    let (plain, refused) = written(reading, Format::Text, Escaping::AllowUtf8);
    assert_eq!(refused, 0, "{}", String::from_utf8_lossy(&plain));
    let expected = parse(Format::Text, &plain, &Limits::default()).unwrap();
    let expected = series(&expected).len();
    for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
        for (_, escaping) in Escaping::NAMES {
            let (bytes, refused) = written(reading, format, escaping);
            let shown = || format!("{format:?} {escaping:?}\n{}", String::from_utf8_lossy(&bytes));
            assert!(refused == 0 || escaping != Escaping::AllowUtf8, "{}", shown());
            let read = parse(format, &bytes, &Limits::default()).unwrap_or_else(|error| panic!("{error}: {}", shown()));
            let found = series(&read);
            assert_eq!(found.len() as u64 + refused, expected as u64, "{}", shown());
            let different: BTreeSet<&String> = found.iter().collect();
            assert_eq!(different.len(), found.len(), "{}", shown());
            if format != Format::Protobuf {
                check_heads(std::str::from_utf8(&bytes).unwrap());
            }
            if escaping != Escaping::AllowUtf8 {
                for family in &read.families {
                    assert!(is_plain_metric_name(&family.name), "{}", shown());
                    let mut labels = family.metrics.iter().flat_map(|metric| &metric.labels);
                    assert!(labels.all(|(name, _)| is_plain_label_name(name)), "{}", shown());
                }
            }
        }
    }
}

/// Names that collide when they are escaped.
fn name() -> impl Strategy<Value = String> {
    let parts =
        vec!["a", "b", "_", ".", "-", " ", "ü", ":", "\\", "_total", "_count", "_sum", "_bucket", "1", "U__a_2e_b"];
    prop::collection::vec(prop::sample::select(parts), 1..4).prop_map(|parts| parts.concat())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\"))
}

/// The lines of a family.
fn family() -> impl Strategy<Value = String> {
    let kinds = vec!["counter", "gauge", "untyped", "summary", "histogram", "gaugehistogram", ""];
    let labels = prop::collection::btree_map(name(), "[a\"\\\\]{0,2}", 0..3);
    let samples = prop::collection::vec((labels, 0..9_u8), 1..4);
    (name(), prop::sample::select(kinds), samples).prop_map(|(name, kind, samples)| {
        let mut text = String::new();
        if !kind.is_empty() {
            text += &format!("# TYPE {} {kind}\n", quoted(&name));
        }
        for (labels, value) in samples {
            let label = |(name, value): (&String, &String)| {
                format!(",{}=\"{}\"", quoted(name), value.replace('\\', "\\\\").replace('"', "\\\""))
            };
            let labels: String = labels.iter().map(label).collect();
            let mut line = |suffix: &str, more: &str| {
                text += &format!("{{{}{labels}{more}}} {value}\n", quoted(&format!("{name}{suffix}")));
            };
            match kind {
                "summary" => line("", ",quantile=\"1\""),
                "histogram" | "gaugehistogram" => line("_bucket", ",le=\"1\""),
                _ => line("", ""),
            }
            if ["summary", "histogram", "gaugehistogram"].contains(&kind) {
                line("_sum", "");
                line("_count", "");
            }
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_files_say_is_a_sound_exposition_in_every_format(
        files in prop::collection::vec(prop::collection::vec(family(), 1..5), 1..4),
    ) {
        let files: Vec<String> = files.into_iter().map(|families| families.concat()).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|text| ("/a.prom", text.as_str())).collect();
        check(&reading(&files));
    }
}

#[test]
fn names_that_need_it_are_escaped_or_in_quotes() {
    let reading = reading(&[("/a.prom", "{\"t.utf8\"} 4\n")]);
    for (format, escaping, line) in [
        (Format::Text, Escaping::AllowUtf8, "{\"t.utf8\"} 4"),
        (Format::Text, Escaping::Values, "U__t_2e_utf8 4"),
        (Format::Text, Escaping::Underscores, "t_utf8 4"),
        (Format::OpenMetrics, Escaping::AllowUtf8, "{\"t.utf8\"} 4"),
        (Format::OpenMetrics, Escaping::Dots, "t_dot_utf8 4"),
    ] {
        let (bytes, _) = written(&reading, format, escaping);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.lines().any(|found| found == line), "{format:?} {escaping:?}: {text}");
    }
    check(&reading);
}

const OWN: encode::Family<0> = encode::Family::gauge("node_load1", "Load.", []);
const OWN_TOTAL: encode::Family<0> = encode::Family::counter("node_forks_total", "Forks.", []);

#[test]
fn families_of_our_own_are_not_displaced() {
    let reading = reading(&[(
        "/a.prom",
        "node_load1 99\nnode_forks 1\nnode_textfile_scrape_error 7\nkept_total 1\n\
         # TYPE node summary\nnode_sum 1\nnode_count 2\n# TYPE node_load1 gauge\n",
    )]);
    let shown = |with_own: bool| {
        let mut encoder = TextEncoder::new(Dialect::Plain, Vec::new());
        let mut out = FamilyWriter::new(&mut encoder);
        if with_own {
            out.value(&OWN, 1u64);
            out.value(&OWN_TOTAL, 2u64);
        }
        reading.all_families(&mut out);
        assert_eq!(out.refused(), 0);
        let text = String::from_utf8(encoder.finish()).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        shown(false),
        ["node_textfile_scrape_error 1", "kept_total 1", "node_sum 1", "node_count 2", "node_forks 1"]
    );
    let of_all = ["node_load1 1", "node_forks_total 2", "node_textfile_scrape_error 1", "kept_total 1"];
    assert_eq!(shown(true)[..4], of_all);
    // Names that collide stay rejected while the collector has no data.
    assert!(!shown(false).iter().any(|line| line.starts_with("node_forks")));
}

/// CPU time for a file, and for another, with this number of families in the same form.
#[cfg(target_os = "linux")]
fn costs(form: &str, families: [usize; 2]) -> [f64; 2] {
    use rustix::time::{ClockId, clock_gettime};
    let spent = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    families.map(|count| {
        let text: String = (0..count).map(|number| form.replace('#', &number.to_string())).collect();
        let begun = spent();
        let reading = reading(&[("/a.prom", &text), ("/b.prom", "other 1\n")]);
        assert_eq!(reading.families.families().count(), count + 1);
        let (bytes, refused) = written(&reading, Format::Text, Escaping::Values);
        assert!(bytes.len() > text.len() && refused == 0);
        spent() - begun
    })
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_costs_in_proportion_to_its_size() {
    for form in ["f# 1\n", "{\"f.#\",\"a.b\"=\"c\"} 1\n"] {
        let [few, many] = costs(form, [2_500, 40_000]);
        // Sixteen times the input; quadratic time would be 256 times.
        assert!(many < few * 80.0, "{many} s, and {few} s for a sixteenth");
    }
}

#[test]
fn many_files_may_share_one_family() {
    let files: Vec<String> = (0..2_000).map(|file| format!("x{{file=\"{file}\"}} 1\n").repeat(3)).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|text| ("/a.prom", text.as_str())).collect();
    let reading = reading(&files);
    assert_eq!(reading.families.families().next().unwrap().metrics.len(), 2_000);
}
