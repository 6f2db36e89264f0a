//! Connections that ask nothing, ask slowly, or ask twice whose they are: they shut no client out.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::gateway::{Gateway, Own};
use crate::harness::tls::Certificates;
use crate::harness::{LONG_TIMEOUT, Taffrail, get, recorded_host, wait_until};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

const PROBE: &[u8] = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n";

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG_TIMEOUT)).unwrap();
    stream
}

/// Asks whether Taffrail is well; what comes back begins with the status line, and is empty if the connection is closed.
fn ask(stream: &mut TcpStream) -> String {
    let mut answer = [0; 1000];
    let length = stream.write_all(PROBE).and_then(|()| stream.read(&mut answer)).unwrap_or(0);
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

fn is_well(stream: &mut TcpStream) -> bool {
    ask(stream).starts_with("HTTP/1.1 200 ")
}

/// Waits until the other side closes; what it said before comes back.
fn closed(stream: &mut TcpStream) -> String {
    let mut reported = Vec::new();
    match stream.read_to_end(&mut reported) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("not closed: {error}"),
        _ => String::from_utf8_lossy(&reported).into_owned(),
    }
}

/// As many connections as this process may have, up to 10,000: some silent, some in the middle of a head, some with an
/// answer that they have not read.
fn idle_connections(address: &str) -> Vec<TcpStream> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    // Other tests of this process have some too.
    let others = 500;
    let count = getrlimit(Resource::Nofile).current.map_or(10_000, |limit| (limit - others).min(10_000));
    let connection = |number| {
        let mut stream = connect(address);
        match number % 3 {
            0 => {}
            1 => stream.write_all(b"GET /metrics HTTP/1.1\r\nHo").unwrap(),
            // The answer comes when it comes: waiting for each would make the test slow.
            _ => stream.write_all(PROBE).unwrap(),
        }
        stream
    };
    (0..count).map(connection).collect()
}

#[test]
fn ten_thousand_idle_connections_keep_nobody_out() {
    let config = format!("{}[gateway]\nlisten = [\"127.0.0.1:0\"]\n", recorded_host());
    let taffrail = Taffrail::start(&config);
    for address in [taffrail.addresses()[0].clone(), taffrail.gateway()] {
        let held = idle_connections(&address);
        for path in ["/-/healthy", "/-/ready", "/metrics"] {
            assert_eq!(get(&format!("http://{address}{path}"), &[]).unwrap().status, 200);
        }
        let metrics = get(&format!("http://{address}/metrics"), &[]).unwrap();
        let of_it = |name: &str, more: &str| {
            metrics.sample(&format!("taffrail_connections{name}{{address=\"{address}\"{more}}}")).unwrap()
        };
        assert_eq!((of_it("_limit", ""), of_it("", ",state=\"active\"")), (512.0, 1.0));
        assert!(of_it("", ",state=\"idle\"") <= 512.0);
        assert!(of_it("_made_way_total", "") >= (held.len() - 512) as f64);
        assert_eq!((of_it("_refused_total", ""), metrics.sample("up")), (0.0, None));
    }
    assert_eq!(taffrail.logged("accept"), 0, "{:#?}", taffrail.log());
}

