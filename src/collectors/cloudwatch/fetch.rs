//! Fetches data: one request with its pages, and the result for each of its metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use aws_sdk_cloudwatch::operation::get_metric_data::GetMetricDataOutput;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    Dimension, Metric as Asked, MetricDataQuery, MetricDataResult, MetricStat, ScanBy, StatusCode,
};

use super::batches::Shape;
use super::budget::Cost;
use super::budget::Spending;
use super::id::Id;
use super::id::Seconds;
use super::metric::Metric;
use super::settings::Job;
use super::terms::Terms;
use crate::aws::{Clients, Kind, Operation, Problem};

/// The result of a request.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    /// The datums.
    pub(super) answers: Vec<Answer>,
    /// The metrics to request again.
    pub(super) again: Vec<usize>,
    /// Why, or what is wrong with the data.
    pub(super) problem: Option<Problem>,
}

/// The data points of one statistic of a metric.
#[derive(Debug)]
pub(super) struct Answer {
    /// Index of the metric in the request.
    pub(super) metric: usize,
    /// Index of the statistic in the job.
    pub(super) statistic: usize,
    /// Start of the period and value of each data point, in any order.
    pub(super) datums: Vec<(Seconds, f64)>,
}

/// A request for the data of `metrics` from `start` (inclusive) to `end` (exclusive).
#[derive(Clone)]
pub(super) struct Request {
    /// The job.
    pub(super) job: Arc<Job>,
    /// How all of the metrics are fetched.
    pub(super) terms: Arc<Terms>,
    /// The clients.
    pub(super) clients: Clients,
    /// The spending of the job.
    pub(super) spending: Arc<Spending>,
    /// The metrics.
    pub(super) metrics: Vec<Arc<Metric>>,
    /// Start of the range.
    pub(super) start: Seconds,
    /// End of the range.
    pub(super) end: Seconds,
}

impl Request {
    /// Sends the request, page by page. If a page fails, the earlier ones are used.
    pub(super) async fn send(&self) -> Fetched {
        let mut answers = Answers::new(self);
        let mut token = None;
        let billed = self.metrics.len() * shape(&self.job, &self.terms).billed();
        let mut cost = Cost::of_data(billed);
        let failed = loop {
            if let Err(problem) = self.spending.spend(cost) {
                if token.is_none() {
                    self.spending.deferred.fetch_add(self.metrics.len() as u64, Relaxed);
                }
                break Some(problem);
            }
            // Only the first page is billed, however many AWS returns.
            cost = Cost::free();
            if token.is_none() {
                self.spending.queries.fetch_add((self.metrics.len() * self.terms.statistics.len()) as u64, Relaxed);
            }
            let page = match self.page(token.clone()).await {
                Ok(page) => page,
                Err(problem) => break Some(problem),
            };
            let next = page.next_token.clone();
            answers.take(page);
            match next.filter(|next| !next.is_empty() && Some(next) != token.as_ref()) {
                Some(next) => token = Some(next),
                None => break None,
            }
        };
        answers.finish(failed)
    }

    async fn page(&self, token: Option<String>) -> Result<GetMetricDataOutput, Problem> {
        let request = self.clients.cloudwatch.get_metric_data();
        let request = request
            .set_metric_data_queries(Some(self.queries()))
            .start_time(DateTime::from_secs(self.start))
            .end_time(DateTime::from_secs(self.end))
            .scan_by(ScanBy::TimestampDescending)
            .set_next_token(token);
        let page = request.send().await;
        page.map_err(|error| Problem::of(Operation::GetMetricData, &self.clients.region, &error))
    }

    fn queries(&self) -> Vec<MetricDataQuery> {
        let mut queries = Vec::with_capacity(self.metrics.len() * self.terms.statistics.len());
        for (index, metric) in self.metrics.iter().enumerate() {
            let queried = queried(&self.job.namespace, &metric.id);
            for (statistic, name) in self.terms.statistics.iter().enumerate() {
                let stat = MetricStat::builder()
                    .metric(queried.clone())
                    .period(self.terms.schedule.period.as_secs() as i32)
                    .stat(name)
                    .build();
                let query = MetricDataQuery::builder()
                    .id(format!("q{}", index * self.terms.statistics.len() + statistic))
                    .metric_stat(stat)
                    .set_account_id(metric.id.owner.clone());
                queries.push(query.build());
            }
        }
        queries
    }
}

