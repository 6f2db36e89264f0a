//! The store, checked against a simple model: pushes, removals, restarts, crashes and full disks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::group_store::{GroupStore, PersistError};
use super::pending::Inner;
use super::snapshot::SnapshotContent;
use crate::encode::parse::{Format, Limits, parse};
use crate::gateway::groups::change::{Plan, Replace};
use crate::gateway::groups::conflict::Conflict;
use crate::gateway::groups::merge::{GaugeMode, Mode};
use crate::gateway::groups::state::State;
use crate::gateway::groups::tests::{key, plan, push, pushed_lines};
use crate::gateway::groups::times::Times;
use crate::store::{OpenError, faults};

/// How a push is merged.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Everything,
    Named,
    Series,
    Sum,
}

/// Families by number, each with the values of its series by number.
type Families = BTreeMap<u8, BTreeMap<u8, u32>>;

#[derive(Clone, Debug)]
enum Action {
    Push {
        group: u8,
        families: Families,
        how: How,
        /// Bytes of each help text. A group is written in parts of 64 bytes.
        help: usize,
    },
    /// These groups, or all if the list is empty.
    Remove(Vec<u8>),
    Reopen,
    /// Continues with a copy of the files on disk.
    Crash,
    /// Limits the free space on disk, in bytes; unlimited if none.
    Space(Option<u64>),
}

fn action() -> impl Strategy<Value = Action> {
    let series = prop::collection::btree_map(0u8..4, 0u32..1000, 1..4);
    let families = prop::collection::btree_map(0u8..6, series, 0..4);
    let how = prop::sample::select(vec![How::Everything, How::Named, How::Series, How::Sum]);
    prop_oneof![
        8 => (0u8..5, families, how, 0usize..400)
            .prop_map(|(group, families, how, help)| Action::Push { group, families, how, help }),
        2 => prop::sample::subsequence(vec![0u8, 1, 2, 3, 4], 0..4).prop_map(Action::Remove),
        1 => Just(Action::Reopen),
        1 => Just(Action::Crash),
        2 => prop::option::of(0u64..6000).prop_map(Action::Space),
    ]
}

