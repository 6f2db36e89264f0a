use super::*;
use crate::collectors::probe::tests::{lines, named, value};

#[test]
fn a_target_is_a_host_without_a_port() {
    for good in ["example.org", "127.0.0.1", "::1", "fe80::1%eth0", "a_b-c"] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for bad in ["", "a:1", "[::1]", "http://a", "a b", "u@a", "%eth0"] {
        assert!(check(bad).is_err(), "{bad}");
    }
}

/// The result of a probe of three requests, of which two had replies.
pub(in crate::collectors::probe) fn two_of_three() -> Found {
    let reply = |ms| Reply { took: Duration::from_millis(ms), ttl: Some(57) };
    let address = Some("192.0.2.1".parse().unwrap());
    let done = Exchange { address, resolve: 0.5, setup: 0.25, sent: 3, replies: vec![reply(10), reply(30)] };
    done.found(None)
}

#[test]
fn replies_are_counted_and_timed() {
    let done = named(two_of_three());
    for (series, expected) in [
        ("probe_icmp_duration_seconds{phase=\"resolve\"}", 0.5),
        ("probe_icmp_duration_seconds{phase=\"setup\"}", 0.25),
        ("probe_icmp_duration_seconds{phase=\"rtt\"}", 0.02),
        ("probe_icmp_reply_hop_limit", 57.0),
        ("probe_ip_protocol", 4.0),
        ("probe_dns_lookup_time_seconds", 0.5),
    ] {
        assert_eq!(value(&done, series), Some(expected), "{series}");
    }
    let lines = lines(done);
    let fields = "packets_transmitted=3i,packets_received=2i,percent_packet_loss=33.333333333333336,minimum_response_ms=10,\
                  average_response_ms=20,maximum_response_ms=30,standard_deviation_ms=10,ttl=57i,result_code=0i";
    assert!(lines.starts_with(&format!("ping,url=host {fields}")), "{lines}");
}

/// Telegraf's #7892, #8679 (a loss that is no percentage) and its result of an unknown host, which the reference of
/// its two methods names differently.
#[test]
fn a_host_without_replies_has_no_times() {
    let timeout = || Some(Failure::Timeout(Duration::from_secs(1)));
    let unknown = || Some(Failure::Name("no such host".to_owned()));
    let forbidden = || Some(Failure::Connection("forbidden".to_owned()));
    for (sent, failure, expected) in [
        (2, timeout(), "packets_transmitted=2i,packets_received=0i,percent_packet_loss=100,result_code=1i"),
        (0, unknown(), "ping,url=host result_code=1i"),
        (0, forbidden(), "ping,url=host result_code=2i"),
    ] {
        let done = named(Exchange { sent, ..Exchange::default() }.found(failure));
        assert_eq!(value(&done, "probe_icmp_duration_seconds{phase=\"rtt\"}"), Some(0.0));
        assert_eq!(value(&done, "probe_icmp_reply_hop_limit"), None);
        let lines = lines(done);
        assert!(lines.contains(expected) && !lines.contains("_ms"), "{lines}");
    }
}
