//! Servers of applications beside their exporters, and what is seen of a server that is down, slow or another one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use taffrail::encode::parse::line::{FieldValue, points};

use crate::harness::real::{Server, free_port};
use crate::harness::series::Exposition;
use crate::harness::server::{FakeInflux, Post, reply};
use crate::harness::tls::Certificates;
use crate::harness::{Taffrail, get, wait_until};

/// A server whose main process ends the others when it is asked to end.
struct Main(Option<Server>);

impl Drop for Main {
    fn drop(&mut self) {
        if let Some(server) = self.0.take() {
            server.end();
        }
    }
}

/// A folder that other users may enter, as the workers of servers do.
fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// An agent with these sections alone.
fn with(sections: &str) -> Taffrail {
    Taffrail::start(&format!(
        "[http]\nlisten = [\"127.0.0.1:0\"]\n[collectors]\ndefault = false\n[agent]\ninterval = \"1s\"\nflush_interval = \"1s\"\n{sections}"
    ))
}

/// The same, which also pushes to `influx`.
fn pushing(sections: &str, influx: &FakeInflux) -> Taffrail {
    with(&format!(
        "{sections}[tags]\nhost = \"h\"\n[[sinks.influxdb]]\nurls = [\"{}\"]\ndatabase = \"x\"\n",
        influx.url()
    ))
}

/// A section with a short interval.
fn section(kind: &str, list: &str, servers: &[&str], more: &str) -> String {
    format!("[[collectors.{kind}]]\ninterval = \"250ms\"\ntimeout = \"5s\"\n{list} = {servers:?}\n{more}\n")
}

/// The exposition of a server, once it has this series with 1.
fn up(taffrail: &Taffrail, series: &str) -> String {
    wait_until(series, || {
        let text = taffrail.get("/metrics").text().to_owned();
        text.lines().any(|line| line == format!("{series} 1")).then_some(text)
    })
}

/// Families by name with their types, of which there are samples.
fn types(text: &str, prefix: &str) -> BTreeMap<String, String> {
    let samples: BTreeSet<&str> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next()).collect();
    let is_there = |name: &str| ["", "_sum"].iter().any(|suffix| samples.contains(format!("{name}{suffix}").as_str()));
    let typed = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    typed
        .filter(|(name, _)| name.starts_with(prefix) && is_there(name))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect()
}

/// Series of a page with their values, without these labels.
fn values(text: &str, prefix: &str, without: &[&str]) -> BTreeMap<String, f64> {
    let series = Exposition::parse(text).0.into_iter().filter(|series| series.name.starts_with(prefix));
    let bare = series.map(|mut series| {
        series.labels.retain(|label, value| !without.contains(&label.as_str()) && !value.is_empty());
        (series.key(), series.value)
    });
    bare.collect()
}

/// What an exporter has that Taffrail has not or has otherwise, by the beginning of its name; and what changes from one
/// query to the next.
struct Differences<'d> {
    prefix: &'d str,
    only_theirs: &'d [&'d str],
    only_ours: &'d [&'d str],
    changing: &'d [&'d str],
}

impl Differences<'_> {
    /// Compares names, types and values.
    fn check(&self, ours: &str, theirs: &str) {
        let is_of = |list: &[&str], name: &str| list.iter().any(|start| name.starts_with(start));
        let (our_types, mut their_types) = (types(ours, self.prefix), types(theirs, self.prefix));
        their_types.retain(|name, _| !is_of(self.only_theirs, name));
        for (name, kind) in &their_types {
            assert_eq!(our_types.get(name), Some(kind), "{name}");
        }
        let further: Vec<_> =
            our_types.keys().filter(|name| !their_types.contains_key(*name) && !is_of(self.only_ours, name)).collect();
        assert_eq!(further, [] as [&String; 0], "families that only Taffrail has");
        let (ours, theirs) = (values(ours, self.prefix, &["server", "scrape_uri"]), values(theirs, self.prefix, &[]));
        let is_compared = |name: &&String| !is_of(self.only_theirs, name) && !is_of(self.only_ours, name);
        let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).filter(is_compared).collect();
        for name in &names {
            let (one, other) = (ours.get(*name), theirs.get(*name));
            assert!(one.is_some() && other.is_some(), "{name}: {one:?} {other:?}");
            assert!(one == other || is_of(self.changing, name), "{name}: {one:?} {other:?}");
        }
        assert!(names.len() > 5);
    }
}

/// The fields of a line of line protocol with their types, below its measurement and the names of its tags.
fn shape(line: &str) -> (String, BTreeMap<String, char>) {
    let parsed = points(line.as_bytes()).next().unwrap().unwrap();
    let tags: Vec<&str> = parsed.tags.iter().map(|(name, _)| &**name).filter(|name| *name != "host").collect();
    let kind = |value: &FieldValue<'_>| match value {
        FieldValue::Integer(_) => 'i',
        FieldValue::Float(_) => 'f',
        FieldValue::Text(_) => 's',
        _ => '?',
    };
    let fields = parsed.fields.iter().map(|(name, value)| (name.to_string(), kind(value))).collect();
    (format!("{} {}", parsed.measurement, tags.join(",")), fields)
}

/// The lines of a measurement that were stored.
fn stored(influx: &FakeInflux, start: &str) -> Vec<String> {
    influx.stored().into_iter().filter(|line| line.starts_with(start)).collect()
}

/// Compares the shape of a line that was stored with that of a line that Telegraf 1.37.2 wrote for the same server.
/// Unsigned integers of Telegraf become signed ones with InfluxDB 1 and 2.
#[track_caller]
fn assert_shape(influx: &FakeInflux, start: &str, of_telegraf: &str) {
    let line = wait_until(start, || stored(influx, start).pop());
    let (expected, found) = (shape(of_telegraf), shape(&line));
    assert_eq!(found, expected, "{line}");
}

const NGINX: &str =
    "nginx,port=28080,server=127.0.0.1 accepts=3i,active=1i,handled=3i,reading=0i,requests=4i,waiting=0i,writing=1i 1";
const PHPFPM: &str = "phpfpm,pool=www,url=/run/fpm.sock accepted_conn=3i,active_processes=1i,idle_processes=1i,listen_queue=0i,\
    listen_queue_len=0i,max_active_processes=2i,max_children_reached=0i,max_listen_queue=0i,slow_requests=0i,start_since=108i,total_processes=2i 1";