fn open(folder: &Path) -> Arc<GroupStore> {
    loop {
        match GroupStore::open(Some(folder)) {
            Ok(store) => return store,
            // The previous writer may not have released its lock yet.
            Err(OpenError::InUse(_)) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A consistent copy of the files on disk; snapshots may appear and disappear meanwhile.
pub(super) fn copied(folder: &Path) -> tempfile::TempDir {
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    loop {
        let (copy, before) = (tempfile::tempdir().unwrap(), names());
        let is_copied = before.iter().all(|name| std::fs::copy(folder.join(name), copy.path().join(name)).is_ok());
        if is_copied && names() == before {
            return copy;
        }
    }
}

type Model = BTreeMap<u8, Families>;

/// The effect of a push on a group, in the simplest form.
fn model_push(known: &mut Families, pushed: &Families, how: How) {
    if how == How::Everything {
        known.clear();
    }
    for (family, series) in pushed {
        let held = known.entry(*family).or_default();
        if matches!(how, How::Everything | How::Named) {
            held.clear();
        }
        for (number, value) in series {
            let before = if how == How::Sum { held.get(number).copied().unwrap_or(0) } else { 0 };
            held.insert(*number, before + value);
        }
    }
}

fn model_shown(model: &Model) -> String {
    let mut lines = Vec::new();
    for (group, families) in model {
        for (family, series) in families {
            let line = |(number, value): (&u8, &u32)| {
                format!("f{family}{{instance=\"\",job=\"g{group}\",n=\"{number}\"}} {value}")
            };
            lines.extend(series.iter().map(line));
        }
    }
    lines.sort();
    lines.join("\n")
}

/// A store, and the model of its content.
struct Tried {
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
    store: Arc<GroupStore>,
    model: Model,
}

impl Tried {
    /// Pushes to the store, and to the model if the store accepts it.
    fn push(&mut self, group: u8, families: &Families, how: How, help: usize) -> Result<(), PersistError> {
        let (mut body, help) = (String::new(), "h".repeat(help));
        for (family, series) in families {
            body += &format!("# HELP f{family} {help}\n");
            series.iter().for_each(|(number, value)| body += &format!("f{family}{{n=\"{number}\"}} {value}\n"));
        }
        let (path, mode) = (
            format!("job/g{group}"),
            match how {
                How::Series => Mode::Series,
                How::Sum => Mode::Aggregate(GaugeMode::Sum),
                _ => Mode::Families,
            },
        );
        let replace = if how == How::Everything { Replace::Everything } else { Replace::Named };
        let plan = |state: &State| {
            let pushed = parse(Format::Text, body.as_bytes(), &Limits::default()).unwrap();
            let merged = if mode == Mode::Families { pushed } else { state.merged(&key(&path), pushed, mode)? };
            let times = Times { pushed: 5.0, ..state.times(&key(&path)).unwrap_or_default() };
            Ok::<_, Conflict>(Plan::Change(state.plan(&key(&path), &merged, replace, times)?))
        };
        assert_eq!(self.runtime.block_on(self.store.change(plan))?, Ok(1));
        model_push(self.model.entry(group).or_default(), families, how);
        Ok(())
    }

    fn remove(&mut self, groups: &[u8]) -> Result<(), PersistError> {
        let of: Vec<_> = groups.iter().map(|group| key(&format!("job/g{group}"))).collect();
        let change = self.store.change(|state| {
            let swept = if of.is_empty() { state.select(|_, _| true) } else { state.select_keys(&of) };
            Ok::<_, Conflict>(Plan::Sweep(swept))
        });
        let ended = self.runtime.block_on(change)?;
        let before = self.model.len();
        self.model.retain(|group, _| !groups.contains(group) && !groups.is_empty());
        assert_eq!(ended, Ok(before - self.model.len()));
        Ok(())
    }

    /// Continues with a copy on a disk with free space.
    fn crash(&mut self) {
        let copy = copied(self.folder.path());
        self.store.close();
        faults::leave(self.folder.path(), None);
        (self.store, self.folder) = (open(copy.path()), copy);
    }

    fn reopen(&mut self) {
        self.store.close();
        self.store = open(self.folder.path());
    }

    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.store.read(pushed_lines), model_shown(&self.model));
        prop_assert_eq!(self.store.read(State::groups), self.model.len());
        prop_assert!(self.store.read(State::is_size_exact));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_pushed_is_there_also_after_a_restart(actions in prop::collection::vec(action(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let mut tried = Tried { runtime, folder, store, model: Model::new() };
        let mut has_space = true;
        for action in actions {
            let result = match &action {
                Action::Push { group, families, how, help } => tried.push(*group, families, *how, *help),
                Action::Remove(groups) => tried.remove(groups),
                Action::Reopen => {
                    tried.reopen();
                    Ok(())
                }
                Action::Crash => {
                    has_space = true;
                    tried.crash();
                    Ok(())
                }
                Action::Space(bytes) => {
                    has_space = bytes.is_none();
                    faults::leave(tried.folder.path(), *bytes);
                    Ok(())
                }
            };
            prop_assert!(result.is_ok() || !has_space, "{:?}", result);
            tried.check()?;
        }
        tried.crash();
        tried.check()?;
        // With free space, pushes are persisted again.
        prop_assert_eq!(tried.push(9, &Families::from([(1, BTreeMap::from([(2, 3)]))]), How::Named, 500), Ok(()));
        tried.reopen();
        tried.check()?;
        tried.store.close();
    }
}

#[test]
fn groups_end_on_a_disk_that_is_full_also_beside_pushes_that_are_refused() {
    const GROUPS: u8 = 5;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut tried = Tried { runtime, folder, store, model: Model::new() };
    let families = Families::from([(1, BTreeMap::from([(2, 3)]))]);
    for group in 0..GROUPS {
        tried.push(group, &families, How::Named, 100).unwrap();
    }
    for group in 0..GROUPS {
        // Even a removal has space only in the reserve.
        faults::leave(tried.folder.path(), Some(2));
        assert!(tried.push(group, &families, How::Sum, 3000).is_err(), "group {group}");
        // The refused push and the removal are in one batch.
        let body = format!("# HELP z {}\nz 1\n", "h".repeat(3000));
        let (of, renamed) = (key(&format!("job/g{group}")), key("job/renamed"));
        let pushed = |state: &State| plan(state, "job/renamed", &body, Replace::Named).map(Plan::Change);
        let ended = |state: &State| Ok::<_, Conflict>(Plan::Sweep(state.select_keys(std::slice::from_ref(&of))));
        let both = async { tokio::join!(tried.store.change(pushed), tried.store.change(ended)) };
        let (pushed, ended) = tried.runtime.block_on(both);
        assert!(matches!(pushed, Err(PersistError::Disk(_))), "{pushed:?}");
        assert_eq!(ended, Ok(Ok(1)), "group {group}");
        assert_eq!(tried.store.read(|state| state.number(&renamed)), None);
        tried.model.remove(&group);
        tried.check().unwrap();
        tried.crash();
        tried.check().unwrap();
    }
    tried.store.close();
}

/// A step of [`pending_changes_are_not_read`].
#[derive(Clone, Debug)]
enum Step {
    /// A group gets this series; an expired one if it is odd.
    Push(u8, u8),
    /// These groups are removed, all if there are none.
    Remove(Vec<u8>),
    /// All groups whose number is odd expire.
    Expire,
    /// Everything pending is persisted.
    Persist,
}

proptest! {
    #[test]
    fn pending_changes_are_not_read(steps in prop::collection::vec(
        prop_oneof![
            6 => (0u8..6, 0u8..4).prop_map(|(group, series)| Step::Push(group, series)),
            2 => prop::collection::vec(0u8..6, 0..3).prop_map(Step::Remove),
            1 => Just(Step::Expire),
            1 => Just(Step::Persist),
        ],
        0..40,
    )) {
        let mut inner = Inner::default();
        let mut persisted = String::new();
        for step in steps {
            let state = &inner.state;
            let plan = match step {
                Step::Push(group, series) => {
                    let (path, body) = (format!("job/g{group}"), format!("f{series}{{n=\"{series}\"}} {group}\n"));
                    let mut change = plan(state, &path, &body, Replace::Everything).unwrap();
                    change.after = Some(Times { expires: (group % 2 == 1).then_some(1.0), ..Times::default() });
                    Plan::Change(change)
                }
                Step::Remove(groups) if groups.is_empty() => Plan::Sweep(state.select(|_, _| true)),
                Step::Remove(groups) => {
                    let keys: Vec<_> = groups.iter().map(|group| key(&format!("job/g{group}"))).collect();
                    Plan::Sweep(state.select_keys(&keys))
                }
                Step::Expire => Plan::Sweep(state.select_expired(2.0)),
                Step::Persist => {
                    inner.pending.clear();
                    persisted = pushed_lines(&inner.state);
                    continue;
                }
            };
            inner.apply(plan, true).unwrap();
            let pending = pushed_lines(&inner.state);
            prop_assert_eq!(inner.decided(pushed_lines), persisted.as_str());
            prop_assert_eq!(pushed_lines(&inner.state), pending);
            prop_assert!(inner.state.is_size_exact());
        }
        drop(inner.undo_all());
        prop_assert_eq!(pushed_lines(&inner.state), persisted);
        prop_assert!(inner.state.is_size_exact());
    }
}

#[test]
fn what_a_snapshot_takes_is_known_before_it_is_written() {
    let mut state = State::default();
    for (group, help) in (0..40).flat_map(|group| [(group, 0), (group, 10), (group, 1000)]) {
        let body = format!("# HELP f{help} {}\nf{help}{{l=\"{}\"}} 1\n", "h".repeat(help), "v".repeat(group * 7));
        push(&mut state, &format!("job/g{group}/label/value"), &body).unwrap();
        if group % 3 == 0 {
            state.remember(&key(&format!("job/g{group}/label/value")), 7);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut log, _) = crate::store::Log::open(folder.path(), &mut |_| true).unwrap();
    let expected = state.snapshot_bytes();
    let content = SnapshotContent::of(&state, None);
    content.write(log.begin_snapshot(expected).unwrap()).unwrap();
    let written = std::fs::metadata(folder.path().join("0000000001.snapshot")).unwrap().len();
    assert!((written * 9 / 10..=written * 11 / 10).contains(&expected), "{expected} for {written}");
}

#[test]
fn what_cannot_be_kept_is_not_taken() {
    let error = PersistError::Disk("no space left on device".into());
    assert_eq!(error.to_string(), "the push cannot be kept on disk, and was not taken: no space left on device");
}
