//! What settings name on this machine, such as files with certificates. Taffrail starts without it, as it may appear
//! later; `taffrail check` looks whether it is there. Also what is set without effect, of which check and log warn.

use super::document::Document;
use super::problem::{Problem, Problems};
use super::value::Position;

/// What a setting names.
pub(super) struct Dependency {
    pub(super) position: Option<Position>,
    /// The key path.
    pub(super) key: String,
    pub(super) check: Box<Check>,
    /// Whether the setting has no effect: the check fails whatever is on this machine.
    pub(super) is_idle: bool,
}

/// Fails with the name of what is missing or invalid, and the reason.
pub(super) type Check = dyn Fn() -> Result<(), String> + Send + Sync;

/// What the settings of a document name.
#[derive(Default)]
pub struct Dependencies {
    list: Vec<Dependency>,
    /// The document, without problems.
    of: Problems,
}

impl Dependencies {
    pub(super) fn new(list: Vec<Dependency>, document: &Document) -> Dependencies {
        let of =
            Problems { sources: document.sources.clone(), secrets: document.secrets().clone(), ..Problems::default() };
        Dependencies { list, of }
    }

    /// What is missing or invalid at the moment, and settings without effect. Reads files, each with a timeout.
    pub fn problems(&self) -> Problems {
        self.failed(|_| true)
    }

    /// Settings without effect. Reads no files.
    pub fn without_effect(&self) -> Problems {
        self.failed(|dependency| dependency.is_idle)
    }

    fn failed(&self, is_checked: impl Fn(&Dependency) -> bool) -> Problems {
        let checked = self.list.iter().filter(|dependency| is_checked(dependency));
        let failed = checked.filter_map(|Dependency { position, key, check, .. }| {
            let message = check().err()?;
            Some(Problem { position: position.clone(), key: key.clone(), message, secret: false })
        });
        let mut problems = Problems { list: failed.collect(), ..self.of.clone() };
        problems.sort();
        problems
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Key, Section};

    use super::*;

    #[test]
    fn dependencies_are_checked_on_request() {
        const PATH: Key<String> = Key::optional("path", "");
        let document = Document::parse("f.toml", "[a]\npath = 'x'\n[b]\npath = 'y'", &|_| None).unwrap();
        let dependencies = Section::check(&document, |root| {
            for table in ["b", "a"] {
                let mut section = root.table(table);
                let path = section.optional(&PATH).unwrap();
                if table == "b" {
                    section.has_no_effect("path", "no use");
                }
                section.depends("path", move || if path == "x" { Err(format!("no {path}")) } else { Ok(()) });
            }
            root.dependencies(&document)
        });
        let dependencies = dependencies.unwrap();
        let lines = |problems: Problems| problems.lines().collect::<Vec<_>>();
        assert_eq!(lines(dependencies.problems()), ["f.toml:2:8: a.path: no x", "f.toml:4:8: b.path: no use"]);
        assert_eq!(lines(dependencies.without_effect()), ["f.toml:4:8: b.path: no use"]);
    }
}
