//! `taffrail migrate verify`: compares what another program and Taffrail report.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use taffrail::agent::Origin;
use taffrail::client::{self, Tls, is_page, read_whole};
use taffrail::collectors::Vocabularies;
use taffrail::collectors::filter::Filter;
use taffrail::collectors::readers::{CollectorReading, Readers};
use taffrail::config::Secrets;
use taffrail::encode::lines::Lines;
use taffrail::encode::tags::CommonTags;
use taffrail::log;
use taffrail::migrate::input_file;
use taffrail::migrate::verify::{Difference, compare, exposition, is_unexpected, line_protocol, report};
use taffrail::say;
use taffrail::settings::{Overrides, Settings};
use taffrail::sinks::form::{Form, LineProtocol, PointForm};
use taffrail::sinks::negotiate::Format;
use taffrail::sinks::prometheus::Exporter;
use taffrail::sinks::push::read_points;
use taffrail::sinks::schedule::Schedule;

use super::{INCOMPLETE, ReportFormat, name};
use crate::{Failure, MAX_READING_TIME};

#[derive(Args)]
pub(super) struct Verify {
    /// The old exporter, such as http://127.0.0.1:9100/metrics, or a file of Telegraf's in line protocol: of outputs.file,
    /// or what telegraf --test prints
    #[arg(value_name = "OLD-URL|FILE")]
    old: Old,
    /// A running Taffrail, instead of a reading of this command's own; of an exporter only
    #[arg(long, value_name = "URL", value_parser = client::parse_argument, conflicts_with = "config")]
    new_url: Option<reqwest::Url>,
    /// The configuration of the reading; points are those of its first sink of points
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
}

/// What Taffrail is compared with.
#[derive(Clone)]
enum Old {
    Exporter(reqwest::Url),
    File(PathBuf),
}

impl FromStr for Old {
    type Err = String;

    fn from_str(text: &str) -> Result<Old, String> {
        let is_file = !text.contains("://") && (Path::new(text).exists() || !text.contains(':'));
        match is_file {
            true => Ok(Old::File(text.into())),
            false => client::parse_argument(text).map(Old::Exporter),
        }
    }
}

impl Verify {
    pub(super) fn execute(&self, format: ReportFormat) -> Result<ExitCode, Failure> {
        // Reports on standard error what the log of a running Taffrail would.
        log::start(tracing::Level::WARN)?;
        let runtime = crate::runtime()?;
        let (differences, subject) = match (&self.old, &self.new_url) {
            (Old::Exporter(old), _) => (runtime.block_on(self.of_exporter(old))?, ["family is", "families are"]),
            (Old::File(file), None) => {
                (runtime.block_on(self.of_points(file))?, ["measurement or field is", "measurements and fields are"])
            }
            (Old::File(_), Some(_)) => return Err("--new-url is of an exporter: a file of points has none".into()),
        };
        let text = match format {
            ReportFormat::Text => report::text(&differences, subject),
            ReportFormat::Json => report::json(&differences),
        };
        io::stdout().lock().write_all(text.as_bytes())?;
        let differs = differences.iter().any(is_unexpected);
        Ok(if differs { ExitCode::from(INCOMPLETE) } else { ExitCode::SUCCESS })
    }

    fn settings(&self) -> Result<Settings, Failure> {
        let origin = Origin { paths: self.config.clone(), overrides: Overrides::default() };
        Ok(origin.load_without_credentials()?)
    }

    async fn of_exporter(&self, old: &reqwest::Url) -> Result<Vec<Difference>, Failure> {
        let readers = match self.new_url {
            Some(_) => None,
            None => {
                let settings = self.settings()?;
                Some(Arc::new(Readers::new(settings.host.clone(), settings.collectors)))
            }
        };
        // The first reading finds what there is; what it takes does not count.
        self.new_exposition(readers.as_ref()).await?;
        let before = self.new_exposition(readers.as_ref()).await?;
        let text = scrape(old).await?;
        let after = self.new_exposition(readers.as_ref()).await?;
        let old = exposition(&text).map_err(|error| format!("{}: {error}", shown(old)))?;
        Ok(compare(&exposition(&before)?, &old, &exposition(&after)?))
    }

