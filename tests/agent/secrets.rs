//! No message about a configuration shows a secret, whatever is wrong with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use crate::harness::{Taffrail, config_file, printed, recorded_host, taffrail};
use base64::Engine;
use taffrail::reference;
use taffrail::settings::{Overrides, Settings};

/// A secret that occurs nowhere else, nor do its parts, which must not be shown either.
const SECRET: &str = "Zq7hqntkrXv9";

/// What is said of a configuration: on lines for the log, and with the lines of the file.
fn said(config: &str) -> String {
    let environment = |name: &str| match name {
        "SECRET" => Some(SECRET.into()),
        "SECRET_URL" => Some(format!("http://user:{SECRET}@127.0.0.1:1/?p={SECRET}").into()),
        "CREDENTIALS_DIRECTORY" | "HOME" => None,
        name => std::env::var_os(name),
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

/// Whether a part of the secret is shown that is long enough to recognise.
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
    let sections = reference::sections().into_iter().flat_map(|section| {
        let names = if section.head.contains("sinks.NAME") { section.names } else { vec!["cpu"] };
        let keys: Vec<&'static str> = section.keys.iter().map(|key| key.name).collect();
        names.into_iter().map(move |name| (head(&section.head.replace("NAME", name)), keys.clone()))
    });
    sections.collect()
}

/// A head, after that of the list which it is in.
fn head(head: &str) -> String {
    let path = head.trim_matches(['[', ']']);
    let parent = path.rsplit_once('.').map(|(parent, _)| parent);
    let is_in_a_list = parent.is_some_and(|parent| {
        parent.starts_with("sinks.")
            || parent == "collectors.cloudwatch"
            || parent.starts_with("collectors.cloudwatch.")
    });
    let before = if is_in_a_list { format!("[[{}]]\n", parent.unwrap()) } else { String::new() };
    format!("{before}{head}\n")
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
    const AWS: [&str; 3] = ["access_key", "secret_key", "session_token"];
    ["password", "token", "api_key", "password_hash", "token_sha256"].iter().chain(&AWS).any(|secret| *secret == key)
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
    let (_folder, path) =
        config_file("[[sinks.influxdb]]\nurls=[\"http://user:hunter2@127.0.0.1:1\"]\ndatabase=\"x\"\n");
    let (_, errors) = printed(&taffrail(&["check", "--config", &path]));
    assert!(errors.contains("expected a URL without credentials") && !errors.contains("hunter2"), "{errors}");
    assert!(errors.contains("taffrail.toml:2:7: sinks.influxdb[0].urls[0]: expected"), "{errors}");
    // The excerpt ends with the invalid element.
    assert!(errors.contains("\n  2 | urls=[[secret]\n    |       ^^^^^^^^\n"), "{errors}");
}

#[test]
fn urls_whose_messages_are_logged_have_no_credentials() {
    for section in [
        "[collectors.container]\nkubelet_url",
        "[collectors.container]\nkubernetes_url",
        "[[collectors.cloudwatch]]\nnamespace = \"AWS/EC2\"\nendpoint_url",
        "[[sinks.cloudwatch]]\nregion = \"eu-west-1\"\nendpoint_url",
    ] {
        for user in [SECRET.to_owned(), format!("u:{SECRET}"), format!(":{SECRET}")] {
            let said = assert_hidden(&format!("{section} = \"https://{user}@127.0.0.1:1\"\n"));
            assert!(said.contains("expected a URL without credentials"), "{section}: {said}");
        }
    }
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
    assert_eq!(failing.wait().code(), Some(78));
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

/// A server that answers everything with the head of the request, as error pages do.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer_with_head(&mut stream));
        }
    });
    address
}

