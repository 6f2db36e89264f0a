//! The state, its checks and its undo.

use proptest::prelude::*;

use super::change::{Change, Replace};
use super::conflict::Conflict;
use super::state::State;
use super::times::Times;
use crate::encode::names::Escaping;
use crate::encode::parse::{Format, Limits, parse};
use crate::gateway::exposition::escaping::FamilyNames;
use crate::gateway::exposition::scrape::{self, OutputFormat};
use crate::gateway::key::Key;

pub(in crate::gateway) fn key(path: &str) -> Key {
    Key::from_path(path).unwrap()
}

pub(in crate::gateway) fn plan(state: &State, path: &str, body: &str, replace: Replace) -> Result<Change, Conflict> {
    let pushed = parse(Format::Text, body.as_bytes(), &Limits::default()).unwrap();
    let times = Times { pushed: 5.0, ..state.times(&key(path)).unwrap_or_default() };
    state.plan(&key(path), &pushed, replace, times)
}

pub(in crate::gateway) fn push(state: &mut State, path: &str, body: &str) -> Result<(), Conflict> {
    let change = plan(state, path, body, Replace::Named)?;
    state.apply(&change);
    Ok(())
}

fn refused_by(state: &State, path: &str, body: &str) -> String {
    plan(state, path, body, Replace::Named).unwrap_err().to_string()
}

fn shown(state: &State) -> String {
    let mut text = Vec::new();
    let format = OutputFormat::Text(Escaping::AllowUtf8);
    let all = state.snapshot();
    let mut renamed = FamilyNames::new(format.escaping(), &all, &|_| None);
    let rest = scrape::families(&all, format, &mut renamed, &mut |part| text.append(part));
    text.extend(rest);
    String::from_utf8(text).unwrap()
}

pub(in crate::gateway) fn pushed_lines(state: &State) -> String {
    let shown = shown(state);
    let mut lines: Vec<&str> = shown.lines().filter(|line| line.contains('{') && !line.starts_with("push_")).collect();
    lines.sort_unstable();
    lines.join("\n")
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
    // A group may change its own types.
    push(&mut state, "job/a", "# TYPE x counter\nx 1\n").unwrap();
}

#[test]
fn nothing_is_taken_that_would_make_the_exposition_unreadable() {
    let mut state = State::default();
    let histogram = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
    for (path, body) in [
        ("job/a/le/5", histogram),
        ("job/a/le/5", "# TYPE h gaugehistogram\nh_bucket{le=\"+Inf\"} 1\nh_gsum 1\nh_gcount 1\n"),
        ("job/a/quantile/5", "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_count 1\n"),
        ("job/a", "x{\"a.b\"=\"1\",U__a_2e_b=\"2\"} 1\n"),
        ("job/a/U__a_2e_b/1", "x{U__a_2e_b=\"2\"} 1\n"),
    ] {
        let refused = plan(&state, path, body, Replace::Named).unwrap_err();
        assert!(matches!(refused, Conflict::Label { .. }), "{path} {body}: {refused}");
    }
    push(&mut state, "job/a/quantile/5", histogram).unwrap();
    push(&mut state, "job/a/le/5", "x{quantile=\"1\"} 1\n").unwrap();
    // Names that become equal when escaped: in one push, in one group, in two groups.
    for (path, first, second) in
        [("job/one", "{\"a.b\"} 1\n", "U__a_2e_b 1\n"), ("job/two", "U__c_2e_d 1\n", "{\"c.d\"} 1\n")]
    {
        let both = refused_by(&state, path, &format!("{first}{second}"));
        assert!(both.contains("is written as"), "{both}");
        push(&mut state, path, first).unwrap();
        assert!(refused_by(&state, path, second).contains("is written as"));
        let other = refused_by(&state, "job/other", second);
        assert!(other.ends_with(&format!("the other group is {}", key(path))), "{other}");
        // A group may replace its own names.
        assert!(plan(&state, path, second, Replace::Everything).is_ok());
        push(&mut state, path, first).unwrap();
    }
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
            assert!(state.is_size_exact());
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
        // A later change is undone before the sweep.
        let change = plan(&state, "job/new", "f1 7\n", Replace::Named).unwrap();
        state.apply(&change);
        state.undo(&change);
        state.restore(swept);
        prop_assert_eq!((shown(&state), counts(&state)), before);
    }
}