/// With the soft limit of old, and a gateway beside the agent: a client that floods both displaces itself, and no client that comes
/// to ask, also if others come before he does.
#[test]
fn a_flood_of_one_kind_displaces_itself() {
    let config = format!("{}[gateway]\nlisten = [\"127.0.0.1:0\"]\n", recorded_host());
    let taffrail = Taffrail::start_after("ulimit -n 1024", &config);
    let addresses = [taffrail.addresses()[0].clone(), taffrail.gateway()];
    let body = "PUT /metrics/job/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nrows 1\n";
    // The agent takes no bodies.
    for (flood, at) in [(body, 1..2), ("GET /metrics HTTP/1.1\r\nHo", 0..2), ("", 0..2)] {
        let at = &addresses[at];
        let mut held = Vec::new();
        let mut come = |count: usize| {
            for number in 0..count {
                let mut stream = connect(&at[number % at.len()]);
                stream.write_all(flood.as_bytes()).unwrap();
                held.push(stream);
            }
            // Connections are accepted in the order in which they come.
            addresses.iter().for_each(|address| assert!(is_well(&mut connect(address))));
        };
        come(1_200);
        let mut fresh: Vec<TcpStream> = addresses.iter().map(|address| connect(address)).collect();
        come(100);
        fresh.iter_mut().for_each(|stream| assert!(is_well(stream), "{flood:?}"));
        for address in &addresses {
            assert_eq!(get(&format!("http://{address}/metrics"), &[]).unwrap().status, 200);
        }
    }
    assert_eq!(taffrail.logged("accept"), 0, "{:#?}", taffrail.log());
}

/// A client that sends many requests at once gets its responses one by one, between those of others.
#[test]
fn pipelined_requests_hold_up_nobody() {
    const PEERS: usize = 300;
    let taffrail = Taffrail::start(&recorded_host());
    let address = &taffrail.addresses()[0];
    let length = ask(&mut connect(address)).len();
    let all = PROBE.repeat(500);
    let send = |_| {
        let mut stream = connect(address);
        stream.write_all(&all).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    };
    let mut peers: Vec<TcpStream> = (0..PEERS).map(send).collect();
    let mut bytes = vec![0; 1 << 20];
    let mut answered = || -> usize {
        let mut read = |stream: &mut TcpStream| stream.read(&mut bytes).unwrap_or(0);
        peers.iter_mut().map(&mut read).sum::<usize>() / length
    };
    answered();
    let mut meanwhile = || {
        answered();
        assert!(is_well(&mut connect(address)));
        answered()
    };
    // How many others are answered before a probe, when this test is not held up itself.
    let fewest = (0..10).map(|_| meanwhile()).min().unwrap();
    assert!(fewest < PEERS, "{fewest} answers before one to a probe");
    assert!(meanwhile() > 0, "all are answered already");
}

#[test]
fn the_connection_that_has_been_idle_longest_makes_way() {
    let taffrail = Taffrail::start(&format!("{}[http]\nmax_connections = 3\n", recorded_host()));
    let address = taffrail.addresses()[0].clone();
    let mut held: Vec<TcpStream> = (0..3).map(|_| connect(&address)).collect();
    for which in [0, 1, 2, 0] {
        assert!(is_well(&mut held[which]));
    }
    // The first has asked again since.
    let mut new = connect(&address);
    assert!(is_well(&mut new));
    assert_eq!(closed(&mut held[1]), "");
    for which in [0, 2] {
        assert!(is_well(&mut held[which]));
    }
    let mut newer = connect(&address);
    assert!(is_well(&mut newer));
    assert_eq!(closed(&mut new), "");
    // The scrape itself takes a seat.
    let made_way = format!("taffrail_connections_made_way_total{{address=\"{address}\"}}");
    assert_eq!(taffrail.get("/metrics").sample(&made_way), Some(3.0));
}

/// Connections that are not idle, that of this scrape among them.
fn active(gateway: &Own) -> f64 {
    let address = gateway.address();
    gateway.sample(&format!("taffrail_connections{{address=\"{address}\",state=\"active\"}}")).unwrap()
}

