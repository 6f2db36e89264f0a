//! The HTTP contract: Taffrail alone, and beside Pushgateway.

use serde_json::Value;

use super::table::{Case, Theirs, cases};
use crate::harness::gateway::{Gateway, Own, Pushgateway};
use crate::harness::get;
use crate::harness::http::Reply;

fn answers(case: &Case, gateway: &dyn Gateway) -> Vec<Reply> {
    case.requests.iter().map(|request| gateway.send(request)).collect()
}

fn statuses(replies: &[Reply]) -> Vec<u16> {
    replies.iter().map(|reply| reply.status).collect()
}

/// The samples and types of what was pushed, in the order of their text; times that are not 0 are `T`, and numbers are
/// written in one way.
pub(crate) fn shown(gateway: &dyn Gateway) -> Option<Vec<String>> {
    let answer = get(&format!("http://{}/metrics", gateway.address()), &[]).unwrap();
    if answer.status != 200 {
        return None;
    }
    let own = ["go_", "process_", "promhttp_", "pushgateway_", "taffrail_"];
    let is_marker = |line: &str| line.contains("push_time_seconds") || line.contains("push_failure_time_seconds");
    let pushed = |line: &&str| {
        let name = line.trim_start_matches("# TYPE ").trim_start_matches("# HELP ");
        let is_own = own.iter().any(|prefix| name.starts_with(prefix));
        let is_markers_help = is_marker(line) && line.starts_with("# HELP");
        !is_own && !is_markers_help
    };
    let mut lines: Vec<String> = answer.text().lines().filter(pushed).map(str::to_owned).collect();
    for line in lines.iter_mut().filter(|line| !line.starts_with('#')) {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let Ok(value) = value.parse::<f64>() else { continue };
        let is_time = is_marker(line) && value != 0.0;
        *line = if is_time { format!("{series} T") } else { format!("{series} {value}") };
    }
    lines.sort();
    Some(lines)
}

#[test]
fn every_request_is_answered_as_the_table_says() {
    for case in cases() {
        let gateway = Own::start("");
        let replies = answers(&case, &gateway);
        assert_eq!(statuses(&replies), case.statuses, "{}: {:?}", case.name, replies.last());
        let last = &replies.last().unwrap().body;
        assert!(last.contains(case.says), "{}: {last}", case.name);
        let lines = shown(&gateway).unwrap();
        for line in &case.shows {
            assert!(lines.iter().any(|shown| shown == line), "{}: {line} is not in {lines:#?}", case.name);
        }
    }
}

/// The last answer where it is JSON: groups in the order of their labels, without times, markers' help texts, and what
/// says which program answers.
fn json(replies: &[Reply]) -> Option<Value> {
    let mut value: Value = serde_json::from_str(&replies.last()?.body).ok()?;
    if let Some(groups) = value["data"].as_array_mut() {
        for group in groups.iter_mut() {
            // Only Taffrail has the reason.
            group.as_object_mut()?.remove("last_refusal");
            for (name, family) in group.as_object_mut()?.iter_mut().filter(|(_, family)| family["metrics"].is_array()) {
                assert!(family["time_stamp"].take().as_str()?.contains('T'));
                if name.starts_with("push_") {
                    family["help"].take();
                    family["metrics"][0]["value"].take();
                }
            }
        }
        groups.sort_by_key(|group| group["labels"].to_string());
    }
    if value["data"]["build_information"].is_object() {
        for name in ["flags", "start_time", "build_information"] {
            assert!(!value["data"][name].take().is_null(), "{name}");
        }
    }
    Some(value)
}

