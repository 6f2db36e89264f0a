//! The network interfaces and their counters by one rtnetlink dump: `RTM_GETLINK` of rtnetlink(7). It costs a
//! hundredth of reading the same from `/sys/class/net`, and has what `/proc/net/dev` leaves out.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::{self, Errno};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{recv, sendto, socket_with, sockopt};

/// One network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Whether it is administratively up, and whether it is a loopback interface; unknown where the source does not say.
    pub state: Option<LinkState>,
    /// Received.
    pub receive: Receive,
    /// Transmitted.
    pub transmit: Transmit,
}

/// The flags of an interface that filters ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// `IFF_UP`.
    pub up: bool,
    /// `IFF_LOOPBACK`.
    pub loopback: bool,
}

impl LinkState {
    /// The state in the flags of netdevice(7).
    pub fn from_flags(flags: u32) -> Self {
        LinkState { up: flags & 0x1 != 0, loopback: flags & 0x8 != 0 }
    }
}

/// What an interface received, folded as `/proc/net/dev` folds it: net/core/net-procfs.c, `dev_seq_printf_stats`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receive {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Errors of all kinds.
    pub errs: u64,
    /// Packets dropped for want of room, or missed by the device.
    pub drop: u64,
    /// Overruns of the device's queue.
    pub fifo: u64,
    /// Length, ring-buffer, checksum and framing errors.
    pub frame: u64,
    /// Compressed packets.
    pub compressed: u64,
    /// Multicast packets.
    pub multicast: u64,
    /// Packets for which no protocol handler was found; `/proc/net/dev` does not have it.
    pub nohandler: Option<u64>,
}

/// What an interface transmitted, folded as `/proc/net/dev` folds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transmit {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Errors of all kinds.
    pub errs: u64,
    /// Dropped packets.
    pub drop: u64,
    /// Underruns of the device's queue.
    pub fifo: u64,
    /// Collisions.
    pub colls: u64,
    /// Lost carrier, aborts, heartbeat and window errors.
    pub carrier: u64,
    /// Compressed packets.
    pub compressed: u64,
}

const RTM_GETLINK: u16 = 18;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST_DUMP: u16 = 0x1 | 0x300;
const IFLA_IFNAME: u16 = 3;
const IFLA_STATS64: u16 = 23;
const HEADER: usize = 16;
const IFINFOMSG: usize = 16;
/// The kernel gives up to this much at a time, NLMSG_GOODSIZE rounded up.
const RECEIVE_BUFFER: usize = 64 << 10;

/// A socket to ask the kernel with. One whose answer was not read to the end must not be asked again.
///
/// # Errors
/// What the socket calls answer.
pub fn open() -> Result<OwnedFd, Errno> {
    const NETLINK_ROUTE: Option<Protocol> = None;
    const PATIENCE: Option<Duration> = Some(Duration::from_secs(2));
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, NETLINK_ROUTE)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, PATIENCE)?;
    Ok(socket)
}

