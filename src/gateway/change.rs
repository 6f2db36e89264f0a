//! What is done to groups, so that it can be planned, kept, and undone.

use std::sync::Arc;

use super::block::Block;
use super::key::Key;
use super::sweep::Selection;
use crate::encode::parse::model::Kind;

/// When a group was pushed to, in seconds of Unix time; 0 is never.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// When it was last changed.
    pub pushed: f64,
    /// When a push was last refused.
    pub failed: f64,
    /// When it ends by itself; never, if not at all.
    pub expires: Option<f64>,
}

/// A family of a group, as it comes and goes.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The family's name.
    pub name: Arc<str>,
    /// Its type.
    pub kind: Kind,
    /// Its help text.
    pub help: Arc<str>,
    /// What the group has of it.
    pub block: Block,
}

impl Piece {
    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.name.len() + self.help.len() + self.block.bytes()
    }
}

/// What a push, or its refusal, does to one group.
#[derive(Debug)]
pub struct Change {
    /// The group.
    pub key: Key,
    /// What goes, in the order of names.
    pub removed: Vec<Piece>,
    /// What comes, in the order of names.
    pub added: Vec<Piece>,
    /// The group's times before; nothing if there was no group.
    pub before: Option<Times>,
    /// The group's times after; nothing if there is no group then.
    pub after: Option<Times>,
    /// What the push is known by if it comes again.
    pub seen: Option<u128>,
}

/// What is to be done.
#[derive(Debug)]
pub enum Plan {
    /// Nothing.
    Nothing,
    /// One group changes, or comes.
    Change(Change),
    /// Groups end.
    Sweep(Selection),
}

impl Change {
    /// What goes of this name.
    pub fn removed(&self, name: &str) -> Option<&Piece> {
        find(&self.removed, name)
    }

    /// What comes of this name.
    pub fn added(&self, name: &str) -> Option<&Piece> {
        find(&self.added, name)
    }
}

fn find<'p>(pieces: &'p [Piece], name: &str) -> Option<&'p Piece> {
    pieces.binary_search_by(|piece| piece.name.as_ref().cmp(name)).ok().map(|at| &pieces[at])
}

/// Which families of a group a push replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replace {
    /// All: `PUT`.
    Everything,
    /// Those that it names: `POST`.
    Named,
}
