//! Targets of scrapes: files, servers, names and pods.

use std::collections::HashMap;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::harness::server::{FakeInflux, Post, reply, reply_of};
use crate::harness::{Taffrail, wait_until};
use crate::scraping::{TEXT, exposition_with, scraping};

const JSON: &str = "application/json; charset=utf-8";

/// An exporter with the sample `a 1` at every path.
pub(super) fn exporter() -> FakeInflux {
    FakeInflux::start(|_| reply_of(200, TEXT, "a 1\n"))
}

/// Waits until a target is no longer there.
fn is_gone(taffrail: &Taffrail, instance: impl std::fmt::Display) {
    let label = format!("instance=\"{instance}\"");
    wait_until(&format!("the end of {label}"), || (!taffrail.get("/metrics").text().contains(&label)).then_some(()));
}

pub(super) fn job(more: &str) -> String {
    format!("[[collectors.prometheus]]\nname = \"j\"\ninterval = \"300ms\"\n{more}\n")
}

/// Replaces a file at once, so that no half of it is read.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

#[test]
fn files_of_targets_are_read_while_they_change() {
    let (one, two) = (exporter().address, exporter().address);
    let folder = tempfile::tempdir().unwrap();
    let (json, yaml) = (folder.path().join("1.json"), folder.path().join("2.yml"));
    replace(&json, &format!(r#"[{{"targets": ["{one}"], "labels": {{"from": "json"}}}}]"#));
    let files = [folder.path().join("*.json"), folder.path().join("2.yml")];
    replace(&yaml, "[]");
    let taffrail = scraping(&job(&format!(
        "[[collectors.prometheus.file_sd_configs]]\nfiles = {files:?}\nrefresh_interval = \"1s\""
    )));
    exposition_with(&taffrail, &[format!("up{{from=\"json\",instance=\"{one}\",job=\"j\"}} 1")]);
    replace(&yaml, &format!("- targets: ['{two}']\n  labels:\n    from: yaml\n"));
    exposition_with(&taffrail, &[format!("up{{from=\"yaml\",instance=\"{two}\",job=\"j\"}} 1")]);
    // A broken file keeps its targets, and is named once.
    replace(&json, "[{");
    let line = taffrail.wait_for_log("targets are not up to date");
    assert!(line.contains("1.json"), "{line}");
    replace(&json, &format!(r#"[{{"targets": ["{one}"], "labels": {{"from": "new"}}}}]"#));
    exposition_with(&taffrail, &[format!("up{{from=\"new\",instance=\"{one}\",job=\"j\"}} 1")]);
    taffrail.wait_for_log("targets are up to date again");
    replace(&json, "[]");
    is_gone(&taffrail, one);
    std::fs::remove_file(&yaml).unwrap();
    taffrail.wait_for_log("2.yml");
    assert_eq!(taffrail.logged("targets are not up to date"), 2);
}

/// A target that discovery or relabelling makes invalid is down, and is named once.
#[test]
fn an_invalid_target_is_down() {
    let one = exporter().address;
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.json");
    let with = |targets: &str| format!(r#"[{{"targets": ["{one}"{targets}], "labels": {{"team": "a"}}}}]"#);
    replace(&list, &with(r#", "a b:1", "u:geheim@c:1", "ftp://d""#));
    let taffrail = scraping(&job(&format!(
        "[[collectors.prometheus.file_sd_configs]]\nfiles = [{list:?}]\nrefresh_interval = \"1s\"\n\
         [[collectors.prometheus.relabel_configs]]\nsource_labels = ['__address__']\nregex = 'e:.*'\n\
         target_label = '__scheme__'\nreplacement = 'gopher'"
    )));
    let up = |instance: &str, value: u8| format!("up{{instance=\"{instance}\",job=\"j\",team=\"a\"}} {value}");
    let text = exposition_with(&taffrail, &[up(&one.to_string(), 1), up("a b:1", 0), up("c:1", 0), up("ftp://d", 0)]);
    assert!(text.contains("scrape_samples_scraped{instance=\"a b:1\",job=\"j\",team=\"a\"} 0"), "{text}");
    let line = taffrail.wait_for_log("invalid targets: 3; ");
    assert!(line.contains("a b:1") && !text.contains("geheim"), "{line}");
    replace(&list, &with(r#", "e:1""#));
    exposition_with(&taffrail, &[up("e:1", 0)]);
    taffrail.wait_for_log("expected http or https as __scheme__, found \"gopher\"");
    is_gone(&taffrail, "a b:1");
    replace(&list, &with(""));
    is_gone(&taffrail, "e:1");
    taffrail.wait_for_log("all targets are valid again");
    assert_eq!((taffrail.logged("invalid targets"), taffrail.logged("cannot be scraped")), (2, 0));
    assert_eq!(taffrail.logged("geheim"), 0);
}

#[test]
fn a_server_lists_targets() {
    let (one, two) = (exporter().address, exporter().address);
    let list = move |targets: &[SocketAddr]| {
        let targets: Vec<String> = targets.iter().map(SocketAddr::to_string).collect();
        reply_of(200, JSON, &format!(r#"[{{"targets": {targets:?}, "labels": {{"rack": "r1"}}}}]"#))
    };
    let server = FakeInflux::start(move |_| list(&[one]));
    let taffrail = scraping(&job(&format!(
        "[[collectors.prometheus.relabel_configs]]\nsource_labels = [\"__meta_url\"]\ntarget_label = \"from\"\n\
         [[collectors.prometheus.http_sd_configs]]\nurl = \"{}/targets\"\nrefresh_interval = \"1s\"\nbearer_token = \"secret\"",
        server.url()
    )));
    let line = |instance: SocketAddr| {
        format!("up{{from=\"{}/targets\",instance=\"{instance}\",job=\"j\",rack=\"r1\"}} 1", server.url())
    };
    exposition_with(&taffrail, &[line(one)]);
    let (request, _) = server.wait_for_writes(1).remove(0);
    assert_eq!(request.target, "/targets");
    for (name, value) in [
        ("accept", "application/json"),
        ("authorization", "Bearer secret"),
        ("x-prometheus-refresh-interval-seconds", "1"),
    ] {
        assert_eq!(request.header(name), Some(value));
    }
    server.answer(move |_| list(&[one, two]));
    exposition_with(&taffrail, &[line(one), line(two)]);
    // Neither an error nor a page of something else ends targets.
    for (broken, reason) in [
        (reply(500, ""), "status 500"),
        (reply_of(200, "text/html", "[]"), "expected the content type application/json"),
        (reply_of(200, JSON, "{}"), "invalid type"),
    ] {
        server.answer(move |_| broken.clone());
        taffrail.wait_for_log(reason);
        exposition_with(&taffrail, &[line(one), line(two)]);
    }
    server.answer(move |_| list(&[two]));
    is_gone(&taffrail, one);
    exposition_with(&taffrail, &[line(two)]);
}

/// Records of names: type, content; and whether they are only sent over TCP.
type Zone = Arc<Mutex<HashMap<&'static str, (Vec<(u16, Vec<u8>)>, bool)>>>;

/// A name server for this zone, over UDP and TCP. A name that is not in it does not exist.
fn name_server(zone: &Zone) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(address).unwrap();
    let (of_udp, of_tcp) = (zone.clone(), zone.clone());
    thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let _ = socket.send_to(&dns_response(&of_udp, &query[..length], false), from);
        }
    });
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut query).unwrap();
            let response = dns_response(&of_tcp, &query, true);
            let length = u16::try_from(response.len()).unwrap().to_be_bytes();
            stream.write_all(&[&length, &*response].concat()).unwrap();
        }
    });
    address
}

fn dns_response(zone: &Zone, query: &[u8], is_tcp: bool) -> Vec<u8> {
    const NO_SUCH_NAME: u8 = 3;
    let zone = zone.lock().unwrap();
    let labels = query[12..].split(|byte| *byte == 0).next().unwrap();
    let found = zone.iter().find(|(name, _)| labels[1..].starts_with(name.as_bytes())).map(|(_, found)| found);
    let is_truncated = found.is_some_and(|(_, needs_tcp)| *needs_tcp && !is_tcp);
    let records = found.map_or(&[][..], |(records, _)| if is_truncated { &[] } else { records });
    let mut response = query.to_vec();
    response[2] |= 0x80 | if is_truncated { 2 } else { 0 };
    response[3] |= if found.is_some() { 0 } else { NO_SUCH_NAME };
    response[7] = u8::try_from(records.len()).unwrap();
    for (kind, content) in records {
        response.extend(b"\xc0\x0c");
        response.extend(kind.to_be_bytes());
        response.extend(b"\0\x01\0\0\0\x3c");
        response.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        response.extend(content);
    }
    response
}

#[test]
fn records_of_names_are_targets() {
    let (one, two) = (exporter().address.port(), exporter().address.port());
    let service = |port: u16| (33, [&[0, 1, 0, 1], &port.to_be_bytes()[..], b"\x09localhost\0"].concat());
    let alias = (5, b"\x01a\0".to_vec());
    let zone: Zone = Arc::new(Mutex::new(HashMap::from([
        ("srv", (vec![service(one), service(two)], true)),
        ("address", (vec![alias, (1, vec![127, 0, 0, 1])], false)),
        ("mail", (vec![(15, b"\0\x0a\x09localhost\0".to_vec())], false)),
        ("zone", (vec![(2, b"\x09localhost\0".to_vec())], false)),
        ("six", (vec![(28, std::net::Ipv6Addr::LOCALHOST.octets().to_vec())], false)),
    ])));
    let server = name_server(&zone);
    let source = |name: &str, kind: &str| {
        format!(
            "[[collectors.prometheus.dns_sd_configs]]\nnames = [\"{name}.test\"]\ntype = \"{kind}\"\nport = {one}\n\
             servers = [\"{server}\"]\nrefresh_interval = \"1s\"\n"
        )
    };
    let relabel: String = ["name", "srv_record_target", "srv_record_port", "mx_record_target", "ns_record_target"]
        .iter()
        .map(|label| {
            format!(
                "[[collectors.prometheus.relabel_configs]]\nsource_labels = [\"__meta_dns_{label}\"]\ntarget_label = \"{label}\"\n"
            )
        })
        .collect();
    let sources: String = [("srv", "SRV"), ("address", "A"), ("mail", "MX"), ("zone", "NS"), ("six", "AAAA")]
        .map(|(n, k)| source(n, k))
        .concat();
    let taffrail = scraping(&job(&format!("{relabel}{sources}")));
    let of_service = |port: u16| {
        format!(
            "up{{instance=\"localhost:{port}\",job=\"j\",name=\"srv.test\",srv_record_port=\"{port}\",srv_record_target=\"localhost.\"}} 1"
        )
    };
    let lines = [
        of_service(one),
        of_service(two),
        format!("up{{instance=\"127.0.0.1:{one}\",job=\"j\",name=\"address.test\"}} 1"),
        format!("up{{instance=\"localhost:{one}\",job=\"j\",mx_record_target=\"localhost.\",name=\"mail.test\"}} 1"),
        format!("up{{instance=\"localhost:{one}\",job=\"j\",name=\"zone.test\",ns_record_target=\"localhost.\"}} 1"),
        format!("scrape_samples_scraped{{instance=\"[::1]:{one}\",job=\"j\",name=\"six.test\"}} 0"),
    ];
    exposition_with(&taffrail, &lines);
    // A name that is gone ends its targets; a server that is gone does not.
    zone.lock().unwrap().remove("six");
    is_gone(&taffrail, format!("[::1]:{one}"));
    zone.lock().unwrap().get_mut("srv").unwrap().0.pop();
    is_gone(&taffrail, format!("localhost:{two}"));
    exposition_with(&taffrail, &lines[2..5]);
}

/// A list of two pods on this host, of which one has the annotation.
fn pods(exporter: &FakeInflux) -> String {
    let pod = |name: &str, is_scraped: bool| {
        format!(
            r#"{{"metadata": {{"name": "{name}", "namespace": "shop", "labels": {{"app": "web"}}, "annotations": {{
                "prometheus.io/scrape": "{is_scraped}", "prometheus.io/port": "{}", "prometheus.io/path": "/of/pod?x=y"}}}},
              "spec": {{"containers": [{{"name": "c"}}]}}, "status": {{"phase": "Running", "podIP": "127.0.0.1"}}}}"#,
            exporter.address.port()
        )
    };
    format!(r#"{{"items": [{}, {}]}}"#, pod("web-0", true), pod("web-1", false))
}

