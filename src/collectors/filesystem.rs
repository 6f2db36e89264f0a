//! Sizes of mounted file systems.

use std::collections::HashSet;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

use super::statfs::{Answer, Asker, Place, asks_others, may_hang};
use super::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::config::{Filter, Key, Section};
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter};
use crate::host::{FsStat, Host, HostFile, Line, ReadError, file, portable};

pub(super) struct Filesystem {
    mounts: Option<MountTable>,
    mount_points: Filter,
    types: Filter,
    points: PointSettings,
    asker: Asker,
}

const MOUNT_POINTS_EXCLUDE: Key<Regex> = Key::new(
    "mount_points_exclude",
    "'^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)'",
    "Mount points without families.",
);
const MOUNT_POINTS_INCLUDE: Key<Regex> =
    Key::optional("mount_points_include", "Only these mount points have families; instead of `mount_points_exclude`.");
const FS_TYPES_EXCLUDE: Key<Regex> = Key::new(
    "fs_types_exclude",
    "'^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$'",
    "File-system types without families.",
);
const FS_TYPES_INCLUDE: Key<Regex> =
    Key::optional("fs_types_include", "Only these file-system types have families; instead of `fs_types_exclude`.");
const MOUNT_TIMEOUT: Key<Duration> = Key::new(
    "mount_timeout",
    "\"200ms\"",
    "How long network file systems are waited for, all together, and 400ms at the most; one that has not answered by then has `device_error`, and is not waited for again until it answers.",
);
const MOUNT_POINTS: Key<Vec<String>> =
    Key::new("mount_points", "[]", "The mount points that have points; all, by default.");
const IGNORE_FS: Key<Vec<String>> = Key::new(
    "ignore_fs",
    r#"["tmpfs", "devtmpfs", "devfs", "iso9660", "overlay", "aufs", "squashfs"]"#,
    "File-system types without points.",
);
const IGNORE_MOUNT_OPTS: Key<Vec<String>> = Key::new(
    "ignore_mount_opts",
    "[]",
    "Mounts with one of these options have no points; `bind` stands for a mount of a folder of a file system.",
);

struct PointSettings {
    mount_points: Vec<String>,
    ignore_fs: Vec<String>,
    ignore_mount_opts: Vec<String>,
}

/// `/proc/1/mountinfo`, proc_pid_mountinfo(5), and statfs(2) of what it lists.
#[derive(Default)]
pub(super) struct FilesystemReading {
    mounts: Vec<Shown>,
    /// Whether inodes, device numbers and what is kept for root are not told.
    is_coarse: bool,
}

/// The mounts, which are read again when the kernel says that there are others.
struct MountTable {
    file: HostFile,
    known: Vec<Arc<Mount>>,
    /// How many readings they have served.
    readings: u32,
}

/// A mount as the table has it.
struct Mount {
    place: Place,
    /// Whether its size is asked of somebody who may not answer.
    may_hang: bool,
    /// The folder of the file system that is mounted.
    folder: String,
    mount_point: String,
    options: String,
    file_system: String,
    device: String,
    read_only: bool,
    /// In which vocabularies it is told, when both are wanted.
    told: Vocabularies,
}

/// A mount of a reading.
struct Shown {
    mount: Arc<Mount>,
    shown: Vocabularies,
    size: Answer,
    /// For points: the device's own name, and the label that udev or the device mapper has for it.
    device_name: String,
    label: String,
}

impl Deref for Shown {
    type Target = Mount;

    fn deref(&self) -> &Mount {
        &self.mount
    }
}

