//! Pushes that are refused: their group says so, and the log.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use super::harness::gateway::{Gateway, Own};
use super::harness::http::{Framing, Request, request};
use super::harness::wait_until;

fn failed(gateway: &Own, job: &str) -> Option<f64> {
    gateway.sample(&format!("push_failure_time_seconds{{instance=\"\",job=\"{job}\"}}"))
}

fn pushed(gateway: &Own, job: &str) -> Option<f64> {
    gateway.sample(&format!("push_time_seconds{{instance=\"\",job=\"{job}\"}}"))
}

/// Pushes that nobody could take, each with what is said of it.
fn wrong() -> Vec<(Request, u16)> {
    let put = |body: &str| request("PUT", "/metrics/job/JOB", body);
    vec![
        (put("broken{ 1\n"), 400),
        (put("x 1 1000\n"), 400),
        (put("x 1\n").header("Content-Encoding", "br"), 415),
        (put("x 1\n").header("Content-Encoding", "gzip"), 400),
        (put(&format!("x 1\n# {}\n", "y".repeat(5000))), 413),
        (put(&format!("x 1\n# {}\n", "y".repeat(5000))).framed(Framing::Chunked), 413),
        (put(&(0..20).map(|n| format!("x{n} 1\n")).collect::<String>()), 413),
        (request("PUT", "/metrics/job/JOB?ttl=never", "x 1\n"), 400),
    ]
}

#[test]
fn a_refused_push_marks_its_group_whatever_was_wrong() {
    let gateway = Own::start("max_body = \"4KiB\"\nmax_series = 10\n");
    for (index, (push, status)) in wrong().into_iter().enumerate() {
        for (job, is_there) in [(format!("there{index}"), true), (format!("new{index}"), false)] {
            if is_there {
                assert_eq!(gateway.put(&format!("/metrics/job/{job}"), "x 1\n").status, 200);
            }
            let push = Request { target: push.target.replace("JOB", &job), ..push.clone() };
            let reply = gateway.send(&push);
            assert_eq!(reply.status, status, "{push:?}: {reply:?}");
            let (failed, pushed) = (failed(&gateway, &job).unwrap(), pushed(&gateway, &job).unwrap());
            assert!(failed > pushed && (pushed > 0.0) == is_there, "{push:?}: {failed} and {pushed}");
            let has_kept = gateway.sample(&format!("x{{instance=\"\",job=\"{job}\"}}"));
            assert_eq!(has_kept, is_there.then_some(1.0), "{push:?}");
        }
    }
    let refused = gateway.sample("taffrail_gateway_pushes_total{outcome=\"refused\"}");
    assert_eq!(refused, Some(2.0 * wrong().len() as f64));
}

#[test]
fn a_push_that_is_cut_off_marks_a_group_that_is_there_and_makes_none() {
    let gateway = Own::start("");
    assert_eq!(gateway.put("/metrics/job/there", "x 1\n").status, 200);
    for job in ["there", "new"] {
        let cut = request("PUT", &format!("/metrics/job/{job}"), "x 2\n").framed(Framing::TooShort);
        assert_eq!(gateway.send(&cut).status, 400);
    }
    assert!(failed(&gateway, "there").unwrap() > pushed(&gateway, "there").unwrap());
    assert_eq!(failed(&gateway, "new"), None);
}

#[test]
fn a_refused_push_is_told_once_with_client_path_and_reason() {
    let gateway = Own::start("");
    let refused =
        |log: &[String], part: &str| log.iter().filter(|line| line.contains(part)).cloned().collect::<Vec<_>>();
    for _ in 0..50 {
        assert_eq!(gateway.put("/metrics/job/a", "broken{ 1\n").status, 400);
    }
    assert_eq!(gateway.delete("/api/v1/groups").status, 400);
    assert_eq!(gateway.post("/write", "cpu\n").status, 400);
    assert_eq!(gateway.send(&request("DELETE", "/metrics/job/a", "").header("Origin", "null")).status, 403);
    wait_until("the lines", || (refused(&gateway.log(), "was refused with").len() >= 4).then_some(()));
    let log = gateway.log();
    let of_push = refused(&log, "/metrics/job/a of ");
    assert_eq!(of_push.len(), 2, "{log:#?}");
    assert!(of_push[0].contains("PUT /metrics/job/a of 127.0.0.1 was refused with 400: "), "{of_push:?}");
    assert!(of_push[0].contains("line 1"), "{of_push:?}");
    assert!(of_push[1].contains("was refused with 403: "), "{of_push:?}");
    assert!(refused(&log, "/write of ")[0].contains("unable to parse"), "{log:#?}");
    assert_eq!(gateway.send(&request("GET", "/nowhere", "")).status, 404);
    assert!(refused(&gateway.log(), "/nowhere").is_empty());
}

#[test]
fn a_client_that_goes_away_is_no_trouble() {
    let gateway = Own::start("");
    assert_eq!(gateway.put("/metrics/job/a", "x 1\n").status, 200);
    let mut stream = TcpStream::connect(gateway.address()).unwrap();
    stream.write_all(b"PUT /metrics/job/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx 2").unwrap();
    stream.shutdown(Shutdown::Both).unwrap();
    assert_eq!(gateway.put("/metrics/job/a", "x 3\n").status, 200);
    assert_eq!(gateway.sample("x{instance=\"\",job=\"a\"}"), Some(3.0));
}
