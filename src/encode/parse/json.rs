//! Parses JSON into Telegraf's points: an object is a point, an array has one for each of its objects.
//!
//! Nested names and indices of arrays are joined by `_`. Numbers are floats. Strings and booleans are fields or tags
//! only if they are selected by name; null is left out.

mod path;
mod time;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

pub use self::path::Path;
pub use self::time::TimeFormat;
use super::line::{FieldValue, Point};

/// What becomes of the values of an object.
#[derive(Clone, Debug, Default)]
pub struct Selectors<M> {
    /// The part of the document that has the objects; all of it if `None`.
    pub query: Option<Path>,
    /// Names of values that are tags.
    pub tags: M,
    /// Names of strings and booleans that are fields.
    pub strings: M,
    /// The name of the string that is the measurement.
    pub name: Option<String>,
    /// The name of the value that is the time, and its format.
    pub time: Option<(String, TimeFormat)>,
    /// Whether an invalid object of an array fails the whole output.
    pub is_strict: bool,
}

/// A set of names.
pub trait Names {
    /// Whether the set has this name.
    fn has(&self, name: &str) -> bool;
}

/// Nesting of objects and arrays that is read.
const MAX_DEPTH: usize = 64;
/// Values of one object.
const MAX_VALUES: usize = 100_000;

/// The values of an object, by their joined names.
type Values = BTreeMap<String, Value>;

#[derive(Debug)]
enum Value {
    Number(f64),
    Boolean(bool),
    Text(String),
}

/// The points of a document, without those of objects that are reported to `problem`. Points without
/// [`Selectors::name`] have no measurement.
///
/// # Errors
/// The document is malformed, the query finds neither an object nor an array, or, if strict, an object is invalid.
pub fn points<M: Names>(
    document: &str,
    selectors: &Selectors<M>,
    problem: &mut dyn FnMut(String),
) -> Result<Vec<Point<'static>>, String> {
    let document = document.trim().trim_start_matches('\u{feff}').trim();
    if document.is_empty() {
        return Ok(Vec::new());
    }
    let whole: &RawValue = serde_json::from_str(document).map_err(|error| format!("malformed JSON: {error}"))?;
    let found: Cow<'_, str> = match &selectors.query {
        None => whole.get().into(),
        Some(path) => match path.find(whole.get()) {
            Some(found) => found,
            None => return Ok(Vec::new()),
        },
    };
    match found.as_bytes().first() {
        Some(b'{') => Ok(vec![point(&found, selectors)?]),
        Some(b'[') => {
            let mut points = Vec::new();
            for (index, element) in elements(&found)?.into_iter().enumerate() {
                match point(element.get(), selectors) {
                    Ok(point) => points.push(point),
                    Err(what) if selectors.is_strict => return Err(format!("object {index}: {what}")),
                    Err(what) => problem(format!("an object is left out: {what}")),
                }
            }
            Ok(points)
        }
        _ if &*found == "null" => Ok(Vec::new()),
        _ => Err("expected an object or an array of objects, found another value".to_owned()),
    }
}

fn elements(array: &str) -> Result<Vec<&RawValue>, String> {
    serde_json::from_str(array).map_err(|error| format!("malformed JSON: {error}"))
}

fn point<M: Names>(object: &str, selectors: &Selectors<M>) -> Result<Point<'static>, String> {
    if !object.starts_with('{') {
        return Err("expected an object, found another value".to_owned());
    }
    let mut values = Values::new();
    flatten(String::new(), object, 0, &mut values)?;
    let measurement = match selectors.name.as_ref().map(|name| values.get(name)) {
        Some(Some(Value::Text(name))) => name.clone(),
        _ => String::new(),
    };
    let mut time = None;
    if let Some((name, format)) = &selectors.time {
        let value = values.remove(name).ok_or_else(|| format!("json_time_key: there is no value {name:?}"))?;
        time = Some(format.nanoseconds(&value.text()).map_err(|what| format!("json_time_key: {what}"))?);
    }
    let (mut tags, mut fields) = (Vec::new(), Vec::new());
    for (name, value) in values {
        if selectors.tags.has(&name) {
            tags.push((name.into(), value.text().into()));
            continue;
        }
        let value = match value {
            Value::Number(number) => FieldValue::Float(number),
            _ if !selectors.strings.has(&name) => continue,
            Value::Boolean(flag) => FieldValue::Boolean(flag),
            Value::Text(text) => FieldValue::Text(text.into()),
        };
        fields.push((name.into(), value));
    }
    Ok(Point { measurement: measurement.into(), tags, fields, time })
}

impl Value {
    /// The value as a tag.
    fn text(self) -> String {
        match self {
            Value::Number(number) => number.to_string(),
            Value::Boolean(flag) => flag.to_string(),
            Value::Text(text) => text,
        }
    }
}

