//! A WebSocket that wants to take a session over: the client asks `2probe` on it, is answered `3probe`, stops polling,
//! and says `5`.
//!
//! In: the WebSocket. Out: the same, when it has taken over; or nothing, when it broke, said something else or took
//! too long. The session goes on either way.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokensocket_protocol::engineio::{Data, Kind, Packet, Version};
use tokio::time::{Sleep, sleep};

use super::Link;
use crate::transport::Incoming;
use crate::transport::websocket::frame;

pub(super) struct Probe {
    version: Version,
    link: Option<Box<dyn Link>>,
    /// The answer, and what of it is not written.
    answer: Vec<u8>,
    is_probed: bool,
    timeout: Pin<Box<Sleep>>,
}

/// What the client said.
enum Said {
    Probe,
    Upgrade,
    Other,
}

impl Probe {
    pub(super) fn new(version: Version, link: Box<dyn Link>, patience: Duration) -> Self {
        let timeout = Box::pin(sleep(patience));
        Self { version, link: Some(link), answer: Vec::new(), is_probed: false, timeout }
    }

    /// Whether the client has been answered, and will stop polling.
    pub(super) fn is_probed(&self) -> bool {
        self.is_probed
    }

    /// Ready with the WebSocket when the client has changed over, with nothing when it will not.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Box<dyn Link>>> {
        if self.timeout.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        let Some(link) = &mut self.link else { return Poll::Ready(None) };
        loop {
            while !self.answer.is_empty() {
                match link.poll_write(&self.answer, cx) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(None),
                    Poll::Ready(Ok(written)) => drop(self.answer.drain(..written)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            if let Poll::Ready(Err(_)) = link.poll_flush(cx) {
                return Poll::Ready(None);
            }
            let mut received = match link.poll_receive(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(received))) => received,
                Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(None),
            };
            let said = match link.decode(&mut received) {
                Ok(None) => {
                    link.put_back(received, false);
                    continue;
                }
                Ok(Some(Incoming::Message(text))) => said(self.version, &text, self.is_probed),
                Ok(Some(Incoming::Alive)) => {
                    link.put_back(received, true);
                    continue;
                }
                Ok(Some(Incoming::Answer(frame))) => {
                    self.answer = frame.to_vec();
                    link.put_back(received, true);
                    continue;
                }
                Ok(Some(Incoming::Binary(_) | Incoming::Closing(..))) | Err(_) => Said::Other,
            };
            match said {
                Said::Probe => {
                    self.is_probed = true;
                    self.answer = frame::text(b"3probe");
                    link.put_back(received, true);
                }
                Said::Upgrade => {
                    link.put_back(received, true);
                    return Poll::Ready(self.link.take());
                }
                Said::Other => {
                    received.clear();
                    link.put_back(received, false);
                    return Poll::Ready(None);
                }
            }
        }
    }
}

fn said(version: Version, text: &str, is_probed: bool) -> Said {
    match Packet::from_text(version, text) {
        Ok(Packet { kind: Kind::Ping, data: Data::Text("probe") }) => Said::Probe,
        Ok(Packet { kind: Kind::Upgrade, .. }) if is_probed => Said::Upgrade,
        _ => Said::Other,
    }
}
