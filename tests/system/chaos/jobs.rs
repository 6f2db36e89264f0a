//! Jobs that push numbers, and know which were acknowledged.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::harness::http::request;

/// How many groups there are.
const GROUPS: u64 = 20;

/// The jobs, in a thread of their own.
pub(crate) struct Jobs {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<u64>>>,
    thread: JoinHandle<()>,
}

impl Jobs {
    pub(crate) fn start(gateway: SocketAddr) -> Jobs {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (is_over, done) = (stop.clone(), acknowledged.clone());
        let thread = thread::spawn(move || {
            let mut next = 0;
            while !is_over.load(SeqCst) {
                let reply =
                    request("PUT", &format!("/metrics/job/count-{}", next % GROUPS), format!("number {next}\n"))
                        .send(&gateway.to_string());
                match reply.status {
                    200 => done.lock().unwrap().push(next),
                    // The disk is full.
                    503 => {}
                    other => panic!("a push was answered {other}: {}", reply.body),
                }
                next += 1;
                thread::sleep(Duration::from_millis(10));
            }
        });
        Jobs { stop, acknowledged, thread }
    }

    /// No more pushes; those that were acknowledged.
    pub(crate) fn end(self) -> Vec<u64> {
        self.stop.store(true, SeqCst);
        self.thread.join().expect("every push is answered");
        Arc::into_inner(self.acknowledged).unwrap().into_inner().unwrap()
    }
}

/// The last number of each group. One that was not acknowledged may have come after it.
pub(crate) fn last_of_each(acknowledged: &[u64]) -> BTreeMap<String, u64> {
    acknowledged.iter().map(|number| (format!("count-{}", number % GROUPS), *number)).collect()
}
