//! Running the collectors, so that a scrape always answers.
//!
//! Collectors are read one after the other by the thread of a *lane*: what they read takes microseconds, and changing
//! threads would cost more. All start in one shared lane, but those with an interval, which have one of their own and
//! refresh in the background. When a collector hangs, its lane is stalled; whoever waits notices, leaves the stalled
//! thread to that collector as a lane of its own, and gives the others a new thread. So one hung collector costs its own
//! samples until it answers again, and one thread in all, however often it is asked.
//!
//! Whoever asks while a round of readings has not begun shares it: two sinks that are due at the same moment cost one
//! reading. Everyone gets what was read in his own round, for a later one may have been for the other vocabulary.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep_until, timeout};

use super::settings::Configured;
use super::{About, AnyCollector, Failure, Taken, Vocabularies};
use crate::encode::{Family, FamilyWriter, PointWriter};
use crate::host::Host;

/// A lane that makes no headway for this long is stalled.
const STALL: Duration = Duration::from_millis(500);

/// The collectors that are on, with the threads that read them.
pub struct Readers {
    host: Host,
    slots: Vec<Arc<Slot>>,
}

/// What became of one collector.
#[derive(Clone)]
pub struct Answer {
    /// The collector.
    pub about: &'static About,
    /// Its reading, complete or not, or why there is none.
    pub taken: Result<Arc<Taken>, Failure>,
    /// How old the reading is, for a collector that refreshes in the background.
    pub age: Option<Duration>,
    /// How much of it is shown.
    cap: Arc<Cap>,
}

/// How many series of a collector are shown.
#[derive(Debug)]
struct Cap {
    most: usize,
    /// Whether the log was told that there are more.
    is_told: AtomicBool,
}

impl Cap {
    /// Tells the log when there begin to be more.
    fn tell(&self, about: &About, beyond: u64) {
        if !self.is_told.swap(beyond > 0, Relaxed) && beyond > 0 {
            tracing::warn!(
                "the collector {} has {beyond} series more than [collectors.{}] max_series = {} lets it show",
                about.name,
                about.name,
                self.most
            );
        }
    }
}

impl Readers {
    /// Takes the collectors on. Threads start when there is something to read.
    pub fn new(host: Host, configured: Vec<Configured>) -> Self {
        let shared = Lane::new(Serves::Many);
        let slot = |mut configured: Configured| {
            configured.collector.begin(Duration::ZERO);
            let lane = match configured.interval {
                Some(interval) => Lane::new(Serves::OneEvery(interval)),
                None => shared.clone(),
            };
            Arc::new(Slot {
                about: configured.about,
                on: configured.on,
                interval: configured.interval,
                timeout: configured.timeout,
                cap: Arc::new(Cap { most: configured.max_series, is_told: AtomicBool::new(false) }),
                collector: Mutex::new(configured.collector),
                lane: Mutex::new(lane),
                state: Mutex::default(),
                finished: Notify::new(),
            })
        };
        let slots: Vec<_> = configured.into_iter().map(slot).collect();
        for slot in slots.iter().filter(|slot| slot.interval.is_some()) {
            let lane = slot.lane();
            lane.state().refreshes = Some(slot.clone());
            lane.start(&host, Some(slot.about));
        }
        shared.start(&host, None);
        Readers { host, slots }
    }

    /// What is on, and for which vocabularies.
    pub fn on(&self) -> impl Iterator<Item = (&'static About, Vocabularies)> {
        self.slots.iter().map(|slot| (slot.about, slot.on))
    }

