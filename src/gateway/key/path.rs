//! Grouping keys in the paths of URLs.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::{Key, KeyError};
use crate::encode::pushed::escape_name;
use crate::percent;

impl Key {
    /// The path of the group relative to a gateway's URL; see [`path_of`].
    pub fn path(&self) -> String {
        path_of(self.job(), self.labels().filter(|(name, _)| *name != "job"))
    }

    /// Whether a path segment is the first one of a key.
    pub fn begins_with(part: &str) -> bool {
        name_and_encoding(part).0 == "job"
    }

    /// Parses the part of a request's path after `/metrics/`. The path is split before it is percent-decoded, so that `%2F`
    /// is part of a value. Empty segments are ignored, except for an empty value at the end.
    ///
    /// # Errors
    /// The invalid part of the path.
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
        // The job at the start of the path takes precedence over a label `job`.
        labels.retain(|(name, _)| name != "job");
        labels.push(("job".to_owned(), job));
        Key::new(labels)
    }
}

/// The path of a group relative to a gateway's URL, also valid for Pushgateway. Values are in base64 if clients or proxies
/// could change them: empty ones, those with a slash, and `.` and `..`, which are removed even when percent-encoded (RFC 3986,
/// section 5.2.4).
pub fn path_of<'l>(job: &str, labels: impl Iterator<Item = (&'l str, &'l str)>) -> String {
    let mut path = String::from("metrics");
    let mut push = |name: &str, value: &str| {
        // A name that is not plain is escaped.
        let is_verbatim = is_plain_name(name) && unescape_name(name).is_none();
        let escaped = if is_verbatim { name.to_owned() } else { escape_name(name) };
        let name = escaped.as_str();
        if value.is_empty() {
            path.extend(["/", name, "@base64/="]);
        } else if value.contains('/') || matches!(value, "." | "..") {
            path.extend(["/", name, "@base64/", &URL_SAFE_NO_PAD.encode(value)]);
        } else {
            path.extend(["/", name, "/"]);
            percent::encode(value, &mut path);
        }
    };
    push("job", job);
    labels.for_each(|(name, value)| push(name, value));
    path
}

/// A label name without the suffix `@base64`, and whether it has that. Some clients percent-encode the `@`.
fn name_and_encoding(part: &str) -> (String, bool) {
    let name = percent::decode_text(part);
    match name.strip_suffix("@base64") {
        Some(stem) => (stem.to_owned(), true),
        None => (name, false),
    }
}

fn decode_value(what: &str, text: &str, is_base64: bool) -> Result<String, KeyError> {
    let invalid = |expected| KeyError::Value { what: what.to_owned(), expected, value: text.to_owned() };
    let decoded = percent::decode(text).ok_or_else(|| invalid("percent-encoded as URLs are"))?;
    let bytes = if is_base64 { decode_base64(what, &decoded)? } else { decoded };
    String::from_utf8(bytes).map_err(|_| invalid("UTF-8"))
}

/// RFC 4648, section 5, with any padding or none. A lone `=` is an empty value, which a path cannot contain otherwise.
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

/// Unescapes a name: the prefix `U__`, then `__` for an underscore and `_HEX_` for a character. None if the name is not a
/// valid escape; such a name is used as it is.
pub(in crate::gateway) fn unescape_name(name: &str) -> Option<String> {
    const MAX_DIGITS: usize = 5;
    let mut rest = name.strip_prefix("U__")?;
    let mut unescaped = String::with_capacity(rest.len());
    while let Some(at) = rest.find('_') {
        unescaped.push_str(&rest[..at]);
        let (escape, after) = rest[at + 1..].split_once('_')?;
        match escape {
            "" => unescaped.push('_'),
            hex if hex.len() > MAX_DIGITS || hex.starts_with('+') => return None,
            hex => unescaped.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?),
        }
        rest = after;
    }
    unescaped.push_str(rest);
    Some(unescaped)
}

/// Whether a label name is valid without escaping.
fn is_plain_name(name: &str) -> bool {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let starts_well = !name.starts_with("__") && !name.starts_with(|first: char| first.is_ascii_digit());
    !name.is_empty() && is_plain && starts_well
}

/// Whether an unescaped label name is valid.
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
            let made = key.path();
            assert_eq!(Key::from_path(made.strip_prefix("metrics/").unwrap()), Ok(key), "{made}");
            // URL parsers do not change it.
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
