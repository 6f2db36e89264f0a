//! Series of Prometheus's remote write 1.0: `prometheus.WriteRequest` of prompb/remote.proto.
//!
//! A request is its `timeseries` and `metadata` one after the other, so that each series and each piece of metadata is
//! encoded once, alone, and a request is put together of those that wait.

use super::family::{FamilyEncoder, Kind, Value};
use super::point::Lines;
use super::protobuf::{FIXED64, VARINT, key, push_bytes, push_varint};
use crate::host::Timestamp;

mod field {
    pub(super) const TIMESERIES: u8 = 1;
    pub(super) const METADATA: u8 = 3;
    pub(super) const SERIES_LABEL: u8 = 1;
    pub(super) const SERIES_SAMPLE: u8 = 2;
    pub(super) const LABEL_NAME: u8 = 1;
    pub(super) const LABEL_VALUE: u8 = 2;
    pub(super) const SAMPLE_VALUE: u8 = 1;
    pub(super) const SAMPLE_TIMESTAMP: u8 = 2;
    pub(super) const METADATA_TYPE: u8 = 1;
    pub(super) const METADATA_NAME: u8 = 2;
    pub(super) const METADATA_HELP: u8 = 4;
}

/// What is left of a series: its name and labels, or nothing.
pub type Rewrite = dyn Fn(&str, &[(&str, &str)]) -> Option<(String, Vec<(String, String)>)> + Send + Sync;

/// Writes families as series of one moment.
pub struct SeriesEncoder<'a> {
    lines: &'a mut Lines,
    /// Labels of every series, which one of the sample's own of the same name wins over.
    external: &'a [(String, String)],
    rewrite: Option<&'a Rewrite>,
    time: Timestamp,
    has_metadata: bool,
    name: String,
}

impl<'a> SeriesEncoder<'a> {
    /// An encoder that appends to `lines`; `has_metadata` says whether families' types and help texts go with them.
    pub fn new(
        lines: &'a mut Lines,
        external: &'a [(String, String)],
        rewrite: Option<&'a Rewrite>,
        time: Timestamp,
        has_metadata: bool,
    ) -> Self {
        SeriesEncoder { lines, external, rewrite, time, has_metadata, name: String::new() }
    }

    /// Writes a series with one sample.
    pub fn series<'l>(
        &mut self,
        name: &str,
        labels: impl Iterator<Item = (&'l str, &'l str)>,
        value: f64,
        at: Option<Timestamp>,
    ) {
        // A label without a value is none.
        let mut all: Vec<(&str, &str)> = labels.filter(|(_, value)| !value.is_empty()).collect();
        for (name, value) in self.external {
            if !value.is_empty() && !all.iter().any(|(known, _)| known == name) {
                all.push((name, value));
            }
        }
        match self.rewrite {
            None => self.write(name, all, value, at),
            Some(rewrite) => {
                if let Some((name, labels)) = rewrite(name, &all) {
                    let labels = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                    self.write(&name, labels, value, at);
                }
            }
        }
    }

    fn write<'l>(&mut self, name: &'l str, mut all: Vec<(&'l str, &'l str)>, value: f64, at: Option<Timestamp>) {
        all.push(("__name__", name));
        all.sort_unstable();
        let mut series = Vec::with_capacity(256);
        let mut message = Vec::with_capacity(64);
        for (name, value) in all {
            message.clear();
            push_bytes(&mut message, field::LABEL_NAME, name.as_bytes());
            push_bytes(&mut message, field::LABEL_VALUE, value.as_bytes());
            push_bytes(&mut series, field::SERIES_LABEL, &message);
        }
        message.clear();
        message.push(key(field::SAMPLE_VALUE, FIXED64));
        message.extend_from_slice(&value.to_le_bytes());
        message.push(key(field::SAMPLE_TIMESTAMP, VARINT));
        push_varint(&mut message, at.unwrap_or(self.time).milliseconds() as u64);
        push_bytes(&mut series, field::SERIES_SAMPLE, &message);
        self.push(field::TIMESERIES, &series);
    }

    fn push(&mut self, field: u8, message: &[u8]) {
        let mut whole = Vec::with_capacity(message.len() + 6);
        push_bytes(&mut whole, field, message);
        self.lines.push(&whole);
    }
}

