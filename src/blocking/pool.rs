//! The threads that make the calls.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::lock;
use crate::system::unshare_descriptors;

type Job = Box<dyn FnOnce() + Send>;

/// A pool of threads. An idle one is kept for a while.
#[derive(Default)]
pub struct ThreadPool {
    is_unshared: bool,
    queue: Mutex<WorkQueue>,
    work: Condvar,
}

#[derive(Default)]
struct WorkQueue {
    idle: usize,
    /// At most as many as there are idle threads.
    jobs: VecDeque<Job>,
}

impl ThreadPool {
    /// Threads with their own descriptors ([`unshare_descriptors`]): a call may neither use an open one nor return
    /// one.
    pub fn unshared() -> ThreadPool {
        ThreadPool { is_unshared: true, ..ThreadPool::default() }
    }

    /// Passes `job` to a thread; `false` if none can be started.
    pub(super) fn run(self: &Arc<Self>, job: Job) -> bool {
        /// Calls need little stack.
        const STACK: usize = 512 << 10;
        let mut queue = lock(&self.queue);
        if queue.idle > queue.jobs.len() {
            queue.jobs.push_back(job);
            self.work.notify_one();
            return true;
        }
        drop(queue);
        let threads = self.clone();
        thread::Builder::new().name("ask".to_owned()).stack_size(STACK).spawn(move || threads.serve(job)).is_ok()
    }

    fn serve(&self, first: Job) {
        if self.is_unshared {
            unshare_descriptors();
        }
        first();
        while let Some(job) = self.next() {
            job();
        }
    }

    /// The next job; `None` if the thread must end.
    fn next(&self) -> Option<Job> {
        /// Longer than the interval between two scrapes.
        const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
        let mut queue = lock(&self.queue);
        if queue.idle == 0 {
            queue.idle += 1;
            let waited = self.work.wait_timeout_while(queue, IDLE_TIMEOUT, |queue| queue.jobs.is_empty());
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            queue.idle -= 1;
        }
        queue.jobs.pop_front()
    }
}
