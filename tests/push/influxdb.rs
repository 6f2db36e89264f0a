//! What InfluxDB gets, and what becomes of points when it does not take them.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::harness::server::{FakeInflux, Reply, reply, reply_of};
use crate::harness::{Taffrail, recorded_host, wait_until};
use rustix::process::Signal;

/// A configuration that reads and writes several times a second, with one sink of these settings.
fn config(sink: &str) -> String {
    format!(
        "{}[collectors]\ndefault = false\nenable = [\"loadavg\", \"stat\", \"meminfo\"]\n\
         [agent]\ninterval = \"200ms\"\nflush_interval = \"200ms\"\nhostname = \"web-1\"\n\
         [tags]\nroom = \"b 12\"\n\
         [[sinks.influxdb]]\nname = \"central\"\nretry_min = \"50ms\"\nretry_max = \"100ms\"\nrefused_retry = \"200ms\"\n{sink}",
        recorded_host()
    )
}

fn v1(server: &FakeInflux, more: &str) -> String {
    config(&format!("urls = [\"{}\"]\ndatabase = \"telegraf\"\n{more}", server.url()))
}

/// The timestamps of the points of `system`, one for each tick.
fn ticks(lines: &[String]) -> Vec<u64> {
    let timestamp = |line: &String| line.rsplit(' ').next().unwrap().parse().unwrap();
    lines.iter().filter(|line| line.starts_with("system,")).map(timestamp).collect()
}

fn assert_once_each_in_order(ticks: &[u64]) {
    assert!(ticks.is_sorted(), "{ticks:?}");
    assert_eq!(ticks.iter().collect::<BTreeSet<_>>().len(), ticks.len(), "{ticks:?}");
}

#[test]
fn influxdb_1_gets_points_with_its_parameters() {
    let server = FakeInflux::agreeable();
    let sink = "retention_policy = \"week\"\nconsistency = \"any\"\nusername = \"u\"\npassword = \"p\"\n\
                [sinks.influxdb.tags]\ndatacenter = \"fra1\"\n";
    let _taffrail = Taffrail::start(&v1(&server, sink));
    let (write, _) = server.wait_for_writes(1).remove(0);
    assert_eq!(write.target, "/write?db=telegraf&precision=ns&rp=week&consistency=any");
    assert_eq!(write.header("authorization"), Some("Basic dTpw"));
    assert_eq!(write.header("content-encoding"), Some("gzip"));
    let system = write.lines.iter().find(|line| line.starts_with("system,")).unwrap();
    assert!(system.starts_with("system,datacenter=fra1,host=web-1,room=b\\ 12 load1="), "{system}");
    assert!(write.lines.iter().any(|line| line.starts_with("mem,") && line.contains(" total=") && line.contains("i,")));
}

#[test]
fn influxdb_2_gets_points_with_its_parameters() {
    let server = FakeInflux::agreeable();
    let sink = format!(
        "urls = [\"{}/base\"]\norg = \"o\"\nbucket = \"b\"\ntoken = \"t\"\ncontent_encoding = \"identity\"\n",
        server.url()
    );
    let _taffrail = Taffrail::start(&config(&sink));
    let (write, _) = server.wait_for_writes(1).remove(0);
    assert_eq!(write.target, "/base/api/v2/write?org=o&bucket=b&precision=ns");
    assert_eq!(write.header("authorization"), Some("Token t"));
    assert_eq!(write.header("content-encoding"), None);
}

