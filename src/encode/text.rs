//! Text 0.0.4 and OpenMetrics 1.0.

use super::drain::{CHUNK, Drain, Whole};
use super::family::{FamilyEncoder, Kind, Value};
use super::number::{push_float, push_integer};
use crate::host::Timestamp;

/// Which text format is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Prometheus's text format, version 0.0.4.
    Plain,
    /// OpenMetrics 1.0: a counter's family is named without `_total`, and the exposition ends in `# EOF`.
    OpenMetrics,
}

/// Writes families as text.
#[derive(Debug)]
pub struct TextEncoder<D = Whole> {
    out: Vec<u8>,
    drain: D,
    dialect: Dialect,
    /// The name that samples of the open family carry.
    sample_name: Vec<u8>,
    /// How long it is without the suffix of a part.
    family_length: usize,
}

impl TextEncoder {
    /// An encoder that appends to `out`.
    pub fn new(dialect: Dialect, out: Vec<u8>) -> Self {
        TextEncoder::draining(dialect, out, Whole)
    }
}

impl<D: Drain> TextEncoder<D> {
    /// An encoder that appends to `out`, of which `drain` takes what is written.
    pub fn draining(dialect: Dialect, out: Vec<u8>, drain: D) -> Self {
        TextEncoder { out, drain, dialect, sample_name: Vec::new(), family_length: 0 }
    }

    /// What is left of the exposition: all of it, unless it was drained.
    pub fn finish(mut self) -> Vec<u8> {
        if self.dialect == Dialect::OpenMetrics {
            self.out.extend_from_slice(b"# EOF\n");
        }
        self.out
    }
}

impl<D: Drain> FamilyEncoder for TextEncoder<D> {
    fn begin(&mut self, name: &str, kind: Kind, help: &str) {
        let is_open_metrics = self.dialect == Dialect::OpenMetrics;
        let counted = if kind == Kind::Counter { name.strip_suffix("_total") } else { None };
        let family_name = counted.filter(|_| is_open_metrics).unwrap_or(name);
        let open_metrics_counter = is_open_metrics && counted.is_some();
        let type_name = match kind {
            Kind::Counter if is_open_metrics && counted.is_none() => "unknown",
            Kind::Untyped if is_open_metrics => "unknown",
            _ => kind.name(),
        };
        self.sample_name.clear();
        self.sample_name.extend_from_slice(family_name.as_bytes());
        if open_metrics_counter {
            self.sample_name.extend_from_slice(b"_total");
        }
        self.family_length = self.sample_name.len();

        self.out.extend_from_slice(b"# HELP ");
        self.out.extend_from_slice(family_name.as_bytes());
        self.out.push(b' ');
        // Text 0.0.4 knows no escape for a quote in a help text; OpenMetrics demands one.
        push_escaped(&mut self.out, help, self.dialect == Dialect::OpenMetrics);
        self.out.extend_from_slice(b"\n# TYPE ");
        self.out.extend_from_slice(family_name.as_bytes());
        self.out.push(b' ');
        self.out.extend_from_slice(type_name.as_bytes());
        self.out.push(b'\n');
    }

    fn part(&mut self, suffix: &'static str) {
        self.sample_name.truncate(self.family_length);
        self.sample_name.extend_from_slice(suffix.as_bytes());
    }

    fn sample(&mut self, names: &[&str], values: &[&str], value: Value, at: Option<Timestamp>) {
        self.out.extend_from_slice(&self.sample_name);
        let mut separator = b'{';
        for (name, label) in names.iter().zip(values) {
            self.out.push(separator);
            self.out.extend_from_slice(name.as_bytes());
            self.out.extend_from_slice(b"=\"");
            push_escaped(&mut self.out, label, true);
            self.out.push(b'"');
            separator = b',';
        }
        if separator == b',' {
            self.out.push(b'}');
        }
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

    fn end(&mut self) {
        if self.out.len() >= CHUNK {
            self.drain.take(&mut self.out);
        }
    }
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
