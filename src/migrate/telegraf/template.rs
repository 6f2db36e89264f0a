//! Templates in strings of Telegraf's configuration: those of Ansible, which must be rendered first, and Telegraf's own.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::tables::{AGENT, EVERY_HTTP, EVERY_INPUT, EVERY_OUTPUT, INPUTS, OUTPUTS, Row};
use crate::migrate::template::{is_jinja, start_of_jinja};

/// Options of plugins in which `{{ name }}` is Telegraf's.
#[rustfmt::skip]
const TAKE_NAMES: [(&str, &[&str]); 3] = [
    ("elasticsearch", &["index_name", "use_pipeline", "default_pipeline"]),
    ("opensearch",    &["index_name", "use_pipeline", "default_pipeline"]),
    // A program, which may format strings with braces.
    ("starlark",      &["source"]),
];

/// The first byte of a template that Telegraf would take as it is; none if there is no such template.
pub(super) fn unrendered(text: &str, table: &DeTable<'_>) -> Option<usize> {
    let mut found = Vec::new();
    of_table(text, table, &mut Vec::new(), &mut found);
    found.into_iter().min()
}

fn of_table<'t>(text: &str, table: &'t DeTable<'_>, path: &mut Vec<&'t str>, found: &mut Vec<usize>) {
    for (key, value) in table {
        if is_jinja(key.get_ref()) {
            found.push(key.span().start);
        }
        path.push(key.get_ref());
        of_value(text, value, path, found);
        path.pop();
    }
}

fn of_value<'t>(text: &str, value: &'t Spanned<DeValue<'_>>, path: &mut Vec<&'t str>, found: &mut Vec<usize>) {
    match value.get_ref() {
        DeValue::String(string) => {
            let start = value.span().start;
            let raw = &text[value.span()];
            let at = match is_translated(path) {
                true => string.contains("{{").then(|| raw.find("{{").unwrap_or(0)).or(start_of_jinja(raw)),
                false => start_of_jinja(raw).filter(|_| !takes_names(path)),
            };
            found.extend(at.map(|at| start + at));
        }
        DeValue::Array(values) => values.iter().for_each(|value| of_value(text, value, path, found)),
        DeValue::Table(table) => of_table(text, table, path, found),
        _ => {}
    }
}

fn takes_names(path: &[&str]) -> bool {
    let [_, plugin, option, ..] = path else { return false };
    TAKE_NAMES.iter().any(|(name, options)| name == plugin && options.contains(option))
}

/// Whether the option becomes a setting; Telegraf has no template in such an option.
fn is_translated(path: &[&str]) -> bool {
    let is_in = |tables: &[&[Row]], option: &str| tables.iter().copied().flatten().any(|(key, _)| *key == option);
    match path {
        ["agent", option] => is_in(&[AGENT], option),
        ["global_tags" | "tags", ..] => true,
        ["inputs", plugin, rest @ ..] => {
            let Some(input) = INPUTS.iter().find(|input| input.name == *plugin) else { return false };
            match rest {
                [option] => is_in(&[input.options, EVERY_INPUT], option),
                [table, _] => matches!(*table, "tags" | "tagpass" | "tagdrop"),
                _ => false,
            }
        }
        ["outputs", plugin, rest @ ..] => {
            let Some(output) = OUTPUTS.iter().find(|output| output.name == *plugin) else { return false };
            match rest {
                [option] => is_in(&[output.options, EVERY_OUTPUT, EVERY_HTTP], option),
                [table, _] => matches!(*table, "headers" | "http_headers" | "tagpass" | "tagdrop"),
                _ => false,
            }
        }
        _ => false,
    }
}