const APACHE: &str = "apache,port=28081,server=127.0.0.1 BusyWorkers=1,BytesPerReq=1024,BytesPerSec=19.1402,CPUChildrenSystem=0,\
    CPUChildrenUser=0,CPULoad=0.00934579,CPUSystem=0.01,CPUUser=0,ConnsAsyncClosing=0,ConnsAsyncKeepAlive=0,ConnsAsyncWaitIO=0,\
    ConnsAsyncWriting=0,ConnsTotal=0,DurationPerReq=0,GracefulWorkers=0,IdleWorkers=74,Load1=8.42,Load15=3.44,Load5=6.8,\
    ParentServerConfigGeneration=1,ParentServerMPMGeneration=0,Processes=3,ReqPerSec=0.0186916,ServerUptimeSeconds=107,Stopping=0,\
    TotalAccesses=2,TotalDuration=0,TotalkBytes=2,Uptime=107,scboard_closing=0,scboard_dnslookup=0,scboard_finishing=0,\
    scboard_idle_cleanup=0,scboard_keepalive=0,scboard_logging=0,scboard_open=325,scboard_reading=0,scboard_sending=1,\
    scboard_starting=0,scboard_waiting=74 1";
const MEMCACHED: &str = "memcached,server=127.0.0.1:21211 accepting_conns=1i,auth_cmds=0i,auth_errors=0i,bytes=63i,bytes_read=125i,\
    bytes_written=7561i,cas_badval=0i,cas_hits=0i,cas_misses=0i,cmd_flush=0i,cmd_get=2i,cmd_set=1i,cmd_touch=0i,\
    conn_yields=0i,connection_structures=2i,curr_connections=1i,curr_items=1i,decr_hits=0i,decr_misses=0i,\
    delete_hits=0i,delete_misses=0i,evicted_active=0i,evicted_unfetched=0i,evictions=0i,expired_unfetched=0i,\
    get_expired=0i,get_flushed=0i,get_hits=1i,get_misses=1i,hash_bytes=524288i,hash_is_expanding=0i,\
    hash_power_level=16i,incr_hits=0i,incr_misses=0i,limit_maxbytes=67108864i,listen_disabled_num=0i,\
    max_connections=1024i,reclaimed=0i,rejected_connections=0i,store_no_memory=0i,store_too_large=0i,threads=4i,\
    total_connections=8i,total_items=1i,touch_hits=0i,touch_misses=0i,uptime=1728i 1";
/// Of a server with an append-only file. A server that is no replica has no fields of its master; fields of the file have
/// the types of integers, as Telegraf writes them for all integers of INFO.
const REDIS: &str = "redis,port=26379,replication_role=master,server=127.0.0.1 active_defrag_hits=0i,\
    active_defrag_key_hits=0i,active_defrag_key_misses=0i,active_defrag_misses=0i,active_defrag_running=0i,\
    allocator_active=1900544i,allocator_allocated=1550456i,allocator_frag_bytes=350088,allocator_frag_ratio=1.23,\
    allocator_resident=4620288i,allocator_rss_bytes=2719744i,allocator_rss_ratio=2.43,\
    aof_current_rewrite_time_sec=-1i,aof_enabled=0i,aof_last_bgrewrite_status=\"ok\",aof_last_cow_size=0i,\
    aof_last_rewrite_time_sec=-1i,aof_last_write_status=\"ok\",aof_rewrite_in_progress=0i,aof_rewrite_scheduled=0i,\
    aof_base_size=1i,aof_buffer_length=1i,aof_current_size=1i,aof_delayed_fsync=1i,aof_pending_bio_fsync=1i,\
    aof_pending_rewrite=1i,aof_rewrites=0i,aof_rewrites_consecutive_failures=0i,async_loading=0i,\
    blocked_clients=0i,client_recent_max_input_buffer=32i,client_recent_max_output_buffer=0i,clients=2i,\
    clients_in_timeout_table=0i,cluster_connections=0i,cluster_enabled=0i,connected_slaves=0i,\
    current_active_defrag_time=0i,current_cow_peak=0i,current_cow_size=0i,current_cow_size_age=0i,\
    current_eviction_exceeded_time=0i,current_fork_perc=0,current_save_keys_processed=0i,\
    current_save_keys_total=0i,dump_payload_sanitizations=0i,evicted_clients=0i,evicted_keys=0i,\
    expire_cycle_cpu_milliseconds=0i,expired_keys=0i,expired_stale_perc=0,expired_time_cap_reached_count=0i,\
    instantaneous_input_kbps=0,instantaneous_input_repl_kbps=0,instantaneous_ops_per_sec=0i,\
    instantaneous_output_kbps=0.02,instantaneous_output_repl_kbps=0,io_threaded_reads_processed=0i,\
    io_threaded_writes_processed=0i,keyspace_hitrate=0,keyspace_hits=0i,keyspace_misses=0i,latest_fork_usec=0i,\
    lazyfree_pending_objects=0i,lazyfreed_objects=0i,loading=0i,lru_clock=586026i,\
    master_failover_state=\"no-failover\",master_repl_offset=2516i,maxclients=10000i,maxmemory=0i,\
    maxmemory_policy=\"noeviction\",mem_aof_buffer=0i,mem_clients_normal=1824i,mem_clients_slaves=0i,\
    mem_cluster_links=0i,mem_fragmentation_bytes=11146056i,mem_fragmentation_ratio=10.94,\
    mem_not_counted_for_evict=0i,mem_replication_backlog=20508i,mem_total_replication_buffers=20504i,\
    migrate_cached_sockets=0i,module_fork_in_progress=0i,module_fork_last_cow_size=0i,number_of_cached_scripts=0i,\
    number_of_functions=0i,number_of_libraries=0i,pubsub_channels=0i,pubsub_patterns=0i,pubsubshard_channels=0i,\
    rdb_bgsave_in_progress=0i,rdb_changes_since_last_save=1i,rdb_current_bgsave_time_sec=-1i,\
    rdb_last_bgsave_status=\"ok\",rdb_last_bgsave_time_sec=-1i,rdb_last_cow_size=0i,rdb_last_load_keys_expired=0i,\
    rdb_last_load_keys_loaded=2i,rdb_last_save_time=1795746412i,rdb_last_save_time_elapsed=1727i,rdb_saves=0i,\
    redis_version=\"7.0.15\",rejected_connections=0i,repl_backlog_active=1i,repl_backlog_first_byte_offset=108i,\
    repl_backlog_histlen=2409i,repl_backlog_size=1048576i,reply_buffer_expands=0i,reply_buffer_shrinks=1i,\
    rss_overhead_bytes=7647232i,rss_overhead_ratio=2.66,second_repl_offset=-1i,slave_expires_tracked_keys=0i,\
    sync_full=0i,sync_partial_err=0i,sync_partial_ok=0i,total_active_defrag_time=0i,total_commands_processed=179i,\
    total_connections_received=4i,total_error_replies=0i,total_eviction_exceeded_time=0i,total_forks=0i,\
    total_net_input_bytes=2963i,total_net_output_bytes=81255i,total_net_repl_input_bytes=2692i,\
    total_net_repl_output_bytes=0i,total_reads_processed=182i,total_system_memory=25276502016i,\
    total_writes_processed=1699i,tracking_clients=0i,tracking_total_items=0i,tracking_total_keys=0i,\
    tracking_total_prefixes=0i,unexpected_error_replies=0i,uptime=1727i,used_cpu_sys=1.120722,\
    used_cpu_sys_children=0,used_cpu_sys_main_thread=1.112069,used_cpu_user=1.174372,used_cpu_user_children=0,\
    used_cpu_user_main_thread=1.166121,used_memory=1161544i,used_memory_dataset=262780i,\
    used_memory_dataset_perc=92.07,used_memory_functions=200i,used_memory_lua=32768i,used_memory_overhead=898764i,\
    used_memory_peak=1162472i,used_memory_peak_perc=99.92,used_memory_rss=12267520i,used_memory_scripts=200i,\
    used_memory_scripts_eval=0i,used_memory_startup=876128i,used_memory_vm_eval=32768i,\
    used_memory_vm_functions=33792i,used_memory_vm_total=66560i 1";
