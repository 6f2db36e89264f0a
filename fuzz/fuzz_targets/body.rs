//! Bodies in any encoding are unpacked within their bound, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taffrail::gateway::request::content_encoding::unpack;

fuzz_target!(|body: &[u8]| {
    for encoding in ["gzip", "snappy", "zstd", "gzip, zstd"] {
        if let Ok(unpacked) = unpack(body.to_vec(), encoding, 1 << 16) {
            assert!(unpacked.len() <= 1 << 16);
        }
    }
});
