//! The index and the log against a simple model.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::change::{Change, Plan, Replace, Times};
use super::core::{Core, Unkept};
use super::key::Key;
use super::merge::{Gauges, Mode};
use super::refusal::Refusal;
use super::scrape::{self, Shape};
use super::state::State;
use crate::encode::parse::{Format, Limits, parse};
use crate::encode::pushed::Names;
use crate::store::{OpenError, faults};

fn key(path: &str) -> Key {
    Key::from_path(path).unwrap()
}

fn plan(state: &State, path: &str, body: &str, replace: Replace) -> Result<Change, Refusal> {
    let pushed = parse(Format::Text, body.as_bytes(), &Limits::default()).unwrap();
    let times = Times { pushed: 5.0, ..state.times(&key(path)).unwrap_or_default() };
    state.plan(&key(path), &pushed, replace, times)
}

fn push(state: &mut State, path: &str, body: &str) -> Result<(), Refusal> {
    let change = plan(state, path, body, Replace::Named)?;
    state.apply(&change);
    Ok(())
}

fn refused_by(state: &State, path: &str, body: &str) -> String {
    plan(state, path, body, Replace::Named).unwrap_err().to_string()
}

fn shown(state: &State) -> String {
    let mut text = Vec::new();
    let shape = Shape::Text(Names::Quoted);
    let rest = scrape::families(&state.snapshot(), shape, &mut |part| text.append(part));
    text.extend(rest);
    String::from_utf8(text).unwrap()
}

#[test]
fn conflicts_name_the_other_group_and_the_series() {
    let mut state = State::default();
    push(&mut state, "job/a", "# TYPE x gauge\nx 1\n# TYPE s summary\ns_count 1\ns_sum 1\n").unwrap();
    push(&mut state, "job/a/l/1", "y 1\n").unwrap();
    let mut refused = |path: &str, body: &str| push(&mut state, path, body).unwrap_err().to_string();
    assert_eq!(
        refused("job/b", "# TYPE x counter\nx 1\n"),
        "x has the type counter here, and gauge in the group {job=\"a\"}"
    );
    assert_eq!(refused("job/a", "y{l=\"1\"} 1\n"), "y{job=\"a\",l=\"1\"} is in the group {job=\"a\",l=\"1\"} already");
    assert_eq!(refused("job/b", "z{q=\"1\",e=\"\"} 1\nz{q=\"1\"} 2\n"), "z{job=\"b\",q=\"1\"} is there twice");
    assert_eq!(refused("job/b", "z 1 1000\n"), "pushed metrics must not have timestamps: z{job=\"b\"} has one");
    assert!(refused("job/b", "s_count 1\n").starts_with("s_count is a part of the summary or histogram s"));
    assert!(refused("job/b", "z{__x=\"1\"} 1\n").contains("reserved name"));
    push(&mut state, "job/a/l/2", "# TYPE h histogram\nh_count 1\n").unwrap();
    assert_eq!(
        refused_by(&state, "job/b", "# TYPE h gaugehistogram\nh_gcount 1\n"),
        "h has the type gaugehistogram here, and histogram in the group {job=\"a\",l=\"2\"}"
    );
    // A group may change its own.
    push(&mut state, "job/a", "# TYPE x counter\nx 1\n").unwrap();
}

/// Whether what is kept of memory by the way is what it is when it is counted anew.
fn is_counted_well(state: &State) -> bool {
    let families: usize = state.families.iter().map(|(name, held)| held.bytes(name)).sum();
    let groups: usize = state.numbered_groups().map(|(_, group)| group.bytes()).sum();
    state.bytes == families + groups
}

