//! Values of Go programs as values of the configuration.

use std::time::Duration;

use super::output::literal;

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

/// A list of texts as TOML.
pub(super) fn list<T: AsRef<str>>(texts: &[T]) -> String {
    format!("[{}]", texts.iter().map(|text| literal(text.as_ref())).collect::<Vec<_>>().join(", "))
}

/// A number, or a list of numbers, as TOML.
pub(super) fn numbers(texts: &[&str], is_list: bool) -> Option<String> {
    let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let joined = texts.join(", ");
    (texts.iter().all(is_number) && (is_list || texts.len() == 1))
        .then(|| if is_list { format!("[{joined}]") } else { joined })
}

/// Regular expressions as one that matches if any of them does.
pub(super) fn any_of(texts: &[&str]) -> String {
    match texts {
        [one] => (*one).to_owned(),
        many => many.iter().map(|text| format!("(?:{text})")).collect::<Vec<_>>().join("|"),
    }
}

/// A size, whose units are powers of 1024 with and without an `i`.
pub(super) fn size(text: &str) -> Option<String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "B" => "B",
        "KB" | "KiB" => "KiB",
        "MB" | "MiB" => "MiB",
        "GB" | "GiB" => "GiB",
        _ => return None,
    };
    number.parse::<u64>().is_ok_and(|number| number > 0).then(|| format!("{number}{unit}"))
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
