//! What Pushgateway does not have: merging, expiry, repetition, limits, deletion by matcher.

use std::thread;
use std::time::Duration;

use super::native::DELIMITED;
use crate::harness::gateway::{Gateway, Own};
use crate::harness::http::{Reply, request};
use crate::harness::real::{Server, free_port};
use crate::harness::wait_until;
use taffrail::encode::parse::{Format, Limits, parse};

pub(crate) fn ok(reply: Reply) {
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[test]
fn series_are_merged_where_a_push_asks_for_it() {
    let gateway = Own::start("");
    ok(gateway.put("/metrics/job/a", "x{l=\"1\"} 1\nx{l=\"2\"} 2\ny 3\n"));
    ok(gateway.post("/metrics/job/a?merge=series", "x{l=\"2\"} 20\nx{l=\"3\"} 30\n"));
    let shown = |label: &str| gateway.sample(&format!("x{{instance=\"\",job=\"a\",l=\"{label}\"}}"));
    assert_eq!([shown("1"), shown("2"), shown("3")], [Some(1.0), Some(20.0), Some(30.0)]);
    let twice = gateway.post("/metrics/job/a?merge=series", "x{l=\"4\"} 1\nx{l=\"4\"} 2\n");
    assert!(twice.status == 400 && twice.body.contains("twice"), "{twice:?}");
    let other = gateway.post("/metrics/job/a?merge=series", "# TYPE x counter\nx{l=\"2\"} 1\n");
    assert!(other.body.contains("x has the type counter here, and untyped in the group {job=\"a\"}"), "{other:?}");
    assert_eq!(gateway.put("/metrics/job/a?merge=series", "x 1\n").status, 400);
    assert_eq!(gateway.post("/metrics/job/a?merge=everything", "x 1\n").status, 400);
}

const ALL_TYPES: &str = "# TYPE c counter\nc{l=\"1\"} 2\n# TYPE g gauge\ng 5\n\
    # TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 6\nh_count 3\n\
    # TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 4\ns_count 2\n";

#[test]
fn values_are_added_where_a_job_is_so_configured() {
    let config = "[gateway]\n[[gateway.jobs]]\njob = \"sum-.*\"\nmode = \"aggregate\"\ngauges = \"max\"\n";
    let gateway = Own::start_with(config, &[]);
    ok(gateway.put("/metrics/job/sum-1", ALL_TYPES));
    let more = ALL_TYPES.replace("g 5", "g 3").replace("h_bucket{le=\"1\"} 1\n", "");
    ok(gateway.post("/metrics/job/sum-1", &more.replace("l=\"1\"", "l=\"2\"")));
    ok(gateway.put("/metrics/job/sum-1", &more));
    let group = "instance=\"\",job=\"sum-1\"";
    let shown = |series: &str| gateway.sample(&series.replace("GROUP", group));
    assert_eq!(shown("c{GROUP,l=\"1\"}"), Some(4.0));
    assert_eq!(shown("c{GROUP,l=\"2\"}"), Some(2.0));
    assert_eq!(shown("g{GROUP}"), Some(5.0));
    assert_eq!(shown("h_bucket{GROUP,le=\"1\"}"), None, "only one of them had this bucket");
    assert_eq!(shown("h_bucket{GROUP,le=\"2\"}"), Some(6.0));
    assert_eq!(shown("h_bucket{GROUP,le=\"+Inf\"}"), Some(9.0));
    assert_eq!(shown("h_sum{GROUP}"), Some(18.0));
    assert_eq!(shown("s_sum{GROUP}"), Some(12.0));
    assert_eq!(shown("s{GROUP,quantile=\"0.5\"}"), None, "quantiles cannot be added");
    // Another job is as Pushgateway's, unless it asks.
    ok(gateway.put("/metrics/job/plain", "# TYPE d counter\nd 1\n"));
    ok(gateway.put("/metrics/job/plain", "# TYPE d counter\nd 1\n"));
    assert_eq!(gateway.sample("d{instance=\"\",job=\"plain\"}"), Some(1.0));
    ok(gateway.post("/metrics/job/plain?mode=aggregate&gauges=sum", "# TYPE d counter\nd 1\n"));
    assert_eq!(gateway.sample("d{instance=\"\",job=\"plain\"}"), Some(2.0));
}

#[test]
fn a_push_that_comes_again_is_known_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let push = |gateway: &Own, key: &str| {
        let push = request("POST", "/metrics/job/a?mode=aggregate", "# TYPE c counter\nc 1\n");
        gateway.send(&push.header("Idempotency-Key", key))
    };
    let value = |gateway: &Own| gateway.sample("c{instance=\"\",job=\"a\"}");
    let gateway = Own::keeping(folder.path(), "");
    ok(push(&gateway, "one"));
    let again = push(&gateway, "one");
    assert_eq!((again.status, again.header("x-taffrail-repeated")), (200, Some("true")));
    assert_eq!(value(&gateway), Some(1.0));
    gateway.signal(rustix::process::Signal::KILL);
    drop(gateway);
    let gateway = Own::keeping(folder.path(), "");
    ok(push(&gateway, "one"));
    assert_eq!(value(&gateway), Some(1.0));
    ok(push(&gateway, "two"));
    assert_eq!(value(&gateway), Some(2.0));
    assert_eq!(gateway.sample("taffrail_gateway_pushes_total{outcome=\"repeated\"}"), Some(1.0));
}

