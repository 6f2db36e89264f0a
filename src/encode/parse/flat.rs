//! Parses text and OpenMetrics sample by sample, as leniently as Prometheus does when it scrapes.
//!
//! A line is a sample; metadata applies by name, wherever it stands. Repeated metadata, families in several parts, CR
//! before the line end, and a text without a final line end are accepted. Names and labels are parsed on request, since
//! a scraper knows most of them from the previous scrape.

use std::borrow::Cow;

use super::model::{Kind, Label};
use super::scan::{END, Scanner, shortened, skip_blanks, word};
use super::{Error, Message, NO_LIMITS};

/// One line of an exposition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Line<'a> {
    /// A sample.
    Sample(Sample<'a>),
    /// A comment without its `#`. It may be metadata, see [`Flat::metadata`].
    Comment(&'a str),
}

/// A sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// Name and labels as written.
    pub series: &'a str,
    /// The value.
    pub value: f64,
    /// The timestamp, in milliseconds of Unix time, if any.
    pub timestamp: Option<i64>,
}

/// What a comment says about a family.
#[derive(Clone, Debug, PartialEq)]
pub enum Metadata<'a> {
    /// Its help text.
    Help(Cow<'a, str>),
    /// Its type.
    Type(Kind),
    /// Its unit.
    Unit(&'a str),
}

/// The text with an empty comment in place of each one that is not UTF-8. Prometheus reads only HELP, TYPE and UNIT.
pub fn without_foreign_comments(body: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(body).is_ok() {
        return Cow::Borrowed(body);
    }
    let is_foreign = |line: &[u8]| {
        let comment = line.trim_ascii_start().strip_prefix(b"#").map(<[u8]>::trim_ascii_start);
        let is_metadata =
            |comment: &[u8]| [&b"HELP"[..], b"TYPE", b"UNIT"].iter().any(|word| comment.starts_with(word));
        comment.is_some_and(|comment| !is_metadata(comment)) && std::str::from_utf8(line).is_err()
    };
    let lines: Vec<&[u8]> =
        body.split(|byte| *byte == b'\n').map(|line| if is_foreign(line) { b"#" } else { line }).collect();
    Cow::Owned(lines.join(&b'\n'))
}

/// A parser of one exposition.
pub struct Flat<'a> {
    scanner: Scanner<'a>,
    is_open_metrics: bool,
    /// The error behind the lines that are UTF-8, if there are others.
    invalid: Option<Error>,
}

impl<'a> Flat<'a> {
    /// A parser of `body`. A line that is not UTF-8 is malformed.
    pub fn new(body: &'a [u8], is_open_metrics: bool) -> Self {
        let (text, invalid) = match std::str::from_utf8(body) {
            Ok(text) => (text, None),
            Err(error) => {
                let before = &body[..error.valid_up_to()];
                let lines = memchr::memrchr(b'\n', before).map_or(0, |end| end + 1);
                let error = Scanner::new(body, &NO_LIMITS, is_open_metrics).err();
                (std::str::from_utf8(&before[..lines]).unwrap_or_default(), error)
            }
        };
        let scanner = Scanner::of_text(text, &NO_LIMITS, is_open_metrics).lenient();
        Flat { scanner, is_open_metrics, invalid }
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// If a line is malformed, or OpenMetrics lacks its last line.
    pub fn line(&mut self) -> Result<Option<Line<'a>>, Error> {
        loop {
            let from = self.scanner.rest();
            let Some(line) = self.scanner.next_line_of_any_end() else {
                return match self.is_open_metrics {
                    _ if self.invalid.is_some() => self.invalid.take().map_or(Ok(None), Err),
                    true => self.scanner.malformed("expected # EOF at the end: the body may have been cut off"),
                    false => Ok(None),
                };
            };
            if self.is_open_metrics && line == END {
                return match self.scanner.is_at_end() {
                    true => Ok(None),
                    false => self.scanner.malformed("text behind # EOF"),
                };
            }
            let line = skip_blanks(line);
            match line.strip_prefix('#') {
                Some(comment) => return Ok(Some(Line::Comment(skip_blanks(comment)))),
                None if line.is_empty() => {}
                None => return self.sample(line, from).map(|sample| Some(Line::Sample(sample))),
            }
        }
    }

