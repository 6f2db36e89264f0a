//! Hides secrets of a configuration in messages.

use std::ops::Range;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Url;

use super::value::{Node, Table, Value};
use crate::percent;

/// Replaces a secret.
const HIDDEN: &str = "[secret]";
/// Replaces a value that a message is not about.
const OMITTED: &str = "…";

/// Names that contain one of these are secret, known or not: a name may be misspelt or user-defined.
const SECRET_NAMES: &[&str] = &[
    "access_key",
    "api_key",
    "apikey",
    "authorization",
    "bearer",
    "cookie",
    "credential",
    "passphrase",
    "passw",
    "private_key",
    "pwd",
    "secret",
    "token",
];
/// Whole names that are secret.
const SECRET_WORDS: &[&str] = &["auth", "basic_auth", "key", "pass"];
/// Tables whose values are all secrets.
const SECRET_TABLES: &[&str] = &["basic_auth_users", "headers", "users"];
/// The table of response headers, which are public.
const OF_RESPONSES: &str = "http_server_config";

/// The positions of a source's values.
#[derive(Clone, Debug, Default)]
pub(super) struct Leaves(Vec<Leaf>);

#[derive(Clone, Debug)]
struct Leaf {
    span: Range<usize>,
    /// Whether it is hidden.
    is_hidden: bool,
    /// Whether all of it is secret, or expanded from a reference.
    is_secret: bool,
}

/// Secrets and their parts, in every form in which a server may echo them in a message.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Whether a setting of this name is secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let is_file = name.ends_with("_file") || name.ends_with("_path");
    let is_secret = SECRET_WORDS.contains(&name.as_str()) || SECRET_NAMES.iter().any(|part| name.contains(part));
    is_secret && !is_file
}

/// Whether a string, with its quotes, is only a reference to a variable, file or credential.
pub(super) fn is_reference(raw: &str) -> bool {
    let inner = raw.trim_matches(['"', '\'']).strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    inner.is_some_and(|name| !name.contains([':', '$', '{', '}']) || is_named(name))
}

fn is_named(reference: &str) -> bool {
    let name = reference.strip_prefix("file:").or_else(|| reference.strip_prefix("credential:"));
    name.is_some_and(|name| !name.contains(['$', '{', '}']))
}

/// A walk through all values of a source.
pub(super) struct Walk<'w> {
    /// The text of the source.
    pub(super) text: &'w str,
    pub(super) leaves: &'w mut Leaves,
    pub(super) secrets: &'w mut Secrets,
}

impl Walk<'_> {
    /// Visits all values of `table`, whose name is `of`.
    pub(super) fn table(&mut self, table: &Table, of: &str, is_secret: bool) {
        for (name, (_, node)) in table {
            let is_table = SECRET_TABLES.contains(&name.as_str()) && of != OF_RESPONSES;
            // In a list of tables, the names inside decide.
            let is_list = matches!(&node.value, Value::Array(nodes) if nodes.iter().any(is_table_node));
            let is_named_secret = is_secret_name(name) && !is_path_of_credentials(of, name, &node.value);
            self.node(node, name, is_secret || is_named_secret || (is_table && !is_list));
        }
    }

    fn node(&mut self, node: &Node, name: &str, is_secret: bool) {
        match &node.value {
            Value::Table(table) => self.table(table, name, is_secret),
            Value::Array(nodes) => nodes.iter().for_each(|node| self.node(node, name, is_secret)),
            _ => self.leaf(node, is_secret),
        }
    }

    fn leaf(&mut self, node: &Node, is_secret: bool) {
        let span = node.position.span.clone();
        let raw = self.text.get(span.clone()).unwrap_or_default();
        let parts = self.secrets.0.len();
        let is_whole = is_secret || raw.contains("${") || raw.contains("PRIVATE KEY");
        match &node.value {
            Value::String(text) if is_whole => {
                self.secrets.add(text);
                self.secrets.add_parts_of_url(text);
                text.lines().for_each(|line| self.secrets.add(line));
            }
            Value::String(text) => self.secrets.add_parts_of_url(text),
            Value::Integer(_) | Value::Float(_) if is_secret => self.secrets.add(raw),
            _ => {}
        }
        let is_hidden = (is_whole || self.secrets.0.len() > parts) && !is_reference(raw);
        self.leaves.0.push(Leaf { span, is_hidden, is_secret: is_whole });
    }
}