#[test]
fn groups_end_when_their_time_is_over_and_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[gateway]\n[[gateway.jobs]]\njob = \"short-.*\"\nttl = \"1s\"\n";
    let gateway = Own::keeping(folder.path(), config);
    let begun = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    ok(gateway.put("/metrics/job/short-1", "x 1\n"));
    ok(gateway.put("/metrics/job/asked?ttl=1s", "x 1\n"));
    ok(gateway.send(&request("PUT", "/metrics/job/header", "x 1\n").header("X-Taffrail-TTL", "1s")));
    ok(gateway.put("/metrics/job/short-2?ttl=1h", "x 1\n"));
    ok(gateway.put("/metrics/job/renewed?ttl=1s", "x 1\n"));
    ok(gateway.put("/metrics/job/renewed", "x 1\n"));
    ok(gateway.put("/metrics/job/kept", "x 1\n"));
    let has = |exposition: &str, job: &str| exposition.contains(&format!("x{{instance=\"\",job=\"{job}\"}}"));
    wait_until("the end of three groups", || {
        let exposition = gateway.exposition();
        ["short-1", "asked", "header"].iter().all(|job| !has(&exposition, job)).then_some(())
    });
    thread::sleep(Duration::from_millis(1200));
    let exposition = gateway.exposition();
    for job in ["short-2", "renewed", "kept"] {
        assert!(has(&exposition, job), "{job}");
    }
    assert!(crate::harness::sample(&exposition, "taffrail_gateway_expired_groups_total").unwrap() >= 3.0);
    let went = "taffrail_gateway_expiry_timestamp_seconds{expired_job=\"asked\"}";
    let when = gateway.sample(went).unwrap();
    assert!(when >= begun + 1.0 && when < begun + 60.0, "{when}");
    drop(gateway);
    assert_eq!(Own::keeping(folder.path(), config).sample(went), Some(when));
}

