//! Which names are wanted.

use std::collections::HashMap;

use regex::Regex;

use super::globs::Globs;

/// Includes and excludes names, and remembers its answers: at each reading it is asked the same again.
#[derive(Debug, Default)]
pub struct Filter {
    include: Option<Regex>,
    exclude: Option<Regex>,
    answers: HashMap<String, bool, foldhash::fast::RandomState>,
}

impl Filter {
    /// How many answers are remembered; names come and go on some hosts.
    const MAX_ANSWERS: usize = 4096;

    /// Wants what `include` matches, if it is there, and `exclude` does not.
    pub fn new(include: Option<Regex>, exclude: Option<Regex>) -> Self {
        Filter { include, exclude, answers: HashMap::default() }
    }

    /// Wants what any of `globs` matches; without a glob, everything.
    ///
    /// # Errors
    /// Why one of them is not a glob pattern.
    pub fn from_globs(globs: &[String]) -> Result<Self, String> {
        if globs.is_empty() {
            return Ok(Filter::default());
        }
        let include = Globs::new(globs.to_vec())?.into_regex();
        Ok(Filter::new(Some(include), None))
    }

    /// Whether `name` is wanted.
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

#[cfg(test)]
mod tests {
    use super::*;

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
