//! A message bus at SOCKET whose services answer what RECORDING says, until it is killed; for benches/growth.
//!
//! `serve_bus SOCKET RECORDING`

#[path = "../tests/common/bus.rs"]
#[allow(dead_code, unreachable_pub)]
mod bus;

use std::path::Path;
use std::sync::Arc;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, recording] = &arguments[..] else {
        eprintln!("usage: serve_bus SOCKET RECORDING");
        std::process::exit(2);
    };
    let recording = bus::read(&std::fs::read_to_string(recording)?);
    bus::listen(Path::new(socket), Arc::new(recording));
    loop {
        std::thread::park();
    }
}
