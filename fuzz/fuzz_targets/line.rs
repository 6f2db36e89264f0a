//! Points of line protocol that are read make an exposition that can be read.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use taffrail::encode::parse::{Format, Limits, line, parse};
use taffrail::encode::names::Escaping;
use taffrail::gateway::points::{PointLimits, Points};
use taffrail::gateway::exposition::scrape::OutputFormat;

fuzz_target!(|body: &[u8]| {
    let (all, limits) = (Points::default(), PointLimits { ttl: Duration::from_secs(60), max_series: 1000, max_bytes: 1 << 20, max_labels: 20 });
    for point in line::points(body).flatten() {
        let _ = all.put(&point, 1, &limits, &|_| false);
    }
    let mut text = Vec::new();
    let rest = all.write(OutputFormat::Text(Escaping::Values), &|_| false, &mut |part| text.append(part));
    text.extend(rest);
    if let Err(error) = parse(Format::Text, &text, &Limits { value_bytes: usize::MAX, name_bytes: usize::MAX, ..Limits::default() }) {
        panic!("{error}: {}", String::from_utf8_lossy(&text));
    }
});