const REDIS_REPLICA: &str = "redis,port=26380,replication_role=slave,server=127.0.0.1 active_defrag_hits=0i,active_defrag_key_hits=0i,\
    active_defrag_key_misses=0i,active_defrag_misses=0i,active_defrag_running=0i,allocator_active=1900544i,\
    allocator_allocated=1550456i,allocator_frag_bytes=350088,allocator_frag_ratio=1.23,allocator_resident=4620288i,\
    allocator_rss_bytes=2719744i,allocator_rss_ratio=2.43,aof_current_rewrite_time_sec=-1i,aof_enabled=0i,\
    aof_last_bgrewrite_status=\"ok\",aof_last_cow_size=0i,aof_last_rewrite_time_sec=-1i,aof_last_write_status=\"ok\",\
    aof_rewrite_in_progress=0i,aof_rewrite_scheduled=0i,aof_rewrites=0i,aof_rewrites_consecutive_failures=0i,\
    async_loading=0i,blocked_clients=0i,client_recent_max_input_buffer=32i,client_recent_max_output_buffer=0i,\
    clients=2i,clients_in_timeout_table=0i,cluster_connections=0i,cluster_enabled=0i,connected_slaves=0i,\
    current_active_defrag_time=0i,current_cow_peak=0i,current_cow_size=0i,current_cow_size_age=0i,\
    current_eviction_exceeded_time=0i,current_fork_perc=0,current_save_keys_processed=0i,current_save_keys_total=0i,\
    dump_payload_sanitizations=0i,evicted_clients=0i,evicted_keys=0i,expire_cycle_cpu_milliseconds=0i,\
    expired_keys=0i,expired_stale_perc=0,expired_time_cap_reached_count=0i,instantaneous_input_kbps=0,\
    instantaneous_input_repl_kbps=0,instantaneous_ops_per_sec=0i,instantaneous_output_kbps=0.02,\
    instantaneous_output_repl_kbps=0,io_threaded_reads_processed=0i,io_threaded_writes_processed=0i,\
    keyspace_hitrate=0,keyspace_hits=0i,keyspace_misses=0i,latest_fork_usec=0i,lazyfree_pending_objects=0i,\
    lazyfreed_objects=0i,loading=0i,lru_clock=586026i,master_failover_state=\"no-failover\",master_host=\"127.0.0.1\",\
    master_last_io_seconds_ago=7i,master_link_status=\"up\",master_port=26379i,master_repl_offset=2516i,\
    master_sync_in_progress=0i,maxclients=10000i,maxmemory=0i,maxmemory_policy=\"noeviction\",mem_aof_buffer=0i,\
    mem_clients_normal=1824i,mem_clients_slaves=0i,mem_cluster_links=0i,mem_fragmentation_bytes=11146056i,\
    mem_fragmentation_ratio=10.94,mem_not_counted_for_evict=0i,mem_replication_backlog=20508i,\
    mem_total_replication_buffers=20504i,migrate_cached_sockets=0i,module_fork_in_progress=0i,\
    module_fork_last_cow_size=0i,number_of_cached_scripts=0i,number_of_functions=0i,number_of_libraries=0i,\
    pubsub_channels=0i,pubsub_patterns=0i,pubsubshard_channels=0i,rdb_bgsave_in_progress=0i,\
    rdb_changes_since_last_save=1i,rdb_current_bgsave_time_sec=-1i,rdb_last_bgsave_status=\"ok\",\
    rdb_last_bgsave_time_sec=-1i,rdb_last_cow_size=0i,rdb_last_load_keys_expired=0i,rdb_last_load_keys_loaded=2i,\
    rdb_last_save_time=1795746412i,rdb_last_save_time_elapsed=1727i,rdb_saves=0i,redis_version=\"7.0.15\",\
    rejected_connections=0i,repl_backlog_active=1i,repl_backlog_first_byte_offset=108i,repl_backlog_histlen=2409i,\
    repl_backlog_size=1048576i,replica_announced=1i,reply_buffer_expands=0i,reply_buffer_shrinks=1i,\
    rss_overhead_bytes=7647232i,rss_overhead_ratio=2.66,second_repl_offset=-1i,slave_expires_tracked_keys=0i,\
    slave_priority=100i,slave_read_only=1i,slave_read_repl_offset=2516i,slave_repl_offset=2516i,sync_full=0i,\
    sync_partial_err=0i,sync_partial_ok=0i,total_active_defrag_time=0i,total_commands_processed=179i,\
    total_connections_received=4i,total_error_replies=0i,total_eviction_exceeded_time=0i,total_forks=0i,\
    total_net_input_bytes=2963i,total_net_output_bytes=81255i,total_net_repl_input_bytes=2692i,\
    total_net_repl_output_bytes=0i,total_reads_processed=182i,total_system_memory=25276502016i,\
    total_writes_processed=1699i,tracking_clients=0i,tracking_total_items=0i,tracking_total_keys=0i,\
    tracking_total_prefixes=0i,unexpected_error_replies=0i,uptime=1727i,used_cpu_sys=1.120722,\
    used_cpu_sys_children=0,used_cpu_sys_main_thread=1.112069,used_cpu_user=1.174372,used_cpu_user_children=0,\
    used_cpu_user_main_thread=1.166121,used_memory=1161544i,used_memory_dataset=262780i,\
    used_memory_dataset_perc=92.07,used_memory_functions=200i,used_memory_lua=32768i,used_memory_overhead=898764i,\
    used_memory_peak=1162472i,used_memory_peak_perc=99.92,used_memory_rss=12267520i,used_memory_scripts=200i,\
    used_memory_scripts_eval=0i,used_memory_startup=876128i,used_memory_vm_eval=32768i,\
    used_memory_vm_functions=33792i,used_memory_vm_total=66560i 1";
