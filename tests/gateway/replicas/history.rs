//! What clients did and saw, and whether it is possible if each group is one register that all replicas share.

use std::collections::BTreeMap;
use std::time::Duration;

/// The time of an operation, since the load began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) begun: Duration,
    pub(super) ended: Duration,
}

/// A push. Each has another value, above 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Write {
    pub(super) value: u32,
    pub(super) begun: Duration,
    /// When it was acknowledged; none if its outcome is unknown, so it may take effect at any time.
    pub(super) ended: Option<Duration>,
}

/// A value at a replica.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    /// The replica, and how often it had been started.
    pub(super) at: (usize, u32),
    pub(super) value: u32,
    pub(super) span: Span,
    /// Whether it was exposed to a scrape. A follower's own view may be late.
    pub(super) is_exposed: bool,
}

/// The history of a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Register {
    pub(super) writes: Vec<Write>,
    /// In the order in which each replica was asked.
    pub(super) reads: Vec<Read>,
}

/// All operations of one value: the first end, and the last beginning.
#[derive(Clone, Copy, Debug)]
struct Zone {
    value: u32,
    first_end: Duration,
    last_begin: Duration,
}

impl Register {
    /// What is impossible in this history.
    pub(super) fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        let zones = self.zones(&mut found);
        not_linearizable(&zones, &mut found);
        self.out_of_order(&mut found);
        found
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.writes.iter().filter(|write| write.ended.is_some()).count()
    }

    /// The longest time between two acknowledgements, or before the first.
    pub(super) fn longest_wait(&self) -> Duration {
        let mut ends: Vec<Duration> = self.writes.iter().filter_map(|write| write.ended).collect();
        ends.sort();
        let starts = std::iter::once(Duration::ZERO).chain(ends.iter().copied());
        ends.iter().zip(starts).map(|(end, start)| end.saturating_sub(start)).max().unwrap_or_default()
    }

    fn zones(&self, found: &mut Vec<String>) -> Vec<Zone> {
        let mut zones: BTreeMap<u32, Zone> = BTreeMap::new();
        let mut begun: BTreeMap<u32, Duration> = BTreeMap::new();
        for &Write { value, begun: at, ended } in &self.writes {
            begun.insert(value, at);
            zones.insert(value, Zone { value, first_end: ended.unwrap_or(Duration::MAX), last_begin: at });
        }
        for read in &self.reads {
            if begun.get(&read.value).is_none_or(|begun| read.span.ended < *begun) {
                found.push(format!("{read:?} is of a value that was not pushed before"));
            }
            if let Some(zone) = zones.get_mut(&read.value).filter(|_| read.is_exposed) {
                zone.first_end = zone.first_end.min(read.span.ended);
                zone.last_begin = zone.last_begin.max(read.span.begun);
            }
        }
        // A push without an outcome that nobody saw proves nothing.
        zones.into_values().filter(|zone| zone.first_end < Duration::MAX).collect()
    }

    /// A value that was replaced does not return, and all replicas have the values in the same order.
    fn out_of_order(&self, found: &mut Vec<String>) {
        let mut seen: BTreeMap<(usize, u32), Vec<u32>> = BTreeMap::new();
        for read in &self.reads {
            let values = seen.entry(read.at).or_default();
            if values.last() != Some(&read.value) {
                values.push(read.value);
            }
        }
        for (at, values) in &seen {
            let places: BTreeMap<u32, usize> = values.iter().copied().zip(0..).collect();
            if places.len() < values.len() {
                found.push(format!("a value returned at replica {at:?}: {values:?}"));
            }
            for (other, values) in &seen {
                let common: Vec<usize> = values.iter().filter_map(|value| places.get(value).copied()).collect();
                if !common.is_sorted() {
                    found.push(format!("replicas {at:?} and {other:?} have values in another order: {common:?}"));
                }
            }
        }
    }
}

