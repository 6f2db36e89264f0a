//! The results of a request and of each point from the response to `_bulk`.

use serde::Deserialize;

use crate::client::shorten;
use crate::json::{Lenient, value};
use crate::sinks::http::Response;
use crate::sinks::verdict::Verdict;

/// The result of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is stored, or was before.
    Stored,
    /// A retry may succeed.
    Later(String),
    /// A privilege or the index has to change first.
    Refused(String),
    /// It will never be stored, for this reason.
    Rejected(String),
}

/// The response to `_bulk`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Bulk {
    items: Lenient<Option<Vec<Lenient<Item>>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Item {
    create: Lenient<Failed>,
}

/// The result reported for one document, or for a request as a whole.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Failed {
    status: Lenient<Option<u64>>,
    error: Lenient<Error>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Error {
    r#type: Lenient<Option<String>>,
    reason: Lenient<Option<String>>,
    caused_by: Lenient<Cause>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: Lenient<Option<String>>,
}

/// The result of each of `count` points, in order.
///
/// # Errors
/// The verdict on all points, if the response does not report each.
pub(super) fn outcomes(response: &Response, count: usize) -> Result<Vec<Outcome>, Verdict> {
    let message = response.message();
    match response.status {
        200 if response.is_page() => return Err(response.foreign_success("Elasticsearch")),
        200 => {}
        413 => return Err(response.too_large(exception(response).is_some())),
        408 | 429 | 500..=599 => {
            return Err(Verdict::Later { after: response.retry_after(), message, was_cut_off: false });
        }
        400 if is_of_documents(response) => return Err(Verdict::Rejected { message }),
        _ => return Err(Verdict::Refused { message }),
    }
    let Ok(Lenient(Bulk { items })) = serde_json::from_str(&response.body) else {
        return Err(Verdict::later(&format!("the answer is no JSON: {}", shorten(&response.body))));
    };
    // `errors` alone is not enough: delivery is reported for each document.
    match items.0.filter(|items| items.len() == count) {
        Some(items) => Ok(items.into_iter().map(|item| outcome(item.0.create.0)).collect()),
        None => Err(Verdict::later(&format!("the answer does not tell of every point: {}", shorten(&response.body)))),
    }
}

/// Whether Elasticsearch itself rejects the documents, rather than the request or the index. Proxies may respond with
/// anything.
fn is_of_documents(response: &Response) -> bool {
    exception(response)
        .is_some_and(|(kind, reason)| !is_of_an_index(&kind, &reason) && !reason.starts_with("request ["))
}

/// The type and the reason of Elasticsearch's own error: `{"error": {"type": "…_exception", "reason": …}, "status":
/// …}`.
fn exception(response: &Response) -> Option<(String, String)> {
    if response.is_page() {
        return None;
    }
    let Failed { status, error: Lenient(error) } = value(&response.body);
    let is_own = *status == Some(response.status.into());
    error.r#type.0.filter(|kind| is_own && kind.ends_with("_exception")).zip(error.reason.0)
}

/// Whether an error of status 400 is about the index or its pipeline, rather than the document.
fn is_of_an_index(kind: &str, reason: &str) -> bool {
    const KINDS: &[&str] = &["index_closed_exception", "invalid_index_name_exception", "validation_exception"];
    const REASONS: &[&str] = &["no write index", "pipeline with id ["];
    KINDS.contains(&kind) || REASONS.iter().any(|part| reason.contains(part))
}

fn outcome(Failed { status, error: Lenient(error) }: Failed) -> Outcome {
    let (kind, reason) = (error.r#type.0.unwrap_or_default(), error.reason.0.unwrap_or_default());
    let message = || {
        let cause = error.caused_by.reason.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
        shorten(&format!("{kind}: {reason}{cause}"))
    };
    match status.unwrap_or(500) {
        // The same document is stored already.
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
        let found = outcomes(&Response::new(200, &[], body), 4).unwrap();
        let expected = [
            Outcome::Stored,
            Outcome::Stored,
            Outcome::Later("rejected: full".to_owned()),
            Outcome::Rejected("mapper_parsing_exception: no: because".to_owned()),
        ];
        assert_eq!(found, expected);
        let body = r#"{"took":1,"errors":false,"items":[{"create":{"status":201}},{"create":{"status":201}}]}"#;
        assert_eq!(outcomes(&Response::new(200, &[], body), 2), Ok(vec![Outcome::Stored; 2]));
    }

    #[test]
    fn an_answer_that_tells_of_none_is_for_all() {
        let of = |status, body| outcomes(&Response::new(status, &[], body), 1).unwrap_err();
        let large =
            r#"{"error":{"type":"content_too_long_exception","reason":"entity content is too long"},"status":413}"#;
        assert!(matches!(of(413, large), Verdict::TooLarge { is_foreign: false, .. }));
        for body in ["", "Request Entity Too Large", r#"{"Message":"Request size exceeded 10485760 bytes"}"#] {
            assert!(matches!(of(413, body), Verdict::TooLarge { is_foreign: true, .. }), "{body}");
        }
        let body = r#"{"error":{"type":"illegal_argument_exception","reason":"Malformed content"},"status":400}"#;
        assert!(matches!(of(400, body), Verdict::Rejected { .. }));
        assert!([401, 403, 404, 302].into_iter().all(|status| matches!(of(status, ""), Verdict::Refused { .. })));
        assert!([429, 500, 503].into_iter().all(|status| matches!(of(status, ""), Verdict::Later { .. })));
        for body in [
            "",
            "{\"errors\":tr",
            "{\"errors\":true,\"items\":[]}",
            "{\"errors\":false}",
            "{\"errors\":false,\"items\":[]}",
        ] {
            assert!(matches!(of(200, body), Verdict::Later { .. }), "{body}");
        }
    }

    #[test]
    fn what_elasticsearch_does_not_say_of_a_document_drops_none() {
        let page = "<html><body>Log in</body></html>";
        let of_a_gateway = r#"{"error":{"type":"invalid_request_error","message":"no"}}"#;
        let of_the_request = r#"{"error":{"type":"illegal_argument_exception","reason":"request [/_bulk] contains unrecognized parameter: [x]"},"status":400}"#;
        for (status, body) in [
            (200, page),
            (201, ""),
            (400, page),
            (400, ""),
            (400, of_a_gateway),
            (400, of_the_request),
            (406, ""),
            (415, ""),
            (422, "no"),
        ] {
            let verdict = outcomes(&Response::new(status, &[], body), 1).unwrap_err();
            assert!(matches!(verdict, Verdict::Refused { .. }), "{status} {body}");
        }
        for (status, kind, reason) in [
            (403, "cluster_block_exception", "index blocked"),
            (403, "security_exception", "unauthorized"),
            (404, "index_not_found_exception", "no such index"),
            (400, "index_closed_exception", "closed"),
            (400, "validation_exception", "this action would add [2] shards"),
            (400, "illegal_argument_exception", "no write index is defined for alias [x]"),
            (400, "illegal_argument_exception", "pipeline with id [x] does not exist"),
        ] {
            let body = format!(
                r#"{{"errors":true,"items":[{{"create":{{"status":{status},"error":{{"type":"{kind}","reason":"{reason}"}}}}}}]}}"#
            );
            let found = outcomes(&Response::new(200, &[], &body), 1).unwrap();
            assert_eq!(found, [Outcome::Refused(format!("{kind}: {reason}"))]);
        }
    }
}
