#![allow(clippy::unwrap_used, reason = "a test may stop at what it does not expect")]

use super::*;

const TOPIC: &str = "a.x";
const GLOBS: [&str; 2] = ["a.*", "*.x"];

/// Means by each glob all that Redis finds by it.
struct Everything;

impl Follower for Everything {
    fn receive(&self, _: &mut Vec<(Arc<str>, Bytes)>) {}

    fn gap(&self, _: Vec<Topic>) {}
}

/// A book of a server that has confirmed all that is wished, and one who follows.
struct Bench {
    book: Book,
    ticket: Ticket,
    _follower: Arc<Everything>,
}

fn name() -> Topic {
    Topic::Name(TOPIC.into())
}

impl Bench {
    /// It follows the globs.
    fn new() -> Self {
        let follower = Arc::new(Everything);
        let weak: Weak<Everything> = Arc::downgrade(&follower);
        let ticket = Ticket { number: 7, follower: weak };
        let mut bench = Self { book: Book::default(), ticket, _follower: follower };
        bench.book.begin();
        for glob in GLOBS {
            bench.follow(&Topic::Glob(glob.into()));
        }
        bench.confirm();
        bench
    }

    fn follow(&mut self, topic: &Topic) {
        self.book.follow(topic, &self.ticket, oneshot::channel().0);
    }

    fn unfollow(&mut self, topic: &Topic) {
        self.book.unfollow(topic, self.ticket.number, oneshot::channel().0);
    }

    /// The server does all that is to be said.
    fn confirm(&mut self) {
        for (topic, is_followed) in self.book.next(usize::MAX) {
            self.book.confirmed(&topic, is_followed);
            self.book.answered(&topic, None);
        }
    }

    /// A publication by its name; how often it is handed on.
    fn by_name(&mut self) -> usize {
        let mut count = 0;
        self.book.message(TOPIC, &Bytes::new(), |_, _| count += 1);
        count
    }

    fn by_glob(&mut self, glob: &str) -> usize {
        let mut count = 0;
        self.book.matched(glob, TOPIC, &Bytes::new(), |_, _| count += 1);
        count
    }
}

#[test]
fn what_comes_in_several_ways_is_handed_on_once() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        assert_eq!(GLOBS.map(|glob| bench.by_glob(glob)), [1, 0], "by the first that finds it");
    }
    bench.follow(&name());
    bench.confirm();
    for _ in 0..3 {
        assert_eq!((bench.by_name(), GLOBS.map(|glob| bench.by_glob(glob))), (1, [0, 0]));
    }
    bench.unfollow(&Topic::Glob(GLOBS[0].into()));
    bench.unfollow(&name());
    bench.confirm();
    for _ in 0..3 {
        assert_eq!(bench.by_glob(GLOBS[1]), 1, "another publication each time");
    }
}

#[test]
fn who_leaves_between_two_ways_of_one_publication_gets_it_once() {
    let mut bench = Bench::new();
    bench.follow(&name());
    bench.confirm();
    assert_eq!(bench.by_name(), 1);
    bench.unfollow(&name());
    assert_eq!(GLOBS.map(|glob| bench.by_glob(glob)), [0, 0]);
    // The server does not know yet that nobody follows it by its name.
    assert_eq!((bench.by_name(), GLOBS.map(|glob| bench.by_glob(glob))), (0, [1, 0]));
}

#[test]
fn who_comes_between_two_ways_of_one_publication_gets_it() {
    let mut bench = Bench::new();
    bench.follow(&name());
    bench.confirm();
    bench.unfollow(&name());
    assert_eq!(bench.by_name(), 0, "nobody follows it by its name");
    bench.follow(&name());
    assert_eq!(GLOBS.map(|glob| bench.by_glob(glob)), [1, 0]);
}

#[test]
fn what_may_be_missed_is_told_once_where_it_is_followed_again() {
    let mut bench = Bench::new();
    bench.follow(&name());
    bench.confirm();
    assert!(bench.book.take_missed().is_empty());
    bench.book.begin();
    assert!(bench.book.take_missed().is_empty(), "it is not followed again yet");
    // One of the three first.
    let [(topic, _)] = &bench.book.next(1)[..] else { panic!("all are due") };
    bench.book.confirmed(topic, true);
    bench.book.answered(topic, None);
    let missed = bench.book.take_missed();
    assert_eq!(missed.iter().map(|(_, topics)| &topics[..]).collect::<Vec<_>>(), [&[topic.clone()][..]]);
    bench.confirm();
    let missed = bench.book.take_missed();
    assert_eq!(missed.iter().map(|(_, topics)| topics.len()).collect::<Vec<_>>(), [2]);
    assert!(bench.book.take_missed().is_empty());
}
