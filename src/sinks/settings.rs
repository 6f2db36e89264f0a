//! `[sinks]`: where points are pushed.

use std::path::PathBuf;

#[cfg(feature = "cloudwatch")]
use super::cloudwatch;
use super::delivery::Delivery;
use super::form::{Form, SeriesForm};
use super::remote_write;
use super::schedule::Schedule;
use super::{elasticsearch, file, influxdb};
use crate::config::{KeyInfo, Section};
use crate::encode::point::CommonTags;

/// A sink's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// When and how it sends.
    pub delivery: Delivery,
    /// Where it sends to.
    pub target: Target,
}

/// Where a sink sends to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// InfluxDB, or what speaks its line protocol.
    InfluxDb(influxdb::Settings),
    /// Prometheus, or what receives its remote write.
    RemoteWrite(remote_write::Settings),
    /// Elasticsearch or OpenSearch.
    Elasticsearch(elasticsearch::Settings),
    /// A file, or standard output.
    File(file::Settings),
    /// Amazon CloudWatch.
    #[cfg(feature = "cloudwatch")]
    CloudWatch(cloudwatch::Settings),
}

/// A table below a sink's section: its name, what it is for, and its settings.
pub type Table = (&'static str, &'static str, &'static [KeyInfo]);

/// What documents a kind of sink.
#[derive(Debug)]
pub struct KindInfo {
    /// Its name: `[[sinks.NAME]]`.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Its settings.
    pub keys: &'static [KeyInfo],
    /// The tables below, with what they are for and their settings.
    pub tables: &'static [Table],
}

/// All kinds of sinks.
pub const KINDS: &[KindInfo] = &[
    influxdb::INFO,
    remote_write::INFO,
    elasticsearch::INFO,
    file::INFO,
    #[cfg(feature = "cloudwatch")]
    cloudwatch::INFO,
];

impl Settings {
    /// What kind of sink it is, as in `[[sinks.KIND]]`.
    pub fn kind(&self) -> &'static str {
        match &self.target {
            Target::InfluxDb(_) => influxdb::INFO.name,
            Target::RemoteWrite(_) => remote_write::INFO.name,
            Target::Elasticsearch(_) => elasticsearch::INFO.name,
            Target::File(_) => file::INFO.name,
            #[cfg(feature = "cloudwatch")]
            Target::CloudWatch(_) => cloudwatch::INFO.name,
        }
    }

    /// The form of what it sends.
    pub fn form(&self) -> Form {
        match &self.target {
            Target::RemoteWrite(settings) => Form::Series(SeriesForm {
                labels: settings.labels(&self.delivery.schedule.tags),
                rewrite: self.delivery.filter.of_series(),
                has_metadata_always: false,
            }),
            Target::File(settings) if settings.takes_series() => Form::Series(SeriesForm {
                labels: Vec::new(),
                rewrite: self.delivery.filter.of_series(),
                has_metadata_always: true,
            }),
            _ => Form::Points(CommonTags::new(&self.delivery.schedule.tags)),
        }
    }

    /// The files that are read to connect to its server: certificates and keys.
    pub fn files(&self) -> Vec<PathBuf> {
        match &self.target {
            Target::InfluxDb(settings) => settings.http.tls.files(),
            Target::RemoteWrite(settings) => settings.http.tls.files(),
            Target::Elasticsearch(settings) => settings.http.tls.files(),
            Target::File(_) => Vec::new(),
            // Amazon's SDK has files of its own, and reads them again when credentials run out.
            #[cfg(feature = "cloudwatch")]
            Target::CloudWatch(_) => Vec::new(),
        }
    }

    /// Whether its server takes points of any time in any order.
    pub fn takes_any_order(&self) -> bool {
        !matches!(self.target, Target::RemoteWrite(_) | Target::File(_))
    }

    /// The settings of all sinks, those of one kind in the order of the configuration.
    pub fn all(sinks: &mut Section<'_>, common: &Schedule) -> Vec<Settings> {
        let mut all: Vec<Settings> = Vec::new();
        let mut of_kind = |kind: &'static str, target: &dyn Fn(&mut Section<'_>) -> (Target, String)| {
            for mut section in sinks.tables(kind) {
                let (target, name) = target(&mut section);
                let delivery = Delivery::new(&mut section, name, common);
                add(&mut all, &section, Settings { delivery, target });
            }
        };
        of_kind("influxdb", &|section| {
            let (settings, name) = influxdb::Settings::new(section);
            (Target::InfluxDb(settings), name)
        });
        of_kind("remote_write", &|section| {
            let (settings, name) = remote_write::Settings::new(section);
            (Target::RemoteWrite(settings), name)
        });
        of_kind("elasticsearch", &|section| {
            let (settings, name) = elasticsearch::Settings::new(section);
            (Target::Elasticsearch(settings), name)
        });
        of_kind("file", &|section| {
            let (settings, name) = file::Settings::new(section);
            (Target::File(settings), name)
        });
        #[cfg(feature = "cloudwatch")]
        for mut section in sinks.tables("cloudwatch") {
            let (settings, name) = cloudwatch::Settings::new(&mut section);
            let delivery = Delivery::new(&mut section, name, &cloudwatch::usual_schedule(common));
            add(&mut all, &section, Settings { delivery, target: Target::CloudWatch(settings) });
        }
        #[cfg(not(feature = "cloudwatch"))]
        sinks.has_no_cloudwatch();
        all
    }
}

fn add(all: &mut Vec<Settings>, section: &Section<'_>, sink: Settings) {
    let name = &sink.delivery.name;
    if all.iter().any(|other| other.delivery.name == *name) {
        section.wrong("name", format!("expected another name, found a second sink that is called {name:?}"));
    }
    all.push(sink);
}
