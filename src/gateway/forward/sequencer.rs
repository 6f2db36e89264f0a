//! A sequencer: pushes reach the sinks in the order in which they were applied.
//!
//! Pushes that share a write to disk are acknowledged together, and their tasks then run in any order. Remote-write servers
//! accept samples only in the order of their times.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Issues tickets, and admits them in order.
#[derive(Default)]
pub(in crate::gateway) struct Sequencer(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// The number of the next ticket.
    next: u64,
    /// The ticket that is admitted.
    admitted: u64,
    /// Later tickets that were dropped already.
    dropped: BTreeSet<u64>,
    waiting: HashMap<u64, oneshot::Sender<()>>,
}

/// A position in the order. Dropping it admits the next one.
pub(in crate::gateway) struct Ticket<'t> {
    sequencer: &'t Sequencer,
    number: u64,
}

impl Sequencer {
    /// Issues the next ticket.
    pub(in crate::gateway) fn ticket(&self) -> Ticket<'_> {
        let mut inner = self.lock();
        let number = inner.next;
        inner.next += 1;
        Ticket { sequencer: self, number }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket<'_> {
    /// Waits until all earlier tickets are dropped.
    pub(in crate::gateway) async fn admitted(&self) {
        let admitted = {
            let mut inner = self.sequencer.lock();
            if inner.admitted == self.number {
                return;
            }
            let (admit, admitted) = oneshot::channel();
            inner.waiting.insert(self.number, admit);
            admitted
        };
        // The sender lives as long as the sequencer.
        let _ = admitted.await;
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut inner = self.sequencer.lock();
        inner.waiting.remove(&self.number);
        inner.dropped.insert(self.number);
        let mut next = inner.admitted;
        while inner.dropped.remove(&next) {
            next += 1;
        }
        inner.admitted = next;
        if let Some(admit) = inner.waiting.remove(&next) {
            let _ = admit.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Tasks run in random order; some are aborted before or while they wait.
    #[test]
    fn turns_come_in_their_order_whoever_is_first_and_whoever_gives_up() {
        for seed in 0..500 {
            let mut random = fastrand::Rng::with_seed(seed);
            let sequencer: &'static Sequencer = Box::leak(Box::default());
            let came: Arc<Mutex<Vec<u64>>> = Arc::default();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let given: Vec<Ticket<'_>> = (0..20).map(|_| sequencer.ticket()).collect();
            let mut stays = BTreeSet::new();
            runtime.block_on(async {
                let mut tasks = Vec::new();
                let mut given: Vec<Ticket<'_>> = given.into_iter().collect();
                random.shuffle(&mut given);
                for ticket in given {
                    let (number, came, fate) = (ticket.number, came.clone(), random.u8(0..4));
                    let task = tokio::spawn(async move {
                        ticket.admitted().await;
                        came.lock().unwrap().push(number);
                        tokio::task::yield_now().await;
                    });
                    if random.bool() {
                        tokio::task::yield_now().await;
                    }
                    match fate {
                        0 => task.abort(),
                        _ => drop(stays.insert(number)),
                    }
                    tasks.push(task);
                }
                for task in tasks {
                    let _ = task.await;
                }
            });
            let came = came.lock().unwrap();
            assert!(came.is_sorted(), "{seed}: {came:?}");
            assert!(stays.iter().all(|number| came.contains(number)), "{seed}: {came:?}");
            let inner = sequencer.lock();
            assert_eq!((inner.admitted, inner.dropped.len(), inner.waiting.len()), (20, 0, 0), "{seed}");
        }
    }
}