/// The request layout for the usual window of `terms`; other ranges have other `periods`.
pub(super) fn shape<'j>(job: &'j Job, terms: &'j Terms) -> Shape<'j> {
    let schedule = &terms.schedule;
    Shape {
        namespace: &job.namespace,
        statistics: &terms.statistics,
        periods: (schedule.window.as_secs() / schedule.period.as_secs()) as usize,
        max_billed: job.budget.metrics_in_an_hour().unwrap_or(usize::MAX),
    }
}

fn queried(namespace: &str, id: &Id) -> Asked {
    let dimension = |(name, value): &(String, String)| Dimension::builder().name(name).value(value).build();
    let dimensions = id.dimensions.iter().map(dimension).collect();
    Asked::builder().namespace(namespace).metric_name(&id.name).set_dimensions(Some(dimensions)).build()
}

/// Progress of the queries in a request.
struct Answers<'r> {
    request: &'r Request,
    fetched: Fetched,
    /// The queries that are complete.
    is_complete: Vec<bool>,
}

impl<'r> Answers<'r> {
    fn new(request: &'r Request) -> Self {
        let queries = request.metrics.len() * request.terms.statistics.len();
        Answers { request, fetched: Fetched::default(), is_complete: vec![false; queries] }
    }

    fn take(&mut self, page: GetMetricDataOutput) {
        for result in page.metric_data_results.unwrap_or_default() {
            self.take_result(result);
        }
    }

    fn take_result(&mut self, result: MetricDataResult) {
        let query = result.id().and_then(|id| id.strip_prefix('q')?.parse::<usize>().ok());
        let Some(query) = query.filter(|query| *query < self.is_complete.len()) else { return };
        match result.status_code() {
            None | Some(StatusCode::Complete) => self.is_complete[query] = true,
            // A later page has the remainder. If there is none, it is requested again.
            Some(StatusCode::PartialData) => self.is_complete[query] = false,
            Some(StatusCode::Forbidden) => {
                self.is_complete[query] = true;
                self.tell(Kind::Denied, "not allowed for all metrics", &result);
            }
            Some(other) => {
                let what = format!("{} for some metrics, which are asked for again", other.as_str());
                self.tell(Kind::Unavailable, &what, &result);
            }
        }
        let statistics = self.request.terms.statistics.len();
        let times = result.timestamps.unwrap_or_default();
        let values = result.values.unwrap_or_default();
        let datums: Vec<(Seconds, f64)> = times.iter().map(DateTime::secs).zip(values).collect();
        if !datums.is_empty() {
            let (metric, statistic) = (query / statistics, query % statistics);
            self.fetched.answers.push(Answer { metric, statistic, datums });
        }
    }

    fn tell(&mut self, kind: Kind, what: &str, result: &MetricDataResult) {
        let said = result.messages().first().and_then(|message| message.value()).unwrap_or("no reason given");
        let message = format!("GetMetricData in {}: {what}: {said}", self.request.clients.region);
        self.fetched.problem.get_or_insert(Problem { kind, message });
    }

    fn finish(mut self, failed: Option<Problem>) -> Fetched {
        let statistics = self.request.terms.statistics.len();
        let has_all = |index: &usize| self.is_complete[index * statistics..][..statistics].iter().all(|done| *done);
        self.fetched.again = (0..self.request.metrics.len()).filter(|index| !has_all(index)).collect();
        if failed.is_some() {
            self.fetched.problem = failed;
        }
        if self.fetched.problem.is_none() && !self.fetched.again.is_empty() {
            let message = format!("GetMetricData in {}: the answer lacks some metrics", self.request.clients.region);
            self.fetched.problem = Some(Problem { kind: Kind::Unavailable, message });
        }
        self.fetched
    }
}
