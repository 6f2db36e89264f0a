use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::client::dns::message::{Data, RecordType};
use crate::config::{Document, Section};
use crate::encode::Timestamp;
use crate::encode::line::LineEncoder;
use crate::encode::lines::Lines;
use crate::encode::tags::CommonTags;
use crate::encode::text::{Dialect, TextEncoder};

/// Reads `[[collectors.probe]]` with these settings.
pub(super) fn modules(toml: &str) -> Result<Vec<Arc<Module>>, Vec<String>> {
    let document = Document::parse("test", &format!("[[probe]]\n{toml}"), &|_| None).unwrap();
    Section::check(&document, Module::all).map_err(|problems| problems.lines().collect())
}

/// The result of a probe of the first target.
pub(super) async fn outcome(toml: &str) -> Outcome {
    let module = modules(toml).unwrap().remove(0);
    probe(&module, &module.targets[0], module.timeout).await
}

/// The outcome of a prober's result.
pub(super) fn named((failure, samples, rows): outcome::Found) -> Outcome {
    Outcome { module: "module".into(), target: "host".into(), at: Timestamp(0), failure, samples: samples.0, rows }
}

/// The value of a series without the labels of the target.
pub(super) fn value(outcome: &Outcome, series: &str) -> Option<f64> {
    let mut encoder = TextEncoder::new(Dialect::Plain, Vec::new());
    outcome.write(&mut FamilyWriter::new(&mut encoder));
    let text = String::from_utf8(encoder.finish()).unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.map(|value| value.parse().unwrap())
}

/// The points in line protocol.
pub(super) fn lines(outcome: Outcome) -> String {
    let mut out = Lines::default();
    let mut encoder = LineEncoder::new(&mut out);
    let tags = CommonTags::default();
    let mut writer = PointWriter::new(&mut encoder, &tags, Timestamp(0));
    points::write(outcome.at, &outcome.target, &outcome.rows, &mut writer);
    drop(writer);
    String::from_utf8(out.bytes().to_vec()).unwrap()
}

/// A server that reads each request's head, and then does as `serve` says.
fn server(serve: impl Fn(&str, &mut TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            let read = BufReader::new(stream.try_clone().unwrap());
            let head: Vec<String> = read.lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            serve(&head.join("\n"), &mut stream);
            open.push(stream);
            open.truncate(1);
        }
    });
    url
}

