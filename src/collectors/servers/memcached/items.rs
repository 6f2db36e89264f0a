//! What memcached's statistics become, with the names of memcached_exporter and of Telegraf.

use crate::collectors::servers::items::{
    Item, SERVER, count_families, count_fields, families_of, fields_of, float, integer, sample, text,
};
use crate::encode::family::{FamilyInfo, Kind};
use crate::encode::infos::concat;
use crate::encode::point::FieldInfo;

const fn family(name: &'static str, kind: Kind, help: &'static str, labels: &'static [&'static str]) -> FamilyInfo {
    FamilyInfo { name, kind, help, labels }
}

pub(super) static VERSION: FamilyInfo = VERSION_INFO;
const VERSION_INFO: FamilyInfo =
    family("memcached_version", Kind::Gauge, "Version of the server", &[SERVER, "version"]);
pub(super) static COMMANDS: FamilyInfo = COMMANDS_INFO;
const COMMANDS_INFO: FamilyInfo =
    family("memcached_commands_total", Kind::Counter, "Commands by their outcome", &[SERVER, "command", "status"]);
pub(super) static SLAB_COMMANDS: FamilyInfo = SLAB_COMMANDS_INFO;
const SLAB_COMMANDS_INFO: FamilyInfo = family(
    "memcached_slab_commands_total",
    Kind::Counter,
    "Commands on items of a slab class by their outcome",
    &[SERVER, "command", "status", "slab"],
);

const fn command(key: &'static str, help: &'static str, values: &'static [&'static str]) -> Item {
    integer(key, help).family(COMMANDS_INFO, values)
}

