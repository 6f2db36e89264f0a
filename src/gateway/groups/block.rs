//! One family of one group, encoded when it is pushed and copied into expositions.
//!
//! A block is one allocation, since there may be hundreds of thousands:
//!
//! ```text
//! metrics: u32 | quoted: u32 | protobuf: u32 | metrics × u64 | text | quoted | protobuf
//! ```
//!
//! `metrics` are the hashes in the index. `text` are the lines without HELP and TYPE, with escaped names. `quoted` are the
//! same lines with names in quotes that text 0.0.4 does not allow; empty if all names are allowed. `protobuf` is the whole
//! family as a delimited message if text cannot represent it; empty otherwise.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use super::size::{self, Size};
use crate::encode::names::{Escaping, escaped_labels};
use crate::encode::parse::model::{Family, Histogram, Kind, Measure, Metric};
use crate::encode::parse::{Format, Limits, parse};
use crate::encode::pushed::{self, is_plain_label_name, is_plain_metric_name};
use crate::gateway::key::Key;

/// Hashes a metric's name and labels.
pub type Hash<'h> = dyn FnMut(&str, &[(&str, &str)]) -> u64 + 'h;

/// An encoded family of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block(Arc<[u8]>);

const HEAD: usize = 12;

impl Block {
    /// Encodes a family of the group `key`.
    pub fn new(family: &Family<'_>, key: &Key, hash: &mut Hash<'_>) -> Block {
        thread_local! {
            /// Blocks are assembled here, so that each costs one allocation of its exact size.
            static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        /// Bytes retained for the next block, at most.
        const MAX_SCRATCH: usize = 1 << 20;
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            push_block(scratch, family, key, hash);
            let block = Block(scratch.as_slice().into());
            scratch.clear();
            scratch.shrink_to(MAX_SCRATCH);
            block
        })
    }

    fn length(&self, index: usize) -> usize {
        let bytes = self.0.get(index * 4..index * 4 + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes) as usize
    }

    /// The hashes of its metrics.
    pub fn hashes(&self) -> impl Iterator<Item = u64> + '_ {
        let bytes = &self.0[HEAD..HEAD + self.length(0) * 8];
        bytes.chunks_exact(8).map(|chunk| chunk.try_into().map_or(0, u64::from_le_bytes))
    }

    /// Whether the other has the same metrics in the same order.
    pub fn has_metrics_of(&self, other: &Block) -> bool {
        let hashes = |block: &Block| HEAD..HEAD + block.length(0) * 8;
        self.0[hashes(self)] == other.0[hashes(other)]
    }

    /// Number of metrics.
    pub fn metrics(&self) -> usize {
        self.length(0)
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        size::arc_bytes(self.0.len())
    }

    /// Bytes of memory and of a snapshot.
    pub fn size(&self) -> Size {
        Size { memory: self.bytes(), snapshot: self.whole().1.len() }
    }

    fn after_hashes(&self) -> &[u8] {
        &self.0[HEAD + self.length(0) * 8..]
    }

    /// Its lines in this escaping; none if it does not store them.
    pub fn text(&self, escaping: Escaping) -> Option<&[u8]> {
        let after = self.after_hashes();
        let text = after.len() - self.length(1) - self.length(2);
        match escaping {
            _ if self.is_plain() => Some(&after[..text]),
            Escaping::Values => Some(&after[..text]),
            Escaping::AllowUtf8 => Some(&after[text..text + self.length(1)]),
            Escaping::Underscores | Escaping::Dots => None,
        }
    }

    /// Whether text 0.0.4 allows all its names.
    pub fn is_plain(&self) -> bool {
        self.length(1) == 0
    }

    /// Its lines with names in quotes where needed.
    pub fn quoted(&self) -> &[u8] {
        self.text(Escaping::AllowUtf8).unwrap_or_default()
    }

    /// The value of its only sample; none if it has several.
    pub fn number(&self) -> Option<f64> {
        let line = std::str::from_utf8(self.quoted()).ok()?.strip_suffix('\n')?;
        // Newlines in label values are escaped.
        let (_, value) = line.rsplit_once(' ').filter(|_| !line.contains('\n'))?;
        value.parse().ok()
    }

    /// Its complete content: whether it is a delimited message, and the message or the lines.
    pub fn whole(&self) -> (bool, &[u8]) {
        let after = self.after_hashes();
        match &after[after.len() - self.length(2)..] {
            [] => (false, self.quoted()),
            protobuf => (true, protobuf),
        }
    }

    /// Decodes the family for `each`.
    pub fn decode(&self, name: &str, kind: Kind, help: &str, each: &mut dyn FnMut(&Family<'_>)) {
        let (is_protobuf, body) = self.whole();
        decode(name, kind, help, is_protobuf, body, each);
    }
}

