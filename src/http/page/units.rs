//! Numbers in units that people read. The pages' scripts write them in the same way.

/// Three digits or so, in the largest unit of `units` that leaves at least one; each is `factor` times the one before.
fn scaled(value: f64, factor: f64, units: &[&str]) -> String {
    let (mut value, mut index) = (value, 0);
    // What rounds up to the factor belongs to the next unit.
    while value.abs() >= factor - 0.5 && index + 1 < units.len() {
        value /= factor;
        index += 1;
    }
    let decimals = if index > 0 && value.abs() < 9.95 { 1 } else { 0 };
    format!("{value:.decimals$} {}", units[index])
}

/// A size: `1.5 GiB`.
pub fn bytes(value: f64) -> String {
    scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])
}

/// Bytes per second: `1.2 MB/s`.
pub fn rate(value: f64) -> String {
    scaled(value, 1000.0, &["B/s", "kB/s", "MB/s", "GB/s", "TB/s"])
}

/// A number with a comma between thousands: `12,345`.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 group`, `2,000 groups`, `2 families`.
pub fn count(number: usize, thing: &str) -> String {
    let text = grouped(number);
    match thing.strip_suffix('y') {
        _ if number == 1 || thing.ends_with('s') => format!("{text} {thing}"),
        Some(stem) => format!("{text} {stem}ies"),
        None => format!("{text} {thing}s"),
    }
}

/// A time in its two largest units: `1d 3h`, `4m 5s`, `12s`. Below ten seconds `1.5s`, below one `15ms`.
pub fn duration(seconds: f64) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
    if seconds < 0.000_999_5 {
        return format!("{:.0}µs", seconds.max(0.0) * 1e6);
    }
    if seconds < 0.9995 {
        return format!("{:.0}ms", seconds * 1e3);
    }
    if seconds < 9.95 {
        return format!("{seconds:.1}s");
    }
    let whole = seconds.round() as u64;
    let first = UNITS.iter().position(|(_, unit)| whole >= *unit).unwrap_or(UNITS.len() - 1);
    let mut rest = whole;
    let mut parts = Vec::new();
    for (name, unit) in UNITS.iter().skip(first).take(2) {
        if rest / unit > 0 {
            parts.push(format!("{}{name}", rest / unit));
        }
        rest %= unit;
    }
    parts.join(" ")
}

/// A time in the past, to the second: `3s ago`, `1d 3h ago`.
pub fn ago(seconds: f64) -> String {
    match seconds {
        ..1.0 => "now".to_owned(),
        ..9.5 => format!("{seconds:.0}s ago"),
        _ => format!("{} ago", duration(seconds.round())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_rates_have_the_largest_unit_that_fits() {
        let sizes = [0.0, 1023.0, 1023.9, 1536.0, 10_188.0, 270_553_174_016.0, 1e30].map(bytes);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "9.9 KiB", "252 GiB", "867361737988 EiB"]);
        assert_eq!([0.4, 999.6, 1_234_567.0].map(rate), ["0 B/s", "1.0 kB/s", "1.2 MB/s"]);
    }

    #[test]
    fn counts_have_the_right_words() {
        assert_eq!([0, 1, 2].map(|number| count(number, "group")), ["0 groups", "1 group", "2 groups"]);
        assert_eq!([999, 1000, 1_234_567].map(grouped), ["999", "1,000", "1,234,567"]);
        assert_eq!(count(5000, "family"), "5,000 families");
        assert_eq!([1, 3].map(|number| count(number, "family")), ["1 family", "3 families"]);
        assert_eq!([1, 3].map(|number| count(number, "series")), ["1 series", "3 series"]);
    }

    #[test]
    fn times_have_two_units() {
        let times = [0.0, 0.000_01, 0.015, 1.5, 12.4, 60.0, 245.0, 3600.0, 97_200.0, 1e7].map(duration);
        assert_eq!(times, ["0µs", "10µs", "15ms", "1.5s", "12s", "1m", "4m 5s", "1h", "1d 3h", "115d 17h"]);
        assert_eq!(
            [-1.0, 0.4, 1.2, 9.4, 9.6, 97_200.0].map(ago),
            ["now", "now", "1s ago", "9s ago", "10s ago", "1d 3h ago"]
        );
    }
}
