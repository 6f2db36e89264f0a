//! Points of line protocol that are read make an exposition that can be read.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use taffrail::encode::parse::{Format, Limits, line, parse};
use taffrail::encode::pushed::Names;
use taffrail::gateway::points::{Points, Terms};
use taffrail::gateway::scrape::Shape;

fuzz_target!(|body: &[u8]| {
    let (all, terms) = (Points::default(), Terms { ttl: Duration::from_secs(60), most: 1000, most_bytes: 1 << 20, labels: 20 });
    for point in line::points(body).flatten() {
        let _ = all.put(&point, 1, &terms, &|_| false);
    }
    let mut text = Vec::new();
    let rest = all.write(Shape::Text(Names::Escaped), &|_| false, &mut |part| text.append(part));
    text.extend(rest);
    if let Err(error) = parse(Format::Text, &text, &Limits { value_bytes: usize::MAX, name_bytes: usize::MAX, ..Limits::default() }) {
        panic!("{error}: {}", String::from_utf8_lossy(&text));
    }
});
