//! The page, with the numbers of one reading. Its script replaces them; both show the same rows in the same units.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::SystemTime;

use super::samples::{Sample, Samples};
use super::status::{SinkStatus, Status};
use super::{LIVE, Live, SCRIPT};
use crate::collectors::readers::{CollectorState, CollectorStatus};
use crate::http::page::{ago, bytes, count, duration, escaped, grouped, head};

/// Rows of a table. The others are counted.
const ROWS: usize = 12;

/// The element that the script draws a line into.
const LINE: &str =
    "<svg class=\"spark\" viewBox=\"0 0 119 24\" preserveAspectRatio=\"none\" aria-hidden=\"true\"></svg>";

/// What is wrong. The stylesheet shows those that apply.
const ALERTS: &str = "<a class=\"alert state bad\" href=\"#filesystems\">file system nearly full</a>\n\
                      <a class=\"alert state bad\" href=\"#collectors\">collector failing</a>\n\
                      <a class=\"alert state bad\" href=\"#sinks\">sink failing</a>\n";

/// The page for a client that reached the agent at `host`.
pub(super) fn page(live: &Live, samples: &Samples, host: &str) -> String {
    let status = Status::new(live, host);
    let on: Vec<&str> = status.collectors.iter().filter(|on| on.on.families).map(|on| on.about.name).collect();
    let label = |family: &str, label: &str| samples.first(family).map_or("", |sample| sample.label(label));
    let name = match label("node_uname_info", "nodename") {
        "" => host,
        name => name,
    };
    let mut out = head(&format!("{name} · Taffrail"), Some(&SCRIPT));
    let _ = writeln!(
        out,
        "<body data-metrics=\"{}\" data-live=\"{}\" data-boot=\"{}\">\n<a class=\"skip\" href=\"#main\">Skip to the numbers</a>\n\
         <header class=\"top\"><h1>{}</h1>\n<p class=\"mute\" id=\"about\">{}</p>\n\
         <p class=\"state mute\" id=\"live\" role=\"status\">as of {}; reload for newer numbers</p>\n{ALERTS}{}</header>\n\
         <main id=\"main\">\n<div class=\"tiles\">",
        escaped(&status.metrics),
        LIVE.join(" "),
        samples.value("node_boot_time_seconds").unwrap_or_default(),
        escaped(name),
        about(samples, &label),
        humantime::format_rfc3339_seconds(status.now.max(SystemTime::UNIX_EPOCH)),
        navigation(&status),
    );
    tiles(&mut out, samples);
    out.push_str("</div>\n<div class=\"cards\">\n");
    tables(&mut out, samples, &on);
    collectors(&mut out, &status.collectors);
    sinks(&mut out, &status);
    container_table(&mut out, samples, &on);
    let files = status.files.iter().map(|file| escaped(file)).collect::<Vec<_>>().join(", ");
    let _ = writeln!(
        out,
        "</div>\n</main>\n<footer class=\"mute\">Taffrail {}, running for <span id=\"running\">{}</span> with {}. \
         <a href=\"-/healthy\">Health</a> · <a href=\"-/ready\">Readiness</a></footer>",
        env!("CARGO_PKG_VERSION"),
        duration(status.now.duration_since(status.started).unwrap_or_default().as_secs_f64()),
        files,
    );
    out
}

fn about<'s>(samples: &'s Samples, label: &dyn Fn(&'s str, &'s str) -> &'s str) -> String {
    let system = match label("node_os_info", "pretty_name") {
        "" => label("node_os_info", "name"),
        name => name,
    };
    let kernel = ["sysname", "release"].map(|part| label("node_uname_info", part)).join(" ");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let up = samples
        .value("node_boot_time_seconds")
        .map(|boot| format!("up <span id=\"up\">{}</span>", duration(now - boot)));
    let parts = [system, kernel.trim(), label("node_uname_info", "machine")].map(escaped);
    parts.into_iter().chain(up).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