fn answer_with_head(stream: &mut TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && lines.read_line(&mut head).is_ok_and(|bytes| bytes > 0) {}
    let length = head
        .to_lowercase()
        .split_once("content-length: ")
        .and_then(|(_, rest)| rest.lines().next().and_then(|length| length.trim().parse().ok()));
    let _ = lines.read_exact(&mut vec![0; length.unwrap_or(0)]);
    let body = head.replace("\r\n", " ");
    let _ =
        write!(stream, "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
}

/// The secret as it stands in a header of basic authentication.
fn in_basic(user: &str) -> String {
    base64::prelude::BASE64_STANDARD.encode(format!("{user}:{SECRET}"))
}

#[test]
fn what_a_server_says_back_of_a_secret_is_in_no_log() {
    let address = echo();
    let sinks = [
        format!("remote_write]]\nurl = \"http://{address}/write?token={SECRET}&x=%20{SECRET}\"\n"),
        format!("remote_write]]\nurl = \"http://{address}/write\"\ntoken = \"{SECRET}\"\n"),
        format!("remote_write]]\nurl = \"http://{address}/write\"\nheaders = {{ X-Key = \"Bearer {SECRET}\" }}\n"),
        format!("influxdb]]\nurls = [\"http://{address}/?p={SECRET}\"]\ndatabase = \"d\"\n"),
        format!(
            "influxdb]]\nurls = [\"http://{address}\"]\ndatabase = \"d\"\nusername = \"u\"\npassword = \"{SECRET}\"\n"
        ),
        format!("elasticsearch]]\nurls = [\"http://{address}\"]\napi_key = \"{SECRET}\"\n"),
        format!(
            "influxdb]]\nurls = [\"http://x.invalid\"]\ndatabase = \"d\"\nhttp_proxy = \"http://u:{SECRET}@{address}\"\n"
        ),
    ];
    for sink in sinks {
        let config =
            format!("{}[agent]\ninterval = \"100ms\"\nflush_interval = \"100ms\"\n[[sinks.{sink}", recorded_host());
        let taffrail = Taffrail::start(&config);
        let line = taffrail.wait_for_log("status 400");
        assert!(line.contains("[secret]"), "{sink}: {line}");
        let log = taffrail.log().join("\n");
        assert!(!shows_secret(&log) && !log.contains(&in_basic("u")), "{sink}: {log}");
    }
}

#[test]
fn what_a_service_says_back_of_a_secret_is_in_no_log_and_on_no_page() {
    let address = echo();
    let config = format!(
        "{}[agent]\ninterval = \"100ms\"\n[collectors]\nenable = [\"supervisord\"]\n\
         [collectors.supervisord]\nurl = \"http://u:{SECRET}@{address}/RPC2?p={SECRET}\"\n\
         [[collectors.cloudwatch]]\nnamespace = \"AWS/EC2\"\nregions = [\"eu-west-1\"]\n\
         endpoint_url = \"http://{address}/?p={SECRET}\"\n\
         access_key = \"AKIATEST\"\nsecret_key = \"{SECRET}\"\nsession_token = \"{SECRET}\"\n",
        recorded_host()
    );
    let running = Taffrail::start(&config);
    let pages = ["/", "/metrics"].map(|path| running.get(path).text().to_owned());
    for failed in ["collector=\"supervisord\"", "ListMetrics", "GetCallerIdentity"] {
        running.wait_for_log(failed);
    }
    let (_folder, path) = config_file(&config);
    let (print, errors) = printed(&taffrail(&["print", "--config", &path]));
    // A part of the secret is in "counter".
    for page in pages.into_iter().chain([print]) {
        assert!(!page.contains(SECRET) && !page.contains(&in_basic("u")), "{page}");
    }
    for said in [errors, running.log().join("\n")] {
        assert!(!shows_secret(&said) && !said.contains(&in_basic("u")), "{said}");
    }
}

#[test]
fn what_a_gateway_says_back_of_a_secret_is_not_printed() {
    let address = echo();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let file = file.to_str().unwrap();
    for (url, credentials) in [
        (format!("http://{address}"), vec!["--token-file", file]),
        (format!("http://{address}"), vec!["--user", "u", "--password-file", file]),
        (format!("http://u:{SECRET}@{address}"), vec![]),
    ] {
        for rest in [vec!["--", "true"], vec!["--delete"]] {
            let push = ["push", "--timeout", "1s", "--job", "j", "--url", &url];
            let (_, errors) = printed(&taffrail(&[&push[..], &credentials, &rest].concat()));
            assert!(errors.contains("400") && errors.contains("[secret]"), "{errors}");
            assert!(!shows_secret(&errors) && !errors.contains(&in_basic("u")), "{errors}");
        }
    }
}

#[test]
fn a_secret_of_several_lines_is_refused_at_once_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n{SECRET}\n")).unwrap();
    let file = file.to_str().unwrap();
    // No server listens there, and it is not tried.
    let push = ["push", "--timeout", "1h", "--job", "j", "--url", "http://127.0.0.1:1", "--delete"];
    for credentials in [vec!["--token-file", file], vec!["--user", "u", "--password-file", file]] {
        let output = taffrail(&[&push[..], &credentials].concat());
        let (_, errors) = printed(&output);
        assert_eq!(output.status.code(), Some(1));
        assert!(errors.contains(file) && errors.contains("line break") && !shows_secret(&errors), "{errors}");
    }
    let mut by_variable = Command::new(env!("CARGO_BIN_EXE_taffrail"));
    let output = by_variable.args(push).env("TAFFRAIL_TOKEN", format!("{SECRET}\n{SECRET}")).output().unwrap();
    let (_, errors) = printed(&output);
    assert!(errors.contains("TAFFRAIL_TOKEN: ") && errors.contains("line break") && !shows_secret(&errors), "{errors}");
    for sink in
        ["remote_write]]\nurl = \"http://h/\"\ntoken", "influxdb]]\ndatabase = \"d\"\nusername = \"u\"\npassword"]
    {
        let said = assert_hidden(&format!("[[sinks.{sink} = \"${{file:{file}}}\"\n"));
        assert!(said.contains(file) && said.contains("line break"), "{said}");
    }
}