/// Whether it is `[nats] credentials`, which names a file. Other credentials, and what belongs into that file, are secret.
fn is_path_of_credentials(of: &str, name: &str, value: &Value) -> bool {
    let is_path = matches!(value, Value::String(text) if text.starts_with('/') && !text.contains('\n'));
    (of, name) == ("nats", "credentials") && is_path
}

fn is_table_node(node: &Node) -> bool {
    matches!(node.value, Value::Table(_))
}

impl Secrets {
    /// Adds a secret.
    pub fn add(&mut self, secret: &str) {
        let secret = secret.trim();
        if secret.is_empty() {
            return;
        }
        self.0.push(secret.to_owned());
        // Its form in a URL.
        let (decoded, mut encoded) = (percent::decode_text(secret), String::new());
        percent::encode(secret, &mut encoded);
        // Its form in a one-line message.
        let blanked = secret.replace(char::is_control, " ");
        self.0.extend([decoded, encoded, blanked].into_iter().filter(|form| form != secret));
    }

    /// Adds a password, and the user's header of basic authentication.
    pub fn add_user(&mut self, name: &str, password: &str) {
        self.add(password);
        self.add(&BASE64_STANDARD.encode(format!("{name}:{password}")));
    }

    /// Adds a header's value, and the credentials after the scheme of `Authorization`.
    pub fn add_header(&mut self, value: &str) {
        self.add(value);
        if let Some((_, credentials)) = value.split_once(' ') {
            self.add(credentials);
        }
    }

    /// Adds the user information and the query of a URL, valid or not.
    pub fn add_parts_of_url(&mut self, text: &str) {
        let rest = text.split_once("://").map(|(_, rest)| rest);
        if let Some((user, _)) = rest.unwrap_or(text).rsplit_once('@')
            && (rest.is_some() || user.contains(':'))
        {
            self.add(user);
            user.split(':').for_each(|part| self.add(part));
            self.add(&BASE64_STANDARD.encode(percent::decode_text(user)));
        }
        if let Some((before, query)) = text.split_once('?')
            && (before.contains('/') && (rest.is_some() || query.contains('=')))
        {
            self.add(query);
            for pair in query.split(['&', '#']) {
                match pair.split_once('=') {
                    // Other messages contain such a value by chance, such as a digit of an address.
                    Some((name, value)) if value.len() < LONG && !is_secret_name(name) => self.add(pair),
                    Some((_, value)) => self.add(value),
                    None => {}
                }
            }
        }
    }

    /// Hides them in a message, also a secret truncated at its end.
    pub fn hide(&self, message: &str) -> String {
        let mut secrets: Vec<&String> = self.0.iter().collect();
        // The longest first, as shorter ones are parts of them.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let mut message = message.to_owned();
        for secret in secrets {
            hide(&mut message, secret);
            let escaped = secret.escape_debug().to_string();
            if escaped != *secret {
                hide(&mut message, &escaped);
            }
        }
        self.0.iter().for_each(|secret| hide_start(&mut message, secret));
        message
    }
}

/// Removes the found value from a message about a secret.
pub(super) fn without_what_was_found(message: &str) -> String {
    const FOUND: &str = ", found ";
    let is_value = |found: &str| {
        let found = found.trim_start_matches("the ");
        found.starts_with(['"', '-']) || found.starts_with(|c: char| c.is_ascii_digit()) || {
            ["string ", "integer ", "number "].iter().any(|kind| found.starts_with(kind))
        }
    };
    match message.find(FOUND).map(|at| message.split_at(at + FOUND.len())) {
        Some((expected, found)) if is_value(found) => format!("{expected}something else"),
        _ => message.to_owned(),
    }
}

/// A shorter secret is hidden only as a whole word in quotes. Elsewhere, the hidden words of a known message would reveal
/// it.
const LONG: usize = 4;

/// Hides the start of a secret at the end of a truncated message.
fn hide_start(message: &mut String, secret: &str) {
    let starts = secret.char_indices().map(|(at, _)| &secret[..at]).rev();
    if let Some(start) = starts.take_while(|start| start.len() > LONG).find(|start| message.ends_with(start)) {
        message.truncate(message.len() - start.len());
        message.push_str(HIDDEN);
    }
}

