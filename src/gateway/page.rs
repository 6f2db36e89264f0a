//! The page for people: groups, a page at a time, to be searched and deleted.

use axum::response::{Html, IntoResponse, Response};

use super::change::Times;
use super::core::Core;
use super::key::Key;
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
        let with_families = |(key, times): (Key, Times)| {
            let pieces = state.pieces(&key).unwrap_or_default();
            let bytes: usize = pieces.iter().map(|piece| piece.block.bytes()).sum();
            let names: Vec<String> = pieces.iter().map(|piece| piece.name.to_string()).collect();
            (key, times, names, bytes)
        };
        (shown.map(with_families).collect::<Vec<_>>(), total)
    });
    let rows: String =
        groups.iter().map(|(key, times, names, bytes)| row(key, *times, names, *bytes, viewer)).collect();
    let html = include_str!("page.html")
        .replace("{{search}}", &escaped(&search))
        .replace("{{total}}", &total.to_string())
        .replace("{{rows}}", &rows)
        .replace("{{pages}}", &pages(&search, number, total));
    Html(html).into_response()
}

fn row(key: &Key, times: Times, names: &[String], bytes: usize, viewer: &Viewer) -> String {
    let age = super::api::now() - times.pushed;
    let age = humantime::format_duration(std::time::Duration::from_secs(age.max(0.0) as u64)).to_string();
    let state = match () {
        () if times.failed > times.pushed => "<strong>last push refused</strong>",
        () if times.pushed == 0.0 => "<strong>never taken</strong>",
        () => "taken",
    };
    let label = escaped(&key.to_string());
    let path = escaped(&path_of(key));
    let delete = match viewer.may_push(key.job()) {
        Ok(()) => format!("<button type=button data-path=\"{path}\" aria-label=\"Delete {label}\">Delete</button>"),
        Err(_) => String::new(),
    };
    format!(
        "<tr><td><a href=\"{path}\">{label}</a></td><td>{age}</td><td>{state}</td><td class=n>{}</td>\
         <td class=n>{bytes}</td><td>{}</td>\
         <td>{delete}</td></tr>\n",
        names.len(),
        escaped(&names.join(", ")),
    )
}

/// The path of a group, from which its key is read again.
fn path_of(key: &Key) -> String {
    let mut path = String::from("metrics");
    let mut push = |name: &str, value: &str| {
        let encoded: String = value.bytes().map(percent_encoded).collect();
        path.extend(["/", name, "/", &encoded]);
    };
    push("job", key.job());
    for (name, value) in key.labels().iter().filter(|(name, _)| name != "job") {
        push(name, value);
    }
    path
}

/// A byte as a part of a path.
pub fn percent_encoded(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        char::from(byte).into()
    } else {
        format!("%{byte:02X}")
    }
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
