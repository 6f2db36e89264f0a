//! Taffrail beside blackbox_exporter, Debian's package: the same modules and targets, asked at `/probe`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;

use crate::harness::real::{Server, encode, free_port};
use crate::harness::series::Exposition;
use crate::harness::server::reply;
use crate::harness::{Taffrail, get, tls};

/// Families that Taffrail has and Debian's blackbox_exporter has not, and why.
const ONLY_OURS: [(&str, &str); 2] = [
    ("probe_ssl_leaf_cert_expiry", "of the server's own certificate"),
    ("probe_tls_cipher_info", "of blackbox_exporter 0.25"),
];

/// Families whose values are durations.
const TIMES: [&str; 4] = [
    "probe_duration_seconds",
    "probe_dns_duration_seconds",
    "probe_dns_lookup_time_seconds",
    "probe_http_duration_seconds",
];

/// Values that differ: the module, the end of the target, and what is reported.
const DIFFERENT: [(&str, &str, &str); 2] = [
    // Theirs counts a redirect that it does not follow.
    ("http_2xx", "/moved", "probe_http_redirects{}: Some(0.0), theirs is 1"),
    // Theirs waits for another line until the timeout.
    ("smtp_busy", "", "probe_failed_due_to_regex{}: Some(1.0), theirs is 0"),
];

/// A server of HTTP, and one that greets.
fn server(greeting: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                if !greeting.is_empty() {
                    let _ = stream.write_all(greeting.as_bytes());
                }
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap_or(0);
                let path = String::from_utf8_lossy(&request[..length]);
                let response = match path.split(' ').nth(1) {
                    _ if !greeting.is_empty() => return,
                    Some("/ok") => {
                        "HTTP/1.1 200 OK\r\nlast-modified: Thu, 01 Jan 1970 00:01:00 GMT\r\ncontent-length: 5\r\n\r\nhello"
                    }
                    Some("/moved") => "HTTP/1.1 302 Found\r\nlocation: /ok\r\ncontent-length: 0\r\n\r\n",
                    Some("/chunked") => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                    _ => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
                };
                let _ = stream.write_all(response.as_bytes());
            });
        }
    });
    address
}

/// A DNS server that has an address for `a.example`, and no other name.
fn resolver() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let end = buffer[12..length].iter().position(|byte| *byte == 0).map_or(length, |end| 12 + end + 5);
            let mut response = buffer[..end.min(length)].to_vec();
            let is_known = response.windows(3).any(|bytes| bytes == b"\x01a\x07");
            (response[2], response[3]) = (0x81, if is_known { 0x80 } else { 0x83 });
            response[6..12].copy_from_slice(&[0, u8::from(is_known), 0, 0, 0, 0]);
            if is_known {
                response.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
            }
            let _ = socket.send_to(&response, from);
        }
    });
    address
}

/// The types and the values of a page.
fn page(url: &str) -> (BTreeMap<String, String>, BTreeMap<String, f64>) {
    let answer = get(url, &[]).unwrap();
    assert_eq!(answer.status, 200, "{url}: {}", answer.text());
    let types = answer.text().lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let types = types.map(|(name, of)| (name.to_owned(), of.to_owned())).collect();
    let mut all = Exposition::parse(answer.text()).0;
    // Newer versions of blackbox_exporter than Debian 13's 0.23 have it.
    all.iter_mut().for_each(|series| drop(series.labels.remove("serialnumber")));
    (types, all.into_iter().map(|series| (series.key(), series.value)).collect())
}

/// Compares a target, and returns what differs.
fn differences(ours: &str, theirs: &str, is_only_ours: impl Fn(&str) -> bool) -> Vec<String> {
    let (our_types, our_values) = page(ours);
    let (their_types, their_values) = page(theirs);
    let mut found = Vec::new();
    for (name, of) in &their_types {
        if our_types.get(name) != Some(of) {
            found.push(format!("type of {name}: {:?}, theirs is {of}", our_types.get(name)));
        }
    }
    let is_known = |name: &str| ONLY_OURS.iter().any(|(known, _)| name.starts_with(known)) || is_only_ours(name);
    for name in our_values.keys().filter(|name| !their_values.contains_key(*name) && !is_known(name)) {
        found.push(format!("only ours: {name}"));
    }
    for (name, theirs) in &their_values {
        let ours = our_values.get(name);
        let is_time = TIMES.iter().any(|time| name.starts_with(time)) && ours.is_some();
        if ours != Some(theirs) && !is_time {
            found.push(format!("{name}: {ours:?}, theirs is {theirs}"));
        }
    }
    found
}

