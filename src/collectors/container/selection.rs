//! Selection of the exported cgroups.

use regex::Regex;

use super::identity::Kind;
use super::labels::Labels;
use crate::config::{Filter, Key, KeyInfo, Section};

const KINDS: Key<Vec<String>> = Key::new(
    "kinds",
    "[\"host\", \"container\", \"pod\", \"kubepods\", \"machine\"]",
    "Kinds of cgroups to export; kubepods are the parents of the node's pods, of all and by QoS class. Containers, pods and machines without processes are left out. Other kinds: service, scope and slice (systemd units), other.",
);
const NAME_INCLUDE: Key<Regex> = Key::optional("name_include", "Export only cgroups whose `name` matches.");
const NAME_EXCLUDE: Key<Regex> = Key::optional("name_exclude", "Do not export cgroups whose `name` matches.");
const NAMESPACE_INCLUDE: Key<Regex> =
    Key::optional("namespace_include", "Export only cgroups whose Kubernetes namespace matches.");
const NAMESPACE_EXCLUDE: Key<Regex> =
    Key::optional("namespace_exclude", "Do not export cgroups whose Kubernetes namespace matches.");
const IMAGE_INCLUDE: Key<Regex> = Key::optional("image_include", "Export only cgroups whose image matches.");
const IMAGE_EXCLUDE: Key<Regex> = Key::optional("image_exclude", "Do not export cgroups whose image matches.");
const PATH_INCLUDE: Key<Regex> = Key::optional("path_include", "Export only cgroups whose path matches.");
const PATH_EXCLUDE: Key<Regex> = Key::optional("path_exclude", "Do not export cgroups whose path matches.");

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

/// Selects cgroups by kind and by labels.
pub(super) struct Selection {
    kinds: Vec<Kind>,
    name: Filter,
    namespace: Filter,
    image: Filter,
    path: Filter,
}

impl Selection {
    pub(super) fn from_section(section: &mut Section<'_>) -> Self {
        let names = section.some_of(&KINDS, &Kind::ALL.map(Kind::name));
        let kinds = names.iter().filter_map(|name| Kind::ALL.into_iter().find(|kind| kind.name() == name)).collect();
        let mut filter = |include, exclude| Filter::new(section.optional(include), section.optional(exclude));
        Selection {
            kinds,
            name: filter(&NAME_INCLUDE, &NAME_EXCLUDE),
            namespace: filter(&NAMESPACE_INCLUDE, &NAMESPACE_EXCLUDE),
            image: filter(&IMAGE_INCLUDE, &IMAGE_EXCLUDE),
            path: filter(&PATH_INCLUDE, &PATH_EXCLUDE),
        }
    }

    /// Whether a cgroup with these labels is exported.
    pub(super) fn shows(&mut self, labels: &Labels) -> bool {
        self.kinds.contains(&labels.identity.kind)
            && self.path.wants(&labels.id)
            && self.name.wants(&labels.name)
            && self.namespace.wants(&labels.namespace)
            && self.image.wants(&labels.image)
    }
}
