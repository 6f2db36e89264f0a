//! Network statistics of containers, once per network namespace.
//!
//! Reading the namespace of a process (`/proc/PID/ns/net`) needs privileges. Every user can compare the inodes of
//! `/proc/PID/net/dev`, which are equal for all processes of a namespace.

use std::collections::HashSet;
use std::path::PathBuf;

use super::identity::Kind;
use super::reading::Measured;
use crate::collectors::network::netdev::read_line;
use crate::config::Filter;
use crate::encode::Timestamp;
use crate::host::links::Link;
use crate::host::{Host, ReadError, file};

pub(super) struct Network {
    interfaces: Filter,
}

/// A process that may have its own network namespace.
struct Candidate {
    /// Containers of a pod share its namespace. Otherwise the namespace belongs to the oldest container, which the
    /// others joined.
    is_pod_namespace: bool,
    started: Option<Timestamp>,
    owner: usize,
    pid: u64,
}

impl Network {
    pub(super) fn new(interfaces: Filter) -> Self {
        Network { interfaces }
    }

    /// Reads the interfaces of all network namespaces into `measured`. Only the host itself gets those of the host.
    pub(super) fn read(
        &mut self,
        host: &Host,
        buffer: &mut Vec<u8>,
        problems: &mut Vec<ReadError>,
        measured: &mut [Measured],
    ) {
        let host_dev = dev(host, 1);
        let mut seen: HashSet<u64> = HashSet::new();
        seen.extend(file::inode(&host_dev).ok());
        for (path, owner) in owners(host, measured) {
            let is_new = owner.is_none() || file::inode(&path).is_ok_and(|inode| seen.insert(inode));
            let owner = owner.or_else(|| measured.iter().position(|cgroup| cgroup.labels.identity.kind == Kind::Host));
            let (true, Some(owner)) = (is_new, owner) else { continue };
            match self.links(&path, buffer) {
                Ok(links) => measured[owner].interfaces = links,
                Err(error) if error.is_absent() => {}
                Err(error) => problems.push(error),
            }
        }
    }

    fn links(&mut self, path: &std::path::Path, buffer: &mut Vec<u8>) -> Result<Vec<Link>, ReadError> {
        const HEADER_LINES: usize = 2;
        let mut links = Vec::new();
        for line in file::read_once(path, buffer)?.lines().skip(HEADER_LINES) {
            let link = read_line(line)?;
            if self.interfaces.wants(&link.name) {
                links.push(link);
            }
        }
        Ok(links)
    }
}

fn dev(host: &Host, pid: u64) -> PathBuf {
    host.proc_path(format!("{pid}/net/dev"))
}

/// Files to read, in the order in which owners claim a namespace. The host comes first, without owner.
fn owners(host: &Host, measured: &[Measured]) -> Vec<(PathBuf, Option<usize>)> {
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut pod: Option<usize> = None;
    for (index, cgroup) in measured.iter().enumerate() {
        let identity = &cgroup.labels.identity;
        match identity.kind {
            // The containers of the pod follow.
            Kind::Pod => pod = Some(index),
            Kind::Container => {}
            _ => continue,
        }
        let parent_pod = pod.filter(|pod| {
            let uid = &measured[*pod].labels.identity.pod_uid;
            !uid.is_empty() && *uid == identity.pod_uid
        });
        if let Some(pid) = cgroup.usage.init_pid {
            let (is_pod_namespace, owner) = (parent_pod.is_some(), parent_pod.unwrap_or(index));
            candidates.push(Candidate { is_pod_namespace, started: cgroup.started, owner, pid });
        }
    }
    candidates.sort_by_key(|candidate| (!candidate.is_pod_namespace, candidate.started.is_none(), candidate.started));
    let containers = candidates.into_iter().map(|candidate| (dev(host, candidate.pid), Some(candidate.owner)));
    std::iter::once((dev(host, 1), None)).chain(containers).collect()
}
