//! What deliveries cost at the least: one thread, `epoll`, and one `send` for
//! each follower of a burst, with nothing around it.
//!
//! Speaks as `floor-peer` does: `e` is sent back whole, `s` follows the one
//! channel and is sent back whole, `p` goes whole to every follower. It reads
//! no fragmented message, checks nothing, and ends a connection whose peer reads
//! too slowly. Prints `listening PORT`.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr},
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use socket2::{Domain, Socket, Type};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const LISTENER: Token = Token(usize::MAX);

struct Connection {
    stream: TcpStream,
    /// The beginning of a frame or of a handshake whose end has not come.
    rest: Vec<u8>,
    is_open: bool,
    follows: bool,
}

fn main() -> io::Result<()> {
    let mut poll = Poll::new()?;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    let mut listener = TcpListener::from_std(socket.into());
    println!("listening {}", listener.local_addr()?.port());
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut events = Events::with_capacity(1024);
    let mut published = Vec::new();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    poll.registry().register(&mut stream, Token(connections.len()), Interest::READABLE)?;
                    let (is_open, follows) = (false, false);
                    connections.push(Some(Connection { stream, rest: Vec::new(), is_open, follows }));
                }
                continue;
            }
            let slot = &mut connections[event.token().0];
            let Some(connection) = slot else { continue };
            if connection.read(&mut buffer, &mut published).is_err() {
                *slot = None;
            }
        }
        if published.is_empty() {
            continue;
        }
        for slot in &mut connections {
            let Some(connection) = slot.as_mut().filter(|connection| connection.follows) else { continue };
            if connection.stream.write_all(&published).is_err() {
                *slot = None;
            }
        }
        published.clear();
    }
}

impl Connection {
    /// Reads all there is, and answers it with one write.
    fn read(&mut self, buffer: &mut [u8], published: &mut Vec<u8>) -> io::Result<()> {
        let mut answers = Vec::new();
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => &mut buffer[..read],
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            if self.rest.is_empty() {
                let used = self.take(read, &mut answers, published)?;
                self.rest.extend_from_slice(&read[used..]);
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(read);
                let used = self.take(&mut whole, &mut answers, published)?;
                whole.drain(..used);
                self.rest = whole;
            }
        }
        if answers.is_empty() { Ok(()) } else { self.stream.write_all(&answers) }
    }

    /// Takes what is whole, and says how much that was.
    fn take(
        &mut self,
        bytes: &mut [u8],
        answers: &mut Vec<u8>,
        published: &mut Vec<u8>,
    ) -> io::Result<usize> {
        if !self.is_open {
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(0) };
            answers.extend_from_slice(&accept(&bytes[..end])?);
            self.is_open = true;
            return Ok(end + 4);
        }
        let mut used = 0;
        while let Some((opcode, text, length)) = frame(&mut bytes[used..]) {
            match (opcode, text.first()) {
                (8, _) => return Err(ErrorKind::UnexpectedEof.into()),
                (1, Some(b'e')) => push(answers, text),
                (1, Some(b's')) => {
                    self.follows = true;
                    push(answers, text);
                }
                (1, Some(b'p')) => push(published, text),
                _ => {}
            }
            used += length;
        }
        Ok(used)
    }
}

/// The answer to a handshake.
fn accept(request: &[u8]) -> io::Result<Vec<u8>> {
    let request = str::from_utf8(request).map_err(io::Error::other)?;
    let key = request
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
        .ok_or_else(|| io::Error::other("no handshake"))?
        .1;
    let accept = derive_accept_key(key.trim().as_bytes());
    let answer = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n";
    Ok(format!("{answer}sec-websocket-accept: {accept}\r\n\r\n").into_bytes())
}

/// A client's frame (RFC 6455, section 5.2), unmasked in place: its opcode, its text, its length.
fn frame(bytes: &mut [u8]) -> Option<(u8, &[u8], usize)> {
    let opcode = bytes.first()? & 0x0f;
    let (length, head) = match bytes.get(1)? & 0x7f {
        126 => (usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let mask: [u8; 4] = *bytes.get(head..)?.first_chunk()?;
    let text = bytes.get_mut(head + 4..head + 4 + length)?;
    for (byte, mask) in text.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Some((opcode, text, head + 4 + length))
}

/// A server's text frame.
fn push(out: &mut Vec<u8>, text: &[u8]) {
    out.push(0x81);
    match u16::try_from(text.len()) {
        Ok(short) if short < 126 => out.push(short as u8),
        Ok(medium) => {
            out.push(126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        Err(_) => {
            out.push(127);
            out.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(text);
}
