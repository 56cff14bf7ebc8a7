//! The bodies of requests, whosever they are; and of responses: whole, or a SockJS session's frames as they
//! come.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use crate::transport::sockjs::exchange::receiver::Receiver;

/// The body of a request, of whichever HTTP library.
pub(crate) trait RequestBody: Body<Data: Buf, Error: Into<Box<dyn Error + Send + Sync>>> {}

impl<B: Body<Data: Buf, Error: Into<Box<dyn Error + Send + Sync>>>> RequestBody for B {}

/// The body of a server's response. It never fails; dropped early it may end a SockJS session.
#[derive(Debug)]
pub struct ResponseBody(pub(crate) Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    Whole(Bytes),
    /// One after the other, each a chunk of its own.
    Pieces(VecDeque<Bytes>),
    /// As they come.
    Frames(Receiver),
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Whole(bytes))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match &mut self.0 {
            Kind::Whole(bytes) => Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()),
            Kind::Pieces(pieces) => pieces.pop_front(),
            Kind::Frames(receiver) => return Pin::new(receiver).poll_frame(cx),
        };
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Pieces(pieces) => pieces.is_empty(),
            Kind::Frames(receiver) => receiver.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            _ => SizeHint::default(),
        }
    }
}
