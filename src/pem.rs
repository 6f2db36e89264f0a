//! Errors of certificates and keys in PEM form.

use rustls::pki_types::pem::Error;

/// The reason, without any of the text: it may be a secret from the wrong file.
pub(crate) fn reason(error: &Error) -> &'static str {
    match error {
        Error::MissingSectionEnd { .. } => "a section has no end line",
        Error::IllegalSectionStart { .. } => "a section's first line is broken",
        Error::Base64Decode(_) => "a section is not in base64",
        Error::NoItemsFound => "no items found",
        _ => "it is not understood",
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    use super::*;

    #[test]
    fn nothing_of_the_text_is_told() {
        for text in [
            "SECRET",
            "-----BEGIN SECRET",
            "-----BEGIN CERTIFICATE-----\nSECRET",
            "-----BEGIN CERTIFICATE-----\n?SECRET?\n-----END CERTIFICATE-----\n",
            "-----BEGIN PRIVATE KEY-----\n?SECRET?\n-----END PRIVATE KEY-----\n",
        ] {
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
            let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map(drop);
            for error in [certificates.map(drop), key].into_iter().filter_map(Result::err) {
                assert!(!reason(&error).contains("SECRET"));
                assert_ne!(reason(&error), "it is not understood", "{error}");
            }
        }
    }
}
