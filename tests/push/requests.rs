//! Requests of scrapes: what the settings give them, and the limits of their pages.

use std::fmt::Write;
use std::io::{BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::thread;

use crate::harness::server::{FakeInflux, Post, Reply, read_write, reply_of};
use crate::harness::tls::{answering, own_authority};
use crate::harness::wait_until;
use crate::scraping::{TEXT, exposition_with, scraping};
use crate::targets::{exporter, job};

/// The line of `up` of a target of the job `j`.
fn up(instance: impl std::fmt::Display, value: u8) -> String {
    format!("up{{instance=\"{instance}\",job=\"j\"}} {value}")
}

/// Above a limit the scrape fails as a whole: `up` is 0, nothing of the page is used, and the message names the setting.
#[test]
fn a_page_above_a_limit_fails_as_a_whole() {
    let page = "a{label=\"123456789\"} 1\nb 2\n";
    let server = FakeInflux::start(move |_| reply_of(200, TEXT, page));
    let mut jobs = String::new();
    let limits = [
        ("sample_limit", "1"),
        ("label_limit", "3"),
        ("label_name_length_limit", "7"),
        ("label_value_length_limit", "8"),
        ("max_body", "\"16B\""),
        ("target_limit", "1"),
    ];
    for (setting, limit) in limits {
        let other = if setting == "target_limit" { ", \"localhost:1\"" } else { "" };
        writeln!(
            jobs,
            "[[collectors.prometheus]]\nname = \"{setting}\"\ninterval = \"300ms\"\ntargets = [\"{}\"{other}]\n{setting} = {limit}",
            server.address
        )
        .unwrap();
    }
    let taffrail = scraping(&jobs);
    let mut lines: Vec<String> = limits
        .iter()
        .map(|(setting, _)| format!("up{{instance=\"{}\",job=\"{setting}\"}} 0", server.address))
        .collect();
    // As Prometheus has it: all samples of the page are counted.
    lines.push(format!("scrape_samples_scraped{{instance=\"{}\",job=\"sample_limit\"}} 2", server.address));
    let text = exposition_with(&taffrail, &lines);
    assert!(!text.lines().any(|line| line.starts_with("a{") || line.starts_with("b{")), "{text}");
    for (setting, _) in limits {
        taffrail.wait_for_log(&format!("cannot be scraped: {setting}: "));
    }
}

#[test]
fn a_request_has_what_the_settings_give() {
    let server = exporter();
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "pass-1\n").unwrap();
    let taffrail = scraping(&job(&format!(
        "timeout = \"250ms\"\nmetrics_path = \"/x\"\ntargets = [\"{}\", \"http://{}/own?c=d\"]\nusername = \"u\"\npassword_file = {password:?}\n\
         [collectors.prometheus.params]\nmatch = [\"a\", \"b c\"]\n[collectors.prometheus.headers]\nX-Scope = \"s\"",
        server.address, server.address
    )));
    exposition_with(&taffrail, &[up(server.address, 1)]);
    let has = |target: &str, header: (&str, &str)| {
        wait_until(&format!("a request for {target} with {header:?}"), || {
            let writes = server.writes();
            let found = writes.iter().any(|(post, _)| post.target == target && post.header(header.0) == Some(header.1));
            found.then_some(())
        });
    };
    for target in ["/x?match=a&match=b+c", "/own?c=d&match=a&match=b+c"] {
        has(target, ("authorization", "Basic dTpwYXNzLTE="));
        has(target, ("x-scope", "s"));
        has(target, ("x-prometheus-scrape-timeout-seconds", "0.25"));
        has(target, ("accept-encoding", "gzip"));
    }
    std::fs::write(&password, "pass-2\n").unwrap();
    has("/x?match=a&match=b+c", ("authorization", "Basic dTpwYXNzLTI="));
    let shown = taffrail.log().join("\n") + taffrail.get("/metrics").text();
    assert!(!shown.contains("dTpw") && !shown.contains("pass-"), "{shown}");
}

#[test]
fn a_target_may_be_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("exporter.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let (requests, received) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream);
            while let Some(request) = read_write(&mut reader) {
                let _ = requests.send(request.target);
                let _ = reader.get_mut().write_all(&reply_of(200, TEXT, "a 1\n").to_bytes());
            }
        }
    });
    let taffrail = scraping(&job(&format!("targets = [\"unix:{}:/of/socket?a=b\"]", socket.display())));
    exposition_with(&taffrail, &[up(socket.display(), 1)]);
    assert_eq!(received.recv().unwrap(), "/of/socket?a=b");
}

/// The name in the certificate is another than the host's.
#[test]
fn a_server_name_of_its_own_is_verified() {
    let (certificate, key, pem) = own_authority("exporter.test");
    let server = answering(certificate, key, |_: &Post| -> Reply { reply_of(200, TEXT, "a 1\n") });
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, pem).unwrap();
    let of = |name: &str, more: &str| {
        format!(
            "[[collectors.prometheus]]\nname = \"{name}\"\ninterval = \"2s\"\nscheme = \"https\"\ntargets = [\"{}\"]\n{more}\n",
            server.address
        )
    };
    let trusting = format!("tls_ca = {ca:?}\n");
    let taffrail = scraping(&format!(
        "{}{}{}{}",
        of("named", &format!("{trusting}tls_server_name = \"exporter.test\"")),
        of("other", &format!("{trusting}tls_server_name = \"other.test\"")),
        of("untrusted", "tls_server_name = \"exporter.test\""),
        of("any", "insecure_skip_verify = true"),
    ));
    let line = |job: &str, value: u8| format!("up{{instance=\"{}\",job=\"{job}\"}} {value}", server.address);
    exposition_with(&taffrail, &[line("named", 1), line("other", 0), line("untrusted", 0), line("any", 1)]);
    wait_until("the reason", || {
        let names_both = |line: &String| line.contains("job=\"other\"") && line.contains("not for other.test");
        taffrail.log().iter().any(names_both).then_some(())
    });
    // The request names the server as its address does, as without the setting.
    assert!(server.posts().iter().all(|post| post.header("host") == Some(&server.address.to_string())));
}
