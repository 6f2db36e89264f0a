//! Addresses to listen on: both versions of IP, host names, Unix sockets.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use crate::harness::http::{Reply, request};
use crate::harness::tls::Certificates;
use crate::harness::{Taffrail, config_file, get, printed, recorded_host, taffrail, wait_until};
use rustix::process::Signal;

fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

fn listening(address: &str) -> Taffrail {
    let taffrail = Taffrail::start_with(&recorded_host(), &["--listen", address]);
    taffrail.wait_for_log("listening on");
    taffrail
}

fn port(address: &str) -> &str {
    address.rsplit_once(':').unwrap().1
}

#[test]
fn a_port_alone_is_ipv6_and_ipv4() {
    let taffrail = listening(":0");
    let addresses = taffrail.addresses();
    let port = port(&addresses[0]);
    assert_eq!(get(&format!("http://127.0.0.1:{port}/-/healthy"), &[]).unwrap().status, 200);
    if has_ipv6() {
        assert_eq!(taffrail.logged(&format!("listening on http://[::]:{port}/metrics (IPv6 and IPv4)")), 1);
        assert_eq!(get(&format!("http://[::1]:{port}/-/healthy"), &[]).unwrap().status, 200);
    }
    let address = format!("taffrail_connections_limit{{address=\"{}\"}}", addresses[0]);
    assert!(get(&format!("http://127.0.0.1:{port}/metrics"), &[]).unwrap().sample(&address).is_some());
}

#[test]
fn localhost_is_both_loopback_addresses() {
    let taffrail = listening("localhost:0");
    wait_until("the addresses", || (taffrail.addresses().len() == if has_ipv6() { 2 } else { 1 }).then_some(()));
    for address in taffrail.addresses() {
        assert!(address.starts_with("[::1]:") || address.starts_with("127.0.0.1:"), "{address}");
        assert_eq!(get(&format!("http://{address}/-/healthy"), &[]).unwrap().status, 200);
    }
    let mut unknown = Taffrail::start_with(&recorded_host(), &["--listen", "nowhere.invalid:0"]);
    assert_eq!(unknown.wait().code(), Some(1));
    let line = unknown.wait_for_log("cannot listen on nowhere.invalid:0: ");
    assert!(!line.contains("something else"), "{line}");
}

fn get_over(socket: &Path, target: &str) -> Reply {
    let mut stream = UnixStream::connect(socket).unwrap();
    request("GET", target, "").send_over(&mut stream).unwrap()
}

#[test]
fn a_unix_socket_is_listened_on_and_removed_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("x.sock");
    // A process that was killed left it.
    drop(UnixListener::bind(&socket).unwrap());
    let address = format!("unix:{}", socket.display());
    let config = |more: &str| format!("{}[http]\nlisten = [\"127.0.0.1:0\", \"{address}\"]\n{more}", recorded_host());
    let mut taffrail = Taffrail::start_with(&config(""), &[]);
    taffrail.wait_for_log(&format!("listening on {address}"));
    let mode = || std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o660);
    let reply = get_over(&socket, "/metrics");
    assert!(reply.status == 200 && reply.body.contains("node_load1 "), "{reply:?}");
    assert!(reply.body.contains(&format!("taffrail_connections_limit{{address=\"{address}\"}}")));

    // It stays open, with other permissions.
    let mut open = UnixStream::connect(&socket).unwrap();
    taffrail.reload(&config("socket_mode = \"0600\"\n"));
    assert_eq!(mode(), 0o600);
    assert_eq!(request("GET", "/-/healthy", "").send_over(&mut open).unwrap().status, 200);

    // A second process does not take it.
    let mut second = Taffrail::start_with(&recorded_host(), &["--listen", &address]);
    assert!(!second.wait().success());
    second.wait_for_log("is something else listening there? Choose another address with listen of [http]");
    assert_eq!(get_over(&socket, "/-/healthy").status, 200);

    taffrail.signal(Signal::TERM);
    assert!(taffrail.wait().success());
    assert!(!socket.exists());
}

#[test]
fn a_file_that_is_not_a_socket_is_left_alone() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let address = format!("unix:{}", file.path().display());
    let mut taffrail = Taffrail::start_with(&recorded_host(), &["--listen", &address]);
    assert_eq!(taffrail.wait().code(), Some(1));
    taffrail.wait_for_log("a file that is not a socket is there");
    assert!(file.path().exists());
}

#[test]
fn a_reload_moves_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["1.sock", "2.sock"].map(|name| folder.path().join(name));
    let config = |socket: &Path| format!("{}[http]\nlisten = [\"unix:{}\"]\n", recorded_host(), socket.display());
    let taffrail = Taffrail::start_with(&config(&one), &[]);
    taffrail.wait_for_log("listening on unix:");
    taffrail.reload(&config(&two));
    assert_eq!(get_over(&two, "/-/healthy").status, 200);
    wait_until("the end of the first", || (!one.exists()).then_some(()));
}

