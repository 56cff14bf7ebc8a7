//! A server with history, patterns and one device's queue. Publications and entries are numbered over all epochs, so
//! that the user can tell what he misses.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};
use tokensocket_protocol::{Channel, Pattern};

#[derive(Default)]
pub(super) struct Log {
    epoch: u64,
    offset: u64,
    /// The number of the last publication, over all epochs.
    pub(super) last: u64,
    /// What is kept: offsets and numbers.
    kept: VecDeque<(u64, u64)>,
}

#[derive(Default)]
pub(super) struct Server {
    pub(super) logs: BTreeMap<String, Log>,
    connected: bool,
    following: BTreeSet<String>,
    patterns: BTreeSet<String>,
    queue_epoch: u64,
    seq: u64,
    /// The entries that are kept: their places in the queue, and their numbers.
    pub(super) queue: VecDeque<(u64, u64)>,
    /// How many entries there were, over all epochs.
    pub(super) delivered: u64,
    /// The last entry of this connection.
    sent: u64,
    /// The numbers of entries that were lost.
    pub(super) lost: BTreeSet<u64>,
    /// The resyncs that are not acknowledged, and how many there were.
    pub(super) resyncs: VecDeque<u64>,
    resync: u64,
}

impl Log {
    fn position(&self) -> Value {
        json!({ "epoch": self.epoch.to_string(), "offset": self.offset })
    }

    /// The frame's fields for a subscriber that stands at `recover`.
    fn join(&self, recover: &Value) -> Value {
        let mut fields = self.position();
        let since = recover["offset"].as_u64();
        if let Some(since) = since {
            let first = self.kept.front().map_or(self.offset + 1, |(offset, _)| *offset);
            let is_whole = recover["epoch"] == fields["epoch"] && since <= self.offset && first <= since + 1;
            fields["recovered"] = json!(is_whole);
            if is_whole {
                let missed = self.kept.iter().filter(|(offset, _)| *offset > since);
                let missed = missed.map(|(offset, number)| json!({ "offset": offset, "message": number }));
                fields["publications"] = missed.collect();
            }
        }
        // For the user's eyes alone.
        fields["number"] = json!(self.last);
        fields
    }
}

impl Server {
    fn log(&mut self, channel: &str) -> &mut Log {
        self.logs.entry(channel.to_owned()).or_default()
    }

    pub(super) fn publish(&mut self, channel: &str, down: &mut VecDeque<Value>) {
        let log = self.log(channel);
        log.offset += 1;
        log.last += 1;
        log.kept.push_back((log.offset, log.last));
        let publication = json!({ "channel": channel, "message": log.last, "offset": log.offset });
        let covers = |pattern: &String| Pattern::new(pattern).unwrap().covers(channel);
        if self.following.contains(channel) || self.patterns.iter().any(covers) {
            down.push_back(publication);
        }
    }

    pub(super) fn trim(&mut self, channel: &str, keep: usize) {
        let log = self.log(channel);
        while log.kept.len() > keep {
            log.kept.pop_front();
        }
    }

    pub(super) fn begin_anew(&mut self, channel: &str, down: &mut VecDeque<Value>) {
        let log = self.log(channel);
        log.epoch += 1;
        log.offset = 0;
        log.kept.clear();
        let mut data = log.join(&Value::Null);
        data["channel"] = json!(channel);
        data["recovered"] = json!(false);
        if self.following.contains(channel) {
            down.push_back(json!({ "internal": true, "command": "subscribe", "data": data }));
        }
    }

    pub(super) fn disconnected(&mut self) {
        self.connected = false;
        self.following.clear();
        self.patterns.clear();
    }

    pub(super) fn let_in(&mut self, mut auth: Value, down: &mut VecDeque<Value>) {
        assert_eq!(auth["rpc"], "auth");
        self.connected = true;
        auth["resp"] = json!("success");
        auth["session"] = json!({ "ping_ms": 0, "features": ["cancel", "history", "delivery"] });
        down.push_back(auth);
        let mut tell = |command: &str, data: Value| {
            down.push_back(json!({ "internal": true, "command": command, "data": data }));
        };
        let settings =
            json!({ "device_ttl": 1, "device": "d", "epoch": self.queue_epoch.to_string(), "resumed": true });
        tell("settings", settings);
        for number in &self.resyncs {
            tell("resync", json!({ "id": number, "reason": "lost" }));
        }
        if let Some((last, _)) = self.queue.back() {
            let item = |(seq, number): &(u64, u64)| json!({ "id": seq, "event": "e", "args": [number] });
            let items: Vec<Value> = self.queue.iter().map(item).collect();
            tell("batch", json!({ "id": last, "items": items }));
        }
        self.sent = self.seq;
    }

    pub(super) fn deliver(&mut self, down: &mut VecDeque<Value>) {
        self.seq += 1;
        self.delivered += 1;
        self.queue.push_back((self.seq, self.delivered));
        if self.connected {
            self.sent = self.seq;
            let data = json!({ "id": self.seq, "event": "e", "args": [self.delivered] });
            down.push_back(json!({ "internal": true, "command": "deliver", "data": data }));
        }
    }

    pub(super) fn lose_queue(&mut self) {
        assert!(!self.connected);
        self.queue_epoch += 1;
        self.seq = 0;
        self.lost.extend(self.queue.drain(..).map(|(_, number)| number));
        self.resync += 1;
        self.resyncs.push_back(self.resync);
    }

    /// Reads a text of the client's. `handled` are the numbers of the entries with which the user is done.
    pub(super) fn serve(
        &mut self,
        mut message: Value,
        fail: bool,
        handled: &BTreeSet<u64>,
        down: &mut VecDeque<Value>,
    ) {
        let request = message["req"].take();
        if fail {
            message["error"] = json!("busy");
            message["code"] = json!("overloaded");
            return down.push_back(message);
        }
        let channel = request["channel"].as_str().unwrap_or_default().to_owned();
        match message["rpc"].as_str().unwrap() {
            "_subscribe" => {
                let pattern = Pattern::of(&Channel::new(&channel).unwrap());
                let fields = if pattern.is_some() {
                    self.patterns.insert(channel.clone());
                    json!({ "pattern": true })
                } else {
                    self.following.insert(channel.clone());
                    self.log(&channel).join(&request["recover"])
                };
                message["channel"] = json!(channel);
                message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
                down.push_back(json!({ "internal": true, "command": "subscribe", "data": message }));
            }
            "_unsubscribe" => {
                self.following.remove(&channel);
                self.patterns.remove(&channel);
                let data = json!({ "channel": channel });
                down.push_back(json!({ "internal": true, "command": "unsubscribe", "data": data }));
                message["resp"] = json!("success");
                down.push_back(message);
            }
            "_ack" => {
                self.acknowledge(&request, handled);
                message["resp"] = json!("success");
                down.push_back(message);
            }
            other => panic!("{other}"),
        }
    }

    fn acknowledge(&mut self, request: &Value, handled: &BTreeSet<u64>) {
        let number = |field: &str| request[field].as_u64();
        if let Some(through) = number("resync") {
            return self.resyncs.retain(|number| *number > through);
        }
        self.queue.retain(|(seq, entry)| {
            let is_meant = number("id") == Some(*seq) || number("batch").is_some_and(|last| *seq <= last);
            assert!(!is_meant || *seq <= self.sent, "{seq} was not sent on this connection");
            assert!(!is_meant || handled.contains(entry), "{entry} is taken away, and was not handled");
            !is_meant
        });
    }
}
