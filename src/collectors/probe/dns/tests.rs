use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use super::*;
use crate::client::dns::message::Record;
use crate::collectors::probe::tests::{lines, named, outcome, value};

/// The result of a query of this type for `example.org` whose response has these records.
pub(in crate::collectors::probe) fn answered(kind: RecordType, data: Data) -> Found {
    let query = Query { name: "example.org".to_owned(), kind, is_recursive: true };
    let record = Record { name: "example.org".to_owned(), kind, class: 1, ttl: 60, data };
    let response = Response { answers: vec![record.clone()], additional: vec![record], ..Response::default() };
    let address = Some("192.0.2.53".parse().unwrap());
    let done =
        Exchange { address, resolve: 0.5, connect: 0.25, request: 0.125, presented: None, response: Some(response) };
    let valid = vec!["NOERROR".to_owned()];
    let dns = Dns { query, transport: Transport::Udp, valid, none_may_match: Vec::new(), one_must_match: Vec::new() };
    dns.found("dns.example".to_owned(), &done, None)
}

#[test]
fn a_response_is_seen_in_both_vocabularies() {
    let soa = Data::Soa {
        server: "ns.example.org".to_owned(),
        mailbox: "admin.example.org".to_owned(),
        serial: 2_026_112_701,
        refresh: 1,
        retry: 2,
        expire: 3,
        minimum: 4,
    };
    let done = named(answered(RecordType::SOA, soa));
    for (series, expected) in [
        ("probe_dns_duration_seconds{phase=\"resolve\"}", 0.5),
        ("probe_dns_duration_seconds{phase=\"connect\"}", 0.25),
        ("probe_dns_duration_seconds{phase=\"request\"}", 0.125),
        ("probe_dns_answer_rrs", 1.0),
        ("probe_dns_authority_rrs", 0.0),
        ("probe_dns_additional_rrs", 1.0),
        ("probe_dns_query_succeeded", 1.0),
        ("probe_dns_serial", 2_026_112_701.0),
        ("probe_failed_due_to_regex", 0.0),
    ] {
        assert_eq!(value(&done, series), Some(expected), "{series}");
    }
    let lines = lines(done);
    let expected = "dns_query,domain=example.org,rcode=NOERROR,record_type=SOA,result=success,server=dns.example \
                    query_time_ms=375,rcode_value=0i,serial=2026112701i,refresh=1i,retry=2i,expire=3i,minttl=4i,result_code=0i";
    assert!(lines.starts_with(expected), "{lines}");
}

/// A server that answers names with `192.0.2.7`, except for `none.example`, which does not exist, and `silent.example`.
fn server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let query = &buffer[..length];
            let has = |label: &[u8]| query.windows(label.len()).any(|bytes| bytes == label);
            if has(b"silent") {
                continue;
            }
            let is_known = !has(b"none");
            let mut response = query.to_vec();
            (response[2], response[3]) = (0x81, if is_known { 0x80 } else { 0x83 });
            if is_known {
                response[7] = 1;
                response.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                response.extend(Ipv4Addr::new(192, 0, 2, 7).octets());
            }
            let _ = socket.send_to(&response, from);
        }
    });
    address
}

/// Telegraf's #15715: a query that failed has no time.
#[tokio::test]
async fn each_outcome_has_its_own_result() {
    let server = server();
    for (settings, success, regex, expected) in [
        (
            "query_name = 'a.example'",
            1.0,
            0.0,
            "rcode=NOERROR,record_type=A,result=success,server=127.0.0.1 query_time_ms=",
        ),
        ("query_name = 'none.example'", 0.0, 0.0, "rcode=NXDOMAIN,record_type=A,result=error,"),
        ("query_name = 'none.example'\nvalid_rcodes = ['NXDOMAIN']", 1.0, 0.0, "result=success"),
        ("query_name = 'silent.example'", 0.0, 0.0, "dns_query,domain=silent.example,record_type=A,result=timeout,"),
        ("query_name = 'a.example'\nfail_if_matches_regexp = ['192\\.0\\.2\\.7$']", 0.0, 1.0, "result=success"),
        ("query_name = 'a.example'\nfail_if_none_matches_regexp = ['192\\.0\\.2\\.8$']", 0.0, 1.0, "result=success"),
        (
            "query_name = 'a.example'\nfail_if_none_matches_regexp = ['A\\s192\\.0\\.2\\.7$']",
            1.0,
            0.0,
            "result=success",
        ),
        ("query_name = 'a.example'\ntransport = 'tcp'", 0.0, 0.0, "result=error,server=127.0.0.1 result_code=2i"),
    ] {
        let toml = format!("prober = 'dns'\ntargets = ['{server}']\ntimeout = '500ms'\n[probe.dns]\n{settings}");
        let done = outcome(&toml).await;
        assert_eq!(value(&done, "probe_success"), Some(success), "{toml}: {:?}", done.failure);
        assert_eq!(value(&done, "probe_failed_due_to_regex"), Some(regex), "{toml}");
        let lines = lines(done);
        assert!(lines.contains(expected), "{toml}: {lines}");
        assert_eq!(lines.contains("query_time_ms"), lines.contains("rcode="), "{lines}");
    }
}

#[test]
fn a_server_may_have_a_port() {
    for (text, expected) in [
        ("192.0.2.53", ("192.0.2.53", None)),
        ("dns.example.org:5353", ("dns.example.org", Some(5353))),
        ("[::1]:53", ("::1", Some(53))),
        ("::1", ("::1", None)),
        ("[::1]", ("::1", None)),
    ] {
        assert_eq!(split(text), Ok((expected.0.to_owned(), expected.1)), "{text}");
    }
    for text in ["", "a:b", "http://a", "u@a", "a:1:2"] {
        assert!(split(text).is_err(), "{text}");
    }
}
