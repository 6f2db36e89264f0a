//! Amazon's APIs: whose credentials ask, what was asked and how often, and what failed.

pub mod account;
mod client;
mod count;
mod http;
mod problem;

pub use account::{Account, Role};
pub use client::Clients;
pub use count::{Counts, Operation};
pub use http::{HttpClient, http_client};
pub use problem::{Kind, Problem};
