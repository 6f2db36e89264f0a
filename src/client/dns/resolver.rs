//! Resolves names by the name servers of the system, or by others: over UDP, and over TCP what is truncated.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::exchange::{Transport, exchange};
use super::message::{Query, Record, RecordType, Response};
use crate::system::regular_file::{READ_TIMEOUT, read_text_within};

/// The name servers, and the domains of names that are not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolver {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    /// Names with fewer dots are tried in the search domains first.
    min_dots: usize,
}

/// The configuration of resolvers: resolv.conf(5).
const CONFIGURATION: &str = "/etc/resolv.conf";
/// The port of name servers.
pub const PORT: u16 = 53;
/// Time within which a server responds.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum name servers and search domains that are used, as with glibc's `MAXNS` and its older limit.
const MAX_SERVERS: usize = 3;
const MAX_SEARCH: usize = 6;

impl Resolver {
    /// The resolver of the system, as it is configured now. Reads a file.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn of_system() -> Result<Resolver, String> {
        const MAX_BYTES: u64 = 64 << 10;
        let text = read_text_within(Path::new(CONFIGURATION), MAX_BYTES, READ_TIMEOUT);
        Ok(Resolver::parse(&text.map_err(|error| error.to_string())?))
    }

    /// A resolver that queries these servers, without search domains.
    pub fn of_servers(servers: Vec<SocketAddr>) -> Resolver {
        Resolver { servers, search: Vec::new(), min_dots: 1 }
    }

    /// Reads resolv.conf(5). Without a name server, that of this host is used.
    fn parse(text: &str) -> Resolver {
        let mut resolver = Resolver::of_servers(Vec::new());
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    // The zone of a link-local address is not used: `fe80::1%eth0`.
                    let address = words.next().and_then(|word| word.split('%').next()?.parse::<IpAddr>().ok());
                    resolver.servers.extend(address.map(|address| SocketAddr::new(address, PORT)));
                }
                Some("search" | "domain") => resolver.search = words.take(MAX_SEARCH).map(str::to_owned).collect(),
                Some("options") => {
                    let dots = words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok()).next_back();
                    resolver.min_dots = dots.unwrap_or(resolver.min_dots).min(15);
                }
                _ => {}
            }
        }
        resolver.servers.truncate(MAX_SERVERS);
        if resolver.servers.is_empty() {
            resolver.servers.push(SocketAddr::new(IpAddr::from([127, 0, 0, 1]), PORT));
        }
        resolver
    }

    /// The names that are tried for a name, in this order.
    fn names(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let searched = self.search.iter().map(|domain| format!("{name}.{}", domain.trim_matches('.')));
        match name.matches('.').count() >= self.min_dots {
            true => std::iter::once(name.to_owned()).chain(searched).collect(),
            false => searched.chain(std::iter::once(name.to_owned())).collect(),
        }
    }

    /// The records of a name, in the first of the search domains that has any. Empty if there are none.
    ///
    /// # Errors
    /// Why no server responded usefully for one of the names, unless another has records.
    pub async fn resolve(&self, name: &str, kind: RecordType) -> Result<Vec<Record>, String> {
        let mut failure = None;
        for name in self.names(name) {
            match self.ask(Query { name, kind, is_recursive: true }).await {
                Ok(response) if response.answers.is_empty() => {}
                Ok(response) => return Ok(response.answers),
                Err(reason) => failure = failure.or(Some(reason)),
            }
        }
        failure.map_or(Ok(Vec::new()), Err)
    }

    /// The first useful response: records, or that there are none.
    async fn ask(&self, query: Query) -> Result<Response, String> {
        const SUCCESS: u8 = 0;
        const NO_SUCH_NAME: u8 = 3;
        let mut failure = "there is no name server".to_owned();
        for server in &self.servers {
            failure = match ask_server(*server, &query).await {
                Ok(response) if [SUCCESS, NO_SUCH_NAME].contains(&response.code) => return Ok(response),
                Ok(response) => format!("{server}: {} of {}: {}", query.kind, query.name, response.code_name()),
                Err(reason) => format!("{server}: {} of {}: {reason}", query.kind, query.name),
            };
        }
        Err(failure)
    }
}

async fn ask_server(server: SocketAddr, query: &Query) -> Result<Response, String> {
    let within = async |transport| {
        let done = tokio::time::timeout(TIMEOUT, exchange(server, transport, query)).await;
        done.unwrap_or_else(|_| Err(format!("no response within {} s", TIMEOUT.as_secs())))
    };
    match within(Transport::Udp).await? {
        response if response.is_truncated => within(Transport::Tcp).await,
        response => Ok(response),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_of_the_system_is_read() {
        let text = "# generated\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver odd\n  nameserver ::1 # x\n\
            nameserver 10.0.0.4\nsearch old.example\nsearch a.example b.example.\noptions edns0 ndots:5 timeout:1\n";
        let resolver = Resolver::parse(text);
        let servers: Vec<String> = resolver.servers.iter().map(SocketAddr::to_string).collect();
        assert_eq!(servers, ["10.0.0.1:53", "[fe80::1]:53", "[::1]:53"]);
        assert_eq!(resolver.names("web.shop"), ["web.shop.a.example", "web.shop.b.example", "web.shop"]);
        assert_eq!(resolver.names("web."), ["web."]);
        assert_eq!(Resolver::parse("search x\n").names("a.b"), ["a.b", "a.b.x"]);
        assert_eq!(Resolver::parse("").servers, ["127.0.0.1:53".parse().unwrap()]);
    }
}
