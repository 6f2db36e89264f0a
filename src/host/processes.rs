//! `stat` files of all processes, read once per round for all collectors: proc_pid_stat(5).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::file::{self, HostFile};
use super::text::{Number, ReadError, Text};

/// Maximum number of `stat` files that stay open; leaves descriptors for other files.
const MAX_OPEN: usize = 256;

/// A process or a thread, by its `stat` file. Numbers that the line lacks are 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessStat {
    /// PID; not in the line, but the name of the directory.
    pub pid: u32,
    /// Name (`comm`), without the parentheses.
    pub name: String,
    /// State letter.
    pub state: char,
    /// PID of the parent.
    pub parent: u32,
    /// Minor page faults.
    pub minor_faults: u64,
    /// Minor page faults of children that were waited for.
    pub child_minor_faults: u64,
    /// Major page faults.
    pub major_faults: u64,
    /// Major page faults of children that were waited for.
    pub child_major_faults: u64,
    /// CPU time in user mode, in ticks.
    pub user_ticks: u64,
    /// CPU time in kernel mode, in ticks.
    pub system_ticks: u64,
    /// Threads.
    pub threads: u64,
    /// Start after boot, in ticks. With the PID, it identifies the process.
    pub started_ticks: u64,
    /// Virtual memory in bytes.
    pub virtual_bytes: u64,
    /// Resident memory in pages.
    pub resident_pages: u64,
    /// Time of waiting for block devices, in ticks; counted if `kernel.task_delayacct` is 1.
    pub io_delay_ticks: u64,
}

impl ProcessStat {
    /// Reads the line of a `stat` file into this. The name may contain any character, even parentheses.
    ///
    /// # Errors
    /// If the line ends before the number of threads.
    pub fn parse(&mut self, text: Text<'_>) -> Result<(), ReadError> {
        let line = text.first_line();
        self.parse_line(text.bytes())
            .ok_or_else(|| line.malformed("a process with its state and threads", line.bytes()))
    }

    fn parse_line(&mut self, bytes: &[u8]) -> Option<()> {
        const STATE: usize = 3;
        const THREADS: usize = 20;
        let (name_starts, name_ends) = (memchr::memchr(b'(', bytes)?, memchr::memrchr(b')', bytes)?);
        self.name.clear();
        self.name.push_str(&String::from_utf8_lossy(bytes.get(name_starts + 1..name_ends)?));
        *self = ProcessStat { pid: self.pid, name: std::mem::take(&mut self.name), ..ProcessStat::default() };
        let mut last = 0;
        let fields = bytes[name_ends + 1..].split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        for (number, field) in (STATE..).zip(fields) {
            last = number;
            let to = match number {
                STATE => {
                    self.state = char::from(*field.first()?);
                    continue;
                }
                4 => {
                    self.parent = u64::parse(field).unwrap_or(0) as u32;
                    continue;
                }
                10 => &mut self.minor_faults,
                11 => &mut self.child_minor_faults,
                12 => &mut self.major_faults,
                13 => &mut self.child_major_faults,
                14 => &mut self.user_ticks,
                15 => &mut self.system_ticks,
                THREADS => {
                    self.threads = u64::parse(field)?;
                    continue;
                }
                22 => &mut self.started_ticks,
                23 => &mut self.virtual_bytes,
                24 => &mut self.resident_pages,
                42 => &mut self.io_delay_ticks,
                43.. => break,
                _ => continue,
            };
            *to = u64::parse(field).unwrap_or(0);
        }
        (last >= THREADS).then_some(())
    }
}

/// The processes of a host. All collectors share one.
#[derive(Clone, Debug)]
pub struct SharedProcesses {
    root: PathBuf,
    pass: Arc<Mutex<Pass>>,
}

#[derive(Debug, Default)]
struct Pass {
    /// Open `stat` files by PID.
    open: HashMap<u32, HostFile>,
    /// The processes of the last pass, if a collector asked for them.
    processes: Option<Arc<Vec<ProcessStat>>>,
    started: Option<Instant>,
}

impl SharedProcesses {
    /// The processes of the procfs at `root`.
    pub(super) fn new(root: PathBuf) -> Self {
        SharedProcesses { root, pass: Arc::default() }
    }

    /// Calls `each` for every process, as read at `since` or later. Processes with a malformed line are `problems` and
    /// left out.
    ///
    /// # Errors
    /// If the processes cannot be listed.
    pub fn each(
        &self,
        since: Instant,
        buffer: &mut Vec<u8>,
        problems: &mut Vec<ReadError>,
        mut each: impl FnMut(&ProcessStat),
    ) -> Result<(), ReadError> {
        let mut pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        if pass.processes.is_some() {
            drop(pass);
            self.all(since, buffer, problems)?.iter().for_each(each);
            return Ok(());
        }
        let mut process = ProcessStat::default();
        pass.read(&self.root, buffer, problems, |pid, text| {
            process.pid = pid;
            process.parse(text)?;
            each(&process);
            Ok(())
        })
    }

