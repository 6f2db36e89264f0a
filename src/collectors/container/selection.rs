//! Which cgroups are shown.

use regex::Regex;

use super::identity::Kind;
use super::labels::Labels;
use crate::config::{Filter, Key, KeyInfo, Section};

const KINDS: Key<Vec<String>> = Key::new(
    "kinds",
    "[\"host\", \"container\", \"pod\", \"machine\"]",
    "Kinds of cgroups that are shown. There are also service, scope and slice for the units of systemd, and other.",
);
const NAME_INCLUDE: Key<Regex> = Key::optional("name_include", "Only cgroups whose `name` matches are shown.");
const NAME_EXCLUDE: Key<Regex> = Key::optional("name_exclude", "Cgroups whose `name` matches are not shown.");
const NAMESPACE_INCLUDE: Key<Regex> =
    Key::optional("namespace_include", "Only cgroups whose Kubernetes namespace matches are shown.");
const NAMESPACE_EXCLUDE: Key<Regex> =
    Key::optional("namespace_exclude", "Cgroups whose Kubernetes namespace matches are not shown.");
const IMAGE_INCLUDE: Key<Regex> = Key::optional("image_include", "Only cgroups whose image matches are shown.");
const IMAGE_EXCLUDE: Key<Regex> = Key::optional("image_exclude", "Cgroups whose image matches are not shown.");
const PATH_INCLUDE: Key<Regex> = Key::optional("path_include", "Only cgroups whose path matches are shown.");
const PATH_EXCLUDE: Key<Regex> = Key::optional("path_exclude", "Cgroups whose path matches are not shown.");

/// The settings.
pub(super) const KEYS: [KeyInfo; 9] = [
    KINDS.info(),
    NAME_INCLUDE.info(),
    NAME_EXCLUDE.info(),
    NAMESPACE_INCLUDE.info(),
    NAMESPACE_EXCLUDE.info(),
    IMAGE_INCLUDE.info(),
    IMAGE_EXCLUDE.info(),
    PATH_INCLUDE.info(),
    PATH_EXCLUDE.info(),
];

/// Which cgroups are shown: by kind, and by what they are called.
pub(super) struct Selection {
    kinds: Vec<Kind>,
    name: Filter,
    namespace: Filter,
    image: Filter,
    path: Filter,
}

impl Selection {
    pub(super) fn from_section(section: &mut Section<'_>) -> Self {
        let mut kinds = Vec::new();
        for name in section.get(&KINDS) {
            match Kind::ALL.into_iter().find(|kind| kind.name() == name) {
                Some(kind) => kinds.push(kind),
                None => {
                    let known = Kind::ALL.map(Kind::name).join(", ");
                    section.wrong(KINDS.info().name, format!("there is no kind {name:?}; there are {known}"));
                }
            }
        }
        let mut filter = |include, exclude| Filter::new(section.optional(include), section.optional(exclude));
        Selection {
            kinds,
            name: filter(&NAME_INCLUDE, &NAME_EXCLUDE),
            namespace: filter(&NAMESPACE_INCLUDE, &NAMESPACE_EXCLUDE),
            image: filter(&IMAGE_INCLUDE, &IMAGE_EXCLUDE),
            path: filter(&PATH_INCLUDE, &PATH_EXCLUDE),
        }
    }

    /// Whether what goes by these names is shown.
    pub(super) fn shows(&mut self, labels: &Labels) -> bool {
        self.kinds.contains(&labels.identity.kind)
            && self.path.wants(&labels.id)
            && self.name.wants(&labels.name)
            && self.namespace.wants(&labels.namespace)
            && self.image.wants(&labels.image)
    }
}
