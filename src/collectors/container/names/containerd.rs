//! containerd's tasks: `<folder>/<namespace>/<id>/config.json` (OCI runtime specification). The annotations have the
//! names of Kubernetes (containerd) or of nerdctl.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::directory::Directory;
use super::json::{Texts, object, truncated, value};
use super::query::{Inventory, MAX_ENTRIES};
use super::{Named, PodNamed};
use crate::host::{ReadError, file};

const REMEDY: &str = "; needs root or CAP_DAC_READ_SEARCH";

/// Source for the tasks in the folder.
pub(super) fn source(path: PathBuf) -> Directory {
    let mut tasks = Tasks { path: path.clone(), read: HashMap::new() };
    Directory::new(path, REMEDY, move || tasks.walk())
}

struct Tasks {
    path: PathBuf,
    /// Tasks by folder. A task does not change, so it is read once.
    read: HashMap<PathBuf, Task>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Task {
    named: Named,
    /// UID of the pod.
    pod_uid: String,
}

impl Tasks {
    fn walk(&mut self) -> Result<Inventory, ReadError> {
        let (mut inventory, mut read, mut failure) = (Inventory::default(), HashMap::new(), None);
        let mut buffer = Vec::new();
        for folder in self.folders(&mut failure)? {
            let known =
                self.read.remove(&folder).map_or_else(|| read_task(&folder, &mut buffer), |task| Ok(Some(task)));
            let task = match known {
                Ok(Some(task)) => task,
                // The task has ended, or the file is incomplete and is read again next time.
                Ok(None) => continue,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            let id = folder.file_name().and_then(OsStr::to_str).unwrap_or_default();
            let pod = PodNamed { pod: task.named.pod.clone(), namespace: task.named.namespace.clone() };
            inventory.add_pod(&task.pod_uid, pod);
            inventory.add(id, task.named.clone());
            read.insert(folder, task);
        }
        self.read = read;
        // A failed task is skipped. If all tasks fail, the query fails.
        failure.filter(|_| self.read.is_empty()).map_or(Ok(inventory), Err)
    }

    /// Folders of the tasks. `failure` receives the last error.
    fn folders(&self, failure: &mut Option<ReadError>) -> Result<Vec<PathBuf>, ReadError> {
        let mut folders = Vec::new();
        for namespace in file::list_up_to(&self.path, MAX_ENTRIES)? {
            let folder = self.path.join(namespace);
            match file::list_up_to(&folder, MAX_ENTRIES - folders.len()) {
                Ok(ids) => folders.extend(ids.into_iter().map(|id| folder.join(id))),
                Err(error) if error.is_absent() => {}
                Err(error) => *failure = Some(error),
            }
        }
        Ok(folders)
    }
}

fn read_task(folder: &Path, buffer: &mut Vec<u8>) -> Result<Option<Task>, ReadError> {
    match file::read_once(&folder.join("config.json"), buffer) {
        Ok(text) => Ok(parse(&String::from_utf8_lossy(text.bytes()))),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse(text: &str) -> Option<Task> {
    let specification = object(text).ok()?;
    let annotations: Texts = specification.get("annotations").map(|raw| value(raw.get())).unwrap_or_default();
    let annotation = |name: &str| truncated(annotations.of(name));
    let named = Named {
        name: annotation("nerdctl/name"),
        image: annotation("io.kubernetes.cri.image-name"),
        pod: annotation("io.kubernetes.cri.sandbox-name"),
        namespace: annotation("io.kubernetes.cri.sandbox-namespace"),
        container: annotation("io.kubernetes.cri.container-name"),
        is_sandbox: annotation("io.kubernetes.cri.container-type") == "sandbox",
        ..Named::default()
    };
    Some(Task { named, pod_uid: annotation("io.kubernetes.cri.sandbox-uid") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_KUBERNETES: &str = r#"{"ociVersion": "1.1.0", "process": {"args": ["/app"]}, "annotations": {
        "io.kubernetes.cri.container-name": "app", "io.kubernetes.cri.container-type": "container",
        "io.kubernetes.cri.image-name": "registry.local/app:1.2", "io.kubernetes.cri.sandbox-id": "5a",
        "io.kubernetes.cri.sandbox-name": "web-0", "io.kubernetes.cri.sandbox-namespace": "shop",
        "io.kubernetes.cri.sandbox-uid": "6a3c1a52-2f1e-4d5b-9a51-0c9d2b7f1e11"}}"#;

    fn tasks(files: &[(&str, &str)]) -> (tempfile::TempDir, Tasks) {
        let folder = tempfile::tempdir().unwrap();
        for (task, config) in files {
            std::fs::create_dir_all(folder.path().join(task)).unwrap();
            std::fs::write(folder.path().join(task).join("config.json"), config).unwrap();
        }
        let tasks = Tasks { path: folder.path().to_owned(), read: HashMap::new() };
        (folder, tasks)
    }

    #[test]
    fn annotations_tell_what_kubernetes_and_nerdctl_call_containers() {
        let sandbox = r#"{"annotations": {"io.kubernetes.cri.container-type": "sandbox",
            "io.kubernetes.cri.sandbox-name": "web-0", "io.kubernetes.cri.sandbox-namespace": "shop"}}"#;
        let (_folder, mut tasks) = tasks(&[
            ("k8s.io/1a", OF_KUBERNETES),
            ("k8s.io/5a", sandbox),
            ("default/2b", r#"{"annotations": {"nerdctl/name": "db"}}"#),
            ("moby/3c", r#"{"ociVersion": "1.0.2"}"#),
            ("moby/odd", r#"{"annotations": {"nerdctl/name": 7}}"#),
            ("moby/odder", r#"{"annotations": ["#),
        ]);
        let inventory = tasks.walk().unwrap();
        let app = &inventory.containers["1a"];
        assert_eq!([&app.pod, &app.namespace, &app.container], ["web-0", "shop", "app"]);
        assert_eq!((app.image.as_str(), app.is_sandbox), ("registry.local/app:1.2", false));
        assert!(inventory.containers["5a"].is_sandbox);
        assert_eq!(inventory.containers["2b"].name, "db");
        assert_eq!(inventory.containers.len(), 3, "nothing is known of the others");
        assert_eq!(inventory.pods["6a3c1a52-2f1e-4d5b-9a51-0c9d2b7f1e11"].pod, "web-0");
    }

    #[test]
    fn a_task_is_read_once_and_forgotten_when_it_is_gone() {
        let (folder, mut tasks) = tasks(&[("k8s.io/1a", OF_KUBERNETES), ("k8s.io/2b", "{")]);
        assert_eq!(tasks.walk().unwrap().containers.len(), 1);
        std::fs::write(folder.path().join("k8s.io/1a/config.json"), "{}").unwrap();
        std::fs::write(folder.path().join("k8s.io/2b/config.json"), OF_KUBERNETES).unwrap();
        assert_eq!(tasks.walk().unwrap().containers.len(), 2, "the second was half written");
        std::fs::remove_dir_all(folder.path().join("k8s.io/1a")).unwrap();
        assert_eq!(tasks.walk().unwrap().containers.len(), 1);
        assert_eq!(tasks.read.len(), 1);
        std::fs::remove_dir_all(folder.path()).unwrap();
        assert!(tasks.walk().unwrap_err().is_absent());
    }

    #[test]
    fn what_cannot_be_read_costs_itself_unless_it_is_everything() {
        let (folder, mut tasks) = tasks(&[("k8s.io/1a", OF_KUBERNETES)]);
        // Reading a directory as a file fails for any user.
        std::fs::create_dir_all(folder.path().join("k8s.io/2b/config.json")).unwrap();
        assert_eq!(tasks.walk().unwrap().containers.len(), 1);
        std::fs::remove_dir_all(folder.path().join("k8s.io/1a")).unwrap();
        assert!(tasks.walk().unwrap_err().to_string().contains("k8s.io/2b/config.json: cannot be read"));
    }
}
