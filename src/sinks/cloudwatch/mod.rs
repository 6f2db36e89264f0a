//! Putting chosen host metrics into Amazon CloudWatch, as custom metrics.
//!
//! Points wait as they wait for every sink ([`selection`] leaves out what is not wanted, and makes differences of counters);
//! what is sent together is folded ([`datums`]): one datum for all samples of a metric in a minute, and as many datums in
//! a request as CloudWatch takes ([`client`]).

mod client;
mod datums;
mod selection;
mod settings;

pub(super) use client::Connection;
pub(super) use selection::preparation;
pub use settings::{INFO, Settings, usual_schedule};
