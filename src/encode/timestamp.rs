//! The time of a sample or a point.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time, in nanoseconds since 1970-01-01 00:00:00 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Seconds since the epoch.
    pub fn seconds(self) -> f64 {
        const NANOSECONDS: i64 = 1_000_000_000;
        // Added separately: the nanoseconds since the epoch exceed the 53 bits of a float.
        self.0.div_euclid(NANOSECONDS) as f64 + self.0.rem_euclid(NANOSECONDS) as f64 / 1e9
    }

    /// Whole milliseconds since the epoch, rounded down.
    pub fn milliseconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The time `seconds` after the epoch, or none if it overflows.
    pub fn from_seconds(seconds: u64) -> Option<Timestamp> {
        i64::try_from(seconds).ok()?.checked_mul(1_000_000_000).map(Timestamp)
    }

    /// The nearest multiple of `unit`, as Telegraf rounds its timestamps.
    pub fn rounded_to(self, unit: Duration) -> Timestamp {
        let unit = i64::try_from(unit.as_nanos()).unwrap_or(i64::MAX).max(1);
        let down = self.0.rem_euclid(unit);
        Timestamp(if down * 2 >= unit { self.0 - down + unit } else { self.0 - down })
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_rounded_to_the_nearest_unit() {
        let second = Duration::from_secs(1);
        assert_eq!(Timestamp(1_499_999_999).rounded_to(second), Timestamp(1_000_000_000));
        assert_eq!(Timestamp(1_500_000_000).rounded_to(second), Timestamp(2_000_000_000));
        assert_eq!(Timestamp(1_795_213_214_250_000_000).seconds(), 1_795_213_214.25);
        assert_eq!(Timestamp(7).rounded_to(Duration::from_nanos(1)), Timestamp(7));
    }
}