#[test]
fn what_is_too_much_is_refused_by_the_name_of_its_limit() {
    let gateway = Own::start(
        "max_body = \"1KiB\"\nmax_series = 5\nmax_labels = 3\nmax_group_series = 6\nmax_group_bytes = \"3600B\"\n\
         max_groups = 3\nmax_total_bytes = \"7400B\"\nmax_total_series = 16\n",
    );
    let long = format!("x 1\n# {}\n", "y".repeat(2000));
    let series = |prefix: &str, count: usize| (0..count).map(|n| format!("{prefix}{n} 1\n")).collect::<String>();
    ok(gateway.put("/metrics/job/a", &series("a", 4)));
    let large = |job: &str, name: &str| {
        gateway.post(&format!("/metrics/job/{job}"), &format!("{name}{{l=\"{}\"}} 1\n", "y".repeat(900)))
    };
    for (reply, status, says) in [
        (gateway.put("/metrics/job/a", &long), 413, "max_body"),
        (gateway.put("/metrics/job/a", &series("a", 6)), 413, "series"),
        (gateway.put("/metrics/job/a", "x{a=\"1\",b=\"2\",c=\"3\",d=\"4\"} 1\n"), 413, "labels"),
        (gateway.post("/metrics/job/a", &series("b", 4)), 413, "max_group_series"),
    ] {
        assert_eq!(reply.status, status, "{reply:?}");
        assert!(reply.body.contains(says), "{reply:?}");
    }
    ok(large("b", "p"));
    ok(large("b", "q"));
    let reply = large("b", "r");
    assert!(reply.status == 413 && reply.body.contains("max_group_bytes"), "{reply:?}");
    ok(gateway.put("/metrics/job/c", &series("c", 1)));
    let reply = gateway.put("/metrics/job/d", "x 1\n");
    assert!(reply.status == 429 && reply.body.contains("max_groups"), "{reply:?}");
    let reply = gateway.post("/metrics/job/c", &series("e", 5));
    assert!(reply.status == 429 && reply.body.contains("max_total_series"), "{reply:?}");
    ok(large("c", "s"));
    let reply = large("a", "t");
    assert!(reply.status == 429 && reply.body.contains("max_total_bytes"), "{reply:?}");
    // What makes room is always taken.
    ok(gateway.put("/metrics/job/a", ""));
    assert_eq!(gateway.delete("/metrics/job/a").status, 202);
}

#[test]
fn groups_are_deleted_by_matcher_after_a_dry_run() {
    let gateway = Own::start("");
    for path in ["a/host/1", "a/host/2", "b/host/1"] {
        ok(gateway.put(&format!("/metrics/job/{path}"), "x 1\n"));
    }
    let select = "/api/v1/groups?match%5B%5D=job%3D%22a%22%2Chost%3D~%221%7C2%22";
    let dry = gateway.delete(&format!("{select}&dry_run=true"));
    assert_eq!(dry.body, "{\"data\":{\"dry_run\":true,\"groups\":2},\"status\":\"success\"}");
    assert_eq!(gateway.sample("taffrail_gateway_groups"), Some(3.0));
    // A trial that is misspelt deletes nothing.
    for more in
        ["dry_run=True", "dry_run=yes", "dry_run=on", "dry_run=2", "dry_run=", "dry_run", "dryrun=true", "DRY_RUN=1"]
    {
        let refused = gateway.delete(&format!("{select}&{more}"));
        assert!(refused.status == 400 && refused.body.contains("dry"), "{more}: {refused:?}");
    }
    assert_eq!(gateway.delete(&format!("{select}&dry_run=true&dry_run=false")).status, 400);
    assert_eq!(gateway.send(&request("DELETE", select, "dry_run=true")).status, 400);
    assert_eq!(gateway.delete("/metrics/job/a/host/1?dry_run=true").status, 400);
    assert_eq!(gateway.delete(&format!("{select}&dry_run=1")).status, 200);
    assert_eq!(gateway.sample("taffrail_gateway_groups"), Some(3.0));
    assert_eq!(gateway.delete(select).body, "{\"data\":{\"dry_run\":false,\"groups\":2},\"status\":\"success\"}");
    assert_eq!(gateway.sample("taffrail_gateway_groups"), Some(1.0));
    let read = gateway.send(&request("GET", "/api/v1/groups", ""));
    assert_eq!((read.status, read.header("allow")), (405, Some("DELETE, OPTIONS")));
    assert_eq!(gateway.delete("/api/v1/groups").status, 400);
    assert_eq!(gateway.delete("/api/v1/groups?match%5B%5D=%7B%7D").status, 400);
}

