//! The channels the user wants, whatever the connection does meanwhile.
//!
//! In: subscribes and unsubscribes as they are sent, the server's frames, publications with offsets. Out: the
//! set to subscribe to after a reconnect, in the order in which it grew, and from which place each goes on; which
//! frame tells the user something new; each publication once, in order.
//!
//! While a channel is to be recovered, its publications can still come by a pattern that covers it. They are held
//! until the server's frame says what was missed before them.

use super::event::Publication;
use crate::channel::Channel;
use crate::message::Joined;
use crate::position::Position;

/// How many publications are held for one channel. Beyond that the oldest goes: it is among those that are
/// recovered, and if they are not, the user is told that some are missing.
const MAX_HELD: usize = 1024;

#[derive(Debug)]
struct Entry<P> {
    /// Grows with each channel that comes to be wanted, and tells a subscribe apart from one that an
    /// unsubscribe has undone.
    since: u64,
    /// The server confirmed the channel on this connection.
    following: bool,
    /// The server confirmed the channel at some time since it is wanted.
    confirmed: bool,
    /// Somebody wants to hear who comes and goes.
    presence: bool,
    /// Behind the last publication that the user was told, where the channel has history.
    position: Option<Position>,
    /// What came while the channel is to be recovered, with offsets.
    held: Vec<(u64, P)>,
    /// The server subscribed us by itself, from this place on, while our own message that recovers is under way.
    added: Option<Position>,
}

impl<P> Entry<P> {
    fn new(since: u64) -> Self {
        Self {
            since,
            following: false,
            confirmed: false,
            presence: false,
            position: None,
            held: Vec::new(),
            added: None,
        }
    }

    fn take_held(&mut self) -> Vec<P> {
        beyond(0, std::mem::take(&mut self.held))
    }
}

#[derive(Debug)]
pub(super) struct Subscriptions<P> {
    /// Only channels that are wanted or asked for, by name.
    channels: Vec<(Channel, State<P>)>,
    last: u64,
}

impl<P> Default for Subscriptions<P> {
    fn default() -> Self {
        Self { channels: Vec::new(), last: 0 }
    }
}

#[derive(Debug)]
struct State<P> {
    wanted: Option<Entry<P>>,
    /// How many subscribe messages wait for their answer.
    asking: usize,
}

/// What a subscribe message says, and since when its channel is wanted.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) since: u64,
    pub(super) recover: Option<Position>,
    pub(super) presence: bool,
}

/// What the user has to be told when a channel is followed again.
#[derive(Debug)]
pub(super) struct Caught<P> {
    /// The publications are all that he missed; otherwise some are missing.
    pub(super) recovered: bool,
    pub(super) publications: Vec<P>,
    /// What came since, and has to be told after that.
    pub(super) held: Vec<P>,
}

/// What a refused subscribe message means for the channel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The user has what he had.
    NoLoss,
    /// The user loses a subscription that the server had confirmed before.
    Lost,
    /// The user keeps what he had, and is to ask again.
    Later,
    /// The server follows for us of its own accord, but nobody knows what was missed before.
    Unrecovered,
    /// The server follows for us by a subscribe message that was given up, and must be told to stop.
    TakeBack,
}

impl<P> Subscriptions<P> {
    /// A subscribe message goes out. `place` counts for a channel that was not wanted before.
    pub(super) fn ask(&mut self, channel: &Channel, presence: bool, place: Option<Position>) -> Asking {
        let is_new = self.entry(channel).is_none();
        self.state(channel).asking += 1;
        let entry = self.want(channel);
        entry.presence |= presence;
        if is_new {
            entry.position = place;
        }
        let recover = entry.position.clone().filter(|_| !entry.following);
        Asking { since: entry.since, recover, presence: entry.presence }
    }

    /// A subscribe message needs no answer any more.
    pub(super) fn asked(&mut self, channel: &Channel) {
        self.change(channel.as_str(), |state| state.asking = state.asking.saturating_sub(1));
    }

    /// The server confirmed one of our subscribe messages. The user may have unsubscribed since; `told`:
    /// somebody still waits to hear of it, and has the subscription from now on.
    pub(super) fn confirmed(
        &mut self,
        channel: &Channel,
        since: u64,
        told: bool,
        joined: Joined<P>,
    ) -> Option<Caught<P>> {
        let entry = self.entry_mut(channel.as_str()).filter(|entry| entry.since == since)?;
        entry.confirmed |= told;
        entry.join(joined)
    }

