//! A query to a service that may not respond, in a thread of its own ([`crate::blocking`]).

use std::sync::Arc;
use std::time::Duration;

use crate::blocking::{BlockingCalls, CallFn, CallOutcome, Heartbeat};
use crate::host::ReadError;

/// How long a reading waits for a response, which is less than counts as a hang of the reading.
const TIMEOUT: Duration = Duration::from_millis(300);
/// Most queries of a kind in flight. There is more than one only after a reload.
pub(in crate::collectors) const MAX_THREADS: usize = 4;

/// A query with results of type `A`, which no other query has. A reading waits once for a service that does not
/// respond. Later readings get its last result, which may be late, until it responds quickly again.
pub(in crate::collectors) struct ServiceCall<A> {
    calls: BlockingCalls<String, Result<A, ReadError>>,
    /// The service: its address or folder.
    service: String,
    query: CallFn<String, Result<A, ReadError>>,
}

impl<A: Clone + Send + 'static> ServiceCall<A> {
    /// Queries `service`, which `query` gets as its argument, by `calls`.
    pub(in crate::collectors) fn new(
        calls: BlockingCalls<String, Result<A, ReadError>>,
        service: String,
        query: impl Fn(&str) -> Result<A, ReadError> + Send + Sync + 'static,
    ) -> Self {
        ServiceCall { calls, service, query: Arc::new(move |service: &String, _: &Heartbeat| query(service)) }
    }

    /// The result.
    ///
    /// # Errors
    /// That of the query; [`ReadError::Silent`] if there is no response.
    pub(in crate::collectors) fn read(&self) -> Result<A, ReadError> {
        match self.calls.run_all(vec![self.service.clone()], &self.query, TIMEOUT.into()).pop() {
            Some(CallOutcome::Completed(result) | CallOutcome::Late(result)) => result,
            _ => Err(ReadError::Silent { what: self.service.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::host::{Host, Roots};

    #[derive(Clone, Debug, PartialEq)]
    struct Answer(u32);

    #[test]
    fn a_service_that_does_not_respond_is_waited_for_once() {
        let host = Host::live(Roots::default());
        let (answer, answers) = mpsc::channel();
        let answers = std::sync::Mutex::new(answers);
        let query = move |_: &str| Ok(Answer(answers.lock().unwrap().recv().unwrap_or_default()));
        let call = ServiceCall::new(host.questions(MAX_THREADS), "a service".to_owned(), query);
        answer.send(1).unwrap();
        assert_eq!(call.read(), Ok(Answer(1)));
        for _ in 0..100 {
            assert_eq!(call.read(), Err(ReadError::Silent { what: "a service".to_owned() }));
        }
        answer.send(2).unwrap();
        let late = std::iter::repeat_with(|| call.read()).find(Result::is_ok);
        assert_eq!(late, Some(Ok(Answer(2))));
    }
}
