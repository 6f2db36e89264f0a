//! Writing to a file, or to standard output: line protocol, exposition or JSON, with rotation.

mod format;
mod rotation;
mod settings;
mod writer;

pub use settings::{INFO, Settings};
pub(super) use writer::Connection;
