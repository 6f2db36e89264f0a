//! The push gateway: batch jobs push what they measured, and Prometheus pulls it.
//!
//! A push is read ([`body`], [`crate::encode::parse`]), checked against what is there ([`check`]), made ([`core`]), and
//! answered once it is on disk ([`crate::store`]). What Prometheus pulls is copied from blocks that were encoded when they
//! were pushed ([`block`], [`scrape`]).

pub mod address;
pub mod answer;
pub mod base;
pub mod block;
pub mod body;
pub mod change;
pub mod check;
pub mod chunks;
pub mod core;
pub mod forward;
pub mod json;
pub mod key;
pub mod limits;
pub mod matcher;
pub mod merge;
mod names;
pub mod options;
pub mod origin;
pub mod own;
pub mod page;
pub mod points;
pub mod push;
pub mod record;
pub mod refusal;
pub mod room;
pub mod routes;
pub mod rules;
pub mod scrape;
pub mod service;
pub mod settings;
pub mod state;
pub mod sweep;
pub mod told;
pub mod write;
mod writer;

#[cfg(test)]
mod tests;
