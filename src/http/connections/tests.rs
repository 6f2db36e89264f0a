use proptest::prelude::*;

use super::*;

const MAX: usize = 5;
const LIMIT: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    /// A connection arrives at one of two addresses.
    Connect(bool),
    BeginRequest(prop::sample::Index, bool),
    BodyReceived(prop::sample::Index),
    Respond(prop::sample::Index),
    Send(prop::sample::Index),
    Close(prop::sample::Index),
    EvictOne,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Connect),
        3 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, is_complete)| Step::BeginRequest(which, is_complete)),
        1 => any::<prop::sample::Index>().prop_map(Step::BodyReceived),
        1 => any::<prop::sample::Index>().prop_map(Step::Respond),
        2 => any::<prop::sample::Index>().prop_map(Step::Send),
        1 => any::<prop::sample::Index>().prop_map(Step::Close),
        1 => Just(Step::EvictOne),
    ]
}

/// The expected state of a connection, by the documentation.
struct Expected {
    registration: Registration,
    address: usize,
    /// With the step at which it began; evicted ones have none.
    state: Option<(State, usize)>,
    request: Option<u64>,
}

impl Expected {
    fn set_state(&mut self, state: State, step: usize) {
        self.state = self.state.map(|_| (state, step));
    }
}

/// The connection to evict first.
fn first(all: &[Expected], which: impl Fn(&Expected) -> bool) -> Option<usize> {
    let of = |kind: State| {
        let is_in_state = |one: &Expected| which(one) && one.state.is_some_and(|(state, _)| state == kind);
        let since = |index: &usize| all[*index].state.map(|(_, since)| since);
        let all: Vec<usize> = (0..all.len()).filter(|index| is_in_state(&all[*index])).collect();
        all.iter().copied().min_by_key(since).map(|first| (all.len(), Reverse(since(&first)), first))
    };
    let waiting = [State::AwaitingHead, State::AwaitingBody, State::Responding].into_iter().filter_map(of).max();
    of(State::Idle).or(waiting).map(|(_, _, first)| first)
}

