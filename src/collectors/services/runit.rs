//! Services of runit.

use std::fs;
use std::path::{Path, PathBuf};

use super::service_call::{MAX_THREADS, ServiceCall};
use crate::collectors::framework::gathered::Gathered;
use crate::collectors::framework::{About, Collector, ReadContext, Vocabularies};
use crate::config::{Key, Section};
use crate::encode::Family;
use crate::host::{Host, ReadError};
use crate::system::regular_file::read_regular;

/// The folders of services, each with the files of its supervisor: runsv(8).
pub(super) struct Runit {
    services: ServiceCall<Services>,
}

/// The services with a supervisor, and why the state of others is unknown.
#[derive(Clone, Debug, Default)]
struct Services {
    found: Vec<(String, Status)>,
    problems: Vec<ReadError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Status {
    /// 0 down, 1 running, 2 finishing.
    state: u8,
    is_wanted_up: bool,
    is_normally_up: bool,
    /// Unix time of the last change of the state in seconds.
    changed: i64,
}

const SERVICE_DIR: Key<String> =
    Key::new("service_dir", "\"/etc/service\"", "Directory of the services, as named on the host.");

impl Collector for Runit {
    const ABOUT: About = About {
        name: "runit",
        summary: "states of the services of runit",
        reads: &["/etc/service/*/{down,supervise/status}"],
        needs: "to read the folders `supervise`, which by default only root may",
        on_by_default: Vocabularies::NONE,
        keys: &[SERVICE_DIR.info()],
        families: &[STATE.info(), DESIRED.info(), NORMAL.info(), CHANGED.info()],
        ..About::PLAIN
    };
    type Reading = Gathered;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let directory = section.get(&SERVICE_DIR);
        if !directory.starts_with('/') {
            section.wrong(SERVICE_DIR.info().name, format!("expected a path from the root, found {directory:?}"));
        }
        let directory = host.root_path(directory).to_string_lossy().into_owned();
        let calls = host.questions_to_mounts(MAX_THREADS);
        Runit { services: ServiceCall::new(calls, directory, |directory| services(Path::new(directory))) }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut Gathered) -> Result<(), ReadError> {
        reading.clear();
        let Services { found, mut problems } = self.services.read()?;
        cx.problems.append(&mut problems);
        for (name, status) in &found {
            let labels = [name.as_str(), "runit"];
            reading.put(&STATE, labels, u64::from(status.state));
            reading.put(&DESIRED, labels, status.is_wanted_up);
            reading.put(&NORMAL, labels, status.is_normally_up);
            reading.put(&CHANGED, labels, status.changed);
        }
        Ok(())
    }
}

/// The services of this directory, by name.
fn services(directory: &Path) -> Result<Services, ReadError> {
    let unreadable = |path: PathBuf, reason: String| ReadError::Unreadable { path, reason };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(ReadError::Absent(directory.into())),
        Err(error) => return Err(unreadable(directory.into(), error.to_string())),
    };
    let mut services = Services::default();
    for entry in entries.flatten() {
        let path = entry.path().join("supervise/status");
        match read_regular(&path, MAX_STATUS) {
            Ok(bytes) => match Status::parse(&bytes, !entry.path().join("down").exists()) {
                Some(status) => services.found.push((entry.file_name().to_string_lossy().into_owned(), status)),
                None => services.problems.push(unreadable(path, format!("it is not {STATUS} bytes long"))),
            },
            // Without a supervisor, the service has no state.
            Err(error) if error.reason.is_absence() => {}
            Err(error) => services.problems.push(unreadable(path, error.reason.to_string())),
        }
    }
    services.found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(services)
}

/// Length of a status in bytes.
const STATUS: usize = 20;
const MAX_STATUS: u64 = 4096;

impl Status {
    /// Parses the content of `supervise/status`: the time as TAI64N, the process, whether it is paused, what is
    /// wanted, whether TERM was sent, and the state.
    fn parse(bytes: &[u8], is_normally_up: bool) -> Option<Status> {
        /// TAI64 of the start of Unix time. TAI was 10 s ahead then.
        const UNIX_EPOCH: u64 = (1 << 62) + 10;
        const WANTED: usize = 17;
        const STATE: usize = 19;
        let seconds = u64::from_be_bytes(*bytes.first_chunk()?);
        (bytes.len() == STATUS).then(|| Status {
            state: bytes[STATE],
            is_wanted_up: bytes[WANTED] == b'u',
            is_normally_up,
            changed: seconds.wrapping_sub(UNIX_EPOCH) as i64,
        })
    }
}

const LABELS: [&str; 2] = ["service", "supervisor"];
const STATE: Family<2> =
    Family::gauge("node_service_state", "State of the service: 0 down, 1 running, 2 finishing", LABELS);
const DESIRED: Family<2> =
    Family::gauge("node_service_desired_state", "Desired state of the service: 0 down, 1 running", LABELS);
const NORMAL: Family<2> =
    Family::gauge("node_service_normal_state", "1 if the supervisor starts the service by itself", LABELS);
const CHANGED: Family<2> = Family::gauge(
    "node_service_state_last_change_timestamp_seconds",
    "Unix time of the last change of the service's state",
    LABELS,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_and_one_of_another_length_is_none() {
        // 2019-12-02 10:20:56 UTC.
        let mut bytes = [0x40, 0, 0, 0, 0x5d, 0xe4, 0xe5, 0x92, 0, 0, 0, 0, 0x39, 5, 0, 0, 0, b'u', 0, 1];
        let status = Status { state: 1, is_wanted_up: true, is_normally_up: true, changed: 1_575_282_056 };
        assert_eq!(Status::parse(&bytes, true), Some(status));
        (bytes[17], bytes[19]) = (b'd', 2);
        let status = Status { state: 2, is_wanted_up: false, is_normally_up: false, ..status };
        assert_eq!(Status::parse(&bytes, false), Some(status));
        assert_eq!(Status::parse(&bytes[..19], false), None);
        assert_eq!(Status::parse(&[], false), None);
    }

    #[test]
    fn services_without_a_supervisor_are_left_out_and_unreadable_ones_are_reported() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        let mut status = [0u8; STATUS];
        status[0] = 0x40;
        write("b/supervise/status", &status);
        write("b/down", b"");
        write("a/supervise/status", &status);
        write("short/supervise/status", b"short");
        write("unsupervised/run", b"");
        let Services { found, problems } = services(folder.path()).unwrap();
        let found: Vec<_> = found.iter().map(|(name, status)| (name.as_str(), status.is_normally_up)).collect();
        assert_eq!(found, [("a", true), ("b", false)]);
        assert!(problems[0].to_string().contains("short/supervise/status"), "{problems:?}");
        assert_eq!(problems.len(), 1);
        assert!(services(&folder.path().join("none")).unwrap_err().is_absent());
    }
}
