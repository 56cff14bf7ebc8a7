//! The channels the user wants, whatever the connection does meanwhile.
//!
//! In: subscribes and unsubscribes as they are sent, the server's frames. Out: the set to subscribe to
//! after a reconnect, in the order in which it grew, and which frame tells the user something new.

use std::collections::{BTreeMap, HashMap};

use crate::channel::Channel;

#[derive(Debug, Default)]
struct Entry {
    /// Grows with each channel that comes to be wanted, and tells a subscribe apart from one that an
    /// unsubscribe has undone.
    since: u64,
    /// The server confirmed the channel on this connection.
    following: bool,
    /// The server confirmed the channel at some time since it is wanted.
    confirmed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    wanted: HashMap<Channel, Entry>,
    /// How many subscribe messages wait for their answer, by channel.
    asking: HashMap<Channel, usize>,
    last: u64,
}

/// What a refused subscribe message means for the channel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The user has what he had.
    NoLoss,
    /// The user loses a subscription that the server had confirmed before.
    Lost,
    /// The server follows for us by a subscribe message that was given up, and must be told to stop.
    TakeBack,
}

impl Subscriptions {
    /// A subscribe message goes out. Says since when the channel is wanted.
    pub(super) fn ask(&mut self, channel: &Channel) -> u64 {
        *self.asking.entry(channel.clone()).or_default() += 1;
        self.want(channel).since
    }

    fn want(&mut self, channel: &Channel) -> &mut Entry {
        self.wanted.entry(channel.clone()).or_insert_with(|| {
            self.last += 1;
            Entry { since: self.last, ..Entry::default() }
        })
    }

    /// A subscribe message needs no answer any more.
    pub(super) fn asked(&mut self, channel: &Channel) {
        if let Some(count) = self.asking.get_mut(channel) {
            *count -= 1;
            if *count == 0 {
                self.asking.remove(channel);
            }
        }
    }

    /// The server confirmed one of our subscribe messages. The user may have unsubscribed since; `told`:
    /// somebody still waits to hear of it, and has the subscription from now on.
    pub(super) fn confirmed(&mut self, channel: &Channel, since: u64, told: bool) {
        if let Some(entry) = self.wanted.get_mut(channel).filter(|entry| entry.since == since) {
            entry.following = true;
            entry.confirmed |= told;
        }
    }

    /// The server subscribed us of its own accord.
    pub(super) fn added(&mut self, channel: &Channel) {
        let entry = self.want(channel);
        entry.following = true;
        entry.confirmed = true;
    }

    /// The server confirmed a subscribe message that was given up.
    pub(super) fn confirmed_late(&mut self, channel: &str) {
        if let Some(entry) = self.wanted.get_mut(channel) {
            entry.following = true;
        }
    }

    /// The server refused one of our subscribe messages.
    pub(super) fn refused(&mut self, channel: &Channel, since: u64) -> Refusal {
        let still_asking = self.asking.contains_key(channel);
        let entry = self.wanted.get(channel).filter(|entry| entry.since == since);
        let Some(entry) = entry else { return Refusal::NoLoss };
        let refusal = match (entry.following, entry.confirmed) {
            _ if still_asking => return Refusal::NoLoss,
            (true, true) => return Refusal::NoLoss,
            (true, false) => Refusal::TakeBack,
            (false, true) => Refusal::Lost,
            (false, false) => Refusal::NoLoss,
        };
        self.wanted.remove(channel);
        refusal
    }

    /// Whether the server confirmed the channel at some time since it is wanted.
    pub(super) fn is_confirmed(&self, channel: &Channel) -> bool {
        self.wanted.get(channel).is_some_and(|entry| entry.confirmed)
    }

    /// Whether the channel is wanted by a subscribe of that time, and not by a later one.
    pub(super) fn is_wanted_since(&self, channel: &Channel, since: u64) -> bool {
        self.wanted.get(channel).is_some_and(|entry| entry.since == since)
    }

    /// The channel is not wanted any more: an unsubscribe message goes out, or a subscribe is given up.
    pub(super) fn forget(&mut self, channel: &Channel) {
        self.wanted.remove(channel);
    }

    /// The server says that we no longer follow the channel. Says whether the user loses it by that.
    pub(super) fn removed(&mut self, channel: &str) -> bool {
        if self.asking.contains_key(channel) {
            if let Some(entry) = self.wanted.get_mut(channel) {
                entry.following = false;
            }
            return false;
        }
        self.wanted.remove(channel).is_some()
    }

    /// The connection is gone, and with it whatever the server knew.
    pub(super) fn disconnected(&mut self) {
        self.asking.clear();
        for entry in self.wanted.values_mut() {
            entry.following = false;
        }
    }

    /// The wanted channels, oldest first.
    pub(super) fn wanted(&self) -> Vec<Channel> {
        let ordered: BTreeMap<u64, &Channel> =
            self.wanted.iter().map(|(channel, entry)| (entry.since, channel)).collect();
        ordered.into_values().cloned().collect()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
