//! The [`State`] under random schedules: every order of its steps that threads and those who ask could come to.
//!
//! A schedule is made from its number, and is the same each time. If one fails, its number is told;
//! `TAFFRAIL_SCHEDULE=NUMBER cargo test --lib readers::model` runs it alone, and `TAFFRAIL_SCHEDULES` says how many to run.
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

/// How many schedules are run.
const SCHEDULES: u64 = 100_000;
/// Steps of a schedule, before everything comes to its end.
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

/// Runs a schedule. If it fails, the number is told.
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

/// A time span up to that long, of any order of magnitude, but most are as long as it takes to hang and more.
fn span(rng: &mut Rng, most: Duration) -> Duration {
    if rng.u32(..3) > 0 {
        return most.mul_f64(rng.f64());
    }
    let exponent = rng.f64() * (most.as_micros().max(1) as f64).ln();
    Duration::from_micros(exponent.exp() as u64)
}
