//! Whatever smartctl or a file says, its families can be parsed, and nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taffrail::collectors::read_smartctl_output;
use taffrail::encode::line::LineEncoder;
use taffrail::encode::lines::Lines;
use taffrail::encode::parse::{Format, Limits, parse};
use taffrail::encode::tags::CommonTags;
use taffrail::encode::text::{Dialect, TextEncoder};
use taffrail::encode::{FamilyWriter, PointWriter, Timestamp};

fuzz_target!(|output: &[u8]| {
    let mut text = TextEncoder::new(Dialect::Plain, Vec::new());
    let (mut lines, tags) = (Lines::default(), CommonTags::default());
    let mut encoder = LineEncoder::new(&mut lines);
    let mut points = PointWriter::new(&mut encoder, &tags, Timestamp(0));
    read_smartctl_output(output, &mut FamilyWriter::new(&mut text), &mut points);
    let limits = Limits { series: usize::MAX, labels: 256, name_bytes: usize::MAX, value_bytes: usize::MAX };
    if let Err(error) = parse(Format::Text, &text.finish(), &limits) {
        panic!("{error}");
    }
});
