//! What a server's answer to a write means for the points that were sent.

use crate::sinks::answer::Answer;
use crate::sinks::http::Answered;

impl Answer {
    /// The meaning of InfluxDB's status, `Retry-After` header and body.
    pub(super) fn of_influxdb(answered: &Answered) -> Answer {
        let (status, body, message) = (answered.status, answered.body.as_str(), answered.message());
        let is_partial = body.contains("partial write");
        match status {
            200..=299 => Answer::Delivered,
            // InfluxDB 1.x counts what it could not store; 2.x says the same with 422.
            400 | 500 if is_partial => Answer::Partial { dropped: dropped(body).or_else(|| rejected(body)), message },
            422 => Answer::Partial { dropped: dropped(body), message },
            // InfluxDB 1.x: the points are fine, the policy is not there.
            500 if body.contains("retention policy not found") => Answer::Refused { message },
            // InfluxDB 3 in its 2.x guise says 400 when it is only busy.
            400 if is_busy(body) => Answer::later(&message),
            401 | 403 | 404 => Answer::Refused { message },
            408 | 429 | 500..=599 => Answer::Later { after: answered.retry_after(), message, was_cut_off: false },
            413 => Answer::TooLarge,
            // A moved server, or something that is not InfluxDB at all.
            100..=199 | 300..=399 | 405 => Answer::Refused { message },
            _ => Answer::Rejected { message },
        }
    }
}

fn is_busy(body: &str) -> bool {
    ["wal buffer", "write buffer", "too many requests", "request limit"]
        .iter()
        .any(|sign| body.to_ascii_lowercase().contains(sign))
}

/// `dropped=N` in the message of a partial write.
fn dropped(body: &str) -> Option<u64> {
    let digits = body.rsplit_once("dropped=")?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// How many lines InfluxDB 3 tells one by one that it did not take.
fn rejected(body: &str) -> Option<u64> {
    let told: serde_json::Value = serde_json::from_str(body).ok()?;
    Some(told["data"].as_array()?.len() as u64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn kind(status: u16, body: &str) -> &'static str {
        match Answer::of_influxdb(&Answered::new(status, &[], body)) {
            Answer::Delivered => "delivered",
            Answer::Partial { .. } => "partial",
            Answer::Rejected { .. } => "rejected",
            Answer::TooLarge => "too large",
            Answer::Refused { .. } => "refused",
            Answer::Later { .. } => "later",
        }
    }

    #[test]
    fn every_answer_of_the_servers_has_its_meaning() {
        let cases = [
            (204, "", "delivered"),
            (200, "", "delivered"),
            (400, r#"{"error":"partial write: field type conflict: input field \"v\" dropped=3"}"#, "partial"),
            (400, r#"{"error":"unable to parse 'x': missing fields"}"#, "rejected"),
            (400, r#"{"code":"invalid","message":"write buffer error: WAL buffer full"}"#, "later"),
            (401, "authorization failed", "refused"),
            (403, "", "refused"),
            (404, r#"{"error":"database not found: \"x\""}"#, "refused"),
            (408, "", "later"),
            (413, "Request Entity Too Large", "too large"),
            (422, r#"{"code":"unprocessable entity","message":"dropped=2"}"#, "partial"),
            (429, "", "later"),
            (500, "timeout", "later"),
            (500, "retention policy not found: x", "refused"),
            (503, "request throttled", "later"),
            (302, "", "refused"),
            (405, "", "refused"),
        ];
        for (status, body, meaning) in cases {
            assert_eq!(kind(status, body), meaning, "{status} {body}");
        }
    }

    #[test]
    fn the_number_of_dropped_points_is_found() {
        assert_eq!(dropped("partial write: points beyond retention policy dropped=12"), Some(12));
        assert_eq!(dropped(r#"{"error":"… dropped=1"}"#), Some(1));
        assert_eq!(dropped("partial write: unable to parse"), None);
        let of_version_3 = r#"{"error":"partial write of line protocol occurred","data":[{"original_line":"m v=","line_number":2,"error_message":"x"},{"original_line":"n v=","line_number":9,"error_message":"x"}]}"#;
        let answer = Answer::of_influxdb(&Answered::new(400, &[], of_version_3));
        assert!(matches!(answer, Answer::Partial { dropped: Some(2), .. }), "{answer:?}");
    }

    #[test]
    fn retry_after_may_be_seconds_or_a_date() {
        let after = |value| match Answer::of_influxdb(&Answered::new(503, &[("retry-after", value)], "")) {
            Answer::Later { after, .. } => after,
            other => panic!("{other:?}"),
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("999999"), Some(Duration::from_secs(600)));
        assert_eq!(after("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
    }
}
