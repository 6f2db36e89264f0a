//! All names of the collectors of servers, as the documentation has them.

use std::collections::BTreeSet;

use super::kind::Kind;
use super::outcome::{Found, Outcome, ServersReading};
use super::{apache, memcached, nginx, phpfpm, redis};
use crate::collectors::framework::Reading;
use crate::collectors::framework::latest::Latest;
use crate::encode::line::LineEncoder;
use crate::encode::lines::Lines;
use crate::encode::tags::CommonTags;
use crate::encode::text::{Dialect, TextEncoder};
use crate::encode::{FamilyWriter, PointWriter, Timestamp};

/// A reading of a server that has everything.
fn reading<K: Kind>(complete: fn(&mut Found)) -> ServersReading {
    let mut found = Found::default();
    complete(&mut found);
    assert_eq!(found.malformed, None);
    found.add(K::UP, Vec::new(), true);
    let latest = Latest::new(1);
    let name = "localhost:1";
    latest.publish(
        (0, 0),
        Outcome {
            input: K::ABOUT.name,
            shown: name.into(),
            labels: [(K::LABEL.to_owned(), name.to_owned()), ("team".to_owned(), "web".to_owned())].into(),
            tags: [("team".to_owned(), "web".to_owned())].into(),
            at: Timestamp(1),
            took: 0.5,
            is_up: true,
            found,
        },
    );
    ServersReading(latest.read())
}

/// The types of the families, and the points.
fn write(readings: &[ServersReading]) -> [String; 2] {
    let mut encoder = TextEncoder::new(Dialect::Plain, Vec::new());
    let mut families = FamilyWriter::new(&mut encoder);
    readings.iter().for_each(|reading| reading.families(&mut families));
    assert_eq!(families.refused(), 0, "a series twice");
    let text = String::from_utf8(encoder.finish()).unwrap();
    let types: BTreeSet<&str> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    let mut lines = Lines::default();
    let (mut encoder, tags) = (LineEncoder::new(&mut lines), CommonTags::default());
    let mut points = PointWriter::new(&mut encoder, &tags, Timestamp(0));
    readings.iter().for_each(|reading| reading.points(None, &mut points));
    drop(points);
    let points = String::from_utf8(lines.bytes().to_vec()).unwrap();
    let is_timed = |line: &&str| !line.contains("last_save_time_elapsed");
    assert!(points.lines().all(|line| line.contains("team=web")), "{points}");
    let elapsed = |line: &str| {
        // The only value that depends on the time.
        let (before, rest) = line.split_once("rdb_last_save_time_elapsed=").unwrap();
        format!("{before}rdb_last_save_time_elapsed=0i{}", &rest[rest.find(',').unwrap()..])
    };
    let points: Vec<String> =
        points.lines().map(|line| if is_timed(&line) { line.to_owned() } else { elapsed(line) }).collect();
    [types.into_iter().map(|line| format!("{line}\n")).collect(), points.join("\n") + "\n"]
}

#[test]
fn servers_write_the_names_of_the_goldens() {
    let written = write(&[
        reading::<apache::Apache>(apache::complete),
        reading::<memcached::Memcached>(memcached::complete),
        reading::<nginx::Nginx>(nginx::complete),
        reading::<phpfpm::Phpfpm>(phpfpm::complete),
        reading::<redis::Redis>(redis::complete),
    ]);
    assert_eq!(written[0], include_str!("../../../tests/goldens/applications/expected.prom"));
    assert_eq!(written[1], include_str!("../../../tests/goldens/applications/expected.influx"));
}
