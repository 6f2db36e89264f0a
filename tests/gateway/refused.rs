//! Pushes that are refused: their group says so, and the log.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use crate::harness::gateway::{Gateway, Own};
use crate::harness::http::{Framing, Request, request};
use crate::harness::wait_until;

fn failed(gateway: &Own, job: &str) -> Option<f64> {
    gateway.sample(&format!("push_failure_time_seconds{{instance=\"\",job=\"{job}\"}}"))
}

fn pushed(gateway: &Own, job: &str) -> Option<f64> {
    gateway.sample(&format!("push_time_seconds{{instance=\"\",job=\"{job}\"}}"))
}

/// Pushes that cannot be accepted, each with what is reported.
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

fn reported(gateway: &Own) -> Vec<String> {
    gateway.log().into_iter().filter(|line| line.contains("was refused with")).collect()
}

#[test]
fn a_kind_of_refusal_costs_ten_lines_however_many_paths_it_has_and_hides_no_other() {
    let hash = bcrypt::hash("secret", 4).unwrap();
    let user = format!("[[http.users]]\nname = \"u\"\npassword_hash = \"{hash}\"\njobs = [\"j.*\"]\n");
    let gateway = Own::start_with(&format!("{user}[gateway]\nmax_body = \"4KiB\"\n"), &[]);
    let with = |password: &str, request: Request| {
        let credentials = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("u:{password}"));
        gateway.send(&request.header("Authorization", &format!("Basic {credentials}")))
    };
    for job in 0..100 {
        let put = |body: &str| request("PUT", &format!("/metrics/job/j{job}"), body);
        assert_eq!(with("secret", put("broken{ 1\n")).status, 400);
        assert_eq!(gateway.send(&put("x 1\n")).status, 401);
    }
    let put = |path: &str, body: &str| request("PUT", path, body);
    for (request, status) in [
        (put("/metrics/job/j", "x 1\n").header("Content-Encoding", "br"), 415),
        (put("/metrics/job/j", &"#\n".repeat(5000)), 413),
        (put("/metrics/job/other", "x 1\n"), 403),
        (put("/metrics/job/j?ttl=99999999999999d", "x 1\n"), 400),
        (put("/metrics/job/j", "x 1 1\n"), 400),
        (put("/nowhere", ""), 404),
    ] {
        assert_eq!(with("secret", request).status, status);
    }
    assert_eq!(with("wrong", put("/metrics/job/j", "x 1\n")).status, 401);
    // Who only reads is no news, a browser that is asked for a password least of all.
    assert_eq!(gateway.send(&request("GET", "/metrics", "")).status, 401);
    // Two kinds have a hundred paths each, six have one.
    wait_until("the lines", || (reported(&gateway).len() >= 26).then_some(()));
    let log = reported(&gateway);
    assert_eq!(log.len(), 26, "{log:#?}");
    let unknown = "PUT /metrics/job/j0 of 127.0.0.1 was refused with 401: no password and no token came with it";
    assert!(log.iter().any(|line| line.contains(unknown)), "{log:#?}");
}

#[test]
fn the_reason_of_the_last_refusal_is_in_the_log_on_the_page_in_the_group_and_in_the_json() {
    let gateway = Own::start("");
    let read = |path: &str| gateway.send(&request("GET", path, "")).body;
    assert_eq!(gateway.put("/metrics/job/first", "rows 3\n").status, 200);
    assert!(!read("/metrics/job/first").starts_with("# Push refused"));
    for job in ["j1", "j2", "j3"] {
        assert_eq!(gateway.put(&format!("/metrics/job/{job}"), "broken{ 1\n").status, 400);
        let reply = gateway.put(&format!("/metrics/job/{job}"), "# TYPE rows counter\nrows 3\n");
        assert_eq!(reply.status, 400);
        let reason = reply.body.trim_end();
        assert!(
            reason.ends_with("rows has the type counter here, and untyped in the group {job=\"first\"}"),
            "{reason}"
        );
        wait_until("the line", || {
            let is_of_job = |line: &String| line.contains(&format!("/{job} of ")) && line.contains(reason);
            reported(&gateway).iter().any(is_of_job).then_some(())
        });
        let text = read(&format!("/metrics/job/{job}"));
        let (comment, rest) = text.split_once('\n').unwrap();
        assert!(comment.starts_with("# Push refused at 20") && comment.ends_with(reason), "{comment}");
        assert!(rest.starts_with("# HELP push_failure_time_seconds "), "{rest}");
        let page = read(&format!("/?search={job}"));
        let shown = reason.replace('"', "&quot;");
        assert!(page.contains(&format!("</details><p class=\"bad\">{shown}</p>")), "{page}");
        let json: serde_json::Value = serde_json::from_str(&read("/api/v1/metrics")).unwrap();
        let groups = json["data"].as_array().unwrap();
        let group = groups.iter().find(|group| group["labels"]["job"] == *job).unwrap();
        assert_eq!((&group["last_push_successful"], &group["last_refusal"]), (&false.into(), &reason.into()));
        assert!(groups.iter().any(|group| group.get("last_refusal").is_none()), "the first has none");
    }
    // After a push that is accepted, the reason is in the details.
    assert_eq!(gateway.put("/metrics/job/j1", "x 1\n").status, 200);
    let page = read("/?search=j1");
    assert!(
        page.contains("<p class=\"bad\">Refused push: pushed metrics are ") && !page.contains("</details><p"),
        "{page}"
    );
    // A new group of the same name was never refused.
    assert_eq!(gateway.delete("/metrics/job/j1").status, 202);
    assert_eq!(gateway.put("/metrics/job/j1", "x 1\n").status, 200);
    assert!(!read("/metrics/job/j1").contains("Push refused") && !read("/?search=j1").contains("Refused push"));
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
