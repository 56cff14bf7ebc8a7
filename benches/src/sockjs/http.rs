//! A session that HTTP requests carry: one that receives is always under way,
//! and one that sends follows the other, each kind on a connection of its own.

use std::io::Write;

use super::{
    frame::{Frame, FrameReader},
    outgoing::Outgoing,
    transport::Requests,
};
use crate::{
    error::BenchError,
    socket::{Address, Exchange, ReadBuffer, response::Part},
};

/// The two connections and what is asked for over them.
#[derive(Debug)]
pub(super) struct Http {
    requests: Requests,
    receiver: Exchange,
    /// The request that receives, whole.
    receive: Vec<u8>,
    frames: FrameReader,
    sender: Exchange,
    /// The head of the request that sends, up to the length.
    send: Vec<u8>,
    buffer: ReadBuffer,
}

impl Http {
    /// Asks to receive at `path`, the session's; the request goes out with the
    /// first flush. The sender's connection is opened when it is needed.
    pub(super) fn new(address: &Address, path: &str, requests: Requests) -> Self {
        let host = address.host();
        let Requests { receive_by, receive_at, send_at, wrapping, is_form } = requests;
        let length = if receive_by == "POST" { "Content-Length: 0\r\n" } else { "" };
        let receive = format!("{receive_by} {path}/{receive_at} HTTP/1.1\r\nHost: {host}\r\n{length}\r\n");
        let content = if is_form { "application/x-www-form-urlencoded" } else { "text/plain" };
        let send = format!(
            "POST {path}/{send_at} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content}\r\nContent-Length: "
        );
        let mut receiver = Exchange::new(address);
        receiver.begin().extend_from_slice(receive.as_bytes());
        Self {
            requests,
            receiver,
            receive: receive.into_bytes(),
            frames: FrameReader::new(wrapping),
            sender: Exchange::new(address),
            send: send.into_bytes(),
            buffer: ReadBuffer::of_thread(),
        }
    }

    /// Whether frames are strings of scripts.
    pub(super) fn speaks_script(&self) -> bool {
        self.requests.wrapping.is_script()
    }

    /// Sends what is asked for, and all that waits if nothing is being sent.
    pub(super) async fn flush(&mut self, outgoing: &mut Outgoing) -> Result<(), BenchError> {
        if self.sender.is_free()
            && let Some(body) = outgoing.body()
        {
            let request = self.sender.begin();
            request.extend_from_slice(&self.send);
            write!(request, "{}\r\n\r\n", body.len())?;
            request.extend_from_slice(&body);
        }
        self.sender.flush().await?;
        self.receiver.flush().await
    }

    /// Waits for bytes on either connection, and hands the frames in them to
    /// `each`.
    pub(super) async fn receive(&mut self, each: impl FnMut(Frame<'_>)) -> Result<(), BenchError> {
        let buffer = self.buffer.clone();
        tokio::select! {
            biased;
            length = self.sender.fill(&buffer) => {
                let length = length?;
                self.sent(&buffer.filled(length))
            }
            length = self.receiver.fill(&buffer) => {
                let length = length?;
                self.received(&buffer.filled(length), each)
            }
        }
    }

    fn sent(&mut self, bytes: &[u8]) -> Result<(), BenchError> {
        let mut refused = None;
        self.sender.take(bytes, |part| match part {
            Part::Head(200 | 204) | Part::Body(_) | Part::End { .. } => {}
            Part::Head(status) => refused = Some(status),
        })?;
        refused.map_or(Ok(()), |status| Err(BenchError::Status { request: self.requests.send_at, status }))
    }

    fn received(&mut self, bytes: &[u8], mut each: impl FnMut(Frame<'_>)) -> Result<(), BenchError> {
        let Self { receiver, frames, .. } = self;
        let (mut refused, mut is_over) = (None, false);
        receiver.take(bytes, |part| match part {
            Part::Head(200) => {}
            Part::Head(status) => refused = Some(status),
            Part::Body(piece) if refused.is_none() => frames.read(piece, &mut each),
            Part::Body(_) => {}
            Part::End { .. } => is_over = true,
        })?;
        if let Some(status) = refused {
            return Err(BenchError::Status { request: self.requests.receive_at, status });
        }
        if is_over {
            if !frames.is_between() {
                return Err(BenchError::Closed { while_: "sending a frame" });
            }
            receiver.begin().extend_from_slice(&self.receive);
        }
        Ok(())
    }
}
