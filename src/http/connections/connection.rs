//! One connection: its state, and how it is evicted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use tokio::sync::Notify;

use super::{AddressState, Connections, evict_first};

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum State {
    /// Its response is sent.
    Idle,
    /// Its first head is awaited.
    AwaitingHead,
    /// The remainder of a request's body is awaited.
    AwaitingBody,
    /// The client is to read the response.
    Responding,
    /// The request is being processed.
    Processing,
}

/// An open connection.
pub(in crate::http) struct Connection {
    pub(super) id: u64,
    pub(super) address: Arc<AddressState>,
    /// Whether it was accepted over the limit: only probes are answered.
    pub(in crate::http) is_over_limit: bool,
    /// A [`State`] and the logical time of its start: within a state, the lowest is evicted first.
    pub(super) state: AtomicU64,
    /// Whether the last byte of its response is queued.
    is_response_queued: AtomicBool,
    /// Whether a read has blocked since the last request.
    has_waited: AtomicBool,
    /// Whether part of the last request's body is unread.
    is_body_unread: AtomicBool,
    eviction: Notify,
    all: &'static Connections,
}

/// The distance between two states.
pub(super) const KIND: u64 = 1 << 60;
const AWAITING_BODY: u64 = State::AwaitingBody as u64 * KIND;
const PROCESSING: u64 = State::Processing as u64 * KIND;
const EVICTED: u64 = PROCESSING + KIND;

impl Connections {
    /// The value of a state that starts now.
    fn start_of(&self, state: State) -> u64 {
        match state {
            State::Processing => PROCESSING,
            waiting => (waiting as u64 * KIND) | self.clock.fetch_add(1, Relaxed),
        }
    }
}

/// Removes its connection when dropped.
pub(in crate::http) struct Registration {
    pub(in crate::http) connection: Arc<Connection>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut inner = self.connection.all.lock();
        if inner.connections.remove(&self.connection.id).is_some_and(|connection| !connection.is_evicted()) {
            inner.count(&self.connection, usize::wrapping_sub);
        }
    }
}

impl Connection {
    pub(super) fn new(
        id: u64,
        address: Arc<AddressState>,
        is_over_limit: bool,
        all: &'static Connections,
    ) -> Connection {
        Connection {
            id,
            address,
            is_over_limit,
            state: AtomicU64::new(all.start_of(State::AwaitingHead)),
            is_response_queued: AtomicBool::new(false),
            has_waited: AtomicBool::new(true),
            is_body_unread: AtomicBool::new(false),
            eviction: Notify::new(),
            all,
        }
    }

    /// Sets the state. Returns `false` if the connection is evicted.
    pub(in crate::http) fn set_state(&self, state: State) -> bool {
        self.set_state_value(self.all.start_of(state))
    }

    fn set_state_value(&self, new: u64) -> bool {
        self.state.fetch_update(Relaxed, Relaxed, |old| (old != EVICTED).then_some(new)).is_ok()
    }

    /// Starts a request, whose body `is_complete` or is awaited. The result identifies it for
    /// [`Connection::body_is_received`].
    pub(in crate::http) fn begin_request(&self, is_complete: bool) -> u64 {
        self.is_response_queued.store(false, Relaxed);
        self.is_body_unread.store(!is_complete, Relaxed);
        let request = self.all.start_of(if is_complete { State::Processing } else { State::AwaitingBody });
        self.set_state_value(request);
        request
    }

    /// The awaited body of `request` is complete, or no longer awaited.
    pub(in crate::http) fn body_is_received(&self, request: u64) {
        let _ = self.state.compare_exchange(request, PROCESSING, Relaxed, Relaxed);
    }

    /// The body was read to its end.
    pub(in crate::http) fn body_is_read(&self) {
        self.is_body_unread.store(false, Relaxed);
    }

    /// Whether part of the last request's body is unread. Its end is unknown then, so the connection cannot be reused.
    pub(in crate::http) fn is_body_unread(&self) -> bool {
        self.is_body_unread.load(Relaxed)
    }

    /// A read has blocked.
    pub(in crate::http) fn read_blocked(&self) {
        self.has_waited.store(true, Relaxed);
    }

    /// Whether the current request arrived together with the one before it. To be called once per request.
    pub(in crate::http) fn is_pipelined(&self) -> bool {
        !self.has_waited.swap(false, Relaxed)
    }

    /// The response is complete and queued.
    pub(in crate::http) fn response_is_queued(&self) {
        self.is_response_queued.store(true, Relaxed);
    }

    /// The output is flushed. Returns whether the connection is now idle.
    pub(in crate::http) fn flush_completed(&self) -> bool {
        self.is_response_queued.swap(false, Relaxed) && self.set_state(State::Idle)
    }

    /// Whether no request is in flight.
    pub(in crate::http) fn is_idle(&self) -> bool {
        self.state.load(Relaxed) < AWAITING_BODY
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.state.load(Relaxed) == EVICTED
    }

    /// Evicts it if its state is still `state`.
    pub(super) fn evict(&self, state: u64) -> bool {
        let is_evicted = self.state.compare_exchange(state, EVICTED, Relaxed, Relaxed).is_ok();
        if is_evicted {
            self.eviction.notify_one();
        }
        is_evicted
    }

    /// Registers that the response is generated while it is sent, until the result is dropped. Over the limit of such
    /// responses, the one whose client has been waited for longest is evicted.
    pub(in crate::http) fn stream(self: &Arc<Self>) -> Streaming {
        let mut inner = self.all.lock();
        while inner.streams.values().filter(|connection| !connection.is_evicted()).count() >= Connections::MAX_STREAMS {
            let Some(first) = evict_first(inner.streams.values()).cloned() else { break };
            inner.count_eviction(&first);
        }
        let id = inner.next_id();
        inner.streams.insert(id, self.clone());
        Streaming { id, all: self.all }
    }

    /// Waits until the connection is evicted.
    pub(in crate::http) async fn evicted(&self) {
        self.eviction.notified().await;
    }

    /// Counts a request refused over the limit.
    pub(in crate::http) fn count_refused(&self) {
        self.address.refused.fetch_add(1, Relaxed);
    }
}

/// A response that is generated while it is sent.
pub(in crate::http) struct Streaming {
    id: u64,
    all: &'static Connections,
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.all.lock().streams.remove(&self.id);
    }
}
