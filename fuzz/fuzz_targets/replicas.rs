//! What NATS servers and other replicas send is read or refused, and stays the same when it is encoded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use taffrail::gateway::replication::durability::Monitored;
use taffrail::gateway::replication::message::{self, Content};
use taffrail::gateway::replication::peers::{Announcement, MAX_BYTES};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = message::decode(bytes) {
        let is_last_part = matches!(message.content, Content::Snapshot { part: u32::MAX, .. });
        assert!(is_last_part || message::decode(&message.encode()) == Ok(message));
    }
    if let Some(announcement) = Announcement::decode(bytes) {
        let again = announcement.encode();
        assert!(again.len() > MAX_BYTES || Announcement::decode(&again) == Some(announcement));
    }
    let _ = Monitored::decode(bytes);
});
