//! Distributes metrics over requests: as few requests as possible, and no metric billed twice.

use std::sync::Arc;

use super::budget::STATISTICS_PER_METRIC;
use super::id::Id;
use super::metric::Metric;

/// Maximum queries in a request: one for each statistic of each metric.
const MAX_QUERIES: usize = 500;
/// Maximum size of a request in bytes. <https://github.com/influxdata/telegraf/issues/10842>
const MAX_BYTES: usize = 614_400;
/// Maximum data points in a response.
const MAX_DATUMS: usize = 100_800;

/// What the requests of one job have in common.
#[derive(Clone, Debug)]
pub(super) struct Shape<'j> {
    /// The namespace.
    pub(super) namespace: &'j str,
    /// The statistics of each metric.
    pub(super) statistics: &'j [String],
    /// Number of periods in a request.
    pub(super) periods: usize,
    /// Maximum billed metrics in a request.
    pub(super) max_billed: usize,
}

impl Shape<'_> {
    /// Number of metrics that one metric is billed as.
    pub(super) fn billed(&self) -> usize {
        self.statistics.len().div_ceil(STATISTICS_PER_METRIC)
    }

    /// Splits `metrics` into requests, in order. All statistics of a metric are in the same request.
    pub(super) fn split<'m>(&self, metrics: &'m [Arc<Metric>]) -> Vec<&'m [Arc<Metric>]> {
        let by_datums = MAX_DATUMS / self.periods.max(1) / self.statistics.len().max(1);
        let by_queries = MAX_QUERIES / self.statistics.len().max(1);
        let max = by_queries.min(by_datums).min(self.max_billed / self.billed().max(1)).max(1);
        let mut batches = Vec::new();
        let (mut start, mut bytes) = (0, REQUEST_BYTES);
        for (index, metric) in metrics.iter().enumerate() {
            let size = self.bytes_of(&metric.id);
            if index > start && (index - start == max || bytes + size > MAX_BYTES) {
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

    /// Upper bound of the CBOR size of the queries for a metric, in bytes.
    fn bytes_of(&self, metric: &Id) -> usize {
        let dimensions: usize =
            metric.dimensions.iter().map(|(name, value)| DIMENSION_BYTES + name.len() + value.len()).sum();
        let of_metric = QUERY_BYTES + self.namespace.len() + metric.name.len() + dimensions;
        self.statistics.iter().map(|statistic| of_metric + statistic.len()).sum()
    }
}

/// Size of a request without queries, in bytes.
const REQUEST_BYTES: usize = 256;
/// Size of a query without names, in bytes: keys, lengths, id, account number.
const QUERY_BYTES: usize = 140;
/// Size of a dimension without name and value, in bytes.
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

    fn sizes(count: usize, statistics: usize, periods: usize, max_billed: usize, dimension: usize) -> Vec<usize> {
        let statistics: Vec<String> = (0..statistics).map(|index| format!("p{index}")).collect();
        let shape = Shape { namespace: "AWS/EC2", statistics: &statistics, periods, max_billed };
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