impl Collector for Filesystem {
    const ABOUT: About = About {
        name: "filesystem",
        summary: "sizes of mounted file systems; pushed as `disk`",
        reads: &[
            "/proc/1/mountinfo",
            "/proc/self/mountinfo",
            "statfs(2)",
            "/sys/dev/block",
            "/sys/block/*/dm/name",
            "/run/udev/data",
        ],
        keys: &[
            MOUNT_POINTS_EXCLUDE.info(),
            MOUNT_POINTS_INCLUDE.info(),
            FS_TYPES_EXCLUDE.info(),
            FS_TYPES_INCLUDE.info(),
            MOUNT_TIMEOUT.info(),
        ],
        point_keys: &[MOUNT_POINTS.info(), IGNORE_FS.info(), IGNORE_MOUNT_OPTS.info()],
        families: &[
            AVAIL_BYTES.info(),
            DEVICE_ERROR.info(),
            FILES.info(),
            FILES_FREE.info(),
            FREE_BYTES.info(),
            MOUNT_INFO.info(),
            READONLY.info(),
            SIZE_BYTES.info(),
        ],
        measurements: &[DISK.info()],
        ..About::PLAIN
    };
    type Reading = FilesystemReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let mut points = section.table("points");
        Filesystem {
            mounts: None,
            mount_points: section.include_or_exclude(&MOUNT_POINTS_INCLUDE, &MOUNT_POINTS_EXCLUDE),
            types: section.include_or_exclude(&FS_TYPES_INCLUDE, &FS_TYPES_EXCLUDE),
            points: PointSettings {
                mount_points: points.get(&MOUNT_POINTS),
                ignore_fs: points.get(&IGNORE_FS),
                ignore_mount_opts: points.get(&IGNORE_MOUNT_OPTS),
            },
            asker: Asker::new(host, section.get(&MOUNT_TIMEOUT)),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut FilesystemReading) -> Result<(), ReadError> {
        reading.mounts.clear();
        if let Some(portable) = cx.host.by_sysinfo() {
            self.fill(cx.wanted, reading, portable.disks(cx.host)?);
            return Ok(());
        }
        self.read_mounts(cx)?;
        for mount in self.mounts.iter().flat_map(|mounts| &mounts.known) {
            let shown = mount.told.and(cx.wanted);
            if shown.any() {
                let (size, mount) = (Ok(FsStat::default()), mount.clone());
                reading.mounts.push(Shown { mount, shown, size, device_name: String::new(), label: String::new() });
            }
        }
        let sizes = self.asker.ask(reading.mounts.iter().map(|shown| (&shown.mount.place, shown.mount.may_hang)));
        for (shown, size) in reading.mounts.iter_mut().zip(sizes) {
            shown.size = size;
            if shown.shown.points {
                shown.name_device(cx);
            }
        }
        Ok(())
    }
}

impl Filesystem {
    /// Takes over what is told of file systems.
    fn fill(&mut self, wanted: Vocabularies, reading: &mut FilesystemReading, told: Vec<portable::Disk>) {
        for disk in told {
            let mut mount = Mount {
                place: Place { path: disk.mount_point.as_path().into(), number: (0, 0) },
                may_hang: false,
                folder: "/".to_owned(),
                mount_point: disk.mount_point.to_string_lossy().into_owned(),
                options: if disk.size.read_only { "ro" } else { "rw" }.to_owned(),
                file_system: disk.file_system,
                device: disk.name,
                read_only: disk.size.read_only,
                told: Vocabularies::NONE,
            };
            mount.told = self.vocabularies(&mount);
            let (shown, device_name) = (mount.told.and(wanted), mount.device.clone());
            if shown.any() {
                let (size, label) = (Ok(disk.size), String::new());
                reading.is_coarse = true;
                reading.mounts.push(Shown { mount: Arc::new(mount), shown, size, device_name, label });
            }
        }
    }

    /// In which vocabularies a mount is told, when both are wanted.
    fn vocabularies(&mut self, mount: &Mount) -> Vocabularies {
        Vocabularies {
            families: self.types.wants(&mount.file_system) && self.mount_points.wants(&mount.mount_point),
            points: self.points.want(mount),
        }
    }

    /// Reads the table of mounts again, if it may be another.
    fn read_mounts(&mut self, cx: &mut ReadContext<'_>) -> Result<(), ReadError> {
        let mut table = self.mounts.take().unwrap_or_else(|| MountTable::of_host(cx));
        // One that cannot be read is chosen anew.
        self.read_table(cx, &mut table)?;
        self.mounts = Some(table);
        Ok(())
    }

    fn read_table(&mut self, cx: &mut ReadContext<'_>, table: &mut MountTable) -> Result<(), ReadError> {
        /// A file system that stops being written to after an error is told of without an event.
        const READINGS_OF_A_TABLE: u32 = 8;
        table.readings += 1;
        if table.readings < READINGS_OF_A_TABLE && !table.known.is_empty() && !table.file.may_have_changed() {
            return Ok(());
        }
        table.readings = 0;
        table.known.clear();
        let mut seen = HashSet::new();
        let mut behind = Behind::default();
        for line in table.file.read(cx.buffer)?.lines() {
            match read_mount(line) {
                Ok(mut mount) => {
                    mount.find(cx.host);
                    mount.may_hang = may_hang(&mount.file_system) || behind.has(&mount);
                    mount.told = self.vocabularies(&mount);
                    if mount.told.any()
                        && seen.insert((mount.device.clone(), mount.mount_point.clone(), mount.file_system.clone()))
                    {
                        table.known.push(Arc::new(mount));
                    }
                }
                Err(error) => cx.problems.push(error),
            }
        }
        // A line that cannot be understood is told of at each reading.
        if !cx.problems.is_empty() {
            table.readings = READINGS_OF_A_TABLE;
        }
        Ok(())
    }
}

