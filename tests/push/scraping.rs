//! Scraping: pages as exporters in the field send them, exposed again and pushed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use taffrail::encode::parse::model::{Buckets, Histogram, Kind, Measure, Metric, Native};
use taffrail::encode::pushed::{push_family_message, push_metric_message};

use crate::harness::golden::{assert_families, assert_points};
use crate::harness::real::{Server, encode, free_port};
use crate::harness::server::{FakeInflux, Post, Reply, reply, reply_of};
use crate::harness::{Taffrail, wait_until};

const TEXT: &str = "text/plain; version=0.0.4";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A page with every type.
const PAGE: &str = "# HELP http_requests_total Requests.\n# TYPE http_requests_total counter\n\
    http_requests_total{code=\"200\",empty=\"\"} 5\n# TYPE temp gauge\ntemp NaN\n# TYPE g2 gauge\n\
    g2{a=\"b\"} 1.5 1700000000123\n# TYPE lat histogram\nlat_bucket{le=\"0.1\"} 1\nlat_bucket{le=\"+Inf\"} 3\n\
    lat_sum 2.5\nlat_count 3\n# TYPE q summary\nq{quantile=\"0.5\"} 0.25\nq{quantile=\"0.9\"} NaN\nq_sum 1\nq_count 2\n\
    untyped_thing 7\n";
/// The same of OpenMetrics.
const OPEN_PAGE: &str = "# TYPE http_requests counter\nhttp_requests_total{code=\"200\"} 5\n\
    http_requests_created{code=\"200\"} 1700000000.5\n# TYPE build info\nbuild_info{version=\"1.2\"} 1\n\
    # TYPE state stateset\nstate{state=\"a\"} 1\nstate{state=\"b\"} 0\n# TYPE foo_seconds gauge\n# UNIT foo_seconds seconds\n\
    foo_seconds 1\n# EOF\n";

/// A server with pages by path.
struct Exporter {
    server: FakeInflux,
}

impl Exporter {
    fn start(pages: &[(&str, Reply)]) -> Exporter {
        let pages: BTreeMap<String, Reply> =
            pages.iter().map(|(path, page)| ((*path).to_owned(), page.clone())).collect();
        let server = FakeInflux::start(move |request: &Post| {
            let path = request.target.split('?').next().unwrap_or_default();
            if path == "/slow" {
                sleep(Duration::from_secs(2));
            }
            pages.get(path).cloned().unwrap_or_else(|| reply(404, "no such page"))
        });
        Exporter { server }
    }

    fn url(&self, path: &str) -> String {
        self.server.url() + path
    }

    fn address(&self) -> String {
        self.server.address.to_string()
    }
}

/// An agent that scrapes alone, with this configuration of jobs.
fn scraping(jobs: &str) -> Taffrail {
    Taffrail::start(&format!(
        "[http]\nlisten = [\"127.0.0.1:0\"]\n[collectors]\ndefault = false\n[agent]\ninterval = \"1s\"\nflush_interval = \"1s\"\n{jobs}"
    ))
}

/// The exposition once it has these lines: targets respond in any order.
fn exposition_with(taffrail: &Taffrail, lines: &[String]) -> String {
    let body = || taffrail.get("/metrics").text().to_owned();
    for line in lines {
        wait_until(line, || body().lines().any(|shown| shown == line).then_some(()));
    }
    body()
}

