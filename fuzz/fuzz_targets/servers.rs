//! Any reply of a server is read without a panic, and a complete one has a length within it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taffrail::collectors::servers::protocol::{fastcgi, memcached, pairs, resp, stub_status};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for syntax in [pairs::COLON, pairs::PHP_FPM, pairs::REDIS, pairs::MEMCACHED] {
        for pair in pairs::read(&text, syntax).unwrap_or_default() {
            assert!(!pair.key.is_empty());
        }
    }
    let _ = stub_status::read(&text);
    let _ = fastcgi::read(bytes);
    if let Ok(Some((_, length))) = resp::read(bytes, 1 << 20) {
        assert!(length > 0 && length <= bytes.len());
        assert!(matches!(resp::read(&bytes[..length], 1 << 20), Ok(Some((_, again))) if again == length));
    }
    if let Ok(Some((_, length))) = memcached::read(bytes) {
        assert!(length > 0 && length <= bytes.len());
    }
});
