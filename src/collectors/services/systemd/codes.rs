//! The states of units, with Telegraf's numbers.

/// A table of states.
pub(super) type Table = &'static [(&'static str, u64)];

/// A state of a unit.
#[derive(Clone, Debug)]
pub(super) enum Code {
    Known(&'static str, u64),
    /// A state of a newer version of systemd.
    Unknown(Box<str>),
}

impl Code {
    pub(super) fn of(table: Table, text: &str) -> Code {
        match table.iter().find(|(known, _)| *known == text) {
            Some((known, number)) => Code::Known(known, *number),
            None => Code::Unknown(text.into()),
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Code::Known(text, _) => text,
            Code::Unknown(text) => text,
        }
    }

    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Code::Known(_, number) => Some(*number),
            Code::Unknown(_) => None,
        }
    }
}

pub(super) const LOAD: Table =
    &[("loaded", 0), ("stub", 1), ("not-found", 2), ("bad-setting", 3), ("error", 4), ("merged", 5), ("masked", 6)];

pub(super) const ACTIVE: Table =
    &[("active", 0), ("reloading", 1), ("inactive", 2), ("failed", 3), ("activating", 4), ("deactivating", 5)];

/// Blocks of 16 for each unit type, see src/basic/unit-def.c in systemd. A state that several types have belongs to the
/// first.
pub(super) const SUB: Table = &[
    ("running", 0x00),
    ("dead", 0x01),
    ("start-pre", 0x02),
    ("start", 0x03),
    ("exited", 0x04),
    ("reload", 0x05),
    ("stop", 0x06),
    ("stop-watchdog", 0x07),
    ("stop-sigterm", 0x08),
    ("stop-sigkill", 0x09),
    ("stop-post", 0x0a),
    ("final-sigterm", 0x0b),
    ("failed", 0x0c),
    ("auto-restart", 0x0d),
    ("condition", 0x0e),
    ("cleaning", 0x0f),
    ("waiting", 0x10),
    ("reload-signal", 0x11),
    ("reload-notify", 0x12),
    ("final-watchdog", 0x13),
    ("dead-before-auto-restart", 0x14),
    ("failed-before-auto-restart", 0x15),
    ("dead-resources-pinned", 0x16),
    ("auto-restart-queued", 0x17),
    ("tentative", 0x20),
    ("plugged", 0x21),
    ("mounting", 0x30),
    ("mounting-done", 0x31),
    ("mounted", 0x32),
    ("remounting", 0x33),
    ("unmounting", 0x34),
    ("remounting-sigterm", 0x35),
    ("remounting-sigkill", 0x36),
    ("unmounting-sigterm", 0x37),
    ("unmounting-sigkill", 0x38),
    ("abandoned", 0x50),
    ("active", 0x60),
    ("start-chown", 0x70),
    ("start-post", 0x71),
    ("listening", 0x72),
    ("stop-pre", 0x73),
    ("stop-pre-sigterm", 0x74),
    ("stop-pre-sigkill", 0x75),
    ("final-sigkill", 0x76),
    ("activating", 0x80),
    ("activating-done", 0x81),
    ("deactivating", 0x82),
    ("deactivating-sigterm", 0x83),
    ("deactivating-sigkill", 0x84),
    ("elapsed", 0xa0),
];