#[test]
fn pages_are_exposed_again_and_their_targets_are_visible() {
    let exporter =
        Exporter::start(&[("/metrics", reply_of(200, TEXT, PAGE)), ("/open", reply_of(200, OPEN_METRICS, OPEN_PAGE))]);
    let open = exporter.url("/open");
    let taffrail = scraping(&format!(
        "[[collectors.prometheus]]\nname = \"text\"\ninterval = \"500ms\"\ntargets = [\"{}\", \"localhost:1\"]\n\
         [[collectors.prometheus]]\nname = \"open\"\ninterval = \"500ms\"\ntargets = [\"{open}\"]\n",
        exporter.address(),
    ));
    let labels = format!("instance=\"{}\",job=\"text\"", exporter.address());
    let expected = [
        format!("foo_seconds{{instance=\"{}\",job=\"open\"}} 1", exporter.address()),
        format!("up{{{labels}}} 1"),
        "up{instance=\"localhost:1\",job=\"text\"} 0".to_owned(),
        "scrape_samples_scraped{instance=\"localhost:1\",job=\"text\"} 0".to_owned(),
        format!("scrape_samples_scraped{{{labels}}} 12"),
        format!("scrape_samples_post_metric_relabeling{{{labels}}} 12"),
        format!("temp{{{labels}}} NaN"),
        format!("g2{{a=\"b\",{labels}}} 1.5 1700000000123"),
        format!("lat_bucket{{{labels},le=\"+Inf\"}} 3"),
        format!("q{{{labels},quantile=\"0.5\"}} 0.25"),
    ];
    let text = exposition_with(&taffrail, &expected);
    assert_families("scraping", &text, &["up", "scrape_", "taffrail_scrape_"]);
    assert!(text.contains("# HELP http_requests_total Requests.\n# TYPE http_requests_total counter\n"));
}

/// Telegraf 1.37.2 writes these lines of the same pages, except that its rows of version 2 have one field each.
#[test]
fn points_are_those_of_telegraf() {
    let exporter =
        Exporter::start(&[("/metrics", reply_of(200, TEXT, PAGE)), ("/open", reply_of(200, OPEN_METRICS, OPEN_PAGE))]);
    let influx = FakeInflux::agreeable();
    let job = |version: u8| {
        format!(
            "[[collectors.prometheus]]\nname = \"v{version}\"\ninterval = \"1s\"\nmetric_version = {version}\n\
             targets = [\"{}\", \"{}\"]\n",
            exporter.url("/metrics"),
            exporter.url("/open"),
        )
    };
    let _taffrail = scraping(&format!(
        "{}{}[tags]\nhost = \"h\"\n[[sinks.influxdb]]\nurls = [\"{}\"]\ndatabase = \"x\"\n",
        job(1),
        job(2),
        influx.url()
    ));
    let address = exporter.address();
    let expected = [
        "http_requests_total,code=200,url=/metrics counter=5",
        "g2,a=b,url=/metrics gauge=1.5 1700000000123000000",
        "lat,url=/metrics 0.1=1,+Inf=3,sum=2.5,count=3",
        "q,url=/metrics 0.5=0.25,sum=1,count=2",
        "untyped_thing,url=/metrics value=7",
        "http_requests,code=200,url=/open counter=5",
        "build,url=/open,version=1.2 info=1i",
        "state,url=/open a=true",
        "state,url=/open b=false",
        "foo_seconds,unit=seconds,url=/open gauge=1",
        "prometheus,code=200,url=/metrics http_requests_total=5",
        "prometheus,le=0.1,url=/metrics lat_bucket=1",
        "prometheus,quantile=0.5,url=/metrics q=0.25",
        "prometheus,url=/metrics lat_sum=2.5,lat_count=3,q_sum=1,q_count=2,untyped_thing=7",
        "openmetric,url=/open,version=1.2 build_info=1i",
        "openmetric,url=/open state_a=true",
        "openmetric,url=/open state_b=false",
        "openmetric,unit=seconds,url=/open foo_seconds=1",
    ];
    let lines = wait_until("all points", || {
        let lines: Vec<String> = influx
            .stored()
            .iter()
            .map(|line| line.replace(&format!("http://{address}"), "").replace(",host=h", ""))
            .collect();
        let has = |expected: &&str| lines.iter().any(|line| line.starts_with(expected));
        expected.iter().all(has).then_some(lines)
    });
    assert!(
        !lines
            .iter()
            .any(|line| line.contains("temp") || line.contains("job=v") && !line.starts_with("taffrail_target"))
    );
    let targets: Vec<String> = lines
        .iter()
        .filter(|line| line.starts_with("taffrail_target,"))
        .map(|line| {
            let fields = line.rsplit_once(' ').unwrap().0;
            let duration = fields.split("duration=").nth(1).unwrap().split(',').next().unwrap();
            fields.replace(duration, "0")
        })
        .collect();
    assert_points("scraping", &targets.join("\n"), &["taffrail_target"]);
}

