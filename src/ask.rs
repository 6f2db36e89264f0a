//! Asking what may never answer: a mount whose server is gone, a service behind a socket that is silent.
//!
//! Whoever asks waits a bounded time, once for all that he asks together. What has not answered by then is *known to
//! hang*: the thread that asked stays with it, and nobody waits for it again. Its answer, when it comes, is told to the
//! next who asks, and until one comes quickly it is asked in the background alone: what is merely slow is told late, and
//! what recovers is waited for as before.
//!
//! There is a thread for each thing that hangs at the moment, up to a bound, and one that is kept for a while for the
//! next question.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// If nothing was answered for this long, what is not yet asked waits for something that hangs, and gets more threads.
const GRACE: Duration = Duration::from_millis(25);
/// For how long an answer that came late may be told.
const FRESH: Duration = Duration::from_secs(120);
/// For how long it is remembered that an answer came late, if nobody asks again.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// Questions `Q` of one kind, whose answers are `A`, and what is known to hang of them. Clones know the same.
pub struct Questions<Q, A> {
    shared: Arc<Shared<Q, A>>,
}

impl<Q, A> Clone for Questions<Q, A> {
    fn clone(&self) -> Self {
        Questions { shared: self.shared.clone() }
    }
}

/// Who answers.
pub type Answerer<Q, A> = Arc<dyn Fn(&Q, &Headway) -> A + Send + Sync>;

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked<A> {
    /// The answer.
    Now(A),
    /// The answer to an earlier question, which came when nobody waited for it any more.
    Late(A),
    /// There is none. It is not waited for again until there is.
    Hangs,
    /// It was not asked: there is no thread for it, as others hang that were asked before.
    NotAsked,
}

/// How long somebody waits.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Without any headway.
    pub silence: Duration,
    /// In all.
    pub whole: Duration,
}

impl From<Duration> for Patience {
    fn from(whole: Duration) -> Self {
        Patience { silence: whole, whole }
    }
}

/// By which whoever answers at length shows that he is about it.
#[derive(Clone, Debug)]
pub struct Headway(Arc<Mutex<Silence>>);

#[derive(Debug)]
struct Silence {
    since: Instant,
    longest: Duration,
}

impl Headway {
    fn begin() -> Headway {
        Headway(Arc::new(Mutex::new(Silence { since: Instant::now(), longest: Duration::ZERO })))
    }

    /// Something was done.
    pub fn made(&self) {
        let mut silence = lock(&self.0);
        silence.longest = silence.longest.max(silence.since.elapsed());
        silence.since = Instant::now();
    }

    /// When something was last done.
    fn last(&self) -> Instant {
        lock(&self.0).since
    }

    /// The longest time up to now in which nothing was done.
    pub fn longest_silence(&self) -> Duration {
        let silence = lock(&self.0);
        silence.longest.max(silence.since.elapsed())
    }
}

struct Shared<Q, A> {
    late: Mutex<HashMap<Q, Late<A>>>,
    threads: Arc<Threads>,
    /// How many of them ask, and may.
    asking: AtomicUsize,
    most: usize,
}

/// What did not answer in time.
struct Late<A> {
    is_under_way: bool,
    /// The last answer, and when it came.
    last: Option<(Instant, A)>,
}

impl<A> Late<A> {
    fn is_to_be_remembered(&self) -> bool {
        self.is_under_way || self.last.as_ref().is_some_and(|(at, _)| at.elapsed() < REMEMBERED)
    }
}