fn responding(response: &'static str) -> String {
    server(move |_, stream| drop(stream.write_all(response.as_bytes())))
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nlast-modified: Thu, 01 Jan 1970 00:01:00 GMT\r\n\r\nhello";

#[tokio::test]
async fn a_response_is_seen_in_both_vocabularies() {
    let url = responding(OK);
    let done = outcome(&format!("targets = ['{url}']")).await;
    assert_eq!(done.failure, None);
    for (series, expected) in [
        ("probe_success", 1.0),
        ("probe_http_status_code", 200.0),
        ("probe_http_content_length", 5.0),
        ("probe_http_uncompressed_body_length", 5.0),
        ("probe_http_version", 1.1),
        ("probe_http_ssl", 0.0),
        ("probe_http_redirects", 0.0),
        ("probe_http_last_modified_timestamp_seconds", 60.0),
        ("probe_failed_due_to_regex", 0.0),
        ("probe_ip_protocol", 4.0),
        ("probe_http_duration_seconds{phase=\"tls\"}", 0.0),
    ] {
        assert_eq!(value(&done, series), Some(expected), "{series}");
    }
    for phase in ["resolve", "connect", "processing", "transfer"] {
        assert!(value(&done, &format!("probe_http_duration_seconds{{phase=\"{phase}\"}}")).unwrap() > 0.0, "{phase}");
    }
    let lines = lines(done);
    assert!(lines.starts_with(&format!("http_response,method=GET,result=success,server={url},status_code=200 ")));
    for field in ["result_type=\"success\"", "result_code=0i", "http_response_code=200i", "content_length=5i"] {
        assert!(lines.contains(field), "{field}: {lines}");
    }
    assert!(lines.contains("response_time=") && !lines.contains("match"), "{lines}");
}

/// Telegraf's result of another status is success unless statuses are configured; that of blackbox_exporter is not.
#[tokio::test]
async fn another_status_fails_in_families_and_in_points_if_statuses_are_configured() {
    let url = responding("HTTP/1.1 404 x\r\ncontent-length: 0\r\n\r\n");
    for (settings, success, expected) in [
        ("", 0.0, "result=success"),
        ("valid_status_codes = [404]", 1.0, "result=success"),
        ("valid_status_codes = [200]", 0.0, "result=response_status_code_mismatch"),
        ("valid_status_codes = [200]\nfail_if_body_not_matches_regexp = ['x']", 0.0, "response_status_code_match=0i"),
        ("fail_if_body_not_matches_regexp = ['x']", 0.0, "result_code=1i"),
    ] {
        let done = outcome(&format!("targets = ['{url}']\n[probe.http]\n{settings}")).await;
        assert_eq!(value(&done, "probe_success"), Some(success), "{settings}");
        assert_eq!(value(&done, "probe_http_status_code"), Some(404.0));
        let lines = lines(done);
        assert!(lines.contains(expected) && lines.contains("status_code=404"), "{settings}: {lines}");
    }
}

#[tokio::test]
async fn a_body_must_match() {
    let url = responding(OK);
    for (settings, regex, expected) in [
        ("fail_if_body_not_matches_regexp = ['^hel', 'lo$']", 0.0, "response_string_match=1i"),
        ("fail_if_body_not_matches_regexp = ['hel', 'bye']", 1.0, "response_string_match=0i"),
        ("fail_if_body_matches_regexp = ['h.l']", 1.0, "result=response_string_mismatch"),
    ] {
        let done = outcome(&format!("targets = ['{url}']\n[probe.http]\n{settings}")).await;
        assert_eq!(value(&done, "probe_failed_due_to_regex"), Some(regex), "{settings}");
        assert_eq!(value(&done, "probe_success"), Some(1.0 - regex));
        let lines = lines(done);
        assert!(lines.contains(expected), "{settings}: {lines}");
    }
}

/// Telegraf's #2624, #2784 (a time without a response), #7800 and #16614 (a wrong result at a timeout).
#[tokio::test]
async fn each_failure_has_its_own_result() {
    let silent = server(|_, _| ());
    let half = responding("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel");
    let cut = server(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel");
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (target, result, has_time) in [
        (silent, "timeout,", false),
        (half, "timeout,", true),
        (cut, "body_read_error,", true),
        (format!("http://{refused}"), "connection_failed,", false),
        ("http://no-such-host.invalid".to_owned(), "dns_error,", false),
    ] {
        let done = outcome(&format!("targets = ['{target}']\ntimeout = '300ms'")).await;
        assert!(done.failure.is_some());
        assert_eq!(value(&done, "probe_success"), Some(0.0));
        assert!(value(&done, "probe_http_status_code").is_some(), "all families are there");
        let lines = lines(done);
        assert!(lines.contains(&format!("result={result}")), "{target}: {lines}");
        assert_eq!(lines.contains("response_time"), has_time, "{target}: {lines}");
    }
}

#[tokio::test]
async fn redirects_are_followed_if_asked_for_and_credentials_stay_at_the_host() {
    let end = server(|head, stream| {
        let length = if head.contains("authorization") { 1 } else { 2 };
        let _ = write!(stream, "HTTP/1.1 200 x\r\ncontent-length: {length}\r\n\r\n{}", "x".repeat(length));
    });
    let url = server(move |head, stream| {
        let is_authorized = head.contains("authorization: Basic dTpw") && head.contains("x-a: 1");
        let status = if is_authorized { 302 } else { 401 };
        let _ = write!(stream, "HTTP/1.1 {status} x\r\nlocation: {end}/x\r\ncontent-length: 0\r\n\r\n");
    });
    let settings = format!("targets = ['{url}']\nusername = 'u'\npassword = 'p'");
    let stayed = outcome(&format!("{settings}\n[probe.headers]\nX-A = '1'")).await;
    assert_eq!(value(&stayed, "probe_http_status_code"), Some(302.0));
    let followed = outcome(&format!("{settings}\nfollow_redirects = true\n[probe.headers]\nX-A = '1'")).await;
    assert_eq!(value(&followed, "probe_http_status_code"), Some(200.0));
    assert_eq!(value(&followed, "probe_http_redirects"), Some(1.0));
    assert_eq!(value(&followed, "probe_http_uncompressed_body_length"), Some(2.0));
    let round =
        server(|_, stream| drop(stream.write_all(b"HTTP/1.1 302 x\r\nlocation: /\r\ncontent-length: 0\r\n\r\n")));
    let round = outcome(&format!("targets = ['{round}']\nfollow_redirects = true")).await;
    assert!(round.failure.unwrap().contains("more than 10 redirects"));
}

#[tokio::test]
async fn a_body_is_limited() {
    let url = responding(OK);
    let done = outcome(&format!("targets = ['{url}']\nmax_body = '4B'")).await;
    assert!(done.failure.clone().unwrap().contains("max_body"));
    assert!(lines(done).contains("result=body_read_error"));
}

/// A TLS server with a certificate for `localhost` that expires in 2030, and the file of the certificate.
pub(super) fn tls_server(response: &'static str) -> (u16, tempfile::NamedTempFile) {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(certificate.pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream);
            if !response.is_empty() {
                let lines = BufReader::new(&mut stream).lines();
                lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            }
            let _ = stream.write_all(response.as_bytes());
            let _ = stream.flush();
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (port, file)
}

#[tokio::test]
async fn certificates_are_seen_whether_they_are_trusted_or_not() {
    let (port, ca) = tls_server(OK);
    let base = format!("targets = ['https://localhost:{port}/']\npreferred_ip_protocol = 'ip4'\n");
    let ca = ca.path().display();
    for (settings, success) in [
        (format!("tls_ca = '{ca}'"), 1.0),
        (format!("tls_ca = '{ca}'\ntls_server_name = 'other.example'"), 0.0),
        (format!("tls_ca = '{ca}'\ntls_server_name = 'other.example'\ninsecure_skip_verify = true"), 1.0),
        ("insecure_skip_verify = true".to_owned(), 1.0),
    ] {
        let done = outcome(&format!("{base}{settings}")).await;
        assert_eq!(value(&done, "probe_success"), Some(success), "{settings}: {:?}", done.failure);
        assert_eq!(value(&done, "probe_ssl_earliest_cert_expiry"), Some(1_893_456_000.0));
        assert_eq!(value(&done, "probe_ssl_leaf_cert_expiry"), Some(1_893_456_000.0));
        assert_eq!(value(&done, "probe_tls_version_info{version=\"TLS 1.3\"}"), Some(1.0));
        let is_trusted = settings.starts_with("tls_ca") && !settings.contains("other");
        let chain = if is_trusted { 1_893_456_000.0 } else { -62_135_596_800.0 };
        assert_eq!(value(&done, "probe_ssl_last_chain_expiry_timestamp_seconds"), Some(chain), "{settings}");
        assert_eq!(value(&done, "probe_http_ssl"), Some(success));
        assert_eq!(value(&done, "probe_http_status_code"), Some(if success == 1.0 { 200.0 } else { 0.0 }));
    }
}

/// A server that sends `first` at once, and nothing more.
pub(super) fn greeting(first: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(first.as_bytes());
            open.push(stream);
        }
    });
    address
}

