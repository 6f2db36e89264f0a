//! Requests of HTTP as they come, for servers of the tests.

use std::io::{BufRead, Read};

use flate2::read::GzDecoder;

/// A request whose body has a length, or none.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The path with the query.
    pub target: String,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Incoming {
    /// The next request; nothing at the end of the connection.
    pub fn read(reader: &mut impl BufRead) -> Option<Incoming> {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let target = line.split(' ').nth(1)?.to_owned();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
                None => break,
            }
        }
        let mut incoming = Incoming { target, headers, body: Vec::new() };
        incoming.body = vec![0; incoming.header("content-length").map_or(Some(0), |length| length.parse().ok())?];
        reader.read_exact(&mut incoming.body).ok()?;
        Some(incoming)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body, decompressed.
    pub fn content(&self) -> Option<Vec<u8>> {
        if self.header("content-encoding") != Some("gzip") {
            return Some(self.body.clone());
        }
        let mut content = Vec::new();
        GzDecoder::new(&self.body[..]).read_to_end(&mut content).ok()?;
        Some(content)
    }
}

/// The fields of a protobuf message: numbers, and bytes.
pub fn fields(mut message: &[u8]) -> Vec<(u64, &[u8])> {
    fn varint(message: &mut &[u8]) -> u64 {
        let length = message.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let (bytes, rest) = message.split_at(length);
        *message = rest;
        bytes.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
    }
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let length = match key & 7 {
            0 => message.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1,
            1 => 8,
            2 => varint(&mut message) as usize,
            other => panic!("wire type {other}"),
        };
        let (field, rest) = message.split_at(length);
        fields.push((key >> 3, field));
        message = rest;
    }
    fields
}
