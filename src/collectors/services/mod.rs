//! Collectors of services, and of the files that scripts write: systemd, logind, runit, supervisord, NTP, text files.

mod logind;
mod ntp;
mod runit;
pub(super) mod service_call;
mod supervisord;
mod system_bus;
mod systemd;
mod textfile;

use super::framework::Entry;

/// The collectors of this folder.
pub(super) const COLLECTORS: &[Entry] = &[
    Entry::of::<logind::Logind>(),
    Entry::of::<ntp::Ntp>(),
    Entry::of::<runit::Runit>(),
    Entry::of::<supervisord::Supervisord>(),
    Entry::of::<systemd::Systemd>(),
    Entry::of::<textfile::Textfile>(),
];