fn navigation(status: &Status) -> String {
    let gateway =
        status.gateway.as_ref().map(|url| format!("<a id=\"gateway\" href=\"{}\">Gateway</a>\n", escaped(url)));
    format!(
        "<nav aria-label=\"Pages\">\n<a href=\"{}\">Metrics</a>\n{}<a href=\"status.json\">Status</a>\n<a href=\"reference\">Reference</a>\n</nav>",
        escaped(&status.metrics),
        gateway.unwrap_or_default(),
    )
}

/// One tile: a large number, its line, and a line of text below.
fn tile(out: &mut String, id: &str, title: &str, note: &str, big: &str, small: &str) {
    let _ = writeln!(
        out,
        "<section class=\"card tile\" id=\"{id}\"><header><h2>{title}</h2><span class=\"mute note\">{note}</span></header>\
         <p class=\"big\">{big}</p>{LINE}<p class=\"mute small\">{small}</p></section>"
    );
}

fn tiles(out: &mut String, samples: &Samples) {
    let by = |name: &'static str| move |sample: &Sample| Some(sample.label(name).to_owned());
    let cpus = samples.table(["node_cpu_seconds_total"], by("cpu")).len();
    let modes = samples.table(["node_cpu_seconds_total"], by("mode"));
    let total: f64 = modes.values().map(|[seconds]| seconds).sum();
    let share = |mode: &str| modes.get(mode).map_or(0.0, |[seconds]| seconds / total * 100.0);
    let busy = 100.0 - share("idle") - share("iowait");
    let number = |is_known: bool, text: String| if is_known { text } else { "–".to_owned() };
    let cores = number(cpus > 0, count(cpus, "core"));
    let since_boot = format!("since boot: user {:.0}% · sys {:.0}%", share("user") + share("nice"), share("system"));
    tile(out, "cpu", "CPU", &cores, &number(cpus > 0, format!("{busy:.0}%")), &number(cpus > 0, since_boot));

    let memory = |name: &str| samples.value(&format!("node_memory_{name}_bytes"));
    let total = memory("MemTotal").unwrap_or_default();
    let available = memory("MemAvailable").unwrap_or_default();
    let used = (total - available).max(0.0);
    let big = format!("{} <small>{:.0}%</small>", bytes(used), used / total * 100.0);
    let swap = match memory("SwapTotal").unwrap_or_default() {
        0.0 => "no swap".to_owned(),
        swap => format!("swap {}", bytes(swap - memory("SwapFree").unwrap_or_default())),
    };
    let small = format!("{} available · {swap}", bytes(available));
    tile(out, "memory", "Memory", &bytes(total), &number(total > 0.0, big), &small);

    let [one, five, fifteen] = ["node_load1", "node_load5", "node_load15"].map(|name| samples.value(name));
    let load = |load: Option<f64>| load.map_or("–".to_owned(), |load| format!("{load:.2}"));
    let small = format!("5 min {} · 15 min {}", load(five), load(fifteen));
    tile(out, "load", "Load", "1 min", &load(one), &small);

    let pair = |[one, two]: [f64; 2], of: [&str; 2]| {
        format!(
            "<span class=\"one\">{} <small>{}</small></span> <span class=\"two\">{} <small>{}</small></span>",
            bytes(one),
            of[0],
            bytes(two),
            of[1]
        )
    };
    let sum = |table: BTreeMap<String, [f64; 2]>| table.into_values().fold([0.0; 2], |[a, b], [c, d]| [a + c, b + d]);
    let network =
        samples.table(NETWORK, |sample| Some(sample.label("device").to_owned()).filter(|name| is_physical(name)));
    tile(out, "network", "Network", "", &pair(sum(network), ["in", "out"]), "since boot");
    let disk = samples
        .table([DISK[0], DISK[1]], |sample| Some(sample.label("device").to_owned()).filter(|name| is_disk(name)));
    tile(out, "disk", "Disk I/O", "", &pair(sum(disk), ["read", "written"]), "since boot");
}

const FILE_SYSTEMS: [&str; 4] = [
    "node_filesystem_size_bytes",
    "node_filesystem_free_bytes",
    "node_filesystem_avail_bytes",
    "node_filesystem_readonly",
];
const NETWORK: [&str; 2] = ["node_network_receive_bytes_total", "node_network_transmit_bytes_total"];
const DISK: [&str; 3] =
    ["node_disk_read_bytes_total", "node_disk_written_bytes_total", "node_disk_io_time_seconds_total"];

