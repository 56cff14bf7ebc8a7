//! Who is on a channel.
//!
//! In: clients that join and leave. Out: members and counts. Knows no socket. What a store must do stands at
//! [`PresenceStore`]; copy `memory.rs` to write another, and run the conformance suite.

mod memory;
pub(crate) mod roster;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokensocket_protocol::{Channel, RawJson};

use crate::node_id::NodeId;
use crate::store::StoreError;
use crate::timestamp::Timestamp;

pub use memory::MemoryPresenceStore;

/// How presence is kept on a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presence {
    pub(crate) per_user: bool,
    pub(crate) announce: bool,
}

impl Presence {
    /// Keeps who is there. Every connection is a member of its own, and nobody is told of joins and leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// All connections of one user are one member, from the first to the last. A client whose identity names no
    /// user is a member of its own.
    #[must_use]
    pub fn per_user(mut self) -> Self {
        self.per_user = true;
        self
    }

    /// Tells followers who asked for it of each join and leave. On a channel of very many that is very much.
    #[must_use]
    pub fn announce(mut self) -> Self {
        self.announce = true;
        self
    }
}

/// Somebody on a channel.
#[derive(Debug, Clone)]
pub struct Member {
    /// The connection's id; with [`Presence::per_user`], that of the user's first one.
    pub client: Arc<str>,
    /// The identity's user id, if it has one.
    pub user: Option<Arc<str>>,
    /// The identity's public part.
    pub info: RawJson,
    /// Since when.
    pub since: Timestamp,
}

/// How many are on a channel. Cheap, however many they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections.
    pub clients: usize,
    /// Different users among them; a client without a user counts as one.
    pub users: usize,
}

/// Whether somebody came or went whom followers would be told of.
#[derive(Debug, Clone)]
pub enum Change {
    /// A member came.
    Joined(Member),
    /// A member is gone.
    Left(Member),
    /// Another connection of a member who is there.
    None,
}

/// Keeps who is on a channel.
///
/// Duties of an implementation:
/// - Of calls that were made one after the other, the later one finds what the earlier one did, even if that has not
///   resolved yet. Dropping a future does not undo its call. Changes resolve in the order of their calls.
/// - `per_user` is the same in all calls for one channel.
/// - Joining twice with one client id is joining once; leaving without having joined is nothing.
/// - A change that resolves to an error, or takes longer than the `store_timeout`, is called again, by what is true then,
///   about each second until it is taken; so a client may leave that never joined, and join that has not left. Where it
///   may have been done, its opposite is called before it.
/// - Counts cost the same for ten members and for a hundred thousand.
/// - What belongs to a node that died goes away within a time that the store states, at most a minute.
/// - Nothing in here blocks or panics.
pub trait PresenceStore: Send + Sync + 'static {
    /// Whose calls follow. Called once, before all else.
    fn start(&self, node: NodeId) -> Result<(), StoreError> {
        let _ = node;
        Ok(())
    }

    /// A client follows the channel. Says whether that is somebody new, as `per_user` counts.
    fn join(
        &self,
        channel: &Channel,
        member: Member,
        per_user: bool,
    ) -> BoxFuture<'static, Result<Change, StoreError>>;

    /// A client no longer follows the channel.
    fn leave(
        &self,
        channel: &Channel,
        client: &str,
        per_user: bool,
    ) -> BoxFuture<'static, Result<Change, StoreError>>;

    /// Members, by their time, oldest first: at most `limit`, those after the member whose client id is
    /// `after`; [`StoreError::Gone`] when it is not there.
    fn members(
        &self,
        channel: &Channel,
        after: Option<&str>,
        limit: usize,
        per_user: bool,
    ) -> BoxFuture<'static, Result<Vec<Member>, StoreError>>;

    /// How many there are.
    fn counts(&self, channel: &Channel) -> BoxFuture<'static, Result<Counts, StoreError>>;

    /// Takes off what belongs to nodes that died, and says who of it left by this very call, so that each is announced
    /// once. Called about every ten seconds. By default there is no other node.
    fn expire(&self, now: Timestamp) -> BoxFuture<'static, Result<Vec<(Channel, Member)>, StoreError>> {
        let _ = now;
        ready(Ok(Vec::new())).boxed()
    }
}
