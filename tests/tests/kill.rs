//! A server is killed at random moments under load, again and again: all that it had promised is there afterwards.
//!
//! `TOKENSOCKET_KILLS` says how often, 200 times by default.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use rand::Rng;
use serde_json::json;
use tokensocket_client::{Builder, HistoryQuery, Subscription, SubscriptionError, TokenSocket};
use tokensocket_tests::keeper::{CHANNEL, EVENT, Keeper, Orders, Promise, user};
use tokensocket_tests::listening::listening;
use tokensocket_tests::{ports, scale};
use tokio::sync::Notify;
use tokio::time::timeout;

const PROGRAM: &str = env!("CARGO_BIN_EXE_keeper");
/// How many deliver and publish at once.
const CALLERS: u64 = 8;
/// How long everything may take to arrive in the end.
const PATIENCE: Duration = Duration::from_mins(2);

/// Which caller said which number.
type Said = (u64, u64);

fn kills() -> u64 {
    scale::number("TOKENSOCKET_KILLS", 200)
}

fn device(address: SocketAddr, user: &str, name: &str) -> Builder {
    TokenSocket::builder(format!("http://{address}"))
        .authentication(&json!({ "user": user }))
        .subscription_buffer(1 << 24, 1 << 30)
        .max_message_bytes(1 << 30)
        .device(name)
}

/// What a device's handler was given, in order, and as a set.
#[derive(Clone, Default)]
struct Handed(Arc<Mutex<(Vec<Said>, HashSet<Said>)>>);

impl Handed {
    fn listen(&self, socket: &TokenSocket) {
        let to = self.0.clone();
        // It stays as long as the client does.
        let _ = socket.on_delivery(EVENT, move |said: Said| {
            let mut handed = to.lock().unwrap();
            handed.0.push(said);
            handed.1.insert(said);
            async { Ok::<_, String>(()) }
        });
    }

    /// Strikes off what it was handed, which stays handed. True when nothing is left.
    fn has_all(&self, missing: &mut Vec<Said>) -> bool {
        let handed = &self.0.lock().unwrap().1;
        missing.retain(|said| !handed.contains(said));
        missing.is_empty()
    }

    fn all(&self) -> Vec<Said> {
        self.0.lock().unwrap().0.clone()
    }
}

/// Connects, and waits until the server knows the device.
async fn arrive(device: Builder, handed: &Handed) -> TokenSocket {
    let arrived = Arc::new(Notify::new());
    let (tell, handed) = (Arc::clone(&arrived), handed.clone());
    let socket = listening(move || {
        let socket = device.connect().unwrap();
        // It stays as long as the client does.
        let _ = socket.on_settings(move |_| tell.notify_one());
        handed.listen(&socket);
        socket
    })
    .await;
    timeout(PATIENCE, arrived.notified()).await.expect("the device arrives");
    socket
}

/// What was promised.
#[derive(Default)]
struct Promised {
    to: HashMap<&'static str, HashSet<Said>>,
    /// What was promised to `ann` since somebody asked.
    news_of_ann: Vec<Said>,
    published: HashMap<Said, String>,
}

impl Promised {
    fn note(&mut self, promises: Vec<Promise>) {
        for promise in promises {
            match promise {
                Promise::Delivered { caller, number } => {
                    let to = user(number);
                    self.to.entry(to).or_default().insert((caller, number));
                    if to == "ann" {
                        self.news_of_ann.push((caller, number));
                    }
                }
                Promise::Published { caller, number, position } => {
                    self.published.insert((caller, number), position);
                }
            }
        }
    }

    fn to(&self, user: &str) -> Vec<Said> {
        self.to.get(user).into_iter().flatten().copied().collect()
    }
}

/// Nothing twice, and each caller's in its order.
fn is_in_order(said: &[Said]) -> bool {
    let mut last: HashMap<u64, u64> = HashMap::new();
    said.iter().all(|(caller, number)| last.insert(*caller, *number).is_none_or(|before| before < *number))
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let looking = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"));
}

/// Reads a subscription for as long as it goes on.
fn follow(mut subscription: Subscription<Said>) -> Arc<Mutex<Vec<Result<Said, SubscriptionError>>>> {
    let heard = Arc::<Mutex<Vec<_>>>::default();
    let to = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Some(next) = subscription.next().await {
            to.lock().unwrap().push(next);
        }
    });
    heard
}