impl<Q, A> Questions<Q, A>
where
    Q: Clone + Eq + Hash + Send + Sync + 'static,
    A: Clone + Send + 'static,
{
    /// Questions that are asked by these threads, `most` at a time.
    pub fn new(threads: Arc<Threads>, most: usize) -> Self {
        let asking = AtomicUsize::new(0);
        Questions { shared: Arc::new(Shared { late: Mutex::default(), threads, asking, most }) }
    }

    /// Asks all `questions`, which are different ones, and waits for all together. Nobody is waited for who is known to
    /// hang. The outcomes are in the order of the questions.
    pub fn ask(&self, questions: Vec<Q>, answerer: &Answerer<Q, A>, patience: Patience) -> Vec<Asked<A>> {
        let known: Vec<Option<Asked<A>>> = {
            let mut late = lock(&self.shared.late);
            if late.is_empty() {
                drop(late);
                return self.ask_unknown(questions, answerer, patience);
            }
            questions.iter().map(|question| self.recall(&mut late, question, answerer, patience)).collect()
        };
        let unknown = questions.into_iter().zip(&known).filter(|(_, known)| known.is_none());
        let unknown = unknown.map(|(question, _)| question).collect();
        let mut asked = self.ask_unknown(unknown, answerer, patience).into_iter();
        known.into_iter().map(|known| known.or_else(|| asked.next()).unwrap_or(Asked::NotAsked)).collect()
    }

    /// How many are known to hang, each of which keeps a thread.
    pub fn hanging(&self) -> usize {
        lock(&self.shared.late).values().filter(|late| late.is_under_way).count()
    }

    /// How many threads ask at the moment, in vain or not.
    pub fn asking(&self) -> usize {
        self.shared.asking.load(Relaxed)
    }

    /// What is to be said without waiting, if the question did not answer in time before.
    fn recall(
        &self,
        known: &mut HashMap<Q, Late<A>>,
        question: &Q,
        answerer: &Answerer<Q, A>,
        patience: Patience,
    ) -> Option<Asked<A>> {
        let late = known.get_mut(question)?;
        let fresh = late.last.as_ref().filter(|(at, _)| at.elapsed() < FRESH);
        let told = fresh.map_or(Asked::Hangs, |(_, answer)| Asked::Late(answer.clone()));
        // It has answered: whether it does so quickly again is found out in the background.
        if !late.is_under_way {
            late.is_under_way = true;
            if !self.ask_again(question, answerer, patience) {
                known.remove(question);
            }
        }
        Some(told)
    }

    /// Asks in the background; `false` if there is no thread for it.
    fn ask_again(&self, question: &Q, answerer: &Answerer<Q, A>, patience: Patience) -> bool {
        let (shared, question, answerer) = (self.shared.clone(), question.clone(), answerer.clone());
        self.run(move || {
            let (began, headway) = (Instant::now(), Headway::begin());
            let answer = catch_unwind(AssertUnwindSafe(|| answerer(&question, &headway))).ok();
            let is_quick = headway.longest_silence() < patience.silence && began.elapsed() < patience.whole;
            shared.came_late(&question, answer.filter(|_| !is_quick));
        })
    }

    /// Has a thread do this; `false` if there is none for it.
    fn run(&self, job: impl FnOnce() + Send + 'static) -> bool {
        let shared = self.shared.clone();
        let more = |asking: usize| (asking < shared.most).then_some(asking + 1);
        if shared.asking.fetch_update(Relaxed, Relaxed, more).is_err() {
            return false;
        }
        let done = self.shared.clone();
        let is_run = shared.threads.run(Box::new(move || {
            job();
            done.asking.fetch_sub(1, Relaxed);
        }));
        if !is_run {
            shared.asking.fetch_sub(1, Relaxed);
        }
        is_run
    }

    fn ask_unknown(&self, questions: Vec<Q>, answerer: &Answerer<Q, A>, patience: Patience) -> Vec<Asked<A>> {
        let count = questions.len();
        let progress = Progress { begun: 0, unanswered: count, outcomes: vec![Asked::NotAsked; count], is_over: false };
        let batch = Arc::new(Batch {
            questions,
            answerer: answerer.clone(),
            headway: Headway::begin(),
            progress: Mutex::new(progress),
            is_answered: Condvar::new(),
        });
        if count > 0 && self.start(&batch) {
            self.wait(&batch, patience);
        }
        std::mem::take(&mut lock(&batch.progress).outcomes)
    }

    fn start(&self, batch: &Arc<Batch<Q, A>>) -> bool {
        let (batch, shared) = (batch.clone(), self.shared.clone());
        self.run(move || batch.work(&shared))
    }

    /// Waits until all is answered, or patience is over; then what has not answered is known to hang.
    fn wait(&self, batch: &Arc<Batch<Q, A>>, patience: Patience) {
        let (began, mut more) = (Instant::now(), 1);
        let mut progress = lock(&batch.progress);
        while progress.unanswered > 0 {
            let deadline = (began + patience.whole).min(batch.headway.last() + patience.silence);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let unanswered = progress.unanswered;
            let waited = batch.is_answered.wait_timeout(progress, left.min(GRACE));
            progress = waited.unwrap_or_else(PoisonError::into_inner).0;
            let not_begun = batch.questions.len() - progress.begun;
            if progress.unanswered == unanswered && not_begun > 0 {
                drop(progress);
                // What is not begun is behind something that hangs. The more there are of these, the more are tried at once.
                let _all_started = (0..more.min(not_begun)).all(|_| self.start(batch));
                more = (more * 2).min(not_begun);
                progress = lock(&batch.progress);
            }
        }
        // Within the lock: who answers from here on finds that he is late.
        progress.is_over = true;
        let mut late = lock(&self.shared.late);
        for (question, outcome) in batch.questions.iter().zip(&progress.outcomes) {
            if matches!(outcome, Asked::Hangs) {
                late.retain(|_, late| late.is_to_be_remembered());
                late.insert(question.clone(), Late { is_under_way: true, last: None });
            }
        }
    }
}