/// Whether an interface counts for the host's total: traffic of virtual ones passes through a physical one as well.
fn is_physical(name: &str) -> bool {
    const VIRTUAL: [&str; 14] =
        ["lo", "veth", "docker", "br-", "virbr", "cni", "flannel", "cali", "tun", "tap", "wg", "ifb", "bond", "vxlan"];
    !VIRTUAL.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a device counts for the host's total: what device mapper and md write is written to their disks.
fn is_disk(name: &str) -> bool {
    !["dm-", "md", "loop", "zd", "drbd", "bcache"].iter().any(|prefix| name.starts_with(prefix))
}

/// A table: the headings of its columns after the name and the line, rows of as many cells, and the number of further rows.
struct Table {
    id: &'static str,
    title: &'static str,
    /// Next to the title.
    note: &'static str,
    /// What the rows are.
    of: &'static str,
    columns: &'static [&'static str],
    rows: Vec<(String, Vec<String>)>,
    /// Rows that are not shown.
    more: usize,
    /// Shown if there are no rows.
    empty: String,
}

impl Table {
    fn write(&self, out: &mut String) {
        let Table { id, title, note, of, columns, .. } = self;
        let _ = write!(
            out,
            "<section class=\"card\" id=\"{id}\"><header><h2>{title}</h2><span class=\"mute note\">{note}</span></header>\
             <table{}><thead><tr><th scope=\"col\">{of}</th><th scope=\"col\" class=\"line\">Trend</th>",
            if self.rows.is_empty() { " hidden" } else { "" }
        );
        for column in *columns {
            let _ = write!(out, "<th scope=\"col\" class=\"n\">{column}</th>");
        }
        out.push_str("</tr></thead><tbody>");
        for (name, cells) in &self.rows {
            let _ = write!(out, "<tr>{}<td class=\"line\"></td>", heading(name));
            for cell in cells {
                let _ = write!(out, "<td class=\"n\">{cell}</td>");
            }
            out.push_str("</tr>");
        }
        let text = match (self.rows.is_empty(), self.more) {
            (true, _) => self.empty.clone(),
            (false, 0) => String::new(),
            (false, more) => format!("and {} more", grouped(more)),
        };
        let _ = writeln!(out, "</tbody></table><p class=\"more\">{text}</p></section>");
    }
}

/// The heading of a row. A long name is shown without its middle, and has the whole as a tooltip. It wraps at separators.
fn heading(name: &str) -> String {
    const MAX_SHOWN: usize = 60;
    let length = name.chars().count();
    let (shown, title) = if length > MAX_SHOWN {
        let start: String = name.chars().take(MAX_SHOWN / 2).collect();
        let end: String = name.chars().skip(length - MAX_SHOWN / 2).collect();
        (format!("{start}…{end}"), format!(" title=\"{}\"", escaped(name)))
    } else {
        (name.to_owned(), String::new())
    };
    let parts: Vec<String> = shown.split_inclusive(['/', '_', '.', ':', '@']).map(escaped).collect();
    format!("<th scope=\"row\"{title}>{}</th>", parts.join("<wbr>"))
}

/// At most [`ROWS`] rows, and the number of the others: those with the highest scores, in the order of their names.
fn top<const COLUMNS: usize>(
    table: BTreeMap<String, [f64; COLUMNS]>,
    score: impl Fn(&[f64; COLUMNS]) -> f64,
) -> (Vec<(String, [f64; COLUMNS])>, usize) {
    let mut rows: Vec<_> = table.into_iter().collect();
    let more = rows.len().saturating_sub(ROWS);
    if more > 0 {
        rows.sort_by(|(_, one), (_, other)| score(other).total_cmp(&score(one)));
        rows.truncate(ROWS);
        rows.sort_by(|(one, _), (other, _)| one.cmp(other));
    }
    (rows, more)
}