#[test]
fn a_gateway_is_part_of_an_agent_and_is_reloaded_with_it() {
    let port = free_port();
    let config =
        |more: &str| format!("{}[gateway]\nlisten = [\"127.0.0.1:{port}\"]\n{more}", crate::harness::recorded_host());
    let taffrail = crate::harness::Taffrail::start(&config(""));
    let address = taffrail.gateway();
    ok(request("PUT", "/metrics/job/a", "x 1\n").send(&address));
    assert_eq!(request("PUT", "/api/v1/admin/wipe", "").send(&address).status, 404);
    assert!(taffrail.get("/metrics").sample("node_load1").is_some());
    taffrail.reload(&config("admin_api = true\n"));
    assert!(request("GET", "/metrics", "").send(&address).body.contains("x{instance=\"\",job=\"a\"} 1"));
    assert_eq!(request("PUT", "/api/v1/admin/wipe", "").send(&address).status, 202);
    assert!(!request("GET", "/metrics", "").send(&address).body.contains("job=\"a\""));
}

#[test]
fn quit_ends_the_gateway_where_that_is_on() {
    let mut gateway = Own::start("lifecycle = true\n");
    assert_eq!(gateway.put("/-/quit", "").body, "Requesting termination... Goodbye!");
    assert!(gateway.process().wait().success());
}

#[test]
fn pushes_go_on_to_the_push_sinks_with_their_time() {
    let influx = crate::harness::server::FakeInflux::agreeable();
    let port = free_port();
    let config = |gateway: &str| {
        format!(
            "{}[agent]\nflush_interval = \"200ms\"\nhostname = \"gw\"\n\
             [gateway]\nlisten = [\"127.0.0.1:{port}\"]\n{gateway}\
             [[sinks.influxdb]]\nurls = [\"{}\"]\ndatabase = \"d\"\n",
            crate::harness::recorded_host(),
            influx.url()
        )
    };
    let taffrail = crate::harness::Taffrail::start(&config(""));
    let address = taffrail.gateway();
    let put = |path: &str, body: &str| ok(request("PUT", path, body).send(&address));
    let forwarded = || -> Vec<String> {
        influx.stored().into_iter().filter(|line| line.starts_with("prometheus,") && line.contains("job=a")).collect()
    };
    let seconds = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let begun = seconds();
    put(
        "/metrics/job/a",
        "rows{l=\"1\"} 3\nsize{l=\"1\"} 4\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\n",
    );
    put("/metrics/job/a", "rows{l=\"1\"} 5\n");
    wait_until("the points", || (forwarded().len() >= 4).then_some(()));
    let lines = forwarded();
    let times: Vec<f64> =
        lines.iter().map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() / 1e9).collect();
    assert!(times.iter().all(|time| *time >= begun - 0.001 && *time <= seconds()), "{times:?}");
    assert!(times[3] > times[0]);
    for point in [
        "prometheus,host=gw,job=a,l=1 rows=3,size=4 ",
        "prometheus,host=gw,job=a,le=+Inf h_bucket=2 ",
        "prometheus,host=gw,job=a h_sum=1,h_count=2 ",
        "prometheus,host=gw,job=a,l=1 rows=5 ",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(point)), "{point} is not in {lines:#?}");
    }
    // A push that is refused goes nowhere, and none does where it is switched off.
    assert_eq!(request("PUT", "/metrics/job/a", "x 1 1000\n").send(&address).status, 400);
    taffrail.reload(&config("forward = false\n"));
    put("/metrics/job/a", "rows{l=\"1\"} 7\n");
    thread::sleep(Duration::from_millis(500));
    assert_eq!(forwarded().len(), 4);
}

