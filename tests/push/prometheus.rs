//! Taffrail beside Debian's Prometheus: both scrape the same pages, and Prometheus receives what Taffrail scraped.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::real::{Server, encode, free_port, prometheus};
use crate::harness::server::{FakeInflux, Reply, reply, reply_of};
use crate::harness::{Taffrail, host_section, recorded, wait_until};
use crate::scraping::{Exporter, OPEN_METRICS, OPEN_PAGE, PAGE, TEXT, scraping};

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
    let labels: String = (0..20).map(|number| format!("l{number}=\"x\",")).collect();
    let many_labels = format!("a 1\nb{{{labels}}} 1\nc 1\n");
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
        // What a failed page had is counted, up to the first error.
        ("/broken-value", text("a 1\nc{x=\"1\"} 2\nb one\nd 1\n")),
        ("/broken-name", text("a 1\n1b 1\n")),
        ("/broken-label", text("a 1\nc{d=e} 1\nf 1\n")),
        ("/broken-time", text("a 1\nb 1 x\n")),
        ("/escape", text("a{b=\"c\\q\\n\"} 1\n")),
        ("/twice-label", text("a 1\nb{x=\"1\",x=\"2\"} 1\nc 1\n")),
        ("/no-eof", reply_of(200, OPEN_METRICS, "a 1\n")),
        ("/broken-anew", text("")),
        ("/empty", text("")),
        ("/many-labels", text(&many_labels)),
        ("/long-label", text(&format!("a 1\nb{{c=\"{}\"}} 1\nd 1\n", "x".repeat(100)))),
        ("/nameless", text("a 1\nnameless 1\nc 1\n")),
        ("/large", text(&format!("a 1\n# {}\n", "x".repeat(1 << 20)))),
        ("/slow", text("a 1\n")),
        ("/error", reply(500, "a 1\n")),
    ];
    let exporter = Exporter::start(&pages);
    let address = exporter.address();
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
    assert_same(
        &format!(
            "  sample_limit: 15000\n  label_limit: 12\n  label_value_length_limit: 60\n  body_size_limit: 1MB\n  \
             metric_relabel_configs:\n  - {{source_labels: [__name__], regex: nameless, target_label: __name__, replacement: ''}}\n  \
             static_configs:\n{of_prometheus}"
        ),
        &format!(
            "sample_limit = 15000\nlabel_limit = 12\nlabel_value_length_limit = 60\nmax_body = \"1MiB\"\n\
             metric_relabel_configs = [{{source_labels = ['__name__'], regex = 'nameless', target_label = '__name__', replacement = ''}}]\n\
             static_configs = [\n{of_taffrail}]\n"
        ),
        130,
    );
}

/// A rule of relabelling: keys with their values, which both languages write alike.
type Rule = [(&'static str, &'static str)];

/// All actions, on targets and on samples.
const RULES: [&Rule; 14] = [
    &[
        ("source_labels", "['a', 'missing', 'b']"),
        ("separator", "'/'"),
        ("regex", "'(.*)//(.*)'"),
        ("target_label", "'joined'"),
        ("replacement", "'$2-${1}'"),
    ],
    &[("source_labels", "['a']"), ("regex", "'(f).*'"), ("target_label", "'${1}_x'"), ("replacement", "'named'")],
    &[("source_labels", "['a']"), ("regex", "'f'"), ("target_label", "'b'"), ("replacement", "'unanchored'")],
    &[("source_labels", "['a']"), ("target_label", "'odd'"), ("replacement", "'$1_x'")],
    &[("source_labels", "['missing']"), ("target_label", "'gone'")],
    &[("source_labels", "['a', 'b']"), ("target_label", "'shard'"), ("modulus", "1000"), ("action", "'hashmod'")],
    &[("regex", "'copy_(.+)'"), ("replacement", "'of_$1'"), ("action", "'labelmap'")],
    &[("regex", "'copy_.*'"), ("action", "'labeldrop'")],
    &[("regex", "'secret'"), ("action", "'labeldrop'")],
    &[("source_labels", "['a']"), ("target_label", "'upper'"), ("action", "'uppercase'")],
    &[("source_labels", "['mixed']"), ("target_label", "'mixed'"), ("action", "'lowercase'")],
    &[("source_labels", "['kind']"), ("regex", "'bad|worse'"), ("action", "'drop'")],
    &[("source_labels", "['x']"), ("target_label", "'y'"), ("action", "'keepequal'")],
    &[("source_labels", "['p']"), ("target_label", "'q'"), ("action", "'dropequal'")],
];

