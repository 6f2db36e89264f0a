//! Servers that answer as theirs do, and nonsense.

use std::collections::BTreeSet;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::harness::wire::Incoming;

/// What a server answers to a write.
const NONSENSE: [(&str, &str, &str); 8] = [
    ("200 OK", "text/html", "<html><title>Log in</title></html>"),
    ("302 Found", "text/html", "<a href=/login>log in</a>"),
    ("400 Bad Request", "text/html", "<html>The plain HTTP request was sent to HTTPS port</html>"),
    ("415 Unsupported Media Type", "text/plain", "no"),
    ("429 Too Many Requests", "application/json", "{}"),
    ("500 Internal Server Error", "text/plain", "oops"),
    ("503 Service Unavailable", "text/html", "<html>nginx</html>"),
    ("404 Not Found", "text/html", "<html>nginx</html>"),
];
const SILENT: usize = NONSENSE.len() + 1;
const CUT_OFF: usize = NONSENSE.len() + 2;

/// A server of writes.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    mode: Arc<AtomicUsize>,
    stored: Arc<Mutex<BTreeSet<u64>>>,
    writes: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server {
            address: listener.local_addr().unwrap(),
            mode: Arc::default(),
            stored: Arc::default(),
            writes: Arc::default(),
        };
        let (mode, stored, writes) = (server.mode.clone(), server.stored.clone(), server.writes.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (mode, stored, writes) = (mode.clone(), stored.clone(), writes.clone());
                thread::spawn(move || serve(stream, &mode, &stored, &writes));
            }
        });
        server
    }

    /// Answers nonsense of some kind from now on.
    pub(crate) fn confuse(&self, random: &mut fastrand::Rng) {
        self.mode.store(random.usize(1..=CUT_OFF), SeqCst);
    }

    /// Answers as it should.
    pub(crate) fn mend(&self) {
        self.mode.store(0, SeqCst);
    }

    /// The numbers that it has acknowledged.
    pub(crate) fn stored(&self) -> BTreeSet<u64> {
        self.stored.lock().unwrap().clone()
    }

    /// How many writes it has acknowledged.
    pub(crate) fn writes(&self) -> usize {
        self.writes.load(SeqCst)
    }
}

fn serve(stream: TcpStream, mode: &AtomicUsize, stored: &Mutex<BTreeSet<u64>>, writes: &AtomicUsize) {
    let mut reader = BufReader::new(stream);
    while let Some(write) = Incoming::read(&mut reader) {
        let now = mode.load(SeqCst);
        if now == SILENT {
            while mode.load(SeqCst) == SILENT {
                thread::sleep(Duration::from_millis(20));
            }
            return;
        }
        if now == CUT_OFF {
            return;
        }
        let answer = match now.checked_sub(1).and_then(|kind| NONSENSE.get(kind)) {
            Some((status, kind, body)) => {
                format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            }
            None => {
                writes.fetch_add(1, SeqCst);
                stored.lock().unwrap().extend(numbers(&write.content().unwrap_or_default()));
                "HTTP/1.1 204 No Content\r\n\r\n".to_owned()
            }
        };
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The numbers in lines of line protocol: `prometheus,job=… number=7 …`.
pub(crate) fn numbers(lines: &[u8]) -> Vec<u64> {
    let lines = String::from_utf8_lossy(lines);
    let number = |line: &str| {
        let fields = line.split(' ').nth(1)?;
        let value = fields.split(',').find_map(|field| field.strip_prefix("number="))?;
        value.parse::<f64>().ok().map(|number| number as u64)
    };
    lines.lines().filter(|line| line.contains("job=count")).filter_map(number).collect()
}

/// A socket that takes connections and says nothing.
pub(crate) fn silent_socket(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    thread::spawn(move || {
        let mut connections = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            connections.push(stream);
            // What was left is closed, so that the test has no more of them than need be.
            connections.drain(..connections.len().saturating_sub(16));
        }
    });
}
