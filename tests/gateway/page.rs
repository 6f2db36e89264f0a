//! The page, in a browser.

use serde_json::json;

use crate::harness::browser::{Browser, ENTER, TAB};
use crate::harness::gateway::{Gateway, Own};
use crate::harness::wait_until;

#[test]
#[ignore = "needs Debian's packages chromium and chromium-driver: tests/run"]
fn with_chromium_the_page_is_searched_read_and_deleted_from_by_keyboard() {
    let gateway = Own::start("");
    for number in 0..150 {
        assert_eq!(gateway.put(&format!("/metrics/job/backup/host/web-{number:03}"), "rows 3\nsize 4\n").status, 200);
    }
    assert_eq!(gateway.put("/metrics/job/%3Cimg%20src%3Dx%3E?ttl=1h", "x{l=\"<b>\"} 1\n").status, 200);
    let browser = Browser::open(&format!("http://{}/", gateway.address()));
    assert_eq!(browser.run("return document.querySelectorAll('tbody tr').length"), 100);
    assert_eq!(
        browser.run(
            "return performance.getEntriesByType('resource').map(entry => entry.name).filter(name => !name.startsWith('data:')\
             && !name.startsWith(location.origin)).length"
        ),
        0,
        "nothing from elsewhere"
    );

    // Each control has a role and a name; the table has headers and their count.
    let controls = browser.accessible("input, main form button, nav a, tbody tr:first-child button");
    assert!(controls.iter().all(|(role, name)| !role.is_empty() && !name.is_empty()), "{controls:?}");
    assert!(controls.contains(&("searchbox".to_owned(), "Search labels".to_owned())), "{controls:?}");
    assert!(controls.iter().any(|(role, name)| role == "button" && name.starts_with("Delete {")), "{controls:?}");
    assert!(controls.contains(&("link".to_owned(), "Later".to_owned())), "{controls:?}");
    assert_eq!(browser.run("return document.querySelectorAll('th[scope=col]').length"), 7);
    assert_eq!(browser.run("return document.getElementById('status').textContent"), "151 groups");

    // What was pushed is text, whatever it looks like.
    browser.run("document.getElementById('search').focus()");
    browser.type_keys("img");
    browser.type_keys(ENTER);
    wait_until("one group", || (browser.run("return document.querySelectorAll('tbody tr').length") == 1).then_some(()));
    assert_eq!(browser.run("return document.querySelectorAll('img, td b').length"), 0);
    let text = browser.run("return document.querySelector('tbody').textContent");
    assert!(text.as_str().unwrap().contains("x{instance=\"\",job=\"<img src=x>\",l=\"<b>\"} 1"), "{text}");
    assert!(text.as_str().unwrap().contains("59m"), "{text}");

    // By keyboard alone: to the button, and yes.
    for _ in 0..20 {
        browser.type_keys(TAB);
        if browser.run("return document.activeElement.dataset.path || null").is_string() {
            break;
        }
    }
    browser.type_keys(ENTER);
    wait_until("the question", || {
        browser.get("/alert/text").as_str().filter(|text| text.starts_with("Delete")).map(|_| ())
    });
    browser.post("/alert/accept", json!({}));
    wait_until("the end of the group", || (gateway.sample("taffrail_gateway_groups") == Some(150.0)).then_some(()));
    wait_until("the row to go", || {
        (browser.run("return document.querySelectorAll('tbody tr').length") == 0).then_some(())
    });
}

#[test]
#[ignore = "needs Debian's packages chromium and chromium-driver: tests/run"]
fn with_chromium_no_column_is_narrower_than_its_words() {
    let gateway = Own::start("");
    let long = "long-name-".repeat(9);
    let bodies = [run(0, 137, 90_000.0, "86400"), run(1, 0, 90_000.0, "604800"), "rows 3\n".to_owned()];
    for (number, body) in bodies.iter().enumerate() {
        let success = format!("{body}job_last_success_timestamp_seconds {}\n", now() - 1e6);
        assert_eq!(gateway.put(&format!("/metrics/job/backup-{number}/instance/web-1"), &success).status, 200);
        assert_eq!(gateway.put(&format!("/metrics/job/{long}{number}/instance/{long}"), body).status, 200);
        assert_eq!(gateway.put(&format!("/metrics/job/backup-{number}/instance/web-1"), &success).status, 200);
    }
    let browser = Browser::open(&format!("http://{}/", gateway.address()));
    for width in [320, 400, 640, 1099, 1100, 1280, 1920] {
        browser.resize(width);
        assert_eq!(browser.broken(), json!([[], 0]), "at {width} pixels");
    }
}

