//! Elasticsearch and OpenSearch: a document for each point, by `_bulk` into a data stream.

mod answer;
mod client;
mod document;
mod settings;
mod template;

pub(super) use client::Connection;
pub use settings::{INFO, Settings};
