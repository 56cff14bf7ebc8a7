//! One session, from its open packet to its end, whatever carries it.
//!
//! ```text
//! Polling ──a WebSocket says "2probe", then "5"──▶ WebSocket
//! ```
//!
//! In: bodies of requests, frames of a WebSocket, packets to send. Out: the client's messages one by one; packets to
//! whichever carrier there is when they are written, so that nothing is lost in between. Heartbeats as the protocol's
//! version has them. Driven by the task that owns it; must not know what messages say.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokensocket_protocol::Close;
use tokensocket_protocol::engineio::{
    BadPacket, Data, Handshake, Kind, Outgoing, Packet, Payload, PayloadReader, Version, encode_payload,
    encode_payload_as_bytes,
};
use tokio::time::{Instant, Sleep};

use super::Link;
use super::exchange::{Body, Exchange, Last};
use super::probe::Probe;
use super::table::Entry;
use crate::transport::Incoming;
use crate::transport::websocket::frame;

/// Beyond how many bytes no further packet is taken, so that it waits where its limits hold.
const AHEAD: usize = 64 * 1024;
/// The same in packets.
const AHEAD_PACKETS: usize = 1024;
/// What a packet that waits costs beside its bytes.
const OVERHEAD: usize = 64;
/// How many ways there and back a request may come later than another that was sent with it: a TCP connection is one, and
/// TLS another.
const WAYS: u32 = 2;
/// How many packets are handled before others get their turn.
const TURN: usize = 256;

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

/// Packets that wait for the carrier.
#[derive(Default)]
struct Waiting {
    packets: VecDeque<Queued>,
    bytes: usize,
    /// A pong is among them.
    has_pong: bool,
}

/// A packet that waits for the carrier.
enum Queued {
    Text(Kind, Bytes),
    Binary(Bytes),
}

