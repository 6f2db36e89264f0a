//! `[[collectors.phpfpm]]`: the status page of PHP-FPM, over FastCGI or HTTP.

use std::time::Duration;

use reqwest::Url;

use super::http::Pages;
use super::items::{self, Item, count_families, count_fields, float, integer};
use super::kind::{self, Kind, LABELS};
use super::outcome::{Found, Label, Row, TARGET};
use super::protocol::fastcgi;
use super::protocol::pairs::{PHP_FPM, Pair, read};
use super::stream::{Address, Connector};
use crate::client::settings::HEADERS;
use crate::client::target;
use crate::collectors::framework::About;
use crate::config::{Key, KeyInfo, Section};
use crate::encode::family::{self, FamilyInfo};
use crate::encode::infos::concat;
use crate::encode::point::{FieldInfo, MeasurementInfo};

/// The kind.
pub(super) struct Phpfpm {
    pages: Pages,
    connector: Connector,
    is_full: bool,
}

/// A pool.
pub(super) struct Pool {
    /// As configured, without a query.
    url: String,
    way: Way,
}

/// How a pool is reached.
enum Way {
    Http(Url),
    /// An address, and the path of the status page.
    FastCgi(Address, String),
}

const URLS: Key<Vec<String>> = Key::optional(
    "urls",
    "The pools: sockets such as \"/run/php/php8.2-fpm.sock:status\", addresses such as \"fcgi://localhost:9000/status\", or URLs; \
     the path is that of pm.status_path, if absent /status.",
);
const FULL: Key<bool> = Key::new("full", "false", "Also reads each process, as families with the label `child`.");
const OWN_KEYS: &[KeyInfo] = &[URLS.info(), FULL.info()];
const ALL_KEYS: [KeyInfo; OWN_KEYS.len() + kind::KEYS.len() + target::STATUS_KEYS.len()] =
    concat(&[OWN_KEYS, kind::KEYS, &target::STATUS_KEYS]);

const POOL: &[&str] = &["scrape_uri", "pool"];
const PROCESS: &[&str] = &["scrape_uri", "pool", "child"];
use family::Kind::{Counter, Gauge};

const fn pool(
    key: &'static str,
    field: &'static str,
    kind: family::Kind,
    name: &'static str,
    help: &'static str,
) -> Item {
    integer(key, help).named(field).family(FamilyInfo { name, kind, help, labels: POOL }, &[])
}

#[rustfmt::skip]
const ITEMS: &[Item] = &[
    pool("start since", "start_since", Counter, "phpfpm_start_since", "Seconds since the start of the pool"),
    pool("accepted conn", "accepted_conn", Counter, "phpfpm_accepted_connections", "Requests accepted by the pool"),
    pool("listen queue", "listen_queue", Gauge, "phpfpm_listen_queue", "Requests that wait for a process"),
    pool("max listen queue", "max_listen_queue", Counter, "phpfpm_max_listen_queue", "Most requests that waited at once since the start"),
    pool("listen queue len", "listen_queue_len", Gauge, "phpfpm_listen_queue_length", "Requests that may wait at once"),
    pool("idle processes", "idle_processes", Gauge, "phpfpm_idle_processes", "Idle processes"),
    pool("active processes", "active_processes", Gauge, "phpfpm_active_processes", "Active processes"),
    pool("total processes", "total_processes", Gauge, "phpfpm_total_processes", "Processes"),
    pool("max active processes", "max_active_processes", Counter, "phpfpm_max_active_processes", "Most processes that were active at once since the start"),
    pool("max children reached", "max_children_reached", Counter, "phpfpm_max_children_reached", "Times that pm.max_children was reached"),
    pool("slow requests", "slow_requests", Counter, "phpfpm_slow_requests", "Requests that took longer than request_slowlog_timeout"),
];

const fn process(of: Item, kind: family::Kind, name: &'static str, help: &'static str) -> Item {
    of.family(FamilyInfo { name, kind, help, labels: PROCESS }, &[])
}

