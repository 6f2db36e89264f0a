//! Labels and tags of a cgroup.

use std::sync::Arc;

use super::identity::{Identity, Kind};
use super::names::{Named, PodNamed, Running};

/// Labels of one cgroup.
#[derive(Debug, Default)]
pub(super) struct Labels {
    pub(super) identity: Identity,
    /// Path of the cgroup.
    pub(super) id: String,
    pub(super) container: String,
    pub(super) image: String,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) pod: String,
    /// Names from the runtime, if known.
    pub(super) named: Option<Arc<Named>>,
    /// Runtime labels as labels of `container_info`.
    pub(super) info: Vec<(String, String)>,
}

impl Labels {
    /// Labels of the cgroup at `path`, from its identity, the names of the runtime and those of its pod.
    pub(super) fn new(path: &str, identity: &Identity, named: Option<Arc<Named>>, of_pod: Option<&PodNamed>) -> Self {
        let names = named.as_deref().cloned().unwrap_or_default();
        let of_pod = of_pod.cloned().unwrap_or_default();
        let first = |one: String, other: String| if one.is_empty() { other } else { one };
        let mut labels = Labels {
            identity: identity.clone(),
            id: path.to_owned(),
            container: if names.is_sandbox { String::new() } else { names.container },
            // A sandbox only holds the pod's network. Sums over all containers with an image must not include it.
            image: if names.is_sandbox { String::new() } else { names.image },
            name: first(names.name, name_of(identity)),
            namespace: first(names.namespace, of_pod.namespace),
            pod: first(names.pod, of_pod.pod),
            named,
            info: names.labels.into_iter().map(|(key, value)| (label_name(&key), value)).collect(),
        };
        labels.info.dedup_by(|later, earlier| later.0 == earlier.0);
        labels
    }

    /// Values of [`SERIES_LABELS`].
    pub(super) fn series(&self) -> [&str; 6] {
        [&self.container, &self.id, &self.image, &self.name, &self.namespace, &self.pod]
    }

    /// Whether a source may have names of the cgroup.
    pub(super) fn is_container_or_pod(&self) -> bool {
        !self.identity.container_id.is_empty() || self.identity.kind == Kind::Pod
    }

    /// The container or pod that the cgroup with this inode is.
    pub(super) fn running(&self, cgroup: u64) -> Running<'_> {
        let Identity { container_id, pod_uid, runtime, .. } = &self.identity;
        Running { id: container_id, pod_uid, runtime, is_rootless: self.id.starts_with("/user.slice/"), cgroup }
    }

    fn is_unnamed_pod(&self) -> bool {
        self.identity.kind == Kind::Pod && self.pod.is_empty()
    }

    /// Tags as in Telegraf's `docker` input, with Kubernetes names as in Docker's labels. Sorted, without empty values.
    pub(super) fn tags(&self) -> Vec<(&str, &str)> {
        let (image, version) = image_and_version(&self.image);
        let named = self.named.as_deref();
        let names = |of: fn(&Named) -> Option<&str>| named.and_then(of).unwrap_or_default();
        let mut tags = vec![
            ("container_image", image),
            ("container_name", self.name.as_str()),
            ("container_status", names(|named| Some(&named.status))),
            ("container_version", version),
            ("engine_host", names(|named| named.engine_host.as_deref())),
            ("io.kubernetes.container.name", &self.container),
            ("io.kubernetes.pod.name", &self.pod),
            ("io.kubernetes.pod.namespace", &self.namespace),
            // Without a name, the UID tells pods apart.
            ("io.kubernetes.pod.uid", if self.is_unnamed_pod() { &self.identity.pod_uid } else { "" }),
            ("server_version", names(|named| named.server_version.as_deref())),
        ];
        tags.extend(named.iter().flat_map(|named| &named.labels).map(|(key, value)| (key.as_str(), value.as_str())));
        tags.retain(|(_, value)| !value.is_empty());
        // A runtime label does not override one of these.
        tags.sort_by_key(|(key, _)| *key);
        tags.dedup_by_key(|(key, _)| *key);
        tags
    }
}

