//! Processes of supervisord.

use std::path::Path;
use std::time::Duration;

use reqwest::Url;

use super::service_call::{MAX_THREADS, ServiceCall};
use super::system_bus::not_understood;
use crate::client;
use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext, Vocabularies};
use crate::config::{Key, Section};
use crate::encode::Family;
use crate::host::{Host, ReadError};

/// `supervisor.getAllProcessInfo` of supervisord's XML-RPC interface.
pub(super) struct Supervisord {
    processes: ServiceCall<Vec<Process>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Process {
    name: String,
    group: String,
    state: i64,
    exit_status: i64,
    /// Unix time of the last start in seconds.
    start: i64,
}

const URL: Key<String> = Key::new(
    "url",
    "\"http://localhost:9001/RPC2\"",
    "The XML-RPC interface: an http or https URL, also with user and password, or unix:///PATH.",
);

impl Collector for Supervisord {
    const ABOUT: About = About {
        name: "supervisord",
        summary: "processes of supervisord",
        reads: &["http://localhost:9001/RPC2"],
        needs: "a section `[inet_http_server]` or `[unix_http_server]` in supervisord's configuration",
        on_by_default: Vocabularies::NONE,
        keys: &[URL.info()],
        families: &[UP.info(), STATE.info(), EXIT_STATUS.info(), START_TIME.info()],
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let url = client::completed(&section.get(&URL), "http").into_owned();
        let is_url = |url: &Url| matches!(url.scheme(), "http" | "https") || url.path().len() > 1;
        if !Url::parse(&url).is_ok_and(|url| ["http", "https", "unix"].contains(&url.scheme()) && is_url(&url)) {
            section.wrong(URL.info().name, format!("expected an http or https URL, or unix:///PATH, found {url:?}"));
        }
        let socket = url.strip_prefix("unix://").map(|path| host.root_path(path));
        let query = move |url: &str| processes(url, socket.as_deref());
        Supervisord { processes: ServiceCall::new(host.questions(MAX_THREADS), url, query) }
    }

