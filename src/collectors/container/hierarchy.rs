//! Mounted cgroup hierarchies: one for all controllers (v2), one per controller (v1), or both (hybrid).

use std::path::{Path, PathBuf};

use super::usage::{Files, Usage, Wanted};
use super::v1::BlockIo;
use crate::host::{Directory, file};

/// The hierarchies of a host.
#[derive(Debug, Default)]
pub(super) struct Hierarchies {
    /// cgroup v2.
    unified: Option<PathBuf>,
    /// cgroup v1 hierarchies with their controllers.
    v1: Vec<(PathBuf, Vec<Controller>)>,
    /// Huge page sizes as in file names: `2MB`.
    huge_page_sizes: Vec<String>,
    /// Whether the root of the memory controller is a cgroup below the kernel's root, as in a cgroup namespace.
    pub(super) is_nested: bool,
}

/// A controller of cgroup v1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Controller {
    Cpu,
    Cpuacct,
    Memory,
    Blkio,
    Pids,
    Hugetlb,
}

impl Controller {
    /// In order of preference for the walk. Every container is in the first hierarchy that exists.
    const ALL: [(&'static str, Controller); 6] = [
        ("memory", Controller::Memory),
        ("cpuacct", Controller::Cpuacct),
        ("cpu", Controller::Cpu),
        ("pids", Controller::Pids),
        ("blkio", Controller::Blkio),
        ("hugetlb", Controller::Hugetlb),
    ];

    fn of(name: &str) -> Option<Controller> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, controller)| controller)
    }
}

impl Hierarchies {
    /// Finds the hierarchies below `sys`, a sysfs. `None` if no cgroups are mounted.
    pub(super) fn find(sys: &Path) -> Option<Self> {
        let root = sys.join("fs/cgroup");
        let is_unified = |path: &Path| path.join("cgroup.controllers").exists();
        let mut found = Hierarchies { huge_page_sizes: huge_page_sizes(sys), ..Hierarchies::default() };
        if is_unified(&root) {
            found.is_nested = is_nested(&root, true);
            found.unified = Some(root);
            return Some(found);
        }
        let mut names = file::list(&root).ok()?;
        names.sort_unstable();
        for name in names {
            let (path, controllers) =
                (root.join(&name), name.split(',').filter_map(Controller::of).collect::<Vec<_>>());
            if is_unified(&path) {
                found.unified = Some(path);
            } else if !controllers.is_empty() && path.join("cgroup.procs").exists() && !found.has_all_of(&controllers) {
                found.v1.push((path, controllers));
            }
        }
        let walked = found.walked()?;
        found.is_nested = is_nested(walked, found.v1.is_empty());
        Some(found)
    }

    /// Next to `cpu,cpuacct` there are symlinks `cpu` and `cpuacct` to it.
    fn has_all_of(&self, controllers: &[Controller]) -> bool {
        controllers.iter().all(|controller| self.has_v1(*controller))
    }

    fn has_v1(&self, controller: Controller) -> bool {
        self.v1.iter().any(|(_, controllers)| controllers.contains(&controller))
    }

    /// The hierarchy to walk. It has every container.
    pub(super) fn walked(&self) -> Option<&Path> {
        let holding = |controller| self.v1.iter().find(|(_, controllers)| controllers.contains(&controller));
        let first = Controller::ALL.into_iter().find_map(|(_, controller)| holding(controller));
        first.map(|(path, _)| path.as_path()).or(self.unified.as_deref())
    }

    /// Opens the roots for one reading.
    pub(super) fn open(&self, buffer: &mut Vec<u8>) -> Roots<'_> {
        let mut v1 = Vec::new();
        for (path, controllers) in &self.v1 {
            if let Ok(mut root) = Directory::open(path.clone()) {
                let block_io = match controllers.contains(&Controller::Blkio) {
                    true => BlockIo::detect(&mut root, buffer),
                    false => BlockIo::default(),
                };
                v1.push((root, controllers.as_slice(), block_io));
            }
        }
        // In unified mode the walked hierarchy is the v2 hierarchy.
        let unified = self.unified.as_ref().filter(|_| !self.v1.is_empty());
        Roots { hierarchies: self, unified: unified.and_then(|path| Directory::open(path.clone()).ok()), v1 }
    }
}

/// Whether `root` is below the kernel's root, which alone has `release_agent` (v1) and lacks `cgroup.events` (v2).
fn is_nested(root: &Path, is_unified: bool) -> bool {
    if is_unified { root.join("cgroup.events").exists() } else { !root.join("release_agent").exists() }
}

/// The path relative to the root of a hierarchy.
fn relative(path: &str) -> &str {
    match path.trim_start_matches('/') {
        "" => ".",
        relative => relative,
    }
}

