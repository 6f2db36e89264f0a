//! Asking for data: one request with its pages, and what becomes of each metric in it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use aws_sdk_cloudwatch::operation::get_metric_data::GetMetricDataOutput;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    Dimension, Metric as Asked, MetricDataQuery, MetricDataResult, MetricStat, ScanBy, StatusCode,
};

use super::batches::Shape;
use super::budget::Cost;
use super::id::Id;
use super::id::Seconds;
use super::metric::Metric;
use super::settings::Job;
use super::spending::Spending;
use crate::aws::{Clients, Kind, Operation, Problem};

/// What came of a request.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    /// The datums.
    pub(super) answers: Vec<Answer>,
    /// Which of the metrics have to be asked for again.
    pub(super) again: Vec<usize>,
    /// Why, or what is wrong with those that came.
    pub(super) problem: Option<Problem>,
}

/// Datums of one statistic of a metric.
#[derive(Debug)]
pub(super) struct Answer {
    /// Which of the request's metrics.
    pub(super) metric: usize,
    /// Which of the job's statistics.
    pub(super) statistic: usize,
    /// When the period of each begins, and its value, in any order.
    pub(super) datums: Vec<(Seconds, f64)>,
}

/// A request for the data of `metrics` from `start` up to, but without, `end`.
#[derive(Clone)]
pub(super) struct Request {
    /// The job.
    pub(super) job: Arc<Job>,
    /// The clients.
    pub(super) clients: Clients,
    /// What is spent.
    pub(super) spending: Arc<Spending>,
    /// The metrics.
    pub(super) metrics: Vec<Arc<Metric>>,
    /// The time.
    pub(super) start: Seconds,
    /// The time.
    pub(super) end: Seconds,
}

impl Request {
    /// Asks, page by page. What came before a page that failed is kept.
    pub(super) async fn send(&self) -> Fetched {
        let mut answers = Answers::new(self);
        let mut token = None;
        let billed = self.metrics.len() * shape(&self.job).billed();
        let mut cost = Cost::of_data(billed);
        let failed = loop {
            if let Err(problem) = self.spending.spend(cost) {
                if token.is_none() {
                    self.spending.deferred.fetch_add(self.metrics.len() as u64, Relaxed);
                }
                break Some(problem);
            }
            // Which pages an answer comes in is AWS's affair; the metrics were paid for with the first.
            cost = Cost::free();
            if token.is_none() {
                self.spending.queries.fetch_add((self.metrics.len() * self.job.statistics.len()) as u64, Relaxed);
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
        let mut queries = Vec::with_capacity(self.metrics.len() * self.job.statistics.len());
        for (index, metric) in self.metrics.iter().enumerate() {
            let asked = asked(&self.job.namespace, &metric.id);
            for (statistic, name) in self.job.statistics.iter().enumerate() {
                let stat = MetricStat::builder()
                    .metric(asked.clone())
                    .period(self.job.schedule.period.as_secs() as i32)
                    .stat(name)
                    .build();
                let query = MetricDataQuery::builder()
                    .id(format!("q{}", index * self.job.statistics.len() + statistic))
                    .metric_stat(stat)
                    .set_account_id(metric.id.owner.clone());
                queries.push(query.build());
            }
        }
        queries
    }
}

/// The shape of the job's requests of its usual window.
pub(super) fn shape(job: &Job) -> Shape<'_> {
    let schedule = &job.schedule;
    Shape {
        namespace: &job.namespace,
        statistics: &job.statistics,
        periods: (schedule.window.as_secs() / schedule.period.as_secs()) as usize,
        most_billed: job.budget.metrics_in_an_hour().unwrap_or(usize::MAX),
    }
}

fn asked(namespace: &str, id: &Id) -> Asked {
    let dimension = |(name, value): &(String, String)| Dimension::builder().name(name).value(value).build();
    let dimensions = id.dimensions.iter().map(dimension).collect();
    Asked::builder().namespace(namespace).metric_name(&id.name).set_dimensions(Some(dimensions)).build()
}

/// What has come of the queries of a request.
struct Answers<'r> {
    request: &'r Request,
    fetched: Fetched,
    /// Which queries have come to their end.
    is_complete: Vec<bool>,
}

impl<'r> Answers<'r> {
    fn new(request: &'r Request) -> Self {
        let queries = request.metrics.len() * request.job.statistics.len();
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
            // The rest of it is on a later page; if there is none, it is asked for again.
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
        let statistics = self.request.job.statistics.len();
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
        let statistics = self.request.job.statistics.len();
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
