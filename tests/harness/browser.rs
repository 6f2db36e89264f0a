//! Chromium, by WebDriver (w3.org/TR/webdriver2).

use std::process::Command;

use serde_json::{Value, json};

use super::LONG_TIMEOUT;
use super::real::{Server, free_port};

/// A browser without a screen, with one page open.
pub struct Browser {
    _driver: Server,
    session: String,
    agent: ureq::Agent,
    _profile: tempfile::TempDir,
}

/// Words of at most 20 characters in more than one line, cells that overflow, and pixels in excess of the page's width.
const BROKEN: &str = "
        const broken = [], walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            for (const { 0: word, index } of walker.currentNode.data.matchAll(/[^\\s…]{1,20}(?![^\\s…])/g)) {
                const range = document.createRange();
                range.setStart(walker.currentNode, index);
                range.setEnd(walker.currentNode, index + word.length);
                const isWhole = index === 0 || /[\\s…]/.test(walker.currentNode.data[index - 1]);
                if (isWhole && new Set([...range.getClientRects()].map(rect => rect.top)).size > 1) broken.push(word);
            }
        }
        for (const cell of document.querySelectorAll('td, th'))
            if (cell.scrollWidth > cell.clientWidth + 1) broken.push(cell.textContent);
        return [broken, Math.max(0, document.documentElement.scrollWidth - innerWidth)];";

pub const ENTER: &str = "\u{e007}";
pub const TAB: &str = "\u{e004}";

impl Browser {
    pub fn open(url: &str) -> Browser {
        let port = free_port();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}"));
        let driver = Server::start(command, port, "/status");
        let profile = tempfile::tempdir().unwrap();
        let agent =
            ureq::Agent::config_builder().timeout_global(Some(LONG_TIMEOUT)).http_status_as_error(false).build();
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
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:loggingPrefs": {"browser": "ALL"}, "goog:chromeOptions": {"args": arguments},
        }}});
        let session = browser.post("/session", wanted)["sessionId"].as_str().unwrap().to_owned();
        browser.session = format!("{}/session/{session}", browser.session);
        browser.post("/url", json!({"url": url}));
        browser
    }

    pub fn post(&self, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.session);
        let request = self.agent.post(&url).header("content-type", "application/json");
        let text = request.send(body.to_string()).unwrap().body_mut().read_to_string().unwrap();
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        assert!(answer["value"]["error"].is_null(), "{path}: {answer}");
        answer["value"].take()
    }

    pub fn get(&self, path: &str) -> Value {
        let text =
            self.agent.get(&format!("{}{path}", self.session)).call().unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["value"].take()
    }

    /// What the console shows since the last call: errors, and violations of the page's policy.
    pub fn console(&self) -> Vec<String> {
        let entries = self.post("/se/log", json!({"type": "browser"}));
        entries.as_array().unwrap().iter().map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({"script": script, "args": []}))
    }

    /// Sets the width of the window in pixels; up to 600, it is that of a phone.
    pub fn resize(&self, width: u32) {
        let metrics = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600});
        self.post("/goog/cdp/execute", json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics}));
    }

    /// What does not fit: words and cells, and the pixels by which the page is too wide. `[[], 0]` if all fits.
    pub fn broken(&self) -> Value {
        self.run(BROKEN)
    }

    /// Types keys, wherever the focus is.
    pub fn type_keys(&self, keys: &str) {
        let strokes = keys.chars().flat_map(|key| {
            [json!({"type": "keyDown", "value": key.to_string()}), json!({"type": "keyUp", "value": key.to_string()})]
        });
        let strokes: Vec<Value> = strokes.collect();
        self.post("/actions", json!({"actions": [{"type": "key", "id": "keys", "actions": strokes}]}));
    }

    /// Every element that matches, by role and name as a screen reader has them.
    pub fn accessible(&self, selector: &str) -> Vec<(String, String)> {
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