    /// The sample of a line, which is at the start of `from`.
    fn sample(&mut self, line: &'a str, from: &'a str) -> Result<Sample<'a>, Error> {
        let found = end_of_series(line).map(|end| (line, end));
        let Some((line, end)) = found.or_else(|| self.over_lines(from)) else {
            return self.scanner.malformed(Message::about("a label or name is not closed in …", shortened(line)));
        };
        let (series, rest) = line.split_at(end);
        let (value, rest) = word(skip_blanks(rest));
        let value = self.scanner.number(value)?;
        let timestamp = match rest.is_empty() {
            true => None,
            false if self.is_open_metrics => self.seconds(rest)?,
            false => self.milliseconds(rest)?,
        };
        Ok(Sample { series, value, timestamp })
    }

    /// A sample whose label values contain line ends, as Prometheus accepts them in text, and the length of its series.
    fn over_lines(&mut self, from: &'a str) -> Option<(&'a str, usize)> {
        let text = skip_blanks(from);
        let end = end_of_series(text).filter(|_| !self.is_open_metrics)?;
        let line = &text[..end + memchr::memchr(b'\n', &text.as_bytes()[end..]).unwrap_or(text.len() - end)];
        self.scanner.skip_lines_to(line, &text[line.len()..]);
        Some((line.strip_suffix('\r').unwrap_or(line), end))
    }

    fn milliseconds(&self, text: &str) -> Result<Option<i64>, Error> {
        let (timestamp, rest) = word(text);
        match timestamp.parse() {
            // A sign is an error in Prometheus.
            Ok(milliseconds) if rest.is_empty() && timestamp.starts_with(|first: char| first.is_ascii_digit()) => {
                Ok(Some(milliseconds))
            }
            _ => self.scanner.malformed(Message::about("expected an integer as timestamp, found …", shortened(text))),
        }
    }

    /// The timestamp of OpenMetrics, which an exemplar may follow.
    fn seconds(&self, text: &str) -> Result<Option<i64>, Error> {
        let (timestamp, rest) = word(text);
        if !rest.is_empty() && !rest.starts_with('#') && !timestamp.starts_with('#') {
            return self.scanner.malformed(Message::about("spurious string after timestamp: …", shortened(rest)));
        }
        if timestamp.starts_with('#') {
            return Ok(None);
        }
        match self.scanner.number(timestamp)? {
            seconds if seconds.is_finite() => Ok(Some((seconds * 1000.0).round() as i64)),
            _ => self.scanner.malformed(Message::about("expected seconds as timestamp, found …", timestamp)),
        }
    }

    /// The name and the labels of a sample. Labels are unsorted, and may have empty values.
    ///
    /// # Errors
    /// If they are malformed. A label may be there twice, see [`Flat::unique`].
    pub fn series(&self, text: &'a str) -> Result<(Cow<'a, str>, Vec<Label<'a>>), Error> {
        let (mut name, rest) = self.scanner.name(text, true)?;
        let rest = skip_blanks(rest);
        let mut labels = Vec::new();
        if let Some(inside) = rest.strip_prefix('{') {
            self.scanner.labels(inside, &mut labels, &mut name)?;
        } else if !rest.is_empty() {
            return self.scanner.malformed(Message::about("invalid metric name in …", shortened(text)));
        }
        if name.is_empty() {
            return self.scanner.malformed(Message::about("invalid metric name in …", shortened(text)));
        }
        Ok((name, labels))
    }

    /// Checks the labels of a sample.
    ///
    /// # Errors
    /// If one is there twice.
    pub fn unique(&self, labels: &[Label<'_>]) -> Result<(), Error> {
        let mut names: Vec<&str> = labels.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        match names.array_windows().find(|[one, other]| one == other) {
            Some([twice, _]) => self.scanner.malformed(Message::about("label … is there twice", *twice)),
            None => Ok(()),
        }
    }

    /// The family that a comment is about, and what it says; `None` for another comment.
    ///
    /// # Errors
    /// If the name or the type is invalid.
    pub fn metadata(&self, comment: &'a str) -> Result<Option<(Cow<'a, str>, Metadata<'a>)>, Error> {
        let (keyword, rest) = word(comment);
        if !["HELP", "TYPE", "UNIT"].contains(&keyword) || rest.is_empty() {
            return Ok(None);
        }
        let (name, rest) = self.scanner.name(rest, true)?;
        if name.is_empty() || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
            return self.scanner.malformed(Message::about("invalid metric name in comment …", shortened(comment)));
        }
        let text = skip_blanks(rest);
        let says = match keyword {
            "HELP" => Metadata::Help(self.help(text)),
            "UNIT" => Metadata::Unit(text.trim_end()),
            _ if text.is_empty() => return Ok(None),
            _ => Metadata::Type(self.kind(text.trim_end())?),
        };
        Ok(Some((name, says)))
    }

    /// A help text. One with an invalid escape sequence is used as it is.
    fn help(&self, text: &'a str) -> Cow<'a, str> {
        self.scanner.unescaped(text).unwrap_or(Cow::Borrowed(text))
    }

    fn kind(&self, name: &str) -> Result<Kind, Error> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "counter" => Kind::Counter,
            "gauge" => Kind::Gauge,
            "summary" => Kind::Summary,
            "histogram" => Kind::Histogram,
            "gaugehistogram" | "gauge_histogram" => Kind::GaugeHistogram,
            "untyped" | "unknown" => Kind::Untyped,
            "info" => Kind::Info,
            "stateset" => Kind::StateSet,
            other => return self.scanner.malformed(Message::about("unknown metric type …", shortened(other))),
        })
    }
}

