//! Grouping keys: whose a push is, by the path of its URL.

use std::cmp::Ordering;
use std::fmt::{self, Write};
use std::sync::Arc;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::encode::pushed::escape_name;

/// The labels that all series of a group carry: `job`, which is never empty, and others, in the order of their names.
/// A label with an empty value is none.
///
/// There may be a hundred thousand, each in several lists: a key is one shared text, `LENGTH:LENGTH:NAMEVALUE` for each
/// label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(Arc<str>);

/// The labels of a key, in order.
#[derive(Clone, Debug)]
pub struct Labels<'k>(&'k str);

impl<'k> Iterator for Labels<'k> {
    type Item = (&'k str, &'k str);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = length(self.0)?;
        let (value, rest) = length(rest)?;
        let (name, rest) = rest.split_at_checked(name)?;
        let (value, rest) = rest.split_at_checked(value)?;
        self.0 = rest;
        Some((name, value))
    }
}

/// The number before a colon, and what follows that.
fn length(text: &str) -> Option<(usize, &str)> {
    let mut number = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'0'..=b'9' => number = number * 10 + usize::from(byte - b'0'),
            _ => return Some((number, text.get(at + 1..)?)),
        }
    }
    None
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.labels().cmp(other.labels())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Why a path names no group; the words are Pushgateway's where it has any.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no job, or an empty one.
    #[error("job name is required")]
    NoJob,
    /// A label without a value.
    #[error("odd number of components in label string \"{0}\"")]
    Odd(String),
    /// A name that no label can have.
    #[error("improper label name {0:?}")]
    Name(String),
    /// A value that is not what `@base64` says.
    #[error("invalid base64 encoding {what}{value:?}: {reason}")]
    Base64 {
        /// Where: in the job name, or for which label.
        what: String,
        /// What stands there.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A `%` that two hexadecimal digits do not follow, or bytes that are no UTF-8.
    #[error("the value of {what} is not {expected}: {value:?}")]
    Value {
        /// The job name, or which label.
        what: String,
        /// What it should be.
        expected: &'static str,
        /// What stands there.
        value: String,
    },
}

impl Key {
    /// The key of these labels; those that are empty are left out.
    ///
    /// # Errors
    /// [`KeyError::NoJob`] if `job` is not among them.
    pub fn new(labels: impl IntoIterator<Item = (String, String)>) -> Result<Key, KeyError> {
        let mut labels: Vec<_> = labels.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        labels.sort_unstable();
        let mut text = String::with_capacity(labels.iter().map(|(name, value)| name.len() + value.len() + 8).sum());
        for (name, value) in &labels {
            let _ = write!(text, "{}:{}:{name}{value}", name.len(), value.len());
        }
        let key = Key(text.into());
        if key.job().is_empty() { Err(KeyError::NoJob) } else { Ok(key) }
    }

    /// Whether a part of a path is the one that a key begins with.
    pub fn begins_with(part: &str) -> bool {
        name_and_encoding(part).0 == "job"
    }

    /// The key in what follows `/metrics/` in a path as it stands in the request: the path is divided before it is
    /// decoded, so that `%2F` is part of a value. Empty parts are passed over, but for an empty value at the end.
    ///
    /// # Errors
    /// What is wrong with the path.
    pub fn from_path(path: &str) -> Result<Key, KeyError> {
        let mut parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if path.ends_with('/') && parts.len() % 2 == 1 && parts.len() > 1 {
            parts.push("");
        }
        let mut labels: Vec<(String, String)> = Vec::with_capacity(parts.len() / 2);
        let Some((first, rest)) = parts.split_first() else { return Err(KeyError::NoJob) };
        let (_, job_is_base64) = name_and_encoding(first);
        let Some((job, rest)) = rest.split_first() else { return Err(KeyError::NoJob) };
        let job = decode_value("job name", job, job_is_base64)?;
        if rest.len() % 2 == 1 {
            return Err(KeyError::Odd(format!("/{}", rest.join("/"))));
        }
        for pair in rest.chunks_exact(2) {
            let (name, is_base64) = name_and_encoding(pair[0]);
            let name = match unescape_name(&name) {
                Some(unescaped) if is_utf8_name(&unescaped) => unescaped,
                _ if is_plain_name(&name) => name,
                _ => return Err(KeyError::Name(name)),
            };
            let value = decode_value(&format!("label {name}"), pair[1], is_base64)?;
            match labels.iter_mut().find(|(known, _)| *known == name) {
                Some((_, earlier)) => *earlier = value,
                None => labels.push((name, value)),
            }
        }
        // The job that the path begins with is the job, whatever labels say.
        labels.retain(|(name, _)| name != "job");
        labels.push(("job".to_owned(), job));
        Key::new(labels)
    }

