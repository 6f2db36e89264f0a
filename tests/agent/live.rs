//! The live page, and `/status.json`.

use std::fs;

use regex::Regex;
use serde_json::Value;

use crate::harness::browser::Browser;
use crate::harness::hanging::copied_host;
use crate::harness::http::{Reply, request};
use crate::harness::server::{FakeInflux, reply};
use crate::harness::{Taffrail, host_section, recorded_host, wait_until};

fn ask(taffrail: &Taffrail, method: &'static str, path: &str) -> Reply {
    request(method, path, "").send(&taffrail.addresses()[0])
}

fn status(taffrail: &Taffrail) -> Value {
    serde_json::from_str(taffrail.get("/status.json").text()).unwrap()
}

/// The entry of this name in a list of `/status.json`.
fn entry<'s>(status: &'s Value, list: &str, name: &str) -> &'s Value {
    status[list].as_array().unwrap().iter().find(|entry| entry["name"] == name).unwrap_or_else(|| panic!("{name}"))
}

/// The numbers of a page, without its tags.
fn text(page: &str) -> String {
    Regex::new("<[^>]*>").unwrap().replace_all(page, " ").into_owned()
}

#[test]
fn the_page_has_the_numbers_of_a_reading_without_javascript() {
    let taffrail = Taffrail::start(&recorded_host());
    let answer = ask(&taffrail, "GET", "/");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let (page, words) = (&answer.body, text(&answer.body));
    let value = |series: &str| taffrail.get("/metrics").sample(series).unwrap();
    assert!(words.contains(&format!("{:.2}", value("node_load1"))), "{words}");
    let available = value("node_memory_MemAvailable_bytes") / f64::from(1 << 20);
    assert!(words.contains(&format!("{available:.0} MiB available")), "{available} {words}");
    for id in ["cpu", "memory", "load", "network", "disk", "interfaces", "disks", "filesystems", "containers"] {
        assert!(page.contains(&format!(" id=\"{id}\"")), "{id}");
    }
    for shown in [env!("CARGO_PKG_VERSION"), "up ", "eth0", "No sinks", "Mounted on", " now "] {
        assert!(words.contains(shown), "{shown}: {words}");
    }
    assert!(!Regex::new(r"NaN|\binf\b").unwrap().is_match(&words), "{words}");
}

#[test]
fn the_page_loads_files_of_its_own_origin_alone() {
    let taffrail = Taffrail::start(&recorded_host());
    let answer = ask(&taffrail, "GET", "/");
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    let page = &answer.body;
    assert!(!page.contains("<style") && !page.contains(" style=") && !page.contains("<script>"), "{page}");
    assert!(!Regex::new(r"<[^>]* on\w+=").unwrap().is_match(page), "no handlers in attributes");
    let links = Regex::new("(?:href|src)=\"([^\"]*)\"").unwrap();
    let links: Vec<&str> = links.captures_iter(page).map(|link| link.extract::<1>().1[0]).collect();
    assert!(links.len() > 5, "{links:?}");
    let mut size = page.len();
    for link in links.iter().filter(|link| !link.starts_with(['#', 'd'])) {
        // Relative, so that a proxy may add a prefix.
        assert!(!link.starts_with('/') && !link.contains(':'), "{link}");
        let file = ask(&taffrail, "GET", &format!("/{link}"));
        assert_eq!(file.status, 200, "{link}");
        if let Some(tag) = file.header("etag") {
            size += file.body.len();
            assert!(file.header("cache-control").unwrap().contains("immutable"), "{link}");
            let again = request("GET", &format!("/{link}"), "").header("If-None-Match", tag);
            assert_eq!(again.send(&taffrail.addresses()[0]).status, 304, "{link}");
            assert_eq!(ask(&taffrail, "POST", &format!("/{link}")).status, 405, "{link}");
        }
    }
    assert!(size <= 40 << 10, "{size} bytes");
    for other in ["/metrics", "/status.json", "/nowhere", "/style.css"] {
        let answer = ask(&taffrail, "GET", other);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{other}: {policy}");
    }
}