const REDIS_OTHERS: &[(&str, &str)] = &[
    (
        "redis_cmdstat,command=get,host=h,port=",
        "redis_cmdstat,command=get,port=26379,replication_role=master,server=127.0.0.1 calls=2i,failed_calls=0i,rejected_calls=0i,usec=9i,usec_per_call=4.5 1",
    ),
    (
        "redis_keyspace,database=db0,host=h,port=",
        "redis_keyspace,database=db0,port=26379,replication_role=master,server=127.0.0.1 avg_ttl=0i,expires=0i,keys=1i 1",
    ),
    (
        "redis_errorstat,err=ERR,host=h,port=",
        "redis_errorstat,err=ERR,port=26379,replication_role=master,server=127.0.0.1 total=1i 1",
    ),
    (
        "redis_latency_percentiles_usec,command=get,host=h,port=",
        "redis_latency_percentiles_usec,command=get,port=26379,replication_role=master,server=127.0.0.1 p50=4.015,p99=5.023,p99.9=5.023 1",
    ),
    (
        "redis_replication,host=h,port=",
        "redis_replication,port=26379,replica_id=0,replica_ip=127.0.0.1,replica_port=26380,replication_role=slave,server=127.0.0.1,state=online lag=1i,offset=2516i 1",
    ),
];

fn nginx(folder: &Path, port: u16) -> Main {
    let config = folder.join("nginx.conf");
    let (root, socket) = (folder.display(), folder.join("nginx.sock"));
    let text = format!(
        "worker_processes 1; daemon off; pid {root}/nginx.pid; error_log {root}/nginx.log;\nevents {{}}\n\
         http {{ access_log off; client_body_temp_path {root}/a; proxy_temp_path {root}/b; fastcgi_temp_path {root}/c;\n\
         uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;\n\
         server {{ listen 127.0.0.1:{port}; listen unix:{};\n\
         location = /status {{ stub_status; }}\nlocation = /page {{ default_type text/html; return 200 '<html>Welcome</html>'; }} }} }}\n",
        socket.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&config);
    let server = Server::start_silent(command, port);
    // Both of its listeners are there at once.
    wait_until("the socket of nginx", || socket.exists().then_some(()));
    Main(Some(server))
}

#[test]
#[ignore = "needs Debian's package prometheus-nginx-exporter: tests/run"]
fn with_nginx_exporter_that_has_the_same_families() {
    let folder = open_folder();
    let (port, exporter_port) = (free_port(), free_port());
    let _nginx = nginx(folder.path(), port);
    let url = format!("http://127.0.0.1:{port}/status");
    let mut command = Command::new("prometheus-nginx-exporter");
    command.args(["-web.listen-address", &format!("127.0.0.1:{exporter_port}"), "-nginx.scrape-uri", &url]);
    let exporter = Server::start(command, exporter_port, "/metrics");
    let influx = FakeInflux::agreeable();
    let socket = format!("http+unix://{}:/status", folder.path().join("nginx.sock").display());
    let page = format!("http://127.0.0.1:{port}/page");
    let sections = section("nginx", "urls", &[&url, &socket], "[collectors.nginx.labels]\nteam = \"web\"")
        + &section("nginx", "urls", &[&page], "");
    let taffrail = pushing(&sections, &influx);
    up(&taffrail, &format!("nginx_up{{server=\"{}\",team=\"web\"}}", folder.path().join("nginx.sock").display()));
    let ours = up(&taffrail, &format!("nginx_up{{server=\"127.0.0.1:{port}\",team=\"web\"}}"));
    let ours: Vec<&str> = ours
        .lines()
        .filter(|line| line.starts_with('#') || line.contains(&format!("\"127.0.0.1:{port}\",team")))
        .collect();
    let ours = ours.join("\n").replace(",team=\"web\"", "");
    let theirs = get(&format!("{}/metrics", exporter.url), &[]).unwrap();
    // Each query is a request, and a connection if it is the first.
    let changing = ["nginx_connections_a", "nginx_connections_h", "nginx_connections_w", "nginx_http_requests_total"];
    Differences { prefix: "nginx_", only_theirs: &["nginx_exporter_"], only_ours: &[], changing: &changing }
        .check(&ours, theirs.text());
    assert_shape(&influx, "nginx,host=h,port=", &NGINX.replace("127.0.0.1", "127.0.0.1,team=web"));
    taffrail.wait_for_log("cannot be read: expected plain text, found an HTML page");
    let down = format!("nginx_up{{server=\"127.0.0.1:{port}\"}}");
    assert_eq!(taffrail.get("/metrics").sample(&down), Some(0.0));
}

/// Redis at a port and a socket.
fn redis(folder: &Path, port: u16, more: &[&str]) -> Server {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--save", "", "--bind", "127.0.0.1"]).arg("--dir").arg(folder);
    command.arg("--unixsocket").arg(folder.join(format!("{port}.sock"))).args(more);
    Server::start_silent(command, port)
}

/// Sends a command of Redis in its inline form, and reads one chunk of its reply.
fn redis_command(port: u16, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    let mut reply = [0; 65536];
    let length = stream.read(&mut reply).unwrap();
    String::from_utf8_lossy(&reply[..length]).into_owned()
}

fn redis_exporter(address: &str, more: &[&str]) -> Server {
    let port = free_port();
    let mut command = Command::new("prometheus-redis-exporter");
    command.args(["-web.listen-address", &format!("127.0.0.1:{port}"), "-redis.addr", address]).args(more);
    Server::start(command, port, "/metrics")
}

