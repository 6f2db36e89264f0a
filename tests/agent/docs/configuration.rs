//! docs/configuration.md: every setting, by section.

use std::collections::BTreeSet;
use std::fmt::Write;

use taffrail::config::KeyInfo;
use taffrail::reference::{SectionInfo, sections};

use super::in_table;

const START: &str = r#"# Configuration

Generated from the code; `TAFFRAIL_BLESS=1 cargo test --test agent docs` updates it. `taffrail config` prints the same reference as
a commented TOML file; [conf/taffrail.toml](../conf/taffrail.toml) has the settings that most people need.

## Files

`--config` takes TOML files, and directories of `*.toml` files in the order of their names. Without it, commands read
`/etc/taffrail/*.toml` and `/etc/taffrail/conf.d/*.toml` if these directories exist. Several files are merged in that order: later values
win, lists of tables append. An unknown key is an error; `taffrail check` reports all errors at once. It
warns about files that collectors read later, such as certificates and passwords, if it cannot read them.

Strings may contain references, so that secrets do not have to be stored in the file:

| reference | value |
| --- | --- |
| `${VARIABLE}`, `${VARIABLE:-default}` | an environment variable |
| `${file:PATH}` | the content of a file |
| `${credential:NAME}` | a credential that systemd passes with `LoadCredential=` |

## Types

| type | values |
| --- | --- |
| boolean | `true` or `false` |
| duration | a string such as `"10s"`, `"1m 30s"` or `"7d"` |
| size | a string such as `"512KiB"`, `"8MiB"` or `"2GB"` |
| address | a string with a port, such as `":9100"`, `"localhost:9100"` or `"[::1]:9100"`, or a Unix socket such as `"unix:/run/taffrail/http.sock"` |
| glob pattern | a string that matches the whole name: `*` any characters, `?` one character, `[ab]` one of these, `{one,two}` alternatives |
| regular expression | a string that may match anywhere; an anchored one matches the whole value |
| list | `["one", "two"]`; a list of tables is written as `[[section]]`, once per element |
"#;

pub(super) fn page() -> String {
    let (mut contents, mut body, mut group) = (String::new(), String::new(), "");
    let mut listed = BTreeSet::new();
    for section in sections() {
        // What is shared by the sinks over HTTP has the heading of what all sinks share.
        let is_listed = section.head.matches('.').count() < 2 && listed.insert(section.head.clone());
        if group != group_of(&section) {
            group = group_of(&section);
            write!(contents, "\n- [{group}](#{}):", anchor(group)).unwrap();
            writeln!(body, "\n## {group}").unwrap();
        } else if is_listed {
            contents.push(',');
        }
        if is_listed {
            write!(contents, " [`{}`](#{})", section.head, anchor(&section.head)).unwrap();
        }
        writeln!(body, "\n### `{}`\n\n{}", section.head, section.about).unwrap();
        write_keys(&mut body, &section.keys);
    }
    format!("{START}\n## Sections\n{contents}\n{body}")
}

fn group_of(section: &SectionInfo) -> &'static str {
    match section.head.trim_start_matches('[').split(['.', ']']).next().unwrap_or_default() {
        "http" => "Serving scrapes",
        "gateway" => "The gateway",
        "agent" | "spool" | "tags" => "Writing to databases",
        "sinks" => "Sinks",
        "collectors" => "Collecting",
        _ => "The host and the process",
    }
}

/// The anchor that GitHub gives to a heading.
pub(super) fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || "_- ".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn write_keys(out: &mut String, keys: &[KeyInfo]) {
    if keys.is_empty() {
        return;
    }
    out.push_str("\n| setting | type | default | |\n| --- | --- | --- | --- |\n");
    for key in keys {
        let default = if key.default.is_empty() { "–".to_owned() } else { in_table(&format!("`{}`", key.default)) };
        writeln!(out, "| `{}` | {} | {default} | {} |", key.name, type_name(key.expected), in_table(key.help)).unwrap();
    }
}

/// The type as the table of types names it: without examples, which are there.
fn type_name(expected: &str) -> String {
    let short = expected.split(" such as ").next().unwrap_or_default().trim_end_matches(',');
    let short = short.split(", with a port").next().unwrap_or_default();
    match short {
        "true or false" => "boolean".to_owned(),
        _ => short.trim_start_matches("a ").trim_start_matches("an ").to_owned(),
    }
}
