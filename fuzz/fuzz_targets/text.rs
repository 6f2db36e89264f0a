//! Text that is read can be written, and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taffrail::encode::parse::{Format, Limits, parse};
use taffrail::encode::names::Escaping;
use taffrail::encode::pushed::push_text;

fuzz_target!(|body: &[u8]| {
    let Ok(read) = parse(Format::Text, body, &Limits::default()) else { return };
    let mut text = Vec::new();
    read.families.iter().for_each(|family| push_text(&mut text, family, Escaping::AllowUtf8));
    let again = parse(Format::Text, &text, &Limits::default());
    let again = again.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&text)));
    assert_eq!(again.families.len(), read.families.len(), "{}", String::from_utf8_lossy(&text));
});
