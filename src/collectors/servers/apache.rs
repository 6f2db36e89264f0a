//! `[[collectors.apache]]`: the page of Apache's module `mod_status`, `server-status?auto`.

use std::time::Duration;

use super::http::{Page, Pages};
use super::items::{self, Item, SERVER, count_families, float};
use super::kind::{self, Kind, LABELS};
use super::outcome::{Found, Row, TARGET};
use super::owned::Owned;
use super::protocol::pairs::{COLON, Pair, read};
use crate::client::settings::HEADERS;
use crate::client::target;
use crate::collectors::framework::About;
use crate::config::{Key, KeyInfo, Section};
use crate::encode::family::{self, FamilyInfo};
use crate::encode::infos::concat;
use crate::encode::point::{FieldInfo, MeasurementInfo};

/// The kind.
pub(super) struct Apache(Pages);

const URLS: Key<Vec<String>> = Key::optional(
    "urls",
    "The pages of mod_status, with `?auto`: URLs such as \"http://localhost/server-status?auto\".",
);
const OWN_KEYS: &[KeyInfo] = &[URLS.info()];
const ALL_KEYS: [KeyInfo; 1 + kind::KEYS.len() + target::STATUS_KEYS.len()] =
    concat(&[OWN_KEYS, kind::KEYS, &target::STATUS_KEYS]);

const fn family(
    name: &'static str,
    kind: family::Kind,
    help: &'static str,
    labels: &'static [&'static str],
) -> FamilyInfo {
    FamilyInfo { name, kind, help, labels }
}
use family::Kind::{Counter, Gauge};

const GENERATION: FamilyInfo =
    family("apache_generation", Gauge, "Restarts of the server, and of its MPM", &[SERVER, "type"]);
const LOAD: FamilyInfo = family("apache_load", Gauge, "Load average of the host", &[SERVER, "interval"]);
const WORKERS: FamilyInfo = family("apache_workers", Gauge, "Workers by their state", &[SERVER, "state"]);
const PROCESSES: FamilyInfo = family("apache_processes", Gauge, "Processes by their state", &[SERVER, "state"]);
const CONNECTIONS: FamilyInfo = family("apache_connections", Gauge, "Connections by their state", &[SERVER, "state"]);

/// Named values, by their name without blanks.
#[rustfmt::skip]
const ITEMS: &[Item] = &[
    float("ParentServerConfigGeneration", "Restarts of the server with a new configuration").family(GENERATION, &["config"]),
    float("ParentServerMPMGeneration", "Restarts of the MPM").family(GENERATION, &["mpm"]),
    float("Load1", "Load average of one minute").family(LOAD, &["1min"]),
    float("Load5", "Load average of five minutes").family(LOAD, &["5min"]),
    float("Load15", "Load average of fifteen minutes").family(LOAD, &["15min"]),
    float("TotalAccesses", "Requests").counter("apache_accesses_total"),
    float("TotalkBytes", "KiB sent").counter("apache_sent_kilobytes_total"),
    float("TotalDuration", "Duration of all requests in ms").counter("apache_duration_ms_total"),
    float("CPULoad", "Share of CPU time since the start, in percent").gauge("apache_cpuload"),
    float("Uptime", "Seconds since the start").counter("apache_uptime_seconds_total"),
    float("BusyWorkers", "Workers that serve a request").family(WORKERS, &["busy"]),
    float("IdleWorkers", "Workers that wait for a request").family(WORKERS, &["idle"]),
    float("Processes", "Processes").family(PROCESSES, &["all"]),
    float("Stopping", "Processes that are stopping").family(PROCESSES, &["stopping"]),
    float("ConnsTotal", "Connections").family(CONNECTIONS, &["total"]),
    float("ConnsAsyncWriting", "Connections whose response is being written").family(CONNECTIONS, &["writing"]),
    float("ConnsAsyncKeepAlive", "Connections that are kept alive").family(CONNECTIONS, &["keepalive"]),
    float("ConnsAsyncClosing", "Connections that are closing").family(CONNECTIONS, &["closing"]),
];

