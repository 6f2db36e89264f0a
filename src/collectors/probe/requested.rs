//! `GET /probe?target=&module=`: a probe on request, with the parameters of blackbox_exporter.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::outcome::Outcome;
use super::settings::Module;
use crate::collectors::framework::on_request::{Answer, Families, OnRequest};
use crate::encode::FamilyWriter;

/// A probe that was requested.
pub(super) struct Job {
    pub(super) module: Arc<Module>,
    pub(super) target: Arc<str>,
    pub(super) timeout: Duration,
    done: oneshot::Sender<Outcome>,
    /// Returned when the probe has ended, even if the request has been cancelled.
    _permit: OwnedSemaphorePermit,
}

impl Job {
    /// Passes the result to the request.
    pub(super) fn end(self, outcome: Outcome) {
        let _ = self.done.send(outcome);
    }
}

/// Passes requests to the background work.
#[derive(Debug)]
pub(super) struct Requested {
    modules: Vec<Arc<Module>>,
    jobs: mpsc::UnboundedSender<Job>,
    free: Arc<Semaphore>,
}

/// Probes on request that run at a time.
const MAX_RUNNING: usize = 100;

impl Requested {
    /// Requests for these modules, and where they arrive. There are at most [`MAX_RUNNING`].
    pub(super) fn new(modules: Vec<Arc<Module>>) -> (Requested, mpsc::UnboundedReceiver<Job>) {
        let (jobs, arriving) = mpsc::unbounded_channel();
        (Requested { modules, jobs, free: Arc::new(Semaphore::new(MAX_RUNNING)) }, arriving)
    }

    /// The probe that a query names, and whether its reason is wanted as text.
    ///
    /// # Errors
    /// What is wrong with the query.
    fn parse(&self, query: &str) -> Result<(Arc<Module>, Arc<str>, bool), String> {
        /// That of blackbox_exporter.
        const DEFAULT_MODULE: &str = "http_2xx";
        let (mut target, mut module, mut is_debug) = (None, DEFAULT_MODULE.into(), false);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "target" => target = Some(value),
                "module" => module = value,
                "debug" => is_debug = value == "true",
                "hostname" => {
                    return Err("hostname is not supported: set tls_server_name and headers in the module".to_owned());
                }
                _ => {}
            }
        }
        let Some(found) = self.modules.iter().find(|known| *known.name == *module) else {
            let names: Vec<&str> = self.modules.iter().map(|module| &*module.name).collect();
            return Err(format!("there is no module {module:?}: the parameter module is one of {}", names.join(", ")));
        };
        let Some(target) = target.filter(|target| !target.is_empty()) else {
            return Err("the parameter target is missing: /probe?target=TARGET&module=MODULE".to_owned());
        };
        found.accept(&target)?;
        Ok((found.clone(), target.into(), is_debug))
    }
}

/// The time that a probe has: blackbox_exporter leaves half a second of the scrape's timeout for the response.
fn limited(timeout: Duration, scrape: Option<Duration>) -> Duration {
    const MARGIN: Duration = Duration::from_millis(500);
    scrape.map_or(timeout, |scrape| timeout.min(scrape.saturating_sub(MARGIN).max(scrape / 2)))
}

impl OnRequest for Requested {
    fn respond(&self, query: &str, limit: Option<Duration>) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let later = |reason: String| Box::pin(std::future::ready(Answer::Later(reason)));
        let (module, target, is_debug) = match self.parse(query) {
            Ok(parsed) => parsed,
            Err(reason) => return Box::pin(std::future::ready(Answer::Wrong(reason))),
        };
        let Ok(permit) = self.free.clone().try_acquire_owned() else {
            return later(format!(
                "{MAX_RUNNING} requested probes run already, which is the limit: request fewer at once"
            ));
        };
        let timeout = limited(module.timeout, limit);
        let (done, outcome) = oneshot::channel();
        if self.jobs.send(Job { module, target, timeout, done, _permit: permit }).is_err() {
            return later(ENDED.to_owned());
        }
        Box::pin(async move {
            match outcome.await {
                Ok(outcome) if is_debug => Answer::Text(explained(&outcome)),
                Ok(outcome) => Answer::Families(Box::new(outcome)),
                Err(_) => Answer::Later(ENDED.to_owned()),
            }
        })
    }
}

const ENDED: &str = "the configuration was reloaded meanwhile: repeat the request";

/// The result for people.
fn explained(outcome: &Outcome) -> String {
    let Outcome { module, target, failure, .. } = outcome;
    let result = failure.as_ref().map_or("succeeded".to_owned(), |reason| format!("failed: {reason}"));
    format!("The probe of {target} by the module {module} {result}\n")
}

impl Families for Outcome {
    fn write(&self, out: &mut FamilyWriter<'_>) {
        Outcome::write(self, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No task takes the requests here, so all of them run.
    #[tokio::test]
    async fn requests_that_run_at_a_time_are_limited() {
        let modules = crate::collectors::probe::tests::modules("targets = ['a']").unwrap();
        let (requested, mut arriving) = Requested::new(modules);
        let query = "module=http&target=a";
        let running: Vec<_> = (0..MAX_RUNNING).map(|_| requested.respond(query, None)).collect();
        let Answer::Later(reason) = requested.respond(query, None).await else { panic!() };
        assert!(reason.contains("100 requested probes run already"), "{reason}");
        drop(running);
        assert!(matches!(requested.respond(query, None).await, Answer::Later(_)), "a probe runs to its end");
        drop(arriving.recv().await);
        let next = requested.respond(query, None);
        drop(arriving);
        let Answer::Later(reason) = next.await else { panic!() };
        assert!(reason.contains("repeat the request"), "{reason}");
    }

    #[test]
    fn a_probe_ends_before_the_scrape_does() {
        let (ms, none) = (Duration::from_millis, None);
        for (module, scrape, expected) in [
            (5000, none, 5000),
            (5000, Some(ms(10_000)), 5000),
            (5000, Some(ms(3000)), 2500),
            (5000, Some(ms(600)), 300),
        ] {
            assert_eq!(limited(ms(module), scrape), ms(expected));
        }
    }
}
