//! Who is on this node's channels, in its memory: the default. What belongs to a node that dies is gone with it.

use std::collections::HashMap;
use std::future::ready;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokensocket_protocol::Channel;

use super::roster::Roster;
use super::{Change, Counts, Member, PresenceStore};
use crate::store::StoreError;

/// Keeps presence in memory.
#[derive(Debug, Default)]
pub struct MemoryPresenceStore {
    channels: Mutex<HashMap<Channel, Roster>>,
}

impl MemoryPresenceStore {
    /// A store in which nobody is anywhere.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many channels somebody is on.
    pub fn channels(&self) -> usize {
        self.channels.lock().len()
    }
}

impl PresenceStore for MemoryPresenceStore {
    fn join(
        &self,
        channel: &Channel,
        member: Member,
        per_user: bool,
    ) -> BoxFuture<'static, Result<Change, StoreError>> {
        let mut channels = self.channels.lock();
        let change = channels.entry(channel.clone()).or_default().join(member, per_user);
        ready(Ok(change)).boxed()
    }

    fn leave(
        &self,
        channel: &Channel,
        client: &str,
        per_user: bool,
    ) -> BoxFuture<'static, Result<Change, StoreError>> {
        let mut channels = self.channels.lock();
        let Some(roster) = channels.get_mut(channel) else { return ready(Ok(Change::None)).boxed() };
        let change = roster.leave(client, per_user);
        if roster.is_empty() {
            channels.remove(channel);
        }
        ready(Ok(change)).boxed()
    }

    fn members(
        &self,
        channel: &Channel,
        after: Option<&str>,
        limit: usize,
        _: bool,
    ) -> BoxFuture<'static, Result<Vec<Member>, StoreError>> {
        let channels = self.channels.lock();
        let members = match (channels.get(channel), after) {
            (Some(roster), after) => roster.members(after, limit),
            (None, None) => Ok(Vec::new()),
            (None, Some(_)) => Err(StoreError::Gone("member")),
        };
        ready(members).boxed()
    }

    fn counts(&self, channel: &Channel) -> BoxFuture<'static, Result<Counts, StoreError>> {
        let channels = self.channels.lock();
        let counts = channels.get(channel).map_or_else(Counts::default, Roster::counts);
        ready(Ok(counts)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn does_what_a_store_must() {
        crate::conformance::presence(async || MemoryPresenceStore::new()).await;
    }
}
