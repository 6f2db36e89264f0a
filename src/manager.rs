//! The service manager, as systemd speaks it: what it is told (sd_notify(3)), and the sockets that it hands over
//! (sd_listen_fds(3)). Without one, nothing is told and there are none.

#[cfg(unix)]
mod teller;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use listenfd::ListenFd;
#[cfg(unix)]
use sd_notify::{NotifyState, watchdog_enabled};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

#[cfg(windows)]
use self::nobody::{NotifyState, finish, tell, watchdog_enabled};
#[cfg(unix)]
use self::teller::{finish, tell};

/// The name of sockets that are the gateway's; all others are pulled from.
const OF_THE_GATEWAY: &str = "gateway";

/// Everything is there; `status` is shown by `systemctl status`.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is being read again; [`ready`] says that it is done.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!("the service manager is not told, for there is no clock: {error}"),
    }
}

/// The end has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("answering what was asked, and sending what waits")]);
}

/// Waits until everything was told, though not for ever; the process may end then.
pub fn told() {
    finish(Duration::from_secs(1));
}

/// Tells that the process is alive, twice as often as it must, as long as its runtime goes on; nothing if nobody asks.
pub fn keep_alive() -> Option<JoinHandle<()>> {
    let every = watchdog_enabled()? / 2;
    Some(tokio::spawn(async move {
        let mut ticks = interval(every.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    }))
}

/// Sockets that were handed over, by the addresses that they listen on.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Those that are pulled from.
    pub http: BTreeMap<SocketAddr, TcpListener>,
    /// The gateway's.
    pub gateway: BTreeMap<SocketAddr, TcpListener>,
}

impl Sockets {
    /// Takes them over; the next call finds none.
    ///
    /// # Errors
    /// That one of them is no listening TCP socket.
    pub fn take() -> io::Result<Sockets> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let (mut handed, mut sockets) = (ListenFd::from_env(), Sockets::default());
        for index in 0..handed.len() {
            let name = names.next().unwrap_or_default();
            let Some(listener) = handed.take_tcp_listener(index)? else { continue };
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            let of = if name == OF_THE_GATEWAY { &mut sockets.gateway } else { &mut sockets.http };
            of.insert(address, listener);
        }
        Ok(sockets)
    }
}

/// The folder in which the service may keep what it needs: the first of `StateDirectory=`.
pub fn state_directory() -> Option<PathBuf> {
    let folders = std::env::var_os("STATE_DIRECTORY")?;
    std::env::split_paths(&folders).next().filter(|folder| !folder.as_os_str().is_empty())
}

/// Where nobody is to be told.
#[cfg(windows)]
mod nobody {
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

    pub(super) fn tell(_: &[NotifyState<'_>]) {}

    pub(super) fn finish(_: Duration) {}

    pub(super) fn watchdog_enabled() -> Option<Duration> {
        None
    }
}
