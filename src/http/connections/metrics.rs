//! Metrics of the connections.

use std::sync::atomic::Ordering::Relaxed;

use super::{AddressState, Connections, OF_PROCESS};
use crate::encode::family::FamilyInfo;
use crate::encode::{Family, FamilyWriter};

const OPEN: Family<2> = Family::gauge(
    "taffrail_connections",
    "Open connections; idle ones have no request in flight",
    ["address", "state"],
);
const LIMIT: Family<1> = Family::gauge("taffrail_connections_limit", "Maximum open connections", ["address"]);
const EVICTED: Family<1> =
    Family::counter("taffrail_connections_made_way_total", "Connections closed to admit others", ["address"]);
const REFUSED: Family<1> = Family::counter(
    "taffrail_connections_refused_total",
    "Requests refused because all connections were busy",
    ["address"],
);
const FAILED: Family<1> =
    Family::counter("taffrail_accept_failures_total", "Failed attempts to accept a connection", ["address"]);

/// Families about connections.
pub const FAMILIES: &[FamilyInfo] = &[OPEN.info(), LIMIT.info(), EVICTED.info(), REFUSED.info(), FAILED.info()];

/// Writes the metrics of this process's connections.
pub fn write_families(out: &mut FamilyWriter<'_>) {
    OF_PROCESS.write(out);
}

impl Connections {
    /// Writes the metrics of all addresses.
    fn write(&self, out: &mut FamilyWriter<'_>) {
        let inner = self.lock();
        let mut addresses: Vec<_> =
            inner.addresses.values().map(|address| (address, address.address.to_string())).collect();
        addresses.sort_by(|(one, _), (two, _)| one.address.cmp(&two.address));
        let mut open = out.family(&OPEN);
        for (state, address) in &addresses {
            let at_address = || inner.connections.values().filter(|connection| connection.address.id == state.id);
            let idle = at_address().filter(|connection| connection.is_idle()).count();
            open.sample([address, "active"], (at_address().count() - idle) as u64);
            open.sample([address, "idle"], idle as u64);
        }
        drop(open);
        let max = (self.max)();
        let mut write = |family, count: &dyn Fn(&AddressState) -> u64| {
            let mut samples = out.family(family);
            for (state, address) in &addresses {
                samples.sample([address], count(state));
            }
        };
        write(&LIMIT, &|address| address.limit.load(Relaxed).min(max) as u64);
        write(&EVICTED, &|address| address.evicted.load(Relaxed));
        write(&REFUSED, &|address| address.refused.load(Relaxed));
        write(&FAILED, &|address| address.failed.load(Relaxed));
    }
}
