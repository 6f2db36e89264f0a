//! Whatever a name server responds, nothing panics, and what is read is bounded by what was sent.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taffrail::client::dns::message::Response;

fuzz_target!(|input: &[u8]| {
    let Ok(response) = Response::parse(input) else { return };
    let lists = [&response.answers, &response.authority, &response.additional];
    assert!(lists.into_iter().map(Vec::len).sum::<usize>() * 11 <= input.len());
    for record in lists.into_iter().flatten() {
        // 255 bytes, each as `\DDD`, three names at most, and the content in hexadecimal or escaped.
        assert!(record.to_string().len() < 4096 + 4 * input.len());
    }
});