/// Encodes a block into an empty buffer.
fn push_block(out: &mut Vec<u8>, family: &Family<'_>, key: &Key, hash: &mut Hash<'_>) {
    let hashes = family.metrics.len();
    let text = HEAD + hashes * 8;
    out.resize(text, 0);
    let mut is_plain = is_plain_metric_name(&family.name);
    for (index, metric) in family.metrics.iter().enumerate() {
        let labels = shown_labels(metric, key);
        let at = HEAD + index * 8;
        out[at..at + 8].copy_from_slice(&hash(&family.name, &labels).to_le_bytes());
        match labels.iter().all(|(name, _)| is_plain_label_name(name)) {
            true => pushed::push_metric(out, &family.name, &labels, &metric.measure, Escaping::Values),
            false => {
                is_plain = false;
                let labels = escaped_labels(labels.into_iter(), Escaping::Values);
                let labels: Vec<_> = labels.iter().map(|(name, value)| (name.as_str(), *value)).collect();
                pushed::push_metric(out, &family.name, &labels, &metric.measure, Escaping::Values);
            }
        }
    }
    let quoted = out.len();
    if !is_plain {
        for metric in &family.metrics {
            let labels = shown_labels(metric, key);
            pushed::push_metric(out, &family.name, &labels, &metric.measure, Escaping::AllowUtf8);
        }
    }
    let protobuf = out.len();
    if family.metrics.iter().any(|metric| !fits_text(family.kind, metric)) {
        let mut metrics = Vec::new();
        for metric in &family.metrics {
            pushed::push_metric_with(&mut metrics, family.kind, metric, shown_labels(metric, key).into_iter());
        }
        pushed::push_family_message(out, &family.name, family.kind, &family.help, &metrics);
    }
    for (index, length) in [hashes, protobuf - quoted, out.len() - protobuf].into_iter().enumerate() {
        out[index * 4..index * 4 + 4].copy_from_slice(&(length as u32).to_le_bytes());
    }
}

/// Decodes a family whose [`Block::whole`] was `body`, for `each`.
pub fn decode(name: &str, kind: Kind, help: &str, is_protobuf: bool, body: &[u8], each: &mut dyn FnMut(&Family<'_>)) {
    // The gateway encoded it after checking it against the configured limits.
    let limits = Limits { series: usize::MAX, labels: usize::MAX, name_bytes: usize::MAX, value_bytes: usize::MAX };
    let mut text = Vec::new();
    let (format, body) = if is_protobuf {
        (Format::Protobuf, body)
    } else {
        pushed::push_header(&mut text, name, kind, help, Escaping::AllowUtf8);
        text.extend_from_slice(body);
        (Format::Text, text.as_slice())
    };
    let parsed = parse(format, body, &limits).unwrap_or_default();
    parsed.families.iter().for_each(each);
}

/// The labels of a metric in the exposition, sorted: its own, overridden by the group's. Without an `instance`, an empty one
/// keeps Prometheus from adding the gateway's. Other empty labels are omitted.
pub fn shown_labels<'l>(metric: &'l Metric<'_>, key: &'l Key) -> Vec<(&'l str, &'l str)> {
    /// Labels that a group usually adds: the job, the instance, and one or two more.
    const TYPICAL: usize = 4;
    let own = metric.labels.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
    let is_own = |(name, value): &(&str, &str)| !value.is_empty() && key.get(name).is_empty() && *name != "job";
    let mut labels: Vec<(&str, &str)> = Vec::with_capacity(metric.labels.len() + TYPICAL);
    labels.extend(own.filter(is_own));
    labels.extend(key.labels());
    if !labels.iter().any(|(name, _)| *name == "instance") {
        labels.push(("instance", ""));
    }
    labels.sort_unstable();
    labels
}

