//! The families of CloudWatch metrics.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::id::Seconds;
use super::log::Datum;
use super::metric;
use super::names::{self, Naming};
use super::schedule::now;
use super::snapshot::{Published, Sample};
use crate::encode::FamilyWriter;
use crate::encode::Timestamp;
use crate::encode::family::Kind;

/// Where samples of a family come from.
#[derive(Default)]
struct Sources<'a> {
    /// What targets show.
    shown: Vec<(&'a Published, &'a [Sample])>,
    /// Data points to write instead of those of metrics that show all.
    newer: Vec<&'a Datum>,
}

/// Writes the samples of all targets, and their resources. Targets can share families. For a sink that is sent each
/// sample once, `newer` are the data points since its previous reading.
pub(super) fn write(targets: &[Arc<Published>], newer: Option<&[Arc<[Datum]>]>, out: &mut FamilyWriter<'_>) {
    let snapshots: Vec<_> = targets.iter().map(|target| (target, target.snapshot())).collect();
    let mut families: BTreeMap<&str, Sources<'_>> = BTreeMap::new();
    for (target, snapshot) in &snapshots {
        for (family, samples) in &snapshot.families {
            families.entry(family).or_default().shown.push((target, samples));
        }
    }
    let newer_datums = newer.into_iter().flatten().flat_map(|datums| datums.iter());
    for datum in newer_datums.filter(|datum| datum.metric.terms.all_data_points) {
        let family = &datum.metric.names[datum.statistic].family;
        families.entry(family).or_default().newer.push(datum);
    }
    for (family, sources) in families {
        sources.write(family, newer.is_none(), out);
    }
    write_resources(targets, out);
}

impl Sources<'_> {
    /// Writes the samples of a family. `shows_all`: whether metrics that show all data points do so.
    fn write(mut self, family: &str, shows_all: bool, out: &mut FamilyWriter<'_>) {
        let shown = self.shown.iter().flat_map(|(_, samples)| samples.iter());
        let mut names = shown.map(|sample| (&sample.metric, sample.statistic));
        let first = names.next().or_else(|| self.newer.first().map(|datum| (&datum.metric, datum.statistic)));
        let Some((metric, statistic)) = first else { return };
        let mut out = out.free_family(family, Kind::Gauge, &metric.names[statistic].help).with_times();
        let (now, time) = (now(), |at: Seconds| Timestamp::from_seconds(at as u64));
        for (target, samples) in self.shown {
            for sample in samples.iter().filter(|sample| sample.until > now) {
                let is_of_all = sample.metric.terms.all_data_points;
                let has_timestamp = is_of_all || target.job.labels.timestamps;
                let at = sample.at.filter(|_| has_timestamp).and_then(time);
                if (at.is_some() || !has_timestamp) && (shows_all || !is_of_all) {
                    out.sample(&sample.metric.labels, sample.value, at);
                }
            }
        }
        // The sort is stable: the last value of a data point is the corrected one.
        self.newer.sort_by(|a, b| place(a).cmp(&place(b)));
        for same in self.newer.chunk_by(|a, b| place(a) == place(b)) {
            let Some(datum) = same.last() else { continue };
            if let Some(at) = time(datum.at) {
                out.sample(&datum.metric.labels, datum.value, Some(at));
            }
        }
    }
}

/// What distinguishes the samples of a family.
fn place(datum: &Datum) -> (&[(String, String)], Seconds) {
    (&datum.metric.labels, datum.at)
}

fn write_resources(targets: &[Arc<Published>], out: &mut FamilyWriter<'_>) {
    let mut families: BTreeMap<String, Vec<&Published>> = BTreeMap::new();
    for target in targets {
        let family = match target.job.labels.naming {
            Naming::Yace => names::yace_info(&target.job.namespace),
            Naming::CloudwatchExporter => "aws_resource_info".to_owned(),
        };
        families.entry(family).or_default().push(target);
    }
    for (family, targets) in families {
        let mut out = out.free_family(&family, Kind::Gauge, "A resource of AWS, with its tags.");
        let mut written = HashSet::new();
        for published in targets {
            let (target, resources) = (published.target(), published.resources());
            // The two exporters differ in this as well.
            let value = match published.job.labels.naming {
                Naming::Yace => 0.0,
                Naming::CloudwatchExporter => 1.0,
            };
            for resource in resources.all() {
                let labels = metric::info_labels(&published.job, &target, resource);
                // Jobs for the same namespace have the same resources.
                if !written.contains(&labels) {
                    out.sample(&labels, value, None);
                    written.insert(labels);
                }
            }
        }
    }
}
