//! Asking services of the host by D-Bus, as far as reading needs it: method calls whose arguments are strings, several
//! under way at once, and a deadline. After the D-Bus Specification 0.43.
//!
//! Ours and not a library's: those bring a runtime, threads and derived types for what is here a page of writing and a
//! page of reading, and they copy what they read.

use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::kernel::Kernel;
use super::text::ReadError;
use crate::ask::Headway;
use crate::system::{LocalStream, user_id};

/// A call of a method.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The service's name on the bus.
    pub service: &'a str,
    /// The object.
    pub path: &'a str,
    /// The interface, and the method of it.
    pub method: (&'a str, &'a str),
    /// The arguments.
    pub arguments: &'a [&'a str],
}

impl<'a> Call<'a> {
    /// The call that asks for properties, whose arguments are an interface and a property of it.
    pub fn property(service: &'a str, path: &'a str, arguments: &'a [&'a str; 2]) -> Self {
        Call { service, path, method: ("org.freedesktop.DBus.Properties", "Get"), arguments }
    }
}

/// A connection to a message bus.
#[derive(Debug)]
pub struct Bus {
    stream: LocalStream,
    socket: PathBuf,
    pace: Pace,
    deadline: Instant,
    serial: u32,
    received: Vec<u8>,
}

/// How fast a bus has to answer, and who hears of it.
#[derive(Clone, Debug)]
pub struct Pace {
    /// The longest silence before an answer, or before the next piece of a large one. All together may take four times
    /// as long.
    pub silence: Duration,
    /// Is told of each answer.
    pub headway: Headway,
}

/// What came back of a call: the service's answer, or the name of its error.
pub type Answer<'m> = Result<Values<'m>, &'m str>;

/// The specification's largest message is 128 MiB; the states of 100,000 units are a quarter of this.
const MAX_MESSAGE: usize = 64 << 20;

const LITTLE: u8 = b'l';
const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;

/// The header's fields: "Header Fields" of the specification.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

impl Bus {
    /// Connects to the bus whose socket is at `socket`. It and all that is then asked of it keep this pace.
    ///
    /// # Errors
    /// [`ReadError::Absent`] if there is no socket, [`ReadError::Silent`] if there is no answer, otherwise why the bus does
    /// not let us in.
    pub fn connect(kernel: &dyn Kernel, socket: PathBuf, pace: Pace) -> Result<Bus, ReadError> {
        let stream = kernel.connect(&socket, pace.silence).map_err(|error| unreachable(&socket, &error))?;
        let deadline = pace.deadline();
        let mut bus = Bus { stream, socket, pace, deadline, serial: 0, received: Vec::new() };
        bus.authenticate().map_err(|error| unreachable(&bus.socket, &error))?;
        const SELF: &str = "org.freedesktop.DBus";
        bus.call(
            Call { service: SELF, path: "/org/freedesktop/DBus", method: (SELF, "Hello"), arguments: &[] },
            |_| {},
        )?;
        Ok(bus)
    }

    /// Lets what is asked from now on take its time anew.
    pub fn allow(&mut self, pace: Pace) {
        self.deadline = pace.deadline();
        self.pace = pace;
    }

    /// "EXTERNAL": the kernel tells the bus who we are.
    fn authenticate(&mut self) -> io::Result<()> {
        let uid = user_id().to_string();
        let hex: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.send(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes())?;
        let (mut line, deadline) = (Vec::new(), self.next_deadline());
        while !line.ends_with(b"\r\n") {
            const LONGEST: usize = 512;
            if line.len() > LONGEST {
                return Err(io::Error::new(ErrorKind::InvalidData, "is no message bus"));
            }
            let mut byte = [0];
            self.receive(&mut byte, deadline)?;
            line.extend(byte);
        }
        if !line.starts_with(b"OK ") {
            return Err(io::Error::new(ErrorKind::PermissionDenied, "the bus does not let us in"));
        }
        self.send(b"BEGIN\r\n")
    }

