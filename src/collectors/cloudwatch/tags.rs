//! The tags that the resources of a job have.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_resourcegroupstagging::types::TagFilter;
use regex::Regex;

use super::resources::Resource;
use crate::config::{Globs, Section};

/// Conditions on the tags of a resource. All of them must hold.
#[derive(Clone, Debug, Default)]
pub(super) struct WantedTags {
    /// Patterns of whole values.
    globs: BTreeMap<String, Globs>,
    /// Expressions that match anywhere in a value, as yet-another-cloudwatch-exporter's `searchTags`.
    expressions: BTreeMap<String, Regex>,
}

impl PartialEq for WantedTags {
    fn eq(&self, other: &Self) -> bool {
        let expressions = |tags: &Self| -> Vec<(String, String)> {
            tags.expressions.iter().map(|(key, regex)| (key.clone(), regex.as_str().to_owned())).collect()
        };
        self.globs == other.globs && expressions(self) == expressions(other)
    }
}

impl WantedTags {
    /// The conditions in a job's section.
    pub(super) fn new(section: &mut Section<'_>) -> WantedTags {
        WantedTags { globs: section.table("tags").entries(), expressions: section.table("search_tags").entries() }
    }

    /// The tables that have conditions.
    pub(super) fn given(&self) -> impl Iterator<Item = &'static str> {
        let given = [("tags", !self.globs.is_empty()), ("search_tags", !self.expressions.is_empty())];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name)
    }

    /// Whether there are no conditions.
    pub(super) fn is_empty(&self) -> bool {
        self.given().next().is_none()
    }

    /// Whether a resource has the tags.
    pub(super) fn are_of(&self, resource: &Resource) -> bool {
        self.globs.iter().all(|(key, values)| resource.tag(key).is_some_and(|value| values.matches(value)))
            && self.expressions.iter().all(|(key, value)| resource.tag(key).is_some_and(|found| value.is_match(found)))
    }

    /// The filters that the tagging API can apply.
    pub(super) fn filters(&self) -> Option<Vec<TagFilter>> {
        let keys: BTreeSet<&String> = self.globs.keys().chain(self.expressions.keys()).collect();
        let filter = |key: &String| {
            let values = self.globs.get(key).and_then(|values| values.exact()).map(<[String]>::to_vec);
            TagFilter::builder().key(key).set_values(values).build()
        };
        let filters: Vec<TagFilter> = keys.into_iter().map(filter).collect();
        (!filters.is_empty()).then_some(filters)
    }
}
