//! A scraper reads any page without a panic, and names and labels of each sample.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taffrail::encode::parse::flat::{Flat, Line};

fuzz_target!(|body: &[u8]| {
    for is_open_metrics in [false, true] {
        let mut flat = Flat::new(body, is_open_metrics);
        while let Ok(Some(line)) = flat.line() {
            match line {
                Line::Sample(sample) => drop(flat.series(sample.series).map(|(_, labels)| flat.unique(&labels))),
                Line::Comment(comment) => drop(flat.metadata(comment)),
            }
        }
    }
});
