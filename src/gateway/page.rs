//! The page for people: groups, a page at a time, to be searched and deleted.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::change::{Piece, Times};
use super::core::Core;
use super::key::{Key, path_of};
use super::state::is_marker;
use crate::encode::pushed::Names;
use crate::http::access::Viewer;

/// Groups that are shown at a time.
const PER_PAGE: usize = 100;

/// The page that `query` asks for: `search` is part of a group's labels, `page` is counted from 1.
pub fn page(core: &Core, query: &str, viewer: &Viewer) -> Response {
    let parameter = |wanted: &str| {
        let found = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let (search, number) = (parameter("search"), parameter("page").parse::<usize>().unwrap_or(1).max(1));
    let (groups, total) = core.look(|state| {
        let mut found: Vec<(Key, Times)> = state
            .all()
            .filter(|(key, _)| search.is_empty() || key.to_string().contains(&search))
            .map(|(key, times)| (key.clone(), times))
            .collect();
        let total = found.len();
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        let shown = found.into_iter().skip((number - 1) * PER_PAGE).take(PER_PAGE);
        let with_pieces = |(key, times): (Key, Times)| {
            let pieces = state.pieces(&key).unwrap_or_default();
            (key, times, pieces)
        };
        (shown.map(with_pieces).collect::<Vec<_>>(), total)
    });
    let rows: String = groups.iter().map(|(key, times, pieces)| row(key, *times, pieces, viewer)).collect();
    let html = include_str!("page.html")
        .replace("{{search}}", &escaped(&search))
        .replace("{{total}}", &total.to_string())
        .replace("{{rows}}", &rows)
        .replace("{{pages}}", &pages(&search, number, total));
    ([(header::CONTENT_SECURITY_POLICY, POLICY.as_str())], Html(html)).into_response()
}

/// What the page may do in a browser: run its own script, which asks the gateway, and nothing else.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |tag: &str| {
        let inside = include_str!("page.html").split_once(&format!("<{tag}>")).unwrap_or_default().1;
        let inside = inside.split_once(&format!("</{tag}>")).unwrap_or_default().0;
        STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, inside.as_bytes()))
    };
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style"),
    )
});

fn row(key: &Key, times: Times, pieces: &[Piece], viewer: &Viewer) -> String {
    let now = super::base::now();
    let age = if times.pushed > 0.0 { seconds(now - times.pushed) } else { "never".to_owned() };
    let state = match () {
        () if times.failed > times.pushed => "<strong>last push refused</strong>",
        () => "taken",
    };
    let ends = times.expires.map_or_else(|| "–".to_owned(), |expires| seconds(expires - now));
    let bytes: usize = pieces.iter().map(Piece::bytes).sum();
    let label = escaped(&key.to_string());
    let path = escaped(&path_of(key.job(), key.labels().filter(|(name, _)| *name != "job")));
    let delete = match viewer.may_push(key.job()) {
        Ok(()) => format!("<button type=button data-path=\"{path}\" aria-label=\"Delete {label}\">Delete</button>"),
        Err(_) => String::new(),
    };
    format!(
        "<tr><td><a href=\"{path}\">{label}</a></td><td>{age}</td><td>{state}</td><td>{ends}</td><td class=n>{bytes}</td>\
         <td>{}</td><td>{delete}</td></tr>\n",
        values(pieces),
    )
}

/// A group's families, which open to show their values; the rest of long ones is behind the group's link.
fn values(pieces: &[Piece]) -> String {
    const LINES: usize = 100;
    const NAMES: usize = 50;
    /// Lines may be long, and there is a hundred groups on a page.
    const BYTES: usize = 8 << 10;
    let names: Vec<&str> = pieces.iter().map(|piece| &*piece.name).filter(|name| !is_marker(name)).collect();
    let all = pieces.iter().flat_map(|piece| piece.block.text(Names::Quoted).split_inclusive(|byte| *byte == b'\n'));
    let mut left = BYTES;
    let fits = |bytes: usize, left: &mut usize| left.checked_sub(bytes).map(|rest| *left = rest).is_some();
    let mut lines: Vec<_> = all.take_while(|line| fits(line.len(), &mut left)).map(String::from_utf8_lossy).collect();
    let series: usize = pieces.iter().map(|piece| piece.block.metrics()).sum();
    if lines.len() > LINES || lines.len() < series {
        lines.truncate(LINES);
        lines.push("…".into());
    }
    let mut left = BYTES;
    let shown = names.iter().take(NAMES).take_while(|name| fits(name.len(), &mut left)).copied();
    let mut shown: Vec<&str> = shown.collect();
    if shown.len() < names.len() {
        shown.push("…");
    }
    format!(
        "<details><summary>{} families: {}</summary><pre>{}</pre></details>",
        names.len(),
        escaped(&shown.join(", ")),
        escaped(&lines.concat()),
    )
}

fn seconds(seconds: f64) -> String {
    humantime::format_duration(std::time::Duration::from_secs(seconds.max(0.0) as u64)).to_string()
}

fn pages(search: &str, number: usize, total: usize) -> String {
    let search: String = form_urlencoded::byte_serialize(search.as_bytes()).collect();
    let link = |number: usize, text: &str| format!("<a href=\"?search={search}&amp;page={number}\">{text}</a> ");
    let mut links = String::new();
    if number > 1 {
        links += &link(number - 1, "Earlier");
    }
    if number * PER_PAGE < total {
        links += &link(number + 1, "Later");
    }
    links
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
