//! procfs-core reads the same below `/proc` as the collectors do, except for what `DIFFERENCES` lists.
//!
//! The collectors do not use it: it refuses a file for one malformed or missing line, with its own source line in place of the
//! file's; a number that is too large can make it panic; it requires UTF-8; and it allocates each name.

mod subjects;

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::path::Path;

use self::subjects::{SUBJECTS, Samples, Scope, Subject};
use crate::common::{all_on, collectors, exposition, host_of, read, recorded_hosts, unpacked};
use procfs_core::ProcError;
use taffrail::collectors::readers::Readers;
use taffrail::encode::text::Dialect;
use taffrail::host::{Host, Roots};

/// Why procfs-core refuses a file that Taffrail reads, or reads it differently.
mod reasons {
    pub(super) const CUT_SHORT: &str = "it gives up at what is missing; Taffrail keeps the lines before and after";
    pub(super) const DEVICE_ERROR: &str = "a file system that statfs(2) refuses has that as a label";
    pub(super) const ESCAPES: &str = "it leaves \\040 in mount points";
    pub(super) const GUEST: &str = "Taffrail gives 0 for times that the kernel does not have";
    pub(super) const NUMBERS: &str =
        "it refuses a number that is negative or too large for its type; its product with 1024 overflows";
    pub(super) const OTHER_MOMENT: &str = "rtnetlink was recorded after /proc/net/dev";
    pub(super) const REQUIRED: &str =
        "it requires lines that small or old kernels do not have, or that were not recorded";
    pub(super) const UTF_8: &str = "it requires UTF-8";
}

/// The host, what of it is read differently, and why.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("128-cpus", "stat", reasons::GUEST),
    ("cut-short", "diskstats", reasons::CUT_SHORT),
    ("cut-short", "loadavg", reasons::CUT_SHORT),
    ("cut-short", "meminfo", reasons::CUT_SHORT),
    ("cut-short", "mountinfo", reasons::CUT_SHORT),
    ("cut-short", "net/dev", reasons::CUT_SHORT),
    ("cut-short", "net/snmp", reasons::CUT_SHORT),
    ("cut-short", "pressure", reasons::CUT_SHORT),
    ("cut-short", "self/stat", reasons::CUT_SHORT),
    ("cut-short", "stat", reasons::CUT_SHORT),
    ("cut-short", "vmstat", reasons::CUT_SHORT),
    ("debian-12-vm", "mountinfo", reasons::ESCAPES),
    ("devices-of-a-guest", "net/dev", reasons::OTHER_MOMENT),
    ("every-device", "mountinfo", reasons::DEVICE_ERROR),
    ("every-device", "processes", reasons::CUT_SHORT),
    ("huge-and-negative", "diskstats", reasons::NUMBERS),
    ("huge-and-negative", "meminfo", reasons::NUMBERS),
    ("huge-and-negative", "mountinfo", reasons::CUT_SHORT),
    ("huge-and-negative", "net/dev", reasons::NUMBERS),
    ("huge-and-negative", "net/snmp", reasons::REQUIRED),
    ("huge-and-negative", "stat", reasons::NUMBERS),
    ("huge-and-negative", "vmstat", reasons::NUMBERS),
    ("kubelet-cgroupfs-v1", "meminfo", reasons::REQUIRED),
    ("kubelet-cgroupfs-v1", "stat", reasons::REQUIRED),
    ("kubelet-systemd-v2", "meminfo", reasons::REQUIRED),
    ("kubelet-systemd-v2", "stat", reasons::REQUIRED),
    ("odd-names", "diskstats", reasons::UTF_8),
    ("odd-names", "mountinfo", reasons::UTF_8),
    ("odd-names", "processes", reasons::CUT_SHORT),
    ("old-kernel", "diskstats", reasons::REQUIRED),
    ("old-kernel", "meminfo", reasons::REQUIRED),
    ("old-kernel", "stat", reasons::GUEST),
    ("other-settings", "mountinfo", reasons::ESCAPES),
    ("other-settings-of-devices", "mountinfo", reasons::DEVICE_ERROR),
    ("other-settings-of-devices", "processes", reasons::CUT_SHORT),
];

/// All samples of a reading of the host, as Taffrail exposes them.
fn ours(host: &Host) -> Samples {
    let readers = Readers::new(host.clone(), collectors(host, &all_on()));
    let text = exposition(&read(&readers), Dialect::Plain);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| line.rsplit_once(' ').unwrap());
    samples.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect()
}