/// The statistics. A command that also is a set is counted in `cmd_set`.
#[rustfmt::skip]
pub(super) const STATS: &[Item] = &[
    command("get_hits", "Gets that found their item", &["get", "hit"]),
    command("get_misses", "Gets that found no item", &["get", "miss"]),
    command("delete_hits", "Deletes that found their item", &["delete", "hit"]),
    command("delete_misses", "Deletes that found no item", &["delete", "miss"]),
    command("incr_hits", "Increments that found their item", &["incr", "hit"]),
    command("incr_misses", "Increments that found no item", &["incr", "miss"]),
    command("decr_hits", "Decrements that found their item", &["decr", "hit"]),
    command("decr_misses", "Decrements that found no item", &["decr", "miss"]),
    command("cas_hits", "Compare-and-swap commands that stored their item", &["cas", "hit"]),
    command("cas_misses", "Compare-and-swap commands that found no item", &["cas", "miss"]),
    command("cas_badval", "Compare-and-swap commands whose item had changed", &["cas", "badval"]),
    command("touch_hits", "Touches that found their item", &["touch", "hit"]),
    command("touch_misses", "Touches that found no item", &["touch", "miss"]),
    command("cmd_flush", "flush_all commands", &["flush", "hit"]),
    integer("cmd_get", "Gets"),
    integer("cmd_set", "Sets, compare-and-swap included"),
    integer("cmd_touch", "Touches"),
    integer("get_expired", "Gets whose item had expired"),
    integer("get_flushed", "Gets whose item had been flushed"),
    integer("uptime", "Seconds since the start of the server").counter("memcached_uptime_seconds"),
    sample("time", "Time of the server, as a Unix time").gauge("memcached_time_seconds"),
    sample("rusage_user", "CPU time in user mode").counter("memcached_process_user_cpu_seconds_total"),
    sample("rusage_system", "CPU time in system mode").counter("memcached_process_system_cpu_seconds_total"),
    integer("bytes", "Bytes used to store items").gauge("memcached_current_bytes"),
    integer("limit_maxbytes", "Bytes that the server may use for items").gauge("memcached_limit_bytes"),
    integer("curr_items", "Items stored").gauge("memcached_current_items"),
    integer("total_items", "Items stored since the start").counter("memcached_items_total"),
    integer("bytes_read", "Bytes received from the network").counter("memcached_read_bytes_total"),
    integer("bytes_written", "Bytes sent to the network").counter("memcached_written_bytes_total"),
    integer("curr_connections", "Open connections").gauge("memcached_current_connections"),
    integer("total_connections", "Connections accepted").counter("memcached_connections_total"),
    integer("rejected_connections", "Connections rejected at the limit of connections").counter("memcached_connections_rejected_total"),
    integer("conn_yields", "Connections that yielded at the limit of requests per event").counter("memcached_connections_yielded_total"),
    integer("listen_disabled_num", "Times that the listener was disabled at the limit of connections").counter("memcached_connections_listener_disabled_total"),
    integer("accepting_conns", "Whether the server accepts connections").gauge("memcached_accepting_connections"),
    integer("evictions", "Items evicted to free memory for new ones").counter("memcached_items_evicted_total"),
    integer("reclaimed", "Items stored in the memory of an expired one").counter("memcached_items_reclaimed_total"),
    integer("store_too_large", "Items refused because they exceed the maximum size").counter("memcached_item_too_large_total"),
    integer("store_no_memory", "Items refused for lack of memory").counter("memcached_item_no_memory_total"),
    integer("max_connections", "Maximum number of connections"),
    integer("connection_structures", "Connection structures allocated"),
    integer("threads", "Worker threads"),
    integer("auth_cmds", "Authentication commands"),
    integer("auth_errors", "Failed authentications"),
    integer("hash_power_level", "Binary logarithm of the buckets of the hash table"),
    integer("hash_bytes", "Bytes of the hash tables"),
    integer("hash_is_expanding", "Whether the hash table is growing"),
    integer("expired_unfetched", "Items that expired without a get"),
    integer("evicted_unfetched", "Items that were evicted without a get"),
    integer("evicted_active", "Items that were evicted although they had been used recently"),
    sample("lru_crawler_starts", "Starts of the LRU crawler").counter("memcached_lru_crawler_starts_total"),
    sample("direct_reclaims", "Times that a worker evicted an item itself").counter("memcached_direct_reclaims_total"),
    sample("crawler_items_checked", "Items that the LRU crawler examined").counter("memcached_lru_crawler_items_checked_total"),
    sample("crawler_reclaimed", "Items that the LRU crawler freed").counter("memcached_lru_crawler_reclaimed_total"),
    sample("moves_to_cold", "Items moved from the HOT or WARM to the COLD LRU").counter("memcached_lru_crawler_moves_to_cold_total"),
    sample("moves_to_warm", "Items moved from the COLD to the WARM LRU").counter("memcached_lru_crawler_moves_to_warm_total"),
    sample("moves_within_lru", "Items moved within the HOT or WARM LRU").counter("memcached_lru_crawler_moves_within_lru_total"),
    sample("unexpected_napi_ids", "Unexpected NAPI ids of connections").counter("memcached_unexpected_napi_ids_total"),
    sample("round_robin_fallback", "Connections distributed round robin for lack of a NAPI id").counter("memcached_round_robin_fallback_total"),
    integer("extstore_compact_lost", "Items lost to a compaction because they were locked").counter("memcached_extstore_compact_lost_total"),
    integer("extstore_compact_rescues", "Items that a compaction moved").counter("memcached_extstore_compact_rescued_total"),
    integer("extstore_compact_resc_cold", "Items that a compaction moved to a cold page"),
    integer("extstore_compact_resc_old", "Items that a compaction moved to an old page"),
    integer("extstore_compact_skipped", "Items that a compaction dropped").counter("memcached_extstore_compact_skipped_total"),
    integer("extstore_page_allocs", "Pages allocated in external storage").counter("memcached_extstore_pages_allocated_total"),
    integer("extstore_page_evictions", "Pages evicted from external storage").counter("memcached_extstore_pages_evicted_total"),
    integer("extstore_page_reclaims", "Empty pages freed in external storage").counter("memcached_extstore_pages_reclaimed_total"),
    integer("extstore_pages_free", "Pages of external storage without items").gauge("memcached_extstore_pages_free"),
    integer("extstore_pages_used", "Pages of external storage with items").gauge("memcached_extstore_pages_used"),
    integer("extstore_objects_evicted", "Items evicted from external storage").counter("memcached_extstore_objects_evicted_total"),
    integer("extstore_objects_read", "Items read from external storage").counter("memcached_extstore_objects_read_total"),
    integer("extstore_objects_written", "Items written to external storage").counter("memcached_extstore_objects_written_total"),
    integer("extstore_objects_used", "Items in external storage").gauge("memcached_extstore_objects_used"),
    integer("extstore_bytes_evicted", "Bytes evicted from external storage").counter("memcached_extstore_bytes_evicted_total"),
    integer("extstore_bytes_written", "Bytes written to external storage").counter("memcached_extstore_bytes_written_total"),
    integer("extstore_bytes_read", "Bytes read from external storage").counter("memcached_extstore_bytes_read_total"),
    integer("extstore_bytes_used", "Bytes of items in external storage").counter("memcached_extstore_bytes_used"),
    integer("extstore_bytes_fragmented", "Bytes of external storage allocated but not used").gauge("memcached_extstore_bytes_fragmented"),
    integer("extstore_limit_maxbytes", "Bytes of external storage").gauge("memcached_extstore_bytes_limit"),
    integer("extstore_io_queue", "Requests in the queue of external storage").gauge("memcached_extstore_io_queue_depth"),
];

