//! A driver without I/O: does what the session says and writes down what came of it.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokensocket_protocol::client::{
    CallError, CallId, Config, ConnectionError, Event, Output, Session, State,
};
use tokensocket_protocol::codec::NativeCodec;
use tokensocket_protocol::{Channel, Close, RawJson};

pub(crate) type Outcome = Result<RawJson, CallError<RawJson>>;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct Driver {
    pub(crate) session: Session<NativeCodec>,
    pub(crate) now: Duration,
    pub(crate) sent: Vec<Value>,
    pub(crate) resolved: Vec<(CallId, Outcome)>,
    pub(crate) events: Vec<Event<RawJson>>,
    pub(crate) invoked: Vec<(String, String, RawJson)>,
    pub(crate) cancelled: Vec<String>,
    pub(crate) closes: Vec<Close>,
    pub(crate) token_requests: usize,
    pub(crate) opens: usize,
}

impl Driver {
    pub(crate) fn new(config: Config) -> Self {
        let mut random = 0_u64;
        let random = move || {
            random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            random.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 1
        };
        Self {
            session: Session::new(NativeCodec, config, Box::new(random)),
            now: Duration::from_secs(1000),
            sent: Vec::new(),
            resolved: Vec::new(),
            events: Vec::new(),
            invoked: Vec::new(),
            cancelled: Vec::new(),
            closes: Vec::new(),
            token_requests: 0,
            opens: 0,
        }
    }

    /// A session that a server of ours has let in. Nothing of that is left in the lists.
    pub(crate) fn connected(config: Config) -> Self {
        let mut driver = Self::new(config);
        driver.start();
        driver.let_in();
        driver.forget();
        driver
    }

    /// The same with a server that does not know the hello.
    pub(crate) fn connected_to_original(config: Config) -> Self {
        let mut driver = Self::new(config);
        driver.start();
        driver.open();
        driver.answer_auth(&json!({ "resp": "success" }));
        driver.forget();
        driver
    }

    pub(crate) fn start(&mut self) {
        self.session.handle_start(self.now);
        self.drain();
    }

    /// From the token request to the sent `auth`.
    pub(crate) fn open(&mut self) {
        self.session.handle_token(self.now, Ok("opaque".to_owned()));
        self.drain();
        self.session.handle_opened(self.now);
        self.drain();
    }

    /// From the token request to ready.
    pub(crate) fn let_in(&mut self) {
        self.open();
        self.answer_auth(&json!({
            "resp": "success",
            "session": { "id": "s", "ping_ms": 0, "max_message_bytes": 1000, "features": ["cancel"] },
        }));
    }

    /// Waits out the delay, then connects.
    pub(crate) fn come_back(&mut self) {
        assert_eq!(self.session.state(), State::Disconnected);
        while self.session.state() == State::Disconnected {
            self.tick();
        }
        self.let_in();
    }

    pub(crate) fn answer_auth(&mut self, fields: &Value) {
        let auth = self.sent.last().expect("auth was sent").clone();
        assert_eq!(auth["rpc"], "auth");
        self.answer(&auth, fields);
    }

    /// Answers a message that was sent, as servers do: with its own fields and some more.
    pub(crate) fn answer(&mut self, message: &Value, fields: &Value) {
        let mut answer = message.clone();
        let answered = answer.as_object_mut().expect("an object");
        answered.remove("req");
        answered.extend(fields.as_object().expect("an object").clone());
        self.receive(&answer);
    }

    pub(crate) fn confirm_subscribe(&mut self, message: &Value) {
        assert_eq!(message["rpc"], "_subscribe");
        let mut data = message.clone();
        data["channel"] = message["req"]["channel"].clone();
        self.receive(&json!({ "internal": true, "command": "subscribe", "data": data }));
    }

    pub(crate) fn confirm_unsubscribe(&mut self, channel: &str) {
        let data = json!({ "channel": channel });
        self.receive(&json!({ "internal": true, "command": "unsubscribe", "data": data }));
    }

    pub(crate) fn receive(&mut self, message: &Value) {
        self.receive_text(&message.to_string());
    }

    pub(crate) fn receive_text(&mut self, text: &str) {
        self.session.handle_text(self.now, &Bytes::copy_from_slice(text.as_bytes()));
        self.drain();
    }