/// The goldens, which the documentation is compared with, have the names that probes write.
#[tokio::test]
async fn probes_write_the_names_of_the_goldens() {
    let (port, ca) = tls_server(OK);
    let web =
        format!("targets = ['https://localhost:{port}/']\npreferred_ip_protocol = 'ip4'\ninsecure_skip_verify = true");
    let wanted = "[probe.http]\nvalid_status_codes = [200]\nfail_if_body_not_matches_regexp = ['hello']";
    let web = outcome(&format!("{web}\n{wanted}")).await;
    let greeted = greeting("220 ready\r\n");
    let port = outcome(&format!("prober = 'tcp'\ntargets = ['{greeted}']\n[probe.net]\nexpect = '220'")).await;
    let certificate = outcome(&format!("prober = 'x509'\ntargets = ['{}']", ca.path().display())).await;
    let mx = Data::Mx { preference: 10, exchange: "mx.example".to_owned() };
    let soa = Data::Soa {
        server: "ns.example".to_owned(),
        mailbox: "admin.example".to_owned(),
        serial: 1,
        refresh: 2,
        retry: 3,
        expire: 4,
        minimum: 5,
    };
    let answered = [(RecordType::MX, mx), (RecordType::SOA, soa)].map(|(kind, data)| dns::tests::answered(kind, data));
    let [mx, soa] = answered.map(named);
    let all = [web, port, named(icmp::tests::two_of_three()), certificate, mx, soa].map(Arc::new);
    let mut encoder = TextEncoder::new(Dialect::Plain, Vec::new());
    super::outcome::write(&all, &mut FamilyWriter::new(&mut encoder));
    let text = String::from_utf8(encoder.finish()).unwrap();
    let types: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    let golden = include_str!("../../../tests/goldens/probe/expected.prom");
    assert_eq!(types, golden.lines().collect::<Vec<_>>());
    let fields = |lines: &str| -> Vec<String> {
        let fields = lines.lines().filter_map(|line| line.split_once(' ')).map(|(_, fields)| fields);
        fields
            .flat_map(|fields| fields.split(','))
            .filter_map(|field| Some(field.split_once('=')?.0.to_owned()))
            .collect()
    };
    let golden = include_str!("../../../tests/goldens/probe/expected.influx");
    let points: String = all.into_iter().filter_map(Arc::into_inner).map(lines).collect();
    assert_eq!(fields(&points), fields(golden));
}