/// What is mounted below file systems of others, and cannot be reached while these do not answer.
#[derive(Default)]
struct Behind {
    others: HashSet<Arc<Path>>,
}

impl Behind {
    /// Whether the mount is, of those that come as the table has them, each after the one that it is mounted in.
    fn has(&mut self, mount: &Mount) -> bool {
        let is_behind =
            !self.others.is_empty() && mount.place.path.ancestors().skip(1).any(|above| self.others.contains(above));
        // Without the root nothing goes on.
        if asks_others(&mount.file_system) && mount.mount_point != "/" {
            self.others.insert(mount.place.path.clone());
        }
        is_behind
    }
}

/// Where file systems of one type are mounted, as Taffrail sees them.
pub(super) struct MountsOfType {
    file_system: &'static str,
    table: Option<HostFile>,
    places: Vec<Place>,
}

impl MountsOfType {
    pub(super) fn new(file_system: &'static str) -> Self {
        MountsOfType { file_system, table: None, places: Vec::new() }
    }

    /// Reads the table of mounts again, if it may be another.
    pub(super) fn look(&mut self, cx: &mut ReadContext<'_>) -> Result<&[Place], ReadError> {
        if self.table.as_ref().is_none_or(HostFile::may_have_changed) {
            // One that cannot be read is chosen anew.
            let mut table = self.table.take().unwrap_or_else(|| MountTable::of_host(cx).file);
            let mounts = table.read(cx.buffer)?.lines().filter_map(|line| read_mount(line).ok());
            let of_type = mounts.filter(|mount| mount.file_system == self.file_system);
            let place = |mut mount: Mount| {
                mount.find(cx.host);
                mount.place
            };
            self.places = of_type.map(place).collect();
            self.table = Some(table);
        }
        Ok(&self.places)
    }
}

impl MountTable {
    /// The first process is sure to see the host's mounts, but may be hidden from us.
    fn of_host(cx: &mut ReadContext<'_>) -> MountTable {
        let mut of_init = cx.host.proc("1/mountinfo");
        let file = if of_init.read(cx.buffer).is_ok() { of_init } else { cx.host.proc("self/mountinfo") };
        MountTable { file, known: Vec::new(), readings: 0 }
    }
}

impl PointSettings {
    fn want(&self, mount: &Mount) -> bool {
        let ignores = |option: &str| self.ignore_mount_opts.iter().any(|ignored| ignored == option);
        let is_bind = mount.folder != "/" && mount.file_system != "btrfs";
        // Asking an automount point would mount it.
        mount.file_system != "autofs"
            && !self.ignore_fs.contains(&mount.file_system)
            && (self.mount_points.is_empty() || self.mount_points.contains(&mount.mount_point))
            && !mount.options.split(',').any(ignores)
            && !(is_bind && ignores("bind"))
    }
}

fn read_mount(line: Line<'_>) -> Result<Mount, ReadError> {
    let mut fields = line.fields();
    fields.number::<u64>("a mount's number")?;
    fields.number::<u64>("the parent mount's number")?;
    let number = fields.required("a device number")?;
    let number = parse_device_number(number).ok_or_else(|| line.malformed("a device number", number))?;
    let folder = unescape(fields.required("the mounted folder")?);
    let mount_point = unescape(fields.required("a mount point")?);
    let options = String::from_utf8_lossy(fields.required("mount options")?).into_owned();
    if !fields.any(|field| field == b"-") {
        return Err(line.malformed("a lone - after the optional fields", b""));
    }
    let file_system = unescape(fields.required("a file-system type")?);
    let device = unescape(fields.required("a device")?);
    let super_options = fields.next().unwrap_or_default();
    let is_read_only = |option: &[u8]| option == b"ro" || option == b"emergency_ro";
    let read_only = options.as_bytes().split(|b| *b == b',').any(is_read_only)
        || super_options.split(|b| *b == b',').any(is_read_only);
    Ok(Mount {
        place: Place { path: Path::new(&mount_point).into(), number },
        may_hang: false,
        folder,
        mount_point,
        options,
        file_system,
        device,
        read_only,
        told: Vocabularies::NONE,
    })
}