/// All interfaces of this network namespace, in the kernel's order; `buffer` is room for its messages.
///
/// # Errors
/// What the socket calls answer; `EPROTO` if the kernel's answer is cut short.
pub fn dump(socket: &OwnedFd, buffer: &mut Vec<u8>) -> Result<Vec<Link>, Errno> {
    sendto(socket, &get_link_request(), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;

    let mut links = Vec::new();
    buffer.resize(RECEIVE_BUFFER, 0);
    loop {
        let (_, length) = io::retry_on_intr(|| recv(socket, &mut buffer[..], RecvFlags::empty()))?;
        if read_messages(&buffer[..length.min(RECEIVE_BUFFER)], &mut links)? == Dump::Complete {
            return Ok(links);
        }
    }
}

#[derive(PartialEq, Eq)]
enum Dump {
    Complete,
    Continues,
}

fn get_link_request() -> [u8; HEADER + IFINFOMSG] {
    let mut request = [0; HEADER + IFINFOMSG];
    request[0..4].copy_from_slice(&((HEADER + IFINFOMSG) as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&RTM_GETLINK.to_ne_bytes());
    request[6..8].copy_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
    request
}

fn read_messages(mut datagram: &[u8], links: &mut Vec<Link>) -> Result<Dump, Errno> {
    while datagram.len() >= HEADER {
        let length = u32_at(datagram, 0) as usize;
        if length < HEADER || length > datagram.len() {
            return Err(Errno::PROTO);
        }
        let (message, body) = (&datagram[..length], &datagram[HEADER..length]);
        match u16_at(message, 4) {
            NLMSG_DONE => return Ok(Dump::Complete),
            NLMSG_ERROR => return Err(Errno::from_raw_os_error(i32_error(body))),
            _ => links.extend(read_link(body)),
        }
        datagram = &datagram[align(length).min(datagram.len())..];
    }
    Ok(Dump::Continues)
}

fn i32_error(body: &[u8]) -> i32 {
    body.first_chunk().map_or(Errno::PROTO.raw_os_error(), |code| i32::from_ne_bytes(*code).saturating_neg())
}

fn read_link(body: &[u8]) -> Option<Link> {
    let state = LinkState::from_flags(u32_at(body.get(..IFINFOMSG)?, 8));
    let mut link = Link { state: Some(state), ..Link::default() };
    let mut attributes = &body[IFINFOMSG..];
    while attributes.len() >= 4 {
        let length = u16_at(attributes, 0) as usize;
        let payload = attributes.get(4..length)?;
        match u16_at(attributes, 2) {
            IFLA_IFNAME => {
                let name = payload.split(|byte| *byte == 0).next().unwrap_or_default();
                link.name = String::from_utf8_lossy(name).into_owned();
            }
            IFLA_STATS64 => (link.receive, link.transmit) = read_counters(payload),
            _ => {}
        }
        attributes = &attributes[align(length).min(attributes.len())..];
    }
    (!link.name.is_empty()).then_some(link)
}

/// `struct rtnl_link_stats64` of include/uapi/linux/if_link.h; later kernels append to it.
fn read_counters(payload: &[u8]) -> (Receive, Transmit) {
    let known: Vec<u64> =
        payload.chunks_exact(8).map(|c| u64::from_ne_bytes(c.try_into().unwrap_or_default())).collect();
    let counter = |index: usize| known.get(index).copied().unwrap_or(0);
    let sum = |indices: &[usize]| indices.iter().fold(0u64, |sum, index| sum.wrapping_add(counter(*index)));
    const NOHANDLER: usize = 23;
    let receive = Receive {
        packets: counter(0),
        bytes: counter(2),
        errs: counter(4),
        drop: sum(&[6, 15]),
        multicast: counter(8),
        frame: sum(&[10, 11, 12, 13]),
        fifo: counter(14),
        compressed: counter(21),
        nohandler: known.get(NOHANDLER).copied(),
    };
    let transmit = Transmit {
        packets: counter(1),
        bytes: counter(3),
        errs: counter(5),
        drop: counter(7),
        colls: counter(9),
        carrier: sum(&[16, 17, 19, 20]),
        fifo: counter(18),
        compressed: counter(22),
    };
    (receive, transmit)
}

fn align(length: usize) -> usize {
    (length + 3) & !3
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_ne_bytes([b[0], b[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_kernel_tells_of_its_loopback_interface() {
        let links = dump(&open().unwrap(), &mut Vec::new()).unwrap();
        let loopback = links.iter().find(|link| link.state.is_some_and(|s| s.loopback)).expect("a loopback interface");
        assert_eq!(loopback.receive.bytes, loopback.transmit.bytes);
    }

    #[test]
    fn an_answer_cut_anywhere_is_an_error_or_a_shorter_list() {
        let mut message = vec![0u8; HEADER + IFINFOMSG];
        message.extend([8, 0, 3, 0, b'l', b'o', 0, 0]);
        message.extend(204u16.to_ne_bytes());
        message.extend(IFLA_STATS64.to_ne_bytes());
        message.extend((1..=25u64).flat_map(u64::to_ne_bytes));
        let length = message.len() as u32;
        message[0..4].copy_from_slice(&length.to_ne_bytes());
        let mut whole = Vec::new();
        assert!(read_messages(&message, &mut whole).is_ok());
        assert_eq!(whole[0].name, "lo");
        assert_eq!(whole[0].receive.drop, 7 + 16);
        assert_eq!(whole[0].receive.nohandler, Some(24));
        for end in 0..message.len() {
            let mut links = Vec::new();
            let _ = read_messages(&message[..end], &mut links);
            assert!(links.is_empty());
            // A message that claims to be whole and is not.
            let mut lying = message[..end].to_vec();
            if end >= HEADER {
                lying[0..4].copy_from_slice(&(end as u32).to_ne_bytes());
                let _ = read_messages(&lying, &mut links);
            }
        }
    }
}
