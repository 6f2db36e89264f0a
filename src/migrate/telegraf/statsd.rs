//! `[[inputs.statsd]]`, which becomes `[collectors.statsd]`.

use super::present::setting;
use super::read::Block;
use super::tables::{Becomes, EVERY_INPUT, Row, STATSD};
use super::translate::{Place, Reader};
use super::values::shown;
use crate::migrate::output::string;
use crate::migrate::translation::Outcome;

use Becomes::{Duration, Missing, NotNeeded, To, Unless};

const TABLE: &str = "collectors.statsd";
const NO_QUEUE: Becomes = NotNeeded("samples do not wait in a queue");
const KEPT_ALIVE: Becomes = NotNeeded("connections stay open until their client closes them");

#[rustfmt::skip]
const OPTIONS: &[Row] = &[
    ("interval",                   Duration("collectors.statsd.flush_interval")),
    ("delete_gauges",              To("collectors.statsd.delete_gauges")),
    ("delete_counters",            To("collectors.statsd.delete_counters")),
    ("delete_sets",                To("collectors.statsd.delete_sets")),
    ("delete_timings",             To("collectors.statsd.delete_timings")),
    ("percentiles",                To("collectors.statsd.percentiles")),
    ("percentile_limit",           To("collectors.statsd.percentile_limit")),
    ("metric_separator",           To("collectors.statsd.metric_separator")),
    ("templates",                  To("collectors.statsd.templates")),
    ("float_counters",             To("collectors.statsd.float_counters")),
    ("float_timings",              To("collectors.statsd.float_timings")),
    ("float_sets",                 To("collectors.statsd.float_sets")),
    ("datadog_distributions",      To("collectors.statsd.distributions")),
    ("datadog_keep_container_tag", To("collectors.statsd.container_id")),
    ("max_tcp_connections",        To("collectors.statsd.max_connections")),
    ("max_ttl",                    Duration("collectors.statsd.expire_after")),
    ("parse_data_dog_tags",        NotNeeded("tags of dogstatsd are read, see tag_formats")),
    ("datadog_extensions",         NotNeeded("tags of dogstatsd are read; events and service checks are counted as refused")),
    ("allowed_pending_messages",   NO_QUEUE),
    ("number_workers_threads",     NO_QUEUE),
    ("tcp_keep_alive",             KEPT_ALIVE),
    ("tcp_keep_alive_period",      KEPT_ALIVE),
    ("udp_packet_size",            NotNeeded("a packet of any size is read")),
    ("convert_names",              Unless("false", "metric_separator = \"_\" replaces dots; a dash stays")),
    ("sanitize_name_method",       Unless("\"\"", "names stay as they are in points, and are escaped in families")),
    ("enable_aggregation_temporality", Unless("false", "there are no tags temporality and start_time")),
    ("read_buffer_size",           Missing("write receive_buffer, a size with a unit")),
];

impl Reader {
    pub(super) fn statsd(&mut self, block: &Block) {
        if self.inputs.iter().any(|(name, _)| *name == STATSD) {
            return self.whole(block, "the collector is there once: add the address to listen");
        }
        self.inputs.push((STATSD, true));
        let head = self.head(block, Outcome::Changed(DIFFERS.to_owned()));
        let text = |key: &str| setting(block, key).and_then(|setting| setting.value.text()).unwrap_or_default();
        let listen = address(text("protocol"), text("service_address"));
        self.translation.output.table(TABLE).set("listen", format!("[{}]", string(&listen)), head);
        for setting in &block.settings {
            match setting.key.as_str() {
                "protocol" | "service_address" => {
                    let outcome = Outcome::Changed(format!("listen = [\"{listen}\"]"));
                    self.add(setting.lines, &shown(setting), outcome);
                }
                _ => self.option(setting, &[OPTIONS, EVERY_INPUT], Place::Root(STATSD)),
            }
        }
        if setting(block, "interval").is_none()
            && let Some(interval) = self.interval.clone()
        {
            self.translation.output.table(TABLE).set("flush_interval", interval, head);
        }
        block.tables.iter().for_each(|table| self.whole(table, "write it in [collectors.statsd.points]"));
        // Clients name the measurements.
        self.measurements.push(("*".to_owned(), head));
    }
}

const DIFFERS: &str = "an interval is pushed at the tick after its end; docs/statsd.md has the differences";

/// The address to listen on. Telegraf listens on all addresses, at port 8125.
fn address(protocol: &str, address: &str) -> String {
    let scheme = if protocol.starts_with("tcp") { "tcp" } else { "udp" };
    let address = if address.is_empty() { ":8125" } else { address };
    format!("{scheme}://{address}")
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn without_an_address_it_is_telegrafs() {
        assert_eq!(address("", ""), "udp://:8125");
        assert_eq!(address("udp6", "[::1]:9125"), "udp://[::1]:9125");
        assert_eq!(address("tcp4", "localhost:8126"), "tcp://localhost:8126");
    }
}