fn parse_device_number(field: &[u8]) -> Option<(u32, u32)> {
    let (major, minor) = std::str::from_utf8(field).ok()?.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A field of mountinfo with its octal escapes undone: fs/proc_namespace.c escapes space, tab, line end, backslash, #.
fn unescape(field: &[u8]) -> String {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let octal = |digits: &[u8; 3]| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 8).ok()
        };
        match after.first_chunk().and_then(octal).filter(|_| byte == b'\\') {
            Some(escaped) => {
                plain.push(escaped);
                rest = &after[3..];
            }
            None => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

impl Shown {
    /// The names that Telegraf gives: `/dev/` taken off, the real device for a mapped one, the type where there is none.
    fn name_device(&mut self, cx: &mut ReadContext<'_>) {
        let (major, minor) = self.place.number;
        let mut name = self.device.strip_prefix("/dev/").unwrap_or(&self.device).to_owned();
        if name.starts_with("mapper/") || name == "root" {
            let link = std::fs::read_link(cx.host.sys_path(format!("dev/block/{major}:{minor}")));
            let target = link.ok().and_then(|target| Some(target.file_name()?.to_string_lossy().into_owned()));
            name = target.unwrap_or(name);
        }
        if major != 0 {
            let mapper = cx.host.sys_path(Path::new("block").join(&name).join("dm/name"));
            self.label = match file::read_once(&mapper, cx.buffer) {
                Ok(text) => text.trimmed().into_owned(),
                Err(_) => {
                    let mut udev = cx.host.udev(format!("b{major}:{minor}"));
                    let properties = udev.read(cx.buffer).map(super::diskstats::read_properties);
                    properties.ok().and_then(|mut all| all.remove("ID_FS_LABEL")).unwrap_or_default()
                }
            };
        }
        self.device_name = if name.is_empty() || name == "none" { self.file_system.clone() } else { name };
    }

    fn read_only(&self) -> bool {
        self.mount.read_only || self.size.as_ref().is_ok_and(|size| size.read_only)
    }
}

impl Mount {
    /// Tells apart what the host calls the mount point, and where Taffrail sees it.
    fn find(&mut self, host: &Host) {
        self.mount_point = host.name_on_host(&self.mount_point).to_owned();
        self.place.path = host.root_path(&self.mount_point).into();
    }

    fn mode(&self) -> &'static str {
        let has = |wanted: &str| self.options.split(',').any(|option| option == wanted);
        match (has("rw"), has("ro")) {
            (true, _) => "rw",
            (_, true) => "ro",
            _ => "unknown",
        }
    }
}

/// Labels of most of the families. `device_error` says why statfs(2) failed.
const LABELS: [&str; 4] = ["device", "device_error", "fstype", "mountpoint"];
const AVAIL_BYTES: Family<4> =
    Family::gauge("node_filesystem_avail_bytes", "Bytes that are free for everyone.", LABELS);
const DEVICE_ERROR: Family<4> =
    Family::gauge("node_filesystem_device_error", "Whether the file system could not be asked.", LABELS);
const FILES: Family<4> = Family::gauge("node_filesystem_files", "Inodes of the file system.", LABELS);
const FILES_FREE: Family<4> = Family::gauge("node_filesystem_files_free", "Inodes that are free.", LABELS);
const FREE_BYTES: Family<4> =
    Family::gauge("node_filesystem_free_bytes", "Bytes that are free, those reserved for root among them.", LABELS);
const MOUNT_INFO: Family<4> = Family::gauge(
    "node_filesystem_mount_info",
    "The device number behind a mount; always 1.",
    ["device", "major", "minor", "mountpoint"],
);
const READONLY: Family<4> = Family::gauge("node_filesystem_readonly", "Whether the mount is read-only.", LABELS);
const SIZE_BYTES: Family<4> = Family::gauge("node_filesystem_size_bytes", "Size of the file system.", LABELS);

const TOTAL: Field<u64> = Field::new("total", "bytes");
const FREE: Field<u64> = Field::new("free", "bytes that are free for everyone");
const USED: Field<u64> = Field::new("used", "bytes that are not free");
const USED_PERCENT: Field<f64> =
    Field::new("used_percent", "% used of what is used or free for everyone, as df has it");