#[rustfmt::skip]
const PROCESS_ITEMS: &[Item] = &[
    integer("pid", "Process id"),
    items::text("state", "State: Idle, Running, Reading headers, …"),
    process(integer("requests", "Requests served").named("requests"), Counter, "phpfpm_process_requests", "Requests that the process has served"),
    process(integer("request duration", "Duration of the last request in µs").named("request_duration"), Gauge, "phpfpm_process_request_duration", "Duration of the last request in µs"),
    integer("content length", "Bytes of the body of the last request").named("content_length"),
    process(float("last request cpu", "CPU usage of the last request in percent").named("last_request_cpu"), Gauge, "phpfpm_process_last_request_cpu", "CPU usage of the last request in percent"),
    process(float("last request memory", "Bytes of memory that the last request used at most").named("last_request_memory"), Gauge, "phpfpm_process_last_request_memory", "Bytes of memory that the last request used at most"),
];

/// The states of a process, each with a sample of 0 or 1.
const STATES: [&str; 6] = ["Idle", "Running", "Finishing", "Reading headers", "Getting request informations", "Ending"];

static STATE: FamilyInfo = STATE_INFO;
const STATE_INFO: FamilyInfo = FamilyInfo {
    name: "phpfpm_process_state",
    kind: Gauge,
    help: "Whether the process is in the state",
    labels: &["scrape_uri", "pool", "child", "state"],
};
static UP: FamilyInfo = UP_INFO;
const UP_INFO: FamilyInfo =
    FamilyInfo { name: "phpfpm_up", kind: Gauge, help: "Whether the last query of the status succeeded", labels: POOL };
static FAILURES: FamilyInfo = FAILURES_INFO;
const FAILURES_INFO: FamilyInfo = FamilyInfo {
    name: "phpfpm_scrape_failures",
    kind: Counter,
    help: "Queries of the status that failed",
    labels: POOL,
};
const OF_ITEMS: [FamilyInfo; count_families(ITEMS)] = items::families_of(ITEMS);
const OF_PROCESSES: [FamilyInfo; count_families(PROCESS_ITEMS)] = items::families_of(PROCESS_ITEMS);
const FAMILIES: [FamilyInfo; 3 + OF_ITEMS.len() + OF_PROCESSES.len()] =
    concat(&[&[UP_INFO, FAILURES_INFO, STATE_INFO], &OF_ITEMS, &OF_PROCESSES]);
const FIELDS: [FieldInfo; count_fields(ITEMS)] = items::fields_of(ITEMS);
const PROCESS_FIELDS: [FieldInfo; count_fields(PROCESS_ITEMS)] = items::fields_of(PROCESS_ITEMS);

impl Kind for Phpfpm {
    const ABOUT: About = About {
        name: "phpfpm",
        summary: "pools and processes of PHP-FPM, of its status page",
        needs: "the rights to connect to the pool's socket, such as the group www-data",
        keys: &ALL_KEYS,
        tables: &[HEADERS, LABELS],
        families: &FAMILIES,
        measurements: &[
            MeasurementInfo { name: "phpfpm", tags: &["pool", "url"], fields: &FIELDS },
            MeasurementInfo { name: "phpfpm_process", tags: &["child", "pool", "url"], fields: &PROCESS_FIELDS },
            TARGET,
        ],
        ..kind::PLAIN
    };
    const LABEL: &'static str = "scrape_uri";
    const UP: &'static FamilyInfo = &UP;
    const FAILURES: Option<&'static FamilyInfo> = Some(&FAILURES);
    const TARGETS: Key<Vec<String>> = URLS;
    type Target = Pool;
    /// The name of the pool.
    type Memory = String;

    fn new(section: &mut Section<'_>, timeout: Duration) -> Self {
        let pages = Pages::new(section, timeout);
        let connector = Connector::plain(timeout, pages.max_body);
        Phpfpm { pages, connector, is_full: section.get(&FULL) }
    }

