//! Probes as users run them: `GET /probe`, and pings in a network namespace of their own.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

use crate::harness::{Taffrail, config_file, printed, sample, taffrail, wait_until};

/// A server that responds to every request with status 200.
fn web() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    address
}

#[test]
fn a_probe_is_made_on_request_as_of_blackbox_exporter() {
    let (web, other) = (web(), web());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let taffrail = Taffrail::start(&format!(
        "[collectors]\ndefault = false\n\
         [[collectors.probe]]\nname = 'http_2xx'\ntargets = ['http://{web}/a']\n\
         [[collectors.probe]]\nname = 'any'\ntargets = ['http://127.0.0.*:*/*']\n\
         [[collectors.probe]]\nname = 'tcp'\nprober = 'tcp'\ntargets = ['{silent}', '*']\n"
    ));
    let done = taffrail.get(&format!("/probe?target=http://{web}/a"));
    assert_eq!((done.status, &*done.content_type), (200, "text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(done.sample("probe_success"), Some(1.0), "without the labels of /metrics");
    assert_eq!(done.sample("probe_http_status_code"), Some(200.0));
    assert!(done.sample("probe_duration_seconds").is_some_and(|seconds| seconds > 0.0));
    let labelled = format!("probe_success{{module=\"http_2xx\",target=\"http://{web}/a\"}}");
    wait_until("the probe at the interval", || taffrail.get("/metrics").sample(&labelled));
    assert!(!taffrail.get("/metrics").text().contains("module=\"any\""), "a pattern is no target");

    let by_pattern = taffrail.get(&format!("/probe?module=any&target=http%3A%2F%2F{other}%2Fb"));
    assert_eq!(by_pattern.sample("probe_success"), Some(1.0));
    let refused = taffrail.get(&format!("/probe?module=tcp&target={silent}"));
    assert_eq!((refused.status, refused.sample("probe_success")), (200, Some(0.0)));
    let explained = taffrail.get(&format!("/probe?module=tcp&target={silent}&debug=true"));
    assert!(explained.text().contains("failed: cannot connect to 127.0.0.1"), "{}", explained.text());
    let open_metrics =
        taffrail.get_with(&format!("/probe?target=http://{web}/a"), &[("accept", "application/openmetrics-text")]);
    assert!(open_metrics.text().ends_with("# EOF\n"));

    for (query, expected) in [
        ("module=http_2xx".to_owned(), "the parameter target is missing"),
        (format!("target={web}&module=nope"), "the parameter module is one of http_2xx, any, tcp"),
        (format!("target=http://{other}/"), "is no target of the module \"http_2xx\": add it, or a pattern"),
        ("module=any&target=http://evil.example/127.0.0.1/".to_owned(), "is no target of the module"),
        ("module=any&target=http://u:p@127.0.0.1/".to_owned(), "without credentials"),
        ("module=tcp&target=http://a/".to_owned(), "expected an address such as example.org:25"),
        (format!("target=http://{web}/a&hostname=x"), "set tls_server_name and headers in the module"),
    ] {
        let wrong = taffrail.get(&format!("/probe?{query}"));
        assert_eq!(wrong.status, 400, "{query}: {}", wrong.text());
        assert!(wrong.text().contains(expected), "{query}: {}", wrong.text());
        assert!(!wrong.text().contains("u:p"), "{}", wrong.text());
    }
    taffrail.reload("[collectors]\ndefault = false\n");
    assert_eq!(taffrail.get(&format!("/probe?target=http://{web}/a")).status, 404);
}

/// A server that accepts and says nothing.
#[test]
fn a_requested_probe_ends_before_the_scrape() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let taffrail = Taffrail::start(&format!(
        "[collectors]\ndefault = false\n[[collectors.probe]]\ntimeout = '1h'\ntargets = ['http://{address}/']\n"
    ));
    let path = format!("/probe?module=http&target=http://{address}/");
    let done = taffrail.get_with(&path, &[("x-prometheus-scrape-timeout-seconds", "1.5")]);
    assert_eq!((done.status, done.sample("probe_success")), (200, Some(0.0)));
    let debug = taffrail.get_with(&format!("{path}&debug=true"), &[("x-prometheus-scrape-timeout-seconds", "1.5")]);
    assert!(debug.text().contains("failed: no complete response within 1s"), "{}", debug.text());
}

/// Runs in a network namespace of its own: sockets are forbidden, then permitted, then the host ignores requests.
const SCRIPT: &str = r#"
        set -e
        folder=$1
        ip link set lo up
        echo 1 0 > /proc/sys/net/ipv4/ping_group_range
        "$0" run --config $1/config.toml 2>$1/log & taffrail=$!
        until_it() { for i in $(seq 600); do if "$@"; then return; fi; kill -0 $taffrail; sleep 0.1; done; cat $folder/log; return 1; }
        page() { curl --silent --fail --output $1/metrics http://127.0.0.1:9100/metrics; }
        has() { page $1 && grep -qF "$2" $1/metrics; }
        has_line() { grep -qs "$2" $1/points; }
        until_it grep -q 'ping_group_range does not include the group 0 of this process' $1/log
        until_it has_line $1 '^ping,host=[^,]*,url=127.0.0.1 .*result_code=2i'
        echo 0 0 > /proc/sys/net/ipv4/ping_group_range
        until_it has $1 'probe_success{module="v4",target="127.0.0.1"} 1'
        until_it has $1 'probe_success{module="v6",target="::1"} 1'
        until_it has_line $1 '^ping,host=[^,]*,url=::1 .*ttl=64'
        until_it has_line $1 '^ping,host=[^,]*,url=127.0.0.1 .*ttl=64'
        cat $1/metrics
        echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all
        until_it has $1 'probe_success{module="v4",target="127.0.0.1"} 0'
        until_it has_line $1 '^ping,host=[^,]*,url=127.0.0.1 .*percent_packet_loss=100'
        curl --silent --fail 'http://127.0.0.1:9100/probe?module=v6&target=::1' | sed 's/^probe/requested/'
        kill $taffrail; wait $taffrail
        sed -n 's/^ping,host=[^,]*/ping/p' $1/points"#;

const CONFIG: &str = r#"
        [http]
        listen = ["127.0.0.1:9100"]
        [agent]
        interval = "1s"
        [collectors]
        default = false
        [[collectors.probe]]
        name = "v4"
        prober = "icmp"
        interval = "1s"
        timeout = "800ms"
        targets = ["127.0.0.1", "127.0.0.2"]
        icmp = {count = 3, packet_interval = "50ms"}
        [[collectors.probe]]
        name = "v6"
        prober = "icmp"
        interval = "1s"
        targets = ["::1", "no-such-host.invalid"]
        [[sinks.file]]
    "#;

#[test]
#[ignore = "needs Debian's packages mount and iproute2, as root: tests/run"]
fn with_mount_and_namespaces_hosts_are_pinged_over_unprivileged_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let points = folder.path().join("points");
    std::fs::write(folder.path().join("config.toml"), format!("{CONFIG}path = '{}'\n", points.display())).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "bash", "-c", SCRIPT]);
    let output: Output = command.arg(env!("CARGO_BIN_EXE_taffrail")).arg(folder.path()).output().unwrap();
    let (reported, problems) = printed(&output);
    assert!(output.status.success(), "{reported}{problems}");
    for (module, target) in [("v4", "127.0.0.1"), ("v6", "::1")] {
        let of = format!("module=\"{module}\",target=\"{target}\"");
        assert_eq!(sample(&reported, &format!("probe_icmp_reply_hop_limit{{{of}}}")), Some(64.0), "{reported}");
        let rtt = sample(&reported, &format!("probe_icmp_duration_seconds{{{of},phase=\"rtt\"}}"));
        assert!(rtt.is_some_and(|seconds| seconds > 0.0), "{reported}");
    }
    assert_eq!(sample(&reported, "requested_icmp_reply_hop_limit"), Some(64.0), "{reported}");
    let has = |start: &str, part: &str| {
        let found = reported.lines().any(|line| line.starts_with(start) && line.contains(part));
        assert!(found, "{start} {part}: {reported}");
    };
    has("ping,url=127.0.0.2 ", "packets_transmitted=3i,packets_received=3i,percent_packet_loss=0,minimum_response_ms=");
    has("ping,url=127.0.0.1 ", "packets_transmitted=3i,packets_received=0i,percent_packet_loss=100,result_code=1i");
    has("ping,url=127.0.0.1 ", "result_code=2i");
    has("ping,url=no-such-host.invalid ", "result_code=1i");
}

