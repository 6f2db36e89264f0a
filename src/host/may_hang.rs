//! Calls that may hang, shared by all collectors and across reloads.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use crate::blocking::{BlockingCalls, ThreadPool};

/// Blocking calls of all kinds, by the types of request and result.
pub(super) struct MayHang {
    threads: Arc<ThreadPool>,
    /// For calls to file systems.
    mount_threads: Arc<ThreadPool>,
    kinds: Mutex<HashMap<TypeId, Kind>>,
}

struct Kind {
    questions: Box<dyn Any + Send>,
    hanging: Box<dyn Fn() -> usize + Send>,
}

/// The target of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// File systems, by their paths.
    Mounts,
    /// Services, by connections that stay open.
    Services,
}

impl Default for MayHang {
    fn default() -> Self {
        MayHang { threads: Arc::default(), mount_threads: Arc::new(ThreadPool::unshared()), kinds: Mutex::default() }
    }
}

impl MayHang {
    /// Calls to the host that this process runs on, whose file systems and services do not depend on the configuration.
    pub(super) fn of_process() -> Arc<MayHang> {
        static OF_PROCESS: LazyLock<Arc<MayHang>> = LazyLock::new(Arc::default);
        OF_PROCESS.clone()
    }

    /// Calls of one kind, of which at most `max` may hang.
    pub(super) fn of_kind<Q, A>(&self, of: Of, max: usize) -> BlockingCalls<Q, A>
    where
        Q: Clone + Eq + Hash + Send + Sync + 'static,
        A: Clone + Send + 'static,
    {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kinds.get(&TypeId::of::<BlockingCalls<Q, A>>()).and_then(|kind| kind.questions.downcast_ref());
        if let Some(questions) = known {
            return BlockingCalls::clone(questions);
        }
        let threads = if of == Of::Mounts { &self.mount_threads } else { &self.threads };
        let questions = BlockingCalls::new(threads.clone(), max);
        let (retained, counted) = (questions.clone(), questions.clone());
        let kind = Kind { questions: Box::new(retained), hanging: Box::new(move || counted.hanging()) };
        kinds.insert(TypeId::of::<BlockingCalls<Q, A>>(), kind);
        questions
    }

    /// The number of hanging calls, each of which occupies a thread.
    pub(super) fn hanging(&self) -> usize {
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.values().map(|kind| (kind.hanging)()).sum()
    }
}
