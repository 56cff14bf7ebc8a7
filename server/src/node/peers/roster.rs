//! Which other nodes are there.
//!
//! In: what they say of themselves, and the time. Out: who is there, and who was not heard for too long. Sends nothing
//! and asks no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::info::NodeInfo;
use crate::node_id::NodeId;
use crate::socket::SocketId;

/// How many nodes are known at most. What says that it is one more is passed over.
const MOST: usize = 1024;
/// Three words of a node may be missed, and the next be a little late.
const MISSED: f64 = 3.5;
/// How often a node may say that it does so.
const EVERY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_hours(1));

/// The other nodes.
#[derive(Debug, Default)]
pub(super) struct Roster {
    known: BTreeMap<NodeId, Known>,
    looked: Option<Instant>,
}

#[derive(Debug)]
struct Known {
    info: NodeInfo,
    heard: Instant,
    every: Duration,
}

/// What a word of a node was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The first of it.
    New,
    /// One of many.
    Again,
    /// Too many are known.
    Full,
}

impl Roster {
    /// A node says that it is there, and how often it does.
    pub(super) fn hear(&mut self, info: NodeInfo, every: Duration, now: Instant) -> Heard {
        let is_known = self.known.contains_key(&info.id);
        if !is_known && self.known.len() >= MOST {
            return Heard::Full;
        }
        let every = every.clamp(EVERY.0, EVERY.1);
        self.known.insert(info.id, Known { info, heard: now, every });
        if is_known { Heard::Again } else { Heard::New }
    }

    /// A node says that it has ended; `false` when it was not known.
    pub(super) fn end(&mut self, id: NodeId) -> bool {
        self.known.remove(&id).is_some()
    }

    /// Forgets who was silent for too long, and says who that was. To be called at least once within `often`: if it
    /// was not, this process stood still, and may have words of the others that it has not read yet. Whoever is `cut_off`
    /// from the engine forgets nobody: the others may well be there, and what is asked of all has to count them.
    pub(super) fn expire(&mut self, now: Instant, often: Duration, cut_off: bool) -> Vec<NodeInfo> {
        let stood_still = self.looked.replace(now).is_some_and(|looked| now.duration_since(looked) > often);
        if stood_still || cut_off {
            self.known.values_mut().for_each(|known| known.heard = now);
            return Vec::new();
        }
        let is_silent = |known: &Known| now.duration_since(known.heard) > known.every.mul_f64(MISSED);
        let silent: Vec<NodeId> =
            self.known.iter().filter(|(_, known)| is_silent(known)).map(|(id, _)| *id).collect();
        silent.into_iter().filter_map(|id| self.known.remove(&id)).map(|known| known.info).collect()
    }

    pub(super) fn ids(&self) -> Vec<NodeId> {
        self.known.keys().copied().collect()
    }

    pub(super) fn infos(&self) -> Vec<NodeInfo> {
        self.known.values().map(|known| known.info.clone()).collect()
    }

    /// The nodes that give names as this one: one, if any.
    pub(super) fn nodes_of(&self, socket: SocketId) -> Vec<NodeId> {
        self.known.keys().copied().filter(|id| socket.is_of(*id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;

    const EACH: Duration = Duration::from_secs(3);
    const OFTEN: Duration = Duration::from_secs(1);

    fn info(number: u64) -> NodeInfo {
        let (name, version) = ("a".into(), "1".into());
        let id = NodeId::from_number(number);
        let began = Timestamp(0);
        NodeInfo { id, name, version, began, sockets: 0, channels: 0, load: 0.0, draining: false }
    }

    /// Looks each second, until `until`.
    fn watch(roster: &mut Roster, from: Instant, until: u64) -> Vec<(u64, NodeId)> {
        let at = |second| from + Duration::from_secs(second);
        let gone =
            |second| roster.expire(at(second), OFTEN, false).into_iter().map(move |info| (second, info.id));
        (0..=until).flat_map(gone).collect()
    }

    #[test]
    fn forgets_who_missed_three() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        assert_eq!(roster.hear(info(1), EACH, now), Heard::New);
        assert_eq!(roster.hear(info(2), EACH * 2, now), Heard::New);
        assert_eq!(roster.hear(info(1), EACH, now), Heard::Again);
        assert_eq!(watch(&mut roster, now, 30), [(11, NodeId::from_number(1)), (22, NodeId::from_number(2))]);
        assert!(roster.ids().is_empty());
        assert_eq!(roster.hear(info(1), EACH, now), Heard::New);
        assert!(roster.end(NodeId::from_number(1)) && !roster.end(NodeId::from_number(1)));
    }

    #[test]
    fn takes_nobody_for_silent_after_standing_still() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        let _ = roster.hear(info(1), EACH, now);
        assert!(roster.expire(now, OFTEN, false).is_empty());
        let later = now + Duration::from_mins(1);
        assert!(roster.expire(later, OFTEN, false).is_empty());
        assert_eq!(watch(&mut roster, later, 20), [(11, NodeId::from_number(1))]);
    }

    #[test]
    fn forgets_nobody_while_it_is_cut_off() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        let _ = roster.hear(info(1), EACH, now);
        for second in 0..60 {
            assert!(roster.expire(now + Duration::from_secs(second), OFTEN, true).is_empty());
        }
        let back = now + Duration::from_secs(59);
        assert_eq!(watch(&mut roster, back, 20), [(11, NodeId::from_number(1))], "dead meanwhile");
    }

    #[test]
    fn knows_no_more_than_it_may() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        for number in 0..MOST as u64 {
            assert_eq!(roster.hear(info(number), EACH, now), Heard::New);
        }
        assert_eq!(roster.hear(info(u64::MAX), EACH, now), Heard::Full);
        assert_eq!(roster.hear(info(0), EACH, now), Heard::Again);
    }
}
