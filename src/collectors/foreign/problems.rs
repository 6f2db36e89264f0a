//! Problems in a file: each kind once, with its first occurrence and the number of the others.

/// The problems of one file.
#[derive(Clone, Debug, Default)]
pub(in crate::collectors) struct Problems(Vec<Problem>);

#[derive(Clone, Debug)]
struct Problem {
    kind: String,
    first: String,
    more: usize,
}

/// Most kinds that are distinguished.
const MAX_KINDS: usize = 16;

impl Problems {
    /// Adds a problem. `first` describes this occurrence, `kind` any occurrence.
    pub(in crate::collectors) fn add(&mut self, kind: &str, first: impl FnOnce() -> String) {
        let known = self.0.iter().position(|problem| problem.kind == kind);
        match known.or((self.0.len() >= MAX_KINDS).then_some(MAX_KINDS - 1)) {
            Some(index) => self.0[index].more += 1,
            None => self.0.push(Problem { kind: kind.to_owned(), first: first(), more: 0 }),
        }
    }

    /// Whether there are no problems.
    pub(in crate::collectors) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The messages, one for each kind.
    pub(in crate::collectors) fn messages(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|Problem { first, more, .. }| match more {
            0 => first.clone(),
            more => format!("{first} (and {more} more like this)"),
        })
    }
}

/// A family name for a message: quoted, and shortened if long.
pub(in crate::collectors) fn shown(name: &str) -> String {
    const LONGEST: usize = 64;
    match name.char_indices().nth(LONGEST) {
        None => format!("{name:?}"),
        Some((end, _)) => format!("{:?}", format!("{}…", &name[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once() {
        let mut problems = Problems::default();
        for (line, kind) in [(1, "a"), (2, "b"), (3, "a"), (4, "a")] {
            problems.add(kind, || format!("line {line}: {kind}"));
        }
        assert_eq!(problems.messages().collect::<Vec<_>>(), ["line 1: a (and 2 more like this)", "line 2: b"]);
        (0..1000).for_each(|kind| problems.add(&kind.to_string(), || format!("{kind}")));
        assert_eq!(problems.messages().count(), MAX_KINDS);
        assert_eq!(shown(&"x".repeat(100)), format!("\"{}…\"", "x".repeat(64)));
    }
}