fn evict(all: &mut [Expected], which: impl Fn(&Expected) -> bool, max: usize) -> bool {
    while all.iter().filter(|one| one.state.is_some() && which(one)).count() >= max {
        let Some(index) = first(all, &which) else { return false };
        all[index].state = None;
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever connections do: every new one is accepted, the limits hold, and evictions follow the documentation.
    #[test]
    fn those_who_keep_us_waiting_longest_make_way(steps in proptest::collection::vec(step(), 0..80)) {
        let all: &'static Connections = Box::leak(Box::new(Connections::new(|| MAX)));
        let addresses = [(); 2].map(|()| all.open("127.0.0.1:1".parse().unwrap(), LIMIT));
        let mut connections: Vec<Expected> = Vec::new();
        for (next_id, step) in steps.into_iter().enumerate() {
            let at = |which: prop::sample::Index, connections: &[Expected]| match connections.len() {
                0 => None,
                length => Some(which.index(length)),
            };
            match step {
                Step::Connect(address) => {
                    let address = usize::from(address);
                    let is_within_limits = evict(&mut connections, |one| !one.registration.connection.is_over_limit, MAX)
                        && evict(&mut connections, |one| one.address == address && !one.registration.connection.is_over_limit, LIMIT);
                    if !is_within_limits {
                        evict(&mut connections, |one| one.address == address && one.registration.connection.is_over_limit, Connections::MAX_OVER_LIMIT);
                    }
                    let stay = |connections: &[Expected]| connections.iter().filter(|one| !one.registration.connection.is_evicted()).count();
                    let before = stay(&connections);
                    let (registration, evicts) = addresses[address].register(LIMIT);
                    prop_assert_eq!(evicts, stay(&connections) < before);
                    prop_assert_eq!(registration.connection.is_over_limit, !is_within_limits);
                    connections.push(Expected { registration, address, state: Some((State::AwaitingHead, next_id)), request: None });
                }
                Step::EvictOne => {
                    let expected = first(&connections, |_| true);
                    if let Some(index) = expected {
                        connections[index].state = None;
                    }
                    prop_assert_eq!(addresses[0].evict_one(), expected.is_some());
                }
                Step::BeginRequest(which, is_complete) => if let Some(index) = at(which, &connections) {
                    connections[index].request = Some(connections[index].registration.connection.begin_request(is_complete));
                    connections[index].set_state(if is_complete { State::Processing } else { State::AwaitingBody }, next_id);
                },
                Step::BodyReceived(which) => if let Some(index) = at(which, &connections) {
                    // The body of an earlier request changes nothing.
                    if let Some(request) = connections[index].request.take() {
                        connections[index].registration.connection.body_is_received(request);
                        connections[index].set_state(State::Processing, next_id);
                    }
                },
                Step::Respond(which) => if let Some(index) = at(which, &connections) {
                    connections[index].registration.connection.set_state(State::Responding);
                    connections[index].registration.connection.response_is_queued();
                    connections[index].request = None;
                    connections[index].set_state(State::Responding, next_id);
                },
                Step::Send(which) => if let Some(index) = at(which, &connections)
                    && connections[index].registration.connection.flush_completed()
                {
                    connections[index].set_state(State::Idle, next_id);
                },
                Step::Close(which) => if let Some(index) = at(which, &connections) {
                    connections.swap_remove(index);
                },
            }
            for one in &connections {
                prop_assert_eq!(one.registration.connection.is_evicted(), one.state.is_none());
                let is_idle = one
                    .state
                    .is_some_and(|(state, _)| matches!(state, State::Idle | State::AwaitingHead));
                prop_assert_eq!(one.registration.connection.is_idle(), is_idle);
            }
            let count = |which: &dyn Fn(&Expected) -> bool| {
                connections.iter().filter(|one| one.state.is_some() && which(one)).count()
            };
            prop_assert!(count(&|one| !one.registration.connection.is_over_limit) <= MAX);
            for address in 0..2 {
                prop_assert!(count(&|one| one.address == address && !one.registration.connection.is_over_limit) <= LIMIT);
            }
        }
        drop((connections, addresses));
        let inner = all.lock();
        prop_assert_eq!((inner.connections.len(), inner.addresses.len(), inner.open), (0, 0, 0));
    }
}

/// Whatever a flood does: a client that sends its request before as many others have connected as there are
/// connections in one state gets its response.
#[test]
fn the_newest_is_not_displaced_by_a_flood() {
    const SEATS: usize = 12;
    let floods: [fn(&Connection); 4] = [
        |_| (),
        |connection| _ = connection.begin_request(false),
        |connection| _ = connection.set_state(State::Responding),
        |connection| _ = connection.set_state(State::Idle),
    ];
    for flood in 0..1 << floods.len() {
        let kinds: Vec<_> = (0..floods.len()).filter(|kind| flood >> kind & 1 == 1).collect();
        let all: &'static Connections = Box::leak(Box::new(Connections::new(|| SEATS)));
        let addresses = [(); 2].map(|()| all.open("127.0.0.1:1".parse().unwrap(), SEATS));
        let mut held = Vec::new();
        let mut come = |next_id: usize| {
            let (registration, _) = addresses[next_id % 2].register(SEATS);
            if let Some(kind) = kinds.get(next_id % kinds.len().max(1)) {
                floods[*kind](&registration.connection);
            }
            held.push(registration);
        };
        (0..3 * SEATS).for_each(&mut come);
        let (fresh, _) = addresses[0].register(SEATS);
        let others = if kinds.is_empty() { 0 } else { SEATS / 4 };
        (0..others).for_each(&mut come);
        assert!(!fresh.connection.is_evicted(), "{kinds:?}");
    }
}

#[test]
fn those_that_are_served_stay_and_those_who_come_then_get_extra_seats() {
    let all: &'static Connections = Box::leak(Box::new(Connections::new(|| MAX)));
    let address = all.open("127.0.0.1:1".parse().unwrap(), 2);
    let mut connections: Vec<Registration> = (0..2).map(|_| address.register(2).0).collect();
    for registration in &connections {
        registration.connection.begin_request(true);
    }
    for _ in 0..3 * Connections::MAX_OVER_LIMIT {
        let (registration, _) = address.register(2);
        assert!(registration.connection.is_over_limit);
        connections.push(registration);
    }
    assert_eq!(
        connections.iter().filter(|registration| !registration.connection.is_evicted()).count(),
        2 + Connections::MAX_OVER_LIMIT
    );
    assert!(!connections[0].connection.is_evicted() && !connections[1].connection.is_evicted());
    connections[1].connection.set_state(State::Idle);
    let (registration, evicts) = address.register(2);
    assert!(!registration.connection.is_over_limit && evicts && connections[1].connection.is_evicted());
}

#[test]
fn of_answers_that_nobody_takes_the_oldest_makes_way_for_another() {
    let all: &'static Connections = Box::leak(Box::new(Connections::new(|| 1000)));
    let address = all.open("127.0.0.1:1".parse().unwrap(), 1000);
    let begin_request = || {
        let (registration, _) = address.register(1000);
        registration.connection.begin_request(true);
        registration.connection.set_state(State::Responding);
        let streaming = registration.connection.stream();
        (registration, streaming)
    };
    let mut asking: Vec<_> = (0..Connections::MAX_STREAMS).map(|_| begin_request()).collect();
    assert!(asking.iter().all(|(registration, _)| !registration.connection.is_evicted()));
    asking.push(begin_request());
    asking.push(begin_request());
    let leaving: Vec<bool> = asking.iter().map(|(registration, _)| registration.connection.is_evicted()).collect();
    assert!(leaving[..2].iter().all(|leaving| *leaving) && leaving[2..].iter().all(|leaving| !leaving));
    asking.truncate(10);
    assert_eq!(all.lock().streams.len(), 10);
}
