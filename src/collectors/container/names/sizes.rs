//! File-system usage of containers and pods.
//!
//! Docker walks the files of every container for it, so it is queried seldom, apart from the names, for at most a part
//! of the time. Readings use the last result.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::http::Http;
use super::json::{Lenient, list, object, value};
use super::kubernetes::Kubernetes;
use super::query::{Failure, FailureKind, MAX_ENTRIES};

/// Timeout of a query.
const TIMEOUT: Duration = Duration::from_secs(120);
/// A query that took a time is repeated after this many of it at the earliest.
const REST: u32 = 20;
/// Delay after a failure, in intervals.
const AFTER_FAILURE: u32 = 12;
/// Podman may start for a query, so it is queried less often: delay in intervals.
const PODMAN: u32 = 6;
/// How long the names get before the first query.
pub(super) const NAMES_FIRST: Duration = Duration::from_secs(2);

/// File-system usage of a container or a pod. Unknown numbers are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Size {
    /// Used bytes.
    pub(in super::super) usage: Option<u64>,
    /// Size of the file system in bytes.
    pub(in super::super) limit: Option<u64>,
    /// Inodes of the file system.
    pub(in super::super) inodes: Option<u64>,
    pub(in super::super) inodes_free: Option<u64>,
    /// Folder on the host whose file system it is. Empty if unknown.
    pub(in super::super) folder: Arc<str>,
}

/// Sizes by container ID, and by pod UID.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Sizes {
    pub(in super::super) containers: HashMap<String, Size>,
    pub(in super::super) pods: HashMap<String, Size>,
}

/// A source of sizes.
pub(super) enum SizeSource {
    Docker { socket: PathBuf, is_podman: bool },
    Kubelet(Kubernetes),
}

impl SizeSource {
    /// Queries the source. `running` returns the IDs of running containers by namespace, pod and container.
    ///
    /// # Errors
    /// Why the query failed.
    pub(super) async fn query(
        &mut self,
        running: impl FnOnce() -> HashMap<[String; 3], String>,
    ) -> Result<Sizes, Failure> {
        match self {
            SizeSource::Docker { socket, .. } => {
                let http = Http::unix(socket)?;
                let info: Info = value(&http.get_within("/info", None, TIMEOUT).await?.body);
                let reply = http.get_within("/containers/json?size=1", None, TIMEOUT).await?;
                of_engine(&reply.body, &Arc::from(info.docker_root_dir.text()))
            }
            SizeSource::Kubelet(kubelet) => of_kubelet(&kubelet.get("/stats/summary", TIMEOUT).await?, &running()),
        }
    }

    pub(super) fn location(&self) -> String {
        match self {
            SizeSource::Docker { socket, .. } => socket.display().to_string(),
            SizeSource::Kubelet(kubelet) => kubelet.location(),
        }
    }

    pub(super) fn interval(&self, interval: Duration) -> Duration {
        match self {
            SizeSource::Docker { is_podman: true, .. } => interval.saturating_mul(PODMAN),
            _ => interval,
        }
    }
}

pub(super) fn delay_after(took: Duration, interval: Duration, is_ok: bool) -> Duration {
    let interval = if is_ok { interval } else { interval.saturating_mul(AFTER_FAILURE) };
    interval.max(took.saturating_mul(REST))
}