/// A use of space: a bar, and its percentage. An image that cannot be written to may be full.
fn usage(percent: f64, is_read_only: bool) -> String {
    let class = match percent {
        _ if is_read_only => "bar",
        95.0.. => "bar bad",
        85.0.. => "bar warn",
        _ => "bar",
    };
    format!(
        "<svg class=\"{class}\" viewBox=\"0 0 100 1\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect width=\"{percent:.1}\" height=\"1\"/></svg><span>{percent:.0}%</span>"
    )
}

/// What a table without rows says.
fn empty(on: &[&str], collector: &str, what: &str) -> String {
    if on.contains(&collector) { what.to_owned() } else { format!("The collector {collector} is off.") }
}

fn tables(out: &mut String, samples: &Samples, on: &[&str]) {
    let mount = |sample: &Sample| Some(sample.label("mountpoint").to_owned());
    let mut table = samples.table(FILE_SYSTEMS, mount);
    table.retain(|_, [size, ..]| *size > 0.0);
    // As df computes it: what is reserved for root counts neither as used nor as free.
    let percent = |[size, free, available, _]: &[f64; 4]| (size - free) / (size - free + available).max(1.0) * 100.0;
    let score = |values: &[f64; 4]| if values[3] > 0.0 { 0.0 } else { percent(values) };
    let (rows, more) = top(table, score);
    let row = |(name, values): (String, [f64; 4])| {
        let [size, _, available, read_only] = values;
        (name, vec![usage(percent(&values), read_only > 0.0), bytes(available), bytes(size)])
    };
    let rows = rows.into_iter().map(row).collect();
    let columns = &["Used", "Free", "Size"];
    Table {
        id: "filesystems",
        title: "File systems",
        note: "",
        of: "Mounted on",
        columns,
        rows,
        more,
        empty: empty(on, "filesystem", "No file systems."),
    }
    .write(out);

    let device = |sample: &Sample| Some(sample.label("device").to_owned());
    let boot = samples.value("node_boot_time_seconds").unwrap_or(f64::INFINITY);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let (rows, more) = top(samples.table(DISK, device), |[read, written, _]| read + written);
    let row = |(name, [read, written, busy]): (String, [f64; 3])| {
        let busy = if now > boot { format!("{:.0}%", busy / (now - boot) * 100.0) } else { "–".to_owned() };
        (name, vec![bytes(read), bytes(written), busy])
    };
    let rows = rows.into_iter().map(row).collect();
    let columns = &["Read", "Written", "Busy"];
    Table {
        id: "disks",
        title: "Disks",
        note: "",
        of: "Device",
        columns,
        rows,
        more,
        empty: empty(on, "diskstats", "No disks."),
    }
    .write(out);

    let (rows, more) = top(samples.table(NETWORK, device), |[received, sent]| received + sent);
    let rows = rows.into_iter().map(|(name, values)| (name, values.map(bytes).to_vec())).collect();
    let columns = &["In", "Out"];
    Table {
        id: "interfaces",
        title: "Network interfaces",
        note: "",
        of: "Interface",
        columns,
        rows,
        more,
        empty: empty(on, "netdev", "No interfaces."),
    }
    .write(out);
}

fn container_table(out: &mut String, samples: &Samples, on: &[&str]) {
    let families = ["container_cpu_usage_seconds_total", "container_memory_working_set_bytes"];
    let mut table = samples.table(families, container);
    let services = if table.is_empty() { samples.table(families, service) } else { BTreeMap::new() };
    let is_services = !services.is_empty();
    table.extend(services);
    let (rows, more) = top(table, |[seconds, _]| *seconds);
    let row = |(name, [seconds, memory]): (String, [f64; 2])| (name, vec![duration(seconds), bytes(memory)]);
    let rows = rows.into_iter().map(row).collect();
    let (title, of) = if is_services { ("Services", "Unit") } else { ("Containers", "Container") };
    let columns = &["CPU", "Memory"];
    Table {
        id: "containers",
        title,
        note: "100% CPU is one core",
        of,
        columns,
        rows,
        more,
        empty: empty(on, "container", "No containers."),
    }
    .write(out);
}

