//! What a server's answer to `_bulk` means, as a whole and for each point.

use serde_json::Value;

use crate::sinks::answer::{Answer, shorten};
use crate::sinks::http::Answered;

/// What became of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is there, or was before.
    Stored,
    /// It may be later.
    Later(String),
    /// It may be when somebody has changed something: a right, the index.
    Refused(String),
    /// It will never be, for this reason.
    Rejected(String),
}

/// What became of each of `count` points, in their order.
///
/// # Errors
/// What the answer means for all of them, if it does not tell of each.
pub(super) fn outcomes(answered: &Answered, count: usize) -> Result<Vec<Outcome>, Answer> {
    let message = answered.message();
    match answered.status {
        200 if answered.is_page() => return Err(answered.foreign_success("Elasticsearch")),
        200 => {}
        413 => return Err(answered.too_large()),
        408 | 429 | 500..=599 => {
            return Err(Answer::Later { after: answered.retry_after(), message, was_cut_off: false });
        }
        400 if is_of_elasticsearch(answered) => return Err(Answer::Rejected { message }),
        _ => return Err(Answer::Refused { message }),
    }
    let Ok(told) = serde_json::from_str::<Value>(&answered.body) else {
        return Err(Answer::later(&format!("the answer is no JSON: {}", shorten(&answered.body))));
    };
    // "errors" alone says nothing: what is delivered is said of each document.
    match told["items"].as_array().filter(|items| items.len() == count) {
        Some(items) => Ok(items.iter().map(|item| outcome(&item["create"])).collect()),
        None => Err(Answer::later(&format!("the answer does not tell of every point: {}", shorten(&answered.body)))),
    }
}

/// Whether it is Elasticsearch that does not take the documents: `{"error": {"type": …}, "status": 400}`. Whatever else stands
/// between may answer anything.
fn is_of_elasticsearch(answered: &Answered) -> bool {
    let told = answered.object().unwrap_or_default();
    let kind = told.get("error").and_then(|error| error["type"].as_str());
    kind.is_some_and(|kind| !is_of_an_index(kind, ""))
}

/// Whether an error of status 400 is about the index, and not about the document.
fn is_of_an_index(kind: &str, reason: &str) -> bool {
    const KINDS: &[&str] = &["index_closed_exception", "invalid_index_name_exception", "validation_exception"];
    KINDS.contains(&kind) || reason.contains("no write index")
}

fn outcome(item: &Value) -> Outcome {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (error, cause) = (&item["error"], &item["error"]["caused_by"]["reason"]);
    let (kind, reason) = (text(&error["type"]), text(&error["reason"]));
    let message = || {
        let cause = if cause.is_string() { format!(": {}", text(cause)) } else { String::new() };
        shorten(&format!("{kind}: {reason}{cause}"))
    };
    match item["status"].as_u64().unwrap_or(500) {
        // The same document was there already.
        200..=299 | 409 => Outcome::Stored,
        429 | 500..=599 => Outcome::Later(message()),
        400 if !is_of_an_index(&kind, &reason) => Outcome::Rejected(message()),
        _ => Outcome::Refused(message()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_has_its_outcome() {
        let body = r#"{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":409,"error":{"type":"version_conflict_engine_exception"}}},
            {"create":{"status":429,"error":{"type":"rejected","reason":"full"}}},
            {"create":{"status":400,"error":{"type":"mapper_parsing_exception","reason":"no","caused_by":{"reason":"because"}}}}]}"#;
        let found = outcomes(&Answered::new(200, &[], body), 4).unwrap();
        let expected = [
            Outcome::Stored,
            Outcome::Stored,
            Outcome::Later("rejected: full".to_owned()),
            Outcome::Rejected("mapper_parsing_exception: no: because".to_owned()),
        ];
        assert_eq!(found, expected);
        let body = r#"{"took":1,"errors":false,"items":[{"create":{"status":201}},{"create":{"status":201}}]}"#;
        assert_eq!(outcomes(&Answered::new(200, &[], body), 2), Ok(vec![Outcome::Stored; 2]));
    }

    #[test]
    fn an_answer_that_tells_of_none_is_for_all() {
        let of = |status, body| outcomes(&Answered::new(status, &[], body), 1).unwrap_err();
        assert!(matches!(of(413, ""), Answer::TooLarge { is_foreign: false, .. }));
        let body = r#"{"error":{"type":"illegal_argument_exception","reason":"Malformed content"},"status":400}"#;
        assert!(matches!(of(400, body), Answer::Rejected { .. }));
        assert!([401, 403, 404, 302].into_iter().all(|status| matches!(of(status, ""), Answer::Refused { .. })));
        assert!([429, 500, 503].into_iter().all(|status| matches!(of(status, ""), Answer::Later { .. })));
        for body in [
            "",
            "{\"errors\":tr",
            "{\"errors\":true,\"items\":[]}",
            "{\"errors\":false}",
            "{\"errors\":false,\"items\":[]}",
        ] {
            assert!(matches!(of(200, body), Answer::Later { .. }), "{body}");
        }
    }

    #[test]
    fn what_elasticsearch_does_not_say_of_a_document_drops_none() {
        let page = "<html><body>Log in</body></html>";
        for (status, body) in [(200, page), (201, ""), (400, page), (400, ""), (406, ""), (415, ""), (422, "no")] {
            let answer = outcomes(&Answered::new(status, &[], body), 1).unwrap_err();
            assert!(matches!(answer, Answer::Refused { .. }), "{status} {body}");
        }
        for (status, kind, reason) in [
            (403, "cluster_block_exception", "index blocked"),
            (403, "security_exception", "unauthorized"),
            (404, "index_not_found_exception", "no such index"),
            (400, "index_closed_exception", "closed"),
            (400, "validation_exception", "this action would add [2] shards"),
            (400, "illegal_argument_exception", "no write index is defined for alias [x]"),
        ] {
            let body = format!(
                r#"{{"errors":true,"items":[{{"create":{{"status":{status},"error":{{"type":"{kind}","reason":"{reason}"}}}}}}]}}"#
            );
            let found = outcomes(&Answered::new(200, &[], &body), 1).unwrap();
            assert_eq!(found, [Outcome::Refused(format!("{kind}: {reason}"))]);
        }
    }
}
