//! Open file descriptors and their limits: `/proc/PID/fd` and `/proc/PID/limits`.

use crate::host::errno::Errno;

use super::identity::Kind;
use super::reading::{Measured, OpenFiles};
use crate::collectors::framework::ReadContext;
use crate::host::{Host, ReadError, file};

/// Counts the open descriptors of all processes of each container.
pub(super) fn count_open(cx: &mut ReadContext<'_>, measured: &mut [Measured]) {
    let mut refused = false;
    for cgroup in measured.iter_mut().filter(|cgroup| cgroup.labels.identity.kind == Kind::Container) {
        let mut sum = OpenFiles::default();
        let counted = cgroup.usage.pids.iter().try_for_each(|pid| count(cx.host, *pid, &mut sum));
        cgroup.open_files = counted.is_ok().then_some(sum);
        refused |= counted.is_err();
    }
    if refused {
        let what = "descriptors of other users' processes cannot be counted".to_owned();
        let reason = "it takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, or take descriptors out of sets".to_owned();
        cx.problem(ReadError::Refused { what, reason });
    }
}

/// Adds the open descriptors of a process. Ignores a process that has ended.
fn count(host: &Host, pid: u64, sum: &mut OpenFiles) -> Result<(), Errno> {
    let folder = host.proc_path(format!("{pid}/fd"));
    let names = match file::list(&folder) {
        Ok(names) => names,
        Err(error) if error.is_absent() => return Ok(()),
        Err(_) => return Err(Errno::ACCESS),
    };
    sum.descriptors += names.len() as u64;
    for name in names {
        let target = std::fs::read_link(folder.join(name));
        sum.sockets +=
            u64::from(target.is_ok_and(|target| target.as_os_str().as_encoded_bytes().starts_with(b"socket:")));
    }
    Ok(())
}

/// Reads the open files limit of the init process of each container.
pub(super) fn read_limits(cx: &mut ReadContext<'_>, measured: &mut [Measured]) {
    for cgroup in measured.iter_mut().filter(|cgroup| cgroup.labels.identity.kind == Kind::Container) {
        let Some(pid) = cgroup.usage.init_pid else { continue };
        let path = cx.host.proc_path(format!("{pid}/limits"));
        cgroup.max_open_files = file::read_once(&path, cx.buffer).ok().and_then(|text| {
            let line = text.lines().find(|line| line.bytes().starts_with(b"Max open files"))?;
            match line.fields().nth(3)? {
                b"unlimited" => Some(-1),
                number => crate::host::text::Number::parse(number),
            }
        });
    }
}
