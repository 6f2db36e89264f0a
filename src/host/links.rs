//! The network interfaces and their counters by one rtnetlink dump: `RTM_GETLINK` of rtnetlink(7). It costs a
//! hundredth of reading the same from `/sys/class/net`, and has what `/proc/net/dev` leaves out.

use rustix::io::Errno;

use super::kernel::Kernel;
use super::netlink::{self, Peer, Question, attributes, u32_at};

/// One network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its number; 0 where the source does not say.
    pub index: u32,
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
const IFLA_IFNAME: u16 = 3;
const IFLA_STATS64: u16 = 23;
const IFINFOMSG: usize = 16;

/// All interfaces of this network namespace, in the kernel's order; `buffer` is room for its messages.
///
/// # Errors
/// As [`netlink::dump`].
pub fn dump(kernel: &dyn Kernel, buffer: &mut Vec<u8>) -> Result<Vec<Link>, Errno> {
    let mut links = Vec::new();
    let question = Question { peer: Peer::Route, kind: RTM_GETLINK, body: &[0; IFINFOMSG] };
    kernel.dump(question, buffer, &mut |body| links.extend(read_link(body)))?;
    Ok(links)
}

fn read_link(body: &[u8]) -> Option<Link> {
    let head = body.get(..IFINFOMSG)?;
    let state = LinkState::from_flags(u32_at(head, 8));
    let mut link = Link { index: u32_at(head, 4), state: Some(state), ..Link::default() };
    for (kind, payload) in attributes(&body[IFINFOMSG..]) {
        match kind {
            IFLA_IFNAME => link.name = netlink::text(payload),
            IFLA_STATS64 => (link.receive, link.transmit) = read_counters(payload),
            _ => {}
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::LiveKernel;

    #[test]
    fn the_running_kernel_tells_of_its_loopback_interface() {
        let links = dump(&LiveKernel::default(), &mut Vec::new()).unwrap();
        let loopback = links.iter().find(|link| link.state.is_some_and(|s| s.loopback)).expect("a loopback interface");
        assert_eq!(loopback.receive.bytes, loopback.transmit.bytes);
    }

    #[test]
    fn an_answer_cut_anywhere_is_an_error_or_a_shorter_list() {
        let mut message = vec![0u8; 16 + IFINFOMSG];
        message.extend([8, 0, 3, 0, b'l', b'o', 0, 0]);
        message.extend(204u16.to_ne_bytes());
        message.extend(IFLA_STATS64.to_ne_bytes());
        message.extend((1..=25u64).flat_map(u64::to_ne_bytes));
        let length = message.len() as u32;
        message[0..4].copy_from_slice(&length.to_ne_bytes());
        const HEADER: usize = 16;
        let read = |message: &[u8]| {
            let mut links = Vec::new();
            let _ = netlink::read_messages(message, &mut |body| links.extend(read_link(body)));
            links
        };
        let whole = read(&message);
        assert_eq!(whole[0].name, "lo");
        assert_eq!(whole[0].receive.drop, 7 + 16);
        assert_eq!(whole[0].receive.nohandler, Some(24));
        for end in 0..message.len() {
            assert!(read(&message[..end]).is_empty());
            // A message that claims to be whole and is not.
            let mut lying = message[..end].to_vec();
            if end >= HEADER {
                lying[0..4].copy_from_slice(&(end as u32).to_ne_bytes());
                let _ = read(&lying);
            }
        }
    }
}