#[test]
fn influxdb_3_gets_points_with_its_parameters() {
    let server = FakeInflux::start(|_| {
        let reported = r#"{"original_line":"kernel,host=","line_number":3,"error_message":"a reason"}"#;
        reply(400, &format!(r#"{{"error":"partial write of line protocol occurred","data":[{reported}]}}"#))
    });
    let sink = format!(
        "urls = [\"{}\"]\nversion = 3\ndatabase = \"d\"\ntoken = \"t\"\n[sinks.influxdb.headers]\nX-Tenant = \"ops\"\n",
        server.url()
    );
    let taffrail = Taffrail::start(&config(&sink));
    let (write, _) = server.wait_for_writes(3).remove(0);
    assert_eq!(write.target, "/api/v3/write_lp?db=d&precision=nanosecond");
    assert_eq!(write.header("authorization"), Some("Bearer t"));
    assert_eq!(write.header("x-tenant"), Some("ops"));
    // The server has the other lines; the one is logged once.
    taffrail.wait_for_log("a reason");
    assert_eq!(taffrail.logged("a reason"), 1);
    let dropped = "taffrail_sink_points_dropped_total{reason=\"rejected\",sink=\"central\"}";
    let writes = server.writes().len() as f64;
    assert!(taffrail.get("/metrics").sample(dropped).is_some_and(|dropped| dropped >= writes - 2.0));
}

#[test]
fn a_database_that_is_not_there_is_created_where_that_was_asked_for() {
    let is_there = Arc::new(AtomicUsize::new(0));
    let created = is_there.clone();
    let server = FakeInflux::start(move |post| match created.load(SeqCst) {
        _ if post.target.starts_with("/query?q=CREATE+DATABASE+%22telegraf%22") => {
            created.store(1, SeqCst);
            reply(200, "{}")
        }
        0 => reply(404, r#"{"error":"database not found: \"telegraf\""}"#),
        _ => reply(204, ""),
    });
    let taffrail = Taffrail::start(&v1(&server, "create_database = true\n"));
    taffrail.wait_for_log("the database telegraf was created");
    let stored = wait_until("points", || Some(server.stored()).filter(|lines| ticks(lines).len() > 3));
    assert_once_each_in_order(&ticks(&stored));
    assert_eq!(taffrail.logged("refuses writes"), 0);
}

#[test]
fn a_server_may_be_behind_a_unix_socket() {
    let server = FakeInflux::agreeable();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("influxdb.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let address = server.address;
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let far = std::net::TcpStream::connect(address).unwrap();
            let (mut near_in, mut far_out) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut near_in, &mut far_out));
            let (mut far_in, mut near_out) = (far, near);
            std::thread::spawn(move || std::io::copy(&mut far_in, &mut near_out));
        }
    });
    let sink = format!("urls = [\"unix://{}\"]\ndatabase = \"telegraf\"\n", path.display());
    let _taffrail = Taffrail::start(&config(&sink));
    let (write, _) = server.wait_for_writes(2).remove(0);
    assert_eq!(write.target, "/write?db=telegraf&precision=ns");
}

#[test]
fn a_server_that_says_too_large_before_it_has_read_is_sent_less() {
    use std::io::{BufRead, BufReader, Read, Write};
    const MOST: usize = 4000;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stored = Arc::new(std::sync::Mutex::new(Vec::new()));
    let store = stored.clone();
    let begin = std::time::Instant::now();
    let serve = move |mut stream: BufReader<std::net::TcpStream>| loop {
        let (mut line, mut length) = (String::new(), 0);
        while stream.read_line(&mut line).unwrap_or(0) > 2 {
            length = line.strip_prefix("content-length: ").map_or(length, |text| text.trim().parse().unwrap());
            line.clear();
        }
        if length == 0 {
            return;
        }
        // Until there is more than it takes at once.
        let is_ready = begin.elapsed().as_secs() >= 3;
        let status = match is_ready {
            false => "503 later",
            true if length > MOST => "413 too large",
            true => "204 stored",
        };
        if is_ready && length > MOST {
            let _ = stream.get_mut().write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes());
            return;
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        if is_ready {
            store.lock().unwrap().extend(String::from_utf8(body).unwrap().lines().map(str::to_owned));
        }
        let _ = stream.get_mut().write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes());
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            std::thread::spawn(move || serve(BufReader::new(stream)));
        }
    });
    let sink = format!("urls = [\"{url}\"]\ndatabase = \"telegraf\"\ncontent_encoding = \"identity\"\n");
    let taffrail = Taffrail::start(&config(&sink));
    let ticks = wait_until("everything", || {
        let queued = taffrail.get("/metrics").sample("taffrail_sink_queued_points{sink=\"central\"}")?;
        let ticks = ticks(&stored.lock().unwrap());
        (queued < 10.0 && ticks.len() > 12).then_some(ticks)
    });
    assert_once_each_in_order(&ticks);
}

#[test]
fn a_sink_sends_what_its_filters_leave_also_of_what_jobs_push() {
    let server = FakeInflux::agreeable();
    let filters = "namedrop = [\"mem\", \"kernel\"]\ntagexclude = [\"room\"]\nfieldexclude = [\"secret\"]\n\
                   [sinks.influxdb.rename_tags]\nhost = \"node\"\n";
    let taffrail = Taffrail::start(&format!("[gateway]\nlisten = [\"127.0.0.1:0\"]\n{}", v1(&server, filters)));
    let line = taffrail.wait_for_log("the gateway listens on ");
    let gateway = line.split_once("://").unwrap().1;
    let push = crate::harness::http::request("PUT", "/metrics/job/import", "rows 3\nsecret 4\n").send(gateway);
    assert_eq!(push.status, 200);
    let stored = wait_until("the push and a tick", || {
        let stored = server.stored();
        (stored.iter().any(|line| line.contains("rows=3")) && !ticks(&stored).is_empty()).then_some(stored)
    });
    for line in &stored {
        let is_filtered = line.contains("node=web-1") && !line.contains("room=") && !line.contains("secret");
        assert!(is_filtered && !line.starts_with("mem,") && !line.starts_with("kernel,"), "{line}");
    }
}

