//! What probes show of an X.509 certificate.

use std::net::IpAddr;

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
    /// The parts of the subject.
    pub(super) owner: Parts,
    /// The parts of the issuer.
    pub(super) issued_by: Parts,
    /// DNS names, mail addresses, IP addresses and URIs, joined by commas.
    pub(super) alternative_names: String,
    /// Algorithm of the signature, with Go's name.
    pub(super) signature_algorithm: String,
    /// Algorithm of the public key, with Go's name.
    pub(super) key_algorithm: String,
    /// Bits of the public key; 0 if unknown.
    pub(super) key_bits: u64,
    /// `leaf`, `intermediate` or `root`.
    pub(super) kind: &'static str,
}

/// The parts of a name: the first value of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) common_name: String,
    pub(super) organization: String,
    pub(super) organizational_unit: String,
    pub(super) country: String,
    pub(super) province: String,
    pub(super) locality: String,
    pub(super) serial_number: String,
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
        names: join(&certificate, dns_name),
        serial: serial(&certificate),
        owner: parts(certificate.subject()),
        issued_by: parts(certificate.issuer()),
        alternative_names: alternative_names(&certificate),
        signature_algorithm: signature_algorithm(&certificate.signature_algorithm.algorithm),
        key_algorithm: key_algorithm(&certificate.public_key().algorithm.algorithm),
        key_bits: key_bits(&certificate),
        kind: match certificate.is_ca() {
            true if certificate.subject().as_raw() == certificate.issuer().as_raw() => "root",
            true => "intermediate",
            false => "leaf",
        },
    })
}

fn parts(name: &X509Name<'_>) -> Parts {
    let first = |oid: &oid::Oid<'_>| {
        let mut of = name.iter_attributes().filter(|attribute| attribute.attr_type() == oid);
        of.find_map(|attribute| attribute.as_str().ok()).unwrap_or_default().to_owned()
    };
    Parts {
        common_name: first(&oid::OID_X509_COMMON_NAME),
        organization: first(&oid::OID_X509_ORGANIZATION_NAME),
        organizational_unit: first(&oid::OID_X509_ORGANIZATIONAL_UNIT),
        country: first(&oid::OID_X509_COUNTRY_NAME),
        province: first(&oid::OID_X509_STATE_OR_PROVINCE_NAME),
        locality: first(&oid::OID_X509_LOCALITY_NAME),
        serial_number: first(&oid::OID_X509_SERIALNUMBER),
    }
}

/// Go's name of an algorithm, or its object identifier.
fn named(of: &oid::Oid<'_>, names: &[(oid::Oid<'static>, &'static str)]) -> String {
    names.iter().find(|(known, _)| known == of).map_or_else(|| of.to_id_string(), |(_, name)| (*name).to_owned())
}

fn signature_algorithm(of: &oid::Oid<'_>) -> String {
    let names = [
        (oid::OID_PKCS1_SHA1WITHRSA, "SHA1-RSA"),
        (oid::OID_PKCS1_SHA256WITHRSA, "SHA256-RSA"),
        (oid::OID_PKCS1_SHA384WITHRSA, "SHA384-RSA"),
        (oid::OID_PKCS1_SHA512WITHRSA, "SHA512-RSA"),
        (oid::OID_SIG_ECDSA_WITH_SHA256, "ECDSA-SHA256"),
        (oid::OID_SIG_ECDSA_WITH_SHA384, "ECDSA-SHA384"),
        (oid::OID_SIG_ECDSA_WITH_SHA512, "ECDSA-SHA512"),
        (oid::OID_SIG_ED25519, "Ed25519"),
    ];
    named(of, &names)
}

fn key_algorithm(of: &oid::Oid<'_>) -> String {
    let names = [
        (oid::OID_PKCS1_RSAENCRYPTION, "RSA"),
        (oid::OID_KEY_TYPE_EC_PUBLIC_KEY, "ECDSA"),
        (oid::OID_KEY_TYPE_DSA, "DSA"),
        (oid::OID_SIG_ED25519, "Ed25519"),
    ];
    named(of, &names)
}

fn key_bits(certificate: &X509Certificate<'_>) -> u64 {
    let key = certificate.public_key();
    let algorithm = &key.algorithm;
    if algorithm.algorithm == oid::OID_SIG_ED25519 {
        return 256;
    }
    let curve = algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    match curve {
        Some(curve) if curve == oid::OID_EC_P256 => 256,
        Some(curve) if curve == oid::OID_NIST_EC_P384 => 384,
        Some(curve) if curve == oid::OID_NIST_EC_P521 => 521,
        _ => key.parsed().map_or(0, |key| key.key_size() as u64),
    }
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

fn dns_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    }
}

/// The names in the order of Telegraf.
fn alternative_names(certificate: &X509Certificate<'_>) -> String {
    let mail = |name: &GeneralName<'_>| match name {
        GeneralName::RFC822Name(mail) => Some((*mail).to_owned()),
        _ => None,
    };
    let address = |name: &GeneralName<'_>| match name {
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|octets| IpAddr::from(octets).to_string());
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(|octets| IpAddr::from(octets).to_string())).ok()
        }
        _ => None,
    };
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    };
    let mut all =
        [join(certificate, dns_name), join(certificate, mail), join(certificate, address), join(certificate, uri)]
            .to_vec();
    all.retain(|names| !names.is_empty());
    all.join(",")
}

/// The alternative names of one kind, joined by commas.
fn join(certificate: &X509Certificate<'_>, of: impl Fn(&GeneralName<'_>) -> Option<String>) -> String {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return String::new() };
    let names: Vec<String> = extension.value.general_names.iter().filter_map(of).collect();
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
        assert_eq!((&*read.alternative_names, read.kind), ("a.example,127.0.0.1", "leaf"));
        assert_eq!((&*read.owner.common_name, &*read.owner.organization), ("a.example", "Acme, Inc."));
        assert_eq!((&*read.signature_algorithm, &*read.key_algorithm, read.key_bits), ("ECDSA-SHA256", "ECDSA", 256));
    }

    #[test]
    fn what_is_no_certificate_is_none() {
        for bytes in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"hello"] {
            assert_eq!(read(bytes), None);
        }
    }
}
