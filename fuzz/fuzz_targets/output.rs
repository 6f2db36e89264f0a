//! Outputs of programs are read without a panic, in each format; names and numbers of points are sound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taffrail::encode::parse::json::{Names, Path, Selectors, TimeFormat};
use taffrail::encode::parse::line::{FieldValue, Point};
use taffrail::encode::parse::value::ValueType;
use taffrail::encode::parse::{json, nagios, value};

/// Names that begin with a letter.
#[derive(Default)]
struct Beginning(Option<char>);

impl Names for Beginning {
    fn has(&self, name: &str) -> bool {
        self.0.is_some_and(|first| name.starts_with(first))
    }
}

fn check(point: &Point<'_>) {
    for (name, value) in &point.fields {
        assert!(!name.is_empty());
        assert!(!matches!(value, FieldValue::Float(number) if !number.is_finite()));
    }
}

fuzz_target!(|body: &[u8]| {
    let text = String::from_utf8_lossy(body);
    // The first line of a document is the query and the layout of times.
    let (head, document) = text.split_once('\n').unwrap_or(("", &text));
    let (query, layout) = head.split_once(' ').unwrap_or((head, ""));
    let selectors = Selectors {
        query: Path::new(query).ok(),
        tags: Beginning(Some('t')),
        strings: Beginning(Some('s')),
        name: Some("name".to_owned()),
        time: TimeFormat::new(layout, "").ok().map(|format| ("at".to_owned(), format)),
        is_strict: false,
    };
    json::points(document, &selectors, &mut |_| {}).into_iter().flatten().for_each(|point| check(&point));
    let status = body.first().map(|byte| i32::from(*byte));
    nagios::points(&text, status, &mut |_| {}).iter().for_each(check);
    for of in ["integer", "float", "string", "boolean", "base64"] {
        value::point(body, ValueType::named(of).unwrap(), "value").into_iter().flatten().for_each(|point| check(&point));
    }
});
