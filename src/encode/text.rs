//! Text 0.0.4 and OpenMetrics 1.0.

use super::drain::{CHUNK, Drain, Whole};
use super::family::{FamilyEncoder, Kind, Value};
use super::names::{is_plain_label_name, is_plain_metric_name};
use super::number::{push_float, push_integer};
use crate::encode::Timestamp;

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Prometheus's text format, version 0.0.4.
    Plain,
    /// OpenMetrics 1.0: a counter's family is named without `_total`, and the exposition ends with `# EOF`.
    OpenMetrics,
}

/// Writes families as text.
#[derive(Debug)]
pub struct TextEncoder<D = Whole> {
    out: Vec<u8>,
    drain: D,
    dialect: Dialect,
    /// The name of the samples of the open family.
    sample_name: Vec<u8>,
    /// Its length without the suffix of a part.
    family_length: usize,
    /// `le` or `quantile`: OpenMetrics requires floats with a decimal point as its values.
    bound: Option<&'static str>,
}

impl TextEncoder {
    /// An encoder that appends to `out`.
    pub fn new(dialect: Dialect, out: Vec<u8>) -> Self {
        TextEncoder::draining(dialect, out, Whole)
    }
}

impl<D: Drain> TextEncoder<D> {
    /// An encoder that appends to `out`, which `drain` empties from time to time.
    pub fn draining(dialect: Dialect, out: Vec<u8>, drain: D) -> Self {
        TextEncoder { out, drain, dialect, sample_name: Vec::new(), family_length: 0, bound: None }
    }

    /// The remainder of the exposition that was not drained.
    pub fn finish(mut self) -> Vec<u8> {
        if self.dialect == Dialect::OpenMetrics {
            self.out.extend_from_slice(b"# EOF\n");
        }
        self.out
    }
}

impl<D: Drain> TextEncoder<D> {
    fn push_header(&mut self, name: &str, kind: Kind, help: &str, is_quoted: bool) {
        let is_open_metrics = self.dialect == Dialect::OpenMetrics;
        let counted = if kind == Kind::Counter { name.strip_suffix("_total") } else { None };
        let counted = counted.filter(|family| is_open_metrics && !family.is_empty());
        let family_name = counted.unwrap_or(name);
        let type_name = match kind {
            Kind::Counter if is_open_metrics && counted.is_none() => "unknown",
            Kind::Untyped if is_open_metrics => "unknown",
            _ => kind.name(),
        };
        self.bound = match kind {
            Kind::Histogram if is_open_metrics => Some("le"),
            Kind::Summary if is_open_metrics => Some("quantile"),
            _ => None,
        };
        self.sample_name.clear();
        self.sample_name.extend_from_slice(name.as_bytes());
        self.family_length = name.len();

        self.out.extend_from_slice(b"# HELP ");
        self.push_name(family_name, is_quoted);
        self.out.push(b' ');
        // In help texts, OpenMetrics requires quotes to be escaped; text 0.0.4 has no such escape.
        push_escaped(&mut self.out, help, is_open_metrics);
        self.out.extend_from_slice(b"\n# TYPE ");
        self.push_name(family_name, is_quoted);
        self.out.push(b' ');
        self.out.extend_from_slice(type_name.as_bytes());
        self.out.push(b'\n');
    }

    #[inline]
    fn push_name(&mut self, name: &str, is_quoted: bool) {
        match is_quoted {
            true => push_quoted(&mut self.out, name),
            false => self.out.extend_from_slice(name.as_bytes()),
        }
    }

    #[inline]
    fn push_labels<const MAY_NEED_QUOTES: bool>(&mut self, mut separator: u8, names: &[&str], values: &[&str]) {
        for (name, label) in names.iter().zip(values) {
            self.out.push(separator);
            self.push_name(name, MAY_NEED_QUOTES && !is_plain_label_name(name));
            self.out.extend_from_slice(b"=\"");
            push_escaped(&mut self.out, label, true);
            if self.bound == Some(name) {
                self.push_point(label);
            }
            self.out.push(b'"');
            separator = b',';
        }
        if separator == b',' {
            self.out.push(b'}');
        }
    }

