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
        jittered(pause)
    }

    /// Resets after a success.
    pub fn reset(&mut self) {
        self.current = self.min;
    }
}

/// `pause`, or if the server asks for a longer one, that with up to half of it added: the server asks many agents for the same
/// one.
pub fn at_least(pause: Duration, requested: Duration) -> Duration {
    if requested > pause { requested + random_up_to(requested / 2) } else { pause }
}

/// A random duration between half of `max` and all of it.
pub fn jittered(max: Duration) -> Duration {
    max / 2 + random_up_to(max / 2)
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

    #[test]
    fn agents_that_a_server_asks_for_the_same_pause_do_not_return_together() {
        let requested = Duration::from_secs(30);
        let pauses: Vec<Duration> = (0..1000).map(|_| at_least(Duration::from_secs(1), requested)).collect();
        assert!(pauses.iter().all(|pause| (requested..=requested * 3 / 2).contains(pause)));
        let in_second = |second: u64| pauses.iter().filter(|pause| pause.as_secs() == 30 + second).count();
        assert!((0..15).all(|second| (20..150).contains(&in_second(second))), "{pauses:?}");
        assert_eq!(at_least(Duration::from_secs(60), requested), Duration::from_secs(60));
    }
}