/// Samples of a page join Taffrail's own family of the same name, and a scrape's own series win.
#[test]
fn families_of_the_same_name_are_one() {
    let page = "# TYPE taffrail_collectors_hung gauge\ntaffrail_collectors_hung 5\ntaffrail_refused_samples_total 3\n\
        up 7\nup{job=\"other\"} 8\n";
    let exporter = Exporter::start(&[("/metrics", reply_of(200, TEXT, page))]);
    let taffrail = scraping(&format!(
        "[[collectors.prometheus]]\nname = \"j\"\ninterval = \"500ms\"\nhonor_labels = true\ntargets = [\"{}\"]\n",
        exporter.address()
    ));
    let labels = format!("instance=\"{}\",job=\"j\"", exporter.address());
    let expected = [
        "taffrail_collectors_hung 0".to_owned(),
        format!("taffrail_collectors_hung{{{labels}}} 5"),
        "taffrail_refused_samples_total 0".to_owned(),
        format!("taffrail_refused_samples_total{{{labels}}} 3"),
        format!("up{{{labels}}} 1"),
        format!("up{{instance=\"{}\",job=\"other\"}} 8", exporter.address()),
        format!("taffrail_scrape_duplicate_samples{{{labels}}} 1"),
    ];
    let text = exposition_with(&taffrail, &expected);
    for line in &expected {
        assert_eq!(text.lines().filter(|shown| shown == line).count(), 1, "{line}: {text}");
    }
    let types: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    assert_eq!(types.len(), types.iter().collect::<BTreeSet<_>>().len(), "{text}");
}

#[test]
fn a_job_can_have_a_page_of_its_own() {
    let exporter = Exporter::start(&[("/metrics", reply_of(200, TEXT, "a 1\n"))]);
    let job = |name: &str, expose: &str| {
        let address = exporter.address();
        format!(
            "[[collectors.prometheus]]\nname = \"{name}\"\ninterval = \"500ms\"\nexpose = \"{expose}\"\ntargets = [\"{address}\"]\n"
        )
    };
    let taffrail = scraping(&format!("{}{}{}", job("x y", "apart"), job("z", "metrics"), job("hidden", "no")));
    let of = |job: &str| format!("a{{instance=\"{}\",job=\"{job}\"}} 1\n", exporter.address());
    exposition_with(&taffrail, &[of("z").trim_end().to_owned()]);
    let page = |path: &str| taffrail.get(path).text().to_owned();
    wait_until("the page", || page("/metrics/x%20y").contains(&of("x y")).then_some(()));
    assert!(page(&format!("/metrics/x%20y/{}", exporter.address())).contains(&of("x y")));
    assert!(page("/metrics/z").contains(&of("z")) && !page("/metrics/z").contains("x y"));
    assert!(!page("/metrics").contains("x y") && !page("/metrics").contains("hidden"));
    for path in ["/metrics/hidden", "/metrics/none", "/metrics/z/other", "/metrics/"] {
        assert_eq!(taffrail.get(path).status, 404, "{path}");
    }
}

/// A page of a native histogram, in protobuf.
fn native_page() -> Vec<u8> {
    let native = Native {
        schema: 0,
        zero_threshold: 0.001,
        zero_count: 1.0,
        positive: Buckets { spans: vec![(0, 2)], deltas: vec![1, 1], counts: Vec::new() },
        ..Native::default()
    };
    let histogram = Histogram { count: 4.0, sum: 5.5, buckets: Vec::new(), native: Some(native) };
    let measure = Measure::Histogram(Box::new(histogram));
    let metric = Metric { labels: Vec::new(), measure, timestamp: None, created: None };
    let (mut metrics, mut page) = (Vec::new(), Vec::new());
    push_metric_message(&mut metrics, Kind::Histogram, &metric);
    push_family_message(&mut page, "native", Kind::Histogram, "", &metrics);
    page
}

