//! A broker whose publications reach the hub late, and whose history is read at any time: whoever joins gets
//! everything behind its place, once and in order.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokensocket_protocol::{Channel, Epoch, Position, RawJson};

use super::{Arrival, Found, Mended, Missed, Placed, ReadAgain, Track};
use crate::broker::Publication;
use crate::history::log::Log;
use crate::history::{History, HistoryPage, HistoryQuery, Kept};
use crate::timestamp::Timestamp;

const NOW: Timestamp = Timestamp(0);

fn history() -> History {
    History::new(6, Duration::from_secs(1))
}

fn message(n: u64) -> RawJson {
    RawJson::new(&n).unwrap_or_default()
}

fn position(epoch: u64, offset: u64) -> Position {
    Position { epoch: Epoch::from_random(epoch), offset }
}

fn publication(position: Position) -> Publication {
    let channel = Channel::new("c").unwrap_or_else(|_| unreachable!("this name is fine"));
    Publication { channel, message: message(position.offset), position: Some(position) }
}

/// A page that ends at `to` and was read since `since`.
fn page(epoch: u64, since: u64, to: u64) -> HistoryPage {
    let kept = |offset| Kept { offset, message: message(offset), at: NOW };
    HistoryPage {
        position: position(epoch, to),
        publications: (since + 1..=to).map(kept).collect(),
        gap: false,
        more: false,
    }
}

fn offsets(missed: &[Missed]) -> Vec<u64> {
    missed.iter().map(|missed| missed.offset).collect()
}

/// A track that was given publications up to an offset while somebody joins.
fn track(upto: u64) -> Track {
    let mut track = Track::default();
    track.begin();
    for offset in 1..=upto {
        assert_eq!(track.arrive(&publication(position(1, offset))), Arrival::Next);
    }
    track
}

fn place(
    track: &mut Track,
    recover: (u64, u64),
    page: &HistoryPage,
    since: u64,
) -> Result<Placed, ReadAgain> {
    let recover = position(recover.0, recover.1);
    track.place(&Found { recover: Some(&recover), page: Some((page, since)), last: false })
}

#[test]
fn what_the_hub_was_given_meanwhile_completes_what_was_read() -> Result<(), ReadAgain> {
    let mut track = track(7);
    let placed = place(&mut track, (1, 3), &page(1, 3, 5), 3)?;
    assert_eq!(offsets(&placed.missed), [4, 5, 6, 7]);
    assert_eq!((placed.position, placed.unseen), (Some(position(1, 7)), vec![]));
    Ok(())
}

#[test]
fn what_the_hub_was_not_given_yet_goes_to_those_who_are_here_and_is_known_later() -> Result<(), ReadAgain> {
    let mut track = track(5);
    let placed = place(&mut track, (1, 6), &page(1, 5, 8), 5)?;
    assert_eq!(offsets(&placed.missed), [7, 8]);
    assert_eq!(offsets(&placed.unseen), [6, 7, 8]);
    assert_eq!(placed.position, Some(position(1, 8)));
    assert_eq!(track.arrive(&publication(position(1, 8))), Arrival::Known);
    assert_eq!(track.arrive(&publication(position(1, 9))), Arrival::Next);
    Ok(())
}

#[test]
fn what_was_read_must_reach_those_who_are_here() {
    let mut track = track(5);
    // Read before the hub had a place, so only since what the joiner has.
    assert_eq!(place(&mut track, (1, 6), &page(1, 6, 8), 6), Err(ReadAgain));
    assert_eq!(track.seen(), Some(&position(1, 5)));
}

#[test]
fn without_a_note_of_what_came_meanwhile_it_reads_again() {
    let mut track = track(5);
    track.end();
    track.begin();
    assert_eq!(place(&mut track, (1, 1), &page(1, 1, 3), 1), Err(ReadAgain));
    let recover = position(1, 1);
    let read = page(1, 1, 3);
    let last = Found { recover: Some(&recover), page: Some((&read, 1)), last: true };
    let placed = track.place(&last).map(|placed| (placed.recovered, placed.position));
    assert_eq!(placed, Ok((Some(false), Some(position(1, 5)))));
}

