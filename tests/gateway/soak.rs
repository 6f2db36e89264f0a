//! A gateway under pushes, scrapes, deletions and expiry for a while: its memory ends flat.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::gateway::{Gateway, Own};
use crate::harness::http::request;
use crate::harness::status_kib;

/// How long: TAFFRAIL_SOAK in seconds, or what a test may take.
fn time() -> Duration {
    let seconds = std::env::var("TAFFRAIL_SOAK").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(24))
}

#[test]
#[ignore = "takes its time: tests/run"]
fn soak_of_pushes_scrapes_and_expiry_ends_with_flat_memory() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[gateway]\nadmin_api = true\n[[gateway.jobs]]\njob = \"short.*\"\nttl = \"2s\"\n";
    let gateway = Own::keeping(folder.path(), config);
    let address = gateway.address();
    let is_over = Arc::new(AtomicBool::new(false));
    let pushers: Vec<_> = (0..3u64)
        .map(|thread| {
            let (address, is_over) = (address.clone(), is_over.clone());
            thread::spawn(move || push_at_random(&address, thread, &is_over))
        })
        .collect();
    let (begun, mut sizes) = (Instant::now(), Vec::new());
    while begun.elapsed() < time() {
        gateway.exposition();
        sizes.push(status_kib(gateway.pid(), "RssAnon"));
        thread::sleep(Duration::from_millis(100));
    }
    is_over.store(true, Ordering::Relaxed);
    let pushed: u64 = pushers.into_iter().map(|pusher| pusher.join().unwrap()).sum();
    // The first third fills it; after that, what is let go of is what is taken.
    let (early, late) = (&sizes[sizes.len() / 3..sizes.len() * 2 / 3], &sizes[sizes.len() * 2 / 3..]);
    let most = |sizes: &[u64]| *sizes.iter().max().unwrap();
    println!("{pushed} pushes; at most {} KiB resident, then {} KiB", most(early), most(late));
    assert!(most(late) <= most(early) * 11 / 10 + 2048, "{sizes:?}");
    assert!(pushed > 100, "{pushed}");
}

/// Pushes to groups that come and go, and deletes one now and then; says how often.
fn push_at_random(address: &str, seed: u64, is_over: &AtomicBool) -> u64 {
    let (mut random, mut pushed) = (fastrand::Rng::with_seed(seed), 0);
    while !is_over.load(Ordering::Relaxed) {
        let number = random.u32(..400);
        let job = if number % 4 == 0 { format!("short-{}", random.u32(..)) } else { format!("job-{seed}-{number}") };
        let body: String =
            (0..random.u32(1..30)).map(|series| format!("m{number}{{s=\"{series}\"}} {pushed}\n")).collect();
        let method = if random.u32(..10) == 0 { "DELETE" } else { "POST" };
        let reply = request(method, &format!("/metrics/job/{job}"), body).send(address);
        assert!([200, 202].contains(&reply.status), "{reply:?}");
        if random.u32(..50) == 0 {
            request("POST", "/write", format!("point,tag={number} value=1\n")).send(address);
        }
        pushed += 1;
    }
    pushed
}
