//! Who tells the service manager, with a thread of his own: one that does not read would hold up everything else.

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use sd_notify::{NotifyState, notify};

/// Messages that may wait; beyond, they are left out.
const MOST: usize = 64;

static TELLER: OnceLock<Option<SyncSender<Message>>> = OnceLock::new();

enum Message {
    States(String),
    /// Everything before this was told.
    Done(Sender<()>),
}

fn teller() -> Option<&'static SyncSender<Message>> {
    let start = || {
        std::env::var_os("NOTIFY_SOCKET")?;
        let (teller, messages) = sync_channel(MOST);
        let started = thread::Builder::new().name("manager".to_owned()).spawn(move || tell_all(&messages));
        started.inspect_err(|error| tracing::error!("no thread to tell the service manager with: {error}")).ok()?;
        Some(teller)
    };
    TELLER.get_or_init(start).as_ref()
}

fn tell_all(messages: &Receiver<Message>) {
    for message in messages {
        match message {
            Message::States(states) => {
                if let Err(error) = notify(&[NotifyState::Custom(&states)]) {
                    tracing::debug!("the service manager cannot be told: {error}");
                }
            }
            Message::Done(done) => drop(done.send(())),
        }
    }
}

/// Tells the service manager, if there is one; this waits for nothing.
pub(super) fn tell(states: &[NotifyState<'_>]) {
    if let Some(teller) = teller() {
        let states = states.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let _ = teller.try_send(Message::States(states));
    }
}

/// Waits until everything was told, but no longer than `patience`.
pub(super) fn finish(patience: Duration) {
    let Some(teller) = teller() else { return };
    let (done, is_done) = channel();
    if teller.try_send(Message::Done(done)).is_ok() {
        let _ = is_done.recv_timeout(patience);
    }
}