/// Labels of every series of a cgroup, as in the kubelet.
pub(super) const SERIES_LABELS: [&str; 6] = ["container", "id", "image", "name", "namespace", "pod"];

/// Name if no runtime reports one. Parents have none, so that sums over all names count nothing twice.
fn name_of(identity: &Identity) -> String {
    match identity.kind {
        Kind::Container if identity.name.is_empty() => identity.container_id.clone(),
        Kind::Container | Kind::Machine | Kind::Service | Kind::Scope => identity.name.clone(),
        Kind::Host | Kind::Pod | Kind::Kubepods | Kind::Slice | Kind::Other => String::new(),
    }
}

/// cAdvisor's label name for a runtime label.
fn label_name(key: &str) -> String {
    let valid = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    "container_label_".chars().chain(key.chars().map(valid)).collect()
}

/// Name and tag or digest of an image. The port of a registry also has a colon.
fn image_and_version(image: &str) -> (&str, &str) {
    if image.is_empty() {
        return ("", "");
    }
    if let Some((name, digest)) = image.split_once('@') {
        return (name, digest);
    }
    match image.rsplit_once(':') {
        Some((name, version)) if !version.contains('/') => (name, version),
        _ => (image, "unknown"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::identity::identify;
    use super::*;

    #[test]
    fn images_have_a_name_and_a_version() {
        let cases = [
            ("", ("", "")),
            ("redis", ("redis", "unknown")),
            ("redis:7", ("redis", "7")),
            ("registry.local:5000/team/app", ("registry.local:5000/team/app", "unknown")),
            ("registry.local:5000/team/app:1.2", ("registry.local:5000/team/app", "1.2")),
            ("app@sha256:abc", ("app", "sha256:abc")),
        ];
        for (image, parts) in cases {
            assert_eq!(image_and_version(image), parts, "{image}");
        }
    }

    #[test]
    fn a_container_goes_by_its_id_until_its_names_are_known() {
        let id = "a".repeat(64);
        let path = format!("/kubepods/pod8dbc5577-d0e2-4706-8787-57d52c03ddf2/{id}");
        let labels = Labels::new(&path, &identify(&path), None, None);
        assert_eq!(labels.series(), ["", &path, "", &id, "", ""]);
        assert_eq!(labels.tags(), [("container_name", id.as_str())]);

        let uid = "8dbc5577-d0e2-4706-8787-57d52c03ddf2";
        let path_of_pod = format!("/kubepods/pod{uid}");
        let unnamed = Labels::new(&path_of_pod, &identify(&path_of_pod), None, None);
        assert_eq!(unnamed.tags(), [("io.kubernetes.pod.uid", uid)]);

        let pod = PodNamed { pod: "web-0".to_owned(), namespace: "shop".to_owned() };
        let named = Named {
            container: "app".to_owned(),
            image: "shop/app:2".to_owned(),
            labels: BTreeMap::from([("app.kubernetes.io/name".to_owned(), "web".to_owned())]),
            ..Named::default()
        };
        let labels = Labels::new(&path, &identify(&path), Some(Arc::new(named.clone())), Some(&pod));
        assert_eq!(labels.series()[0], "app");
        assert_eq!((labels.pod.as_str(), labels.namespace.as_str()), ("web-0", "shop"));
        assert_eq!(labels.info, [("container_label_app_kubernetes_io_name".to_owned(), "web".to_owned())]);

        let sandbox = Named { is_sandbox: true, ..named };
        let labels = Labels::new(&path, &identify(&path), Some(Arc::new(sandbox)), Some(&pod));
        assert_eq!((labels.image.as_str(), labels.container.as_str(), labels.pod.as_str()), ("", "", "web-0"));
    }
}
