//! The samples of one reading that the page shows.

use std::collections::BTreeMap;

use crate::collectors::readers::{CollectorReading, write_families};
use crate::encode::family::FamilyEncoder;
use crate::encode::{FamilyWriter, Kind, Timestamp, Value};

/// The families that the page shows.
const SHOWN: [&str; 23] = [
    "container_cpu_usage_seconds_total",
    "container_memory_working_set_bytes",
    "node_boot_time_seconds",
    "node_cpu_seconds_total",
    "node_disk_io_time_seconds_total",
    "node_disk_read_bytes_total",
    "node_disk_written_bytes_total",
    "node_filesystem_avail_bytes",
    "node_filesystem_free_bytes",
    "node_filesystem_readonly",
    "node_filesystem_size_bytes",
    "node_load1",
    "node_load15",
    "node_load5",
    "node_memory_Cached_bytes",
    "node_memory_MemAvailable_bytes",
    "node_memory_MemTotal_bytes",
    "node_memory_SwapFree_bytes",
    "node_memory_SwapTotal_bytes",
    "node_network_receive_bytes_total",
    "node_network_transmit_bytes_total",
    "node_os_info",
    "node_uname_info",
];

/// At most as many samples of one family are shown.
const MAX_SAMPLES: usize = 50_000;

/// The samples by family.
#[derive(Debug, Default)]
pub(super) struct Samples {
    families: BTreeMap<&'static str, Vec<Sample>>,
    open: Option<&'static str>,
}

/// One sample.
#[derive(Debug)]
pub(super) struct Sample {
    labels: Vec<(String, String)>,
    value: f64,
}

impl Sample {
    /// The value of a label; empty without it.
    pub(super) fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| label == name).map_or("", |(_, value)| value)
    }
}

impl Samples {
    /// The samples of `readings`.
    pub(super) fn new(readings: &[CollectorReading]) -> Samples {
        let mut samples = Samples::default();
        write_families(readings, None, &mut FamilyWriter::new(&mut samples));
        samples
    }

    /// The first sample of a family.
    pub(super) fn first(&self, family: &str) -> Option<&Sample> {
        self.families.get(family)?.first()
    }

    /// The value of a family with one sample.
    pub(super) fn value(&self, family: &str) -> Option<f64> {
        self.first(family).map(|sample| sample.value)
    }

    /// The sums of these families, in columns, by the key of their samples. Samples without a key are left out.
    pub(super) fn table<const COLUMNS: usize>(
        &self,
        families: [&str; COLUMNS],
        key: impl Fn(&Sample) -> Option<String>,
    ) -> BTreeMap<String, [f64; COLUMNS]> {
        let mut table = BTreeMap::new();
        for (column, family) in families.iter().enumerate() {
            for sample in self.families.get(family).into_iter().flatten() {
                if let Some(key) = key(sample) {
                    table.entry(key).or_insert([0.0; COLUMNS])[column] += sample.value;
                }
            }
        }
        table
    }
}

impl FamilyEncoder for Samples {
    fn begin(&mut self, name: &str, _kind: Kind, _help: &str) {
        self.open = SHOWN.binary_search(&name).ok().map(|index| SHOWN[index]);
    }

    fn part(&mut self, _suffix: &'static str) {}

    fn sample(&mut self, names: &[&str], values: &[&str], value: Value, _at: Option<Timestamp>) {
        let Some(open) = self.open else { return };
        let samples = self.families.entry(open).or_default();
        if samples.len() < MAX_SAMPLES {
            let labels = names.iter().zip(values).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            samples.push(Sample { labels: labels.collect(), value: value.as_f64() });
        }
    }

    fn end(&mut self) {
        self.open = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shown_families_are_found() {
        assert!(SHOWN.is_sorted());
        let mut samples = Samples::default();
        let mut sample = |family: &str, device: &str, value: u64| {
            samples.begin(family, Kind::Counter, "");
            samples.sample(&["device"], &[device], Value::Unsigned(value), None);
            samples.end();
        };
        sample("node_disk_read_bytes_total", "sda", 5);
        sample("node_disk_written_bytes_total", "sda", 7);
        sample("node_disk_written_bytes_total", "", 7);
        sample("node_disk_writes_completed_total", "sda", 9);
        let key = |sample: &Sample| Some(sample.label("device").to_owned()).filter(|device| !device.is_empty());
        let table = samples.table(["node_disk_read_bytes_total", "node_disk_written_bytes_total"], key);
        assert_eq!(table, BTreeMap::from([("sda".to_owned(), [5.0, 7.0])]));
        assert_eq!(samples.families.len(), 2);
    }
}
