//! Network collectors: interfaces, sockets, protocols, routes.

mod addresses;
mod arp;
mod bonding;
mod conntrack;
mod ethtool;
mod infiniband;
mod ipvs;
mod lnstat;
mod netclass;
pub(super) mod netdev;
mod netstat;
mod network_route;
mod qdisc;
mod sockstat;
mod softnet;
mod tcpstat;
mod udp_queues;
mod wifi;
mod xfrm;

use super::framework::Entry;

/// Collectors of this folder.
pub(super) const COLLECTORS: &[Entry] = &[
    Entry::of::<arp::Arp>(),
    Entry::of::<bonding::Bonding>(),
    Entry::of::<conntrack::Conntrack>(),
    Entry::of::<ethtool::Ethtool>(),
    Entry::of::<infiniband::Infiniband>(),
    Entry::of::<ipvs::Ipvs>(),
    Entry::of::<lnstat::Lnstat>(),
    Entry::of::<netclass::Netclass>(),
    Entry::of::<netdev::Netdev>(),
    Entry::of::<netstat::Netstat>(),
    Entry::of::<network_route::NetworkRoute>(),
    Entry::of::<qdisc::Qdisc>(),
    Entry::of::<sockstat::Sockstat>(),
    Entry::of::<softnet::Softnet>(),
    Entry::of::<tcpstat::Tcpstat>(),
    Entry::of::<udp_queues::UdpQueues>(),
    Entry::of::<wifi::Wifi>(),
    Entry::of::<xfrm::Xfrm>(),
];