    /// The labels, in order, none of them empty.
    pub fn labels(&self) -> Labels<'_> {
        Labels(&self.0)
    }

    /// The bytes of its text.
    pub fn length(&self) -> usize {
        self.0.len()
    }

    /// The value of a label; empty if the key does not have it.
    pub fn get(&self, name: &str) -> &str {
        self.labels().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// The job.
    pub fn job(&self) -> &str {
        self.get("job")
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.labels().enumerate() {
            let separator = if index > 0 { "," } else { "" };
            write!(f, "{separator}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

/// The path of a group below a gateway's URL, as Pushgateway reads it too. In base64 is what would not arrive as it is: what
/// has a slash or is empty, and `.` and `..`, which clients and proxies take for steps (RFC 3986, section 5.2.4), also
/// where they are percent-encoded.
pub fn path_of<'l>(job: &str, labels: impl Iterator<Item = (&'l str, &'l str)>) -> String {
    let mut path = String::from("metrics");
    let mut push = |name: &str, value: &str| {
        // A name that is not plain is escaped, as it was when it came.
        let stands_for_itself = is_plain_name(name) && unescape_name(name).is_none();
        let escaped = if stands_for_itself { name.to_owned() } else { escape_name(name) };
        let name = escaped.as_str();
        if value.is_empty() {
            path.extend(["/", name, "@base64/="]);
        } else if value.contains('/') || matches!(value, "." | "..") {
            path.extend(["/", name, "@base64/", &URL_SAFE_NO_PAD.encode(value)]);
        } else {
            path.extend(["/", name, "/"]);
            value.bytes().for_each(|byte| push_percent_encoded(&mut path, byte));
        }
    };
    push("job", job);
    labels.for_each(|(name, value)| push(name, value));
    path
}

fn push_percent_encoded(path: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        path.push(char::from(byte));
    } else {
        path.push_str(&format!("%{byte:02X}"));
    }
}

/// A label name without the suffix that says that its value is in base64. Some clients percent-encode the `@`.
fn name_and_encoding(part: &str) -> (String, bool) {
    let decoded = percent_decode(part).and_then(|bytes| String::from_utf8(bytes).ok());
    let name = decoded.unwrap_or_else(|| part.to_owned());
    match name.strip_suffix("@base64") {
        Some(stem) => (stem.to_owned(), true),
        None => (name, false),
    }
}

fn decode_value(what: &str, text: &str, is_base64: bool) -> Result<String, KeyError> {
    let wrong = |expected| KeyError::Value { what: what.to_owned(), expected, value: text.to_owned() };
    let decoded = percent_decode(text).ok_or_else(|| wrong("percent-encoded as URLs are"))?;
    let bytes = if is_base64 { decode_base64(what, &decoded)? } else { decoded };
    String::from_utf8(bytes).map_err(|_| wrong("UTF-8"))
}

/// RFC 4648, section 5, with any padding or none; a lone `=` is an empty value, which a path cannot hold otherwise.
fn decode_base64(what: &str, text: &[u8]) -> Result<Vec<u8>, KeyError> {
    const ANY_PADDING: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true);
    const ENGINE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, ANY_PADDING);
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    ENGINE.decode(&text[..end]).map_err(|error| KeyError::Base64 {
        what: match what.strip_prefix("label ") {
            Some(label) => format!("for label {label}="),
            None => format!("in {what} "),
        },
        value: String::from_utf8_lossy(text).into_owned(),
        reason: error.to_string().to_lowercase(),
    })
}