    /// A channel that we follow began another epoch, or lost some of its publications, or may have where none is kept. One that we follow no more,
    /// or not yet again, has nothing to do with that.
    pub(super) fn broken(&mut self, channel: &str, joined: Joined<P>) -> Option<Caught<P>> {
        self.entry_mut(channel).filter(|entry| entry.following)?.join(joined)
    }

    /// The server subscribed us of its own accord. A channel that is to be recovered waits for the answer to our own
    /// message, which says what was missed; `renewing`: it has not gone out yet.
    pub(super) fn added(
        &mut self,
        channel: &Channel,
        renewing: bool,
        joined: Joined<P>,
    ) -> Option<Caught<P>> {
        let is_asked = renewing || self.state(channel).asking > 0;
        let entry = self.want(channel);
        entry.confirmed = true;
        if is_asked && !entry.following && entry.position.is_some() && joined.position.is_some() {
            entry.added = joined.position;
            return None;
        }
        entry.join(joined)
    }

    /// The server confirmed a subscribe message that was given up.
    pub(super) fn confirmed_late(&mut self, channel: &str, joined: Joined<P>) -> Option<Caught<P>> {
        self.entry_mut(channel)?.join(joined)
    }

    /// A publication with an offset. Gives it back if it is the user's turn to hear it.
    pub(super) fn publication(&mut self, channel: &str, offset: u64, message: P) -> Option<P> {
        match self.publication_at(channel, offset) {
            Publication::Tell => return Some(message),
            Publication::Told => {}
            Publication::Long => {
                let held = &mut self.entry_mut(channel)?.held;
                // One that is lower may be of another epoch.
                if held.last().is_none_or(|(last, _)| *last != offset) {
                    held.push((offset, message));
                }
                if held.len() > MAX_HELD {
                    held.remove(0);
                }
            }
        }
        None
    }

    /// What is to be done with a publication of this offset: if it is to be told now, the user counts as told; one
    /// that has to be held has to take the long way.
    pub(super) fn publication_at(&mut self, channel: &str, offset: u64) -> Publication {
        // Nothing is known of the channel's offsets before the server's first frame.
        let Some(entry) = self.entry_mut(channel) else { return Publication::Tell };
        match &mut entry.position {
            None => Publication::Tell,
            Some(_) if !entry.following => Publication::Long,
            Some(position) if offset <= position.offset => Publication::Told,
            Some(position) => {
                position.offset = offset;
                Publication::Tell
            }
        }
    }

    /// What is held for a channel that is about to be forgotten.
    pub(super) fn take_held(&mut self, channel: &str) -> Vec<P> {
        self.entry_mut(channel).map(Entry::take_held).unwrap_or_default()
    }

    /// Behind the last publication that the user was told, on a channel with history.
    pub(super) fn position(&self, channel: &Channel) -> Option<&Position> {
        self.entry(channel)?.position.as_ref()
    }

