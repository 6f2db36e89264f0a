//! The table of a program's flags, and their translation.

use super::command_line::{Given, Syntax, parse};
use super::output::{literal, strings};
use super::translation::{EntryId, Outcome, Source, Translation};
use super::units::{duration, go_duration};

/// A program that is configured by flags.
#[derive(Debug)]
pub struct Program {
    /// Its name in messages.
    pub name: &'static str,
    /// The release that the table is of.
    pub version: &'static str,
    /// How its command line is written.
    pub syntax: Syntax,
    /// Collectors, which `--collector.NAME` and `--no-collector.NAME` switch.
    pub collectors: &'static [&'static str],
    /// All other flags.
    pub flags: &'static [Flag],
    /// Earlier names of flags, with the present ones.
    pub renamed: &'static [(&'static str, &'static str)],
    /// Collectors of earlier releases, with what to do instead.
    pub removed: &'static [(&'static str, &'static str)],
}

/// A flag: its name, its value, and what becomes of it.
#[derive(Debug)]
pub struct Flag {
    /// The name, without hyphens.
    pub name: &'static str,
    /// What its value is.
    pub takes: Takes,
    /// What becomes of it.
    pub becomes: Becomes,
}

/// What the value of a flag is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing: `--name` is true, `--no-name` false.
    Switch,
    /// A string.
    Text,
    /// An integer.
    Number,
    /// A duration as Go writes it.
    Duration,
    /// A string; the flag may be given several times.
    List,
    /// Strings between commas; the flag may be given several times.
    Words,
    /// An address such as `:9100`; the flag may be given several times.
    Addresses,
}

/// What becomes of a flag.
#[derive(Clone, Copy, Debug)]
pub enum Becomes {
    /// A setting with the same value, as `TABLE.KEY`.
    Setting(&'static str),
    /// A setting with the same value, and a difference.
    Changed(&'static str, &'static str),
    /// Nothing, for this reason.
    NotNeeded(&'static str),
    /// Nothing, unless it has its default; this is what to do instead.
    Missing {
        /// The default; empty if there is none.
        default: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
    /// What the function decides by the value.
    By(fn(&str) -> Decision),
}

/// What becomes of a flag with a certain value.
#[derive(Debug)]
pub struct Decision {
    /// Settings as `TABLE.KEY`, with TOML values.
    pub settings: Vec<(&'static str, String)>,
    /// What is reported.
    pub outcome: Outcome,
}

impl Decision {
    /// No setting.
    pub fn none(outcome: Outcome) -> Decision {
        Decision { settings: Vec::new(), outcome }
    }

    /// One setting.
    pub fn one(setting: &'static str, value: String, outcome: Outcome) -> Decision {
        Decision { settings: vec![(setting, value)], outcome }
    }
}

impl Program {
    /// The flag of this name, or of this earlier name.
    pub fn flag(&self, name: &str) -> Option<&'static Flag> {
        let name = self.present_name(name).unwrap_or(name);
        self.flags.iter().find(|flag| flag.name == name)
    }

    fn present_name(&self, name: &str) -> Option<&'static str> {
        self.renamed.iter().find(|(old, _)| *old == name).map(|(_, new)| *new)
    }

    /// Whether the flag of this name takes no value; none if there is no such flag.
    fn is_switch(&self, name: &str) -> Option<bool> {
        if self.collector(name).is_some() || matches!(name, "help" | "version") {
            return Some(true);
        }
        self.flag(name).map(|flag| flag.takes == Takes::Switch)
    }

    fn collector(&self, flag: &str) -> Option<&'static str> {
        let name = flag.strip_prefix("collector.")?;
        self.collectors.iter().copied().find(|collector| *collector == name)
    }

    /// Translates a command line, without the program's name. `source` is the file and line that it stands in.
    pub fn translate(&self, arguments: &[String], source: &Source) -> Translation {
        let mut translation = Translation::default();
        let mut seen: Vec<String> = Vec::new();
        for mut given in parse(self.syntax, arguments, &|name| self.is_switch(name)) {
            given.hide_secrets();
            let source = Source { flag: format!("{}{}", given.hyphens, given.name), ..source.clone() };
            let is_again = given.mistake.is_none() && seen.contains(&given.name) && self.is_once(&given.name);
            seen.push(given.name.clone());
            if is_again && self.syntax == Syntax::Kingpin {
                let twice = format!("{} takes this flag once; leave one out", self.name);
                translation.add(source, given.text, Outcome::Missing(twice));
                continue;
            }
            self.translate_one(&mut translation, source, given);
        }
        translation
    }

    fn is_once(&self, name: &str) -> bool {
        self.flag(name).is_none_or(|flag| !matches!(flag.takes, Takes::List | Takes::Words | Takes::Addresses))
    }

    fn translate_one(&self, translation: &mut Translation, source: Source, given: Given) {
        if let Some(mistake) = given.mistake {
            translation.add(source, given.text, Outcome::Missing(mistake));
        } else if let Some(collector) = self.collector(&given.name) {
            let entry = translation.add(source, given.text, Outcome::Same);
            let is_on = (!given.is_negated).to_string();
            translation.output.table(&format!("collectors.{collector}")).set("enabled", is_on, entry);
        } else if self.present_name(&given.name).is_some() && given.value.is_empty() {
            let default = "an empty value under its earlier name is the default".to_owned();
            translation.add(source, given.text, Outcome::NotNeeded(default));
        } else if let Some(flag) = self.flag(&given.name) {
            let entry = translation.add(source, given.text, Outcome::Same);
            let decision = flag.decide(&given.value, given.is_negated);
            apply(translation, flag.takes, entry, decision);
            let outcome = &mut translation.entries[entry].outcome;
            if let (Some(present), Outcome::Same) = (self.present_name(&given.name), &*outcome) {
                *outcome = Outcome::Changed(format!("its present name is --{present}"));
            }
        } else if matches!(given.name.as_str(), "help" | "h" | "version") {
            translation.add(source, given.text, Outcome::NotNeeded("it ends the program".to_owned()));
        } else {
            let removed = self.removed.iter().find(|(name, _)| *name == given.name).map(|(_, instead)| *instead);
            let unknown = format!("{} {} has no such flag", self.name, self.version);
            translation.add(source, given.text, Outcome::Missing(removed.map_or(unknown, str::to_owned)));
        }
    }
}

/// Writes the settings of a decision.
fn apply(translation: &mut Translation, takes: Takes, entry: EntryId, decision: Decision) {
    for (setting, value) in decision.settings {
        let (table, key) = setting.rsplit_once('.').unwrap_or(("", setting));
        let table = translation.output.table(table);
        match takes {
            Takes::List | Takes::Addresses => table.push(key, value, entry),
            Takes::Words | Takes::Switch | Takes::Text | Takes::Number | Takes::Duration => {
                table.set(key, value, entry)
            }
        };
    }
    translation.entries[entry].outcome = decision.outcome;
}

impl Flag {
    fn decide(&self, value: &str, is_negated: bool) -> Decision {
        let value = match self.takes {
            Takes::Switch => {
                if is_negated {
                    "false"
                } else {
                    "true"
                }
            }
            _ => value,
        };
        match self.becomes {
            Becomes::Setting(setting) => self.setting(setting, value, Outcome::Same),
            Becomes::Changed(setting, how) => self.setting(setting, value, Outcome::Changed(how.to_owned())),
            Becomes::NotNeeded(reason) => Decision::none(Outcome::NotNeeded(reason.to_owned())),
            Becomes::Missing { default, .. } if value == default => {
                Decision::none(Outcome::NotNeeded("it is the default".to_owned()))
            }
            Becomes::Missing { instead, .. } => Decision::none(Outcome::Missing(instead.to_owned())),
            Becomes::By(decide) => decide(value),
        }
    }

