//! What dashboards show of applications: clients of statsd, and servers and disks that respond with fixed values.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;

use crate::harness::Taffrail;

pub(super) const STATSD: &str = "[collectors]\ndefault = false\n\
                                 [collectors.statsd]\nlisten = [\"udp://127.0.0.1:0\"]\nflush_interval = \"1s\"\n";

/// Samples of each type, a malformed one, and one of another type than its family.
const SAMPLES: &[&str] =
    &["orders:1|c\nusers:3|g\nwait:12|ms\nwait:20|ms\nsize:5|h\nvisitors:a|s\n", "malformed", "orders:1|g"];

pub(super) fn send_samples(taffrail: &Taffrail) {
    let line = taffrail.wait_for_log("statsd: receiving on udp://");
    let address = line.split_once("udp://").unwrap().1.split([' ', '"']).next().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for samples in SAMPLES {
        socket.send_to(samples.as_bytes(), address).unwrap();
    }
}

const NGINX: &str =
    "Active connections: 3 \nserver accepts handled requests\n 10 9 20 \nReading: 0 Writing: 1 Waiting: 2 \n";

const APACHE: &str = "localhost\nServerVersion: Apache/2.4.57 (Debian)\nServerMPM: event\nServerUptimeSeconds: 100\nUptime: 100\n\
                      Total Accesses: 20\nTotal kBytes: 30\nTotal Duration: 40\nReqPerSec: .2\nDurationPerReq: 2\nBusyWorkers: 1\n\
                      IdleWorkers: 49\nScoreboard: _W.\n";

const PHPFPM: &str = "pool: www\nprocess manager: dynamic\nstart time: 01/Jan/2024:00:00:00 +0000\nstart since: 100\naccepted conn: 20\n\
                      listen queue: 0\nmax listen queue: 1\nlisten queue len: 128\nidle processes: 1\nactive processes: 1\n\
                      total processes: 2\nmax active processes: 2\nmax children reached: 0\nslow requests: 0\n";

const REDIS: &str = "# Server\r\nredis_version:7.0.15\r\nuptime_in_seconds:100\r\n# Clients\r\nconnected_clients:2\r\nblocked_clients:1\r\n\
                     # Memory\r\nused_memory:1000\r\nmaxmemory:2000\r\n# Stats\r\ntotal_commands_processed:30\r\nkeyspace_hits:3\r\n\
                     keyspace_misses:1\r\nexpired_keys:1\r\nevicted_keys:1\r\ntotal_net_input_bytes:100\r\ntotal_net_output_bytes:100\r\n\
                     rejected_connections:0\r\n# Persistence\r\nrdb_last_bgsave_status:ok\r\n\
                     # Replication\r\nrole:slave\r\nmaster_host:a\r\nmaster_port:1\r\nmaster_link_status:up\r\n\
                     # Commandstats\r\ncmdstat_get:calls=4,usec=8,usec_per_call=2.00,rejected_calls=0,failed_calls=0\r\n\
                     # Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=1000\r\n";

const MEMCACHED: &[(&str, u32)] = &[
    ("uptime", 100),
    ("get_hits", 3),
    ("get_misses", 1),
    ("cmd_get", 4),
    ("cmd_set", 2),
    ("bytes", 100),
    ("limit_maxbytes", 1000),
    ("evictions", 1),
    ("curr_connections", 2),
    ("max_connections", 10),
    ("bytes_read", 100),
    ("bytes_written", 100),
];

/// Answers each line of each connection.
fn listen(answer: impl Fn(&str) -> Option<String> + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            std::thread::spawn(move || converse(stream, answer));
        }
    });
    port
}

/// Until the client closes the connection.
fn converse(mut stream: TcpStream, answer: impl Fn(&str) -> Option<String>) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    for line in lines {
        if let Some(answer) = answer(line.trim())
            && stream.write_all(answer.as_bytes()).is_err()
        {
            return;
        }
    }
}

/// A page, whatever the path. The head of a request ends with an empty line.
fn page(kind: &'static str, body: &'static str) -> impl Fn(&str) -> Option<String> + Clone {
    move |line| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len());
        line.is_empty().then(|| format!("{head}{body}"))
    }
}

