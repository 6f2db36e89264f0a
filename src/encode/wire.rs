//! Protobuf's wire format. Written field numbers are below 16.

use std::borrow::Cow;

use super::parse::{Error, Message, Position};

pub(super) const VARINT: u8 = 0;
pub(super) const FIXED64: u8 = 1;
pub(super) const LENGTH_DELIMITED: u8 = 2;

pub(super) const fn key(field: u8, wire_type: u8) -> u8 {
    field << 3 | wire_type
}

pub(super) fn push_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    push_head(out, field, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends the key and the length of a field whose `length` bytes follow.
pub(super) fn push_head(out: &mut Vec<u8>, field: u8, length: usize) {
    let key = key(field, LENGTH_DELIMITED);
    match u8::try_from(length) {
        Ok(short @ ..0x80) => out.extend_from_slice(&[key, short]),
        _ => {
            out.push(key);
            push_varint(out, length as u64);
        }
    }
}

/// As [`push_bytes`], at the start of `out`, which has room for it. Returns the remainder.
pub(super) fn put_bytes<'b>(out: &'b mut [u8], field: u8, bytes: &[u8]) -> &'b mut [u8] {
    let (to, rest) = put_head(out, field, bytes.len()).split_at_mut(bytes.len());
    to.copy_from_slice(bytes);
    rest
}

/// As [`push_head`], at the start of `out`, which has room for it. Returns the remainder.
pub(super) fn put_head(out: &mut [u8], field: u8, mut length: usize) -> &mut [u8] {
    let mut end = 1;
    out[0] = key(field, LENGTH_DELIMITED);
    while length >= 0x80 {
        out[end] = length as u8 | 0x80;
        length >>= 7;
        end += 1;
    }
    out[end] = length as u8;
    &mut out[end + 1..]
}

pub(super) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn push_varint_field(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(key(field, VARINT));
    push_varint(out, value);
}

pub(super) fn push_double(out: &mut Vec<u8>, field: u8, value: f64) {
    out.push(key(field, FIXED64));
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

pub(super) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// The size of a field of `length` bytes with its key and its length.
pub(super) fn delimited_size(length: usize) -> usize {
    if length < 0x80 {
        return 2 + length;
    }
    let significant_bits = (usize::BITS - (length | 1).leading_zeros()) as usize;
    1 + significant_bits.div_ceil(7) + length
}

/// The unread remainder of a message.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    body: &'a [u8],
    at: usize,
    end: usize,
}

/// A field's value.
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(Reader<'a>),
    Fixed32(u32),
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Reader { body, at: 0, end: body.len() }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.end
    }

    pub(super) fn position(&self) -> Position {
        Position::Byte(self.at)
    }

    pub(super) fn malformed<T>(&self, message: impl Into<Message>) -> Result<T, Error> {
        Err(Error::Malformed { position: self.position(), message: message.into() })
    }

    pub(super) fn cut_off<T>(&self) -> Result<T, Error> {
        self.malformed("unexpected EOF: a message is shorter than it says, so the body may have been cut off")
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Error> {
        if let [byte @ ..0x80, ..] = self.bytes() {
            self.at += 1;
            return Ok((*byte).into());
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Error> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.body[..self.end].get(self.at) else { return self.cut_off() };
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        self.malformed("a number of more than 64 bits")
    }

    #[inline]
    pub(super) fn take(&mut self, length: u64) -> Result<Reader<'a>, Error> {
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        match end.filter(|end| *end <= self.end) {
            Some(end) => {
                let taken = Reader { body: self.body, at: self.at, end };
                self.at = end;
                Ok(taken)
            }
            None => self.cut_off(),
        }
    }

    pub(super) fn message(&mut self) -> Result<Reader<'a>, Error> {
        let length = self.varint()?;
        self.take(length)
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        &self.body[self.at..self.end]
    }

    pub(super) fn text(&self) -> Result<Cow<'a, str>, Error> {
        match std::str::from_utf8(self.bytes()) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(_) => self.malformed("invalid UTF-8"),
        }
    }

    pub(super) fn fixed64(&mut self) -> Result<u64, Error> {
        let bytes = self.take(8)?;
        Ok(bytes.bytes().try_into().map_or(0, u64::from_le_bytes))
    }

    /// The bytes of the next field, if it is this one, has a length, and is complete.
    pub(super) fn delimited(&mut self, field: u8) -> Option<Reader<'a>> {
        let [found, ..] = self.bytes() else { return None };
        if *found != key(field, LENGTH_DELIMITED) {
            return None;
        }
        let mut behind = Reader { at: self.at + 1, ..*self };
        let found = behind.message().ok()?;
        self.at = behind.at;
        Some(found)
    }

    /// The number and value of the next field; none at the end.
    pub(super) fn field(&mut self) -> Result<Option<(u64, Value<'a>)>, Error> {
        if self.at >= self.end {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed64()?),
            2 => Value::Bytes(self.message()?),
            5 => {
                let bytes = self.take(4)?;
                Value::Fixed32(bytes.bytes().try_into().map_or(0, u32::from_le_bytes))
            }
            other => return self.malformed(Message::about("unknown wire type …", other.to_string())),
        };
        Ok(Some((key >> 3, value)))
    }
}

impl<'a> Value<'a> {
    pub(super) fn double(&self) -> f64 {
        match self {
            Value::Fixed64(bits) => f64::from_bits(*bits),
            Value::Fixed32(bits) => f32::from_bits(*bits).into(),
            Value::Varint(number) => *number as f64,
            Value::Bytes(_) => 0.0,
        }
    }

    pub(super) fn number(&self) -> u64 {
        match self {
            Value::Varint(number) | Value::Fixed64(number) => *number,
            Value::Fixed32(number) => (*number).into(),
            Value::Bytes(_) => 0,
        }
    }

    pub(super) fn signed(&self) -> i64 {
        unzigzag(self.number())
    }
}
