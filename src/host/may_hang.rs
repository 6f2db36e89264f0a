//! What is known to hang of a host. It is known to all collectors, and to those that come after a reload.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use crate::ask::{Questions, Threads};

/// Questions of all kinds, by the types of question and answer.
#[derive(Default)]
pub(super) struct MayHang {
    threads: Arc<Threads>,
    kinds: Mutex<HashMap<TypeId, Kind>>,
}

struct Kind {
    questions: Box<dyn Any + Send>,
    hanging: Box<dyn Fn() -> usize + Send>,
}

impl MayHang {
    /// Of the host that this process runs on. Its file systems and services are the same whatever the configuration is.
    pub(super) fn of_the_process() -> Arc<MayHang> {
        static OF_THE_PROCESS: LazyLock<Arc<MayHang>> = LazyLock::new(Arc::default);
        OF_THE_PROCESS.clone()
    }

    /// Those of one kind, of which `most` may hang.
    pub(super) fn of_kind<Q, A>(&self, most: usize) -> Questions<Q, A>
    where
        Q: Clone + Eq + Hash + Send + Sync + 'static,
        A: Clone + Send + 'static,
    {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kinds.get(&TypeId::of::<Questions<Q, A>>()).and_then(|kind| kind.questions.downcast_ref());
        if let Some(questions) = known {
            return Questions::clone(questions);
        }
        let questions = Questions::new(self.threads.clone(), most);
        let (kept, counted) = (questions.clone(), questions.clone());
        let kind = Kind { questions: Box::new(kept), hanging: Box::new(move || counted.hanging()) };
        kinds.insert(TypeId::of::<Questions<Q, A>>(), kind);
        questions
    }

    /// How many hang at the moment, each of which keeps a thread.
    pub(super) fn hanging(&self) -> usize {
        let kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.values().map(|kind| (kind.hanging)()).sum()
    }
}
