//! Messages about TLS errors, with advice.

use std::error::Error as StdError;
use std::fmt::Display;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, OtherError};

/// The message and advice, if `error` itself is a TLS error; its causes are not examined.
pub fn describe(error: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<Error>() {
        return Some(tls_message(error));
    }
    // An I/O error may wrap another one.
    error.downcast_ref::<io::Error>()?.get_ref().and_then(|inner| describe(inner))
}

fn tls_message(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(wrong) => format!("the server's certificate {}", certificate_message(wrong)),
        Error::AlertReceived(alert) => alert_message(*alert),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the server does not speak TLS at this port: does its address begin with http://?".to_owned()
        }
        other => format!("TLS: {other}"),
    }
}

fn certificate_message(error: &CertificateError) -> String {
    use CertificateError::{
        BadEncoding, BadSignature, Expired, ExpiredContext, InvalidPurpose, InvalidPurposeContext, NotValidForName,
        NotValidForNameContext, NotValidYet, NotValidYetContext, Other, Revoked, UnknownIssuer,
    };
    match error {
        Expired => "has expired: renew it".to_owned(),
        ExpiredContext { not_after, .. } => format!("expired at {}: renew it; or is the clock here wrong?", date(*not_after)),
        NotValidYet => "is not valid yet: is the clock here wrong?".to_owned(),
        NotValidYetContext { not_before, .. } => {
            format!("is valid from {} on: is the clock here wrong?", date(*not_before))
        }
        NotValidForName => "is for another name: ask for one that it bears".to_owned(),
        NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            match names(presented) {
                names if names.is_empty() => format!("bears no name, where it should bear {expected} as subjectAltName"),
                names => format!("is not for {expected}, but for {names}: ask for one of these, or have it bear {expected}"),
            }
        }
        UnknownIssuer => "was signed by none of the authorities that are trusted: name the certificate of the one that \
            signed it, which must be an authority (CA:TRUE), or the server's own"
            .to_owned(),
        Revoked => "was revoked by its authority: renew it".to_owned(),
        BadSignature => {
            "has a signature that does not fit: it was changed, or the server does not have its key, or another authority has \
             the same name"
                .to_owned()
        }
        InvalidPurpose | InvalidPurposeContext { .. } => {
            "is not for servers: its extendedKeyUsage lacks serverAuth".to_owned()
        }
        BadEncoding => "cannot be read: it is no X.509 certificate".to_owned(),
        Other(OtherError(inner)) => match inner.downcast_ref::<webpki::Error>() {
            Some(webpki::Error::CaUsedAsEndEntity) => "is one of an authority (CA:TRUE), which is trusted as a server's own \
                only where just this certificate is named as trusted, and is for servers"
                .to_owned(),
            Some(webpki::Error::EndEntityUsedAsCa) => {
                "was signed with one that is not of an authority (CA:FALSE): have it signed by an authority".to_owned()
            }
            Some(webpki::Error::UnsupportedCertVersion) => "is not of X.509 version 3: make a new one".to_owned(),
            _ => format!("is not taken: {inner}"),
        },
        other => format!("is not taken: {other}"),
    }
}

fn alert_message(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            "the server wants a client's certificate, and none is configured".to_owned()
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => {
            "the server does not take the client's certificate, or wants one".to_owned()
        }
        AlertDescription::UnknownCA => "the server does not trust the authority of the client's certificate".to_owned(),
        AlertDescription::CertificateExpired => "the server says that the client's certificate has expired".to_owned(),
        AlertDescription::CertificateRevoked => "the server says that the client's certificate was revoked".to_owned(),
        AlertDescription::UnrecognisedName => "the server does not know the name that it was asked for".to_owned(),
        AlertDescription::ProtocolVersion => "the server speaks neither TLS 1.2 nor 1.3".to_owned(),
        AlertDescription::HandshakeFailure => {
            "the server speaks none of the cipher suites of here, or wants a client's certificate".to_owned()
        }
        other => format!("TLS: the server answered {other:?}"),
    }
}

fn date(time: UnixTime) -> impl Display {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(time.as_secs()))
}

/// Extracts the names from `DnsName("a.example")` and `IpAddress(127.0.0.1)`.
fn names(presented: &[String]) -> String {
    let name = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
        inner.trim_matches('"').to_owned()
    };
    presented.iter().map(name).collect::<Vec<_>>().join(", ")
}