#[test]
fn writes_hold_no_more_points_than_the_batch_size() {
    let server = FakeInflux::agreeable();
    let _taffrail = Taffrail::start(&v1(&server, "metric_batch_size = 2\n"));
    let writes = server.wait_for_writes(6);
    assert!(writes.iter().all(|(write, _)| (1..=2).contains(&write.lines.len())));
}

#[test]
fn timestamps_are_on_multiples_of_the_interval() {
    let server = FakeInflux::agreeable();
    let config = v1(&server, "").replace("interval = \"200ms\"\nflush", "interval = \"1s\"\nflush");
    let _taffrail = Taffrail::start(&config);
    let stored = wait_until("two ticks", || Some(server.stored()).filter(|lines| ticks(lines).len() >= 2));
    assert!(ticks(&stored).iter().all(|tick| tick % 1_000_000_000 == 0), "{stored:?}");
}

#[test]
fn a_partial_write_is_counted_and_not_sent_again() {
    let server = FakeInflux::start(|_| reply(400, r#"{"error":"partial write: field type conflict dropped=2"}"#));
    let taffrail = Taffrail::start(&v1(&server, ""));
    let writes = server.wait_for_writes(3);
    let all: Vec<String> = writes.into_iter().flat_map(|(write, _)| write.lines).collect();
    assert_once_each_in_order(&ticks(&all));
    taffrail.wait_for_log("did not take all points");
    let scrape = taffrail.get("/metrics");
    let dropped = scrape.sample("taffrail_sink_points_dropped_total{reason=\"rejected\",sink=\"central\"}").unwrap();
    assert!(dropped >= 6.0 && dropped % 2.0 == 0.0, "{dropped}");
}

#[test]
fn of_a_batch_that_is_rejected_only_the_wrong_point_is_dropped() {
    let server = FakeInflux::start(|write| {
        let is_wrong = |line: &String| line.starts_with("kernel,");
        if write.lines.iter().any(is_wrong) {
            reply(400, r#"{"code":"invalid","message":"bad"}"#)
        } else {
            reply(204, "")
        }
    });
    let taffrail = Taffrail::start(&v1(&server, ""));
    let stored = wait_until("three ticks", || Some(server.stored()).filter(|lines| ticks(lines).len() >= 3));
    assert_once_each_in_order(&ticks(&stored));
    assert!(
        stored.iter().any(|line| line.starts_with("mem,")) && !stored.iter().any(|line| line.starts_with("kernel,"))
    );
    taffrail.wait_for_log("a point was dropped: status 400");
}

#[test]
fn a_body_that_is_too_large_is_cut_up() {
    let server = FakeInflux::start(|write| if write.lines.len() > 2 { reply(413, "") } else { reply(204, "") });
    let taffrail = Taffrail::start(&v1(&server, ""));
    let stored = wait_until("three ticks", || Some(server.stored()).filter(|lines| ticks(lines).len() >= 3));
    assert_once_each_in_order(&ticks(&stored));
    assert!(taffrail.get("/metrics").text().contains("dropped_total{reason=\"rejected\",sink=\"central\"} 0\n"));
}

#[test]
fn a_server_that_refuses_gets_everything_when_it_relents() {
    for status in [401, 403, 404] {
        let server = FakeInflux::start(move |_| reply(status, "no"));
        let taffrail = Taffrail::start(&v1(&server, ""));
        server.wait_for_writes(4);
        assert_eq!(taffrail.logged("the server refuses writes"), 1, "{:#?}", taffrail.log());
        let refused: BTreeSet<u64> = server.writes().iter().flat_map(|(write, _)| ticks(&write.lines)).collect();
        server.answer(|_| reply(204, ""));
        let stored = wait_until("the points", || {
            Some(server.stored()).filter(|lines| refused.is_subset(&ticks(lines).into_iter().collect()))
        });
        assert_once_each_in_order(&ticks(&stored));
        taffrail.wait_for_log("takes writes again");
    }
}

/// What a proxy, a login form, a server of another protocol or another kind says is no word about a point.
#[test]
fn what_is_not_influxdbs_answer_keeps_every_point_and_is_told_once() {
    let page = "<html><head><title>400</title></head><body>The plain HTTP request was sent to HTTPS port</body></html>";
    for (status, kind, body) in [
        (200, "text/html", "<html><form>Log in</form></html>"),
        (200, "text/plain", ""),
        (200, "application/json", "{\"results\":[]}"),
        (302, "text/html", "<a href=\"/login\">Found</a>"),
        (400, "text/html", page),
        (400, "text/plain", "Client sent an HTTP request to an HTTPS server.\n"),
        (400, "application/json", "{\"message\":\"no Route matched\"}"),
        (400, "application/json", "{\"error\":\"database is required\"}"),
        (400, "application/json", "{\"error\":\"invalid token timestamp\"}"),
        (406, "text/html", "Not Acceptable"),
        (413, "text/html", "<html>413 Request Entity Too Large</html>"),
        (413, "text/plain", "Request Entity Too Large"),
        (413, "application/json", "{\"message\":\"Request size limit exceeded\"}"),
        (415, "text/plain", "Unsupported Media Type"),
        (422, "text/html", page),
    ] {
        let server = FakeInflux::start(move |_| reply_of(status, kind, body));
        let taffrail = Taffrail::start(&v1(&server, ""));
        let reported = taffrail.wait_for_log("the server refuses writes");
        assert!(reported.contains(&format!("status {status}: {}", body.trim())) || body.is_empty(), "{reported}");
        let asked = server.writes().len();
        server.wait_for_writes(asked + 3);
        assert_eq!(taffrail.logged("the server refuses writes"), 1, "{:#?}", taffrail.log());
        let refused: BTreeSet<u64> = server.writes().iter().flat_map(|(write, _)| ticks(&write.lines)).collect();
        let scrape = taffrail.get("/metrics");
        assert!(scrape.text().contains("dropped_total{reason=\"rejected\",sink=\"central\"} 0\n"), "{status} {body}");
        assert_eq!(scrape.sample("taffrail_sink_points_sent_total{sink=\"central\"}"), Some(0.0), "{status} {body}");
        server.answer(|_| reply(204, ""));
        let stored = wait_until("the points", || {
            Some(server.stored()).filter(|lines| refused.is_subset(&ticks(lines).into_iter().collect()))
        });
        assert_once_each_in_order(&ticks(&stored));
    }
}

/// It would have the spool itself for its folder.
#[test]
fn a_sink_with_an_empty_name_is_refused() {
    for kind in ["influxdb", "remote_write", "elasticsearch", "file"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.toml");
        std::fs::write(&path, format!("[[sinks.{kind}]]\nname = \"\"\n")).unwrap();
        let (_, reported) =
            crate::harness::printed(&crate::harness::taffrail(&["check", "--config", path.to_str().unwrap()]));
        assert!(reported.contains(&format!("sinks.{kind}[0].name: expected a name, found an empty one")), "{reported}");
    }
}

#[test]
fn another_server_is_tried_when_something_else_answers_for_one() {
    let page = FakeInflux::start(|_| reply_of(200, "text/html", "<html>Log in</html>"));
    let server = FakeInflux::agreeable();
    let sink = format!("urls = [\"{}\", \"{}\"]\ndatabase = \"telegraf\"\n", page.url(), server.url());
    let taffrail = Taffrail::start(&config(&sink));
    server.wait_for_writes(3);
    assert_eq!(taffrail.logged("refuses"), 0, "{:#?}", taffrail.log());
}

/// Who is asked for one point, and says in other words than the server's that it is too large, is not the server.
#[test]
fn another_server_is_tried_when_something_else_says_that_a_point_is_too_large() {
    for (kind, body) in [("text/html", "<html>413 Request Entity Too Large</html>"), ("text/plain", "")] {
        let proxy = FakeInflux::start(move |_| reply_of(413, kind, body));
        let server = FakeInflux::agreeable();
        let sink = format!("urls = [\"{}\", \"{}\"]\ndatabase = \"telegraf\"\n", proxy.url(), server.url());
        let taffrail = Taffrail::start(&config(&sink));
        let stored = wait_until("three ticks", || Some(server.stored()).filter(|lines| ticks(lines).len() >= 3));
        assert_once_each_in_order(&ticks(&stored));
        assert_eq!(taffrail.logged("refuses"), 0, "{:#?}", taffrail.log());
        assert!(proxy.writes().iter().any(|(write, _)| write.lines.len() == 1), "smaller batches were tried first");
    }
}

#[test]
fn failed_writes_are_tried_again_and_nothing_is_lost_or_sent_twice() {
    for status in [429, 500, 503] {
        let count = AtomicUsize::new(0);
        let server =
            FakeInflux::start(move |_| reply(if count.fetch_add(1, SeqCst) % 3 == 2 { 204 } else { status }, "no"));
        let mut taffrail = Taffrail::start(&v1(&server, ""));
        wait_until("five ticks", || (ticks(&server.stored()).len() >= 5).then_some(()));
        server.answer(|_| reply(204, ""));
        taffrail.signal(Signal::TERM);
        assert!(taffrail.wait().success());
        let (stored, seen) = (ticks(&server.stored()), server.writes());
        assert_once_each_in_order(&stored);
        let tried: BTreeSet<u64> = seen.iter().flat_map(|(write, _)| ticks(&write.lines)).collect();
        assert_eq!(tried, stored.into_iter().collect());
    }
}

#[test]
fn retry_after_is_honoured() {
    let server =
        FakeInflux::start(|_| Reply { status: 503, headers: "retry-after: 3600\r\n".into(), body: String::new() });
    let taffrail = Taffrail::start(&v1(&server, ""));
    server.wait_for_writes(1);
    // Several ticks later nothing further was sent, though the back-off alone is a tenth of a second.
    let queued = "taffrail_sink_queued_points{sink=\"central\"}";
    wait_until("several ticks", || (taffrail.get("/metrics").sample(queued)? > 20.0).then_some(()));
    assert_eq!(server.writes().len(), 1);
    // Up to half longer, so that not all agents return at the same moment.
    let line = taffrail.wait_for_log(", as the server asks");
    let pause = line.split("it is tried again in ").nth(1).and_then(|rest| rest.split(", as").next()).unwrap();
    let pause = humantime::parse_duration(pause).unwrap();
    assert!((600..=900).contains(&pause.as_secs()), "{line}");
    assert_eq!(taffrail.logged("a write failed"), 1, "{:#?}", taffrail.log());
}

#[test]
fn agents_that_start_together_do_not_write_together() {
    const AGENTS: usize = 30;
    let server = FakeInflux::agreeable();
    let agent = |agent| {
        let url = server.url();
        format!(
            "[[sinks.influxdb]]\nname = \"{agent}\"\nurls = [\"{url}\"]\ndatabase = \"d\"\nflush_interval = \"4s\"\n\
             [sinks.influxdb.tags]\nagent = \"{agent}\"\n"
        )
    };
    let agents: String = (0..AGENTS).map(agent).collect();
    let _taffrail = Taffrail::start(&format!("{}{agents}", v1(&server, "")));
    // The readings before an agent's first write say when it was.
    let readings = wait_until("the first write of each", || {
        let writes = server.writes();
        let is_of = |lines: &[String], agent| lines.iter().any(|line| line.contains(&format!("agent={agent},")));
        let first = |agent| writes.iter().find(|(write, _)| is_of(&write.lines, agent));
        (0..AGENTS).map(|agent| Some(ticks(&first(agent)?.0.lines).len())).collect::<Option<BTreeSet<usize>>>()
    });
    assert!(readings.len() > 5, "{readings:?}");
}

#[test]
fn a_server_that_is_away_gets_everything_when_it_comes_back() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sink = format!("urls = [\"http://{address}\"]\ndatabase = \"telegraf\"\n");
    let taffrail = Taffrail::start(&config(&sink));
    taffrail.wait_for_log("a write failed");
    let queued = "taffrail_sink_queued_points{sink=\"central\"}";
    let waiting =
        wait_until("points to wait", || taffrail.get("/metrics").sample(queued).filter(|points| *points > 10.0));
    let server = FakeInflux::start_at(address, |_| reply(204, ""));
    let stored = wait_until("the points", || Some(server.stored()).filter(|lines| lines.len() as f64 > waiting));
    assert_once_each_in_order(&ticks(&stored));
    assert_eq!(taffrail.logged("a write failed"), 1, "said once: {:#?}", taffrail.log());
}

#[test]
fn another_server_is_tried_when_one_fails() {
    let away = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = FakeInflux::agreeable();
    let sink = format!("urls = [\"http://{away}\", \"{}\"]\ndatabase = \"telegraf\"\n", server.url());
    let taffrail = Taffrail::start(&config(&sink));
    server.wait_for_writes(3);
    assert_eq!(taffrail.logged("failed"), 0, "{:#?}", taffrail.log());
}

#[test]
fn a_full_buffer_drops_the_oldest_and_counts_them() {
    let server = FakeInflux::start(|_| reply(500, ""));
    let taffrail = Taffrail::start(&v1(&server, "buffer_size = \"4KiB\"\n"));
    let dropped = "taffrail_sink_points_dropped_total{reason=\"overflow\",sink=\"central\"}";
    let scrape = wait_until("an overflow", || {
        Some(taffrail.get("/metrics")).filter(|scrape| scrape.sample(dropped).is_some_and(|points| points > 10.0))
    });
    assert!(scrape.sample("taffrail_sink_queued_bytes{sink=\"central\"}").unwrap() <= 4096.0);
    let reported = taffrail.wait_for_log("there is no room for more than");
    assert!(reported.contains("sink=\"central\""), "{reported}");
    let oldest = ticks(&server.writes()[0].0.lines)[0];
    server.answer(|_| reply(204, ""));
    let stored = wait_until("the rest", || Some(ticks(&server.stored())).filter(|ticks| ticks.len() > 2));
    assert!(!stored.contains(&oldest));
    assert_once_each_in_order(&stored);
}

#[test]
fn the_last_batch_is_sent_before_the_process_ends() {
    let server = FakeInflux::agreeable();
    let mut taffrail = Taffrail::start(&v1(&server, "flush_interval = \"1000d\"\n"));
    let queued = "taffrail_sink_queued_points{sink=\"central\"}";
    let waiting =
        wait_until("points to wait", || taffrail.get("/metrics").sample(queued).filter(|points| *points > 10.0));
    assert!(server.writes().is_empty());
    taffrail.signal(Signal::TERM);
    assert!(taffrail.wait().success());
    assert!(server.stored().len() as f64 >= waiting);
}

#[test]
fn points_that_are_lost_at_the_end_are_said() {
    let server = FakeInflux::start(|_| reply(500, ""));
    let mut taffrail = Taffrail::start(&v1(&server, ""));
    server.wait_for_writes(2);
    taffrail.signal(Signal::TERM);
    assert!(taffrail.wait().success());
    taffrail.wait_for_log("could not be sent, and are lost");
}

#[test]
fn waiting_points_survive_a_reload_of_their_sink() {
    let server = FakeInflux::start(|_| reply(500, ""));
    let taffrail = Taffrail::start(&v1(&server, ""));
    server.wait_for_writes(3);
    let oldest = ticks(&server.writes()[0].0.lines)[0];
    let elsewhere = FakeInflux::agreeable();
    taffrail.reload(&v1(&elsewhere, "timeout = \"4s\"\n"));
    let stored = wait_until("the points", || Some(ticks(&elsewhere.stored())).filter(|ticks| ticks.len() > 3));
    assert!(stored.contains(&oldest), "{oldest} in {stored:?}");
    assert_once_each_in_order(&stored);
}

#[test]
fn a_reload_does_not_wait_for_a_server_that_does_not_answer() {
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("urls = [\"http://{}\"]\ndatabase = \"d\"\n", dead.local_addr().unwrap());
    let mut taffrail = Taffrail::start(&config(&format!("{url}timeout = \"10m\"\n")));
    let (_hanging, _) = dead.accept().unwrap();
    let server = FakeInflux::agreeable();
    taffrail.reload(&v1(&server, ""));
    wait_until("ticks", || (ticks(&server.stored()).len() >= 2).then_some(()));
    taffrail.signal(Signal::TERM);
    assert!(taffrail.wait().success());
}

#[test]
fn a_dead_sink_does_not_hold_up_another() {
    // Accepts and never answers.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = FakeInflux::agreeable();
    let other = format!(
        "[[sinks.influxdb]]\nurls = [\"http://{}\"]\ndatabase = \"x\"\ntimeout = \"10m\"\n",
        dead.local_addr().unwrap()
    );
    let _taffrail = Taffrail::start(&v1(&server, &other));
    wait_until("ticks", || (ticks(&server.stored()).len() >= 5).then_some(()));
}

/// A sink whose server accepts connections and never answers.
fn dead_sink() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, format!("urls = [\"{url}\"]\ndatabase = \"x\"\ntimeout = \"10m\"\n"))
}

