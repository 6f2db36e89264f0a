//! Identifies a cgroup by its path: runtime, container, pod or unit.
//!
//! The last element of the path decides. Runtimes nest (kind, k3s and Docker in Docker have a tree below a container),
//! so the container nearest to the end of the path applies.

/// Kind of a cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// The root cgroup: the whole host.
    Host,
    /// A container of any runtime.
    Container,
    /// A Kubernetes pod, the parent of its containers.
    Pod,
    /// A virtual machine.
    Machine,
    /// A systemd service.
    Service,
    /// A systemd scope of no other kind, such as a login session.
    Scope,
    /// The parent of the node's pods, or of those of one QoS class.
    Kubepods,
    /// A systemd slice of no other kind.
    Slice,
    /// Any other: children of containers and services, helpers of runtimes, manually created cgroups.
    #[default]
    Other,
}

impl Kind {
    /// All kinds.
    pub(super) const ALL: [Kind; 9] = [
        Kind::Host,
        Kind::Container,
        Kind::Pod,
        Kind::Kubepods,
        Kind::Machine,
        Kind::Service,
        Kind::Scope,
        Kind::Slice,
        Kind::Other,
    ];

    /// Name of the kind in the configuration and in labels.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Host => "host",
            Kind::Container => "container",
            Kind::Pod => "pod",
            Kind::Kubepods => "kubepods",
            Kind::Machine => "machine",
            Kind::Service => "service",
            Kind::Scope => "scope",
            Kind::Slice => "slice",
            Kind::Other => "other",
        }
    }
}

/// Identity from the path. Unknown fields are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) kind: Kind,
    /// `docker`, `containerd`, `cri-o`, `podman`, `lxc`, `nspawn`, `libvirt`, `qemu`, `ecs`.
    pub(super) runtime: &'static str,
    /// Container ID of the runtime.
    pub(super) container_id: String,
    /// UID of the pod that the cgroup is or belongs to. With dashes; 32 hexadecimal digits for a static pod.
    pub(super) pod_uid: String,
    /// `guaranteed`, `burstable` or `besteffort`; for pods and their containers.
    pub(super) qos: &'static str,
    /// Name in the path: of a unit, a virtual machine, an LXC or nspawn container.
    pub(super) name: String,
}

/// Identifies the cgroup at `path`, which starts with a slash and is relative to the root of the hierarchy.
pub(super) fn identify(path: &str) -> Identity {
    let (parent, last) = path.rsplit_once('/').unwrap_or(("", path));
    if last.is_empty() {
        return Identity { kind: Kind::Host, ..Identity::default() };
    }
    let readers: [fn(&str, &str) -> Option<Identity>; 6] = [helper, container_by_id, pod, named, kubepods, unit];
    let found = readers.iter().find_map(|read| read(parent, last)).unwrap_or_default();
    if is_repeated(path, &found) { Identity::default() } else { found }
}

/// The cgroups above `path` except the root, nearest first.
fn above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(parent, _)| parent))
        .skip(1)
        .filter(|path| !path.is_empty())
}

/// The container at `path`.
fn container_at(path: &str) -> Option<Identity> {
    let (parent, last) = path.rsplit_once('/')?;
    let found = container_by_id(parent, last).or_else(|| named(parent, last));
    found.filter(|found| found.kind == Kind::Container)
}

/// Whether `identity` is that of a container or pod above `path`. Without a cgroup namespace, a runtime or systemd in a
/// container creates the container's own path below it once more.
fn is_repeated(path: &str, identity: &Identity) -> bool {
    let Identity { kind: Kind::Container | Kind::Pod, container_id, pod_uid, .. } = identity else { return false };
    let mut is_inside = false;
    above(path).any(|upper| {
        if let Some(outer) = container_at(upper) {
            is_inside = true;
            return path.strip_prefix(upper) == Some(upper)
                || (!container_id.is_empty() && outer.container_id == *container_id);
        }
        let (parent, last) = upper.rsplit_once('/').unwrap_or_default();
        is_inside && !pod_uid.is_empty() && pod_of(parent, last).is_some_and(|pod| pod.uid == *pod_uid)
    })
}

/// Cgroups of runtime helpers, which look like containers.
fn helper(parent: &str, last: &str) -> Option<Identity> {
    const PREFIXES: [&str; 4] = ["crio-conmon-", "libpod-conmon-", "lxc.monitor.", "lxc.pivot"];
    let is_helper = PREFIXES.iter().any(|prefix| last.starts_with(prefix)) || parent.ends_with("/lxc.monitor");
    is_helper.then(Identity::default)
}

