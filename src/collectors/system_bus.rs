//! The host's message bus, to which services are connected that collectors ask.

use std::time::Duration;

use crate::host::dbus::Bus;
use crate::host::{Host, ReadError};

/// The connection to it, which is kept from one reading to the next.
#[derive(Debug, Default)]
pub(super) struct SystemBus {
    kept: Option<Bus>,
}

/// Where it listens, below the host's root.
const SOCKET: &str = "/run/dbus/system_bus_socket";
/// For all that is asked of it at a reading.
const PATIENCE: Duration = Duration::from_secs(4);

impl SystemBus {
    /// The connection, for the questions of one reading.
    pub(super) fn open(&mut self, host: &Host) -> Result<Bus, ReadError> {
        let Some(mut bus) = self.kept.take() else {
            return Bus::connect(&*host.kernel, host.root_path(SOCKET), PATIENCE);
        };
        bus.allow(PATIENCE);
        Ok(bus)
    }

    /// Keeps a connection on which all went well. Another is better made anew.
    pub(super) fn keep(&mut self, bus: Bus) {
        self.kept = Some(bus);
    }
}

/// That a service answers otherwise than its interface says.
pub(super) fn not_understood(service: &str) -> ReadError {
    ReadError::Refused { what: service.to_owned(), reason: "its list cannot be understood".to_owned() }
}
