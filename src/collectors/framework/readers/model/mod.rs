//! The [`State`] under random schedules: any order of its steps that threads and callers can produce.
//!
//! A schedule is derived from its number, so it can be repeated. A failure prints the number; `TAFFRAIL_SCHEDULE=NUMBER
//! cargo test --lib readers::model` runs that schedule alone, and `TAFFRAIL_SCHEDULES` sets how many to run.
//!
//! [`State`]: super::state::State

mod asker;
mod collector;
mod endings;
mod reader;
mod rules;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use self::world::{Ground, World};

/// Number of schedules to run.
const SCHEDULES: u64 = 100_000;
/// Steps of a schedule, before its final state.
const STEPS: u32 = 40;

#[test]
fn under_every_schedule_no_collector_is_lost_and_everybody_is_answered() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    if let Some(seed) = number("TAFFRAIL_SCHEDULE") {
        return run(seed, &Ground::new());
    }
    let count = number("TAFFRAIL_SCHEDULES").unwrap_or(SCHEDULES);
    let half = |first: u64| {
        let ground = Ground::new();
        (first..count).step_by(2).for_each(|seed| run(seed, &ground));
    };
    thread::scope(|scope| {
        let other = scope.spawn(move || half(1));
        half(0);
        other.join().unwrap();
    });
}

/// Runs a schedule. Prints its number if it fails.
fn run(seed: u64, ground: &Ground) {
    if catch_unwind(AssertUnwindSafe(|| schedule(seed, ground))).is_err() {
        panic!("this was the schedule TAFFRAIL_SCHEDULE={seed}");
    }
}

fn schedule(seed: u64, ground: &Ground) {
    let mut world = World::new(Rng::with_seed(seed), ground);
    for _ in 0..STEPS {
        world.step();
        world.check();
    }
    match world.rng.u32(..4) {
        0 => return world.end_by_reload(),
        1 => world.end_with_hangs(),
        _ => {}
    }
    world.end_in_peace();
}

/// A random duration up to `max`, of any order of magnitude. Most are long enough to hang.
fn span(rng: &mut Rng, max: Duration) -> Duration {
    if rng.u32(..3) > 0 {
        return max.mul_f64(rng.f64());
    }
    let exponent = rng.f64() * (max.as_micros().max(1) as f64).ln();
    Duration::from_micros(exponent.exp() as u64)
}
