//! `[[collectors.file]]`: files that are read as a whole at an interval.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::spawn_blocking;

use super::format::{self, Format};
use super::job::{INTERVAL, Job, Kind, NAME, ValueOf, all_of, write_families};
use super::results::{Outcome, Results, Shown, errors_of};
use super::{file_name, hash};
use crate::collectors::framework::About;
use crate::collectors::framework::background::Clock;
use crate::collectors::framework::globs::{self, MAX_MATCHES};
use crate::config::setting::ByteSize;
use crate::config::{Key, KeyInfo, Section};
use crate::encode::{Family, FamilyWriter, Timestamp};
use crate::host::Host;
use crate::system::regular_file::{READ_TIMEOUT, read_regular_within};

/// The settings of a job.
#[derive(Debug)]
pub(super) struct Files {
    /// Paths and patterns, as configured and as Taffrail sees them.
    files: Vec<(String, PathBuf)>,
    interval: Duration,
    max_size: usize,
    file_tag: Option<String>,
    file_path_tag: Option<String>,
    format: Format,
}

const FILES: Key<Vec<String>> = Key::optional(
    "files",
    "The files, as named on the host. Each may be a glob pattern, which is expanded at each reading.",
);
const MAX_SIZE: Key<ByteSize> = Key::new("max_size", "\"4MiB\"", "Bytes of a file. A larger one is not used.");
const FILE_TAG: Key<String> = Key::optional("file_tag", "The tag that has the name of the file.");
const FILE_PATH_TAG: Key<String> = Key::optional("file_path_tag", "The tag that has the path of the file.");

const KEYS: [KeyInfo; 21] = all_of(&[
    &[NAME.info(), FILES.info(), INTERVAL.info(), MAX_SIZE.info(), FILE_TAG.info(), FILE_PATH_TAG.info()],
    &format::KEYS,
]);

impl Kind for Files {
    const ABOUT: About = About {
        name: "file",
        summary: "files that other programs write, in the formats of exec",
        reads: &["the files"],
        needs: "the rights to read the files",
        remarks: REMARKS,
        keys: &KEYS,
        tables: &[format::TAGS],
        families: &[SUCCESS.info(), AGE.info()],
        ..About::PLAIN
    };
    const SOURCES: &'static str = "files";
    const MAY_HAVE_LEASE: bool = false;

    fn new(host: &Host, table: &mut Section<'_>) -> Self {
        let files = table.optional(&FILES).unwrap_or_default();
        if files.is_empty() {
            table.wrong("files", "required: the files to read, such as [\"/var/lib/job/status.json\"]");
        }
        for (index, file) in files.iter().enumerate() {
            if !file.starts_with('/') {
                table.wrong_element("files", index, format!("expected a path from the root, found {file:?}"));
            } else if let Err(what) = globs::check(file) {
                table.wrong_element("files", index, what);
            }
        }
        let format = Format::new(table, "file", "influx");
        if format.is_nagios() {
            table.wrong("data_format", "a file has no exit status; expected influx, json, value or prometheus");
        }
        Files {
            files: files.into_iter().map(|file| (file.clone(), host.root_path(&file))).collect(),
            interval: table.above_zero(&INTERVAL),
            max_size: table.get(&MAX_SIZE).0,
            file_tag: table.optional(&FILE_TAG).filter(|tag| !tag.is_empty()),
            file_path_tag: table.optional(&FILE_PATH_TAG).filter(|tag| !tag.is_empty()),
            format,
        }
    }

    fn default_name(&self) -> String {
        self.files.first().map_or("file", |(file, _)| file).to_owned()
    }

    fn commands(&self) -> usize {
        self.files.len()
    }

    fn describe(&self) -> String {
        let files: Vec<&str> = self.files.iter().map(|(file, _)| file.as_str()).collect();
        format!("{}, every {}", files.join(", "), humantime::format_duration(self.interval))
    }

    fn work(job: Arc<Job<Self>>, at: (usize, usize), results: Arc<Results>) -> impl Future<Output = ()> + Send {
        read_files(job, at, results)
    }

