//! Who is on a channel, whichever node the connection is to.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tokensocket_server::{
    Change, Channel, Counts, Member, MemoryPresenceStore, PresenceStore, StoreError, Timestamp,
};

use super::{Here, Seat};

/// A seat as its node's store of presence.
pub(super) struct Presences(pub(super) Seat);

type Answer<R> = BoxFuture<'static, Result<R, StoreError>>;

impl Presences {
    fn call<R: Send + 'static>(&self, call: impl FnOnce(&MemoryPresenceStore) -> Answer<R>) -> Answer<R> {
        if self.0.is_cut() {
            return ready(Err(StoreError::Unavailable("cut off".to_owned()))).boxed();
        }
        call(&self.0.bus.0.presence)
    }
}

impl PresenceStore for Presences {
    fn join(&self, channel: &Channel, member: Member, per_user: bool) -> Answer<Change> {
        let key = (channel.clone(), Arc::clone(&member.client));
        self.call(|store| {
            let here = Here { seat: self.0.number, per_user };
            self.0.bus.0.state().present.insert(key, here);
            store.join(channel, member, per_user)
        })
    }

    fn leave(&self, channel: &Channel, client: &str, per_user: bool) -> Answer<Change> {
        self.call(|store| {
            self.0.bus.0.state().present.remove(&(channel.clone(), client.into()));
            store.leave(channel, client, per_user)
        })
    }

    fn members(
        &self,
        channel: &Channel,
        after: Option<&str>,
        limit: usize,
        per_user: bool,
    ) -> Answer<Vec<Member>> {
        self.call(|store| store.members(channel, after, limit, per_user))
    }

    fn counts(&self, channel: &Channel) -> Answer<Counts> {
        self.call(|store| store.counts(channel))
    }

    fn expire(&self, _: Timestamp) -> Answer<Vec<(Channel, Member)>> {
        self.call(|store| {
            let mut state = self.0.bus.0.state();
            let state = &mut *state;
            let is_dead = |here: &Here| state.seats[here.seat].faults.dead;
            let gone: Vec<_> =
                state.present.iter().filter(|(_, here)| is_dead(here)).map(|(key, _)| key.clone()).collect();
            let mut left = Vec::new();
            for (channel, client) in gone {
                let here = state.present.remove(&(channel.clone(), Arc::clone(&client)));
                let per_user = here.is_some_and(|here| here.per_user);
                let change = store.leave(&channel, &client, per_user).now_or_never();
                if let Some(Ok(Change::Left(member))) = change {
                    left.push((channel, member));
                }
            }
            ready(Ok(left)).boxed()
        })
    }
}
