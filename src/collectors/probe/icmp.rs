//! The prober `icmp`: echo requests over unprivileged sockets, as ping sends them.

mod packet;
mod socket;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use self::socket::{Reply, Socket};
use super::connect::{self, Addresses, Failure};
use super::families;
use super::outcome::{Found, Samples};
use super::points::{PingResult, PingRow, Row};
use crate::config::{Key, KeyInfo, Section, TableInfo};

/// The settings of the prober, and its sockets, which all targets of the module share.
#[derive(Debug)]
pub(super) struct Icmp {
    count: usize,
    packet_interval: Duration,
    payload_size: usize,
    v4: OnceCell<Arc<Socket>>,
    v6: OnceCell<Arc<Socket>>,
}

const COUNT: Key<usize> = Key::new("count", "1", "Echo requests of each probe, at most 100.");
const PACKET_INTERVAL: Key<Duration> =
    Key::new("packet_interval", "\"1s\"", "Time between the echo requests of a probe.");
const PAYLOAD_SIZE: Key<usize> =
    Key::new("payload_size", "56", "Bytes of an echo request after the ICMP header, from 16 to 1400.");
const KEYS: &[KeyInfo] = &[COUNT.info(), PACKET_INTERVAL.info(), PAYLOAD_SIZE.info()];
/// The table of the prober.
pub(super) const TABLE: TableInfo =
    TableInfo { name: "icmp", about: "Echo requests of `prober = \"icmp\"`.", keys: KEYS };

/// Checks a target: a name or an address, without brackets and port.
///
/// # Errors
/// What was expected.
pub(super) fn check(target: &str) -> Result<(), &'static str> {
    let expected = "expected a host without a port, such as example.org or ::1";
    if connect::is_host(target) { Ok(()) } else { Err(expected) }
}

impl Icmp {
    pub(super) fn new(section: &mut Section<'_>, timeout: Duration) -> Icmp {
        let (count, packet_interval) = (section.get(&COUNT), section.above_zero(&PACKET_INTERVAL));
        let payload_size = section.get(&PAYLOAD_SIZE);
        if !(1..=100).contains(&count) {
            section.wrong("count", format!("expected 1 to 100, found {count}"));
        } else if packet_interval.saturating_mul(u32::try_from(count - 1).unwrap_or(u32::MAX)) >= timeout {
            let timeout = humantime::format_duration(timeout);
            section
                .wrong("count", format!("the last request is sent after the timeout of {timeout}: increase timeout"));
        }
        if !(packet::TOKEN..=1400).contains(&payload_size) {
            section.wrong("payload_size", format!("expected {} to 1400, found {payload_size}", packet::TOKEN));
        }
        Icmp { count, packet_interval, payload_size, v4: OnceCell::new(), v6: OnceCell::new() }
    }

    /// Probes one target.
    pub(super) async fn probe(&self, target: &str, addresses: Addresses, timeout: Duration) -> Found {
        let mut done = Exchange::default();
        let failure = match tokio::time::timeout(timeout, self.exchange(target, addresses, &mut done)).await {
            Ok(ended) => ended.err(),
            Err(_) if done.address.is_none() => Some(Failure::Name(format!("{target} was not resolved in time"))),
            // Requests without a reply are lost, which is no failure as long as another has one.
            Err(_) => done.replies.is_empty().then_some(Failure::Timeout(timeout)),
        };
        done.found(failure)
    }

    async fn exchange(&self, target: &str, addresses: Addresses, done: &mut Exchange) -> Result<(), Failure> {
        let resolved = addresses.of(target, 0, &mut done.resolve).await?;
        let Some(&address) = resolved.first() else { return Err(Failure::Name(format!("{target} has no address"))) };
        done.address = Some(address.ip());
        let start = Instant::now();
        let cell = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        let opened = cell.get_or_try_init(|| async { Socket::open(address.is_ipv4()).map_err(Failure::Connection) });
        let socket = opened.await?.clone();
        done.setup = start.elapsed().as_secs_f64();
        let (mut running, mut left) = (JoinSet::new(), self.count);
        let mut ticks = interval(self.packet_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while left > 0 || !running.is_empty() {
            tokio::select! {
                _ = ticks.tick(), if left > 0 => {
                    left -= 1;
                    let sent = socket.send(address, self.payload_size).await;
                    let pending = sent.map_err(|error| connect::unsent(&address.ip().to_string(), &error))?;
                    done.sent += 1;
                    running.spawn(pending.reply());
                }
                Some(ended) = running.join_next() => {
                    done.replies.extend(ended.ok().flatten());
                }
            }
        }
        match done.replies.is_empty() {
            true => Err(Failure::Connection("the socket was closed".to_owned())),
            false => Ok(()),
        }
    }
}

/// What is known of an exchange, as far as it came.
#[derive(Debug, Default)]
struct Exchange {
    address: Option<IpAddr>,
    /// Seconds of the look-up of the name.
    resolve: f64,
    /// Seconds to open the socket.
    setup: f64,
    sent: u64,
    replies: Vec<Reply>,
}

impl Exchange {
    /// The result of a probe that failed for this reason, or succeeded.
    fn found(&self, failure: Option<Failure>) -> Found {
        let result = match &failure {
            None => PingResult::Success,
            Some(Failure::Name(_)) => PingResult::NoHost,
            Some(_) if self.sent > 0 => PingResult::NoReply,
            Some(_) => PingResult::Error,
        };
        let mut samples = Samples::default();
        connect::write_address(self.address, self.resolve, &mut samples);
        let times: Vec<f64> = self.replies.iter().map(|reply| reply.took.as_secs_f64()).collect();
        let rtt = if times.is_empty() { 0.0 } else { times.iter().sum::<f64>() / times.len() as f64 };
        samples.phases(&families::ICMP_DURATION, &[("resolve", self.resolve), ("setup", self.setup), ("rtt", rtt)]);
        let ttl = self.replies.first().and_then(|reply| reply.ttl);
        if let Some(ttl) = ttl {
            samples.add(&families::ICMP_HOP_LIMIT, f64::from(ttl));
        }
        let row = Row::Ping(PingRow { sent: self.sent, times, ttl, result });
        (failure.map(|failure| failure.to_string()), samples, vec![row])
    }
}

#[cfg(test)]
pub(super) mod tests;