/// Whether one order of all operations explains what was seen. A value that was seen after another operation of it had ended
/// was there in between, so no other value was (P. Gibbons and E. Korach, "Testing Shared Memories", 1997, section 4.2).
fn not_linearizable(zones: &[Zone], found: &mut Vec<String>) {
    let (mut forward, backward): (Vec<Zone>, Vec<Zone>) =
        zones.iter().partition(|zone| zone.first_end < zone.last_begin);
    forward.sort_by_key(|zone| zone.first_end);
    for pair in forward.windows(2) {
        if pair[1].first_end < pair[0].last_begin {
            found.push(format!("{} and {} were there at the same time", pair[0].value, pair[1].value));
        }
    }
    for zone in backward {
        let before = forward.partition_point(|other| other.first_end < zone.last_begin);
        if let Some(around) = before.checked_sub(1).map(|at| forward[at])
            && zone.first_end < around.last_begin
        {
            found.push(format!("{} was not there, as {around:?} was", zone.value));
        }
    }
}

/// What a sum may be at the end: each push adds 1, and is repeated with its key until it is acknowledged.
pub(super) fn sum_violation(sum: u32, acknowledged: usize) -> Option<String> {
    (sum as usize != acknowledged).then(|| format!("the sum of {acknowledged} pushes is {sum}"))
}

fn at(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn write(value: u32, begun: u64, ended: impl Into<Option<u64>>) -> Write {
    Write { value, begun: at(begun), ended: ended.into().map(at) }
}

fn read(replica: usize, value: u32, begun: u64, ended: u64) -> Read {
    let span = Span { begun: at(begun), ended: at(ended) };
    Read { at: (replica, 0), value, span, is_exposed: replica == 0 }
}

#[test]
fn a_history_of_a_replica_is_possible_only_if_one_register_explains_it() {
    let late = [write(1, 0, 10), write(2, 20, None), write(3, 30, 40)];
    let concurrent = [write(1, 0, 10), write(2, 5, 30)];
    let cases: [(&str, &[Write], &[Read], bool); 12] = [
        ("nothing was seen", &late, &[], true),
        ("the last value was seen", &late, &[read(0, 3, 50, 60)], true),
        ("a value without an outcome came late", &late, &[read(0, 3, 50, 60), read(0, 2, 70, 80)], true),
        ("an acknowledged value was lost", &late, &[read(0, 1, 50, 60)], false),
        ("a value was seen before it was pushed", &late, &[read(0, 3, 15, 20)], false),
        ("a value that nobody pushed was seen", &late, &[read(1, 7, 50, 60)], false),
        ("a follower is late", &late, &[read(1, 1, 50, 60)], true),
        ("pushes at the same time, in one order", &concurrent, &[read(0, 1, 40, 50)], true),
        ("and in the other", &concurrent, &[read(0, 2, 6, 8), read(0, 1, 40, 50)], true),
        ("a value returned", &late, &[read(1, 1, 1, 2), read(1, 2, 50, 60), read(1, 1, 70, 80)], false),
        (
            "two replicas have two orders",
            &concurrent,
            &[read(1, 1, 40, 50), read(1, 2, 60, 70), read(2, 2, 40, 50), read(2, 1, 60, 70)],
            false,
        ),
        (
            "two values were there at once",
            &concurrent,
            &[read(0, 1, 40, 50), read(0, 2, 41, 51), read(0, 1, 60, 70)],
            false,
        ),
    ];
    for (what, writes, reads, is_possible) in cases {
        let register = Register { writes: writes.to_vec(), reads: reads.to_vec() };
        assert_eq!(register.violations().is_empty(), is_possible, "{what}: {:?}", register.violations());
    }
    let waits = Register { writes: late.to_vec(), reads: Vec::new() };
    assert_eq!((waits.acknowledged(), waits.longest_wait()), (2, at(30)));
    assert!(sum_violation(3, 3).is_none() && sum_violation(4, 3).is_some() && sum_violation(2, 3).is_some());
}