#[test]
fn a_dead_sink_does_not_cost_another_its_last_batch() {
    let (_dead, dead) = dead_sink();
    let server = FakeInflux::agreeable();
    let other = format!(
        "[[sinks.influxdb]]\nurls = [\"{}\"]\ndatabase = \"d\"\nflush_interval = \"1000d\"\nname = \"other\"\n",
        server.url()
    );
    let mut taffrail = Taffrail::start(&config(&format!("{dead}{other}")));
    let queued = "taffrail_sink_queued_points{sink=\"other\"}";
    let waiting =
        wait_until("points to wait", || taffrail.get("/metrics").sample(queued).filter(|points| *points > 10.0));
    taffrail.signal(Signal::TERM);
    assert!(taffrail.wait().success());
    assert!(server.stored().len() as f64 >= waiting, "{:#?}", taffrail.log());
    let line = taffrail.wait_for_log("could not be sent, and are lost");
    assert!(line.contains("central"), "{line}");
}

#[test]
fn a_point_that_is_too_large_by_itself_is_dropped_and_the_others_are_stored() {
    let is_large = |line: &String| line.starts_with("mem,");
    let own = r#"{"error":"Request Entity Too Large"}"#;
    let server =
        FakeInflux::start(move |write| if write.lines.iter().any(is_large) { reply(413, own) } else { reply(204, "") });
    let taffrail = Taffrail::start(&v1(&server, ""));
    let stored = wait_until("three ticks", || Some(server.stored()).filter(|lines| ticks(lines).len() >= 3));
    assert_once_each_in_order(&ticks(&stored));
    taffrail.wait_for_log("a point was dropped: the point is larger than the server takes");
}

