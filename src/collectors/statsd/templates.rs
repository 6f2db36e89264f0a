//! Telegraf's templates: how the parts of a name become measurement, field and tags.
//!
//! `[FILTER] PARTS [TAG=VALUE,...]`. The parts of the filter are words or `*`; of several that match, the most specific
//! one wins. The parts of the template are `measurement`, `field`, a tag, or empty; `measurement*` and `field*` take all
//! that remain.

/// Templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Templates {
    separator: String,
    templates: Vec<Template>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Template {
    /// Parts; empty if it matches all names.
    filter: Vec<String>,
    parts: Vec<String>,
    tags: Vec<(String, String)>,
}

/// What a name becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Templated {
    pub(super) measurement: String,
    /// The field, or empty.
    pub(super) field: String,
    pub(super) tags: Vec<(String, String)>,
}

impl Templates {
    /// None yet; `separator` joins the parts of a measurement.
    pub(super) fn new(separator: &str) -> Templates {
        Templates { separator: separator.to_owned(), templates: Vec::new() }
    }

    /// Adds a template.
    ///
    /// # Errors
    /// Why it is invalid.
    pub(super) fn push(&mut self, text: &str) -> Result<(), String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (filter, parts, tags) = match words[..] {
            [parts] => ("", parts, ""),
            [parts, tags] if tags.contains('=') => ("", parts, tags),
            [filter, parts] => (filter, parts, ""),
            [filter, parts, tags] => (filter, parts, tags),
            _ => return Err("expected \"[FILTER] TEMPLATE [TAG=VALUE,...]\"".to_owned()),
        };
        let split = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        let parts = split(parts);
        if !parts.iter().any(|part| part.starts_with("measurement")) {
            return Err(format!("expected a part called measurement in {text:?}"));
        }
        let tag = |tag: &str| {
            let (key, value) = tag.split_once('=').ok_or_else(|| format!("expected TAG=VALUE, found {tag:?}"))?;
            Ok::<_, String>((key.to_owned(), value.to_owned()))
        };
        let tags = tags.split(',').filter(|text| !text.is_empty()).map(tag).collect::<Result<_, _>>()?;
        let filter = if filter.is_empty() { Vec::new() } else { split(filter) };
        self.templates.push(Template { filter, parts, tags });
        Ok(())
    }

    /// Splits a name.
    pub(super) fn apply(&self, name: &str) -> Templated {
        let parts: Vec<&str> = name.split('.').collect();
        let matching = self.templates.iter().filter_map(|template| Some((template.rank(&parts)?, template)));
        match matching.max_by(|(one, _), (other, _)| one.cmp(other)) {
            Some((_, template)) => template.apply(&parts, &self.separator),
            None => Templated { measurement: parts.join(&self.separator), ..Templated::default() },
        }
    }
}

impl Template {
    /// How specific its filter is, if it matches: each part that is a word, then its length.
    fn rank(&self, parts: &[&str]) -> Option<(Vec<bool>, usize)> {
        let pairs = self.filter.iter().zip(parts);
        let matches =
            self.filter.len() <= parts.len() && pairs.clone().all(|(filter, part)| filter == "*" || filter == part);
        matches.then(|| (pairs.map(|(filter, _)| filter != "*").collect(), self.filter.len()))
    }

    fn apply(&self, parts: &[&str], separator: &str) -> Templated {
        let (mut measurement, mut field, mut tags) = (Vec::new(), Vec::new(), Vec::<(String, Vec<&str>)>::new());
        for (index, kind) in self.parts.iter().enumerate().take(parts.len()) {
            match kind.as_str() {
                "" => {}
                "measurement" => measurement.push(parts[index]),
                "field" => field.push(parts[index]),
                "measurement*" => {
                    measurement.extend(&parts[index..]);
                    break;
                }
                "field*" => {
                    field.extend(&parts[index..]);
                    break;
                }
                tag => match tags.iter_mut().find(|(known, _)| known == tag) {
                    Some((_, values)) => values.push(parts[index]),
                    None => tags.push((tag.to_owned(), vec![parts[index]])),
                },
            }
        }
        let mut all = self.tags.clone();
        for (tag, values) in tags {
            all.retain(|(known, _)| *known != tag);
            all.push((tag, values.join(separator)));
        }
        let measurement = if measurement.is_empty() { parts.join(separator) } else { measurement.join(separator) };
        Templated { measurement, field: field.join(separator), tags: all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(templates: &[&str], name: &str) -> (String, String, String) {
        let mut all = Templates::new("_");
        templates.iter().for_each(|template| all.push(template).unwrap());
        let Templated { measurement, field, tags } = all.apply(name);
        let tags: Vec<_> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        (measurement, field, tags.join(","))
    }

    #[test]
    fn parts_become_measurement_field_and_tags() {
        let templates = [
            "measurement.field",
            "cpu.* measurement.host.field* region=eu",
            "cpu.a.* measurement.measurement.core",
            "* measurement*",
        ];
        for (name, measurement, field, tags) in [
            ("users.current", "users_current", "", ""),
            ("cpu.h1.load.short", "cpu", "load_short", "region=eu,host=h1"),
            ("cpu.a.3", "cpu_a", "", "core=3"),
            ("one", "one", "", ""),
        ] {
            let expected = (measurement.to_owned(), field.to_owned(), tags.to_owned());
            assert_eq!(apply(&templates, name), expected, "{name}");
        }
        assert_eq!(apply(&[], "a.b.c").0, "a_b_c");
        assert_eq!(apply(&["measurement.field"], "a.b"), ("a".to_owned(), "b".to_owned(), String::new()));
        assert_eq!(
            apply(&["host..measurement.host"], "a.b.c.d"),
            ("c".to_owned(), String::new(), "host=a_d".to_owned())
        );
    }

    #[test]
    fn an_invalid_template_is_an_error() {
        for text in ["", "a b c d", "host.field", "a.* measurement tag", "measurement x y"] {
            assert!(Templates::new("_").push(text).is_err(), "{text}");
        }
    }
}