#[test]
fn pods_of_the_node_are_targets() {
    let exporter = exporter();
    let list = pods(&exporter);
    let (of_kubelet, of_server) = (list.clone(), list);
    let kubelet = FakeInflux::start(move |request: &Post| match request.target.as_str() {
        "/pods" => reply_of(200, "application/json", &of_kubelet),
        _ => reply(404, ""),
    });
    let server = FakeInflux::start(move |request: &Post| {
        let first = "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1&limit=500&resourceVersion=0";
        match request.target.as_str() {
            target if target == first => reply_of(200, "application/json", r#"{"metadata": {"continue": "x"}}"#),
            target if target.ends_with("&limit=500&continue=x") => reply_of(200, "application/json", &of_server),
            _ => reply(404, ""),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "one\n").unwrap();
    let taffrail = scraping(&job(&format!(
        "[[collectors.prometheus.relabel_configs]]\nregex = \"__meta_kubernetes_pod_label_(.+)\"\naction = \"labelmap\"\n\
         [[collectors.prometheus.kubernetes_sd_configs]]\nkubelet_url = \"{}\"\nkubernetes_url = \"{}\"\nkubernetes_node = \"node-1\"\n\
         bearer_token_file = {token:?}\nrefresh_interval = \"1s\"",
        kubelet.url(),
        server.url()
    )));
    let address = exporter.address;
    let line = format!("up{{app=\"web\",instance=\"{address}\",job=\"j\",namespace=\"shop\",pod=\"web-0\"}} 1");
    let text = exposition_with(&taffrail, std::slice::from_ref(&line));
    assert!(!text.contains("web-1"), "{text}");
    assert_eq!(exporter.wait_for_writes(1)[0].0.target, "/of/pod?x=y");
    assert!(server.writes().is_empty());
    std::fs::write(&token, "two\n").unwrap();
    wait_until("the rotated token", || {
        kubelet.writes().iter().any(|(post, _)| post.header("authorization") == Some("Bearer two")).then_some(())
    });
    // Where the kubelet refuses, the API server is queried; the targets stay.
    kubelet.answer(|_| reply(403, ""));
    server.wait_for_writes(4);
    exposition_with(&taffrail, &[line]);
    server.answer(|_| reply(403, ""));
    let line = taffrail.wait_for_log("targets are not up to date");
    for right in ["`get` on nodes/pods", "`list` on pods"] {
        assert!(line.contains(right), "{line}");
    }
}
