//! A kind of sink: its documentation, its settings, the form of its records, and its client.
//!
//! The settings of a kind implement [`Kind`] and [`Target`]; its client implements [`Client`]. No method has a default,
//! so that a new kind defines all of them.

use std::any::Any;
use std::fmt::Debug;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use super::delivery::Delivery;
use super::form::Form;
use super::http::ClientError;
use super::schedule::Schedule;
use super::verdict::Verdict;
use crate::config::{KeyInfo, Secrets, Section, TableInfo};
use crate::encode::lines::Lines;

/// The documentation of a kind of sink.
#[derive(Debug)]
pub struct KindInfo {
    /// Its name: `[[sinks.NAME]]`.
    pub name: &'static str,
    /// Its description.
    pub about: &'static str,
    /// Its own settings, in addition to those that all sinks share.
    pub keys: &'static [KeyInfo],
    /// Its own tables, in addition to those that all sinks share.
    pub tables: &'static [TableInfo],
    /// Whether it also has the settings of HTTP clients, with [`http::Settings`](super::http::Settings).
    pub is_http: bool,
}

/// A kind of sink: the type of its settings.
pub trait Kind: Target + PartialEq + Sized {
    /// Its documentation.
    const INFO: KindInfo;

    /// The kind's own settings in a sink's section, and the name of a sink with them unless the user gave it one.
    fn new(section: &mut Section<'_>) -> (Self, String);

    /// The defaults of a sink's schedule: `agent`, unless writes of this kind are expensive.
    fn schedule(agent: &Schedule) -> Schedule;
}

/// The settings of one sink of some kind.
pub trait Target: AnyTarget + Debug + Send + Sync {
    /// The form of the records that the sink sends.
    fn form(&self, delivery: &Delivery) -> Form;

    /// Whether the server accepts points in any order of time.
    fn takes_any_order(&self) -> bool;

    /// The files that [`Target::connect`] reads, such as certificates: when they change, the sink connects anew.
    fn files(&self) -> Vec<PathBuf>;

    /// Where the sink writes, without credentials: URLs, or a path.
    fn address(&self) -> String;

    /// Secrets sent to the server. It may repeat them, and the log must not show them.
    fn secrets(&self) -> Secrets;

    /// A client for the target. This may wait for files, but sends nothing.
    ///
    /// # Errors
    /// Why its TLS settings cannot be used.
    fn connect(&self) -> Result<Box<dyn Client>, ClientError>;
}

/// Sends to one sink's target.
pub trait Client: Send {
    /// Sends the leading records of `lines` that fit into one request.
    fn write<'a>(&'a mut self, lines: &'a Lines) -> WriteFuture<'a>;
}

/// A write in flight: resolves to the number of points in the request, and the verdict on them.
pub type WriteFuture<'a> = Pin<Box<dyn Future<Output = (usize, Verdict)> + Send + 'a>>;

/// Object-safe methods that every [`Kind`] provides for its [`Target`].
pub trait AnyTarget: Any {
    /// The documentation of its kind.
    fn info(&self) -> &'static KindInfo;

    /// Whether `other` is of the same kind and has the same settings.
    fn equals(&self, other: &dyn Any) -> bool;
}

impl<K: Kind> AnyTarget for K {
    fn info(&self) -> &'static KindInfo {
        &K::INFO
    }

    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref() == Some(self)
    }
}

impl PartialEq for dyn Target {
    fn eq(&self, other: &dyn Target) -> bool {
        self.equals(other)
    }
}

impl Eq for dyn Target {}

/// A line of the list of kinds.
#[derive(Debug)]
pub struct Entry {
    /// The documentation of the kind.
    pub info: &'static KindInfo,
    /// [`Kind::new`].
    pub(super) new: fn(&mut Section<'_>) -> (Arc<dyn Target>, String),
    /// [`Kind::schedule`].
    pub(super) schedule: fn(&Schedule) -> Schedule,
}

impl Entry {
    /// The entry of a kind.
    pub const fn of<K: Kind>() -> Entry {
        let new = |section: &mut Section<'_>| {
            let (target, name) = K::new(section);
            (Arc::new(target) as Arc<dyn Target>, name)
        };
        Entry { info: &K::INFO, new, schedule: K::schedule }
    }
}
