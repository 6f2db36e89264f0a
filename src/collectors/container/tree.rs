//! The cgroup tree. Each reading walks it. A directory is listed only if it has changed.
//!
//! A cgroupfs directory has two links more than it has subdirectories (fs/kernfs, `kernfs_refresh_inode`). If the link
//! count is unchanged and all known children still exist, no child was added and listing is not needed. Each cgroup is
//! opened once, relative to its parent. A cgroup recreated under the same name has another inode and counts as new.

use std::collections::HashMap;

use crate::host::{Directory, ReadError};

/// Called for each cgroup.
pub(super) trait Visitor<T> {
    /// A new cgroup. `path` starts with a slash.
    fn found(&mut self, path: &str, directory: &Directory) -> T;

    /// A cgroup at this reading.
    fn visit(&mut self, known: &mut T, directory: &mut Directory);

    /// All cgroups below one have been visited.
    fn left(&mut self, known: &mut T, directory: &mut Directory);

    /// The children of a cgroup could not be listed.
    fn failed(&mut self, error: ReadError);
}

/// All cgroups of one hierarchy, each with a value of type `T`.
pub(super) struct Tree<T> {
    root: Option<Node<T>>,
    links_count: bool,
    max_depth: usize,
}

struct Node<T> {
    name: String,
    inode: u64,
    /// Link count when the directory was listed. `None` if not listed.
    links: Option<u64>,
    children: Vec<Child<T>>,
    known: T,
}

/// A listed child, which may not have been opened yet.
enum Child<T> {
    Listed(String),
    Known(Node<T>),
}

impl<T> Child<T> {
    fn name(&self) -> &str {
        match self {
            Child::Listed(name) => name,
            Child::Known(node) => &node.name,
        }
    }
}

impl<T> Tree<T> {
    /// An empty tree. The walk stops at `max_depth` below the root.
    pub(super) fn new(max_depth: usize) -> Self {
        Tree { root: None, links_count: false, max_depth }
    }

    /// Where the walk stops.
    pub(super) fn max_depth(&self) -> usize {
        self.max_depth
    }

    /// Visits `root` and all cgroups below it, parents first.
    pub(super) fn walk(&mut self, mut root: Directory, visitor: &mut impl Visitor<T>) {
        let inode = root.inode;
        let known = self.root.take().filter(|node| node.inode == inode);
        let mut node = known.unwrap_or_else(|| {
            self.links_count = root.is_cgroupfs();
            Node::new(String::new(), &root, visitor.found("/", &root))
        });
        let mut walk = Walk { links_count: self.links_count, max_depth: self.max_depth, path: String::new(), visitor };
        walk.node(&mut node, &mut root, 0);
        self.root = Some(node);
    }

    /// Calls `act` for the value of every cgroup.
    pub(super) fn for_each(&mut self, act: &mut impl FnMut(&mut T)) {
        if let Some(root) = &mut self.root {
            root.for_each(act);
        }
    }
}

impl<T> Node<T> {
    fn new(name: String, directory: &Directory, known: T) -> Self {
        Node { name, inode: directory.inode, links: None, children: Vec::new(), known }
    }

    fn for_each(&mut self, act: &mut impl FnMut(&mut T)) {
        act(&mut self.known);
        for child in &mut self.children {
            if let Child::Known(node) = child {
                node.for_each(act);
            }
        }
    }
}

struct Walk<'v, V> {
    links_count: bool,
    max_depth: usize,
    path: String,
    visitor: &'v mut V,
}

