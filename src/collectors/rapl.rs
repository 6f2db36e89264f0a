//! Energy that parts of the processor have taken.

use std::collections::BTreeMap;

use super::gathered::Gathered;
use super::{About, Collector, ReadContext};
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
    "One family for all zones, with their names as a label, instead of one for each name.",
);

impl Collector for Rapl {
    const ABOUT: About = About {
        name: "rapl",
        summary: "energy that processors, their cores and memory have taken",
        reads: &["/sys/class/powercap/intel-rapl*/{name,energy_uj}"],
        needs: "root, since Linux 5.10; never in virtual machines",
        keys: &[ENABLE_ZONE_LABEL.info()],
        families: &[OF_ZONE.info(), JOULES.info()],
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
            let Some(whole) = zone.string("name", cx.buffer) else { continue };
            // "package-0", or "core", of which each package has one.
            let (name, index) = match whole.rsplit_once('-').filter(|(_, index)| index.parse::<u32>().is_ok()) {
                Some((name, index)) => (name.to_owned(), index.to_owned()),
                None => {
                    let count = seen.entry(whole.clone()).or_default();
                    *count += 1;
                    (whole, (*count - 1).to_string())
                }
            };
            let energy = zone.number::<u64>("energy_uj", cx.buffer);
            let Some(joules) = cx.part(energy).flatten().map(|microjoules| microjoules as f64 / 1e6) else { continue };
            // The path that people see, wherever sysfs is mounted for Taffrail.
            let path = format!("/sys/class/powercap/{folder}");
            match self.has_zone_label {
                true => reading.put(&JOULES, [&index, &path, &name], joules),
                false => reading.put_keyed(&OF_ZONE, &name, [&index, &path], joules),
            }
        }
        Ok(())
    }
}

const OF_ZONE: Family<2> = Family::counter(
    "node_rapl_KEY_joules_total",
    "Energy that the zone has taken, as RAPL counts it, which starts again from zero.",
    ["index", "path"],
);
const JOULES: Family<3> = Family::counter(
    "node_rapl_joules_total",
    "Energy that the zone has taken, as RAPL counts it, which starts again from zero.",
    ["index", "path", "rapl_zone"],
);
