//! Whatever a reading holds, what is written reads back to the same, and nothing in it can forge a line.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::common::{
    all_on, collectors, copy_tree, exposition, host_of, line_diff, line_protocol, read, recorded_host,
};
use globset::GlobBuilder;
use influxdb_line_protocol::{FieldValue, parse_lines};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use prost::Message;
use regex::Regex;
use taffrail::collectors::About;
use taffrail::collectors::readers::{CollectorReading, Readers};
use taffrail::encode::PointWriter;
use taffrail::encode::Timestamp;
use taffrail::encode::family::{Family, FamilyInfo, FamilyWriter, Kind, Pattern, Value};
use taffrail::encode::line::LineEncoder;
use taffrail::encode::lines::Lines;
use taffrail::encode::protobuf::ProtobufEncoder;
use taffrail::encode::tags::CommonTags;
use taffrail::encode::text::{Dialect, TextEncoder};
use taffrail::host::Host;

const GAUGE: Family<2> = Family::gauge("g", "A \"gauge\" with a \\ in it.", ["first", "second"]);
const COUNTER: Family<2> = Family::counter("c_total", "A counter.", ["first", "second"]);
const GAUGE_INFO: FamilyInfo = GAUGE.info();
const COUNTER_INFO: FamilyInfo = COUNTER.info();
const KEYED: Pattern = Pattern::new("k_", "", Kind::Untyped, "k_KEY").help(" of a \"file\".");

/// Two label values and a value; repeated series are left out by the writer.
type Samples = Vec<([String; 2], Value)>;

/// Text with much of what formats treat specially.
fn odd_text() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        "\\", "\"", "\n", "\r", "\t", ",", "=", " ", "{", "}", "#", "ü", "\u{0}", "\u{7f}", "n", "a",
    ]);
    prop_oneof![any::<String>(), prop::collection::vec(special, 0..12).prop_map(|parts| parts.concat())]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u64>().prop_map(Value::Unsigned),
        any::<i64>().prop_map(Value::Signed),
        prop::num::f64::ANY.prop_map(Value::Float),
    ]
}

fn samples() -> impl Strategy<Value = Samples> {
    let sample = ([odd_text(), odd_text()], value());
    prop::collection::btree_map(prop::array::uniform2(odd_text()), sample.prop_map(|(_, value)| value), 0..12)
        .prop_map(|samples| samples.into_iter().collect())
}

fn write_families(samples: &Samples, out: &mut FamilyWriter<'_>) {
    for family in [&GAUGE, &COUNTER] {
        let mut open = out.family(family);
        for ([first, second], value) in samples {
            open.sample([first, second], *value);
        }
    }
}

/// The label values and the value of a sample line, by the grammar of the text formats and nothing else.
fn parse_sample(line: &str, name: &str) -> Option<([String; 2], String)> {
    let mut rest = line.strip_prefix(name)?.strip_prefix('{')?;
    let mut values = Vec::new();
    for label in ["first", "second"] {
        rest = rest.strip_prefix(label)?.strip_prefix("=\"")?;
        let mut value = String::new();
        let mut characters = rest.char_indices();
        loop {
            match characters.next()? {
                (at, '"') => {
                    rest = &rest[at + 1..];
                    break;
                }
                (_, '\\') => value.push(match characters.next()?.1 {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    _ => return None,
                }),
                (_, plain) => value.push(plain),
            }
        }
        values.push(value);
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    let value = rest.strip_prefix("} ")?;
    Some((values.try_into().ok()?, value.to_owned()))
}

/// A help text as it was before it was written.
fn parse_help(text: &str, dialect: Dialect) -> Option<String> {
    let mut help = String::new();
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        help.push(match c {
            '\\' => match characters.next()? {
                'n' => '\n',
                '\\' => '\\',
                '"' if dialect == Dialect::OpenMetrics => '"',
                _ => return None,
            },
            '"' if dialect == Dialect::OpenMetrics => return None,
            plain => plain,
        });
    }
    Some(help)
}

/// The families of a body of delimited messages.
fn parse_protobuf(mut body: &[u8]) -> Vec<proto::MetricFamily> {
    let mut families = Vec::new();
    while !body.is_empty() {
        families.push(proto::MetricFamily::decode_length_delimited(&mut body).unwrap());
    }
    families
}