    fn target(text: &str) -> Result<(String, Pool), &'static str> {
        let way = Way::parse(text)?;
        // A query may have a token.
        let url = text.split(['?', '#']).next().unwrap_or_default().to_owned();
        Ok((url.clone(), Pool { url, way }))
    }

    async fn query(&self, target: &Pool, pool: &mut String, found: &mut Found) -> Result<(), String> {
        let text = match &target.way {
            Way::Http(url) => self.pages.get(&self.with_query(url)).await?,
            Way::FastCgi(address, path) => self.fastcgi(address, path).await?,
        };
        let values = read(&text, PHP_FPM)?;
        write(&values, &target.url, found)?;
        if let Some(pair) = values.iter().find(|pair| pair.index == 0 && pair.key == "pool") {
            pair.value.clone_into(pool);
        }
        found.label("pool", pool);
        Ok(())
    }

    fn labels(pool: &String) -> Vec<Label> {
        vec![("pool", pool.clone())]
    }
}

impl Way {
    fn parse(text: &str) -> Result<Way, &'static str> {
        const EXPECTED: &str = "expected a socket such as /run/php/php8.2-fpm.sock:status, an address such as \
                                fcgi://localhost:9000/status, or an http or https URL";
        let path = |path: &str| match path.trim_matches('/') {
            "" => "/status".to_owned(),
            path => format!("/{path}"),
        };
        if text.contains(['*', '?']) && text.starts_with('/') {
            return Err("expected one socket, found a pattern: write each socket");
        }
        let socket = text.strip_prefix("unix://").unwrap_or(text);
        if socket.starts_with('/') {
            let (socket, status) = socket.split_once([':', ';']).unwrap_or((socket, ""));
            return Ok(Way::FastCgi(Address::parse(socket, 0)?, path(status)));
        }
        let rest = ["fcgi://", "cgi://", "tcp://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        match rest {
            Some(rest) => {
                let (address, status) = rest.split_once('/').unwrap_or((rest, ""));
                Ok(Way::FastCgi(Address::parse(address, 9000)?, path(status)))
            }
            None if text.starts_with("http") => target::parse(text).map(Way::Http),
            None => Err(EXPECTED),
        }
    }
}

impl Phpfpm {
    fn with_query(&self, url: &Url) -> Url {
        let mut url = url.clone();
        if self.is_full && !url.query().unwrap_or_default().split('&').any(|word| word == "full") {
            let query = url.query().map(|query| format!("{query}&full"));
            url.set_query(Some(query.as_deref().unwrap_or("full")));
        }
        url
    }

    async fn fastcgi(&self, address: &Address, path: &str) -> Result<String, String> {
        let mut connection = self.connector.connect(address).await?;
        let request = fastcgi::request(&[
            ("SCRIPT_FILENAME", path),
            ("SCRIPT_NAME", path),
            ("REQUEST_URI", path),
            ("REQUEST_METHOD", "GET"),
            ("QUERY_STRING", if self.is_full { "full" } else { "" }),
            ("CONTENT_LENGTH", "0"),
            ("SERVER_PROTOCOL", "HTTP/1.0"),
            ("SERVER_SOFTWARE", "taffrail"),
            ("REMOTE_ADDR", "127.0.0.1"),
        ]);
        connection.send(&request).await?;
        let reply = connection.receive(|bytes| Ok(fastcgi::read(bytes)?.map(|text| (text, bytes.len())))).await;
        reply.map_err(|reason| format!("{reason}; the page is pm.status_path of the pool, here {path}"))
    }
}

/// Processes of a pool that are read at most.
const MAX_PROCESSES: usize = 1000;

