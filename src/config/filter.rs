//! Filters of names.

use std::collections::HashMap;

use regex::Regex;

use super::globs::Globs;

/// Includes and excludes names. Results are cached, as each reading asks for the same names.
#[derive(Debug, Default)]
pub struct Filter {
    include: Option<Regex>,
    exclude: Option<Regex>,
    answers: HashMap<String, bool, foldhash::fast::RandomState>,
}

impl Filter {
    /// Maximum size of the cache; on some hosts names change all the time.
    const MAX_ANSWERS: usize = 4096;

    /// Accepts names that `include` matches, if given, and `exclude` does not. An empty pattern is no filter, as in
    /// node_exporter's flags.
    pub fn new(include: Option<Regex>, exclude: Option<Regex>) -> Self {
        Filter { include: include.and_then(filters), exclude: exclude.and_then(filters), answers: HashMap::default() }
    }

    /// Accepts names that match any of `globs`; without globs, all names.
    ///
    /// # Errors
    /// If a pattern is invalid.
    pub fn from_globs(globs: &[String]) -> Result<Self, String> {
        if globs.is_empty() {
            return Ok(Filter::default());
        }
        let include = Globs::new(globs.to_vec())?.into_regex();
        Ok(Filter::new(Some(include), None))
    }

    /// Whether `name` is accepted.
    pub fn wants(&mut self, name: &str) -> bool {
        if self.include.is_none() && self.exclude.is_none() {
            return true;
        }
        if let Some(answer) = self.answers.get(name) {
            return *answer;
        }
        let included = self.include.as_ref().is_none_or(|regex| regex.is_match(name));
        let wanted = included && !self.exclude.as_ref().is_some_and(|regex| regex.is_match(name));
        if self.answers.len() >= Self::MAX_ANSWERS {
            self.answers.clear();
        }
        self.answers.insert(name.to_owned(), wanted);
        wanted
    }
}

/// The pattern, unless it is empty.
pub(super) fn filters(pattern: Regex) -> Option<Regex> {
    (!pattern.as_str().is_empty()).then_some(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_pattern_is_no_filter() {
        let mut filter = Filter::new(regex(""), regex(""));
        assert!(filter.wants("a") && filter.wants(""));
    }

    fn regex(text: &str) -> Option<Regex> {
        Some(Regex::new(text).unwrap())
    }

    #[test]
    fn without_globs_everything_is_wanted() {
        let mut filter = Filter::from_globs(&["eth*".into()]).unwrap();
        assert_eq!(["eth0", "veth0"].map(|name| filter.wants(name)), [true, false]);
        assert!(Filter::from_globs(&["[".into()]).is_err());
        assert!(Filter::from_globs(&[]).unwrap().wants("anything"));
    }

    #[test]
    fn an_exclusion_beats_an_inclusion() {
        let regex = |text| Some(Regex::new(text).unwrap());
        let mut filter = Filter::new(regex("^sd"), regex("a$"));
        assert_eq!(["sda", "sdb", "vdb", "sdb"].map(|name| filter.wants(name)), [false, true, false, true]);
    }
}
