//! The pushed groups in memory: their families as encoded blocks, the checks of a push against them, and every change with
//! its undo.
//!
//! [`state::State`] is the root. [`change`] and [`selection`] describe what happens to groups; [`record`] encodes it for the
//! log. Nothing here performs I/O or takes a lock.

pub mod block;
pub mod change;
pub mod chunks;
pub mod conflict;
mod family;
pub mod history;
pub mod limits;
pub mod markers;
pub mod merge;
pub(super) mod names;
pub mod position;
pub mod record;
pub mod selection;
pub mod size;
pub mod state;
pub mod times;

#[cfg(test)]
pub(super) mod tests;