#[test]
#[ignore = "needs Debian's package prometheus-redis-exporter: tests/run"]
fn with_redis_exporter_that_has_the_same_families() {
    let folder = tempfile::tempdir().unwrap();
    let (port, replica_port) = (free_port(), free_port());
    let _redis = redis(folder.path(), port, &["--appendonly", "yes"]);
    for command in
        ["SET a b", "SET c d EX 1000", "GET a", "GET none", "NONE", "CONFIG SET slowlog-log-slower-than 0", "PING"]
    {
        redis_command(port, command);
    }
    let of_master = format!("127.0.0.1 {port}");
    let _replica = redis(folder.path(), replica_port, &["--replicaof", &of_master, "--appendfilename", "other.aof"]);
    wait_until("the replica", || redis_command(port, "INFO replication").contains("state=online").then_some(()));
    wait_until("its link", || {
        redis_command(replica_port, "INFO replication").contains("master_link_status:up").then_some(())
    });
    let influx = FakeInflux::agreeable();
    let socket = format!("unix://{}", folder.path().join(format!("{port}.sock")).display());
    let addresses = [port, replica_port].map(|port| format!("127.0.0.1:{port}"));
    let taffrail = pushing(&section("redis", "servers", &[&addresses[0], &addresses[1], &socket], ""), &influx);
    for address in &addresses {
        let exporter = redis_exporter(&format!("redis://{address}"), &[]);
        let theirs = || get(&format!("{}/metrics", exporter.url), &[]).unwrap().text().to_owned();
        let differences = Differences {
            prefix: "redis_",
            only_theirs: &["redis_exporter_", "redis_target_", "redis_last_key_groups_"],
            only_ours: &["redis_process_id"],
            changing: &[
                "redis_allocator_",
                "redis_client_",
                "redis_commands_",
                "redis_connected_",
                "redis_connections_",
                "redis_cpu_",
                "redis_db_avg_ttl",
                "redis_expired_",
                "redis_last_slow_",
                "redis_latency_",
                "redis_master_",
                "redis_mem",
                "redis_net_",
                "redis_repl_backlog_history",
                "redis_slave_repl_offset",
                "redis_slowlog_",
                "redis_start_time",
                "redis_total_",
                "redis_uptime",
                "redis_aof_current",
                "redis_aof_base",
                "redis_latest_fork",
                "redis_aof_buffer",
                "redis_aof_pending",
                "redis_io_threaded",
            ],
        };
        // Commands of the exporter are there from its second scrape on, and those of Taffrail from its second query on.
        let mut last = None;
        wait_until("the same series", || {
            let (theirs, ours) = (theirs(), up(&taffrail, &format!("redis_up{{server=\"{address}\"}}")));
            let own = |line: &&str| line.starts_with('#') || line.contains(&format!("server=\"{address}\""));
            let ours = ours.lines().filter(own).collect::<Vec<_>>().join("\n");
            let (one, other) = (values(&ours, "redis_", &["server"]), values(&theirs, "redis_", &[]));
            let known = [differences.only_theirs, differences.only_ours].concat();
            let is_compared = |name: &&String| !known.iter().any(|start| name.starts_with(start));
            let is_ready = one.keys().filter(is_compared).eq(other.keys().filter(is_compared));
            last = Some((ours, theirs));
            is_ready.then_some(())
        });
        let (ours, theirs) = last.unwrap();
        differences.check(&ours, &theirs);
    }
    assert_shape(&influx, &format!("redis,host=h,port={port},"), REDIS);
    assert_shape(&influx, &format!("redis,host=h,port={replica_port},"), REDIS_REPLICA);
    assert_shape(
        &influx,
        "redis,host=h,replication_role=master,socket=",
        &REDIS.replace("port=26379,", "").replace(",server=127.0.0.1", ",socket=/x"),
    );
    for (start, line) in REDIS_OTHERS {
        assert_shape(&influx, start, line);
    }
    let lines = stored(&influx, "redis_cmdstat,command=get,");
    assert!(lines[0].contains("calls=2i"), "{lines:#?}");
}

#[test]
#[ignore = "needs Debian's package redis-server: tests/run"]
fn with_redis_server_that_has_users_the_password_is_in_no_output() {
    const PASSWORD: &str = "p:w d%s3cret";
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let acl = folder.path().join("users.acl");
    std::fs::write(&acl, "user default off\nuser metrics on >s3cret-word +info ~*\n").unwrap();
    let _redis = redis(folder.path(), port, &["--aclfile", acl.to_str().unwrap()]);
    let file = folder.path().join("password");
    std::fs::write(&file, "s3cret-word\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let address = format!("127.0.0.1:{port}");
    let section = |more: &str| section("redis", "servers", &[&address], more);
    let good = format!(
        "username = \"metrics\"\npassword_file = \"{}\"\n[collectors.redis.labels]\nwhich = \"good\"",
        file.display()
    );
    let bad = format!("username = \"metrics\"\npassword = \"{PASSWORD}\"\n[collectors.redis.labels]\nwhich = \"bad\"");
    let none = "[collectors.redis.labels]\nwhich = \"none\"";
    let influx = FakeInflux::agreeable();
    let taffrail = pushing(&(section(&good) + &section(&bad) + &section(none)), &influx);
    let text = up(&taffrail, &format!("redis_up{{server=\"{address}\",which=\"good\"}}"));
    assert!(text.contains("redis_connected_clients"));
    taffrail.wait_for_log("AUTH: WRONGPASS");
    taffrail.wait_for_log("NOAUTH Authentication required.; set password");
    for which in ["bad", "none"] {
        let series = format!("redis_up{{server=\"{address}\",which=\"{which}\"}} 0");
        wait_until(&series, || taffrail.get("/metrics").text().contains(&series).then_some(()));
        let target = format!("taffrail_target,host=h,input=redis,url={address},which={which} ");
        let line = wait_until(&target, || stored(&influx, &target).pop());
        assert!(line.contains("up=0i"), "{line}");
        assert!(stored(&influx, "redis,").iter().all(|line| !line.contains(&format!("which={which}"))));
    }
    // What the user may not do is asked once, not at each query.
    wait_until("five queries", || (stored(&influx, "redis,").len() >= 5).then_some(()));
    let outputs = [taffrail.log().join("\n"), taffrail.get("/metrics").text().to_owned(), influx.stored().join("\n")];
    for output in outputs {
        assert!(!output.contains("s3cret"), "{output}");
    }
    let denied = taffrail
        .get("/metrics")
        .text()
        .lines()
        .filter(|line| line.starts_with("redis_errors_total") && line.contains("NOPERM"))
        .map(str::to_owned)
        .collect::<Vec<_>>();
    assert!(denied.len() == 1 && denied[0].ends_with(" 5"), "{denied:?}");
}

/// Settings of a client that trusts `tls`, with the certificate in `files`.
fn trusting(tls: &Certificates, files: &[PathBuf; 2]) -> String {
    let [certificate, key] = files.each_ref().map(|path| path.display());
    let authority = tls.authority();
    format!("tls = true\ntls_ca = \"{}\"\ntls_cert = \"{certificate}\"\ntls_key = \"{key}\"\n", authority.display())
}

/// Waits until the server that trusts is up, and those without its authority or a certificate are down, with the reason.
fn assert_only_trusted(kind: &str, port: u16, (tls, files): (&Certificates, &[PathBuf; 2]), series: &str) {
    let address = format!("127.0.0.1:{port}");
    let label = |which: &str| format!("[collectors.{kind}.labels]\nwhich = \"{which}\"");
    let other = format!("tls = true\ntls_ca = \"{}\"\n", tls.other_authority().display());
    let sections = [
        section(kind, "servers", &[&address], &(trusting(tls, files) + &label("good"))),
        section(kind, "servers", &[&address], &(other + &label("other"))),
        section(kind, "servers", &[&address], &label("plain")),
    ];
    let taffrail = with(&sections.concat());
    let text = up(&taffrail, &format!("{kind}_up{{server=\"{address}\",which=\"good\"}}"));
    assert!(text.contains(&format!("{series}{{server=\"{address}\",which=\"good\"}}")), "{text}");
    for which in ["other", "plain"] {
        let series = format!("{kind}_up{{server=\"{address}\",which=\"{which}\"}}");
        wait_until(&series, || (taffrail.get("/metrics").sample(&series) == Some(0.0)).then_some(()));
    }
    taffrail.wait_for_log("certificate");
}

#[test]
#[ignore = "needs Debian's package redis-server: tests/run"]
fn with_redis_server_that_speaks_tls_and_demands_a_certificate() {
    let (tls, folder, port) = (Certificates::make(), tempfile::tempdir().unwrap(), free_port());
    let files = tls.client_files("metrics");
    let own = |name: &str| tls.folder().join(name);
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--tls-port", &port.to_string(), "--save", "", "--bind", "127.0.0.1"]);
    command.arg("--dir").arg(folder.path());
    command.arg("--tls-cert-file").arg(own("server.pem")).arg("--tls-key-file").arg(own("server.key"));
    command.arg("--tls-ca-cert-file").arg(tls.authority());
    let _redis = Server::start_silent(command, port);
    assert_only_trusted("redis", port, (&tls, &files), "redis_connected_clients");
}

#[test]
#[ignore = "needs Debian's package memcached: tests/run"]
fn with_memcached_that_speaks_tls() {
    let (tls, port) = (Certificates::make(), free_port());
    let files = tls.client_files("metrics");
    let root = tls.folder().display();
    let mut command = Command::new("memcached");
    command.args(["-u", "root", "-l", "127.0.0.1", "-p", &port.to_string(), "-Z"]);
    command.arg("-o").arg(format!("ssl_chain_cert={root}/server.pem,ssl_key={root}/server.key"));
    let _memcached = Server::start_silent(command, port);
    assert_only_trusted("memcached", port, (&tls, &files), "memcached_current_items");
}

fn memcached(port: u16) -> Server {
    let mut command = Command::new("memcached");
    command.args(["-u", "nobody", "-l", "127.0.0.1", "-p", &port.to_string()]);
    Server::start_silent(command, port)
}

#[test]
#[ignore = "needs Debian's package memcached: tests/run"]
fn with_memcached_that_counts_commands() {
    let port = free_port();
    let _memcached = memcached(port);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"set a 0 0 3\r\nabc\r\nset b 0 0 1\r\nx\r\nget a\r\nget none\r\nincr b 1\r\nquit\r\n").unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).unwrap();
    let influx = FakeInflux::agreeable();
    let address = format!("127.0.0.1:{port}");
    let taffrail = pushing(&section("memcached", "servers", &[&address, "127.0.0.1:1"], ""), &influx);
    let down = "memcached_up{server=\"127.0.0.1:1\"}";
    wait_until(down, || taffrail.get("/metrics").sample(down));
    let text = up(&taffrail, &format!("memcached_up{{server=\"{address}\"}}"));
    let page = Exposition::parse(&text);
    let of = |name: &str, labels: &[(&str, &str)]| page.expect(name, labels);
    assert_eq!(of("memcached_commands_total", &[("command", "set"), ("status", "hit"), ("server", &address)]), 2.0);
    assert_eq!(of("memcached_commands_total", &[("command", "get"), ("status", "miss"), ("server", &address)]), 1.0);
    assert_eq!(of("memcached_current_items", &[]), 2.0);
    assert_eq!(of("memcached_max_connections", &[]), 1024.0);
    assert_eq!(of("memcached_lru_crawler_enabled", &[]), 1.0);
    assert_eq!(of("memcached_malloced_bytes", &[]), 1_048_576.0);
    assert_eq!(of("memcached_slab_current_items", &[("slab", "1")]), 2.0);
    assert_eq!(of("memcached_slab_commands_total", &[("slab", "1"), ("command", "set")]), 2.0);
    assert_eq!(of("memcached_slab_chunk_size_bytes", &[("slab", "1")]), 96.0);
    assert_eq!(of("memcached_slab_lru_hits_total", &[("slab", "1"), ("lru", "hot")]), 1.0);
    assert!(!page.all("memcached_version", &[("version", "1.6.18")]).is_empty() || text.contains("memcached_version{"));
    assert_eq!(of("memcached_up", &[("server", "127.0.0.1:1")]), 0.0);
    // memcached_exporter 0.15 has these families of such a server, by its source.
    let ours = types(&text, "memcached_");
    for (name, kind) in MEMCACHED_EXPORTER {
        assert_eq!(ours.get(*name).map(String::as_str), Some(*kind), "{name}");
    }
    assert_shape(&influx, "memcached,host=h,server=", MEMCACHED);
}

