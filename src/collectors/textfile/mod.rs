//! Metrics that scripts and others leave in files.

mod blocks;
mod folder;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use self::blocks::{Family, Metric, SUFFIXES};
use self::folder::{File, Folder};
use super::{About, Collector, ReadContext, Reading};
use crate::config::{Key, Section};
use crate::encode::family::{FamilyInfo, Kind, Value};
use crate::encode::{self, FamilyWriter};
use crate::host::{Host, ReadError};

/// Files `*.prom` in folders: text 0.0.4, or OpenMetrics where they end in `# EOF`.
pub(super) struct Textfile {
    folders: Vec<Folder>,
    max_age: Option<Duration>,
}

const DIRECTORY: Key<Vec<String>> = Key::new(
    "directory",
    "[]",
    "Directories with files *.prom, as they are called on the host; each may be a glob pattern.",
);
const MAX_AGE: Key<Duration> =
    Key::optional("max_age", "Leave out files that were last changed longer ago than this; without it, none.");

/// What the files say.
#[derive(Default)]
pub(super) struct TextfileReading {
    /// Families of all files, by name.
    families: BTreeMap<String, Family>,
    /// The files that were read, with the time of their last change in seconds of Unix time.
    files: Vec<(String, f64)>,
    has_error: bool,
}

impl Collector for Textfile {
    const ABOUT: About = About {
        name: "textfile",
        summary: "metrics that others leave in files `*.prom`, as text or OpenMetrics",
        reads: &["/**/*.prom"],
        needs: "directories, which are named in the configuration",
        keys: &[DIRECTORY.info(), MAX_AGE.info()],
        families: &[ERROR.info(), MTIME.info(), ANY],
        ..About::PLAIN
    };
    type Reading = TextfileReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let directories = section.get(&DIRECTORY);
        for directory in directories.iter().filter(|directory| !directory.starts_with('/')) {
            section.wrong("directory", format!("expected a path from the root, found {directory:?}"));
        }
        Textfile {
            folders: directories.into_iter().map(|directory| Folder::new(host.root_path(directory))).collect(),
            max_age: section.optional(&MAX_AGE),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut TextfileReading) -> Result<(), ReadError> {
        *reading = TextfileReading::default();
        let now = SystemTime::UNIX_EPOCH + Duration::from_nanos(cx.host.kernel.now().0.max(0).unsigned_abs());
        let mut problems = Vec::new();
        let mut files: BTreeMap<PathBuf, &File> = BTreeMap::new();
        for folder in &mut self.folders {
            problems.extend(folder.look());
            files.extend(folder.files().map(|(path, file)| (path.clone(), file)));
        }
        for (path, file) in files {
            let is_old = |max_age| now.duration_since(file.changed).is_ok_and(|age| age > max_age);
            if self.max_age.is_some_and(is_old) {
                continue;
            }
            let name =
                path.to_str().map_or_else(|| path.display().to_string(), |text| cx.host.name_on_host(text).to_owned());
            problems.extend(file.problems.iter().map(|problem| told(&name, problem.clone())));
            if file.is_readable {
                let changed = file.changed.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                reading.files.push((name.clone(), changed.as_secs_f64()));
            }
            for family in &file.families {
                problems.extend(reading.add(family, &name).map(|problem| told(&name, problem)));
            }
        }
        reading.has_error = !problems.is_empty();
        cx.problems.append(&mut problems);
        Ok(())
    }
}

fn told(file: &str, reason: String) -> ReadError {
    ReadError::Refused { what: file.to_owned(), reason }
}

impl TextfileReading {
    /// Adds a family of a file. Where files say something of one family, the first by name says its type and help text,
    /// and the first that has a series keeps it.
    fn add(&mut self, family: &Family, file: &str) -> Option<String> {
        let Some(known) = self.families.get_mut(&family.name) else {
            let mut family = family.clone();
            if family.help.is_empty() {
                family.help = format!("Metric read from {file}");
            }
            self.families.insert(family.name.clone(), family);
            return None;
        };
        if known.kind != family.kind {
            return Some(format!("{} is of another type in a file before it, and left out here", family.name));
        }
        let there: HashSet<&Metric> = known.metrics.iter().collect();
        let new: Vec<Metric> = family.metrics.iter().filter(|metric| !there.contains(metric)).cloned().collect();
        let repeated = family.metrics.len() - new.len();
        known.metrics.extend(new);
        (repeated > 0)
            .then(|| format!("{repeated} series of {} are in a file before it too, and left out here", family.name))
    }
}

const ERROR: encode::Family<0> =
    encode::Family::gauge("node_textfile_scrape_error", "Whether a file, or a part of one, could not be used.", []);
const MTIME: encode::Family<1> =
    encode::Family::gauge("node_textfile_mtime_seconds", "When the file was last changed, in Unix time.", ["file"]);
const ANY: FamilyInfo = FamilyInfo { name: "KEY", kind: Kind::Untyped, help: "What the files say.", labels: &[] };

impl Reading for TextfileReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        for family in self.families.values() {
            if let Some(kind) = family.told_as() {
                let mut samples = out.free_family(&family.name, kind, &family.help);
                for Metric { suffix, labels, value } in &family.metrics {
                    samples.part_sample(suffix, labels, Value::Float(*value), None);
                }
                continue;
            }
            for suffix in SUFFIXES {
                let mut samples = out.free_family(&format!("{}{suffix}", family.name), Kind::Gauge, &family.help);
                for metric in family.metrics.iter().filter(|metric| metric.suffix == suffix) {
                    samples.sample(&metric.labels, Value::Float(metric.value), None);
                }
            }
        }
        out.value(&ERROR, self.has_error);
        let mut changed = out.family(&MTIME);
        for (file, seconds) in &self.files {
            changed.sample([file], *seconds);
        }
    }
}