#[test]
fn a_pushed_name_takes_no_place_of_the_gateways_own_families_however_it_is_escaped() {
    let gateway = Own::start("");
    ok(gateway
        .put("/metrics/job/one", "{\"taffrail gateway bytes\"} 1\n{\"taffrail.connections\"} 1\n{\"a.point\"} 1\n"));
    assert_eq!(gateway.post("/write", "a.point value=1\n").status, 204);
    let url = format!("http://{}/metrics", gateway.address());
    for escaping in ["underscores", "dots", "values", "allow-utf-8"] {
        let accept = format!("text/plain;version=1.0.0;escaping={escaping}");
        let text = crate::harness::get(&url, &[("accept", &accept)]).unwrap();
        let text = text.text();
        for name in ["taffrail_gateway_bytes", "taffrail_connections", "a_point"] {
            let heads = text.lines().filter(|line| line.starts_with(&format!("# TYPE {name} "))).count();
            assert_eq!(heads, 1, "{escaping}, {name}: {text}");
        }
        assert!(text.lines().any(|line| line.starts_with("taffrail_gateway_bytes ")), "{escaping}: {text}");
        let message = crate::harness::get(&url, &[("accept", &format!("{DELIMITED};escaping={escaping}"))]).unwrap();
        // A family of a name that comes twice, with two types, is refused.
        parse(Format::Protobuf, &message.body, &Limits::default())
            .unwrap_or_else(|error| panic!("{escaping}: {error}"));
    }
}

/// A Prometheus that scrapes the gateway each second, and its folder.
pub(crate) fn prometheus_of(gateway: &Own, more: &[&str]) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs: [{{job_name: gateway, honor_labels: true, static_configs: [{{targets: ['{}']}}]}}]\n",
        gateway.address()
    );
    std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let port = free_port();
    let mut command = std::process::Command::new("prometheus");
    command.arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    command.args(more);
    (folder, Server::start(command, port, "/-/ready"))
}

#[test]
#[ignore = "needs Debian's package prometheus: tests/run"]
fn with_prometheus_that_pulls_what_was_pushed() {
    let gateway = Own::start("");
    ok(gateway.put(
        "/metrics/job/backup/host/web-1",
        "# TYPE rows counter\nrows 3\n# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 2\ns_count 1\n",
    ));
    ok(gateway.put("/metrics/job/x/U__a_2e_b/c", "{\"rows.new\"} 4\n"));
    let (_folder, prometheus) = prometheus_of(&gateway, &[]);
    assert_eq!(prometheus.promql("rows{job='backup',host='web-1',instance=''}"), [3.0]);
    assert_eq!(prometheus.promql("s_count{job='backup'}"), [1.0]);
    // This version knows ASCII names only.
    assert_eq!(prometheus.promql("U__rows_2e_new{job='x',U__a_2e_b='c'}"), [4.0]);
    assert!(prometheus.promql("push_time_seconds{job='backup'}")[0] > 1.5e9);
    assert_eq!(prometheus.promql("taffrail_gateway_groups{job='gateway'}"), [2.0]);
}

#[test]
fn long_help_texts_names_and_keys_count_and_nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Own::keeping(folder.path(), "[gateway]\nmax_group_bytes = \"12MiB\"\nmax_total_bytes = \"40MiB\"\n");
    let help = "x".repeat(3 << 20);
    let push = |gateway: &Own, job: &str, number: usize| {
        let body = format!("# HELP {job}{number} {help}\n# TYPE {job}{number} gauge\n{job}{number} 1\n");
        gateway.post(&format!("/metrics/job/{job}"), &body)
    };
    let mut taken = 0;
    let refused = loop {
        let reply = push(&gateway, "long", taken);
        if reply.status != 200 {
            break reply;
        }
        taken += 1;
    };
    assert_eq!(taken, 3, "three of 3 MiB each fit into 12 MiB beside what they take otherwise");
    assert!(refused.status == 413 && refused.body.contains("max_group_bytes"), "{refused:?}");
    let exposition = |gateway: &Own| request("GET", "/metrics", "").send(&gateway.address()).body;
    let bytes = crate::harness::sample(&exposition(&gateway), "taffrail_gateway_bytes").unwrap();
    assert!(bytes >= 9e6, "{bytes}");
    let more: Vec<u16> = (0..13).map(|number| push(&gateway, &format!("j{number}"), 0).status).collect();
    let (fit, rest) = more.split_at(10);
    assert!(fit.iter().all(|status| *status == 200) && rest.iter().all(|status| *status == 429), "{more:?}");
    // A key is repeated in each series.
    let long_key = format!("/metrics/job/key/l/{}", "k".repeat(4000));
    let series = (0..4000).map(|number| format!("x{{n=\"{number}\"}} 1\n")).collect::<String>();
    let refused = gateway.put(&long_key, &series);
    assert!(refused.status == 413 && refused.body.contains("max_group_bytes"), "{refused:?}");
    gateway.signal(rustix::process::Signal::KILL);
    drop(gateway);
    let again = Own::keeping(folder.path(), "");
    let exposition = exposition(&again);
    let families = exposition.lines().filter(|line| line.starts_with("long") || line.starts_with('j'));
    assert_eq!(families.count(), 3 + 10);
}