/// Name prefixes of container cgroups by runtime.
const BY_ID: [(&str, &str); 9] = [
    ("docker-", "docker"),
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("containerd-", "containerd"),
    ("crio-", "cri-o"),
    ("libpod-payload-", "podman"),
    ("libpod-", "podman"),
    ("podman-", "podman"),
    ("ecs-", "ecs"),
];

fn container_by_id(parent: &str, last: &str) -> Option<Identity> {
    if let Some((slice, runtime, id)) = colon_form(last) {
        return Some(container(runtime, id, pod_of("", slice).or_else(|| nearest_pod(parent))));
    }
    let stem = last.strip_suffix(".scope").unwrap_or(last);
    for (prefix, runtime) in BY_ID {
        if let Some(id) = stem.strip_prefix(prefix).filter(|id| is_id(id)) {
            return Some(container(runtime, id, nearest_pod(parent)));
        }
    }
    let runtime = match last_of(parent) {
        "docker" => "docker",
        "libpod_parent" => "podman",
        // In containerd users choose the IDs. Every cgroup below containerd's namespaces is a container.
        "default" | "k8s.io" | "moby" if parent.rfind('/') == Some(0) => "containerd",
        _ if parent.starts_with("/ecs/") => "ecs",
        _ => "",
    };
    let is_named_container = runtime == "containerd" || (runtime == "ecs" && is_task_container(stem));
    (is_id(stem) || is_named_container).then(|| container(runtime, stem, nearest_pod(parent)))
}

fn container(runtime: &'static str, id: &str, of: Option<Pod>) -> Identity {
    let Pod { uid, qos } = of.unwrap_or_default();
    let container_id = id.to_owned();
    Identity { kind: Kind::Container, runtime, container_id, pod_uid: uid, qos, ..Identity::default() }
}

fn last_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

/// `SLICE:RUNTIME:ID`: the systemd form, created by a runtime that uses the cgroupfs driver.
fn colon_form(last: &str) -> Option<(&str, &'static str, &str)> {
    let (slice_and_runtime, id) = last.rsplit_once(':')?;
    let (slice, name) = slice_and_runtime.rsplit_once(':')?;
    let (_, runtime) = BY_ID.iter().find(|(prefix, _)| prefix.trim_end_matches('-') == name)?;
    Some((slice, runtime, id))
}

/// A container ID: 64 hexadecimal digits.
fn is_id(text: &str) -> bool {
    text.len() == 64 && is_lower_hex(text)
}

