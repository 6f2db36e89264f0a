//! Every collector, in the order of the exposition.

use super::Entry;

/// Everything that Taffrail can read. What lists collectors, documents them or configures them goes by this list.
pub static COLLECTORS: &[Entry] = &[
    Entry::of::<super::arp::Arp>(),
    Entry::of::<super::bcache::Bcache>(),
    Entry::of::<super::bcachefs::Bcachefs>(),
    Entry::of::<super::bonding::Bonding>(),
    Entry::of::<super::btrfs::Btrfs>(),
    Entry::of::<super::buddyinfo::Buddyinfo>(),
    Entry::of::<super::cgroups::Cgroups>(),
    #[cfg(feature = "cloudwatch")]
    Entry::of::<super::cloudwatch::Cloudwatch>(),
    Entry::of::<super::conntrack::Conntrack>(),
    Entry::of::<super::container::Container>(),
    Entry::of::<super::cpu::Cpu>(),
    Entry::of::<super::cpu_vulnerabilities::CpuVulnerabilities>(),
    Entry::of::<super::cpufreq::Cpufreq>(),
    Entry::of::<super::diskstats::Diskstats>(),
    Entry::of::<super::dmi::Dmi>(),
    Entry::of::<super::dmmultipath::Dmmultipath>(),
    Entry::of::<super::drbd::Drbd>(),
    Entry::of::<super::drm::Drm>(),
    Entry::of::<super::edac::Edac>(),
    Entry::of::<super::entropy::Entropy>(),
    Entry::of::<super::fibrechannel::Fibrechannel>(),
    Entry::of::<super::filefd::Filefd>(),
    Entry::of::<super::filesystem::Filesystem>(),
    Entry::of::<super::hwmon::Hwmon>(),
    Entry::of::<super::infiniband::Infiniband>(),
    Entry::of::<super::interrupts::Interrupts>(),
    Entry::of::<super::ipvs::Ipvs>(),
    Entry::of::<super::kernel_hung::KernelHung>(),
    Entry::of::<super::ksmd::Ksmd>(),
    Entry::of::<super::lnstat::Lnstat>(),
    Entry::of::<super::loadavg::Loadavg>(),
    Entry::of::<super::logind::Logind>(),
    Entry::of::<super::machine::Machine>(),
    Entry::of::<super::mdadm::Mdadm>(),
    Entry::of::<super::meminfo::Meminfo>(),
    Entry::of::<super::meminfo_numa::MeminfoNuma>(),
    Entry::of::<super::netclass::Netclass>(),
    Entry::of::<super::netdev::Netdev>(),
    Entry::of::<super::netstat::Netstat>(),
    Entry::of::<super::network_route::NetworkRoute>(),
    Entry::of::<super::nfs::Nfs>(),
    Entry::of::<super::nfsd::Nfsd>(),
    Entry::of::<super::nvme::Nvme>(),
    Entry::of::<super::os::Os>(),
    Entry::of::<super::pcidevice::Pcidevice>(),
    Entry::of::<super::powersupplyclass::Powersupplyclass>(),
    Entry::of::<super::pressure::Pressure>(),
    Entry::of::<super::process::Process>(),
    Entry::of::<super::processes::Processes>(),
    Entry::of::<super::qdisc::Qdisc>(),
    Entry::of::<super::rapl::Rapl>(),
    Entry::of::<super::schedstat::Schedstat>(),
    Entry::of::<super::selinux::Selinux>(),
    Entry::of::<super::slabinfo::Slabinfo>(),
    Entry::of::<super::sockstat::Sockstat>(),
    Entry::of::<super::softirqs::Softirqs>(),
    Entry::of::<super::softnet::Softnet>(),
    Entry::of::<super::stat::Stat>(),
    Entry::of::<super::swap::Swap>(),
    Entry::of::<super::sysctl::Sysctl>(),
    Entry::of::<super::systemd::Systemd>(),
    Entry::of::<super::tapestats::Tapestats>(),
    Entry::of::<super::tcpstat::Tcpstat>(),
    Entry::of::<super::textfile::Textfile>(),
    Entry::of::<super::thermal_zone::ThermalZone>(),
    Entry::of::<super::time::Time>(),
    Entry::of::<super::timex::Timex>(),
    Entry::of::<super::udp_queues::UdpQueues>(),
    Entry::of::<super::uname::Uname>(),
    Entry::of::<super::vmstat::Vmstat>(),
    Entry::of::<super::watchdog::Watchdog>(),
    Entry::of::<super::xfrm::Xfrm>(),
    Entry::of::<super::xfs::Xfs>(),
    Entry::of::<super::zfs::Zfs>(),
    Entry::of::<super::zoneinfo::Zoneinfo>(),
];

/// The collector of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    COLLECTORS.iter().find(|entry| entry.about.name == name)
}

/// The names of all collectors.
pub fn names() -> impl Iterator<Item = &'static str> {
    COLLECTORS.iter().map(|entry| entry.about.name)
}
