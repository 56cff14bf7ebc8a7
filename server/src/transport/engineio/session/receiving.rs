//! What a client says to its session, by requests or on a WebSocket.
//!
//! In: bodies, frames. Out: its messages, one after the other, and what its packets mean for the session itself.

use std::task::{Context, Poll};

use bytes::Bytes;
use tokensocket_protocol::engineio::{BadPacket, Data, Kind, Packet, PayloadReader, Version};

use super::heart::Heart;
use super::waiting::{AHEAD, Waiting};
use super::{Carrier, End, Session, Terms, writing};
use crate::transport::Incoming;

/// How many packets are handled before others get their turn.
const TURN: usize = 256;

impl Session {
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
            let waiting = &mut self.waiting;
            let wants_more = loop {
                let Some(packet) = reader.next(&body.bytes) else { break None };
                let packet = packet.map_err(bad)?;
                *has_bytes |= matches!(packet.data, Data::Binary(_));
                if !take(&self.terms, packet, &mut self.heart, waiting, &mut handle, cx)? {
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
                            take(&self.terms, packet, &mut self.heart, &mut self.waiting, &mut handle, cx)
                        })
                    }
                    Ok(Some(Incoming::Binary(bytes))) => {
                        let packet = Packet::from_binary(version, &bytes).map_err(bad);
                        packet.and_then(|packet| {
                            take(&self.terms, packet, &mut self.heart, &mut self.waiting, &mut handle, cx)
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
                        let _ = writing::write(link.as_mut(), &mut self.writing, cx);
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
    pub(super) fn poll_closing(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
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
}

/// Takes one packet. Whether more are wanted.
fn take(
    terms: &Terms,
    packet: Packet<'_>,
    heart: &mut Heart,
    waiting: &mut Waiting,
    handle: &mut impl FnMut(Data<'_>, &mut Context<'_>) -> Result<bool, End>,
    cx: &mut Context<'_>,
) -> Result<bool, End> {
    heart.hear(terms);
    match (packet.kind, terms.version) {
        (Kind::Message, _) => return handle(packet.data, cx),
        (Kind::Ping, Version::V3) => {
            heart.hear_ping();
            let data = match packet.data {
                Data::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
                Data::Binary(_) => Bytes::new(),
            };
            waiting.push_pong(data);
        }
        (Kind::Pong, Version::V4) => heart.hear_pong(),
        (Kind::Close, _) => return Err(End::Left),
        (Kind::Ping, Version::V4) | (Kind::Pong, Version::V3) => return Err(End::Broken),
        (Kind::Open | Kind::Upgrade | Kind::Noop, _) => {}
    }
    Ok(true)
}

fn bad(_: BadPacket) -> End {
    End::Broken
}
