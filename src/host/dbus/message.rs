//! Messages: calls to bytes, and bytes to replies.

use super::values::{Values, Variant};
use super::{Call, Reply};

/// The specification allows 128 MiB. The states of 100,000 units take a quarter of this.
pub(super) const MAX_MESSAGE: usize = 64 << 20;

const LITTLE: u8 = b'l';
const METHOD_CALL: u8 = 1;
pub(super) const METHOD_RETURN: u8 = 2;
pub(super) const ERROR: u8 = 3;

/// Codes of the header fields.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// Size of the header up to and including the length of its fields.
pub(super) const FIXED_HEADER: usize = 16;

/// The length of a message, from its fixed header.
pub(super) fn message_length(head: &[u8]) -> Option<usize> {
    let is_big = head[0] != LITTLE;
    let number = |start: usize| Values::new(head, start, is_big).u32().map(|number| number as usize);
    FIXED_HEADER.checked_add(number(12)?)?.checked_next_multiple_of(8)?.checked_add(number(4)?)
}

/// A received message.
pub(super) struct Message<'m> {
    pub(super) kind: u8,
    /// Serial of the call that it replies to; 0 if none.
    pub(super) reply_serial: u32,
    error: &'m str,
    pub(super) body: Values<'m>,
}

impl<'m> Message<'m> {
    pub(super) fn read(bytes: &'m [u8]) -> Option<Message<'m>> {
        const FIELDS: usize = 12;
        let is_big = bytes[0] != LITTLE;
        let mut values = Values::new(bytes, FIELDS, is_big);
        let end = FIXED_HEADER + values.u32()? as usize;
        let (mut reply_serial, mut error) = (0, "");
        while values.position() < end {
            values.align(8);
            let field = values.byte()?;
            match (field, values.variant()?) {
                (REPLY_SERIAL, Variant::Unsigned(serial)) => reply_serial = u32::try_from(serial).ok()?,
                (ERROR_NAME, Variant::Text(name)) => error = name,
                _ => {}
            }
        }
        values.align(8);
        Some(Message { kind: bytes[1], reply_serial, error, body: values })
    }

    pub(super) fn reply(self) -> Reply<'m> {
        if self.kind == ERROR { Err(self.error) } else { Ok(self.body) }
    }
}

/// Appends a call.
pub(super) fn write_call(out: &mut Vec<u8>, serial: u32, call: Call<'_>) {
    let start = out.len();
    let signature = "s".repeat(call.arguments.len());
    out.extend([LITTLE, METHOD_CALL, 0, 1]);
    // The lengths of the body and of the fields are set at the end.
    out.extend(0u32.to_le_bytes());
    out.extend(serial.to_le_bytes());
    out.extend(0u32.to_le_bytes());
    let fields = [
        (PATH, b'o', call.path),
        (INTERFACE, b's', call.method.0),
        (MEMBER, b's', call.method.1),
        (DESTINATION, b's', call.service),
    ];
    for (field, kind, value) in fields {
        pad(out, start, 8);
        out.extend([field, 1, kind, 0]);
        write_string(out, start, value);
    }
    if !signature.is_empty() {
        pad(out, start, 8);
        out.extend([SIGNATURE, 1, b'g', 0, signature.len() as u8]);
        out.extend(signature.bytes().chain([0]));
    }
    let fields_length = (out.len() - start - FIXED_HEADER) as u32;
    pad(out, start, 8);
    let body = out.len();
    for argument in call.arguments {
        write_string(out, start, argument);
    }
    let body_length = (out.len() - body) as u32;
    out[start + 4..start + 8].copy_from_slice(&body_length.to_le_bytes());
    out[start + 12..start + 16].copy_from_slice(&fields_length.to_le_bytes());
}

fn write_string(out: &mut Vec<u8>, start: usize, text: &str) {
    pad(out, start, 4);
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.bytes().chain([0]));
}

fn pad(out: &mut Vec<u8>, start: usize, to: usize) {
    out.resize(start + (out.len() - start).next_multiple_of(to), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Call<'_> = Call { service: "a.b", path: "/c", method: ("a.i", "Get"), arguments: &["x", "yz"] };

    /// The header of a call has the format of a reply's.
    #[test]
    fn a_call_is_written_as_the_specification_says() {
        let mut written = b"before".to_vec();
        write_call(&mut written, 7, GET);
        let message = &written[6..];
        assert_eq!(message_length(message), Some(message.len()));
        assert_eq!(&message[..4], [b'l', 1, 0, 1]);
        assert_eq!(&message[8..12], 7u32.to_le_bytes());
        assert_eq!(&message[16..32], [1, 1, b'o', 0, 2, 0, 0, 0, b'/', b'c', 0, 0, 0, 0, 0, 0]);
        let mut body = Message::read(message).unwrap().body;
        assert_eq!([body.text(), body.text(), body.text()], [Some("x"), Some("yz"), None]);
    }

    #[test]
    fn an_answer_cut_anywhere_is_told_or_a_shorter_one() {
        let mut message = Vec::new();
        write_call(&mut message, 7, GET);
        for end in 0..message.len() {
            let cut = &message[..end];
            if end >= FIXED_HEADER {
                assert_eq!(message_length(cut), Some(message.len()));
                if let Some(mut read) = Message::read(cut) {
                    while read.body.text().is_some() {}
                }
            }
        }
        for (at, byte) in (0..message.len()).flat_map(|at| [0, 0xff, 0x80].map(|byte| (at, byte))) {
            let mut damaged = message.clone();
            damaged[at] = byte;
            let _ = message_length(&damaged);
            if let Some(mut read) = Message::read(&damaged) {
                let _ = (read.body.variant(), read.body.array(8), read.body.structure(), read.body.text());
            }
        }
    }
}
