//! Thousands follow a channel at a steady rate while the server is killed and started again: all recover by themselves,
//! nothing is lost, and nothing comes twice.
//!
//! `TOKENSOCKET_SUBSCRIBERS` says how many, 5,000 by default. The test prints how long it took.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use serde_json::json;
use tokensocket_client::{HistoryQuery, SubscriptionError, TokenSocket};
use tokensocket_tests::keeper::{CHANNEL, Keeper, Orders};
use tokensocket_tests::node::listen;
use tokensocket_tests::{open_files, scale};
use tokio::time::{sleep, timeout};

const PROGRAM: &str = env!("CARGO_BIN_EXE_keeper");
/// How often something is published.
const EVERY_MS: u64 = 500;
/// How many connect at once, in the beginning.
const AT_ONCE: usize = 50;
/// How long all of them may take for one thing.
const PATIENCE: Duration = Duration::from_mins(10);

/// Which caller said which number.
type Said = (u64, u64);

fn subscribers() -> usize {
    scale::number("TOKENSOCKET_SUBSCRIBERS", 5_000)
}

/// Somebody who follows the channel, and all that it heard.
struct Subscriber {
    socket: TokenSocket,
    heard: Arc<Mutex<Vec<Result<Said, SubscriptionError>>>>,
}

impl Subscriber {
    async fn connect(address: SocketAddr) -> Self {
        let builder = TokenSocket::builder(format!("http://{address}"))
            .authentication(&json!({ "user": "ann" }))
            .call_timeout(PATIENCE);
        let socket = builder.connect().unwrap();
        let mut subscription = socket.subscribe(CHANNEL).await.unwrap().typed();
        let heard = Arc::<Mutex<Vec<_>>>::default();
        let to = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Some(next) = subscription.next().await {
                to.lock().unwrap().push(next);
            }
        });
        Self { socket, heard }
    }

    fn has_heard(&self, number: u64) -> bool {
        self.heard.lock().unwrap().iter().any(|next| next.as_ref().is_ok_and(|said| said.1 >= number))
    }
}

/// Waits until all have heard this number or a later one.
async fn all_hear(subscribers: &[Subscriber], number: u64) {
    let hearing = async {
        for subscriber in subscribers {
            while !subscriber.has_heard(number) {
                sleep(Duration::from_millis(20)).await;
            }
        }
    };
    timeout(PATIENCE, hearing)
        .await
        .unwrap_or_else(|_| panic!("waited {PATIENCE:?} for all to hear {number}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_recover_from_a_restart_without_a_loss() {
    open_files::raise_limit(2 * subscribers() as u64 + 200);
    let folder = tempfile::tempdir().unwrap();
    let (listener, address) = listen().await;
    drop(listener);
    let folder = folder.path().to_owned();
    let mut orders = Orders { folder, address, first: 1, callers: 0, publish_every_ms: Some(EVERY_MS) };
    let keeper = Keeper::start(PROGRAM, &orders);

    let begun = Instant::now();
    let connecting = stream::iter(0..subscribers()).map(|_| Subscriber::connect(address));
    let subscribers: Vec<Subscriber> =
        timeout(PATIENCE, connecting.buffer_unordered(AT_ONCE).collect()).await.expect("all connect");
    println!("{} subscribers after {:.1} s", subscribers.len(), begun.elapsed().as_secs_f64());
    all_hear(&subscribers, 1).await;

    let killed = Instant::now();
    let before = keeper.kill().len();
    orders.first = 1 << 32;
    let keeper = Keeper::start(PROGRAM, &orders);
    let restarted = Instant::now();
    all_hear(&subscribers, orders.first).await;
    let recovered = restarted.elapsed();

    // Everybody is there again: what comes now is heard by all.
    let after = orders.first + keeper.promises().len() as u64 + 4;
    all_hear(&subscribers, after).await;
    let reader = &subscribers[0].socket;
    let page = reader.history(CHANNEL, HistoryQuery::default()).await.unwrap();
    assert!(!page.more && !page.gap);
    let kept: Vec<Said> = page.publications.iter().map(|kept| kept.message.parse().unwrap()).collect();
    for (at, subscriber) in subscribers.iter().enumerate() {
        let heard: Result<Vec<Said>, _> = subscriber.heard.lock().unwrap().iter().cloned().collect();
        let heard = heard.unwrap_or_else(|error| panic!("subscriber {at} was not recovered: {error}"));
        let heard: Vec<Said> = heard.into_iter().filter(|said| said.1 <= after).collect();
        let first = kept.iter().position(|said| Some(said) == heard.first()).expect("it is kept");
        let last = kept.iter().position(|said| said.1 == after).expect("it is kept");
        assert_eq!(heard, kept[first..=last], "subscriber {at}");
    }
    println!(
        "{} subscribers at {} publications per second, {before} of them promised before the kill: down for {:.2} s, \
         all recovered {:.2} s after the server listened again, nothing lost, nothing twice",
        subscribers.len(),
        1000 / EVERY_MS,
        (restarted - killed).as_secs_f64(),
        recovered.as_secs_f64(),
    );
    let ending = stream::iter(subscribers).for_each_concurrent(AT_ONCE, |subscriber| async move {
        subscriber.socket.end().await;
    });
    timeout(PATIENCE, ending).await.expect("all end");
    keeper.stop();
}