impl<Q: Eq + Hash, A> Shared<Q, A> {
    /// Takes an answer for which nobody waits any more; without one, the question is one like others again.
    fn came_late(&self, question: &Q, answer: Option<A>) {
        let mut known = lock(&self.late);
        match (known.get_mut(question), answer) {
            (Some(late), Some(answer)) => *late = Late { is_under_way: false, last: Some((Instant::now(), answer)) },
            _ => _ = known.remove(question),
        }
    }
}

/// Questions that are asked together, by one thread or by several.
struct Batch<Q, A> {
    questions: Vec<Q>,
    answerer: Answerer<Q, A>,
    headway: Headway,
    progress: Mutex<Progress<A>>,
    is_answered: Condvar,
}

struct Progress<A> {
    /// How many were asked.
    begun: usize,
    unanswered: usize,
    /// What became of each; one that was asked hangs until it answers.
    outcomes: Vec<Asked<A>>,
    is_over: bool,
}

impl<Q: Eq + Hash, A> Batch<Q, A> {
    /// Asks what nobody has asked yet.
    fn work(&self, shared: &Shared<Q, A>) {
        while let Some(number) = self.begin() {
            let question = &self.questions[number];
            let answer = catch_unwind(AssertUnwindSafe(|| (self.answerer)(question, &self.headway))).ok();
            let mut progress = lock(&self.progress);
            if progress.is_over {
                drop(progress);
                return shared.came_late(question, answer);
            }
            progress.outcomes[number] = answer.map_or(Asked::NotAsked, Asked::Now);
            progress.unanswered -= 1;
            if progress.unanswered == 0 {
                self.is_answered.notify_one();
            }
        }
    }

