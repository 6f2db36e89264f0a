//! Errors of AWS requests, with advice.

use std::error::Error;
use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use regex::Regex;
use serde_json::Value;

use super::count::Operation;
use super::http::{PAGE, start_of};
use crate::client;

/// An error, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its kind.
    pub kind: Kind,
    /// The message, in one line.
    pub message: String,
}

/// Kinds of errors, by who can fix them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Too many requests; retry later.
    Throttled,
    /// The policy lacks an action.
    Denied,
    /// Credentials are missing, expired or invalid.
    Credentials,
    /// This host's clock differs from AWS's by more than a signature may.
    Clock,
    /// AWS is unreachable, or fails.
    Unavailable,
    /// The hourly budget is used up.
    Budget,
    /// The configuration is invalid.
    Configuration,
    /// The data is rejected; a retry is pointless.
    Rejected,
    /// The data is too large.
    TooLarge,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Problem {}

impl Problem {
    /// Classifies `error` of `operation` in `region`.
    pub fn of<E>(operation: Operation, region: &str, error: &SdkError<E, HttpResponse>) -> Problem
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let problem = |kind, message: String| Problem::at(operation, region, kind, &message);
        match error {
            SdkError::ServiceError(refused) => match error.code() {
                Some(code) => {
                    let message = error.message().unwrap_or("no message");
                    Problem::of_code(operation, region, code, message, refused.raw())
                }
                None => problem(Kind::Unavailable, foreign(refused.raw())),
            },
            SdkError::ResponseError(malformed) => problem(Kind::Unavailable, foreign(malformed.raw())),
            SdkError::TimeoutError(_) => problem(Kind::Unavailable, "no answer in time".to_owned()),
            _ => Problem::of_failure(operation, region, error),
        }
    }

    /// Classifies the failure of a request that has no response.
    pub(super) fn of_failure(operation: Operation, region: &str, error: &(dyn Error + 'static)) -> Problem {
        let chain = chain(error);
        let message = chain.join(": ");
        let is_about_credentials = chain.iter().any(|part| part.to_lowercase().contains("credential"));
        let (kind, message) = match &message {
            // The words of a page say nothing about AWS.
            _ if message.contains(PAGE) => (Kind::Unavailable, message),
            _ if is_of_clock(&message) => (Kind::Clock, of_clock(None, &message)),
            _ if is_about_credentials => (Kind::Credentials, format!("no credentials: {message}")),
            _ => (Kind::Unavailable, message),
        };
        Problem::at(operation, region, kind, &message)
    }

    /// Classifies an error in AWS's XML or JSON.
    pub(super) fn of_response(operation: Operation, region: &str, response: &HttpResponse) -> Problem {
        let body = String::from_utf8_lossy(response.body().bytes().unwrap_or_default()).into_owned();
        let json: Value = serde_json::from_str(&body).unwrap_or_default();
        let field = |names: [&str; 2]| Some(names.iter().find_map(|name| json.get(name)?.as_str())?.to_owned());
        let element = |name: &str| Some(body.split_once(&format!("<{name}>"))?.1.split_once("</")?.0.to_owned());
        let header = response.headers().get("x-amzn-errortype").map(str::to_owned);
        let code = header.or_else(|| field(["__type", "code"])).or_else(|| element("Code"));
        let message = field(["message", "Message"]).or_else(|| element("Message"));
        let message = message.unwrap_or_else(|| "no message".to_owned());
        match code {
            Some(code) => Problem::of_code(operation, region, bare(&code), &message, response),
            None => Problem::at(operation, region, Kind::Unavailable, &foreign(response)),
        }
    }

    fn of_code(operation: Operation, region: &str, code: &str, message: &str, response: &HttpResponse) -> Problem {
        let (kind, message) = match kind_of(code, message) {
            Kind::Clock => (Kind::Clock, of_clock(ahead(response), message)),
            kind => (kind, advice(kind, operation, code, message)),
        };
        Problem::at(operation, region, kind, &message)
    }

    fn at(operation: Operation, region: &str, kind: Kind, message: &str) -> Problem {
        let message = format!("{} in {region}: {}", operation.name(), without_access_keys(message));
        Problem { kind, message }
    }
}

/// The code alone, without a namespace before it and an address after it.
fn bare(code: &str) -> &str {
    let code = code.split_once(':').map_or(code, |(code, _)| code);
    code.rsplit_once('#').map_or(code, |(_, code)| code)
}

/// The error and its causes, without repetitions.
fn chain(error: &dyn Error) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let part = error.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ");
        // What the SDK calls every failure without a response.
        let is_told = !["dispatch failure", "other"].contains(&part.as_str());
        if is_told {
            client::add_cause(&mut parts, part);
        }
        next = error.source();
    }
    parts
}

/// Redacts access key ids, which AWS repeats when it rejects a signature.
fn without_access_keys(message: &str) -> String {
    static ID: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\b(A3T|A[A-Z]IA|AROA)[A-Z0-9]{8,}").unwrap_or_else(|_| unreachable!("an expression"))
    });
    ID.replace_all(message, "[access key]").into_owned()
}

/// The status and the first bytes of a response that is not in AWS's format.
fn foreign(response: &HttpResponse) -> String {
    let found = match response.headers().get("location") {
        Some(location) => format!("a redirect to {}", start_of(location.as_bytes())),
        None => start_of(response.body().bytes().unwrap_or_default()),
    };
    format!("status {}, and no answer of AWS: {found}", response.status().as_u16())
}

fn of_clock(ahead: Option<String>, message: &str) -> String {
    let ahead = ahead.unwrap_or_else(|| "wrong".to_owned());
    format!("this host's clock is {ahead}; set it, such as by NTP: {message}")
}