/// Percentages are over each sink's own interval: the recorded host stands still, so the live one is read.
#[test]
fn the_first_tick_has_no_rates_and_the_next_ones_have() {
    let server = FakeInflux::agreeable();
    let config = format!(
        "[collectors]\ndefault = false\nenable = [\"cpu\"]\n[agent]\ninterval = \"400ms\"\nflush_interval = \"100ms\"\n\
         [[sinks.influxdb]]\nurls = [\"{}\"]\ndatabase = \"d\"\n",
        server.url()
    );
    let _taffrail = Taffrail::start(&config);
    let writes = server.wait_for_writes(2);
    assert!(!writes[0].0.lines.iter().any(|line| line.starts_with("cpu,")), "{writes:?}");
    let total = writes[1].0.lines.iter().find(|line| line.starts_with("cpu,cpu=cpu-total,")).unwrap();
    let fields = total.split(' ').nth(1).unwrap().split(',').map(|field| field.split_once('=').unwrap().1);
    let sum: f64 = fields.map(|value| value.parse::<f64>().unwrap()).sum();
    assert!((sum - 100.0).abs() < 1e-6, "{total}");
}

#[test]
fn tls_trusts_the_given_certificates_and_no_others() {
    let tls = crate::harness::tls::Certificates::make();
    let server = Arc::new(crate::harness::tls::server(&tls));
    let sink = |more: &str| config(&format!("urls = [\"https://{}\"]\ndatabase = \"d\"\n{more}", server.address));

    let trusting = Taffrail::start(&sink(&format!("tls_ca = \"{}\"\n", tls.authority().display())));
    wait_until("a write", || (!server.posts().is_empty()).then_some(()));
    drop(trusting);

    // Without tls_ca, those of the system are trusted, and this one is not among them.
    let plain = Taffrail::start(&sink(""));
    let line = plain.wait_for_log("a write failed");
    assert!(line.to_lowercase().contains("certificate"), "{line}");
    drop(plain);

    let before = server.posts().len();
    let strange = tls.other_authority().display().to_string();
    let distrusting = Taffrail::start(&sink(&format!("tls_ca = \"{strange}\"\n")));
    let line = distrusting.wait_for_log("a write failed");
    assert!(line.to_lowercase().contains("certificate"), "{line}");
    assert_eq!(server.posts().len(), before);

    let careless = Taffrail::start(&sink("insecure_skip_verify = true\n"));
    wait_until("a write", || (server.posts().len() > before).then_some(()));
    drop(careless);
}

