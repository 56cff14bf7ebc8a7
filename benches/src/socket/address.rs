//! Where the server is and which of our own addresses to call it from.

use std::{
    cell::Cell,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs},
    rc::Rc,
};

use tokio::net::TcpSocket;

use super::{stream::Stream, tls::Tls};
use crate::error::BenchError;

/// How many loopback addresses connections are spread over.
const SOURCES: u8 = 250;

/// A server's address. Cheap to clone; clones share the turn of the sources.
///
/// To a server on loopback each connection comes from the next of 250 loopback
/// addresses, as from so many clients: one address alone runs out of ports when
/// connections come and go by the thousand, and meets a limit per address.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    server: SocketAddr,
    host: Rc<str>,
    turn: Rc<Cell<u8>>,
    tls: Option<Tls>,
}

impl Address {
    /// Resolves `host` and `port`, to be spoken to through TLS or not. Blocks
    /// while the system looks the name up.
    pub(crate) fn resolve(host: &str, port: u16, with_tls: bool) -> Result<Self, BenchError> {
        let unresolved = |source| BenchError::Resolve { host: host.to_owned(), source };
        let mut addresses =
            (host.trim_matches(['[', ']']), port).to_socket_addrs().map_err(unresolved)?.collect::<Vec<_>>();
        // A server told to listen on "localhost" mostly means IPv4.
        addresses.sort_by_key(SocketAddr::is_ipv6);
        let server = addresses.first().copied().ok_or_else(|| unresolved(io::ErrorKind::NotFound.into()))?;
        let tls = with_tls.then(|| Tls::to(host)).transpose()?;
        Ok(Self { server, host: format!("{host}:{port}").into(), turn: Rc::default(), tls })
    }

    /// What the `Host` header says.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Opens a connection with Nagle's algorithm off.
    pub(crate) async fn connect(&self) -> io::Result<Stream> {
        let socket = match self.server.ip() {
            IpAddr::V4(ip) => {
                let socket = TcpSocket::new_v4()?;
                if ip.is_loopback() && cfg!(target_os = "linux") {
                    socket.bind((self.next_source(), 0).into())?;
                }
                socket
            }
            IpAddr::V6(_) => TcpSocket::new_v6()?,
        };
        let stream = socket.connect(self.server).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            Some(tls) => Ok(Stream::Tls(Box::new(tls.connect(stream).await?))),
            None => Ok(Stream::Plain(stream)),
        }
    }

    fn next_source(&self) -> Ipv4Addr {
        let turn = (self.turn.get() + 1) % SOURCES;
        self.turn.set(turn);
        Ipv4Addr::new(127, 0, 0, turn + 1)
    }
}
