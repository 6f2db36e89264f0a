//! Device data of Btrfs that only ioctl(2) provides: include/uapi/linux/btrfs.h.

use std::path::Path;

use super::errno::Errno;

/// A Btrfs file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Its UUID, as `/sys/fs/btrfs` has it.
    pub uuid: String,
    /// Its devices by device ID.
    pub devices: Vec<VolumeDevice>,
}

/// A device of a Btrfs file system: `struct btrfs_ioctl_dev_info_args`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeDevice {
    /// Its own UUID.
    pub uuid: String,
    /// Its path, such as `/dev/sda1`; empty if it is missing.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Allocated bytes.
    pub allocated: u64,
    /// Errors since they were last reset, by [`ERRORS`]; `struct btrfs_ioctl_get_dev_stats`.
    pub errors: [u64; ERRORS.len()],
}

/// Error kinds of a device, in the order of `enum btrfs_dev_stat_values`.
pub const ERRORS: [&str; 5] = ["write", "read", "flush", "corruption", "generation"];

/// Reads the file system mounted at `mount_point`.
///
/// # Errors
/// The error of open(2) or ioctl(2); `ENOTTY` for other file systems.
#[cfg(target_os = "linux")]
pub fn ask(mount_point: &Path) -> Result<Volume, Errno> {
    use rustix::fs::{Mode, OFlags, open};

    use super::netlink::{text, u64_at};
    const FS_INFO: (u32, usize) = (0x8400_941f, 1024);
    const DEV_INFO: (u32, usize) = (0xd000_941e, 4096);
    const GET_DEV_STATS: (u32, usize) = (0xc408_9434, 1032);
    /// Above any real number of devices.
    const MOST_DEVICES: u64 = 4096;
    let folder = open(mount_point, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let file_system = ioctl(&folder, FS_INFO, &[])?;
    let mut volume = Volume { uuid: uuid(&file_system[16..32]), devices: Vec::new() };
    for number in 1..=u64_at(&file_system, 0).min(MOST_DEVICES) {
        let reply = match ioctl(&folder, DEV_INFO, &[number]) {
            // The device was removed.
            Err(Errno::NODEV) => continue,
            reply => reply?,
        };
        let stats = ioctl(&folder, GET_DEV_STATS, &[number, ERRORS.len() as u64])?;
        volume.devices.push(VolumeDevice {
            uuid: uuid(&reply[8..24]),
            path: text(&reply[3072..]),
            size: u64_at(&reply, 32),
            allocated: u64_at(&reply, 24),
            errors: std::array::from_fn(|kind| u64_at(&stats, 24 + 8 * kind)),
        });
    }
    Ok(volume)
}

/// Calls ioctl(2) with a structure of the command's size that begins with `head`.
// No safe crate wraps these.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn ioctl(folder: &std::os::fd::OwnedFd, (command, size): (u32, usize), head: &[u64]) -> Result<Vec<u8>, Errno> {
    use std::os::fd::AsRawFd;
    let mut structure: Vec<u8> = head.iter().flat_map(|number| number.to_ne_bytes()).collect();
    structure.resize(size, 0);
    // SAFETY: the command's number holds the size of its structure, which the kernel reads and writes, and no more.
    let answer = unsafe { libc::ioctl(folder.as_raw_fd(), command as _, structure.as_mut_ptr()) };
    if answer < 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL));
    }
    Ok(structure)
}

/// Formats a UUID.
#[cfg(target_os = "linux")]
fn uuid(bytes: &[u8]) -> String {
    let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [20, 16, 12, 8].iter().for_each(|place| text.insert(*place, '-'));
    text
}

/// Not supported on other systems.
///
/// # Errors
/// `EOPNOTSUPP`.
#[cfg(not(target_os = "linux"))]
pub fn ask(_: &Path) -> Result<Volume, Errno> {
    Err(Errno::OPNOTSUPP)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_written_in_five_groups() {
        let bytes: Vec<u8> = (0..16).collect();
        assert_eq!(uuid(&bytes), "00010203-0405-0607-0809-0a0b0c0d0e0f");
    }

    #[test]
    fn another_file_system_does_not_answer() {
        assert!([Errno::NOTTY, Errno::OPNOTSUPP, Errno::INVAL].contains(&ask(Path::new("/proc")).unwrap_err()));
        assert_eq!(ask(Path::new("/none-such")).unwrap_err(), Errno::NOENT);
    }
}
