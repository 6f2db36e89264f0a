//! Metrics from files that scripts write.

mod folder;
mod scanner;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use self::folder::File;
use self::scanner::Scanner;
use crate::collectors::foreign::{Retained, Source, Sources};
use crate::collectors::framework::{About, Collector, ReadContext, Reading};
use crate::config::{Key, Section};
use crate::encode::family::{FamilyInfo, ForeignFamilies, Kind};
use crate::encode::{self, FamilyWriter};
use crate::host::{Host, ReadError};

/// `*.prom` files in folders: text 0.0.4, or OpenMetrics if they end in `# EOF`.
pub(super) struct Textfile {
    scanner: Scanner,
    /// Whether the folders are configured: a default one need not exist.
    is_configured: bool,
    max_age: Option<Duration>,
    /// The families of the files.
    sources: Sources,
}

const REMARKS: &str = "\
A file is text 0.0.4, or OpenMetrics if it ends with `# EOF`. A mistake drops the family that contains it and no other; \
`node_textfile_scrape_error` is then 1, and `node_scrape_collector_success` stays 1. The log names the file, the line and what \
is expected, once for each kind of mistake, and the number of further ones. It does not quote the file, which may be a link.

A file cannot repeat one of Taffrail's own families, such as `node_load1`. That family is left out of the file and the others are \
exposed, `node_textfile_scrape_error` is 1, and the log names the file with its first such family and the number of further \
ones. It stays left out until no file contains it, even while the collector that owns it fails. A family whose collector is \
off may come from a file. A family that another such collector has, too, such as `exec` or `statsd`, is shared if the types \
allow it.

Names may be any UTF-8 text, in quotes: `{\"my.metric\",\"a label\"=\"x\"} 1`. The scraper selects their form with `Accept`: \
quoted with `escaping=allow-utf-8`, otherwise escaped with `underscores`, `dots` or `values`, which is the default. A name that \
needs no escaping is kept if an escaped one would be equal to it.

Limits: names 1,024 bytes, label values 16,384 bytes (16 KiB), 64 labels per series, 100,000 series per family, 64 MiB per \
file. A family or a file that exceeds one is left out.";
const DIRECTORY: Key<Vec<String>> = Key::new(
    "directory",
    "[\"/var/lib/taffrail/textfile\", \"/var/lib/prometheus/node-exporter\"]",
    "Directories with *.prom files, as named on the host; each may be a glob pattern. The defaults, which need not exist, are \
     those of Taffrail's package and of Debian's node_exporter. With `[]`, no file is read.",
);
const MAX_AGE: Key<Duration> =
    Key::optional("max_age", "Leaves out files whose last change is older than this; without it, no file is left out.");

/// The content of the files.
#[derive(Default)]
pub(super) struct TextfileReading {
    families: Retained,
    /// The files that were read, with their modification time in Unix seconds.
    files: Vec<(String, f64)>,
    has_error: bool,
}

impl Collector for Textfile {
    const ABOUT: About = About {
        name: "textfile",
        summary: "metrics from `*.prom` files of other programs, as text or OpenMetrics",
        reads: &["/**/*.prom"],
        remarks: REMARKS,
        is_named_by_others: true,
        keys: &[DIRECTORY.info(), MAX_AGE.info()],
        families: &[ERROR.info(), MTIME.info(), ANY],
        is_portable: true,
        shows_failures: true,
        ..About::PLAIN
    };
    type Reading = TextfileReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let directories = section.get(&DIRECTORY);
        let is_relative = |(_, directory): &(usize, &String)| !directory.starts_with('/');
        for (index, directory) in directories.iter().enumerate().filter(is_relative) {
            section.wrong_element("directory", index, format!("expected a path from the root, found {directory:?}"));
        }
        Textfile {
            scanner: Scanner::new(directories.into_iter().map(|directory| host.root_path(directory)).collect()),
            is_configured: section.has(&DIRECTORY),
            max_age: section.optional(&MAX_AGE),
            sources: Sources::new("textfile", "files"),
        }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut TextfileReading) -> Result<(), ReadError> {
        *reading = TextfileReading::default();
        let now = SystemTime::UNIX_EPOCH + Duration::from_nanos(cx.host.kernel.now().0.max(0).unsigned_abs());
        let is_old =
            |file: &File| self.max_age.is_some_and(|most| now.duration_since(file.changed).is_ok_and(|age| age > most));
        let (files, problems) = self.scanner.scan();
        let mut problems: Vec<ReadError> = problems.into_iter().filter_map(|problem| self.reported(problem)).collect();
        let files: Vec<(PathBuf, Arc<File>)> =
            files.iter().filter(|(_, file)| !is_old(file)).map(|(path, file)| (path.clone(), file.clone())).collect();
        for (path, file) in &files {
            let name = name_of(cx.host, path);
            problems.extend(file.problems.messages().map(|problem| rejected(&name, problem)));
            if file.is_readable {
                let changed = file.changed.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                reading.files.push((name, changed.as_secs_f64()));
            }
        }
        let source = |(path, file): &(PathBuf, Arc<File>)| (Arc::from(name_of(cx.host, path)), file.families.clone());
        reading.families = self.sources.update(files.iter().map(source).collect::<Vec<Source>>());
        problems.extend(reading.families.left_out().map(|(file, problem)| rejected(&file, problem)));
        reading.has_error = !problems.is_empty();
        cx.problems.append(&mut problems);
        Ok(())
    }
}

impl Textfile {
    /// The problem as it is reported: only a configured folder must exist.
    fn reported(&self, problem: ReadError) -> Option<ReadError> {
        match problem {
            ReadError::Absent(path) if self.is_configured => {
                Some(ReadError::Unreadable { path, reason: "no such file or directory".to_owned() })
            }
            ReadError::Absent(_) => None,
            other => Some(other),
        }
    }
}

fn name_of(host: &Host, path: &std::path::Path) -> String {
    path.to_str().map_or_else(|| path.display().to_string(), |text| host.name_on_host(text).to_owned())
}

fn rejected(file: &str, reason: String) -> ReadError {
    ReadError::Refused { what: file.to_owned(), reason }
}

const ERROR: encode::Family<0> =
    encode::Family::gauge("node_textfile_scrape_error", "Whether a file or part of one could not be used", []);
const MTIME: encode::Family<1> =
    encode::Family::gauge("node_textfile_mtime_seconds", "Unix time of the last modification of the file", ["file"]);
const ANY: FamilyInfo = FamilyInfo { name: "KEY", kind: Kind::Untyped, help: "What the files say.", labels: &[] };

impl Reading for TextfileReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        out.reserve(ERROR.name());
        out.reserve(MTIME.name());
        let taken = self.families.taken(out);
        out.value(&ERROR, self.has_error || taken.any() || self.families.has_left_out());
        let mut changed = out.family(&MTIME);
        for (file, seconds) in &self.files {
            changed.sample([file], *seconds);
        }
        drop(changed);
        out.release(ERROR.name());
        out.release(MTIME.name());
    }

    fn named_elsewhere(&self, out: &FamilyWriter<'_>) -> Option<Arc<dyn ForeignFamilies>> {
        self.families.shared(out)
    }
}

#[cfg(test)]
mod tests;
