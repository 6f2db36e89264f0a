//! Parses YAML into a [`Document`], so that sections check it and errors have positions.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::document::Document;
use super::problem::{Problem, Problems, Source};
use super::redact::Secrets;
use super::value::{Node, Position, Table, Value};

/// Parses a file that must have a single document; further ones would be passed over.
///
/// # Errors
/// It is no YAML, or has several documents.
pub fn parse_single(name: &str, text: &str) -> Result<Document, Problems> {
    let mut start = 0;
    let (mut has_content, mut has_ended) = (false, false);
    for line in text.split_inclusive('\n') {
        let is_any = |marker| {
            line.strip_prefix(marker).is_some_and(|rest: &str| rest.trim_start().len() < rest.len() || rest.is_empty())
        };
        let is_marker = is_any("---") || is_any("...");
        let is_comment = line.trim().is_empty() || line.starts_with(['#', '%']);
        // An end marker ends the document; what follows is another one.
        if has_content && (is_any("---") || has_ended && !is_comment) {
            let position = Some(Position { source: 0, span: start..start + 3 });
            let message = "a second document: split the file".to_owned();
            let list = vec![Problem { position, key: String::new(), message, secret: false }];
            return Err(Problems { sources: vec![Source::new(name, text)], list, ..Problems::default() });
        }
        has_content |= !is_comment && !is_marker;
        has_ended |= has_content && is_any("...");
        start += line.len();
    }
    parse(name, text)
}

/// Parses a YAML text, which must be a mapping or empty. Every scalar is a string; the setting decides its type: `1` may be
/// a header's value.
///
/// # Errors
/// Syntax errors. Tags and keys other than strings are not supported; aliases stand for at most 10,000 values.
pub fn parse(name: &str, text: &str) -> Result<Document, Problems> {
    parse_root(name, text, None)
}

/// Parses a YAML text, which must be a list or empty. The document has it under `key`.
///
/// # Errors
/// As [`parse`].
pub fn parse_list(name: &str, text: &str, key: &str) -> Result<Document, Problems> {
    parse_root(name, text, Some(key))
}

fn parse_root(name: &str, text: &str, list: Option<&str>) -> Result<Document, Problems> {
    let (known, depth, anchors, copied) = Default::default();
    let mut reader = Reader { text, known, events: Parser::new_from_str(text), depth, anchors, copied };
    let root = reader.document(list);
    let mut source = Source::new(name, text);
    match root {
        Ok(root) => {
            let mut secrets = Secrets::default();
            source.is_broken = false;
            source.set_values(&root, &mut secrets);
            Ok(Document { root, sources: vec![source], duplicates: Vec::new(), secrets })
        }
        Err((position, message)) => {
            let list = vec![Problem { position: Some(position), key: String::new(), message, secret: false }];
            Err(Problems { sources: vec![source], list, ..Problems::default() })
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    /// A character's index and byte offset, before all positions to come.
    known: (usize, usize),
    events: Parser<'t, saphyr_parser::StrInput<'t>>,
    depth: usize,
    /// Values with an anchor, with the number of values in them and their depth.
    anchors: HashMap<usize, (Node, usize, usize)>,
    /// Values that aliases stand for.
    copied: usize,
}

const MAX_DEPTH: usize = 32;

type ParseError = (Position, String);

impl<'t> Reader<'t> {
    /// The root: a mapping, or a list under the key `list`.
    fn document(&mut self, list: Option<&str>) -> Result<Table, ParseError> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_), _) => {}
                (Event::StreamEnd, _) => return Ok(Table::new()),
                (event, position) => {
                    let node = self.node(event, position.clone())?;
                    return match (node.value, list) {
                        (Value::Table(table), None) => Ok(table),
                        (value @ Value::Array(_), Some(key)) => {
                            let node = Node { position: node.position, value };
                            Ok(Table::from([(key.to_owned(), (position, node))]))
                        }
                        (Value::String(text), _) if text.is_empty() => Ok(Table::new()),
                        (other, _) => {
                            let expected = if list.is_some() { "a list" } else { "a mapping" };
                            Err((position, format!("expected {expected}, found {}", other.kind())))
                        }
                    };
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Position), ParseError> {
        match self.events.next() {
            Some(Ok((event, span))) => {
                let start = self.byte(&span.start);
                self.known = (span.start.index(), start);
                let end = self.byte(&span.end);
                Ok((event, Position { source: 0, span: start..end.max(start) }))
            }
            Some(Err(error)) => {
                let at = self.byte(error.marker());
                Err((Position { source: 0, span: at..at }, error.info().to_owned()))
            }
            None => Ok((Event::StreamEnd, Position { source: 0, span: self.text.len()..self.text.len() })),
        }
    }

    /// The byte offset of a marker, which counts characters.
    fn byte(&self, marker: &Marker) -> usize {
        let (character, byte) = self.known;
        let (skipped, from) = match marker.index().checked_sub(character) {
            Some(ahead) => (ahead, byte),
            None => (marker.index(), 0),
        };
        let rest = self.text.get(from..).unwrap_or_default();
        rest.char_indices().nth(skipped).map_or(self.text.len(), |(at, _)| from + at)
    }

    fn node(&mut self, event: Event<'t>, position: Position) -> Result<Node, ParseError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err((position, format!("nested deeper than {MAX_DEPTH}")));
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, None) if is_nothing(&text, style) => {
                let start = position.span.start;
                let position = Position { span: start..start, ..position };
                (Node { position, value: Value::String(String::new()) }, anchor)
            }
            Event::Scalar(text, _, anchor, None) => {
                (Node { position, value: Value::String(text.into_owned()) }, anchor)
            }
            Event::SequenceStart(anchor, None) => (Node { position, value: Value::Array(self.sequence()?) }, anchor),
            Event::MappingStart(anchor, None) => (Node { position, value: Value::Table(self.mapping()?) }, anchor),
            Event::Alias(anchor) => (self.alias(anchor, position)?, NO_ANCHOR),
            _ => return Err((position, "expected a value without a tag".to_owned())),
        };
        self.depth -= 1;
        if anchor != NO_ANCHOR {
            let (size, depth) = extent(&node);
            self.anchors.insert(anchor, (node.clone(), size, depth));
        }
        Ok(node)
    }

    /// A copy of the value that an alias stands for. Its positions are those of the value.
    fn alias(&mut self, anchor: usize, position: Position) -> Result<Node, ParseError> {
        const MAX_COPIED: usize = 10_000;
        let Some((node, size, depth)) = self.anchors.get(&anchor) else {
            return Err((position, "an alias of a value that it is a part of".to_owned()));
        };
        self.copied += size;
        if self.copied > MAX_COPIED || self.depth + depth > MAX_DEPTH {
            let limits = format!("{MAX_COPIED} values, or nested deeper than {MAX_DEPTH}");
            return Err((position, format!("aliases of more than {limits}: expand them, as yq 'explode(.)' does")));
        }
        Ok(node.clone())
    }

    fn sequence(&mut self) -> Result<Vec<Node>, ParseError> {
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(nodes),
                (event, position) => nodes.push(self.node(event, position)?),
            }
        }
    }

    fn mapping(&mut self) -> Result<Table, ParseError> {
        let (mut table, mut merged) = (Table::new(), Table::new());
        loop {
            let (key, at) = match self.next()? {
                (Event::MappingEnd, _) => {
                    merged.append(&mut table);
                    return Ok(merged);
                }
                (Event::Scalar(key, ..), at) => (key.into_owned(), at),
                (_, at) => return Err((at, "expected a key".to_owned())),
            };
            let (event, position) = self.next()?;
            let node = self.node(event, position)?;
            if key == "<<" {
                merge(node, &mut merged)?;
                continue;
            }
            if table.insert(key.clone(), (at.clone(), node)).is_some() {
                return Err((at, format!("{key} is there twice")));
            }
        }
    }
}

