//! Log lines in their formats.

use std::fmt::{self, Write};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::settings::Format;

/// A message with its fields.
pub(super) struct Record<'r> {
    pub(super) level: Level,
    /// Empty for the process as a whole.
    pub(super) module: &'r str,
    pub(super) message: String,
    fields: Vec<(&'static str, Value)>,
}

/// The value of a field.
enum Value {
    Text(String),
    /// A number, or `true` or `false`.
    Plain(String),
}

impl<'r> Record<'r> {
    pub(super) fn new(level: Level, message: String) -> Self {
        Record { level, module: "", message, fields: Vec::new() }
    }

    pub(super) fn of(event: &Event<'_>, module: &'r str) -> Self {
        let mut record = Record { module, ..Record::new(*event.metadata().level(), String::new()) };
        event.record(&mut record);
        record
    }

    /// The line, without a newline at its end.
    pub(super) fn line(&self, format: Format, now: SystemTime) -> String {
        match format {
            Format::Text => self.text(),
            Format::Logfmt => self.logfmt(now),
            Format::Json => self.json(now),
        }
    }

    fn text(&self) -> String {
        let mut line = format!("{:>5} {}", self.level.as_str(), self.message);
        for (name, value) in &self.fields {
            let _ = match value {
                Value::Text(text) => write!(line, " {name}={text:?}"),
                Value::Plain(plain) => write!(line, " {name}={plain}"),
            };
        }
        line
    }

    fn logfmt(&self, now: SystemTime) -> String {
        let mut line = String::new();
        self.each_field(now, |name, value| {
            let separator = if line.is_empty() { "" } else { " " };
            let _ = match value {
                Value::Text(text) if needs_quotes(text) => write!(line, "{separator}{name}={}", quoted(text)),
                Value::Text(text) | Value::Plain(text) => write!(line, "{separator}{name}={text}"),
            };
        });
        line
    }

    fn json(&self, now: SystemTime) -> String {
        let mut line = String::new();
        self.each_field(now, |name, value| {
            let separator = if line.is_empty() { '{' } else { ',' };
            let _ = match value {
                Value::Text(text) => write!(line, "{separator}{}:{}", quoted(name), quoted(text)),
                Value::Plain(plain) => write!(line, "{separator}{}:{plain}", quoted(name)),
            };
        });
        line.push('}');
        line
    }

    /// Passes the keys of the log of Prometheus's exporters, and the fields.
    fn each_field(&self, now: SystemTime, mut write: impl FnMut(&str, &Value)) {
        write("time", &Value::Text(humantime::format_rfc3339_millis(now).to_string()));
        write("level", &Value::Text(self.level.to_string()));
        if !self.module.is_empty() {
            write("module", &Value::Text(self.module.to_owned()));
        }
        write("msg", &Value::Text(self.message.clone()));
        self.fields.iter().for_each(|(name, value)| write(name, value));
    }
}

fn needs_quotes(text: &str) -> bool {
    text.is_empty() || text.contains(|c: char| c <= ' ' || matches!(c, '=' | '"' | '\\' | '\u{7f}'))
}

/// A JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Record<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Text(text) | Value::Plain(text)) => self.message = text,
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl Visit for Record<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::Text(value.to_owned()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Plain(value.to_string()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::Plain(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::Plain(value.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_record_has_three_formats() {
        let fields = vec![("sink", Value::Text("a b".to_owned())), ("points", Value::Plain("3".to_owned()))];
        let message = "a \"quoted\"\nline".to_owned();
        let record = Record { module: "sinks", fields, ..Record::new(Level::WARN, message) };
        assert_eq!(record.line(Format::Text, UNIX_EPOCH), " WARN a \"quoted\"\nline sink=\"a b\" points=3");
        let time = "1970-01-01T00:00:00.000Z";
        let expected = format!(r#"time={time} level=WARN module=sinks msg="a \"quoted\"\nline" sink="a b" points=3"#);
        assert_eq!(record.line(Format::Logfmt, UNIX_EPOCH), expected);
        let expected = format!(
            r#"{{"time":"{time}","level":"WARN","module":"sinks","msg":"a \"quoted\"\nline","sink":"a b","points":3}}"#
        );
        assert_eq!(record.line(Format::Json, UNIX_EPOCH), expected);
        let of_process = Record::new(Level::INFO, "x".to_owned());
        assert_eq!(of_process.line(Format::Logfmt, UNIX_EPOCH), format!("time={time} level=INFO msg=x"));
    }
}