    pub(crate) fn cut(&mut self) {
        self.close(ConnectionError::Transport("cut".to_owned()));
    }

    pub(crate) fn close(&mut self, why: ConnectionError) {
        self.session.handle_closed(self.now, why);
        self.drain();
    }

    pub(crate) fn refuse_token(&mut self, why: ConnectionError) {
        self.session.handle_token(self.now, Err(why));
        self.drain();
    }

    pub(crate) fn call(&mut self, path: &str, data: &Value) -> CallId {
        let call = self.session.handle_call(self.now, path, raw(data), None);
        self.drain();
        call
    }

    pub(crate) fn subscribe(&mut self, channel: &str) -> CallId {
        let call = self.session.handle_subscribe(self.now, Channel::new(channel).unwrap());
        self.drain();
        call
    }

    pub(crate) fn unsubscribe(&mut self, channel: &str) -> CallId {
        let call = self.session.handle_unsubscribe(self.now, Channel::new(channel).unwrap());
        self.drain();
        call
    }

    pub(crate) fn publish(&mut self, channel: &str, data: &Value) -> CallId {
        let channel = Channel::new(channel).unwrap();
        let call = self.session.handle_publish(self.now, channel, raw(data));
        self.drain();
        call
    }

    pub(crate) fn cancel(&mut self, call: CallId) {
        self.session.handle_cancel(self.now, call);
        self.drain();
    }

    pub(crate) fn end(&mut self) {
        self.session.handle_end(self.now);
        self.drain();
    }

    /// Subscribes and has the server confirm it.
    pub(crate) fn follow(&mut self, channel: &str) {
        self.subscribe(channel);
        let message = self.sent.last().expect("subscribe was sent").clone();
        self.confirm_subscribe(&message);
        self.forget();
    }

    /// How long until the session's timer.
    pub(crate) fn wait(&self) -> Duration {
        self.session.poll_timeout().expect("a timer is armed").saturating_sub(self.now)
    }

    /// Lets the time pass until the session's timer.
    pub(crate) fn tick(&mut self) {
        let timeout = self.session.poll_timeout().expect("a timer is armed");
        self.now = self.now.max(timeout);
        self.session.handle_timeout(self.now);
        self.drain();
    }

    /// Lets so much time pass, with every timer on the way.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.session.poll_timeout().is_some_and(|timeout| timeout <= until) {
            self.tick();
        }
        self.now = until;
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::RequestToken => self.token_requests += 1,
                Output::Open => self.opens += 1,
                Output::Send(text) => self.sent.push(serde_json::from_slice(&text).unwrap()),
                Output::Close(close) => self.closes.push(close),
                Output::Resolve { call, outcome } => self.resolved.push((call, outcome)),
                Output::Invoke { fid, path, args, .. } => self.invoked.push((fid, path, args)),
                Output::CancelInvocation { fid } => self.cancelled.push(fid),
                Output::Event(event) => self.events.push(event),
                _ => unreachable!(),
            }
        }
    }

    pub(crate) fn forget(&mut self) {
        self.sent.clear();
        self.resolved.clear();
        self.events.clear();
    }

    /// What was sent since the last look, by name and channel or argument.
    pub(crate) fn take_sent(&mut self) -> Vec<String> {
        let describe = |message: &Value| {
            let name = message["rpc"].as_str().unwrap_or_default();
            let request = &message["req"];
            match request["channel"].as_str().or(request.as_str()) {
                Some(detail) => format!("{name} {detail}"),
                None => name.to_owned(),
            }
        };
        std::mem::take(&mut self.sent).iter().map(describe).collect()
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event<RawJson>> {
        let events = std::mem::take(&mut self.events);
        events.into_iter().filter(|event| !matches!(event, Event::State(_))).collect()
    }

    pub(crate) fn outcome(&self, call: CallId) -> Option<&Outcome> {
        let mut outcomes = self.resolved.iter().filter(|(other, _)| *other == call);
        let outcome = outcomes.next();
        assert!(outcomes.next().is_none(), "resolved twice");
        outcome.map(|(_, outcome)| outcome)
    }
}

pub(crate) fn raw(value: &Value) -> RawJson {
    RawJson::new(value).unwrap()
}
