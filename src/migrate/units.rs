//! Values of Go programs as values of the configuration.

use std::time::Duration;

/// Parses a duration as Go's `time.ParseDuration` does: `1h30m`, `3.46608s`, `500ms`, `0`.
pub(super) fn go_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut nanoseconds) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(digits);
        let letters = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, next) = behind.split_at(letters);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        nanoseconds += number.parse::<f64>().ok()? * factor;
        rest = next;
    }
    let is_valid = !text.is_empty() && nanoseconds < 1e18;
    is_valid.then(|| Duration::from_nanos(nanoseconds.round() as u64))
}

/// A duration as the configuration has it.
pub(super) fn duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_are_understood() {
        for (text, shown) in
            [("5m", "5m"), ("1h30m", "1h 30m"), ("3.46608s", "3s 466ms 80us"), ("500ms", "500ms"), ("0", "0s")]
        {
            assert_eq!(go_duration(text).map(duration).as_deref(), Some(shown), "{text}");
        }
        for text in ["", "5", "m", "5 m", "5x", "-1s", "1e3s"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }
}
