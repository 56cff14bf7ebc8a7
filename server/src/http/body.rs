//! The bodies of requests, whosever they are; and of responses: whole, or a SockJS session's frames as they
//! come.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::refuse;
use crate::transport::sockjs::exchange::receiver::Receiver;

/// How long a body may take to come, and what it brings to be taken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The body of a request, of whichever HTTP library.
pub(crate) trait RequestBody:
    Body<Data: Buf + Send, Error: Into<Box<dyn Error + Send + Sync>>>
{
}

impl<B: Body<Data: Buf + Send, Error: Into<Box<dyn Error + Send + Sync>>>> RequestBody for B {}

/// Reads a body of at most `most` bytes, or says what is told to a client that sent another.
pub(crate) async fn whole(body: impl RequestBody, most: usize) -> Result<Bytes, Response<ResponseBody>> {
    if body.size_hint().lower() > most as u64 {
        return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"));
    }
    match tokio::time::timeout(PATIENCE, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"))
        }
        Ok(Err(_)) => Err(refuse(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => Err(refuse(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    }
}

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