/// Of `stats settings`. All but the first are written if there is an LRU crawler.
#[rustfmt::skip]
pub(super) const CRAWLER: &[Item] = &[
    sample("maxconns", "Maximum number of connections").gauge("memcached_max_connections"),
    text("lru_crawler", "Whether the LRU crawler is enabled").named("").gauge("memcached_lru_crawler_enabled"),
    sample("lru_crawler_sleep", "Microseconds between runs of the LRU crawler").gauge("memcached_lru_crawler_sleep"),
    sample("lru_crawler_tocrawl", "Maximum items of a slab class per run of the LRU crawler").gauge("memcached_lru_crawler_to_crawl"),
    text("lru_maintainer_thread", "Whether a thread maintains the LRUs").named("").gauge("memcached_lru_crawler_maintainer_thread"),
    sample("hot_lru_pct", "Percentage of slab memory reserved for the HOT LRU").gauge("memcached_lru_crawler_hot_percent"),
    sample("warm_lru_pct", "Percentage of slab memory reserved for the WARM LRU").gauge("memcached_lru_crawler_warm_percent"),
    sample("hot_max_factor", "Idle age of the HOT LRU, relative to the age of the COLD one").gauge("memcached_lru_crawler_hot_max_factor"),
    sample("warm_max_factor", "Idle age of the WARM LRU, relative to the age of the COLD one").gauge("memcached_lru_crawler_warm_max_factor"),
];

/// Of `stats slabs` as a whole.
pub(super) const OF_SLABS: &[Item] =
    &[sample("total_malloced", "Bytes allocated to slab pages").gauge("memcached_malloced_bytes")];

const fn slab(key: &'static str, kind: Kind, name: &'static str, help: &'static str) -> Item {
    float(key, help).named("").family(family(name, kind, help, &[SERVER, "slab"]), &[])
}

