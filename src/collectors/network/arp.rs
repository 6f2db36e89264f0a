//! ARP entries by interface.

use std::collections::BTreeMap;

use regex::Regex;

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, Problems, ReadContext};
use crate::config::{Filter, Key, Section};
use crate::encode::Family;
use crate::host::{Host, HostFile, ReadError};

/// `/proc/net/arp`: net/ipv4/arp.c, `arp_seq_show`. It leaves out NOARP entries.
pub(super) struct Arp {
    arp: HostFile,
    devices: Filter,
}

const DEVICE_EXCLUDE: Key<Regex> = Key::optional("device_exclude", "Interfaces to leave out of the families.");
const DEVICE_INCLUDE: Key<Regex> =
    Key::optional("device_include", "Only these interfaces in the families; instead of `device_exclude`.");

impl Collector for Arp {
    const ABOUT: About = About {
        name: "arp",
        summary: "ARP entries by interface",
        reads: &["/proc/net/arp"],
        needs: "the network namespace of the host",
        keys: &[DEVICE_EXCLUDE.info(), DEVICE_INCLUDE.info()],
        families: &[ENTRIES.info()],
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        Arp {
            arp: host.proc("net/arp"),
            devices: section.optional_include_or_exclude(&DEVICE_INCLUDE, &DEVICE_EXCLUDE),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        const HEADER_LINES: usize = 1;
        const DEVICE: usize = 5;
        let mut entries: BTreeMap<String, u64> = BTreeMap::new();
        for line in self.arp.read(cx.buffer)?.lines().skip(HEADER_LINES) {
            let device = line.fields().nth(DEVICE).ok_or_else(|| line.malformed("an interface", b""));
            let Some(device) = cx.problems.part(device) else { continue };
            *entries.entry(String::from_utf8_lossy(device).into_owned()).or_default() += 1;
        }
        for (device, count) in entries {
            if self.devices.wants(&device) {
                reading.put(&ENTRIES, [&device], count);
            }
        }
        Ok(())
    }
}

const ENTRIES: Family<1> = Family::gauge("node_arp_entries", "ARP entries of the interface", ["device"]);
