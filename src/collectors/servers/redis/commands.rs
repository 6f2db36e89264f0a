//! `[[collectors.redis.commands]]`: commands of the user, whose replies are values.

use super::names::COMMAND_VALUE;
use super::resp::Reply;
use crate::collectors::servers::outcome::{Found, Row};
use crate::collectors::servers::owned::Owned;
use crate::config::{Key, KeyInfo, Section, TableInfo};

/// A command, and what its reply becomes.
pub(super) struct Command {
    words: Vec<String>,
    field: String,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Integer,
    Float,
}

const COMMAND: Key<Vec<String>> =
    Key::optional("command", "The command and its arguments, such as [\"LLEN\", \"jobs\"].");
const FIELD: Key<String> = Key::optional("field", "The field of the point `redis_commands`, and the label `field`.");
const TYPE: Key<String> =
    Key::new("type", "\"string\"", "Type of the field: string, integer or float. The family has the numbers.");
const KEYS: &[KeyInfo] = &[COMMAND.info(), FIELD.info(), TYPE.info()];
/// The list of tables.
pub(super) const TABLE: TableInfo = TableInfo {
    name: "commands",
    about: "Commands whose replies are fields of the point `redis_commands`; at most 100. They run at each query.",
    keys: KEYS,
};

const MAX_COMMANDS: usize = 100;
/// Bytes of a string field, the most that InfluxDB stores.
const MAX_TEXT: usize = 64 << 10;

/// The commands in a section.
pub(super) fn all(section: &mut Section<'_>) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    for mut table in section.tables(TABLE.name) {
        let command = Command::new(&mut table);
        if command.words.is_empty() {
            table.wrong("command", "required: the command and its arguments");
        } else if command.field.is_empty() {
            table.wrong("field", "required: the name of the field");
        } else if commands.iter().any(|other| other.field == command.field) {
            table.wrong("field", format!("there is a field {:?} already", command.field));
        }
        if commands.len() == MAX_COMMANDS {
            table.wrong("command", format!("expected at most {MAX_COMMANDS} commands"));
        }
        commands.push(command);
    }
    commands
}

impl Command {
    fn new(table: &mut Section<'_>) -> Command {
        let kind = match table.get(&TYPE).as_str() {
            "string" => Kind::Text,
            "integer" => Kind::Integer,
            "float" => Kind::Float,
            other => {
                table.wrong("type", format!("expected string, integer or float, found {other:?}"));
                Kind::Text
            }
        };
        let (words, field) = (table.optional(&COMMAND).unwrap_or_default(), table.optional(&FIELD).unwrap_or_default());
        Command { words, field, kind }
    }

    pub(super) fn words(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }

    /// Writes the reply. A key that is not there has no field; a reply of another type is left out.
    pub(super) fn write(&self, reply: &Reply, row: &mut Row, found: &mut Found) {
        let text = match reply {
            Reply::Text(text) => text.clone(),
            Reply::Integer(number) => number.to_string(),
            Reply::Error(reason) => return found.malformed(&self.field, "a value", reason),
            Reply::List(list) if list.is_empty() => return,
            Reply::List(_) => return found.malformed(&self.field, "a value", "a list"),
        };
        let value = match self.kind {
            Kind::Text if text.len() <= MAX_TEXT => Some(Owned::Text(text.clone())),
            Kind::Text => return found.malformed(&self.field, "at most 64 KiB", "a longer text"),
            Kind::Integer => text.parse().ok().map(Owned::Integer),
            Kind::Float => text.parse().ok().filter(|number: &f64| number.is_finite()).map(Owned::Float),
        };
        let number = match &value {
            Some(Owned::Integer(number)) => Some(*number as f64),
            Some(Owned::Float(number)) => Some(*number),
            Some(Owned::Text(_)) => None,
            None => return found.malformed(&self.field, "a number", &text),
        };
        if let Some(number) = number {
            found.add(&COMMAND_VALUE, vec![("field", self.field.clone())], number);
        }
        row.fields.extend(value.map(|value| (self.field.clone().into(), value)));
    }
}

/// A command for the golden.
#[cfg(test)]
pub(super) fn complete(row: &mut Row, found: &mut Found) {
    let command = Command { words: Vec::new(), field: "jobs".to_owned(), kind: Kind::Integer };
    command.write(&Reply::Integer(1), row, found);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_has_the_type_of_the_settings_or_is_left_out() {
        let text = |text: &str| Reply::Text(text.to_owned());
        for (kind, reply, field, malformed) in [
            (Kind::Integer, Reply::Integer(5), Some(Owned::Integer(5)), None),
            (Kind::Integer, text("7"), Some(Owned::Integer(7)), None),
            (Kind::Integer, text("7.5"), None, Some("f: expected a number, found \"7.5\"")),
            (Kind::Float, text("7.5"), Some(Owned::Float(7.5)), None),
            (Kind::Float, text("inf"), None, Some("f: expected a number, found \"inf\"")),
            (Kind::Text, text("a b"), Some(Owned::Text("a b".to_owned())), None),
            (Kind::Text, Reply::Integer(5), Some(Owned::Text("5".to_owned())), None),
            (Kind::Text, Reply::List(Vec::new()), None, None),
            (Kind::Text, Reply::List(vec![text("a")]), None, Some("f: expected a value, found \"a list\"")),
            (Kind::Text, Reply::Error("NOPERM x".to_owned()), None, Some("f: expected a value, found \"NOPERM x\"")),
            (
                Kind::Text,
                text(&"x".repeat(MAX_TEXT + 1)),
                None,
                Some("f: expected at most 64 KiB, found \"a longer text\""),
            ),
        ] {
            let (mut row, mut found) = (Row::new("redis_commands"), Found::default());
            Command { words: Vec::new(), field: "f".to_owned(), kind }.write(&reply, &mut row, &mut found);
            assert_eq!(row.fields.into_iter().next().map(|(_, value)| value), field, "{reply:?}");
            assert_eq!(found.malformed.as_deref(), malformed, "{reply:?}");
            assert_eq!(found.samples.len(), usize::from(matches!(field, Some(Owned::Integer(_) | Owned::Float(_)))));
        }
    }
}