/// Huge page sizes as in the files of the `hugetlb` controller: mm/hugetlb_cgroup.c, `mem_fmt`.
fn huge_page_sizes(sys: &Path) -> Vec<String> {
    let names = file::list(&sys.join("kernel/mm/hugepages")).unwrap_or_default();
    let kilobytes = |name: &String| name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok();
    let mut sizes: Vec<u64> = names.iter().filter_map(kilobytes).collect();
    sizes.sort_unstable();
    let format = |size| match size {
        _ if size >= 1 << 20 => format!("{}GB", size >> 20),
        _ if size >= 1 << 10 => format!("{}MB", size >> 10),
        _ => format!("{size}KB"),
    };
    sizes.into_iter().map(format).collect()
}

/// Open root directories of the hierarchies.
pub(super) struct Roots<'h> {
    hierarchies: &'h Hierarchies,
    /// The v2 hierarchy of hybrid mode.
    unified: Option<Directory>,
    v1: Vec<(Directory, &'h [Controller], BlockIo)>,
}

impl Roots<'_> {
    /// Whether the cgroup at `path` or one below has processes. `None` if only those below show it: on cgroup v1 without
    /// its `pids` controller. `walked` is its directory in the walked hierarchy.
    pub(super) fn has_processes(&self, path: &str, walked: &mut Directory, files: &mut Files<'_>) -> Option<bool> {
        if self.v1.is_empty() {
            return Some(files.is_populated(walked) != Some(false));
        }
        // cgroup.procs of v1 leaves out processes in foreign PID namespaces. They count as threads.
        let of_pids = self.v1.iter().find(|(_, controllers, _)| controllers.contains(&Controller::Pids));
        let root = of_pids.map(|(root, ..)| root).or(self.unified.as_ref())?;
        files.number(&mut root.below(relative(path)).ok()?, "pids.current").map(|threads| threads > 0)
    }

    /// Reads the usage of the cgroup at `path`, without its processes. `walked` is its directory in the walked hierarchy.
    pub(super) fn read(
        &self,
        path: &str,
        walked: &mut Directory,
        wanted: Wanted,
        files: &mut Files<'_>,
        usage: &mut Usage,
    ) {
        if self.v1.is_empty() {
            return self.read_unified(walked, wanted, files, usage);
        }
        let relative = relative(path);
        for (root, controllers, block_io) in &self.v1 {
            let Ok(mut directory) = root.below(relative) else { continue };
            for controller in *controllers {
                self.read_v1(*controller, *block_io, &mut directory, wanted, files, usage);
            }
        }
        if let Some(mut directory) = self.unified.as_ref().and_then(|root| root.below(relative).ok()) {
            self.read_unified(&mut directory, wanted, files, usage);
        }
    }

    fn read_v1(
        &self,
        controller: Controller,
        block_io: BlockIo,
        directory: &mut Directory,
        wanted: Wanted,
        files: &mut Files<'_>,
        usage: &mut Usage,
    ) {
        let sizes = &self.hierarchies.huge_page_sizes;
        match controller {
            Controller::Cpu => files.cpu_v1(directory, wanted, &mut usage.cpu),
            Controller::Cpuacct => files.cpuacct_v1(directory, wanted, &mut usage.cpu),
            Controller::Memory => files.memory_v1(directory, wanted, &mut usage.memory),
            Controller::Blkio if wanted.io => files.io_v1(directory, block_io, &mut usage.devices),
            Controller::Pids => files.threads(directory, wanted, usage),
            Controller::Hugetlb if wanted.huge_pages => files.huge_pages_v1(directory, sizes, &mut usage.huge_pages),
            Controller::Blkio | Controller::Hugetlb => {}
        }
    }

    /// Reads the files of cgroup v2: pressure, and controllers not attached to v1.
    fn read_unified(&self, directory: &mut Directory, wanted: Wanted, files: &mut Files<'_>, usage: &mut Usage) {
        let is_v2 = |controller| !self.hierarchies.has_v1(controller);
        if wanted.pressure {
            files.pressure(directory, &mut usage.pressure);
        }
        if is_v2(Controller::Cpu) && is_v2(Controller::Cpuacct) {
            files.cpu_v2(directory, wanted, &mut usage.cpu);
        }
        if is_v2(Controller::Memory) {
            files.memory_v2(directory, wanted, &mut usage.memory);
        }
        if is_v2(Controller::Blkio) && wanted.io {
            files.io_v2(directory, &mut usage.devices);
        }
        if is_v2(Controller::Pids) {
            files.threads(directory, wanted, usage);
        }
        if is_v2(Controller::Hugetlb) && wanted.huge_pages {
            files.huge_pages_v2(directory, &self.hierarchies.huge_page_sizes, &mut usage.huge_pages);
        }
    }
}
