//! Numbers as text.

/// Appends an integer in decimal.
pub fn push_integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends a finite number with the fewest digits that read back to the same value; integral ones without a point.
pub fn push_finite(out: &mut Vec<u8>, value: f64) {
    /// Up to here every integral value is exact and prints as one would write it.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = value as i64;
    if whole as f64 == value && value.abs() < EXACT && !(whole == 0 && value.is_sign_negative()) {
        push_integer(out, whole);
    } else {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    }
}

/// Appends any number as expositions spell it: `+Inf`, `-Inf` and `NaN` for what is not finite.
pub fn push_float(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        push_finite(out, value);
    } else if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    }
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
}
