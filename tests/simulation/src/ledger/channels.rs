//! Publications: everybody hears the same order, nothing twice, and nothing is missing where a subscription went on.
//!
//! On a channel without history a subscription goes on while its connection does. On one with history it goes on
//! until its client is told that it could not be recovered.

use std::collections::{BTreeMap, HashMap, HashSet};

use tokensocket_protocol::client::CallId;

use crate::client::ClientName;

/// What was said on every channel, and who heard what.
#[derive(Default)]
pub(super) struct Channels {
    channels: BTreeMap<String, Said>,
    followers: BTreeMap<(ClientName, String), Follower>,
}

/// What was said on a channel.
#[derive(Default)]
struct Said {
    order: Vec<u64>,
    places: HashMap<u64, usize>,
    /// From which place on the channel goes on without having forgotten anything.
    begins: usize,
    /// Broadcasts, which a channel with history does not keep and so may lose.
    passing: HashSet<u64>,
}

/// What a client has heard of a channel.
#[derive(Default)]
struct Follower {
    /// Where the last thing it heard stands.
    last: Option<usize>,
    run: Run,
    /// The latest request by which it wanted to leave.
    leaves: Option<CallId>,
}

/// How what is heard next follows what was heard before.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Run {
    /// Not followed, or not known to be: gaps are no wonder.
    #[default]
    Loose,
    /// The subscription begins, or begins again: one gap.
    Begins,
    /// Right behind it.
    GoesOn,
}

/// Whether a channel of this name has a history.
pub(crate) fn keeps(channel: &str) -> bool {
    channel.starts_with("kept.")
}

impl Channels {
    /// The broker handed it to the node.
    pub(super) fn accepted(&mut self, channel: &str, number: u64, violations: &mut Vec<String>) {
        let said = self.channels.entry(channel.to_owned()).or_default();
        let before = said.places.insert(number, said.order.len());
        // A broker that forgot everything has forgotten keys, too.
        if before.is_some_and(|before| before >= said.begins) {
            violations.push(format!("{number} was accepted twice on {channel}"));
        }
        said.order.push(number);
    }

    /// It was broadcast on a channel that does not keep it.
    pub(super) fn passed(&mut self, channel: &str, number: u64) {
        self.channels.entry(channel.to_owned()).or_default().passing.insert(number);
    }

    /// What a broker found on its disk: all that was accepted, and perhaps something behind it that was written and
    /// that nobody has seen.
    pub(super) fn kept(&mut self, channel: &str, numbers: &[u64], violations: &mut Vec<String>) {
        let said = self.channels.entry(channel.to_owned()).or_default();
        let news =
            numbers.iter().position(|number| !said.places.contains_key(number)).unwrap_or(numbers.len());
        let (known, new) = numbers.split_at(news);
        if said.order != known {
            violations.push(format!("{channel} kept {known:?} of {:?}", said.order));
        }
        for number in new {
            self.accepted(channel, *number, violations);
        }
    }

    /// All that was kept is gone.
    pub(super) fn forgotten(&mut self) {
        for said in self.channels.values_mut() {
            said.begins = said.order.len();
        }
    }

    /// The client is told that what it missed is lost to it. Says whether that is a wonder.
    pub(super) fn unrecovered(&mut self, client: ClientName, channel: &str) -> bool {
        if !keeps(channel) {
            // That something may be missing is all that can be said there. Nothing is, here: it excuses nothing.
            return false;
        }
        let Some(follower) = self.followers.get_mut(&(client, channel.to_owned())) else { return false };
        if follower.run == Run::GoesOn {
            follower.run = Run::Begins;
        }
        let begins = self.channels.get(channel).map_or(0, |said| said.begins);
        follower.last.is_some_and(|last| last + 1 > begins)
    }

    /// Its publisher was told that it was accepted.
    pub(super) fn published(&mut self, channel: &str, number: u64, violations: &mut Vec<String>) {
        let known = self.channels.get(channel).is_some_and(|said| said.places.contains_key(&number));
        if !known {
            violations.push(format!("{number} on {channel} was said to be accepted, and was not"));
        }
    }

    pub(super) fn heard(
        &mut self,
        client: ClientName,
        channel: &str,
        number: u64,
        violations: &mut Vec<String>,
    ) {
        let said = self.channels.get(channel);
        if said.is_some_and(|said| said.passing.contains(&number)) {
            return;
        }
        let place = said.and_then(|said| said.places.get(&number)).copied();
        let Some(place) = place else {
            return violations
                .push(format!("client {client} heard {number} on {channel}, which nobody said"));
        };
        let follower = self.followers.entry((client, channel.to_owned())).or_default();
        if let Some(last) = follower.last {
            if place <= last {
                violations.push(format!(
                    "client {client} heard {number} on {channel} twice or too late: place {place} after {last}"
                ));
            } else if place != last + 1 && follower.run == Run::GoesOn {
                violations.push(format!(
                    "client {client} missed {} on {channel}: heard place {place} after {last}",
                    place - last - 1
                ));
            }
        }
        follower.last = Some(place);
        if follower.run == Run::Begins {
            follower.run = Run::GoesOn;
        }
    }

    /// The client wants to leave by this request.
    pub(super) fn leaves(&mut self, client: ClientName, channel: &str, call: CallId) {
        let follower = self.followers.entry((client, channel.to_owned())).or_default();
        (follower.run, follower.leaves) = (Run::Loose, Some(call));
    }

    /// The client is told that it follows the channel, as it wanted by this request.
    pub(super) fn joined(&mut self, client: ClientName, channel: &str, call: CallId) {
        let follower = self.followers.entry((client, channel.to_owned())).or_default();
        if follower.run == Run::Loose && follower.leaves.is_none_or(|leaves| leaves < call) {
            follower.run = Run::Begins;
        }
    }

    /// The client is told that it left.
    pub(super) fn left(&mut self, client: ClientName, channel: &str) {
        if let Some(follower) = self.followers.get_mut(&(client, channel.to_owned())) {
            follower.run = Run::Loose;
        }
    }

    /// The client's connection is gone. On a channel with history the subscription goes on all the same.
    pub(super) fn disconnected(&mut self, client: ClientName) {
        for ((_, _), follower) in
            self.followers.iter_mut().filter(|((other, channel), _)| *other == client && !keeps(channel))
        {
            if follower.run == Run::GoesOn {
                follower.run = Run::Begins;
            }
        }
    }

    pub(super) fn forget(&mut self, client: ClientName) {
        self.followers.retain(|(other, _), _| *other != client);
    }

    /// The last publication was followed by nothing, and the client follows: it must have heard it.
    pub(super) fn heard_all(&self, client: ClientName, channel: &str, violations: &mut Vec<String>) {
        let Some(said) = self.channels.get(channel) else { return };
        let heard = self.followers.get(&(client, channel.to_owned())).and_then(|follower| follower.last);
        if heard.map_or(0, |last| last + 1) != said.order.len() {
            violations.push(format!(
                "client {client} follows {channel} and heard up to {heard:?} of {} publications",
                said.order.len()
            ));
        }
    }
}
