//! The configuration of process-exporter: each item is a group of `[collectors.procstat]`.

use super::lines::Lines;
use super::output::literal;
use super::translation::{EntryId, Outcome, Translation};
use super::yaml_lines::{NO_SUCH_KEY, Pair, YamlFile, pairs};
use crate::config::{Problems, yaml};

const GROUPS: &str = "collectors.procstat.groups";

/// Variables of names, as process-exporter and Taffrail write them.
#[rustfmt::skip]
const VARIABLES: &[(&str, &str)] = &[
    (".Comm",     "{comm}"),
    (".ExeBase",  "{exe}"),
    (".ExeFull",  "{exe_path}"),
    (".Username", "{user}"),
    (".PID",      "{pid}"),
    (".Cgroups",  "{cgroup}"),
];

/// Lists of an item, with the selectors that they become.
#[rustfmt::skip]
const SELECTORS: &[(&str, &str)] = &[
    ("comm",    "process_names"),
    ("exe",     "executables"),
    ("cmdline", "patterns"),
];

/// Translates a file.
///
/// # Errors
/// It is no YAML.
pub fn translate(file: &str, text: &str) -> Result<Translation, Problems> {
    let document = yaml::parse_single(file, text)?;
    let mut reader = YamlFile { file, lines: Lines::new(text), translation: Translation::default() };
    for pair in pairs(&document.root) {
        match pair.key {
            "process_names" => {
                for item in reader.list(&pair) {
                    group(&mut reader, &item);
                }
            }
            _ => drop(reader.whole(&pair, Outcome::Missing(NO_SUCH_KEY.to_owned()))),
        }
    }
    Ok(reader.finish())
}

fn group(reader: &mut YamlFile<'_>, item: &[Pair<'_>]) {
    let first = reader.translation.entries.len();
    let (mut head, mut lost) = (None, None);
    for pair in item {
        let entry = reader.whole(pair, Outcome::Same);
        if head.is_none() {
            reader.translation.output.element(GROUPS, entry).set("name", literal("{exe}"), entry);
            head = Some(entry);
        }
        let outcome = key(reader, pair, entry);
        if matches!(outcome, Outcome::Missing(_)) && outcome.remark() != NO_SUCH_KEY {
            lost = Some(pair.key);
        }
        reader.translation.entries[entry].outcome = outcome;
    }
    if let (Some(head), Some(key)) = (head, lost) {
        reader.translation.drop_element(head, first, key, "the group would have other processes, or another name");
    }
}

fn key(reader: &mut YamlFile<'_>, pair: &Pair<'_>, entry: EntryId) -> Outcome {
    let group = reader.translation.output.last_element(GROUPS);
    if pair.key == "name" {
        let Some(name) = name(pair.text()) else {
            return Outcome::Missing("expected text and variables such as {{.Comm}}".to_owned());
        };
        group.refine("name", literal(&name), entry);
        return Outcome::Same;
    }
    let Some((_, selector)) = SELECTORS.iter().find(|(key, _)| *key == pair.key) else {
        return Outcome::Missing(NO_SUCH_KEY.to_owned());
    };
    let texts = pair.texts();
    if pair.key == "cmdline" && texts.len() > 1 {
        return Outcome::Missing("all expressions must match, in Taffrail any: join them, such as one.*two".to_owned());
    }
    for text in texts {
        group.push(selector, literal(text), entry);
    }
    Outcome::Same
}

/// A name with Taffrail's variables; none with another function of Go's templates.
fn name(text: &str) -> Option<String> {
    let (mut name, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once("{{") {
        let (variable, after) = behind.split_once("}}")?;
        let variable = variable.trim();
        name += before;
        match (VARIABLES.iter().find(|(theirs, _)| *theirs == variable), variable.strip_prefix(".Matches.")) {
            (Some((_, ours)), _) => name += ours,
            (None, Some(part)) => name += &format!("{{{part}}}"),
            (None, None) => return None,
        }
        rest = after;
    }
    Some(name + rest)
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn names_have_the_variables_of_taffrail() {
        assert_eq!(name("{{.Comm}} of {{ .Username }}").as_deref(), Some("{comm} of {user}"));
        assert_eq!(name("java:{{.Matches.Jar}}").as_deref(), Some("java:{Jar}"));
        assert_eq!(name("{{.StartTime}}"), None);
        assert_eq!(name("{{.Comm"), None);
    }
}
