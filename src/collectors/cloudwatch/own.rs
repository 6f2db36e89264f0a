//! What the collector tells of itself: what it asked for, what that cost, and whether it got it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::budget::{DOLLARS_PER_METRIC, DOLLARS_PER_REQUEST};
use super::schedule::now;
use super::snapshot::Published;
use crate::aws::{Counts, Operation};
use crate::encode::family::{FamilyInfo, Value};
use crate::encode::{Family, FamilyWriter};

/// The labels of what is of one job in one place.
const PLACE: [&str; 3] = ["account_id", "job", "region"];
const API: [&str; 4] = ["account_id", "api", "job", "region"];

const UP: Family<3> =
    Family::gauge("taffrail_cloudwatch_up", "Whether all that was last asked of AWS came: 1 if so.", PLACE);
const LAST_SUCCESS: Family<3> = Family::gauge(
    "taffrail_cloudwatch_last_success_timestamp_seconds",
    "When data last came, in seconds since 1970.",
    PLACE,
);
const METRICS: Family<3> = Family::gauge(
    "taffrail_cloudwatch_metrics",
    "Metrics that are asked for, whatever the number of statistics.",
    PLACE,
);
const DISCOVERY_AGE: Family<3> =
    Family::gauge("taffrail_cloudwatch_discovery_age_seconds", "How old the list of metrics is.", PLACE);
const QUERIES: Family<3> = Family::counter(
    "taffrail_cloudwatch_queries_total",
    "Queries of GetMetricData: each statistic of each metric.",
    PLACE,
);
const BILLED: Family<3> = Family::counter(
    "taffrail_cloudwatch_metrics_billed_total",
    "Metrics asked for, as they are billed: up to five statistics of a metric are one.",
    PLACE,
);
const DEFERRED: Family<3> = Family::counter(
    "taffrail_cloudwatch_metrics_deferred_total",
    "Metrics that were not asked for when they were due, each time, as the job's budget was used up.",
    PLACE,
);
const COST: Family<3> = Family::counter(
    "taffrail_cloudwatch_estimated_cost_dollars_total",
    "What the requests cost by AWS's published prices, in dollars; without free tiers.",
    PLACE,
);
const REQUESTS: Family<4> =
    Family::counter("taffrail_cloudwatch_requests_total", "Requests to AWS, each attempt by itself.", API);
const FAILURES: Family<4> =
    Family::counter("taffrail_cloudwatch_request_failures_total", "Requests to AWS that failed.", API);
const THROTTLES: Family<4> = Family::counter(
    "taffrail_cloudwatch_throttles_total",
    "Requests to AWS that failed because there were too many.",
    API,
);

/// The families above.
pub(super) const FAMILIES: &[FamilyInfo] = &[
    UP.info(),
    LAST_SUCCESS.info(),
    METRICS.info(),
    DISCOVERY_AGE.info(),
    QUERIES.info(),
    BILLED.info(),
    DEFERRED.info(),
    COST.info(),
    REQUESTS.info(),
    FAILURES.info(),
    THROTTLES.info(),
];

/// What the collector asks of AWS.
const ASKED: [Operation; 4] =
    [Operation::ListMetrics, Operation::GetMetricData, Operation::GetResources, Operation::GetCallerIdentity];

/// Writes them for all places.
pub(super) fn write(places: &[Arc<Published>], out: &mut FamilyWriter<'_>) {
    type ValueOf = fn(&Published) -> Option<Value>;
    let plain: [(&Family<3>, ValueOf); 8] = [
        (&UP, |place| Some(place.is_up().into())),
        (&LAST_SUCCESS, |place| place.succeeded_at().map(Value::Signed)),
        (&METRICS, |place| Some((place.snapshot().metrics as u64).into())),
        (&DISCOVERY_AGE, |place| place.discovered_at().map(|at| Value::Signed((now() - at).max(0)))),
        (&QUERIES, |place| Some(place.spent()?.queries.load(Relaxed).into())),
        (&BILLED, |place| Some(place.spent()?.billed.load(Relaxed).into())),
        (&DEFERRED, |place| Some(place.spent()?.deferred.load(Relaxed).into())),
        (&COST, |place| Some(cost(place)?.into())),
    ];
    for (family, value) in plain {
        let mut samples = out.family(family);
        for published in places {
            let place = published.place();
            if let Some(value) = value(published) {
                samples.sample([&place.account, &published.job.name, &place.region], value);
            }
        }
    }
    type CountOf = fn(&Counts, Operation) -> u64;
    let by_api: [(&Family<4>, CountOf); 3] =
        [(&REQUESTS, Counts::requests), (&FAILURES, Counts::failures), (&THROTTLES, Counts::throttles)];
    for (family, count) in by_api {
        let mut samples = out.family(family);
        for published in places {
            let place = published.place();
            for operation in ASKED.into_iter().filter(|asked| published.counts.requests(*asked) > 0) {
                let labels = [place.account.as_str(), operation.name(), &published.job.name, &place.region];
                samples.sample(labels, count(&published.counts, operation));
            }
        }
    }
}

fn cost(place: &Published) -> Option<f64> {
    let billed = place.spent()?.billed.load(Relaxed) as f64 * DOLLARS_PER_METRIC;
    Some(billed + place.counts.requests(Operation::ListMetrics) as f64 * DOLLARS_PER_REQUEST)
}
