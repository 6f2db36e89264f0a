//! Planned changes of groups, and what undoes them.

use std::sync::Arc;

use super::block::Block;
use super::selection::Selection;
use super::times::Times;
use crate::encode::parse::model::Kind;
use crate::gateway::key::Key;
use crate::job::report;

/// One family of one group.
#[derive(Clone, Debug)]
pub struct GroupFamily {
    /// The family's name.
    pub name: Arc<str>,
    /// Its type.
    pub kind: Kind,
    /// Its help text.
    pub help: Arc<str>,
    /// The group's metrics of it.
    pub block: Block,
}

impl GroupFamily {
    /// Bytes of its texts and its block, approximately.
    pub fn bytes(&self) -> usize {
        self.name.len() + self.help.len() + self.block.bytes()
    }
}

/// The effect of a push, or of its refusal, on one group.
#[derive(Debug)]
pub struct Change {
    /// The group.
    pub key: Key,
    /// Families that it loses, sorted by name.
    pub removed: Vec<GroupFamily>,
    /// Families that it gets, sorted by name.
    pub added: Vec<GroupFamily>,
    /// The group's times before; none if it did not exist.
    pub before: Option<Times>,
    /// The group's times after; none if it no longer exists.
    pub after: Option<Times>,
    /// The digest of the push's idempotency key.
    pub seen: Option<u128>,
}

/// A planned change of the state.
#[derive(Debug)]
pub enum Plan {
    /// No change.
    Nothing,
    /// One group is changed or created.
    Change(Change),
    /// Groups are removed.
    Sweep(Selection),
}

impl Change {
    /// The removed family of this name.
    pub fn removed(&self, name: &str) -> Option<&GroupFamily> {
        find(&self.removed, name)
    }

    /// The added family of this name.
    pub fn added(&self, name: &str) -> Option<&GroupFamily> {
        find(&self.added, name)
    }

    /// The duration of the run that it reports, in seconds.
    pub fn duration(&self) -> Option<f32> {
        let duration = self.added(report::DURATION.name())?.block.number()?;
        report::is_duration(duration).then_some(duration as f32)
    }
}

fn find<'f>(families: &'f [GroupFamily], name: &str) -> Option<&'f GroupFamily> {
    families.binary_search_by(|family| family.name.as_ref().cmp(name)).ok().map(|at| &families[at])
}

/// Which families of a group a push replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// All: `PUT`.
    Everything,
    /// Those that it names: `POST`.
    Named,
}
