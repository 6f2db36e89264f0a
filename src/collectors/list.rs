//! The list of all collectors.

use std::sync::LazyLock;

use super::framework::Entry;
use super::{
    container, exec, hardware, kernel, memory, network, probe, processor, prometheus, servers, services, statsd,
    storage,
};

/// All collectors, sorted by name, which is also the order of the exposition. Lists, documentation and configuration
/// are derived from it.
pub static COLLECTORS: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let folders = [
        exec::COLLECTORS,
        hardware::COLLECTORS,
        kernel::COLLECTORS,
        memory::COLLECTORS,
        network::COLLECTORS,
        processor::COLLECTORS,
        servers::COLLECTORS,
        services::COLLECTORS,
        storage::COLLECTORS,
    ];
    let mut all = folders.concat();
    all.push(Entry::of::<container::Container>());
    all.push(Entry::of::<container::docker::Docker>());
    all.push(Entry::of::<probe::Probe>());
    all.push(Entry::of::<prometheus::Prometheus>());
    all.push(Entry::of::<statsd::Statsd>());
    #[cfg(feature = "cloudwatch")]
    all.push(Entry::of::<super::cloudwatch::Cloudwatch>());
    all.sort_unstable_by_key(|entry| entry.about.name);
    all
});

/// The collector with this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    COLLECTORS.iter().find(|entry| entry.about.name == name)
}

/// The names of all collectors.
pub fn names() -> impl Iterator<Item = &'static str> {
    COLLECTORS.iter().map(|entry| entry.about.name)
}