/// Native histograms come in protobuf, and go on as they are.
#[test]
#[ignore = "needs Debian's package prometheus: tests/run"]
fn with_prometheus_native_histograms_are_kept() {
    let page = native_page();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for mut stream in listener.incoming().map_while(Result::ok) {
            let kind = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
                page.len()
            );
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&[head.as_bytes(), &page].concat());
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let more = ["--web.enable-remote-write-receiver", "--enable-feature=native-histograms"];
    let receiver = crate::harness::real::prometheus(folder.path(), &[], &more);
    let taffrail = scraping(&format!(
        "[[collectors.prometheus]]\nname = \"j\"\ninterval = \"500ms\"\nnative_histograms = true\ntargets = [\"{address}\"]\n\
         [[sinks.remote_write]]\nurl = \"{}/api/v1/write\"\n",
        receiver.url
    ));
    assert_eq!(receiver.promql("histogram_count(native)"), [4.0]);
    assert_eq!(receiver.promql("histogram_sum(native)"), [5.5]);
    let labels = format!("instance=\"{address}\",job=\"j\"");
    exposition_with(
        &taffrail,
        &[format!("native_bucket{{{labels},le=\"+Inf\"}} 4"), format!("native_sum{{{labels}}} 5.5")],
    );
}

/// The value of each series of the pages, by its labels.
fn values(server: &Server) -> BTreeMap<String, String> {
    let answer = server.json(&format!("/api/v1/query?query={}", encode("{job=\"pages\"}")));
    let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    let is_compared = |labels: &Value| {
        let name = labels["__name__"].as_str().unwrap_or_default();
        !["scrape_duration_seconds", "taffrail_scrape_duplicate_samples"].contains(&name)
    };
    let value = |series: &Value| match series["histogram"].is_null() {
        true => series["value"][1].to_string(),
        false => series["histogram"][1].to_string(),
    };
    series
        .iter()
        .filter(|series| is_compared(&series["metric"]))
        .map(|series| (series["metric"].to_string(), value(series)))
        .collect()
}

/// What Prometheus and Taffrail make of the same pages, valid, odd, broken, huge and slow.
#[test]
#[ignore = "needs Debian's package prometheus: tests/run"]
fn with_prometheus_that_scrapes_the_same_pages() {
    let huge: String = (0..20_000).map(|number| format!("huge{{number=\"{number}\"}} {number}\n")).collect();
    let text = |body: &str| reply_of(200, TEXT, body);
    let pages = [
        ("/page", text(&PAGE.replace(" 1700000000123", ""))),
        ("/open", reply_of(200, OPEN_METRICS, OPEN_PAGE)),
        ("/pieces", text("# TYPE a gauge\na{i=\"1\"} 1\nb 3\na{i=\"2\"} 2\n")),
        ("/twice", text("# HELP a x\n# TYPE a gauge\na{i=\"1\"} 1\n# HELP a x\n# TYPE a gauge\na{i=\"2\"} 2\nb 3\n")),
        ("/no-end", text("# TYPE a gauge\na 1")),
        ("/series-twice", text("a 1\na 2\n")),
        ("/conflict", text("a{job=\"x\",instance=\"y\",exported_job=\"z\",page=\"\"} 1\n")),
        ("/blanks", text("a{b=\"c\",} 1\n\n# odd comment\na{b=\"}\\\"{\"} +Inf\n")),
        ("/broken", text("a 1\nb one\n")),
        ("/html", reply_of(200, "text/plain", "<html></html>")),
        ("/huge", text(&huge)),
        ("/slow", text("a 1\n")),
        ("/error", reply(500, "a 1\n")),
    ];
    let exporter = Exporter::start(&pages);
    let address = exporter.address();
    let folder = tempfile::tempdir().unwrap();
    let (mut of_prometheus, mut of_taffrail) = (String::new(), String::new());
    for path in pages.iter().map(|(path, _)| *path).chain(["/none"]) {
        writeln!(
            of_prometheus,
            "  - {{targets: ['{address}'], labels: {{__metrics_path__: '{path}', page: '{path}'}}}}"
        )
        .unwrap();
        writeln!(
            of_taffrail,
            "  {{targets = ['{address}'], labels = {{__metrics_path__ = '{path}', page = '{path}'}}}},"
        )
        .unwrap();
    }
    std::fs::write(
        folder.path().join("prometheus.yml"),
        format!(
            "scrape_configs:\n- job_name: pages\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  sample_limit: 15000\n  static_configs:\n{of_prometheus}"
        ),
    )
    .unwrap();
    let prometheus = |name: &str, config: &str| {
        let port = free_port();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={config}"));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join(name).display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--web.enable-remote-write-receiver");
        command.arg("--enable-feature=native-histograms");
        Server::start(command, port, "/-/ready")
    };
    std::fs::write(folder.path().join("empty.yml"), "global: {}\n").unwrap();
    let scraper = prometheus("scraper", &folder.path().join("prometheus.yml").display().to_string());
    let receiver = prometheus("receiver", &folder.path().join("empty.yml").display().to_string());
    let _taffrail = scraping(&format!(
        "[[collectors.prometheus]]\nname = \"pages\"\ninterval = \"1s\"\ntimeout = \"1s\"\nsample_limit = 15000\n\
         static_configs = [\n{of_taffrail}]\n[[sinks.remote_write]]\nurl = \"{}/api/v1/write\"\n",
        receiver.url
    ));
    let compared = std::cell::RefCell::new((BTreeMap::new(), BTreeMap::new()));
    let is_same = || {
        let both = (values(&scraper), values(&receiver));
        let is_same = both.0 == both.1 && both.0.len() > 60;
        *compared.borrow_mut() = both;
        is_same.then_some(())
    };
    let same = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wait_until("the same values", is_same)));
    let (one, other) = compared.into_inner();
    let differing: Vec<_> = one
        .keys()
        .chain(other.keys())
        .filter(|series| one.get(*series) != other.get(*series))
        .map(|series| (series, one.get(series), other.get(series)))
        .collect();
    assert!(same.is_ok(), "{} and {}: {differing:#?}", one.len(), other.len());
    let names = |server: &Server| -> BTreeSet<String> {
        let answer = server.json(&format!("/api/v1/series?match[]={}", encode("{job=\"pages\"}")));
        let series = answer["data"].as_array().unwrap().iter().map(Value::to_string);
        series.filter(|series| !series.contains("taffrail_scrape_duplicate_samples")).collect()
    };
    assert_eq!(names(&scraper), names(&receiver));
}

