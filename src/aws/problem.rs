//! What failed, for those who have to mend it.

use std::error::Error;
use std::fmt;
use std::sync::LazyLock;

use aws_sdk_cloudwatch::error::{ProvideErrorMetadata, SdkError};
use regex::Regex;

use super::count::Operation;

/// What failed, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind of thing.
    pub kind: Kind,
    /// All that is known, in a line.
    pub message: String,
}

/// Kinds of failures, by who can mend them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Too many requests for AWS: later.
    Throttled,
    /// The policy lacks an action.
    Denied,
    /// Credentials that are missing, expired or wrong.
    Credentials,
    /// AWS cannot be reached, or fails.
    Unavailable,
    /// The budget of the hour is used up.
    Budget,
    /// What is configured cannot be asked for.
    Configuration,
    /// What is sent is refused, and would be again.
    Rejected,
    /// What is sent is too large.
    TooLarge,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Problem {}

impl Problem {
    /// What `error` of `operation` in `region` means.
    pub fn of<E, R>(operation: Operation, region: &str, error: &SdkError<E, R>) -> Problem
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: fmt::Debug,
    {
        let name = operation.name();
        let problem = |kind, message: String| {
            let message = without_access_keys(&message);
            Problem { kind, message: format!("{name} in {region}: {message}") }
        };
        match error {
            SdkError::ServiceError(_) => {
                let (code, said) = (error.code().unwrap_or("no code"), error.message().unwrap_or("no message"));
                let kind = kind_of(code);
                problem(kind, advice(kind, operation, code, said))
            }
            SdkError::TimeoutError(_) => problem(Kind::Unavailable, "no answer in time".to_owned()),
            _ => {
                let chain = chain(error);
                let message = chain.join(": ");
                match chain.iter().any(|part| part.to_lowercase().contains("credential")) {
                    true => problem(Kind::Credentials, format!("no credentials: {message}")),
                    false => problem(Kind::Unavailable, message),
                }
            }
        }
    }
}

/// The error and its causes, without those that say nothing of their own.
fn chain(error: &dyn Error) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let part = error.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ");
        if !parts.iter().any(|other| other.contains(&part)) {
            parts.push(part);
        }
        next = error.source();
    }
    parts
}

/// The message without the ids of access keys, which AWS repeats when it refuses a signature.
fn without_access_keys(message: &str) -> String {
    static ID: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\b(A3T|A[A-Z]IA|AROA)[A-Z0-9]{8,}").unwrap_or_else(|_| unreachable!("an expression"))
    });
    ID.replace_all(message, "[access key]").into_owned()
}

fn kind_of(code: &str) -> Kind {
    let has = |parts: &[&str]| parts.iter().any(|part| code.contains(part));
    if has(&["Throttl", "RequestLimitExceeded", "TooManyRequests", "LimitExceeded"]) {
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

fn advice(kind: Kind, operation: Operation, code: &str, said: &str) -> String {
    match (kind, operation.action()) {
        (Kind::Throttled, _) => format!("throttled ({code}): {said}"),
        (Kind::Denied, Some(action)) => format!("not allowed, the policy needs {action}: {said}"),
        (Kind::Credentials, _) => format!("the credentials are refused ({code}), renew or replace them: {said}"),
        _ => format!("{code}: {said}"),
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
            assert_eq!(kind_of(code), kind, "{code}");
        }
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
        let told =
            advice(Kind::Denied, Operation::GetResources, "AccessDeniedException", "User: arn:x is not authorized");
        assert_eq!(told, "not allowed, the policy needs tag:GetResources: User: arn:x is not authorized");
    }
}
