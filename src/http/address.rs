//! The addresses to listen on.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::config::{Setting, Value};

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenAddress {
    /// An IP address with a port; the kernel chooses one for port 0. `[::]` is all addresses of the host, IPv6 and IPv4.
    Ip(SocketAddr),
    /// All addresses of a host name, with a port.
    Name(String, u16),
    /// A Unix socket at an absolute path.
    Unix(PathBuf),
}

impl ListenAddress {
    /// All addresses of the host.
    pub const fn any(port: u16) -> ListenAddress {
        ListenAddress::Ip(SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), port))
    }

    /// Whether these are all addresses of the host, IPv6 and IPv4.
    pub fn is_any(&self) -> bool {
        matches!(self, ListenAddress::Ip(SocketAddr::V6(address)) if address.ip().is_unspecified())
    }

    /// The port; none for a Unix socket.
    pub fn port(&self) -> Option<u16> {
        match self {
            ListenAddress::Ip(address) => Some(address.port()),
            ListenAddress::Name(_, port) => Some(*port),
            ListenAddress::Unix(_) => None,
        }
    }

    /// Whether a process cannot listen on both, as far as is known without resolving names.
    pub fn overlaps(&self, other: &ListenAddress) -> bool {
        use ListenAddress::{Ip, Name, Unix};
        if self.port() != other.port() || self.port() == Some(0) {
            return false;
        }
        match (self, other) {
            (Unix(one), Unix(two)) => one == two,
            (Ip(one), Ip(two)) => {
                let covers = |one: &SocketAddr, two: &SocketAddr| {
                    one.ip().is_unspecified() && (one.is_ipv6() || two.is_ipv4()) || one.ip() == two.ip()
                };
                covers(one, two) || covers(two, one)
            }
            (Name(one, _), Name(two, _)) => one == two,
            (Name(name, _), Ip(address)) | (Ip(address), Name(name, _)) => {
                address.ip().is_unspecified()
                    || name == LOCALHOST && LOOPBACK.iter().any(|loopback| *loopback == address.ip())
            }
            _ => false,
        }
    }
}

/// The name of this host that needs no resolver.
pub(super) const LOCALHOST: &str = "localhost";
/// The addresses of [`LOCALHOST`].
pub(super) const LOOPBACK: [std::net::IpAddr; 2] =
    [std::net::IpAddr::V6(Ipv6Addr::LOCALHOST), std::net::IpAddr::V4(Ipv4Addr::LOCALHOST)];

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Ip(address) => address.fmt(f),
            ListenAddress::Name(name, port) => write!(f, "{name}:{port}"),
            ListenAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    /// The error is the reason, or empty.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = unix_path(text) {
            return path.map(|path| ListenAddress::Unix(path.to_owned()));
        }
        if text.contains("://") {
            return Err("without a scheme such as http://".to_owned());
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(ListenAddress::Ip(SocketAddr::new(address.ip().to_canonical(), address.port())));
        }
        let (host, port) = text.rsplit_once(':').ok_or("without a port")?;
        let port = port.parse().map_err(|_| "the port is a number up to 65535")?;
        match host {
            "" | "*" => Ok(ListenAddress::any(port)),
            _ if host.contains(':') => Err("an IPv6 address is written in brackets".to_owned()),
            name if is_host_name(name) => Ok(ListenAddress::Name(name.to_ascii_lowercase(), port)),
            _ => Err(String::new()),
        }
    }
}

/// The path in `unix:/PATH` or `unix:///PATH`; `None` for other addresses.
///
/// # Errors
/// The path is not absolute, or the system has no Unix sockets.
pub fn unix_path(address: &str) -> Option<Result<&Path, String>> {
    let path = address.strip_prefix("unix:")?;
    let path = Path::new(path.strip_prefix("//").unwrap_or(path));
    Some(match path.has_root() {
        _ if cfg!(windows) => Err("there are no Unix sockets on this system".to_owned()),
        true => Ok(path),
        false => Err("the path of a Unix socket is absolute".to_owned()),
    })
}

