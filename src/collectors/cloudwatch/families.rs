//! What Prometheus sees.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::metric;
use super::names::{self, Naming};
use super::schedule::now;
use super::snapshot::{Published, Sample};
use crate::encode::FamilyWriter;
use crate::encode::family::Kind;
use crate::host::Timestamp;

/// Writes the samples of all places, and the resources. Several places have series of the same families.
pub(super) fn write(places: &[Arc<Published>], out: &mut FamilyWriter<'_>) {
    let snapshots: Vec<_> = places.iter().map(|place| (place, place.snapshot())).collect();
    let mut families: BTreeMap<&str, Vec<(&Published, &[Sample])>> = BTreeMap::new();
    for (place, snapshot) in &snapshots {
        for (family, samples) in &snapshot.families {
            families.entry(family).or_default().push((place, samples));
        }
    }
    let now = now();
    for (family, parts) in families {
        let Some(first) = parts.iter().find_map(|(_, samples)| samples.first()) else { continue };
        let help = &first.metric.names[first.statistic].help;
        let mut out = out.free_family(family, Kind::Gauge, help);
        for (place, samples) in parts {
            let has_timestamps = place.job.labels.timestamps;
            for sample in samples.iter().filter(|sample| sample.until > now) {
                let at = sample.at.filter(|_| has_timestamps).and_then(|at| Timestamp::from_seconds(at as u64));
                if at.is_some() || !has_timestamps {
                    out.sample(&sample.metric.labels, sample.value, at);
                }
            }
        }
    }
    write_resources(places, out);
}

fn write_resources(places: &[Arc<Published>], out: &mut FamilyWriter<'_>) {
    let mut families: BTreeMap<String, Vec<&Published>> = BTreeMap::new();
    for place in places {
        let family = match place.job.labels.naming {
            Naming::Yace => names::yace_info(&place.job.namespace),
            Naming::CloudwatchExporter => "aws_resource_info".to_owned(),
        };
        families.entry(family).or_default().push(place);
    }
    for (family, places) in families {
        let mut out = out.free_family(&family, Kind::Gauge, "A resource of AWS, with its tags.");
        let mut written = HashSet::new();
        for published in places {
            let (place, resources) = (published.place(), published.resources());
            // The exporters differ in this too.
            let value = match published.job.labels.naming {
                Naming::Yace => 0.0,
                Naming::CloudwatchExporter => 1.0,
            };
            for resource in resources.all() {
                let labels = metric::info_labels(&published.job, &place, resource);
                // Several jobs of one namespace know the same resources.
                if !written.contains(&labels) {
                    out.sample(&labels, value, None);
                    written.insert(labels);
                }
            }
        }
    }
}
