//! The verdict on series from the response to a remote write.

use super::reasons::{is_too_large, rejects_a_series};
use crate::sinks::http::Response;
use crate::sinks::verdict::Verdict;

const WRITTEN: [&str; 2] =
    ["x-prometheus-remote-write-samples-written", "x-prometheus-remote-write-histograms-written"];

/// The number of samples written, if the server reports it.
fn written(response: &Response) -> Option<usize> {
    let counts = WRITTEN.iter().filter_map(|name| response.headers.get(*name));
    counts.map(|count| count.to_str().ok()?.parse::<usize>().ok()).sum()
}

fn reports_written(response: &Response) -> bool {
    WRITTEN.iter().any(|name| response.headers.contains_key(*name))
}

/// Whether the server may understand 2.0. A server of 1.0 responds with 415, or reads a request of 2.0 as an empty one
/// of 1.0 and reports success without counts.
pub(super) fn is_v2(response: &Response) -> bool {
    match response.status {
        200..=299 | 400 if !response.is_page() => reports_written(response),
        415 => false,
        _ => true,
    }
}

/// The verdict on a request of 2.0 with `samples`: the response reports how many were written.
pub(super) fn verdict_of_v2(response: &Response, samples: usize) -> Verdict {
    let message = response.message();
    match response.status {
        200..=299 | 400 if reports_written(response) && !response.is_page() => {
            let dropped = samples.saturating_sub(written(response).unwrap_or(samples));
            match dropped {
                0 => Verdict::Delivered,
                _ => Verdict::Partial { dropped: Some(dropped as u64), message },
            }
        }
        200..=299 => Verdict::Refused {
            message: format!(
                "the server does not say that it wrote anything, and may not understand version 2.0: {message}"
            ),
        },
        _ => verdict(response),
    }
}

