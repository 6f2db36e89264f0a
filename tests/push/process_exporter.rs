//! Taffrail beside process-exporter, Debian's package: the same groups of the same processes.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::harness::real::{Server, free_port};
use crate::harness::series::Exposition;
use crate::harness::{Taffrail, get, wait_until};

const PREFIX: &str = "namedprocess_namegroup_";

/// What process-exporter has that Taffrail has not, and why.
const ONLY_THEIRS: [(&str, &str); 1] = [("namedprocess_namegroup_threads_wchan", "of the kernel's debugging")];

/// Whose values the scrapes themselves change.
const OWN: [&str; 2] = ["namedprocess_scrape_partial_errors", "namedprocess_scrape_procread_errors"];

/// A process of the test, which ends with it.
struct Process(Child);

impl Process {
    /// A shell with `mark` in its command line, and a child without it. Both use some CPU time, read and write, and wait.
    fn start(mark: &str, folder: &std::path::Path) -> Self {
        let script = format!(
            ": {mark}; i=0; while [ $i -lt 30000 ]; do i=$((i + 1)); done; \
             dd if=/dev/zero of={0}/{mark} bs=64k count=16 conv=fsync 2>/dev/null; sleep 600 & echo done >{0}/{mark}.done; wait",
            folder.display()
        );
        // An earlier process with the mark left one.
        let done = folder.join(format!("{mark}.done"));
        let _ = std::fs::remove_file(&done);
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).stdin(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let process = Process(command.spawn().unwrap());
        wait_until("a process that waits", || done.exists().then_some(()));
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Both, with the same groups.
struct Both {
    taffrail: Taffrail,
    process_exporter: Server,
}

impl Both {
    fn start(mark: &str, folder: &std::path::Path) -> Self {
        let taffrail = Taffrail::start(&format!(
            "[collectors]\ndefault = false\n[collectors.procstat]\nsmaps = true\n\
             [[collectors.procstat.groups]]\nname = \"one\"\npatterns = [\"{mark}-one\"]\n\
             [[collectors.procstat.groups]]\nname = \"{{exe}} {{which}}\"\nexecutables = [\"sh\"]\n\
             patterns = [\"{mark}-(?P<which>t[a-z]+)\"]\n"
        ));
        let config = folder.join("groups.yml");
        let matchers = format!(
            "process_names:\n- name: one\n  cmdline: [\"{mark}-one\"]\n\
             - name: \"{{{{.ExeBase}}}} {{{{.Matches.which}}}}\"\n  exe: [sh]\n  cmdline: [\"{mark}-(?P<which>t[a-z]+)\"]\n"
        );
        std::fs::write(&config, matchers).unwrap();
        let port = free_port();
        let mut command = Command::new("prometheus-process-exporter");
        command
            .arg(format!("-web.listen-address=127.0.0.1:{port}"))
            .arg("-config.path")
            .arg(&config)
            .arg("-threads=false");
        Both { taffrail, process_exporter: Server::start(command, port, "/metrics") }
    }

    /// The values of both by series, of the families of groups.
    fn values(&self) -> [BTreeMap<String, f64>; 2] {
        [self.taffrail.url("/metrics"), format!("{}/metrics", self.process_exporter.url)].map(|url| {
            let series = Exposition::parse(get(&url, &[]).unwrap().text()).0.into_iter();
            let is_compared = |name: &str| name.starts_with("namedprocess_") && !OWN.contains(&name);
            let compared = series.filter(|series| is_compared(&series.name));
            compared
                .filter(|series| !ONLY_THEIRS.iter().any(|(name, _)| *name == series.name))
                .map(|series| (series.key(), series.value))
                .collect()
        })
    }

    /// Compares both until they agree: a process may still run at the first reading.
    fn compare(&self, what: &str, is_empty: impl Fn(&str) -> bool) -> BTreeMap<String, f64> {
        // A group without processes has no oldest one: theirs started in the year 1.
        let is_known = |series: &str| series.starts_with(&format!("{PREFIX}oldest_start")) && is_empty(series);
        let mut last = String::new();
        for _ in 0..50 {
            let [ours, theirs] = self.values();
            let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
            let differing: Vec<_> = names
                .into_iter()
                .map(|name| (name, ours.get(name), theirs.get(name)))
                .filter(|(name, ours, theirs)| ours != theirs && !is_known(name))
                .collect();
            if differing.is_empty() {
                assert!(ours.len() > 20, "{ours:#?}");
                return ours;
            }
            last = format!("{differing:#?}");
            thread::sleep(Duration::from_millis(100));
        }
        panic!("{what}: {last}");
    }
}

/// The value of the series of a family that has these parts.
fn value(values: &BTreeMap<String, f64>, family: &str, parts: &[&str]) -> f64 {
    let is_it = |name: &&String| name.starts_with(family) && parts.iter().all(|part| name.contains(part));
    let found: Vec<_> = values.keys().filter(is_it).collect();
    assert_eq!(found.len(), 1, "{family} {parts:?}: {found:?}");
    values[found[0]]
}

#[test]
#[ignore = "needs Debian's package prometheus-process-exporter: tests/run"]
fn with_process_exporter_that_has_the_same_groups() {
    let folder = tempfile::tempdir().unwrap();
    let mark = format!("taffrail-{}", std::process::id());
    let start = |which: &str| Process::start(&format!("{mark}-{which}"), folder.path());
    let before = start("one");
    let both = Both::start(&mark, folder.path());
    // Taffrail first reads at a scrape.
    both.values();
    // process-exporter knows the time of a start to a second.
    thread::sleep(Duration::from_secs(2));
    let (two, three) = (start("two"), start("three"));
    let values = both.compare("processes", |_| false);
    let num_procs = |values: &BTreeMap<String, f64>, group: &str| {
        value(values, "namedprocess_namegroup_num_procs", &[&format!("{group}\"")])
    };
    assert_eq!(num_procs(&values, "sh two"), 2.0, "a shell and its child");
    let cpu = |values: &BTreeMap<String, f64>, group: &str| {
        value(values, "namedprocess_namegroup_cpu_seconds_total", &[&format!("{group}\""), "\"user\""])
    };
    assert_eq!(cpu(&values, "one"), 0.0, "it was there before");
    let used = cpu(&values, "sh two");
    assert!(used > 0.0);

    drop(two);
    let values = both.compare("after an end", |series| series.contains("two"));
    assert_eq!((num_procs(&values, "sh two"), cpu(&values, "sh two")), (0.0, used));
    let two = start("two");
    let values = both.compare("after another start", |_| false);
    assert_eq!(num_procs(&values, "sh two"), 2.0);
    assert!(cpu(&values, "sh two") > used);
    assert_eq!(types(&both.taffrail.url("/metrics")), types(&format!("{}/metrics", both.process_exporter.url)));
    drop((before, two, three));
    both.compare("after all have ended", |_| true);
}

/// The types of the families.
fn types(url: &str) -> BTreeMap<String, String> {
    let answer = get(url, &[]).unwrap();
    let typed = answer.text().lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let known = |name: &str| ONLY_THEIRS.iter().any(|(known, _)| *known == name);
    let of_groups = typed.filter(|(name, _)| name.starts_with("namedprocess_") && !known(name));
    of_groups.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}