    /// The server refused one of our subscribe messages. Gives what was held, too, when the channel is forgotten.
    /// `passing`: it may be granted later.
    pub(super) fn refused(&mut self, channel: &Channel, since: u64, passing: bool) -> (Refusal, Vec<P>) {
        let nothing = (Refusal::NoLoss, Vec::new());
        let Ok(index) = self.index(channel.as_str()) else { return nothing };
        let state = &mut self.channels[index].1;
        let entry = state.wanted.as_mut().filter(|entry| entry.since == since);
        let Some(entry) = entry else { return nothing };
        let refusal = match (entry.following, entry.confirmed) {
            _ if state.asking > 0 => return nothing,
            (true, true) => return nothing,
            (true, false) => Refusal::TakeBack,
            (false, true) if entry.added.is_some() => {
                entry.following = true;
                entry.position = entry.added.take();
                return (Refusal::Unrecovered, entry.take_held());
            }
            (false, true) if passing => return (Refusal::Later, Vec::new()),
            (false, true) => Refusal::Lost,
            (false, false) => Refusal::NoLoss,
        };
        let held = entry.take_held();
        self.forget(channel);
        (refusal, held)
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
                entry.added = None;
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
                entry.added = None;
                // It will be among what was missed.
                entry.held.clear();
                true
            })
        });
    }

    /// The wanted channels, oldest first; or of these only the `unasked`, which the server neither follows for us nor
    /// was asked for.
    pub(super) fn wanted(&self, unasked: bool) -> Vec<Channel> {
        let mut wanted: Vec<(u64, Channel)> = Vec::new();
        for (channel, state) in &self.channels {
            if let Some(entry) = &state.wanted
                && !(unasked && (entry.following || state.asking > 0))
            {
                let index = wanted.partition_point(|(other, _)| *other < entry.since);
                wanted.insert(index, (entry.since, channel.clone()));
            }
        }
        wanted.into_iter().map(|(_, channel)| channel).collect()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn want(&mut self, channel: &Channel) -> &mut Entry<P> {
        let since = self.last + 1;
        let is_new = self.entry(channel).is_none();
        self.last += u64::from(is_new);
        self.state(channel).wanted.get_or_insert_with(|| Entry::new(since))
    }

    fn entry(&self, channel: &Channel) -> Option<&Entry<P>> {
        self.find(channel.as_str())?.wanted.as_ref()
    }

    fn entry_mut(&mut self, channel: &str) -> Option<&mut Entry<P>> {
        let index = self.index(channel).ok()?;
        self.channels.get_mut(index)?.1.wanted.as_mut()
    }

    fn find(&self, channel: &str) -> Option<&State<P>> {
        let index = self.index(channel).ok()?;
        self.channels.get(index).map(|(_, state)| state)
    }

    fn state(&mut self, channel: &Channel) -> &mut State<P> {
        let index = match self.index(channel.as_str()) {
            Ok(index) => index,
            Err(index) => {
                self.channels.insert(index, (channel.clone(), State { wanted: None, asking: 0 }));
                index
            }
        };
        &mut self.channels[index].1
    }

    fn index(&self, channel: &str) -> Result<usize, usize> {
        self.channels.binary_search_by(|(other, _)| other.as_str().cmp(channel))
    }

    /// Changes what is known of a channel, and forgets one of which nothing is.
    fn change(&mut self, channel: &str, change: impl FnOnce(&mut State<P>)) {
        let Ok(index) = self.index(channel) else { return };
        let (_, state) = &mut self.channels[index];
        change(state);
        if state.asking == 0 && state.wanted.is_none() {
            self.channels.remove(index);
        }
    }
}

impl<P> Entry<P> {
    /// The server follows for us, from this place on.
    fn join(&mut self, joined: Joined<P>) -> Option<Caught<P>> {
        let was_following = std::mem::replace(&mut self.following, true);
        self.added = None;
        let Joined { position, recovered, publications, .. } = joined;
        let before = std::mem::replace(&mut self.position, position);
        let is_alarm = was_following && recovered == Some(false);
        // Without positions nobody knows what is missing, only, by an alarm, that something may be.
        if before.is_none() && !is_alarm {
            return None;
        }
        let (old, new) = (before.as_ref(), self.position.as_ref());
        let same_epoch = old.map(|old| &old.epoch) == new.map(|new| &new.epoch);
        if was_following && same_epoch && !is_alarm {
            // Another reader's confirmation. Publications come in their place, before it and after it.
            self.position = before;
            return None;
        }
        let recovered = old.is_some() && (same_epoch && recovered == Some(true) || old == new);
        if was_following && recovered {
            return None;
        }
        let publications = beyond(old.map_or(0, |old| old.offset), publications);
        let held = std::mem::take(&mut self.held);
        // What was recovered is not told again.
        let from = if recovered { self.position.as_ref().map_or(0, |position| position.offset) } else { 0 };
        if let Some(position) = &mut self.position {
            position.offset = held.iter().fold(position.offset, |last, (offset, _)| last.max(*offset));
        }
        Some(Caught { recovered, publications, held: beyond(from, held) })
    }
}

/// The messages whose offset is greater.
fn beyond<P>(offset: u64, publications: Vec<(u64, P)>) -> Vec<P> {
    let mut messages = Vec::new();
    for (other, message) in publications {
        if other > offset {
            messages.push(message);
        }
    }
    messages
}