/// The signs of life.
struct Heart {
    /// Protocol 4: when the next ping is due.
    beat_at: Instant,
    /// Without a sign until then the session is over; `None` while none is owed.
    dead_at: Option<Instant>,
    /// Protocol 4: a ping was sent and not answered.
    owes_pong: bool,
    alarm: Pin<Box<Sleep>>,
    /// How many messages were sent so far.
    sent: u64,
    /// How many before what the client will answer next.
    asked: u64,
    /// How many it is known to have.
    proven: u64,
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
        let now = Instant::now();
        let handshake = Handshake {
            sid: entry.sid(),
            websocket: terms.upgrades && link.is_none(),
            ping_interval,
            ping_timeout,
            max_payload: (terms.version == Version::V4).then_some(terms.max_payload),
        };
        let open = Queued::Text(Kind::Open, handshake.to_json().into());
        let dead_at = (terms.version == Version::V3).then(|| now + ping_interval + ping_timeout);
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
            heart: Heart {
                beat_at: now + ping_interval,
                dead_at,
                owes_pong: false,
                alarm: Box::pin(tokio::time::sleep_until(now + ping_interval)),
                sent: 0,
                asked: 0,
                proven: 0,
            },
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
        self.waiting.packets.is_empty()
            && match self.carrier {
                Carrier::Polling => self.exchange.poll_waits().is_some(),
                Carrier::WebSocket(_) => self.writing.0.is_empty(),
            }
    }

    /// Sends a message of text, which is UTF-8.
    pub(crate) fn send(&mut self, text: impl Into<Bytes>) {
        self.heart.sent += 1;
        self.push(Queued::Text(Kind::Message, text.into()));
    }

    /// Sends a message of bytes.
    pub(crate) fn send_binary(&mut self, bytes: impl Into<Bytes>) {
        self.heart.sent += 1;
        self.push(Queued::Binary(bytes.into()));
    }

    /// Whether the client has stopped polling, or is about to, and is not on its WebSocket yet: what it is told now it
    /// gets once it is.
    pub(crate) fn is_changing(&self) -> bool {
        self.probe.as_ref().is_some_and(Probe::is_probed)
    }

    /// How many messages were sent so far, whether they are written or not.
    pub(crate) fn sent(&self) -> u64 {
        self.heart.sent
    }

    /// How many of these the client is known to have, since it has answered what came behind them.
    pub(crate) fn proven(&self) -> u64 {
        self.heart.proven
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

    /// Hands what came to `handle`, one message after the other, for as long as it wants more and what is answered
    /// has room. `false`: there may be more, of which nobody is woken.
    pub(crate) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        mut handle: impl FnMut(Data<'_>, &mut Context<'_>) -> Result<bool, End>,
    ) -> Result<bool, End> {
        if self.closing {
            return Ok(true);
        }
        let mut left = TURN;
        // What a client polls comes before what it says on the WebSocket that takes over.
        loop {
            if self.body.is_none() {
                let Some(body) = self.exchange.take_body() else { break };
                self.hear();
                let reader = PayloadReader::new(self.terms.version, body.is_binary);
                self.body = Some((body, reader, false));
            }
            let Some((body, reader, has_bytes)) = &mut self.body else { break };
            let (version, waiting) = (self.terms.version, &mut self.waiting);
            let wants_more = loop {
                let Some(packet) = reader.next(&body.bytes) else { break None };
                let packet = packet.map_err(bad)?;
                *has_bytes |= matches!(packet.data, Data::Binary(_));
                if !take(version, packet, &mut self.heart, &self.terms.timing, waiting, &mut handle, cx)? {
                    break Some(false);
                }
                left -= 1;
                if left == 0 {
                    break Some(true);
                }
            };
            match wants_more {
                None => {
                    // Clients of 2.x send texts alone as a text.
                    self.reads_bytes |= body.is_binary && !*has_bytes;
                    self.body = None;
                }
                Some(false) => return Ok(false),
                Some(true) => {
                    cx.waker().wake_by_ref();
                    return Ok(true);
                }
            }
        }
        self.poll_link(cx, left, handle)
    }

    fn poll_link(
        &mut self,
        cx: &mut Context<'_>,
        mut left: usize,
        mut handle: impl FnMut(Data<'_>, &mut Context<'_>) -> Result<bool, End>,
    ) -> Result<bool, End> {
        let version = self.terms.version;
        loop {
            let Carrier::WebSocket(link) = &mut self.carrier else { return Ok(true) };
            let mut received = match link.poll_receive(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(Ok(Some(received))) => received,
                Poll::Ready(Ok(None) | Err(_)) => return Err(End::Left),
            };
            self.hear();
            let Carrier::WebSocket(link) = &mut self.carrier else { return Ok(true) };
            loop {
                let packet = match link.decode(&mut received) {
                    Ok(None) => {
                        link.put_back(received, false);
                        break;
                    }
                    Ok(Some(Incoming::Message(text))) => {
                        let packet = Packet::from_text(version, &text).map_err(bad);
                        packet.and_then(|packet| {
                            let timing = &self.terms.timing;
                            take(version, packet, &mut self.heart, timing, &mut self.waiting, &mut handle, cx)
                        })
                    }
                    Ok(Some(Incoming::Binary(bytes))) => {
                        let packet = Packet::from_binary(version, &bytes).map_err(bad);
                        packet.and_then(|packet| {
                            let timing = &self.terms.timing;
                            take(version, packet, &mut self.heart, timing, &mut self.waiting, &mut handle, cx)
                        })
                    }
                    Ok(Some(Incoming::Answer(frame))) => {
                        // A pong's answer goes between whole frames; a peer that only asks is not read on.
                        self.writing.0.extend_from_slice(&frame);
                        Ok(self.writing.0.len() - self.writing.1 < AHEAD)
                    }
                    Ok(Some(Incoming::Alive)) => Ok(true),
                    Ok(Some(Incoming::Closing(_, answer))) => {
                        self.writing.0.extend_from_slice(&answer);
                        let _ = write(link.as_mut(), &mut self.writing, cx);
                        Err(End::Left)
                    }
                    Err(_) => Err(End::Broken),
                };
                left -= 1;
                match packet {
                    Ok(true) if left > 0 => {}
                    Ok(wants_more) => {
                        link.put_back(received, true);
                        if wants_more {
                            cx.waker().wake_by_ref();
                        }
                        return Ok(wants_more);
                    }
                    Err(end) => {
                        received.clear();
                        link.put_back(received, false);
                        return Err(end);
                    }
                }
            }
        }
    }

    /// Listens only to learn that the peer is gone.
    fn poll_closing(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        // What still comes by requests is not wanted; who sent it is told so by the end.
        while self.exchange.take_body().is_some() {}
        let Carrier::WebSocket(link) = &mut self.carrier else { return Ok(()) };
        for _ in 0..TURN {
            match link.poll_receive(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(Some(mut received))) => {
                    let over = loop {
                        match link.decode(&mut received) {
                            Ok(None) => break false,
                            Ok(Some(Incoming::Closing(..))) | Err(_) => break true,
                            Ok(Some(_)) => {}
                        }
                    };
                    link.put_back(received, false);
                    if over {
                        return Err(End::Closed);
                    }
                }
                Poll::Ready(Ok(None) | Err(_)) => return Err(End::Left),
            }
        }
        cx.waker().wake_by_ref();
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
            if !self.closing && self.heart.dead_at.is_some_and(|dead_at| dead_at <= now) {
                return Err(End::Silent);
            }
            let beats = self.terms.version == Version::V4;
            if beats && self.heart.beat_at <= now {
                self.heart.beat_at = now + self.terms.timing.ping_interval;
                // A time limit that is longer than the interval is not begun anew by each beat.
                self.heart.dead_at.get_or_insert(now + self.terms.timing.ping_timeout);
                // A pong does not say which ping it is for: so there is one at a time.
                if !std::mem::replace(&mut self.heart.owes_pong, true) {
                    self.heart.asked = self.heart.sent;
                    self.push(Queued::Text(Kind::Ping, Bytes::new()));
                }
            }
            let beat_at = beats.then_some(self.heart.beat_at);
            let Some(next) = beat_at.into_iter().chain(self.heart.dead_at).min() else { return Ok(()) };
            if self.heart.alarm.deadline() != next {
                self.heart.alarm.as_mut().reset(next);
            }
            if self.heart.alarm.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            if self.closing {
                return Ok(());
            }
        }
    }

    /// Writes what is queued, as far as the carrier takes it. Ready when nothing waits; an error when the session is
    /// over.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        match self.carrier {
            Carrier::Polling => self.flush_poll(),
            Carrier::WebSocket(_) => self.flush_link(cx),
        }
    }

    fn flush_poll(&mut self) -> Poll<Result<(), End>> {
        if self.closing {
            // Whoever polls now, or comes for it, is told the rest.
            return Poll::Ready(Err(End::Closed));
        }
        let Some(base64) = self.exchange.poll_waits() else {
            return if self.waiting.packets.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending };
        };
        if self.waiting.packets.is_empty() {
            if self.probe.as_ref().is_some_and(Probe::is_probed) {
                // The client stops polling for the WebSocket that it probed, once its last poll is answered.
                let noop = [Outgoing::bare(Kind::Noop)];
                self.exchange.answer(self.payload(base64, &noop));
            }
            return Poll::Ready(Ok(()));
        }
        let waiting = std::mem::take(&mut self.waiting);
        let packets: Vec<_> = waiting.packets.iter().map(Queued::outgoing).collect();
        self.exchange.answer(self.payload(base64, &packets));
        self.greeted_at.get_or_insert_with(Instant::now);
        Poll::Ready(Ok(()))
    }

    /// The body of a poll's response, in the form that its client reads.
    fn payload(&self, base64: bool, packets: &[Outgoing<'_>]) -> Payload {
        let is_ascii = |packet: &Outgoing<'_>| matches!(packet, Outgoing::Text(_, text) if text.is_ascii());
        if self.reads_bytes && !base64 && !packets.iter().all(is_ascii) {
            return encode_payload_as_bytes(packets);
        }
        encode_payload(self.terms.version, base64, packets)
    }

    fn flush_link(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let Carrier::WebSocket(link) = &mut self.carrier else { return Poll::Ready(Ok(())) };
        loop {
            match write(link.as_mut(), &mut self.writing, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(End::Left)),
                Poll::Pending => return Poll::Pending,
            }
            if self.waiting.packets.is_empty() {
                return match link.poll_flush(cx) {
                    Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
                    Poll::Ready(Err(_)) => Poll::Ready(Err(End::Left)),
                    Poll::Pending => Poll::Pending,
                };
            }
            self.greeted_at.get_or_insert_with(Instant::now);
            while self.writing.0.len() < AHEAD
                && let Some(packet) = self.waiting.pop()
            {
                packet.push_frame(&self.terms, &mut self.writing.0);
            }
        }
    }

    /// The session is over: whoever polls, or still comes to poll, is told what is queued and that it is over.
    pub(crate) fn end(mut self) {
        let packets = std::mem::take(&mut self.waiting).packets;
        let last = matches!(self.carrier, Carrier::Polling).then(|| {
            let mut packets: Vec<_> = packets.iter().map(Queued::outgoing).collect();
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

/// Takes one packet. Whether more are wanted.
fn take(
    version: Version,
    packet: Packet<'_>,
    heart: &mut Heart,
    timing: &Timing,
    waiting: &mut Waiting,
    handle: &mut impl FnMut(Data<'_>, &mut Context<'_>) -> Result<bool, End>,
    cx: &mut Context<'_>,
) -> Result<bool, End> {
    heart.dead_at = match version {
        Version::V3 => Some(Instant::now() + timing.ping_interval + timing.ping_timeout),
        Version::V4 => None,
    };
    match (packet.kind, version) {
        (Kind::Message, _) => return handle(packet.data, cx),
        (Kind::Ping, Version::V3) => {
            // It pings again only when the pong before has come, and all that was sent before that.
            heart.proven = heart.asked;
            heart.asked = heart.sent;
            let data = match packet.data {
                Data::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
                Data::Binary(_) => Bytes::new(),
            };
            // One answer is as good as many, so that a client that pings and does not read costs nothing.
            if !waiting.has_pong {
                waiting.push(Queued::Text(Kind::Pong, data));
                waiting.has_pong = true;
            }
        }
        (Kind::Pong, Version::V4) => {
            heart.owes_pong = false;
            heart.proven = heart.asked;
        }
        (Kind::Close, _) => return Err(End::Left),
        (Kind::Ping, Version::V4) | (Kind::Pong, Version::V3) => return Err(End::Broken),
        (Kind::Open | Kind::Upgrade | Kind::Noop, _) => {}
    }
    Ok(true)
}

fn bad(_: BadPacket) -> End {
    End::Broken
}

/// Writes bytes, and forgets them when all are written.
fn write(link: &mut dyn Link, writing: &mut (Vec<u8>, usize), cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    let (bytes, written) = writing;
    while *written < bytes.len() {
        match link.poll_write(&bytes[*written..], cx) {
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(count)) => *written += count,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
    }
    *writing = (Vec::new(), 0);
    Poll::Ready(Ok(()))
}

impl Waiting {
    fn has_room(&self) -> bool {
        self.bytes < AHEAD && self.packets.len() < AHEAD_PACKETS
    }

    fn push(&mut self, packet: Queued) {
        self.bytes += packet.cost();
        self.packets.push_back(packet);
    }

    fn pop(&mut self) -> Option<Queued> {
        let packet = self.packets.pop_front()?;
        self.bytes -= packet.cost();
        self.has_pong &= !matches!(packet, Queued::Text(Kind::Pong, _));
        if self.packets.is_empty() {
            // An idle session keeps no room.
            self.packets = VecDeque::new();
        }
        Some(packet)
    }
}

impl Queued {
    fn cost(&self) -> usize {
        let (Self::Text(_, bytes) | Self::Binary(bytes)) = self;
        bytes.len() + OVERHEAD
    }

    fn outgoing(&self) -> Outgoing<'_> {
        match self {
            Self::Text(kind, text) => Outgoing::Text(*kind, text),
            Self::Binary(bytes) => Outgoing::Binary(bytes),
        }
    }

    fn push_frame(&self, terms: &Terms, out: &mut Vec<u8>) {
        let packet = self.outgoing();
        let length = packet.length(terms.version, terms.base64);
        let is_binary = matches!(self, Self::Binary(_)) && !terms.base64;
        let opcode = if is_binary { frame::BINARY } else { frame::TEXT };
        frame::push_with(out, opcode, length, |out| packet.push(terms.version, terms.base64, out));
    }
}