    /// Appends `.0` to an integer, as OpenMetrics requires.
    fn push_point(&mut self, number: &str) {
        let digits = number.strip_prefix('-').unwrap_or(number);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            self.out.extend_from_slice(b".0");
        }
    }

    #[inline]
    fn push_value(&mut self, value: Value, at: Option<Timestamp>) {
        self.out.push(b' ');
        match value {
            Value::Unsigned(value) => push_integer(&mut self.out, value),
            Value::Signed(value) => push_integer(&mut self.out, value),
            Value::Float(value) => push_float(&mut self.out, value),
        }
        if let Some(at) = at {
            self.out.push(b' ');
            match self.dialect {
                Dialect::Plain => push_integer(&mut self.out, at.milliseconds()),
                Dialect::OpenMetrics => push_float(&mut self.out, at.milliseconds() as f64 / 1e3),
            }
        }
        self.out.push(b'\n');
    }
}

impl<D: Drain> FamilyEncoder for TextEncoder<D> {
    fn begin(&mut self, name: &str, kind: Kind, help: &str) {
        self.push_header(name, kind, help, false);
    }

    fn begin_quoted(&mut self, name: &str, kind: Kind, help: &str) {
        self.push_header(name, kind, help, !is_plain_metric_name(name));
    }

    fn part(&mut self, suffix: &'static str) {
        self.sample_name.truncate(self.family_length);
        self.sample_name.extend_from_slice(suffix.as_bytes());
    }

    fn sample(&mut self, names: &[&str], values: &[&str], value: Value, at: Option<Timestamp>) {
        self.out.extend_from_slice(&self.sample_name);
        self.push_labels::<false>(b'{', names, values);
        self.push_value(value, at);
    }

    fn sample_quoted(&mut self, names: &[&str], values: &[&str], value: Value, at: Option<Timestamp>) {
        let sample_name = std::str::from_utf8(&self.sample_name).unwrap_or_default();
        let mut separator = b'{';
        if is_plain_metric_name(sample_name) {
            self.out.extend_from_slice(&self.sample_name);
        } else {
            self.out.push(b'{');
            push_quoted(&mut self.out, sample_name);
            separator = b',';
        }
        self.push_labels::<true>(separator, names, values);
        self.push_value(value, at);
    }

    fn names_counters_without_total(&self) -> bool {
        self.dialect == Dialect::OpenMetrics
    }

    fn end(&mut self) {
        if self.out.len() >= CHUNK {
            self.drain.drain(&mut self.out);
        }
    }
}

fn push_quoted(out: &mut Vec<u8>, name: &str) {
    out.push(b'"');
    push_escaped(out, name, true);
    out.push(b'"');
}

fn push_escaped(out: &mut Vec<u8>, text: &str, quotes: bool) {
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr3(b'\\', b'\n', b'"', rest) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            other => out.push(other),
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(dialect: Dialect, write: impl FnOnce(&mut TextEncoder)) -> String {
        let mut encoder = TextEncoder::new(dialect, Vec::new());
        write(&mut encoder);
        String::from_utf8(encoder.finish()).unwrap()
    }

    #[test]
    fn open_metrics_names_a_counters_family_without_total() {
        let text = encode(Dialect::OpenMetrics, |out| {
            out.begin("forks_total", Kind::Counter, "Forks, \"all\" of them.");
            out.sample(&[], &[], Value::Unsigned(7), None);
            out.end();
            out.begin("odd", Kind::Untyped, "x");
            out.sample(&[], &[], Value::Float(f64::NAN), None);
            out.end();
        });
        assert_eq!(
            text,
            "# HELP forks Forks, \\\"all\\\" of them.\n# TYPE forks counter\nforks_total 7\n\
             # HELP odd x\n# TYPE odd unknown\nodd NaN\n# EOF\n"
        );
    }

    #[test]
    fn a_time_is_in_milliseconds_or_in_seconds() {
        let written = |dialect| {
            encode(dialect, |out| {
                out.sample_name = b"m".to_vec();
                out.sample(&[], &[], Value::Unsigned(1), Some(Timestamp(1_700_000_000_500_000_000)));
            })
        };
        assert_eq!(written(Dialect::Plain), "m 1 1700000000500\n");
        assert_eq!(written(Dialect::OpenMetrics), "m 1 1700000000.5\n# EOF\n");
    }

    #[test]
    fn a_label_value_cannot_leave_its_quotes() {
        let text = encode(Dialect::Plain, |out| {
            out.sample_name = b"m".to_vec();
            out.sample(&["device"], &["a\"} 1\nb\\"], Value::Signed(-1), None);
        });
        assert_eq!(text, "m{device=\"a\\\"} 1\\nb\\\\\"} -1\n");
    }
}
