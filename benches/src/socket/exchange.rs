//! Requests and their answers over one kept HTTP connection, one at a time.
//!
//! In: an address and whole requests. Out: the parts of their answers. A
//! connection that the server does not keep is replaced with the next request.
//! It must not know what requests are for.

use std::future::pending;

use super::{
    address::Address,
    buffer::ReadBuffer,
    response::{Part, ResponseReader},
    stream::Stream,
};
use crate::error::BenchError;

/// One such connection. Opened by its first request.
#[derive(Debug)]
pub(crate) struct Exchange {
    address: Address,
    stream: Option<Stream>,
    request: Vec<u8>,
    responses: ResponseReader,
    is_waiting: bool,
}

impl Exchange {
    /// Nothing is opened yet.
    pub(crate) fn new(address: &Address) -> Self {
        Self {
            address: address.clone(),
            stream: None,
            request: Vec::new(),
            responses: ResponseReader::default(),
            is_waiting: false,
        }
    }

    /// Whether a request may be made: the answer of the one before is over.
    pub(crate) fn is_free(&self) -> bool {
        !self.is_waiting
    }

    /// Begins a request, which is to be written into what is returned, whole,
    /// and goes out with the next [`flush`](Self::flush).
    pub(crate) fn begin(&mut self) -> &mut Vec<u8> {
        self.is_waiting = true;
        &mut self.request
    }

    /// Sends what is queued. When cancelled, keeps what is not written yet.
    pub(crate) async fn flush(&mut self) -> Result<(), BenchError> {
        if self.request.is_empty() {
            return Ok(());
        }
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(self.address.connect().await?),
        };
        Ok(stream.send(&mut self.request).await?)
    }

    /// Waits for bytes of an answer; forever, when none is awaited.
    pub(crate) async fn fill(&mut self, buffer: &ReadBuffer) -> Result<usize, BenchError> {
        match &mut self.stream {
            Some(stream) if self.is_waiting => Ok(buffer.fill(stream).await?),
            _ => pending().await,
        }
    }

    /// Hands the parts that `bytes` make up to `each`; no bytes are the
    /// connection's end. Fails when that comes within an answer.
    pub(crate) fn take(&mut self, bytes: &[u8], mut each: impl FnMut(Part<'_>)) -> Result<(), BenchError> {
        let Self { stream, responses, is_waiting, .. } = self;
        if bytes.is_empty() {
            *stream = None;
            *is_waiting = false;
            if !responses.end() {
                return Err(BenchError::Closed { while_: "waiting for an answer" });
            }
            each(Part::End { kept: false });
            return Ok(());
        }
        responses.read(bytes, |part| {
            if let Part::End { kept } = part {
                *is_waiting = false;
                if !kept {
                    *stream = None;
                }
            }
            each(part);
        })
    }
}