/// The anchor of a value that has none.
const NO_ANCHOR: usize = 0;

/// The number of values in a value, and how deep they are.
fn extent(node: &Node) -> (usize, usize) {
    let of = |nodes: &mut dyn Iterator<Item = &Node>| {
        let extents = nodes.map(extent);
        extents.fold((1, 0), |(size, depth), (below, deep)| (size + below, depth.max(deep)))
    };
    let (size, depth) = match &node.value {
        Value::Table(table) => of(&mut table.values().map(|(_, node)| node)),
        Value::Array(nodes) => of(&mut nodes.iter()),
        _ => (1, 0),
    };
    (size, depth + 1)
}

/// Adds the mapping, or the list of mappings, of a `<<`. Of a key of several, the first holds.
fn merge(node: Node, into: &mut Table) -> Result<(), ParseError> {
    match node.value {
        Value::Table(table) => {
            for (key, value) in table {
                into.entry(key).or_insert(value);
            }
            Ok(())
        }
        Value::Array(nodes) => nodes.into_iter().try_for_each(|node| merge(node, into)),
        _ => Err((node.position, "expected a mapping to merge".to_owned())),
    }
}

/// Whether a scalar is null.
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
    fn aliases_and_merges_are_their_values() {
        let aliased = "a: &x {text: b}\nlist: &l [c, *x]\nd: *l\ne:\n  <<: *x\n  f: g\nh: {<<: [*x, {text: i}], j: *x}\nk: &n\no: *n\n";
        let plain = "a: {text: b}\nlist: [c, {text: b}]\nd: [c, {text: b}]\ne: {text: b, f: g}\nh: {text: b, j: {text: b}}\nk:\no:\n";
        let root = |text: &str| Value::Table(parse("web.yml", text).unwrap().root);
        assert!(root(aliased).same(&root(plain)));
        // What holds is that of the mapping, wherever its merge is.
        assert!(root("a: &x {b: 1}\nc: {b: 2, <<: *x}\n").same(&root("a: {b: 1}\nc: {b: 2}\n")));
    }

    #[test]
    fn aliases_have_a_limit() {
        let mut text = "a: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let alias = format!("*a{}", level - 1);
            text.push_str(&format!("b{level}: &a{level} [{}]\n", vec![alias; 10].join(", ")));
        }
        let error = parse("web.yml", &text).unwrap_err().to_string();
        assert!(error.contains("aliases of more than 10000 values") && error.contains("yq 'explode(.)'"), "{error}");
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
            ("a: &x [*x]\n", "web.yml:1:8: an alias of a value that it is a part of"),
            ("b: *x\n", "web.yml:1:4: "),
            ("<<: 1\n", "web.yml:1:5: expected a mapping to merge"),
            ("- 1\n", "web.yml:1:1: expected a mapping, found a list"),
        ] {
            let found = parse("web.yml", text).unwrap_err().lines().collect::<Vec<_>>().join("");
            assert!(found.starts_with(line), "{text}: {found}");
        }
        assert!(parse("web.yml", "").unwrap().root.is_empty());
        assert!(parse("web.yml", &"[".repeat(10_000)).is_err());
    }
}
