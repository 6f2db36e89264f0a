//! Configuration: TOML files to checked values.
//!
//! [`document`] reads and merges files and records positions; [`section`] returns typed settings and collects all errors;
//! [`setting`] defines the types. Each module declares its own settings as [`Key`] constants with default and
//! documentation.

mod dependency;
pub mod document;
mod expand;
pub mod filter;
mod foreign;
pub mod globs;
pub mod pattern;
pub mod problem;
mod redact;
pub mod section;
pub mod setting;
mod syntax;
mod value;
mod written;
pub mod yaml;

pub use dependency::Dependencies;
pub use document::Document;
pub use expand::Environment;
pub use filter::Filter;
pub use globs::Globs;
pub use pattern::Pattern;
pub use problem::{Problem, Problems};
pub use redact::{Secrets, has_credentials, is_secret_name};
pub use section::{Key, KeyInfo, Section, TableInfo};
pub use setting::{Secret, SecretText, Setting, argument, duration};
pub use value::{Node, Position, Table, Value};
pub use written::Written;
