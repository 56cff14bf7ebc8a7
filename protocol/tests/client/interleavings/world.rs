//! The user, the network and the server around a session, and what they expect of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};
use tokensocket_protocol::client::{CallError, CallId, Config, ConnectionError, Event, State};
use tokensocket_protocol::{Channel, Close};

use super::steps::{CHANNELS, Step};
use crate::driver::{Driver, raw};

/// What the user asked for, as it must appear on the wire.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wish {
    Numbered(u64),
    Subscribe(String),
    Unsubscribe(String),
}

pub(super) struct World {
    pub(super) driver: Driver,
    /// Every request in order, with whether it was seen on the wire.
    pub(super) wishes: Vec<(CallId, Wish, bool)>,
    pub(super) outcomes: HashMap<CallId, Result<(), CallError<()>>>,
    /// How many outputs of the driver were looked at.
    seen_sent: usize,
    seen_resolved: usize,
    seen_events: usize,
    /// Nothing was sent on this connection, `auth` was, or the server let us in.
    connection: Connection,
    /// What has to be renewed before anything else is sent.
    renewals: VecDeque<String>,
    next_wish: usize,
    server: Server,
    /// Channels of which the server said something unasked.
    disturbed: BTreeSet<String>,
    pub(super) readies: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Connection {
    Fresh,
    AuthSent,
    LetIn,
}

#[derive(Default)]
struct Server {
    ours: bool,
    auth: Option<Value>,
    calls: Vec<Value>,
    channel_commands: VecDeque<(Value, bool)>,
    following: BTreeSet<String>,
    said: Vec<String>,
    answered: HashSet<String>,
    asked: HashSet<String>,
    fids: usize,
}

impl World {
    pub(super) fn new(config: Config) -> Self {
        let mut driver = Driver::new(config);
        driver.start();
        Self {
            driver,
            wishes: Vec::new(),
            outcomes: HashMap::new(),
            seen_sent: 0,
            seen_resolved: 0,
            seen_events: 0,
            connection: Connection::Fresh,
            renewals: VecDeque::new(),
            next_wish: 0,
            server: Server::default(),
            disturbed: BTreeSet::new(),
            readies: 0,
        }
    }

    pub(super) fn take(&mut self, step: &Step) {
        let before = self.driver.session.state();
        self.apply(step);
        self.look();
        let after = self.driver.session.state();
        if before != after && matches!(after, State::Disconnected | State::Ended) {
            self.lost();
        }
    }

    fn lost(&mut self) {
        self.connection = Connection::Fresh;
        let Server { said, fids, .. } = std::mem::take(&mut self.server);
        self.server.said = said;
        self.server.fids = fids;
    }

