use std::fs;

use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

use super::*;
use crate::collectors::probe::tests::{lines, outcome, tls_server, value};

/// A certificate in PEM form for this DNS name, which ends in this year.
fn certificate(name: &str, until: i32) -> String {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, "Acme");
    params.not_after = date_time_ymd(until, 1, 1);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

#[test]
fn a_source_is_a_server_or_files() {
    let server = |host: &str, port| Ok(Source::Server(host.to_owned(), port));
    for (text, expected) in [
        ("example.org:25", server("example.org", 25)),
        ("tcp://[::1]:25", server("::1", 25)),
        ("https://example.org", server("example.org", 443)),
        ("https://[::1]:8443/x", server("::1", 8443)),
        ("/etc/ssl/*.pem", Ok(Source::Files("/etc/ssl/*.pem".into()))),
        ("file:///a.pem", Ok(Source::Files("/a.pem".into()))),
    ] {
        assert_eq!(Source::new(text), expected, "{text}");
    }
    for text in ["example.org", "http://example.org", "smtp://a:25", "https://u:p@a", "file://a", "/a/**/b", "/a/["] {
        assert!(Source::new(text).is_err(), "{text}");
    }
}

#[tokio::test]
async fn certificates_in_files_are_read_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a.pem"), certificate("a.example", 2040)).unwrap();
    fs::write(at("b.pem"), certificate("*.b.example", 2050) + &certificate("c.example", 2030)).unwrap();
    let ca = at("a.pem").display().to_string();
    let toml = format!("prober = 'x509'\ntls_ca = '{ca}'\ntargets = ['{}']", at("[ab].pem").display());
    let done = outcome(&toml).await;
    assert_eq!(done.failure, None);
    assert_eq!(value(&done, "probe_success"), Some(1.0));
    assert_eq!(value(&done, "probe_ssl_earliest_cert_expiry"), Some(1_893_456_000.0));
    let b = at("b.pem").display().to_string();
    for (name, file, expiry) in
        [("a.example", &ca, 2_208_988_800.0), ("*.b.example", &b, 2_524_608_000.0), ("c.example", &b, 1_893_456_000.0)]
    {
        let series = format!("ssl_file_cert_not_after{{cn=\"{name}\",file=\"{file}\",issuer_cn=\"{name}\"}}");
        assert_eq!(value(&done, &series), Some(expiry), "{series}");
    }
    let lines = lines(done);
    let points: Vec<&str> = lines.lines().collect();
    assert_eq!(points.len(), 3, "{lines}");
    assert!(points[0].starts_with("x509_cert,common_name=a.example,issuer_common_name=a.example,ocsp_stapled=no,"));
    let tags = "organization=Acme,public_key_algorithm=ECDSA,san=a.example,serial_number=";
    assert!(points[0].contains(tags), "{lines}");
    assert!(
        points[0]
            .contains(&format!(",signature_algorithm=ECDSA-SHA256,source=file://{ca},type=leaf,verification=valid "))
    );
    assert!(points[0].contains("enddate=2208988800i,public_key_length=256i,verification_code=0i"), "{lines}");
    assert!(points[1].contains("verification=invalid") && points[1].contains("verification_error="), "{lines}");
}

#[tokio::test]
async fn files_that_are_missing_malformed_or_out_of_date_are_failures() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("old.pem"), certificate("old.example", 2020)).unwrap();
    fs::write(folder.path().join("none.pem"), "hello").unwrap();
    for (name, reason, points) in [
        ("old.pem", "the certificate of O=Acme,CN=old.example has expired: renew it", 1),
        ("none.pem", "none.pem: it has no certificate in PEM form", 1),
        ("no-such.pem", "no-such.pem: there is no such file", 1),
        ("*.pem", "none.pem: it has no certificate in PEM form", 1),
    ] {
        let done = outcome(&format!("prober = 'x509'\ntargets = ['{}']", folder.path().join(name).display())).await;
        assert_eq!(value(&done, "probe_success"), Some(0.0));
        let failure = done.failure.clone().unwrap();
        assert!(failure.contains(reason), "{name}: {failure}");
        let lines = lines(done);
        assert_eq!(lines.lines().count(), points, "{name}: {lines}");
        assert!(lines.contains("verification=invalid") && lines.contains("verification_code=1i"), "{lines}");
    }
}

/// Telegraf has no point of a source that is down.
#[tokio::test]
async fn certificates_of_servers_are_read_whether_they_are_trusted_or_not() {
    let (port, ca) = tls_server("");
    let ca = ca.path().display().to_string();
    let refused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (port, settings, success, expected) in [
        (port, format!("tls_ca = '{ca}'"), 1.0, "type=leaf,verification=valid "),
        (port, "insecure_skip_verify = true".to_owned(), 1.0, "type=leaf,verification=invalid "),
        (port, format!("tls_ca = '{ca}'\ntls_server_name = 'other.example'"), 0.0, "verification=invalid "),
        (refused, String::new(), 0.0, "verification=invalid "),
    ] {
        let toml = format!(
            "prober = 'x509'\ntargets = ['localhost:{port}']\npreferred_ip_protocol = 'ip4'\nip_protocol_fallback = false\n{settings}"
        );
        let done = outcome(&toml).await;
        assert_eq!(value(&done, "probe_success"), Some(success), "{toml}: {:?}", done.failure);
        let is_up = port != refused;
        assert_eq!(value(&done, "probe_ssl_earliest_cert_expiry").is_some(), is_up);
        let lines = lines(done);
        assert!(lines.contains(expected) && lines.contains(&format!("source=localhost:{port},")), "{toml}: {lines}");
        assert_eq!(lines.contains("enddate=1893456000i"), is_up, "{lines}");
    }
}
