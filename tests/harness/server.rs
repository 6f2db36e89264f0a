//! A server that answers writes as a test scripts it, and remembers them.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::wait_until;
use super::wire::Incoming;

/// A write as it came.
#[derive(Clone, Debug)]
pub struct Post {
    /// The path with the query.
    pub target: String,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The points, decompressed.
    pub lines: Vec<String>,
}

impl Post {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What to answer to a write.
pub type Script = dyn Fn(&Post) -> Reply + Send + Sync;

/// An answer: status, further header lines, body.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

impl Reply {
    /// As it is sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Reply { status, headers, body } = self;
        format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len()).into_bytes()
    }
}

/// An answer with this status and body.
pub fn reply(status: u16, body: &str) -> Reply {
    Reply { status, headers: String::new(), body: body.to_owned() }
}

/// The same, of this content type.
pub fn reply_of(status: u16, content_type: &str, body: &str) -> Reply {
    Reply { status, headers: format!("content-type: {content_type}\r\n"), body: body.to_owned() }
}

/// The server.
pub struct FakeInflux {
    pub address: SocketAddr,
    writes: Arc<Mutex<Vec<(Post, u16)>>>,
    script: Arc<Mutex<Arc<Script>>>,
}

impl FakeInflux {
    /// A server that answers by `script`.
    pub fn start(script: impl Fn(&Post) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), script)
    }

    /// The same at this address.
    pub fn start_at(address: SocketAddr, script: impl Fn(&Post) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let writes = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Mutex<Arc<Script>>> = Arc::new(Mutex::new(Arc::new(script)));
        let (seen, reported) = (writes.clone(), script.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, reported) = (seen.clone(), reported.clone());
                thread::spawn(move || serve(stream, &seen, &reported));
            }
        });
        FakeInflux { address, writes, script }
    }

    /// A server that takes everything.
    pub fn agreeable() -> Self {
        Self::start(|_| reply(204, ""))
    }

    /// Answers by another script from now on.
    pub fn answer(&self, script: impl Fn(&Post) -> Reply + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All writes so far, with the status that they got.
    pub fn writes(&self) -> Vec<(Post, u16)> {
        self.writes.lock().unwrap().clone()
    }

    /// The points of all writes that were answered as InfluxDB does when it has them, in order.
    pub fn stored(&self) -> Vec<String> {
        let stored = self.writes().into_iter().filter(|(_, status)| *status == 204);
        stored.flat_map(|(write, _)| write.lines).collect()
    }

    /// Waits until there are `count` writes.
    pub fn wait_for_writes(&self, count: usize) -> Vec<(Post, u16)> {
        wait_until(&format!("{count} writes"), || Some(self.writes()).filter(|writes| writes.len() >= count))
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<(Post, u16)>>, script: &Mutex<Arc<Script>>) {
    let mut reader = BufReader::new(stream);
    while let Some(write) = read_write(&mut reader) {
        let script = script.lock().unwrap().clone();
        let reply = script(&write);
        seen.lock().unwrap().push((write, reply.status));
        if reader.get_mut().write_all(&reply.to_bytes()).is_err() {
            return;
        }
    }
}

/// Reads a write.
pub fn read_write(reader: &mut impl BufRead) -> Option<Post> {
    let incoming = Incoming::read(reader)?;
    let lines = String::from_utf8(incoming.content()?).ok()?.lines().map(str::to_owned).collect();
    Some(Post { target: incoming.target, headers: incoming.headers, lines })
}
