//! What clients read: the exposition that Prometheus scrapes and groups as JSON.

pub(super) mod escaping;
pub mod json;
pub mod scrape;
