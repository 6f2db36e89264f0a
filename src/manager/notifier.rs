//! Sends notifications from a separate thread: a service manager that does not read must not block anything else.

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;

/// Maximum number of queued messages; further ones are dropped.
const MAX_MESSAGES: usize = 64;

static NOTIFIER: OnceLock<Option<SyncSender<Message>>> = OnceLock::new();

enum Message {
    States(String),
    /// Confirms that all earlier messages were sent.
    Done(Sender<()>),
}

fn notifier() -> Option<&'static SyncSender<Message>> {
    let start = || {
        std::env::var_os("NOTIFY_SOCKET")?;
        let (notifier, messages) = sync_channel(MAX_MESSAGES);
        let started = thread::Builder::new().name("manager".to_owned()).spawn(move || notify_all(&messages));
        started.inspect_err(|error| tracing::error!("no thread to tell the service manager with: {error}")).ok()?;
        Some(notifier)
    };
    NOTIFIER.get_or_init(start).as_ref()
}

fn notify_all(messages: &Receiver<Message>) {
    for message in messages {
        match message {
            Message::States(states) => {
                if let Err(error) = sd_notify::notify(&[NotifyState::Custom(&states)]) {
                    tracing::debug!("the service manager cannot be told: {error}");
                }
            }
            Message::Done(done) => drop(done.send(())),
        }
    }
}

/// Queues a notification, if there is a service manager. Never blocks.
pub(super) fn notify(states: &[NotifyState<'_>]) {
    if let Some(notifier) = notifier() {
        let states = states.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let _ = notifier.try_send(Message::States(states));
    }
}

/// Waits until all queued messages are sent, for at most `timeout`.
pub(super) fn finish(timeout: Duration) {
    let Some(notifier) = notifier() else { return };
    let (done, is_done) = channel();
    if notifier.try_send(Message::Done(done)).is_ok() {
        let _ = is_done.recv_timeout(timeout);
    }
}