#[test]
fn the_reference_has_every_collector() {
    let taffrail = Taffrail::start(&recorded_host());
    let answer = ask(&taffrail, "GET", "/reference");
    assert!(answer.header("content-security-policy").unwrap().contains("default-src 'none'"));
    for name in taffrail::collectors::list::names() {
        assert!(answer.body.contains(&format!("<section id=\"{name}\">")), "{name}");
    }
    assert!(answer.body.contains("node_cpu_seconds_total") && !answer.body.contains('`'));
}

#[test]
fn head_reads_no_collector() {
    let taffrail = Taffrail::start(&recorded_host());
    let head = ureq::head(taffrail.url("/")).call().unwrap();
    assert!(head.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert_eq!(head.into_body().read_to_vec().unwrap(), b"");
    assert_eq!(entry(&status(&taffrail), "collectors", "cpu")["state"], "unread");
    assert_eq!(taffrail.get("/").status, 200);
    assert_eq!(entry(&status(&taffrail), "collectors", "cpu")["state"], "ok");
    assert_eq!(entry(&status(&taffrail), "collectors", "netstat")["state"], "unread", "the page does not show it");
}

#[test]
fn status_has_the_state_of_collectors() {
    let host = copied_host();
    fs::write(host.path().join("proc/loadavg"), "nonsense\n").unwrap();
    let taffrail = Taffrail::start(&host_section(host.path()));
    assert_eq!(taffrail.get("/metrics").status, 200);
    let failed = status(&taffrail);
    let loadavg = entry(&failed, "collectors", "loadavg");
    assert_eq!(loadavg["state"], "failing");
    assert!(loadavg["error"].as_str().unwrap().contains("loadavg"), "{loadavg}");
    assert_eq!(loadavg["last_success"], Value::Null);
    assert!(taffrail.get("/").text().contains(&loadavg["error"].as_str().unwrap().replace('"', "&quot;")));
    let cpu = entry(&failed, "collectors", "cpu");
    assert_eq!((&cpu["state"], &cpu["error"]), (&"ok".into(), &Value::Null));
    assert!(cpu["duration_seconds"].as_f64().unwrap() > 0.0);
    assert!(cpu["last_success"].as_str().unwrap().ends_with('Z') && cpu["scraped"] == true);
    assert_eq!(entry(&failed, "collectors", "infiniband")["state"], "absent");

    fs::write(host.path().join("proc/loadavg"), "0.5 0.25 0.125 1/2 3\n").unwrap();
    assert_eq!(taffrail.get("/metrics").status, 200);
    let recovered = status(&taffrail);
    assert_eq!(entry(&recovered, "collectors", "loadavg")["state"], "ok");
    assert_eq!(recovered["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(recovered["configuration"], Value::from(vec![taffrail.config().display().to_string()]));
    assert!(recovered["start_time"].as_str() <= recovered["time"].as_str());
}

const SECRET: &str = "Zq7hunterXv9";

#[test]
fn status_has_the_last_answer_of_sinks_and_no_secret() {
    // A server that repeats what it was sent.
    let server =
        FakeInflux::start(|post| reply(401, &format!("unauthorized: {SECRET} {:?}", post.header("authorization"))));
    let good = FakeInflux::agreeable();
    let config = format!(
        "{}[agent]\ninterval = \"200ms\"\nflush_interval = \"200ms\"\n\
         [[sinks.influxdb]]\nname = \"bad\"\nurls = [\"{}\"]\ndatabase = \"d\"\nusername = \"ann\"\npassword = \"{SECRET}\"\n\
         [[sinks.influxdb]]\nname = \"good\"\nurls = [\"{}\"]\ntoken = \"{SECRET}\"\norg = \"o\"\nbucket = \"b\"\n\
         [[http.users]]\nname = \"reader\"\ntoken = \"{SECRET}r\"\nrights = [\"read\"]\n\
         [[http.users]]\nname = \"job\"\ntoken = \"{SECRET}p\"\nrights = [\"push\"]\n",
        recorded_host(),
        server.url(),
        good.url(),
    );
    let taffrail = Taffrail::start(&config);
    let by = |user: &str, path: &str| taffrail.get_with(path, &[("authorization", &format!("Bearer {SECRET}{user}"))]);
    let (document, status) = wait_until("the answers of both", || {
        let document = by("r", "/status.json").text().to_owned();
        let status: Value = serde_json::from_str(&document).unwrap();
        let is_done = status["sinks"].as_array().unwrap().iter().all(|sink| sink["last_answer"].is_string());
        is_done.then_some((document, status))
    });
    let bad = entry(&status, "sinks", "bad");
    assert_eq!(
        (&bad["state"], &bad["type"], &bad["last_success"]),
        (&"failing".into(), &"influxdb".into(), &Value::Null)
    );
    assert!(bad["last_answer"].as_str().unwrap().contains("401"), "{bad}");
    assert!(bad["waiting"]["points"].as_u64().unwrap() > 0 && bad["waiting"]["bytes"].as_u64().unwrap() > 0, "{bad}");
    assert_eq!(bad["url"], format!("{}/", server.url()));
    let good = entry(&status, "sinks", "good");
    assert_eq!((&good["state"], &good["last_answer"]), (&"ok".into(), &"accepted".into()));
    assert!(good["last_success"].is_string());

    let page = by("r", "/").text().to_owned();
    assert!(page.contains("failing") && page.contains("401"), "{page}");
    for shown in [&document, &page] {
        assert!(!shown.contains("hunter"), "{shown}");
    }
    // The same rights as for scrapes.
    for path in ["/", "/status.json", "/metrics"] {
        assert_eq!([by("x", path).status, by("p", path).status, by("r", path).status], [401, 403, 200], "{path}");
    }
    assert_eq!(by("x", "/live.js").status, 401);
}

#[test]
fn names_of_the_host_are_text_and_long_lists_are_cut() {
    let host = copied_host();
    let lines: String = (0..100).map(|n| format!("if{n:03}: {n} 1 0 0 0 0 0 0 {n} 1 0 0 0 0 0 0\n")).collect();
    let hostile = "<b>&\"x: 5000 1 0 0 0 0 0 0 5000 1 0 0 0 0 0 0\n";
    let heading = "Inter-|   Receive |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";
    for path in ["proc/net/dev", "proc/1/net/dev", "proc/self/net/dev"] {
        let path = host.path().join(path);
        if path.exists() {
            fs::write(path, format!("{heading}{lines}{hostile}")).unwrap();
        }
    }
    let taffrail = Taffrail::start(&host_section(host.path()));
    let page = taffrail.get("/").text().to_owned();
    assert!(page.contains("&lt;b&gt;&amp;&quot;x") && !page.contains("<b>"), "{page}");
    assert!(page.contains("if099") && !page.contains("if042") && page.contains("and 89 more"), "{page}");
}

#[test]
fn the_page_leads_to_the_gateway_where_it_is_on() {
    let taffrail = Taffrail::start(&recorded_host());
    assert_eq!(status(&taffrail)["gateway"], Value::Null);
    assert!(!taffrail.get("/").text().contains("Gateway"));
    taffrail.reload(&format!("{}[gateway]\nlisten = [\"127.0.0.1:0\"]\n", recorded_host()));
    let gateway = wait_until("the gateway", || status(&taffrail)["gateway"].as_str().map(str::to_owned));
    assert_eq!(crate::harness::get(&gateway, &[]).unwrap().status, 200);
    assert!(taffrail.get("/").text().contains(&format!("href=\"{gateway}\"")));
    let external = "external_url = \"https://example.org/push\"";
    taffrail.reload(&format!("{}[gateway]\nlisten = [\"127.0.0.1:0\"]\n{external}\n", recorded_host()));
    wait_until("its external URL", || (status(&taffrail)["gateway"] == "https://example.org/push/").then_some(()));
}

#[test]
#[ignore = "needs Debian's packages chromium and chromium-driver: tests/run"]
fn with_chromium_names_of_any_length_fit_at_every_width() {
    let host = copied_host();
    let long = "a.very_long.name@interface/".repeat(5);
    let lines: String = ["eth0", "enp135s0f3np1", &long, "x".repeat(200).as_str()]
        .map(|name| format!("{name}: 7 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n"))
        .concat();
    let heading = "Inter-|   Receive |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n";
    for path in ["proc/net/dev", "proc/1/net/dev", "proc/self/net/dev"].map(|path| host.path().join(path)) {
        if path.exists() {
            fs::write(path, format!("{heading}{lines}")).unwrap();
        }
    }
    let sink = "[agent]\ninterval = \"200ms\"\nflush_interval = \"200ms\"\n\
                [[sinks.influxdb]]\nurls = [\"http://127.0.0.1:1\"]\ndatabase = \"d\"\n";
    let taffrail = Taffrail::start(&format!("{}{sink}", host_section(host.path())));
    let browser = Browser::open(&taffrail.url("/"));
    wait_until("rates", || {
        let row = "return document.querySelector('#interfaces tbody')?.textContent";
        browser.run(row).as_str().is_some_and(|row| row.contains("/s")).then_some(())
    });
    for width in [320, 400, 640, 1099, 1280, 1300, 1920] {
        browser.resize(width);
        assert_eq!(browser.broken(), serde_json::json!([[], 0]), "at {width} pixels");
    }
    let title = format!("return document.querySelector('#interfaces th[title]')?.title === {:?}", long);
    assert_eq!(browser.run(&title), true);
}

#[test]
#[ignore = "needs Debian's packages chromium and chromium-driver: tests/run"]
fn with_chromium_the_lines_of_the_page_move() {
    let host = copied_host();
    let sink = "[agent]\ninterval = \"200ms\"\nflush_interval = \"200ms\"\n\
                [[sinks.influxdb]]\nurls = [\"http://127.0.0.1:1\"]\ndatabase = \"d\"\n";
    let taffrail = Taffrail::start(&format!("{}{sink}", host_section(host.path())));
    let browser = Browser::open(&taffrail.url("/"));
    let says = |id: &str| browser.run(&format!("return document.querySelector('#{id}').textContent"));
    wait_until("a first scrape", || (says("live") == "live").then_some(()));
    // A line has its path from the second reading on.
    let line =
        |id: &str| browser.run(&format!("return document.querySelector('#{id} path:not(.area)')?.getAttribute('d')"));
    let first = wait_until("a first line", || line("load").as_str().map(str::to_owned));
    fs::write(host.path().join("proc/loadavg"), "7.25 0.25 0.125 1/2 3\n").unwrap();
    wait_until("another load", || says("load .big").as_str().unwrap().contains("7.25").then_some(()));
    wait_until("rates", || says("network .big").as_str().unwrap().contains("/s").then_some(()));
    wait_until("a line", || {
        (line("cpu").as_str().is_some_and(|line| line.contains('L')) || line("load") != first.as_str()).then_some(())
    });

    // The heading names what fails, and that alone.
    let shown =
        "return [...document.querySelectorAll('.alert')].filter(one => one.checkVisibility()).map(one => one.hash)";
    wait_until("the failing sink", || (browser.run(shown) == serde_json::json!(["#sinks"])).then_some(()));

    // A hidden page asks for nothing.
    let hide = |is_hidden: bool| {
        browser.run(&format!(
            "Object.defineProperty(document, 'hidden', {{value: {is_hidden}, configurable: true}}); \
             document.dispatchEvent(new Event('visibilitychange'))"
        ));
    };
    hide(true);
    fs::write(host.path().join("proc/loadavg"), "9.75 0.25 0.125 1/2 3\n").unwrap();
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert!(says("load .big").as_str().unwrap().contains("7.25"));
    hide(false);
    wait_until("the newest load", || says("load .big").as_str().unwrap().contains("9.75").then_some(()));
    assert_eq!(browser.console(), Vec::<String>::new());

    // All controls that are shown have names; headings and tables are what they seem.
    let controls = browser.accessible("a:not(.alert), .alert[href='#sinks'], summary");
    assert!(controls.iter().all(|(_, name)| !name.is_empty()));
    assert_eq!(browser.run("return document.querySelectorAll('td').length > 0 && document.querySelectorAll('table:not(:has(th[scope=col]))').length"), 0);
    drop(taffrail);
    wait_until("the failure", || says("live").as_str().unwrap().contains("cannot be reached").then_some(()));
    assert_eq!(browser.run("return document.querySelector('main').className"), "stale");
}
