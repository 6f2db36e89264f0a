//! What a collector does on request, beside its readings: `GET /probe`.

use std::pin::Pin;
use std::time::Duration;

use crate::encode::FamilyWriter;

/// The part of a collector that responds to requests.
pub trait OnRequest: Send + Sync {
    /// Responds to a request with this query, within `limit` if there is one.
    fn respond(&self, query: &str, limit: Option<Duration>) -> Pin<Box<dyn Future<Output = Answer> + Send>>;
}

/// The response to a request.
pub enum Answer {
    /// The families.
    Families(Box<dyn Families>),
    /// Text, for people.
    Text(String),
    /// The request is wrong, for this reason.
    Wrong(String),
    /// The request may succeed later; this is the reason.
    Later(String),
}

/// Families that were read on request.
pub trait Families: Send {
    /// Writes them.
    fn write(&self, out: &mut FamilyWriter<'_>);
}
