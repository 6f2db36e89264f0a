//! Names of metrics and labels: which ones text 0.0.4 has room for, and how the others are written.
//!
//! The schemes are those of prometheus/common's `model.EscapeName`. A name that fits is written as it is by all of them.

use std::fmt::Write;

/// How names are written that text 0.0.4 has no room for: what a scraper asks for as `escaping` in its `Accept`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
    /// As they are; text puts them in quotes.
    AllowUtf8,
    /// What does not fit becomes `_`.
    Underscores,
    /// A dot becomes `_dot_`, `_` is doubled, what else does not fit becomes two of them.
    Dots,
    /// `U__`, and the code points of what does not fit: no two names become the same. What is taken where nobody says.
    #[default]
    Values,
}

impl Escaping {
    /// Each with its name in `Accept` and `Content-Type`.
    pub const NAMES: [(&'static str, Escaping); 4] = [
        ("allow-utf-8", Escaping::AllowUtf8),
        ("underscores", Escaping::Underscores),
        ("dots", Escaping::Dots),
        ("values", Escaping::Values),
    ];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Escaping> {
        Escaping::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, escaping)| escaping)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Escaping::NAMES.into_iter().find(|(_, escaping)| *escaping == self).map_or("", |(name, _)| name)
    }

    /// Appends the name of a metric, which need not fit.
    pub fn push_metric_name(self, out: &mut String, name: &str) {
        if is_plain_metric_name(name) {
            out.push_str(name);
        } else {
            self.push(out, name, |character| character == ':');
        }
    }

    /// Appends the name of a metric by [`Escaping::Values`], also if it fits.
    pub(super) fn push_escaped(out: &mut String, name: &str) {
        Escaping::Values.push(out, name, |character| character == ':');
    }

    /// Appends the name of a label, which need not fit.
    pub fn push_label_name(self, out: &mut String, name: &str) {
        if is_plain_label_name(name) {
            out.push_str(name);
        } else {
            self.push(out, name, |_| false);
        }
    }

    /// Escapes a name also if it fits.
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

/// Whether text 0.0.4 has room for this name of a metric.
pub fn is_plain_metric_name(name: &str) -> bool {
    is_plain(name, |byte| byte == b':')
}

/// Whether text 0.0.4 has room for this name of a label.
pub fn is_plain_label_name(name: &str) -> bool {
    is_plain(name, |_| false)
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
