//! Energy counters of RAPL zones.

use std::collections::BTreeMap;

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext};
use crate::config::{Key, Section};
use crate::encode::Family;
use crate::host::{Devices, Host, ReadError};

/// `/sys/class/powercap/intel-rapl*`: Documentation/power/powercap/powercap.rst.
pub(super) struct Rapl {
    zones: Devices,
    has_zone_label: bool,
}

const ENABLE_ZONE_LABEL: Key<bool> = Key::new(
    "enable_zone_label",
    "false",
    "One family for all zones with the zone name as a label, instead of one family per zone.",
);

impl Collector for Rapl {
    const ABOUT: About = About {
        name: "rapl",
        summary: "energy use of CPU packages, cores and memory (RAPL)",
        reads: &["/sys/class/powercap/intel-rapl*/{name,energy_uj}"],
        needs: "root, since Linux 5.10; not available in virtual machines",
        keys: &[ENABLE_ZONE_LABEL.info()],
        families: &[ZONE.info(), JOULES.info()],
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Rapl { zones: host.devices("class/powercap"), has_zone_label: section.get(&ENABLE_ZONE_LABEL) }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        let mut seen: BTreeMap<String, u64> = BTreeMap::new();
        for (folder, zone) in self.zones.look(|name| name.starts_with("intel-rapl:"))? {
            let Some(zone_name) = zone.string("name", cx.buffer) else { continue };
            // "package-0", or "core", which exists in each package.
            let (name, index) = match zone_name.rsplit_once('-').filter(|(_, index)| index.parse::<u32>().is_ok()) {
                Some((name, index)) => (name.to_owned(), index.to_owned()),
                None => {
                    let count = seen.entry(zone_name.clone()).or_default();
                    *count += 1;
                    (zone_name, (*count - 1).to_string())
                }
            };
            let energy = zone.number::<u64>("energy_uj", cx.buffer);
            let Some(joules) = cx.part(energy).flatten().map(|microjoules| microjoules as f64 / 1e6) else { continue };
            // The path on the host, independent of the mount point of sysfs.
            let path = format!("/sys/class/powercap/{folder}");
            match self.has_zone_label {
                true => reading.put(&JOULES, [&index, &path, &name], joules),
                false => reading.put_keyed(&ZONE, &name, [&index, &path], joules),
            }
        }
        Ok(())
    }
}

const ZONE: Family<2> = Family::counter(
    "node_rapl_KEY_joules_total",
    "Energy use of the RAPL zone in joules; wraps around",
    ["index", "path"],
);
const JOULES: Family<3> = Family::counter(
    "node_rapl_joules_total",
    "Energy use of the RAPL zone in joules; wraps around",
    ["index", "path", "rapl_zone"],
);
