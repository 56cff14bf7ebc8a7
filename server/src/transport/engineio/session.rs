//! One session, from its open packet to its end, whatever carries it.
//!
//! ```text
//! Polling ──a WebSocket says "2probe", then "5"──▶ WebSocket
//! ```
//!
//! In: bodies of requests, frames of a WebSocket, packets to send. Out: the client's messages one by one; packets to
//! whichever carrier there is when they are written, so that nothing is lost in between. Heartbeats as the protocol's
//! version has them. Driven by the task that owns it; must not know what messages say.

mod heart;
mod receiving;
mod waiting;
mod writing;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokensocket_protocol::Close;
use tokensocket_protocol::engineio::{Handshake, Kind, Outgoing, PayloadReader, Version};
use tokio::time::Instant;

use super::Link;
use super::exchange::{Body, Exchange, Last};
use super::probe::Probe;
use super::table::Entry;
use crate::transport::websocket::frame;
use heart::Heart;
use waiting::{Queued, Waiting};

/// How many ways there and back a request may come later than another that was sent with it: a TCP connection is one, and
/// TLS another.
const WAYS: u32 = 2;

/// The times of a session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Between two pings, whoever sends them.
    pub(crate) ping_interval: Duration,
    /// How long an answer may take.
    pub(crate) ping_timeout: Duration,
    /// How long a WebSocket may take to take over.
    pub(crate) upgrade_timeout: Duration,
}

/// What a client is told in its open packet, beside the session's name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) version: Version,
    pub(crate) timing: Timing,
    /// The most bytes of a request's body or a frame.
    pub(crate) max_payload: usize,
    /// A WebSocket may take over.
    pub(crate) upgrades: bool,
    /// A WebSocket gets bytes as base64.
    pub(crate) base64: bool,
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The client has left, or its connection broke.
    Left,
    /// It gave no sign of life.
    Silent,
    /// It sent what cannot be understood.
    Broken,
    /// It was told to end, and has been told all there was.
    Closed,
}

pub(crate) struct Session {
    terms: Terms,
    exchange: Arc<Exchange>,
    entry: Entry,
    carrier: Carrier,
    /// A WebSocket that wants to take over.
    probe: Option<Probe>,
    /// A body that was not read to its end, and whether bytes were in it.
    body: Option<(Body, PayloadReader, bool)>,
    /// A client of 1.x, which reads text outside ASCII in bodies of bytes only.
    reads_bytes: bool,
    waiting: Waiting,
    /// Frames on their way to the WebSocket, and how much of them is there.
    writing: (Vec<u8>, usize),
    heart: Heart,
    /// When the open packet was written.
    greeted_at: Option<Instant>,
    heard: Option<Heard>,
    closing: bool,
}

/// A client's first sign that it has its open packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard {
    /// When it came.
    pub(crate) at: Instant,
    /// What it says may take so long more, since each of its requests may be on a connection of its own.
    pub(crate) delay: Duration,
}

enum Carrier {
    Polling,
    WebSocket(Box<dyn Link>),
}

impl Session {
    /// Begins a session: its open packet is the first.
    pub(crate) fn new(
        terms: Terms,
        exchange: Arc<Exchange>,
        entry: Entry,
        link: Option<Box<dyn Link>>,
    ) -> Self {
        let Timing { ping_interval, ping_timeout, .. } = terms.timing;
        let handshake = Handshake {
            sid: entry.sid(),
            websocket: terms.upgrades && link.is_none(),
            ping_interval,
            ping_timeout,
            max_payload: (terms.version == Version::V4).then_some(terms.max_payload),
        };
        let open = Queued::Text(Kind::Open, handshake.to_json().into());
        let mut waiting = Waiting::default();
        waiting.push(open);
        if link.is_some() {
            exchange.leave_polling();
        }
        Self {
            exchange,
            entry,
            carrier: link.map_or(Carrier::Polling, Carrier::WebSocket),
            probe: None,
            body: None,
            reads_bytes: false,
            waiting,
            writing: (Vec::new(), 0),
            heart: Heart::new(&terms),
            greeted_at: None,
            heard: None,
            closing: false,
            terms,
        }
    }

    /// The session's name.
    pub(crate) fn sid(&self) -> &str {
        self.entry.sid()
    }