    /// All processes, as read at `since` or later. From the first call on, passes retain them for other collectors.
    ///
    /// # Errors
    /// As [`SharedProcesses::each`].
    pub fn all(
        &self,
        since: Instant,
        buffer: &mut Vec<u8>,
        problems: &mut Vec<ReadError>,
    ) -> Result<Arc<Vec<ProcessStat>>, ReadError> {
        let mut pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        let mut processes = pass.processes.take().unwrap_or_default();
        if pass.started.is_none_or(|started| started < since) {
            let started = Instant::now();
            pass.started = None;
            if Arc::get_mut(&mut processes).is_none() {
                processes = Arc::default();
            }
            let mut count = 0;
            if let Some(list) = Arc::get_mut(&mut processes) {
                let read = pass.read(&self.root, buffer, problems, |pid, text| {
                    // Reuses the names of the previous pass.
                    if count == list.len() {
                        list.push(ProcessStat::default());
                    }
                    list[count].pid = pid;
                    list[count].parse(text)?;
                    count += 1;
                    Ok(())
                });
                list.truncate(count);
                read?;
            }
            pass.started = Some(started);
        }
        pass.processes = Some(processes.clone());
        Ok(processes)
    }
}

impl Pass {
    /// Passes each `stat` file to `parse`.
    fn read(
        &mut self,
        root: &std::path::Path,
        buffer: &mut Vec<u8>,
        problems: &mut Vec<ReadError>,
        mut parse: impl FnMut(u32, Text<'_>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let mut known = std::mem::take(&mut self.open);
        for name in file::list(root)? {
            let Ok(pid) = name.parse::<u32>() else { continue };
            let path = || root.join(&name).join("stat");
            let kept = known.remove(&pid);
            if kept.is_none() && self.open.len() >= MAX_OPEN {
                // A process can end while the processes are listed.
                let path = path();
                if let Ok(text) = file::read_record(&path, buffer) {
                    problems.extend(parse(pid, text).err());
                }
                continue;
            }
            let mut stat = kept.unwrap_or_else(|| HostFile::new(path()).one_record());
            let Ok(text) = stat.read(buffer) else { continue };
            match parse(pid, text) {
                Ok(()) if self.open.len() < MAX_OPEN => drop(self.open.insert(pid, stat)),
                Ok(()) => {}
                Err(problem) => problems.push(problem),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &[u8]) -> Result<ProcessStat, ReadError> {
        let mut stat = ProcessStat::default();
        stat.parse(Text::new("stat".as_ref(), line)).map(|()| stat)
    }

    #[test]
    fn a_process_may_be_called_anything() {
        let stat = parsed(b"7 (odd) S (na\nme) Z 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 3 0 99").unwrap();
        assert_eq!((stat.name.as_str(), stat.state, stat.threads), ("odd) S (na\nme", 'Z', 3));
        assert!(parsed(b"7 (cut").is_err());
        assert!(parsed(b"7 (cut) S 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0").is_err());
    }

    #[test]
    fn fields_are_those_of_the_manual_page() {
        let fields: Vec<String> = (4..=52).map(|number| (number * 10).to_string()).collect();
        let stat = parsed(format!("7 (x) R {}\n", fields.join(" ")).as_bytes()).unwrap();
        let expected = ProcessStat {
            pid: 0,
            name: "x".into(),
            state: 'R',
            parent: 40,
            minor_faults: 100,
            child_minor_faults: 110,
            major_faults: 120,
            child_major_faults: 130,
            user_ticks: 140,
            system_ticks: 150,
            threads: 200,
            started_ticks: 220,
            virtual_bytes: 230,
            resident_pages: 240,
            io_delay_ticks: 420,
        };
        assert_eq!(stat, expected);
    }

    #[test]
    fn one_pass_serves_all_collectors_of_a_round() {
        let folder = tempfile::tempdir().unwrap();
        let write = |pid: u32, threads: u32| {
            std::fs::create_dir_all(folder.path().join(pid.to_string())).unwrap();
            let line = format!("{pid} (x) S 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 {threads} 0 99");
            std::fs::write(folder.path().join(format!("{pid}/stat")), line).unwrap();
        };
        write(1, 1);
        let shared = SharedProcesses::new(folder.path().into());
        let (mut buffer, mut problems) = (Vec::new(), Vec::new());
        let mut threads = |since| {
            let mut sum = 0;
            shared.each(since, &mut buffer, &mut problems, |process| sum += process.threads).unwrap();
            sum
        };
        let first = Instant::now();
        assert_eq!(threads(first), 1);
        write(2, 2);
        assert_eq!(threads(first), 3, "nothing is retained before a collector asks for it");
        let (mut more, mut none) = (Vec::new(), Vec::new());
        let all = shared.all(Instant::now(), &mut more, &mut none).unwrap();
        assert_eq!(all.iter().map(|process| process.threads).sum::<u64>(), 3);
        write(3, 4);
        assert_eq!(threads(first), 3);
        assert_eq!(threads(Instant::now()), 7);
        assert_eq!(all.len(), 2, "a list that is in use does not change");
    }
}
