//! Channels without history: that something may be missing is told, once, to those who understand it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokensocket_client::SubscriptionError;
use tokensocket_tests::device;
use tokensocket_tests::limit::within;
use tokensocket_tests::native::{connected, native};
use tokensocket_tests::wire::{Client, Framing};

use crate::followers::{keeping, two_nodes};

/// What is said of a channel whose publications may be missing, and which has no positions.
fn missing(channel: &str) -> Value {
    json!({ "internal": true, "command": "subscribe", "data": { "channel": channel, "recovered": false } })
}

/// Once followers were told nothing here, as when their own connection is lost. But these do not notice that anything was:
/// their connection stayed.
#[tokio::test]
async fn a_gap_where_nothing_is_kept_is_told_once_to_those_who_understand_it() {
    let (here, seat, there) = two_nodes(|| keeping(10).on_subscribe_pattern(async |_, _| Ok(()))).await;
    let mut ann = device::connect_with(&here, "user=ann", None, &["history"]).await;
    for channel in ["plain", "some.*", "news.a"] {
        ann.subscribe(channel).await;
    }
    let mut original = Client::ready(&here, Framing::Raw).await;
    original.subscribe("plain").await;
    let mut elsewhere = device::connect_with(&there, "user=ann", None, &["history"]).await;
    elsewhere.subscribe("plain").await;
    seat.cut();
    for channel in ["plain", "some.one", "news.a"] {
        there.server.publish(channel, 1).await.unwrap();
    }
    seat.mend();
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(ann.next().await);
    }
    for channel in ["plain", "some.*"] {
        assert!(told.contains(&missing(channel)), "{told:?}");
    }
    assert!(told.contains(&json!({ "channel": "news.a", "message": 1, "offset": 1 })), "{told:?}");
    there.server.publish("plain", 2).await.unwrap();
    for client in [&mut ann, &mut original] {
        client.expect(json!({ "channel": "plain", "message": 2 })).await;
    }
    for n in [1, 2] {
        elsewhere.expect(json!({ "channel": "plain", "message": n })).await;
    }
    // Another gap is another word; who left the channel has nothing to do with it.
    ann.call("_unsubscribe", json!({ "channel": "some.*" })).await;
    ann.find("the end of that", |message| message["command"] == "unsubscribe").await;
    seat.cut();
    seat.mend();
    assert_eq!(ann.find("the word", |message| message["command"] == "subscribe").await, missing("plain"));
    for client in [&mut ann, &mut original] {
        client.expect_alive().await;
    }
}

#[tokio::test]
async fn a_reader_hears_that_something_may_be_missing_where_nothing_is_kept() {
    let (here, seat, there) = two_nodes(|| keeping(10)).await;
    let socket = connected(native(here.address)).await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let _ = socket.on_unrecovered(move |channel| tell.lock().unwrap().push(channel.to_owned()));
    let mut reader = socket.subscribe("plain").await.unwrap().typed::<u64>();
    there.server.publish("plain", 1).await.unwrap();
    assert_eq!(within("the first", reader.next()).await.unwrap(), Ok(1));
    seat.cut();
    there.server.publish("plain", 2).await.unwrap();
    seat.mend();
    assert_eq!(within("the word", reader.next()).await.unwrap(), Err(SubscriptionError::Unrecovered));
    there.server.publish("plain", 3).await.unwrap();
    assert_eq!(within("the next one", reader.next()).await.unwrap(), Ok(3));
    assert_eq!(*told.lock().unwrap(), ["plain"]);
}

#[tokio::test]
async fn a_crowd_is_told_of_a_gap_little_by_little() {
    const CROWD: usize = 400;
    let (here, seat, _there) = two_nodes(|| keeping(10).max_channels_per_socket(CROWD)).await;
    let mut client = device::connect_with(&here, "user=ann", None, &["history"]).await;
    for n in 0..CROWD {
        client.subscribe(&format!("plain.{n}")).await;
    }
    let began = Instant::now();
    // Gaps that come before a channel had its turn are told with the first.
    for _ in 0..50 {
        seat.mend();
    }
    let mut told = HashMap::<String, usize>::new();
    while told.len() < CROWD {
        let word = client.next().await;
        assert_eq!(word["data"]["recovered"], false, "{word}");
        *told.entry(word["data"]["channel"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert!(began.elapsed() >= Duration::from_millis(30), "100, then others get their turn");
    client.expect_alive().await;
    let words: usize = told.values().sum();
    assert!(words < CROWD * 10, "{words} words of 50 gaps");
}
