//! No message about a configuration shows a secret, whatever is wrong with it.

mod harness;

use std::process::{Command, Stdio};

use harness::{Taffrail, config_file, printed, recorded_host, taffrail};
use taffrail::reference;
use taffrail::settings::{Overrides, Settings};

/// A secret that occurs nowhere else; its parts must not be shown either.
const SECRET: &str = "Zq7hunterXv9";

/// What is said of a configuration: on lines for the log, and with the lines of the file.
fn said(config: &str) -> String {
    let environment = |name: &str| match name {
        "SECRET" => Some(SECRET.to_owned()),
        "SECRET_URL" => Some(format!("http://user:{SECRET}@127.0.0.1:1/?p={SECRET}")),
        "CREDENTIALS_DIRECTORY" | "HOME" => None,
        name => std::env::var(name).ok(),
    };
    let document = match taffrail::config::Document::parse("t.toml", config, &environment) {
        Ok(document) => document,
        Err(problems) => return format!("{problems}\n{}", problems.lines().collect::<Vec<_>>().join("\n")),
    };
    match Settings::check(&document, &Overrides::default()) {
        Ok(_) => String::new(),
        Err(problems) => format!("{problems}\n{}", problems.lines().collect::<Vec<_>>().join("\n")),
    }
}

/// Whether a part of the secret is shown that is long enough to tell.
fn shows_secret(said: &str) -> bool {
    let (said, secret) = (said.to_lowercase(), SECRET.to_lowercase());
    (0..=secret.len() - 5).any(|at| said.contains(&secret[at..at + 5]))
}

fn assert_hidden(config: &str) -> String {
    let said = said(config);
    assert!(!shows_secret(&said), "{config}\n--- says ---\n{said}");
    said
}

/// The heads under which a section's settings stand.
fn heads() -> Vec<(String, Vec<&'static str>)> {
    let sections = reference::sections().into_iter().map(|(head, _, keys)| {
        let head = head.replace("NAME", "cpu");
        let path = head.trim_matches(['[', ']']);
        let parent = path.rsplit_once('.').map(|(parent, _)| parent);
        let is_in_a_list = parent.is_some_and(|parent| {
            parent.starts_with("sinks.")
                || parent == "collectors.cloudwatch"
                || parent.starts_with("collectors.cloudwatch.")
        });
        let before = if is_in_a_list { format!("[[{}]]\n", parent.unwrap()) } else { String::new() };
        (format!("{before}{head}\n"), keys.iter().map(|key| key.name).collect())
    });
    sections.collect()
}

/// The mistakes that can be made with a value: TOML of `KEY` and a secret.
fn mistakes(key: &str, secret: &str) -> Vec<String> {
    let quotes = "\"\"\"";
    vec![
        format!("{key} = \"{secret}\""),
        format!("{key} = '{secret}'"),
        format!("{key} = [\"{secret}\"]"),
        format!("{key} = [\n  \"{secret}\",\n  5,\n]"),
        format!("{key} = [[\"{secret}\"]]"),
        format!("{key} = {{ a = \"{secret}\" }}"),
        format!("{key} = {{ a = \"{secret}\", b = 5, colour = [] }}"),
        format!("{key} = {quotes}{secret}{quotes}"),
        format!("{key} = {quotes}\n{secret}\n{quotes}"),
        format!("{key} = \"\\u005A{}\"", &secret[1..]),
        format!("{key} = \"{secret}\\\"quoted\""),
        // Other keys.
        format!("{key}x = \"{secret}\""),
        format!("x{key} = [\"{secret}\", 5]"),
        format!("{key}.{key} = \"{secret}\""),
        format!("{key} = \"{secret}\"\ncolour = \"x\""),
        format!("{key} = \"a\"\n{key} = \"{secret}\""),
        format!("{key} = \"{secret}\"\n{key} = \"a\""),
        // No TOML.
        format!("{key} = \"{secret}"),
        format!("{key} = '{secret}"),
        format!("{key} = {secret}"),
        format!("{key} = {secret}=="),
        format!("{key} = {secret}\""),
        format!("{key} = \"{secret}\" x"),
        format!("{key} = \"{secret}\"\"{secret}\""),
        format!("{key} = \"\\q{secret}\""),
        format!("{key} = \"{secret}\\q\""),
        format!("{key} \"{secret}\""),
        format!("{key} {secret}"),
        format!("{key}: {secret}"),
        format!("{key} = \"{secret}\", a = 1"),
        format!("{key} = [\"{secret}\""),
        format!("{key} = [\"{secret}\" \"{secret}\"]"),
        format!("{key} = [\n{secret},\n{secret}==\n]"),
        format!("{key} = {{ a = \"{secret}\""),
        format!("{key} = {{ a = {secret} }}"),
        format!("{key} = {quotes}\n{secret}"),
        format!("{key} = {quotes}\nx = {secret}\ny"),
        format!("{key} = '''\n{secret} = 5\n"),
        format!("{key} = \"{secret}\u{1}\""),
        format!("= \"{secret}\""),
        format!("[{key} = \"{secret}\""),
        // What stands for something else.
        format!("{key} = \"{secret}${{NONE}}\""),
        format!("{key} = \"${{NONE}}{secret}\""),
        format!("{key} = \"{secret}${{\""),
        format!("{key} = \"${{{secret}\""),
        format!("{key} = \"${{NONE}}\" # {secret}"),
        format!("{key} = [\"${{NONE:-{secret}}}\"]"),
        format!("{key} = \"${{SECRET}}\""),
        format!("{key} = \"x${{SECRET}}y\""),
        format!("{key} = [\"${{SECRET}}\", 5]"),
        format!("{key} = {{ a = \"${{SECRET}}\", b = 5 }}"),
        format!("{key} = \"${{SECRET_URL}}\""),
        format!("{key} = [\"${{SECRET_URL}}\"]"),
        format!("{key} = [\"${{SECRET_URL}}\", 5]"),
    ]
}