/// The name of a container: with its pod on Kubernetes.
fn container(sample: &Sample) -> Option<String> {
    let [pod, container, name] = ["pod", "container", "name"].map(|label| sample.label(label));
    // Without access to the runtime, the name is the ID.
    let is_id = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = if is_id { &name[..12] } else { name };
    match (pod, container) {
        ("", _) | (_, "") => Some(name.to_owned()).filter(|name| !name.is_empty()),
        _ => Some(format!("{}/{pod}/{container}", sample.label("namespace"))),
    }
}

/// The name of a systemd unit.
fn service(sample: &Sample) -> Option<String> {
    let (_, unit) = sample.label("id").rsplit_once('/')?;
    [".service", ".scope"].iter().any(|kind| unit.ends_with(kind)).then(|| unit.to_owned())
}

/// Failing collectors first, always in sight; the others unfold.
fn collectors(out: &mut String, all: &[CollectorStatus]) {
    const HEAD: &str = "<table class=\"list\"><thead><tr><th scope=\"col\">Collector</th><th scope=\"col\">State</th>\
                        <th scope=\"col\" class=\"n\">Duration</th><th scope=\"col\" class=\"n wide\">Last success</th></tr></thead><tbody>";
    let is_failing = |state| matches!(state, CollectorState::Failing | CollectorState::Late | CollectorState::Hung);
    let (failing, others): (Vec<_>, Vec<_>) = all.iter().partition(|collector| is_failing(collector.state));
    let write = |out: &mut String, rows: &[&CollectorStatus]| {
        out.push_str(HEAD);
        for collector in rows {
            let class = match collector.state {
                CollectorState::Ok => "good",
                state if is_failing(state) => "bad",
                _ => "mute",
            };
            let error = collector.error.as_ref().filter(|_| is_failing(collector.state));
            let _ = write!(
                out,
                "<tr><th scope=\"row\">{}{}</th><td><span class=\"state {class}\">{}</span></td><td class=\"n\">{}</td><td class=\"n wide\">{}</td></tr>",
                collector.about.name,
                error.map(|error| format!("<p class=\"bad\">{}</p>", escaped(error))).unwrap_or_default(),
                collector.state.name(),
                collector.took.map_or("–".to_owned(), |took| duration(took.as_secs_f64())),
                collector.success_age.map_or("–".to_owned(), |age| ago(age.as_secs_f64())),
            );
        }
        out.push_str("</tbody></table>");
    };
    let _ = write!(
        out,
        "<section class=\"card\" id=\"collectors\"><header><h2>Collectors</h2><span class=\"mute note\">{} on, {} failing</span></header><div class=\"failing\">",
        all.len(),
        if failing.is_empty() { "none".to_owned() } else { failing.len().to_string() }
    );
    if !failing.is_empty() {
        write(out, &failing);
    }
    let others_title = if failing.is_empty() { "All collectors".to_owned() } else { format!("{} more", others.len()) };
    let _ = write!(out, "</div><details><summary>{others_title}</summary><div class=\"others\">");
    write(out, &others);
    out.push_str("</div></details></section>\n");
}

fn sinks(out: &mut String, status: &Status) {
    let _ = write!(
        out,
        "<section class=\"card\" id=\"sinks\"><header><h2>Sinks</h2><span class=\"mute note\"></span></header>\
         <table class=\"list\"{}><thead><tr><th scope=\"col\">Sink</th><th scope=\"col\">State</th><th scope=\"col\" class=\"n\">Waiting</th>\
         <th scope=\"col\" class=\"n wide\">Last success</th></tr></thead><tbody>",
        if status.sinks.is_empty() { " hidden" } else { "" }
    );
    for sink in &status.sinks {
        let class = match sink.state() {
            "ok" => "good",
            "failing" => "bad",
            _ => "mute",
        };
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}<p class=\"mute\">{} · {}</p>{}</th><td><span class=\"state {class}\">{}</span></td>\
             <td class=\"n\">{}</td><td class=\"n wide\">{}</td></tr>",
            escaped(&sink.name),
            sink.kind,
            escaped(&sink.address),
            answer(sink),
            sink.state(),
            waiting(sink),
            sink.results.last_success.map_or("–".to_owned(), |at| {
                ago(status.now.duration_since(at).unwrap_or_default().as_secs_f64())
            }),
        );
    }
    let empty = if status.sinks.is_empty() { "No sinks: metrics are scraped only." } else { "" };
    let _ = writeln!(out, "</tbody></table><p class=\"more\">{empty}</p></section>");
}

