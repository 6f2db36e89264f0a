//! Requests of remote write 1.0: `prometheus.WriteRequest`.

use super::field;
use crate::encode::wire::{VARINT, key};

/// A request with these records.
pub fn request<'l>(records: impl Iterator<Item = &'l [u8]>) -> Vec<u8> {
    let mut body = Vec::new();
    records.for_each(|record| body.extend_from_slice(without_created(record)));
    body
}

/// The record without its creation time, which 1.0 does not have.
fn without_created(record: &[u8]) -> &[u8] {
    match record {
        [first, rest @ ..] if *first == key(field::CREATED, VARINT) => {
            let end = rest.iter().position(|byte| *byte < 0x80).map_or(rest.len(), |last| last + 1);
            &rest[end..]
        }
        all => all,
    }
}