fn write(values: &[Pair<'_>], url: &str, found: &mut Found) -> Result<(), String> {
    if !values.iter().any(|pair| pair.key == "pool") {
        return Err("expected the status page of PHP-FPM, found other names".to_owned());
    }
    let mut row = Row::new("phpfpm").tag("url", url);
    for pair in values.iter().filter(|pair| pair.index == 0) {
        ITEMS.iter().filter(|item| item.key == pair.key).for_each(|item| item.write(pair.value, Some(&mut row), found));
    }
    found.rows.push(row);
    let processes = values.chunk_by(|one, other| one.index == other.index).filter(|of| of[0].index > 0);
    for process in processes.take(MAX_PROCESSES) {
        let child = (process[0].index - 1).to_string();
        let (before, mut row) = (found.samples.len(), Row::new("phpfpm_process").tag("url", url).tag("child", &child));
        for pair in process {
            let items = PROCESS_ITEMS.iter().filter(|item| item.key == pair.key);
            items.for_each(|item| item.write(pair.value, Some(&mut row), found));
            for state in STATES.iter().filter(|_| pair.key == "state") {
                found.add(&STATE, vec![("state", (*state).to_owned())], *state == pair.value);
            }
        }
        found.label_from(before, "child", &child);
        found.rows.push(row);
    }
    Ok(())
}

/// A page with everything, for the golden.
#[cfg(test)]
pub(super) fn complete(found: &mut Found) {
    let lines = |items: &[Item]| -> String { items.iter().map(|item| format!("{}: 1\n", item.key)).collect() };
    let page = format!("pool: www\n{}\n****\n{}", lines(ITEMS), lines(PROCESS_ITEMS));
    write(&read(&page, PHP_FPM).unwrap(), "/x", found).unwrap();
    found.add(&FAILURES, Vec::new(), 1_u64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::servers::owned::Owned;

    #[test]
    fn a_pool_has_several_kinds_of_addresses() {
        let way = |text: &str| match Way::parse(text) {
            Ok(Way::Http(url)) => url.to_string(),
            Ok(Way::FastCgi(address, path)) => format!("{} {path}", address.name()),
            Err(reason) => reason.to_owned(),
        };
        for (text, expected) in [
            ("/run/php.sock", "/run/php.sock /status"),
            ("/run/php.sock:fpm-status", "/run/php.sock /fpm-status"),
            ("unix:///run/php.sock;/status", "/run/php.sock /status"),
            ("fcgi://localhost:9001/a/b", "localhost:9001 /a/b"),
            ("tcp://127.0.0.1:9000", "127.0.0.1:9000 /status"),
            ("http://localhost/status", "http://localhost/status"),
            ("/run/php*.sock", "expected one socket, found a pattern: write each socket"),
        ] {
            assert_eq!(way(text), expected, "{text}");
        }
        assert!(Way::parse("localhost").is_err() && Way::parse("fcgi://u:p@a:1/").is_err());
        let (name, _) = Phpfpm::target("http://localhost/status?token=secret").unwrap();
        assert_eq!(name, "http://localhost/status");
    }

    #[test]
    fn processes_are_children() {
        let page = "pool: www\naccepted conn: 3\n\n****\npid: 7\nstate: Idle\nrequests: 1\n\n****\npid: 8\nstate: Running\nrequests: 2\n";
        let mut found = Found::default();
        write(&read(page, PHP_FPM).unwrap(), "/x", &mut found).unwrap();
        found.label("pool", "www");
        let samples: Vec<String> =
            found.samples.iter().map(|sample| format!("{} {}", sample.text(), sample.value.as_f64())).collect();
        for expected in [
            "phpfpm_accepted_connections pool=www 3",
            "phpfpm_process_requests child=0 pool=www 1",
            "phpfpm_process_requests child=1 pool=www 2",
            "phpfpm_process_state state=Running child=1 pool=www 1",
            "phpfpm_process_state state=Idle child=1 pool=www 0",
        ] {
            assert!(samples.iter().any(|sample| sample == expected), "{expected}: {samples:#?}");
        }
        assert_eq!(found.rows[2].fields[0], ("pid".into(), Owned::Integer(8)));
        assert!(write(&read("a: 1", PHP_FPM).unwrap(), "/x", &mut found).is_err());
    }
}