const INODES_TOTAL: Field<u64> = Field::new("inodes_total", "inodes");
const INODES_FREE: Field<u64> = Field::new("inodes_free", "inodes that are free");
const INODES_USED: Field<u64> = Field::new("inodes_used", "inodes that are not free");
const INODES_USED_PERCENT: Field<f64> = Field::new("inodes_used_percent", "% of the inodes that are not free");
const DISK: Measurement<5> = Measurement::new(
    "disk",
    ["device", "fstype", "label", "mode", "path"],
    &[
        TOTAL.info(),
        FREE.info(),
        USED.info(),
        USED_PERCENT.info(),
        INODES_TOTAL.info(),
        INODES_FREE.info(),
        INODES_USED.info(),
        INODES_USED_PERCENT.info(),
    ],
);

/// How a value is taken from what has it.
type Of<From, Value> = fn(&From) -> Value;

impl Reading for FilesystemReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        let sizes: [(&Family<4>, Of<FsStat, u64>); 5] = [
            (&AVAIL_BYTES, |fs| fs.blocks_available.saturating_mul(fs.block_size)),
            (&FILES, |fs| fs.files),
            (&FILES_FREE, |fs| fs.files_free),
            (&FREE_BYTES, |fs| fs.blocks_free.saturating_mul(fs.block_size)),
            (&SIZE_BYTES, |fs| fs.blocks.saturating_mul(fs.block_size)),
        ];
        let mounts = || self.mounts.iter().filter(|mount| mount.shown.families);
        let is_told =
            |family: &Family<4>| !self.is_coarse || [AVAIL_BYTES.name(), SIZE_BYTES.name()].contains(&family.name());
        for (family, value) in sizes.into_iter().filter(|(family, _)| is_told(family)) {
            let mut samples = out.family(family);
            for mount in mounts() {
                if let Ok(size) = &mount.size {
                    samples.sample([&mount.device, "", &mount.file_system, &mount.mount_point], value(size));
                }
            }
        }
        let states: [(&Family<4>, Of<Shown, bool>); 2] =
            [(&DEVICE_ERROR, |mount| mount.size.is_err()), (&READONLY, Shown::read_only)];
        for (family, state) in states {
            let mut samples = out.family(family);
            for mount in mounts() {
                let error = mount.size.as_ref().err().map_or("", String::as_str);
                samples.sample([&mount.device, error, &mount.file_system, &mount.mount_point], state(mount));
            }
        }
        let mut info = out.family(&MOUNT_INFO);
        let (mut major, mut minor) = (itoa::Buffer::new(), itoa::Buffer::new());
        for mount in mounts().filter(|_| !self.is_coarse) {
            let (major, minor) = (major.format(mount.place.number.0), minor.format(mount.place.number.1));
            info.sample([&mount.device, major, minor, &mount.mount_point], 1u64);
        }
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        for mount in self.mounts.iter().filter(|mount| mount.shown.points) {
            let Ok(size) = &mount.size else { continue };
            if size.blocks == 0 {
                continue;
            }
            let bytes = |blocks: u64| blocks.saturating_mul(size.block_size);
            let used = size.blocks.saturating_sub(size.blocks_free);
            let inodes_used = size.files.saturating_sub(size.files_free);
            let tags = [&mount.device_name, &mount.file_system, &mount.label, mount.mode(), &mount.mount_point];
            let mut point = out.point(&DISK, tags);
            point.field(&TOTAL, bytes(size.blocks));
            point.field(&FREE, bytes(size.blocks_available));
            point.field(&USED, bytes(used));
            point.field(&USED_PERCENT, super::percent(used, used.saturating_add(size.blocks_available)));
            if self.is_coarse {
                continue;
            }
            point.field(&INODES_TOTAL, size.files);
            point.field(&INODES_FREE, size.files_free);
            point.field(&INODES_USED, inodes_used);
            point.field(&INODES_USED_PERCENT, super::percent(inodes_used, size.files));
        }
    }
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
        let mut behind = Behind::default();
        let text = crate::host::Text::new(Path::new("mountinfo"), table.as_bytes());
        let told: Vec<bool> = text
            .lines()
            .map(|line| {
                let mut mount = read_mount(line).unwrap();
                mount.find(&host);
                behind.has(&mount)
            })
            .collect();
        assert_eq!(told, [false, false, false, true, false]);
    }
}
