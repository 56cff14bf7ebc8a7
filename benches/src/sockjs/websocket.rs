//! A session that one WebSocket carries.

use super::{frame::Frame, outgoing::Outgoing};
use crate::{
    error::BenchError,
    socket::{
        Address, ReadBuffer,
        frame::{self, FrameReader, Opcode},
        handshake,
        stream::Stream,
    },
};

/// The WebSocket, and what it still has to say.
#[derive(Debug)]
pub(super) struct Websocket {
    stream: Stream,
    frames: FrameReader,
    pongs: Vec<u8>,
    /// What came right behind the answer to the upgrade.
    early: Vec<u8>,
    buffer: ReadBuffer,
}

impl Websocket {
    /// Connects and upgrades at `path`, the session's.
    pub(super) async fn open(address: &Address, path: &str) -> Result<Self, BenchError> {
        let mut stream = address.connect().await?;
        let early = handshake::upgrade(&mut stream, address.host(), &format!("{path}/websocket")).await?;
        Ok(Self {
            stream,
            frames: FrameReader::default(),
            pongs: Vec::new(),
            early,
            buffer: ReadBuffer::of_thread(),
        })
    }

    /// Sends what waits.
    pub(super) async fn flush(&mut self, outgoing: &mut Outgoing) -> Result<(), BenchError> {
        self.stream.send(outgoing.frames()).await?;
        Ok(self.stream.send(&mut self.pongs).await?)
    }

    /// Waits for bytes and hands the frames in them to `each`.
    pub(super) async fn receive(&mut self, each: impl FnMut(Frame<'_>)) -> Result<(), BenchError> {
        if !self.early.is_empty() {
            let early = std::mem::take(&mut self.early);
            return self.decode(&early, each);
        }
        let buffer = self.buffer.clone();
        match buffer.fill(&mut self.stream).await? {
            0 => Err(BenchError::Closed { while_: "running" }),
            length => self.decode(&buffer.filled(length), each),
        }
    }

    fn decode(&mut self, bytes: &[u8], mut each: impl FnMut(Frame<'_>)) -> Result<(), BenchError> {
        let Self { frames, pongs, .. } = self;
        let mut closed = None;
        frames.read(bytes, |incoming| match incoming {
            frame::Frame::Message(text) => each(Frame::of(text)),
            frame::Frame::Ping(payload) => {
                frame::write(Opcode::Pong, payload, pongs);
            }
            frame::Frame::Close(code) => closed = Some(BenchError::ClosedWith(code)),
            frame::Frame::Other => {}
        })?;
        closed.map_or(Ok(()), Err)
    }
}
