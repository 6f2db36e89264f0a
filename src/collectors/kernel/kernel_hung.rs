//! Hung tasks.

use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext};
use crate::config::Section;
use crate::encode::Family;
use crate::host::{Host, HostFile, ReadError};

/// `/proc/sys/kernel/hung_task_detect_count`: kernel/hung_task.c, since Linux 6.13.
pub(super) struct KernelHung {
    count: HostFile,
}

impl Collector for KernelHung {
    const ABOUT: About = About {
        name: "kernel_hung",
        summary: "hung tasks detected by the kernel",
        reads: &["/proc/sys/kernel/hung_task_detect_count"],
        needs: "Linux 6.13 with CONFIG_DETECT_HUNG_TASK",
        families: &[HUNG.info()],
        ..About::PULLED
    };
    type Reading = Gathered;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        KernelHung { count: host.proc("sys/kernel/hung_task_detect_count").one_record() }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        reading.put(&HUNG, [], self.count.read(cx.buffer)?.number::<u64>("a count of tasks")?);
        Ok(())
    }
}

const HUNG: Family<0> = Family::counter("node_kernel_hung_tasks_total", "Hung tasks detected since boot", []);
