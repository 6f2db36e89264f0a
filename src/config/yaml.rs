//! YAML as a [`Document`], so that what others configure is checked by the same sections and shown in its place.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::document::{Document, Node, Table, Value};
use super::problem::{Place, Problem, Problems, Source};
use super::redact::Secrets;

/// Reads one YAML text, which must be a mapping or nothing.
///
/// # Errors
/// What is wrong with it; aliases, tags and keys that are no strings are not understood.
pub fn parse(name: &str, text: &str) -> Result<Document, Problems> {
    let mut reader = Reader { text, events: Parser::new_from_str(text), depth: 0 };
    let root = reader.document();
    let mut source = Source::new(name, text);
    match root {
        Ok(root) => {
            let mut secrets = Secrets::default();
            source.is_broken = false;
            source.understood(&root, &mut secrets);
            Ok(Document { root, sources: vec![source], secrets })
        }
        Err((place, message)) => {
            let list = vec![Problem { place: Some(place), key: String::new(), message, secret: false }];
            Err(Problems { sources: vec![source], list, ..Problems::default() })
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    events: Parser<'t, saphyr_parser::StrInput<'t>>,
    depth: usize,
}

type Wrong = (Place, String);

impl<'t> Reader<'t> {
    fn document(&mut self) -> Result<Table, Wrong> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_), _) => {}
                (Event::StreamEnd, _) => return Ok(Table::new()),
                (event, place) => {
                    let node = self.node(event, place.clone())?;
                    return match node.value {
                        Value::Table(table) => Ok(table),
                        Value::String(text) if text.is_empty() => Ok(Table::new()),
                        other => Err((place, format!("expected a mapping, found {}", other.kind()))),
                    };
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Place), Wrong> {
        match self.events.next() {
            Some(Ok((event, span))) => {
                let (start, end) = (self.byte(&span.start), self.byte(&span.end));
                Ok((event, Place { source: 0, span: start..end.max(start) }))
            }
            Some(Err(error)) => {
                let at = self.byte(error.marker());
                Err((Place { source: 0, span: at..at }, error.info().to_owned()))
            }
            None => Ok((Event::StreamEnd, Place { source: 0, span: self.text.len()..self.text.len() })),
        }
    }

    fn byte(&self, marker: &Marker) -> usize {
        self.text.char_indices().nth(marker.index()).map_or(self.text.len(), |(at, _)| at)
    }

    fn node(&mut self, event: Event<'t>, place: Place) -> Result<Node, Wrong> {
        const DEEPEST: usize = 32;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err((place, format!("nested deeper than {DEEPEST}")));
        }
        let value = match event {
            Event::Scalar(text, style, _, None) => scalar(&text, style),
            Event::SequenceStart(_, None) => Value::Array(self.sequence()?),
            Event::MappingStart(_, None) => Value::Table(self.mapping()?),
            Event::Alias(_) => return Err((place, "aliases are not understood".to_owned())),
            _ => return Err((place, "expected a value without a tag".to_owned())),
        };
        self.depth -= 1;
        Ok(Node { place, value })
    }

    fn sequence(&mut self) -> Result<Vec<Node>, Wrong> {
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(nodes),
                (event, place) => nodes.push(self.node(event, place)?),
            }
        }
    }

    fn mapping(&mut self) -> Result<Table, Wrong> {
        let mut table = Table::new();
        loop {
            let (key, at) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(table),
                (Event::Scalar(key, ..), at) => (key.into_owned(), at),
                (_, at) => return Err((at, "expected a key".to_owned())),
            };
            let (event, place) = self.next()?;
            let node = self.node(event, place)?;
            if table.insert(key.clone(), (at.clone(), node)).is_some() {
                return Err((at, format!("{key} is there twice")));
            }
        }
    }
}

/// YAML 1.2's core schema, as far as settings need it; nothing at all is an empty string.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::String(text.to_owned());
    }
    match text {
        "" | "~" | "null" => Value::String(String::new()),
        "true" | "True" | "TRUE" => Value::Boolean(true),
        "false" | "False" | "FALSE" => Value::Boolean(false),
        other => other.parse().map_or_else(|_| Value::String(other.to_owned()), Value::Integer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Key, Section};

    const FILE: Key<String> = Key::optional("file", "");
    const FLAG: Key<bool> = Key::new("flag", "false", "");
    const LIST: Key<Vec<String>> = Key::new("list", "[]", "");

    #[test]
    fn it_is_a_document_like_any_other() {
        let text = "# A comment.\ntop:\n  file: a.pem\n  flag: true\n  list: [a, 'b']\n  wrong: 1\n";
        let document = parse("web.yml", text).unwrap();
        let mut seen = None;
        let problems = Section::check(&document, |root| {
            let mut top = root.table("top");
            seen = Some((top.optional(&FILE), top.get(&FLAG), top.get(&LIST)));
        });
        assert_eq!(seen, Some((Some("a.pem".to_owned()), true, vec!["a".to_owned(), "b".to_owned()])));
        let lines: Vec<String> = problems.unwrap_err().lines().collect();
        assert_eq!(lines, ["web.yml:6:3: top.wrong: unknown key; expected one of file, flag, list"]);
    }

    #[test]
    fn what_is_not_understood_is_told_with_its_place() {
        for (text, line) in [
            ("a: b: c\n", "web.yml:1:"),
            ("a: 1\na: 2\n", "web.yml:2:1: a is there twice"),
            ("a: &x 1\nb: *x\n", "web.yml:2:4: aliases are not understood"),
            ("- 1\n", "web.yml:1:1: expected a mapping, found a list"),
        ] {
            let found = parse("web.yml", text).unwrap_err().lines().collect::<Vec<_>>().join("");
            assert!(found.starts_with(line), "{text}: {found}");
        }
        assert!(parse("web.yml", "").unwrap().root.is_empty());
        assert!(parse("web.yml", &"[".repeat(10_000)).is_err());
    }
}
