//! Glob patterns.

use globset::Glob;
use regex::Regex;

use super::setting::{Mismatch, Setting};
use super::value::{Node, Value};

/// A set of glob patterns; each matches a whole name.
#[derive(Clone, Debug)]
pub struct Globs {
    patterns: Vec<String>,
    regex: Regex,
}

impl Globs {
    /// Compiles `patterns`. An empty set matches nothing.
    ///
    /// # Errors
    /// If a pattern is invalid.
    pub fn new(patterns: Vec<String>) -> Result<Self, String> {
        let as_regex = |pattern: &String| {
            let glob = Glob::new(pattern).map_err(|error| error.to_string())?;
            // A wildcard matches line ends, too: names of processes and values of tags may contain them.
            Ok(format!("(?s:{})", glob.regex().replace("(?-u)", "")))
        };
        let alternatives = patterns.iter().map(as_regex).collect::<Result<Vec<_>, String>>()?;
        let nothing = "[^\\s\\S]".to_owned();
        let regex = if alternatives.is_empty() { nothing } else { alternatives.join("|") };
        Ok(Globs { patterns, regex: Regex::new(&regex).map_err(|error| error.to_string())? })
    }

    /// The patterns.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    /// Whether a pattern matches.
    pub fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }

    /// The patterns as one regular expression.
    pub fn into_regex(self) -> Regex {
        self.regex
    }

    /// The names, if no pattern has wildcards.
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

    fn from_node(node: &Node) -> Result<Self, Vec<Mismatch>> {
        let patterns = match &node.value {
            Value::Array(_) => Vec::<OneGlob>::from_node(node)?,
            _ => vec![OneGlob::from_node(node)?],
        };
        let patterns = patterns.into_iter().map(|OneGlob(pattern)| pattern).collect();
        Globs::new(patterns).map_err(|reason| vec![Mismatch::new::<Self>(node, &reason)])
    }
}

/// A valid glob pattern.
struct OneGlob(String);

impl Setting for OneGlob {
    const EXPECTED: &'static str = "a glob pattern";
    const EXPECTED_LIST: &'static str = Globs::EXPECTED;

    fn from_value(value: &Value) -> Result<Self, String> {
        let pattern = String::from_value(value)?;
        Glob::new(&pattern).map_err(|error| error.kind().to_string())?;
        Ok(OneGlob(pattern))
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
        assert!(globs.matches("eth\n0") && !globs.matches("x\neth0") && !globs.matches("wlan1\n"));
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