/// Values that have a secret in them wherever they stand.
fn urls() -> Vec<String> {
    let urls = [
        "http://user:SECRET@127.0.0.1:1",
        "http://SECRET@127.0.0.1:1",
        "https://SECRET:@h:99999999/x",
        "http//user:SECRET@127.0.0.1",
        "user:SECRET@proxy:3128",
        "http://user:SEC/RET@127.0.0.1",
        "http://user:@SECRET@127.0.0.1",
        "http://user:a SECRET@127.0.0.1",
        "ftp://user:SECRET@127.0.0.1/",
        "http://127.0.0.1:1/write?p=SECRET&u=a",
        "http://127.0.0.1:x/write?token=SECRET",
        "127.0.0.1:1/write?token=SECRET#x",
        "://SECRET@",
    ];
    urls.iter().map(|url| url.replace("SEC/RET", &format!("a/{SECRET}")).replace("SECRET", SECRET)).collect()
}

fn is_secret(key: &str) -> bool {
    ["password", "token", "api_key", "password_hash", "token_sha256"].contains(&key)
}

#[test]
fn secrets_of_settings_are_not_shown_whatever_is_wrong() {
    let mut count = 0;
    for (head, keys) in heads() {
        for key in keys.into_iter().filter(|key| is_secret(key)) {
            for mistake in mistakes(key, SECRET) {
                assert_hidden(&format!("{head}{mistake}\n"));
                let said = assert_hidden(&format!("{head}{mistake}\ncolour = 5\n"));
                assert!(!said.is_empty(), "{mistake}");
                count += 1;
            }
        }
    }
    assert!(count > 300, "{count} mistakes only");
}

/// Each key with this value, below the head of their section.
fn all_with(head: &str, keys: &[&str], value: &str) -> String {
    keys.iter().fold(head.to_owned(), |text, key| text + &format!("{key} = {value}\n"))
}

#[test]
fn what_comes_from_elsewhere_is_not_shown_whatever_is_wrong() {
    for (head, keys) in heads() {
        for mistake in mistakes("", SECRET).into_iter().filter(|mistake| mistake.contains("= \"${SECRET")) {
            assert_hidden(&all_with(&head, &keys, mistake.trim_start_matches(" = ")));
        }
        assert_hidden(&all_with(&head, &keys, "[\"${SECRET}\", 5, \"${SECRET_URL}\", { a = \"${SECRET}\", b = 5 }]"));
        assert_hidden(&all_with(&head, &keys, "{ a = \"x${SECRET}y\", b = 5 }"));
    }
}

#[test]
fn secrets_in_urls_are_not_shown_whatever_is_wrong() {
    let of_urls = ["name", "listen", "interval", "tls_ca", "enable", "http_proxy", "urls", "kubelet"];
    let all = heads().into_iter().map(|(head, mut keys)| {
        keys.retain(|key| of_urls.contains(key) || key.ends_with("url"));
        (head, keys)
    });
    for (head, keys) in all.filter(|(_, keys)| !keys.is_empty()) {
        for url in urls() {
            for value in [format!("'{url}'"), format!("[\"{url}\", 5]"), format!("\"{url}\" x")] {
                assert_hidden(&all_with(&head, &keys, &value));
            }
        }
        let strings: Vec<String> = urls().iter().map(|url| format!("\"{url}\"")).collect();
        assert_hidden(&all_with(&head, &keys, &format!("[{}]", strings.join(", "))));
    }
}