/// RFC 3986, section 2.1; a plus is a plus.
fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            decoded.push(u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?);
            rest = &after[2..];
        } else {
            decoded.push(first);
            rest = after;
        }
    }
    Some(decoded)
}

/// A name that `U__` and escapes stand for: `__` for an underscore, `_HEX_` for a character. Nothing if it is not escaped
/// soundly, for then it is a name as it stands.
fn unescape_name(name: &str) -> Option<String> {
    const MOST_DIGITS: usize = 5;
    let mut rest = name.strip_prefix("U__")?;
    let mut unescaped = String::with_capacity(rest.len());
    while let Some(at) = rest.find('_') {
        unescaped.push_str(&rest[..at]);
        let (escape, after) = rest[at + 1..].split_once('_')?;
        match escape {
            "" => unescaped.push('_'),
            hex if hex.len() > MOST_DIGITS || hex.starts_with('+') => return None,
            hex => unescaped.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?),
        }
        rest = after;
    }
    unescaped.push_str(rest);
    Some(unescaped)
}

/// Whether a label may be called so as it stands in the path.
fn is_plain_name(name: &str) -> bool {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let starts_well = !name.starts_with("__") && !name.starts_with(|first: char| first.is_ascii_digit());
    !name.is_empty() && is_plain && starts_well
}

