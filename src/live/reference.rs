//! `GET /reference`: the collectors and families of this version, for a reader without access to the internet.

use std::fmt::Write;

use crate::collectors::About;
use crate::collectors::list::COLLECTORS;
use crate::http::page::{escaped, head};

/// The page.
pub(super) fn page() -> String {
    let mut out = head("Collectors and metrics · Taffrail", None);
    let _ = write!(
        out,
        "<body>\n<header class=\"top\"><h1>Collectors and metrics</h1><p class=\"mute\">Taffrail {}</p>\
         <nav aria-label=\"Pages\"><a href=\".\">This host</a></nav></header>\n<main>\n<p class=\"card\">",
        env!("CARGO_PKG_VERSION")
    );
    for entry in COLLECTORS.iter() {
        let name = entry.about.name;
        let _ = write!(out, "<a href=\"#{name}\">{name}</a> ");
    }
    out.push_str("</p>\n");
    for entry in COLLECTORS.iter() {
        collector(&mut out, entry.about);
    }
    out.push_str("</main>\n");
    out
}

fn collector(out: &mut String, about: &About) {
    let _ = write!(
        out,
        "<section id=\"{}\"><h2>{}</h2><p>{}. By default: {}.</p>",
        about.name,
        about.name,
        plain(about.summary),
        about.default_text()
    );
    if !about.needs.is_empty() {
        let _ = write!(out, "<p class=\"mute\">Needs {}.</p>", plain(about.needs));
    }
    for paragraph in about.remarks.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        let _ = write!(out, "<p class=\"mute\">{}</p>", plain(paragraph));
    }
    if !about.measurements.is_empty() {
        let names: Vec<&str> = about.measurements.iter().map(|measurement| measurement.name).collect();
        let _ = write!(out, "<p class=\"mute\">Pushed as {}.</p>", names.join(", "));
    }
    if !about.families.is_empty() {
        out.push_str(
            "<table class=\"list families\"><thead><tr><th scope=\"col\">Family</th><th scope=\"col\">Type</th>\
             <th scope=\"col\" class=\"wide\">Labels</th><th scope=\"col\">Meaning</th></tr></thead><tbody>\n",
        );
        for family in about.families {
            let _ = writeln!(
                out,
                "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"wide\">{}</td><td>{}</td></tr>",
                family.name,
                family.kind.name(),
                family.labels.join(", "),
                plain(family.help),
            );
        }
        out.push_str("</tbody></table>");
    }
    out.push_str("</section>\n");
}

/// A text of the reference without Markdown's backticks.
fn plain(text: &str) -> String {
    escaped(&text.replace('`', ""))
}
