//! The page, in a browser, by WebDriver (w3.org/TR/webdriver2).

use std::process::Command;

use serde_json::{Value, json};

use super::harness::gateway::{Gateway, Own};
use super::harness::real::{Server, free_port};
use super::harness::{PATIENCE, wait_until};

/// A browser without a screen, with one page open.
struct Browser {
    _driver: Server,
    session: String,
    agent: ureq::Agent,
    _profile: tempfile::TempDir,
}

const ENTER: &str = "\u{e007}";
const TAB: &str = "\u{e004}";

impl Browser {
    fn open(url: &str) -> Browser {
        let port = free_port();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}"));
        let driver = Server::start(command, port, "/status");
        let profile = tempfile::tempdir().unwrap();
        let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).build();
        let mut browser =
            Browser { session: driver.url.clone(), _driver: driver, agent: agent.into(), _profile: profile };
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}});
        let session = browser.post("/session", wanted)["sessionId"].as_str().unwrap().to_owned();
        browser.session = format!("{}/session/{session}", browser.session);
        browser.post("/url", json!({"url": url}));
        browser
    }

    fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.session);
        let request = self.agent.post(&url).header("content-type", "application/json");
        let text = request.send(body.to_string()).unwrap().body_mut().read_to_string().unwrap();
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        assert!(answer["value"]["error"].is_null(), "{path}: {answer}");
        answer["value"].take()
    }

    fn get(&self, path: &str) -> Value {
        let text =
            self.agent.get(&format!("{}{path}", self.session)).call().unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["value"].take()
    }

    fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({"script": script, "args": []}))
    }

    /// Types keys, wherever the focus is.
    fn type_keys(&self, keys: &str) {
        let strokes = keys.chars().flat_map(|key| {
            [json!({"type": "keyDown", "value": key.to_string()}), json!({"type": "keyUp", "value": key.to_string()})]
        });
        let strokes: Vec<Value> = strokes.collect();
        self.post("/actions", json!({"actions": [{"type": "key", "id": "keys", "actions": strokes}]}));
    }

    /// Every element that matches, by role and name as a screen reader has them.
    fn accessible(&self, selector: &str) -> Vec<(String, String)> {
        let found = self.post("/elements", json!({"using": "css selector", "value": selector}));
        let of = |element: &Value| {
            let id = element.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
            let text = |what: &str| self.get(&format!("/element/{id}/{what}")).as_str().unwrap_or_default().to_owned();
            (text("computedrole"), text("computedlabel"))
        };
        found.as_array().unwrap().iter().map(of).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.agent.delete(&self.session).call();
    }
}

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
            "return performance.getEntriesByType('resource').filter(entry => !entry.name.startsWith('data:')).length"
        ),
        0,
        "nothing from elsewhere"
    );

    // Each control has a role and a name; the table has heads and tells how many there are.
    let controls = browser.accessible("input, main form button, nav a, tbody tr:first-child button");
    assert!(controls.iter().all(|(role, name)| !role.is_empty() && !name.is_empty()), "{controls:?}");
    assert!(controls.contains(&("searchbox".to_owned(), "Search labels".to_owned())), "{controls:?}");
    assert!(controls.iter().any(|(role, name)| role == "button" && name.starts_with("Delete {")), "{controls:?}");
    assert!(controls.contains(&("link".to_owned(), "Later".to_owned())), "{controls:?}");
    assert_eq!(browser.run("return document.querySelectorAll('th[scope=col]').length"), 7);
    assert_eq!(browser.run("return document.getElementById('told').textContent"), "151 groups");

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
fn the_page_shows_what_there_is_a_page_at_a_time() {
    let gateway = Own::start("");
    for number in 0..250 {
        assert_eq!(gateway.put(&format!("/metrics/job/j{number:03}"), "x 1\n").status, 200);
    }
    assert_eq!(gateway.put("/metrics/job/j001", "x 1 1000\n").status, 400);
    let page =
        |query: &str| super::harness::http::request("GET", &format!("/{query}"), "").send(&gateway.address()).body;
    let rows = |query: &str| page(query).matches("<tr><td>").count();
    assert_eq!([rows(""), rows("?page=2"), rows("?page=3"), rows("?page=4"), rows("?page=x")], [100, 100, 50, 0, 100]);
    assert_eq!([rows("?search=j01"), rows("?search=j010"), rows("?search=none")], [10, 1, 0]);
    assert!(page("?search=j001").contains("last push refused"));
    assert!(page("?search=%22%3E%3Cscript%3E").contains("value=\"&quot;&gt;&lt;script&gt;\""));
}
