//! Numbers as text.

/// Appends an integer in decimal.
pub fn push_integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a finite number with the fewest digits that parse to the same value; integers without a decimal point.
pub fn push_finite(out: &mut Vec<u8>, value: f64) {
    /// 2^53: below it, every integer is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = value as i64;
    if whole as f64 == value && value.abs() < EXACT && !(whole == 0 && value.is_sign_negative()) {
        push_integer(out, whole);
    } else {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    }
}

/// Appends any number in the notation of expositions: `+Inf`, `-Inf` and `NaN` if it is not finite.
pub fn push_float(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        push_finite(out, value);
    } else if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    }
}

/// Formats a number as Go does, for the labels of buckets and quantiles: `1e+06`, `0.5`, `+Inf`.
pub fn go_float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    const LARGE: i32 = 6;
    const SMALL: i32 = -4;
    if !(SMALL..LARGE).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        push_float(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_read_back_to_the_same_value() {
        for value in [0.0, -0.0, 1.0, -17.0, 0.1, 1e21, 1.5e-9, f64::MAX, f64::MIN_POSITIVE, 9_007_199_254_740_993.0] {
            assert_eq!(text(value).parse::<f64>().unwrap().to_bits(), value.to_bits());
        }
        assert_eq!([text(3.0), text(0.25), text(f64::NAN), text(f64::INFINITY)], ["3", "0.25", "NaN", "+Inf"]);
    }

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        let cases = [
            (0.5, "0.5"),
            (1.0, "1"),
            (1e6, "1e+06"),
            (123456.0, "123456"),
            (1234567.5, "1.2345675e+06"),
            (0.00001, "1e-05"),
            (f64::INFINITY, "+Inf"),
        ];
        for (number, text) in cases {
            assert_eq!(go_float(number), text);
        }
    }
}
