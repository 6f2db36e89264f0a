//! Values of Telegraf's options as TOML of Taffrail.

use std::collections::BTreeSet;

use super::read::{Block, Setting, Value};
use super::tables::Becomes;
use crate::config::{Secrets, is_secret_name};
use crate::migrate::output::{literal, string, strings};
use crate::migrate::translation::Outcome;
use crate::migrate::units::{duration, go_duration};

/// The outcome of an option that has nothing in Taffrail, unless it has a value that changes nothing.
pub(super) fn unless(setting: &Setting, raw: &str, instead: &str) -> Outcome {
    let is_default = setting.raw.split_whitespace().collect::<String>() == raw
        || setting.raw.trim_matches('\'') == raw.trim_matches('"');
    match is_default {
        true => Outcome::NotNeeded("it is the default".to_owned()),
        false => Outcome::Missing(instead.to_owned()),
    }
}

pub(super) fn duration_of(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) if !text.is_empty() => go_duration(text).map(|value| literal(&duration(value))),
        Value::Number(seconds) if (0.0..1e9).contains(seconds) => {
            Some(literal(&duration(std::time::Duration::from_secs_f64(*seconds))))
        }
        _ => None,
    }
}

pub(super) fn list_of(becomes: Becomes, texts: &[&str]) -> Result<String, &'static str> {
    match becomes {
        Becomes::Words(_) => Ok(strings(&texts.iter().flat_map(|text| text.split_whitespace()).collect::<Vec<_>>())),
        Becomes::Only(_) => match texts {
            [text] => Ok(string(&references(text)?)),
            _ => Err("write one sink for each of them"),
        },
        Becomes::Sockets(_) => {
            let paths: Option<Vec<&str>> = texts.iter().map(|text| text.strip_prefix("unix://")).collect();
            paths.map(|paths| strings(&paths)).ok_or("connect to Docker's socket on this host")
        }
        Becomes::Regex(_) => {
            let patterns = texts.iter().map(|glob| regex::escape(glob).replace(r"\*", ".*").replace(r"\?", "."));
            Ok(literal(&format!("^({})$", patterns.collect::<Vec<_>>().join("|"))))
        }
        _ => Ok(strings(&texts.iter().map(|text| references(text)).collect::<Result<Vec<_>, _>>()?)),
    }
}

/// A name and a password.
type User = (String, String);

/// URLs without their user, and the user with the password if they have one.
pub(super) fn urls_and_user(texts: &[&str]) -> Result<(Vec<String>, Option<User>), &'static str> {
    let mut urls = Vec::new();
    let mut users = BTreeSet::new();
    for text in texts {
        let text = references(text)?;
        let (scheme, rest) = text.split_once("://").unwrap_or(("", &text));
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        let Some((user, _)) = host.rsplit_once('@') else {
            users.insert(None);
            urls.push(text);
            continue;
        };
        urls.push(format!("{scheme}://{}", &rest[user.len() + 1..]));
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        users.insert(Some((name.to_owned(), password.to_owned())));
    }
    match (users.pop_first().flatten(), users.is_empty()) {
        (Some((name, password)), true) if name.contains('%') || password.contains('%') => {
            Err("write username and password, without escapes, in place of the user in the URL")
        }
        (user, true) => Ok((urls, user)),
        _ => Err("the URLs have different users: write one table for each"),
    }
}

/// Why the URLs of an input cannot be taken over, if it has some.
pub(super) fn obstacle_of_urls(block: &Block) -> Option<&'static str> {
    let urls = block.settings.iter().filter(|setting| ["urls", "address"].contains(&setting.key.as_str()));
    urls.filter_map(|setting| setting.value.texts()).find_map(|texts| urls_and_user(&texts).err())
}

/// The value as it is in the file, with references as Taffrail has them.
pub(super) fn raw(setting: &Setting) -> Result<String, String> {
    match &setting.value {
        Value::Text(text) => Ok(string(&references(text)?)),
        Value::List(_) => match setting.value.texts() {
            Some(texts) => {
                let texts = texts.iter().map(|text| references(text)).collect::<Result<Vec<_>, _>>()?;
                Ok(strings(&texts))
            }
            None => Ok(setting.raw.clone()),
        },
        _ => Ok(setting.raw.clone()),
    }
}

