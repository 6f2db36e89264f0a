//! Many large bodies at once: what they take is bounded, and who pushes little is not held up.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::gateway::{Gateway, Own};
use crate::harness::http::{Reply, Request, request};
use crate::harness::{sample, status_kib, wait_until};

const SETTINGS: &str = "[gateway]\nmax_body = \"1MiB\"\nmax_bodies = \"4MiB\"\n";

/// Connections whose bodies come almost whole, and not to their end.
fn half_sent(gateway: &Own, path: &str, count: usize) -> Vec<TcpStream> {
    let lines = [b"#".repeat(999).as_slice(), b"\n"].concat().repeat(1000);
    let one = |number: usize| {
        let mut stream = TcpStream::connect(gateway.address()).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
        let head = format!("POST {path}{number} HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // It may have been answered, and not be read to its end.
        let _ = stream.write_all(&lines);
        stream
    };
    (0..count).map(one).collect()
}

fn is_answered(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let is_answered = stream.peek(&mut [0]).is_ok();
    stream.set_nonblocking(false).unwrap();
    is_answered
}

fn held(gateway: &Own) -> f64 {
    gateway.sample("taffrail_gateway_body_bytes").unwrap()
}

fn is_crowded(reply: &Reply) -> bool {
    reply.status == 503 && reply.header("retry-after") == Some("5") && reply.body.contains("[gateway] max_bodies")
}

/// Sends a request until it is answered with `status`; until then it is retried.
fn sent_until(gateway: &Own, request: &Request, status: u16) {
    wait_until("an answer", || {
        let reply = gateway.send(request);
        assert!(reply.status == status || is_crowded(&reply), "{reply:?}");
        (reply.status == status).then_some(())
    });
}

fn packed(body: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn bodies_under_way_are_bounded_and_make_way() {
    const MIB: f64 = 1_048_576.0;
    let gateway = Own::start_with(SETTINGS, &[]);
    assert_eq!(gateway.put("/metrics/job/first", "x 1\n").status, 200);
    let before = status_kib(gateway.pid(), "RssAnon");
    let mut streams = half_sent(&gateway, "/metrics/job/half", 50);
    streams.extend(half_sent(&gateway, "/write?db=", 10));
    // What was sent may still wait to be read.
    let refused = || gateway.sample("taffrail_gateway_crowded_out_total").unwrap();
    wait_until("most of them to be refused", || (refused() >= 50.0).then_some(()));
    let grown = status_kib(gateway.pid(), "RssAnon").saturating_sub(before) as f64 * 1024.0;
    assert!(grown < 30.0 * MIB, "{grown} bytes more are resident");
    let taken = held(&gateway);
    assert!(taken > 2.0 * MIB && taken <= 4.0 * MIB + 60.0 * 65_536.0, "{taken} bytes are held");
    assert_eq!(gateway.sample("taffrail_gateway_pushes_total{outcome=\"refused\"}"), Some(0.0));
    let mut answered = wait_until("an answer", || streams.iter().find(|stream| is_answered(stream)));
    let mut answer = String::new();
    answered.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nretry-after: 5\r\n"), "{answer}");
    // What is little has room, and what is large has it later, packed or not.
    assert_eq!(gateway.put("/metrics/job/little", "x 1\n").status, 200);
    let small = request("PUT", "/metrics/job/packed", packed("x 1\n")).header("Content-Encoding", "gzip");
    assert_eq!(gateway.send(&small).status, 200);
    let large = format!("x 1\n{}", "# comment\n".repeat(90_000));
    sent_until(&gateway, &request("PUT", "/metrics/job/large", large.as_str()), 200);
    let large_packed = request("PUT", "/metrics/job/large", packed(&large)).header("Content-Encoding", "gzip");
    sent_until(&gateway, &large_packed, 200);
    sent_until(&gateway, &request("POST", "/write?db=x", "x v=1\n".repeat(150_000)), 204);
    drop(streams);
    wait_until("nothing to be held", || (held(&gateway) == 0.0).then_some(()));
}

#[test]
fn nothing_is_read_of_who_has_no_password() {
    let user = "[[http.users]]\nname = \"u\"\ntoken = \"t0ken\"\n";
    let gateway = Own::start_with(&format!("{user}{SETTINGS}"), &[]);
    let mut streams = half_sent(&gateway, "/metrics/job/half", 20);
    for stream in &mut streams {
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
    let scraped = gateway.send(&request("GET", "/metrics", "").header("Authorization", "Bearer t0ken")).body;
    for family in ["taffrail_gateway_body_bytes", "taffrail_gateway_crowded_out_total"] {
        assert_eq!(sample(&scraped, family), Some(0.0), "{family}");
    }
}