/// All that the channel has kept, and where.
async fn history(socket: &TokenSocket) -> HashMap<Said, String> {
    let mut kept = HashMap::new();
    let mut query = HistoryQuery::default();
    loop {
        let page = socket.history(CHANNEL, query.clone()).await.unwrap();
        for publication in &page.publications {
            let position = format!("{}:{}", page.position.epoch, publication.offset);
            assert!(
                kept.insert(publication.message.parse().unwrap(), position).is_none(),
                "it is there twice"
            );
        }
        assert!(!page.gap);
        let Some(last) = page.publications.last().filter(|_| page.more) else { return kept };
        let mut since = page.position.clone();
        since.offset = last.offset;
        query.since = Some(since);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_promised_is_there_however_often_the_server_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let address = ports::lasting(Ipv4Addr::LOCALHOST);
    let mut orders =
        Orders { folder: folder.path().to_owned(), address, first: 0, callers: 0, publish_every_ms: None };
    let mut keeper = Keeper::start(PROGRAM, &orders);
    let mut promised = Promised::default();

    // Two devices that are there all the time, and come back each time; one that is away while it happens.
    let mut live = Vec::new();
    for user in ["ann", "bob"] {
        let handed = Handed::default();
        let socket = arrive(device(address, user, "live"), &handed).await;
        live.push((user, socket, handed));
    }
    let heard = follow(live[0].1.subscribe(CHANNEL).await.unwrap().typed());
    let away = Handed::default();
    drop(arrive(device(address, "ann", "away"), &away).await);

    for kill in 0..kills() {
        promised.note(keeper.kill());
        orders.first = (kill + 1) << 32;
        orders.callers = CALLERS;
        keeper = Keeper::start(PROGRAM, &orders);
        // What was promised before is there, while new things are promised.
        let socket = device(address, "ann", "away").connect().unwrap();
        away.listen(&socket);
        let mut missing = std::mem::take(&mut promised.news_of_ann);
        until("what was promised to one who was away", || away.has_all(&mut missing)).await;
        drop(socket);
        let time = rand::rng().random_range(0..60);
        tokio::time::sleep(Duration::from_millis(time)).await;
    }
    promised.note(keeper.kill());
    orders.callers = 0;
    let keeper = Keeper::start(PROGRAM, &orders);

    for (user, socket, handed) in &live {
        let mut missing = promised.to(user);
        let all = missing.len();
        let arriving = timeout(PATIENCE, async {
            while !handed.has_all(&mut missing) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        if arriving.await.is_err() {
            missing.sort_unstable_by_key(|said| said.1);
            panic!(
                "{user} is {:?}, was handed {}, and never {} of {} that were promised: {:?}",
                socket.state(),
                handed.all().len(),
                missing.len(),
                all,
                missing.iter().take(10).collect::<Vec<_>>(),
            );
        }
        assert!(is_in_order(&handed.all()), "{user} was handed something twice, or out of order");
    }
    let mut missing: HashSet<Said> = promised.published.keys().copied().collect();
    let (published, mut seen) = (missing.len(), 0);
    let heard_all = || {
        let heard = heard.lock().unwrap();
        for next in heard[seen..].iter().flatten() {
            missing.remove(next);
        }
        seen = heard.len();
        missing.is_empty()
    };
    until("all that was published", heard_all).await;
    let heard: Result<Vec<Said>, _> = heard.lock().unwrap().iter().cloned().collect();
    let heard = heard.expect("every subscription was recovered");
    assert!(is_in_order(&heard), "something was heard twice, or out of order");
    let kept = history(&live[0].1).await;
    for (said, position) in &promised.published {
        assert_eq!(kept.get(said), Some(position), "{said:?}");
    }
    let delivered: usize = promised.to.values().map(HashSet::len).sum();
    println!("{} kills: {delivered} deliveries and {} publications, all there", kills(), published);
    assert!(
        delivered as u64 > kills() && published as u64 > kills(),
        "too little was promised to prove anything"
    );
    for (_, socket, _) in live {
        timeout(PATIENCE, socket.end()).await.unwrap();
    }
    keeper.stop();
}
