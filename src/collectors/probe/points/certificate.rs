//! Telegraf's measurement `x509_cert`.

use crate::collectors::probe::certificate::Certificate;
use crate::encode::{Field, Measurement, PointWriter, Timestamp};

/// A point of `x509_cert`.
#[derive(Debug)]
pub(in crate::collectors::probe) struct CertificateRow {
    /// The target, or the file.
    pub(in crate::collectors::probe) source: String,
    /// The certificate; none if the source has none.
    pub(in crate::collectors::probe) certificate: Option<Certificate>,
    /// Whether the server sent an OCSP response for it.
    pub(in crate::collectors::probe) is_stapled: bool,
    /// Why the source is not trusted, or has no certificate.
    pub(in crate::collectors::probe) error: Option<String>,
}

const AGE: Field<i64> = Field::new("age", "seconds since the start of validity");
const EXPIRY: Field<i64> = Field::new("expiry", "seconds to the end of validity; negative afterwards");
const START: Field<i64> = Field::new("startdate", "start of validity, as a Unix time");
const END: Field<i64> = Field::new("enddate", "end of validity, as a Unix time");
const KEY_LENGTH: Field<u64> = Field::new("public_key_length", "bits of the public key");
const VERIFICATION_CODE: Field<u64> = Field::new("verification_code", "0 if the chain is trusted, else 1");
const VERIFICATION_ERROR: Field<str> =
    Field::new("verification_error", "why the chain is not trusted, or the source has no certificate");
const TAGS: [&str; 16] = [
    "common_name",
    "country",
    "issuer_common_name",
    "issuer_serial_number",
    "locality",
    "ocsp_stapled",
    "organization",
    "organizational_unit",
    "province",
    "public_key_algorithm",
    "san",
    "serial_number",
    "signature_algorithm",
    "source",
    "type",
    "verification",
];
/// The measurement.
pub(super) const X509: Measurement<16> = Measurement::new(
    "x509_cert",
    TAGS,
    &[
        AGE.info(),
        EXPIRY.info(),
        START.info(),
        END.info(),
        KEY_LENGTH.info(),
        VERIFICATION_CODE.info(),
        VERIFICATION_ERROR.info(),
    ],
);

impl CertificateRow {
    pub(super) fn write(&self, at: Timestamp, out: &mut PointWriter<'_>) {
        let unknown = Certificate::default();
        let of = self.certificate.as_ref().unwrap_or(&unknown);
        // Telegraf writes the path of a file as a URL.
        let scheme = if self.source.starts_with('/') { "file://" } else { "" };
        let source = format!("{scheme}{}", self.source);
        let tags = [
            &*of.owner.common_name,
            &of.owner.country,
            &of.issued_by.common_name,
            &of.issued_by.serial_number,
            &of.owner.locality,
            if self.is_stapled { "yes" } else { "no" },
            &of.owner.organization,
            &of.owner.organizational_unit,
            &of.owner.province,
            &of.key_algorithm,
            &of.alternative_names,
            &of.serial,
            &of.signature_algorithm,
            &source,
            of.kind,
            if self.error.is_none() { "valid" } else { "invalid" },
        ];
        let mut point = out.point_at(at, &X509, tags);
        if self.certificate.is_some() {
            let now = at.0.div_euclid(1_000_000_000);
            point.field(&AGE, now - of.not_before).field(&EXPIRY, of.not_after - now);
            point.field(&START, of.not_before).field(&END, of.not_after).field(&KEY_LENGTH, of.key_bits);
        }
        point.field(&VERIFICATION_CODE, u64::from(self.error.is_some()));
        self.error.as_ref().map(|error| point.field(&VERIFICATION_ERROR, &**error));
    }
}
