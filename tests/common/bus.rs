//! A message bus whose services answer as they did when a host was recorded.
//!
//! The recording has a line for each thing that can be asked, `SERVICE PATH INTERFACE.MEMBER`, and behind it the answer as
//! `busctl --json=short` writes it: a method's as a list, a property's as it is.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use serde_json::Value;

/// What can be asked, and the answers.
pub type Recording = BTreeMap<String, Value>;

/// The answers in a recording's text.
pub fn read(text: &str) -> Recording {
    let line = |line: &str| {
        let (question, answer) = line.split_once(" {").unwrap();
        (question.to_owned(), serde_json::from_str(&format!("{{{answer}")).unwrap())
    };
    text.lines().map(line).collect()
}

/// A connection to a bus that answers as `recording` says, until it is closed.
pub fn connect(recording: &Arc<Recording>) -> UnixStream {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let recording = recording.clone();
    thread::spawn(move || serve(theirs, &recording));
    ours
}

/// A bus at `socket`, until the process ends.
pub fn listen(socket: &Path, recording: Arc<Recording>) {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let recording = recording.clone();
            thread::spawn(move || serve(stream, &recording));
        }
    });
}

/// Says what a bus says; ends when the other side does.
fn serve(mut stream: UnixStream, recording: &Recording) -> Option<()> {
    agree(&mut stream)?;
    loop {
        let call = Call::receive(&mut stream)?;
        let question = match &call.arguments[..] {
            [interface, property] if call.member == "Get" => format!("{interface}.{property}"),
            _ => format!("{}.{}", call.interface, call.member),
        };
        let mut answer = Vec::new();
        if call.member == "Hello" {
            write_message(&mut answer, 4, 0, None, "", &[]);
            write_message(&mut answer, 2, call.serial, None, "s", &[Value::from(":1.7")]);
        } else if call.member == "AddMatch" {
            write_message(&mut answer, 2, call.serial, None, "", &[]);
        } else {
            match recording.get(&format!("{} {} {question}", call.service, call.path)) {
                None => write_message(
                    &mut answer,
                    3,
                    call.serial,
                    Some("org.freedesktop.DBus.Error.UnknownObject"),
                    "",
                    &[],
                ),
                Some(reported) if call.member == "Get" => {
                    write_message(&mut answer, 2, call.serial, None, "v", std::slice::from_ref(reported));
                }
                Some(reported) => {
                    let (signature, values) =
                        (reported["type"].as_str().unwrap(), reported["data"].as_array().unwrap());
                    write_message(&mut answer, 2, call.serial, None, signature, values);
                }
            }
        }
        stream.write_all(&answer).ok()?;
    }
}

/// The start of a connection: some ask first which ways there are to say who they are, and whether files can be sent.
fn agree(stream: &mut UnixStream) -> Option<()> {
    loop {
        let answer: &[u8] = match line(stream)?.trim_start_matches('\0') {
            "AUTH" => b"REJECTED EXTERNAL\r\n",
            "AUTH EXTERNAL" => b"DATA\r\n",
            "NEGOTIATE_UNIX_FD" => b"ERROR\r\n",
            "BEGIN" => return Some(()),
            auth => {
                assert!(auth.starts_with("AUTH EXTERNAL ") || auth.starts_with("DATA"), "{auth:?}");
                b"OK 0123456789abcdef0123456789abcdef\r\n"
            }
        };
        stream.write_all(answer).ok()?;
    }
}

fn line(stream: &mut UnixStream) -> Option<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        line.extend(byte);
    }
    Some(String::from_utf8(line).unwrap().trim_end().to_owned())
}

#[derive(Default)]
struct Call {
    serial: u32,
    service: String,
    path: String,
    interface: String,
    member: String,
    arguments: Vec<String>,
}