    fn begin(&self) -> Option<usize> {
        let mut progress = lock(&self.progress);
        let number = progress.begun;
        if progress.is_over || number == self.questions.len() {
            return None;
        }
        progress.outcomes[number] = Asked::Hangs;
        progress.begun += 1;
        Some(number)
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Threads that ask. One that has nothing to do is kept for a while.
#[derive(Default)]
pub struct Threads {
    crew: Mutex<Crew>,
    work: Condvar,
}

#[derive(Default)]
struct Crew {
    idle: usize,
    /// No more than there are idle.
    jobs: VecDeque<Job>,
}

impl Threads {
    /// Gives `job` to a thread; `false` if the system has none.
    fn run(self: &Arc<Self>, job: Job) -> bool {
        /// Nobody asks from deep down.
        const STACK: usize = 512 << 10;
        let mut crew = lock(&self.crew);
        if crew.idle > crew.jobs.len() {
            crew.jobs.push_back(job);
            self.work.notify_one();
            return true;
        }
        drop(crew);
        let threads = self.clone();
        thread::Builder::new().name("ask".to_owned()).stack_size(STACK).spawn(move || threads.serve(job)).is_ok()
    }

    fn serve(&self, first: Job) {
        first();
        while let Some(job) = self.next() {
            job();
        }
    }

    /// What is to be done next; nothing if the thread is to end.
    fn next(&self) -> Option<Job> {
        /// More than there is between two scrapes.
        const KEPT: Duration = Duration::from_secs(90);
        let mut crew = lock(&self.crew);
        if crew.idle == 0 {
            crew.idle += 1;
            let waited = self.work.wait_timeout_while(crew, KEPT, |crew| crew.jobs.is_empty());
            crew = waited.unwrap_or_else(PoisonError::into_inner).0;
            crew.idle -= 1;
        }
        crew.jobs.pop_front()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    /// Longer than any test may take: what waits for it fails.
    const FOR_EVER: Duration = Duration::from_secs(3600);

    /// An answerer who takes each answer from the other side, and tells when he is asked.
    fn scripted() -> (Answerer<&'static str, u32>, Sender<u32>, Receiver<&'static str>) {
        let ((answer, answers), (tell, told)) = (channel(), channel());
        let (answers, tell) = (Mutex::new(answers), Mutex::new(tell));
        let answerer = move |question: &&'static str, _: &Headway| {
            tell.lock().unwrap().send(*question).unwrap();
            answers.lock().unwrap().recv().unwrap()
        };
        (Arc::new(answerer), answer, told)
    }

    fn one(asked: Vec<Asked<u32>>) -> Asked<u32> {
        assert_eq!(asked.len(), 1);
        asked.into_iter().next().unwrap()
    }

    fn wait_for_nobody(questions: &Questions<&'static str, u32>) {
        while questions.hanging() > 0 {
            thread::yield_now();
        }
    }

    #[test]
    fn what_hangs_is_waited_for_once_and_heard_when_it_answers() {
        let questions = Questions::new(Arc::default(), 8);
        let (answerer, answer, told) = scripted();
        let ask = |patience: Duration| one(questions.ask(vec!["a"], &answerer, patience.into()));
        answer.send(1).unwrap();
        assert_eq!(ask(FOR_EVER), Asked::Now(1));
        // On a busy machine it may not come to be asked.
        while ask(SHORT) != Asked::Hangs {}
        for _ in 0..100 {
            assert_eq!(ask(FOR_EVER), Asked::Hangs, "it is not waited for");
        }
        assert_eq!((questions.hanging(), told.try_iter().count()), (1, 2));
        answer.send(2).unwrap();
        wait_for_nobody(&questions);
        // What it said late is told, and in the background it is asked again.
        assert_eq!(ask(FOR_EVER), Asked::Late(2));
        assert_eq!(told.recv(), Ok("a"));
        answer.send(3).unwrap();
        wait_for_nobody(&questions);
        // That was quick.
        answer.send(4).unwrap();
        assert_eq!(ask(FOR_EVER), Asked::Now(4));
    }

    #[test]
    fn what_is_always_slow_is_always_told_and_never_waited_for() {
        let questions = Questions::new(Arc::default(), 8);
        let (answerer, answer, told) = scripted();
        let ask = || one(questions.ask(vec!["a"], &answerer, Duration::ZERO.into()));
        while ask() != Asked::Hangs {}
        for number in 0..10 {
            told.recv().unwrap();
            answer.send(number).unwrap();
            wait_for_nobody(&questions);
            // The second time, while the next is under way.
            assert_eq!([ask(), ask()], [Asked::Late(number), Asked::Late(number)]);
        }
        assert_eq!(questions.hanging(), 1);
        drop(answer);
    }

    #[test]
    fn those_behind_one_that_hangs_are_asked_by_others() {
        let questions = Questions::new(Arc::default(), 64);
        let (open, gate) = channel::<()>();
        let gate = Mutex::new(gate);
        let answerer: Answerer<u32, u32> = Arc::new(move |number: &u32, _: &Headway| {
            if number.is_multiple_of(2) {
                let _ = gate.lock().unwrap().recv();
            }
            *number
        });
        let asked = questions.ask((0..40).collect(), &answerer, Duration::from_secs(2).into());
        for (number, asked) in (0_u32..).zip(&asked) {
            let expected = if number.is_multiple_of(2) { Asked::Hangs } else { Asked::Now(number) };
            assert_eq!(*asked, expected);
        }
        assert_eq!(questions.hanging(), 20);
        drop(open);
    }

    #[test]
    fn beyond_the_bound_nothing_is_asked() {
        let questions = Questions::new(Arc::default(), 2);
        let (answerer, _answer, _told) = scripted();
        let asked = questions.ask(vec!["a", "b", "c", "d"], &answerer, Duration::from_millis(300).into());
        assert_eq!(asked.iter().filter(|asked| **asked == Asked::Hangs).count(), questions.hanging());
        assert!(questions.hanging() <= 2);
        let again = questions.ask(vec!["c", "d", "e"], &answerer, FOR_EVER.into());
        assert!(again.iter().all(|asked| [Asked::Hangs, Asked::NotAsked].contains(asked)), "{again:?}");
        assert!(questions.asking() <= 2);
    }

    #[test]
    fn who_makes_headway_is_waited_for() {
        let questions = Questions::new(Arc::default(), 2);
        let answerer: Answerer<u32, u32> = Arc::new(|steps: &u32, headway: &Headway| {
            for _ in 0..*steps {
                thread::sleep(Duration::from_millis(1));
                headway.made();
            }
            *steps
        });
        let patience = Patience { silence: Duration::from_secs(2), whole: FOR_EVER };
        assert_eq!(one(questions.ask(vec![50], &answerer, patience)), Asked::Now(50));
    }

    #[test]
    fn who_panics_is_no_one_who_hangs() {
        let questions = Questions::new(Arc::default(), 2);
        let answerer: Answerer<u32, u32> = Arc::new(|_: &u32, _: &Headway| panic!("as it should"));
        for _ in 0..10 {
            assert_eq!(one(questions.ask(vec![1], &answerer, FOR_EVER.into())), Asked::NotAsked);
        }
        assert_eq!(questions.hanging(), 0);
        assert!(questions.asking() <= 2);
    }
}