impl<V> Walk<'_, V> {
    fn node<T>(&mut self, node: &mut Node<T>, directory: &mut Directory, depth: usize)
    where
        V: Visitor<T>,
    {
        self.visitor.visit(&mut node.known, directory);
        if depth < self.max_depth {
            self.below(node, directory, depth);
        }
        self.visitor.left(&mut node.known, directory);
    }

    fn below<T>(&mut self, node: &mut Node<T>, directory: &mut Directory, depth: usize)
    where
        V: Visitor<T>,
    {
        let is_listed = !self.links_count || node.links != Some(directory.links);
        if is_listed {
            self.list(node, directory);
        }
        let removed = self.children(&mut node.children, directory, depth, |_| true);
        // A removed child can offset a new one in the link count.
        if removed && !is_listed {
            self.list(node, directory);
            self.children(&mut node.children, directory, depth, |child| matches!(child, Child::Listed(_)));
        }
    }

    /// Visits the `wanted` children that still exist, and removes the others. Returns whether any was removed.
    fn children<T>(
        &mut self,
        children: &mut Vec<Child<T>>,
        parent: &Directory,
        depth: usize,
        wanted: impl Fn(&Child<T>) -> bool,
    ) -> bool
    where
        V: Visitor<T>,
    {
        let all = children.len();
        children.retain_mut(|child| !wanted(child) || self.child(child, parent, depth).is_some());
        children.len() < all
    }

    fn child<T>(&mut self, child: &mut Child<T>, parent: &Directory, depth: usize) -> Option<()>
    where
        V: Visitor<T>,
    {
        let mut directory = parent.below(child.name()).ok()?;
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(child.name());
        let node = match child {
            Child::Known(node) if node.inode == directory.inode => node,
            other => {
                let known = self.visitor.found(&self.path, &directory);
                *other = Child::Known(Node::new(other.name().to_owned(), &directory, known));
                let Child::Known(node) = other else { return None };
                node
            }
        };
        self.node(node, &mut directory, depth + 1);
        self.path.truncate(length);
        Some(())
    }

    /// Lists the directory. Known children that still exist are kept.
    fn list<T>(&mut self, node: &mut Node<T>, directory: &Directory)
    where
        V: Visitor<T>,
    {
        let names = match directory.directories() {
            Ok(names) => names,
            Err(error) => {
                node.links = None;
                return if error.is_absent() { node.children.clear() } else { self.visitor.failed(error) };
            }
        };
        let mut known: HashMap<String, Child<T>> = HashMap::new();
        known.extend(node.children.drain(..).map(|child| (child.name().to_owned(), child)));
        node.children = names.into_iter().map(|name| known.remove(&name).unwrap_or(Child::Listed(name))).collect();
        node.links = Some(directory.links);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[derive(Default)]
    struct Recorder {
        visited: Vec<String>,
        left: Vec<String>,
        found: Vec<String>,
        problems: usize,
    }

    impl Visitor<String> for Recorder {
        fn found(&mut self, path: &str, _: &Directory) -> String {
            self.found.push(path.to_owned());
            path.to_owned()
        }
        fn visit(&mut self, known: &mut String, _: &mut Directory) {
            self.visited.push(known.clone());
        }
        fn left(&mut self, known: &mut String, _: &mut Directory) {
            self.left.push(known.clone());
        }
        fn failed(&mut self, _: ReadError) {
            self.problems += 1;
        }
    }

    fn walk(tree: &mut Tree<String>, root: &Path) -> Recorder {
        let mut recorder = Recorder::default();
        tree.walk(Directory::open(root.to_owned()).unwrap(), &mut recorder);
        assert_eq!(recorder.problems, 0);
        recorder
    }

    fn goes_through_what_comes_and_goes(root: &Path) {
        let make = |path: &str| fs::create_dir(root.join(path)).unwrap();
        let remove = |path: &str| fs::remove_dir(root.join(path)).unwrap();
        let mut tree = Tree::new(2);
        for path in ["a", "a/x", "b", "a/x/deep"] {
            make(path);
        }
        let first = walk(&mut tree, root);
        assert_eq!(first.visited, ["/", "/a", "/a/x", "/b"]);
        assert_eq!(first.found, first.visited);
        assert_eq!(first.left, ["/a/x", "/a", "/b", "/"]);

        let same = walk(&mut tree, root);
        assert_eq!(same.visited, first.visited);
        assert!(same.found.is_empty());

        // The same number of children, with another name.
        remove("b");
        make("c");
        let other = walk(&mut tree, root);
        assert_eq!(
            (other.visited, other.found),
            (["/", "/a", "/a/x", "/c"].map(String::from).to_vec(), vec!["/c".into()])
        );

        // The same name, with another cgroup.
        remove("c");
        make("c");
        assert_eq!(walk(&mut tree, root).found, ["/c"]);
        remove("a/x/deep");
        remove("a/x");
        remove("a");
        remove("c");
        assert_eq!(walk(&mut tree, root).visited, ["/"]);
    }

    #[test]
    fn what_comes_and_goes_is_seen_at_the_next_walk() {
        let folder = tempfile::tempdir().unwrap();
        // A file system may reuse the inode number of a removed directory.
        fs::create_dir(folder.path().join("root")).unwrap();
        goes_through_what_comes_and_goes_elsewhere(&folder.path().join("root"));
    }

    fn goes_through_what_comes_and_goes_elsewhere(root: &Path) {
        fs::create_dir(root.join("a")).unwrap();
        let mut tree = Tree::new(8);
        assert_eq!(walk(&mut tree, root).visited, ["/", "/a"]);
        fs::rename(root.join("a"), root.join("b")).unwrap();
        fs::create_dir(root.join("b/c")).unwrap();
        assert_eq!(walk(&mut tree, root).visited, ["/", "/b", "/b/c"]);
    }

    /// Uses real cgroups if the test may create them.
    #[test]
    #[ignore = "needs root and a cgroup hierarchy"]
    fn with_cgroups_that_come_and_go_only_what_has_changed_is_listed() {
        let hierarchies = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids"];
        let is_one = |path: &&str| Directory::open(path.into()).is_ok_and(|directory| directory.is_cgroupfs());
        let hierarchies: Vec<&str> = hierarchies.into_iter().filter(is_one).collect();
        assert!(!hierarchies.is_empty(), "there is no cgroup hierarchy");
        for hierarchy in hierarchies {
            let root = Path::new(hierarchy).join(format!("taffrail-walk-{}", std::process::id()));
            fs::create_dir(&root).unwrap();
            goes_through_what_comes_and_goes(&root);
            fs::remove_dir(&root).unwrap();
        }
    }
}
