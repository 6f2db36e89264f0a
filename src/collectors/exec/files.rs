//! `[[collectors.file]]`: files that are read as a whole at an interval.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::{JoinSet, spawn_blocking};

use super::format::{self, Format};
use super::globs::{self, MAX_MATCHES};
use super::results::{Outcome, Results, Shown, Snapshot, errors_of};
use super::{INTERVAL, NAME, Running, file_name, hash, named};
use crate::collectors::foreign::Sources;
use crate::collectors::framework::background::Clock;
use crate::collectors::framework::{About, Collector, ReadContext, Reading, Since, Vocabularies};
use crate::config::setting::ByteSize;
use crate::config::{Key, KeyInfo, Section};
use crate::encode::{Family, FamilyWriter, PointWriter, Timestamp};
use crate::host::{Host, ReadError};
use crate::system::regular_file::{READ_TIMEOUT, read_regular_within};

/// The collector.
pub(super) struct Files {
    jobs: Vec<Arc<Job>>,
    sources: Sources,
    running: Option<Running>,
}

#[derive(Debug)]
struct Job {
    name: Arc<str>,
    settings: Settings,
}

#[derive(Debug)]
struct Settings {
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

const KEYS: [KeyInfo; 21] = {
    let own = [NAME.info(), FILES.info(), INTERVAL.info(), MAX_SIZE.info(), FILE_TAG.info(), FILE_PATH_TAG.info()];
    let mut keys = [NAME.info(); 21];
    let mut index = 0;
    while index < keys.len() {
        keys[index] = if index < 6 { own[index] } else { format::KEYS[index - 6] };
        index += 1;
    }
    keys
};

impl Settings {
    fn new(host: &Host, section: &mut Section<'_>) -> Settings {
        let files = section.optional(&FILES).unwrap_or_default();
        if files.is_empty() {
            section.wrong("files", "required: the files to read, such as [\"/var/lib/job/status.json\"]");
        }
        for (index, file) in files.iter().enumerate() {
            if !file.starts_with('/') {
                section.wrong_element("files", index, format!("expected a path from the root, found {file:?}"));
            } else if let Err(what) = globs::check(file) {
                section.wrong_element("files", index, what);
            }
        }
        let format = Format::new(section, "file", "influx");
        if format.is_nagios() {
            section.wrong("data_format", "a file has no exit status; expected influx, json, value or prometheus");
        }
        Settings {
            files: files.into_iter().map(|file| (file.clone(), host.root_path(&file))).collect(),
            interval: section.above_zero(&INTERVAL),
            max_size: section.get(&MAX_SIZE).0,
            file_tag: section.optional(&FILE_TAG).filter(|tag| !tag.is_empty()),
            file_path_tag: section.optional(&FILE_PATH_TAG).filter(|tag| !tag.is_empty()),
            format,
        }
    }
}

impl Collector for Files {
    const ABOUT: About = About {
        name: "file",
        summary: "files that other programs write, in the formats of exec",
        reads: &["the files"],
        needs: "the rights to read the files",
        remarks: REMARKS,
        on_by_default: Vocabularies::BOTH,
        is_list: true,
        shows_failures: true,
        is_named_by_others: true,
        is_portable: true,
        keys: &KEYS,
        tables: &[format::TAGS],
        families: &[SUCCESS.info(), AGE.info()],
        ..About::PLAIN
    };
    type Reading = FileReading;

    fn new(host: &Host, section: &mut Section<'_>) -> Self {
        let first = |settings: &Settings| settings.files.first().map_or("file", |(file, _)| file).to_owned();
        let jobs = named(section, "file", |table| Settings::new(host, table), first);
        let jobs = jobs.into_iter().map(|(name, settings)| Arc::new(Job { name, settings })).collect();
        Files { jobs, sources: Sources::new("file", "files"), running: None }
    }

    fn read(&mut self, cx: &mut ReadContext<'_>, reading: &mut FileReading) -> Result<(), ReadError> {
        let results = self.running().results.clone();
        reading.0 = results.read(&mut self.sources, cx.wanted.points, cx.problems);
        Ok(())
    }

    fn begin(&mut self, limit: Duration) {
        let files = self.jobs.iter().map(|job| job.settings.files.len()).sum();
        self.running().results.wait(files, limit);
    }

    fn report(&mut self) -> Vec<String> {
        let line = |job: &Arc<Job>| {
            let every = humantime::format_duration(job.settings.interval);
            let files: Vec<&str> = job.settings.files.iter().map(|(file, _)| file.as_str()).collect();
            format!("{}: {}, every {every}", job.name, files.join(", "))
        };
        self.jobs.iter().map(line).collect()
    }
}

impl Files {
    fn running(&mut self) -> &Running {
        let jobs = &self.jobs;
        self.running.get_or_insert_with(|| {
            let jobs = jobs.clone();
            Running::start("file", move |results| async move {
                let mut loops = JoinSet::new();
                for (index, job) in jobs.iter().enumerate() {
                    for at in 0..job.settings.files.len() {
                        loops.spawn(read_files(job.clone(), (index, at), results.clone()));
                    }
                }
                loops.join_all().await;
            })
        })
    }
}

/// Reads the files of a pattern forever.
async fn read_files(job: Arc<Job>, at: (usize, usize), results: Arc<Results>) {
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

fn read_file(job: &Job, path: &Path, name: String) -> (Outcome, Vec<crate::encode::parse::line::Point<'static>>) {
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

fn write_own(outcomes: &[Arc<Outcome>], out: &mut FamilyWriter<'_>) {
    type ValueOf = fn(&Outcome) -> f64;
    let families: [(&Family<2>, ValueOf); 2] = [
        (&SUCCESS, |outcome| f64::from(u8::from(outcome.is_success))),
        (&AGE, |outcome| outcome.at.elapsed().as_secs_f64()),
    ];
    for (family, value) in families {
        let mut samples = out.family(family);
        for outcome in outcomes {
            samples.sample([&outcome.source, &outcome.name], value(outcome));
        }
    }
}

/// The content of the files.
#[derive(Default)]
pub(super) struct FileReading(Snapshot);

impl Reading for FileReading {
    fn families(&self, out: &mut FamilyWriter<'_>) {
        self.0.families(write_own, out);
    }

    fn points(&self, since: Option<Since<'_, Self>>, out: &mut PointWriter<'_>) {
        self.0.points(write_own, since.map(|since| &since.previous.0), out);
    }
}

const REMARKS: &str = "\
Each file is read as a whole at its interval, in a thread of its own for a file system that hangs. Only regular files are read, \
which those of sysfs are. Formats, names and types are those of exec. For `*.prom` files that a job replaces, textfile is \
better: it reads them when they change.";