#[test]
fn a_place_of_another_epoch_or_still_to_come_is_not_recovered() -> Result<(), ReadAgain> {
    for (recover, since) in [((2, 3), 3), ((1, 9), 5)] {
        let mut track = track(5);
        let placed = place(&mut track, recover, &page(1, since.min(5), 5), since)?;
        assert_eq!((placed.recovered, placed.position), (Some(false), Some(position(1, 5))));
    }
    Ok(())
}

#[test]
fn another_epoch_is_a_break_right_before_what_comes() {
    for hole in [false, true] {
        let mut track = track(5);
        if hole {
            assert_eq!(track.arrive(&publication(position(1, 7))), Arrival::Held(true));
        }
        let next = position(2, 1);
        assert_eq!(track.arrive(&publication(next.clone())), Arrival::Break(position(2, 0)));
        assert_eq!(track.arrive(&publication(next.clone())), Arrival::Next);
        assert_eq!(track.arrive(&publication(next)), Arrival::Known);
        assert!(!track.has_hole());
    }
}

/// A track that was given 5, then what is behind a hole.
fn holed(behind: impl IntoIterator<Item = u64>) -> Track {
    let mut track = track(5);
    for (at, offset) in behind.into_iter().enumerate() {
        assert_eq!(track.arrive(&publication(position(1, offset))), Arrival::Held(at == 0));
    }
    track
}

fn mended(track: &mut Track, page: &HistoryPage, since: u64) -> (Vec<u64>, Option<Position>, Vec<u64>, bool) {
    let Mended { unseen, place, behind, again } = track.mend(page, Some(&position(1, since)));
    (offsets(&unseen), place, offsets(&behind), again)
}

#[test]
fn what_is_behind_a_hole_follows_what_was_read() {
    for (read, held) in [(8, 8..=8), (9, 8..=12), (11, 8..=12), (14, 8..=12)] {
        let mut track = holed(held.clone());
        let all: Vec<_> = (6..=read.max(*held.end())).collect();
        assert_eq!(mended(&mut track, &page(1, 5, read), 5), (all.clone(), None, vec![], false));
        assert_eq!(track.seen(), Some(&position(1, all.len() as u64 + 5)));
        assert!(!track.has_hole());
        let next = position(1, all.len() as u64 + 6);
        assert_eq!(track.arrive(&publication(next)), Arrival::Next);
    }
}

#[test]
fn what_was_read_too_early_is_given_and_the_rest_read_again() {
    let mut track = holed([8, 9, 14]);
    assert_eq!(mended(&mut track, &page(1, 5, 10), 5), (vec![6, 7, 8, 9, 10], None, vec![], true));
    assert_eq!(mended(&mut track, &page(1, 10, 13), 10), (vec![11, 12, 13, 14], None, vec![], false));
}

#[test]
fn what_history_does_not_have_any_more_is_lost_and_what_is_held_goes_on() {
    let mut track = holed([8, 9]);
    let mut late = page(1, 7, 9);
    late.gap = true;
    let place = Some(position(1, 7));
    assert_eq!(mended(&mut track, &late, 5), (vec![], place, vec![8, 9], false));
    assert_eq!(track.arrive(&publication(position(1, 10))), Arrival::Next);
}

#[test]
fn a_channel_that_began_anew_or_lost_its_end_is_told_where_it_stands() {
    for read in [page(2, 0, 3), page(1, 3, 3)] {
        let mut track = track(5);
        assert_eq!(mended(&mut track, &read, 5), (vec![], Some(read.position.clone()), vec![], false));
        let Position { epoch, offset } = read.position;
        let next = Position { epoch, offset: offset + 1 };
        assert_eq!(track.arrive(&publication(next)), Arrival::Next);
    }
}

#[test]
fn where_nothing_is_missing_nothing_is_said() {
    let mut track = track(5);
    assert_eq!(mended(&mut track, &page(1, 5, 5), 5), (vec![], None, vec![], false));
    // It was read before the last ones came.
    assert_eq!(mended(&mut track, &page(1, 3, 3), 3), (vec![], None, vec![], false));
    assert_eq!(track.seen(), Some(&position(1, 5)));
}

