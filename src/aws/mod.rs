//! Amazon's APIs: whose credentials ask, what was asked and how often, and what failed.

mod client;
mod count;
mod problem;

pub use client::{Account, Clients, HttpClient, Role, http_client};
pub use count::{Counts, Operation};
pub use problem::{Kind, Problem};