/// Adds a value, or the values in it. Of two with the same name, the last one counts.
fn flatten(name: String, value: &str, depth: usize, values: &mut Values) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("more than {MAX_DEPTH} levels of nesting"));
    }
    if values.len() > MAX_VALUES {
        return Err(format!("more than {MAX_VALUES} values"));
    }
    let malformed = |error: serde_json::Error| format!("malformed JSON: {error}");
    let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}_{key}") };
    let inserted = match value.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(value).map_err(malformed)?;
            for (key, member) in members {
                let name = below(&key).trim_matches('_').to_owned();
                flatten(name, member.get(), depth + 1, values)?;
            }
            return Ok(());
        }
        Some(b'[') => {
            for (index, element) in elements(value)?.into_iter().enumerate() {
                flatten(below(&index.to_string()), element.get(), depth + 1, values)?;
            }
            return Ok(());
        }
        Some(b'"') => Value::Text(serde_json::from_str(value).map_err(malformed)?),
        Some(b't') => Value::Boolean(true),
        Some(b'f') => Value::Boolean(false),
        Some(b'n') | None => return Ok(()),
        // serde_json rounds long numbers less exactly.
        Some(_) => match value.parse() {
            Ok(number) if f64::is_finite(number) => Value::Number(number),
            _ => return Err(format!("{name}: the number is too large")),
        },
    };
    if !name.is_empty() {
        values.insert(name, inserted);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::parse::line::shown;

    impl Names for Vec<&str> {
        fn has(&self, name: &str) -> bool {
            self.contains(&name)
        }
    }

    fn read(document: &str, selectors: &Selectors<Vec<&str>>) -> (Result<Vec<String>, String>, Vec<String>) {
        let mut problems = Vec::new();
        let points = points(document, selectors, &mut |problem| problems.push(problem));
        (points.map(|points| points.iter().map(shown).collect()), problems)
    }

    fn lines(document: &str, selectors: &Selectors<Vec<&str>>) -> Vec<String> {
        let (points, problems) = read(document, selectors);
        assert!(problems.is_empty(), "{problems:?}");
        points.unwrap()
    }

    const ALL: &str =
        r#"{"a":1,"b":true,"s":"x","n":null,"o":{"p":2.5,"l":[3,"y"]},"t":"tag","big":12345678901234567890}"#;

    #[test]
    fn an_object_is_a_point_of_numbers() {
        // Telegraf 1.37.2 writes exec a=1,o_p=2.5,o_l_0=3,big=12345678901234567000.
        assert_eq!(lines(ALL, &Selectors::default()), [" a=1f,big=12345678901234567000f,o_l_0=3f,o_p=2.5f".to_owned()]);
    }

    #[test]
    fn strings_and_booleans_are_selected_by_name() {
        let selectors = Selectors {
            tags: vec!["t", "a"],
            strings: vec!["b", "o_l_1"],
            name: Some("s".to_owned()),
            ..Selectors::default()
        };
        assert_eq!(
            lines(ALL, &selectors),
            ["x,a=1,t=tag b=true,big=12345678901234567000f,o_l_0=3f,o_l_1=\"y\",o_p=2.5f"]
        );
    }

    #[test]
    fn an_invalid_object_costs_itself_unless_strict() {
        let array = r#"[{"a":1,"at":5},7,{"a":1e999,"at":5},{"a":2},{"a":3,"at":"6"}]"#;
        let mut selectors =
            Selectors { time: Some(("at".to_owned(), TimeFormat::Unix(1_000_000_000))), ..Selectors::default() };
        let (points, problems) = read(array, &selectors);
        assert_eq!(points.unwrap(), [" a=1f 5000000000", " a=3f 6000000000"]);
        assert_eq!(problems.len(), 3, "{problems:?}");
        selectors.is_strict = true;
        assert_eq!(read(array, &selectors).0.unwrap_err(), "object 1: expected an object, found another value");
    }

    #[test]
    fn malformed_documents_are_errors_and_empty_ones_are_not() {
        for (document, start) in
            [("{", "malformed JSON"), ("7", "expected an object"), ("{\"a\":1} x", "malformed JSON"), ("\u{1}", "malf")]
        {
            let found = read(document, &Selectors::default()).0.unwrap_err();
            assert!(found.starts_with(start), "{found}");
        }
        assert_eq!(lines(" \u{feff}\n", &Selectors::default()), [] as [&str; 0]);
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(100), "]".repeat(100));
        assert!(read(&deep, &Selectors::default()).0.unwrap_err().contains("64 levels"));
    }

    #[test]
    fn a_query_selects_the_objects() {
        let document = r#"{"data":{"list":[{"v":1,"k":{"x":2}},{"v":3,"k":{"x":4}}],"a.b":{"c":5}},"n":null}"#;
        let query = |text: &str| Selectors { query: Some(Path::new(text).unwrap()), ..Selectors::default() };
        for (text, expected) in [
            ("data.list", vec![" k_x=2f,v=1f", " k_x=4f,v=3f"]),
            ("data.list.1", vec![" k_x=4f,v=3f"]),
            ("data.list.#.k", vec![" x=2f", " x=4f"]),
            ("data.a\\.b", vec![" c=5f"]),
            ("data.list.0.k", vec![" x=2f"]),
            ("@this.data.list.0.k", vec![" x=2f"]),
            ("n", vec![]),
            ("absent.k", vec![]),
        ] {
            assert_eq!(lines(document, &query(text)), expected, "{text}");
        }
        assert!(read(document, &query("data.list.#")).0.is_err(), "a number of elements is no object");
    }
}