/// A container ID of ECS on Fargate: 32 hexadecimal digits of the task, a dash, a decimal number.
fn is_task_container(text: &str) -> bool {
    let Some((task, number)) = text.split_once('-') else { return false };
    task.len() == 32 && is_lower_hex(task) && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn pod(parent: &str, last: &str) -> Option<Identity> {
    let Pod { uid, qos } = pod_of(parent, last)?;
    Some(Identity { kind: Kind::Pod, pod_uid: uid, qos, ..Identity::default() })
}

/// Parents of pods: `kubepods` and `burstable` with the cgroupfs driver, `…kubepods.slice` and
/// `…kubepods-burstable.slice` with the systemd driver. Those in a container belong to another cluster than the node's.
fn kubepods(parent: &str, last: &str) -> Option<Identity> {
    let is_class = |name| matches!(name, "burstable" | "besteffort");
    let (name, is_below) = match last.strip_suffix(".slice") {
        Some(stem) => match stem.rsplit_once('-') {
            Some((upper, class)) if is_class(class) => (upper, true),
            _ => (stem, true),
        },
        None if is_class(last) => (last_of(parent), true),
        None => (last, false),
    };
    let is_parent_of_pods = name == "kubepods" || (is_below && name.ends_with("-kubepods"));
    let is_inside = || above(parent).chain([parent]).any(|upper| container_at(upper).is_some());
    let kind = if is_parent_of_pods && is_inside() { Kind::Slice } else { Kind::Kubepods };
    is_parent_of_pods.then(|| Identity { kind, name: last.to_owned(), ..Identity::default() })
}

#[derive(Default)]
struct Pod {
    uid: String,
    qos: &'static str,
}

/// The pod whose cgroup is `last`: `podUID` with the cgroupfs driver, `…-podUID.slice` with the systemd driver, which
/// replaces dashes with underscores. Guaranteed pods have no QoS level in the path.
fn pod_of(parent: &str, last: &str) -> Option<Pod> {
    let (level, uid) = match last.strip_suffix(".slice") {
        Some(stem) => stem.rsplit_once("-pod").map(|(level, uid)| (level, uid.replace('_', "-")))?,
        None => (last_of(parent), last.strip_prefix("pod")?.to_owned()),
    };
    let is_uuid = uid.len() == 36 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    // The UID of a static pod is the hash of its manifest.
    let is_hash = uid.len() == 32 && is_lower_hex(&uid);
    let qos = match level {
        _ if level.ends_with("burstable") => "burstable",
        _ if level.ends_with("besteffort") => "besteffort",
        _ => "guaranteed",
    };
    (is_uuid || is_hash).then_some(Pod { uid, qos })
}

/// The nearest pod above `path`. `None` if another container is in between.
fn nearest_pod(path: &str) -> Option<Pod> {
    let (parent, last) = path.rsplit_once('/')?;
    pod_of(parent, last).or_else(|| match container_by_id("/", last) {
        Some(_) => None,
        None => nearest_pod(parent),
    })
}

/// Containers and virtual machines with a name.
fn named(parent: &str, last: &str) -> Option<Identity> {
    let of = |kind, runtime, name: &str| Some(Identity { kind, runtime, name: unescape(name), ..Identity::default() });
    if let Some(name) = last.strip_prefix("lxc.payload.") {
        return of(Kind::Container, "lxc", name);
    }
    match last_of(parent) {
        "lxc" | "lxc.payload" => return of(Kind::Container, "lxc", last),
        "qemu.slice" => return of(Kind::Machine, "qemu", last.strip_suffix(".scope")?),
        _ => {}
    }
    if let Some(name) = last.strip_prefix("systemd-nspawn@").and_then(|rest| rest.strip_suffix(".service")) {
        return of(Kind::Container, "nspawn", name);
    }
    let machine = last.strip_prefix("machine-")?.strip_suffix(".scope")?;
    let machine = unescape(machine);
    let by_libvirt = |prefix| {
        let (number, name) = machine.strip_prefix(prefix)?.split_once('-')?;
        number.bytes().all(|byte| byte.is_ascii_digit()).then_some(name)
    };
    match (by_libvirt("qemu-"), by_libvirt("lxc-")) {
        (Some(name), _) => of(Kind::Machine, "libvirt", name),
        (_, Some(name)) => of(Kind::Container, "libvirt", name),
        _ => of(Kind::Container, "nspawn", &machine),
    }
}

/// Decodes `\x2d` and other escapes of unit names: systemd-escape(1).
fn unescape(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = rest.strip_prefix(b"\\x").and_then(|hex| {
            let digits = std::str::from_utf8(hex.get(..2)?).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &rest[4..] } else { after };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| name.to_owned())
}

fn unit(_: &str, last: &str) -> Option<Identity> {
    let kind = match last.rsplit_once('.')?.1 {
        "service" => Kind::Service,
        "scope" => Kind::Scope,
        "slice" => Kind::Slice,
        _ => return None,
    };
    Some(Identity { kind, name: last.to_owned(), ..Identity::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
    const UID: &str = "8dbc5577-d0e2-4706-8787-57d52c03ddf2";
    const HASH: &str = "7f3f9b1c2d4e5f60718293a4b5c6d7e8";

    /// `KIND RUNTIME ID POD QOS NAME`, with `-` for an empty field, and short names for the IDs above.
    fn identified(path: &str) -> String {
        let path = path.replace("<id>", ID).replace("<other>", OTHER).replace("<uid>", UID).replace("<hash>", HASH);
        let path = path.replace("<u_id>", &UID.replace('-', "_"));
        let Identity { kind, runtime, container_id, pod_uid, qos, name } = identify(&path);
        let parts = [kind.name(), runtime, &container_id, &pod_uid, qos, &name].map(|part| match part {
            "" => "-",
            ID => "<id>",
            OTHER => "<other>",
            UID => "<uid>",
            HASH => "<hash>",
            other => other,
        });
        parts.join(" ")
    }

    fn assert_all(cases: &[(&str, &str)]) {
        for (path, expected) in cases {
            assert_eq!(identified(path), *expected, "{path}");
        }
    }

    #[test]
    fn docker() {
        assert_all(&[
            ("/docker/<id>", "container docker <id> - - -"),
            ("/system.slice/docker-<id>.scope", "container docker <id> - - -"),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-<id>.scope",
                "container docker <id> - - -",
            ),
            ("/actions_job/<id>", "container - <id> - - -"),
            ("/docker", "other - - - - -"),
            ("/docker/buildkit", "other - - - - -"),
            ("/docker/<id>/init", "other - - - - -"),
            ("/ecs/task/<id>", "container ecs <id> - - -"),
            (
                "/ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef-3685",
                "container ecs 0123456789abcdef0123456789abcdef-3685 - - -",
            ),
        ]);
    }

    #[test]
    fn containerd_and_nerdctl() {
        assert_all(&[
            ("/default/redis", "container containerd redis - - -"),
            ("/default/<id>", "container containerd <id> - - -"),
            ("/system.slice/nerdctl-<id>.scope", "container containerd <id> - - -"),
            ("/other/default/redis", "other - - - - -"),
        ]);
    }

    #[test]
    fn podman() {
        assert_all(&[
            ("/machine.slice/libpod-<id>.scope", "container podman <id> - - -"),
            ("/machine.slice/libpod-<id>.scope/container", "other - - - - -"),
            ("/machine.slice/libpod-conmon-<id>.scope", "other - - - - -"),
            ("/libpod_parent/libpod-<id>", "container podman <id> - - -"),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-<id>.scope",
                "container podman <id> - - -",
            ),
            ("/system.slice/web.service/libpod-payload-<id>", "container podman <id> - - -"),
            ("/system.slice/web.service", "service - - - - web.service"),
        ]);
    }

    #[test]
    fn kubelet_with_the_cgroupfs_driver() {
        assert_all(&[
            ("/kubepods", "kubepods - - - - kubepods"),
            ("/kubepods/burstable", "kubepods - - - - burstable"),
            ("/kubepods/besteffort", "kubepods - - - - besteffort"),
            ("/kubelet/kubepods/burstable", "kubepods - - - - burstable"),
            ("/batch/burstable", "other - - - - -"),
            ("/kubepods/burstable/pod<uid>", "pod - - <uid> burstable -"),
            ("/kubepods/besteffort/pod<uid>/<id>", "container - <id> <uid> besteffort -"),
            ("/kubepods/pod<uid>/<id>", "container - <id> <uid> guaranteed -"),
            ("/kubepods/burstable/pod<hash>/<id>", "container - <id> <hash> burstable -"),
            ("/kubepods/burstable/podinfo", "other - - - - -"),
        ]);
    }

    #[test]
    fn kubelet_with_the_systemd_driver() {
        let pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<u_id>.slice";
        let nested = "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod<u_id>.slice";
        assert_all(&[
            ("/kubepods.slice", "kubepods - - - - kubepods.slice"),
            ("/kubepods.slice/kubepods-burstable.slice", "kubepods - - - - kubepods-burstable.slice"),
            ("/kubelet.slice", "slice - - - - kubelet.slice"),
            ("/kubelet.slice/kubelet-kubepods.slice", "kubepods - - - - kubelet-kubepods.slice"),
            (
                "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice",
                "kubepods - - - - kubelet-kubepods-besteffort.slice",
            ),
            ("/my.slice/my-burstable.slice", "slice - - - - my-burstable.slice"),
            (pod, "pod - - <uid> burstable -"),
            (&format!("{pod}/cri-containerd-<id>.scope"), "container containerd <id> <uid> burstable -"),
            (&format!("{pod}/crio-<id>.scope"), "container cri-o <id> <uid> burstable -"),
            (&format!("{pod}/crio-<id>.scope/container"), "other - - - - -"),
            (&format!("{pod}/crio-conmon-<id>.scope"), "other - - - - -"),
            (&format!("{pod}/docker-<id>.scope"), "container docker <id> <uid> burstable -"),
            (
                "/kubepods.slice/kubepods-pod<u_id>.slice/cri-containerd-<id>.scope",
                "container containerd <id> <uid> guaranteed -",
            ),
            ("/kubepods.slice/kubepods-pod<hash>.slice", "pod - - <hash> guaranteed -"),
            (nested, "pod - - <uid> besteffort -"),
            (&format!("{nested}/cri-containerd-<id>.scope"), "container containerd <id> <uid> besteffort -"),
            (
                "/system.slice/containerd.service/kubepods-besteffort-pod<u_id>.slice:cri-containerd:<id>",
                "container containerd <id> <uid> besteffort -",
            ),
        ]);
    }

    #[test]
    fn clusters_in_containers() {
        let node = "/system.slice/docker-<other>.scope";
        let nested = format!("{node}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod<u_id>.slice");
        assert_all(&[
            (&format!("{nested}/cri-containerd-<id>.scope"), "container containerd <id> <uid> guaranteed -"),
            (&nested, "pod - - <uid> guaranteed -"),
            (&format!("{node}/kubepods/besteffort/pod<uid>/<id>"), "container - <id> <uid> besteffort -"),
            (&format!("{node}/kubelet.slice/kubelet.service"), "service - - - - kubelet.service"),
            ("/kubepods/pod<uid>/<other>/docker/<id>", "container docker <id> - - -"),
            (&format!("{node}/kubelet.slice/kubelet-kubepods.slice"), "slice - - - - kubelet-kubepods.slice"),
            (&format!("{node}/kubepods/burstable"), "slice - - - - burstable"),
        ]);
    }

    #[test]
    fn paths_repeated_below_a_container() {
        let pod = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<u_id>.slice";
        let container = format!("{pod}/cri-containerd-<id>.scope");
        let hash = "/kubepods/besteffort/pod<hash>";
        assert_all(&[
            (&container, "container containerd <id> <uid> burstable -"),
            (&format!("{container}/kubepods.slice"), "slice - - - - kubepods.slice"),
            (&format!("{container}{pod}"), "other - - - - -"),
            (&format!("{container}{container}"), "other - - - - -"),
            (&format!("{container}{pod}/cri-containerd-<other>.scope"), "other - - - - -"),
            (&format!("{container}{container}/init.scope"), "scope - - - - init.scope"),
            // Another pod in a nested cluster.
            (&format!("{container}{hash}"), "pod - - <hash> besteffort -"),
            (&format!("{container}{hash}/<other>"), "container - <other> <hash> besteffort -"),
            ("/docker/<id>/docker/<id>", "other - - - - -"),
            ("/docker/<id>/system.slice/docker-<id>.scope", "other - - - - -"),
            ("/docker/<id>/docker/<id>/docker/<other>", "container docker <other> - - -"),
            ("/docker/<id>/docker/<other>", "container docker <other> - - -"),
            ("/lxc.payload.web/lxc.payload.web", "other - - - - -"),
            ("/lxc.payload.web/lxc.payload.db", "container lxc - - - db"),
            ("/machine.slice/machine-web.scope/machine.slice/machine-web.scope", "other - - - - -"),
        ]);
    }

    #[test]
    fn containers_and_machines_that_go_by_a_name() {
        assert_all(&[
            ("/lxc/web", "container lxc - - - web"),
            ("/lxc/101/ns", "other - - - - -"),
            ("/lxc.payload.web", "container lxc - - - web"),
            ("/lxc.monitor.web", "other - - - - -"),
            ("/machine.slice/systemd-nspawn@web.service", "container nspawn - - - web"),
            ("/machine.slice/systemd-nspawn@web.service/payload", "other - - - - -"),
            ("/machine.slice/machine-my\\x2dweb.scope", "container nspawn - - - my-web"),
            ("/machine.slice/machine-qemu\\x2d3\\x2dbuild\\x2dhost.scope", "machine libvirt - - - build-host"),
            ("/machine.slice/machine-lxc\\x2d7\\x2dweb.scope", "container libvirt - - - web"),
            ("/qemu.slice/101.scope", "machine qemu - - - 101"),
        ]);
    }

    #[test]
    fn units_and_the_rest() {
        assert_all(&[
            ("/", "host - - - - -"),
            ("/init.scope", "scope - - - - init.scope"),
            ("/system.slice", "slice - - - - system.slice"),
            ("/system.slice/system-getty.slice/getty@tty1.service", "service - - - - getty@tty1.service"),
            ("/user.slice/user-1000.slice/session-3.scope", "scope - - - - session-3.scope"),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/x.service", "service - - - - x.service"),
            ("/system.slice/proc-sys-fs-binfmt_misc.mount", "other - - - - -"),
            ("/made/by/hand", "other - - - - -"),
            ("/odd\\x", "other - - - - -"),
        ]);
    }
}
