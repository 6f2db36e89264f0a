use std::net::TcpListener;

use crate::collectors::probe::tests::{greeting, lines, outcome, tls_server, value};

#[tokio::test]
async fn a_port_accepts_and_sends_what_is_expected() {
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for (target, settings, success, regex, expected) in [
        (greeting(""), "", 1.0, 0.0, "result=success"),
        (greeting("220 ready\r\nmore\r\n"), "expect = '^220 .*y$'", 1.0, 0.0, "string_found=t"),
        (greeting("500 no\r\n"), "expect = '^220'", 0.0, 1.0, "result=string_mismatch"),
        (greeting(""), "expect = '^220'", 0.0, 0.0, "result=read_failed"),
        (refused, "", 0.0, 0.0, "result_code=2i"),
        ("no-such-host.invalid:1".to_owned(), "", 0.0, 0.0, "result=connection_failed"),
    ] {
        let toml = format!("prober = 'tcp'\ntargets = ['{target}']\ntimeout = '300ms'\n[probe.net]\n{settings}");
        let done = outcome(&toml).await;
        assert_eq!(value(&done, "probe_success"), Some(success), "{toml}: {:?}", done.failure);
        assert_eq!(value(&done, "probe_failed_due_to_regex"), Some(regex));
        let lines = lines(done);
        let (host, port) = target.split_once(':').unwrap();
        assert!(lines.starts_with(&format!("net_response,port={port},protocol=tcp,result=")), "{lines}");
        assert!(lines.contains(expected) && lines.contains(&format!("server={host} ")), "{toml}: {lines}");
        assert_eq!(lines.contains("response_time="), !lines.contains("connection_failed"), "{lines}");
    }
}

#[tokio::test]
async fn a_datagram_is_answered() {
    let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = server.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 100];
        while let Ok((length, from)) = server.recv_from(&mut buffer).await {
            if &buffer[..length] == b"ping\n" {
                let _ = server.send_to(b"pong", from).await;
            }
        }
    });
    for (send, expect, success, expected) in [
        ("ping\\n", "^pong$", 1.0, "result=success"),
        ("ping\\n", "^no$", 0.0, "result=string_mismatch"),
        ("other", "^pong$", 0.0, "result=read_failed"),
    ] {
        let toml = format!(
            "prober = 'udp'\ntargets = ['{target}']\ntimeout = '300ms'\n[probe.net]\nsend = \"{send}\"\nexpect = '{expect}'"
        );
        let done = outcome(&toml).await;
        assert_eq!(value(&done, "probe_success"), Some(success), "{toml}: {:?}", done.failure);
        let lines = lines(done);
        assert!(lines.contains("protocol=udp") && lines.contains(expected), "{toml}: {lines}");
        assert_eq!(lines.contains("response_time="), !lines.contains("read_failed"), "{lines}");
    }
}

#[tokio::test]
async fn a_port_with_tls_shows_its_certificate() {
    let (port, ca) = tls_server("");
    let base = format!("prober = 'tcp'\ntargets = ['localhost:{port}']\npreferred_ip_protocol = 'ip4'\n");
    for (settings, success) in [(format!("tls_ca = '{}'", ca.path().display()), 1.0), (String::new(), 0.0)] {
        let done = outcome(&format!("{base}{settings}\n[probe.net]\ntls = true")).await;
        let expiry = value(&done, "probe_ssl_earliest_cert_expiry");
        if success == 1.0 {
            assert_eq!(expiry, Some(1_893_456_000.0), "{:?}", done.failure);
        }
        assert_eq!(value(&done, "probe_success"), Some(success), "{:?}", done.failure);
    }
}
