//! The verdict on points from InfluxDB's response to a write.

use serde_json::Value;

use crate::sinks::http::Response;
use crate::sinks::verdict::Verdict;

impl Verdict {
    /// The verdict from InfluxDB's status, `Retry-After` header and body. Points are dropped only if InfluxDB itself
    /// rejects them: proxies may respond with anything.
    pub(super) fn of_influxdb(response: &Response) -> Verdict {
        let (status, message) = (response.status, response.message());
        let body = if response.is_page() { "" } else { response.body.as_str() };
        match (status, ErrorBody::of(response)) {
            (204, _) => Verdict::Delivered,
            // InfluxDB Cloud once responded 201 with the points that it dropped.
            (201, Some(error)) if error.is_partial() => error.partial(message),
            (200..=299, _) => response.foreign_success("InfluxDB, which says 204"),
            // InfluxDB 1.x counts the points that it dropped; 2.x responds 422 then.
            (400 | 422 | 500, Some(error)) if error.is_partial() => error.partial(message),
            (400 | 422, Some(error)) if error.is_of_a_point() => Verdict::Rejected { message },
            // InfluxDB 3 responds 400 to its 2.x API when it is only busy.
            (400, Some(error)) if error.is_busy() => Verdict::later(&message),
            (400 | 422, Some(error)) if error.is_invalid() => Verdict::Rejected { message },
            // InfluxDB 1.x: the points are valid, the policy does not exist.
            (500, _) if body.contains("retention policy not found") => Verdict::Refused { message },
            (408 | 429 | 500..=599, _) => Verdict::Later { after: response.retry_after(), message, was_cut_off: false },
            (413, error) => response.too_large(error.is_some_and(|error| error.is_too_large())),
            // The configuration has to change, or a proxy or another server responded.
            _ => Verdict::Refused { message },
        }
    }
}

/// The error in InfluxDB's response, in lower case: `{"error": …}` of 1.x and 3, where 3 has the lines in `data`;
/// `{"code": …, "message": …}` of 2.x.
struct ErrorBody {
    text: String,
    /// The kind of error, of 2.x alone.
    code: Option<String>,
    /// The number of lines that are reported one by one.
    lines: Option<u64>,
}

impl ErrorBody {
    /// None if the body has another form: then it is not InfluxDB's.
    fn of(response: &Response) -> Option<ErrorBody> {
        const OF_1_AND_3: &[&str] = &["error", "data"];
        const OF_2: &[&str] = &["code", "message", "op", "error", "err", "line", "maxLength"];
        let object = response.object()?;
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let has_only = |keys: &[&str]| object.keys().all(|key| keys.contains(&key.as_str()));
        let (text, code) = match (text("error"), text("code"), text("message")) {
            (Some(error), None, None) if has_only(OF_1_AND_3) => (error, None),
            (_, Some(code), Some(message)) if has_only(OF_2) => (message, Some(code.to_owned())),
            _ => return None,
        };
        let lines = object.get("data").and_then(Value::as_array).map(|lines| lines.len() as u64);
        Some(ErrorBody { text: text.to_lowercase(), code, lines })
    }

    fn has(&self, signs: &[&str]) -> bool {
        signs.iter().any(|sign| self.text.contains(sign))
    }

    /// Whether the other points were written.
    fn is_partial(&self) -> bool {
        self.has(&["partial write", "dropped="])
    }

    fn partial(&self, message: String) -> Verdict {
        Verdict::Partial { dropped: dropped(&self.text).or(self.lines), message }
    }

    fn is_busy(&self) -> bool {
        self.has(&["wal buffer", "write buffer", "too many requests", "request limit"])
    }

    /// Whether it is about a point: it begins like the server's messages about points. Any proxy's response may contain
    /// a single word such as `line` or `field`.
    fn is_of_a_point(&self) -> bool {
        const STAGES: &[&str] = &["write buffer error: ", "catalog update error: ", "catalog update erorr "];
        const OF_POINTS: &[&str] = &[
            "unable to parse",
            "parsing failed for",
            "parsing for line protocol failed",
            "field type conflict",
            "field type mismatch",
            "column type mismatch",
            "update to schema would exceed",
            "schema update for table",
            "max-series-per-database limit exceeded",
            "max-values-per-tag limit exceeded",
            "max key length exceeded",
            "points beyond retention policy",
        ];
        let mut said = self.text.as_str();
        while let Some(rest) = STAGES.iter().find_map(|stage| said.strip_prefix(stage)) {
            said = rest;
        }
        OF_POINTS.iter().any(|start| said.starts_with(start))
    }