    fn read(&mut self, _: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        for Process { name, group, state, exit_status, start } in self.processes.read()? {
            let labels = [group.as_str(), name.as_str()];
            let is_up = [STARTING, RUNNING, STOPPING].contains(&state);
            reading.put(&UP, labels, is_up);
            reading.put(&STATE, labels, state);
            reading.put(&EXIT_STATUS, labels, exit_status);
            reading.put_some(&START_TIME, labels, is_up.then_some(start));
        }
        Ok(())
    }
}

/// States in which there is a process.
const STARTING: i64 = 10;
const RUNNING: i64 = 20;
const STOPPING: i64 = 40;

const LABELS: [&str; 2] = ["group", "name"];
const UP: Family<2> = Family::gauge("node_supervisord_up", "1 if the process is starting, running or stopping", LABELS);
const STATE: Family<2> = Family::gauge("node_supervisord_state", "State of the process, 20 is RUNNING", LABELS);
const EXIT_STATUS: Family<2> = Family::gauge("node_supervisord_exit_status", "Last exit status of the process", LABELS);
const START_TIME: Family<2> =
    Family::gauge("node_supervisord_start_time_seconds", "Unix time of the start of the process", LABELS);

/// Queries supervisord at `url`, or at its socket.
fn processes(url: &str, socket: Option<&Path>) -> Result<Vec<Process>, ReadError> {
    const TIMEOUT: Duration = Duration::from_secs(5);
    const MAX_BYTES: usize = 4 << 20;
    const CALL: &str = "<?xml version=\"1.0\"?><methodCall><methodName>supervisor.getAllProcessInfo</methodName>\
                        <params/></methodCall>";
    let url = Url::parse(if socket.is_some() { "http://localhost/RPC2" } else { url });
    let url = url.map_err(|error| ReadError::Refused { what: "supervisord".to_owned(), reason: error.to_string() })?;
    let what = socket.map_or_else(|| client::display_url(&url), |socket| socket.display().to_string());
    let refused = |reason: String| ReadError::Refused { what: what.clone(), reason };
    let request = async {
        let mut builder = client::builder().timeout(TIMEOUT);
        if let Some(socket) = socket {
            builder = client::over_unix_socket(builder, socket)?;
        }
        if url.scheme() == "http" {
            // Loading certificates takes time.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| client::reason(&error))?;
        let request = client.post(url.clone()).header("content-type", "text/xml").body(CALL);
        let mut response = request.send().await.map_err(|error| client::reason(&error))?;
        if !response.status().is_success() {
            return Err(format!("answered {}", response.status()));
        }
        match client::read_start(&mut response, MAX_BYTES).await {
            (_, Err(error)) => Err(client::reason(&error)),
            (body, Ok(())) if body.len() > MAX_BYTES => {
                Err(format!("expected at most {} MiB, found a longer answer", MAX_BYTES >> 20))
            }
            (body, Ok(())) => Ok(body),
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let body = runtime.map_err(|error| refused(error.to_string()))?.block_on(request).map_err(refused)?;
    parse(&body).map_err(|fault| fault.map_or_else(|| not_understood(&what), refused))
}

/// Parses the response.
///
/// # Errors
/// The fault that it reports, or none if it is no response.
fn parse(xml: &str) -> Result<Vec<Process>, Option<String>> {
    let (mut processes, mut process) = (Vec::new(), Process::default());
    let (mut member, mut value, mut fault) = (String::new(), None, None);
    let (mut has_list, mut is_complete) = (false, false);
    for (text, tag) in tags(xml) {
        match tag {
            "struct" => process = Process::default(),
            "/name" => member = unescaped(text),
            "value" => value = None,
            "/int" | "/i4" | "/string" | "/boolean" | "/double" => value = Some(unescaped(text)),
            // Without a type, it is a string.
            "/value" => value = Some(value.take().unwrap_or_else(|| unescaped(text))),
            "/member" => {
                let value = value.take().unwrap_or_default();
                let number = || value.parse().map_err(|_| None);
                match member.as_str() {
                    "name" => process.name = value,
                    "group" => process.group = value,
                    "state" => process.state = number()?,
                    "exitstatus" => process.exit_status = number()?,
                    "start" => process.start = number()?,
                    "faultString" => fault = Some(value),
                    _ => {}
                }
            }
            "/struct" => processes.push(std::mem::take(&mut process)),
            // An entity of its own may be anything.
            tag if tag.starts_with("!DOCTYPE") => return Err(None),
            "/array" => has_list = true,
            "/methodResponse" => is_complete = true,
            _ => {}
        }
    }
    match fault {
        None if has_list && is_complete => Ok(processes),
        fault => Err(fault),
    }
}

/// The tags, each with the text in front of it.
fn tags(xml: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (text, after) = rest.split_once('<')?;
        let (tag, after) = after.split_once('>')?;
        rest = after;
        Some((text, tag.trim()))
    })
}

/// Replaces the entities of XML.
fn unescaped(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, character)| text.replace(entity, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(of: &str) -> String {
        format!("<?xml version='1.0'?>\n<methodResponse>\n{of}</methodResponse>\n")
    }

    #[test]
    fn processes_are_read() {
        let member =
            |name: &str, value: &str| format!("<member>\n<name>{name}</name>\n<value>{value}</value>\n</member>\n");
        let of = |members: &[String]| format!("<value><struct>\n{}</struct></value>\n", members.concat());
        let web = of(&[
            member("description", "<string>pid 7, uptime 0:01:00</string>"),
            member("name", "<string>web &lt;1&gt; &amp;amp;</string>"),
            member("group", "shop"),
            member("start", "<int>1700000000</int>"),
            member("state", "<int>20</int>"),
            member("spawnerr", "<string></string>"),
            member("exitstatus", "<int>0</int>"),
        ]);
        let gone = of(&[
            member("name", "<string>gone</string>"),
            member("state", "<i4>100</i4>"),
            member("exitstatus", "<int>-1</int>"),
        ]);
        let text = response(&format!(
            "<params>\n<param>\n<value><array><data>\n{web}{gone}</data></array></value>\n</param>\n</params>\n"
        ));
        let processes = parse(&text).unwrap();
        let web = Process {
            name: "web <1> &amp;".into(),
            group: "shop".into(),
            state: 20,
            start: 1_700_000_000,
            ..Process::default()
        };
        let gone = Process { name: "gone".into(), state: 100, exit_status: -1, ..Process::default() };
        assert_eq!(processes, [web, gone]);
        for end in (0..text.len() - 2).filter(|end| text.is_char_boundary(*end)) {
            assert!(parse(&text[..end]).is_err(), "{end}");
        }
        assert_eq!(
            parse(&response("<params><param><value><array><data></data></array></value></param></params>")),
            Ok(vec![])
        );
    }

    #[test]
    fn whatever_supervisord_answers_nothing_panics() {
        let mut random = fastrand::Rng::with_seed(7);
        let parts = ["<", ">", "/", "value", "member", "struct", "name", "int", "state", "-1", "&amp;", "é", " ", "\0"];
        for length in 0..20_000 {
            let text: String = (0..length % 40).map(|_| *random.choice(&parts).unwrap_or(&"")).collect();
            let _ = parse(&response(&text));
        }
    }

    #[test]
    fn a_fault_and_what_is_no_response_are_errors() {
        let fault = response(
            "<fault><value><struct><member><name>faultCode</name><value><int>1</int></value></member>\
             <member><name>faultString</name><value><string>UNKNOWN_METHOD</string></value></member></struct></value></fault>",
        );
        assert_eq!(parse(&fault), Err(Some("UNKNOWN_METHOD".to_owned())));
        let entity =
            "<!DOCTYPE r [<!ENTITY list '<array></array>'>]><methodResponse><params>&list;</params></methodResponse>";
        for other in ["", "<html><body>Log in</body></html>", "<", "{}", &response(""), entity] {
            assert_eq!(parse(other), Err(None), "{other}");
        }
        assert_eq!(parse(&response("<array><data/></array>")), Ok(vec![]));
        let malformed = "<member><name>state</name><value><int>x</int></value></member>";
        assert_eq!(parse(&response(malformed)), Err(None));
    }
}