    /// The host that is read.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Readings of all collectors that are on for `wanted` and that `selected` chooses, in their order. It answers
    /// within `patience` and within each collector's own timeout; a collector that does not is told as failed.
    pub async fn read(
        &self,
        wanted: Vocabularies,
        selected: impl Fn(&About) -> bool,
        patience: Duration,
    ) -> Vec<Answer> {
        let asked = Instant::now();
        let wanted_of = |slot: &Slot| if selected(slot.about) { slot.on.and(wanted) } else { Vocabularies::NONE };
        let slots: Vec<&Arc<Slot>> = self.slots.iter().filter(|slot| wanted_of(slot).any()).collect();

        let mut rounds: Vec<(Arc<Lane>, Vec<Arc<Slot>>)> = Vec::new();
        for slot in slots.iter().filter(|slot| slot.interval.is_none() && !slot.is_given_up()) {
            let lane = slot.lane();
            match rounds.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &lane)) {
                Some((_, members)) => members.push((*slot).clone()),
                None => rounds.push((lane, vec![(*slot).clone()])),
            }
        }
        let limit = |slot: &Slot| asked + slot.timeout.min(patience);
        let mut waits = Vec::new();
        for (lane, members) in rounds {
            let deadline = members.iter().map(|slot| limit(slot)).max().unwrap_or(asked);
            waits.push((lane.ask(members, wanted), lane, deadline));
        }
        let mut taken: Vec<Outcome> = Vec::new();
        for (answered, lane, deadline) in waits {
            taken.extend(self.wait_for_lane(answered, &lane, deadline).await);
        }

        let mut answers = Vec::with_capacity(slots.len());
        for slot in slots {
            let outcome = taken.iter().find(|outcome| Arc::ptr_eq(&outcome.slot, slot));
            answers.push(match outcome {
                Some(Outcome { last, .. }) => slot.answer_with(last),
                None => slot.answer(asked, limit(slot)).await,
            });
        }
        answers
    }

    /// What the lane has read by the deadline; what hangs is not among it.
    async fn wait_for_lane(
        &self,
        answered: Option<oneshot::Receiver<Vec<Outcome>>>,
        lane: &Arc<Lane>,
        deadline: Instant,
    ) -> Vec<Outcome> {
        let Some(mut answered) = answered else { return Vec::new() };
        let mut patience = STALL;
        while Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            if let Ok(outcomes) = timeout(patience.min(left), &mut answered).await {
                return outcomes.unwrap_or_default();
            }
            patience = lane.rescue(&self.host);
        }
        Vec::new()
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        for slot in &self.slots {
            slot.lane().close();
        }
    }
}

/// A collector and what became of its readings.
struct Slot {
    about: &'static About,
    on: Vocabularies,
    interval: Option<Duration>,
    timeout: Duration,
    cap: Arc<Cap>,
    /// Locked only by the thread of the slot's lane.
    collector: Mutex<Box<dyn AnyCollector>>,
    lane: Mutex<Arc<Lane>>,
    state: Mutex<SlotState>,
    finished: Notify,
}

#[derive(Default)]
struct SlotState {
    running_since: Option<Instant>,
    last: Option<Last>,
    /// The failure that the log last told of.
    reported: Option<Arc<Failure>>,
}

#[derive(Clone)]
struct Last {
    began: Instant,
    taken: Result<Arc<Taken>, Failure>,
}

impl Slot {
    fn lane(&self) -> Arc<Lane> {
        lock(&self.lane).clone()
    }

    /// Whether it has hung for longer than anybody waits for it.
    fn is_given_up(&self) -> bool {
        lock(&self.state).has_hung_for(self.timeout)
    }

    fn read(&self, wanted: Vocabularies, round: Instant, host: &Host, buffer: &mut Vec<u8>) -> Last {
        let began = Instant::now();
        let mut state = lock(&self.state);
        state.running_since = Some(began);
        if self.interval.is_none() {
            // Nobody is told of it any more, and what it has allocated serves the next.
            state.last = None;
        }
        drop(state);
        let mut collector = lock(&self.collector);
        let taken = catch_unwind(AssertUnwindSafe(|| collector.take(wanted, round, host, buffer)));
        let taken = taken.map(Arc::new).map_err(|panic| Failure { absent: false, message: panic_message(&*panic) });
        let failure = match &taken {
            Ok(taken) => taken.failure.clone(),
            Err(failure) => Some(Arc::new(failure.clone())),
        };
        let last = Last { began, taken };
        let mut state = lock(&self.state);
        state.running_since = None;
        state.last = Some(last.clone());
        state.report(self.about.name, failure);
        drop(state);
        self.finished.notify_waiters();
        last
    }

    fn answer_with(&self, last: &Last) -> Answer {
        let age = self.interval.map(|_| last.began.elapsed());
        Answer { about: self.about, taken: last.taken.clone(), age, cap: self.cap.clone() }
    }

    /// The reading that began after `asked`, waited for until `deadline`; for a background collector the last one.
    async fn answer(&self, asked: Instant, deadline: Instant) -> Answer {
        loop {
            let mut finished = std::pin::pin!(self.finished.notified());
            finished.as_mut().enable();
            if let Some(answer) = self.answer_now(asked, deadline) {
                return answer;
            }
            tokio::select! {
                () = finished => {}
                () = sleep_until(deadline.into()) => {}
            }
        }
    }