#[test]
fn groups_as_json_are_had_a_page_at_a_time() {
    let gateway = Own::start("");
    for number in 0..25 {
        ok(gateway.put(&format!("/metrics/job/a%2Fb/host/h{number:02}"), "x 1\n"));
    }
    ok(gateway.put("/metrics/job/labels", "labels 1\nlast_push_successful 2\n"));
    let get = |query: &str| {
        let reply = request("GET", &format!("/api/v1/metrics{query}"), "").send(&gateway.address());
        assert_eq!(reply.status, 200, "{reply:?}");
        serde_json::from_str::<serde_json::Value>(&reply.body).unwrap()
    };
    let whole = get("");
    assert!(whole["next"].is_null() && whole["data"].as_array().unwrap().len() == 26);
    let (mut paged, mut query, mut pages) = (Vec::new(), "?limit=10".to_owned(), 0);
    loop {
        let page = get(&query);
        let groups = page["data"].as_array().unwrap();
        assert!(groups.len() <= 10 && page["status"] == "success");
        paged.extend(groups.iter().cloned());
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
        query = format!("?limit=10&after={next}");
        // One that has ended still takes a slot.
        gateway.delete("/metrics/job/a%2Fb/host/h00");
    }
    assert_eq!((pages, paged.len()), (3, 26));
    let labels = |groups: &[serde_json::Value]| groups.iter().map(|group| group["labels"].clone()).collect::<Vec<_>>();
    assert_eq!(labels(&paged), labels(whole["data"].as_array().unwrap()));
    let named = paged.iter().find(|group| group["labels"]["job"] == "labels").unwrap();
    assert_eq!((&named["last_push_successful"], named["labels"].as_object().unwrap().len()), (&true.into(), 1));
    for wrong in ["?limit=0", "?limit=x", "?after=nothing", "?limit=2&limit=3"] {
        let reply = request("GET", &format!("/api/v1/metrics{wrong}"), "").send(&gateway.address());
        assert_eq!(reply.status, 400, "{wrong}: {reply:?}");
    }
}

#[test]
fn large_states_are_sent_while_they_are_written() {
    let gateway = Own::start("");
    let series = |number: usize| format!("rows{{n=\"{number}\",l=\"{}\"}} {number}\n", "x".repeat(100));
    let body: String = (0..20_000).map(series).collect();
    for group in 0..3 {
        ok(gateway.put(&format!("/metrics/job/large{group}"), &body));
    }
    let json = request("GET", "/api/v1/metrics", "").send(&gateway.address());
    assert!(json.header("content-length").is_none() && json.header("transfer-encoding").is_some(), "{}", json.head);
    let group = request("GET", "/metrics/job/large1", "").send(&gateway.address());
    assert!(group.header("content-length").is_none(), "{}", group.head);
    assert!(json.body.len() > 3_000_000 && group.body.len() > 2_000_000);
    let page = request("GET", "/", "").send(&gateway.address());
    assert!(page.body.len() < 100_000, "{} bytes for three groups", page.body.len());
}
