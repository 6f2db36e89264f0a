//! The page: a line for each group, the urgent ones first, in pages of 100, with search and deletion.

mod replicas;
mod row;
mod run;

use std::fmt::Write;
use std::time::SystemTime;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};

use crate::gateway::groups::times::{Times, unix_now};
use crate::gateway::key::Key;
use crate::gateway::last_refusals::LastRefusals;
use crate::gateway::persistence::group_store::GroupStore;
use crate::gateway::replication::shared::Shared;
use crate::gateway::settings::Settings;
use crate::http::access::Viewer;
use crate::http::page::{Asset, POLICY, count, escaped, head};
use row::Row;
use run::{Reports, Urgency};

/// Groups of a page.
const PER_PAGE: usize = 100;

/// The page's script.
pub static SCRIPT: Asset =
    Asset { name: "gateway.js", content_type: "text/javascript; charset=utf-8", text: include_str!("gateway.js") };

/// The page's own style sheet, in addition to the shared one.
pub static STYLE: Asset =
    Asset { name: "gateway.css", content_type: "text/css; charset=utf-8", text: include_str!("gateway.css") };

/// What the page shows besides the groups.
pub struct Context<'c> {
    /// The groups.
    pub store: &'c GroupStore,
    /// Why the last pushes were refused.
    pub last_refusals: &'c LastRefusals,
    /// When the gateway started.
    pub started: SystemTime,
    /// The gateway's URL for the client.
    pub url: String,
    /// The client.
    pub viewer: &'c Viewer,
    /// The status of the replica; none if the gateway is alone.
    pub replica: Option<&'c Shared>,
}

/// The URL by which a client reached the gateway, for commands that it may copy.
pub fn url(settings: &Settings, headers: &HeaderMap, is_tls: bool) -> String {
    let is_plain = |host: &&str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(is_plain).unwrap_or("HOST");
    let scheme = if is_tls { "https" } else { "http" };
    let external = settings.external_url.as_deref().map(|url| url.trim_end_matches('/').to_owned());
    external.unwrap_or_else(|| format!("{scheme}://{host}{}", settings.prefix.as_str()))
}

/// What a query asks for.
struct Wanted {
    /// A substring of a group's labels.
    search: String,
    /// Counts from 1.
    page: usize,
}

/// The number of groups that match, and of the urgent ones among them.
#[derive(Default)]
struct Counts {
    groups: usize,
    failed: usize,
    overdue: usize,
    running: usize,
}