/// Whether a label may be called so once it was unescaped.
fn is_utf8_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with("__") && !name.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> String {
        Key::from_path(path).map_or_else(|error| error.to_string(), |key| key.to_string())
    }

    #[test]
    fn paths_are_keys() {
        let cases = [
            ("job/foo", r#"{job="foo"}"#),
            ("job/foo/", r#"{job="foo"}"#),
            ("/job//foo", r#"{job="foo"}"#),
            ("job/foo/l/", r#"{job="foo"}"#),
            ("job/foo/instance/a", r#"{instance="a",job="foo"}"#),
            ("job/foo/z/1/a/2", r#"{a="2",job="foo",z="1"}"#),
            ("job/a%2Fb/l/c%2Fd", r#"{job="a/b",l="c/d"}"#),
            ("job/sp%20ace+plus", r#"{job="sp ace+plus"}"#),
            ("job/foo/job/bar", r#"{job="foo"}"#),
            ("job/foo/l/1/l/2", r#"{job="foo",l="2"}"#),
            ("job/../l/.", r#"{job="..",l="."}"#),
            ("job/%2e%2E/l/%2e", r#"{job="..",l="."}"#),
            ("job/x/l/%252e%252e", r#"{job="x",l="%2e%2e"}"#),
            ("job@base64/Li4/l@base64/Lg", r#"{job="..",l="."}"#),
            ("job%40base64/Li4/l%40base64/Lg", r#"{job="..",l="."}"#),
            ("job/x/l/Li4", r#"{job="x",l="Li4"}"#),
            ("job@base64/Zm9v", r#"{job="foo"}"#),
            ("job@base64/Zm8=", r#"{job="fo"}"#),
            ("job@base64/Zm8=====", r#"{job="fo"}"#),
            ("job@base64/Zm8", r#"{job="fo"}"#),
            ("job/x/path@base64/L3Zhci90bXA", r#"{job="x",path="/var/tmp"}"#),
            ("job/x/instance@base64/=", r#"{job="x"}"#),
            ("job/x/U__label_2e_name/v", r#"{job="x",label.name="v"}"#),
            ("job/x/U__in_xxx_valid/v", r#"{U__in_xxx_valid="v",job="x"}"#),
            ("job/%E2%98%83", r#"{job="☃"}"#),
        ];
        for (path, key) in cases {
            assert_eq!(read(path), key, "{path}");
        }
    }

    #[test]
    fn keys_are_in_the_order_of_their_labels() {
        let key = |path: &str| Key::from_path(path).unwrap();
        assert!(key("job/b/a/1") < key("job/a"), "the label a comes first");
        assert!(key("job/a9") < key("job/b"));
        assert!(key("job/a") < key("job/a/z/1"));
        assert_eq!(key("job/1:2:a/b/3:").get("b"), "3:");
    }

    #[test]
    fn a_path_that_is_no_key_says_why() {
        let cases = [
            ("job", "job name is required"),
            ("job/", "job name is required"),
            ("job@base64/=", "job name is required"),
            ("job/a/b", "odd number of components in label string \"/b\""),
            ("job/a/a-b/c", "improper label name \"a-b\""),
            ("job/a/1a/c", "improper label name \"1a\""),
            ("job/a/__b/c", "improper label name \"__b\""),
            ("job/%zz", "the value of job name is not percent-encoded as URLs are: \"%zz\""),
            ("job/a/l/%ff", "the value of label l is not UTF-8: \"%ff\""),
            ("job@base64/_-_-", "the value of job name is not UTF-8: \"_-_-\""),
        ];
        for (path, error) in cases {
            assert_eq!(read(path), error, "{path}");
        }
        assert!(read("job/x/l@base64/!!").starts_with("invalid base64 encoding for label l=\"!!\": invalid symbol"));
    }

    #[test]
    fn a_path_is_read_as_the_key_that_it_was_made_of() {
        for path in [
            "job/x%2Fy/host/a%20b+c/umlaut/%C3%BC%25",
            "job/x/path@base64/L3Zhci90bXA",
            "job/x/U__a_2e_b/c",
            "job/x/U__U____c/d",
            "job/../l/.",
            "job/%2e%2e/l/%2E",
            "job/x/l/...",
            "job/x/l/%252e%252e",
            "job/x/l/Li4",
            "job/x/l/Li4=",
            "job/x/l/=",
            "job/x/U__l_40_base64/Li4",
            "job@base64/Li4/l@base64/Lg",
            "job/x/l/%5C..%5C/m/..%3B/n/%3F/o/%23",
        ] {
            let key = Key::from_path(path).unwrap();
            let labels = key.labels().filter(|(name, _)| *name != "job");
            let made = path_of(key.job(), labels);
            assert_eq!(Key::from_path(made.strip_prefix("metrics/").unwrap()), Ok(key), "{made}");
            // No client makes another path of it.
            let url = reqwest::Url::parse(&format!("http://a/{made}")).unwrap();
            assert_eq!(url.path(), format!("/{made}"));
        }
        assert_eq!(path_of("a", [("l", "")].into_iter()), "metrics/job/a/l@base64/=");
        let dots = [("l", ".."), ("m", "."), ("n", "..."), ("o", "%2e%2e"), ("p", "Li4")];
        let path = "metrics/job@base64/Li4/l@base64/Li4/m@base64/Lg/n/.../o/%252e%252e/p/Li4";
        assert_eq!(path_of("..", dots.into_iter()), path);
    }

    #[test]
    fn names_are_unescaped_or_left_as_they_are() {
        let cases = [
            ("U__foo_2e_bar", Some("foo.bar")),
            ("U___82b1__706b_", Some("花火")),
            ("U___55_____", Some("U__")),
            ("U__in_xxx_valid", None),
            ("U__in_110000_valid", None),
            ("plain", None),
        ];
        for (name, unescaped) in cases {
            assert_eq!(unescape_name(name).as_deref(), unescaped, "{name}");
        }
    }
}
