//! The requests.

use std::sync::Arc;

use super::datums::Request;
use super::settings::Settings;
use crate::aws::{Clients, Counts, Kind, Operation, Problem, http_client};
use crate::encode::point::Lines;
use crate::sinks::answer::Answer;

/// Puts what waits into CloudWatch.
pub(in crate::sinks) struct Connection {
    settings: Settings,
    counts: Arc<Counts>,
    /// Made with the first request, for it may take a while to find out where we are.
    clients: Option<Clients>,
}

impl Connection {
    pub(in crate::sinks) fn new(settings: &Settings) -> Self {
        Connection { settings: settings.clone(), counts: Arc::default(), clients: None }
    }

    /// Puts as many of the first points as go into one request, and says how many that are.
    pub(in crate::sinks) async fn write(&mut self, lines: &Lines) -> (usize, Answer) {
        let request = Request::of_first(lines, &self.settings);
        let answer = match self.put(&request).await {
            Ok(()) if request.refused == 0 => Answer::Delivered,
            Ok(()) => {
                let message = "values beyond what CloudWatch takes, 2 to the power of 360".to_owned();
                Answer::Partial { dropped: Some(request.refused), message }
            }
            Err(problem) => meaning(problem),
        };
        (request.points, answer)
    }

    async fn put(&mut self, request: &Request) -> Result<(), Problem> {
        if request.is_empty() {
            return Ok(());
        }
        let clients = self.clients().await?;
        let put = clients.cloudwatch.put_metric_data().namespace(&self.settings.namespace);
        let put = put.set_metric_data(Some(request.datums(self.settings.resolution)));
        let answer = put.send().await;
        answer.map(drop).map_err(|error| Problem::of(Operation::PutMetricData, &clients.region, &error))
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

fn meaning(problem: Problem) -> Answer {
    let message = problem.message;
    match problem.kind {
        Kind::Denied | Kind::Credentials | Kind::Configuration => Answer::Refused { message },
        Kind::Rejected => Answer::Rejected { message },
        Kind::TooLarge => Answer::TooLarge { is_foreign: false, message },
        Kind::Throttled | Kind::Unavailable | Kind::Budget => Answer::later(&message),
    }
}
