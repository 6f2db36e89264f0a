//! Scraping: pages as exporters in the field send them, exposed again and pushed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::sleep;
use std::time::Duration;

use taffrail::encode::parse::model::{Buckets, Histogram, Kind, Measure, Metric, Native};
use taffrail::encode::pushed::{push_family_message, push_metric_message};

use crate::harness::golden::{assert_families, assert_points};
use crate::harness::server::{FakeInflux, Post, Reply, reply, reply_of};
use crate::harness::{Taffrail, wait_until};

pub(super) const TEXT: &str = "text/plain; version=0.0.4";
pub(super) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A page with every type.
pub(super) const PAGE: &str = "# HELP http_requests_total Requests.\n# TYPE http_requests_total counter\n\
    http_requests_total{code=\"200\",empty=\"\"} 5\n# TYPE temp gauge\ntemp NaN\n# TYPE g2 gauge\n\
    g2{a=\"b\"} 1.5 1700000000123\n# TYPE lat histogram\nlat_bucket{le=\"0.1\"} 1\nlat_bucket{le=\"+Inf\"} 3\n\
    lat_sum 2.5\nlat_count 3\n# TYPE q summary\nq{quantile=\"0.5\"} 0.25\nq{quantile=\"0.9\"} NaN\nq_sum 1\nq_count 2\n\
    untyped_thing 7\n";
/// The same of OpenMetrics.
pub(super) const OPEN_PAGE: &str = "# TYPE http_requests counter\nhttp_requests_total{code=\"200\"} 5\n\
    http_requests_created{code=\"200\"} 1700000000.5\n# TYPE build info\nbuild_info{version=\"1.2\"} 1\n\
    # TYPE state stateset\nstate{state=\"a\"} 1\nstate{state=\"b\"} 0\n# TYPE foo_seconds gauge\n# UNIT foo_seconds seconds\n\
    foo_seconds 1\n# EOF\n";

/// A server with pages by path.
pub(super) struct Exporter {
    server: FakeInflux,
}

impl Exporter {
    pub(super) fn start(pages: &[(&str, Reply)]) -> Exporter {
        let pages: BTreeMap<String, Reply> =
            pages.iter().map(|(path, page)| ((*path).to_owned(), page.clone())).collect();
        let requests = AtomicUsize::new(0);
        let server = FakeInflux::start(move |request: &Post| {
            let path = request.target.split('?').next().unwrap_or_default();
            match path {
                "/slow" => sleep(Duration::from_secs(2)),
                "/broken-anew" => {
                    let number = requests.fetch_add(1, Relaxed);
                    return reply_of(200, TEXT, &format!("a{{attempt=\"{number}\"}} 1\nb one\n"));
                }
                _ => {}
            }
            pages.get(path).cloned().unwrap_or_else(|| reply(404, "no such page"))
        });
        Exporter { server }
    }

    fn url(&self, path: &str) -> String {
        self.server.url() + path
    }

    pub(super) fn address(&self) -> String {
        self.server.address.to_string()
    }
}

/// An agent that scrapes alone, with this configuration of jobs.
pub(super) fn scraping(jobs: &str) -> Taffrail {
    Taffrail::start(&format!(
        "[http]\nlisten = [\"127.0.0.1:0\"]\n[collectors]\ndefault = false\n[agent]\ninterval = \"1s\"\nflush_interval = \"1s\"\n{jobs}"
    ))
}

