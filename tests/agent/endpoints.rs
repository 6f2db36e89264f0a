//! What Prometheus, probes and people get over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use crate::harness::hanging::{HangingFile, copied_host};
use crate::harness::server::FakeInflux;
use crate::harness::{Taffrail, config_file, get, host_section, printed, recorded_host, taffrail, wait_until};
use flate2::read::GzDecoder;
use rustix::process::Signal;

const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0";

#[test]
fn the_format_is_negotiated() {
    let taffrail = Taffrail::start(&recorded_host());
    let accepting = |accept: &str| taffrail.get_with("/metrics", &[("accept", accept)]);

    let text = taffrail.get("/metrics");
    assert_eq!((text.status, text.content_type.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(text.sample("node_scrape_collector_success{collector=\"cpu\"}"), Some(1.0));

    let open_metrics = accepting(&format!("{OPEN_METRICS};q=0.9, text/plain;q=0.5"));
    assert_eq!(open_metrics.content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open_metrics.text().ends_with("# EOF\n"));

    let protobuf = accepting(&format!("{PROTOBUF}, {OPEN_METRICS};q=0.9"));
    assert!(protobuf.content_type.starts_with("application/vnd.google.protobuf; proto=io.prometheus"));
    assert!(protobuf.body.windows(10).any(|bytes| bytes == b"node_load1"));

    assert!(accepting(&format!("{PROTOBUF};q=0.1, text/plain")).content_type.starts_with("text/plain"));
    assert!(accepting("image/png").content_type.starts_with("text/plain"));
}

#[test]
fn an_answer_is_compressed_where_that_is_accepted() {
    let taffrail = Taffrail::start(&recorded_host());
    let compressed = taffrail.get_with("/metrics", &[("accept-encoding", "gzip")]);
    assert_eq!(compressed.content_encoding, "gzip");
    let mut text = String::new();
    GzDecoder::new(&compressed.body[..]).read_to_string(&mut text).unwrap();
    assert!(text.contains("\nnode_load1 "));
    assert_eq!(taffrail.get_with("/metrics", &[("accept-encoding", "gzip;q=0")]).content_encoding, "");
}

#[test]
fn a_head_request_gets_the_headers_alone() {
    let taffrail = Taffrail::start(&recorded_host());
    let answer = ureq::head(taffrail.url("/metrics")).call().unwrap();
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(answer.into_body().read_to_vec().unwrap(), b"");
}

#[test]
fn a_scrape_can_choose_collectors() {
    let taffrail = Taffrail::start(&recorded_host());
    let chosen = taffrail.get("/metrics?collect[]=loadavg&collect%5B%5D=uname");
    assert!(chosen.text().contains("node_load1 ") && chosen.text().contains("node_uname_info{"));
    assert!(!chosen.text().contains("node_cpu_seconds_total"));
    let rest = taffrail.get("/metrics?exclude[]=cpu");
    assert!(rest.text().contains("node_load1 ") && !rest.text().contains("node_cpu_seconds_total"));

    let both = taffrail.get("/metrics?collect[]=cpu&exclude[]=uname");
    assert_eq!((both.status, both.text()), (400, "expected either collect[] or exclude[], found both\n"));
    let unknown = taffrail.get("/metrics?collect[]=cqu");
    assert_eq!(unknown.status, 400);
    assert_eq!(unknown.text(), "there is no collector \"cqu\"; did you mean cpu?\n");
    // processes is on for points alone.
    let off = taffrail.get("/metrics?collect[]=processes");
    assert_eq!(off.status, 400);
    assert!(off.text().contains("is not on; on are arp, bcache, bcachefs, bonding, "), "{}", off.text());
}

#[test]
fn a_running_taffrail_tells_its_health() {
    let taffrail = Taffrail::start(&recorded_host());
    let base = taffrail.url("");
    for url in [base.trim_end_matches('/'), &taffrail.url("/-/ready")] {
        let asked = crate::harness::taffrail(&["health", url]);
        assert!(asked.status.success(), "{:?}", crate::harness::printed(&asked));
    }
    let asked = crate::harness::taffrail(&["health", &taffrail.url("/nowhere")]);
    assert!(!asked.status.success() && crate::harness::printed(&asked).1.contains("answers 404"));
    drop(taffrail);
    let asked = crate::harness::taffrail(&["health", &base]);
    assert!(!asked.status.success() && crate::harness::printed(&asked).1.contains("refused"));
}

#[test]
fn probes_and_people_are_answered() {
    let taffrail = Taffrail::start(&recorded_host());
    assert_eq!(taffrail.get("/-/healthy").status, 200);
    assert_eq!(taffrail.get("/-/ready").status, 200);
    assert_eq!(taffrail.get("/nowhere").status, 404);
    let page = taffrail.get("/");
    assert!(page.content_type.starts_with("text/html"));
    for link in ["metrics", "-/healthy", "-/ready"] {
        assert!(page.text().contains(&format!("href=\"{link}\"")), "{link}");
        assert_eq!(taffrail.get(&format!("/{link}")).status, 200);
    }
}

/// A copy of the recorded host on which reading `/proc/loadavg` hangs until it is released.
struct HangingHost {
    folder: tempfile::TempDir,
    loadavg: HangingFile,
}

impl HangingHost {
    fn new() -> Self {
        let folder = copied_host();
        std::fs::write(folder.path().join("proc/loadavg"), "0.5 0.25 0.125 1/2 3\n").unwrap();
        let loadavg = HangingFile::new(folder.path(), "proc/loadavg");
        loadavg.hang();
        HangingHost { folder, loadavg }
    }

    fn config(&self, more: &str) -> String {
        format!("{}[collectors.loadavg]\ntimeout = \"1s\"\n{more}", host_section(self.folder.path()))
    }

    fn release(&self) {
        self.loadavg.answer();
    }
}

const LOADAVG_SUCCESS: &str = "node_scrape_collector_success{collector=\"loadavg\"}";
const CPU_SUCCESS: &str = "node_scrape_collector_success{collector=\"cpu\"}";

#[test]
fn a_collector_that_hangs_costs_its_own_samples_until_it_answers_again() {
    let host = HangingHost::new();
    let taffrail = Taffrail::start(&host.config(""));

    let scrape = taffrail.get("/metrics");
    assert_eq!((scrape.sample(LOADAVG_SUCCESS), scrape.sample(CPU_SUCCESS)), (Some(0.0), Some(1.0)));
    assert!(scrape.text().contains("node_uname_info{") && scrape.text().contains("node_vmstat_pgfault "));
    assert!(!scrape.text().contains("\nnode_load1 "));

    let threads = taffrail.threads();
    for _ in 0..20 {
        assert_eq!(taffrail.get("/metrics").sample(CPU_SUCCESS), Some(1.0));
    }
    assert_eq!(taffrail.threads(), threads);
    assert_eq!(taffrail.logged("no answer in time"), 1, "{:#?}", taffrail.log());

    host.release();
    wait_until("the collector to answer again", || {
        (taffrail.get("/metrics").sample("node_load1") == Some(0.5)).then_some(())
    });
    taffrail.wait_for_log("answers again");
}

#[test]
fn a_scrape_answers_before_prometheus_gives_up() {
    let host = HangingHost::new();
    let taffrail =
        Taffrail::start(&format!("{}[collectors.loadavg]\ntimeout = \"10m\"\n", host_section(host.folder.path())));
    let scrape = taffrail.get_with("/metrics", &[("x-prometheus-scrape-timeout-seconds", "1")]);
    assert_eq!((scrape.sample(LOADAVG_SUCCESS), scrape.sample(CPU_SUCCESS)), (Some(0.0), Some(1.0)));
}

#[test]
fn scrapes_beyond_the_limit_are_refused() {
    let host = HangingHost::new();
    let config = host.config("[http]\nmax_requests = 2\n").replace("1s", "10m");
    let taffrail = Taffrail::start(&config);
    let url = taffrail.url("/metrics");
    let scrape = |url: String| wait_until("a place", || get(&url, &[]).ok().filter(|answer| answer.status != 503));
    let in_flight: Vec<_> = [url.clone(), url.clone()].map(|url| thread::spawn(move || scrape(url))).into();
    let refusal = wait_until("a refusal", || {
        let answer = get(&url, &[("x-prometheus-scrape-timeout-seconds", "0.1")]).unwrap();
        (answer.status == 503).then_some(answer)
    });
    assert!(refusal.text().contains("max_requests"), "{}", refusal.text());
    assert_eq!(taffrail.get("/-/healthy").status, 200);
    host.release();
    for scrape in in_flight {
        assert_eq!(scrape.join().unwrap().status, 200);
    }
    assert_eq!(taffrail.get("/metrics").status, 200);
}

#[test]
fn scrapes_have_the_path_that_is_configured() {
    let running = Taffrail::start(&recorded_host());
    let reload = |path: &str| running.reload(&format!("{}[http]\ntelemetry_path = {path:?}\n", recorded_host()));
    reload("/node/metrics");
    assert!(running.get("/node/metrics").text().contains("node_load1 "));
    assert_eq!(running.get("/metrics").status, 404);
    assert!(running.get("/").text().contains("href=\"node/metrics\""));
    // Instead of the page for people.
    reload("/");
    assert!(running.get("/").text().contains("node_load1 "));
    assert_eq!(running.get("/-/healthy").status, 200);
    for (path, error) in
        [("metrics", "expected a path such as"), ("/a b", "expected a path such as"), ("/-/ready", "health probe")]
    {
        let (_folder, file) = config_file(&format!("[http]\ntelemetry_path = {path:?}\n"));
        let (_, errors) = printed(&taffrail(&["check", "--config", &file]));
        assert!(errors.contains("http.telemetry_path: ") && errors.contains(error), "{errors}");
    }
}

#[test]
fn scrapes_in_flight_keep_their_connections_and_probes_are_answered_beside_them() {
    let host = HangingHost::new();
    let config = host.config("[http]\nmax_connections = 2\n").replace("1s", "10m");
    let taffrail = Taffrail::start(&config);
    let url = taffrail.url("/metrics");
    let scrape = |url: String| wait_until("a place", || get(&url, &[]).ok().filter(|answer| answer.status != 503));
    let in_flight: Vec<_> = [url.clone(), url.clone()].map(|url| thread::spawn(move || scrape(url))).into();
    let refusal = wait_until("a refusal", || {
        let answer = get(&url, &[("x-prometheus-scrape-timeout-seconds", "0.1")]).ok()?;
        (answer.status == 503).then_some(answer)
    });
    assert!(refusal.text().contains("all connections are being served"), "{}", refusal.text());
    let _silent: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(&taffrail.addresses()[0]).unwrap()).collect();
    for path in ["/-/healthy", "/-/ready"] {
        assert_eq!(taffrail.get(path).status, 200);
    }
    host.release();
    for scrape in in_flight {
        assert_eq!(scrape.join().unwrap().status, 200);
    }
    let metrics = taffrail.get("/metrics");
    let refused = format!("taffrail_connections_refused_total{{address=\"{}\"}}", taffrail.addresses()[0]);
    assert!(metrics.sample(&refused).unwrap() >= 1.0);
}

#[test]
fn a_peer_that_is_slow_to_ask_keeps_nobody_else_waiting_and_is_cut_off() {
    let taffrail = Taffrail::start(&format!("{}[http]\nidle_timeout = \"500ms\"\n", recorded_host()));
    let mut slow = TcpStream::connect(&taffrail.addresses()[0]).unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n").unwrap();
    assert_eq!(taffrail.get("/metrics").status, 200);
    slow.set_read_timeout(Some(crate::harness::LONG_TIMEOUT)).unwrap();
    let mut rest = Vec::new();
    let cut_off = slow.read_to_end(&mut rest);
    assert!(cut_off.is_ok() && !rest.starts_with(b"HTTP/1.1 200"), "{cut_off:?} {}", String::from_utf8_lossy(&rest));
}

#[test]
fn connections_beyond_the_limit_wait_their_turn() {
    let taffrail = Taffrail::start(&format!("{}[http]\nmax_connections = 1\nidle_timeout = \"1s\"\n", recorded_host()));
    let _idle = TcpStream::connect(&taffrail.addresses()[0]).unwrap();
    assert_eq!(taffrail.get("/-/healthy").status, 200);
}

#[test]
fn a_scrape_in_flight_is_answered_before_the_process_ends() {
    let host = HangingHost::new();
    let mut taffrail = Taffrail::start(&host.config("").replace("1s", "10m"));
    let url = taffrail.url("/metrics");
    let in_flight = thread::spawn(move || get(&url, &[]).unwrap());
    // The scrape is in flight when the collector was found to hang.
    let short = [("x-prometheus-scrape-timeout-seconds", "0.1")];
    wait_until("a collector that hangs", || {
        (taffrail.get_with("/metrics", &short).sample("taffrail_collectors_hung") == Some(1.0)).then_some(())
    });
    taffrail.signal(Signal::TERM);
    taffrail.wait_for_log("shutting down");
    host.release();
    let answer = in_flight.join().unwrap();
    assert_eq!((answer.status, answer.sample(CPU_SUCCESS)), (200, Some(1.0)));
    assert_eq!(taffrail.wait().code(), Some(0));
}

#[test]
fn connections_without_a_request_do_not_put_the_end_off() {
    let mut taffrail = Taffrail::start(&recorded_host());
    // One never asks, one does not come to the end of its question, one has been answered and stays.
    let connect = || TcpStream::connect(&taffrail.addresses()[0]).unwrap();
    let (_silent, mut halfway, mut answered) = (connect(), connect(), connect());
    halfway.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n").unwrap();
    answered.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(answered.read(&mut [0; 100]).unwrap() > 0);
    taffrail.signal(Signal::TERM);
    assert_eq!(taffrail.wait().code(), Some(0));
    assert_eq!(taffrail.logged("not all requests in flight were answered"), 0, "{:#?}", taffrail.log());
}

#[test]
fn sigint_ends_it_too() {
    let mut taffrail = Taffrail::start(&recorded_host());
    taffrail.signal(Signal::INT);
    assert_eq!(taffrail.wait().code(), Some(0));
}

#[test]
fn sighup_takes_a_sound_configuration_and_refuses_another() {
    let taffrail = Taffrail::start(&recorded_host());
    assert!(taffrail.get("/metrics").text().contains("node_load1 "));

    taffrail.reload(&format!("{}[collectors]\ndisable = [\"loadavg\"]\n", recorded_host()));
    assert!(!taffrail.get("/metrics").text().contains("node_load1 "));

    taffrail.reload(&format!("{}[collectors]\ndisabled = [\"cpu\"]\n", recorded_host()));
    taffrail.wait_for_log("collectors.disabled: unknown key; did you mean disable?");
    taffrail.wait_for_log("was not reloaded; the previous one stays active");
    assert!(taffrail.get("/metrics").text().contains("node_cpu_seconds_total"));
    assert!(!taffrail.get("/metrics").text().contains("node_load1 "));
}

#[test]
fn a_reload_opens_new_addresses_and_closes_old_ones() {
    // Addresses of the loopback network, so that a port that is free on one is not taken on the other by chance.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = |address: &str| format!("{}[http]\nlisten = [\"{address}:{free}\"]\n", recorded_host());
    let taffrail = Taffrail::start_with(&listen("127.0.0.1"), &[]);
    taffrail.wait_for_log("listening on");
    let old = format!("http://127.0.0.1:{free}/-/healthy");
    let new = format!("http://127.0.0.2:{free}/-/healthy");
    assert_eq!(get(&old, &[]).unwrap().status, 200);

    taffrail.reload(&listen("127.0.0.2"));
    assert_eq!(get(&new, &[]).unwrap().status, 200);
    assert_eq!(taffrail.addresses(), [format!("127.0.0.1:{free}"), format!("127.0.0.2:{free}")]);
    wait_until("the old address to be closed", || get(&old, &[]).is_err().then_some(()));

    // An address that cannot be had: everything stays.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    taffrail.reload(&format!("{}[http]\nlisten = [\"{}\"]\n", recorded_host(), taken.local_addr().unwrap()));
    taffrail.wait_for_log("cannot listen on");
    assert_eq!(get(&new, &[]).unwrap().status, 200);
}

#[test]
fn a_reload_may_keep_the_port_and_change_the_address() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = |address: &str| format!("{}[http]\nlisten = [\"{address}:{free}\"]\n", recorded_host());
    let taffrail = Taffrail::start_with(&listen("0.0.0.0"), &[]);
    taffrail.wait_for_log("listening on");
    let health = |address: &str| get(&format!("http://{address}:{free}/-/healthy"), &[]);

    taffrail.reload(&listen("127.0.0.1"));
    assert_eq!(health("127.0.0.1").unwrap().status, 200, "{:#?}", taffrail.log());
    assert!(health("127.0.0.2").is_err());

    // Another process is in the way: what was closed for it is opened again.
    let other = std::net::TcpListener::bind(("127.0.0.2", free)).unwrap();
    taffrail.reload(&listen("0.0.0.0"));
    taffrail.wait_for_log("cannot listen on 0.0.0.0");
    assert_eq!(health("127.0.0.1").unwrap().status, 200, "{:#?}", taffrail.log());
    drop(other);
    taffrail.reload(&listen("0.0.0.0"));
    assert_eq!(health("127.0.0.2").unwrap().status, 200, "{:#?}", taffrail.log());
}

