//! Sizes of the file systems on block devices, each once, however often it is mounted.

use std::collections::HashMap;
use std::time::Duration;

use super::super::statfs::{MountId, SizeReader};
use super::mounts::{Mount, RemoteMounts, open_mountinfo, read_mount};
use crate::collectors::framework::ReadContext;
use crate::host::{FsStat, Host, HostFile, ReadError};

/// Maximum number of devices.
const MAX_DEVICES: usize = 256;
/// How long a reading waits for mounts that may hang.
const TIMEOUT: Duration = Duration::from_millis(200);

/// Reads the sizes of the file systems on block devices.
pub(in crate::collectors) struct DeviceSizes {
    table: Option<HostFile>,
    devices: Vec<Device>,
    sizes: SizeReader,
}

/// A device, and the mount whose size is read.
struct Device {
    name: String,
    mount_point: String,
    id: MountId,
    may_hang: bool,
}

/// Size of the file system on a device.
pub(in crate::collectors) struct DeviceSize<'d> {
    /// The device, as the mount table names it.
    pub(in crate::collectors) name: &'d str,
    /// Where it is mounted on the host.
    pub(in crate::collectors) mount_point: &'d str,
    pub(in crate::collectors) size: FsStat,
}

impl DeviceSizes {
    pub(in crate::collectors) fn new(host: &Host) -> DeviceSizes {
        DeviceSizes { table: None, devices: Vec::new(), sizes: SizeReader::new(host, TIMEOUT) }
    }

    /// Sizes of the file systems. Those that cannot be read are left out: the collector `filesystem` reports them.
    ///
    /// # Errors
    /// The mount table cannot be read.
    pub(in crate::collectors) fn read(&mut self, cx: &mut ReadContext<'_>) -> Result<Vec<DeviceSize<'_>>, ReadError> {
        if self.table.as_ref().is_none_or(HostFile::may_have_changed) {
            // After an error the next reading selects the file again.
            let mut table = self.table.take().unwrap_or_else(|| open_mountinfo(cx));
            let mounts = table.read(cx.buffer)?.lines().filter_map(|line| read_mount(line).ok());
            self.devices = devices(mounts, cx.host);
            self.table = Some(table);
        }
        let sizes = self.sizes.read(self.devices.iter().map(|device| (&device.id, device.may_hang)));
        let size = |(device, size)| {
            let Device { name, mount_point, .. }: &Device = device;
            Some(DeviceSize { name, mount_point, size: Result::ok(size)? })
        };
        Ok(self.devices.iter().zip(sizes).filter_map(size).collect())
    }
}

/// The file systems of which cAdvisor has sizes, except overlay and tmpfs, which have no device.
fn is_on_device(mount: &Mount) -> bool {
    let file_system = mount.file_system.as_str();
    file_system.starts_with("ext") || ["btrfs", "xfs", "zfs"].contains(&file_system)
}

/// One mount per device: that of the root, otherwise the first.
fn devices(mounts: impl Iterator<Item = Mount>, host: &Host) -> Vec<Device> {
    let mut remote = RemoteMounts::default();
    let (mut devices, mut indexes): (Vec<Device>, HashMap<String, usize>) = Default::default();
    for mut mount in mounts {
        mount.resolve(host);
        let may_hang = remote.may_hang(&mount);
        if !is_on_device(&mount) {
            continue;
        }
        let index = indexes.get(&mount.device).copied();
        let is_root = mount.mount_point == "/";
        let Mount { device: name, mount_point, id, .. } = mount;
        let device = Device { name, mount_point, id, may_hang };
        match index {
            Some(index) if is_root => devices[index] = device,
            None if devices.len() < MAX_DEVICES => {
                indexes.insert(device.name.clone(), devices.len());
                devices.push(device);
            }
            _ => {}
        }
    }
    devices
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::host::{Roots, Text};

    #[test]
    fn each_device_is_read_once_where_the_host_sees_it() {
        let table = "1 0 8:1 /bind /etc/hosts rw - ext4 /dev/sda1 rw
2 1 0:20 / /run rw - tmpfs tmpfs rw
3 1 8:1 / / rw - ext4 /dev/sda1 rw
4 1 253:0 / /var rw - xfs /dev/mapper/vg-var rw
5 1 253:0 / /srv rw - xfs /dev/mapper/vg-var rw
6 1 0:30 / /mnt rw - nfs4 server:/a rw
7 1 0:31 / /var/lib/docker/overlay2/a/merged rw - overlay overlay rw
8 6 8:2 / /mnt/below rw - ext4 /dev/sda2 rw
";
        let host = Host::live(Roots { root: "/host".into(), ..Roots::default() });
        let text = Text::new(Path::new("mountinfo"), table.as_bytes());
        let found = devices(text.lines().map(|line| read_mount(line).unwrap()), &host);
        let found: Vec<_> =
            found.iter().map(|device| (&*device.name, device.id.path.to_str(), device.may_hang)).collect();
        let expected = [
            ("/dev/sda1", Some("/host/"), false),
            ("/dev/mapper/vg-var", Some("/host/var"), false),
            ("/dev/sda2", Some("/host/mnt/below"), true),
        ];
        assert_eq!(found, expected);
    }
}