/// A sink whose `tls_ca` is a link to the wrong authority, and says so in the log.
fn distrusting(
    tls: &crate::harness::tls::Certificates,
    server: &crate::harness::tls::TlsServer,
) -> (Taffrail, String, PathBuf) {
    let link = tls.folder().join("link.pem");
    symlink(tls.other_authority(), &link).unwrap();
    let sink = format!("urls = [\"https://{}\"]\ndatabase = \"d\"\ntls_ca = \"{}\"\n", server.address, link.display());
    // A failed write is not tried again within the time of a test, but for what the test does.
    let config = config(&sink).replace("\"50ms\"", "\"1h\"").replace("\"100ms\"", "\"1h\"");
    let taffrail = Taffrail::start(&config);
    let line = taffrail.wait_for_log("a write failed");
    assert!(line.to_lowercase().contains("certificate"), "{line}");
    (taffrail, config, link)
}

/// Lets the link point to the right authority at one go.
fn replace(link: &Path, tls: &crate::harness::tls::Certificates) {
    let next = tls.folder().join("next.pem");
    symlink(tls.authority(), &next).unwrap();
    std::fs::rename(&next, link).unwrap();
}

#[test]
fn a_reload_reads_the_files_that_a_sink_names_though_its_settings_are_the_same() {
    let tls = crate::harness::tls::Certificates::make();
    let server = crate::harness::tls::server(&tls);
    let (taffrail, config, link) = distrusting(&tls, &server);
    replace(&link, &tls);
    taffrail.reload(&config);
    wait_until("a write", || (!server.posts().is_empty()).then_some(()));
    taffrail.wait_for_log("the server takes writes again");
    assert_eq!(taffrail.logged("not reloaded"), 0);
    // A file that is broken is no reason to let go of what was read.
    std::fs::remove_file(&link).unwrap();
    std::fs::write(&link, "broken").unwrap();
    taffrail.reload(&config);
    taffrail.wait_for_log("not reloaded");
    let before = server.posts().len();
    wait_until("another write", || (server.posts().len() > before).then_some(()));
}