    fn setting(&self, setting: &'static str, value: &str, outcome: Outcome) -> Decision {
        match self.takes.to_toml(value) {
            Ok(toml) => Decision::one(setting, toml, outcome),
            Err(expected) => Decision::none(Outcome::Missing(format!("expected {expected}"))),
        }
    }
}

impl Takes {
    /// The value as TOML.
    ///
    /// # Errors
    /// What is expected instead.
    fn to_toml(self, value: &str) -> Result<String, &'static str> {
        match self {
            Takes::Switch => Ok(value.to_owned()),
            Takes::Text | Takes::List => Ok(literal(value)),
            Takes::Number => value.parse::<i64>().map(|number| number.to_string()).map_err(|_| "an integer"),
            Takes::Duration => {
                go_duration(value).map(|value| literal(&duration(value))).ok_or("a duration such as 5m or 1h30m")
            }
            Takes::Words => {
                let words: Vec<&str> = value.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
                Ok(strings(&words))
            }
            Takes::Addresses => address(value).map(|address| literal(&address)),
        }
    }

    /// The value in a help text.
    pub fn placeholder(self) -> &'static str {
        match self {
            Takes::Switch => "",
            Takes::Text | Takes::List => "=TEXT",
            Takes::Number => "=NUMBER",
            Takes::Duration => "=DURATION",
            Takes::Words => "=WORD,…",
            Takes::Addresses => "=ADDRESS",
        }
    }
}

/// An address of Go's `net.Listen`, whose host may be a name.
fn address(text: &str) -> Result<String, &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("an address with a port")?;
    match host {
        "vsock" | "vsock:" | "vsock://" => Err("an address of TCP; Taffrail does not listen on vsock"),
        "localhost" => Ok(format!("127.0.0.1:{port}")),
        _ if text.starts_with("vsock:") => Err("an address of TCP; Taffrail does not listen on vsock"),
        _ => Ok(text.to_owned()),
    }
}
