//! A client of D-Bus message buses, with what collectors need: method calls with string arguments, several in flight,
//! and a deadline. After the D-Bus Specification 0.43.
//!
//! Libraries bring a runtime, threads and derived types for two pages of code, and copy what they read.

mod message;
mod values;

use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::message::{ERROR, FIXED_HEADER, MAX_MESSAGE, METHOD_RETURN, Message, message_length, write_call};
pub use self::values::{Values, Variant};
use super::kernel::Kernel;
use super::text::ReadError;
use crate::blocking::Heartbeat;
use crate::system::{LocalStream, user_id};

/// A method call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The service's bus name.
    pub service: &'a str,
    /// The object path.
    pub path: &'a str,
    /// The interface and its method.
    pub method: (&'a str, &'a str),
    /// The arguments.
    pub arguments: &'a [&'a str],
}

impl<'a> Call<'a> {
    /// A call that gets a property; `arguments` are the interface and the property.
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

/// Timeouts of a connection, and the heartbeat of its caller.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Timeout of a reply, and of each chunk of a large one. All replies together may take four times as long.
    pub silence: Duration,
    /// Beats with each reply.
    pub heartbeat: Heartbeat,
}

/// A reply, or the name of an error.
pub type Reply<'m> = Result<Values<'m>, &'m str>;

impl Bus {
    /// Connects to the bus at `socket`. `pace` covers the connection and the calls after it.
    ///
    /// # Errors
    /// [`ReadError::Absent`] without a socket, [`ReadError::Silent`] after a timeout, [`ReadError::Refused`] if the bus
    /// rejects the connection.
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

    /// Restarts the deadline for the calls that follow.
    pub fn allow(&mut self, pace: Pace) {
        self.deadline = pace.deadline();
        self.pace = pace;
    }

    /// Mechanism EXTERNAL: the kernel passes our user to the bus.
    fn authenticate(&mut self) -> io::Result<()> {
        let uid = user_id().to_string();
        let hex: String = uid.bytes().map(|byte| format!("{byte:02x}")).collect();
        self.send(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes())?;
        let (mut line, deadline) = (Vec::new(), self.next_deadline());
        while !line.ends_with(b"\r\n") {
            const MAX_LINE: usize = 512;
            if line.len() > MAX_LINE {
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

    /// Makes one call and passes its reply to `read`.
    ///
    /// # Errors
    /// A timeout, a closed connection, an error reply.
    pub fn call<T>(&mut self, call: Call<'_>, read: impl FnOnce(&mut Values<'_>) -> T) -> Result<T, ReadError> {
        let mut result = Err(String::new());
        let mut read = Some(read);
        self.calls(
            1,
            |_| call,
            |_, reply| {
                result = match (reply, read.take()) {
                    (Ok(mut values), Some(read)) => Ok(read(&mut values)),
                    (reply, _) => Err(reply.err().unwrap_or_default().to_owned()),
                };
            },
        )?;
        result.map_err(|error| refused(&self.socket, format!("{} answers {error}", call.service)))
    }

    /// Makes `count` calls, several at a time, and passes each reply with its call's number to `each`, in order of arrival.
    ///
    /// # Errors
    /// [`ReadError::Silent`] after a timeout; a closed connection. The connection is unusable afterwards.
    pub fn calls<'c>(
        &mut self,
        count: usize,
        call: impl Fn(usize) -> Call<'c>,
        each: impl FnMut(usize, Reply<'_>),
    ) -> Result<(), ReadError> {
        self.try_calls(count, call, each).map_err(|error| failed(&self.socket, &error))
    }

    fn try_calls<'c>(
        &mut self,
        count: usize,
        call: impl Fn(usize) -> Call<'c>,
        mut each: impl FnMut(usize, Reply<'_>),
    ) -> io::Result<()> {
        /// Below a bus's limit of pending replies per connection.
        const MAX_IN_FLIGHT: usize = 64;
        let mut sent = 0;
        while sent < count {
            let first = self.serial + 1;
            let batch = MAX_IN_FLIGHT.min(count - sent);
            let mut request = Vec::new();
            for number in sent..sent + batch {
                self.serial += 1;
                write_call(&mut request, self.serial, call(number));
            }
            self.send(&request)?;
            let mut received_count = 0;
            while received_count < batch {
                let mut received = std::mem::take(&mut self.received);
                let result = self.receive_message(&mut received).and_then(|()| {
                    let message = Message::read(&received).ok_or_else(malformed)?;
                    // Signals and other unsolicited messages.
                    let Some(number) = message.reply_serial.checked_sub(first).map(|number| number as usize) else {
                        return Ok(());
                    };
                    if number < batch && [METHOD_RETURN, ERROR].contains(&message.kind) {
                        received_count += 1;
                        self.pace.heartbeat.beat();
                        each(sent + number, message.reply());
                    }
                    Ok(())
                });
                self.received = received;
                result?;
            }
            sent += batch;
        }
        Ok(())
    }

    /// Receives the next message into `message`.
    fn receive_message(&mut self, message: &mut Vec<u8>) -> io::Result<()> {
        /// Each chunk has a timeout of its own.
        const CHUNK: usize = 64 << 10;
        message.resize(FIXED_HEADER, 0);
        self.receive(message, self.next_deadline())?;
        let length = message_length(message).filter(|length| *length <= MAX_MESSAGE).ok_or_else(malformed)?;
        message.resize(length, 0);
        for chunk in message[FIXED_HEADER..].chunks_mut(CHUNK) {
            self.receive(chunk, self.next_deadline())?;
            if chunk.len() == CHUNK {
                self.pace.heartbeat.beat();
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

    /// Deadline of the next reply.
    fn next_deadline(&self) -> Instant {
        self.deadline.min(Instant::now() + self.pace.silence)
    }
}

impl Pace {
    fn deadline(&self) -> Instant {
        const TOTAL_FACTOR: u32 = 4;
        Instant::now() + self.silence * TOTAL_FACTOR
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
