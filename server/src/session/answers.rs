//! The answers of one burst, written in one piece.
//!
//! In: answers, as the session finds them. Out: one push to the outbox. The bytes stand in room that
//! belongs to the thread, so that an idle connection keeps none.

use std::cell::RefCell;

use tokensocket_protocol::Framed;

use super::outbox::Limits;
use crate::format::{Format, Gathering};
use crate::socket::Socket;

/// How much room for answers a thread keeps, in bytes.
const KEPT_ROOM: usize = 256 * 1024;

thread_local! {
    /// Room for the answers of a burst and for the one in the making.
    static ROOM: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// The answers of one burst, in the socket's format.
pub(crate) struct Answers {
    gathering: Gathering,
    /// How much is held back before it goes out within the burst.
    most: Limits,
    bytes: Vec<u8>,
    count: usize,
    /// The buffer of the last answer, empty.
    spare: Vec<u8>,
    /// Some of them must go out before what the burst publishes from here on.
    pub(super) before_publications: bool,
    /// Something went out within the burst since that was asked.
    has_sent: bool,
}

impl Answers {
    /// Takes this thread's room for the burst that begins. `limits` are the outbox's.
    pub(super) fn begin(format: Format, limits: Limits) -> Self {
        let most = Limits { messages: limits.messages / 4, bytes: (limits.bytes / 4).min(KEPT_ROOM) };
        let (bytes, spare) = ROOM.take();
        Self {
            gathering: Gathering::new(format),
            most,
            bytes,
            count: 0,
            spare,
            before_publications: false,
            has_sent: false,
        }
    }

    /// Whether so much is held back that it must go out before the burst goes on.
    pub(super) fn is_large(&self) -> bool {
        self.count > 0 && (self.count >= self.most.messages || self.bytes.len() >= self.most.bytes)
    }

    /// Whether something went out since this was asked, so that it is to be seen how much waits now.
    pub(super) fn take_sent(&mut self) -> bool {
        std::mem::take(&mut self.has_sent)
    }

    /// How many bytes are held back.
    pub(super) fn held_back(&self) -> usize {
        self.bytes.len()
    }

    /// Gives the room back, so that an idle connection keeps none. Nothing is held back any more.
    pub(super) fn end(self) {
        if self.bytes.capacity() + self.spare.capacity() <= KEPT_ROOM {
            ROOM.set((self.bytes, self.spare));
        }
    }

    /// Sends them in one piece.
    pub(super) fn send(&mut self, socket: &Socket) {
        self.before_publications = false;
        self.has_sent = true;
        if self.count > 0 {
            let count = std::mem::take(&mut self.count);
            self.gathering.finish(&mut self.bytes);
            socket.traffic().sent(count);
            if socket.outbox().push_own(&mut self.bytes, count).is_err() {
                tracing::debug!(socket = %socket.id(), "disconnecting a slow consumer");
            }
        }
    }

    pub(crate) fn push(&mut self, answer: impl Into<Framed>) {
        self.push_published(answer.into());
        self.before_publications = true;
    }

    /// Adds the answer to a publish or broadcast, which may stand behind all that the burst publishes.
    pub(super) fn push_published(&mut self, answer: Framed) {
        self.gathering.push_in(answer.framing(), &mut self.bytes, answer.as_bytes());
        self.count += 1;
        self.spare = answer.into_bytes();
        self.spare.clear();
    }

    /// An empty buffer for one answer, most often that of the answer before.
    pub(super) fn room(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.spare)
    }
}
