//! Backoff after failures.

use std::time::Duration;

/// Exponential backoff with jitter: each pause is random between half and all of its length, so that agents that
/// failed together do not retry together.
#[derive(Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    current: Duration,
}

impl Backoff {
    /// Pauses that start at `min` and double up to `max`.
    pub fn new(min: Duration, max: Duration) -> Self {
        Backoff { min, max: max.max(min), current: min }
    }

    /// The pause after another failure.
    pub fn pause(&mut self) -> Duration {
        let pause = self.current;
        self.current = (self.current * 2).min(self.max);
        pause / 2 + random_up_to(pause / 2)
    }

    /// Resets after a success.
    pub fn reset(&mut self) {
        self.current = self.min;
    }
}

/// A random duration up to `max`.
pub fn random_up_to(max: Duration) -> Duration {
    max.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_are_jittered() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        for longest in [1, 2, 4, 5, 5] {
            let (pause, longest) = (backoff.pause(), Duration::from_secs(longest));
            assert!(pause >= longest / 2 && pause <= longest, "{pause:?} of {longest:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_secs(1));
    }
}
