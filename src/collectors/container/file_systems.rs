//! File systems of cgroups: those of the block devices for the host, the usage of its own files for a container or pod.

use std::path::Path;
use std::sync::Arc;

use super::identity::Kind;
use super::names::{Size, Sizes};
use super::reading::{FileSystem, Measured};
use crate::collectors::framework::ReadContext;
use crate::collectors::storage::{DeviceSize, DeviceSizes};

/// Adds the file systems to the cgroups. Errors of the mount table are those of the collector `filesystem`.
pub(super) fn read(
    devices: &mut DeviceSizes,
    sizes: &[Arc<Sizes>],
    cx: &mut ReadContext<'_>,
    measured: &mut [Measured],
) {
    let devices = devices.read(cx).unwrap_or_default();
    for cgroup in measured {
        let identity = &cgroup.labels.identity;
        let of_container = || sizes.iter().find_map(|sizes| sizes.containers.get(&identity.container_id));
        let of_pod = || sizes.iter().find_map(|sizes| sizes.pods.get(&identity.pod_uid));
        let size = match identity.kind {
            Kind::Host => {
                cgroup.file_systems.extend(devices.iter().map(of_device));
                continue;
            }
            Kind::Container => of_container(),
            Kind::Pod => of_pod(),
            _ => None,
        };
        cgroup.file_systems.extend(size.map(|size| of_size(size, &devices)));
    }
}

fn of_device(device: &DeviceSize<'_>) -> FileSystem {
    let size = &device.size;
    let bytes = |blocks: u64| Some(blocks.saturating_mul(size.block_size));
    FileSystem {
        device: device.name.into(),
        usage: bytes(size.blocks.saturating_sub(size.blocks_free)),
        limit: bytes(size.blocks),
        inodes: Some(size.files),
        inodes_free: Some(size.files_free),
    }
}

/// The limit is the size of the device, unless the source reports one.
fn of_size(size: &Size, devices: &[DeviceSize<'_>]) -> FileSystem {
    let folder = Some(Path::new(&*size.folder)).filter(|folder| folder.is_absolute());
    let holds = |device: &&DeviceSize<'_>| folder.is_some_and(|folder| folder.starts_with(device.mount_point));
    let device = devices.iter().filter(holds).max_by_key(|device| device.mount_point.len()).map(of_device);
    let of_device = device.unwrap_or_default();
    FileSystem {
        device: of_device.device,
        usage: size.usage,
        limit: size.limit.or(of_device.limit),
        inodes: size.inodes,
        inodes_free: size.inodes_free,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::FsStat;

    #[test]
    fn a_layer_is_on_the_device_of_its_folder() {
        let size = |blocks| FsStat { block_size: 4096, blocks, ..FsStat::default() };
        let device = |name, mount_point, blocks| DeviceSize { name, mount_point, size: size(blocks) };
        let devices = [
            device("/dev/sda1", "/", 10),
            device("/dev/sdb1", "/var/lib", 20),
            device("/dev/sdc1", "/var/lib/dock", 30),
        ];
        let of = |folder: &str| {
            let size = Size { usage: Some(7), folder: folder.into(), ..Size::default() };
            let found = of_size(&size, &devices);
            (found.device.to_string(), found.usage, found.limit)
        };
        assert_eq!(of("/var/lib/docker"), ("/dev/sdb1".to_owned(), Some(7), Some(20 * 4096)));
        assert_eq!(of("/srv/docker"), ("/dev/sda1".to_owned(), Some(7), Some(10 * 4096)));
        assert_eq!(of(""), (String::new(), Some(7), None));
    }
}