#[test]
fn a_sinks_certificates_are_read_again_when_they_change() {
    let tls = crate::harness::tls::Certificates::make();
    let server = crate::harness::tls::server(&tls);
    let (taffrail, _, link) = distrusting(&tls, &server);
    replace(&link, &tls);
    wait_until("a write", || (!server.posts().is_empty()).then_some(()));
    taffrail.wait_for_log("certificates were read again");
    std::fs::remove_file(&link).unwrap();
    std::fs::write(&link, "broken").unwrap();
    taffrail.wait_for_log("certificates stay as they were");
    let before = server.posts().len();
    wait_until("another write", || (server.posts().len() > before).then_some(()));
    std::fs::remove_file(&link).unwrap();
    symlink(tls.authority(), &link).unwrap();
    wait_until("the certificates", || (taffrail.logged("certificates were read again") == 2).then_some(()));
    assert_eq!(taffrail.logged("certificates stay as they were"), 1);
}

/// As InfluxDB's own instructions make it.
#[test]
fn a_servers_certificate_that_is_its_own_authority_is_trusted_when_it_is_given() {
    let (certificate, key, pem) = crate::harness::tls::own_authority("127.0.0.1");
    let server = crate::harness::tls::server_with(certificate, key);
    let folder = tempfile::tempdir().unwrap();
    let sink = |pem: &str| {
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, pem).unwrap();
        let (address, path) = (server.address, path.display());
        config(&format!("urls = [\"https://{address}\"]\ndatabase = \"d\"\ntls_ca = \"{path}\"\n"))
    };
    let (.., other) = crate::harness::tls::own_authority("127.0.0.1");
    let distrusting = Taffrail::start(&sink(&other));
    let line = distrusting.wait_for_log("a write failed");
    assert!(line.to_lowercase().contains("certificate"), "{line}");
    drop(distrusting);
    assert!(server.posts().is_empty());
    let _trusting = Taffrail::start(&sink(&format!("{other}{pem}")));
    wait_until("a write", || (!server.posts().is_empty()).then_some(()));
}

#[test]
fn what_a_server_says_back_of_a_secret_is_not_told() {
    let server = FakeInflux::start(|post| reply(400, &format!("what is {}?", post.header("authorization").unwrap())));
    let taffrail = Taffrail::start(&v1(&server, "username = \"u\"\npassword = \"hunter2\"\n"));
    let line = taffrail.wait_for_log("the server refuses writes");
    assert!(line.contains("status 400: what is Basic [secret]?"), "{line}");
}

#[test]
fn a_file_of_certificates_that_is_none_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, "not a certificate").unwrap();
    let sink = format!("urls = [\"https://127.0.0.1:1\"]\ndatabase = \"d\"\ntls_ca = \"{}\"\n", path.display());
    let mut taffrail = Taffrail::start_with(&config(&sink), &["--listen", "127.0.0.1:0"]);
    assert_eq!(taffrail.wait().code(), Some(78));
    let line = taffrail.wait_for_log("tls_ca");
    assert!(line.contains("ca.pem: expected certificates in PEM form, found none"), "{line}");
}