    /// Whether 2.x reports invalid points, rather than an invalid request: its precision, compression or organization.
    fn is_invalid(&self) -> bool {
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
        let has_code =
            self.code.as_ref().is_some_and(|code| ["invalid", "unprocessable entity"].contains(&code.as_str()));
        has_code && !self.has(OF_REQUESTS)
    }

    /// Whether it is about the size of the request.
    fn is_too_large(&self) -> bool {
        match &self.code {
            Some(code) => code == "request too large",
            None => self.text == "request entity too large" || self.text.starts_with("max request size ("),
        }
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
        match Verdict::of_influxdb(&Response::new(status, &[], body)) {
            Verdict::Delivered => "delivered",
            Verdict::Partial { .. } => "partial",
            Verdict::Rejected { .. } => "rejected",
            Verdict::TooLarge { is_foreign: true, .. } => "too large for another",
            Verdict::TooLarge { .. } => "too large",
            Verdict::Refused { .. } => "refused",
            Verdict::Later { .. } => "later",
        }
    }

    #[test]
    fn every_answer_of_the_servers_has_its_meaning() {
        let cases = [
            (204, "", "delivered"),
            // InfluxDB never responds with an empty 200.
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
            (413, r#"{"error":"Request Entity Too Large"}"#, "too large"),
            (
                413,
                r#"{"code":"request too large","message":"unable to read data: points batch is too large"}"#,
                "too large",
            ),
            (413, r#"{"error":"max request size (10485760 bytes) exceeded"}"#, "too large"),
            (422, r#"{"code":"unprocessable entity","message":"dropped=2"}"#, "partial"),
            (429, "", "later"),
            (500, "timeout", "later"),
            (500, "retention policy not found: x", "refused"),
            (503, "request throttled", "later"),
            (302, "", "refused"),
            (405, "", "refused"),
            // Errors of InfluxDB about a request, not about a point.
            (400, r#"{"error":"database is required"}"#, "refused"),
            (400, r#"{"code":"invalid","message":"invalid precision; valid precision units are ns"}"#, "refused"),
            (400, r#"{"error":"gzip: invalid header"}"#, "refused"),
            (400, r#"{"code":"invalid","message":"unable to parse 'm v=': missing field value"}"#, "rejected"),
            (400, r#"{"error":"parsing failed for write_lp endpoint","data":{"line_number":1}}"#, "rejected"),
            (422, r#"{"error":"Update to schema would exceed number of columns per table limit of 500"}"#, "rejected"),
            (400, r#"{"error":"unable to parse 'm,a=gzip v=': precision is required"}"#, "rejected"),
            (
                400,
                r#"{"error":"field type conflict: input field \"v\" on measurement \"m\" is type float"}"#,
                "rejected",
            ),
            (400, r#"{"error":"write buffer error: parsing for line protocol failed"}"#, "rejected"),
            (
                400,
                r#"{"error":"write buffer error: catalog update error: Field type mismatch on table m"}"#,
                "rejected",
            ),
            // Responses of other servers.
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
            (413, "Request Entity Too Large", "too large for another"),
            (413, "", "too large for another"),
            (413, r#"{"message":"Request size limit exceeded"}"#, "too large for another"),
            (413, r#"{"error":"Payload Too Large"}"#, "too large for another"),
            (400, r#"{"error":"invalid token timestamp"}"#, "refused"),
            (400, r#"{"error":"no route for this line"}"#, "refused"),
            (400, r#"{"code":"BAD_REQUEST","message":"the field host is missing"}"#, "refused"),
            (400, r#"{"code":"INVALID","message":"bad"}"#, "refused"),
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
        let verdict = Verdict::of_influxdb(&Response::new(400, &[], of_version_3));
        assert!(matches!(verdict, Verdict::Partial { dropped: Some(2), .. }), "{verdict:?}");
    }

    #[test]
    fn what_is_said_to_be_a_page_is_no_word_of_influxdbs() {
        let body = r#"{"error":"partial write: unable to parse dropped=3"}"#;
        let verdict = Verdict::of_influxdb(&Response::new(400, &[("content-type", "text/HTML; charset=utf-8")], body));
        assert!(matches!(verdict, Verdict::Refused { .. }), "{verdict:?}");
    }

    #[test]
    fn retry_after_may_be_seconds_or_a_date() {
        let after = |value| match Verdict::of_influxdb(&Response::new(503, &[("retry-after", value)], "")) {
            Verdict::Later { after, .. } => after,
            other => panic!("{other:?}"),
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("999999"), Some(Duration::from_secs(600)));
        assert_eq!(after("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::ZERO));
        assert_eq!(after("soon"), None);
    }
}