/// The states of the scoreboard: its character, the field, and the label.
const SCOREBOARD: [(char, &str, &str); 11] = [
    ('_', "scboard_waiting", "idle"),
    ('S', "scboard_starting", "startup"),
    ('R', "scboard_reading", "read"),
    ('W', "scboard_sending", "reply"),
    ('K', "scboard_keepalive", "keepalive"),
    ('D', "scboard_dnslookup", "dns"),
    ('C', "scboard_closing", "closing"),
    ('L', "scboard_logging", "logging"),
    ('G', "scboard_finishing", "graceful_stop"),
    ('I', "scboard_idle_cleanup", "idle_cleanup"),
    ('.', "scboard_open", "open_slot"),
];

static UP: FamilyInfo = UP_INFO;
const UP_INFO: FamilyInfo = family("apache_up", Gauge, "Whether the last query of the status succeeded", &[SERVER]);
static VERSION: FamilyInfo = VERSION_INFO;
const VERSION_INFO: FamilyInfo = family("apache_version", Gauge, "Version of the server: 2.04057 is 2.4.57", &[SERVER]);
static INFO: FamilyInfo = INFO_INFO;
const INFO_INFO: FamilyInfo =
    family("apache_info", Gauge, "Version and MPM of the server", &[SERVER, "version", "mpm"]);
static CPU_TIME: FamilyInfo = CPU_TIME_INFO;
const CPU_TIME_INFO: FamilyInfo =
    family("apache_cpu_time_ms_total", Counter, "CPU time of the server and its processes", &[SERVER, "type"]);
static STATES: FamilyInfo = STATES_INFO;
const STATES_INFO: FamilyInfo =
    family("apache_scoreboard", Gauge, "Workers by their state on the scoreboard", &[SERVER, "state"]);
const BALANCER: &[&str] = &[SERVER, "balancer", "worker"];
static BALANCERS: [FamilyInfo; 5] = BALANCERS_INFO;
const BALANCERS_INFO: [FamilyInfo; 5] = [
    family(
        "apache_proxy_balancer_status",
        Gauge,
        "Status of a worker of a balancer",
        &[SERVER, "balancer", "worker", "status"],
    ),
    family("apache_proxy_balancer_accesses_total", Counter, "Requests sent to a worker of a balancer", BALANCER),
    family("apache_proxy_balancer_busy", Gauge, "Requests that a worker of a balancer serves", BALANCER),
    family("apache_proxy_balancer_request_kbytes_total", Counter, "KiB sent to a worker of a balancer", BALANCER),
    family(
        "apache_proxy_balancer_response_kbytes_total",
        Counter,
        "KiB received from a worker of a balancer",
        BALANCER,
    ),
];
const OF_ITEMS: [FamilyInfo; count_families(ITEMS)] = items::families_of(ITEMS);
const FAMILIES: [FamilyInfo; 5 + OF_ITEMS.len() + BALANCERS_INFO.len()] =
    concat(&[&[UP_INFO, VERSION_INFO, INFO_INFO, CPU_TIME_INFO, STATES_INFO], &OF_ITEMS, &BALANCERS_INFO]);
const FLOAT: &str = "float";
const FIELDS: &[FieldInfo] = &[
    FieldInfo {
        name: "KEY",
        help: "each number of the page, by its name without blanks: TotalAccesses",
        type_name: FLOAT,
    },
    FieldInfo {
        name: "scboard_KEY",
        help: "workers in this state on the scoreboard: scboard_waiting",
        type_name: FLOAT,
    },
];

