//! The kubelet's log folders. Their file names contain the Kubernetes names of containers and pods.

use std::path::PathBuf;

use super::directory::Directory;
use super::query::{Inventory, MAX_ENTRIES};
use super::{Named, PodNamed};
use crate::host::file;

const REMEDY: &str = "; needs read permission on the folder";

/// `/var/log/containers`: `<pod>_<namespace>_<container>-<id>.log`.
pub(super) fn of_containers(path: PathBuf) -> Directory {
    names_in(path, |inventory, name| {
        if let Some((id, named)) = parse_container(name) {
            inventory.add(id, named);
        }
    })
}

/// `/var/log/pods`: `<namespace>_<pod>_<uid>`.
pub(super) fn of_pods(path: PathBuf) -> Directory {
    names_in(path, |inventory, name| {
        if let Some((uid, pod)) = parse_pod(name) {
            inventory.add_pod(uid, pod);
        }
    })
}

fn names_in(path: PathBuf, add: fn(&mut Inventory, &str)) -> Directory {
    Directory::new(path.clone(), REMEDY, move || {
        let mut inventory = Inventory::default();
        // A restarted container has one link per log that is still retained.
        for name in file::list_up_to(&path, 4 * MAX_ENTRIES)? {
            add(&mut inventory, &name);
        }
        Ok(inventory)
    })
}

fn parse_container(name: &str) -> Option<(&str, Named)> {
    const ID: usize = 64;
    let name = name.strip_suffix(".log")?;
    let (names, id) = name.split_at_checked(name.len().checked_sub(ID)?)?;
    let is_id = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let (pod, namespace, container) = split_three(names.strip_suffix('-')?)?;
    let text = str::to_owned;
    let named = Named { pod: text(pod), namespace: text(namespace), container: text(container), ..Named::default() };
    is_id.then_some((id, named))
}

fn parse_pod(name: &str) -> Option<(&str, PodNamed)> {
    let (namespace, pod, uid) = split_three(name)?;
    Some((uid, PodNamed { pod: pod.to_owned(), namespace: namespace.to_owned() }))
}

/// The three parts between underscores. Kubernetes names do not contain underscores.
fn split_three(name: &str) -> Option<(&str, &str, &str)> {
    let mut parts = name.split('_').filter(|part| !part.is_empty());
    let three = (parts.next()?, parts.next()?, parts.next()?);
    (parts.next().is_none() && name.matches('_').count() == 2).then_some(three)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::container::names::fake::block_on;
    use crate::collectors::container::names::query::FailureKind;

    const ID: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

    #[test]
    fn the_names_of_links_tell_pod_namespace_and_container() {
        let name = format!("coredns-5dd5756b68-x2x4p_kube-system_coredns-{ID}.log");
        let (id, named) = parse_container(&name).unwrap();
        assert_eq!(id, ID);
        let names = [named.pod, named.namespace, named.container];
        assert_eq!(names, ["coredns-5dd5756b68-x2x4p", "kube-system", "coredns"]);
        let upper = ID.to_uppercase();
        for odd in [
            String::new(),
            ".log".to_owned(),
            format!("{ID}.log"),
            format!("-{ID}.log"),
            format!("a_b-{ID}.log"),
            format!("a_b_c_d-{ID}.log"),
            format!("a__c-{ID}.log"),
            format!("a_b_c{ID}.log"),
            format!("a_b_c-{ID}"),
            format!("a_b_c-{upper}.log"),
            format!("a_b_c-{}.log", "ü".repeat(32)),
            format!("a_b_c-x{}.log", "ü".repeat(32)),
        ] {
            assert!(parse_container(&odd).is_none(), "{odd}");
        }
    }

    #[test]
    fn the_names_of_log_folders_tell_pods_by_uid() {
        let pod = |name: &str| parse_pod(name).map(|(uid, pod)| (uid.to_owned(), pod.pod, pod.namespace));
        let uid = "6a3c1a52-2f1e-4d5b-9a51-0c9d2b7f1e11";
        let expected = Some((uid.to_owned(), "web-0".to_owned(), "shop".to_owned()));
        assert_eq!(pod(&format!("shop_web-0_{uid}")), expected);
        let of_manifest = "kube-system_etcd-a_0123456789abcdef0123456789abcdef";
        assert_eq!(pod(of_manifest).unwrap().0, "0123456789abcdef0123456789abcdef");
        assert_eq!([pod("shop_web"), pod("a_b_"), pod("_"), pod("a_b_c_d")], [None, None, None, None]);
    }

    #[test]
    fn folders_are_walked_and_what_is_not_there_is_absent() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(format!("p_n_c-{ID}.log")), "").unwrap();
        std::fs::write(folder.path().join("other"), "").unwrap();
        let inventory = block_on(async { of_containers(folder.path().to_owned()).query().await }).unwrap();
        assert_eq!(inventory.containers.keys().collect::<Vec<_>>(), [ID]);
        let absent = block_on(async { of_pods(folder.path().join("absent")).query().await }).unwrap_err();
        assert_eq!((absent.kind, absent.message.as_str()), (FailureKind::Absent, "not on this host"));
    }
}