#[test]
fn a_push_can_be_undone() {
    let mut state = State::default();
    push(&mut state, "job/a", "x 1\ny 2\n").unwrap();
    let before = shown(&state);
    for (body, replace) in
        [("x{a=\"b\"} 3\nz 4\n", Replace::Named), ("z 4\n", Replace::Everything), ("", Replace::Everything)]
    {
        let change = plan(&state, "job/a", body, replace).unwrap();
        state.apply(&change);
        assert_ne!(shown(&state), before);
        state.undo(&change);
        let swept = state.sweep(&state.select_keys(&[key("job/a")]));
        assert_eq!(shown(&state), "");
        assert_eq!((state.groups(), state.metrics(), state.bytes()), (0, 0, 0));
        state.restore(swept);
    }
    let change = plan(&state, "job/b", "w 1\n", Replace::Named).unwrap();
    state.apply(&change);
    state.undo(&change);
    let expected = before.replace("push_time_seconds{instance=\"\",job=\"a\"} 5", "");
    assert_eq!(shown(&state).replace("push_time_seconds{instance=\"\",job=\"a\"} 5", ""), expected);
}

proptest! {
    #[test]
    fn a_sweep_can_be_undone(pushes in prop::collection::vec((0u8..20, 0u8..4), 1..60), ends in prop::collection::vec(0u8..20, 0..20)) {
        let mut state = State::default();
        for (group, family) in &pushes {
            push(&mut state, &format!("job/g{group}"), &format!("f{family} {group}\n")).unwrap();
        }
        let groups: Vec<u8> = pushes.iter().map(|(group, _)| *group).filter(|group| !ends.contains(group)).collect();
        let counts = |state: &State| {
            assert!(is_counted_well(state));
            (state.groups(), state.metrics())
        };
        let before = (shown(&state), counts(&state));
        let ended: Vec<_> = ends.iter().map(|group| key(&format!("job/g{group}"))).collect();
        let swept = state.sweep(&state.select_keys(&ended));
        let mut left = State::default();
        for (group, family) in pushes.iter().filter(|(group, _)| groups.contains(group)) {
            push(&mut left, &format!("job/g{group}"), &format!("f{family} {group}\n")).unwrap();
        }
        prop_assert_eq!(pushed_lines(&state), pushed_lines(&left));
        prop_assert_eq!(counts(&state), counts(&left));
        // What comes afterwards is undone before the sweep is.
        let change = plan(&state, "job/new", "f1 7\n", Replace::Named).unwrap();
        state.apply(&change);
        state.undo(&change);
        state.restore(swept);
        prop_assert_eq!((shown(&state), counts(&state)), before);
    }
}

/// What a push does to what is there.
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
        /// Bytes of each help text: a group is in as many parts as it has 64 bytes.
        help: usize,
    },
    /// Of these groups; of all, if none is named.
    End(Vec<u8>),
    Reopen,
    /// What is on disk now is what there is.
    Crash,
    /// The disk takes so many bytes from now on; all, if nothing is said.
    Room(Option<u64>),
}

fn action() -> impl Strategy<Value = Action> {
    let series = prop::collection::btree_map(0u8..4, 0u32..1000, 1..4);
    let families = prop::collection::btree_map(0u8..6, series, 0..4);
    let how = prop::sample::select(vec![How::Everything, How::Named, How::Series, How::Sum]);
    prop_oneof![
        8 => (0u8..5, families, how, 0usize..400)
            .prop_map(|(group, families, how, help)| Action::Push { group, families, how, help }),
        2 => prop::sample::subsequence(vec![0u8, 1, 2, 3, 4], 0..4).prop_map(Action::End),
        1 => Just(Action::Reopen),
        1 => Just(Action::Crash),
        2 => prop::option::of(0u64..6000).prop_map(Action::Room),
    ]
}

