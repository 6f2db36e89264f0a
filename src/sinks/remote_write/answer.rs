//! What a server's answer to a remote write means.

use crate::sinks::answer::Answer;
use crate::sinks::http::Answered;

const WRITTEN: [&str; 2] =
    ["x-prometheus-remote-write-samples-written", "x-prometheus-remote-write-histograms-written"];

/// How many samples the server says that it took, if it says so.
fn written(answered: &Answered) -> Option<usize> {
    let counts = WRITTEN.iter().filter_map(|name| answered.headers.get(*name));
    counts.map(|count| count.to_str().ok()?.parse::<usize>().ok()).sum()
}

fn says_written(answered: &Answered) -> bool {
    WRITTEN.iter().any(|name| answered.headers.contains_key(*name))
}

/// Whether an answer can be that of a server which understands 2.0. One that does not says so, or takes a request of 2.0
/// for an empty one of 1.0, and that for written.
pub(super) fn is_of_second(answered: &Answered) -> bool {
    match answered.status {
        200..=299 | 400 if !answered.is_page() => says_written(answered),
        415 => false,
        _ => true,
    }
}

/// What an answer to a request of 2.0 with so many samples means: it says how many of them were written.
pub(super) fn meaning_of_second(answered: &Answered, samples: usize) -> Answer {
    let message = answered.message();
    match answered.status {
        200..=299 | 400 if says_written(answered) && !answered.is_page() => {
            let dropped = samples.saturating_sub(written(answered).unwrap_or(samples));
            match dropped {
                0 => Answer::Delivered,
                _ => Answer::Partial { dropped: Some(dropped as u64), message },
            }
        }
        200..=299 => Answer::Refused {
            message: format!(
                "the server does not say that it wrote anything, and may not understand version 2.0: {message}"
            ),
        },
        _ => meaning(answered),
    }
}

/// What an answer means: the specification's section on retries. With 400 a server says what it will never take; some take
/// none of a request then, because of one series. Series are dropped for what is said of them alone: whatever else stands
/// between may answer anything.
pub(super) fn meaning(answered: &Answered) -> Answer {
    let message = answered.message();
    match answered.status {
        200..=299 if answered.is_page() => answered.foreign_success("a receiver of remote write"),
        200..=299 => Answer::Delivered,
        400 | 409 | 422 if is_of_a_series(answered) => Answer::Rejected { message },
        413 => answered.too_large(),
        429 | 500..=599 => Answer::Later { after: answered.retry_after(), message, was_cut_off: false },
        // Somebody has to change something here or there; the series are fine.
        _ => Answer::Refused { message },
    }
}

/// Whether what is said is about a series. Receivers say it in words of their own, but all in these.
fn is_of_a_series(answered: &Answered) -> bool {
    const OF_SERIES: &[&str] = &[
        "sample",
        "series",
        "label",
        "metric",
        "histogram",
        "exemplar",
        "out of order",
        "out-of-order",
        "out of bounds",
        "timestamp",
        "too old",
        "too far",
        "conflict",
    ];
    let said = answered.body.to_lowercase();
    !answered.is_page() && OF_SERIES.iter().any(|word| said.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_its_meaning() {
        let said = |status, body| meaning(&Answered::new(status, &[("retry-after", "7")], body));
        let of = |status| said(status, "");
        assert_eq!((of(200), of(204)), (Answer::Delivered, Answer::Delivered));
        assert_eq!(said(200, "ok"), Answer::Delivered);
        for word in ["out of order sample", "received a series whose number of labels exceeds the limit"] {
            assert!([400, 409, 422].into_iter().all(|s| matches!(said(s, word), Answer::Rejected { .. })), "{word}");
        }
        assert!([401, 403, 404, 406, 415, 302].into_iter().all(|s| matches!(of(s), Answer::Refused { .. })));
        assert!(matches!(of(413), Answer::TooLarge { is_foreign: false, .. }));
        assert!(
            [429, 500, 503]
                .into_iter()
                .all(|status| matches!(of(status), Answer::Later { after: Some(pause), .. } if pause.as_secs() == 7))
        );
    }

    #[test]
    fn what_is_not_said_of_a_series_drops_none() {
        let of = |status, body| meaning(&Answered::new(status, &[], body));
        let page = "\n<!DOCTYPE html><title>Log in to see samples</title>";
        for (status, body) in [
            (200, page),
            (204, page),
            (400, page),
            (422, page),
            (400, ""),
            (400, "Client sent an HTTP request to an HTTPS server.\n"),
            (400, "snappy: corrupt input"),
            (415, "a sample"),
            (451, "a series"),
        ] {
            assert!(matches!(of(status, body), Answer::Refused { .. }), "{status} {body}");
        }
        assert!(matches!(of(413, page), Answer::TooLarge { is_foreign: true, .. }));
        let login = Answered::new(200, &[("content-type", "text/html")], "Log in");
        assert!(matches!(meaning(&login), Answer::Refused { .. }));
        let login = Answered::new(200, &[("content-type", "text/html"), (WRITTEN[0], "5")], "Log in");
        assert!(matches!(meaning_of_second(&login, 5), Answer::Refused { .. }) && is_of_second(&login));
    }

    #[test]
    fn a_server_of_2_0_says_how_much_it_wrote() {
        let answered = |status, samples| Answered::new(status, &[(WRITTEN[0], samples), (WRITTEN[1], "1")], "");
        assert_eq!(meaning_of_second(&answered(204, "4"), 5), Answer::Delivered);
        assert!(matches!(meaning_of_second(&answered(400, "2"), 5), Answer::Partial { dropped: Some(2), .. }));
        assert!(is_of_second(&answered(400, "0")) && is_of_second(&Answered::new(500, &[], "")));
        // Not taken for written.
        assert!(matches!(meaning_of_second(&Answered::new(204, &[], ""), 5), Answer::Refused { .. }));
        for status in [200, 204, 400, 415] {
            assert!(!is_of_second(&Answered::new(status, &[], "")), "{status}");
        }
    }
}
