//! One query to one server.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::message::{Query, Response};

/// How a query is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram, whose response may be truncated.
    Udp,
    /// A connection.
    Tcp,
}

/// Sends a query, and waits for its response without a limit of time. A datagram from elsewhere or for another query is
/// ignored; a truncated response is returned as it is.
///
/// # Errors
/// If the name is none, the server cannot be reached, or its response is malformed.
pub async fn exchange(server: SocketAddr, transport: Transport, query: &Query) -> Result<Response, String> {
    match transport {
        Transport::Udp => over_udp(server, query).await,
        Transport::Tcp => {
            let mut stream = TcpStream::connect(server).await.map_err(|error| error.to_string())?;
            over_stream(&mut stream, query).await
        }
    }
}

async fn over_udp(server: SocketAddr, query: &Query) -> Result<Response, String> {
    /// Maximum bytes of a response in a datagram; queries do not offer more (RFC 1035, section 2.3.4), servers may send it.
    const MAX_BYTES: usize = 4096;
    let id = fastrand::u16(..);
    let message = query.encode(id)?;
    let any: SocketAddr = match server.is_ipv4() {
        true => (Ipv4Addr::UNSPECIFIED, 0).into(),
        false => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let failed = |error: std::io::Error| error.to_string();
    let socket = UdpSocket::bind(any).await.map_err(failed)?;
    socket.connect(server).await.map_err(failed)?;
    socket.send(&message).await.map_err(failed)?;
    let mut buffer = vec![0; MAX_BYTES];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(failed)?;
        let received = buffer.get(..length).unwrap_or_default();
        if received.starts_with(&id.to_be_bytes()) {
            let response = Response::parse(received)?;
            if query.is_answered_by(id, &response) {
                return Ok(response);
            }
        }
    }
}

/// Sends a query over a connection, and waits for its response. The length precedes each message (RFC 1035, section 4.2.2).
///
/// # Errors
/// If the name is none, the connection fails, or the response is malformed or belongs to another query.
pub async fn over_stream(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    query: &Query,
) -> Result<Response, String> {
    let id = fastrand::u16(..);
    let message = query.encode(id)?;
    let length = u16::try_from(message.len()).map_err(|_| "the query is too long".to_owned())?;
    let exchanged = async {
        stream.write_all(&[&length.to_be_bytes(), &*message].concat()).await?;
        let length = stream.read_u16().await?;
        let mut response = vec![0; usize::from(length)];
        stream.read_exact(&mut response).await.map(|_| response)
    };
    let response = Response::parse(&exchanged.await.map_err(|error| error.to_string())?)?;
    match query.is_answered_by(id, &response) {
        true => Ok(response),
        false => Err("expected the response to the query, found another".to_owned()),
    }
}