const fn slab_command(key: &'static str, values: &'static [&'static str]) -> Item {
    float(key, "").named("").family(SLAB_COMMANDS_INFO, values)
}

/// Of `stats slabs`, of each slab class.
#[rustfmt::skip]
pub(super) const ITEMS: &[Item] = &[
    slab_command("get_hits", &["get", "hit"]),
    slab_command("delete_hits", &["delete", "hit"]),
    slab_command("incr_hits", &["incr", "hit"]),
    slab_command("decr_hits", &["decr", "hit"]),
    slab_command("cas_hits", &["cas", "hit"]),
    slab_command("cas_badval", &["cas", "badval"]),
    slab_command("touch_hits", &["touch", "hit"]),
    slab("chunk_size", Kind::Gauge, "memcached_slab_chunk_size_bytes", "Bytes of a chunk of the slab class"),
    slab("chunks_per_page", Kind::Gauge, "memcached_slab_chunks_per_page", "Chunks in a page of the slab class"),
    slab("total_pages", Kind::Gauge, "memcached_slab_current_pages", "Pages of the slab class"),
    slab("total_chunks", Kind::Gauge, "memcached_slab_current_chunks", "Chunks of the slab class"),
    slab("used_chunks", Kind::Gauge, "memcached_slab_chunks_used", "Chunks that hold an item"),
    slab("free_chunks", Kind::Gauge, "memcached_slab_chunks_free", "Chunks that hold no item"),
    slab("free_chunks_end", Kind::Gauge, "memcached_slab_chunks_free_end", "Free chunks at the end of the last page"),
];

const fn lru(key: &'static str, values: &'static [&'static str]) -> Item {
    const LRU_HITS: FamilyInfo =
        family("memcached_slab_lru_hits_total", Kind::Counter, "Gets of items in an LRU", &[SERVER, "lru", "slab"]);
    float(key, "").named("").family(LRU_HITS, values)
}

/// Of `stats items`, of each slab class.
#[rustfmt::skip]
pub(super) const OF_ITEMS: &[Item] = &[
    slab("number", Kind::Gauge, "memcached_slab_current_items", "Items of the slab class"),
    slab("age", Kind::Gauge, "memcached_slab_items_age_seconds", "Age of the oldest item"),
    lru("hits_to_hot", &["hot"]),
    lru("hits_to_warm", &["warm"]),
    lru("hits_to_cold", &["cold"]),
    lru("hits_to_temp", &["temporary"]),
    slab("crawler_reclaimed", Kind::Counter, "memcached_slab_items_crawler_reclaimed_total", "Items that the LRU crawler freed"),
    slab("evicted", Kind::Counter, "memcached_slab_items_evicted_total", "Items evicted before they expired"),
    slab("evicted_nonzero", Kind::Counter, "memcached_slab_items_evicted_nonzero_total", "Items with an expiry time evicted before it"),
    slab("evicted_time", Kind::Counter, "memcached_slab_items_evicted_time_seconds", "Time since the last use of the item evicted last"),
    slab("evicted_unfetched", Kind::Counter, "memcached_slab_items_evicted_unfetched_total", "Items that were evicted without a get"),
    slab("expired_unfetched", Kind::Counter, "memcached_slab_items_expired_unfetched_total", "Items that expired without a get"),
    slab("outofmemory", Kind::Counter, "memcached_slab_items_outofmemory_total", "Items refused for lack of memory"),
    slab("reclaimed", Kind::Counter, "memcached_slab_items_reclaimed_total", "Items stored in the memory of an expired one"),
    slab("tailrepairs", Kind::Counter, "memcached_slab_items_tailrepairs_total", "Repairs of the end of an LRU"),
    slab("mem_requested", Kind::Counter, "memcached_slab_mem_requested_bytes", "Bytes that the items take up"),
    slab("moves_to_cold", Kind::Counter, "memcached_slab_items_moves_to_cold", "Items moved from the HOT or WARM to the COLD LRU"),
    slab("moves_to_warm", Kind::Counter, "memcached_slab_items_moves_to_warm", "Items moved from the COLD to the WARM LRU"),
    slab("moves_within_lru", Kind::Counter, "memcached_slab_items_moves_within_lru", "Items moved within the HOT or WARM LRU"),
    slab("number_hot", Kind::Gauge, "memcached_slab_hot_items", "Items in the HOT LRU"),
    slab("number_warm", Kind::Gauge, "memcached_slab_warm_items", "Items in the WARM LRU"),
    slab("number_cold", Kind::Gauge, "memcached_slab_cold_items", "Items in the COLD LRU"),
    slab("number_temp", Kind::Gauge, "memcached_slab_temporary_items", "Items in the TEMPORARY LRU"),
    slab("age_hot", Kind::Gauge, "memcached_slab_hot_age_seconds", "Age of the oldest item in the HOT LRU"),
    slab("age_warm", Kind::Gauge, "memcached_slab_warm_age_seconds", "Age of the oldest item in the WARM LRU"),
];

const OF_STATS: [FamilyInfo; count_families(STATS)] = families_of(STATS);
const OF_CRAWLER: [FamilyInfo; count_families(CRAWLER)] = families_of(CRAWLER);
const OF_TOTALS: [FamilyInfo; count_families(OF_SLABS)] = families_of(OF_SLABS);
const OF_EACH: [FamilyInfo; count_families(ITEMS)] = families_of(ITEMS);
const OF_LRUS: [FamilyInfo; count_families(OF_ITEMS)] = families_of(OF_ITEMS);
/// All families.
pub(super) const FAMILIES: [FamilyInfo;
    1 + OF_STATS.len() + OF_CRAWLER.len() + OF_TOTALS.len() + OF_EACH.len() + OF_LRUS.len()] =
    concat(&[&[VERSION_INFO], &OF_STATS, &OF_CRAWLER, &OF_TOTALS, &OF_EACH, &OF_LRUS]);
/// The fields.
pub(super) const FIELDS: [FieldInfo; count_fields(STATS)] = fields_of(STATS);
