//! An open, authenticated connection that speaks one dialect.
//!
//! In: an address and a dialect. Out: [`Incoming`] messages. It must not know
//! what a workload counts.

use std::{io, time::Duration};

use tokio::time::timeout;

use super::{
    address::Address,
    buffer::ReadBuffer,
    frame::{self, Frame, FrameReader, Opcode},
    handshake,
    stream::Stream,
    template::Template,
    token,
};
use crate::{
    dialect::{AUTHENTICATION, Dialect, Incoming, SUBSCRIPTION},
    error::BenchError,
};

/// How long one step with the server may take before the run fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Frames that wait for the next flush.
#[derive(Debug)]
pub(crate) struct Outgoing {
    opcode: Opcode,
    bytes: Vec<u8>,
}

impl Outgoing {
    /// Queues `template`'s message with `id`.
    pub(crate) fn send(&mut self, template: &Template, id: u64) {
        template.write(id, &mut self.bytes);
    }

    /// Queues a message.
    pub(crate) fn text(&mut self, text: &str) {
        frame::write(self.opcode, text.as_bytes(), &mut self.bytes);
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection<D> {
    stream: Stream,
    dialect: D,
    frames: FrameReader,
    outgoing: Outgoing,
    buffer: ReadBuffer,
}

impl<D: Dialect> Connection<D> {
    /// Fetches a token where the dialect has tokens, connects, upgrades and
    /// authenticates.
    pub(crate) async fn open(dialect: D, address: &Address) -> Result<Self, BenchError> {
        timeout(PATIENCE, Self::try_open(dialect, address))
            .await
            .map_err(|_| BenchError::Silent { while_: "connecting" })?
    }

    async fn try_open(dialect: D, address: &Address) -> Result<Self, BenchError> {
        let token = match dialect.token_path() {
            Some(path) => Some(token::fetch(address, path).await?),
            None => None,
        };
        let mut stream = address.connect().await?;
        let rest = handshake::upgrade(&mut stream, address.host(), &dialect.path()).await?;
        let outgoing = Outgoing { opcode: dialect.opcode(), bytes: Vec::new() };
        let buffer = ReadBuffer::of_thread();
        let mut connection = Self { stream, dialect, frames: FrameReader::default(), outgoing, buffer };
        let mut greeted = !connection.dialect.is_greeted();
        connection.decode(&rest, |incoming, _| {
            greeted |= matches!(incoming, Incoming::Greeting);
        })?;
        if !greeted {
            connection.wait_for(|incoming| *incoming == Incoming::Greeting).await?;
        }
        let mut text = String::new();
        if connection.dialect.authenticate(token.as_deref(), &mut text) {
            connection.outgoing.text(&text);
            connection.flush().await?;
            connection.wait_for(|incoming| *incoming == Incoming::Answer(AUTHENTICATION)).await?;
        }
        Ok(connection)
    }

    /// Follows `channel`; returns when the server has said so.
    pub(crate) async fn subscribe(&mut self, channel: &str) -> Result<(), BenchError> {
        let mut text = String::new();
        self.dialect.subscribe(SUBSCRIPTION, channel, &mut text);
        self.outgoing.text(&text);
        self.flush().await?;
        let answered = self.wait_for(|incoming| *incoming == Incoming::Answer(SUBSCRIPTION));
        timeout(PATIENCE, answered).await.map_err(|_| BenchError::Silent { while_: "subscribing" })?
    }

    /// Frames to be sent with the next [`flush`](Self::flush).
    pub(crate) fn outgoing(&mut self) -> &mut Outgoing {
        &mut self.outgoing
    }

    /// Waits for bytes, hands what they say to `each`, and sends what `each`
    /// queued.
    pub(crate) async fn receive(
        &mut self,
        each: impl FnMut(Incoming, &mut Outgoing),
    ) -> Result<(), BenchError> {
        let buffer = self.buffer.clone();
        let length = buffer.fill(&mut self.stream).await?;
        if length == 0 {
            return Err(BenchError::Closed { while_: "running" });
        }
        // Nothing else of this thread ran since the read, so the bytes are ours.
        self.decode(&buffer.filled(length), each)?;
        self.flush().await
    }

    /// Reads until `wanted` says yes to a message.
    pub(crate) async fn wait_for(&mut self, wanted: impl Fn(&Incoming) -> bool) -> Result<(), BenchError> {
        let mut found = false;
        while !found {
            self.receive(|incoming, _| found |= wanted(&incoming)).await?;
        }
        Ok(())
    }

    /// Writes what is queued. When cancelled, keeps what is not written yet.
    pub(crate) async fn flush(&mut self) -> Result<(), BenchError> {
        Ok(self.stream.send(&mut self.outgoing.bytes).await?)
    }

    /// Closes as the protocol asks: our close frame, then the server's or the
    /// end of its stream.
    pub(crate) async fn close(mut self) -> Result<(), BenchError> {
        frame::write(Opcode::Close, &1000_u16.to_be_bytes(), &mut self.outgoing.bytes);
        self.flush().await?;
        match timeout(PATIENCE, self.wait_for(|_| false)).await {
            Err(_) => Err(BenchError::Silent { while_: "closing" }),
            Ok(Ok(()) | Err(BenchError::Closed { .. } | BenchError::ClosedWith(_))) => Ok(()),
            Ok(Err(BenchError::Io(error)))
                if matches!(
                    error.kind(),
                    // The latter is TLS whose stream ends without a word.
                    io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof
                ) =>
            {
                Ok(())
            }
            Ok(Err(error)) => Err(error),
        }
    }

    fn decode(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Incoming, &mut Outgoing),
    ) -> Result<(), BenchError> {
        let Self { dialect, frames, outgoing, .. } = self;
        let mut failure = None;
        frames.read(bytes, |frame| match frame {
            Frame::Message(text) => dialect.read(text, &mut |incoming| match incoming {
                Incoming::Heartbeat(answer) => outgoing.text(answer),
                Incoming::Refused(answer) => failure = Some(BenchError::Refused(answer)),
                incoming => each(incoming, outgoing),
            }),
            Frame::Ping(payload) => {
                frame::write(Opcode::Pong, payload, &mut outgoing.bytes);
            }
            Frame::Close(code) => failure = failure.take().or(Some(BenchError::ClosedWith(code))),
            Frame::Other => {}
        })?;
        failure.map_or(Ok(()), Err)
    }
}