impl Kind for Apache {
    const ABOUT: About = About {
        name: "apache",
        summary: "requests, workers and connections of Apache, of its server-status page",
        keys: &ALL_KEYS,
        tables: &[HEADERS, LABELS],
        families: &FAMILIES,
        measurements: &[MeasurementInfo { name: "apache", tags: &["port", "server"], fields: FIELDS }, TARGET],
        ..kind::PLAIN
    };
    const UP: &'static FamilyInfo = &UP;
    const TARGETS: Key<Vec<String>> = URLS;
    type Target = Page;
    type Memory = ();

    fn new(section: &mut Section<'_>, timeout: Duration) -> Self {
        Apache(Pages::new(section, timeout))
    }

    fn target(text: &str) -> Result<(String, Page), &'static str> {
        Page::parse(text)
    }

    async fn query(&self, page: &Page, (): &mut (), found: &mut Found) -> Result<(), String> {
        let text = self.0.get(&page.url).await?;
        let mut row = Row::new("apache").tag("port", &page.port).tag("server", &page.server);
        write(&text, &mut row, found)?;
        found.rows.push(row);
        Ok(())
    }
}

/// Names on a page of which each is a field.
const MAX_FIELDS: usize = 1000;

fn write(text: &str, row: &mut Row, found: &mut Found) -> Result<(), String> {
    let values = read(text, COLON)?;
    if !values.iter().any(|pair| pair.key == "Scoreboard" || pair.key == "Uptime") {
        return Err("expected the page of mod_status with ?auto, found other names".to_owned());
    }
    for pair in values.iter().take(MAX_FIELDS) {
        let key = pair.key.replace(' ', "");
        if key == "Scoreboard" {
            scoreboard(pair.value, row, found);
            continue;
        }
        if let Ok(number) = pair.value.parse() {
            row.put(key.clone(), Owned::Float(number));
        }
        ITEMS.iter().filter(|item| item.key == key).for_each(|item| item.write(pair.value, None, found));
    }
    cpu_time(&values, found);
    version(&values, found);
    balancers(&values, found);
    Ok(())
}

fn scoreboard(states: &str, row: &mut Row, found: &mut Found) {
    for (state, field, label) in SCOREBOARD {
        let count = states.chars().filter(|character| *character == state).count();
        row.put(field, Owned::Float(count as f64));
        found.add(&STATES, vec![("state", label.to_owned())], count as u64);
    }
}

fn value<'t>(values: &[Pair<'t>], key: &str) -> Option<&'t str> {
    values.iter().find(|pair| pair.key == key).map(|pair| pair.value)
}

