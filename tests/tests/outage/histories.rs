//! Channels with history: what a node missed is read, or told as lost.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokensocket_server::{BrokerError, Filtered};
use tokensocket_tests::limit::until;
use tokensocket_tests::node::Node;
use tokensocket_tests::wire::{Client, Framing};

use crate::followers::{Heard, followers, keeping, publish, two_nodes};
use crate::watched::{Answer, Watched};

#[tokio::test]
async fn followers_of_channels_with_history_miss_nothing_whatever_is_cut() {
    let channels: Vec<_> = (0..4).map(|n| format!("news.{n}")).collect();
    for seed in 0..6 {
        let builder = || {
            // However long this machine takes: what cannot be read for longer is lost.
            let builder = keeping(10_000).store_timeout(Duration::from_hours(1));
            if seed % 3 == 2 { builder.filter(|_, _, _| Filtered::Keep) } else { builder }
        };
        let (here, seat, there) = two_nodes(builder).await;
        let mut followers = followers(&here, &channels).await;
        let mut random = StdRng::seed_from_u64(seed);
        let mut last = HashMap::new();
        for _ in 0..1000 {
            publish(&there, &mut last, &channels[random.random_range(0..4)]).await;
            match random.random_range(0..60) {
                0 => seat.cut(),
                // The node hears nothing, and nobody tells it.
                1 => seat.deafen(true),
                2 => {
                    seat.deafen(false);
                    seat.mend();
                }
                3 => seat.deafen(false),
                4 => seat.delay(Duration::from_millis(random.random_range(0..3))),
                _ => {}
            }
            if random.random_range(0..20) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        seat.delay(Duration::ZERO);
        seat.deafen(false);
        seat.mend();
        for (client, heard) in &mut followers {
            heard.up_to(client, &last).await;
            assert_eq!(heard.lost, 0, "seed {seed}");
        }
        // It goes on, and nothing comes late.
        for channel in &channels {
            publish(&there, &mut last, channel).await;
        }
        for (client, heard) in &mut followers {
            heard.up_to(client, &last).await;
            client.expect_alive().await;
        }
    }
}

#[tokio::test]
async fn what_history_does_not_keep_any_more_is_told() {
    let (here, seat, there) = two_nodes(|| keeping(5)).await;
    let channels = ["news.a".to_owned(), "news.b".to_owned()];
    let mut followers = followers(&here, &channels).await;
    let mut last = HashMap::new();
    publish(&there, &mut last, "news.a").await;
    publish(&there, &mut last, "news.b").await;
    for (client, heard) in &mut followers {
        heard.up_to(client, &last).await;
    }
    seat.cut();
    for _ in 0..20 {
        publish(&there, &mut last, "news.a").await;
    }
    for _ in 0..4 {
        publish(&there, &mut last, "news.b").await;
    }
    seat.mend();
    for (client, heard) in &mut followers {
        heard.up_to(client, &last).await;
        assert_eq!(heard.lost, 1, "of the one, and not of the other");
    }
    publish(&there, &mut last, "news.a").await;
    for (client, heard) in &mut followers {
        heard.up_to(client, &last).await;
    }
}

#[tokio::test]
async fn a_hole_that_cannot_be_read_holds_up_its_channel_no_longer_than_a_store_may_take() {
    let (engine, watched) = Watched::new();
    let here = Node::start(keeping(100).engine(&engine).store_timeout(Duration::from_millis(200))).await;
    let there = Node::start(keeping(100).engine(&watched.bus.seat())).await;
    let mut followers = followers(&here, &["news.a".to_owned()]).await;
    watched.answer(Answer::Never);
    let mut last = HashMap::new();
    watched.seat.deafen(true);
    publish(&there, &mut last, "news.a").await;
    watched.seat.deafen(false);
    for _ in 0..3 {
        publish(&there, &mut last, "news.a").await;
    }
    for (client, heard) in &mut followers {
        heard.up_to(client, &last).await;
        assert_eq!(heard.lost, 1);
    }
}

#[tokio::test]
async fn ten_thousand_channels_are_read_some_at_a_time_and_a_second_gap_is_not_lost() {
    const CHANNELS: usize = 10_000;
    let (engine, watched) = Watched::new();
    let here = Node::start(keeping(10).engine(&engine).max_channels_per_socket(CHANNELS)).await;
    let there = Node::start(keeping(10).engine(&watched.bus.seat())).await;
    let mut client = Client::ready(&here, Framing::Raw).await;
    let socket = here.server.sockets().remove(0);
    let channels: Vec<_> = (0..CHANNELS).map(|n| format!("news.{n}")).collect();
    let reading = tokio::spawn(async move {
        // It reads so that its outbox does not overflow.
        for _ in 0..CHANNELS {
            client.next().await;
        }
        client
    });
    for channel in &channels {
        socket.subscribe(channel).await.unwrap();
    }
    let mut client = reading.await.unwrap();
    let mut last = HashMap::new();
    watched.seat.cut();
    for channel in &channels {
        publish(&there, &mut last, channel).await;
    }
    watched.answer(Answer::Later(Duration::from_millis(2)));
    watched.most.store(0, Ordering::Relaxed);
    watched.seat.mend();
    let mut heard = Heard::default();
    heard.take(&client.next().await);
    // Another gap while the first one is worked on.
    watched.seat.cut();
    for channel in channels.iter().step_by(100) {
        publish(&there, &mut last, channel).await;
    }
    watched.seat.mend();
    tokio::time::timeout(Duration::from_mins(1), heard.up_to(&mut client, &last)).await.unwrap();
    assert_eq!(heard.lost, 0);
    let most = watched.most.load(Ordering::Relaxed);
    assert!((2..=32).contains(&most), "{most} channels were read at once");
    client.expect_alive().await;
}

#[tokio::test]
async fn a_hole_is_closed_in_time_whatever_becomes_of_other_channels() {
    // Less than a broker that refuses is left alone for; and those that hang do so for ever.
    let away = BrokerError::Unavailable("this shard is away".to_owned());
    let refuses = (Answer::Refuse(away), Duration::from_secs(3));
    for (answer, limit) in [refuses, (Answer::Never, Duration::from_hours(1))] {
        let (engine, watched) = Watched::new();
        let here = Node::start(keeping(100).engine(&engine).store_timeout(limit)).await;
        let there = Node::start(keeping(100).engine(&watched.bus.seat())).await;
        let mut client = Client::ready(&here, Framing::Raw).await;
        let channels: Vec<_> = (0..64).map(|n| format!("news.bad.{n}")).collect();
        for channel in channels.iter().map(String::as_str).chain(["news.good"]) {
            client.subscribe(channel).await;
        }
        let (mut heard, mut last) = (Heard::default(), HashMap::new());
        publish(&there, &mut last, "news.good").await;
        heard.up_to(&mut client, &last).await;
        watched.answer_on("news.bad.", answer);
        let before = watched.reads.load(Ordering::Relaxed);
        watched.seat.mend();
        until("them to be read", || watched.reads.load(Ordering::Relaxed) >= before + 24).await;
        watched.seat.deafen(true);
        publish(&there, &mut last, "news.good").await;
        watched.seat.deafen(false);
        publish(&there, &mut last, "news.good").await;
        heard.up_to(&mut client, &last).await;
        assert_eq!(heard.lost, 0, "nothing was lost that could be read");
    }
}
