//! Everything that can go wrong at once, at random and for a while; and then everything is as before.
//!
//! All collectors are on, three sinks push, and jobs push to the gateway. Meanwhile files of the host hang, mounts die,
//! sockets are silent, servers answer nonsense, disks are full, the configuration is reloaded, the clock is stepped, and
//! connections idle by the thousand. Every scrape is answered within its timeout all along. Afterwards every collector is
//! read again, nothing that was acknowledged is lost, descriptors, threads and memory are within their bounds, and the log
//! has at most a line for each thing that began or ended.
//!
//! It lasts 20 seconds, or 60 with `TAFFRAIL_TESTS=all`. `TAFFRAIL_CHAOS=600` makes it last 600 seconds; `TAFFRAIL_CHAOS_SEED` is what it printed, to see the same again.

mod host;
mod jobs;
mod scene;
mod servers;
mod watch;

use std::time::{Duration, Instant};

use scene::Scene;

#[test]
#[ignore = "needs Debian's packages faketime and mount, and root: tests/run"]
fn with_mount_nothing_is_lost_and_every_scrape_is_answered_whatever_goes_wrong() {
    let _alone = crate::harness::alone();
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let is_in_full = std::env::var("TAFFRAIL_TESTS").is_ok_and(|tests| tests == "all");
    let seconds = setting("TAFFRAIL_CHAOS").unwrap_or(if is_in_full { 60 } else { 20 });
    let seed = setting("TAFFRAIL_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("TAFFRAIL_CHAOS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut scene = Scene::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds) {
        scene.disturb(&mut random);
        std::thread::sleep(Duration::from_millis(random.u64(20..400)));
    }
    scene.mend();
    scene.is_as_before();
    scene.forgets_nothing_when_it_is_started_again();
}
