//! `[log]`, and the levels on the command line.

use std::fmt;
use std::str::FromStr;

use tracing::Level;

use crate::config::{Key, KeyInfo, Section, Setting, Value};

/// `[log]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What is logged.
    pub levels: Levels,
    /// The format of a line.
    pub format: Format,
}

const LEVEL: Key<Levels> = Key::new(
    "level",
    "\"info\"",
    "How much to log: error, warn, info or debug. Modules can have levels of their own: \"info,gateway=debug\". --log-level overrides it.",
);
const FORMAT: Key<Format> = Key::new(
    "format",
    "\"text\"",
    "The format of lines: text, without the time, as the journal adds it; logfmt or json, with time, level, module, msg and further fields.",
);

/// The settings of `[log]`.
pub const KEYS: &[KeyInfo] = &[LEVEL.info(), FORMAT.info()];

impl Settings {
    /// The settings in `section`; `levels` of the command line override it.
    pub fn new(section: &mut Section<'_>, levels: Option<&Levels>) -> Settings {
        let configured = section.get(&LEVEL);
        Settings { levels: levels.cloned().unwrap_or(configured), format: section.get(&FORMAT) }
    }
}

/// The format of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `LEVEL message field=value`.
    #[default]
    Text,
    /// `time=… level=… msg=…`
    Logfmt,
    /// An object for each line, with the same keys.
    Json,
}

impl Setting for Format {
    const EXPECTED: &'static str = "text, logfmt or json";

    fn from_value(value: &Value) -> Result<Self, String> {
        match String::from_value(value)?.as_str() {
            "text" => Ok(Format::Text),
            "logfmt" => Ok(Format::Logfmt),
            "json" => Ok(Format::Json),
            _ => Err(String::new()),
        }
    }
}

/// The modules that log, and can have levels of their own.
pub const MODULES: [&str; 11] =
    ["agent", "client", "collectors", "encode", "gateway", "http", "manager", "nats", "sinks", "spool", "subprocess"];
/// The levels, from the fewest lines to the most.
pub const LEVELS: [(&str, Level); 4] =
    [("error", Level::ERROR), ("warn", Level::WARN), ("info", Level::INFO), ("debug", Level::DEBUG)];

/// The level of each module: `info`, or `info,gateway=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    others: Level,
    modules: Vec<(&'static str, Level)>,
}

impl Default for Levels {
    fn default() -> Self {
        Levels::from(Level::INFO)
    }
}

impl From<Level> for Levels {
    fn from(others: Level) -> Self {
        Levels { others, modules: Vec::new() }
    }
}

impl Levels {
    /// Whether a line of this level in this module is logged.
    pub(super) fn allow(&self, module: &str, level: Level) -> bool {
        let own = self.modules.iter().find(|(name, _)| *name == module);
        level <= own.map_or(self.others, |(_, level)| *level)
    }
}

impl FromStr for Levels {
    type Err = String;

    /// The error is the reason, or empty.
    fn from_str(text: &str) -> Result<Self, String> {
        let level = |name: &str| LEVELS.iter().find(|(known, _)| *known == name).map(|(_, level)| *level);
        let (mut others, mut modules) = (None, Vec::<(&str, Level)>::new());
        for part in text.split(',').map(str::trim) {
            let (name, level_name) = part.split_once('=').unwrap_or(("", part));
            let level = level(level_name).ok_or_else(|| format!("{level_name:?} is not a level"))?;
            if name.is_empty() {
                if others.replace(level).is_some() {
                    return Err("more than one level for all modules".to_owned());
                }
                continue;
            }
            let known = MODULES.iter().find(|known| **known == name);
            let known = known.ok_or_else(|| format!("{name:?} is none of the modules {}", MODULES.join(", ")))?;
            if modules.iter().any(|(named, _)| named == known) {
                return Err(format!("more than one level for {known}"));
            }
            modules.push((known, level));
        }
        Ok(Levels { others: others.unwrap_or(Level::INFO), modules })
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |level: Level| LEVELS.iter().find(|(_, known)| *known == level).map_or("", |(name, _)| name);
        f.write_str(name(self.others))?;
        self.modules.iter().try_for_each(|(module, level)| write!(f, ",{module}={}", name(*level)))
    }
}

impl Setting for Levels {
    const EXPECTED: &'static str =
        "error, warn, info or debug, and levels of modules if needed, such as \"info,gateway=debug\"";

    fn from_value(value: &Value) -> Result<Self, String> {
        String::from_value(value)?.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_have_levels_of_their_own() {
        let levels: Levels = "warn, gateway=debug,http=error".parse().unwrap();
        assert!(levels.allow("gateway", Level::DEBUG) && levels.allow("sinks", Level::WARN));
        assert!(!levels.allow("http", Level::WARN) && !levels.allow("sinks", Level::INFO));
        assert_eq!(levels.to_string(), "warn,gateway=debug,http=error");
        assert_eq!("gateway=debug".parse::<Levels>().unwrap().to_string(), "info,gateway=debug");
        for (malformed, reason) in [
            ("", "is not a level"),
            ("loud", "is not a level"),
            ("info,", "is not a level"),
            ("info,warn", "more than one level for all"),
            ("push=debug", "none of the modules agent, "),
            ("http=debug,http=info", "more than one level for http"),
        ] {
            let error = malformed.parse::<Levels>().unwrap_err();
            assert!(error.contains(reason), "{malformed}: {error}");
        }
    }
}
