//! Two nodes of which one can be cut off, and followers there that check what they hear.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokensocket_server::{ChannelOptions, History, ServerBuilder};
use tokensocket_tests::bus::{Bus, Seat};
use tokensocket_tests::node::{Node, builder};
use tokensocket_tests::wire::{Client, Framing};

pub(crate) fn keeping(count: usize) -> ServerBuilder {
    let history = History::new(count, Duration::from_hours(1));
    builder().channels("news.>", ChannelOptions::new().history(history))
}

/// A node, and one more that publishes and is never cut off.
pub(crate) async fn two_nodes(builder: impl Fn() -> ServerBuilder) -> (Node, Seat, Node) {
    let bus = Bus::new();
    let seat = bus.seat();
    let here = Node::start(builder().engine(&seat)).await;
    let there = Node::start(builder().engine(&bus.seat())).await;
    (here, seat, there)
}

/// What a follower has heard.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) last: HashMap<String, u64>,
    pub(crate) lost: usize,
}

impl Heard {
    /// Reads until each channel has been heard up to its last publication.
    pub(crate) async fn up_to(&mut self, client: &mut Client, last: &HashMap<String, u64>) {
        while last.iter().any(|(channel, last)| self.last.get(channel).copied().unwrap_or_default() < *last) {
            let message = client.next().await;
            self.take(&message);
        }
    }

    pub(crate) fn take(&mut self, message: &Value) {
        let subscribed = &message["data"];
        if message["command"] == "subscribe" && subscribed["recovered"] == false {
            let channel = subscribed["channel"].as_str().unwrap().to_owned();
            let offset = subscribed["offset"].as_u64().unwrap();
            assert!(self.last.insert(channel, offset) <= Some(offset), "it goes back: {message}");
            self.lost += 1;
        } else if let (Some(channel), Some(offset)) =
            (message["channel"].as_str(), message["offset"].as_u64())
        {
            let last = self.last.entry(channel.to_owned()).or_default();
            assert_eq!(offset, *last + 1, "{message}");
            assert_eq!(message["message"], offset, "{message}");
            *last = offset;
        }
    }
}

pub(crate) async fn followers(node: &Node, channels: &[String]) -> Vec<(Client, Heard)> {
    let mut followers = Vec::new();
    for framing in Framing::ALL {
        let mut client = Client::ready(node, framing).await;
        for channel in channels {
            client.subscribe(channel).await;
        }
        followers.push((client, Heard::default()));
    }
    followers
}

pub(crate) async fn publish(node: &Node, last: &mut HashMap<String, u64>, channel: &str) {
    let number = last.entry(channel.to_owned()).or_default();
    *number += 1;
    node.server.publish(channel, *number).await.unwrap();
}
