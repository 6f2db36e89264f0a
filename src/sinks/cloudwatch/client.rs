//! Writes to CloudWatch.

use std::sync::Arc;

use super::datums::Request;
use super::settings::Settings;
use crate::aws::{Clients, Counts, Kind, Operation, Problem, direct_http_client, http_client, instance_facts};
use crate::encode::lines::Lines;
use crate::sinks::kind::{Client, WriteFuture};
use crate::sinks::verdict::Verdict;

/// Puts metrics into CloudWatch.
pub(super) struct CloudWatchClient {
    settings: Settings,
    counts: Arc<Counts>,
    /// Made with the first request: detecting the region may take a while.
    clients: Option<Clients>,
    /// The dimensions of the instance, read before the first request.
    appended: Option<Vec<(String, String)>>,
}

impl Client for CloudWatchClient {
    fn write<'a>(&'a mut self, lines: &'a Lines) -> WriteFuture<'a> {
        Box::pin(self.send_first(lines))
    }
}

impl CloudWatchClient {
    pub(super) fn new(settings: &Settings) -> Self {
        CloudWatchClient { settings: settings.clone(), counts: Arc::default(), clients: None, appended: None }
    }

    /// Puts the leading points that fit into one request.
    async fn send_first(&mut self, lines: &Lines) -> (usize, Verdict) {
        let appended = match self.appended().await {
            Ok(appended) => appended,
            // Without them, these would be other metrics.
            Err(problem) => return (lines.count(), verdict(problem)),
        };
        let request = Request::of_first(lines, &self.settings, &appended);
        let verdict = match self.put(&request).await {
            Ok(()) if request.refused == 0 => Verdict::Delivered,
            Ok(()) => {
                let message = "values beyond what CloudWatch takes, 2 to the power of 360".to_owned();
                Verdict::Partial { dropped: Some(request.refused), message }
            }
            Err(problem) => verdict(problem),
        };
        (request.points, verdict)
    }

    async fn appended(&mut self) -> Result<Vec<(String, String)>, Problem> {
        if let Some(appended) = &self.appended {
            return Ok(appended.clone());
        }
        let wanted = &self.settings.append_dimensions;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let http = direct_http_client().map_err(|message| Problem { kind: Kind::Configuration, message })?;
        let found = instance_facts(wanted, http).await?;
        for fact in wanted.iter().filter(|fact| !found.iter().any(|(known, _)| known == *fact)) {
            tracing::warn!(
                "cloudwatch: no {} in the instance metadata: the instance is in no group, or its tags are not allowed in metadata",
                fact.name()
            );
        }
        let appended = found.into_iter().map(|(fact, value)| (fact.name().to_owned(), value)).collect();
        Ok(self.appended.insert(appended).clone())
    }

    async fn put(&mut self, request: &Request) -> Result<(), Problem> {
        if request.is_empty() {
            return Ok(());
        }
        let clients = self.clients().await?;
        let put = clients.cloudwatch.put_metric_data().namespace(&self.settings.namespace);
        let put = put.set_metric_data(Some(request.datums(self.settings.resolution)));
        let response = put.send().await;
        response.map(drop).map_err(|error| Problem::of(Operation::PutMetricData, &clients.region, &error))
    }

    async fn clients(&mut self) -> Result<Clients, Problem> {
        if let Some(clients) = &self.clients {
            return Ok(clients.clone());
        }
        let region = self.settings.region.as_deref();
        let http = http_client().map_err(|message| Problem { kind: Kind::Configuration, message })?;
        let clients = Clients::new(&self.settings.account, region, http, self.counts.clone()).await?;
        Ok(self.clients.insert(clients).clone())
    }
}

fn verdict(problem: Problem) -> Verdict {
    let message = problem.message;
    match problem.kind {
        Kind::Denied | Kind::Credentials | Kind::Configuration => Verdict::Refused { message },
        Kind::Rejected => Verdict::Rejected { message },
        Kind::TooLarge => Verdict::TooLarge { is_foreign: false, message },
        Kind::Throttled | Kind::Unavailable | Kind::Budget | Kind::Clock => Verdict::later(&message),
    }
}
