//! What waits to be told, each user's in order.
//!
//! In: updates. Out: the next of a user. Bounded for each user and for all: a user who comes and goes while the site
//! is down is in the end what it was last.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Update;

/// How many may wait for one user. One more takes the place of the oldest two, so that the last of each kind stays.
const OF_ONE: usize = 16;
/// How many may wait for all.
const OF_ALL: usize = 100_000;

/// There is no room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Whether somebody has to begin with this user.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Begin(pub(super) bool);

#[derive(Debug, Default)]
pub(super) struct Queues {
    users: HashMap<Arc<str>, VecDeque<Update>>,
    all: usize,
}

impl Queues {
    pub(super) fn push(&mut self, user: &Arc<str>, update: Update) -> Result<Begin, Full> {
        if self.all >= OF_ALL {
            return Err(Full);
        }
        self.all += 1;
        let Some(queue) = self.users.get_mut(user) else {
            self.users.insert(Arc::clone(user), VecDeque::from([update]));
            return Ok(Begin(true));
        };
        queue.push_back(update);
        if queue.len() > OF_ONE {
            // They came and went: nobody has to know any more.
            queue.drain(..2);
            self.all -= 2;
        }
        Ok(Begin(false))
    }

    /// The next for a user. `None`: there is none, and who comes next begins anew.
    pub(super) fn next(&mut self, user: &Arc<str>) -> Option<Update> {
        let next = self.users.get_mut(user).and_then(VecDeque::pop_front);
        match next {
            Some(_) => self.all -= 1,
            None => drop(self.users.remove(user)),
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Became;
    use super::*;

    fn update(number: usize) -> Update {
        Update { became: Became::Connected, url: None, body: json!(number), authorization: None }
    }

    #[test]
    fn each_user_is_told_in_order_by_one() {
        let (mut queues, ann, bob) = (Queues::default(), Arc::from("ann"), Arc::from("bob"));
        assert_eq!(queues.push(&ann, update(1)), Ok(Begin(true)));
        assert_eq!(queues.push(&bob, update(2)), Ok(Begin(true)));
        assert_eq!(queues.push(&ann, update(3)), Ok(Begin(false)));
        let mut numbers = || queues.next(&ann).map(|update| update.body);
        assert_eq!([numbers(), numbers(), numbers()], [Some(json!(1)), Some(json!(3)), None]);
        assert_eq!(queues.push(&ann, update(4)), Ok(Begin(true)));
    }

    #[test]
    fn a_user_who_comes_and_goes_does_not_fill_the_memory() {
        let (mut queues, ann) = (Queues::default(), Arc::from("ann"));
        for number in 0..1_000 {
            assert!(queues.push(&ann, update(number)).is_ok());
        }
        assert!(queues.all <= OF_ONE);
        let left: Vec<_> = std::iter::from_fn(|| queues.next(&ann)).map(|update| update.body).collect();
        assert_eq!(left.last(), Some(&json!(999)));
        assert_eq!(left[0].as_u64().map(|number| number % 2), Some(0), "pairs go together");
    }
}