    /// Makes one call, and hands its answer to `read`.
    ///
    /// # Errors
    /// That the bus does not answer in time, or not at all, or with an error.
    pub fn call<T>(&mut self, call: Call<'_>, read: impl FnOnce(&mut Values<'_>) -> T) -> Result<T, ReadError> {
        let mut result = Err(String::new());
        let mut read = Some(read);
        self.calls(
            1,
            |_| call,
            |_, answer| {
                result = match (answer, read.take()) {
                    (Ok(mut values), Some(read)) => Ok(read(&mut values)),
                    (answer, _) => Err(answer.err().unwrap_or_default().to_owned()),
                };
            },
        )?;
        result.map_err(|error| refused(&self.socket, format!("{} answers {error}", call.service)))
    }

    /// Makes `count` calls, several at a time, and hands the answers with their numbers to `each`, as they come.
    ///
    /// # Errors
    /// [`ReadError::Silent`] if the bus does not answer in time; that it does not at all. The connection is of no use after
    /// that.
    pub fn calls<'c>(
        &mut self,
        count: usize,
        call: impl Fn(usize) -> Call<'c>,
        each: impl FnMut(usize, Answer<'_>),
    ) -> Result<(), ReadError> {
        self.try_calls(count, call, each).map_err(|error| failed(&self.socket, &error))
    }

    fn try_calls<'c>(
        &mut self,
        count: usize,
        call: impl Fn(usize) -> Call<'c>,
        mut each: impl FnMut(usize, Answer<'_>),
    ) -> io::Result<()> {
        /// Fewer than a bus lets one connection wait for.
        const UNDER_WAY: usize = 64;
        let mut begun = 0;
        while begun < count {
            let first = self.serial + 1;
            let batch = UNDER_WAY.min(count - begun);
            let mut request = Vec::new();
            for number in begun..begun + batch {
                self.serial += 1;
                write_call(&mut request, self.serial, call(number));
            }
            self.send(&request)?;
            let mut answered = 0;
            while answered < batch {
                let mut received = std::mem::take(&mut self.received);
                let result = self.receive_message(&mut received).and_then(|()| {
                    let message = Message::read(&received).ok_or_else(malformed)?;
                    // Signals, and what else nobody asked for.
                    let Some(number) = message.answers.checked_sub(first).map(|number| number as usize) else {
                        return Ok(());
                    };
                    if number < batch && [METHOD_RETURN, ERROR].contains(&message.kind) {
                        answered += 1;
                        self.pace.headway.made();
                        each(begun + number, message.answer());
                    }
                    Ok(())
                });
                self.received = received;
                result?;
            }
            begun += batch;
        }
        Ok(())
    }

    /// Receives the next message into `message`.
    fn receive_message(&mut self, message: &mut Vec<u8>) -> io::Result<()> {
        /// What a bus that is not silent has sent after a while.
        const PIECE: usize = 64 << 10;
        message.resize(FIXED_HEADER, 0);
        self.receive(message, self.next_deadline())?;
        let length = message_length(message).filter(|length| *length <= MAX_MESSAGE).ok_or_else(malformed)?;
        message.resize(length, 0);
        for piece in message[FIXED_HEADER..].chunks_mut(PIECE) {
            self.receive(piece, self.next_deadline())?;
            if piece.len() == PIECE {
                self.pace.headway.made();
            }
        }
        Ok(())
    }

    fn receive(&mut self, bytes: &mut [u8], deadline: Instant) -> io::Result<()> {
        let mut filled = 0;
        while filled < bytes.len() {
            self.stream.set_read_timeout(Some(left(deadline)?))?;
            match self.stream.read(&mut bytes[filled..]) {
                Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the bus has closed the connection")),
                Ok(more) => filled += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(left(self.next_deadline())?))?;
        self.stream.write_all(bytes)
    }

    /// By when the next answer has to be there.
    fn next_deadline(&self) -> Instant {
        self.deadline.min(Instant::now() + self.pace.silence)
    }
}

impl Pace {
    fn deadline(&self) -> Instant {
        const ALL_TOGETHER: u32 = 4;
        Instant::now() + self.silence * ALL_TOGETHER
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn unreachable(socket: &Path, error: &io::Error) -> ReadError {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => ReadError::Absent(socket.to_owned()),
        _ => failed(socket, error),
    }
}

fn failed(socket: &Path, error: &io::Error) -> ReadError {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => ReadError::Silent { what: socket.display().to_string() },
        _ => refused(socket, error.to_string()),
    }
}

fn refused(socket: &Path, reason: String) -> ReadError {
    ReadError::Refused { what: socket.display().to_string(), reason }
}

fn malformed() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "what the bus says cannot be understood")
}

/// Up to the length of the header's fields.
const FIXED_HEADER: usize = 16;

fn message_length(head: &[u8]) -> Option<usize> {
    let is_big = head[0] != LITTLE;
    let number = |start: usize| Values { bytes: head, at: start, is_big }.u32().map(|number| number as usize);
    FIXED_HEADER.checked_add(number(12)?)?.checked_next_multiple_of(8)?.checked_add(number(4)?)
}

/// A message as it came.
struct Message<'m> {
    kind: u8,
    /// The call that it answers; 0 if none.
    answers: u32,
    error: &'m str,
    body: Values<'m>,
}

impl<'m> Message<'m> {
    fn read(bytes: &'m [u8]) -> Option<Message<'m>> {
        const FIELDS: usize = 12;
        let is_big = bytes[0] != LITTLE;
        let mut values = Values { bytes, at: FIELDS, is_big };
        let end = FIXED_HEADER + values.u32()? as usize;
        let (mut answers, mut error) = (0, "");
        while values.at < end {
            values.align(8);
            let field = values.byte()?;
            match (field, values.variant()?) {
                (REPLY_SERIAL, Variant::Unsigned(serial)) => answers = u32::try_from(serial).ok()?,
                (ERROR_NAME, Variant::Text(name)) => error = name,
                _ => {}
            }
        }
        values.align(8);
        Some(Message { kind: bytes[1], answers, error, body: values })
    }

    fn answer(self) -> Answer<'m> {
        if self.kind == ERROR { Err(self.error) } else { Ok(self.body) }
    }
}

