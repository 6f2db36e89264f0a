//! State of collectors that outlives reloads.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::Roots;

/// State by its type and by the trees that it was read from.
#[derive(Default)]
pub(super) struct Retained(Mutex<HashMap<(TypeId, Roots), Arc<dyn Any + Send + Sync>>>);

impl Retained {
    /// State about hosts that this process runs on.
    pub(super) fn of_process() -> Arc<Retained> {
        static OF_PROCESS: LazyLock<Arc<Retained>> = LazyLock::new(Arc::default);
        OF_PROCESS.clone()
    }

    /// The state of this type. The first call creates it.
    pub(super) fn get<T: Send + 'static>(&self, roots: &Roots, new: impl FnOnce() -> T) -> Arc<Mutex<T>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (TypeId::of::<T>(), roots.clone());
        if let Some(Ok(known)) = all.get(&key).map(|state| state.clone().downcast()) {
            return known;
        }
        let created = Arc::new(Mutex::new(new()));
        all.insert(key, created.clone());
        created
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;

    #[test]
    fn state_is_that_of_the_type_and_of_the_trees() {
        let at = |root: &str| Host::live(Roots { root: root.into(), ..Roots::default() });
        *at("/retained").retained(|| 1_u8).lock().unwrap() += 1;
        assert_eq!(*at("/retained").retained(|| 1_u8).lock().unwrap(), 2, "another value of the same host");
        assert_eq!(*at("/retained").retained(|| 1_u16).lock().unwrap(), 1);
        assert_eq!(*at("/retained/other").retained(|| 1_u8).lock().unwrap(), 1);
        let live = at("/retained");
        let recorded = Host::new(Roots { root: "/retained".into(), ..Roots::default() }, live.kernel);
        *recorded.retained(|| 1_u8).lock().unwrap() += 1;
        assert_eq!(*recorded.retained(|| 1_u8).lock().unwrap(), 1);
    }
}