/// How a subject is read differently, if it is; the number of samples that were compared otherwise.
fn compare(subject: &Subject, ours: &Samples, proc: &Path) -> Result<usize, String> {
    let theirs = match catch_unwind(|| (subject.read)(proc)) {
        Ok(Ok(theirs)) => theirs,
        Ok(Err(ProcError::NotFound(_))) => return Ok(0),
        Ok(Err(error)) => return Err(format!("procfs-core: {error}")),
        Err(_) => return Err("procfs-core panics".to_owned()),
    };
    let is_part = |series: &&String| (subject.is_part)(series.split('{').next().unwrap());
    let of_ours: BTreeSet<&String> = ours.keys().filter(is_part).collect();
    let of_theirs: BTreeSet<&String> = theirs.keys().collect();
    let only = |these: &BTreeSet<&String>, others: &BTreeSet<&String>| {
        these.difference(others).next().map(|series| format!("{series} is missing on the other side"))
    };
    let missing = match subject.scope {
        Scope::Same => only(&of_ours, &of_theirs).or(only(&of_theirs, &of_ours)),
        Scope::Ours => only(&of_ours, &of_theirs),
        Scope::Theirs => only(&of_theirs, &of_ours),
    };
    if let Some(missing) = missing {
        return Err(missing);
    }
    let both = || of_ours.intersection(&of_theirs).map(|series| (series, ours[*series], theirs[*series]));
    match both().find(|(_, ours, theirs)| ours != theirs && !(ours.is_nan() && theirs.is_nan())) {
        Some((series, ours, theirs)) => Err(format!("{series}: {ours}, procfs-core: {theirs}")),
        None => Ok(both().count()),
    }
}

#[test]
fn procfs_core_reads_recorded_hosts_alike() {
    let (mut compared, mut found, mut reported) = (Vec::new(), BTreeSet::new(), String::new());
    for host in recorded_hosts() {
        let tree = unpacked(&host).join("after");
        let ours = ours(&host_of(&tree));
        for subject in &SUBJECTS {
            let name = host.file_name().unwrap().to_str().unwrap().to_owned();
            match compare(subject, &ours, &tree.join("proc")) {
                Ok(count) => compared.extend(std::iter::repeat_n(subject.name, count)),
                Err(difference) => {
                    reported += &format!("{name}, {}: {difference}\n", subject.name);
                    found.insert((name, subject.name));
                }
            }
        }
    }
    for subject in &SUBJECTS {
        assert!(compared.contains(&subject.name), "{} was not compared", subject.name);
    }
    let expected: BTreeSet<_> = DIFFERENCES.iter().map(|(host, subject, _)| ((*host).to_owned(), *subject)).collect();
    assert_eq!(found, expected, "{reported}");
    assert!(compared.len() > 1000, "{}", compared.len());
}

/// Whether the value of a series never goes back while a kernel runs. Times of idle CPUs may.
fn is_steady(series: &str) -> bool {
    let is_idle = ["idle", "iowait"].iter().any(|mode| series.contains(&format!("mode=\"{mode}\"")));
    let is_counter = series.split('{').next().unwrap().ends_with("_total") || series.starts_with("node_vmstat_pg");
    let constants =
        ["node_boot_time_seconds", "node_cgroups_enabled", "node_cpu_info", "node_memory_MemTotal", "process_max_fds"];
    is_counter && !is_idle || constants.iter().any(|name| series.starts_with(name))
}

/// What does not go back lies between what procfs-core reads before and after.
#[test]
fn procfs_core_reads_this_host_alike() {
    let theirs =
        || SUBJECTS.iter().filter_map(|subject| (subject.read)(Path::new("/proc")).ok()).flatten().collect::<Samples>();
    let (before, ours, after) = (theirs(), ours(&Host::live(Roots::default())), theirs());
    let mut compared = 0;
    for (series, ours) in ours.iter().filter(|(series, _)| is_steady(series)) {
        let (Some(before), Some(after)) = (before.get(series), after.get(series)) else { continue };
        assert!(before <= ours && ours <= after, "{series}: {before}, {ours}, {after}");
        compared += 1;
    }
    assert!(compared > 20, "{compared}");
}
