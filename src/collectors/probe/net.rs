//! The probers `tcp` and `udp`: whether a port accepts, and what it sends.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use regex::Regex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

use super::connect::{self, Addresses, Failure, Stream};
use super::families;
use super::outcome::{Found, Samples};
use super::points::{NetResult, NetRow, Row};
use super::tls::{Presented, Tls};
use crate::client::target;
use crate::config::{Key, KeyInfo, Section, TableInfo};

/// The settings of the probers.
#[derive(Debug)]
pub(super) struct Net {
    is_udp: bool,
    send: String,
    expect: Option<Regex>,
    tls: Option<Tls>,
}

const SEND: Key<String> = Key::new("send", "\"\"", "What is sent, such as \"PING\\r\\n\". UDP requires it.");
const EXPECT: Key<Regex> = Key::optional(
    "expect",
    "Regular expression that the response must match: the first line with TCP, the first datagram with UDP, which requires it.",
);
const TLS: Key<bool> = Key::new("tls", "false", "Uses TLS over TCP. The settings of certificates apply.");
const KEYS: &[KeyInfo] = &[SEND.info(), EXPECT.info(), TLS.info()];
/// The table of the probers.
pub(super) const TABLE: TableInfo =
    TableInfo { name: "net", about: "What `prober = \"tcp\"` and `\"udp\"` send, and what they expect.", keys: KEYS };

/// Bytes of a response that are read.
const MAX_RESPONSE: usize = 1024;

impl Net {
    pub(super) fn new(section: &mut Section<'_>, client: &target::Settings, is_udp: bool) -> Net {
        let (send, expect, uses_tls) = (section.get(&SEND), section.optional(&EXPECT), section.get(&TLS));
        if is_udp {
            if send.is_empty() {
                section.wrong("send", "required with UDP, which has no connection that could be accepted");
            }
            if expect.is_none() {
                section.wrong("expect", "required with UDP, which has no connection that could be accepted");
            }
            if uses_tls {
                section.wrong("tls", "expected false with UDP");
            }
        }
        let tls = uses_tls.then(|| Tls::new(client.http.tls.clone(), client.server_name.clone()));
        Net { is_udp, send, expect, tls }
    }

    /// Probes one target.
    pub(super) async fn probe(&self, target: &str, addresses: Addresses, timeout: Duration) -> Found {
        let mut done = Exchange::default();
        let (host, port) = connect::split(target).unwrap_or_default();
        let exchange = async {
            let resolved = addresses.of(&host, port, &mut done.lookup).await?;
            match self.is_udp {
                true => self.udp(&resolved, &mut done).await,
                false => self.tcp(&host, &resolved, timeout, &mut done).await,
            }
        };
        let ended = tokio::time::timeout(timeout, exchange).await;
        let failure = match ended {
            Ok(ended) => ended.err(),
            // A server that accepts and says nothing has not failed to connect.
            Err(_) if done.is_connected => {
                Some(Failure::Body(format!("no response within {}", humantime::format_duration(timeout))))
            }
            Err(_) => Some(Failure::Timeout(timeout)),
        };
        let found = self.expect.as_ref().map(|expect| done.response.as_ref().is_some_and(|text| expect.is_match(text)));
        let result = match &failure {
            Some(Failure::Timeout(_)) => NetResult::Timeout,
            Some(Failure::Name(_) | Failure::Connection(_)) => NetResult::ConnectionFailed,
            Some(Failure::Body(_)) => NetResult::ReadFailed,
            None if found == Some(false) => NetResult::StringMismatch,
            None => NetResult::Success,
        };
        let is_regex = result == NetResult::StringMismatch;
        let mut samples = Samples::default();
        connect::write_address(done.address.map(|address| address.ip()), done.lookup, &mut samples);
        samples.add(&families::FAILED_REGEX, f64::from(u8::from(is_regex)));
        if let Some(presented) = &done.presented {
            presented.write(&mut samples);
        }
        let has_time = matches!(result, NetResult::Success | NetResult::StringMismatch)
            || result == NetResult::ReadFailed && !self.is_udp;
        let row = Row::Net(NetRow {
            server: host,
            port,
            protocol: if self.is_udp { "udp" } else { "tcp" },
            result,
            response_time: done.time.filter(|_| has_time),
            string_found: found,
        });
        let failure = failure.map(|failure| failure.to_string());
        (failure.or_else(|| is_regex.then(|| "the response does not match expect".to_owned())), samples, vec![row])
    }

    async fn tcp(
        &self,
        host: &str,
        addresses: &[SocketAddr],
        timeout: Duration,
        done: &mut Exchange,
    ) -> Result<(), Failure> {
        let start = Instant::now();
        done.address = addresses.first().copied();
        let (stream, address) = connect::tcp(addresses, timeout).await?;
        (done.address, done.time) = (Some(address), Some(start.elapsed().as_secs_f64()));
        let mut stream: Box<dyn Stream> = Box::new(stream);
        if let Some(tls) = &self.tls {
            let (encrypted, presented) = tls.connect(stream, host, &[]).await?;
            let failure = presented.failure(tls);
            done.presented = Some(presented);
            if let Some(failure) = failure {
                return Err(failure);
            }
            (stream, done.time) = (encrypted, Some(start.elapsed().as_secs_f64()));
        }
        done.is_connected = true;
        let failed = |error: std::io::Error| Failure::Body(format!("the connection failed: {error}"));
        stream.write_all(self.send.as_bytes()).await.map_err(failed)?;
        stream.flush().await.map_err(failed)?;
        if self.expect.is_none() {
            return Ok(());
        }
        let mut line = Vec::new();
        while line.len() < MAX_RESPONSE && !line.contains(&b'\n') {
            if stream.read_buf(&mut line).await.map_err(failed)? == 0 {
                break;
            }
        }
        done.time = Some(start.elapsed().as_secs_f64());
        if line.is_empty() {
            return Err(Failure::Body("the server closed the connection without a response".to_owned()));
        }
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        done.response = Some(String::from_utf8_lossy(line).trim_end_matches('\r').to_owned());
        Ok(())
    }

    async fn udp(&self, addresses: &[SocketAddr], done: &mut Exchange) -> Result<(), Failure> {
        let Some(&address) = addresses.first() else { return Err(Failure::Name("no address".to_owned())) };
        let start = Instant::now();
        let any = match address.is_ipv4() {
            true => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            false => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let refused = |error| connect::refused(&address.to_string(), &error);
        let socket = UdpSocket::bind(any).await.map_err(refused)?;
        socket.connect(address).await.map_err(refused)?;
        (done.address, done.is_connected) = (Some(address), true);
        let failed = |error: std::io::Error| Failure::Body(format!("no response from {address}: {error}"));
        socket.send(self.send.as_bytes()).await.map_err(failed)?;
        let mut response = [0; MAX_RESPONSE];
        let length = socket.recv(&mut response).await.map_err(failed)?;
        done.time = Some(start.elapsed().as_secs_f64());
        done.response = Some(String::from_utf8_lossy(&response[..length]).into_owned());
        Ok(())
    }
}

/// What is known of an exchange, as far as it came.
#[derive(Debug, Default)]
struct Exchange {
    /// Seconds of the look-up of the name.
    lookup: f64,
    address: Option<SocketAddr>,
    is_connected: bool,
    /// Seconds from the start of the connection to the connection, or to the response if one is expected.
    time: Option<f64>,
    presented: Option<Presented>,
    response: Option<String>,
}

#[cfg(test)]
mod tests;