#[test]
fn mistakes_in_a_module_are_found() {
    for (toml, key) in [
        ("", "targets"),
        ("targets = ['http://u:p@a']", "targets[0]"),
        ("targets = ['a', 'a']", "targets[1]"),
        ("targets = ['a']\nprober = 'gopher'", "prober"),
        ("targets = ['a']\nname = ''", "name"),
        ("targets = ['a']\npreferred_ip_protocol = '6'", "preferred_ip_protocol"),
        ("targets = ['a']\n[probe.http]\nvalid_status_codes = [20]", "valid_status_codes[0]"),
        ("targets = ['a']\n[probe.http]\nmethod = 'a b'", "method"),
        ("targets = ['a']\n[[probe]]\ntargets = ['b']", "name"),
        ("prober = 'tcp'\ntargets = ['http://a']", "targets[0]"),
        ("prober = 'icmp'\ntargets = ['a:1']", "targets[0]"),
        ("prober = 'icmp'\ntargets = ['a']\n[probe.icmp]\ncount = 101", "count"),
        ("prober = 'icmp'\ntargets = ['a']\n[probe.icmp]\ncount = 6", "increase timeout"),
        ("prober = 'icmp'\ntargets = ['a']\n[probe.icmp]\npayload_size = 8", "payload_size"),
        ("prober = 'dns'\ntargets = ['a']", "query_name"),
        ("prober = 'dns'\ntargets = ['a']\n[probe.dns]\nquery_name = 'a..b'", "query_name"),
        ("prober = 'dns'\ntargets = ['a']\n[probe.dns]\nquery_name = 'b'\nquery_type = 'X'", "query_type"),
        ("prober = 'dns'\ntargets = ['a']\n[probe.dns]\nquery_name = 'b'\ntransport = 'quic'", "transport"),
        ("prober = 'dns'\ntargets = ['a:b']\n[probe.dns]\nquery_name = 'b'", "targets[0]"),
        ("prober = 'x509'\ntargets = ['a']", "targets[0]"),
        ("prober = 'udp'\ntargets = ['a:1']\n[probe.net]\nexpect = 'x'", "send"),
        ("prober = 'udp'\ntargets = ['a:1']\n[probe.net]\nsend = 'x'", "expect"),
        ("prober = 'tcp'\ntargets = ['a:1']\n[probe.net]\nexpect = '('", "expect"),
    ] {
        let found = modules(toml).map(|modules| modules.len()).unwrap_err();
        assert!(found.len() == 1 && found[0].contains(key), "{found:?}");
    }
}