/// What is gone has a stale marker: a series of a page, all of a target that fails, and Taffrail's own.
#[test]
#[ignore = "needs Debian's package prometheus: tests/run"]
fn with_prometheus_what_is_gone_is_gone_at_once() {
    let page = std::sync::Arc::new(std::sync::Mutex::new(text_reply("a{i=\"1\"} 1\na{i=\"2\"} 1\n")));
    let shown = page.clone();
    let exporter = FakeInflux::start(move |_| shown.lock().unwrap().clone());
    let folder = tempfile::tempdir().unwrap();
    let receiver = crate::harness::real::prometheus(folder.path(), &[], &["--web.enable-remote-write-receiver"]);
    let watched = folder.path().join("watched");
    std::fs::create_dir(&watched).unwrap();
    std::fs::write(watched.join("x.prom"), "own 1\n").unwrap();
    let taffrail = scraping(&format!(
        "[collectors.textfile]\nenabled = true\ndirectory = [\"{}\"]\n\
         [[collectors.prometheus]]\nname = \"j\"\ninterval = \"500ms\"\ntargets = [\"{}\"]\n\
         [[sinks.remote_write]]\nurl = \"{}/api/v1/write\"\n",
        watched.display(),
        exporter.address,
        receiver.url
    ));
    let count = |query: &str| receiver.promql(&format!("count({query}) or vector(0)"))[0];
    let becomes = |query: &str, expected: f64| {
        wait_until(&format!("{query} is {expected}"), || (count(query) == expected).then_some(()));
    };
    becomes("a", 2.0);
    becomes("own", 1.0);
    *page.lock().unwrap() = text_reply("a{i=\"1\"} 1\n");
    std::fs::remove_file(watched.join("x.prom")).unwrap();
    becomes("a", 1.0);
    becomes("own", 0.0);
    *page.lock().unwrap() = reply(500, "");
    becomes("a", 0.0);
    becomes("up == 0", 1.0);
    *page.lock().unwrap() = text_reply("a{i=\"1\"} 1\n");
    becomes("a", 1.0);
    // A target that is no longer configured ends, with its own series.
    let other = "http://localhost:1";
    let config = std::fs::read_to_string(taffrail.config()).unwrap();
    taffrail.reload(&config.replace(&exporter.address.to_string(), other));
    becomes("a", 0.0);
    becomes(&format!("up{{instance=\"{}\"}}", exporter.address), 0.0);
}

fn text_reply(body: &str) -> Reply {
    reply_of(200, TEXT, body)
}
