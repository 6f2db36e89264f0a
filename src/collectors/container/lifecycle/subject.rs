//! What the counters are about: a container by its names, which a restart keeps.

use super::super::identity::{Kind, identify};
use super::super::labels::Labels;
use super::super::names::Named;

/// A container of a pod, a container by name, or, without names, the path of a container's or pod's cgroup. Unused fields
/// are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Subject {
    container: String,
    id: String,
    name: String,
    namespace: String,
    pod: String,
    /// Whether several containers share it, because only their pod is known.
    pub(super) is_pod: bool,
}

/// Labels of the counters.
pub(in super::super) const LABELS: [&str; 5] = ["container", "id", "name", "namespace", "pod"];

impl Subject {
    /// The subject of a container, a pod or a virtual machine.
    pub(super) fn of(labels: &Labels) -> Subject {
        if !labels.pod.is_empty() {
            return Subject::in_pod(&labels.namespace, &labels.pod, &labels.container);
        }
        if !labels.identity.pod_uid.is_empty() {
            return Subject { id: pod_path(&labels.id).unwrap_or_default(), is_pod: true, ..Subject::default() };
        }
        // Without names the name is the ID.
        match labels.name.as_str() {
            name if name.is_empty() || name == labels.identity.container_id => {
                Subject { id: labels.id.clone(), ..Subject::default() }
            }
            name => Subject { name: name.to_owned(), ..Subject::default() },
        }
    }

    /// The subject of a container that a source of names lists.
    pub(super) fn of_named(named: &Named) -> Option<Subject> {
        let is_named = if named.pod.is_empty() { !named.name.is_empty() } else { !named.container.is_empty() };
        if named.is_sandbox || !is_named {
            return None;
        }
        Some(match named.pod.as_str() {
            "" => Subject { name: named.name.clone(), ..Subject::default() },
            pod => Subject::in_pod(&named.namespace, pod, &named.container),
        })
    }

    fn in_pod(namespace: &str, pod: &str, container: &str) -> Subject {
        let (container, namespace, pod) = (container.to_owned(), namespace.to_owned(), pod.to_owned());
        Subject { is_pod: container.is_empty(), container, namespace, pod, ..Subject::default() }
    }

    /// Whether only a path is known.
    pub(super) fn is_unnamed(&self) -> bool {
        !self.id.is_empty()
    }

    /// Whether it is a container by name.
    pub(super) fn is_known(&self) -> bool {
        !self.is_unnamed() && !self.is_pod
    }

    /// Values of [`LABELS`].
    pub(in super::super) fn series(&self) -> [&str; 5] {
        [&self.container, &self.id, &self.name, &self.namespace, &self.pod]
    }
}

/// Path of the pod that the cgroup at `path` is or belongs to.
pub(super) fn pod_path(path: &str) -> Option<String> {
    nearest(path, |kind| kind == Kind::Pod)
}

/// Path of the container or virtual machine that the cgroup at `path` is or belongs to; otherwise of its pod.
pub(super) fn container_path(path: &str) -> Option<String> {
    nearest(path, |kind| matches!(kind, Kind::Container | Kind::Machine | Kind::Pod))
}

fn nearest(path: &str, is_wanted: impl Fn(Kind) -> bool) -> Option<String> {
    let mut path = path;
    while !path.is_empty() && path != "/" {
        if is_wanted(identify(path).kind) {
            return Some(path.to_owned());
        }
        path = path.rsplit_once('/')?.0;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::identity::identify;
    use super::super::super::names::PodNamed;
    use super::*;

    const UID: &str = "8dbc5577-d0e2-4706-8787-57d52c03ddf2";

    fn of(path: &str, named: Option<Named>, pod: Option<&PodNamed>) -> Subject {
        Subject::of(&Labels::new(path, &identify(path), named.map(Arc::new), pod))
    }

    #[test]
    fn a_container_goes_by_the_names_that_a_restart_keeps() {
        let id = "a".repeat(64);
        let (docker, pod) = (format!("/docker/{id}"), format!("/kubepods/pod{UID}"));
        let web = PodNamed { pod: "web-0".into(), namespace: "shop".into() };
        let app = Named { container: "app".into(), name: "k8s_app_web-0_shop_u_3".into(), ..Named::default() };
        let nginx = Named { name: "nginx".into(), ..Named::default() };
        let cases = [
            (of(&format!("{pod}/{id}"), Some(app), Some(&web)), ["app", "", "", "shop", "web-0"]),
            (of(&format!("{pod}/{id}"), None, Some(&web)), ["", "", "", "shop", "web-0"]),
            (of(&format!("{pod}/{id}"), None, None), ["", &pod, "", "", ""]),
            (of(&pod, None, None), ["", &pod, "", "", ""]),
            (of(&docker, Some(nginx), None), ["", "", "nginx", "", ""]),
            (of(&docker, None, None), ["", &docker, "", "", ""]),
            (of("/lxc.payload.mail", None, None), ["", "", "mail", "", ""]),
        ];
        for (subject, expected) in cases {
            assert_eq!(subject.series(), expected);
        }
    }

    #[test]
    fn a_process_belongs_to_the_container_above_it() {
        let id = "a".repeat(64);
        let pod = format!("/kubepods/burstable/pod{UID}");
        assert_eq!(container_path(&format!("/docker/{id}/init/x")).unwrap(), format!("/docker/{id}"));
        assert_eq!(container_path(&format!("{pod}/{id}")).unwrap(), format!("{pod}/{id}"));
        assert_eq!(container_path(&format!("{pod}/other")), Some(pod.clone()));
        assert_eq!(pod_path(&format!("{pod}/{id}")), Some(pod));
        for path in ["/system.slice/ssh.service", "/", ""] {
            assert_eq!(container_path(path), None);
        }
    }
}
