//! What may happen, drawn at random.

use std::time::Duration;

use proptest::prelude::*;
use tokensocket_protocol::client::{Config, WhenFull};

pub(super) const CHANNELS: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
pub(super) enum Step {
    Call {
        timeout_ms: Option<u64>,
    },
    Subscribe(usize),
    Unsubscribe(usize),
    Publish(usize),
    Cancel(usize),
    Token,
    TokenFails,
    TokenRefused,
    Opened,
    Auth {
        ours: bool,
    },
    AuthRefused,
    Cut,
    Forbidden,
    Tick,
    Wake,
    Pass(u64),
    /// The server answers one of the calls it has, well or badly.
    Answer {
        pick: usize,
        error: bool,
    },
    /// The server handles the oldest subscribe or unsubscribe it has.
    Channels {
        refuse: bool,
    },
    /// Something the server said before, perhaps on an earlier connection, comes again.
    Again(usize),
    Garbage(usize),
    ServerAdds(usize),
    ServerRemoves(usize),
    ServerCalls,
    ServerCancels(usize),
    Invoked(usize),
    Hint,
    End,
}

fn step() -> impl Strategy<Value = Step> {
    let pick = || 0..64_usize;
    prop_oneof![
        6 => prop::option::of(1..3000_u64).prop_map(|timeout_ms| Step::Call { timeout_ms }),
        5 => (0..3_usize).prop_map(Step::Subscribe),
        3 => (0..3_usize).prop_map(Step::Unsubscribe),
        3 => (0..3_usize).prop_map(Step::Publish),
        2 => pick().prop_map(Step::Cancel),
        8 => Just(Step::Token),
        1 => Just(Step::TokenFails),
        1 => Just(Step::TokenRefused),
        8 => Just(Step::Opened),
        8 => any::<bool>().prop_map(|ours| Step::Auth { ours }),
        1 => Just(Step::AuthRefused),
        2 => Just(Step::Cut),
        1 => Just(Step::Tick),
        1 => Just(Step::Wake),
        6 => (0..3000_u64).prop_map(Step::Pass),
        6 => (pick(), any::<bool>()).prop_map(|(pick, error)| Step::Answer { pick, error }),
        8 => prop::bool::weighted(0.2).prop_map(|refuse| Step::Channels { refuse }),
        2 => pick().prop_map(Step::Again),
        1 => pick().prop_map(Step::Garbage),
        1 => (0..3_usize).prop_map(Step::ServerAdds),
        1 => (0..3_usize).prop_map(Step::ServerRemoves),
        3 => Just(Step::ServerCalls),
        1 => (0..8_usize).prop_map(Step::ServerCancels),
        2 => (0..8_usize).prop_map(Step::Invoked),
        1 => Just(Step::Hint),
    ]
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = prop::option::weighted(0.2, prop_oneof![Just(Step::End), Just(Step::Forbidden)]);
    (prop::collection::vec(step(), 1..150), end).prop_map(|(mut steps, end)| {
        steps.extend(end);
        steps
    })
}

pub(super) fn config() -> impl Strategy<Value = Config> {
    let when_full = prop_oneof![Just(WhenFull::RefuseNew), Just(WhenFull::DropOldest)];
    let ping = prop::option::of(Just(Duration::from_millis(700)));
    (1..6_usize, 1..12_usize, when_full, ping, 1..4_usize).prop_map(
        |(in_flight, queue, when_full, ping, invocations)| {
            let mut config = Config::default();
            config.max_in_flight = in_flight;
            config.queue_calls = queue;
            config.when_full = when_full;
            config.ping = ping;
            config.max_invocations = invocations;
            config
        },
    )
}
