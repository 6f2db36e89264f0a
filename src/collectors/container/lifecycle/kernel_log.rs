//! The kernel's log, `/dev/kmsg` (Documentation/ABI/testing/dev-kmsg), which names the cgroup of each process that the OOM
//! killer ends (mm/oom_kill.c, `dump_oom_victim`). It is the only witness if the cgroup ends with its process.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::system;

/// Maximum number of records per reading; the next reading continues. The kernel's buffer holds a few thousand.
const MAX_RECORDS: usize = 20_000;

/// Size of the buffer in bytes. The kernel skips a record that does not fit; its own limit is below.
const MAX_RECORD: usize = 8 << 10;

/// The log, from the first reading on.
pub(in super::super) struct KernelLog {
    path: PathBuf,
    state: State,
}

enum State {
    Unopened,
    Open(File),
    /// It does not exist, or its permissions forbid it.
    Closed,
}

impl KernelLog {
    pub(in super::super) fn new(path: PathBuf) -> KernelLog {
        KernelLog { path, state: State::Unopened }
    }

    /// Paths of the cgroups of the processes that were killed since the last call, oldest first. The first call returns none.
    pub(in super::super) fn killed(&mut self) -> Vec<String> {
        let mut killed = Vec::new();
        match &mut self.state {
            State::Unopened => match open_at_end(&self.path) {
                Ok(file) => self.state = State::Open(file),
                Err(error) => {
                    tracing::debug!("OOM kills from {}: {error}", self.path.display());
                    self.state = State::Closed;
                }
            },
            State::Open(file) => {
                if let Err(error) = drain(file, &mut killed) {
                    tracing::debug!("OOM kills from {}: {error}", self.path.display());
                    self.state = State::Closed;
                }
            }
            State::Closed => {}
        }
        killed
    }
}

fn open_at_end(path: &Path) -> std::io::Result<File> {
    let mut file = system::without_blocking(OpenOptions::new().read(true)).open(path)?;
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}

/// Each read returns one record.
fn drain(file: &mut impl Read, killed: &mut Vec<String>) -> std::io::Result<()> {
    let mut buffer = [0; MAX_RECORD];
    for _ in 0..MAX_RECORDS {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => killed.extend(killed_in(&buffer[..length])),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return Ok(()),
                // The kernel has overwritten records that were not read (EPIPE), or skipped one that is too long (EINVAL).
                ErrorKind::BrokenPipe | ErrorKind::InvalidInput | ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
    Ok(())
}

/// The cgroup in `PRIORITY,SEQUENCE,TIME,FLAGS;oom-kill:constraint=…,task_memcg=PATH,task=…` (Linux 5.0 and later).
/// Only the kernel writes with facility 0.
fn killed_in(record: &[u8]) -> Option<String> {
    let record = std::str::from_utf8(record).ok()?;
    let (prefix, text) = record.lines().next()?.split_once(';')?;
    let priority: u32 = prefix.split(',').next()?.parse().ok()?;
    let details = text.strip_prefix("oom-kill:constraint=").filter(|_| priority < 8)?;
    // Paths may contain commas: the next key ends this one.
    let (_, path) = details.split_once(",task_memcg=")?;
    let path = path.rsplit_once(",task=").map_or(path, |(path, _)| path);
    path.starts_with('/').then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const RECORD: &str = "6,812,5140900,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,\
        oom_memcg=/kubepods/pod1,task_memcg=/kubepods/pod1/c1,task=python3,pid=4242,uid=0\n SUBSYSTEM=x\n";

    #[test]
    fn a_record_names_the_cgroup_of_the_process() {
        let killed = |record: &str| killed_in(record.as_bytes());
        assert_eq!(killed(RECORD).unwrap(), "/kubepods/pod1/c1");
        assert_eq!(killed(&RECORD.replace("/c1,", "/a,b,")).unwrap(), "/kubepods/pod1/a,b");
        // Anybody may write to the log, but not with the kernel's facility.
        assert_eq!(killed(&RECORD.replace("6,812", "14,812")), None);
        for other in ["", ";", "6,1,2,-;Out of memory", "6,1,2,-;oom-kill:constraint=A,task_memcg=", "\u{0}"] {
            assert_eq!(killed(other), None, "{other:?}");
        }
    }

    #[test]
    fn only_records_after_the_first_reading_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kmsg");
        std::fs::write(&path, RECORD).unwrap();
        let mut log = KernelLog::new(path.clone());
        assert!(log.killed().is_empty());
        assert!(log.killed().is_empty());
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(RECORD.as_bytes()).unwrap();
        assert_eq!(log.killed(), ["/kubepods/pod1/c1"]);
        assert!(log.killed().is_empty());
        assert!(KernelLog::new(folder.path().join("absent")).killed().is_empty());
    }

    /// A log that returns these results, then an error for an empty log.
    struct Log(Vec<Result<&'static str, ErrorKind>>);

    impl Read for Log {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0.pop() {
                Some(Ok(record)) => {
                    let mut bytes = record.as_bytes();
                    bytes.read(buffer)
                }
                Some(Err(kind)) => Err(kind.into()),
                None => Err(ErrorKind::WouldBlock.into()),
            }
        }
    }

    #[test]
    fn lost_records_cost_only_themselves() {
        let mut killed = Vec::new();
        let results = vec![Ok(RECORD), Err(ErrorKind::BrokenPipe), Ok(RECORD), Err(ErrorKind::InvalidInput)];
        drain(&mut Log(results), &mut killed).unwrap();
        assert_eq!(killed.len(), 2);
        assert!(drain(&mut Log(vec![Ok(RECORD), Err(ErrorKind::Other)]), &mut killed).is_err());
        let mut endless = Log(vec![Ok(RECORD); MAX_RECORDS + 1]);
        drain(&mut endless, &mut killed).unwrap();
        assert_eq!(endless.0.len(), 1, "the next reading continues");
    }
}