#[test]
fn an_address_that_is_taken_is_said_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut taffrail = Taffrail::start_with(&recorded_host(), &["--listen", &address]);
    // The units do not restart it for this status.
    assert_eq!(taffrail.wait().code(), Some(69));
    let line = taffrail.wait_for_log("cannot listen on");
    assert!(line.starts_with("error: ") && line.contains(&address) && line.contains("--listen"), "{line}");
}

#[test]
fn a_collector_shows_no_more_series_than_it_may() {
    let sink = FakeInflux::agreeable();
    let config = format!(
        "{}[collectors]\ndefault = false\nenable = [\"vmstat\", \"cpu\"]\n[collectors.cpu]\nmax_series = 3\n\
         [agent]\ninterval = \"200ms\"\nflush_interval = \"100ms\"\n[[sinks.influxdb]]\nurls = [\"{}\"]\ndatabase = \"d\"\n",
        recorded_host(),
        sink.url()
    );
    let taffrail = Taffrail::start(&config);
    let metrics = taffrail.get("/metrics");
    let of_cpu = |line: &&str| line.starts_with("node_cpu_");
    assert_eq!(metrics.text().lines().filter(of_cpu).count(), 3);
    assert!(metrics.sample("taffrail_collector_series_left_out{collector=\"cpu\"}").unwrap() > 10.0);
    assert!(metrics.sample("node_vmstat_pgfault").is_some());
    let line = taffrail.wait_for_log("series more than");
    assert!(line.contains("[collectors.cpu] max_series = 3"), "{line}");
    let _ = taffrail.get("/metrics");
    assert_eq!(taffrail.logged("series more than"), 1);
}
