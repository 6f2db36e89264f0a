//! Names that exist once: what folds to a name that is taken gets another.

/// The labels or tags of one series.
#[derive(Debug, Default)]
pub(super) struct UniqueNames {
    pairs: Vec<(String, String)>,
}

impl UniqueNames {
    /// No pairs, and space for this number.
    pub(super) fn with_capacity(pairs: usize) -> Self {
        UniqueNames { pairs: Vec::with_capacity(pairs) }
    }

    /// Adds `name` with `value`. If the name is taken, it gets `prefix`, and a number if that is taken too.
    pub(super) fn add(&mut self, name: String, prefix: &str, value: String) {
        let is_taken = |name: &str| self.pairs.iter().any(|(own, _)| own == name);
        let name = free_name(name, prefix, is_taken);
        self.pairs.push((name, value));
    }

    /// All pairs, by name.
    pub(super) fn sorted(mut self) -> Vec<(String, String)> {
        self.pairs.sort();
        // Many of these are retained.
        self.pairs.shrink_to_fit();
        self.pairs
    }
}

/// `name`, or the first variant of it that is not taken.
pub(super) fn free_name(name: String, prefix: &str, is_taken: impl Fn(&str) -> bool) -> String {
    if !is_taken(&name) {
        return name;
    }
    let name = if name.starts_with(prefix) { name } else { format!("{prefix}{name}") };
    if !is_taken(&name) {
        return name;
    }
    let numbered = (2..).map(|number: usize| format!("{name}_{number}"));
    numbered.into_iter().find(|name| !is_taken(name)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_gets_a_prefix_and_then_a_number() {
        let mut unique = UniqueNames::default();
        for value in ["1", "2", "3", "4"] {
            unique.add("region".to_owned(), "dimension_", value.to_owned());
        }
        let names =
            [("dimension_region", "2"), ("dimension_region_2", "3"), ("dimension_region_3", "4"), ("region", "1")];
        assert_eq!(unique.sorted(), names.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
