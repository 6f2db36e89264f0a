//! The request side: where a request comes from and is addressed to, its query and headers, its body, and why it is refused.
//!
//! Nothing here changes the groups. [`receive`] reads bodies; [`body_memory`] limits the memory of all bodies in flight.

pub mod address;
pub mod body_memory;
pub mod content_encoding;
pub mod matcher;
pub mod origin;
pub mod push_options;
pub mod query;
pub(super) mod receive;
pub mod refusal;