/// The lines without the markers of groups to which nothing but what cannot be read was pushed, of which Pushgateway says
/// nothing.
pub(crate) fn without_refused(lines: Vec<String>, theirs: &[String]) -> Vec<String> {
    let never = |line: &String| line.strip_prefix("push_time_seconds")?.strip_suffix(" 0").map(str::to_owned);
    let is_theirs = |labels: &String| theirs.iter().any(|line| line.contains(labels.as_str()));
    let refused: Vec<String> = lines.iter().filter_map(never).filter(|labels| !is_theirs(labels)).collect();
    let is_refused = |line: &String| {
        let marker = ["push_time_seconds", "push_failure_time_seconds"].iter().find_map(|name| line.strip_prefix(name));
        marker.is_some_and(|rest| refused.iter().any(|labels| rest.starts_with(labels.as_str())))
    };
    let as_theirs = |line: String| {
        let never =
            line.strip_suffix(" T").filter(|_| line.starts_with("push_failure_time_seconds")).map(|l| format!("{l} 0"));
        never.filter(|never| theirs.contains(never)).unwrap_or(line)
    };
    let mut left: Vec<String> = lines.into_iter().filter(|line| !is_refused(line)).map(as_theirs).collect();
    if !refused.is_empty() && !left.iter().any(|line| line.starts_with("push_time_seconds{")) {
        left.retain(|line| !line.starts_with("# TYPE push_"));
    }
    left
}

/// Of a push that cannot be read, Pushgateway's JSON says nothing either.
fn forget_refused(ours: &mut Option<Value>, theirs: &Option<Value>) {
    let (Some(ours), Some(theirs)) = (ours, theirs) else { return };
    let Some(groups) = ours["data"].as_array_mut() else { return };
    for (index, group) in groups.iter_mut().enumerate() {
        if group["last_push_successful"] == false && theirs["data"][index]["last_push_successful"] == true {
            group["last_push_successful"] = true.into();
        }
    }
}

/// What is not as the table says, in a line.
fn compare(case: &Case, ours: &dyn Gateway, theirs: &dyn Gateway) -> Result<(), String> {
    let (our_replies, their_replies) = (answers(case, ours), answers(case, theirs));
    let (our_lines, their_lines) = (shown(ours), shown(theirs));
    let is_any_refused = case.statuses.iter().any(|status| [400, 413, 415].contains(status));
    let theirs_known = their_lines.as_deref().unwrap_or_default();
    let our_lines = match is_any_refused {
        true => our_lines.map(|lines| without_refused(lines, theirs_known)),
        false => our_lines,
    };
    let says = |wrong: bool, what: String| if wrong { Err(format!("{}: {what}", case.name)) } else { Ok(()) };
    let bodies = |replies: &[Reply]| replies.iter().map(|reply| reply.body.clone()).collect::<Vec<_>>();
    let their_statuses = statuses(&their_replies);
    match &case.pushgateway {
        Theirs::Same => {
            let is_other = their_statuses != case.statuses;
            says(is_other, format!("{their_statuses:?} is what Pushgateway answers, {:?}", bodies(&their_replies)))?;
            let last = &their_replies.last().unwrap().body;
            says(!last.contains(case.says), format!("Pushgateway says {last}"))?;
            let (mut our_json, their_json) = (json(&our_replies), json(&their_replies));
            if is_any_refused {
                forget_refused(&mut our_json, &their_json);
            }
            says(our_json != their_json, format!("{our_json:#?} is not {their_json:#?}"))?;
            says(our_lines != their_lines, format!("{our_lines:#?} is not {their_lines:#?}"))?;
            let allows = |replies: &[Reply]| {
                let refusals = replies.iter().filter(|reply| reply.status == 405);
                refusals.map(|reply| reply.header("allow").is_some()).collect::<Vec<_>>()
            };
            says(allows(&our_replies) != allows(&their_replies), "the header Allow".to_owned())
        }
        Theirs::Differs(_, expected) => {
            says(their_statuses != *expected, format!("{their_statuses:?} is what Pushgateway answers"))?;
            let is_same = statuses(&our_replies) == their_statuses && our_lines == their_lines;
            says(is_same && bodies(&our_replies) == bodies(&their_replies), "there is no difference".to_owned())
        }
    }
}

#[test]
#[ignore = "needs Debian's package prometheus-pushgateway: tests/run"]
fn with_pushgateway_that_answers_the_same_but_where_it_is_wrong() {
    let mut wrong = Vec::new();
    for case in cases() {
        let (ours, theirs) = (Own::start(""), Pushgateway::start(&[]));
        wrong.extend(compare(&case, &ours, &theirs).err());
        if let Theirs::Differs(why, _) = &case.pushgateway {
            println!("not the same: {}: Pushgateway: {why}", case.name);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
