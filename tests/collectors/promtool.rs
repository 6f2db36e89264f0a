//! Prometheus's own linter reads what we write. `tests/run` installs it and runs this.

use std::io::{Seek, Write};
use std::process::Command;

use crate::common::recorded_hosts;
use crate::harness::recorded::expected;

/// Names that node_exporter made of the kernel's long ago, and dashboards rely on.
const HISTORICAL: [&str; 2] = ["node_memory_", "node_netstat_"];
/// What promtool says of them.
const COMPLAINT: &str = "metric names should be written in 'snake_case' not 'camelCase'";
/// What it says of others.
const OF_OTHERS: [&str; 10] = [
    "node_power_supply_charge_counter metric name should not include type 'counter'",
    "node_wifi_station_receive_bits_per_second use base unit \"bytes\" instead of \"bits\"",
    "node_wifi_station_transmit_bits_per_second use base unit \"bytes\" instead of \"bits\"",
    "node_entropy_available_bits use base unit \"bytes\" instead of \"bits\"",
    "node_entropy_pool_size_bits use base unit \"bytes\" instead of \"bits\"",
    "node_systemd_socket_refused_connections_total non-counter metrics should not have \"_total\" suffix",
    // As the driver mac80211_hwsim calls them.
    "node_ethtool_d_group metric names should not contain abbreviated units",
    "node_ethtool_d_ps_mode metric names should not contain abbreviated units",
    "node_ethtool_d_transmitted_dropped metric names should not contain abbreviated units",
    "node_ethtool_d_transmitted_failed metric names should not contain abbreviated units",
];
/// What it says of names that are cAdvisor's.
const OF_CADVISOR: [&str; 4] = [
    "machine_dimm_count non-histogram and non-summary metrics should not have \"_count\" suffix",
    "container_fs_inodes_total non-counter metrics should not have \"_total\" suffix",
    "container_hugetlb_failcnt counter metrics should have \"_total\" suffix",
    "container_memory_failcnt counter metrics should have \"_total\" suffix",
];

/// What it says of names that are process-exporter's.
const OF_PROCESS_EXPORTER: [&str; 4] = [
    "namedprocess_namegroup_thread_count non-histogram and non-summary metrics should not have \"_count\" suffix",
    "namedprocess_scrape_errors counter metrics should have \"_total\" suffix",
    "namedprocess_scrape_partial_errors counter metrics should have \"_total\" suffix",
    "namedprocess_scrape_procread_errors counter metrics should have \"_total\" suffix",
];

#[test]
#[ignore = "needs promtool, of Debian's package prometheus: tests/run"]
fn with_prometheus_promtool_that_checks_every_expected_exposition() {
    for host in recorded_hosts() {
        let mut exposition = tempfile::tempfile().unwrap();
        exposition.write_all(expected(&host, "prom").as_bytes()).unwrap();
        exposition.rewind().unwrap();
        let output = Command::new("promtool").args(["check", "metrics"]).stdin(exposition).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let is_historical = |line: &str| {
            HISTORICAL.iter().any(|known| line.starts_with(known) && line.ends_with(COMPLAINT))
                || OF_CADVISOR.contains(&line)
                || OF_PROCESS_EXPORTER.contains(&line)
                || OF_OTHERS.contains(&line)
        };
        let is_new = |line: &&str| !is_historical(line);
        let complaints: Vec<&str> = said.lines().filter(is_new).collect();
        assert!(complaints.is_empty(), "{}: {complaints:#?}", host.display());
        // 3 is promtool's status for lint; anything else means that it could not read the exposition.
        assert!(matches!(output.status.code(), Some(0 | 3)), "{}: {:?}\n{said}", host.display(), output.status);
    }
}