fn redis(line: &str) -> Option<String> {
    match line {
        "INFO" => Some(format!("${}\r\n{REDIS}\r\n", REDIS.len())),
        "CONFIG" | "SLOWLOG" | "LATENCY" => Some("-ERR unknown command\r\n".to_owned()),
        _ => None,
    }
}

fn memcached(line: &str) -> Option<String> {
    let stats = match line {
        "stats" => MEMCACHED.iter().map(|(name, value)| format!("STAT {name} {value}\r\n")).collect(),
        "stats settings" => "STAT maxconns 10\r\n".to_owned(),
        _ => String::new(),
    };
    Some(format!("{stats}END\r\n"))
}

/// Collectors of servers, each with one.
pub(super) fn servers() -> String {
    let section = |kind: &str, list: &str, server: String| {
        format!("[[collectors.{kind}]]\ninterval = \"1s\"\n{list} = [\"{server}\"]\n")
    };
    let url = |port: u16, path: &str| format!("http://127.0.0.1:{port}{path}");
    let at = |port: u16| format!("127.0.0.1:{port}");
    [
        "[collectors]\ndefault = false\n".to_owned(),
        section("nginx", "urls", url(listen(page("text/plain", NGINX)), "/status")),
        section("apache", "urls", url(listen(page("text/plain", APACHE)), "/server-status?auto")),
        section("phpfpm", "urls", url(listen(page("text/plain", PHPFPM)), "/fpm")),
        section("redis", "servers", at(listen(redis))),
        section("memcached", "servers", at(listen(memcached))),
    ]
    .concat()
}

const ATA: &str = r#"{"json_format_version":[1,0],"smartctl":{"version":[7,3],"exit_status":0},"local_time":{"time_t":NOW},
"device":{"name":"/dev/sda","info_name":"/dev/sda","type":"sat","protocol":"ATA"},"model_name":"DISK 1000","serial_number":"S1",
"user_capacity":{"blocks":1953525168,"bytes":1000204886016},"smart_support":{"available":true,"enabled":true},
"smart_status":{"passed":true},"ata_smart_attributes":{"table":[
{"id":5,"name":"Reallocated_Sector_Ct","value":100,"worst":100,"thresh":36,"when_failed":"","flags":{"value":51,"string":"PO--CK "},
"raw":{"value":0,"string":"0"}},
{"id":187,"name":"Reported_Uncorrect","value":100,"worst":100,"thresh":0,"when_failed":"","flags":{"value":50,"string":"-O--CK "},
"raw":{"value":0,"string":"0"}},
{"id":197,"name":"Current_Pending_Sector","value":100,"worst":100,"thresh":0,"when_failed":"","flags":{"value":18,"string":"-O--C- "},
"raw":{"value":0,"string":"0"}}]},"power_on_time":{"hours":1234},"temperature":{"current":37},
"ata_smart_error_log":{"summary":{"revision":1,"count":0}},"ata_smart_self_test_log":{"standard":{"count":2,"error_count_total":0}}}"#;

const NVME: &str = r#"{"json_format_version":[1,0],"smartctl":{"version":[7,3],"exit_status":0},"local_time":{"time_t":NOW},
"device":{"name":"/dev/nvme0","info_name":"/dev/nvme0","type":"nvme","protocol":"NVMe"},"model_name":"FAST 1","serial_number":"N1",
"user_capacity":{"blocks":3907029168,"bytes":2000398934016},"smart_status":{"passed":true},
"nvme_smart_health_information_log":{"critical_warning":0,"temperature":40,"available_spare":100,"available_spare_threshold":10,
"percentage_used":3,"power_on_hours":9,"media_errors":0,"num_err_log_entries":1},"power_on_time":{"hours":9},
"temperature":{"current":40}}"#;

/// Disks, by files as a timer of root writes them.
pub(super) fn disks(root: &Path) -> String {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().to_string();
    for (name, output) in [("sda.json", ATA), ("nvme0.json", NVME)] {
        std::fs::write(root.join(name), output.replace("NOW", &now)).unwrap();
    }
    let files = root.join("*.json");
    format!(
        "[collectors]\ndefault = false\n[[collectors.smart]]\ninterval = \"1s\"\nfiles = [\"{}\"]\n",
        files.display()
    )
}