/// Whether this is the name of a host, as opposed to an IPv4 address.
pub fn is_host_name(host: &str) -> bool {
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    !is_number(last) && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

impl Setting for ListenAddress {
    const EXPECTED: &'static str = "an address with a port, such as \":9100\", \"localhost:9100\" or \"[::1]:9100\", or a Unix socket, such as \"unix:/run/taffrail/http.sock\"";
    const EXPECTED_LIST: &'static str = "a list of addresses such as [\":9100\"]";

    fn from_value(value: &Value) -> Result<Self, String> {
        String::from_value(value)?.parse()
    }

    /// For a port alone, and for a URL.
    fn suggestion(value: &Value) -> Option<String> {
        let port = match value {
            Value::Integer(port) => u16::try_from(*port).ok(),
            Value::String(text) => match text.split_once("://") {
                Some((_, address)) => {
                    let address = address.trim_end_matches('/');
                    return address.parse::<ListenAddress>().ok().map(|_| format!("{address:?}"));
                }
                None => text.parse().ok(),
            },
            _ => None,
        };
        port.map(|port| format!("\":{port}\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> ListenAddress {
        text.parse().unwrap_or_else(|reason| panic!("{text}: {reason}"))
    }

    #[test]
    fn an_address_is_an_ip_address_a_name_or_a_unix_socket() {
        for (text, shown) in [
            (":9100", "[::]:9100"),
            ("*:9100", "[::]:9100"),
            ("[::]:9100", "[::]:9100"),
            ("0.0.0.0:9100", "0.0.0.0:9100"),
            ("[::ffff:127.0.0.1]:9100", "127.0.0.1:9100"),
            ("[::1]:0", "[::1]:0"),
            ("localhost:9100", "localhost:9100"),
            ("Node-1.Example.:9100", "node-1.example.:9100"),
            ("1password:1", "1password:1"),
        ] {
            assert_eq!(address(text).to_string(), shown);
        }
        assert!(address(":1").is_any() && address("[::]:1").is_any() && !address("0.0.0.0:1").is_any());
        for (malformed, reason) in [
            ("9100", "without a port"),
            ("localhost", "without a port"),
            ("::1:9100", "in brackets"),
            ("http://localhost:9100", "without a scheme"),
            (":65536", "up to 65535"),
            ("localhost:http", "up to 65535"),
            ("256.0.0.1:9100", ""),
            ("a b:9100", ""),
            ("unix:run/x", "absolute"),
        ] {
            let error = malformed.parse::<ListenAddress>().unwrap_err();
            assert!(error.contains(reason), "{malformed}: {error}");
        }
    }

    #[test]
    fn a_port_or_a_url_leads_to_an_address() {
        let text = |text: &str| Value::String(text.to_owned());
        for (value, suggestion) in [
            (text("9101"), Some("\":9101\"")),
            (Value::Integer(9101), Some("\":9101\"")),
            (text("http://localhost:9101/"), Some("\"localhost:9101\"")),
            (text("http://localhost/"), None),
            (text("localhost"), None),
            (text("99999"), None),
            (Value::Integer(-1), None),
        ] {
            assert_eq!(ListenAddress::suggestion(&value).as_deref(), suggestion, "{value:?}");
            let list = suggestion.map(|suggestion| format!("[{suggestion}]"));
            assert_eq!(Vec::<ListenAddress>::suggestion(&value), list, "{value:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_unix_socket_has_a_path() {
        for text in ["unix:/run/x.sock", "unix:///run/x.sock"] {
            assert_eq!(address(text), ListenAddress::Unix("/run/x.sock".into()));
        }
        assert_eq!(address("unix:///run/x.sock").to_string(), "unix:/run/x.sock");
    }

    #[cfg(unix)]
    #[test]
    fn addresses_overlap_where_one_process_cannot_have_both() {
        for (one, two) in [
            (":1", "[::]:1"),
            (":1", "0.0.0.0:1"),
            (":1", "127.0.0.1:1"),
            (":1", "node.example:1"),
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("localhost:1", "127.0.0.1:1"),
            ("localhost:1", "[::1]:1"),
            ("127.0.0.1:1", "[::ffff:127.0.0.1]:1"),
            ("unix:/a", "unix:///a"),
        ] {
            assert!(address(one).overlaps(&address(two)) && address(two).overlaps(&address(one)), "{one} {two}");
        }
        for (one, two) in [
            (":1", ":2"),
            (":0", ":0"),
            ("0.0.0.0:1", "[::1]:1"),
            ("127.0.0.1:1", "127.0.0.2:1"),
            ("localhost:1", "192.0.2.1:1"),
            ("a.example:1", "b.example:1"),
            ("unix:/a", "unix:/b"),
            ("unix:/a", ":1"),
        ] {
            assert!(!address(one).overlaps(&address(two)) && !address(two).overlaps(&address(one)), "{one} {two}");
        }
    }
}
