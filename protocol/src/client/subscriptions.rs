//! The channels the user wants, whatever the connection does meanwhile.
//!
//! In: subscribes and unsubscribes as they are sent, the server's frames. Out: the set to subscribe to
//! after a reconnect, in the order in which it grew, and which frame tells the user something new.

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
    /// Only channels that are wanted or asked for, by name.
    channels: Vec<(Channel, State)>,
    last: u64,
}

#[derive(Debug, Default)]
struct State {
    wanted: Option<Entry>,
    /// How many subscribe messages wait for their answer.
    asking: usize,
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
        self.state(channel).asking += 1;
        self.want(channel).since
    }

    /// A subscribe message needs no answer any more.
    pub(super) fn asked(&mut self, channel: &Channel) {
        self.change(channel.as_str(), |state| state.asking = state.asking.saturating_sub(1));
    }

    /// The server confirmed one of our subscribe messages. The user may have unsubscribed since; `told`:
    /// somebody still waits to hear of it, and has the subscription from now on.
    pub(super) fn confirmed(&mut self, channel: &Channel, since: u64, told: bool) {
        if let Some(entry) = self.entry_mut(channel.as_str()).filter(|entry| entry.since == since) {
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
        if let Some(entry) = self.entry_mut(channel) {
            entry.following = true;
        }
    }

    /// The server refused one of our subscribe messages.
    pub(super) fn refused(&mut self, channel: &Channel, since: u64) -> Refusal {
        let Some(state) = self.find(channel.as_str()) else { return Refusal::NoLoss };
        let entry = state.wanted.as_ref().filter(|entry| entry.since == since);
        let Some(entry) = entry else { return Refusal::NoLoss };
        let refusal = match (entry.following, entry.confirmed) {
            _ if state.asking > 0 => return Refusal::NoLoss,
            (true, true) => return Refusal::NoLoss,
            (true, false) => Refusal::TakeBack,
            (false, true) => Refusal::Lost,
            (false, false) => Refusal::NoLoss,
        };
        self.forget(channel);
        refusal
    }

    /// Whether the server confirmed the channel at some time since it is wanted.
    pub(super) fn is_confirmed(&self, channel: &Channel) -> bool {
        self.entry(channel).is_some_and(|entry| entry.confirmed)
    }

    /// Whether the channel is wanted by a subscribe of that time, and not by a later one.
    pub(super) fn is_wanted_since(&self, channel: &Channel, since: u64) -> bool {
        self.entry(channel).is_some_and(|entry| entry.since == since)
    }

    /// The channel is not wanted any more: an unsubscribe message goes out, or a subscribe is given up.
    pub(super) fn forget(&mut self, channel: &Channel) {
        self.change(channel.as_str(), |state| state.wanted = None);
    }

    /// The server says that we no longer follow the channel. Says whether the user loses it by that.
    pub(super) fn removed(&mut self, channel: &str) -> bool {
        let mut is_lost = false;
        self.change(channel, |state| {
            if state.asking == 0 {
                is_lost = state.wanted.take().is_some();
            } else if let Some(entry) = &mut state.wanted {
                entry.following = false;
            }
        });
        is_lost
    }

    /// The connection is gone, and with it whatever the server knew.
    pub(super) fn disconnected(&mut self) {
        self.channels.retain_mut(|(_, state)| {
            state.asking = 0;
            state.wanted.as_mut().is_some_and(|entry| {
                entry.following = false;
                true
            })
        });
    }

    /// The wanted channels, oldest first.
    pub(super) fn wanted(&self) -> Vec<Channel> {
        let since = |state: &State| Some(state.wanted.as_ref()?.since);
        let mut wanted: Vec<(u64, &Channel)> =
            self.channels.iter().filter_map(|(channel, state)| Some((since(state)?, channel))).collect();
        wanted.sort_unstable_by_key(|(since, _)| *since);
        wanted.into_iter().map(|(_, channel)| channel.clone()).collect()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn want(&mut self, channel: &Channel) -> &mut Entry {
        let since = self.last + 1;
        let is_new = self.entry(channel).is_none();
        self.last += u64::from(is_new);
        self.state(channel).wanted.get_or_insert(Entry { since, ..Entry::default() })
    }

    fn entry(&self, channel: &Channel) -> Option<&Entry> {
        self.find(channel.as_str())?.wanted.as_ref()
    }

    fn entry_mut(&mut self, channel: &str) -> Option<&mut Entry> {
        let index = self.index(channel).ok()?;
        self.channels.get_mut(index)?.1.wanted.as_mut()
    }

    fn find(&self, channel: &str) -> Option<&State> {
        let index = self.index(channel).ok()?;
        self.channels.get(index).map(|(_, state)| state)
    }

    fn state(&mut self, channel: &Channel) -> &mut State {
        let index = match self.index(channel.as_str()) {
            Ok(index) => index,
            Err(index) => {
                self.channels.insert(index, (channel.clone(), State::default()));
                index
            }
        };
        &mut self.channels[index].1
    }

    fn index(&self, channel: &str) -> Result<usize, usize> {
        self.channels.binary_search_by(|(other, _)| other.as_str().cmp(channel))
    }

    /// Changes what is known of a channel, and forgets one of which nothing is.
    fn change(&mut self, channel: &str, change: impl FnOnce(&mut State)) {
        let Ok(index) = self.index(channel) else { return };
        let (_, state) = &mut self.channels[index];
        change(state);
        if state.asking == 0 && state.wanted.is_none() {
            self.channels.remove(index);
        }
    }
}