#[test]
fn who_knows_no_place_yet_begins_where_the_channel_stands() {
    let mut track = Track::default();
    assert_eq!(track.mend(&page(1, 9, 9), None), Mended::default());
    assert_eq!(track.seen(), Some(&position(1, 9)));
}

#[test]
fn so_much_is_held_and_no_more() {
    let mut track = holed(8..=3000);
    assert!(!mended(&mut track, &page(1, 5, 2000), 5).3);
    let mut track = holed(8..=3000);
    assert!(mended(&mut track, &page(1, 5, 1900), 5).3);
    assert!(!mended(&mut track, &page(1, 1900, 3000), 1900).3);
    assert_eq!(track.seen(), Some(&position(1, 3000)));
}

/// One that joins, or has joined.
#[derive(Default)]
struct Joiner {
    recover: Option<Position>,
    read: Option<(HistoryPage, u64)>,
    readings: usize,
    /// What it has, and since where.
    got: Option<(Position, Vec<u64>)>,
    told_break: bool,
}

/// A broker, a hub, and those who join.
struct World {
    rng: StdRng,
    epoch: u64,
    log: Log<RawJson>,
    /// What the hub was not given yet.
    late: Vec<Position>,
    track: Track,
    joiners: BTreeMap<usize, Joiner>,
    recovered: usize,
    /// What was read to mend.
    read: Option<(HistoryPage, Option<Position>)>,
    mended: usize,
    lost: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            epoch: 1,
            log: Log::new(Epoch::from_random(1), history(), NOW),
            late: Vec::new(),
            track: Track::default(),
            joiners: BTreeMap::new(),
            recovered: 0,
            read: None,
            mended: 0,
            lost: 0,
        }
    }

    fn publish(&mut self) {
        let offset = self.log.position().offset + 1;
        self.log.append(NOW, message(offset), 1, &history());
        self.late.push(self.log.position());
    }

    /// The broker loses all it has.
    fn restart(&mut self) {
        self.epoch += 1;
        self.log = Log::new(Epoch::from_random(self.epoch), history(), NOW);
    }

    fn deliver(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let position = self.late.remove(0);
        loop {
            match self.track.arrive(&publication(position.clone())) {
                Arrival::Known | Arrival::Held(_) => return,
                Arrival::Next => return self.give(position.offset),
                Arrival::Break(place) => self.tell_break(&place),
            }
        }
    }

    fn tell_break(&mut self, place: &Position) {
        for joiner in self.joiners.values_mut().filter(|joiner| joiner.got.is_some()) {
            joiner.check();
            joiner.told_break = true;
            joiner.got = Some((place.clone(), Vec::new()));
        }
    }

    /// The engine was away for some publications.
    fn cut(&mut self) {
        let some = self.rng.random_range(0..=self.late.len().min(3));
        self.late.drain(..some);
    }

    fn read_missing(&mut self) {
        let since = self.track.seen().cloned();
        let page = self.select(since.clone());
        self.read = Some((page, since));
    }

    /// Whether that was not all.
    fn mend(&mut self) -> bool {
        let Some((page, since)) = self.read.take() else { return true };
        let Mended { unseen, place, behind, again } = self.track.mend(&page, since.as_ref());
        self.mended += unseen.len();
        for missed in unseen {
            self.give(missed.offset);
        }
        if let Some(place) = place {
            self.lost += 1;
            self.tell_break(&place);
        }
        for missed in behind {
            self.give(missed.offset);
        }
        again
    }

    fn select(&mut self, since: Option<Position>) -> HistoryPage {
        let selection = self.log.select(&HistoryQuery { since, ..HistoryQuery::default() }, NOW);
        let kept = |offset| Kept { offset, message: message(offset), at: NOW };
        HistoryPage {
            publications: selection.offsets().map(kept).collect(),
            position: selection.position,
            gap: selection.gap,
            more: false,
        }
    }

    fn give(&mut self, offset: u64) {
        for joiner in self.joiners.values_mut() {
            if let Some((_, got)) = &mut joiner.got {
                got.push(offset);
            }
        }
    }

    fn begin(&mut self, id: usize) {
        self.track.begin();
        let top = self.log.position().offset;
        let offset = self.rng.random_range(top.saturating_sub(7)..=top + 1);
        let recover = self.rng.random_bool(0.8).then(|| position(self.epoch, offset));
        self.joiners.insert(id, Joiner { recover, ..Joiner::default() });
    }

    fn read(&mut self, id: usize) {
        let Some(joiner) = self.joiners.get_mut(&id) else { return };
        let seen = self.track.seen().cloned();
        let since = match (&joiner.recover, seen) {
            (Some(recover), Some(seen)) if seen.epoch == recover.epoch && seen.offset < recover.offset => {
                Some(seen)
            }
            (recover, _) => recover.clone(),
        };
        let offset = since.as_ref().map_or(u64::MAX, |since| since.offset);
        let page = self.select(since);
        let Some(joiner) = self.joiners.get_mut(&id) else { return };
        joiner.read = Some((page, offset));
        joiner.readings += 1;
    }

    fn join(&mut self, id: usize) {
        let Some(mut joiner) = self.joiners.remove(&id) else { return };
        if let (None, Some((page, since))) = (&joiner.got, joiner.read.take()) {
            let last = joiner.readings == 4;
            let recover = joiner.recover.as_ref();
            let found = Found { recover, page: Some((&page, since)), last };
            if let Ok(placed) = self.track.place(&found) {
                for unseen in &placed.unseen {
                    self.give(unseen.offset);
                }
                let is_recovered = placed.recovered == Some(true);
                self.recovered += usize::from(is_recovered);
                let from = if is_recovered { joiner.recover.clone() } else { placed.position };
                joiner.got = from.map(|from| (from, offsets(&placed.missed)));
                self.track.end();
            }
        }
        self.joiners.insert(id, joiner);
    }
}