/// The length of name and labels at the start of a line; `None` if a brace is not closed in it, or a quote at all. Line
/// ends in quotes are part of label values.
fn end_of_series(line: &str) -> Option<usize> {
    let bytes = line.as_bytes();
    let name = memchr::memchr3(b'{', b' ', b'\t', bytes).unwrap_or(bytes.len());
    let brace = name + bytes[name..].iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(0);
    if bytes.get(brace) != Some(&b'{') {
        return Some(name);
    }
    let mut at = brace + 1;
    loop {
        // Usually after a few bytes.
        let next = at + bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'}' | b'\n'))?;
        match bytes[next] {
            b'}' => return Some(next + 1),
            b'\n' => return None,
            _ => {}
        }
        at = next + 1;
        loop {
            let end = at + memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
            at = end + 1;
            if bytes[end] == b'"' {
                break;
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = (Vec<(String, f64, Option<i64>)>, Vec<String>);

    fn read(body: &str, is_open_metrics: bool) -> Result<Read, String> {
        let mut flat = Flat::new(body.as_bytes(), is_open_metrics);
        let (mut samples, mut metadata) = (Vec::new(), Vec::new());
        while let Some(line) = flat.line().map_err(|error| error.to_string())? {
            match line {
                Line::Sample(sample) => {
                    let (name, labels) = flat.series(sample.series).map_err(|error| error.to_string())?;
                    flat.unique(&labels).map_err(|error| error.to_string())?;
                    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                    samples.push((format!("{name}{{{}}}", labels.join(",")), sample.value, sample.timestamp));
                }
                Line::Comment(comment) => {
                    let found = flat.metadata(comment).map_err(|error| error.to_string())?;
                    metadata.extend(found.map(|(name, says)| format!("{name}: {says:?}")));
                }
            }
        }
        Ok((samples, metadata))
    }

    fn series(body: &str) -> Vec<String> {
        read(body, false).unwrap().0.into_iter().map(|(series, ..)| series).collect()
    }

    #[test]
    fn what_prometheus_takes_is_taken() {
        let (samples, metadata) = read(
            "# HELP a x\r\n# TYPE a GAUGE\r\na{i=\"1\"} 1 \r\n# TYPE a gauge\n# a comment\n\n  a {i=\"}\\\"{\",} 2 17",
            false,
        )
        .unwrap();
        assert_eq!(samples, [("a{i=1}".to_owned(), 1.0, None), ("a{i=}\"{}".to_owned(), 2.0, Some(17))]);
        assert_eq!(metadata, ["a: Help(\"x\")", "a: Type(Gauge)", "a: Type(Gauge)"]);
        assert_eq!(series("{\"a.b\",\"x.y\"=\"1\"} 4\n"), ["a.b{x.y=1}"]);
        assert_eq!(series("{\"a\\nb\"} 4\n"), ["a\nb{}"]);
        assert_eq!(series("a{b=\"1\" c=\"2\"d=\"3\"} 4\n"), ["a{b=1,c=2,d=3}"], "without commas");
        assert_eq!(series("# EOF\na 1\n# HELP a \\x\na{} NaN"), ["a{}", "a{}"]);
        assert_eq!(series(""), Vec::<String>::new());
        assert_eq!(series(r#"a{b="\q\n\\"} 1"#), ["a{b=\\q\n\\}"]);
        // A line end in a label value.
        let (samples, _) = read(" a{b=\"c\n\nd\",e=\"\"} 1 2\r\na{b=\"}\n\"} 2\nc 3", false).unwrap();
        let samples: Vec<(&str, f64)> = samples.iter().map(|(series, value, _)| (series.as_str(), *value)).collect();
        assert_eq!(samples, [("a{b=c\n\nd,e=}", 1.0), ("a{b=}\n}", 2.0), ("c{}", 3.0)]);
        let error = read("a{b=\"c\nd\"} 1\nx y", false).unwrap_err();
        assert!(error.contains("line 3"), "{error}");
    }

    #[test]
    fn what_is_broken_fails_as_a_whole() {
        for body in [
            "a",
            "a b",
            "a 1 x",
            "a{ 1",
            "a{b=\"c} 1",
            "a{b=\"c\nd 1\n",
            "a{b=\"c\"\n} 1",
            "a{b=\"c\\\"} 1",
            "1a 1",
            "a{b=c} 1",
            "a{b=\"c\",b=\"d\"} 1",
            "# TYPE a odd\n",
            "a 1e999",
            "a 0x1",
            "<html>",
            "a 1 2 3",
            "a 1 -1",
            "a 1 +1",
            "{\"a\" b=\"c\"} 1",
        ] {
            assert!(read(body, false).is_err(), "{body}");
        }
        for body in [&b"# HELP a \xff\na 1"[..], b"a{b=\"\xff\"} 1", b"# TYPE a\xff gauge\na 1"] {
            let body = without_foreign_comments(body);
            let mut flat = Flat::new(&body, false);
            assert!(std::iter::from_fn(|| flat.line().transpose()).any(|line| line.is_err()), "{body:?}");
        }
        let body = without_foreign_comments(b"a 1\n # \xff\n#x\xff\nb 2\n");
        assert_eq!(&*body, b"a 1\n#\n#\nb 2\n");
        let mut flat = Flat::new(b"a 1\nb{c=\"\xff\"} 1\nd 1", false);
        assert!(matches!(flat.line(), Ok(Some(Line::Sample(Sample { series: "a", .. })))));
        assert!(flat.line().is_err_and(|error| error.to_string().contains("line 2: invalid UTF-8")));
    }

    #[test]
    fn open_metrics_has_seconds_exemplars_and_an_end() {
        let (samples, metadata) = read(
            "# TYPE a counter\n# UNIT a s\na_total 5 1.5 # {id=\"x\"} 1 2\na_total{b=\"c\"} 6 # {} 1\n# EOF\n",
            true,
        )
        .unwrap();
        assert_eq!(samples, [("a_total{}".to_owned(), 5.0, Some(1500)), ("a_total{b=c}".to_owned(), 6.0, None)]);
        assert_eq!(metadata, ["a: Type(Counter)", "a: Unit(\"s\")"]);
        assert!(read("a 1\n", true).is_err() && read("# EOF\na 1\n", true).is_err());
        assert!(read("# EOF", true).is_ok());
        assert!(read("a{b=\"c\nd\"} 1\n# EOF\n", true).is_err());
    }
}
