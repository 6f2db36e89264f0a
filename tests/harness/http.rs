//! HTTP as bytes: what no client would send, sent.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use super::LONG_TIMEOUT;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// How the body is sent.
    pub framing: Framing,
}

/// How a body is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Framing {
    /// With its length.
    Length,
    /// As chunks.
    Chunked,
    /// With a length that it does not reach.
    TooShort,
    /// As a chunk, and then nothing.
    Unended,
}

/// An answer: status, header lines in lower case, body.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A request without headers.
pub fn request(method: &'static str, target: &str, body: impl Into<Vec<u8>>) -> Request {
    Request { method, target: target.to_owned(), headers: Vec::new(), body: body.into(), framing: Framing::Length }
}

impl Request {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn framed(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// Sends it over a connection of its own.
    pub fn send(&self, address: &str) -> Reply {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LONG_TIMEOUT)).unwrap();
        stream.write_all(&self.bytes()).unwrap();
        if matches!(self.framing, Framing::TooShort | Framing::Unended) {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        read(&mut stream)
    }

    /// Sends it over this connection; nothing comes back if there is no answer.
    pub fn send_over(&self, stream: &mut (impl Read + Write)) -> Option<Reply> {
        stream.write_all(&self.bytes()).ok()?;
        Some(read(stream)).filter(|reply| reply.status > 0)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", self.method, self.target);
        self.headers.iter().for_each(|(name, value)| bytes += &format!("{name}: {value}\r\n"));
        let length = self.body.len();
        match self.framing {
            Framing::Length => bytes += &format!("Content-Length: {length}\r\n\r\n"),
            Framing::TooShort => bytes += &format!("Content-Length: {}\r\n\r\n", length + 10),
            Framing::Chunked | Framing::Unended => {
                bytes += &format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n");
            }
        }
        let mut bytes = bytes.into_bytes();
        bytes.extend_from_slice(&self.body);
        match self.framing {
            Framing::Chunked => bytes.extend_from_slice(b"\r\n0\r\n\r\n"),
            Framing::Unended => bytes.extend_from_slice(b"\r\n"),
            _ => {}
        }
        bytes
    }
}

fn read(stream: &mut impl Read) -> Reply {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    Reply::of(&answer)
}

impl Reply {
    fn of(answer: &[u8]) -> Reply {
        let text = String::from_utf8_lossy(answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let head: Vec<String> = head
            .lines()
            .skip(1)
            .map(|line| match line.split_once(':') {
                Some((name, value)) => format!("{}:{value}", name.to_ascii_lowercase()),
                None => line.to_owned(),
            })
            .collect();
        Reply { status, head: head.join("\n"), body: body.to_owned() }
    }
}