fn apache(folder: &Path, port: u16) -> Main {
    let root = folder.display();
    let modules = "/usr/lib/apache2/modules";
    let text = format!(
        "ServerRoot /etc/apache2\nPidFile {root}/apache.pid\nDefaultRuntimeDir {root}\nMutex file:{root} default\nListen 127.0.0.1:{port}\n\
         ServerName localhost\nErrorLog {root}/apache.log\nLoadModule mpm_event_module {modules}/mod_mpm_event.so\n\
         LoadModule authz_core_module {modules}/mod_authz_core.so\nLoadModule status_module {modules}/mod_status.so\n\
         ExtendedStatus On\nUser nobody\nGroup nogroup\n<Location /server-status>\nSetHandler server-status\n</Location>\n"
    );
    let config = folder.join("apache.conf");
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new("apache2");
    command.arg("-f").arg(&config).arg("-DFOREGROUND");
    Main(Some(Server::start(command, port, "/server-status?auto")))
}

#[test]
#[ignore = "needs Debian's package prometheus-apache-exporter: tests/run"]
fn with_apache_exporter_that_has_the_same_families() {
    let folder = open_folder();
    let (port, exporter_port) = (free_port(), free_port());
    let _apache = apache(folder.path(), port);
    let url = format!("http://127.0.0.1:{port}/server-status?auto");
    let mut command = Command::new("prometheus-apache-exporter");
    command.args(["--telemetry.address", &format!("127.0.0.1:{exporter_port}"), "--scrape_uri", &url]);
    let exporter = Server::start(command, exporter_port, "/metrics");
    let influx = FakeInflux::agreeable();
    let without_auto = format!("http://127.0.0.1:{port}/server-status");
    let sections = section("apache", "urls", &[&url], "")
        + &section("apache", "urls", &[&without_auto], "[collectors.apache.labels]\nwhich = \"html\"");
    let taffrail = pushing(&sections, &influx);
    up(&taffrail, &format!("apache_up{{server=\"127.0.0.1:{port}\"}}"));
    // The page has the CPU load only when a tick of CPU time has been used.
    let ours = wait_until("apache_cpuload", || {
        (0..20).for_each(|_| drop(get(&without_auto, &[]).unwrap()));
        let page = taffrail.get("/metrics").text().to_owned();
        page.contains("\napache_cpuload{").then_some(page)
    });
    let ours = ours.lines().filter(|line| !line.contains("which=")).collect::<Vec<_>>().join("\n");
    let theirs = get(&format!("{}/metrics", exporter.url), &[]).unwrap();
    let changing = [
        "apache_accesses",
        "apache_cpu",
        "apache_duration",
        "apache_load",
        "apache_sent",
        "apache_uptime",
        "apache_scoreboard",
        "apache_workers",
        "apache_connections",
        "apache_processes",
    ];
    Differences { prefix: "apache_", only_theirs: &["apache_exporter_"], only_ours: &[], changing: &changing }
        .check(&ours, theirs.text());
    let accesses = |text: &str| Exposition::parse(text).expect("apache_accesses_total", &[]);
    assert!(accesses(&ours) <= accesses(theirs.text()) + 2.0);
    // A server in its first second has no rates.
    wait_until("a point with CPU load and rates", || {
        let point = stored(&influx, "apache,host=h,port=").pop()?;
        ["CPULoad=", "BytesPerSec="].iter().all(|field| point.contains(field)).then_some(())
    });
    assert_shape(&influx, "apache,host=h,port=", APACHE);
    taffrail.wait_for_log("cannot be read: expected plain text, found an HTML page");
}

