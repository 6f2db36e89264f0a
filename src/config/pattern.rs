//! Regular expressions as in Prometheus's matchers.

use regex::Regex;

use super::setting::Setting;
use super::value::Value;

/// A regular expression that matches a whole text.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// If it is invalid.
    pub fn new(text: &str) -> Result<Self, regex::Error> {
        Regex::new(&format!("^(?s:{text})$")).map(Pattern)
    }

    /// The expression, anchored at both ends.
    pub fn into_regex(self) -> Regex {
        self.0
    }

    /// Whether it matches all of `text`.
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Setting for Pattern {
    const EXPECTED: &'static str = "an anchored regular expression";
    const EXPECTED_LIST: &'static str = "a list of anchored regular expressions";

    fn from_value(value: &Value) -> Result<Self, String> {
        let text = String::from_value(value)?;
        Pattern::new(&text).map_err(|error| error.to_string().lines().last().unwrap_or_default().trim().to_owned())
    }
}
