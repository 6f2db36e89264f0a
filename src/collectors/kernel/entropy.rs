//! Entropy pool of the kernel.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext};
use crate::config::Section;
use crate::encode::Family;
use crate::host::{Host, HostFile, ReadError};

/// `/proc/sys/kernel/random`: random(4).
pub(super) struct Entropy {
    available: HostFile,
    pool_size: HostFile,
}

impl Collector for Entropy {
    const ABOUT: About = About {
        name: "entropy",
        summary: "entropy pool of the kernel",
        reads: &["/proc/sys/kernel/random/{entropy_avail,poolsize}"],
        families: &[AVAILABLE.info(), POOL_SIZE.info()],
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        let file = |name| host.proc(format!("sys/kernel/random/{name}")).one_record();
        Entropy { available: file("entropy_avail"), pool_size: file("poolsize") }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        reading.put(&AVAILABLE, [], self.available.read(cx.buffer)?.number::<u64>("a number of bits")?);
        reading.put(&POOL_SIZE, [], self.pool_size.read(cx.buffer)?.number::<u64>("a number of bits")?);
        Ok(())
    }
}

const AVAILABLE: Family<0> = Family::gauge("node_entropy_available_bits", "Available entropy in bits", []);
const POOL_SIZE: Family<0> = Family::gauge("node_entropy_pool_size_bits", "Size of the entropy pool in bits", []);
