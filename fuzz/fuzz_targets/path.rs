//! A path that is a key makes a path that is the same key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taffrail::gateway::key::{Key, path_of};

fuzz_target!(|path: &str| {
    let Ok(key) = Key::from_path(path) else { return };
    let made = path_of(key.job(), key.labels().filter(|(name, _)| *name != "job"));
    let again = Key::from_path(made.strip_prefix("metrics/").unwrap());
    assert_eq!(again.as_ref(), Ok(&key), "{made}");
});
