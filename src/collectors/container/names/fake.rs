//! Servers that stand in for the sources of names in tests.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// An ID of 64 digits.
pub(super) fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// Response for a path.
#[derive(Clone)]
pub(super) enum Served {
    Json(String),
    Status(u16),
    /// No response until the client disconnects.
    Hang,
    /// An endless body.
    Endless,
    /// No response: the server closes the connection.
    Close,
}

/// A server with configurable responses. Responds to other paths with 404.
#[derive(Clone, Default)]
pub(super) struct Server {
    responses: Arc<Mutex<HashMap<String, Served>>>,
    /// Path and `Authorization` header of each request.
    requests: Arc<Mutex<Vec<(String, String)>>>,
    /// The sender is dropped when the client closes the connection.
    connections: Arc<Mutex<Vec<Receiver<()>>>>,
}

impl Server {
    pub(super) fn unix(socket: &Path) -> Server {
        let (server, listener) = (Server::default(), UnixListener::bind(socket).unwrap());
        let served = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let reader = BufReader::new(stream.try_clone().unwrap());
                served.clone().serve(reader, stream);
            }
        });
        server
    }

    /// Starts a server. Returns it with its URL.
    pub(super) fn tcp() -> (Server, String) {
        let (server, listener) = (Server::default(), TcpListener::bind("127.0.0.1:0").unwrap());
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let reader = BufReader::new(stream.try_clone().unwrap());
                served.clone().serve(reader, stream);
            }
        });
        (server, url)
    }

    fn serve(self, reader: impl BufRead + Send + 'static, writer: impl Write + Send + 'static) {
        let (open, closed) = mpsc::channel();
        self.connections.lock().unwrap().push(closed);
        thread::spawn(move || self.serve_connection(reader, writer, &open));
    }

    fn serve_connection(&self, mut reader: impl BufRead, mut writer: impl Write, _open: &Sender<()>) {
        while let Some((path, authorization)) = read_request(&mut reader) {
            let written = match self.served(path, authorization) {
                Served::Json(body) => writer.write_all(response(200, &body).as_bytes()),
                Served::Status(status) => writer.write_all(response(status, "").as_bytes()),
                Served::Close => return,
                Served::Hang => reader.read(&mut [0]).map(drop),
                Served::Endless => {
                    let _ = writer.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                    while writer.write_all(&[b'['; 1 << 16]).is_ok() {}
                    return;
                }
            };
            if written.is_err() {
                return;
            }
        }
    }

    /// Serves one request on a connection that cannot be split.
    pub(super) fn serve_once<S: std::io::Read + Write>(&self, stream: &mut BufReader<S>) {
        let Some((path, authorization)) = read_request(stream) else { return };
        if let Served::Json(body) = self.served(path, authorization) {
            let _ = stream.get_mut().write_all(response(200, &body).as_bytes());
        }
    }

    fn served(&self, path: String, authorization: String) -> Served {
        let response = self.responses.lock().unwrap().get(&path).cloned();
        self.requests.lock().unwrap().push((path, authorization));
        response.unwrap_or(Served::Status(404))
    }

    pub(super) fn respond(&self, path: &str, served: Served) {
        self.responses.lock().unwrap().insert(path.to_owned(), served);
    }

    pub(super) fn json(&self, path: &str, body: impl Into<String>) {
        self.respond(path, Served::Json(body.into()));
    }

    /// Paths of the requests.
    pub(super) fn paths(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
    }

    /// `Authorization` headers of the requests.
    pub(super) fn authorizations(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(_, authorization)| authorization.clone()).collect()
    }

    pub(super) fn has_open_connections(&self) -> bool {
        let connections = self.connections.lock().unwrap();
        connections.iter().any(|closed| closed.try_recv() == Err(mpsc::TryRecvError::Empty))
    }

    /// Adds a container to Docker's list.
    pub(super) fn docker_container(&self, id: &str, name: &str) {
        self.json("/containers/json", format!(r#"[{{"Id": "{id}", "Names": ["/{name}"], "State": "running"}}]"#));
    }
}

fn response(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nServer: Test/1\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn read_request(reader: &mut impl BufRead) -> Option<(String, String)> {
    let mut lines = reader.lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let mut authorization = String::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("authorization")
        {
            value.clone_into(&mut authorization);
        }
    }
    Some((path, authorization))
}