    /// Whether another message is taken: else it should wait where it is.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.has_room()
    }

    /// Whether a message would go out at once.
    pub(crate) fn is_writable(&self) -> bool {
        self.waiting.is_empty()
            && match self.carrier {
                Carrier::Polling => self.exchange.poll_waits().is_some(),
                Carrier::WebSocket(_) => self.writing.0.is_empty(),
            }
    }

    /// Sends a message of text, which is UTF-8.
    pub(crate) fn send(&mut self, text: impl Into<Bytes>) {
        self.heart.note_sent();
        self.push(Queued::Text(Kind::Message, text.into()));
    }

    /// Sends a message of bytes.
    pub(crate) fn send_binary(&mut self, bytes: impl Into<Bytes>) {
        self.heart.note_sent();
        self.push(Queued::Binary(bytes.into()));
    }

    /// Whether the client has stopped polling, or is about to, and is not on its WebSocket yet: what it is told now it
    /// gets once it is.
    pub(crate) fn is_changing(&self) -> bool {
        self.probe.as_ref().is_some_and(Probe::is_probed)
    }

    /// How many messages were sent so far, whether they are written or not.
    pub(crate) fn sent(&self) -> u64 {
        self.heart.sent()
    }

    /// How many of these the client is known to have, since it has answered what came behind them.
    pub(crate) fn proven(&self) -> u64 {
        self.heart.proven()
    }

    /// The first sign that the client has its open packet, once it has given one: it polls again, or says something.
    pub(crate) fn heard(&self) -> Option<Heard> {
        self.heard
    }

    /// Has a client on a WebSocket give a sign that it has what was said so far. One that polls does so anyway.
    pub(crate) fn ask(&mut self) {
        if self.heard.is_none() && !self.closing && matches!(self.carrier, Carrier::WebSocket(_)) {
            self.greeted_at.get_or_insert_with(Instant::now);
            while let Some(packet) = self.waiting.pop() {
                packet.push_frame(&self.terms, &mut self.writing.0);
            }
            self.writing.0.extend_from_slice(&frame::ping());
        }
    }

    /// The client has said something, or polls.
    fn hear(&mut self) {
        let Some(greeted_at) = self.greeted_at.filter(|_| self.heard.is_none()) else { return };
        let at = Instant::now();
        let delay = match self.carrier {
            Carrier::Polling => (at - greeted_at) * WAYS,
            Carrier::WebSocket(_) => Duration::ZERO,
        };
        self.heard = Some(Heard { at, delay });
    }

    /// Says what is queued, then ends. What comes is no longer handled.
    pub(crate) fn close(&mut self, close: &Close) {
        if self.closing {
            return;
        }
        self.closing = true;
        self.probe = None;
        self.body = None;
        if matches!(self.carrier, Carrier::WebSocket(_)) {
            while let Some(packet) = self.waiting.pop() {
                packet.push_frame(&self.terms, &mut self.writing.0);
            }
            self.writing.0.extend_from_slice(&frame::close(close));
        }
    }

    fn push(&mut self, packet: Queued) {
        if !self.closing {
            self.waiting.push(packet);
        }
    }

    /// Looks after what carries the session, also while its client is not listened to.
    pub(crate) fn poll_carrier(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        self.exchange.register(cx.waker());
        if self.exchange.is_broken() && matches!(self.carrier, Carrier::Polling) {
            return Err(End::Left);
        }
        if self.closing {
            return self.poll_closing(cx);
        }
        if self.heard.is_none() && self.exchange.poll_waits().is_some() {
            self.hear();
        }
        self.poll_probe(cx);
        Ok(())
    }

    /// Goes on with a WebSocket that wants to take over.
    fn poll_probe(&mut self, cx: &mut Context<'_>) {
        while let Some(link) = self.exchange.take_link() {
            if matches!(self.carrier, Carrier::Polling) && self.terms.upgrades && self.probe.is_none() {
                self.probe = Some(Probe::new(self.terms.version, link, self.terms.timing.upgrade_timeout));
            }
        }
        let Some(probe) = &mut self.probe else { return };
        match probe.poll(cx) {
            Poll::Pending => {}
            Poll::Ready(None) => self.probe = None,
            Poll::Ready(Some(link)) => {
                self.probe = None;
                if let Some(base64) = self.exchange.poll_waits() {
                    let noop = [Outgoing::bare(Kind::Noop)];
                    self.exchange.answer(self.payload(base64, &noop));
                }
                self.exchange.leave_polling();
                self.carrier = Carrier::WebSocket(link);
            }
        }
    }

    /// Beats, and notices silence.
    pub(crate) fn poll_times(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        loop {
            let now = Instant::now();
            if !self.closing && self.heart.is_dead(now) {
                return Err(End::Silent);
            }
            if self.heart.beats(now, &self.terms) {
                self.push(Queued::Text(Kind::Ping, Bytes::new()));
            }
            if self.heart.poll_due(&self.terms, cx).is_pending() || self.closing {
                return Ok(());
            }
        }
    }

    /// The session is over: whoever polls, or still comes to poll, is told what is queued and that it is over.
    pub(crate) fn end(mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let last = matches!(self.carrier, Carrier::Polling).then(|| {
            let mut packets: Vec<_> = waiting.outgoing().collect();
            packets.push(Outgoing::bare(Kind::Close));
            let payload = |base64| self.payload(base64, &packets);
            Last { text: payload(true), binary: payload(false) }
        });
        self.exchange.close(last);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Not for who was told already.
        self.exchange.close(None);
    }
}
