//! Servers that run on the host, or near it, each in the names of its exporter and of Telegraf's input.
//!
//! A kind ([`kind::Kind`]) has its settings and one query. Each server has a task and a clock in the background. What a
//! server sends is read by [`protocol`] into named values; a table ([`items`]) says what each becomes in both
//! vocabularies.

mod apache;
mod http;
mod items;
mod kind;
mod memcached;
mod nginx;
mod outcome;
mod owned;
mod phpfpm;
pub mod protocol;
mod redis;
mod stream;

use self::kind::Servers;
use super::framework::Entry;

/// The collectors of this folder.
pub(super) const COLLECTORS: &[Entry] = &[
    Entry::of::<Servers<apache::Apache>>(),
    Entry::of::<Servers<memcached::Memcached>>(),
    Entry::of::<Servers<nginx::Nginx>>(),
    Entry::of::<Servers<phpfpm::Phpfpm>>(),
    Entry::of::<Servers<redis::Redis>>(),
];

#[cfg(test)]
mod tests;
