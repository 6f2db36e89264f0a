//! One family of one group, ready to be copied into an exposition.
//!
//! A block is one allocation, for there may be hundreds of thousands:
//!
//! ```text
//! metrics: u32 | quoted: u32 | protobuf: u32 | metrics × u64 | text | quoted | protobuf
//! ```
//!
//! `metrics` are the hashes by which the index knows them. `text` are the lines without head. `quoted` are the same with
//! names that text 0.0.4 has no room for in quotes; empty where there are none. `protobuf` is the whole family as a
//! delimited message, where text cannot hold all of it; empty otherwise.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use super::key::Key;
use crate::encode::parse::model::{Family, Histogram, Kind, Measure, Metric};
use crate::encode::parse::{Format, Limits, parse};
use crate::encode::pushed::{self, Names, is_plain_label_name, is_plain_metric_name};

/// Makes the hash of a metric's name and labels.
pub type Hash<'h> = dyn FnMut(&str, &[(&str, &str)]) -> u64 + 'h;

/// A family of a group, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block(Arc<[u8]>);

const HEAD: usize = 12;

impl Block {
    /// The family as it is shown in the group.
    pub fn new(family: &Family<'_>, key: &Key, hash: &mut Hash<'_>) -> Block {
        thread_local! {
            /// Blocks are put together here, so that each costs one allocation, of its own size.
            static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        /// What is left for the next block, at the most.
        const KEPT: usize = 1 << 20;
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            push_block(scratch, family, key, hash);
            let block = Block(scratch.as_slice().into());
            scratch.clear();
            scratch.shrink_to(KEPT);
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

    /// How many metrics it has.
    pub fn metrics(&self) -> usize {
        self.length(0)
    }

    /// What it takes of memory.
    pub fn bytes(&self) -> usize {
        super::room::shared(self.0.len())
    }

    fn after_hashes(&self) -> &[u8] {
        &self.0[HEAD + self.length(0) * 8..]
    }

    /// Its lines.
    pub fn text(&self, names: Names) -> &[u8] {
        let after = self.after_hashes();
        let text = after.len() - self.length(1) - self.length(2);
        match names {
            Names::Quoted if self.length(1) > 0 => &after[text..text + self.length(1)],
            _ => &after[..text],
        }
    }

    /// All that it says: a delimited message, if text cannot hold all of it, or else lines.
    pub fn whole(&self) -> (bool, &[u8]) {
        let after = self.after_hashes();
        match &after[after.len() - self.length(2)..] {
            [] => (false, self.text(Names::Quoted)),
            protobuf => (true, protobuf),
        }
    }

    /// What it says, to be written in another way: `read` is called with the family.
    pub fn read(&self, name: &str, kind: Kind, help: &str, each: &mut dyn FnMut(&Family<'_>)) {
        let (is_protobuf, body) = self.whole();
        read(name, kind, help, is_protobuf, body, each);
    }
}

/// Appends a block to nothing.
fn push_block(out: &mut Vec<u8>, family: &Family<'_>, key: &Key, hash: &mut Hash<'_>) {
    let hashes = family.metrics.len();
    let text = HEAD + hashes * 8;
    out.resize(text, 0);
    let mut is_plain = is_plain_metric_name(&family.name);
    for (index, metric) in family.metrics.iter().enumerate() {
        let labels = shown_labels(metric, key);
        is_plain &= labels.iter().all(|(name, _)| is_plain_label_name(name));
        let at = HEAD + index * 8;
        out[at..at + 8].copy_from_slice(&hash(&family.name, &labels).to_le_bytes());
        pushed::push_metric(out, &family.name, &labels, &metric.measure, Names::Escaped);
    }
    let quoted = out.len();
    if !is_plain {
        for metric in &family.metrics {
            let labels = shown_labels(metric, key);
            pushed::push_metric(out, &family.name, &labels, &metric.measure, Names::Quoted);
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

/// Calls `each` with the family whose [`Block::whole`] was `body`.
pub fn read(name: &str, kind: Kind, help: &str, is_protobuf: bool, body: &[u8], each: &mut dyn FnMut(&Family<'_>)) {
    // It was written by us: it is sound, and within limits that were held before.
    let limits = Limits { series: usize::MAX, labels: usize::MAX, name_bytes: usize::MAX, value_bytes: usize::MAX };
    let mut text = Vec::new();
    let (format, body) = if is_protobuf {
        (Format::Protobuf, body)
    } else {
        pushed::push_head(&mut text, name, kind, help, Names::Quoted);
        text.extend_from_slice(body);
        (Format::Text, text.as_slice())
    };
    let parsed = parse(format, body, &limits).unwrap_or_default();
    parsed.families.iter().for_each(each);
}

/// The labels that a metric is shown with: its own, the group's over them, and an empty `instance` where there is none,
/// which keeps Prometheus from putting the gateway's own there. Others that are empty are left out.
pub fn shown_labels<'l>(metric: &'l Metric<'_>, key: &'l Key) -> Vec<(&'l str, &'l str)> {
    /// Labels that groups add, as a rule: the job, the instance, and one or two more.
    const USUAL: usize = 4;
    let own = metric.labels.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
    let is_own = |(name, value): &(&str, &str)| !value.is_empty() && key.get(name).is_empty() && *name != "job";
    let mut labels: Vec<(&str, &str)> = Vec::with_capacity(metric.labels.len() + USUAL);
    labels.extend(own.filter(is_own));
    labels.extend(key.labels());
    if !labels.iter().any(|(name, _)| *name == "instance") {
        labels.push(("instance", ""));
    }
    labels.sort_unstable();
    labels
}

/// Whether text 0.0.4 can say all of a metric.
fn fits_text(kind: Kind, metric: &Metric<'_>) -> bool {
    let is_classic = !matches!(&metric.measure, Measure::Histogram(histogram) if is_native(histogram));
    is_classic && metric.created.is_none() && kind != Kind::GaugeHistogram
}

fn is_native(histogram: &Histogram) -> bool {
    histogram.native.is_some()
}

/// A family of one gauge without labels of its own: the group's markers.
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

    fn text(block: &Block, names: Names) -> &str {
        std::str::from_utf8(block.text(names)).unwrap()
    }

    #[test]
    fn a_groups_labels_are_put_over_a_metrics_own() {
        let made = blocks("a{job=\"evil\",z=\"1\",empty=\"\"} 1\na{z=\"2\",instance=\"i\"} 2\n");
        let (_, _, block) = &made[0];
        assert_eq!(
            text(block, Names::Quoted),
            "a{host=\"a\",instance=\"\",job=\"backup\",z=\"1\"} 1\na{host=\"a\",instance=\"i\",job=\"backup\",z=\"2\"} 2\n"
        );
        assert_eq!(block.hashes().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(block.metrics(), 2);
    }

    #[test]
    fn names_that_do_not_fit_are_there_in_both_ways() {
        let made = blocks("{\"a.b\"} 1\n");
        let (_, _, block) = &made[0];
        assert!(text(block, Names::Quoted).starts_with("{\"a.b\",host="));
        assert!(text(block, Names::Escaped).starts_with("U__a_2e_b{host="));
    }

    #[test]
    fn what_text_cannot_hold_is_kept_beside_it() {
        let body = "# TYPE a counter\na_total 1\na_created 2\n# EOF\n";
        let parsed = parse(Format::OpenMetrics, body.as_bytes(), &Limits::default()).unwrap();
        let block = Block::new(&parsed.families[0], &key(), &mut |_, _| 7);
        let mut created = None;
        block.read("a_total", Kind::Counter, "", &mut |family| created = family.metrics[0].created);
        assert_eq!(created, Some(2.0));
        assert!(text(&block, Names::Quoted).starts_with("a_total{"));
    }

    #[test]
    fn a_block_reads_back() {
        for (name, kind, block) in blocks("# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 2\nh_count 3\n") {
            let mut read = String::new();
            block.read(&name, kind, "help", &mut |family| {
                read = format!("{} {:?}", family.help, family.metrics[0].measure)
            });
            assert!(
                read.starts_with("help Histogram(Histogram { count: 3.0, sum: 2.0, buckets: [(1.0, 1.0), (inf, 3.0)]"),
                "{read}"
            );
        }
    }
}
