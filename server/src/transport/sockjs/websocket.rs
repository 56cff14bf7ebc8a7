//! SockJS over WebSocket: messages in SockJS frames, one frame in each text frame.
//!
//! In: a [`WebSocket`]. Out: the messages within its frames.

use std::borrow::Cow;
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokensocket_protocol::{Close, sockjs};
use tokio::net::tcp::OwnedWriteHalf;

use super::inbox::{self, Inbox};
use crate::format::Format;
use crate::transport::received::Received;
use crate::transport::websocket::decoder::{Frame, Payload};
use crate::transport::websocket::{Stream, WebSocket, control, frame};
use crate::transport::{Incoming, Transport};

/// A SockJS session that lives on one WebSocket.
pub(crate) struct SockJsWebSocket<S> {
    socket: WebSocket<S>,
    inbox: Inbox,
}

impl<S: Stream> SockJsWebSocket<S> {
    /// `socket` takes frames of [`inbox::max_frame_bytes`].
    pub(crate) fn new(socket: WebSocket<S>, max_message_bytes: usize) -> Self {
        Self { socket, inbox: Inbox::new(max_message_bytes) }
    }
}

impl<S: Stream> Transport for SockJsWebSocket<S> {
    const ANSWERS_HEARTBEATS: bool = true;

    fn format(&self) -> Format {
        Format::SockJs
    }

    fn take_direct(&mut self) -> Option<OwnedWriteHalf> {
        self.socket.take_direct()
    }

    fn greeting(&self) -> Option<Bytes> {
        Some(frame::text(sockjs::OPEN.as_bytes()).into())
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Received>>> {
        if !self.inbox.is_empty() {
            return Poll::Ready(Ok(Some(Received::nothing())));
        }
        self.socket.poll_receive(cx)
    }

    fn decode<'a>(&mut self, received: &'a mut Received) -> Result<Option<Incoming<'a>>, Close> {
        if let Some(message) = self.inbox.next() {
            return Ok(Some(Incoming::Message(message.into())));
        }
        let payload = match self.socket.decode_frame(received)? {
            Some(Frame::Text(payload)) => payload,
            other => return Ok(other.map(control)),
        };
        let first = match payload {
            Payload::Whole(frame, header) => self.inbox.read(frame, header)?,
            Payload::Fragments(mut frame) => {
                self.inbox.read(&mut frame, 0)?.map(|message| Cow::Owned(message.into_owned()))
            }
        };
        Ok(Some(first.map_or(Incoming::Alive, Incoming::Message)))
    }

    fn put_back(&mut self, received: Received, whole: bool) {
        self.socket.put_back(received, whole);
    }

    fn heartbeat(&self) -> Bytes {
        self.socket.heartbeat()
    }

    fn closing(&self, close: &Close) -> Vec<Bytes> {
        let said = inbox::close_frame(close).map(|text| frame::text(text.as_bytes()).into());
        said.into_iter().chain(self.socket.closing(close)).collect()
    }

    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.socket.poll_write(bytes, cx)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::task::Waker;

    use super::*;
    use crate::transport::websocket::Wrapped;
    use crate::transport::websocket::decoder::tests::masked;

    type InMemory = SockJsWebSocket<Wrapped<Cursor<Vec<u8>>>>;

    fn transport(frames: &[Vec<u8>]) -> InMemory {
        SockJsWebSocket::new(WebSocket::new(Wrapped(Cursor::default()), frames.concat(), 1000), 100)
    }

    /// The messages of what was read at once.
    fn messages(transport: &mut InMemory) -> Result<Vec<String>, Close> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut messages = Vec::new();
        let Poll::Ready(Ok(Some(mut received))) = transport.poll_receive(&mut cx) else {
            return Ok(messages);
        };
        while let Some(incoming) = transport.decode(&mut received)? {
            if let Incoming::Message(message) = incoming {
                messages.push(message.into_owned());
            }
        }
        Ok(messages)
    }

    #[test]
    fn reads_a_frame_in_place_without_harm_to_its_neighbours() {
        let frames = [
            masked(0x81, br#"["a\"b\\","c","\u00e9"]"#),
            masked(0x81, br#"["d"]"#),
            masked(0x81, b"[]"),
            masked(0x01, br#"["e\"f"#),
            masked(0x80, br#"g","h"]"#),
            masked(0x81, br#""i\n""#),
        ];
        let read = messages(&mut transport(&frames));
        assert_eq!(read, Ok(["a\"b\\", "c", "é", "d", "e\"fg", "h", "i\n"].map(str::to_owned).to_vec()));
    }

    #[test]
    fn tells_broken_text_from_broken_framing() {
        for (frame, close) in [
            (&b"[\"a\\n\xff\"]"[..], Close::INVALID_TEXT),
            (b"[\"a\",\"\xff\"]", Close::INVALID_TEXT),
            (b"[\"a\",1]", Close::BROKEN_FRAMING),
            (b"[\"\\ud800\"]", Close::BROKEN_FRAMING),
        ] {
            assert_eq!(messages(&mut transport(&[masked(0x81, frame)])), Err(close));
        }
    }

    #[test]
    fn keeps_no_room_for_a_burst_that_was_read() {
        let mut transport = transport(&[masked(0x81, br#"["a","b","c","d"]"#)]);
        assert_eq!(messages(&mut transport).map(|messages| messages.len()), Ok(4));
        assert_eq!(transport.inbox.capacity(), 0);
    }
}
