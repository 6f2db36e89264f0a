//! The index and the log against a simple model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::change::{Change, Plan, Replace, Times};
use super::core::{Core, Unkept};
use super::key::Key;
use super::refusal::Refusal;
use super::scrape::{self, Shape};
use super::state::State;
use crate::encode::parse::{Format, Limits, parse};
use crate::encode::pushed::Names;

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
    // A group may change its own.
    push(&mut state, "job/a", "# TYPE x counter\nx 1\n").unwrap();
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
        let counts = |state: &State| (state.groups(), state.metrics(), state.bytes());
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

#[derive(Clone, Debug)]
enum Action {
    Push {
        group: u8,
        families: Vec<(u8, u8)>,
        everything: bool,
    },
    /// Of these groups; of all, if none is named.
    End(Vec<u8>),
    Reopen,
    /// What is on disk now is what there is.
    Crash,
}

fn action() -> impl Strategy<Value = Action> {
    let families = prop::collection::btree_map(0u8..6, any::<u8>(), 0..4).prop_map(|map| map.into_iter().collect());
    prop_oneof![
        6 => (0u8..5, families, any::<bool>())
            .prop_map(|(group, families, everything)| Action::Push { group, families, everything }),
        2 => prop::sample::subsequence(vec![0u8, 1, 2, 3, 4], 0..4).prop_map(Action::End),
        1 => Just(Action::Reopen),
        1 => Just(Action::Crash),
    ]
}

fn open(folder: &std::path::Path) -> std::sync::Arc<Core> {
    loop {
        // The writer of the one before may not have let go yet.
        if let Ok(core) = Core::open(Some(folder)) {
            return core;
        }
    }
}

type Model = BTreeMap<u8, BTreeMap<u8, u8>>;

fn model_shown(model: &Model) -> String {
    let mut lines = Vec::new();
    for (group, families) in model {
        lines.extend(
            families.iter().map(|(family, value)| format!("f{family}{{instance=\"\",job=\"g{group}\"}} {value}")),
        );
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_pushed_is_there_also_after_a_restart(actions in prop::collection::vec(action(), 0..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut folder = tempfile::tempdir().unwrap();
        let (mut core, mut model) = (open(folder.path()), Model::new());
        for action in actions {
            match action {
                Action::Push { group, families, everything } => {
                    let body: String = families.iter().map(|(family, value)| format!("f{family} {value}\n")).collect();
                    let replace = if everything { Replace::Everything } else { Replace::Named };
                    let change = core.change(|state| Ok::<_, Refusal>(Plan::Change(plan(state, &format!("job/g{group}"), &body, replace)?)));
                    prop_assert!(runtime.block_on(change).unwrap().is_ok());
                    let known = model.entry(group).or_default();
                    if everything {
                        known.clear();
                    }
                    known.extend(families);
                }
                Action::End(groups) => {
                    let of: Vec<_> = groups.iter().map(|group| key(&format!("job/g{group}"))).collect();
                    let change = core.change(|state| {
                        let swept = if of.is_empty() { state.select(|_, _| true) } else { state.select_keys(&of) };
                        Ok::<_, Refusal>(Plan::Sweep(swept))
                    });
                    let before = model.len();
                    model.retain(|group, _| !groups.contains(group) && !groups.is_empty());
                    prop_assert_eq!(runtime.block_on(change).unwrap(), Ok(before - model.len()));
                }
                Action::Reopen => {
                    core.close();
                    drop(core);
                    core = open(folder.path());
                }
                Action::Crash => {
                    let copy = tempfile::tempdir().unwrap();
                    for entry in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
                        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
                    }
                    core.close();
                    (core, folder) = (open(copy.path()), copy);
                }
            }
            prop_assert_eq!(core.look(pushed_lines), model_shown(&model));
            prop_assert_eq!(core.look(State::groups), model.len());
        }
        core.close();
    }
}

#[test]
fn what_cannot_be_kept_is_not_taken() {
    let error = Unkept::Disk("no space left on device".into());
    assert_eq!(error.to_string(), "the push cannot be kept on disk, and was not taken: no space left on device");
}
