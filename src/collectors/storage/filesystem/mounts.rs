//! The mount table: `/proc/PID/mountinfo`.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::super::statfs::{MountId, is_remote, may_hang};
use crate::collectors::framework::{ReadContext, Vocabularies};
use crate::host::text::unescape;
use crate::host::{Host, HostFile, Line, ReadError};

/// A mount of the table.
pub(super) struct Mount {
    pub(super) id: MountId,
    /// Whether statfs(2) may hang.
    pub(super) may_hang: bool,
    /// Root of the mount within the file system.
    pub(super) root: String,
    pub(super) mount_point: String,
    pub(super) options: String,
    pub(super) file_system: String,
    pub(super) device: String,
    pub(super) read_only: bool,
    /// The vocabularies that export it, if both are wanted.
    pub(super) vocabularies: Vocabularies,
}

impl Mount {
    /// Sets the mount point on the host, and the path at which Taffrail sees it.
    pub(super) fn resolve(&mut self, host: &Host) {
        self.mount_point = host.name_on_host(&self.mount_point).to_owned();
        self.id.path = host.root_path(&self.mount_point).into();
    }

    pub(super) fn mode(&self) -> &'static str {
        let has = |wanted: &str| self.options.split(',').any(|option| option == wanted);
        match (has("rw"), has("ro")) {
            (true, _) => "rw",
            (_, true) => "ro",
            _ => "unknown",
        }
    }
}

/// Paths of the remote file systems. Mounts below them are unreachable while the server does not respond.
#[derive(Default)]
pub(super) struct RemoteMounts {
    paths: HashSet<Arc<Path>>,
}

impl RemoteMounts {
    /// Whether statfs(2) on the mount may hang, by its type or because it is below a remote file system. Expects all
    /// mounts in the order of the table, parents first.
    pub(super) fn may_hang(&mut self, mount: &Mount) -> bool {
        // Both, as the first records the mount.
        self.is_below(mount) | may_hang(&mount.file_system)
    }

    fn is_below(&mut self, mount: &Mount) -> bool {
        let is_behind =
            !self.paths.is_empty() && mount.id.path.ancestors().skip(1).any(|parent| self.paths.contains(parent));
        // A remote root is ignored: without it nothing works.
        if is_remote(&mount.file_system) && mount.mount_point != "/" {
            self.paths.insert(mount.id.path.clone());
        }
        is_behind
    }
}

/// Mounts of one file system type, as seen by Taffrail.
pub(in crate::collectors::storage) struct MountsOfType {
    file_system: &'static str,
    table: Option<HostFile>,
    ids: Vec<MountId>,
}

impl MountsOfType {
    pub(in crate::collectors::storage) fn new(file_system: &'static str) -> Self {
        MountsOfType { file_system, table: None, ids: Vec::new() }
    }

    /// Reads the mount table again if it may have changed.
    pub(in crate::collectors::storage) fn refresh(
        &mut self,
        cx: &mut ReadContext<'_>,
    ) -> Result<&[MountId], ReadError> {
        if self.table.as_ref().is_none_or(HostFile::may_have_changed) {
            // After an error the next reading selects the file again.
            let mut table = self.table.take().unwrap_or_else(|| open_mountinfo(cx));
            let mounts = table.read(cx.buffer)?.lines().filter_map(|line| read_mount(line).ok());
            let of_type = mounts.filter(|mount| mount.file_system == self.file_system);
            let id = |mut mount: Mount| {
                mount.resolve(cx.host);
                mount.id
            };
            self.ids = of_type.map(id).collect();
            self.table = Some(table);
        }
        Ok(&self.ids)
    }
}

/// Opens the mount table of PID 1, which has the host's mounts; or the own one if that is unreadable.
pub(super) fn open_mountinfo(cx: &mut ReadContext<'_>) -> HostFile {
    let mut init = cx.host.proc("1/mountinfo");
    if init.read(cx.buffer).is_ok() { init } else { cx.host.proc("self/mountinfo") }
}

/// Parses a line of mountinfo.
pub(super) fn read_mount(line: Line<'_>) -> Result<Mount, ReadError> {
    let mut fields = line.fields();
    fields.number::<u64>("a mount's number")?;
    fields.number::<u64>("the parent mount's number")?;
    let number = fields.required("a device number")?;
    let number = parse_device_number(number).ok_or_else(|| line.malformed("a device number", number))?;
    let root = unescape(fields.required("the mounted folder")?);
    let mount_point = unescape(fields.required("a mount point")?);
    let options = String::from_utf8_lossy(fields.required("mount options")?).into_owned();
    // The device may be empty: single spaces separate what is after the optional fields.
    let separator = memchr::memmem::find(line.bytes(), b" - ")
        .ok_or_else(|| line.malformed("a lone - after the optional fields", b""))?;
    let mut parts = line.from(separator + b" - ".len()).bytes().splitn(3, |byte| *byte == b' ');
    let file_system = parts.next().filter(|part| !part.is_empty());
    let file_system = unescape(file_system.ok_or_else(|| line.malformed("a file-system type", b""))?);
    let device = unescape(parts.next().ok_or_else(|| line.malformed("a device", b""))?);
    let super_options = parts.next().unwrap_or_default().trim_ascii();
    let is_read_only = |option: &[u8]| option == b"ro" || option == b"emergency_ro";
    let read_only = options.as_bytes().split(|b| *b == b',').any(is_read_only)
        || super_options.split(|b| *b == b',').any(is_read_only);
    Ok(Mount {
        id: MountId { path: Path::new(&mount_point).into(), number },
        may_hang: false,
        root,
        mount_point,
        options,
        file_system,
        device,
        read_only,
        vocabularies: Vocabularies::NONE,
    })
}

fn parse_device_number(field: &[u8]) -> Option<(u32, u32)> {
    let (major, minor) = std::str::from_utf8(field).ok()?.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_escapes_are_undone() {
        assert_eq!(unescape(br"/a\040b\011c\012d\134e\043"), "/a b\tc\nd\\e#");
        assert_eq!(unescape(br"/\04 \999 \"), r"/\04 \999 \");
        assert_eq!(unescape("/\u{fc}".as_bytes()), "/\u{fc}");
    }

    #[test]
    fn what_is_mounted_below_a_network_file_system_is_behind_it() {
        let table = "1 0 0:9 / / rw - nfs4 server:/root rw
2 1 8:1 / /local rw - ext4 /dev/sda1 rw
3 1 0:20 / /mnt/nfs rw - nfs4 server:/a rw
4 3 8:2 / /mnt/nfs/below/ext4 rw - ext4 /dev/sda2 rw
5 1 8:3 / /mnt/nfs2 rw - ext4 /dev/sda3 rw
";
        let host = Host::live(crate::host::Roots::default());
        let mut remote = RemoteMounts::default();
        let text = crate::host::Text::new(Path::new("mountinfo"), table.as_bytes());
        let may_hang: Vec<bool> = text
            .lines()
            .map(|line| {
                let mut mount = read_mount(line).unwrap();
                mount.resolve(&host);
                remote.may_hang(&mount)
            })
            .collect();
        assert_eq!(may_hang, [true, false, true, true, false]);
    }
}