fn write_call(out: &mut Vec<u8>, serial: u32, call: Call<'_>) {
    let start = out.len();
    let signature = "s".repeat(call.arguments.len());
    out.extend([LITTLE, METHOD_CALL, 0, 1]);
    // The body's length, then the fields': both are known later.
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

/// The values of a message, from left to right. What is not there, or not of the type that is asked for, is nothing.
#[derive(Clone, Debug)]
pub struct Values<'m> {
    bytes: &'m [u8],
    at: usize,
    is_big: bool,
}

/// A value that tells its type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Variant<'m> {
    /// A string, an object's path, a signature.
    Text(&'m str),
    /// A number that is not below zero, or whether something is so.
    Unsigned(u64),
    /// A number that may be below zero.
    Signed(i64),
    /// A number with digits behind the point.
    Float(f64),
}

impl<'m> Values<'m> {
    /// A string or an object's path.
    pub fn text(&mut self) -> Option<&'m str> {
        let length = self.u32()? as usize;
        self.characters(length)
    }

    /// A number of 32 bits.
    pub fn u32(&mut self) -> Option<u32> {
        self.align(4);
        let number = self.take::<4>()?;
        Some(if self.is_big { u32::from_be_bytes(number) } else { u32::from_le_bytes(number) })
    }

    /// The values of an array whose items begin at multiples of `alignment`.
    pub fn array(&mut self, alignment: usize) -> Option<Values<'m>> {
        let length = self.u32()? as usize;
        self.align(alignment);
        let end = self.at.checked_add(length)?;
        let items = Values { bytes: self.bytes.get(..end)?, at: self.at, is_big: self.is_big };
        self.at = end;
        Some(items)
    }

    /// Goes to where the next structure of an array begins; nothing if there is none.
    pub fn structure(&mut self) -> Option<()> {
        self.align(8);
        (self.at < self.bytes.len()).then_some(())
    }

    /// A value of a type that it tells itself; nothing for those of several values.
    pub fn variant(&mut self) -> Option<Variant<'m>> {
        let length = self.byte()?.into();
        Some(match self.characters(length)? {
            "s" | "o" => Variant::Text(self.text()?),
            "g" => {
                let length = self.byte()?.into();
                Variant::Text(self.characters(length)?)
            }
            "b" | "u" => Variant::Unsigned(self.u32()?.into()),
            "y" => Variant::Unsigned(self.byte()?.into()),
            "q" => Variant::Unsigned(self.u16()?.into()),
            "n" => Variant::Signed((self.u16()? as i16).into()),
            "i" => Variant::Signed((self.u32()? as i32).into()),
            "t" => Variant::Unsigned(self.u64()?),
            "x" => Variant::Signed(self.u64()? as i64),
            "d" => Variant::Float(f64::from_bits(self.u64()?)),
            _ => return None,
        })
    }

    fn u64(&mut self) -> Option<u64> {
        self.align(8);
        let number = self.take::<8>()?;
        Some(if self.is_big { u64::from_be_bytes(number) } else { u64::from_le_bytes(number) })
    }

    fn u16(&mut self) -> Option<u16> {
        self.align(2);
        let number = self.take::<2>()?;
        Some(if self.is_big { u16::from_be_bytes(number) } else { u16::from_le_bytes(number) })
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    /// So many bytes of text, and the zero byte behind them.
    fn characters(&mut self, length: usize) -> Option<&'m str> {
        let end = self.at.checked_add(length)?;
        let text = self.bytes.get(self.at..end)?;
        self.at = end.checked_add(1)?;
        std::str::from_utf8(text).ok()
    }

    fn take<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        let taken = self.bytes.get(self.at..)?.first_chunk()?;
        self.at += LENGTH;
        Some(*taken)
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Call<'_> = Call { service: "a.b", path: "/c", method: ("a.i", "Get"), arguments: &["x", "yz"] };

    /// What one side writes the other reads: the header of a call is that of an answer.
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

    #[test]
    fn values_are_read_in_either_byte_order() {
        let little = [1, b't', 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0];
        let big = [1, b't', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
        for (bytes, is_big) in [(little, false), (big, true)] {
            assert_eq!(Values { bytes: &bytes, at: 0, is_big }.variant(), Some(Variant::Unsigned(5)));
        }
        let negative = [1, b'i', 0, 0, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Values { bytes: &negative, at: 0, is_big: false }.variant(), Some(Variant::Signed(-1)));
        let structures = [1, b'a', 0, 0, 0, 0, 0, 0];
        assert_eq!(Values { bytes: &structures, at: 0, is_big: false }.variant(), None);
    }
}
