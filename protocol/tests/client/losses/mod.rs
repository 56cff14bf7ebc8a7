//! The connection may be cut at any moment, and whatever was on its way is lost: publications and deliveries still
//! come once, in order, or the user is told what is not.
//!
//! A list of steps is drawn at random. The server and the network are played; the user notes what he is told.

mod server;
mod user;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;
use tokensocket_protocol::Channel;
use tokensocket_protocol::client::{Config, ConnectionError, Output, Session, State};
use tokensocket_protocol::codec::NativeCodec;

use self::server::Server;
use self::user::User;

/// Channels with history, and a pattern that covers the first two.
const CHANNELS: [&str; 4] = ["n.a", "n.b", "c", "n.>"];

#[derive(Debug, Clone)]
enum Step {
    Publish(usize),
    Subscribe(usize),
    Unsubscribe(usize),
    /// The server's next text arrives, again if it is a publication and this says so.
    Arrive {
        twice: bool,
    },
    /// The server reads the client's next text, and fails to do it if this says so.
    Serve {
        fail: bool,
    },
    Cut,
    Connect,
    /// The server forgets all but so much of a channel's history.
    Trim(usize, usize),
    /// The server begins a channel anew.
    Anew(usize),
    Deliver,
    /// The user is done with one of the deliveries that he has, or gives it back.
    Settle {
        pick: usize,
        done: bool,
    },
    /// The server loses the device's queue.
    LoseQueue,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let channel = || 0..3_usize;
    let name = || 0..4_usize;
    prop_oneof![
        8 => channel().prop_map(Step::Publish),
        3 => name().prop_map(Step::Subscribe),
        1 => name().prop_map(Step::Unsubscribe),
        14 => prop::bool::weighted(0.1).prop_map(|twice| Step::Arrive { twice }),
        10 => prop::bool::weighted(0.1).prop_map(|fail| Step::Serve { fail }),
        2 => Just(Step::Cut),
        5 => Just(Step::Connect),
        1 => (channel(), 0..4_usize).prop_map(|(channel, keep)| Step::Trim(channel, keep)),
        1 => channel().prop_map(Step::Anew),
        5 => Just(Step::Deliver),
        6 => (0..4_usize, prop::bool::weighted(0.9)).prop_map(|(pick, done)| Step::Settle { pick, done }),
        1 => Just(Step::LoseQueue),
        2 => (0..2000_u64).prop_map(Step::Pass),
    ]
}

struct World {
    session: Session<NativeCodec>,
    now: Duration,
    server: Server,
    user: User,
    /// What is on its way.
    up: VecDeque<Value>,
    down: VecDeque<Value>,
}

impl World {
    fn new() -> Self {
        let mut config = Config::default();
        config.call_timeout = None;
        let mut random = 7_u64;
        let random = move || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            random
        };
        let mut world = Self {
            session: Session::new(NativeCodec, config, Box::new(random)),
            now: Duration::ZERO,
            server: Server::default(),
            user: User::default(),
            up: VecDeque::new(),
            down: VecDeque::new(),
        };
        world.session.handle_start(world.now);
        world.drain();
        world
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Publish(channel) => self.server.publish(CHANNELS[channel], &mut self.down),
            Step::Subscribe(channel) => {
                let call = self.session.handle_subscribe(self.now, Channel::new(CHANNELS[channel]).unwrap());
                self.user.subscribe(call, CHANNELS[channel]);
            }
            Step::Unsubscribe(channel) => {
                self.user.unsubscribe(CHANNELS[channel]);
                self.session.handle_unsubscribe(self.now, Channel::new(CHANNELS[channel]).unwrap());
            }
            Step::Arrive { twice } => self.arrive(twice),
            Step::Serve { fail } => {
                if let Some(message) = self.up.pop_front() {
                    self.server.serve(message, fail, &self.user.handled, &mut self.down);
                }
            }
            Step::Cut if self.session.state() == State::Ready => {
                self.session.handle_closed(self.now, ConnectionError::Transport("cut".to_owned()));
                self.disconnected();
            }
            Step::Connect if self.session.state() != State::Ready => self.connect(),
            Step::Cut | Step::Connect => {}
            Step::Trim(channel, keep) => self.server.trim(CHANNELS[channel], keep),
            Step::Anew(channel) => self.server.begin_anew(CHANNELS[channel], &mut self.down),
            Step::Deliver => self.server.deliver(&mut self.down),
            Step::Settle { pick, done } => {
                if let Some(id) = self.user.settle(pick, done) {
                    let settle = if done { Session::handle_acknowledge } else { Session::handle_give_back };
                    settle(&mut self.session, self.now, id);
                }
            }
            Step::LoseQueue => {
                // Only one that is restarted does: its connections are gone.
                self.take(&Step::Cut);
                self.server.lose_queue();
            }
            Step::Pass(millis) => {
                self.now += Duration::from_millis(millis);
                self.session.handle_timeout(self.now);
            }
        }
        self.drain();
    }

    fn disconnected(&mut self) {
        self.up.clear();
        self.down.clear();
        self.server.disconnected();
    }

    fn connect(&mut self) {
        while self.session.state() == State::Disconnected {
            self.now = self.now.max(self.session.poll_timeout().expect("it will try again"));
            self.session.handle_timeout(self.now);
        }
        self.session.handle_token(self.now, Ok("t".to_owned()));
        self.session.handle_opened(self.now);
        self.drain();
        let auth = self.up.pop_front().expect("auth was sent");
        self.server.let_in(auth, &mut self.down);
        self.arrive(false);
    }

    fn arrive(&mut self, twice: bool) {
        let Some(message) = self.down.pop_front() else { return };
        self.user.hears(&message);
        let text = Bytes::from(message.to_string());
        let is_publication = message.get("offset").is_some();
        for _ in 0..if twice && is_publication { 2 } else { 1 } {
            self.session.handle_text(self.now, &text);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(text) => self.up.push_back(serde_json::from_slice(&text).unwrap()),
                Output::Resolve { call, outcome } => self.user.resolved(call, outcome.is_ok()),
                Output::Event(event) => self.user.told(event),
                _ => {}
            }
        }
    }

    /// Lets everything that is under way come to its end, on a network that works, with a user who is done with
    /// everything.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let step = if self.session.state() != State::Ready {
                Step::Connect
            } else if !self.down.is_empty() {
                Step::Arrive { twice: false }
            } else if !self.up.is_empty() {
                Step::Serve { fail: false }
            } else if self.user.has_open() {
                Step::Settle { pick: 0, done: true }
            } else if let Some(at) = self.session.poll_timeout() {
                Step::Pass(u64::try_from(at.saturating_sub(self.now).as_millis()).unwrap() + 1)
            } else {
                return;
            };
            self.take(&step);
        }
        panic!("does not settle");
    }
}

fn keeps_what_is_accepted(steps: &[Step]) {
    let mut world = World::new();
    for step in steps {
        world.take(step);
    }
    world.settle();
    // What was given back comes again on another connection.
    world.take(&Step::Cut);
    world.settle();
    world.user.check_publications(&world.server);
    world.user.check_deliveries(&world.server);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_accepted_is_lost_or_told_twice(steps in prop::collection::vec(step(), 1..200)) {
        keeps_what_is_accepted(&steps);
    }
}