fn open(folder: &Path) -> Arc<Core> {
    loop {
        match Core::open(Some(folder)) {
            Ok(core) => return core,
            // The writer of the one before may not have let go yet.
            Err(OpenError::InUse(_)) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A copy of what is on disk at one moment: snapshots may come and go meanwhile.
fn copied(folder: &Path) -> tempfile::TempDir {
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

/// What a push makes of a group, as simply as it can be said.
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

fn pushed_lines(state: &State) -> String {
    let shown = shown(state);
    let mut lines: Vec<&str> = shown.lines().filter(|line| line.contains('{') && !line.starts_with("push_")).collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// A gateway, and what it is to hold.
struct Tried {
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
    core: Arc<Core>,
    model: Model,
}

impl Tried {
    /// Whether it is kept is one thing; that memory and disk agree with the answer is another.
    fn push(&mut self, group: u8, families: &Families, how: How, help: usize) -> Result<(), Unkept> {
        let (mut body, help) = (String::new(), "h".repeat(help));
        for (family, series) in families {
            body += &format!("# HELP f{family} {help}\n");
            series.iter().for_each(|(number, value)| body += &format!("f{family}{{n=\"{number}\"}} {value}\n"));
        }
        let (path, mode) = (
            format!("job/g{group}"),
            match how {
                How::Series => Mode::Series,
                How::Sum => Mode::Aggregate(Gauges::Sum),
                _ => Mode::Families,
            },
        );
        let replace = if how == How::Everything { Replace::Everything } else { Replace::Named };
        let plan = |state: &State| {
            let pushed = parse(Format::Text, body.as_bytes(), &Limits::default()).unwrap();
            let merged = if mode == Mode::Families { pushed } else { state.merged(&key(&path), pushed, mode)? };
            let times = Times { pushed: 5.0, ..state.times(&key(&path)).unwrap_or_default() };
            Ok::<_, Refusal>(Plan::Change(state.plan(&key(&path), &merged, replace, times)?))
        };
        assert_eq!(self.runtime.block_on(self.core.change(plan))?, Ok(1));
        model_push(self.model.entry(group).or_default(), families, how);
        Ok(())
    }

    fn end(&mut self, groups: &[u8]) -> Result<(), Unkept> {
        let of: Vec<_> = groups.iter().map(|group| key(&format!("job/g{group}"))).collect();
        let change = self.core.change(|state| {
            let swept = if of.is_empty() { state.select(|_, _| true) } else { state.select_keys(&of) };
            Ok::<_, Refusal>(Plan::Sweep(swept))
        });
        let ended = self.runtime.block_on(change)?;
        let before = self.model.len();
        self.model.retain(|group, _| !groups.contains(group) && !groups.is_empty());
        assert_eq!(ended, Ok(before - self.model.len()));
        Ok(())
    }

    /// A disk that is full is full for the copy too, until it is said otherwise.
    fn crash(&mut self) {
        let copy = copied(self.folder.path());
        self.core.close();
        faults::leave(self.folder.path(), None);
        (self.core, self.folder) = (open(copy.path()), copy);
    }

    fn reopen(&mut self) {
        self.core.close();
        self.core = open(self.folder.path());
    }

    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.core.look(pushed_lines), model_shown(&self.model));
        prop_assert_eq!(self.core.look(State::groups), self.model.len());
        prop_assert!(self.core.look(is_counted_well));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_pushed_is_there_also_after_a_restart(actions in prop::collection::vec(action(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let core = open(folder.path());
        let mut tried = Tried { runtime, folder, core, model: Model::new() };
        let mut has_room = true;
        for action in actions {
            let kept = match &action {
                Action::Push { group, families, how, help } => tried.push(*group, families, *how, *help),
                Action::End(groups) => tried.end(groups),
                Action::Reopen => {
                    tried.reopen();
                    Ok(())
                }
                Action::Crash => {
                    has_room = true;
                    tried.crash();
                    Ok(())
                }
                Action::Room(bytes) => {
                    has_room = bytes.is_none();
                    faults::leave(tried.folder.path(), *bytes);
                    Ok(())
                }
            };
            prop_assert!(kept.is_ok() || !has_room, "{:?}", kept);
            tried.check()?;
        }
        tried.crash();
        tried.check()?;
        // There is room again: what comes is kept.
        prop_assert_eq!(tried.push(9, &Families::from([(1, BTreeMap::from([(2, 3)]))]), How::Named, 500), Ok(()));
        tried.reopen();
        tried.check()?;
        tried.core.close();
    }
}

#[test]
fn what_cannot_be_kept_is_not_taken() {
    let error = Unkept::Disk("no space left on device".into());
    assert_eq!(error.to_string(), "the push cannot be kept on disk, and was not taken: no space left on device");
}