impl Call {
    fn receive(stream: &mut UnixStream) -> Option<Call> {
        let mut head = [0; 16];
        stream.read_exact(&mut head).ok()?;
        assert_eq!(head[..4], [b'l', 1, 0, 1], "little-endian, a call, without flags, version 1");
        let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
        let fields = number(12) as usize;
        let mut rest = vec![0; fields.next_multiple_of(8) + number(4) as usize];
        stream.read_exact(&mut rest).ok()?;
        let mut call = Call { serial: number(8), ..Call::default() };
        let mut at = 0;
        while at < fields {
            at = at.next_multiple_of(8);
            let (field, kind) = (rest[at], rest[at + 2]);
            at += 4;
            match kind {
                // A signature, as long as there are arguments, each of them a string.
                b'g' => at += usize::from(rest[at]) + 2,
                _ => {
                    let text = text(&rest, &mut at);
                    *match field {
                        1 => &mut call.path,
                        2 => &mut call.interface,
                        3 => &mut call.member,
                        6 => &mut call.service,
                        other => panic!("field {other}"),
                    } = text;
                }
            }
        }
        at = at.next_multiple_of(8);
        while at < rest.len() {
            call.arguments.push(text(&rest, &mut at));
        }
        Some(call)
    }
}

fn text(bytes: &[u8], at: &mut usize) -> String {
    *at = at.next_multiple_of(4);
    let length = u32::from_le_bytes(bytes[*at..*at + 4].try_into().unwrap()) as usize;
    let start = *at + 4;
    *at = start + length + 1;
    String::from_utf8(bytes[start..start + length].to_vec()).unwrap()
}

/// Appends a message of `kind` to the one that has sent `serial`.
fn write_message(out: &mut Vec<u8>, kind: u8, serial: u32, error: Option<&str>, signature: &str, values: &[Value]) {
    let mut message = vec![b'l', kind, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    message.extend([5, 1, b'u', 0]);
    message.extend(serial.to_le_bytes());
    if let Some(error) = error {
        message.extend([4, 1, b's', 0]);
        push_text(&mut message, error);
    }
    if !signature.is_empty() {
        pad(&mut message, 8);
        message.extend([8, 1, b'g', 0]);
        push_signature(&mut message, signature);
    }
    let fields = message.len() as u32 - 16;
    pad(&mut message, 8);
    let body_start = message.len();
    let mut signature = signature;
    for value in values {
        signature = push(&mut message, signature, value);
    }
    let body = (message.len() - body_start) as u32;
    message[4..8].copy_from_slice(&body.to_le_bytes());
    message[12..16].copy_from_slice(&fields.to_le_bytes());
    out.extend(message);
}

/// Appends `value` as the first type of `signature`; gives the types behind it.
fn push<'s>(out: &mut Vec<u8>, signature: &'s str, value: &Value) -> &'s str {
    let (kind, rest) = signature.split_at(1);
    match kind {
        "s" | "o" => push_text(out, value.as_str().unwrap()),
        "b" => push_number(out, u32::from(value.as_bool().unwrap()).to_le_bytes()),
        "u" => push_number(out, (value.as_u64().unwrap() as u32).to_le_bytes()),
        "i" => push_number(out, (value.as_i64().unwrap() as i32).to_le_bytes()),
        "t" => push_number(out, value.as_u64().unwrap().to_le_bytes()),
        "v" => {
            let inner = value["type"].as_str().unwrap();
            push_signature(out, inner);
            push(out, inner, &value["data"]);
        }
        "(" => {
            pad(out, 8);
            let mut inner = rest;
            for value in value.as_array().unwrap() {
                inner = push(out, inner, value);
            }
            return inner.strip_prefix(')').unwrap();
        }
        "a" => {
            push_number(out, 0u32.to_le_bytes());
            let length_at = out.len() - 4;
            pad(out, if rest.starts_with('(') { 8 } else { 4 });
            let start = out.len();
            value.as_array().unwrap().iter().for_each(|item| {
                push(out, rest, item);
            });
            let length = (out.len() - start) as u32;
            out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
            return rest.split_once(')').map_or("", |(_, rest)| rest);
        }
        other => panic!("a value of type {other:?}"),
    }
    rest
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    push_number(out, (text.len() as u32).to_le_bytes());
    out.extend(text.bytes().chain([0]));
}

fn push_signature(out: &mut Vec<u8>, signature: &str) {
    out.push(signature.len() as u8);
    out.extend(signature.bytes().chain([0]));
}

fn push_number<const BYTES: usize>(out: &mut Vec<u8>, number: [u8; BYTES]) {
    pad(out, BYTES);
    out.extend(number);
}

fn pad(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}
