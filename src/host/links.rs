//! Network interfaces and their counters by one rtnetlink dump: `RTM_GETLINK` of rtnetlink(7). It costs a hundredth of
//! reading `/sys/class/net`, and has more than `/proc/net/dev`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::errno::Errno;

use super::kernel::Kernel;
use super::netlink::{Peer, Question, attributes, u32_at, write_hardware_address};

/// One network interface and its counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index; 0 if unknown.
    pub index: u32,
    /// Its name.
    pub name: Arc<str>,
    /// Whether it is administratively up, and whether it is a loopback interface, if known.
    pub state: Option<LinkState>,
    /// Received.
    pub receive: Receive,
    /// Transmitted.
    pub transmit: Transmit,
}

impl Default for Link {
    fn default() -> Self {
        Link { index: 0, name: "".into(), state: None, receive: Receive::default(), transmit: Transmit::default() }
    }
}

/// A network interface with all attributes of rtnetlink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name and counters.
    pub link: Link,
    /// Its attributes.
    pub details: Details,
}

/// Attributes of `RTM_NEWLINK`, include/uapi/linux/if_link.h. Those that old kernels lack are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Hardware type, `ARPHRD_*`.
    pub hardware: u16,
    /// `IFF_*` of netdevice(7), including the operational ones.
    pub flags: u32,
    /// Its address, as `02:fc:00:00:00:01`; empty if it has none.
    pub address: String,
    /// Its broadcast address, likewise.
    pub broadcast: String,
    /// Its alias; empty if none.
    pub alias: String,
    /// Its alternative names.
    pub altnames: Vec<String>,
    /// MTU in bytes.
    pub mtu: u32,
    /// Length of the transmit queue in packets.
    pub queue_length: u32,
    /// Its interface group.
    pub group: u32,
    /// Index of the interface that it is linked to; `None` if only to itself.
    pub linked_to: Option<u32>,
    /// `IF_OPER_*` of RFC 2863.
    pub operational_state: u8,
    /// `IF_LINK_MODE_*`.
    pub link_mode: u8,
    /// Whether there is a carrier.
    pub has_carrier: Option<bool>,
    /// Carrier changes, carrier up and carrier down events.
    pub carrier_changes: [Option<u32>; 3],
    /// Users of promiscuous mode and of all-multicast mode.
    pub promiscuity: [Option<u32>; 2],
}

impl Details {
    fn clear(&mut self) {
        let Details { mut address, mut broadcast, mut alias, mut altnames, .. } = std::mem::take(self);
        [&mut address, &mut broadcast, &mut alias].into_iter().for_each(String::clear);
        altnames.clear();
        *self = Details { address, broadcast, alias, altnames, ..Details::default() };
    }
}

/// The interfaces, read once a round.
#[derive(Debug, Default)]
pub(super) struct SharedLinks {
    read: Mutex<Option<(Instant, Arc<Vec<Interface>>)>>,
}

impl SharedLinks {
    /// All interfaces, read at `since` or later.
    pub(super) fn get(
        &self,
        since: Instant,
        kernel: &dyn Kernel,
        buffer: &mut Vec<u8>,
    ) -> Result<Arc<Vec<Interface>>, Errno> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, interfaces)) = read.as_ref().filter(|(at, _)| *at >= since) {
            return Ok(interfaces.clone());
        }
        let now = Instant::now();
        let mut interfaces = read.take().map(|(_, interfaces)| interfaces).unwrap_or_default();
        if Arc::get_mut(&mut interfaces).is_none() {
            interfaces = Arc::default();
        }
        if let Some(interfaces) = Arc::get_mut(&mut interfaces) {
            dump(kernel, buffer, interfaces)?;
        }
        *read = Some((now, interfaces.clone()));
        Ok(interfaces)
    }
}

/// Flags of an interface that filters use.
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
    /// Packets dropped for lack of buffers, or missed by the device.
    pub drop: u64,
    /// Overruns of the device's queue.
    pub fifo: u64,
    /// Length, ring-buffer, checksum and framing errors.
    pub frame: u64,
    /// Compressed packets.
    pub compressed: u64,
    /// Multicast packets.
    pub multicast: u64,
    /// Packets without a protocol handler; not in `/proc/net/dev`.
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
const IFLA_ADDRESS: u16 = 1;
const IFLA_BROADCAST: u16 = 2;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_TXQLEN: u16 = 13;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKMODE: u16 = 17;
const IFLA_IFALIAS: u16 = 20;
const IFLA_STATS64: u16 = 23;
const IFLA_GROUP: u16 = 27;
const IFLA_PROMISCUITY: u16 = 30;
const IFLA_CARRIER: u16 = 33;
const IFLA_CARRIER_CHANGES: u16 = 35;
const IFLA_CARRIER_UP_COUNT: u16 = 47;
const IFLA_CARRIER_DOWN_COUNT: u16 = 48;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;
const IFLA_ALLMULTI: u16 = 61;
const IFINFOMSG: usize = 16;