impl FamilyEncoder for SeriesEncoder<'_> {
    fn begin(&mut self, name: &str, kind: Kind, help: &str) {
        name.clone_into(&mut self.name);
        // Under another name it would be another family's.
        if !self.has_metadata || self.rewrite.is_some() {
            return;
        }
        let mut metadata = Vec::with_capacity(128);
        metadata.push(key(field::METADATA_TYPE, VARINT));
        metadata.push(match kind {
            Kind::Untyped => 0,
            Kind::Counter => 1,
            Kind::Gauge => 2,
        });
        push_bytes(&mut metadata, field::METADATA_NAME, name.as_bytes());
        push_bytes(&mut metadata, field::METADATA_HELP, help.as_bytes());
        self.push(field::METADATA, &metadata);
    }

    fn sample(&mut self, names: &[&str], values: &[&str], value: Value, at: Option<Timestamp>) {
        let name = std::mem::take(&mut self.name);
        self.series(&name, names.iter().copied().zip(values.iter().copied()), value.as_f64(), at);
        self.name = name;
    }

    fn end(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{Family, FamilyWriter};

    #[derive(prost::Message)]
    struct WriteRequest {
        #[prost(message, repeated, tag = "1")]
        timeseries: Vec<TimeSeries>,
        #[prost(message, repeated, tag = "3")]
        metadata: Vec<Metadata>,
    }

    #[derive(prost::Message)]
    struct TimeSeries {
        #[prost(message, repeated, tag = "1")]
        labels: Vec<Label>,
        #[prost(message, repeated, tag = "2")]
        samples: Vec<Sample>,
    }

    #[derive(prost::Message)]
    struct Label {
        #[prost(string, tag = "1")]
        name: String,
        #[prost(string, tag = "2")]
        value: String,
    }

    #[derive(prost::Message)]
    struct Sample {
        #[prost(double, tag = "1")]
        value: f64,
        #[prost(int64, tag = "2")]
        timestamp: i64,
    }

    #[derive(prost::Message)]
    struct Metadata {
        #[prost(int32, tag = "1")]
        kind: i32,
        #[prost(string, tag = "2")]
        name: String,
        #[prost(string, tag = "4")]
        help: String,
    }

    const LOAD: Family<0> = Family::gauge("node_load1", "Load.", []);
    const CPU: Family<2> = Family::counter("node_cpu_seconds_total", "Seconds.", ["cpu", "mode"]);

    #[test]
    fn what_waits_makes_a_request_in_any_number() {
        let external = [("instance".to_owned(), "web-1".to_owned()), ("cpu".to_owned(), "none".to_owned())];
        let mut lines = Lines::default();
        let mut encoder = SeriesEncoder::new(&mut lines, &external, None, Timestamp(1_500_000_000), true);
        let mut out = FamilyWriter::new(&mut encoder);
        out.value(&LOAD, 0.5);
        out.family(&CPU).sample(["0", "idle"], 7u64);
        drop(out);
        assert_eq!(lines.count(), 4, "two series, and two of metadata");
        let request: WriteRequest = prost::Message::decode(lines.bytes()).unwrap();
        let labels = |series: &TimeSeries| -> Vec<(String, String)> {
            series.labels.iter().map(|label| (label.name.clone(), label.value.clone())).collect()
        };
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(
            labels(&request.timeseries[0]),
            pairs(&[("__name__", "node_load1"), ("cpu", "none"), ("instance", "web-1")])
        );
        assert_eq!(
            labels(&request.timeseries[1]),
            pairs(&[("__name__", "node_cpu_seconds_total"), ("cpu", "0"), ("instance", "web-1"), ("mode", "idle")])
        );
        let samples: Vec<(f64, i64)> =
            request.timeseries.iter().map(|series| (series.samples[0].value, series.samples[0].timestamp)).collect();
        assert_eq!(samples, [(0.5, 1500), (7.0, 1500)]);
        let metadata: Vec<(i32, &str, &str)> =
            request.metadata.iter().map(|m| (m.kind, m.name.as_str(), m.help.as_str())).collect();
        assert_eq!(metadata, [(2, "node_load1", "Load."), (1, "node_cpu_seconds_total", "Seconds.")]);
    }
}