    fn families(outcomes: &[Arc<Outcome>], out: &mut FamilyWriter<'_>) {
        let families: [(&Family<2>, ValueOf); 2] = [
            (&SUCCESS, |outcome| Some(f64::from(u8::from(outcome.is_success)))),
            (&AGE, |outcome| Some(outcome.at.elapsed().as_secs_f64())),
        ];
        write_families(&families, |outcome| [&outcome.source, &outcome.name], outcomes, out);
    }
}

/// Reads the files of a pattern forever.
async fn read_files(job: Arc<Job<Files>>, at: (usize, usize), results: Arc<Results>) {
    let (configured, path) = &job.settings.files[at.1];
    let mut clock = Clock::new(job.settings.interval, hash(configured));
    loop {
        clock.tick().await;
        let (of, is_pattern) = (path.clone(), globs::has_wildcard(configured));
        let found = match is_pattern {
            true => spawn_blocking(move || globs::matches(&of)).await.unwrap_or_default(),
            false => vec![of],
        };
        if found.len() > MAX_MATCHES {
            tracing::warn!(
                "file: {configured} of files matches more than {MAX_MATCHES} files; the others are not read"
            );
        }
        let found: Vec<PathBuf> = found.into_iter().take(MAX_MATCHES).collect();
        let key = |path: &Path| path.to_string_lossy().into_owned();
        results.retain(at.0, at.1, &found.iter().map(|path| key(path)).collect::<BTreeSet<_>>());
        for path in found {
            let name =
                if is_pattern { shown(&path, configured, &job.settings.files[at.1].1) } else { configured.clone() };
            let (job, of) = (job.clone(), path.clone());
            let read = spawn_blocking(move || read_file(&job, &of, name)).await;
            if let Ok((outcome, points)) = read {
                results.push(points, Timestamp::from(SystemTime::now()));
                results.publish((at.0, at.1, key(&path)), outcome);
            }
        }
    }
}

/// The path of a file on the host, whose pattern is `configured` there and `pattern` here.
fn shown(path: &Path, configured: &str, pattern: &Path) -> String {
    let root = pattern.to_string_lossy();
    let root = root.strip_suffix(configured).unwrap_or_default();
    let path = path.to_string_lossy();
    path.strip_prefix(root).unwrap_or(&path).to_owned()
}

fn read_file(
    job: &Job<Files>,
    path: &Path,
    name: String,
) -> (Outcome, Vec<crate::encode::parse::line::Point<'static>>) {
    let (settings, start) = (&job.settings, Instant::now());
    let tags = [(&settings.file_tag, file_name(&name)), (&settings.file_path_tag, name.as_str())];
    let tags: Vec<(&str, &str)> = tags.iter().filter_map(|(tag, value)| Some((tag.as_deref()?, *value))).collect();
    let read = read_regular_within(path, settings.max_size as u64, READ_TIMEOUT).map_err(|error| {
        let hint = super::sandbox::hint_of_path(&name).filter(|_| error.reason.is_absence());
        format!("{}{}", error.reason, hint.map(|hint| format!("; {hint}")).unwrap_or_default())
    });
    let (content, errors) = errors_of(read.and_then(|bytes| settings.format.read(&bytes, None, &tags)));
    let outcome = Outcome {
        name: job.name.clone(),
        source: name.into(),
        is_success: errors.is_empty(),
        status: None,
        duration: start.elapsed(),
        at: Instant::now(),
        restarts: 0,
        shown: Shown::Fixed(content.families),
        errors,
    };
    (outcome, content.points)
}

const LABELS: [&str; 2] = ["file", "name"];
const SUCCESS: Family<2> =
    Family::gauge("taffrail_file_success", "Whether the file was read and all of it was used", LABELS);
const AGE: Family<2> = Family::gauge("taffrail_file_result_age_seconds", "Time since the file was last read", LABELS);

const REMARKS: &str = "\
Each file is read as a whole at its interval, in a thread of its own for a file system that hangs. Only regular files are read, \
which those of sysfs are. Formats, names and types are those of exec. For `*.prom` files that a job replaces, textfile is \
better: it reads them when they change.";
