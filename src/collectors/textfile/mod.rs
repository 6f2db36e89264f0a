//! Metrics that scripts and others leave in files.

mod blocks;
mod claims;
mod families;
mod folder;
mod looker;
mod merge;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use self::claims::Claims;
use self::families::Family;
use self::folder::File;
use self::looker::Looker;
use self::merge::{LeftOut, Shown, merge};
use super::{About, Collector, ReadContext, Reading};
use crate::config::{Key, Section};
use crate::encode::family::{FamilyInfo, Kind, Value};
use crate::encode::names::is_plain_metric_name;
use crate::encode::{self, FamilyWriter};
use crate::host::{Host, ReadError};

/// Files `*.prom` in folders: text 0.0.4, or OpenMetrics where they end in `# EOF`.
pub(super) struct Textfile {
    looker: Looker,
    max_age: Option<Duration>,
    /// The files whose families are shown, and these.
    files: Vec<(PathBuf, Arc<File>)>,
    merged: Arc<Merged>,
    claims: Arc<Claims>,
}

/// The families of some files.
#[derive(Debug, Default)]
struct Merged {
    shown: Vec<Shown>,
    left_out: Vec<LeftOut>,
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
    merged: Arc<Merged>,
    claims: Arc<Claims>,
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
        is_named_by_others: true,
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
            looker: Looker::new(directories.into_iter().map(|directory| host.root_path(directory)).collect()),
            max_age: section.optional(&MAX_AGE),
            files: Vec::new(),
            merged: Arc::default(),
            claims: Arc::default(),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut TextfileReading) -> Result<(), ReadError> {
        *reading = TextfileReading { claims: self.claims.clone(), ..TextfileReading::default() };
        let now = SystemTime::UNIX_EPOCH + Duration::from_nanos(cx.host.kernel.now().0.max(0).unsigned_abs());
        let is_old =
            |file: &File| self.max_age.is_some_and(|most| now.duration_since(file.changed).is_ok_and(|age| age > most));
        let (files, mut problems) = self.looker.look();
        let files: Vec<(PathBuf, Arc<File>)> =
            files.iter().filter(|(_, file)| !is_old(file)).map(|(path, file)| (path.clone(), file.clone())).collect();
        for (path, file) in &files {
            let name = name_of(cx.host, path);
            problems.extend(file.problems.iter().map(|problem| told(&name, problem.clone())));
            if file.is_readable {
                let changed = file.changed.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                reading.files.push((name, changed.as_secs_f64()));
            }
        }
        self.merge(cx.host, files);
        problems.extend(self.merged.left_out.iter().map(|LeftOut { file, reason }| told(file, reason.clone())));
        reading.merged = self.merged.clone();
        reading.has_error = !problems.is_empty();
        cx.problems.append(&mut problems);
        Ok(())
    }
}

impl Textfile {
    /// Puts the families of these files together, unless they are the same as before.
    fn merge(&mut self, host: &Host, files: Vec<(PathBuf, Arc<File>)>) {
        let mut pairs = files.iter().zip(&self.files);
        let is_same = pairs.all(|((one, file), (other, before))| one == other && Arc::ptr_eq(file, before));
        if files.len() == self.files.len() && is_same {
            return;
        }
        let named = files.iter().map(|(path, file)| (Arc::from(name_of(host, path)), file.families.as_slice()));
        let (shown, left_out) = merge(named);
        self.merged = Arc::new(Merged { shown, left_out });
        self.files = files;
        if !self.claims.is_empty() {
            let there: std::collections::HashSet<&str> =
                self.merged.shown.iter().map(|shown| shown.family.name.as_str()).collect();
            self.claims.keep(|family| there.contains(family));
        }
    }
}

fn name_of(host: &Host, path: &std::path::Path) -> String {
    path.to_str().map_or_else(|| path.display().to_string(), |text| host.name_on_host(text).to_owned())
}

fn told(file: &str, reason: String) -> ReadError {
    ReadError::Refused { what: file.to_owned(), reason }
}

const ERROR: encode::Family<0> =
    encode::Family::gauge("node_textfile_scrape_error", "Whether a file, or a part of one, could not be used.", []);
const MTIME: encode::Family<1> =
    encode::Family::gauge("node_textfile_mtime_seconds", "When the file was last changed, in Unix time.", ["file"]);
const ANY: FamilyInfo = FamilyInfo { name: "KEY", kind: Kind::Untyped, help: "What the files say.", labels: &[] };

impl Reading for TextfileReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        let is_ours = self.ours(out);
        out.value(&ERROR, self.has_error || is_ours.contains(&true));
        let mut changed = out.family(&MTIME);
        for (file, seconds) in &self.files {
            changed.sample([file], *seconds);
        }
        drop(changed);
        for (Shown { family, .. }, _) in self.merged.shown.iter().zip(is_ours).filter(|(_, is_ours)| !is_ours) {
            write(family, out);
        }
    }
}

impl TextfileReading {
    /// Which families are Taffrail's own, and so not the files' to tell.
    fn ours(&self, out: &mut FamilyWriter<'_>) -> Vec<bool> {
        out.reserve(ERROR.name());
        out.reserve(MTIME.name());
        let has_claims = !self.claims.is_empty();
        let is_ours = |Shown { family, file, .. }: &Shown| {
            let name = family.name.as_str();
            let is_ours = is_plain_metric_name(name) && is_taken(family, out);
            if is_ours {
                self.claims.note(name, file);
            }
            is_ours || (has_claims && self.claims.has(name))
        };
        self.merged.shown.iter().map(is_ours).collect()
    }
}

fn is_taken(family: &Family, out: &FamilyWriter<'_>) -> bool {
    match family.told_as() {
        Some(kind) => out.is_taken(&family.name, kind),
        None => family.suffixes().iter().any(|suffix| out.is_taken(&format!("{}{suffix}", family.name), Kind::Gauge)),
    }
}

fn write(family: &Family, out: &mut FamilyWriter<'_>) {
    if let Some(kind) = family.told_as() {
        let mut samples = out.free_family(&family.name, kind, &family.help);
        for metric in family.metrics.iter() {
            metric.samples(&mut |suffix, labels, value| {
                samples.part_sample(suffix, labels, Value::Float(value), None);
            });
        }
        return;
    }
    for wanted in family.suffixes() {
        let mut samples = out.free_family(&format!("{}{wanted}", family.name), Kind::Gauge, &family.help);
        for metric in family.metrics.iter() {
            metric.samples(&mut |suffix, labels, value| {
                if suffix == *wanted {
                    samples.sample(labels, Value::Float(value), None);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests;
