//! Settings of the mounted file systems.

use std::time::Duration;

use regex::Regex;

use super::mounts::Mount;
use crate::config::Key;

pub(super) const MOUNT_POINTS_EXCLUDE: Key<Regex> = Key::new(
    "mount_points_exclude",
    "'^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)'",
    "Mount points to leave out of the families.",
);
pub(super) const MOUNT_POINTS_INCLUDE: Key<Regex> = Key::optional(
    "mount_points_include",
    "Only these mount points in the families; instead of `mount_points_exclude`.",
);
pub(super) const FS_TYPES_EXCLUDE: Key<Regex> = Key::new(
    "fs_types_exclude",
    "'^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$'",
    "File system types to leave out of the families.",
);
pub(super) const FS_TYPES_INCLUDE: Key<Regex> =
    Key::optional("fs_types_include", "Only these file system types in the families; instead of `fs_types_exclude`.");
pub(super) const MOUNT_TIMEOUT: Key<Duration> = Key::new(
    "mount_timeout",
    "\"200ms\"",
    "How long a reading waits for all network file systems together, at most 400ms. A file system that does not respond in time has `device_error`, and later readings do not wait for it until it responds.",
);
pub(super) const MOUNT_POINTS: Key<Vec<String>> =
    Key::new("mount_points", "[]", "Mount points to include in the points; all by default.");
pub(super) const IGNORE_FS: Key<Vec<String>> = Key::new(
    "ignore_fs",
    r#"["tmpfs", "devtmpfs", "devfs", "iso9660", "overlay", "aufs", "squashfs"]"#,
    "File system types to leave out of the points.",
);
pub(super) const IGNORE_MOUNT_OPTS: Key<Vec<String>> = Key::new(
    "ignore_mount_opts",
    "[]",
    "Mount options to leave out of the points; `bind` means bind mounts of a directory.",
);

/// What to include in the points.
pub(super) struct PointSettings {
    pub(super) mount_points: Vec<String>,
    pub(super) ignore_fs: Vec<String>,
    pub(super) ignore_mount_opts: Vec<String>,
}

impl PointSettings {
    /// Whether the points include the mount.
    pub(super) fn wants(&self, mount: &Mount) -> bool {
        let ignores = |option: &str| self.ignore_mount_opts.iter().any(|ignored| ignored == option);
        let is_bind = mount.root != "/" && mount.file_system != "btrfs";
        // statfs(2) on an automount point would mount it.
        mount.file_system != "autofs"
            && !self.ignore_fs.contains(&mount.file_system)
            && (self.mount_points.is_empty() || self.mount_points.contains(&mount.mount_point))
            && !mount.options.split(',').any(ignores)
            && !(is_bind && ignores("bind"))
    }
}