fn is_same(text: &str, value: Value) -> bool {
    match value {
        Value::Unsigned(value) => text.parse() == Ok(value),
        Value::Signed(value) => text.parse() == Ok(value),
        Value::Float(value) if value.is_nan() => text == "NaN",
        Value::Float(value) => text.parse::<f64>().is_ok_and(|parsed| parsed.to_bits() == value.to_bits()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn text_reads_back_to_the_same(samples in samples()) {
        for (dialect, counter_family, tail) in [(Dialect::Plain, "c_total", 0), (Dialect::OpenMetrics, "c", 1)] {
            let mut encoder = TextEncoder::new(dialect, Vec::new());
            write_families(&samples, &mut FamilyWriter::new(&mut encoder));
            let text = String::from_utf8(encoder.finish()).unwrap();
            // Only a line feed ends a line: other line ends may stand in a label's value.
            let lines: Vec<&str> = text.split_terminator('\n').collect();
            let heads = if samples.is_empty() { 0 } else { 2 };
            prop_assert_eq!(lines.len(), 2 * (heads + samples.len()) + tail);
            let mut lines = lines.into_iter();
            for (family, name, info) in [("g", "g", GAUGE_INFO), (counter_family, "c_total", COUNTER_INFO)] {
                if !samples.is_empty() {
                    let help = lines.next().unwrap().strip_prefix(&format!("# HELP {family} ")).unwrap();
                    prop_assert_eq!(parse_help(help, dialect).unwrap(), info.help);
                    prop_assert_eq!(lines.next().unwrap(), format!("# TYPE {family} {}", info.kind.name()));
                }
                for (labels, value) in &samples {
                    let (parsed, text) = parse_sample(lines.next().unwrap(), name).unwrap();
                    prop_assert_eq!(&parsed, labels);
                    prop_assert!(is_same(&text, *value), "{} for {:?}", text, value);
                }
            }
            prop_assert_eq!(lines.next(), (tail == 1).then_some("# EOF"));
        }
    }

    #[test]
    fn protobuf_reads_back_to_the_same(samples in samples()) {
        let mut encoder = ProtobufEncoder::new(Vec::new());
        write_families(&samples, &mut FamilyWriter::new(&mut encoder));
        let families = parse_protobuf(&encoder.finish());
        let names: Vec<(&str, i32)> = families.iter().map(|family| (family.name.as_str(), family.kind)).collect();
        prop_assert_eq!(names, if samples.is_empty() { vec![] } else { vec![("g", 1), ("c_total", 0)] });
        for family in &families {
            prop_assert_eq!(family.metric.len(), samples.len());
            for (metric, (labels, value)) in family.metric.iter().zip(&samples) {
                let read: Vec<(&str, &str)> = metric.label.iter().map(|l| (l.name.as_str(), l.value.as_str())).collect();
                prop_assert_eq!(read, vec![("first", labels[0].as_str()), ("second", labels[1].as_str())]);
                let holder = if family.kind == 1 { &metric.gauge } else { &metric.counter };
                prop_assert_eq!(holder.as_ref().unwrap().value.to_bits(), value.as_f64().to_bits());
            }
        }
    }

    #[test]
    fn a_key_of_the_kernels_stays_in_its_place(key in odd_text(), value in value()) {
        let name: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let (name, help) = (format!("k_{name}"), format!("{key} of a \"file\"."));
        for (dialect, kind, end) in [(Dialect::Plain, "untyped", ""), (Dialect::OpenMetrics, "unknown", "# EOF\n")] {
            let mut encoder = TextEncoder::new(dialect, Vec::new());
            FamilyWriter::new(&mut encoder).keyed(&KEYED, &key, value);
            let text = String::from_utf8(encoder.finish()).unwrap();
            let (head, rest) = text.split_once('\n').unwrap();
            let written = head.strip_prefix(&format!("# HELP {name} ")).unwrap();
            prop_assert_eq!(parse_help(written, dialect).unwrap(), &*help);
            let sample = rest.strip_prefix(&format!("# TYPE {name} {kind}\n{name} ")).unwrap();
            let number = sample.strip_suffix(&format!("\n{end}")).unwrap();
            prop_assert!(is_same(number, value), "{} for {:?}", number, value);
        }
        let mut encoder = ProtobufEncoder::new(Vec::new());
        FamilyWriter::new(&mut encoder).keyed(&KEYED, &key, value);
        let number = Some(proto::Number { value: value.as_f64() });
        let metric = vec![proto::Metric { untyped: number, ..Default::default() }];
        let expected = proto::MetricFamily { name, help, kind: 3, metric };
        // As text, for NaN is not equal to itself.
        prop_assert_eq!(format!("{:?}", parse_protobuf(&encoder.finish())), format!("{:?}", [expected]));
    }

    #[test]
    fn line_protocol_reads_back_to_the_same(
        points in prop::collection::vec(point(), 0..8),
        common in [odd_text(), odd_text()],
        time in any::<i64>(),
    ) {
        // One that the points have too, and one that they do not.
        let common: BTreeMap<String, String> = ["a", "host"].map(String::from).into_iter().zip(common).collect();
        let (mut lines, common_tags) = (Lines::default(), CommonTags::new(&common));
        let mut encoder = LineEncoder::new(&mut lines);
        let mut out = PointWriter::new(&mut encoder, &common_tags, Timestamp(time));
        for point in &points {
            point.write(&mut out);
        }
        let expected: Vec<&Point> = points.iter().filter(|point| point.is_written()).collect();
        prop_assert_eq!(lines.count(), expected.len());
        let text = std::str::from_utf8(lines.bytes()).unwrap();
        let parsed: Vec<_> = parse_lines(text).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(parsed.len(), expected.len());
        for (line, point) in parsed.iter().zip(expected) {
            prop_assert_eq!(line.series.measurement.as_str(), "m");
            prop_assert_eq!(line.timestamp, Some(time));
            let tags: Vec<(String, String)> = line.series.tag_set.iter().flatten()
                .map(|(key, value)| (key.to_string(), value.to_string())).collect();
            prop_assert_eq!(tags, point.expected_tags(&common).into_iter().collect::<Vec<_>>());
            let fields: Vec<(String, FieldValue)> = line.field_set.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
            prop_assert_eq!(fields, point.expected_fields());
        }
    }
}

proptest! {
    // A process for each case.
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    #[ignore = "needs promtool, of Debian's package prometheus: tests/run"]
    fn with_prometheus_promtool_text_is_read_whatever_it_holds(samples in samples()) {
        let mut encoder = TextEncoder::new(Dialect::Plain, Vec::new());
        write_families(&samples, &mut FamilyWriter::new(&mut encoder));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exposition");
        fs::write(&path, encoder.finish()).unwrap();
        let stdin = fs::File::open(&path).unwrap();
        let output = Command::new("promtool").args(["check", "metrics"]).stdin(stdin).output().unwrap();
        // 3 is its status for lint: the names are short. 1 is that it could not read the text.
        let status = output.status.code();
        prop_assert!(matches!(status, Some(0 | 3)), "{:?} {}", status, String::from_utf8_lossy(&output.stderr));
    }
}

/// A point of any content, under names that are fixed.
#[derive(Clone, Debug)]
struct Point {
    tags: [String; 2],
    count: u64,
    share: f64,
    text: String,
    has_text: bool,
}

fn point() -> impl Strategy<Value = Point> {
    ([odd_text(), odd_text()], any::<u64>(), prop::num::f64::ANY, odd_text(), any::<bool>())
        .prop_map(|(tags, count, share, text, has_text)| Point { tags, count, share, text, has_text })
}

impl Point {
    fn write(&self, out: &mut PointWriter<'_>) {
        let tags = ["a", "b"].into_iter().zip(self.tags.iter().map(String::as_str));
        let mut point = out.free_point("m", tags);
        point.free_field::<f64>(&["share"], self.share);
        if self.has_text {
            point.free_field::<u64>(&["count"], self.count).free_field::<str>(&["text"], &self.text);
        }
    }

    fn is_written(&self) -> bool {
        self.share.is_finite() || self.has_text
    }

    /// Its own tags win over those that all points have, unless nothing is left of them.
    fn expected_tags(&self, common: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let own = ["a", "b"].map(String::from).into_iter().zip(&self.tags);
        let tags = common.iter().map(|(key, value)| (key.clone(), value)).chain(own);
        tags.map(|(key, value)| (key, normalised(value))).filter(|(_, value)| !value.is_empty()).collect()
    }

    fn expected_fields(&self) -> Vec<(String, FieldValue<'_>)> {
        let mut fields = Vec::new();
        if self.share.is_finite() {
            fields.push(("share".to_owned(), FieldValue::F64(self.share)));
        }
        if self.has_text {
            let count = i64::try_from(self.count).unwrap_or(i64::MAX);
            fields.push(("count".to_owned(), FieldValue::I64(count)));
            fields.push(("text".to_owned(), FieldValue::String(self.text.as_str().into())));
        }
        fields
    }
}

/// What a tag's value becomes, as `src/encode/line.rs` says: line ends and tabs as two characters, and a backslash only
/// where a plain character follows.
fn normalised(value: &str) -> String {
    let value: Vec<char> = value.chars().filter(|c| *c != '\0').collect();
    let mut normal = String::new();
    for (index, c) in value.iter().enumerate() {
        let is_plain = |next: &char| !"\\,= \n\r\t\x0c".contains(*next);
        match c {
            '\n' => normal.push_str("\\n"),
            '\r' => normal.push_str("\\r"),
            '\t' => normal.push_str("\\t"),
            '\x0c' => normal.push_str("\\f"),
            '\\' if !value.get(index + 1).is_some_and(is_plain) => {}
            c => normal.push(*c),
        }
    }
    normal
}

/// `io.prometheus.client` as its specification has it, for reading back.
mod proto {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct MetricFamily {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(string, tag = "2")]
        pub help: String,
        #[prost(int32, tag = "3")]
        pub kind: i32,
        #[prost(message, repeated, tag = "4")]
        pub metric: Vec<Metric>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Metric {
        #[prost(message, repeated, tag = "1")]
        pub label: Vec<LabelPair>,
        #[prost(message, optional, tag = "2")]
        pub gauge: Option<Number>,
        #[prost(message, optional, tag = "3")]
        pub counter: Option<Number>,
        #[prost(message, optional, tag = "5")]
        pub untyped: Option<Number>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct LabelPair {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(string, tag = "2")]
        pub value: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Number {
        #[prost(double, tag = "1")]
        pub value: f64,
    }
}

/// What becomes of a file: it ends early, and other bytes stand where one of its own stood.
#[derive(Clone, Debug)]
struct Damage {
    end: Option<Index>,
    changes: Vec<(Index, Vec<u8>)>,
}

fn damage() -> impl Strategy<Value = Damage> {
    let one = prop_oneof![any::<u8>(), prop::sample::select(b"09-. \n\t:=/()\\\"\xff".to_vec())];
    let extreme =
        prop::sample::select(vec![" 18446744073709551615 ", " 9223372036854775807 ", " -9223372036854775808 "]);
    let other = prop_oneof![one.prop_map(|byte| vec![byte]), extreme.prop_map(|number| number.as_bytes().to_vec())];
    (prop::option::of(any::<Index>()), prop::collection::vec((any::<Index>(), other), 0..20))
        .prop_map(|(end, changes)| Damage { end, changes })
}

impl Damage {
    fn applied_to(&self, sound: &[u8]) -> Vec<u8> {
        let end = self.end.map_or(sound.len(), |end| end.index(sound.len() + 1));
        let mut bytes = sound[..end].to_vec();
        for (at, other) in self.changes.iter().filter(|_| end > 0) {
            let at = at.index(bytes.len());
            bytes.splice(at..=at, other.iter().copied());
        }
        bytes
    }
}

#[test]
fn a_damaged_file_costs_only_those_who_say_that_they_read_it() {
    damage_each_file("debian-12-vm", 16, &is_not_another_process);
}

#[test]
fn a_damaged_file_of_a_cgroup_costs_only_those_who_say_that_they_read_it() {
    // One pod, with the hierarchy's root, is enough.
    let is_of_one_pod = |name: &OsStr| {
        let name = name.to_str().unwrap();
        !["burstable", "besteffort", ".service", "docker"].iter().any(|other| name.contains(other))
    };
    for host in ["kubelet-systemd-v2", "kubelet-cgroupfs-v1"] {
        damage_each_file(host, 4, &is_of_one_pod);
    }
}

#[test]
fn a_damaged_file_of_a_device_costs_only_those_who_say_that_they_read_it() {
    damage_each_file("every-device", 3, &|_| true);
}

/// Damages each file of a recorded host in turn, this many times with `TAFFRAIL_TESTS=all`, else a quarter as often, and
/// reads it.
fn damage_each_file(recorded: &str, times: u32, wanted: &impl Fn(&OsStr) -> bool) {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("after");
    copy_tree(&recorded_host(recorded).join("after"), &tree, wanted);
    let host = host_of(&tree);
    let new_readers = || Readers::new(host.clone(), collectors(&host, &all_on()));
    let before = Some(recorded_host(recorded).join("before")).filter(|before| before.is_dir());
    let earlier = host_of(&before.unwrap_or_else(|| recorded_host(recorded).join("after")));
    let earlier = read(&Readers::new(earlier.clone(), collectors(&earlier, &all_on())));
    let since_earlier = |answers: &[CollectorReading]| -> Vec<_> {
        answers.iter().zip(&earlier).map(|(answer, earlier)| rendered(answer, earlier, &host)).collect()
    };
    let sound = since_earlier(&read(&new_readers()));
    let is_full = std::env::var("TAFFRAIL_TESTS").is_ok_and(|tests| tests == "all");
    let cases = if is_full { times } else { times.div_ceil(4) };
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    for path in files_below(&tree) {
        let name = name_on_host(path.strip_prefix(&tree).unwrap());
        let content = fs::read(&path).unwrap();
        let readers = new_readers();
        let result = TestRunner::new(config.clone()).run(&damage(), |damage| {
            fs::write(&path, damage.applied_to(&content)).unwrap();
            let damaged = since_earlier(&read(&readers));
            prop_assert_eq!(damaged.len(), sound.len());
            let changed = damaged.iter().zip(&sound).zip(readers.on()).filter(|((damaged, sound), _)| damaged != sound);
            for (((families, points), (sound_families, sound_points)), (about, _)) in changed {
                prop_assert!(
                    says_that_it_reads(about, &name),
                    "{} is unlike before: {}{}",
                    about.name,
                    line_diff(sound_families, families),
                    line_diff(sound_points, points)
                );
                prop_assert!(parse_lines(points).all(|point| point.is_ok()), "{}", points);
            }
            Ok(())
        });
        fs::write(&path, &content).unwrap();
        result.unwrap_or_else(|failure| panic!("{name}: {failure}"));
    }
}

/// One process is enough.
fn is_not_another_process(name: &OsStr) -> bool {
    name == "1" || !name.as_encoded_bytes().iter().all(u8::is_ascii_digit)
}

/// All files below `folder`, but `kernel.toml`, which is not the host's.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.file_name() != "kernel.toml") {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files.extend(files_below(&entry.path()));
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

/// What the host calls the file that is recorded as `path`.
fn name_on_host(path: &Path) -> String {
    let path = path.to_str().unwrap();
    match path.split_once('/').unwrap() {
        ("root", rest) => format!("/{rest}"),
        ("udev", rest) => format!("/run/udev/{rest}"),
        _ => format!("/{path}"),
    }
}

/// Whether the collector's documentation names the file, or a folder that it is in.
fn says_that_it_reads(about: &About, name: &str) -> bool {
    let is_named = |path: &Path, said: &str| {
        GlobBuilder::new(said).literal_separator(true).build().unwrap().compile_matcher().is_match(path)
    };
    Path::new(name).ancestors().any(|path| about.reads.iter().any(|said| is_named(path, said)))
}

/// What was read by one collector, in both vocabularies.
fn rendered(answer: &CollectorReading, previous: &CollectorReading, host: &Host) -> (String, String) {
    assert!(answer.collected.is_ok(), "{}: {:?}", answer.about.name, answer.collected.as_ref().err());
    let (answer, previous) = (std::slice::from_ref(answer), std::slice::from_ref(previous));
    let families = exposition(answer, Dialect::Plain);
    let points = line_protocol(answer, previous, host);
    // What differs although the files say the same: how long it took, and when a file was put back.
    // Its duration, and sums over all readings.
    static GATHERED: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(gather_time_ns|metrics_gathered|errors|gather_timeouts)=\d+i").unwrap());
    let is_compared = |line: &&str| !line.contains("_duration_seconds") && !line.contains("_mtime_seconds");
    let compared = |text: &str| text.lines().filter(is_compared).collect::<Vec<_>>().join("\n");
    (compared(&families), GATHERED.replace_all(&compared(&points), "$1=0i").into_owned())
}