/// Hides a secret, ignoring case: some messages are in lower case.
fn hide(message: &mut String, secret: &str) {
    let (mut from, secret) = (0, secret.to_ascii_lowercase());
    while let Some(at) = message[from..].to_ascii_lowercase().find(&secret).map(|at| at + from) {
        let end = at + secret.len();
        let is_of_a_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        let is_digit = |text: &str, at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
        // A part of a number or an IP address.
        let is_of_a_number = message[..at].ends_with('.') && at > 1 && is_digit(message, at - 2)
            || message[end..].starts_with('.') && is_digit(message, end + 1);
        let is_within_a_word =
            is_of_a_number || message[..at].ends_with(is_of_a_word) || message[end..].starts_with(is_of_a_word);
        if secret.len() < LONG && (is_within_a_word || !is_quoted(&message[..at])) {
            from = end;
            continue;
        }
        message.replace_range(at..end, HIDDEN);
        from = at + HIDDEN.len();
    }
}

/// Whether the text after `before` is in quotes.
fn is_quoted(before: &str) -> bool {
    before.replace("\\\"", "").matches('"').count() % 2 == 1
}

/// An excerpt of a source that can be shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) text: String,
    /// Characters before the marked range, and its length.
    pub(super) skip: usize,
    pub(super) width: usize,
}

impl Leaves {
    /// Whether this range of the source has a secret.
    pub(super) fn has_secret_in(&self, part: &Range<usize>) -> bool {
        self.0.iter().any(|leaf| leaf.is_secret && part.start <= leaf.span.start && leaf.span.end <= part.end)
    }

    /// The range `shown` of `text`. Secrets are hidden, and values outside `marked` are omitted.
    pub(super) fn show(&self, text: &str, shown: Range<usize>, marked: &Range<usize>) -> Shown {
        let mut leaves: Vec<&Leaf> =
            self.0.iter().filter(|leaf| leaf.span.start < shown.end && leaf.span.end > shown.start).collect();
        leaves.sort_by_key(|leaf| leaf.span.start);
        let (mut out, mut at, mut skip) = (String::new(), shown.start, None);
        for leaf in leaves {
            let is_marked = marked.start <= leaf.span.start && leaf.span.end <= marked.end;
            if is_marked && !leaf.is_hidden || leaf.span.start < at {
                continue;
            }
            let start = leaf.span.start.max(shown.start);
            copy(text, at..start, marked.start, &mut skip, &mut out);
            if start >= marked.start {
                skip.get_or_insert(out.chars().count());
            }
            out.push_str(if leaf.is_hidden { HIDDEN } else { OMITTED });
            at = leaf.span.end.min(shown.end);
        }
        copy(text, at..shown.end, marked.start, &mut skip, &mut out);
        let all = out.chars().count();
        let skip = skip.unwrap_or(all);
        Shown { text: out, skip, width: (all - skip).max(1) }
    }
}

/// Copies a range, and records where the mark starts in the copy.
fn copy(text: &str, part: Range<usize>, mark: usize, skip: &mut Option<usize>, out: &mut String) {
    if skip.is_none() && part.contains(&mark) {
        out.push_str(text.get(part.start..mark).unwrap_or_default());
        *skip = Some(out.chars().count());
        out.push_str(text.get(mark..part.end).unwrap_or_default());
    } else {
        out.push_str(text.get(part).unwrap_or_default());
    }
}