/// Seconds of the server and of its children become milliseconds.
fn cpu_time(values: &[Pair<'_>], found: &mut Found) {
    for (label, keys) in [("user", ["CPUUser", "CPUChildrenUser"]), ("system", ["CPUSystem", "CPUChildrenSystem"])] {
        let times = keys.iter().filter_map(|key| value(values, key)?.parse::<f64>().ok());
        if let Some(seconds) = times.reduce(|one, other| one + other) {
            found.add(&CPU_TIME, vec![("type", label.to_owned())], 1000.0 * seconds);
        }
    }
}

fn version(values: &[Pair<'_>], found: &mut Found) {
    let text = value(values, "ServerVersion").unwrap_or("UNKNOWN");
    let mpm = value(values, "ServerMPM").unwrap_or("UNKNOWN");
    found.add(&INFO, vec![("mpm", mpm.to_owned()), ("version", text.to_owned())], 1_u64);
    let numbers = text.split_once('/').and_then(|(_, rest)| rest.split(' ').next()).unwrap_or_default();
    let mut numbers = numbers.splitn(3, '.').map_while(|number| number.parse::<u32>().ok());
    if let (Some(major), Some(minor), Some(patch)) = (numbers.next(), numbers.next(), numbers.next())
        && let Ok(number) = format!("{major}.{minor:02}{patch:03}").parse::<f64>()
    {
        found.add(&VERSION, Vec::new(), number);
    }
}

/// Lines such as `ProxyBalancer[0]Name: balancer://a` and `ProxyBalancer[0]Worker[0]Elected: 5`.
fn balancers(values: &[Pair<'_>], found: &mut Found) {
    let (mut balancer, mut worker) = ("UNKNOWN", "UNKNOWN");
    for pair in values {
        let Some((_, name)) = pair.key.strip_prefix("ProxyBalancer[").and_then(|rest| rest.split_once(']')) else {
            continue;
        };
        if name == "Name" {
            balancer = pair.value;
            continue;
        }
        let Some((_, name)) = name.strip_prefix("Worker[").and_then(|rest| rest.split_once(']')) else { continue };
        let mut labels = vec![("balancer", balancer.to_owned()), ("worker", worker.to_owned())];
        let number = pair.value.trim_end_matches(['k', 'K']).parse::<f64>();
        let family = match name {
            "Name" => {
                worker = pair.value;
                continue;
            }
            "Status" => {
                labels.push(("status", pair.value.to_owned()));
                found.add(&BALANCERS[0], labels, 1_u64);
                continue;
            }
            "Elected" => &BALANCERS[1],
            "Busy" => &BALANCERS[2],
            "Sent" => &BALANCERS[3],
            "Rcvd" => &BALANCERS[4],
            _ => continue,
        };
        match number {
            Ok(number) => found.add(family, labels, number),
            Err(_) => found.malformed(pair.key, "a number", pair.value),
        }
    }
}

/// A page with everything, for the golden.
#[cfg(test)]
pub(super) fn complete(found: &mut Found) {
    let mut page = "ServerVersion: Apache/2.4.57\nCPUUser: 1\nCPUSystem: 1\nScoreboard: _\n".to_owned();
    ITEMS.iter().for_each(|item| page += &format!("{}: 1\n", item.key));
    for name in ["Name", "Status", "Elected", "Busy", "Sent", "Rcvd"] {
        page += &format!("ProxyBalancer[0]Worker[0]{name}: 1\n");
    }
    let mut row = Row::new("apache");
    write(&page, &mut row, found).unwrap();
    found.rows.push(row);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Value;

    fn samples(text: &str, prefix: &str) -> Vec<(String, Value)> {
        let (mut found, mut row) = (Found::default(), Row::new("apache"));
        write(text, &mut row, &mut found).unwrap();
        let shown = found.samples.iter().map(|sample| (sample.text(), sample.value));
        shown.filter(|(name, _)| name.starts_with(prefix)).collect()
    }

    #[test]
    fn workers_of_balancers_have_their_names() {
        let page = "Uptime: 1\nProxyBalancer[0]Name: balancer://a\nProxyBalancer[0]Worker[0]Name: https://x:1\n\
                    ProxyBalancer[0]Worker[0]Status: Init Ok\nProxyBalancer[0]Worker[0]Elected: 58\n\
                    ProxyBalancer[0]Worker[0]Busy: 2\nProxyBalancer[0]Worker[0]Sent: 1107K\nProxyBalancer[0]Worker[0]Rcvd: 7k\n";
        let of = |name: &str, more: &str| {
            format!("apache_proxy_balancer_{name} balancer=balancer://a worker=https://x:1{more}")
        };
        let expected = [
            (of("status", " status=Init Ok"), Value::Unsigned(1)),
            (of("accesses_total", ""), Value::Float(58.0)),
            (of("busy", ""), Value::Float(2.0)),
            (of("request_kbytes_total", ""), Value::Float(1107.0)),
            (of("response_kbytes_total", ""), Value::Float(7.0)),
        ];
        assert_eq!(samples(page, "apache_proxy"), expected);
    }

    #[test]
    fn another_page_is_refused() {
        let (mut found, mut row) = (Found::default(), Row::new("apache"));
        assert!(write("<html>", &mut row, &mut found).unwrap_err().contains("HTML"));
        assert!(write("a: 1\n", &mut row, &mut found).unwrap_err().contains("mod_status"));
        assert!(samples("Uptime: 1\nServerVersion: Apache\n", "apache_version").is_empty());
    }
}