/// The rules in YAML and in TOML.
fn written(rules: &[&Rule]) -> (String, String) {
    let (mut yaml, mut toml) = (String::new(), String::new());
    for rule in rules {
        let joined = |equals: &str| rule.iter().map(|(key, value)| format!("{key}{equals}{value}")).collect::<Vec<_>>();
        writeln!(yaml, "  - {{{}}}", joined(": ").join(", ")).unwrap();
        writeln!(toml, "  {{{}}},", joined(" = ").join(", ")).unwrap();
    }
    (yaml, toml)
}

#[test]
#[ignore = "needs Debian's package prometheus: tests/run"]
fn with_prometheus_relabelling_has_the_same_results() {
    let sets = [
        "a=\"foo\",b=\"bar\",copy_one=\"1\",secret=\"s\",mixed=\"AbÇ\",p=\"1\"",
        "a=\"foo\",kind=\"bad\",p=\"1\"",
        "a=\"foo\",kind=\"badly\",p=\"1\"",
        "a=\"\",x=\"1\",y=\"1\",p=\"1\"",
        "a=\"x\",x=\"1\",y=\"2\",p=\"1\"",
        "a=\"same\",p=\"1\",q=\"1\"",
        "of_one=\"mine\",copy_one=\"2\",gone=\"here\",q=\"1\"",
    ];
    let page: String = sets.iter().zip(1..).map(|(labels, value)| format!("m{{{labels}}} {value}\n")).collect();
    let page = page + "drop_me 1\nrename_me{p=\"2\"} 2\n";
    let exporter = Exporter::start(&[("/metrics", reply_of(200, TEXT, &page))]);
    let names: [&Rule; 3] = [
        &[("source_labels", "['__name__']"), ("regex", "'drop_.*'"), ("action", "'drop'")],
        &[("source_labels", "['__name__']"), ("regex", "'rename_(.*)'"), ("target_label", "'__name__'")],
        &[("source_labels", "['job']"), ("regex", "'pages'"), ("action", "'keep'")],
    ];
    let (on_targets, on_samples) = (written(&RULES), written(&[&RULES[..], &names].concat()));
    let target_sets = ["", "kind: bad", "x: '1', y: '2'", "a: foo, b: bar, mixed: XyZ, copy_c: d", "p: '1', q: '1'"];
    let (mut in_yaml, mut in_toml) = (String::new(), String::new());
    for (labels, number) in target_sets.iter().zip(1..) {
        let labels = format!("number: '{number}', p: '{number}', q: z, {labels}");
        let pairs = labels.split(", ").filter_map(|pair| pair.split_once(": "));
        // The last of a name counts.
        let unique: BTreeMap<&str, &str> = pairs.map(|(name, value)| (name, value.trim_matches('\''))).collect();
        let joined = |equals: &str| {
            unique.iter().map(|(name, value)| format!("{name}{equals}'{value}'")).collect::<Vec<_>>().join(", ")
        };
        writeln!(in_yaml, "  - {{targets: ['{}'], labels: {{{}}}}}", exporter.address(), joined(": ")).unwrap();
        writeln!(in_toml, "  {{targets = ['{}'], labels = {{{}}}}},", exporter.address(), joined(" = ")).unwrap();
    }
    assert_same(
        &format!(
            "  static_configs:\n{in_yaml}  relabel_configs:\n{}  metric_relabel_configs:\n{}",
            on_targets.0, on_samples.0
        ),
        &format!(
            "static_configs = [\n{in_toml}]\nrelabel_configs = [\n{}]\nmetric_relabel_configs = [\n{}]\n",
            on_targets.1, on_samples.1
        ),
        10,
    );
}

/// Prometheus with this configuration job `pages` and Taffrail with that of the same name have the same series and values, more
/// than `least`.
fn assert_same(job_of_prometheus: &str, job_of_taffrail: &str, least: usize) {
    let folder = tempfile::tempdir().unwrap();
    let yaml =
        format!("scrape_configs:\n- job_name: pages\n  scrape_interval: 1s\n  scrape_timeout: 1s\n{job_of_prometheus}");
    let scraper = prometheus_with(folder.path(), "scraper", &yaml);
    let receiver = prometheus_with(folder.path(), "receiver", "global: {}\n");
    let _taffrail = scraping(&format!(
        "[[collectors.prometheus]]\nname = \"pages\"\ninterval = \"1s\"\ntimeout = \"1s\"\n{job_of_taffrail}\
         [[sinks.remote_write]]\nurl = \"{}/api/v1/write\"\n",
        receiver.url
    ));
    let compared = RefCell::new((BTreeMap::new(), BTreeMap::new()));
    let is_same = || {
        let both = (values(&scraper), values(&receiver));
        let is_same = both.0 == both.1 && both.0.len() > least;
        *compared.borrow_mut() = both;
        is_same.then_some(())
    };
    let same = catch_unwind(AssertUnwindSafe(|| wait_until("the same values", is_same)));
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
        // Prometheus lists series of failed pages for a moment.
        let others = ["taffrail_scrape_duplicate_samples", "attempt"];
        series.filter(|series| !others.iter().any(|other| series.contains(other))).collect()
    };
    assert_eq!(names(&scraper), names(&receiver));
}