/// Renders the page of a query: `search` is a substring of a group's labels, `page` counts from 1.
pub fn page(context: &Context<'_>, query: &str) -> Response {
    let parameter = |wanted: &str| {
        let found = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let page = parameter("page").parse::<usize>().unwrap_or(1).max(1);
    let wanted = Wanted { search: parameter("search"), page };
    let head = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (head, Html(html(context, &wanted))).into_response()
}

fn html(context: &Context<'_>, wanted: &Wanted) -> String {
    let (rows, counts) = rows(context, wanted, unix_now());
    let mut out = head("Gateway · Taffrail", Some(&SCRIPT));
    let _ = writeln!(
        out,
        "<link rel=\"stylesheet\" href=\"{}\">\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the groups</a>\n<header class=\"top\"><h1>Gateway</h1>\n\
         <p class=\"mute\" id=\"status\" role=\"status\">{}</p>\n{}\
         <nav aria-label=\"Gateway\">\n<a href=\"metrics\">All metrics</a>\n<a href=\"api/v1/status\">Status</a>\n</nav></header>\n\
         <main id=\"main\">",
        STYLE.url(),
        count(counts.groups, "group"),
        context.replica.map(|replica| replicas::summary(&replica.get())).unwrap_or_default() + &summary(&counts),
    );
    match (counts.groups, wanted.search.as_str()) {
        (0, "") => welcome(&mut out, context),
        _ => {
            search(&mut out, &wanted.search);
            table(&mut out, &rows, context.viewer, wanted, counts.groups);
        }
    }
    context.replica.iter().for_each(|replica| replicas::table(&mut out, replica));
    let running = SystemTime::now().duration_since(context.started).unwrap_or_default().as_secs();
    let _ = writeln!(
        out,
        "</main>\n<footer class=\"mute\">Taffrail {}, running for {}. <a href=\"-/healthy\">Health</a> · \
         <a href=\"-/ready\">Readiness</a></footer>",
        env!("CARGO_PKG_VERSION"),
        row::time_span(running as f64),
    );
    out
}

/// The rows of the wanted page, and the counts of all groups that match.
///
/// The state is locked twice, to list the groups and for the details of the page. All else happens in between, so that
/// pushes do not wait for it.
fn rows(context: &Context<'_>, wanted: &Wanted, now: f64) -> (Vec<Row>, Counts) {
    let (groups, reports) = context.store.read(|state| {
        let groups = state.numbered_groups().map(|(number, group)| (number, group.key.clone(), group.times));
        (groups.collect::<Vec<_>>(), Reports::of(state))
    });
    let matches = |key: &Key| wanted.search.is_empty() || key.to_string().contains(&wanted.search);
    let found = groups.into_iter().filter(|(_, key, _)| matches(key));
    let with_urgency =
        |(number, key, times): (u32, Key, Times)| (reports.urgency(number, times, now), number, key, times);
    let mut found: Vec<(Urgency, u32, Key, Times)> = found.map(with_urgency).collect();
    let number_of = |wanted: Urgency| found.iter().filter(|(urgency, ..)| *urgency == wanted).count();
    let counts = Counts {
        groups: found.len(),
        failed: number_of(Urgency::Failed),
        overdue: number_of(Urgency::Overdue),
        running: number_of(Urgency::Running),
    };
    let order = |(one_urgency, _, one, _): &(Urgency, u32, Key, Times),
                 (other_urgency, _, other, _): &(_, _, Key, _)| {
        (one_urgency, one.job(), one).cmp(&(other_urgency, other.job(), other))
    };
    // Only the groups up to the end of the page are sorted.
    let end = wanted.page.saturating_mul(PER_PAGE);
    if end < found.len() {
        found.select_nth_unstable_by(end, order);
        found.truncate(end);
    }
    found.sort_unstable_by(order);
    let shown = found.into_iter().skip(end - PER_PAGE);
    let shown: Vec<_> =
        shown.map(|(urgency, number, key, times)| (urgency, reports.run(number, times, now), key, times)).collect();
    let rows = context.store.read(|state| {
        let row = |(urgency, run, key, times)| {
            // Skips groups that were removed meanwhile.
            let families = state.families_of(&key)?;
            let durations = state.group(&key)?.1.history.durations().collect();
            let refusal = context.last_refusals.reason(&key, times);
            Some(Row { key, times, refusal, urgency, run, families, durations })
        };
        shown.into_iter().filter_map(row).collect()
    });
    (rows, counts)
}

/// How many groups are urgent, and why.
fn summary(counts: &Counts) -> String {
    let parts =
        [(counts.failed, "bad", "failed"), (counts.overdue, "warn", "overdue"), (counts.running, "on", "running")];
    let part = |(number, class, text)| format!("<p class=\"state {class}\">{number} {text}</p>\n");
    parts.into_iter().filter(|(number, ..)| *number > 0).map(part).collect()
}

/// What to do when there are no groups.
fn welcome(out: &mut String, context: &Context<'_>) {
    let url = escaped(&context.url);
    let credentials = match context.viewer {
        Viewer::Anonymous => "",
        Viewer::Known(_) => {
            "<p>This gateway requires credentials: add <code>--token-file FILE</code>, or <code>--user NAME --password-file \
             FILE</code>, to <code>taffrail push</code>, and <code>-u NAME</code> to <code>curl</code>.</p>\n"
        }
    };
    let _ = writeln!(
        out,
        "<section class=\"card welcome\"><h2>No job has pushed yet</h2>\n\
         <p>To report a batch job, run it with <code>taffrail push</code>:</p>\n\
         <pre>taffrail push --url {url} --job backup -- /usr/local/bin/backup</pre>\n\
         <p>To push metrics without it, use <code>curl</code> or a Prometheus client library:</p>\n\
         <pre>echo \"rows 3\" | curl --data-binary @- {url}/metrics/job/import</pre>\n{credentials}</section>",
    );
}

fn search(out: &mut String, search: &str) {
    let all = if search.is_empty() { "" } else { "<a href=\"?\">Show all</a>\n" };
    let _ = writeln!(
        out,
        "<form class=\"search\" role=\"search\" action=\"\">\n<label for=\"search\">Search labels</label>\n\
         <input id=\"search\" name=\"search\" type=\"search\" value=\"{}\">\n<button>Search</button>\n{all}</form>",
        escaped(search),
    );
}

fn table(out: &mut String, rows: &[Row], viewer: &Viewer, wanted: &Wanted, groups: usize) {
    if rows.is_empty() {
        let text = match groups {
            0 => format!("No group has labels that contain “{}”.", escaped(&wanted.search)),
            _ => "This page has no groups.".to_owned(),
        };
        let _ = writeln!(out, "<p class=\"card empty\">{text}</p>");
    } else {
        out.push_str(
            "<section class=\"card\"><table class=\"list jobs\"><thead><tr><th scope=\"col\">Job</th>\
             <th scope=\"col\" class=\"n\">Last run</th><th scope=\"col\">Result</th><th scope=\"col\" class=\"n\">Duration</th>\
             <th scope=\"col\">Trend</th><th scope=\"col\" class=\"n\">Next run</th><th scope=\"col\" aria-label=\"Delete\"></th>\
             </tr></thead><tbody>\n",
        );
        rows.iter().for_each(|row| row.write(out, viewer, unix_now()));
        out.push_str("</tbody></table></section>\n");
    }
    pages(out, wanted, groups);
}

/// Links to the other pages.
fn pages(out: &mut String, wanted: &Wanted, groups: usize) {
    let last = groups.div_ceil(PER_PAGE).max(1);
    if last == 1 && wanted.page == 1 {
        return;
    }
    let search: String = form_urlencoded::byte_serialize(wanted.search.as_bytes()).collect();
    let link = |page: usize, text: &str| format!("<a href=\"?search={search}&amp;page={page}\">{text}</a>\n");
    out.push_str("<nav class=\"pages\" aria-label=\"Pages\">\n");
    if wanted.page > 1 {
        out.push_str(&link((wanted.page - 1).min(last), "Earlier"));
    }
    let _ = writeln!(out, "<span class=\"mute\">Page {} of {last}</span>", wanted.page);
    if wanted.page < last {
        out.push_str(&link(wanted.page + 1, "Later"));
    }
    out.push_str("</nav>\n");
}