/// The exposition once it has these lines: targets respond in any order.
pub(super) fn exposition_with(taffrail: &Taffrail, lines: &[String]) -> String {
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

/// Prometheus 3 has names of any text, in pages, targets and rules.
#[test]
fn labels_have_any_name_as_in_prometheus_3() {
    let page = reply_of(200, "text/plain; version=1.0.0", "{\"m.m\",\"x.y\"=\"1\"} 4\n{\"n\\nn\"} 5\n");
    let exporter = Exporter::start(&[("/metrics", page)]);
    let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
    let listed = format!("[{{\"targets\": [\"{}\"], \"labels\": {{\"c-d\": \"f\"}}}}]", exporter.address());
    std::fs::write(file.path(), listed).unwrap();
    let taffrail = scraping(&format!(
        "[[collectors.prometheus]]\nname = \"j\"\ninterval = \"500ms\"\ntargets = [\"{}\"]\nlabels = {{\"a-b\" = \"t\"}}\n\
         file_sd_configs = [{{files = [\"{}\"]}}]\n\
         metric_relabel_configs = [{{source_labels = [\"x.y\"], target_label = \"z.z\"}}, {{action = \"labeldrop\", regex = \"x[.]y\"}}]\n",
        exporter.address(),
        file.path().display()
    ));
    let instance = exporter.address();
    let accept = [("Accept", "text/plain;version=1.0.0;escaping=allow-utf-8")];
    for label in ["\"a-b\"=\"t\"", "\"c-d\"=\"f\""] {
        let line = format!("{{\"m.m\",{label},instance=\"{instance}\",job=\"j\",\"z.z\"=\"1\"}} 4");
        wait_until(&line, || {
            let page = taffrail.get_with("/metrics", &accept);
            page.text().lines().any(|shown| shown == line).then_some(())
        });
    }
    let page = taffrail.get_with("/metrics", &accept);
    assert!(page.text().contains("\n# TYPE \"n\\nn\" untyped\n{\"n\\nn\",\"a-b\""), "{}", page.text());
    // Parsed as a whole.
    crate::harness::series::Exposition::parse(taffrail.get("/metrics").text());
}

/// What was scraped of it is not part of a page that it scrapes of itself, which would grow with each scrape.
#[test]
fn a_target_that_is_taffrail_itself_does_not_grow() {
    let folder = tempfile::tempdir().unwrap();
    let exporter = Exporter::start(&[("/metrics", reply_of(200, TEXT, "m 1\n"))]);
    let files = folder.path().join("*.json").display().to_string();
    let taffrail = Taffrail::start(&format!(
        "[collectors]\ndefault = false\nenable = [\"loadavg\"]\n\
         [[collectors.prometheus]]\nname = \"other\"\ninterval = \"200ms\"\ntargets = [\"{}\"]\n\
         [[collectors.prometheus]]\nname = \"own\"\ninterval = \"200ms\"\nfile_sd_configs = [{{files = [\"{files}\"]}}]\n",
        exporter.address(),
    ));
    let address = taffrail.addresses()[0].to_string();
    let groups = format!(
        "[{{\"targets\": [\"{address}\"]}}, {{\"targets\": [\"{address}\"], \"labels\": {{\"__metrics_path__\": \"/metrics/other\", \"page\": \"1\"}}}}]"
    );
    std::fs::write(folder.path().join("own.json"), groups).unwrap();
    let own = format!("instance=\"{address}\",job=\"own\"");
    let lines = |start: &str| {
        let page = taffrail.get("/metrics");
        let found: Vec<String> =
            page.text().lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect();
        found
    };
    wait_until("its own page", || (!lines(&format!("node_load1{{{own}}}")).is_empty()).then_some(()));
    let seen = std::cell::Cell::new(0);
    wait_until("ten scrapes", || {
        seen.set(seen.get() + 1);
        assert_eq!(lines("m{").len(), 1);
        assert_eq!(lines("node_load5").len(), 2, "the reading and what was scraped of it");
        (seen.get() > 20).then_some(())
    });
    assert_eq!(lines(&format!("up{{{own}}}")), [format!("up{{{own}}} 1")]);
    taffrail.wait_for_log("responded with status 508");
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

/// A target has a histogram, another one the same samples without a type: their families cannot both be on one page.
#[test]
fn samples_of_a_family_that_another_target_has_without_its_type_are_exposed() {
    let samples = "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    let typed = format!("# TYPE h histogram\n{samples}# TYPE q summary\nq{{quantile=\"0.5\"}} 4\nq_sum 5\nq_count 6\n");
    let untyped = format!("{samples}q_sum 7\nq_count 8\n");
    let exporter =
        Exporter::start(&[("/typed", reply_of(200, TEXT, &typed)), ("/untyped", reply_of(200, TEXT, &untyped))]);
    for order in [["typed", "untyped"], ["untyped", "typed"]] {
        let [first, second] = order.map(|name| {
            format!(
                "[[collectors.prometheus]]\nname = \"{name}\"\ninterval = \"500ms\"\ntargets = [\"{}\"]\n",
                exporter.url(&format!("/{name}"))
            )
        });
        let taffrail = scraping(&(first + &second));
        let of = |name: &str| format!("instance=\"{}\",job=\"{name}\"", exporter.address());
        let mut expected = vec![format!("q{{{},quantile=\"0.5\"}} 4", of("typed"))];
        for (name, sum, count) in [("typed", 5, 6), ("untyped", 7, 8)] {
            let labels = of(name);
            expected.extend([
                format!("h_bucket{{{labels},le=\"1\"}} 1"),
                format!("h_bucket{{{labels},le=\"+Inf\"}} 2"),
                format!("h_sum{{{labels}}} 3"),
                format!("h_count{{{labels}}} 2"),
                format!("q_sum{{{labels}}} {sum}"),
                format!("q_count{{{labels}}} {count}"),
            ]);
        }
        expected.push("taffrail_refused_samples_total 0".to_owned());
        let text = exposition_with(&taffrail, &expected);
        let types: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
        assert_eq!(types.len(), types.iter().collect::<BTreeSet<_>>().len(), "{text}");
    }
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