/// The last answer of a sink that did not accept everything.
fn answer(sink: &SinkStatus) -> String {
    let message = sink.results.last.as_ref().and_then(|last| last.message.as_deref());
    let class = if sink.state() == "failing" { "bad" } else { "warn" };
    message.map(|message| format!("<p class=\"{class}\">{}</p>", escaped(message))).unwrap_or_default()
}

fn waiting(sink: &SinkStatus) -> String {
    match sink.points {
        0 => "nothing".to_owned(),
        points => format!("{}\n{}", count(points, "point"), bytes(sink.bytes as f64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::family::FamilyEncoder;
    use crate::encode::{Kind, Value};

    /// The tables for containers with these names and identifiers, without the places where names may wrap.
    fn containers(all: &[(&str, &str)]) -> String {
        let mut samples = Samples::default();
        samples.begin("container_cpu_usage_seconds_total", Kind::Counter, "");
        for (number, (name, id)) in (1..).zip(all) {
            samples.sample(&["name", "id"], &[name, id], Value::Unsigned(number), None);
        }
        samples.end();
        let mut out = String::new();
        tables(&mut out, &samples, &["container"]);
        container_table(&mut out, &samples, &["container"]);
        out.replace("<wbr>", "")
    }

    #[test]
    fn containers_are_text_and_services_stand_in_for_them() {
        let id = "0123456789ab".repeat(6);
        let page = containers(&[("<script>", "/a"), (&id[..64], "/b"), ("", "/system.slice/cron.service")]);
        assert!(page.contains(">&lt;script&gt;</th>") && !page.contains("<script>"), "{page}");
        assert!(page.contains(">0123456789ab</th>") && !page.contains("cron.service"), "{page}");
        let page = containers(&[("", "/"), ("", "/system.slice/cron.service")]);
        assert!(page.contains("<h2>Services</h2>") && page.contains(">cron.service</th>"), "{page}");
        assert!(page.contains("The collector netdev is off."), "{page}");
    }

    #[test]
    fn a_long_name_is_shown_without_its_middle_and_wraps_at_separators() {
        assert_eq!(heading("/var/a<b"), "<th scope=\"row\">/<wbr>var/<wbr>a&lt;b</th>");
        let name = format!("/{}end", "ä".repeat(96));
        let (start, end) = ("ä".repeat(29), "ä".repeat(27));
        assert_eq!(heading(&name), format!("<th scope=\"row\" title=\"{name}\">/<wbr>{start}…{end}end</th>"));
        assert_eq!(heading(&"x".repeat(60)), format!("<th scope=\"row\">{}</th>", "x".repeat(60)));
    }

    #[test]
    fn a_nearly_full_file_system_is_bad_unless_it_is_read_only() {
        let class = |percent, is_read_only| usage(percent, is_read_only).split('"').nth(1).unwrap().to_owned();
        assert_eq!(
            [84.9, 85.0, 94.9, 95.0, 100.0].map(|percent| class(percent, false)),
            ["bar", "bar warn", "bar warn", "bar bad", "bar bad"]
        );
        assert_eq!(class(100.0, true), "bar");
    }

    #[test]
    fn the_busiest_of_a_thousand_are_shown() {
        let names: Vec<String> = (0..1000).map(|number| format!("c{number:03}")).collect();
        let page = containers(&names.iter().map(|name| (name.as_str(), "/")).collect::<Vec<_>>());
        assert!(page.contains(">c999</th>") && page.contains(">c988</th>") && !page.contains(">c987</th>"), "{page}");
        assert!(page.contains("and 988 more"), "{page}");
    }
}
