//! CloudWatch: what is asked of it, what it costs, and what users see; against a server that a test tells what to answer,
//! and against moto.

#![cfg(feature = "cloudwatch")]

#[path = "../harness/mod.rs"]
mod harness;

mod aws;
mod cost;
mod failures;
mod moto;
mod policies;
mod scripted;
mod sink;