/// Prometheus with this configuration, which also receives remote write.
fn prometheus_with(folder: &Path, name: &str, config: &str) -> Server {
    let (port, path) = (free_port(), folder.join(format!("{name}.yml")));
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", path.display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join(name).display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--web.enable-remote-write-receiver");
    command.arg("--enable-feature=native-histograms");
    Server::start(command, port, "/-/ready")
}

/// What is gone has a stale marker: a series of a page, all of a target that fails, and Taffrail's own.
#[test]
#[ignore = "needs Debian's package prometheus: tests/run"]
fn with_prometheus_what_is_gone_is_gone_at_once() {
    let page = std::sync::Arc::new(std::sync::Mutex::new(text_reply("a{i=\"1\"} 1\na{i=\"2\"} 1\n")));
    let shown = page.clone();
    let exporter = FakeInflux::start(move |_| shown.lock().unwrap().clone());
    let folder = tempfile::tempdir().unwrap();
    let receiver = prometheus(folder.path(), &[], &["--web.enable-remote-write-receiver"]);
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
    // A target that is no longer configured ends, with its own series; and so does the last job.
    let gone = format!("up{{instance=\"{}\"}}", exporter.address);
    let config = std::fs::read_to_string(taffrail.config()).unwrap();
    let other = FakeInflux::start(|_| text_reply("b 1\n"));
    taffrail.reload(&config.replace(&exporter.address.to_string(), &other.address.to_string()));
    becomes("a", 0.0);
    becomes(&gone, 0.0);
    becomes("b", 1.0);
    let (before, jobs) = config.split_once("[[collectors.prometheus]]").unwrap();
    taffrail.reload(&format!("{before}{}", &jobs[jobs.find("[[sinks").unwrap()..]));
    becomes("b", 0.0);
    becomes("up", 0.0);
}

/// A disk that is removed, and a container that ends.
#[test]
#[ignore = "needs Debian's package prometheus: tests/run"]
fn with_prometheus_series_of_devices_and_containers_end() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("host");
    let recorded = recorded::host("debian-12-containers").join("after");
    assert!(Command::new("cp").arg("-a").args([&recorded, &tree]).status().unwrap().success());
    let disks = tree.join("proc/diskstats");
    let other_disks = std::fs::read_to_string(&disks).unwrap();
    std::fs::write(&disks, format!("   8      16 sdz 145 0 6272 33 0 0 0 0 0 32 33 0 0 0 0 0 0\n{other_disks}"))
        .unwrap();
    let receiver = prometheus(folder.path(), &[], &["--web.enable-remote-write-receiver"]);
    let _taffrail = Taffrail::start(&format!(
        "{}[collectors]\ndefault = false\n[collectors.diskstats]\nenabled = true\n[collectors.container]\nenabled = true\n\
         [agent]\ninterval = \"1s\"\nflush_interval = \"1s\"\n[[sinks.remote_write]]\nurl = \"{}/api/v1/write\"\n",
        host_section(&tree),
        receiver.url
    ));
    let count = |query: &str| receiver.promql(&format!("count({query}) or vector(0)"))[0];
    let becomes = |query: &str, expected: f64| {
        wait_until(&format!("{query} is {expected}"), || (count(query) == expected).then_some(()));
    };
    let disk = "node_disk_reads_completed_total{device=\"sdz\"}";
    let container = "container_memory_usage_bytes{id=~\".*docker-d548.*\"}";
    becomes(disk, 1.0);
    becomes(container, 1.0);
    let others = count("node_disk_reads_completed_total") - 1.0;
    std::fs::write(&disks, other_disks).unwrap();
    let slice = std::fs::read_dir(tree.join("sys/fs/cgroup/system.slice")).unwrap();
    let ended = slice.map(|entry| entry.unwrap().path()).find(|path| path.to_string_lossy().contains("docker-d548"));
    std::fs::remove_dir_all(ended.unwrap()).unwrap();
    becomes(disk, 0.0);
    becomes(container, 0.0);
    becomes("node_disk_reads_completed_total", others);
}

fn text_reply(body: &str) -> Reply {
    reply_of(200, TEXT, body)
}