#[test]
fn the_page_shows_what_there_is_a_page_at_a_time() {
    let gateway = Own::start("");
    for number in 0..250 {
        assert_eq!(gateway.put(&format!("/metrics/job/j{number:03}"), "x 1\n").status, 200);
    }
    assert_eq!(gateway.put("/metrics/job/j001", "x 1 1000\n").status, 400);
    let page =
        |query: &str| crate::harness::http::request("GET", &format!("/{query}"), "").send(&gateway.address()).body;
    let rows = |query: &str| page(query).matches("<th scope=\"row\">").count();
    assert_eq!([rows(""), rows("?page=2"), rows("?page=3"), rows("?page=4"), rows("?page=x")], [100, 100, 50, 0, 100]);
    assert_eq!([rows("?search=j01"), rows("?search=j010"), rows("?search=none")], [10, 1, 0]);
    assert!(page("?search=j001").contains("last push refused"));
    assert!(page("?search=%22%3E%3Cscript%3E").contains("value=\"&quot;&gt;&lt;script&gt;\""));
    let none = page("?search=none");
    assert!(none.contains(">0 groups<") && none.contains("No group has labels that contain “none”."), "{none}");
    assert!(page("").contains("Page 1 of 3") && page("?page=2").contains("Page 2 of 3"));
    for far in ["4", "18446744073709551615"] {
        let far = page(&format!("?page={far}"));
        assert!(far.contains("This page has no groups.") && far.contains("page=3\">Earlier<"), "{far}");
    }
}