/// Telegraf's `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:?message}` as Taffrail's.
fn references(text: &str) -> Result<String, &'static str> {
    if text.contains("@{") {
        return Err("a secret of a store: write ${credential:NAME} or ${file:PATH} instead");
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        let bare = behind.find(|c: char| !is_name(c)).unwrap_or(behind.len());
        if let Some(after) = behind.strip_prefix('$') {
            // `$$` is a `$` that begins no reference.
            if after.strip_prefix('$').is_some_and(|behind| behind.starts_with(|c| c == '{' || c == '_' || is_name(c)))
            {
                return Err("a $ directly before a reference has no counterpart: write the value");
            }
            out.push_str(if after.starts_with('{') { "$$" } else { "$" });
            rest = after;
        } else if let Some((inside, after)) = behind.strip_prefix('{').and_then(|behind| behind.split_once('}')) {
            let end = inside.find(|c: char| !is_name(c)).unwrap_or(inside.len());
            let (name, modifier) = inside.split_at(end);
            let default = modifier.strip_prefix(":-").or_else(|| modifier.strip_prefix('-'));
            let is_checked = modifier.is_empty() || modifier.starts_with(":?") || modifier.starts_with('?');
            match default {
                _ if modifier.starts_with(":+") || modifier.starts_with('+') => {
                    return Err("${NAME:+value} has no counterpart: write the value");
                }
                Some(default) if default.contains('$') => {
                    return Err("a default with a reference has no counterpart: write the value");
                }
                Some(_) if !modifier.starts_with(':') && !name.is_empty() => {
                    return Err(
                        "${NAME-default} has no counterpart: write ${NAME:-default}, which holds for an empty NAME, too",
                    );
                }
                Some(default) if !name.is_empty() => out.push_str(&format!("${{{name}:-{default}}}")),
                None if !name.is_empty() && is_checked => out.push_str(&format!("${{{name}}}")),
                // Telegraf leaves it as it is.
                _ => out.push_str(&format!("$${{{inside}}}")),
            }
            rest = after;
        } else if behind.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            out.push_str(&format!("${{{}}}", &behind[..bare]));
            rest = &behind[bare..];
        } else {
            out.push('$');
            rest = behind;
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// The setting as it is in the file, without secrets.
pub(super) fn shown(setting: &Setting) -> String {
    shown_as(setting, &setting.key)
}

/// An option as it is in the file. What it becomes has the name that says whether it is secret: `pass` was once a filter.
pub(super) fn shown_option(setting: &Setting, becomes: Becomes) -> String {
    match becomes {
        Becomes::To(path) => shown_as(setting, path.rsplit('.').next().unwrap_or(path)),
        _ => shown(setting),
    }
}

fn shown_as(setting: &Setting, name: &str) -> String {
    if is_secret_name(name) {
        return format!("{} = …", setting.key);
    }
    let mut secrets = Secrets::default();
    for text in setting.value.texts().unwrap_or_default() {
        secrets.add_parts_of_url(text);
    }
    secrets.hide(&setting.text)
}

/// An option that is not translated, as it is in the file but for texts: no table says which of them are secret.
pub(super) fn shown_without_texts(setting: &Setting) -> String {
    match setting.value {
        Value::Switch(_) | Value::Number(_) => shown(setting),
        _ if duration_of(&setting.value).is_some() => shown(setting),
        _ => format!("{} = …", setting.key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_without_a_counterpart_are_refused() {
        for text in ["${N:-${O}}", "${T:-$U}", "${B-x}", "$$$P", "a$$${P}", "${A:+b}", "@{s:k}"] {
            assert!(references(text).is_err(), "{text}");
        }
        assert_eq!(references("$$1 $$ $$$").unwrap(), "$1 $ $$");
    }

    #[test]
    fn references_are_those_that_telegraf_replaces() {
        for (text, becomes) in [
            ("$A-${B}", "${A}-${B}"),
            ("${A:-b}${E:?no}", "${A:-b}${E}"),
            ("p$$w0rd$", "p$w0rd$"),
            ("$${A}", "$${A}"),
            ("${A B}${}", "$${A B}$${}"),
        ] {
            assert_eq!(references(text).unwrap(), becomes, "{text}");
        }
        assert!(references("${A:+b}").is_err());
    }
}
