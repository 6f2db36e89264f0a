//! Calls that hang, and that return late.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::*;

const SHORT: Duration = Duration::from_millis(20);
/// Longer than any test may take: a test that waits for it fails.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// A call whose results the test supplies, and which signals its start.
fn scripted() -> (CallFn<&'static str, u32>, Sender<u32>, Receiver<&'static str>) {
    let ((result, results), (tell, started)) = (channel(), channel());
    let (results, tell) = (Mutex::new(results), Mutex::new(tell));
    let call = move |argument: &&'static str, _: &Heartbeat| {
        tell.lock().unwrap().send(*argument).unwrap();
        results.lock().unwrap().recv().unwrap()
    };
    (Arc::new(call), result, started)
}

fn one<A>(asked: Vec<CallOutcome<A>>) -> CallOutcome<A> {
    assert_eq!(asked.len(), 1);
    asked.into_iter().next().unwrap()
}

fn wait_until_none_hang(calls: &BlockingCalls<&'static str, u32>) {
    while calls.hanging() > 0 {
        thread::yield_now();
    }
}

#[test]
fn what_hangs_is_waited_for_once_and_heard_when_it_answers() {
    let calls = BlockingCalls::new(Arc::default(), 8);
    let (call, result, started) = scripted();
    let ask = |timeout: Duration| one(calls.run_all(vec!["a"], &call, timeout.into()));
    result.send(1).unwrap();
    assert_eq!(ask(FOR_EVER), CallOutcome::Completed(1));
    // On a busy machine the call may not be started in time.
    while ask(SHORT) != CallOutcome::Hung {}
    for _ in 0..100 {
        assert_eq!(ask(FOR_EVER), CallOutcome::Hung, "it is not waited for");
    }
    assert_eq!((calls.hanging(), started.try_iter().count()), (1, 2));
    result.send(2).unwrap();
    wait_until_none_hang(&calls);
    // The late result is delivered, and the call runs again in the background.
    assert_eq!(ask(FOR_EVER), CallOutcome::Late(2));
    assert_eq!(started.recv(), Ok("a"));
    result.send(3).unwrap();
    wait_until_none_hang(&calls);
    // That was quick.
    result.send(4).unwrap();
    assert_eq!(ask(FOR_EVER), CallOutcome::Completed(4));
}

#[test]
fn what_is_always_slow_is_always_told_and_never_waited_for() {
    let calls = BlockingCalls::new(Arc::default(), 8);
    let (call, result, started) = scripted();
    let ask = || one(calls.run_all(vec!["a"], &call, Duration::ZERO.into()));
    while ask() != CallOutcome::Hung {}
    for number in 0..10 {
        started.recv().unwrap();
        result.send(number).unwrap();
        wait_until_none_hang(&calls);
        // The second time, the next call is running.
        assert_eq!([ask(), ask()], [CallOutcome::Late(number), CallOutcome::Late(number)]);
    }
    assert_eq!(calls.hanging(), 1);
    drop(result);
}

#[test]
fn those_behind_one_that_hangs_are_asked_by_others() {
    let calls = BlockingCalls::new(Arc::default(), 64);
    let (open, gate) = channel::<()>();
    let gate = Mutex::new(gate);
    let call: CallFn<u32, u32> = Arc::new(move |number: &u32, _: &Heartbeat| {
        if number.is_multiple_of(2) {
            let _ = gate.lock().unwrap().recv();
        }
        *number
    });
    let asked = calls.run_all((0..40).collect(), &call, Duration::from_secs(2).into());
    for (number, asked) in (0_u32..).zip(&asked) {
        let expected = if number.is_multiple_of(2) { CallOutcome::Hung } else { CallOutcome::Completed(number) };
        assert_eq!(*asked, expected);
    }
    assert_eq!(calls.hanging(), 20);
    drop(open);
}

#[test]
fn beyond_the_bound_nothing_is_asked() {
    let calls = BlockingCalls::new(Arc::default(), 2);
    let (call, _answer, _told) = scripted();
    let asked = calls.run_all(vec!["a", "b", "c", "d"], &call, Duration::from_millis(300).into());
    assert_eq!(asked.iter().filter(|asked| **asked == CallOutcome::Hung).count(), calls.hanging());
    assert!(calls.hanging() <= 2);
    let again = calls.run_all(vec!["c", "d", "e"], &call, FOR_EVER.into());
    assert!(again.iter().all(|asked| [CallOutcome::Hung, CallOutcome::NotStarted].contains(asked)), "{again:?}");
    assert!(calls.busy_threads() <= 2);
}

/// A thread that has delivered its result is not in the way of the next call.
#[test]
fn the_next_call_gets_the_only_thread() {
    let calls = BlockingCalls::new(Arc::default(), 1);
    let call: CallFn<u32, u32> = Arc::new(|number: &u32, _: &Heartbeat| *number);
    for number in 0..20_000 {
        assert_eq!(one(calls.run_all(vec![number], &call, FOR_EVER.into())), CallOutcome::Completed(number));
    }
}

#[test]
fn who_makes_headway_is_waited_for() {
    let calls = BlockingCalls::new(Arc::default(), 2);
    let call: CallFn<u32, u32> = Arc::new(|steps: &u32, heartbeat: &Heartbeat| {
        for _ in 0..*steps {
            thread::sleep(Duration::from_millis(1));
            heartbeat.beat();
        }
        *steps
    });
    let timeout = CallTimeout { idle: Duration::from_secs(2), total: FOR_EVER };
    assert_eq!(one(calls.run_all(vec![50], &call, timeout)), CallOutcome::Completed(50));
}

/// A thread that is runnable does not hang, also if it gets no processor for longer than the timeout.
#[test]
#[cfg(target_os = "linux")]
fn a_call_that_runs_is_not_one_that_hangs() {
    let calls = BlockingCalls::new(Arc::default(), 2);
    let call: CallFn<u64, u64> = Arc::new(|millis: &u64, _: &Heartbeat| {
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(*millis) {
            std::hint::spin_loop();
        }
        *millis
    });
    let timeout = Duration::from_millis(500);
    assert_eq!(one(calls.run_all(vec![700], &call, timeout.into())), CallOutcome::Completed(700));
    // There is a limit.
    assert_eq!(one(calls.run_all(vec![2000], &call, SHORT.into())), CallOutcome::Hung);
    let late = loop {
        match one(calls.run_all(vec![2000], &call, SHORT.into())) {
            CallOutcome::Hung => thread::sleep(SHORT),
            late => break late,
        }
    };
    assert_eq!(late, CallOutcome::Late(2000));
}

#[test]
fn who_panics_is_no_one_who_hangs() {
    let calls = BlockingCalls::new(Arc::default(), 2);
    let call: CallFn<u32, u32> = Arc::new(|_: &u32, _: &Heartbeat| panic!("as it should"));
    for _ in 0..10 {
        assert_eq!(one(calls.run_all(vec![1], &call, FOR_EVER.into())), CallOutcome::NotStarted);
    }
    assert_eq!(calls.hanging(), 0);
    assert!(calls.busy_threads() <= 2);
}
