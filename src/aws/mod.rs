//! AWS APIs: credentials, instance metadata, counts of requests, and errors.

pub mod account;
mod client;
mod count;
mod http;
mod instance;
mod problem;
mod signed;

pub use account::{Account, Keys, Role};
pub use client::{AccountNames, Clients};
pub use count::{Counts, Operation};
pub use http::{HttpClient, direct_http_client, http_client};
pub use instance::{InstanceFact, instance_facts};
pub use problem::{Kind, Problem};
pub use signed::{Api, Protocol, Signed};
