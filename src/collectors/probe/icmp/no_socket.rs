//! Systems without unprivileged ICMP sockets.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};

/// There is none.
#[derive(Debug)]
pub(super) struct Handle(Infallible);

impl Handle {
    pub(super) fn open(_: bool) -> Result<Handle, String> {
        Err("the prober icmp needs Linux".to_owned())
    }

    pub(super) async fn send(&self, _: &[u8], _: SocketAddr) -> io::Result<()> {
        match self.0 {}
    }

    pub(super) async fn receive(&self, _: &mut [u8]) -> io::Result<(usize, IpAddr, Option<u8>)> {
        match self.0 {}
    }
}