#[test]
fn headers_are_not_shown_whatever_is_wrong() {
    for sink in ["influxdb", "remote_write", "elasticsearch"] {
        for mistake in mistakes("Authorization", SECRET).into_iter().chain(mistakes("X-Scope", SECRET)) {
            assert_hidden(&format!("[[sinks.{sink}]]\n[sinks.{sink}.headers]\n{mistake}\n"));
            assert_hidden(&format!("[[sinks.{sink}]]\nheaders.{mistake}\n"));
        }
        for headers in [
            format!("\"Authorization: Bearer {SECRET}\""),
            format!("[\"Authorization: Bearer {SECRET}\"]"),
            format!("{{ Authorization = \"Bearer {SECRET}\", x = 5 }}"),
            format!("{{ \"no header\" = \"{SECRET}\\n\" }}"),
            format!("{{ x = \"{SECRET}\\n\" }}"),
        ] {
            assert_hidden(&format!("[[sinks.{sink}]]\nheaders = {headers}\n"));
            assert_hidden(&format!("sinks = {{ {sink} = [{{ headers = {headers}, colour = 1 }}] }}\n"));
        }
    }
    for users in [format!("\"alice:{SECRET}\""), format!("[\"alice:{SECRET}\"]"), format!("{{ alice = \"{SECRET}\" }}")]
    {
        assert_hidden(&format!("[http]\nusers = {users}\n"));
    }
}

#[test]
fn keys_that_are_pasted_in_are_not_shown() {
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n");
    for key in ["tls_key", "tls_cert", "password", "http_proxy", "urls"] {
        assert_hidden(&format!("[[sinks.influxdb]]\ndatabase = \"d\"\n{key} = \"\"\"\n{pem}\"\"\"\n"));
        assert_hidden(&format!("[[sinks.influxdb]]\n{key} = \"\"\"\n{pem}\n"));
    }
}

#[test]
fn a_password_in_a_url_is_not_shown_by_the_program() {
    let (_folder, path) = config_file(include_str!("secrets/password_in_url.toml"));
    let (_, errors) = printed(&taffrail(&["check", "--config", &path]));
    assert!(errors.contains("expected a URL without credentials") && !errors.contains("hunter2"), "{errors}");
    assert!(errors.contains("urls=[[secret]]"), "{errors}");
}

#[test]
fn neither_the_log_of_a_reload_nor_a_failed_start_shows_secrets() {
    let wrong = format!("[[sinks.influxdb]]\nurls = [\"http://user:{SECRET}@127.0.0.1:1\"]\ntoken = [\"{SECRET}\"]\n");
    let running = Taffrail::start(&recorded_host());
    running.reload(&(recorded_host() + &wrong));
    running.wait_for_log("expected a URL without credentials");
    running.reload(&format!("{}[tags]\na = \"{SECRET}\n", recorded_host()));
    assert!(!shows_secret(&running.log().join("\n")), "{:?}", running.log());
    let mut failing = Taffrail::start_with(&wrong, &[]);
    assert_eq!(failing.wait().code(), Some(1));
    failing.wait_for_log("expected a URL without credentials");
    assert!(!shows_secret(&failing.log().join("\n")), "{:?}", failing.log());
}

#[test]
fn a_web_configuration_shows_neither_hashes_nor_keys() {
    let folder = tempfile::tempdir().unwrap();
    let web = folder.path().join("web.yml");
    for text in [
        format!("basic_auth_users:\n  alice: {SECRET}\n"),
        format!("basic_auth_users:\n  alice: [{SECRET}]\n"),
        format!("basic_auth_users: {SECRET}\n"),
        format!("basic_auth_users:\n  - alice: {SECRET}\n"),
        format!("basic_auth_users:\n  alice: '{SECRET}\n"),
        format!("basic_auth_users:\n  alice: $2y$10${SECRET}\ncolour: 1\n"),
        format!("basic_auth_users: {{ alice: {SECRET}, bob: 5 }}\n"),
        format!("tls_server_config:\n  key: {SECRET}\n"),
        format!("tls_server_config:\n  key: [{SECRET}]\n"),
        format!("tls_server_config:\n  cert: x\n  key: |\n    -----BEGIN PRIVATE KEY-----\n    {SECRET}\n"),
        format!("tls_server_config: {{ key: {SECRET}, colour: 1 }}\n"),
        format!("alice: &{SECRET} x\nb: *{SECRET}\n"),
        format!("{SECRET}\n"),
    ] {
        std::fs::write(&web, &text).unwrap();
        let (_folder, path) = config_file(&format!("[http]\nweb_config_file = \"{}\"\n", web.display()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_taffrail"));
        let output = command.args(["check", "--config", &path]).stdin(Stdio::null()).output().unwrap();
        let (out, errors) = printed(&output);
        assert_eq!(output.status.code(), Some(1), "{text}: {out}{errors}");
        assert!(!shows_secret(&(out + &errors)), "{text}\n--- says ---\n{errors}");
    }
}