/// Reads all interfaces of this network namespace into `interfaces`, in the kernel's order. `buffer` holds the kernel's
/// messages; both allocations are reused.
///
/// # Errors
/// As [`netlink::dump`](super::netlink::dump).
fn dump(kernel: &dyn Kernel, buffer: &mut Vec<u8>, interfaces: &mut Vec<Interface>) -> Result<(), Errno> {
    let question = Question { peer: Peer::Route, kind: RTM_GETLINK, body: &[0; IFINFOMSG] };
    let mut count = 0;
    kernel.dump(question, buffer, &mut |body| {
        if interfaces.len() == count {
            interfaces.push(Interface::default());
        }
        count += usize::from(interfaces[count].read(body));
    })?;
    interfaces.truncate(count);
    Ok(())
}

impl Interface {
    /// Parses the message into itself. Returns whether it is about an interface.
    fn read(&mut self, body: &[u8]) -> bool {
        let Some(head) = body.get(..IFINFOMSG) else { return false };
        let Interface { link, details } = self;
        details.clear();
        details.hardware = super::netlink::u16_at(head, 2);
        details.flags = u32_at(head, 8);
        link.index = u32_at(head, 4);
        link.state = Some(LinkState::from_flags(details.flags));
        let mut is_named = false;
        for (kind, payload) in attributes(&body[IFINFOMSG..]) {
            let number = || u32_at(payload, 0);
            let byte = || payload.first().copied().unwrap_or(0);
            match kind {
                IFLA_IFNAME => {
                    let name = payload.split(|byte| *byte == 0).next().unwrap_or_default();
                    if link.name.as_bytes() != name {
                        link.name = String::from_utf8_lossy(name).into();
                    }
                    is_named = !name.is_empty();
                }
                IFLA_STATS64 => (link.receive, link.transmit) = read_counters(payload),
                IFLA_ADDRESS => write_hardware_address(&mut details.address, payload),
                IFLA_BROADCAST => write_hardware_address(&mut details.broadcast, payload),
                IFLA_IFALIAS => details.alias.push_str(&super::netlink::text(payload)),
                IFLA_PROP_LIST => {
                    let names = attributes(payload).filter(|(kind, _)| *kind == IFLA_ALT_IFNAME);
                    details.altnames.extend(names.map(|(_, name)| super::netlink::text(name)));
                }
                IFLA_MTU => details.mtu = number(),
                IFLA_LINK => details.linked_to = Some(number()),
                IFLA_TXQLEN => details.queue_length = number(),
                IFLA_GROUP => details.group = number(),
                IFLA_OPERSTATE => details.operational_state = byte(),
                IFLA_LINKMODE => details.link_mode = byte(),
                IFLA_CARRIER => details.has_carrier = Some(byte() != 0),
                IFLA_CARRIER_CHANGES => details.carrier_changes[0] = Some(number()),
                IFLA_CARRIER_UP_COUNT => details.carrier_changes[1] = Some(number()),
                IFLA_CARRIER_DOWN_COUNT => details.carrier_changes[2] = Some(number()),
                IFLA_PROMISCUITY => details.promiscuity[0] = Some(number()),
                IFLA_ALLMULTI => details.promiscuity[1] = Some(number()),
                _ => {}
            }
        }
        is_named
    }
}

/// `struct rtnl_link_stats64` of include/uapi/linux/if_link.h; later kernels append to it.
fn read_counters(payload: &[u8]) -> (Receive, Transmit) {
    let known = |index: usize| payload.get(index * 8..)?.first_chunk().map(|chunk| u64::from_ne_bytes(*chunk));
    let counter = |index: usize| known(index).unwrap_or(0);
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
        nohandler: known(NOHANDLER),
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
    use crate::host::{LiveKernel, netlink};

    #[test]
    fn the_running_kernel_tells_of_its_loopback_interface() {
        let mut links = Vec::new();
        dump(&LiveKernel::default(), &mut Vec::new(), &mut links).unwrap();
        let is_loopback = |interface: &&Interface| interface.link.state.is_some_and(|state| state.loopback);
        let loopback = links.iter().find(is_loopback).expect("a loopback interface");
        assert_eq!(loopback.link.receive.bytes, loopback.link.transmit.bytes);
        assert_eq!(loopback.details.address, "00:00:00:00:00:00");
    }

    #[test]
    fn whoever_asks_in_the_same_round_gets_the_same() {
        let (shared, kernel) = (SharedLinks::default(), LiveKernel::default());
        let round = Instant::now();
        let first = shared.get(round, &kernel, &mut Vec::new()).unwrap();
        assert!(Arc::ptr_eq(&first, &shared.get(round, &kernel, &mut Vec::new()).unwrap()));
        assert!(!Arc::ptr_eq(&first, &shared.get(Instant::now(), &kernel, &mut Vec::new()).unwrap()));
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
            let _ = netlink::read_messages(message, &mut |body| {
                let mut interface = Interface::default();
                if interface.read(body) {
                    links.push(interface.link);
                }
            });
            links
        };
        let whole = read(&message);
        assert_eq!(&*whole[0].name, "lo");
        assert_eq!(whole[0].receive.drop, 7 + 16);
        assert_eq!(whole[0].receive.nohandler, Some(24));
        for end in 0..message.len() {
            assert!(read(&message[..end]).is_empty());
            // A truncated message with the flag of a complete one.
            let mut lying = message[..end].to_vec();
            if end >= HEADER {
                lying[0..4].copy_from_slice(&(end as u32).to_ne_bytes());
                let _ = read(&lying);
            }
        }
    }
}
