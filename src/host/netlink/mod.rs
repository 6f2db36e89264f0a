//! Dumps by netlink(7).

#[cfg_attr(not(target_os = "linux"), path = "no_socket.rs")]
mod socket;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use self::socket::Socket;
use super::errno::Errno;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST_DUMP: u16 = 0x1 | 0x300;
const HEADER: usize = 16;
/// Maximum size of a datagram: NLMSG_GOODSIZE, rounded up.
#[cfg(target_os = "linux")]
const LONGEST_DATAGRAM: usize = 64 << 10;

/// The subsystem of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// rtnetlink(7): interfaces, routes, queueing.
    Route,
    /// sock_diag(7): sockets.
    Sockets,
    /// Generic netlink: subsystems that register by name.
    Generic,
}

/// The number of subsystems.
pub(super) const PEERS: usize = 3;

/// A dump request.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The subsystem.
    pub peer: Peer,
    /// The message type.
    pub kind: u16,
    /// The payload after the message header.
    pub body: &'a [u8],
}

/// Makes a dump and passes the body of each message to `each`. `buffer` holds the datagrams.
///
/// # Errors
/// The error of the socket or the kernel; `EPROTO` if the dump is truncated.
pub fn dump(
    socket: &Socket,
    question: Question<'_>,
    buffer: &mut Vec<u8>,
    each: &mut dyn FnMut(&[u8]),
) -> Result<(), Errno> {
    let mut request = vec![0; HEADER];
    request[0..4].copy_from_slice(&((HEADER + question.body.len()) as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&question.kind.to_ne_bytes());
    request[6..8].copy_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
    request.extend_from_slice(question.body);
    socket.send(&request)?;
    loop {
        socket.receive(buffer)?;
        if read_messages(buffer, each)? == Dump::Complete {
            return Ok(());
        }
    }
}

/// Whether a dump continues after a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Dump {
    Complete,
    Continues,
}

/// The bodies of the messages in a datagram.
pub(super) fn read_messages(mut datagram: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<Dump, Errno> {
    while datagram.len() >= HEADER {
        let length = u32_at(datagram, 0) as usize;
        if length < HEADER || length > datagram.len() {
            return Err(Errno::PROTO);
        }
        let (message, body) = (&datagram[..length], &datagram[HEADER..length]);
        match u16_at(message, 4) {
            NLMSG_DONE => return Ok(Dump::Complete),
            NLMSG_ERROR => return Err(error_of(body)),
            _ => each(body),
        }
        datagram = &datagram[align(length).min(datagram.len())..];
    }
    Ok(Dump::Continues)
}

/// `struct nlmsgerr`.
fn error_of(body: &[u8]) -> Errno {
    let number = |code: &[u8; 4]| Errno::from_raw_os_error(i32::from_ne_bytes(*code).saturating_neg());
    body.first_chunk().map_or(Errno::PROTO, number)
}

/// The attributes after a message's structure, with their types, up to a truncated one.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// Flags for nested attributes and byte order, which are in the type.
    const TYPE: u16 = 0x3fff;
    std::iter::from_fn(move || {
        let length = (bytes.len() >= 4).then(|| u16_at(bytes, 0) as usize)?;
        let payload = bytes.get(4..length)?;
        let kind = u16_at(bytes, 2) & TYPE;
        bytes = &bytes[align(length).min(bytes.len())..];
        Some((kind, payload))
    })
}

/// The payload of the first attribute of type `wanted`.
pub fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, payload)| payload)
}

/// The 32-bit number at `offset`; 0 past the end.
pub fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |chunk| u32::from_ne_bytes(*chunk))
}

/// The 16-bit number at `offset`; 0 past the end.
pub fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |chunk| u16::from_ne_bytes(*chunk))
}

/// The 64-bit number at `offset`; 0 past the end.
pub fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |chunk| u64::from_ne_bytes(*chunk))
}

/// An IPv4 or IPv6 address; `None` if the length is that of neither.
pub fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => bytes.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets).into()),
        16 => bytes.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).into()),
        _ => None,
    }
}

/// A NUL-terminated text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

/// Formats a hardware address as sysfs does, such as `02:fc:00:00:00:01`.
pub fn write_hardware_address(out: &mut String, bytes: &[u8]) {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    for (place, byte) in bytes.iter().enumerate() {
        let separator = (place > 0).then_some(':');
        out.extend(separator.into_iter().chain([digit(byte >> 4), digit(byte & 0xf)]));
    }
}

fn align(length: usize) -> usize {
    length.saturating_add(3) & !3
}
