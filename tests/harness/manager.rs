//! A service manager, as systemd is one.

use std::os::unix::net::UnixDatagram;

use super::LONG_TIMEOUT;

/// The manager's end of the socket.
pub struct Manager {
    socket: UnixDatagram,
    path: String,
    _folder: tempfile::TempDir,
}

impl Manager {
    pub fn new() -> Manager {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(LONG_TIMEOUT)).unwrap();
        Manager { socket, path: path.to_str().unwrap().to_owned(), _folder: folder }
    }

    /// What `NOTIFY_SOCKET` says.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The address that Taffrail listens on, once it is ready.
    pub fn address(&self) -> String {
        let ready = self.next();
        let address = ready.split_once("scraped at ").unwrap_or_else(|| panic!("{ready}")).1;
        address.split([';', ',', '\n']).next().unwrap().to_owned()
    }

    /// The next message that is not a sign of life.
    pub fn next(&self) -> String {
        loop {
            let message = self.next_of_any_kind();
            if !message.contains("WATCHDOG=1") {
                return message;
            }
        }
    }

    pub fn next_of_any_kind(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("nothing is told");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }
}