#[test]
fn check_finds_probes_that_cannot_succeed_and_tables_without_effect() {
    for (settings, expected) in [
        (
            "targets = ['https://a']\nhttp = { fail_if_ssl = true, fail_if_not_ssl = true }",
            "http.fail_if_not_ssl: expected false, as fail_if_ssl is true: no probe would succeed",
        ),
        (
            "targets = ['https://a', 'http://a']\nhttp.fail_if_not_ssl = true",
            "targets: a probe fails if fail_if_ssl or fail_if_not_ssl of http excludes the scheme of its target",
        ),
        (
            "targets = ['https://a']\nhttp.fail_if_ssl = true",
            "targets: a probe fails if fail_if_ssl or fail_if_not_ssl of http excludes the scheme of its target",
        ),
        (
            "targets = ['a:1']\nprober = 'tcp'\ndns.query_name = 'a'",
            "dns: it has no effect with this prober; remove it",
        ),
        ("targets = ['a']\nprober = 'icmp'\nheaders.A = 'b'", "headers: it has no effect with this prober; remove it"),
        // A redirect may lead to the other scheme.
        ("targets = ['http://a']\nfollow_redirects = true\nhttp.fail_if_not_ssl = true", ""),
        ("targets = ['https://a', 'http://*']\nhttp.fail_if_not_ssl = true\nheaders.A = 'b'", ""),
        ("targets = ['a:1']\nprober = 'udp'\nnet = { send = 'a', expect = 'b' }", ""),
    ] {
        let (_folder, path) = config_file(&format!("[[collectors.probe]]\n{settings}\n"));
        let (_, errors) = printed(&taffrail(&["check", "--config", &path]));
        match expected {
            "" => assert!(!errors.contains("probe"), "{settings}: {errors}"),
            expected => {
                assert!(errors.contains(&format!(": collectors.probe[0].{expected}\n")), "{settings}: {errors}")
            }
        }
        assert!(errors.lines().filter(|line| line.contains("probe[0]")).count() <= 1, "{settings}: {errors}");
    }
}