    fn answer_now(&self, asked: Instant, deadline: Instant) -> Option<Answer> {
        let mut state = lock(&self.state);
        let now = Instant::now();
        if let Some(last) = state.last.as_ref().filter(|last| last.began >= asked || self.interval.is_some()) {
            return Some(self.answer_with(last));
        }
        if now < deadline && !state.has_hung_for(self.timeout) {
            return None;
        }
        let message = "no answer in time; its samples are left out until it answers".to_owned();
        let failure = Failure { absent: false, message };
        state.report(self.about.name, Some(Arc::new(failure.clone())));
        Some(Answer { about: self.about, taken: Err(failure), age: None, cap: self.cap.clone() })
    }
}

impl SlotState {
    fn has_hung_for(&self, time: Duration) -> bool {
        self.running_since.is_some_and(|since| since.elapsed() > time)
    }

    /// Tells the log of a failure when it begins, changes or ends, not at each reading.
    fn report(&mut self, collector: &str, failure: Option<Arc<Failure>>) {
        if self.reported == failure {
            return;
        }
        match &failure {
            Some(failure) if failure.absent => tracing::debug!(collector, "no data: {}", failure.message),
            Some(failure) => tracing::warn!(collector, "failed: {}", failure.message),
            None => tracing::info!(collector, "answers again"),
        }
        self.reported = failure;
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a defect in Taffrail, please report it: {}", text.unwrap_or("panicked"))
}

/// Collectors that are read one after the other by one thread.
struct Lane {
    serves: Serves,
    state: Mutex<LaneState>,
    wake: Condvar,
}

/// Whom a lane is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Serves {
    /// All that have no other.
    Many,
    /// One that has hung.
    One,
    /// One that is refreshed this often without being asked.
    OneEvery(Duration),
}

#[derive(Default)]
struct LaneState {
    /// What was asked and has not begun.
    asked: Vec<Ask>,
    /// Those whom the round that is being read is for.
    in_hand: Vec<Ask>,
    /// What is still to be read in this round.
    round: VecDeque<Arc<Slot>>,
    wanted: Vocabularies,
    round_began: Option<Instant>,
    running: Option<(Arc<Slot>, Instant)>,
    refreshes: Option<Arc<Slot>>,
    closed: bool,
}

struct Ask {
    slots: Vec<Arc<Slot>>,
    wanted: Vocabularies,
    /// What was read of it; it goes out when the round is complete.
    outcomes: Vec<Outcome>,
    answer: Option<oneshot::Sender<Vec<Outcome>>>,
}

/// What one round read of one collector.
struct Outcome {
    slot: Arc<Slot>,
    last: Last,
}

