//! YAML as a [`Document`], so that what others configure is checked by the same sections and shown in its place.

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::document::{Document, Node, Table, Value};
use super::problem::{Place, Problem, Problems, Source};
use super::redact::Secrets;

/// Reads one YAML text, which must be a mapping or nothing. Every scalar is the string that it is written as, as whoever
/// asks knows what it should be: `1` is a header's value, too.
///
/// # Errors
/// What is wrong with it; aliases, tags and keys that are no strings are not understood.
pub fn parse(name: &str, text: &str) -> Result<Document, Problems> {
    let mut reader = Reader { text, known: (0, 0), events: Parser::new_from_str(text), depth: 0 };
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
    /// A character that is known by its number, and its byte: all that is asked for later stands behind it.
    known: (usize, usize),
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
                let start = self.byte(&span.start);
                self.known = (span.start.index(), start);
                let end = self.byte(&span.end);
                Ok((event, Place { source: 0, span: start..end.max(start) }))
            }
            Some(Err(error)) => {
                let at = self.byte(error.marker());
                Err((Place { source: 0, span: at..at }, error.info().to_owned()))
            }
            None => Ok((Event::StreamEnd, Place { source: 0, span: self.text.len()..self.text.len() })),
        }
    }

    /// The byte of a marker, which is a number of characters.
    fn byte(&self, marker: &Marker) -> usize {
        let (character, byte) = self.known;
        let (skipped, from) = match marker.index().checked_sub(character) {
            Some(ahead) => (ahead, byte),
            None => (marker.index(), 0),
        };
        let rest = self.text.get(from..).unwrap_or_default();
        rest.char_indices().nth(skipped).map_or(self.text.len(), |(at, _)| from + at)
    }

    fn node(&mut self, event: Event<'t>, place: Place) -> Result<Node, Wrong> {
        const DEEPEST: usize = 32;
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err((place, format!("nested deeper than {DEEPEST}")));
        }
        let value = match event {
            Event::Scalar(text, style, _, None) if is_nothing(&text, style) => {
                self.depth -= 1;
                let start = place.span.start;
                let place = Place { span: start..start, ..place };
                return Ok(Node { place, value: Value::String(String::new()) });
            }
            Event::Scalar(text, _, _, None) => Value::String(text.into_owned()),
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

/// Whether a scalar is nothing.
fn is_nothing(text: &str, style: ScalarStyle) -> bool {
    style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Key, Section};

    const FILE: Key<String> = Key::optional("file", "");
    const TEXT: Key<String> = Key::new("text", "\"default\"", "");
    const LIST: Key<Vec<String>> = Key::new("list", "[]", "");

    #[test]
    fn it_is_a_document_like_any_other() {
        let text =
            "# Ein Kommentar für alle.\ntop:\n  file: a.pem\n  text: 007\n  list: [a, 'b', true, 1]\n  wrong: 1\n";
        let document = parse("web.yml", text).unwrap();
        let mut seen = None;
        let problems = Section::check(&document, |root| {
            let mut top = root.table("top");
            seen = Some((top.optional(&FILE), top.get(&TEXT), top.get(&LIST)));
        });
        let list = ["a", "b", "true", "1"].map(str::to_owned).to_vec();
        assert_eq!(seen, Some((Some("a.pem".to_owned()), "007".to_owned(), list)));
        let lines: Vec<String> = problems.unwrap_err().lines().collect();
        assert_eq!(lines, ["web.yml:6:3: top.wrong: unknown key; expected one of file, list, text"]);
    }

    #[test]
    fn what_is_nothing_is_as_if_it_were_not_there() {
        for nothing in ["", "~", "null", " # nothing"] {
            let text = format!("top:\n  file: {nothing}\n  text: {nothing}\n  list: {nothing}\nempty: {nothing}\n");
            let document = parse("web.yml", &text).unwrap();
            let mut seen = None;
            let checked = Section::check(&document, |root| {
                root.table("empty");
                let mut top = root.table("top");
                seen = Some((top.optional(&FILE), top.get(&TEXT), top.get(&LIST)));
            });
            assert!(checked.is_ok(), "{nothing}");
            assert_eq!(seen, Some((None, "default".to_owned(), Vec::new())), "{nothing}");
        }
        let document = parse("web.yml", "text: ''\nunknown: ~\n").unwrap();
        let mut text = None;
        let problems = Section::check(&document, |root| text = root.optional(&TEXT)).unwrap_err();
        assert_eq!((text, problems.lines().count()), (Some(String::new()), 1));
    }

    #[test]
    fn a_large_file_is_read_in_one_go() {
        let users: String = (0..20_000).map(|user| format!("  ü{user}: 'x'\n")).collect();
        let document = parse("web.yml", &format!("users:\n{users}")).unwrap();
        let (_, Node { value: Value::Table(users), .. }) = &document.root["users"] else { panic!("no table") };
        assert_eq!(users.len(), 20_000);
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