#[test]
fn a_gateway_on_a_unix_socket_is_pushed_to_and_asked_for_its_health() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix:{}", folder.path().join("gateway.sock").display());
    let taffrail = Taffrail::start_command("gateway", "", &["--listen", &address, "--listen", "127.0.0.1:0"]);
    taffrail.wait_for_log(&format!("the gateway listens on {address}"));
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_taffrail")).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run(&["health", &address]), (Some(0), String::new()));
    assert_eq!(run(&["health", &format!("{address}:/-/ready")]), (Some(0), String::new()));
    let push = ["push", "--url", &address, "--job", "backup", "--ttl", "1h", "--"];
    assert_eq!(run(&[&push[..], &["true"]].concat()), (Some(0), String::new()));
    let tcp = wait_until("the other listener", || {
        let log = taffrail.log();
        log.iter().find_map(|line| Some(line.split_once("listens on http://")?.1.to_owned()))
    });
    let pushed = get(&format!("http://{tcp}/metrics"), &[]).unwrap();
    assert!(pushed.text().contains("job=\"backup\""), "{}", pushed.text());

    // A refused push names the client; who pages belong to is checked as over TCP.
    let socket = Path::new(address.strip_prefix("unix:").unwrap());
    let foreign = request("DELETE", "/metrics/job/backup", "").header("Origin", "http://other.example");
    assert_eq!(foreign.send_over(&mut UnixStream::connect(socket).unwrap()).unwrap().status, 403);
    taffrail.wait_for_log("DELETE /metrics/job/backup of a local process was refused with 403");
}

#[test]
fn clients_over_ipv6_listeners_are_logged_in_their_ipv4_form() {
    let taffrail = Taffrail::start_command("gateway", "", &["--listen", ":0"]);
    let gateway = taffrail.gateway();
    let address = format!("127.0.0.1:{}", port(&gateway));
    assert_eq!(request("PUT", "/metrics/job/a", "broken{ 1\n").send(&address).status, 400);
    taffrail.wait_for_log("PUT /metrics/job/a of 127.0.0.1 was refused with 400");
}

#[test]
fn tls_does_not_apply_to_a_unix_socket_and_users_do() {
    let (certificates, folder) = (Certificates::make(), tempfile::tempdir().unwrap());
    let socket = folder.path().join("x.sock");
    let token = "[[http.users]]\nname = \"u\"\ntoken = \"t\"\n";
    let [certificate, key] = ["server.pem", "server.key"].map(|name| certificates.folder().join(name));
    let config = format!(
        "{}[http]\nlisten = [\"127.0.0.1:0\", \"unix:{}\"]\n[http.tls]\ncert_file = {certificate:?}\nkey_file = {key:?}\n{token}",
        recorded_host(),
        socket.display(),
    );
    let taffrail = Taffrail::start_with(&config, &[]);
    taffrail.wait_for_log(&format!("listening on unix:{}", socket.display()));
    assert_eq!(taffrail.logged("listening on https://127.0.0.1:"), 1);
    assert_eq!(get_over(&socket, "/-/healthy").status, 200);
    assert_eq!(get_over(&socket, "/metrics").status, 401);
    let known = request("GET", "/metrics", "").header("Authorization", "Bearer t");
    assert_eq!(known.send_over(&mut UnixStream::connect(&socket).unwrap()).unwrap().status, 200);
}

#[test]
fn check_finds_an_address_of_statsd_that_is_listened_on_twice() {
    for (listen, expected) in [
        (
            "'udp://127.0.0.1:1', 'udp://localhost:1'",
            "[1]: udp://localhost:1 is configured twice: listen[0] is udp://127.0.0.1:1",
        ),
        ("'udp://:1', 'udp://127.0.0.1:1'", "[1]: udp://127.0.0.1:1 is configured twice: listen[0] is udp://[::]:1"),
        ("'unixgram:///x', 'unix:///x'", "[1]: unix:///x is configured twice: listen[0] is unixgram:///x"),
        (
            "'udp://127.0.0.1:2', 'tcp://127.0.0.1:2'",
            "[1]: 127.0.0.1:2 is configured twice: http.listen[0] is localhost:2",
        ),
        ("'tcp://:3'", "[0]: [::]:3 is configured twice: gateway.listen[0] is 127.0.0.1:3"),
        ("'unixgram:///g'", "[0]: unix:/g is configured twice: gateway.listen[1] is unix:/g"),
    ] {
        let (_folder, path) = config_file(&format!(
            "[http]\nlisten = ['localhost:2']\n[gateway]\nlisten = ['127.0.0.1:3', 'unix:/g']\n\
             [collectors.statsd]\nlisten = [{listen}]\n"
        ));
        let output = taffrail(&["check", "--config", &path]);
        let (_, errors) = printed(&output);
        assert_eq!(output.status.code(), Some(1), "{listen}: {errors}");
        assert!(errors.contains(&format!(": collectors.statsd.listen{expected}\n")), "{listen}: {errors}");
        assert_eq!(errors.matches("error: ").count(), 1, "{errors}");
    }
    // UDP has ports of its own.
    let (_folder, path) = config_file(
        "[http]\nlisten = ['127.0.0.1:1']\n[collectors.statsd]\n\
         listen = ['udp://127.0.0.1:1', 'udp://[::1]:1', 'tcp://127.0.0.2:1', 'unix:///a', 'unixgram:///b']\n",
    );
    let output = taffrail(&["check", "--config", &path]);
    assert!(output.status.success(), "{}", printed(&output).1);
}