impl Joiner {
    /// It got everything behind its place, once and in order.
    fn check(&self) {
        if let Some((from, got)) = &self.got {
            let expected: Vec<_> = (from.offset + 1..).take(got.len()).collect();
            assert_eq!(*got, expected, "since {from}");
        }
    }
}

#[test]
fn whoever_joins_gets_everything_behind_its_place_once_and_in_order() {
    let (mut recovered, mut mended, mut lost) = (0, 0, 0);
    for seed in 0..4000 {
        let mut world = World::new(seed);
        for step in 0..200 {
            let id = world.rng.random_range(0..12);
            match world.rng.random_range(0..100) {
                0..30 => world.publish(),
                30..60 => world.deliver(),
                60..70 => world.begin(step),
                70..71 if seed % 4 == 0 => world.restart(),
                71..74 if seed % 2 == 0 => world.cut(),
                74..77 => world.read_missing(),
                77..80 => drop(world.mend()),
                _ => {
                    let ids: Vec<_> = world.joiners.keys().copied().collect();
                    if let Some(id) = ids.get(id) {
                        if world.rng.random_bool(0.5) { world.read(*id) } else { world.join(*id) }
                    }
                }
            }
        }
        while !world.late.is_empty() {
            world.deliver();
        }
        world.read_missing();
        while world.mend() {
            world.read_missing();
        }
        let end = world.log.position();
        for joiner in world.joiners.values() {
            joiner.check();
            if let Some((from, got)) = &joiner.got
                && from.epoch == end.epoch
            {
                assert_eq!(
                    from.offset + got.len() as u64,
                    end.offset,
                    "seed {seed}: nothing is missing at the end"
                );
            }
            let broke = seed % 4 == 0 || world.lost > 0;
            assert!(broke || !joiner.told_break, "seed {seed}: nothing broke");
        }
        recovered += world.recovered;
        mended += world.mended;
        lost += world.lost;
    }
    assert!(mended > 1000 && mended > 2 * lost, "{mended} were mended, and {lost} times some were lost");
    assert!(recovered > 1000, "{recovered} were recovered");
}