#[test]
#[ignore = "needs Debian's package php-fpm: tests/run"]
fn with_php_fpm_that_has_two_pools() {
    let folder = open_folder();
    let (port, root) = (free_port(), folder.path().display().to_string());
    let text = format!(
        "[global]\npid = {root}/fpm.pid\nerror_log = {root}/fpm.log\ndaemonize = no\n\
         [www]\nlisten = {root}/fpm.sock\nlisten.mode = 0666\npm = static\npm.max_children = 2\npm.status_path = /status\nuser = nobody\ngroup = nogroup\n\
         [api]\nlisten = 127.0.0.1:{port}\npm = static\npm.max_children = 1\npm.status_path = /fpm/status\nuser = nobody\ngroup = nogroup\n"
    );
    let config = folder.path().join("fpm.conf");
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(php_fpm());
    command.arg("-F").arg("-y").arg(&config);
    let _fpm = Main(Some(Server::start_silent(command, port)));
    let influx = FakeInflux::agreeable();
    let (socket, tcp, wrong) = (
        format!("{root}/fpm.sock:status"),
        format!("fcgi://127.0.0.1:{port}/fpm/status"),
        format!("fcgi://127.0.0.1:{port}/other"),
    );
    let sections =
        section("phpfpm", "urls", &[&socket], "full = true") + &section("phpfpm", "urls", &[&tcp, &wrong], "");
    let taffrail = pushing(&sections, &influx);
    up(&taffrail, &format!("phpfpm_up{{pool=\"api\",scrape_uri=\"{tcp}\"}}"));
    let text = up(&taffrail, &format!("phpfpm_up{{pool=\"www\",scrape_uri=\"{socket}\"}}"));
    let page = Exposition::parse(&text);
    assert_eq!(page.expect("phpfpm_total_processes", &[("pool", "www")]), 2.0);
    assert_eq!(page.expect("phpfpm_active_processes", &[("pool", "api")]), 1.0);
    assert!(page.expect("phpfpm_accepted_connections", &[("pool", "www")]) >= 1.0);
    let states: f64 = page.all("phpfpm_process_state", &[("pool", "www")]).iter().map(|series| series.value).sum();
    assert_eq!(states, 2.0, "each process is in one state");
    assert_eq!(page.all("phpfpm_process_requests", &[]).len(), 2);
    // php-fpm_exporter 2 has these families, by its source.
    let ours = types(&text, "phpfpm_");
    for (name, kind) in PHP_FPM_EXPORTER {
        assert_eq!(ours.get(*name).map(String::as_str), Some(*kind), "{name}");
    }
    assert_shape(&influx, "phpfpm,host=h,pool=www,", PHPFPM);
    taffrail.wait_for_log("the page is pm.status_path of the pool, here /other");
    let failures = format!("phpfpm_scrape_failures{{scrape_uri=\"{wrong}\"}}");
    wait_until(&failures, || taffrail.get("/metrics").sample(&failures).filter(|count| *count >= 2.0));
}

/// The program of Debian's release.
fn php_fpm() -> String {
    let programs = std::fs::read_dir("/usr/sbin").unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> =
        programs.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("php-fpm")).collect();
    found.sort();
    found.pop().expect("no php-fpm in /usr/sbin").display().to_string()
}

const PHP_FPM_EXPORTER: &[(&str, &str)] = &[
    ("phpfpm_up", "gauge"),
    ("phpfpm_scrape_failures", "counter"),
    ("phpfpm_start_since", "counter"),
    ("phpfpm_accepted_connections", "counter"),
    ("phpfpm_listen_queue", "gauge"),
    ("phpfpm_max_listen_queue", "counter"),
    ("phpfpm_listen_queue_length", "gauge"),
    ("phpfpm_idle_processes", "gauge"),
    ("phpfpm_active_processes", "gauge"),
    ("phpfpm_total_processes", "gauge"),
    ("phpfpm_max_active_processes", "counter"),
    ("phpfpm_max_children_reached", "counter"),
    ("phpfpm_slow_requests", "counter"),
    ("phpfpm_process_requests", "counter"),
    ("phpfpm_process_last_request_memory", "gauge"),
    ("phpfpm_process_last_request_cpu", "gauge"),
    ("phpfpm_process_request_duration", "gauge"),
    ("phpfpm_process_state", "gauge"),
];

const MEMCACHED_EXPORTER: &[(&str, &str)] = &[
    ("memcached_uptime_seconds", "counter"),
    ("memcached_time_seconds", "gauge"),
    ("memcached_version", "gauge"),
    ("memcached_process_user_cpu_seconds_total", "counter"),
    ("memcached_process_system_cpu_seconds_total", "counter"),
    ("memcached_read_bytes_total", "counter"),
    ("memcached_written_bytes_total", "counter"),
    ("memcached_current_connections", "gauge"),
    ("memcached_max_connections", "gauge"),
    ("memcached_connections_total", "counter"),
    ("memcached_connections_rejected_total", "counter"),
    ("memcached_connections_yielded_total", "counter"),
    ("memcached_connections_listener_disabled_total", "counter"),
    ("memcached_current_bytes", "gauge"),
    ("memcached_limit_bytes", "gauge"),
    ("memcached_commands_total", "counter"),
    ("memcached_current_items", "gauge"),
    ("memcached_items_total", "counter"),
    ("memcached_items_evicted_total", "counter"),
    ("memcached_items_reclaimed_total", "counter"),
    ("memcached_item_too_large_total", "counter"),
    ("memcached_item_no_memory_total", "counter"),
    ("memcached_direct_reclaims_total", "counter"),
    ("memcached_lru_crawler_enabled", "gauge"),
    ("memcached_lru_crawler_sleep", "gauge"),
    ("memcached_lru_crawler_to_crawl", "gauge"),
    ("memcached_lru_crawler_maintainer_thread", "gauge"),
    ("memcached_lru_crawler_hot_percent", "gauge"),
    ("memcached_lru_crawler_warm_percent", "gauge"),
    ("memcached_lru_crawler_hot_max_factor", "gauge"),
    ("memcached_lru_crawler_warm_max_factor", "gauge"),
    ("memcached_lru_crawler_starts_total", "counter"),
    ("memcached_lru_crawler_reclaimed_total", "counter"),
    ("memcached_lru_crawler_items_checked_total", "counter"),
    ("memcached_lru_crawler_moves_to_cold_total", "counter"),
    ("memcached_lru_crawler_moves_to_warm_total", "counter"),
    ("memcached_lru_crawler_moves_within_lru_total", "counter"),
    ("memcached_malloced_bytes", "gauge"),
    ("memcached_slab_current_items", "gauge"),
    ("memcached_slab_items_age_seconds", "gauge"),
    ("memcached_slab_items_evicted_total", "counter"),
    ("memcached_slab_items_evicted_time_seconds", "counter"),
    ("memcached_slab_items_outofmemory_total", "counter"),
    ("memcached_slab_items_moves_to_cold", "counter"),
    ("memcached_slab_hot_items", "gauge"),
    ("memcached_slab_lru_hits_total", "counter"),
    ("memcached_slab_chunk_size_bytes", "gauge"),
    ("memcached_slab_chunks_used", "gauge"),
    ("memcached_slab_commands_total", "counter"),
    ("memcached_accepting_connections", "gauge"),
];

