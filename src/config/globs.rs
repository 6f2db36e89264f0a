//! Glob patterns of names.

use globset::Glob;
use regex::Regex;

use super::document::Value;
use super::setting::Setting;

/// Names that any of some glob patterns match whole.
#[derive(Clone, Debug)]
pub struct Globs {
    patterns: Vec<String>,
    regex: Regex,
}

impl Globs {
    /// The names that one of `patterns` matches; without any, none.
    ///
    /// # Errors
    /// Why one of them is not a glob pattern.
    pub fn new(patterns: Vec<String>) -> Result<Self, String> {
        let as_regex = |pattern: &String| {
            let glob = Glob::new(pattern).map_err(|error| error.to_string())?;
            Ok(format!("(?:{})", glob.regex().replace("(?-u)", "")))
        };
        let alternatives = patterns.iter().map(as_regex).collect::<Result<Vec<_>, String>>()?;
        let nothing = "[^\\s\\S]".to_owned();
        let regex = if alternatives.is_empty() { nothing } else { alternatives.join("|") };
        Ok(Globs { patterns, regex: Regex::new(&regex).map_err(|error| error.to_string())? })
    }

    /// Whether one of them matches.
    pub fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }

    /// The patterns as regular expression.
    pub fn into_regex(self) -> Regex {
        self.regex
    }

    /// The names themselves, where no pattern stands for more than one name.
    pub fn exact(&self) -> Option<&[String]> {
        let is_name = |pattern: &String| !pattern.contains(['*', '?', '[', ']', '{', '}', '\\', '!']);
        self.patterns.iter().all(is_name).then_some(&*self.patterns)
    }
}

impl PartialEq for Globs {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

impl Eq for Globs {}

impl Setting for Globs {
    const EXPECTED: &'static str = "a glob pattern, or a list of them";

    fn from_value(value: &Value) -> Result<Self, String> {
        let patterns = match value {
            Value::String(pattern) => vec![pattern.clone()],
            other => Vec::<String>::from_value(other)?,
        };
        Globs::new(patterns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_names() {
        let globs = Globs::new(vec!["eth*".into(), "wlan[01]".into()]).unwrap();
        let answers = ["eth0", "veth0", "wlan1", "wlan2", "ethü"].map(|name| globs.matches(name));
        assert_eq!(answers, [true, false, true, false, true]);
        assert!(Globs::new(vec!["[".into()]).is_err());
        assert!(!Globs::new(Vec::new()).unwrap().matches(""));
    }

    #[test]
    fn names_without_wildcards_are_exact() {
        let globs = |patterns: &[&str]| Globs::new(patterns.iter().map(|p| (*p).to_owned()).collect()).unwrap();
        assert_eq!(globs(&["a", "b.c"]).exact().map(<[String]>::len), Some(2));
        assert_eq!(globs(&["a", "b*"]).exact(), None);
    }
}
