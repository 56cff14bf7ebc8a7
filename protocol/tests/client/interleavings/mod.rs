//! Anything may happen at any moment, and the session keeps its promises.
//!
//! A list of steps is drawn at random: the user's wishes, the server's answers and whims, the network's
//! failures, the clock. A server is played along with them; what it is told is compared with what the
//! user asked for.

mod steps;
mod world;

use std::time::Duration;

use proptest::prelude::*;
use tokensocket_protocol::client::{Config, State};

use self::steps::{Step, config, steps};
use self::world::World;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_session_keeps_its_promises(config in config(), steps in steps()) {
        keeps_its_promises(config, &steps);
    }
}

fn keeps_its_promises(config: Config, steps: &[Step]) {
    let mut world = World::new(config);
    for step in steps {
        world.take(step);
    }
    world.settle();
    if world.driver.session.state() == State::Ready {
        for (call, wish, _) in &world.wishes {
            assert!(world.outcomes.contains_key(call), "{wish:?} never resolved");
        }
        world.check_channels();
        world.take(&Step::Cut);
        world.settle();
        world.check_channels();
    }
    world.take(&Step::End);
    assert_eq!(world.outcomes.len(), world.wishes.len(), "every request resolves exactly once");
    assert_eq!(world.readies, 1);
    assert_eq!(world.driver.session.state(), State::Ended);
}

// Found by the above, and mended.

#[test]
fn one_of_two_subscribes_is_cancelled_and_the_other_refused() {
    let mut config = Config::default();
    config.max_in_flight = 5;
    let mut steps = vec![Step::Token, Step::Opened, Step::Auth { ours: true }];
    steps.extend([Step::Subscribe(0), Step::Subscribe(0), Step::Cancel(0), Step::Channels { refuse: true }]);
    keeps_its_promises(config, &steps);
}

#[test]
fn an_original_server_confirms_a_subscribe_that_was_given_up() {
    let mut config = Config::default();
    config.call_timeout = Some(Duration::from_secs(30));
    let mut steps = vec![Step::Subscribe(1), Step::Pass(1), Step::Subscribe(1), Step::Token, Step::Opened];
    steps.extend([Step::Auth { ours: false }, Step::Tick, Step::Channels { refuse: false }, Step::Cut]);
    keeps_its_promises(config, &steps);
}
