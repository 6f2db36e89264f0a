//! CloudWatch: what is asked of it, what it costs, and what users see; against a server that a test scripts,
//! and against moto.

mod alarms;
mod cost;
mod failures;
mod migrated;
mod moto;
mod names;
mod policies;
mod requests;
mod schedule;
mod scripted;
mod services;
mod sink;