pub(super) fn remedied(source: &SizeSource, failure: Failure) -> String {
    match (source, failure.kind) {
        (SizeSource::Kubelet(_), FailureKind::Status(403)) => {
            format!("{}; the token's account needs `get` on nodes/stats", failure.message)
        }
        _ => failure.message,
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Info {
    docker_root_dir: Lenient<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Entry {
    id: Lenient<String>,
    /// Bytes of the writable layer. Left out if zero.
    size_rw: Lenient<Option<u64>>,
    /// Bytes of all layers.
    size_root_fs: Lenient<Option<u64>>,
}

/// Sizes of the writable layers in Docker's list of containers.
fn of_engine(body: &str, folder: &Arc<str>) -> Result<Sizes, Failure> {
    let mut sizes = Sizes::default();
    for raw in list(body)?.into_iter().take(MAX_ENTRIES) {
        let entry: Entry = value(raw.get());
        if let Some(usage) = entry.size_rw.or(entry.size_root_fs.map(|_| 0)) {
            let size = Size { usage: Some(usage), folder: folder.clone(), ..Size::default() };
            sizes.containers.insert(entry.id.text(), size);
        }
    }
    Ok(sizes)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    #[serde(rename = "podRef")]
    reference: Lenient<PodReference>,
    containers: Lenient<Vec<Lenient<Container>>>,
    #[serde(rename = "ephemeral-storage")]
    ephemeral_storage: Lenient<Usage>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodReference {
    name: Lenient<String>,
    namespace: Lenient<String>,
    uid: Lenient<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    name: Lenient<String>,
    rootfs: Lenient<Usage>,
    logs: Lenient<Usage>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Usage {
    used_bytes: Lenient<Option<u64>>,
    capacity_bytes: Lenient<Option<u64>>,
    inodes: Lenient<Option<u64>>,
    inodes_free: Lenient<Option<u64>>,
}

impl Usage {
    fn size(&self) -> Option<Size> {
        let usage = *self.used_bytes;
        let (limit, inodes, inodes_free) = (*self.capacity_bytes, *self.inodes, *self.inodes_free);
        usage.is_some().then(|| Size { usage, limit, inodes, inodes_free, folder: Arc::default() })
    }
}

/// Sizes in the kubelet's summary: of a container with its logs as in cAdvisor, and the ephemeral storage of a pod.
fn of_kubelet(body: &str, running: &HashMap<[String; 3], String>) -> Result<Sizes, Failure> {
    let mut sizes = Sizes::default();
    let summary = object(body)?;
    let pods = summary.get("pods").map(|pods| list(pods.get())).transpose()?.unwrap_or_default();
    for raw in pods.into_iter().take(MAX_ENTRIES) {
        let pod: Pod = value(raw.get());
        for container in pod.containers.iter() {
            let names = [pod.reference.namespace.text(), pod.reference.name.text(), container.name.text()];
            let Some((id, mut size)) = running.get(&names).zip(container.rootfs.size()) else { continue };
            size.usage = size.usage.map(|usage| usage.saturating_add(container.logs.used_bytes.unwrap_or(0)));
            sizes.containers.insert(id.clone(), size);
        }
        if let Some(size) = pod.ephemeral_storage.size() {
            sizes.pods.insert(pod.reference.uid.text(), size);
        }
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Served, Server, block_on, id};
    use super::*;

    #[test]
    fn docker_reports_the_writable_layer() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("d.sock");
        let server = Server::unix(&socket);
        server.json("/info", r#"{"DockerRootDir": "/srv/docker"}"#);
        let list =
            r#"[{"Id": "a", "SizeRw": 4096, "SizeRootFs": 9000}, {"Id": "b", "SizeRootFs": 9000}, {"Id": "c"}, 7]"#;
        server.json("/containers/json?size=1", list);
        let mut source = SizeSource::Docker { socket, is_podman: false };
        let sizes = block_on(source.query(HashMap::new)).unwrap();
        let usage = |id: &str| sizes.containers.get(id).and_then(|size| size.usage);
        assert_eq!(["a", "b", "c"].map(usage), [Some(4096), Some(0), None]);
        assert_eq!(&*sizes.containers["a"].folder, "/srv/docker");
    }

    #[test]
    fn the_kubelet_reports_containers_by_name_and_the_ephemeral_storage_of_pods() {
        let (server, url) = Server::tcp();
        let rootfs = r#"{"availableBytes": 60, "capacityBytes": 100, "usedBytes": 8, "inodesFree": 5, "inodes": 9}"#;
        let summary = format!(
            r#"{{"node": {{}}, "pods": [{{"podRef": {{"name": "web-0", "namespace": "shop", "uid": "u"}},
                "containers": [{{"name": "app", "rootfs": {rootfs}, "logs": {{"usedBytes": 3}}}},
                    {{"name": "ended", "rootfs": {rootfs}}}, {{"name": "odd", "rootfs": 7}}],
                "ephemeral-storage": {{"usedBytes": 12, "capacityBytes": 100}}}}, 7]}}"#
        );
        server.json("/stats/summary", summary);
        let mut source = SizeSource::Kubelet(super::super::kubernetes::tests::kubelet(&url));
        let names = |container: &str| ["shop", "web-0", container].map(str::to_owned);
        let running = || HashMap::from([(names("app"), id('a')), (names("odd"), id('b'))]);
        let sizes = block_on(source.query(running)).unwrap();
        let (usage, limit) = (Some(11), Some(100));
        let app = Size { usage, limit, inodes: Some(9), inodes_free: Some(5), folder: Arc::default() };
        assert_eq!(sizes.containers, HashMap::from([(id('a'), app)]));
        assert_eq!(sizes.pods["u"], Size { usage: Some(12), limit, ..Size::default() });

        server.respond("/stats/summary", Served::Status(403));
        let failure = block_on(source.query(HashMap::new)).unwrap_err();
        let message = "answered 403 Forbidden; the token's account needs `get` on nodes/stats";
        assert_eq!(remedied(&source, failure), message);
    }

    #[test]
    fn what_takes_long_is_repeated_seldom() {
        let (minute, interval) = (Duration::from_secs(60), Duration::from_secs(300));
        assert_eq!(delay_after(minute / 60, interval, true), interval);
        assert_eq!(delay_after(minute, interval, true), 20 * minute);
        assert_eq!(delay_after(minute / 60, interval, false), 60 * minute);
    }
}
