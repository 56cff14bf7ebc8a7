//! Tokens that several nodes share.

use std::time::Duration;

use futures_util::future::join_all;
use tokensocket_server::{Identity, Nats, NatsOptions, NatsTokenStore, StoreError, Token, TokenStore};
use tokensocket_tests::engine::{self, Fate, NatsWay};
use tokensocket_tests::limit::{until, within};

use crate::node::{connect, eventually};

pub(crate) fn token(number: u64) -> Token {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[8..].copy_from_slice(&(!number).to_be_bytes());
    Token::from_random(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_raced_by_two_nodes_has_one_winner() {
    const TOKENS: u64 = 10_000;
    const RACERS: usize = 4;
    const AT_ONCE: u64 = 100;
    let server = engine::Nats::start().await;
    let stores = [
        NatsTokenStore::new(&connect(&server, "site").await),
        NatsTokenStore::new(&connect(&server, "site").await),
    ];
    for first in (0..TOKENS).step_by(usize::try_from(AT_ONCE).unwrap()) {
        let ttl = Duration::from_mins(1);
        let issued = (first..first + AT_ONCE)
            .map(|n| stores[0].issue(token(n), Identity::new(n).user(n.to_string()), ttl));
        for issued in within("tokens", join_all(issued)).await {
            issued.unwrap();
        }
        let races = (first..first + AT_ONCE).map(|number| {
            let stores = &stores;
            let racers = (0..RACERS).map(move |racer| stores[racer % 2].redeem(token(number)));
            async move { (number, join_all(racers).await) }
        });
        for (number, race) in within("redemptions", join_all(races)).await {
            let winners: Vec<_> = race.into_iter().filter_map(Result::unwrap).collect();
            let [identity] = &winners[..] else { panic!("{number}: {} winners", winners.len()) };
            assert_eq!(identity.parse::<u64>().unwrap(), number);
            assert_eq!(identity.user_id().map(|user| &**user), Some(number.to_string().as_str()));
        }
    }
    let last = stores[1].redeem(token(0)).await.unwrap();
    assert!(last.is_none(), "spent");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_end_are_bounded_and_are_not_spent_by_guesses() {
    let server = engine::Nats::start().await;
    let store = NatsTokenStore::with_capacity(&connect(&server, "site").await, 3);
    let ttl = Duration::from_mins(1);
    let identity = Identity::new("data").user("8").rooms(["a"]).public("Ann").passing();
    store.issue(token(1), identity, ttl).await.unwrap();
    store.issue(token(2), Identity::anonymous(), Duration::from_millis(1)).await.unwrap();
    let mut guess = [0; 16];
    guess[..8].copy_from_slice(&1_u64.to_be_bytes());
    assert!(store.redeem(Token::from_random(guess)).await.unwrap().is_none());
    store.issue(token(3), Identity::anonymous(), ttl).await.unwrap();
    assert!(store.issue(token(4), Identity::anonymous(), ttl).await.is_err(), "full");
    let redeemed = store.redeem(token(1)).await.unwrap().unwrap();
    assert_eq!(redeemed.parse::<String>().unwrap(), "data");
    assert_eq!(
        (redeemed.public_part().as_str(), redeemed.is_passing(), redeemed.room_names().len()),
        ("\"Ann\"", true, 1)
    );
    store.issue(token(4), Identity::anonymous(), ttl).await.unwrap();
    assert!(store.redeem(token(2)).await.unwrap().is_none(), "its time is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_forgotten_with_their_server_and_others_are_issued() {
    let mut server = engine::Nats::start().await;
    let store = NatsTokenStore::new(&connect(&server, "site").await);
    let ttl = Duration::from_mins(1);
    store.issue(token(1), Identity::anonymous(), ttl).await.unwrap();
    server.kill();
    server.start_again().await;
    let redeemed = eventually("an answer", async || {
        store.redeem(token(1)).await.map_err(|error| StoreError::Unavailable(error.to_string()))
    })
    .await;
    assert!(redeemed.is_none());
    store.issue(token(2), Identity::anonymous(), ttl).await.unwrap();
    assert!(store.redeem(token(2)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_gets_lost_is_asked_again() {
    let server = engine::Nats::start().await;
    let way = NatsWay::to(server.address).await;
    let nats = Nats::connect(&format!("nats://{}", way.address), NatsOptions::new()).await.unwrap();
    let store = NatsTokenStore::new(&nats.namespace("site"));
    let ttl = Duration::from_mins(1);
    let (kept, read) = ("ts.site.t.", "$JS.API.STREAM.MSG.GET.ts_site_tokens");
    // Of a stream that is just being made, or has no leader, and when an answer gets lost.
    for (number, fate) in [(1, Fate::Lost), (2, Fate::Unanswered)] {
        for subject in ["$JS.API.STREAM.INFO.ts_site_tokens", kept] {
            way.plan(subject, fate, 1);
        }
        within("a token", store.issue(token(number), Identity::new(number), ttl)).await.unwrap();
        way.plan(read, fate, 1);
        let redeemed = within("its client", store.redeem(token(number))).await.unwrap();
        assert_eq!(redeemed.unwrap().parse::<u64>().unwrap(), number);
        assert!(store.redeem(token(number)).await.unwrap().is_none(), "once");
        way.clear();
    }
    // Nobody knows whose it is when the last answer gets lost.
    store.issue(token(3), Identity::anonymous(), ttl).await.unwrap();
    way.plan("$JS.API.STREAM.MSG.DELETE", Fate::Unanswered, 1);
    assert!(store.redeem(token(3)).await.is_err());
    assert!(store.redeem(token(3)).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_server_is_back_the_first_client_is_let_in() {
    let mut server = engine::Nats::start().await;
    let nats = connect(&server, "site").await;
    let stores = [NatsTokenStore::new(&nats), NatsTokenStore::new(&connect(&server, "site").await)];
    let ttl = Duration::from_mins(1);
    for round in 0..3 {
        stores[0].issue(token(round), Identity::anonymous(), ttl).await.unwrap();
        server.stop().await;
        until("the end of the connection", || nats.status().away.is_some()).await;
        assert!(stores[0].issue(token(99), Identity::anonymous(), ttl).await.is_err(), "refused at once");
        server.start_again().await;
        until("the connection", || nats.status().away.is_none()).await;
        // No second try: of the one before nobody knows, and another one is good.
        assert!(within("an answer", stores[0].redeem(token(round))).await.unwrap().is_none());
        within("a token", stores[0].issue(token(10 + round), Identity::anonymous(), ttl)).await.unwrap();
        let redeemed = eventually("the other node", async || {
            stores[1]
                .redeem(token(10 + round))
                .await
                .map_err(|error| StoreError::Unavailable(error.to_string()))
        });
        assert!(redeemed.await.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_another_node_made_forget_earlier_is_told_again() {
    let server = engine::Nats::start().await;
    let store = NatsTokenStore::new(&connect(&server, "site").await);
    let long = Duration::from_mins(10);
    store.issue(token(1), Identity::anonymous(), long).await.unwrap();
    let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let mut stream = jetstream.get_stream("ts_site_tokens").await.unwrap();
    // Another one looked before this node said how long, and changes it after.
    let mut config = stream.cached_info().config.clone();
    (config.max_age, config.duplicate_window) = (Duration::from_mins(5), Duration::from_mins(1));
    jetstream.update_stream(config).await.unwrap();
    let told = async {
        for number in 2.. {
            store.issue(token(number), Identity::anonymous(), long).await.unwrap();
            if stream.info().await.unwrap().config.max_age >= long {
                return;
            }
        }
    };
    within("it to be found out", told).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_a_server_that_does_not_answer_wait_no_longer_than_one() {
    const CLIENTS: u64 = 60;
    let server = engine::Nats::start().await;
    let way = NatsWay::to(server.address).await;
    let options = NatsOptions::new().timeout(Duration::from_secs(1));
    let nats = Nats::connect(&format!("nats://{}", way.address), options).await.unwrap();
    let store = NatsTokenStore::new(&nats.namespace("site"));
    way.plan("$JS.API.STREAM.INFO.ts_site_tokens", Fate::Lost, usize::MAX);
    let issued = (0..CLIENTS).map(|n| store.issue(token(n), Identity::new(n), Duration::from_mins(1)));
    let issued =
        tokio::time::timeout(Duration::from_secs(5), join_all(issued)).await.expect("an answer each");
    assert!(issued.iter().all(Result::is_err));
    way.clear();
    within("a token", store.issue(token(0), Identity::new(0), Duration::from_mins(1))).await.unwrap();
}
