//! Asking the kernel by netlink(7) for all that it knows of something: a dump.

#[cfg_attr(not(target_os = "linux"), path = "no_socket.rs")]
mod socket;

pub use self::socket::Socket;
use super::errno::Errno;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST_DUMP: u16 = 0x1 | 0x300;
const HEADER: usize = 16;
/// The kernel gives up to this much at a time, NLMSG_GOODSIZE rounded up.
#[cfg(target_os = "linux")]
const LONGEST_DATAGRAM: usize = 64 << 10;

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// rtnetlink(7): interfaces, routes, queueing.
    Route,
    /// sock_diag(7): sockets.
    Sockets,
    /// Generic netlink: subsystems that register by name.
    Generic,
}

/// How many there are.
pub(super) const PEERS: usize = 3;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who is asked.
    pub peer: Peer,
    /// The message's type.
    pub kind: u16,
    /// What stands behind the message's header.
    pub body: &'a [u8],
}

/// Asks for everything that `question` is after, and hands the body of each answer to `each`; `buffer` is room for
/// messages.
///
/// # Errors
/// What the socket calls and the kernel answer; `EPROTO` if the answer is cut short.
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

/// Whether a dump goes on behind a datagram.
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

/// The attributes behind a message's own structure, each with its type; they end where one is cut short.
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

/// What the first attribute of type `wanted` holds.
pub fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, payload)| payload)
}

/// The number at `offset`; 0 if the message ends before it.
pub fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |chunk| u32::from_ne_bytes(*chunk))
}

/// The same of two bytes.
pub fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |chunk| u16::from_ne_bytes(*chunk))
}

/// The same of eight bytes.
pub fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |chunk| u64::from_ne_bytes(*chunk))
}

/// A text that ends in a zero byte.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

/// Writes the address of a network card as sysfs does, such as `02:fc:00:00:00:01`.
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
