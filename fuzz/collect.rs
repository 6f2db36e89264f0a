//! One reading by one collector, encoded in every way.

#[path = "../tests/common/archive.rs"]
#[allow(dead_code)]
mod archive;

use std::path::Path;
use std::time::Instant;

use taffrail::collectors::Vocabularies;
use taffrail::collectors::framework::Configured;
use taffrail::collectors::settings::configure;
use taffrail::config::{Document, Section};
use taffrail::encode::parse::{Format, Limits, parse};
use taffrail::encode::line::LineEncoder;
use taffrail::encode::lines::Lines;
use taffrail::encode::tags::CommonTags;
use taffrail::encode::protobuf::ProtobufEncoder;
use taffrail::encode::text::{Dialect, TextEncoder};
use taffrail::encode::{FamilyWriter, PointWriter};
use taffrail::encode::Timestamp;
use taffrail::host::Host;

const MORE: &str = "[collectors.cpu]\ninfo = true\ninfo_flags_include = '.*'\n\
    [collectors.sysctl]\ninclude = [\"kernel.threads-max\", \"fs.file-nr:a,b,c\"]\n\
    [collectors.textfile]\ndirectory = [\"/var/lib/textfile\"]\n\
    [collectors.systemd]\nenable_task_metrics = true\nenable_restarts_metrics = true\n[collectors.systemd.points]\ndetails = true\n";

/// Collectors, made once: that costs more than reading.
pub struct Collectors {
    host: Host,
    all: Vec<Configured>,
}

impl Collectors {
    /// Those of these names.
    pub fn new(host: Host, names: &[&str]) -> Self {
        let document = Document::parse("fuzz", MORE, &|_| None).unwrap();
        let only: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let all = Section::check(&document, |root| configure(&host, &only, &mut root.table("collectors"))).unwrap();
        Collectors { host, all }
    }

    /// Two readings by the collector `name`; what they report must be readable.
    pub fn collect(&mut self, name: &str) {
        let host = &self.host;
        let Some(configured) = self.all.iter_mut().find(|configured| configured.about.name == name) else { return };
        let mut collect = || configured.collector.collect(Vocabularies::BOTH, Instant::now(), host, &mut Vec::new());
        let (first, second) = (collect(), collect());
        let mut text = TextEncoder::new(Dialect::Plain, Vec::new());
        second.families(&mut FamilyWriter::new(&mut text));
        let text = text.finish();
        let limits =
            Limits { series: usize::MAX, labels: 256, name_bytes: usize::MAX, value_bytes: usize::MAX };
        if let Err(error) = parse(Format::Text, &text, &limits) {
            panic!("{error}: {}", String::from_utf8_lossy(&text));
        }
        let mut protobuf = ProtobufEncoder::new(Vec::new());
        second.families(&mut FamilyWriter::new(&mut protobuf));
        let tags = CommonTags::default();
        let mut lines = Lines::default();
        second.points(Some(&first), &mut PointWriter::new(&mut LineEncoder::new(&mut lines), &tags, Timestamp(1)));
    }
}

/// Makes `folder` with the recorded host `name` of the tests as it was after.
pub fn unpack(name: &str, folder: &Path) {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/hosts").join(name).join("host.tree");
    let whole = folder.with_extension("whole");
    archive::Tree::read(&archive).and_then(|tree| tree.unpack(&whole)).unwrap();
    std::fs::rename(whole.join("after"), folder).unwrap();
    std::fs::remove_dir_all(&whole).unwrap();
}

/// Copies a folder over another.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let (kind, target) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).unwrap();
        } else if let Ok(link) = std::fs::read_link(entry.path()) {
            let _ = std::os::unix::fs::symlink(link, target);
        }
    }
}
