//! The push gateway: batch jobs push their metrics, and Prometheus scrapes them.
//!
//! A push is received and parsed ([`request`], [`crate::encode::parse`]), checked against all groups and applied in memory
//! ([`groups`]), and acknowledged once it is on disk ([`persistence`]). It is then forwarded to the push sinks ([`forward`]).
//! A scrape copies blocks that were encoded when they were pushed ([`exposition`]); [`page`] shows groups to people. [`endpoints`] ties these together;
//! imports point from there towards [`groups`] and [`key`], never back.

pub mod endpoints;
pub mod exposition;
pub mod forward;
pub mod groups;
pub mod job_rules;
pub mod key;
pub mod last_refusals;
pub mod page;
pub mod persistence;
pub mod points;
pub mod replication;
pub mod request;
pub mod self_metrics;
pub mod service;
pub mod settings;