/// Bodies that do not come, and responses that no client reads, hold no seat against others either.
#[test]
fn requests_that_do_not_end_make_way() {
    let gateway = Own::start_with("[http]\nmax_connections = 4\n", &[]);
    // More than the kernel keeps for a connection whose other side takes nothing.
    let name = "rows_of_a_large_group".repeat(5);
    let rows: String = (0..50_000).map(|row| format!("{name}{{row=\"{row}\"}} 1\n")).collect();
    let slow = |request: &str| {
        let mut stream = connect(&gateway.address());
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let upload = "PUT /metrics/job/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nrows 1\n";
    let download = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    for request in [upload, download] {
        if request == download {
            for job in ["large", "larger"] {
                let large = gateway.put(&format!("/metrics/job/{job}"), &rows);
                assert_eq!(large.status, 200, "{}", large.body);
            }
        }
        let held = (0..4).map(|number| {
            let mut stream = slow(request);
            // Each is being read or answered before the next one asks: the first waits longest.
            if request == download {
                assert!(stream.read(&mut [0; 100]).unwrap() > 0);
            } else if number < 2 {
                wait_until("the request to be read", || (active(&gateway) == f64::from(number + 2)).then_some(()));
            }
            stream
        });
        let mut held: Vec<TcpStream> = held.collect();
        for job in 0..5 {
            assert_eq!(gateway.put(&format!("/metrics/job/quick-{job}"), "rows 1\n").status, 200);
        }
        // One slot is enough for all clients that ask one after the other.
        closed(&mut held[0]);
        if request == upload {
            held[1].write_all(&b"\n".repeat(993)).unwrap();
            let mut answer = [0; 1000];
            let length = held[1].read(&mut answer).unwrap();
            assert!(answer[..length].starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
            // The downloads find no connection that is closed and still counted.
            drop(held);
            wait_until("only the scrape's own connection to be active", || (active(&gateway) == 1.0).then_some(()));
        }
    }
    for job in ["large", "larger"] {
        assert_eq!(gateway.delete(&format!("/metrics/job/{job}")).status, 202);
    }
    assert_eq!(gateway.sample("rows{instance=\"\",job=\"slow\"}"), Some(1.0));
    assert_eq!(gateway.sample("rows{instance=\"\",job=\"quick-4\"}"), Some(1.0));
}

/// Each connection is closed within [`PATIENCE`], by default settings.
#[test]
fn a_head_has_seconds() {
    let taffrail = Taffrail::start(&recorded_host());
    let address = taffrail.addresses()[0].clone();
    let mut silent = connect(&address);
    let mut half = connect(&address);
    half.write_all(b"GET /metrics HTTP/1.1\r\nHo").unwrap();
    let mut second = connect(&address);
    assert!(is_well(&mut second));
    second.write_all(b"GET /metrics HTTP/1.1\r\nHo").unwrap();
    // One that has its answer, and asks nothing more, is waited for longer.
    let mut answered = connect(&address);
    assert!(is_well(&mut answered));
    // One byte now and then is not enough.
    let mut trickling = connect(&address);
    let begun = std::time::Instant::now();
    trickling.write_all(b"GET /metrics HTTP/1.1\r\nX: ").unwrap();
    while trickling.write_all(b"x").is_ok() {
        assert!(begun.elapsed() < LONG_TIMEOUT, "still waited for");
        std::thread::sleep(Duration::from_millis(50));
    }
    for stream in [&mut silent, &mut half, &mut second] {
        assert_eq!(closed(stream), "");
    }
    assert!(is_well(&mut answered));
}

#[test]
fn a_handshake_has_seconds() {
    let certificates = Certificates::make();
    let folder = certificates.folder().display();
    let tls = format!("[http.tls]\ncert_file = \"{folder}/server.pem\"\nkey_file = \"{folder}/server.key\"\n");
    let taffrail = Taffrail::start(&format!("{}{tls}", recorded_host()));
    let mut silent = connect(&taffrail.addresses()[0]);
    // The head of a record, and nothing in it.
    let mut begun = connect(&taffrail.addresses()[0]);
    begun.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
    let mut sound = certificates.connect(&taffrail.addresses()[0], None);
    for _ in 0..2 {
        sound.write_all(PROBE).unwrap();
        assert!(sound.read(&mut [0; 1000]).unwrap() > 0);
        assert_eq!((closed(&mut silent), closed(&mut begun)), (String::new(), String::new()));
    }
}

#[test]
fn without_descriptors_idle_connections_make_way_and_it_is_told_once() {
    let taffrail = Taffrail::start(&recorded_host());
    let address = taffrail.addresses()[0].clone();
    let limit_to = |limit: u64| {
        let pid = Pid::from_raw(taffrail.pid() as i32);
        let maximum = getrlimit(Resource::Nofile).maximum;
        prlimit(pid, Resource::Nofile, Rlimit { current: Some(limit), maximum }).unwrap();
    };
    assert_eq!(taffrail.get("/metrics").status, 200);
    let open = || std::fs::read_dir(format!("/proc/{}/fd", taffrail.pid())).unwrap().count();
    let without_connections = wait_until("the connection to be closed", || {
        let first = open();
        std::thread::sleep(Duration::from_millis(100));
        (open() == first).then_some(first)
    });
    // None is left at all, and then as many as two connections take.
    for room in [0, 2] {
        limit_to((without_connections + room) as u64);
        let mut idle: Vec<TcpStream> = Vec::new();
        for _ in 0..5 {
            assert_eq!(taffrail.get("/-/healthy").status, 200);
            assert_eq!(taffrail.get("/metrics").status, 200);
            let mut stream = connect(&address);
            assert!(is_well(&mut stream));
            idle.push(stream);
        }
        assert_eq!(closed(&mut idle[0]), "");
    }
    assert_eq!(taffrail.logged("cannot be accepted"), 1, "{:#?}", taffrail.log());
    limit_to(1000);
    wait_until("connections to be accepted again", || {
        assert_eq!(taffrail.get("/-/healthy").status, 200);
        (taffrail.logged("are accepted again") == 1).then_some(())
    });
    assert_eq!(taffrail.logged("cannot be accepted"), 1, "{:#?}", taffrail.log());
    let failures = format!("taffrail_accept_failures_total{{address=\"{address}\"}}");
    assert!(taffrail.get("/metrics").sample(&failures).unwrap() >= 1.0);
}

#[test]
fn a_request_names_its_host_once() {
    let config = format!("{}[gateway]\nlisten = [\"127.0.0.1:0\"]\n", recorded_host());
    let taffrail = Taffrail::start(&config);
    let requests = [
        ("HTTP/1.1", "Host: x\r\n", 200),
        ("HTTP/1.1", "Host: \r\n", 200),
        ("HTTP/1.1", "host: [::1]:9100\r\n", 200),
        ("HTTP/1.1", "", 400),
        ("HTTP/1.1", "Host: x\r\nHost: x\r\n", 400),
        ("HTTP/1.1", "Host: x\r\nAccept: */*\r\nhost: y\r\n", 400),
        ("HTTP/1.1", "Host: x, y\r\n", 400),
        ("HTTP/1.1", "Host: x y\r\n", 400),
        ("HTTP/1.1", "Host: http://x\r\n", 400),
        ("HTTP/1.0", "", 200),
        ("HTTP/1.0", "Host: x\r\n", 200),
        ("HTTP/1.0", "Host: x\r\nHost: y\r\n", 400),
    ];
    for address in [taffrail.addresses()[0].clone(), taffrail.gateway()] {
        for path in ["/-/healthy", "/metrics", "/", "http://elsewhere/-/ready"] {
            for (version, headers, status) in requests {
                let mut stream = connect(&address);
                write!(stream, "GET {path} {version}\r\n{headers}Connection: close\r\n\r\n").unwrap();
                let answer = closed(&mut stream);
                let expected = format!("HTTP/1.1 {status} ").replace("HTTP/1.1", version);
                assert!(answer.starts_with(&expected), "{address} {path} {version} {headers:?}: {answer}");
                assert!(status == 200 || answer.contains("Host header"), "{answer}");
            }
        }
    }
}