impl Lane {
    fn new(serves: Serves) -> Arc<Lane> {
        Arc::new(Lane { serves, state: Mutex::default(), wake: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, LaneState> {
        lock(&self.state)
    }

    fn start(self: &Arc<Self>, host: &Host, of: Option<&About>) {
        let (lane, host) = (self.clone(), host.clone());
        // The kernel shows 15 characters.
        let name = of.map_or_else(|| "read".to_owned(), |about| format!("read-{}", about.name));
        let started = thread::Builder::new().name(name).spawn(move || serve(lane, &host));
        if let Err(error) = started {
            tracing::error!("cannot start a thread to read with: {error}");
        }
    }

    fn close(&self) {
        self.state().closed = true;
        self.wake.notify_all();
    }

    /// Asks for a round with `slots`. Nothing comes back if the lane hangs and is asked already.
    fn ask(&self, slots: Vec<Arc<Slot>>, wanted: Vocabularies) -> Option<oneshot::Receiver<Vec<Outcome>>> {
        /// More than can be asked while a round is read, unless it hangs.
        const MAX_WAITING: usize = 256;
        let mut state = self.state();
        if state.asked.len() >= MAX_WAITING {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        state.asked.push(Ask { slots, wanted, outcomes: Vec::new(), answer: Some(answer) });
        drop(state);
        self.wake.notify_one();
        Some(answered)
    }

    /// If the shared lane is stalled, leaves its thread to the collector that hangs and starts another. Says when to
    /// look again.
    fn rescue(self: &Arc<Self>, host: &Host) -> Duration {
        let mut state = self.state();
        let ran = state.running.as_ref().map_or(Duration::ZERO, |(_, since)| since.elapsed());
        if self.serves != Serves::Many {
            return STALL;
        }
        if ran < STALL {
            return STALL - ran;
        }
        let Some((hung, since)) = state.running.take() else { return STALL };
        let own = Lane::new(Serves::One);
        own.state().running = Some((hung.clone(), since));
        *lock(&hung.lane) = own;
        tracing::warn!(collector = hung.about.name, "hangs; it gets a thread of its own");
        drop(state);
        self.start(host, None);
        STALL
    }

    /// The next collector to read, for whom, and when its round began; nothing once the lane is closed.
    fn next(&self, host: &Host) -> Option<(Arc<Slot>, Vocabularies, Instant)> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if let Some(slot) = state.round.pop_front() {
                let now = Instant::now();
                state.running = Some((slot.clone(), now));
                return Some((slot, state.wanted, state.round_began.unwrap_or(now)));
            }
            state.answer_those_in_hand();
            let until_refresh = self.ask_for_refresh(&mut state);
            if !state.asked.is_empty() {
                host.changes().look();
                state.begin_round();
                continue;
            }
            state = match until_refresh {
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(pause) => self.wake.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    /// Asks for the lane's own refresh if it is due; otherwise, says how long that will be.
    fn ask_for_refresh(&self, state: &mut LaneState) -> Option<Duration> {
        let Serves::OneEvery(interval) = self.serves else { return None };
        let slot = state.refreshes.clone()?;
        let since_last = lock(&slot.state).last.as_ref().map(|last| last.began.elapsed());
        match since_last.filter(|since_last| *since_last < interval) {
            Some(since_last) => Some(interval - since_last),
            None => {
                let wanted = slot.on;
                state.asked.push(Ask { slots: vec![slot], wanted, outcomes: Vec::new(), answer: None });
                None
            }
        }
    }
}

impl LaneState {
    fn answer_those_in_hand(&mut self) {
        for Ask { outcomes, answer, .. } in self.in_hand.drain(..) {
            // Nobody waits any more when the scrape was given up.
            let _ = answer.map(|answer| answer.send(outcomes));
        }
    }

    fn finished(&mut self, slot: &Arc<Slot>, last: &Last) {
        self.running = None;
        for ask in &mut self.in_hand {
            if ask.slots.iter().any(|asked| Arc::ptr_eq(asked, slot)) {
                ask.outcomes.push(Outcome { slot: slot.clone(), last: last.clone() });
            }
        }
    }

    fn begin_round(&mut self) {
        self.round_began = Some(Instant::now());
        self.in_hand = std::mem::take(&mut self.asked);
        self.wanted = self.in_hand.iter().fold(Vocabularies::NONE, |all, ask| all.or(ask.wanted));
        for slot in self.in_hand.iter().flat_map(|ask| &ask.slots) {
            if !self.round.iter().any(|other| Arc::ptr_eq(other, slot)) {
                self.round.push_back(slot.clone());
            }
        }
    }
}

/// What a lane's thread does.
fn serve(mut lane: Arc<Lane>, host: &Host) {
    let mut buffer = Vec::new();
    while let Some((slot, wanted, round)) = lane.next(host) {
        let last = slot.read(slot.on.and(wanted), round, host, &mut buffer);
        // While it hung, this thread may have been left to it.
        lane = slot.lane();
        lane.state().finished(&slot, &last);
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const DURATION: Family<1> = Family::gauge(
    "node_scrape_collector_duration_seconds",
    "Time that the reading of a collector took.",
    ["collector"],
);
const SUCCESS: Family<1> = Family::gauge(
    "node_scrape_collector_success",
    "Whether a collector could be read; 0 also where the host has no such thing.",
    ["collector"],
);
const AGE: Family<1> = Family::gauge(
    "taffrail_collector_reading_age_seconds",
    "Age of the reading that is served, of a collector that refreshes in the background.",
    ["collector"],
);

/// The families that tell of the collectors themselves.
pub const FAMILIES: &[crate::encode::family::FamilyInfo] =
    &[DURATION.info(), SUCCESS.info(), AGE.info(), LEFT_OUT.info()];

const LEFT_OUT: Family<1> = Family::gauge(
    "taffrail_collector_series_left_out",
    "Series of the collector beyond its `max_series`, which are not shown.",
    ["collector"],
);

/// Names what was read as families, and how the reading went.
pub fn write_families(answers: &[Answer], out: &mut FamilyWriter<'_>) {
    let mut left_out = Vec::with_capacity(answers.len());
    for Answer { about, taken, cap, .. } in answers {
        out.set_room(cap.most);
        if let Ok(taken) = taken {
            taken.families(out);
        }
        let beyond = out.set_room(usize::MAX);
        cap.tell(about, beyond);
        left_out.push(beyond);
    }
    write_own_families(answers, &left_out, out);
}

/// Names what was read as points, with differences since the `previous` readings of the same sink.
pub fn write_points(answers: &[Answer], previous: &[Answer], out: &mut PointWriter<'_>) {
    let mut left_out = Vec::with_capacity(answers.len());
    for answer in answers {
        left_out.push(0);
        let Ok(taken) = &answer.taken else { continue };
        let same = |other: &&Answer| std::ptr::eq(other.about, answer.about);
        let before = previous.iter().find(same).and_then(|before| before.taken.as_ref().ok());
        let beyond = out.at_most(answer.cap.most, |out| taken.points(before.map(|taken| &**taken), out)) as u64;
        answer.cap.tell(answer.about, beyond);
        left_out.pop();
        left_out.push(beyond);
    }
    super::points_by_rule(|families| write_own_families(answers, &left_out, families), out);
}

fn write_own_families(answers: &[Answer], left_out: &[u64], out: &mut FamilyWriter<'_>) {
    let mut duration = out.family(&DURATION);
    for answer in answers {
        let took = answer.taken.as_ref().map_or(0.0, |taken| taken.took.as_secs_f64());
        duration.sample([answer.about.name], took);
    }
    drop(duration);
    let mut success = out.family(&SUCCESS);
    for answer in answers {
        let complete = answer.taken.as_ref().is_ok_and(|taken| taken.failure.is_none());
        success.sample([answer.about.name], complete);
    }
    drop(success);
    let mut age = out.family(&AGE);
    for answer in answers {
        if let Some(seconds) = answer.age {
            age.sample([answer.about.name], seconds.as_secs_f64());
        }
    }
    drop(age);
    let mut beyond = out.family(&LEFT_OUT);
    for (answer, count) in answers.iter().zip(left_out).filter(|(answer, _)| answer.cap.most < usize::MAX) {
        beyond.sample([answer.about.name], *count);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::mpsc;

    use super::*;
    use crate::encode::text::{Dialect, TextEncoder};
    use crate::host::Roots;

    static QUICK: About = About { name: "quick", ..About::PLAIN };
    static SLOW: About = About { name: "slow", ..About::PLAIN };
    static LAST: About = About { name: "last", ..About::PLAIN };

    struct Scripted<F>(F);

    impl<F: FnMut() + Send> AnyCollector for Scripted<F> {
        fn take(&mut self, wanted: Vocabularies, _: Instant, host: &Host, _: &mut Vec<u8>) -> Taken {
            (self.0)();
            let at = host.kernel.now();
            Taken {
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

    /// A reading that holds nothing but for whom it is.
    #[derive(Default)]
    struct Nothing(Vocabularies);

    impl super::super::Reading for Nothing {
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
            timeout: Duration::from_secs(1),
            collector: Box::new(Scripted(script)),
        }
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    fn succeeded(answers: &[Answer]) -> Vec<(&'static str, bool)> {
        answers.iter().map(|answer| (answer.about.name, answer.taken.is_ok())).collect()
    }

    async fn all(readers: &Readers) -> Vec<(&'static str, bool)> {
        succeeded(&readers.read(Vocabularies::FAMILIES, |_| true, Duration::from_secs(60)).await)
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
        let on = vec![configured(&QUICK, || {}), configured(&SLOW, slow), configured(&LAST, || {})];
        let readers = Readers::new(Host::live(Roots::default()), on);
        block_on(async {
            let without_slow = [("quick", true), ("slow", false), ("last", true)];
            for _ in 0..5 {
                assert_eq!(all(&readers).await, without_slow);
            }
            assert_eq!(count.load(SeqCst), 1, "it is not asked again while it hangs");
            drop(release);
            // The asks that waited are answered at once, then it is as before.
            while all(&readers).await != [("quick", true), ("slow", true), ("last", true)] {}
            assert_eq!(Arc::strong_count(&readers.slots[1].lane()), 3, "the slot's, one thread's, and this one");
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
                // While the first round is read, nobody else's reading begins.
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
                let answers = readers.read(wanted, |_| true, Duration::from_secs(60)).await;
                let mut encoder = TextEncoder::new(Dialect::Plain, Vec::new());
                answers[0].taken.as_ref().unwrap().families(&mut FamilyWriter::new(&mut encoder));
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
                let answers = readers.read(Vocabularies::BOTH, |_| true, Duration::from_secs(5)).await;
                assert!(answers[0].taken.is_ok() && answers[0].age.is_some());
            }
        });
        assert_eq!(count.load(SeqCst), 1);
    }
}
