//! Bonding interfaces.

use crate::collectors::framework::{About, Collector, ReadContext, Reading};
use crate::config::Section;
use crate::encode::{Family, FamilyWriter};
use crate::host::{Host, HostFile, ReadError, file};

pub(super) struct Bonding {
    masters: HostFile,
}

/// `/sys/class/net/bonding_masters`: Documentation/networking/bonding.rst.
#[derive(Default)]
pub(super) struct BondingReading {
    masters: Vec<Master>,
}

struct Master {
    name: String,
    slaves: u64,
    /// Slaves with a link.
    active: u64,
}

impl Collector for Bonding {
    const ABOUT: About = About {
        name: "bonding",
        summary: "bonding interfaces, and their slaves",
        reads: &["/sys/class/net/bonding_masters", "/sys/class/net/*/bonding/slaves"],
        needs: "the kernel module bonding",
        families: &[ACTIVE.info(), SLAVES.info()],
        ..About::PLAIN
    };
    type Reading = BondingReading;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        Bonding { masters: host.sys("class/net/bonding_masters").one_record() }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut BondingReading) -> Result<(), ReadError> {
        reading.masters.clear();
        let names = self.masters.read(cx.buffer)?.trimmed().into_owned();
        for name in names.split_ascii_whitespace() {
            match read_master(cx, name) {
                Ok(master) => reading.masters.push(master),
                Err(error) => cx.problems.push(error),
            }
        }
        Ok(())
    }
}

fn read_master(cx: &mut ReadContext<'_>, name: &str) -> Result<Master, ReadError> {
    let folder = cx.host.sys_path(format!("class/net/{name}"));
    let slaves = file::read_once(&folder.join("bonding/slaves"), cx.buffer)?.trimmed().into_owned();
    let mut master = Master { name: name.to_owned(), slaves: 0, active: 0 };
    for slave in slaves.split_ascii_whitespace() {
        master.slaves += 1;
        // Until Linux 3.10 the symlink to a slave was named slave_NAME.
        let state = ["lower", "slave"].iter().find_map(|link| {
            let path = folder.join(format!("{link}_{slave}/bonding_slave/mii_status"));
            file::read_once(&path, cx.buffer).ok().map(|text| text.trimmed() == "up")
        });
        master.active += u64::from(state == Some(true));
    }
    Ok(master)
}

const ACTIVE: Family<1> = Family::gauge("node_bonding_active", "Active slaves of the bonding interface", ["master"]);
const SLAVES: Family<1> =
    Family::gauge("node_bonding_slaves", "Configured slaves of the bonding interface", ["master"]);

impl Reading for BondingReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        for (family, value) in [(&ACTIVE, (|m| m.active) as fn(&Master) -> u64), (&SLAVES, |m| m.slaves)] {
            let mut samples = out.family(family);
            for master in &self.masters {
                samples.sample([&master.name], value(master));
            }
        }
    }
}
