//! Requests whose end, or whose meaning, could be understood in more than one way: each is answered once, by RFC 9112, and
//! what follows it on the connection is no request.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use crate::harness::gateway::{Gateway, Own};
use crate::harness::tls::Certificates;
use crate::harness::{LONG_TIMEOUT, Taffrail, recorded_host};

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG_TIMEOUT)).unwrap();
    stream
}

/// Everything that comes until the other side closes, and whether it did so without a reset.
fn rest(stream: &mut impl Read) -> (String, bool) {
    let (mut reported, mut part) = (Vec::new(), [0; 4096]);
    let is_sound = loop {
        match stream.read(&mut part) {
            Ok(0) => break true,
            Ok(length) => reported.extend_from_slice(&part[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => break false,
            Err(error) => panic!("not closed: {error}: {}", String::from_utf8_lossy(&reported)),
        }
    };
    (String::from_utf8_lossy(&reported).into_owned(), is_sound)
}

fn statuses(reported: &str) -> Vec<u16> {
    reported.match_indices("HTTP/1.").map(|(at, _)| reported[at + 9..at + 12].parse().unwrap()).collect()
}

/// What comes after a request, if that ends where it should not: a push that no client made.
const NEXT: &str =
    "PUT /metrics/job/smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nConnection: close\r\n\r\nrow 1\n";

/// A push whose head has these lines, and the body after it.
fn put(lines: &str, body: &str) -> String {
    format!("PUT /metrics/job/row HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n{body}")
}

const CHUNKS: &str = "6\r\nrow 1\n\r\n0\r\n\r\n";

#[test]
fn a_body_ends_at_one_place_or_the_request_is_refused() {
    let chunked = |lines: &str| put(lines, CHUNKS);
    let sized = |lines: &str| put(lines, "row 1\n");
    let refused: &[(&str, String, u16)] = &[
        ("a coding before chunked", chunked("Transfer-Encoding: gzip, chunked"), 501),
        ("the same in two lines", chunked("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"), 501),
        ("chunked twice", chunked("Transfer-Encoding: chunked, chunked"), 400),
        ("chunked in two lines", chunked("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), 400),
        ("chunked not last", chunked("Transfer-Encoding: chunked, gzip"), 400),
        ("identity", chunked("Transfer-Encoding: identity"), 400),
        ("a parameter", chunked("Transfer-Encoding: chunked;q=1"), 400),
        ("an unknown coding", chunked("Transfer-Encoding: xchunked"), 400),
        ("nothing before the comma", chunked("Transfer-Encoding: ,chunked"), 501),
        ("nothing after the comma", chunked("Transfer-Encoding: chunked,"), 400),
        ("a vertical tab", chunked("Transfer-Encoding: \x0bchunked"), 400),
        ("quotes", chunked("Transfer-Encoding: \"chunked\""), 400),
        ("HTTP/1.0", chunked("Transfer-Encoding: chunked").replace("HTTP/1.1", "HTTP/1.0"), 400),
        ("two lengths", sized("Content-Length: 6\r\nContent-Length: 5"), 400),
        ("two lengths in a line", sized("Content-Length: 6, 5"), 400),
        ("a length twice in a line", sized("Content-Length: 6, 6"), 400),
        ("a sign", sized("Content-Length: +6"), 400),
        ("below zero", sized("Content-Length: -6"), 400),
        ("hexadecimal", sized("Content-Length: 0x6"), 400),
        ("no digits", sized("Content-Length: "), 400),
        ("a space in it", sized("Content-Length: 6 6"), 400),
        ("longer than there are numbers", sized("Content-Length: 18446744073709551622"), 400),
        ("a line that goes on", sized("Content-Length: 6\r\nX: a\r\n b"), 400),
        ("a first line that goes on", sized(" X: a\r\nContent-Length: 6"), 400),
        ("a space before the colon", sized("Content-Length : 6"), 400),
        ("a tab before the colon", chunked("Transfer-Encoding\t: chunked"), 400),
        ("no colon", sized("Content-Length 6"), 400),
        ("no name", sized(": 6"), 400),
        ("NUL in a value", sized("Content-Length: 6\r\nX: a\0b"), 400),
        ("NUL in a name", sized("Content-Length: 6\r\nX\0: a"), 400),
        ("CR alone", sized("Content-Length: 6\r\nX: a\rY: b"), 400),
        ("something else expected", sized("Content-Length: 6\r\nExpect: 200-ok"), 417),
        ("chunks that do not end in CR LF", put("Transfer-Encoding: chunked", "6\nrow 1\n\n0\n\n"), 400),
        ("no length of a chunk", put("Transfer-Encoding: chunked", "\r\nrow 1\n\r\n0\r\n\r\n"), 400),
        ("a sign of a chunk", put("Transfer-Encoding: chunked", "+6\r\nrow 1\n\r\n0\r\n\r\n"), 400),
        ("a prefix of a chunk", put("Transfer-Encoding: chunked", "0x6\r\nrow 1\n\r\n0\r\n\r\n"), 400),
        ("a chunk that is longer", put("Transfer-Encoding: chunked", "5\r\nrow 1\n\r\n0\r\n\r\n"), 400),
        ("a chunk beyond numbers", put("Transfer-Encoding: chunked", "10000000000000006\r\nrow 1\n\r\n0\r\n\r\n"), 400),
        ("a line within an extension", put("Transfer-Encoding: chunked", "6;a\nb\r\nrow 1\n\r\n0\r\n\r\n"), 400),
        ("a trailer without a colon", put("Transfer-Encoding: chunked", "6\r\nrow 1\n\r\n0\r\nX\r\n\r\n"), 400),
        ("CONNECT", "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n".to_owned(), 501),
        ("a method that is none", "P(T / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400),
        ("a target without a slash", "GET metrics HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400),
        ("two spaces", "GET  /metrics HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 400),
        ("HTTP/0.9", "GET /metrics\r\n\r\n".to_owned(), 400),
        ("HTTP/2.0", "GET /metrics HTTP/2.0\r\nHost: x\r\n\r\n".to_owned(), 400),
        ("no host", "GET /-/healthy HTTP/1.1\r\n\r\n".to_owned(), 400),
    ];
    let gateway = Own::start("");
    let mut wrong = Vec::new();
    for (what, request, status) in refused {
        let mut stream = connect(&gateway.address());
        stream.write_all(format!("{request}{NEXT}").as_bytes()).unwrap();
        let (reported, is_sound) = rest(&mut stream);
        let is_said = reported.to_ascii_lowercase().contains("\r\nconnection: close\r\n");
        if statuses(&reported) != [*status] || !is_sound || !is_said {
            wrong.push(format!("{what}: expected {status} and the end, found (sound: {is_sound}) {reported}"));
        }
    }
    let exposition = gateway.exposition();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(!exposition.contains("job=\"row\"") && !exposition.contains("smuggled"), "{exposition}");
}

#[test]
fn what_has_one_meaning_is_taken() {
    let chunked = |lines: &str| put(lines, CHUNKS);
    let taken: &[(&str, String, &[u16])] = &[
        ("chunked", chunked("Transfer-Encoding: chunked"), &[200, 200]),
        ("in capitals, between spaces", chunked("transfer-encoding: \t CHUNKED \t"), &[200, 200]),
        ("an extension", put("Transfer-Encoding: chunked", "6;a=b\r\nrow 1\n\r\n0\r\n\r\n"), &[200, 200]),
        ("a trailer", put("Transfer-Encoding: chunked", "6\r\nrow 1\n\r\n0\r\nX: y\r\n\r\n"), &[200, 200]),
        ("a length twice, the same", put("Content-Length: 6\r\nContent-Length: 6", "row 1\n"), &[200, 200]),
        ("zeros before it", put("Content-Length: 006", "row 1\n"), &[200, 200]),
        ("line feeds alone", put("Content-Length: 6", "row 1\n").replace("\r\n", "\n"), &[200, 200]),
        ("lines before the request", format!("\r\n{}", put("Content-Length: 6", "row 1\n")), &[200, 200]),
        ("another host in the target", "GET http://y/-/healthy HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), &[200, 200]),
        ("no name of the host", "GET /-/healthy HTTP/1.1\r\nHost:\r\n\r\n".to_owned(), &[200, 200]),
        ("the server itself", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), &[404, 200]),
        (
            "another protocol, if we like",
            "GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
                .to_owned(),
            &[200, 200],
        ),
        ("Expect", put("Content-Length: 6\r\nExpect: 100-continue", "row 1\n"), &[100, 200, 200]),
        // RFC 9112, section 6.1: the coding counts, and the connection has no other request.
        ("coding and length", chunked("Transfer-Encoding: chunked\r\nContent-Length: 3"), &[200]),
        ("length and coding", chunked("Content-Length: 3\r\nTransfer-Encoding: chunked"), &[200]),
    ];
    let mut wrong = Vec::new();
    for (what, request, expected) in taken {
        let gateway = Own::start("");
        let mut stream = connect(&gateway.address());
        stream.write_all(format!("{request}{NEXT}").as_bytes()).unwrap();
        let (reported, _) = rest(&mut stream);
        let is_next = gateway.exposition().contains("smuggled");
        if statuses(&reported) != *expected || is_next != (expected.last() == Some(&200) && expected.len() > 1) {
            wrong.push(format!("{what}: expected {expected:?}, found {reported}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_head_is_as_long_as_the_documentation_says() {
    let taffrail = Taffrail::start(&recorded_host());
    let of = |length: usize| {
        let lines: String = (0..).map(|line| format!("X-{line:04}: {}\r\n", "x".repeat(8000))).take(20).collect();
        let (begin, end) = ("GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", "\r\n");
        let mut head = begin.to_owned() + &lines;
        head.truncate(length - end.len() - 2);
        head + "\r\n" + end
    };
    const LONGEST: usize = 128 << 10;
    for (length, status) in [(1000, 200), (LONGEST - 1, 200), (LONGEST, 200), (LONGEST + 1, 431), (150_000, 431)] {
        // At once, and in parts.
        for part in [length, 1 << 15, 10_000] {
            let head = of(length);
            assert_eq!(head.len(), length);
            let mut stream = connect(&taffrail.addresses()[0]);
            for part in head.as_bytes().chunks(part) {
                stream.write_all(part).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            let (reported, is_sound) = rest(&mut stream);
            assert!(is_sound && statuses(&reported) == [status], "{length} by {part}: {is_sound} {reported}");
        }
    }
}

/// A client that is answered before it has sent everything reads the response, which says that it is the last one, however much it
/// still sends.
#[test]
fn an_early_answer_is_the_last_one_and_arrives() {
    let certificates = Certificates::make();
    let folder = certificates.folder().display();
    let tls = format!("[http.tls]\ncert_file = \"{folder}/server.pem\"\nkey_file = \"{folder}/server.key\"\n");
    let gateway = Own::start_with("[gateway]\nmax_body = \"1MiB\"\n", &[]);
    let secret = Own::start_with(&format!("[gateway]\nmax_body = \"1MiB\"\n{tls}"), &[]);
    let body = vec![b'x'; 8 << 20];
    let head = |target: &str, more: &str| format!("PUT {target} HTTP/1.1\r\nHost: x\r\n{more}\r\n");
    let length = format!("Content-Length: {}\r\n", body.len());
    let cases = [
        (head("/nowhere", &length), 404),
        (head("/-/healthy", &length), 405),
        (head("/metrics/job/large", &length), 413),
        (head("/metrics/job/a", &format!("{length}Host: y\r\n")), 400),
        (head("/metrics/job/a", &format!("{length}Content-Length: 1\r\n")), 400),
        (head("/metrics/job/a", &format!("{length}Origin: http://elsewhere\r\n")), 403),
    ];
    let send = |stream: &mut dyn ReadWrite, head: &str, what: &str, status: u16| {
        stream.write_all(head.as_bytes()).unwrap();
        // A client that sends all before it reads.
        for part in body.chunks(1 << 16) {
            stream.write_all(part).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        let (reported, is_sound) = rest(&mut &mut *stream);
        let reported = reported.to_ascii_lowercase();
        assert!(is_sound && reported.starts_with(&format!("http/1.1 {status} ")), "{what}: {is_sound} {reported}");
        assert!(reported.contains("\r\nconnection: close\r\n"), "{what}: {reported}");
    };
    for (head, status) in &cases {
        send(&mut connect(&gateway.address()), head, head, *status);
        send(&mut certificates.connect(&secret.address(), None), head, &format!("TLS, {head}"), *status);
    }
    // Who speaks no TLS, and says much.
    let mut plain = connect(&secret.address());
    plain.write_all(cases[0].0.as_bytes()).unwrap();
    plain.write_all(&body).unwrap();
    let (reported, is_sound) = rest(&mut plain);
    assert!(is_sound && reported.contains("TLS is spoken here"), "{reported}");
    // A body that was read to its end leaves the connection as it was.
    let mut stream = connect(&gateway.address());
    for _ in 0..2 {
        stream.write_all(put("Content-Length: 6", "row 1\n").as_bytes()).unwrap();
        let mut answer = [0; 1000];
        let length = stream.read(&mut answer).unwrap();
        let reported = String::from_utf8_lossy(&answer[..length]).to_ascii_lowercase();
        assert!(reported.starts_with("http/1.1 200 ") && !reported.contains("connection: close"), "{reported}");
    }
    // A client that has its response, and does not close, is not waited for long, whether it goes on sending or not.
    let mut stream = connect(&gateway.address());
    stream.write_all(cases[0].0.as_bytes()).unwrap();
    assert_eq!(statuses(&rest(&mut stream).0), [404]);
    let reported = std::time::Instant::now();
    while stream.write_all(b"x").is_ok() {
        assert!(reported.elapsed() < LONG_TIMEOUT, "still waited for");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

trait ReadWrite: Read + Write {}

impl<T: Read + Write> ReadWrite for T {}