/// A server that accepts and says nothing delays no other, and is not asked twice at a time.
#[test]
fn a_silent_server_delays_no_other() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    let page = "Active connections: 1 \nserver accepts handled requests\n 5 5 9 \nReading: 0 Writing: 1 Waiting: 0 \n";
    let nginx = FakeInflux::start(move |_: &Post| reply(200, page));
    let (good, bad) = (format!("{}/status", nginx.url()), format!("http://{silent}/status"));
    let influx = FakeInflux::agreeable();
    let sections = format!(
        "[[collectors.nginx]]\ninterval = \"100ms\"\ntimeout = \"1h\"\nurls = [\"{good}\", \"{bad}\"]\n\
         [[collectors.redis]]\ninterval = \"100ms\"\ntimeout = \"1h\"\nservers = [\"{silent}\"]\n"
    );
    let taffrail = pushing(&sections, &influx);
    up(&taffrail, &format!("nginx_up{{server=\"{}\"}}", nginx.address));
    let connections: Vec<TcpStream> = (0..2).map(|_| listener.accept().unwrap().0).collect();
    wait_until("many queries of the other", || (nginx.writes().len() >= 20).then_some(()));
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "a second query of a server that has not responded");
    let text = taffrail.get("/metrics").text().to_owned();
    assert!(!text.contains(&format!("server=\"{silent}\"")), "{text}");
    drop(connections);
    // The end of the connection is a failure, which is visible in both vocabularies.
    wait_until("redis_up 0", || {
        taffrail.get("/metrics").sample(&format!("redis_up{{server=\"{silent}\"}}")).filter(|up| *up == 0.0)
    });
    let target = format!("taffrail_target,host=h,input=redis,url={silent} ");
    assert!(wait_until(&target, || stored(&influx, &target).pop()).contains("up=0i"));
    assert_eq!(stored(&influx, "redis,").len(), 0);
}

/// A server that writes `start`, and then `more` without an end, to each client. Returns its address.
fn endless(start: &'static [u8], more: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let _ = client.read(&mut [0; 4096]).and_then(|_| client.write_all(start));
            while client.write_all(more).is_ok() {}
        }
    });
    address
}

#[test]
fn a_reply_without_an_end_is_refused_by_max_body() {
    const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
    // 16 bytes of standard output.
    const RECORD: &[u8] = b"\x01\x06\0\x01\0\x10\0\0Content-Type: xx";
    let servers = [
        ("nginx", "urls", format!("http://{}/", endless(PAGE, b"Active connections: 1\n"))),
        ("apache", "urls", format!("http://{}/?auto", endless(PAGE, b"Uptime: 1\n"))),
        ("phpfpm", "urls", format!("http://{}/status?json", endless(PAGE, b"{\"pool\":\"www\"}"))),
        ("phpfpm", "urls", format!("tcp://{}/status", endless(b"", RECORD))),
        ("redis", "servers", endless(b"+", b"xxxxxxxxxxxxxxxx")),
        ("redis", "servers", endless(b"$100000000\r\n", b"xxxxxxxxxxxxxxxx")),
        ("memcached", "servers", endless(b"", b"STAT curr_items 1\r\n")),
    ];
    let sections = servers.iter().map(|(kind, list, server)| section(kind, list, &[server], "max_body = \"64KiB\""));
    let taffrail = with(&sections.collect::<String>());
    for (kind, _, server) in &servers {
        let address = server.split("//").last().unwrap().split('/').next().unwrap();
        wait_until(&format!("{kind} at {server}"), || {
            taffrail.log().into_iter().find(|line| line.contains(address) && line.contains("max_body: "))
        });
    }
}

/// Each mistake in the settings is reported with the remedy, and without the password.
#[test]
fn mistakes_in_the_settings_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("taffrail.toml");
    for (section, expected) in [
        ("[[collectors.nginx]]\n", "collectors.nginx[0].urls: required: at least one server"),
        ("[[collectors.nginx]]\nurls = [\"http://u:s3cret@h/x\"]\n", "expected a URL without credentials"),
        ("[[collectors.redis]]\nservers = [\"tcp://u:s3cret@h:1\"]\n", "expected an address without credentials"),
        (
            "[[collectors.redis]]\nservers = [\"a\", \"tcp://a:6379\"]\n",
            "redis[0].servers[1]: this server is there twice",
        ),
        (
            "[[collectors.nginx]]\nurls = [\"http://a/x\"]\n[[collectors.nginx]]\nurls = [\"http://a/y\"]\n",
            "nginx[1].urls[0]: this server is there twice, with the same labels",
        ),
        ("[collectors.docker_state]\nsocket = \"tcp://a:2375\"\n", "expected the path of a Unix socket"),
        ("[[collectors.redis]]\nservers = [\"a\"]\nusername = \"x\"\n", "expected a password with it"),
        ("[[collectors.memcached]]\nservers = [\"http://a\"]\n", "expected an address such as localhost:6379"),
        ("[[collectors.phpfpm]]\nurls = [\"/run/*.sock\"]\n", "expected one socket, found a pattern"),
        (
            "[[collectors.nginx]]\nurls = [\"http://a/x\", \"http://a:80/y\"]\n",
            "nginx[0].urls[1]: this server is there twice",
        ),
        (
            "[[collectors.apache]]\nurls = [\"http://a\"]\n[collectors.apache.labels]\nserver = \"x\"\n",
            "it is that of the label of the server",
        ),
        (
            "[[collectors.apache]]\nurls = [\"http://a\"]\n[collectors.apache.labels]\n\"a-b\" = \"x\"\n",
            "expected the name of a label",
        ),
    ] {
        std::fs::write(&config, section).unwrap();
        let output =
            Command::new(env!("CARGO_BIN_EXE_taffrail")).arg("check").arg("--config").arg(&config).output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!output.status.success() && text.contains(expected) && !text.contains("s3cret"), "{section}: {text}");
    }
}