    fn apply(&mut self, step: &Step) {
        let state = self.driver.session.state();
        match step {
            Step::Call { timeout_ms } => {
                let number = self.wishes.len() as u64;
                let timeout = timeout_ms.map(Duration::from_millis);
                let data = raw(&json!(number));
                let call = self.driver.session.handle_call(self.driver.now, "act", data, timeout);
                self.wish(call, Wish::Numbered(number));
            }
            Step::Publish(channel) => {
                let number = self.wishes.len() as u64;
                let channel = Channel::new(CHANNELS[*channel]).unwrap();
                let data = raw(&json!(number));
                let call = self.driver.session.handle_publish(self.driver.now, channel, data);
                self.wish(call, Wish::Numbered(number));
            }
            Step::Subscribe(channel) => {
                let name = Channel::new(CHANNELS[*channel]).unwrap();
                let call = self.driver.session.handle_subscribe(self.driver.now, name.clone());
                self.wish(call, Wish::Subscribe(name.to_string()));
            }
            Step::Unsubscribe(channel) => {
                let name = Channel::new(CHANNELS[*channel]).unwrap();
                let call = self.driver.session.handle_unsubscribe(self.driver.now, name.clone());
                self.wish(call, Wish::Unsubscribe(name.to_string()));
            }
            Step::Cancel(pick) => {
                if let Some((call, ..)) = self.wishes.iter().rev().nth(*pick % 8) {
                    self.driver.session.handle_cancel(self.driver.now, *call);
                }
            }
            Step::Token => self.driver.session.handle_token(self.driver.now, Ok("t".to_owned())),
            Step::TokenFails => self.driver.refuse_token(ConnectionError::Token("500".to_owned())),
            // Before the first success this is the end; draw it less often.
            Step::TokenRefused if self.readies > 0 => {
                self.driver.refuse_token(ConnectionError::Refused("Forbidden".to_owned()));
            }
            Step::Opened => self.driver.session.handle_opened(self.driver.now),
            Step::Auth { ours } => self.let_in(*ours),
            Step::AuthRefused => {
                if let Some(auth) = self.server.auth.take() {
                    self.driver.answer(&auth, &json!({ "error": "Token not found" }));
                }
            }
            // There has to be a transport for it to break.
            Step::Cut => self.driver.cut(),
            Step::Forbidden => self.driver.close(ConnectionError::Closed(Close::FORBIDDEN)),
            Step::Tick => {
                if self.driver.session.poll_timeout().is_some() {
                    self.driver.tick();
                }
            }
            Step::Pass(ms) => self.pass(Duration::from_millis(*ms)),
            Step::Answer { pick, error } => self.answer(*pick, *error),
            Step::Channels { refuse } => self.handle_channel_command(*refuse),
            Step::Again(pick) => {
                let said = self.server.said.iter().rev().nth(*pick % 16).cloned();
                if let Some(text) = said.filter(|_| state == State::Ready) {
                    self.driver.receive_text(&text);
                }
            }
            Step::Garbage(pick) => {
                let texts = ["", "{", "null", "[]", "{\"rpc\":1}", "{\"rpc\":\"x\",\"uuid\":\"y\"}"];
                self.driver.receive_text(texts[*pick % texts.len()]);
            }
            Step::ServerAdds(channel) => self.server_sets(CHANNELS[*channel], true),
            Step::ServerRemoves(channel) => self.server_sets(CHANNELS[*channel], false),
            Step::ServerCalls if state == State::Ready => {
                self.server.fids += 1;
                let fid = format!("f{}", self.server.fids);
                self.server.asked.insert(fid.clone());
                let data = json!({ "fid": fid, "command": "act", "args": 1, "timeout_ms": 500 });
                self.driver.receive(&json!({ "internal": true, "command": "rpc", "data": data }));
            }
            Step::ServerCancels(back) if state == State::Ready => {
                let data = json!({ "fid": format!("f{}", self.server.fids.saturating_sub(*back)) });
                self.driver.receive(&json!({ "internal": true, "command": "cancel", "data": data }));
            }
            Step::TokenRefused | Step::ServerCalls | Step::ServerCancels(_) => {}
            Step::Invoked(back) => {
                let fid = format!("f{}", self.server.fids.saturating_sub(*back));
                self.driver.session.handle_answer(self.driver.now, &fid, Ok(raw(&json!(1))));
            }
            Step::Wake => {
                self.driver.session.handle_wake(self.driver.now);
                self.driver.drain();
            }
            Step::Hint => {
                let data = json!({ "after_ms": 30 });
                self.driver.receive(&json!({ "internal": true, "command": "reconnect", "data": data }));
            }
            Step::End => self.driver.end(),
        }
        self.driver.drain();
    }

    fn wish(&mut self, call: CallId, wish: Wish) {
        self.wishes.push((call, wish, false));
    }

    fn pass(&mut self, time: Duration) {
        let until = self.driver.now + time;
        while self.driver.session.poll_timeout().is_some_and(|timeout| timeout <= until) {
            self.take(&Step::Tick);
        }
        self.driver.now = until;
    }

    fn let_in(&mut self, ours: bool) {
        let Some(auth) = self.server.auth.take() else { return };
        self.server.ours = ours;
        self.connection = Connection::LetIn;
        self.renewals = self.driver.session.channels().iter().map(ToString::to_string).collect();
        let session = json!({ "ping_ms": 0, "features": ["cancel"] });
        let session = if ours { session } else { Value::Null };
        self.driver.answer(&auth, &json!({ "resp": "success", "session": session }));
    }

