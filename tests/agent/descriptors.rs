//! File descriptors: how many Taffrail asks for, and that it gets by with as few as it is given.

use std::process::{Command, Output};

use crate::harness::{Taffrail, printed};

/// Soft and hard limit.
fn limits(taffrail: &Taffrail) -> (String, String) {
    let reported = std::fs::read_to_string(format!("/proc/{}/limits", taffrail.pid())).unwrap();
    let line = reported.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let mut fields = line.split_ascii_whitespace().map(str::to_owned);
    (fields.next().unwrap(), fields.next().unwrap())
}

fn open(taffrail: &Taffrail) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", taffrail.pid())).unwrap().count()
}

const KEPT: &str = "taffrail_kept_descriptors{of=\"files\"}";
const KEPT_LIMIT: &str = "taffrail_kept_descriptors_limit{of=\"files\"}";

#[test]
fn the_soft_limit_is_raised_to_the_hard_one() {
    let taffrail = Taffrail::start_after("ulimit -Sn 200", "");
    let (soft, hard) = limits(&taffrail);
    assert_eq!(soft, hard);
    assert_ne!(soft, "200");
}

/// Of the machine that it runs on, which has more files than may be kept.
#[test]
fn with_few_descriptors_everything_is_answered_and_the_bound_holds() {
    for limit in [48, 64, 256, 1024] {
        let taffrail = Taffrail::start_after(&format!("ulimit -n {limit}"), "");
        let mut connections = Vec::new();
        for _ in 0..3 {
            connections.push(std::net::TcpStream::connect(&taffrail.addresses()[0]).unwrap());
            assert_eq!(taffrail.get("/-/healthy").status, 200);
            let metrics = taffrail.get("/metrics");
            assert_eq!(metrics.status, 200, "{limit}: {:#?}", taffrail.log());
            let (kept, most) = (metrics.sample(KEPT).unwrap(), metrics.sample(KEPT_LIMIT).unwrap());
            assert!(kept > 0.0 && kept <= most && most <= f64::from(limit) / 4.0, "{limit}: {kept} of {most}");
            assert!(limit > 64 || kept == most, "{limit}: {kept} of {most}");
        }
        assert!(open(&taffrail) < limit as usize);
        assert_eq!(taffrail.logged("oo many open files"), 0, "{:#?}", taffrail.log());
        let is_told = taffrail.logged("at least 128 are needed");
        assert_eq!(is_told, usize::from(limit < 128), "{:#?}", taffrail.log());
    }
}

/// Those who make way for others at another address are gone before their descriptors are missed.
#[test]
fn with_few_descriptors_a_flood_at_two_addresses_takes_its_share_alone() {
    for limit in [128, 200] {
        let config = "[gateway]\nlisten = [\"127.0.0.1:0\"]\n";
        let taffrail = Taffrail::start_after(&format!("ulimit -n {limit}"), config);
        let addresses = [taffrail.addresses()[0].clone(), taffrail.gateway()];
        for _ in 0..5 {
            let connect = |number: usize| std::net::TcpStream::connect(&addresses[number % 2]).unwrap();
            let held: Vec<_> = (0..400).map(connect).collect();
            for address in &addresses {
                let answer = crate::harness::get(&format!("http://{address}/metrics"), &[]);
                assert_eq!(answer.unwrap_or_else(|error| panic!("{limit}: {error}")).status, 200);
            }
            drop(held);
        }
        assert_eq!(taffrail.logged("oo many open files"), 0, "{limit}: {:#?}", taffrail.log());
    }
}

/// In a network namespace of its own, with 300 interfaces: two files of each would be kept, if they might.
#[test]
#[ignore = "needs Debian's packages mount and iproute2, as root: tests/run"]
fn with_mount_and_300_interfaces_the_bound_of_kept_descriptors_holds() {
    const SCRIPT: &str = r#"
        set -e
        mount -t sysfs none /sys
        ip link set lo up
        for i in $(seq 1 150); do printf 'link add d%s type veth peer name e%s\nlink set d%s up\n' $i $i $i; done | ip -batch -
        printf '[http]\nlisten = ["127.0.0.1:9100"]\n' >$1/config.toml
        (ulimit -n 1024; exec "$0" run --config $1/config.toml 2>$1/log) & taffrail=$!
        until curl --silent --fail --output $1/metrics http://127.0.0.1:9100/metrics; do kill -0 $taffrail; sleep 0.1; done
        for i in 1 2 3 4; do
            curl --silent --fail --max-time 20 --output $1/metrics http://127.0.0.1:9100/metrics
            ls /proc/$taffrail/fd | wc -l
            exec {connection}<>/dev/tcp/127.0.0.1/9100
        done
        grep ^taffrail_kept_descriptors $1/metrics
        kill -9 $taffrail
        ! grep 'oo many open files' $1/log"#;
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "bash", "-c", SCRIPT]);
    let output: Output = command.arg(env!("CARGO_BIN_EXE_taffrail")).arg(folder.path()).output().unwrap();
    let (reported, problems) = printed(&output);
    assert!(output.status.success(), "{reported}{problems}");
    let kept = crate::harness::sample(&reported, KEPT).unwrap();
    assert_eq!(crate::harness::sample(&reported, KEPT_LIMIT), Some(kept), "{reported}");
    let open = reported.lines().map_while(|line| line.parse::<f64>().ok());
    assert!(open.map(|open| open - kept).all(|others| (1.0..100.0).contains(&others)), "{reported}");
}
