//! Lines of statsd are read without a panic; names, rates and tags are sound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taffrail::encode::parse::statsd::{Dialects, Tagged, Value, parse};

fuzz_target!(|body: &[u8]| {
    // The first byte selects the dialects.
    let bits = body.first().copied().unwrap_or(0);
    let dialects = Dialects {
        dogstatsd: bits & 1 == 0,
        influxdb: bits & 2 == 0,
        librato: bits & 4 == 0,
        signalfx: bits & 8 == 0,
    };
    for line in body.split(|byte| *byte == b'\n') {
        parse(line, &mut |sample| {
            let Ok(sample) = sample else { return };
            assert!(!sample.name.is_empty() && sample.rate > 0.0 && sample.rate.is_finite());
            assert!(!matches!(sample.value, Value::Number(value, _) if !value.is_finite()));
            if let Ok(tagged) = Tagged::new(&sample, dialects) {
                assert!(tagged.tags.iter().all(|(key, value)| !key.is_empty() && value.as_deref() != Some("")));
            }
        });
    }
});
