//! Configuration: TOML files to checked values.
//!
//! [`document`] reads and merges files and remembers where everything stood; [`section`] hands typed settings out of
//! them and gathers every mistake on the way; [`setting`] knows the types. What the settings are is said by those who
//! use them, each as a [`Key`] that also carries its default and its documentation.

pub mod document;
mod expand;
pub mod filter;
pub mod globs;
pub mod pattern;
pub mod problem;
mod redact;
pub mod section;
pub mod setting;
pub mod yaml;

pub use document::{Document, Value};
pub use expand::Environment;
pub use filter::Filter;
pub use globs::Globs;
pub use pattern::Pattern;
pub use problem::{Problem, Problems};
pub use section::{Key, KeyInfo, Section};
pub use setting::{Secret, Setting};
