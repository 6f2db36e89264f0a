//! No netlink outside Linux.

use super::super::errno::Errno;
use super::Peer;

/// A socket that cannot exist.
#[derive(Debug)]
pub enum Socket {}

impl Socket {
    /// No socket.
    ///
    /// # Errors
    /// `EOPNOTSUPP`.
    pub fn open(_: Peer) -> Result<Socket, Errno> {
        Err(Errno::OPNOTSUPP)
    }

    pub(in super::super) fn hear_changes() -> Result<Socket, Errno> {
        Err(Errno::OPNOTSUPP)
    }

    pub(in super::super) fn is_silent(&self) -> bool {
        match *self {}
    }

    pub(super) fn send(&self, _: &[u8]) -> Result<(), Errno> {
        match *self {}
    }

    pub(super) fn receive(&self, _: &mut Vec<u8>) -> Result<(), Errno> {
        match *self {}
    }
}
