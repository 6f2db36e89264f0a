//! File handles, inodes, directory entries and asynchronous I/O of the host.

use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since};
use crate::config::Section;
use crate::encode::infos::{concat, infos};
use crate::encode::point::FieldInfo;
use crate::encode::{Family, FamilyWriter, Field, Measurement, PointWriter};
use crate::host::{Host, HostFile, ReadError};

pub(super) struct Filefd {
    file_nr: HostFile,
    /// The other files of `/proc/sys/fs`, in the order of [`FILES`].
    others: Vec<HostFile>,
}

/// `/proc/sys/fs/file-nr`, whose second column has been 0 since Linux 2.6, and for points the files of [`FILES`].
#[derive(Default)]
pub(super) struct FilefdReading {
    counts: Option<Counts>,
    /// The values of [`OTHERS`].
    others: [Option<u64>; OTHERS.len()],
}

#[derive(Clone, Copy)]
struct Counts {
    allocated: u64,
    maximum: u64,
}

impl Collector for Filefd {
    const ABOUT: About = About {
        name: "filefd",
        summary: "allocated file handles of the host, and their limit; pushed as `linux_sysctl_fs`, with inodes, directory entries and asynchronous I/O",
        reads: &["/proc/sys/fs/{file-nr,inode-state,dentry-state,aio-nr,aio-max-nr}"],
        families: &[ALLOCATED.info(), MAXIMUM.info()],
        measurements: &[LINUX_SYSCTL_FS.info()],
        ..About::PLAIN
    };
    type Reading = FilefdReading;

    fn new(host: &Host, _: &mut Section<'_>) -> Self {
        let file = |name: &str| host.proc(format!("sys/fs/{name}")).one_record();
        Filefd { file_nr: file("file-nr"), others: FILES.iter().map(|name| file(name)).collect() }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut FilefdReading) -> Result<(), ReadError> {
        *reading = FilefdReading::default();
        if cx.wanted.points {
            for (name, file) in FILES.iter().zip(&mut self.others) {
                let read = reading.read_other(name, file, cx.buffer);
                cx.part(read);
            }
        }
        let mut fields = self.file_nr.read(cx.buffer)?.first_line().fields();
        let allocated = fields.number("the number of allocated file handles")?;
        fields.required("the number of unused file handles")?;
        let maximum = fields.number("the highest number of file handles")?;
        reading.counts = Some(Counts { allocated, maximum });
        Ok(())
    }
}

impl FilefdReading {
    fn read_other(&mut self, name: &str, file: &mut HostFile, buffer: &mut Vec<u8>) -> Result<(), ReadError> {
        let mut fields = file.read(buffer)?.first_line().fields();
        for ((of, _), value) in OTHERS.iter().zip(&mut self.others).filter(|((of, _), _)| *of == name) {
            *value = fields.optional(of)?;
        }
        Ok(())
    }
}

const ALLOCATED: Family<0> = Family::gauge("node_filefd_allocated", "Allocated file handles", []);
const MAXIMUM: Family<0> = Family::gauge("node_filefd_maximum", "Maximum number of file handles (fs.file-max)", []);

const FILE_NR: Field<u64> = Field::new("file-nr", "allocated file handles");
const FILE_MAX: Field<u64> = Field::new("file-max", "maximum number of file handles");
/// Files of `/proc/sys/fs` that only points have: Documentation/admin-guide/sysctl/fs.rst.
const FILES: [&str; 4] = ["aio-max-nr", "aio-nr", "dentry-state", "inode-state"];
/// The columns of these files, in order.
const OTHERS: [(&str, Field<u64>); 9] = [
    ("aio-max-nr", Field::new("aio-max-nr", "maximum number of asynchronous I/O requests")),
    ("aio-nr", Field::new("aio-nr", "asynchronous I/O requests allocated")),
    ("dentry-state", Field::new("dentry-nr", "directory entries allocated")),
    ("dentry-state", Field::new("dentry-unused-nr", "unused directory entries")),
    ("dentry-state", Field::new("dentry-age-limit", "age in seconds from which entries are reclaimed")),
    ("dentry-state", Field::new("dentry-want-pages", "pages requested by the system")),
    ("inode-state", Field::new("inode-nr", "inodes allocated")),
    ("inode-state", Field::new("inode-free-nr", "free inodes")),
    ("inode-state", Field::new("inode-preshrink-nr", "nonzero if inodes are reclaimed")),
];
const FIELDS: [FieldInfo; 2 + OTHERS.len()] = concat(&[&[FILE_NR.info(), FILE_MAX.info()], &infos!(OTHERS.1)]);
const LINUX_SYSCTL_FS: Measurement<0> = Measurement::new("linux_sysctl_fs", [], &FIELDS);

impl Reading for FilefdReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        if let Some(counts) = self.counts {
            out.value(&ALLOCATED, counts.allocated);
            out.value(&MAXIMUM, counts.maximum);
        }
    }

    fn points(&self, _: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        let mut point = out.point(&LINUX_SYSCTL_FS, []);
        if let Some(counts) = self.counts {
            point.field(&FILE_NR, counts.allocated).field(&FILE_MAX, counts.maximum);
        }
        for ((_, field), value) in OTHERS.iter().zip(self.others) {
            point.some(field, value);
        }
    }
}
