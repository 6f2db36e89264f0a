//! The containers that run before the first reading, whose names it waits for.

use super::identity::identify;
use super::labels::Labels;
use super::tree::{Tree, Visitor};
use crate::host::{Directory, ReadError};

/// Labels and inodes of all containers and pods below `root`, down to `depth`.
pub(super) fn containers(root: Directory, depth: usize) -> Vec<(Labels, u64)> {
    let mut found = Found::default();
    Tree::new(depth).walk(root, &mut found);
    found.containers
}

#[derive(Default)]
struct Found {
    containers: Vec<(Labels, u64)>,
}

impl Visitor<()> for Found {
    fn found(&mut self, path: &str, directory: &Directory) {
        let labels = Labels::new(path, &identify(path), None, None);
        if labels.is_container_or_pod() {
            self.containers.push((labels, directory.inode));
        }
    }

    fn visit(&mut self, (): &mut (), _: &mut Directory) {}

    fn left(&mut self, (): &mut (), _: &mut Directory) {}

    /// The reading reports it.
    fn failed(&mut self, _: ReadError) {}
}
