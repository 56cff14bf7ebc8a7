//! Who is on which channel, on all nodes.
//!
//! ```text
//! join, leave ──▶ replica ──▶ machine (a Roster for each channel) ──▶ the change
//! members, counts ── between the own calls ──┘
//! ```
//!
//! In: what [`PresenceStore`] asks. Out: the same as from memory, for all nodes together. Knows no stream.

mod image;
mod machine;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokensocket_protocol::Channel;

use super::Nats;
use super::replica::{Listener, NatsReplicaOptions, Replica};
use crate::presence::{Change, Counts, Member, PresenceStore};
use crate::store::StoreError;
use crate::timestamp::Timestamp;

use machine::{Command, Output, Rosters};

/// Presence that all nodes share by a stream of NATS.
///
/// The stream is a log of all joins and leaves. Each node does them, in its one order, to rosters in its memory. So who
/// came and who went is decided once, counts and pages of members cost no request, and each node holds all members of
/// all channels: about 500 bytes for each and what is public of its identity, all of it at most
/// [`NatsReplicaOptions::max_bytes`]. What other nodes did a moment ago may be on its way.
///
/// Members on a node that died leave when its lease is over (30 s) and another node has looked (each 10 s), which then
/// announces it. If NATS lost a part of the log, each node says again who is there.
pub struct NatsPresenceStore {
    replica: Replica<Rosters>,
}

type Outcome<R> = BoxFuture<'static, Result<R, StoreError>>;

impl NatsPresenceStore {
    /// Presence with the lease that there is by default. Must be called within a tokio runtime, on which the store's
    /// work is done.
    pub fn new(nats: &Nats) -> Self {
        Self::with(nats, NatsReplicaOptions::new().lease(nats.link.options.lease))
    }

    /// Presence that is held as `options` say.
    pub fn with(nats: &Nats, options: NatsReplicaOptions) -> Self {
        let total = options.max_bytes;
        let opening = move |rosters: &Rosters| rosters.opening(total).into_iter().collect();
        Self { replica: Replica::start(nats, "presence", options, Arc::new(Deaf), opening) }
    }

    /// Resolves after the drop of this store, once the other nodes have been told that it is over, or that could not be
    /// done within a second.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        self.replica.ended()
    }

    fn change(&self, command: Command) -> Outcome<Change> {
        let called = self.replica.call(command);
        async move {
            match called.await? {
                Output::Changed(changed) => changed,
                _ => Err(StoreError::Closed),
            }
        }
        .boxed()
    }
}

impl std::fmt::Debug for NatsPresenceStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NatsPresenceStore")
    }
}

impl PresenceStore for NatsPresenceStore {
    fn join(&self, channel: &Channel, member: Member, per_user: bool) -> Outcome<Change> {
        let Member { client, user, info, since } = member;
        let channel = Arc::from(channel.as_str());
        self.change(Command::Join { channel, client, user, info, since, per_user })
    }

    fn leave(&self, channel: &Channel, client: &str, per_user: bool) -> Outcome<Change> {
        let channel = Arc::from(channel.as_str());
        self.change(Command::Leave { channel, client: Arc::from(client), per_user })
    }

    fn members(&self, channel: &Channel, after: Option<&str>, limit: usize, _: bool) -> Outcome<Vec<Member>> {
        let (channel, after) = (channel.clone(), after.map(str::to_owned));
        self.replica.read(move |rosters| rosters.members(&channel, after.as_deref(), limit))
    }

    fn counts(&self, channel: &Channel) -> Outcome<Counts> {
        let channel = channel.clone();
        self.replica.read(move |rosters| Ok(rosters.counts(&channel)))
    }

    fn expire(&self, now: Timestamp) -> Outcome<Vec<(Channel, Member)>> {
        let ended = self.replica.end_silent(now);
        async move {
            let left = ended.await?.into_iter().filter_map(|output| match output {
                Output::Left(left) => Some(left),
                _ => None,
            });
            Ok(left.flatten().collect())
        }
        .boxed()
    }
}

/// Who is on a channel is announced by those who changed it.
struct Deaf;

impl Listener<Rosters> for Deaf {
    fn hear(&self, hints: Vec<()>) {
        drop(hints);
    }

    fn gap(&self) {}
}
