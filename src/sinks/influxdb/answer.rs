//! What a server's answer to a write means for the points that were sent.

use serde_json::Value;

use crate::sinks::answer::Answer;
use crate::sinks::http::Answered;

impl Answer {
    /// The meaning of InfluxDB's status, `Retry-After` header and body. Points are dropped for what InfluxDB itself says of
    /// them alone: whatever else stands between may answer anything.
    pub(super) fn of_influxdb(answered: &Answered) -> Answer {
        let (status, message) = (answered.status, answered.message());
        let body = if answered.is_page() { "" } else { answered.body.as_str() };
        match (status, Word::of(answered)) {
            (204, _) => Answer::Delivered,
            // InfluxDB Cloud once said 201 with what it did not take.
            (201, Some(word)) if word.is_partial() => word.partial(message),
            (200..=299, _) => answered.foreign_success("InfluxDB, which says 204"),
            // InfluxDB 3 in its 2.x guise says 400 when it is only busy.
            (400, Some(word)) if word.is_busy() => Answer::later(&message),
            // InfluxDB 1.x counts what it could not store; 2.x says the same with 422.
            (400 | 422 | 500, Some(word)) if word.is_partial() => word.partial(message),
            (400 | 422, Some(word)) if word.is_of_a_point() => Answer::Rejected { message },
            // InfluxDB 1.x: the points are fine, the policy is not there.
            (500, _) if body.contains("retention policy not found") => Answer::Refused { message },
            (408 | 429 | 500..=599, _) => Answer::Later { after: answered.retry_after(), message, was_cut_off: false },
            (413, _) => answered.too_large(),
            // Somebody has to change something; or it is a moved server, a proxy, something that is not InfluxDB at all.
            _ => Answer::Refused { message },
        }
    }
}

/// What InfluxDB says of a write that it did not take, in lower case: 1.x and 3 as `{"error": …}`, 3 with the lines in
/// `data`; 2.x as `{"code": …, "message": …}`.
struct Word {
    text: String,
    /// Lines that are told one by one.
    lines: Option<u64>,
    is_invalid: bool,
}

impl Word {
    /// What is not of this form is somebody else's word.
    fn of(answered: &Answered) -> Option<Word> {
        const OF_1_AND_3: &[&str] = &["error", "data"];
        const OF_2: &[&str] = &["code", "message", "op", "error", "err", "line", "maxLength"];
        let told = answered.object()?;
        let text = |key: &str| told.get(key).and_then(Value::as_str).map(str::to_lowercase);
        let has_only = |keys: &[&str]| told.keys().all(|key| keys.contains(&key.as_str()));
        let (text, code) = match (text("error"), text("code"), text("message")) {
            (Some(error), None, None) if has_only(OF_1_AND_3) => (error, String::new()),
            (_, Some(code), Some(message)) if has_only(OF_2) => (message, code),
            _ => return None,
        };
        let lines = told.get("data").and_then(Value::as_array).map(|lines| lines.len() as u64);
        Some(Word { text, lines, is_invalid: ["invalid", "unprocessable entity"].contains(&code.as_str()) })
    }

    fn has(&self, signs: &[&str]) -> bool {
        signs.iter().any(|sign| self.text.contains(sign))
    }

    /// Whether the other points are there.
    fn is_partial(&self) -> bool {
        self.has(&["partial write", "dropped="])
    }

    fn partial(&self, message: String) -> Answer {
        Answer::Partial { dropped: dropped(&self.text).or(self.lines), message }
    }

    fn is_busy(&self) -> bool {
        self.has(&["wal buffer", "write buffer", "too many requests", "request limit"])
    }

    /// Whether it is about a point, and not about the request: its database, its precision, its compression.
    fn is_of_a_point(&self) -> bool {
        const OF_POINTS: &[&str] = &[
            "pars",
            "point",
            "field",
            "tag",
            "measurement",
            "series",
            "timestamp",
            "time ",
            "line",
            "column",
            "table",
        ];
        const OF_REQUESTS: &[&str] = &[
            "is required",
            "gzip",
            "precision",
            "consistency",
            "content-encoding",
            "authoriz",
            "organization",
            "decod",
        ];
        (self.is_invalid || self.has(OF_POINTS)) && !self.has(OF_REQUESTS)
    }
}

/// `dropped=N` in the message of a partial write.
fn dropped(text: &str) -> Option<u64> {
    let digits = text.rsplit_once("dropped=")?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
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
            Answer::TooLarge { is_foreign: true, .. } => "too large for another",
            Answer::TooLarge { .. } => "too large",
            Answer::Refused { .. } => "refused",
            Answer::Later { .. } => "later",
        }
    }

    #[test]
    fn every_answer_of_the_servers_has_its_meaning() {
        let cases = [
            (204, "", "delivered"),
            // An empty 200 is no answer of InfluxDB's.
            (200, "", "refused"),
            (200, "<html><title>Login</title></html>", "refused"),
            (200, r#"{"results":[]}"#, "refused"),
            (201, r#"{"code":"invalid","message":"partial write: 2 errors"}"#, "partial"),
            (202, "", "refused"),
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
            // What InfluxDB says of a request, and not of a point in it.
            (400, r#"{"error":"database is required"}"#, "refused"),
            (400, r#"{"code":"invalid","message":"invalid precision; valid precision units are ns"}"#, "refused"),
            (400, r#"{"error":"gzip: invalid header"}"#, "refused"),
            (400, r#"{"code":"invalid","message":"unable to parse 'm v=': missing field value"}"#, "rejected"),
            (400, r#"{"error":"parsing failed for write_lp endpoint","data":{"line_number":1}}"#, "rejected"),
            (422, r#"{"error":"Update to schema would exceed number of columns per table limit of 500"}"#, "rejected"),
            // What others say.
            (400, "", "refused"),
            (400, "Client sent an HTTP request to an HTTPS server.\n", "refused"),
            (400, "<html><h1>400</h1>The plain HTTP request was sent to HTTPS port</html>", "refused"),
            (400, r#"{"timestamp":1,"status":400,"error":"parse error","path":"/write"}"#, "refused"),
            (400, r#"{"code":400,"message":"a point"}"#, "refused"),
            (400, r#"{"message":"partial write"}"#, "refused"),
            (400, "partial write: dropped=3", "refused"),
            (406, "", "refused"),
            (415, "", "refused"),
            (422, "no", "refused"),
            (451, "", "refused"),
            (500, "<html>partial write</html>", "later"),
            (413, "<html>413 Request Entity Too Large</html>", "too large for another"),
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
    fn what_is_said_to_be_a_page_is_no_word_of_influxdbs() {
        let body = r#"{"error":"partial write: unable to parse dropped=3"}"#;
        let answer = Answer::of_influxdb(&Answered::new(400, &[("content-type", "text/HTML; charset=utf-8")], body));
        assert!(matches!(answer, Answer::Refused { .. }), "{answer:?}");
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
