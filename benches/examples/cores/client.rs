//! One client, which blocks: it connects, authenticates, follows, and reads frames when it is told to.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::shape::Service;

/// How long a client waits for one frame.
const PATIENCE: Duration = Duration::from_secs(30);

const UUID: &str = "00000000-0000-4000-8000-000000000000";

/// An authenticated connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(crate) fn open(service: &Service) -> Result<Self, Box<dyn Error>> {
        let token = service.token()?;
        let mut stream = TcpStream::connect(service.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(
            b"GET /sockets/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        let mut client = Self { stream };
        client.send(&frame(&format!(r#"{{"rpc":"auth","token":"{token}","uuid":"{UUID}"}}"#)))?;
        client.expect("success")?;
        Ok(client)
    }

    pub(crate) fn follow(&mut self, channel: &str) -> Result<(), Box<dyn Error>> {
        let subscribe = format!(r#"{{"rpc":"_subscribe","req":{{"channel":"{channel}"}},"uuid":"{UUID}"}}"#);
        self.send(&frame(&subscribe))?;
        self.expect("internal")
    }

    /// Sends frames.
    pub(crate) fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        self.stream.write_all(frames)
    }

    /// Reads one frame, header and all.
    pub(crate) fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut frame = vec![0; 2];
        self.stream.read_exact(&mut frame)?;
        let length = match frame[1] {
            126 => {
                let mut length = [0; 2];
                self.stream.read_exact(&mut length)?;
                frame.extend(length);
                usize::from(u16::from_be_bytes(length))
            }
            127.. => return Err(ErrorKind::InvalidData.into()),
            short => short.into(),
        };
        let start = frame.len();
        frame.resize(start + length, 0);
        self.stream.read_exact(&mut frame[start..])?;
        Ok(frame)
    }

    /// Reads `bytes` bytes, which must be what it has been sent; none may be left.
    pub(crate) fn drain(&mut self, bytes: usize) -> Result<(), Box<dyn Error>> {
        let mut read = vec![0; bytes];
        self.stream.read_exact(&mut read)?;
        self.stream.set_nonblocking(true)?;
        let more = self.stream.read(&mut [0]);
        self.stream.set_nonblocking(false)?;
        match more {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => Err("a client got more than it was sent, or was disconnected".into()),
        }
    }

    /// Reads exactly `bytes` bytes.
    pub(crate) fn wait_for(&mut self, bytes: usize) -> io::Result<()> {
        self.stream.read_exact(&mut vec![0; bytes])
    }

    fn expect(&mut self, word: &str) -> Result<(), Box<dyn Error>> {
        let frame = self.receive()?;
        let text = String::from_utf8_lossy(&frame);
        if text.contains(word) { Ok(()) } else { Err(format!("the server refused: {text}").into()) }
    }
}

/// A call of `action` with a JSON text, as a frame.
pub(crate) fn call(action: &str, data: &str) -> Vec<u8> {
    frame(&format!(r#"{{"rpc":"{action}","req":{data},"uuid":"{UUID}"}}"#))
}

/// A JSON string that is `bytes` long with its quotes.
pub(crate) fn payload(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes.saturating_sub(2)))
}

/// A masked text frame of less than 64 KiB; its key leaves every byte as it is.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match (u8::try_from(text.len()), u16::try_from(text.len()).unwrap_or(u16::MAX)) {
        (Ok(length @ ..=125), _) => frame.push(0x80 | length),
        (_, length) => {
            frame.push(0xfe);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}