/// Whether text 0.0.4 represents a metric completely.
fn fits_text(kind: Kind, metric: &Metric<'_>) -> bool {
    let is_classic = !matches!(&metric.measure, Measure::Histogram(histogram) if is_native(histogram));
    is_classic && metric.created.is_none() && kind != Kind::GaugeHistogram
}

fn is_native(histogram: &Histogram) -> bool {
    histogram.native.is_some()
}

/// A family of one gauge without labels, for a group's markers.
pub fn gauge<'a>(name: &'a str, help: &'a str, value: f64) -> Family<'a> {
    let metric = Metric { labels: Vec::new(), measure: Measure::Number(value), timestamp: None, created: None };
    Family {
        name: Cow::Borrowed(name),
        kind: Kind::Gauge,
        help: Cow::Borrowed(help),
        unit: Cow::Borrowed(""),
        metrics: vec![metric],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::from_path("job/backup/host/a").unwrap()
    }

    fn blocks(body: &str) -> Vec<(String, Kind, Block)> {
        let parsed = parse(Format::Text, body.as_bytes(), &Limits::default()).unwrap();
        let mut next = 0;
        let mut hash = |_: &str, _: &[(&str, &str)]| {
            next += 1;
            next
        };
        parsed.families.iter().map(|f| (f.name.to_string(), f.kind, Block::new(f, &key(), &mut hash))).collect()
    }

    fn text(block: &Block, escaping: Escaping) -> &str {
        std::str::from_utf8(block.text(escaping).unwrap()).unwrap()
    }

    #[test]
    fn a_groups_labels_are_put_over_a_metrics_own() {
        let made = blocks("a{job=\"evil\",z=\"1\",empty=\"\"} 1\na{z=\"2\",instance=\"i\"} 2\n");
        let (_, _, block) = &made[0];
        assert_eq!(
            text(block, Escaping::AllowUtf8),
            "a{host=\"a\",instance=\"\",job=\"backup\",z=\"1\"} 1\na{host=\"a\",instance=\"i\",job=\"backup\",z=\"2\"} 2\n"
        );
        assert_eq!(block.hashes().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(block.metrics(), 2);
    }

    #[test]
    fn names_that_do_not_fit_are_there_in_both_ways() {
        let made = blocks("{\"a.b\"} 1\n");
        let (_, _, block) = &made[0];
        assert!(text(block, Escaping::AllowUtf8).starts_with("{\"a.b\",host="));
        assert!(text(block, Escaping::Values).starts_with("U__a_2e_b{host="));
    }

    #[test]
    fn the_only_sample_has_a_number() {
        let number = |body: &str| blocks(body)[0].2.number();
        let numbers = ["a 1\n", "a{b=\"c\\n d\"} 2.5e-7\n", "{\"a.b\"} -3\n", "a +Inf\n"].map(number);
        assert_eq!(numbers, [Some(1.0), Some(2.5e-7), Some(-3.0), Some(f64::INFINITY)]);
        assert!(number("a NaN\n").unwrap().is_nan());
        assert_eq!(number("a{b=\"1\"} 1\na{b=\"2\"} 1\n"), None);
        assert_eq!(number("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 2\nh_count 1\n"), None);
    }

    #[test]
    fn what_text_cannot_hold_is_kept_beside_it() {
        let body = "# TYPE a counter\na_total 1\na_created 2\n# EOF\n";
        let parsed = parse(Format::OpenMetrics, body.as_bytes(), &Limits::default()).unwrap();
        let block = Block::new(&parsed.families[0], &key(), &mut |_, _| 7);
        let mut created = None;
        block.decode("a_total", Kind::Counter, "", &mut |family| created = family.metrics[0].created);
        assert_eq!(created, Some(2.0));
        assert!(text(&block, Escaping::AllowUtf8).starts_with("a_total{"));
    }

    #[test]
    fn a_block_reads_back() {
        for (name, kind, block) in blocks("# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 2\nh_count 3\n") {
            let mut read = String::new();
            block.decode(&name, kind, "help", &mut |family| {
                read = format!("{} {:?}", family.help, family.metrics[0].measure)
            });
            assert!(
                read.starts_with("help Histogram(Histogram { count: 3.0, sum: 2.0, buckets: [(1.0, 1.0), (inf, 3.0)]"),
                "{read}"
            );
        }
    }
}