/// The page's body, without its tags: a cell a word.
fn words(page: &str) -> String {
    let text: String =
        page.split('<').map(|part| part.split_once('>').map_or("", |(_, text)| text)).collect::<Vec<_>>().join(" ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The lines of the table, in their order.
fn lines(page: &str) -> Vec<String> {
    let rows = page.split_once("<tbody>").map_or("", |(_, rows)| rows);
    let rows = rows.split("</tbody>").next().unwrap_or_default();
    rows.split("<tr").skip(1).map(|row| words(&format!("<tr{row}"))).collect()
}

fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// What `taffrail push` reports of a run that ended `age` seconds ago and took two minutes.
fn run(success: u8, status: u8, age: f64, every: &str) -> String {
    let (end, interval) = (now() - age, if every.is_empty() { "" } else { "job_interval_seconds " });
    format!(
        "job_success {success}\njob_exit_status {status}\njob_running 0\njob_start_timestamp_seconds {}\n\
         job_end_timestamp_seconds {end}\njob_duration_seconds 120\n{interval}{every}\n",
        end - 120.0
    )
}

#[test]
fn a_line_has_the_last_run_its_result_its_duration_and_the_next_run() {
    let gateway = Own::start("");
    let page = || gateway.send(&crate::harness::http::request("GET", "/", "")).body;
    assert_eq!(gateway.put("/metrics/job/backup/host/web-1?ttl=2d", &run(1, 0, 3700.0, "86400")).status, 200);
    assert_eq!(lines(&page()).len(), 1);
    assert!(page().contains(">1 group<"));
    let line = &lines(&page())[0];
    assert!(line.starts_with("backup host=&quot;web-1&quot; · expires in 1d 23h · 7 series 7 families, "), "{line}");
    assert!(line.ends_with("1h 1m ago succeeded 2m in 22h 56m Delete"), "{line}");

    assert_eq!(gateway.put("/metrics/job/failing", &run(0, 3, 10_890.0, "")).status, 200);
    let success = format!("job_last_success_timestamp_seconds {}\n", now() - 7300.0);
    assert_eq!(gateway.post("/metrics/job/failing", &success).status, 200);
    let line = &lines(&page())[0];
    assert!(line.ends_with("3h 1m ago failed with status 3 last success 2h 1m ago 2m Delete"), "{line}");

    let running = format!("job_running 1\njob_start_timestamp_seconds {}\n", now() - 3690.0);
    assert_eq!(gateway.post("/metrics/job/failing", &running).status, 200);
    let line = &lines(&page())[0];
    assert!(line.contains("3h 1m ago running for 1h 1m the run before failed last success 2h 1m ago 2m"), "{line}");
    assert!(page().contains(">1 running<") && !page().contains(" failed</p>\n<"), "{}", page());
}

#[test]
fn what_is_urgent_comes_first() {
    let gateway = Own::start("");
    let page = || gateway.send(&crate::harness::http::request("GET", "/", "")).body;
    for (job, body) in [
        ("b-ok", run(1, 0, 60.0, "")),
        ("a-ok", run(1, 0, 60.0, "86400")),
        ("c-client", "rows 3\n".to_owned()),
        ("z-running", "job_running 1\n".to_owned()),
        ("z-failed", run(0, 1, 60.0, "")),
        ("y-refused", "rows 3\n".to_owned()),
    ] {
        assert_eq!(gateway.put(&format!("/metrics/job/{job}"), &body).status, 200);
    }
    assert_eq!(gateway.put("/metrics/job/y-refused", "rows 3 1000\n").status, 400);
    let page = page();
    let names: Vec<String> = lines(&page).iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(names, ["y-refused", "z-failed", "z-running", "a-ok", "b-ok", "c-client"]);
    assert_eq!(page.matches("<tr class=\"failed\">").count(), 2, "red");
    assert!(page.contains("<p class=\"state bad\">2 failed</p>"), "{page}");
    let client = &lines(&page)[5];
    assert!(client.contains("now pushed Delete") || client.contains("s ago pushed Delete"), "{client}");
    assert!(lines(&page)[0].contains("last push refused"), "{page}");
}

#[test]
fn a_line_shows_the_durations_that_this_process_has_seen() {
    let gateway = Own::start("");
    let page = || gateway.send(&crate::harness::http::request("GET", "/", "")).body;
    for run in 1..=40 {
        assert_eq!(gateway.put("/metrics/job/seen", &format!("job_duration_seconds {run}\n")).status, 200);
        assert_eq!(gateway.put("/metrics/job/other", &format!("rows {run}\n")).status, 200);
        let expected = match run {
            1 => None,
            2 => Some("Last 2 runs: 1.0s to 2.0s"),
            40 => Some("Last 32 runs: 9.0s to 40s"),
            _ => continue,
        };
        let page = page();
        assert_eq!(page.matches("<svg class=\"spark\"").count(), usize::from(expected.is_some()), "{page}");
        assert!(page.contains(expected.unwrap_or_default()), "{page}");
    }
    assert_eq!(gateway.delete("/metrics/job/seen").status, 202);
    assert_eq!(gateway.put("/metrics/job/seen", "job_duration_seconds 1\n").status, 200);
    assert!(!page().contains("<svg class=\"spark\""));
}

#[test]
fn an_empty_gateway_says_how_to_push() {
    let get = |gateway: &Own, path: &str| gateway.send(&crate::harness::http::request("GET", path, "")).body;
    let gateway = Own::start("");
    let page = get(&gateway, "/");
    assert!(page.contains("taffrail push --url http://x --job backup -- /usr/local/bin/backup"), "{page}");
    assert!(page.contains("curl --data-binary @- http://x/metrics/job/import"), "{page}");
    assert!(page.contains(">0 groups<") && !page.contains("<table"), "{page}");
    let prefixed = Own::start("external_url = \"https://example.org/push/\"\n");
    assert!(get(&prefixed, "/push/").contains("--url https://example.org/push --job"), "{}", get(&prefixed, "/push/"));
    let prefixed = Own::start("route_prefix = \"/push\"\n");
    assert!(get(&prefixed, "/push/status").contains("http://x/push/metrics/job/import"));
}

#[test]
fn the_page_loads_its_own_files_and_nothing_else() {
    let gateway = Own::start("route_prefix = \"/push\"\n");
    let get = |path: &str| gateway.send(&crate::harness::http::request("GET", path, ""));
    let reply = get("/push/");
    let policy = reply.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    assert!(!reply.body.contains("<style") && !reply.body.contains("style=\"") && !reply.body.contains("onclick"));
    for (kind, attribute) in [
        ("text/css", "href=\"style.css?"),
        ("text/css", "href=\"gateway.css?"),
        ("text/javascript", "src=\"gateway.js?"),
    ] {
        let digest = reply.body.split_once(attribute).unwrap().1.split('"').next().unwrap();
        let url = format!("{}{digest}", attribute.split_once('"').unwrap().1);
        let file = get(&format!("/push/{url}"));
        assert!(file.status == 200 && file.header("content-type").unwrap().starts_with(kind), "{file:?}");
        assert!(file.header("cache-control").unwrap().contains("immutable"), "{file:?}");
    }
}

#[test]
fn hostile_names_and_values_are_text_of_bounded_length() {
    let gateway = Own::start("");
    let long = "n".repeat(5000);
    let hostile = "%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E";
    assert_eq!(gateway.put(&format!("/metrics/job/{hostile}/l/{hostile}"), "x 1\n").status, 200);
    assert_eq!(gateway.put(&format!("/metrics/job/{long}/l/{long}"), "x 1\n").status, 200);
    let body = "job_success NaN\njob_exit_status 1e300\njob_running 0\njob_start_timestamp_seconds 1e300\n\
                job_end_timestamp_seconds -5\njob_duration_seconds +Inf\njob_interval_seconds NaN\n";
    assert_eq!(gateway.put("/metrics/job/numbers", body).status, 200);
    let page = gateway.send(&crate::harness::http::request("GET", "/", "")).body;
    assert!(!page.contains("<img") && page.contains("&lt;img src=x onerror=alert(1)&gt;"), "{page}");
    let lines = lines(&page);
    assert!(lines.iter().any(|line| line.starts_with(&format!(
        "{}… l=&quot;{}…&quot; · 1 series 1 family, ",
        &long[..100],
        &long[..100]
    ))));
    let numbers = lines.iter().find(|line| line.starts_with("numbers")).unwrap();
    assert!(numbers.contains("now succeeded Delete") || numbers.contains("s ago succeeded Delete"), "{numbers}");
}
