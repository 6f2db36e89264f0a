//! What probes show of an X.509 certificate.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry as oid;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

/// A certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Certificate {
    /// Start of validity, in seconds since the epoch.
    pub(super) not_before: i64,
    /// End of validity, in seconds since the epoch.
    pub(super) not_after: i64,
    /// SHA-256 of the whole, in hexadecimal digits.
    pub(super) fingerprint: String,
    /// Subject, as in RFC 2253.
    pub(super) subject: String,
    /// Issuer, as in RFC 2253.
    pub(super) issuer: String,
    /// DNS names for which it is valid, joined by commas.
    pub(super) names: String,
    /// Serial number, in hexadecimal digits.
    pub(super) serial: String,
}

/// Reads a certificate in DER form; none if it is malformed.
pub(super) fn read(der: &[u8]) -> Option<Certificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(Certificate {
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        fingerprint: hex(ring::digest::digest(&ring::digest::SHA256, der).as_ref()),
        subject: name(certificate.subject()),
        issuer: name(certificate.issuer()),
        names: names(&certificate),
        serial: serial(&certificate),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The number without leading zeros.
fn serial(certificate: &X509Certificate<'_>) -> String {
    let digits = hex(certificate.raw_serial());
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }
}

/// The attributes, most specific first.
fn name(name: &X509Name<'_>) -> String {
    let short = |attribute: &oid::Oid<'_>| {
        [
            (oid::OID_X509_COMMON_NAME, "CN"),
            (oid::OID_X509_ORGANIZATIONAL_UNIT, "OU"),
            (oid::OID_X509_ORGANIZATION_NAME, "O"),
            (oid::OID_X509_LOCALITY_NAME, "L"),
            (oid::OID_X509_STATE_OR_PROVINCE_NAME, "ST"),
            (oid::OID_X509_COUNTRY_NAME, "C"),
            (oid::OID_X509_SERIALNUMBER, "SERIALNUMBER"),
            (oid::OID_X509_STREET_ADDRESS, "STREET"),
            (oid::OID_X509_POSTAL_CODE, "POSTALCODE"),
        ]
        .iter()
        .find(|(known, _)| known == attribute)
        .map_or_else(|| attribute.to_id_string(), |(_, short)| (*short).to_owned())
    };
    let mut parts: Vec<String> = Vec::new();
    for relative in name.iter_rdn() {
        let attributes: Vec<String> = relative
            .iter()
            .map(|attribute| {
                let value = attribute.as_str().unwrap_or_default();
                format!("{}={}", short(attribute.attr_type()), escaped(value))
            })
            .collect();
        parts.push(attributes.join("+"));
    }
    parts.reverse();
    parts.join(",")
}

fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for (index, c) in value.char_indices() {
        let is_edge = c == ' ' && (index == 0 || index + 1 == value.len()) || c == '#' && index == 0;
        if is_edge || ",+\"\\<>;".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn names(certificate: &X509Certificate<'_>) -> String {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return String::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    };
    let names: Vec<String> = extension.value.general_names.iter().filter_map(text).collect();
    names.join(",")
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SerialNumber, date_time_ymd};

    use super::*;

    #[test]
    fn a_certificate_has_dates_and_names() {
        let mut params = CertificateParams::new(vec!["a.example".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc.");
        params.distinguished_name.push(DnType::CommonName, "a.example");
        params.serial_number = Some(SerialNumber::from(vec![0x0a, 0xbc]));
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2030, 1, 1));
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let read = super::read(made.der()).unwrap();
        assert_eq!((read.not_before, read.not_after), (1_577_836_800, 1_893_456_000));
        assert_eq!((&*read.subject, &*read.serial), ("CN=a.example,O=Acme\\, Inc.", "abc"));
        assert_eq!((&*read.names, read.fingerprint.len()), ("a.example", 64));
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        for bytes in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"hello"] {
            assert_eq!(read(bytes), None);
        }
    }
}