/// Whether a message rejects the time of a signature. The code alone also stands for invalid keys.
fn is_of_clock(message: &str) -> bool {
    ["Signature expired", "Signature not yet current", "RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"]
        .iter()
        .any(|part| message.contains(part))
}

/// How much this host's clock is ahead of, or behind, that of `response`.
fn ahead(response: &HttpResponse) -> Option<String> {
    let theirs = httpdate::parse_http_date(response.headers().get("date")?).ok()?;
    Some(difference(SystemTime::now(), theirs))
}

fn difference(ours: SystemTime, theirs: SystemTime) -> String {
    let (difference, direction) = match ours.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    let seconds = Duration::from_secs(difference.as_secs());
    format!("{} {direction} AWS's", humantime::format_duration(seconds))
}

fn kind_of(code: &str, message: &str) -> Kind {
    let has = |parts: &[&str]| parts.iter().any(|part| code.contains(part));
    if is_of_clock(code) || is_of_clock(message) {
        Kind::Clock
    } else if has(&["Throttl", "RequestLimitExceeded", "TooManyRequests", "LimitExceeded"]) {
        Kind::Throttled
    } else if has(&["AccessDenied", "Unauthorized", "NotAuthorized"]) {
        Kind::Denied
    } else if has(&[
        "Expired",
        "InvalidClientTokenId",
        "UnrecognizedClient",
        "Signature",
        "AuthFailure",
        "MissingAuthenticationToken",
        "OptInRequired",
    ]) {
        Kind::Credentials
    } else if has(&["RequestEntityTooLarge", "RequestTooLarge", "ContentLengthExceeded"]) {
        Kind::TooLarge
    } else if has(&["Invalid", "Validation", "MissingRequired", "MissingParameter"]) {
        Kind::Rejected
    } else {
        Kind::Unavailable
    }
}

fn advice(kind: Kind, operation: Operation, code: &str, message: &str) -> String {
    match (kind, operation.action()) {
        (Kind::Throttled, _) => format!("throttled ({code}): {message}"),
        (Kind::Denied, Some(action)) => format!("not allowed, the policy needs {action}: {message}"),
        (Kind::Credentials, _) => format!("the credentials are refused ({code}), renew or replace them: {message}"),
        _ => format!("{code}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_of_the_kind_of_who_can_mend_them() {
        let cases = [
            ("ThrottlingException", Kind::Throttled),
            ("AccessDeniedException", Kind::Denied),
            ("ExpiredTokenException", Kind::Credentials),
            ("InvalidClientTokenId", Kind::Credentials),
            ("InvalidParameterValue", Kind::Rejected),
            ("InternalServiceFault", Kind::Unavailable),
            ("RequestEntityTooLarge", Kind::TooLarge),
        ];
        for (code, kind) in cases {
            assert_eq!(kind_of(code, "x"), kind, "{code}");
        }
    }

    #[test]
    fn a_wrong_clock_is_not_taken_for_wrong_keys() {
        let expired = "Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z";
        assert_eq!(kind_of("SignatureDoesNotMatch", expired), Kind::Clock);
        assert_eq!(kind_of("InvalidSignatureException", "Signature not yet current: 20260101T000000Z"), Kind::Clock);
        assert_eq!(kind_of("RequestTimeTooSkewed", "x"), Kind::Clock);
        assert_eq!(
            kind_of("SignatureDoesNotMatch", "The request signature we calculated does not match"),
            Kind::Credentials
        );
        let (ours, theirs) = (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::from_millis(3_725_500));
        let behind = of_clock(Some(difference(ours, theirs)), "x");
        assert_eq!(behind, "this host's clock is 1h 2m 5s behind AWS's; set it, such as by NTP: x");
        assert_eq!(difference(theirs, ours), "1h 2m 5s ahead of AWS's");
    }

    #[test]
    fn a_code_is_found_wherever_a_protocol_has_it() {
        use aws_smithy_runtime_api::http::{Response, StatusCode};
        use aws_smithy_types::body::SdkBody;
        let said = |header: Option<&'static str>, body: &'static str| {
            let mut response = Response::new(StatusCode::try_from(400).unwrap(), SdkBody::from(body));
            if let Some(header) = header {
                response.headers_mut().append("x-amzn-errortype", header);
            }
            Problem::of_response(Operation::ListWorkspaces, "r", &response)
        };
        let denied = "ListWorkspaces in r: not allowed, the policy needs aps:ListWorkspaces: no";
        for (header, body) in [
            (Some("AccessDeniedException:http://x/"), r#"{"message": "no"}"#),
            (None, r#"{"__type": "com.x#AccessDeniedException", "Message": "no"}"#),
            (
                None,
                "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors></Response>",
            ),
        ] {
            let problem = said(header, body);
            assert_eq!((problem.kind, problem.message.as_str()), (Kind::Denied, denied), "{body}");
        }
        assert_eq!(said(None, "[1]").kind, Kind::Unavailable);
    }

    #[test]
    fn access_keys_are_not_shown() {
        let message = "Credential=AKIAIOSFODNN7EXAMPLE/20260101/eu-west-1, ASIAY34FZKBOKMUTVV7A: AKIA ARIAS";
        assert_eq!(
            without_access_keys(message),
            "Credential=[access key]/20260101/eu-west-1, [access key]: AKIA ARIAS"
        );
    }

    #[test]
    fn a_missing_permission_is_told_with_its_action() {
        let output =
            advice(Kind::Denied, Operation::GetResources, "AccessDeniedException", "User: arn:x is not authorized");
        assert_eq!(output, "not allowed, the policy needs tag:GetResources: User: arn:x is not authorized");
    }
}
