//! The way to a server, on which things go wrong.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// What the way to the server does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    /// Connections are closed at once.
    Closed,
    /// An answer that is none of the server's.
    Answers500,
    /// Nothing is ever answered.
    Silent,
    /// The connection is cut off after some bytes of the request.
    CutOff,
    /// The request reaches the server, but its answer gets lost.
    AnswerLost,
    /// A few bytes at a time.
    Slow,
}

pub(crate) const FAULTS: [Fault; 7] =
    [Fault::None, Fault::Closed, Fault::Answers500, Fault::Silent, Fault::CutOff, Fault::AnswerLost, Fault::Slow];

/// Stands in the way to a server.
pub(crate) struct Way {
    pub(crate) address: SocketAddr,
    /// The number of the change, times 16, and the fault.
    state: Arc<AtomicU64>,
}

impl Way {
    pub(crate) fn to(port: u16) -> Way {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(AtomicU64::new(0));
        let reported = state.clone();
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let reported = reported.clone();
                thread::spawn(move || carry(near, port, &reported));
            }
        });
        Way { address, state }
    }

    /// From here on; connections from before are cut off.
    pub(crate) fn has(&self, fault: Fault) {
        let number = FAULTS.iter().position(|known| *known == fault).unwrap() as u64;
        let change = self.state.load(SeqCst) / 16 + 1;
        self.state.store(change * 16 + number, SeqCst);
    }
}

fn carry(mut near: TcpStream, port: u16, state: &AtomicU64) {
    let begun = state.load(SeqCst);
    let fault = FAULTS[(begun % 16) as usize];
    let has_changed = || state.load(SeqCst) != begun;
    let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)) else { return };
    for stream in [&near, &far] {
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    }
    let (mut buffer, mut carried) = (vec![0; 64 << 10], 0);
    while !has_changed() && fault != Fault::Closed {
        let room = if fault == Fault::Slow { 512 } else { buffer.len() };
        match near.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(_) if fault == Fault::Silent => {}
            Ok(_) if fault == Fault::Answers500 => {
                let _ = near.write_all(b"HTTP/1.1 500 x\r\ncontent-length: 4\r\nconnection: close\r\n\r\noops");
                break;
            }
            Ok(count) => {
                carried += count;
                if far.write_all(&buffer[..count]).is_err() || (fault == Fault::CutOff && carried > 300) {
                    break;
                }
            }
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {}
            Err(_) => break,
        }
        match far.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) if fault == Fault::AnswerLost => break,
            Ok(count) if near.write_all(&buffer[..count]).is_ok() => {}
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {}
            _ => break,
        }
    }
    let _ = (near.shutdown(Shutdown::Both), far.shutdown(Shutdown::Both));
}