/// The verdict of a response, by the specification's section on retries. A 400 is permanent, and some servers reject
/// the whole request because of one series. Series are dropped only if the server itself rejects a series: proxies may
/// respond with anything.
pub(super) fn verdict(response: &Response) -> Verdict {
    let message = response.message();
    match response.status {
        200..=299 if response.is_page() => response.foreign_success("a receiver of remote write"),
        200..=299 => Verdict::Delivered,
        400 | 409 | 422 if rejects_a_series(response) => Verdict::Rejected { message },
        413 => response.too_large(is_too_large(response)),
        429 | 500..=599 => Verdict::Later { after: response.retry_after(), message, was_cut_off: false },
        // The configuration has to change, here or there; the series are valid.
        _ => Verdict::Refused { message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_its_meaning() {
        let said = |status, body| verdict(&Response::new(status, &[("retry-after", "7")], body));
        let of = |status| said(status, "");
        assert_eq!((of(200), of(204)), (Verdict::Delivered, Verdict::Delivered));
        assert_eq!(said(200, "ok"), Verdict::Delivered);
        for word in ["out of order sample", "received a series whose number of labels exceeds the limit"] {
            assert!([400, 409, 422].into_iter().all(|s| matches!(said(s, word), Verdict::Rejected { .. })), "{word}");
        }
        assert!([401, 403, 404, 406, 415, 302].into_iter().all(|s| matches!(of(s), Verdict::Refused { .. })));
        let large = "the incoming push request has been rejected because its message size of 9 bytes is larger than the \
                     allowed limit of 8 bytes (err-mimir-distributor-max-write-message-size)";
        for body in [large, "write request too large\n", "received message larger than max (9 vs 8)"] {
            assert!(matches!(said(413, body), Verdict::TooLarge { is_foreign: false, .. }), "{body}");
        }
        assert!(
            [429, 500, 503]
                .into_iter()
                .all(|status| matches!(of(status), Verdict::Later { after: Some(pause), .. } if pause.as_secs() == 7))
        );
    }

    #[test]
    fn what_each_server_says_of_a_series_rejects_it() {
        for (status, body) in [
            // Prometheus.
            (400, "out of order sample\n"),
            (400, "out of bounds\n"),
            (400, "too old sample\n"),
            (400, "duplicate sample for timestamp\n"),
            (400, "duplicate sample for timestamp 1000; overrides not allowed: existing 1, new value 2\n"),
            (400, "label name \"x\" is not unique: invalid sample\n"),
            (400, "out of bounds for series {__name__=\"up\"}\n"),
            (400, "invalid metric name or label names, got {a=\"b\"}\n"),
            // Mimir and Cortex, and services built on them.
            (400, "user=7: err: out of bounds. timestamp=2024-01-01T00:00:00Z, series={__name__=\"up\"}"),
            (
                400,
                "failed pushing to ingester: user=7: the sample has been rejected because its timestamp is too old (err-mimir-sample-timestamp-too-old). The affected sample has timestamp 2024-01-01T00:00:00Z",
            ),
            (400, "one series is too large (err-mimir-distributor-max-write-request-data-item-size)"),
            (400, "label value too long for metric: \"up\" label value: \"xx\""),
            (400, "timestamp too new: 9 metric: \"up\""),
            (400, "user=7: per-user series limit of 5 exceeded, please contact administrator to raise it"),
            (400, "sample with repeated timestamp but different value"),
            // Thanos.
            (409, "store locally for endpoint 127.0.0.1:10901: conflict\n"),
            (409, "conflict\n"),
            (409, "add 2 samples: out of bounds\n"),
            // InfluxDB 1.x.
            (400, r#"{"error":"partial write: field type conflict: input field \"value\" dropped=1"}"#),
        ] {
            assert!(matches!(verdict(&Response::new(status, &[], body)), Verdict::Rejected { .. }), "{status} {body}");
        }
    }

    #[test]
    fn what_is_not_said_of_a_series_drops_none() {
        let of = |status, body| verdict(&Response::new(status, &[], body));
        let page = "\n<!DOCTYPE html><title>Log in to see samples</title>";
        for (status, body) in [
            (200, page),
            (204, page),
            (400, page),
            (422, page),
            (400, ""),
            (400, "Client sent an HTTP request to an HTTPS server.\n"),
            (400, "snappy: corrupt input"),
            (
                400,
                r#"{"timestamp":"2024-01-01T00:00:00.000+00:00","status":400,"error":"Bad Request","path":"/write"}"#,
            ),
            (400, r#"{"error":"invalid token timestamp"}"#),
            (400, r#"{"message":"out of order sample"}"#),
            (400, "Request blocked. Sample ID: 1234"),
            (400, "error code: 1020 timestamp 2024-01-01"),
            (400, "invalid label selector in route"),
            (400, "Index 5 out of bounds for length 3"),
            (400, "metric name too long for this plan"),
            (400, "tenant limit (err-mimir-tenant-max-request-rate)"),
            (409, "Conflict"),
            (422, "409: Conflict"),
            (415, "a sample"),
            (451, "a series"),
        ] {
            assert!(matches!(of(status, body), Verdict::Refused { .. }), "{status} {body}");
        }
        for body in [page, "", "Request Entity Too Large", r#"{"message":"Request size limit exceeded"}"#] {
            assert!(matches!(of(413, body), Verdict::TooLarge { is_foreign: true, .. }), "{body}");
        }
        let login = Response::new(200, &[("content-type", "text/html")], "Log in");
        assert!(matches!(verdict(&login), Verdict::Refused { .. }));
        let login = Response::new(200, &[("content-type", "text/html"), (WRITTEN[0], "5")], "Log in");
        assert!(matches!(verdict_of_v2(&login, 5), Verdict::Refused { .. }) && is_v2(&login));
    }

    #[test]
    fn a_server_of_2_0_says_how_much_it_wrote() {
        let response = |status, samples| Response::new(status, &[(WRITTEN[0], samples), (WRITTEN[1], "1")], "");
        assert_eq!(verdict_of_v2(&response(204, "4"), 5), Verdict::Delivered);
        assert!(matches!(verdict_of_v2(&response(400, "2"), 5), Verdict::Partial { dropped: Some(2), .. }));
        assert!(is_v2(&response(400, "0")) && is_v2(&Response::new(500, &[], "")));
        // Not counted as written.
        assert!(matches!(verdict_of_v2(&Response::new(204, &[], ""), 5), Verdict::Refused { .. }));
        for status in [200, 204, 400, 415] {
            assert!(!is_v2(&Response::new(status, &[], "")), "{status}");
        }
    }
}
