//! Who is told of something on a channel besides its publications: of who comes and goes.
//!
//! In: sockets that asked for it, messages. Out: bytes to each one's outbox, encoded once for each format, at the
//! end of the burst if there is one.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use parking_lot::Mutex;
use tokensocket_protocol::Channel;

use super::cork::{self, Corked};
use super::part::Part;
use crate::socket::{Socket, SocketId};

/// How many parts the table has, each with its own lock.
const SHARDS: usize = 64;

type Shard = Mutex<HashMap<Channel, (Arc<Audience>, usize)>>;

/// The audiences of all channels that have one.
pub(crate) struct Audiences {
    shards: Box<[Shard]>,
    hasher: RandomState,
}

/// The audience of one channel.
pub(crate) struct Audience(Part);

impl Default for Audiences {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect(), hasher: RandomState::new() }
    }
}

impl Audiences {
    /// Adds a socket. What was told before does not reach it.
    pub(crate) fn add(&self, channel: &Channel, socket: &Socket) {
        let mut shard = self.shard(channel).lock();
        let (audience, count) =
            shard.entry(channel.clone()).or_insert_with(|| (Arc::new(Audience(Part::default())), 0));
        if audience.0.add(socket, false) {
            *count += 1;
        }
    }

    /// Removes a socket, if it is there. What was told before still reaches it.
    pub(crate) fn remove(&self, channel: &Channel, id: SocketId) {
        let mut shard = self.shard(channel).lock();
        let Some((audience, count)) = shard.get_mut(channel) else { return };
        if audience.0.remove(id, false) {
            *count -= 1;
            if *count == 0 {
                shard.remove(channel);
            }
        }
    }

    /// Says `message` to those who are there, once the result is flushed. `None`: nobody is.
    #[must_use]
    pub(crate) fn tell(&self, channel: &Channel, message: impl FnOnce() -> Vec<u8>) -> Option<Told> {
        let audience = Arc::clone(&self.shard(channel).lock().get(channel)?.0);
        let message = message();
        audience.0.pending().append(|format, out| format.push(out, &message));
        Some(Told(audience))
    }

    fn shard(&self, channel: &Channel) -> &Shard {
        let hash = usize::try_from(self.hasher.hash_one(channel) % SHARDS as u64).unwrap_or_default();
        &self.shards[hash]
    }
}

/// Something was said that is not written yet.
#[must_use]
pub(crate) struct Told(Arc<Audience>);

impl Told {
    /// Writes it at the end of this thread's burst, or at once.
    pub(crate) fn flush(self) {
        cork::flush_soon(&self.0);
    }
}

impl Corked for Audience {
    fn pending_bytes(&self) -> usize {
        self.0.pending().bytes()
    }

    fn flush(&self) {
        self.0.flush(false);
    }
}