    fn say(&mut self, message: &Value) {
        self.server.said.push(message.to_string());
        self.driver.receive(message);
    }

    fn answer(&mut self, pick: usize, error: bool) {
        if self.server.calls.is_empty() {
            return;
        }
        let mut call = self.server.calls.swap_remove(pick % self.server.calls.len());
        let fields = call.as_object_mut().unwrap();
        fields.remove("req");
        let key = if error { "error" } else { "resp" };
        fields.insert(key.to_owned(), json!("result"));
        self.say(&call);
    }

    fn handle_channel_command(&mut self, refuse: bool) {
        let Some((mut command, renewal)) = self.server.channel_commands.pop_front() else { return };
        let channel = command["req"]["channel"].as_str().unwrap().to_owned();
        if command["rpc"] == "_unsubscribe" {
            self.server.following.remove(&channel);
            let data = json!({ "channel": channel });
            self.driver.receive(&json!({ "internal": true, "command": "unsubscribe", "data": data }));
            if self.server.ours {
                command["resp"] = json!("success");
                self.say(&command);
            }
        } else if refuse {
            if renewal {
                self.disturbed.insert(channel);
            }
            command["error"] = json!("Forbidden");
            self.say(&command);
        } else {
            self.server.following.insert(channel.clone());
            command["channel"] = json!(channel);
            if self.server.ours {
                self.say(&json!({ "internal": true, "command": "subscribe", "data": command }));
            } else {
                // It names no request, so to say it again would mean something new.
                let data = json!({ "channel": channel });
                self.driver.receive(&json!({ "internal": true, "command": "subscribe", "data": data }));
            }
        }
    }

    fn server_sets(&mut self, channel: &str, follow: bool) {
        if self.driver.session.state() != State::Ready {
            return;
        }
        self.disturbed.insert(channel.to_owned());
        let command = if follow {
            self.server.following.insert(channel.to_owned());
            "subscribe"
        } else {
            self.server.following.remove(channel);
            "unsubscribe"
        };
        let data = json!({ "channel": channel });
        self.driver.receive(&json!({ "internal": true, "command": command, "data": data }));
    }

    /// Checks what the session did since the last look.
    fn look(&mut self) {
        for index in self.seen_resolved..self.driver.resolved.len() {
            let (call, outcome) = &self.driver.resolved[index];
            let outcome = match outcome {
                Ok(_) => Ok(()),
                Err(_) => Err(CallError::Cancelled),
            };
            assert!(self.outcomes.insert(*call, outcome).is_none(), "{call:?} resolved twice");
        }
        self.seen_resolved = self.driver.resolved.len();
        for index in self.seen_sent..self.driver.sent.len() {
            let message = self.driver.sent[index].clone();
            self.look_at_sent(message);
        }
        self.seen_sent = self.driver.sent.len();
        for index in self.seen_events..self.driver.events.len() {
            match &self.driver.events[index] {
                Event::Ready(_) => {
                    self.readies += 1;
                    assert_eq!(self.readies, 1, "ready comes once");
                }
                Event::Reconnect(_) => assert_eq!(self.readies, 1, "ready comes first"),
                _ => {}
            }
        }
        self.seen_events = self.driver.events.len();
        if self.driver.session.state() == State::Ended {
            assert_eq!(self.driver.session.poll_timeout(), None);
        }
    }

