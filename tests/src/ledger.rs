//! What was promised, and whether it was kept.
//!
//! In: publications and deliveries that were acknowledged, and what followers and devices were given. Out: nothing, or
//! a panic that says what was lost, came twice, or in another order.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Which caller said which number. The numbers of a caller grow.
pub type Said = (u64, u64);

/// What was acknowledged so far. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Promised>>);

#[derive(Debug, Default)]
struct Promised {
    /// Of each channel: where each publication stands, as `EPOCH:OFFSET`, in the order of their acknowledgements.
    published: HashMap<String, Vec<(Said, String)>>,
    /// Of each user.
    delivered: HashMap<String, Vec<Said>>,
}

impl Ledger {
    /// A publication was acknowledged.
    pub fn published(&self, channel: &str, said: Said, position: impl Display) {
        let position = position.to_string();
        self.lock().published.entry(channel.to_owned()).or_default().push((said, position));
    }

    /// A delivery was acknowledged.
    pub fn delivered(&self, user: &str, said: Said) {
        self.lock().delivered.entry(user.to_owned()).or_default().push(said);
    }

    /// How many publications and deliveries were acknowledged.
    pub fn counts(&self) -> (usize, usize) {
        let promised = self.lock();
        let published = promised.published.values().map(Vec::len).sum();
        (published, promised.delivered.values().map(Vec::len).sum())
    }

    /// What was acknowledged on a channel.
    pub fn on(&self, channel: &str) -> Vec<Said> {
        self.lock().published.get(channel).into_iter().flatten().map(|(said, _)| *said).collect()
    }

    /// What was acknowledged for a user.
    pub fn to(&self, user: &str) -> Vec<Said> {
        self.lock().delivered.get(user).cloned().unwrap_or_default()
    }

    /// What a channel has kept must hold each acknowledged publication, once, at its position, each caller's in the order
    /// in which they were acknowledged. `kept` is in the channel's order.
    pub fn check_history(&self, channel: &str, kept: &[(Said, String)]) {
        let mut at = HashMap::new();
        for (place, (said, position)) in kept.iter().enumerate() {
            let before = at.insert(*said, (place, position));
            assert_eq!(
                before, None,
                "{said:?} stands twice on {channel}, here in place {place} at {position}"
            );
        }
        let promised = self.lock();
        let mut last: HashMap<u64, usize> = HashMap::new();
        for (said, position) in promised.published.get(channel).into_iter().flatten() {
            let Some((place, there)) = at.get(said) else {
                panic!("{said:?} was acknowledged at {position} on {channel}, and is not kept")
            };
            assert_eq!(*there, position, "{said:?} on {channel}");
            let before = last.insert(said.0, *place);
            assert!(before.is_none_or(|before| before < *place), "{said:?} on {channel} is out of order");
        }
    }

    /// A follower that was there before the first publication must have heard all that was acknowledged, in the order in
    /// which the channel has kept it, nothing of it twice. Behind that may stand what came since `kept` was read.
    pub fn check_follower(&self, who: &str, channel: &str, heard: &[Said], kept: &[(Said, String)]) {
        for (place, (heard, (kept, _))) in heard.iter().zip(kept).enumerate() {
            assert_eq!(heard, kept, "{who} on {channel}: what it heard in place {place} and what is kept");
        }
        let mut all = HashSet::new();
        for said in heard {
            assert!(all.insert(*said), "{who} heard {said:?} twice on {channel}");
        }
        let lost: Vec<Said> = self.on(channel).into_iter().filter(|said| !all.contains(said)).collect();
        assert!(lost.is_empty(), "{who} never heard {lost:?} on {channel}");
    }

    /// A device must have been handed all that was acknowledged for its user, once, each caller's in order.
    pub fn check_device(&self, who: &str, user: &str, handed: &[Said]) {
        let mut at = HashMap::new();
        for (place, said) in handed.iter().enumerate() {
            assert_eq!(at.insert(*said, place), None, "{who} was handed {said:?} twice");
        }
        let mut last: HashMap<u64, usize> = HashMap::new();
        let mut lost = Vec::new();
        for said in self.to(user) {
            let Some(place) = at.get(&said) else {
                lost.push(said);
                continue;
            };
            let before = last.insert(said.0, *place);
            assert!(before.is_none_or(|before| before < *place), "{who} was handed {said:?} out of order");
        }
        assert!(lost.is_empty(), "{who} was never handed {} of them: {lost:?}", lost.len());
    }

    fn lock(&self) -> MutexGuard<'_, Promised> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(numbers: &[u64]) -> Vec<(Said, String)> {
        numbers.iter().enumerate().map(|(at, number)| ((0, *number), format!("e:{}", at + 1))).collect()
    }

    fn ledger() -> Ledger {
        let ledger = Ledger::default();
        for (said, position) in kept(&[1, 2, 3]) {
            ledger.published("news", said, position);
            ledger.delivered("ann", said);
        }
        ledger
    }

    fn fails(check: impl FnOnce() + std::panic::UnwindSafe) -> bool {
        std::panic::catch_unwind(check).is_err()
    }

    #[test]
    fn believes_what_was_kept() {
        let ledger = ledger();
        ledger.check_history("news", &kept(&[1, 2, 3]));
        ledger.check_follower("bob", "news", &[(0, 1), (0, 2), (0, 3)], &kept(&[1, 2, 3]));
        // What was not acknowledged may be there, and may have come a moment ago.
        for kept in [&kept(&[1, 2, 3, 4]), &kept(&[1, 2, 3])] {
            ledger.check_follower("bob", "news", &[(0, 1), (0, 2), (0, 3), (0, 4)], kept);
        }
        ledger.check_device("ann's phone", "ann", &[(0, 1), (0, 2), (1, 9), (0, 3)]);
    }

    #[test]
    fn finds_what_was_lost_came_twice_or_in_another_order() {
        assert!(fails(|| ledger().check_history("news", &kept(&[1, 2]))));
        assert!(fails(|| ledger().check_history("news", &kept(&[1, 2, 3, 3]))));
        assert!(fails(|| ledger().check_history("news", &kept(&[2, 1, 3]))));
        let mut elsewhere = kept(&[1, 2, 3]);
        elsewhere[1].1 = "another:2".to_owned();
        assert!(fails(|| ledger().check_history("news", &elsewhere)));
        let backwards = Ledger::default();
        for (said, position) in kept(&[1, 2]).into_iter().rev() {
            backwards.published("news", said, position);
        }
        assert!(fails(|| backwards.check_history("news", &kept(&[1, 2]))));
        for heard in
            [&[1, 2][..], &[1, 3], &[2, 3], &[1, 2, 2, 3], &[1, 2, 3, 3], &[1, 2, 3, 1], &[2, 1, 3], &[]]
        {
            let heard: Vec<Said> = heard.iter().map(|number| (0, *number)).collect();
            assert!(fails(|| ledger().check_follower("bob", "news", &heard, &kept(&[1, 2, 3]))));
            assert!(fails(|| ledger().check_device("ann's phone", "ann", &heard)));
        }
    }
}
