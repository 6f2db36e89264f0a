//! Self-metrics of the collector: requests, cost and success.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::alarms;
use super::budget::{DOLLARS_PER_METRIC, DOLLARS_PER_REQUEST};
use super::schedule::now;
use super::snapshot::Published;
use crate::aws::{Counts, Operation};
use crate::encode::family::{FamilyInfo, Value};
use crate::encode::{Family, FamilyWriter};

/// The labels for one job and target.
const TARGET: [&str; 3] = ["account_id", "job", "region"];
const API: [&str; 4] = ["account_id", "api", "job", "region"];

const UP: Family<3> = Family::gauge("taffrail_cloudwatch_up", "Whether the last refresh was complete", TARGET);
const LAST_SUCCESS: Family<3> = Family::gauge(
    "taffrail_cloudwatch_last_success_timestamp_seconds",
    "Unix time of the last data from CloudWatch",
    TARGET,
);
const INTERVAL: Family<3> =
    Family::gauge("taffrail_cloudwatch_interval_seconds", "How often data are expected from CloudWatch", TARGET);
const METRICS: Family<3> =
    Family::gauge("taffrail_cloudwatch_metrics", "Metrics fetched, irrespective of the number of statistics", TARGET);
const DISCOVERY_AGE: Family<3> =
    Family::gauge("taffrail_cloudwatch_discovery_age_seconds", "Age of the list of metrics", TARGET);
const QUERIES: Family<3> = Family::counter(
    "taffrail_cloudwatch_queries_total",
    "GetMetricData queries, one for each statistic of each metric",
    TARGET,
);
const BILLED: Family<3> = Family::counter(
    "taffrail_cloudwatch_metrics_billed_total",
    "Metrics as billed; up to five statistics of a metric count as one",
    TARGET,
);
const DEFERRED: Family<3> = Family::counter(
    "taffrail_cloudwatch_metrics_deferred_total",
    "Metrics deferred because the budget of the job was exhausted",
    TARGET,
);
const COST: Family<3> = Family::counter(
    "taffrail_cloudwatch_estimated_cost_dollars_total",
    "Estimated cost of requests in dollars, by AWS's published prices without free tiers",
    TARGET,
);
const REQUESTS: Family<4> =
    Family::counter("taffrail_cloudwatch_requests_total", "Requests to AWS, including retries", API);
const FAILURES: Family<4> =
    Family::counter("taffrail_cloudwatch_request_failures_total", "Failed requests to AWS", API);
const THROTTLES: Family<4> = Family::counter("taffrail_cloudwatch_throttles_total", "Requests throttled by AWS", API);

/// The families above.
pub(super) const FAMILIES: &[FamilyInfo] = &[
    UP.info(),
    LAST_SUCCESS.info(),
    INTERVAL.info(),
    METRICS.info(),
    DISCOVERY_AGE.info(),
    QUERIES.info(),
    BILLED.info(),
    DEFERRED.info(),
    COST.info(),
    REQUESTS.info(),
    FAILURES.info(),
    THROTTLES.info(),
    alarms::STATE.info(),
];

/// Writes the families for these targets, which run.
pub(super) fn write(targets: &[Arc<Published>], out: &mut FamilyWriter<'_>) {
    type ValueOf = fn(&Published) -> Option<Value>;
    let plain: [(&Family<3>, ValueOf); 9] = [
        (&UP, |target| Some(target.is_up().into())),
        (&LAST_SUCCESS, |target| target.succeeded_at().map(Value::Signed)),
        (&INTERVAL, |target| target.interval().map(|interval| interval.as_secs().into())),
        (&METRICS, |target| Some((target.snapshot().metrics as u64).into())),
        (&DISCOVERY_AGE, |target| target.discovered_at().map(|at| Value::Signed((now() - at).max(0)))),
        (&QUERIES, |target| Some(target.spent()?.queries.load(Relaxed).into())),
        (&BILLED, |target| Some(target.spent()?.billed.load(Relaxed).into())),
        (&DEFERRED, |target| Some(target.spent()?.deferred.load(Relaxed).into())),
        (&COST, |target| Some(cost(target)?.into())),
    ];
    for (family, value) in plain {
        let mut samples = out.family(family);
        for published in targets {
            let target = published.target();
            if let Some(value) = value(published) {
                samples.sample([&target.account, &published.job.name, &target.region], value);
            }
        }
    }
    type CountOf = fn(&Counts, Operation) -> u64;
    let by_api: [(&Family<4>, CountOf); 3] =
        [(&REQUESTS, Counts::requests), (&FAILURES, Counts::failures), (&THROTTLES, Counts::throttles)];
    for (family, count) in by_api {
        let mut samples = out.family(family);
        for published in targets {
            let target = published.target();
            for &operation in Operation::ALL.iter().filter(|each| published.counts.requests(**each) > 0) {
                let labels = [target.account.as_str(), operation.name(), &published.job.name, &target.region];
                samples.sample(labels, count(&published.counts, operation));
            }
        }
    }
}

fn cost(target: &Published) -> Option<f64> {
    let billed = target.spent()?.billed.load(Relaxed) as f64 * DOLLARS_PER_METRIC;
    let requests = [Operation::ListMetrics, Operation::DescribeAlarms].map(|billed| target.counts.requests(billed));
    Some(billed + requests.iter().sum::<u64>() as f64 * DOLLARS_PER_REQUEST)
}
