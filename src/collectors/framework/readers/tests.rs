//! The runner with real threads.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use super::*;
use crate::collectors::framework::{AnyCollector, Collected};
use crate::encode::text::{Dialect, TextEncoder};
use crate::encode::{Family, FamilyWriter};
use crate::host::Roots;

static QUICK: About = About { name: "quick", ..About::PLAIN };
static SLOW: About = About { name: "slow", ..About::PLAIN };
static LAST: About = About { name: "last", ..About::PLAIN };

struct Scripted<F>(F);

impl<F: FnMut() + Send> AnyCollector for Scripted<F> {
    fn collect(&mut self, wanted: Vocabularies, _: Instant, host: &Host, _: &mut Vec<u8>) -> Collected {
        (self.0)();
        let at = host.kernel.now();
        Collected {
            at,
            monotonic: Duration::ZERO,
            took: Duration::ZERO,
            failure: None,
            reading: Arc::new(Nothing(wanted)),
        }
    }

    fn begin(&mut self, _: Duration) {}

    fn report(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// A reading that contains only the vocabularies it was taken for.
#[derive(Default)]
struct Nothing(Vocabularies);

impl crate::collectors::framework::Reading for Nothing {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        const FOR: Family<1> = Family::gauge("for", "", ["vocabulary"]);
        let mut samples = out.family(&FOR);
        samples.sample(["families"], self.0.families);
        samples.sample(["points"], self.0.points);
    }
}

fn configured(about: &'static About, script: impl FnMut() + Send + 'static) -> Configured {
    Configured {
        about,
        on: Vocabularies::BOTH,
        interval: None,
        max_series: usize::MAX,
        points: None,
        timeout: Duration::from_secs(60),
        collector: Box::new(Scripted(script)),
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fn succeeded(readings: &[CollectorReading]) -> Vec<(&'static str, bool)> {
    readings.iter().map(|reading| (reading.about.name, reading.collected.is_ok())).collect()
}

async fn all(readers: &Readers) -> Vec<(&'static str, bool)> {
    succeeded(&readers.read(Vocabularies::FAMILIES, |_| true, Duration::from_secs(60)).await)
}

/// Waits until this many threads are running.
fn wait_for_threads(readers: &Readers, count: usize) {
    while Arc::strong_count(&readers.shared) - 1 != count {
        thread::yield_now();
    }
}

#[test]
fn a_hung_collector_costs_its_own_samples_and_one_thread_until_it_answers_again() {
    let (release, gate) = mpsc::channel::<()>();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let slow = move || {
        counted.fetch_add(1, SeqCst);
        let _ = gate.recv();
    };
    let slow = Configured { timeout: Duration::from_secs(1), ..configured(&SLOW, slow) };
    let on = vec![configured(&QUICK, || {}), slow, configured(&LAST, || {})];
    let readers = Readers::new(Host::live(Roots::default()), on);
    block_on(async {
        let without_slow = [("quick", true), ("slow", false), ("last", true)];
        for _ in 0..5 {
            assert_eq!(all(&readers).await, without_slow);
            wait_for_threads(&readers, 2);
        }
        assert_eq!(count.load(SeqCst), 1, "it is not asked again while it hangs");
        drop(release);
        // The pending requests complete at once, then everything is as before.
        while all(&readers).await != [("quick", true), ("slow", true), ("last", true)] {}
        wait_for_threads(&readers, 1);
    });
}

#[test]
fn a_panic_costs_the_collector_its_samples_and_nothing_else() {
    let mut first = true;
    let panics_once = move || assert!(!std::mem::take(&mut first), "for the test");
    let on = vec![configured(&SLOW, panics_once), configured(&LAST, || {})];
    let readers = Readers::new(Host::live(Roots::default()), on);
    block_on(async {
        assert_eq!(all(&readers).await, [("slow", false), ("last", true)]);
        assert_eq!(all(&readers).await, [("slow", true), ("last", true)]);
    });
}

#[test]
fn those_who_ask_at_the_same_moment_share_a_reading() {
    let (release, gate) = mpsc::channel::<()>();
    let (began, has_begun) = mpsc::channel::<()>();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let script = move || {
        counted.fetch_add(1, SeqCst);
        let _ = began.send(());
        let _ = gate.recv();
    };
    let readers = Readers::new(Host::live(Roots::default()), vec![configured(&QUICK, script)]);
    block_on(async {
        let (first, second, third, ()) = tokio::join!(all(&readers), all(&readers), all(&readers), async {
            // While the first round is in progress, no other reading starts.
            has_begun.recv().unwrap();
            drop(release);
        });
        assert_eq!([first, second, third], [const { [("quick", true)] }; 3].map(Vec::from));
    });
    assert!(count.load(SeqCst) <= 2, "{count:?} readings for three who asked together");
}

#[test]
fn everyone_gets_a_reading_for_his_own_vocabulary() {
    let readers = Readers::new(Host::live(Roots::default()), vec![configured(&QUICK, || {})]);
    let wants = |wanted: Vocabularies, name: &'static str| {
        let readers = &readers;
        async move {
            let readings = readers.read(wanted, |_| true, Duration::from_secs(60)).await;
            let mut encoder = TextEncoder::new(Dialect::Plain, Vec::new());
            readings[0].collected.as_ref().unwrap().families(&mut FamilyWriter::new(&mut encoder));
            let text = String::from_utf8(encoder.finish()).unwrap();
            assert!(text.contains(&format!("for{{vocabulary=\"{name}\"}} 1")), "{text}");
        }
    };
    block_on(async {
        for _ in 0..200 {
            let families = || wants(Vocabularies::FAMILIES, "families");
            let points = || wants(Vocabularies::POINTS, "points");
            tokio::join!(families(), points(), families(), families(), points());
            tokio::join!(points(), families());
        }
    });
}

#[test]
fn a_collector_with_an_interval_is_served_from_the_background() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let mut slow = configured(&SLOW, move || {
        counted.fetch_add(1, SeqCst);
    });
    slow.interval = Some(Duration::from_secs(3600));
    let readers = Readers::new(Host::live(Roots::default()), vec![slow]);
    block_on(async {
        for _ in 0..10 {
            let readings = readers.read(Vocabularies::BOTH, |_| true, Duration::from_secs(5)).await;
            assert!(readings[0].collected.is_ok() && readings[0].age.is_some());
        }
    });
    assert_eq!(count.load(SeqCst), 1);
}