/// Whether a URL has a user name or a password. They would end up in the log.
pub fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_hold_secrets_are_known_by_their_names() {
        for name in ["password", "Passwd", "api-key", "token_sha256", "aws_secret_access_key", "Authorization", "key"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["password_file", "urls", "tls_key", "client_auth", "author", "database", "keys"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn secrets_are_hidden_in_messages_and_nothing_else_is() {
        let mut secrets = Secrets::default();
        for secret in ["x", "hunter2", "a \"b\""] {
            secrets.add(secret);
        }
        secrets.add_parts_of_url("http://user:p@ss@127.0.0.1/?q=12345&r=max");
        let hidden = |message: &str| secrets.hide(message);
        assert_eq!(hidden("InfluxDB 1.x: found \"x\", HUNTER2"), "InfluxDB 1.x: found \"[secret]\", [secret]");
        assert_eq!(hidden("found \"x-b\""), "found \"x-b\"");
        assert_eq!(hidden("found \"a \\\"b\\\"\""), "found \"[secret]\"");
        assert_eq!(hidden("\"http://user:p@ss@h\" 12345 maximum"), "\"http://[secret]@h\" [secret] maximum");
    }

    #[test]
    fn a_short_value_of_a_query_is_hidden_in_its_url_only() {
        let mut secrets = Secrets::default();
        secrets.add_parts_of_url("http://127.0.0.1:9104/metrics?x=1&token=7&long=abcdef");
        let hidden = |message: &str| secrets.hide(message);
        assert_eq!(hidden("\"127.0.0.1:9105\": expected http"), "\"127.0.0.1:9105\": expected http");
        assert_eq!(hidden("found \"1\", \"1.7\", \"10.0.0.7:1\""), "found \"1\", \"1.7\", \"10.0.0.7:1\"");
        assert_eq!(hidden("\"http://h/?x=1&y=2\""), "\"http://h/?[secret]&y=2\"");
        assert_eq!(hidden("\"/metrics?x=1&token=7&long=abcdef\""), "\"/metrics?[secret]\"");
        assert_eq!(hidden("the token \"7\" of abcdef"), "the token \"[secret]\" of [secret]");
    }

    #[test]
    fn a_secret_is_hidden_in_every_form_in_which_a_server_may_say_it_back() {
        let mut secrets = Secrets::default();
        secrets.add("to/ken 1");
        secrets.add("tab\tken");
        secrets.add_user("ann", "p@ss word");
        secrets.add_header("Bearer abcdef");
        secrets.add_parts_of_url("https://bob:s%40fe@host/write?key=query%2Fsecret&a=b");
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        for said in [
            "to/ken 1",
            "tab ken",
            "to%2Fken%201",
            "TO%2FKEN%201",
            "p@ss word",
            "p%40ss%20word",
            &basic("ann:p@ss word"),
            "Bearer abcdef",
            "<p>abcdef</p>",
            &basic("bob:s@fe"),
            "s%40fe",
            "s@fe",
            "query/secret",
            "?key=query%2Fsecret&a=b",
            "cut off: query%2Fsec",
        ] {
            let hidden = secrets.hide(said).to_ascii_lowercase();
            let parts = ["ken", "word", "abcdef", "fe", "query", "sec%", "W5u", "Ym9i"];
            let rest = hidden.replace(HIDDEN, "");
            assert!(hidden.contains(HIDDEN) && !parts.iter().any(|part| rest.contains(part)), "{said}: {hidden}");
        }
    }

    #[test]
    fn a_reference_alone_is_no_secret() {
        for raw in ["\"${TOKEN}\"", "'${file:/run/token}'", "\"${credential:token}\""] {
            assert!(is_reference(raw), "{raw}");
        }
        for raw in ["\"${TOKEN:-x}\"", "\"x${TOKEN}\"", "\"${A}${B}\"", "\"TOKEN\"", "\"${a:b}\""] {
            assert!(!is_reference(raw), "{raw}");
        }
    }

    #[test]
    fn of_a_line_only_what_is_marked_is_shown_and_no_secret() {
        let text = "s = { password = 'p', colour = 'red', size = 5 }";
        let leaf = |value: &str, is_secret| {
            let start = text.find(value).unwrap();
            Leaf { span: start..start + value.len(), is_hidden: is_secret, is_secret }
        };
        let leaves = Leaves(vec![leaf("'p'", true), leaf("'red'", false), leaf("5", false)]);
        let shown = |marked: Range<usize>| leaves.show(text, 0..marked.end, &marked);
        let at = text.find("5").unwrap();
        let size = shown(at..at + 1);
        assert_eq!(size.text, "s = { password = [secret], colour = …, size = 5");
        assert_eq!((size.skip, size.width), (46, 1));
        let table = shown(4..text.len());
        assert_eq!(table.text, "s = { password = [secret], colour = 'red', size = 5 }");
        assert_eq!((table.skip, table.width), (4, 49));
    }
}
