//! The service manager (systemd): status notifications (sd_notify(3)) and socket activation (sd_listen_fds(3)).
//! Without one, these functions do nothing.

#[cfg(unix)]
mod notifier;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use listenfd::ListenFd;
#[cfg(unix)]
use sd_notify::{NotifyState, watchdog_enabled};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

#[cfg(windows)]
use self::no_manager::{NotifyState, finish, notify, watchdog_enabled};
#[cfg(unix)]
use self::notifier::{finish, notify};
use crate::http::{Inherited, ListenAddress};

/// Name of the gateway's sockets; all others serve `/metrics`.
const GATEWAY_SOCKETS: &str = "gateway";

/// The service is ready; `systemctl status` shows `status`.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload is in progress, until [`ready`].
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!("the service manager is not told, for there is no clock: {error}"),
    }
}

/// The service is stopping.
pub fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("finishing requests and sending queued points")]);
}

/// Waits briefly until all notifications are sent, before the process ends.
pub fn flush() {
    finish(Duration::from_secs(1));
}

/// Sends watchdog notifications at twice the required rate for as long as the runtime works; `None` if no watchdog is
/// configured.
pub fn keep_alive() -> Option<JoinHandle<()>> {
    let period = watchdog_enabled()? / 2;
    Some(tokio::spawn(async move {
        let mut ticks = interval(period.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            notify(&[NotifyState::Watchdog]);
        }
    }))
}

/// Sockets passed by the service manager, by their addresses.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Those that serve `/metrics`.
    pub http: BTreeMap<ListenAddress, Inherited>,
    /// The gateway's.
    pub gateway: BTreeMap<ListenAddress, Inherited>,
}

impl Sockets {
    /// Takes ownership of the sockets; a second call finds none.
    ///
    /// # Errors
    /// If one of them is neither a listening TCP socket nor a Unix socket.
    pub fn take() -> io::Result<Sockets> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let (mut passed, mut sockets) = (ListenFd::from_env(), Sockets::default());
        for index in 0..passed.len() {
            let name = names.next().unwrap_or_default();
            let Some(listener) = take(&mut passed, index)? else { continue };
            let address = listener.address()?;
            let group = if name == GATEWAY_SOCKETS { &mut sockets.gateway } else { &mut sockets.http };
            group.insert(address, listener);
        }
        Ok(sockets)
    }
}

/// Takes the socket at `index`: of TCP, or a Unix socket.
fn take(passed: &mut ListenFd, index: usize) -> io::Result<Option<Inherited>> {
    #[cfg(unix)]
    if let Ok(listener) = passed.take_unix_listener(index) {
        return Ok(listener.map(Inherited::Unix));
    }
    Ok(passed.take_tcp_listener(index)?.map(Inherited::Tcp))
}

/// The service's state directory: the first of `StateDirectory=`.
pub fn state_directory() -> Option<PathBuf> {
    let folders = std::env::var_os("STATE_DIRECTORY")?;
    std::env::split_paths(&folders).next().filter(|folder| !folder.as_os_str().is_empty())
}

/// Systems without a service manager.
#[cfg(windows)]
mod no_manager {
    use std::io;
    use std::time::Duration;

    #[allow(dead_code)]
    pub(super) enum NotifyState<'a> {
        Ready,
        Status(&'a str),
        Reloading,
        Now,
        Stopping,
        Watchdog,
    }

    impl NotifyState<'_> {
        pub(super) fn monotonic_usec_now() -> io::Result<Self> {
            Ok(NotifyState::Now)
        }
    }

    pub(super) fn notify(_: &[NotifyState<'_>]) {}

    pub(super) fn finish(_: Duration) {}

    pub(super) fn watchdog_enabled() -> Option<Duration> {
        None
    }
}
