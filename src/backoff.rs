//! Pauses after failures.

use std::time::Duration;

/// Pauses that grow, each by chance between half and the whole of its length, so that many agents that failed together
/// do not come back together.
#[derive(Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    current: Duration,
}

impl Backoff {
    /// Pauses from `min` on, each twice as long as the one before, up to `max`.
    pub fn new(min: Duration, max: Duration) -> Self {
        Backoff { min, max: max.max(min), current: min }
    }

    /// The pause after one more failure.
    pub fn pause(&mut self) -> Duration {
        let pause = self.current;
        self.current = (self.current * 2).min(self.max);
        pause / 2 + random_up_to(pause / 2)
    }

    /// It went well: the next failure is the first again.
    pub fn reset(&mut self) {
        self.current = self.min;
    }
}

/// A random time up to `most`.
pub fn random_up_to(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
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