    /// What Taffrail exposes.
    async fn new_exposition(&self, readers: Option<&Arc<Readers>>) -> Result<Vec<u8>, Failure> {
        match (&self.new_url, readers) {
            (Some(url), _) => scrape(url).await,
            (None, Some(readers)) => {
                let readings = readers.read(Vocabularies::FAMILIES, |_| true, MAX_READING_TIME).await;
                Ok(Exporter::new(readers.clone()).render(&readings, Format::Text).to_vec())
            }
            (None, None) => Ok(Vec::new()),
        }
    }

    /// Compares a file, which Telegraf may be writing, with points as the first sink of points would get them.
    async fn of_points(&self, file: &std::path::Path) -> Result<Vec<Difference>, Failure> {
        let settings = self.settings()?;
        let sink = settings.sinks.iter().find(|sink| matches!(sink.form(), Form::Points(_)));
        let (schedule, filter) = match sink {
            Some(sink) => (sink.delivery.schedule.clone(), sink.delivery.filter.clone()),
            None => (settings.schedule.clone(), Filter::default()),
        };
        let mut points = Points {
            exporter: Exporter::new(Arc::new(Readers::new(settings.host.clone(), settings.collectors))),
            form: PointForm::new(CommonTags::new(&schedule.tags), &filter, LineProtocol),
            schedule,
            previous: Vec::new(),
        };
        say!("waiting {} for each of two readings", humantime::format_duration(points.schedule.interval));
        points.read().await;
        let before = points.next().await?;
        // A file of many ticks may be large.
        let old = input_file::read_at_most(file, 64 << 20)?;
        let after = points.next().await?;
        let invalid = |error: String| Failure::from(format!("{}: {error}", name(file)));
        let old = line_protocol(&old).map_err(invalid)?;
        Ok(compare(&line_protocol(&before)?, &old, &line_protocol(&after)?))
    }
}

/// Taffrail's points.
struct Points {
    exporter: Exporter,
    form: PointForm,
    schedule: Schedule,
    previous: Vec<CollectorReading>,
}

impl Points {
    /// The points one interval later.
    async fn next(&mut self) -> Result<String, Failure> {
        tokio::time::sleep(self.schedule.interval).await;
        Ok(String::from_utf8(self.read().await)?)
    }

    async fn read(&mut self) -> Vec<u8> {
        let (mut lines, limit) = (Lines::default(), MAX_READING_TIME);
        self.previous =
            read_points(&self.exporter, &self.schedule, &self.form, &self.previous, limit, &mut lines).await;
        lines.bytes().to_vec()
    }
}

/// The limit of an exposition.
const MAX_EXPOSITION: usize = 256 << 20;

/// Scrapes an exporter.
async fn scrape(url: &reqwest::Url) -> Result<Vec<u8>, Failure> {
    const TIMEOUT: Duration = Duration::from_secs(30);
    let shown = shown(url);
    let builder = client::builder().timeout(TIMEOUT);
    let client = Tls::default().apply(builder, url.scheme() == "https", ["", ""])?.build()?;
    let response = client.get(url.clone()).header("Accept", "text/plain;version=0.0.4").send().await;
    let response = response.map_err(|error| format!("{shown}: {}", client::reason(&error)))?;
    if !response.status().is_success() {
        return Err(format!("{shown}: status {}", response.status()).into());
    }
    let headers = response.headers().clone();
    let body = read_whole(response, MAX_EXPOSITION).await.map_err(|error| format!("{shown}: {error}"))?;
    if is_page(&headers, &String::from_utf8_lossy(&body[..body.len().min(256)])) {
        return Err(format!("{shown}: this is a web page; expected an exposition, mostly at /metrics").into());
    }
    let is_sample = |line: &[u8]| !line.trim_ascii().is_empty() && !line.trim_ascii_start().starts_with(b"#");
    if !body.split(|byte| *byte == b'\n').any(is_sample) {
        return Err(format!("{shown}: the exposition is empty").into());
    }
    Ok(body)
}

/// A URL without its secrets.
fn shown(url: &reqwest::Url) -> String {
    let mut secrets = Secrets::default();
    secrets.add_parts_of_url(url.as_str());
    secrets.hide(url.as_str())
}

#[cfg(test)]
mod tests {
    #[test]
    fn errors_do_not_have_the_password_of_a_url() {
        let shown = super::shown(&"http://u:geheim@h:1/x".parse().unwrap());
        assert!(shown.contains("@h:1/x") && !shown.contains("geheim"), "{shown}");
    }
}
