//! Somebody who is about to join a channel with history, until it has joined or given up.
//!
//! In: a socket, pages of history. Out: a follower more, or, when this is dropped before, nothing that was not
//! there before. How joining keeps order is in `join.rs`.

use std::sync::Arc;

use tokensocket_protocol::{Channel, Position};

use super::entry::Entry;
use super::join::Confirm;
use super::track::Found;
use super::{Hub, Noted};
use crate::access::Access;
use crate::broker::Broker;
use crate::history::HistoryPage;
use crate::socket::Socket;

/// Counts as a follower of the channel, and keeps what is published from being forgotten.
pub(crate) struct Joining<'a> {
    hub: &'a Hub,
    broker: &'a dyn Broker,
    channel: Channel,
    entry: Arc<Entry>,
    socket: Socket,
    /// The socket did not follow the channel before.
    is_new: bool,
    joined: bool,
}

/// What was read of the history for somebody who joins.
pub(crate) struct Read {
    /// The page.
    pub(crate) page: HistoryPage,
    /// Since which offset it was read.
    pub(crate) since: u64,
}

impl Hub {
    /// Begins to join. The broker is told; the future says when it follows the channel.
    pub(crate) fn begin_join<'a>(
        &'a self,
        channel: &Channel,
        socket: &Socket,
        is_new: bool,
        access: &Access,
        broker: &'a dyn Broker,
    ) -> (Joining<'a>, Noted) {
        let (entry, told) = self.with_entry(channel, access, |entry| {
            entry.begin(|| broker.subscribe(channel)).map(|told| (Arc::clone(entry), told))
        });
        let (channel, socket) = (channel.clone(), socket.clone());
        (Joining { hub: self, broker, channel, entry, socket, is_new, joined: false }, told)
    }
}

impl Joining<'_> {
    /// The place up to which this node was given publications, if it knows.
    pub(crate) fn seen(&self) -> Option<Position> {
        self.entry.seen()
    }

    /// Joins, confirms, and delivers from then on. `false`: what was read does not reach, read again. The
    /// `last` time it joins in any case. The socket's channels must be held.
    pub(crate) fn join(
        &mut self,
        recover: Option<&Position>,
        read: Option<&Read>,
        last: bool,
        access: &Access,
        confirm: Confirm<'_>,
    ) -> bool {
        let found = Found { recover, page: read.map(|read| (&read.page, read.since)), last };
        self.joined = self.entry.join(&self.socket, &found, access, confirm).is_ok();
        self.joined
    }
}

impl Drop for Joining<'_> {
    fn drop(&mut self) {
        if self.joined {
            return;
        }
        let _changing = self.socket.change_channels();
        if self.is_new && !self.entry.has(self.socket.id()) {
            self.socket.unfollow(&self.channel);
        }
        let told = self.entry.give_up(|| self.broker.unsubscribe(&self.channel));
        self.hub.forget_gone(&self.channel, &self.entry);
        if let Some(told) = told {
            super::leave_to(&self.channel, told);
        }
    }
}