    fn look_at_sent(&mut self, message: Value) {
        let rpc = message["rpc"].as_str().unwrap();
        if self.connection != Connection::LetIn {
            assert_eq!((self.connection, rpc), (Connection::Fresh, "auth"), "only auth before auth");
            self.connection = Connection::AuthSent;
            self.server.auth = Some(message);
            return;
        }
        let channel = message["req"]["channel"].as_str().map(str::to_owned);
        if let Some(expected) = self.renewals.pop_front() {
            assert_eq!((rpc, channel), ("_subscribe", Some(expected)), "channels first, in order");
            self.server.channel_commands.push_back((message, true));
            return;
        }
        match rpc {
            "act" => self.look_at_wish(&Wish::Numbered(message["req"].as_u64().unwrap())),
            "_publish" => {
                self.look_at_wish(&Wish::Numbered(message["req"]["data"].as_u64().unwrap()));
            }
            "_subscribe" => self.look_at_wish(&Wish::Subscribe(channel.unwrap())),
            "_unsubscribe" => {
                let wish = Wish::Unsubscribe(channel.unwrap());
                let mut next = self.wishes[self.next_wish..].iter();
                let next = next.find(|(call, ..)| !self.failed(*call));
                // Else it takes back a subscribe that was given up.
                if next.is_some_and(|(_, next, _)| *next == wish) {
                    self.look_at_wish(&wish);
                }
            }
            "_rpc" => {
                let fid = message["fid"].as_str().unwrap().to_owned();
                assert!(self.server.asked.contains(&fid), "answered where nobody asked");
                assert!(self.server.answered.insert(fid), "answered twice");
            }
            "_ping" | "_cancel" => {}
            other => panic!("sent {other}"),
        }
        match rpc {
            "_subscribe" | "_unsubscribe" => self.server.channel_commands.push_back((message, false)),
            "act" => self.server.calls.push(message),
            "_publish" if self.server.ours => self.server.calls.push(message),
            _ => {}
        }
    }

    /// The wish has to be the next one: those between it and the last one were given up unsent.
    fn look_at_wish(&mut self, wish: &Wish) {
        loop {
            let (call, next, _) = self.wishes[self.next_wish].clone();
            self.next_wish += 1;
            if next == *wish && !self.failed(call) {
                self.wishes[self.next_wish - 1].2 = true;
                return;
            }
            assert!(self.failed(call), "{next:?} was overtaken by {wish:?}");
        }
    }

    fn failed(&self, call: CallId) -> bool {
        self.outcomes.get(&call).is_some_and(Result::is_err)
    }

    /// Lets everything that is under way come to its end, on a network that works.
    pub(super) fn settle(&mut self) {
        for _ in 0..2000 {
            let step = match self.driver.session.state() {
                State::Disconnected => Step::Tick,
                State::Connecting => {
                    self.take(&Step::Token);
                    self.take(&Step::Opened);
                    // Without a question the server has refused the token, and is about to close.
                    if self.server.auth.is_some() { Step::Auth { ours: true } } else { Step::Cut }
                }
                State::Ready if !self.server.channel_commands.is_empty() => Step::Channels { refuse: false },
                State::Ready if !self.server.calls.is_empty() => Step::Answer { pick: 0, error: false },
                State::Ready | State::Ended => return,
            };
            self.take(&step);
        }
        panic!("does not settle");
    }

    /// What the user must be following, by what he was told: for the channels the server left alone.
    fn expected_channels(&self) -> BTreeMap<String, bool> {
        let mut expected: BTreeMap<String, bool> =
            CHANNELS.iter().map(|channel| ((*channel).to_owned(), false)).collect();
        for (call, wish, seen) in &self.wishes {
            match wish {
                Wish::Subscribe(channel) if self.outcomes[call].is_ok() => {
                    expected.insert(channel.clone(), true);
                }
                Wish::Unsubscribe(channel) if *seen => {
                    expected.insert(channel.clone(), false);
                }
                _ => {}
            }
        }
        expected.retain(|channel, _| !self.disturbed.contains(channel));
        expected
    }

    pub(super) fn check_channels(&self) {
        let channels: BTreeSet<String> =
            self.driver.session.channels().iter().map(ToString::to_string).collect();
        assert_eq!(channels, self.server.following, "what the server was told");
        for (channel, follow) in self.expected_channels() {
            assert_eq!(channels.contains(&channel), follow, "{channel}: what the user was told");
        }
    }
}