/// Both, with the same modules; theirs writes its configuration to `folder`.
fn start(folder: &Path, ca: &Path) -> (Taffrail, Server) {
    let any = "preferred_ip_protocol = 'ip4'\ntargets = ['*']\n[collectors.probe.";
    let taffrail = Taffrail::start(&format!(
        "[collectors]\ndefault = false\n[[collectors.probe]]\nname = 'http_2xx'\ntls_ca = '{0}'\n{any}http]\n\
         [[collectors.probe]]\nname = 'http_match'\n{any}http]\nfail_if_body_not_matches_regexp = ['^bye']\n\
         [[collectors.probe]]\nname = 'tcp_connect'\nprober = 'tcp'\n{any}net]\n\
         [[collectors.probe]]\nname = 'smtp'\nprober = 'tcp'\n{any}net]\nexpect = '^220 '\n\
         [[collectors.probe]]\nname = 'dns'\nprober = 'dns'\n{any}dns]\nquery_name = 'a.example'\n\
         [[collectors.probe]]\nname = 'dns_none'\nprober = 'dns'\n{any}dns]\nquery_name = 'none.example'\n\
         [[collectors.probe]]\nname = 'smtp_busy'\nprober = 'tcp'\ntimeout = '1s'\n{any}net]\nexpect = '^421 '\n",
        ca.display()
    ));
    let http = "preferred_ip_protocol: ip4, follow_redirects: false";
    let config = format!(
        "modules:\n  http_2xx: {{prober: http, timeout: 5s, http: {{{http}, tls_config: {{ca_file: {}}}}}}}\n  \
           http_match: {{prober: http, timeout: 5s, http: {{{http}, fail_if_body_not_matches_regexp: ['^bye']}}}}\n  \
           tcp_connect: {{prober: tcp, timeout: 5s, tcp: {{preferred_ip_protocol: ip4}}}}\n  \
           smtp: {{prober: tcp, timeout: 5s, tcp: {{preferred_ip_protocol: ip4, query_response: [{{expect: '^220 '}}]}}}}\n  \
           dns: {{prober: dns, timeout: 2s, dns: {{preferred_ip_protocol: ip4, query_name: a.example, query_type: A}}}}\n  \
           dns_none: {{prober: dns, timeout: 2s, dns: {{preferred_ip_protocol: ip4, query_name: none.example, query_type: A}}}}\n  \
           smtp_busy: {{prober: tcp, timeout: 1s, tcp: {{preferred_ip_protocol: ip4, query_response: [{{expect: '^421 '}}]}}}}\n",
        ca.display()
    );
    let (path, port) = (folder.join("blackbox.yml"), free_port());
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new("prometheus-blackbox-exporter");
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--config.file").arg(&path);
    (taffrail, Server::start(command, port, "/-/healthy"))
}

#[test]
#[ignore = "needs Debian's package prometheus-blackbox-exporter: tests/run"]
fn with_blackbox_exporter_that_probes_the_same_targets() {
    let (certificate, key, pem) = tls::own_authority("127.0.0.1");
    let secure = tls::answering(certificate, key, |_| reply(200, ""));
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, pem).unwrap();
    let (web, mail) = (server(""), server("220 ready\r\n"));
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (taffrail, theirs) = start(folder.path(), &ca);
    let nothing: fn(&str) -> bool = |_| false;
    // Theirs has what it learned of a certificate only if it is trusted.
    let certificates: fn(&str) -> bool = |name| name.starts_with("probe_ssl_") || name.starts_with("probe_tls_");
    let regex: fn(&str) -> bool = |name| name.starts_with("probe_failed_due_to_regex");
    let mut found = Vec::new();
    for (module, target, only_ours) in [
        ("http_2xx", format!("http://{web}/ok"), nothing),
        ("http_2xx", format!("{web}/ok"), nothing),
        ("http_2xx", format!("http://{web}/missing"), nothing),
        ("http_2xx", format!("http://{web}/moved"), nothing),
        ("http_2xx", format!("http://{web}/chunked"), nothing),
        ("http_2xx", format!("http://{refused}/"), nothing),
        ("http_2xx", format!("https://{}/", secure.address), nothing),
        ("http_match", format!("http://{web}/ok"), nothing),
        ("http_match", format!("https://{}/", secure.address), certificates),
        ("tcp_connect", mail.clone(), nothing),
        ("tcp_connect", refused.to_string(), nothing),
        ("smtp", mail.clone(), nothing),
        ("smtp_busy", mail.clone(), nothing),
        ("dns", resolver(), regex),
        ("dns_none", resolver(), regex),
    ] {
        let query = format!("/probe?module={module}&target={}", encode(&target));
        let mut differing = differences(&taffrail.url(&query), &format!("{}{query}", theirs.url), only_ours);
        for (_, _, line) in DIFFERENT.iter().filter(|(of, end, _)| *of == module && target.ends_with(end)) {
            match differing.iter().position(|found| found == line) {
                Some(at) => drop(differing.remove(at)),
                None => found.push(format!("{module} {target}: there is no difference {line}")),
            }
        }
        found.extend(differing.into_iter().map(|line| format!("{module} {target}: {line}")));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
