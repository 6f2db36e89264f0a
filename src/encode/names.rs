//! Names of metrics and labels: which are valid in text 0.0.4, and how the others are escaped.
//!
//! The schemes are those of prometheus/common's `model.EscapeName`. None of them changes a valid name.

use std::fmt::Write;

/// The escaping scheme for names that are invalid in text 0.0.4: the parameter `escaping` of a scraper's `Accept`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
    /// Unescaped; text quotes them.
    AllowUtf8,
    /// Invalid characters become `_`.
    Underscores,
    /// A dot becomes `_dot_`, and `_` and other invalid characters become `__`.
    Dots,
    /// `U__`, and the code points of invalid characters. Unambiguous. The default if a scraper names none.
    #[default]
    Values,
}

impl Escaping {
    /// The schemes by their names in `Accept` and `Content-Type`.
    pub const NAMES: [(&'static str, Escaping); 4] = [
        ("allow-utf-8", Escaping::AllowUtf8),
        ("underscores", Escaping::Underscores),
        ("dots", Escaping::Dots),
        ("values", Escaping::Values),
    ];

    /// The scheme of this name.
    pub fn named(name: &str) -> Option<Escaping> {
        Escaping::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, escaping)| escaping)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Escaping::NAMES.into_iter().find(|(_, escaping)| *escaping == self).map_or("", |(name, _)| name)
    }

    /// Whether two names may be escaped to the same one.
    pub fn is_lossy(self) -> bool {
        matches!(self, Escaping::Underscores | Escaping::Dots)
    }

    /// Appends the name of a metric, escaped if it is invalid.
    pub fn push_metric_name(self, out: &mut String, name: &str) {
        if is_plain_metric_name(name) {
            out.push_str(name);
        } else {
            self.push(out, name, |character| character == ':');
        }
    }

    /// Appends the name of a metric escaped by [`Escaping::Values`], even if it is valid.
    pub(super) fn push_escaped(out: &mut String, name: &str) {
        Escaping::Values.push(out, name, |character| character == ':');
    }

    /// Appends the name of a label, escaped if it is invalid.
    pub fn push_label_name(self, out: &mut String, name: &str) {
        if is_plain_label_name(name) {
            out.push_str(name);
        } else {
            self.push(out, name, |_| false);
        }
    }

    /// Escapes a name, even if it is valid.
    fn push(self, out: &mut String, name: &str, fits_too: impl Fn(char) -> bool) {
        if self == Escaping::AllowUtf8 {
            return out.push_str(name);
        }
        if self == Escaping::Values {
            out.push_str("U__");
        }
        for (index, character) in name.chars().enumerate() {
            let fits = character.is_ascii_alphabetic()
                || fits_too(character)
                || (character.is_ascii_digit() && index > 0)
                || (character == '_' && self == Escaping::Underscores);
            match (self, character) {
                _ if fits => out.push(character),
                (Escaping::Underscores, _) => out.push('_'),
                (Escaping::Dots, '.') => out.push_str("_dot_"),
                (Escaping::Values, other) if other != '_' => drop(write!(out, "_{:x}_", u32::from(other))),
                _ => out.push_str("__"),
            }
        }
    }
}

/// The labels with escaped names, sorted by name. If escaped names collide, valid names win, then the first label.
pub fn escaped_labels<'v>(
    labels: impl Iterator<Item = (&'v str, &'v str)>,
    escaping: Escaping,
) -> Vec<(String, &'v str)> {
    let is_used = |written: &[(String, &str)], name: &str| written.iter().any(|(known, _)| known == name);
    let (plain, others): (Vec<_>, Vec<_>) = labels.partition(|(name, _)| is_plain_label_name(name));
    let mut all: Vec<(String, &str)> = Vec::with_capacity(plain.len() + others.len());
    for (name, value) in plain.into_iter().chain(others) {
        let mut written = String::with_capacity(name.len() + 8);
        escaping.push_label_name(&mut written, name);
        if is_used(&all, &written) && written != *name {
            written.clear();
            Escaping::Values.push_label_name(&mut written, name);
        }
        if !written.is_empty() && !is_used(&all, &written) {
            all.push((written, value));
        }
    }
    all.sort_unstable();
    all
}

/// Whether the name of a metric is valid in text 0.0.4.
pub fn is_plain_metric_name(name: &str) -> bool {
    is_plain(name, |byte| byte == b':')
}

/// Whether the name of a label is valid in text 0.0.4.
pub fn is_plain_label_name(name: &str) -> bool {
    is_plain(name, |_| false)
}

/// Checks the name of a label in settings: one that all servers and formats accept.
///
/// # Errors
/// What was expected.
pub fn check_label_name(name: &str) -> Result<(), &'static str> {
    let expected = "expected the name of a label: letters, digits and underscores, not first a digit";
    if is_plain_label_name(name) { Ok(()) } else { Err(expected) }
}

/// Checks the name of a label that Prometheus 3 may have: any text. Formats without room for it escape it.
///
/// # Errors
/// There is none.
pub fn check_any_label_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() { Err("expected the name of a label, found none") } else { Ok(()) }
}

fn is_plain(name: &str, more: impl Fn(u8) -> bool) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || more(byte);
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_client_golang_does() {
        // From prometheus/common's TestEscapeName.
        let cases = [
            ("no:escaping_required", ["no:escaping_required"; 3]),
            (
                "mysystem.prod.west.cpu.load",
                [
                    "mysystem_prod_west_cpu_load",
                    "mysystem_dot_prod_dot_west_dot_cpu_dot_load",
                    "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load",
                ],
            ),
            ("http.status:sum", ["http_status:sum", "http_dot_status:sum", "U__http_2e_status:sum"]),
            ("label with 😱", ["label_with__", "label__with____", "U__label_20_with_20__1f631_"]),
            ("花火", ["__", "____", "U___82b1__706b_"]),
            ("1st_a.b", ["_st_a_b", "__st__a_dot_b", "U___31_st__a_2e_b"]),
        ];
        for (name, expected) in cases {
            let escaped = [Escaping::Underscores, Escaping::Dots, Escaping::Values].map(|escaping| {
                let mut escaped = String::new();
                escaping.push_metric_name(&mut escaped, name);
                escaped
            });
            assert_eq!(escaped, expected, "{name}");
            assert!(escaped.iter().all(|escaped| is_plain_metric_name(escaped)));
        }
    }

    #[test]
    fn a_label_has_no_colon() {
        for (escaping, expected) in [
            (Escaping::AllowUtf8, "aws:tag"),
            (Escaping::Underscores, "aws_tag"),
            (Escaping::Dots, "aws__tag"),
            (Escaping::Values, "U__aws_3a_tag"),
        ] {
            let mut escaped = String::new();
            escaping.push_label_name(&mut escaped, "aws:tag");
            assert_eq!(escaped, expected);
        }
    }

    #[test]
    fn a_scheme_goes_by_its_name() {
        for (name, escaping) in Escaping::NAMES {
            assert_eq!((Escaping::named(name), escaping.name()), (Some(escaping), name));
        }
        assert_eq!(Escaping::named("none"), None);
    }
}
