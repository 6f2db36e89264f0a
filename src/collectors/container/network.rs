//! What containers received and transmitted, once for each network namespace.
//!
//! Which namespace a process is in takes privileges to ask (`/proc/PID/ns/net`). But `/proc/PID/net/dev` has the same
//! inode for all processes of a namespace, and anybody may ask for that.

use std::collections::HashSet;
use std::path::PathBuf;

use super::super::netdev::read_line;
use super::identity::Kind;
use super::reading::Measured;
use crate::config::Filter;
use crate::host::links::Link;
use crate::host::{Host, ReadError, Timestamp, file};

pub(super) struct Network {
    interfaces: Filter,
}

/// A process whose namespace may be a container's own.
struct Candidate {
    /// Containers of a pod share its namespace; otherwise it is the oldest's, and the others joined it.
    is_pods: bool,
    started: Option<Timestamp>,
    owner: usize,
    pid: u64,
}

impl Network {
    pub(super) fn new(interfaces: Filter) -> Self {
        Network { interfaces }
    }

    /// Reads into `measured` the interfaces of all network namespaces but the host's, each of which only the host has.
    pub(super) fn read(
        &mut self,
        host: &Host,
        buffer: &mut Vec<u8>,
        problems: &mut Vec<ReadError>,
        measured: &mut [Measured],
    ) {
        let of_host = dev(host, 1);
        let mut seen: HashSet<u64> = HashSet::new();
        seen.extend(file::inode(&of_host).ok());
        for (path, owner) in owners(host, measured) {
            let is_new = owner.is_none() || file::inode(&path).is_ok_and(|inode| seen.insert(inode));
            let owner = owner.or_else(|| measured.iter().position(|one| one.labels.identity.kind == Kind::Host));
            let (true, Some(owner)) = (is_new, owner) else { continue };
            match self.links(&path, buffer) {
                Ok(links) => measured[owner].interfaces = links,
                Err(error) if error.is_absent() => {}
                Err(error) => problems.push(error),
            }
        }
    }

    fn links(&mut self, path: &std::path::Path, buffer: &mut Vec<u8>) -> Result<Vec<Link>, ReadError> {
        const HEAD_LINES: usize = 2;
        let mut links = Vec::new();
        for line in file::read_once(path, buffer)?.lines().skip(HEAD_LINES) {
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

/// The files of interfaces in the order in which namespaces are given to owners; the host itself has no owner here.
fn owners(host: &Host, measured: &[Measured]) -> Vec<(PathBuf, Option<usize>)> {
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut pod: Option<usize> = None;
    for (index, one) in measured.iter().enumerate() {
        let identity = &one.labels.identity;
        match identity.kind {
            // Its containers follow it.
            Kind::Pod => pod = Some(index),
            Kind::Container => {}
            _ => continue,
        }
        let own_pod = pod.filter(|pod| {
            let uid = &measured[*pod].labels.identity.pod_uid;
            !uid.is_empty() && *uid == identity.pod_uid
        });
        // The PIDs of another PID namespace are 0.
        if let Some(pid) = one.usage.first_pid.filter(|pid| *pid > 0) {
            let (is_pods, owner) = (own_pod.is_some(), own_pod.unwrap_or(index));
            candidates.push(Candidate { is_pods, started: one.started, owner, pid });
        }
    }
    candidates.sort_by_key(|candidate| (!candidate.is_pods, candidate.started.is_none(), candidate.started));
    let of_containers = candidates.into_iter().map(|candidate| (dev(host, candidate.pid), Some(candidate.owner)));
    std::iter::once((dev(host, 1), None)).chain(of_containers).collect()
}
