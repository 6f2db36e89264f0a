//! Which metrics go into which request, so that the fewest requests ask for all of them and none is billed twice.

use std::sync::Arc;

use super::budget::STATISTICS_PER_METRIC;
use super::id::Id;
use super::metric::Metric;

/// Queries in a request, at the most: one for each statistic of each metric.
const MAX_QUERIES: usize = 500;
/// Bytes of a request, at the most. <https://github.com/influxdata/telegraf/issues/10842>
const MAX_BYTES: usize = 614_400;
/// Datums in an answer, at the most.
const MAX_DATUMS: usize = 100_800;

/// What makes requests of one job alike.
#[derive(Clone, Debug)]
pub(super) struct Shape<'j> {
    /// The namespace.
    pub(super) namespace: &'j str,
    /// The statistics of each metric.
    pub(super) statistics: &'j [String],
    /// How many periods are asked for.
    pub(super) periods: usize,
    /// How many metrics, as they are billed, a request may ask for.
    pub(super) most_billed: usize,
}

impl Shape<'_> {
    /// As how many a metric is billed.
    pub(super) fn billed(&self) -> usize {
        self.statistics.len().div_ceil(STATISTICS_PER_METRIC)
    }

    /// Parts `metrics` into requests, in their order. All statistics of a metric are in one request.
    pub(super) fn split<'m>(&self, metrics: &'m [Arc<Metric>]) -> Vec<&'m [Arc<Metric>]> {
        let by_datums = MAX_DATUMS / self.periods.max(1) / self.statistics.len().max(1);
        let by_queries = MAX_QUERIES / self.statistics.len().max(1);
        let most = by_queries.min(by_datums).min(self.most_billed / self.billed().max(1)).max(1);
        let mut batches = Vec::new();
        let (mut start, mut bytes) = (0, REQUEST_BYTES);
        for (index, metric) in metrics.iter().enumerate() {
            let size = self.bytes_of(&metric.id);
            if index > start && (index - start == most || bytes + size > MAX_BYTES) {
                batches.push(&metrics[start..index]);
                (start, bytes) = (index, REQUEST_BYTES);
            }
            bytes += size;
        }
        if start < metrics.len() {
            batches.push(&metrics[start..]);
        }
        batches
    }

    /// How many bytes the queries of a metric take in CBOR, at the most.
    fn bytes_of(&self, metric: &Id) -> usize {
        let dimensions: usize =
            metric.dimensions.iter().map(|(name, value)| DIMENSION_BYTES + name.len() + value.len()).sum();
        let of_metric = QUERY_BYTES + self.namespace.len() + metric.name.len() + dimensions;
        self.statistics.iter().map(|statistic| of_metric + statistic.len()).sum()
    }
}

/// What a request takes without its queries.
const REQUEST_BYTES: usize = 256;
/// What a query takes without its names: the keys, lengths, the id, an account's number.
const QUERY_BYTES: usize = 140;
/// What a dimension takes without its name and value.
const DIMENSION_BYTES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(count: usize, dimension: usize) -> Vec<Arc<Metric>> {
        let id = |index| Id {
            name: "CPUUtilization".to_owned(),
            dimensions: vec![("InstanceId".to_owned(), format!("{index:0>dimension$}"))],
            owner: None,
        };
        let metric = |id| Arc::new(Metric { id, ..Metric::default() });
        (0..count).map(id).map(metric).collect()
    }

    fn sizes(count: usize, statistics: usize, periods: usize, most_billed: usize, dimension: usize) -> Vec<usize> {
        let statistics: Vec<String> = (0..statistics).map(|index| format!("p{index}")).collect();
        let shape = Shape { namespace: "AWS/EC2", statistics: &statistics, periods, most_billed };
        shape.split(&metrics(count, dimension)).iter().map(|batch| batch.len()).collect()
    }

    #[test]
    fn requests_are_full_and_statistics_stay_together() {
        const ANY: usize = usize::MAX;
        assert_eq!(sizes(0, 1, 3, ANY, 10), [0; 0]);
        assert_eq!(sizes(501, 1, 3, ANY, 10), [500, 1]);
        assert_eq!(sizes(10_000, 1, 3, ANY, 10), [500; 20]);
        assert_eq!(sizes(167, 3, 3, ANY, 10), [166, 1], "three statistics of 166 metrics are 498 queries");
        assert_eq!(sizes(300, 5, 15, ANY, 10), [100; 3]);
    }

    #[test]
    fn datums_bytes_and_budget_bound_a_request() {
        const ANY: usize = usize::MAX;
        assert_eq!(sizes(200, 1, 900, ANY, 10), [112, 88], "100,800 datums of 900 periods");
        assert_eq!(sizes(3, 1, 200_000, ANY, 10), [1, 1, 1]);
        let large = sizes(500, 1, 3, ANY, 2000);
        assert!(large.len() == 2 && large[0] * 2000 < MAX_BYTES, "{large:?}");
        assert_eq!(sizes(10, 5, 3, 4, 10), [4, 4, 2]);
        assert_eq!(sizes(4, 6, 3, 4, 10), [2, 2], "six statistics are billed as two metrics");
    }
}
