//! Prometheus's web configuration files, each by what it shows: what Taffrail makes of it, and what Prometheus's
//! exporters do (github.com/prometheus/exporter-toolkit 0.20).

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::gateway::{Gateway, Own};
use crate::harness::http::request;
use crate::harness::real::free_port;
use crate::harness::tls::Certificates;
use crate::harness::{printed, taffrail, wait_until};

/// What an exporter does with a file.
#[derive(Clone, Copy, Debug, PartialEq)]
enum There {
    Starts,
    Refuses,
    /// One that is older than the setting refuses it.
    IsNewer,
}
use There::{IsNewer, Refuses, Starts};

/// What it shows; the file; what an exporter does; and why Taffrail refuses it, if it does.
type Case = (&'static str, String, There, Option<&'static str>);

/// The hash of a password that no test needs to know, of this cost.
fn hash(cost: u32) -> String {
    format!("$2y${cost:02}$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG")
}

fn cases(folder: &Path) -> Vec<Case> {
    const ECDSA_128: &str = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    const RSA_256: &str = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384";
    const CBC: &str = "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA";
    let files =
        |certificate: &str, key: &str| format!("tls_server_config:\n  cert_file: {certificate}\n  key_file: {key}\n");
    let tls = |more: &str| files("server.pem", "server.key") + more;
    let suites = |names: &[&str]| format!("  cipher_suites: [{}]\n", names.join(", "));
    let headers = |lines: &str| format!("http_server_config:\n  headers:\n{lines}");
    let no_http2 = "http_server_config:\n  http2: false\n";
    let indented = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        text.lines().map(|line| format!("    {line}\n")).collect::<String>()
    };
    let inline =
        format!("tls_server_config:\n  cert: |\n{}  key: |\n{}", indented("server.pem"), indented("server.key"));
    let every_suite = [
        ECDSA_128,
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        RSA_256,
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
        CBC,
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    ];
    let verify = "  client_auth_type: \"VerifyClientCertIfGiven\"\n";
    let require = "  client_auth_type: RequireAndVerifyClientCert\n";
    let required = format!("{require}  client_ca_file: authority.pem\n");
    let users = |bob: u32| format!("basic_auth_users:\n  alice: {}\n  bob: {}\n", hash(12), hash(bob));
    vec![
        ("an empty file", String::new(), Starts, None),
        ("a comment", "# nothing yet\n".into(), Starts, None),
        ("sections of nothing", "tls_server_config:\nhttp_server_config: ~\nbasic_auth_users:\n".into(), Starts, None),
        ("a text that is no mapping", "hWkNKCp3fvIx3jKnsaBI\n".into(), Refuses, Some("expected a mapping")),
        (
            "a key that is unknown",
            tls("  cert_filse: a\n"),
            Refuses,
            Some("cert_filse: unknown key; did you mean cert_file"),
        ),
        ("a section that is unknown", "tls_config: {}\n".into(), Refuses, Some("tls_config: unknown key")),
        // TLS.
        ("a certificate", tls(""), Starts, None),
        ("a certificate as text", inline.clone(), IsNewer, None),
        ("both as text, and a client's certificate", format!("{inline}{verify}"), IsNewer, None),
        ("a certificate that is not there", files("none", "server.key"), Refuses, Some("none: No such file")),
        ("a key that is not there", files("server.pem", "none"), Refuses, Some("none: No such file")),
        ("files that are not there", files("none", "none"), Refuses, Some("none: No such file")),
        (
            "a certificate without its key",
            "tls_server_config:\n  cert_file: server.pem\n".into(),
            Refuses,
            Some("key_file: required"),
        ),
        (
            "a key without its certificate",
            "tls_server_config:\n  key_file: server.key\n".into(),
            Refuses,
            Some("cert_file: required"),
        ),
        ("an empty path of a certificate", files("\"\"", "server.key"), Refuses, Some("cert_file: required")),
        ("an empty path of a key", files("server.pem", "''"), Refuses, Some("key_file: required")),
        (
            "a certificate that is none",
            files("server.key", "server.key"),
            Refuses,
            Some("expected certificates in PEM form"),
        ),
        // Versions, suites and curves.
        ("versions", tls("  min_version: TLS12\n  max_version: TLS13\n"), Starts, None),
        ("versions that are old, from", tls("  min_version: TLS10\n"), Starts, None),
        ("versions that are old, up to", tls("  max_version: TLS11\n"), Starts, Some("TLS below 1.2 is not spoken")),
        ("a version that there is not", tls("  min_version: TLS111\n"), Refuses, Some("min_version: expected TLS10")),
        ("every suite", tls(&suites(&every_suite)), Starts, None),
        ("some suites", tls(&suites(&[ECDSA_128, CBC])), Starts, None),
        (
            "some suites, in no order",
            tls(&format!("  prefer_server_cipher_suites: false\n{}", suites(&[ECDSA_128, RSA_256]))),
            Starts,
            None,
        ),
        (
            "suites of old alone",
            format!("{}{no_http2}", tls(&format!("  max_version: TLS12\n{}", suites(&[CBC])))),
            Starts,
            Some("cipher_suites: none of them is spoken"),
        ),
        (
            "a suite that there is not",
            tls(&suites(&["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048"])),
            Refuses,
            Some("unknown cipher suite"),
        ),
        ("every curve", tls("  curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]\n"), Starts, None),
        ("some curves", tls("  curve_preferences: [CurveP384]\n"), Starts, None),
        (
            "a curve that there is not",
            tls("  curve_preferences: [CurveP257]\n"),
            Refuses,
            Some("unknown curve \"CurveP257\""),
        ),
        (
            "no HTTP/2",
            format!("{}{no_http2}", tls(&format!("  max_version: TLS12\n{}", suites(&[RSA_256])))),
            Starts,
            None,
        ),
        // Without the suite that HTTP/2 demands an exporter takes the file and cannot serve; here there is no HTTP/2.
        (
            "HTTP/2 without its suite",
            tls(&format!("  max_version: TLS12\n{}", suites(&["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]))),
            Refuses,
            None,
        ),
        ("no is a boolean", "http_server_config:\n  http2: no\n".into(), Starts, None),
        (
            "what is no boolean",
            "http_server_config:\n  http2: maybe\n".into(),
            Refuses,
            Some("http2: expected true or false"),
        ),
        // Clients' certificates.
        ("a client's certificate that is asked for", tls("  client_auth_type: RequestClientCert\n"), Starts, None),
        ("any client's certificate", tls("  client_auth_type: RequireAnyClientCert\n"), Starts, None),
        ("any client's certificate, by its old name", tls("  client_auth_type: RequireClientCert\n"), Starts, None),
        (
            "a client's certificate if it likes",
            tls(&format!("{verify}  client_ca_file: authority.pem\n")),
            Starts,
            None,
        ),
        ("a client's certificate if it likes, without an authority", tls(verify), Starts, None),
        ("a client's certificate", tls(&required), Starts, None),
        (
            "a client's certificate without an authority",
            tls(require),
            Starts,
            Some("client_ca_file: required: what clients'"),
        ),
        (
            "an authority as text",
            tls(&format!("{require}  client_ca: |\n{}", indented("authority.pem"))),
            IsNewer,
            None,
        ),
        (
            "an authority that is not there",
            tls(&format!("{require}  client_ca_file: none\n")),
            Refuses,
            Some("none: No such file"),
        ),
        (
            "an authority for nothing",
            tls("  client_ca_file: authority.pem\n"),
            Refuses,
            Some("a client CA without a client authentication type"),
        ),
        (
            "a way to authenticate that there is not",
            tls("  client_auth_type: Sometimes\n"),
            Refuses,
            Some("client_auth_type: expected one of"),
        ),
        (
            "names of clients",
            tls(&format!("{required}  client_allowed_sans: [a.example, 10.0.0.1, \"spiffe://a/b\"]\n")),
            IsNewer,
            None,
        ),
        (
            "addresses of clients' mail",
            tls(&format!("{required}  client_allowed_sans: [a@example.org]\n")),
            IsNewer,
            Some("e-mail addresses cannot be compared"),
        ),
        // Headers.
        (
            "every header",
            headers(
                "    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=31536000; includeSubDomains\n    \
                 X-Content-Type-Options: nosniff\n    X-XSS-Protection: 1\n    \
                 Content-Security-Policy: \"default-src 'self' *.example.net\"\n",
            ),
            Starts,
            None,
        ),
        ("a header that is blank", headers("    X-XSS-Protection: \"\"\n"), Starts, None),
        (
            "a header's value that there is not",
            headers("    X-Content-Type-Options: sniff\n"),
            Refuses,
            Some("\"sniff\" is not a value that it may have"),
        ),
        (
            "another header's value that there is not",
            headers("    X-Frame-Options: foo\n"),
            Refuses,
            Some("\"foo\" is not a value that it may have"),
        ),
        (
            "a header that cannot be set",
            headers("    Content-Type: text/plain\n"),
            Refuses,
            Some("Content-Type cannot be set"),
        ),
        // Users.
        ("users", format!("{}{}", tls(""), users(10)), Starts, None),
        ("users without TLS", users(14), Starts, None),
        (
            "a user whose password takes seconds",
            users(18),
            Starts,
            Some("\"bob\": expected a bcrypt hash of cost 4 to 14, found cost 18"),
        ),
        (
            "a password that is no hash",
            "basic_auth_users:\n  alice: wonder\n".into(),
            Refuses,
            Some("the password of \"alice\": expected a bcrypt hash"),
        ),
        (
            "a password that is nothing",
            "basic_auth_users:\n  alice:\n".into(),
            Refuses,
            Some("the password of \"alice\": expected a bcrypt hash"),
        ),
        // Rates.
        ("no rate", "rate_limit:\n  interval: 0\n  burst: 0\n".into(), IsNewer, None),
        ("a rate", "rate_limit:\n  interval: \"1m30s\"\n  burst: 20\n".into(), IsNewer, None),
        ("a rate that lets nobody in", "rate_limit:\n  interval: 1s\n  burst: 0\n".into(), IsNewer, None),
        ("a rate of nothing", "rate_limit:\n".into(), IsNewer, None),
        (
            "what is no rate",
            "rate_limit:\n  interval: often\n".into(),
            Refuses,
            Some("interval: expected a duration such as 1s"),
        ),
    ]
}

/// Writes the case's file beside the certificates.
fn write(folder: &Path, text: &str) -> String {
    fs::write(folder.join("web.yml"), text).unwrap();
    fs::write(folder.join("taffrail.toml"), format!("[http]\nweb_config_file = \"{}/web.yml\"\n", folder.display()))
        .unwrap();
    folder.join("taffrail.toml").display().to_string()
}

#[test]
fn every_file_is_taken_or_refused_for_a_reason() {
    let certificates = Certificates::make();
    let folder = certificates.folder();
    for (shows, text, there, reason) in cases(folder) {
        let output = taffrail(&["check", "--config", &write(folder, &text)]);
        let (_, said) = printed(&output);
        match reason {
            None => assert!(output.status.success(), "{shows}: {said}"),
            Some(reason) => assert!(!output.status.success() && said.contains(reason), "{shows}: {said}"),
        }
        // What exporters refuse is refused, but where the reason is none here.
        let is_laxer = there == Refuses && reason.is_none();
        assert_eq!(is_laxer, shows == "HTTP/2 without its suite", "{shows}");
    }
}

#[test]
fn who_shows_a_certificate_that_nothing_verifies_is_refused() {
    let certificates = Certificates::make();
    let folder = certificates.folder();
    let text = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  \
        client_auth_type: VerifyClientCertIfGiven\n";
    fs::write(folder.join("web.yml"), text).unwrap();
    let gateway = Own::start_with(&format!("[http]\nweb_config_file = \"{}/web.yml\"\n", folder.display()), &[]);
    let ask = |client| {
        let mut stream = certificates.connect(&gateway.address(), client);
        request("GET", "/metrics", "").send_over(&mut stream).map(|reply| reply.status)
    };
    assert_eq!(ask(None), Some(200));
    assert_eq!(ask(Some(certificates.client("a.example"))), None);
}

#[test]
fn a_rate_that_lets_nobody_in_lets_probes_in() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("web.yml"), "rate_limit:\n  interval: 1s\n  burst: 0\n").unwrap();
    let gateway = Own::start_with(&format!("[http]\nweb_config_file = \"{}/web.yml\"\n", folder.path().display()), &[]);
    assert_eq!(gateway.send(&request("GET", "/metrics", "")).status, 429);
    assert_eq!(gateway.send(&request("GET", "/-/healthy", "")).status, 200);
}

#[test]
#[ignore = "needs Debian's package prometheus-pushgateway: tests/run"]
fn with_pushgateway_that_starts_with_the_same_files() {
    let certificates = Certificates::make();
    let folder = certificates.folder();
    let mut wrong = Vec::new();
    for (shows, text, there, _) in cases(folder).into_iter().filter(|(_, _, there, _)| *there != IsNewer) {
        write(folder, &text);
        let port = free_port();
        let mut command = Command::new("prometheus-pushgateway");
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--persistence.file=");
        command.arg(format!("--web.config.file={}/web.yml", folder.display()));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let starts = wait_until(shows, || match child.try_wait().unwrap() {
            Some(_) => Some(false),
            // It listens before it reads the file: only who is answered knows.
            None => answers(port).then_some(true),
        });
        let _ = child.kill();
        child.wait().unwrap();
        if starts != (there == Starts) {
            wrong.push(shows);
        }
    }
    assert_eq!(wrong, [""; 0], "of these the opposite is true");
}

/// Whether anything comes back from the port, be it that it speaks TLS.
fn answers(port: u16) -> bool {
    use std::io::{Read, Write};
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let _ = stream.set_read_timeout(Some(crate::harness::LONG_TIMEOUT));
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").is_ok() && stream.read(&mut [0; 1]).is_ok_and(|read| read > 0)
}
