//! The times of a group, in seconds of Unix time.

use std::time::{SystemTime, UNIX_EPOCH};

/// When a group was pushed to, in seconds of Unix time; 0 is never.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// The last accepted push.
    pub pushed: f64,
    /// The last refused push.
    pub failed: f64,
    /// When the group expires; never if absent.
    pub expires: Option<f64>,
}

/// The current time, in seconds of Unix time.
pub fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The time of a push at `now` to a group last pushed to at `before`. Every push gets a millisecond of its own: servers with
/// millisecond resolution accept one sample each. A clock set back by more than five seconds is believed.
pub fn push_time(before: f64, now: f64) -> f64 {
    const MAX_DRIFT: f64 = 5.0;
    const MILLISECONDS: f64 = 1e3;
    /// More than the rounding error of a present-day time.
    const ROUNDING: f64 = 1e-6;
    let next = ((before * MILLISECONDS).floor() + 1.0) / MILLISECONDS + ROUNDING;
    if next - now < MAX_DRIFT { now.max(next) } else { now }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Timestamp;

    #[test]
    fn each_push_to_a_group_has_a_millisecond_of_its_own() {
        let milliseconds = |time: f64| Timestamp((time * 1e9) as i64).milliseconds();
        let now = 1_795_213_214.250_4;
        let mut time = now;
        for _ in 0..2000 {
            let next = push_time(time, now);
            assert_eq!(milliseconds(next), milliseconds(time) + 1);
            time = next;
        }
        assert_eq!(push_time(0.0, now), now);
        assert_eq!(push_time(now - 0.1, now), now);
        assert_eq!(push_time(now + 3600.0, now), now, "the clock was set back");
    }
}
