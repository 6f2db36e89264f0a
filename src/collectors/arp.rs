//! The neighbours that the kernel knows by ARP.

use std::collections::BTreeMap;

use regex::Regex;

use super::gathered::Gathered;
use super::{About, Collector, ReadContext};
use crate::config::{Filter, Key, Section};
use crate::encode::Family;
use crate::host::{Host, HostFile, ReadError};

/// `/proc/net/arp`: net/ipv4/arp.c, `arp_seq_show`, which leaves out addresses that need no ARP.
pub(super) struct Arp {
    arp: HostFile,
    devices: Filter,
}

const DEVICE_EXCLUDE: Key<Regex> = Key::optional("device_exclude", "Interfaces without families.");
const DEVICE_INCLUDE: Key<Regex> =
    Key::optional("device_include", "Only these interfaces have families; instead of `device_exclude`.");

impl Collector for Arp {
    const ABOUT: About = About {
        name: "arp",
        summary: "how many neighbours are known by ARP on each interface",
        reads: &["/proc/net/arp"],
        needs: "the host's network namespace",
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
        const HEAD_LINES: usize = 1;
        const DEVICE: usize = 5;
        let mut entries: BTreeMap<String, u64> = BTreeMap::new();
        for line in self.arp.read(cx.buffer)?.lines().skip(HEAD_LINES) {
            let device = line.fields().nth(DEVICE).ok_or_else(|| line.malformed("an interface", b""))?;
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

const ENTRIES: Family<1> = Family::gauge("node_arp_entries", "Neighbours that are known by ARP.", ["device"]);
