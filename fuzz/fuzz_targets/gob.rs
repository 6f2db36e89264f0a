//! A persistence file of Pushgateway is read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taffrail::migrate::persistence_file::groups;

fuzz_target!(|file: &[u8]| {
    for group in groups(file).unwrap_or_default() {
        assert!(!group.name().is_empty());
    }
});
