//! The gateway's parser of line protocol beside a real InfluxDB: InfluxData's corpus, which fuzzing of its parsers made, gives
//! the same points in both, except for what `DIFFERENCES` lists.

use std::collections::BTreeSet;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use super::line_protocol_influxdb::{Database, comparable, is_listed, ours};
use crate::harness::python::run;
use crate::harness::real::{free_port, influxdb};

/// The inputs of the corpus, each once, with the names of their precisions and nanoseconds of these.
fn inputs() -> BTreeSet<(Vec<u8>, &'static str, i64)> {
    let folder = tempfile::tempdir().unwrap();
    let version = "v0.0.0-20210922080147-aa28ccfb8937";
    let module = format!("module corpus\n\ngo 1.18\n\nrequire github.com/influxdata/line-protocol-corpus {version}\n");
    std::fs::write(folder.path().join("go.mod"), module).unwrap();
    let mut go = Command::new("sh");
    go.args(["-ec", "go mod download; go list -m -f {{.Dir}} github.com/influxdata/line-protocol-corpus"]);
    let printed = run(go.current_dir(folder.path()).env("GOFLAGS", "-mod=mod"));
    let corpus = std::fs::read(format!("{}/corpus.json", printed.trim_end())).unwrap();
    let corpus: Json = serde_json::from_slice(&corpus).unwrap();
    let cases = corpus["decode"].as_object().unwrap().values();
    cases.map(|case| input(&case["input"])).collect()
}

fn input(input: &Json) -> (Vec<u8>, &'static str, i64) {
    let text = match &input["text"] {
        Json::String(text) => text.clone().into_bytes(),
        packed => STANDARD.decode(packed["binary"].as_str().unwrap()).unwrap(),
    };
    let (precision, unit) = match input["precision"].as_str().unwrap() {
        "1ns" => ("n", 1),
        "1µs" => ("u", 1_000),
        "1ms" => ("ms", 1_000_000),
        "1s" => ("s", 1_000_000_000),
        other => panic!("{other}"),
    };
    (text, precision, unit)
}

/// Lines of the corpus that InfluxDB 1.6 panics at, and ends.
const FATAL: [&str; 2] = [r#"0 \\="=""#, r#"m \0=","=3,"=""#];

#[test]
#[ignore = "needs Debian's packages influxdb and golang-go: tests/run"]
fn with_influxdb_and_with_golang_go_in_full_the_corpus_is_read_alike() {
    let folder = tempfile::tempdir().unwrap();
    let server = influxdb(folder.path(), free_port());
    let mut database = Database::new(&server);
    let inputs = inputs();
    assert!(inputs.len() > 6_000);
    let mut differ = String::new();
    for (body, precision, unit) in inputs {
        if FATAL.iter().any(|line| line.as_bytes() == body) {
            assert_eq!(ours(&body, unit).len(), 0);
            continue;
        }
        let body = comparable(&body);
        let (ours, theirs) = (ours(body.as_bytes(), unit), database.store(body.as_bytes(), precision));
        if !theirs.is(&ours) && !is_listed(&body) {
            differ += &format!("{body:?}\n  ours   {ours:?}\n  theirs {:?}\n", theirs.points);
        }
    }
    assert!(differ.is_empty(), "{differ}");
}
