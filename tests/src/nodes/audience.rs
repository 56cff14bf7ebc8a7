//! Who follows channels and who gets deliveries, on whatever nodes.
//!
//! In: URLs. Out: what each was given, in order, and whether that is all that was promised.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::json;
use tokensocket_client::{Builder, Error, HistoryQuery, SubscriptionError, TokenSocket};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::ledger::{Ledger, Said};
use crate::listening::listening;

/// The channels that are published on, both with history.
pub const CHANNELS: [&str; 2] = ["news", "prices"];
/// A channel with history for tests with many followers of their own.
pub const CROWD: &str = "crowd";
/// Whom is delivered to.
pub const USERS: [&str; 2] = ["ann", "bob"];
/// The event that is delivered.
pub const EVENT: &str = "number";
/// How long everything may take to arrive.
const PATIENCE: Duration = Duration::from_mins(1);

/// Those who are there all the time.
#[derive(Debug, Default)]
pub struct Audience {
    followers: Vec<Follower>,
    devices: Vec<Device>,
}

#[derive(Debug)]
struct Follower {
    name: String,
    socket: TokenSocket,
    /// Of each channel.
    heard: Vec<Heard>,
}

/// What came on one channel.
type Heard = Arc<Mutex<Vec<Result<Said, SubscriptionError>>>>;

#[derive(Debug)]
struct Device {
    name: String,
    user: &'static str,
    socket: TokenSocket,
    handed: Handed,
}

/// What a device was handed, and what it was told to resync.
#[derive(Debug, Clone, Default)]
struct Handed(Arc<Mutex<(Vec<Said>, Vec<String>)>>);

/// Whether the engine can know that it has kept all that it acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It can: nobody is told anything.
    Surely,
    /// It has, but cannot know: devices may be told that something may be lost.
    Perhaps,
}

impl Handed {
    fn check(&self, who: &str, user: &str, ledger: &Ledger, kept: Kept) {
        let (handed, resyncs) = &*lock(&self.0);
        ledger.check_device(who, user, handed);
        let is_expected = |resync: &String| kept == Kept::Perhaps && resync.contains("reason: Lost");
        assert!(resyncs.iter().all(is_expected), "{who} was told to resync: {resyncs:?}");
    }
}

impl Audience {
    /// One who follows all channels, and a device of each user, at this URL.
    pub async fn join(&mut self, url: &str) {
        let at = self.followers.len();
        let name = format!("follower {at} ({url})");
        let socket = builder(url, "follower").connect().expect("a client");
        let mut heard = Vec::new();
        for channel in CHANNELS {
            let subscribing = timeout(PATIENCE, socket.subscribe(channel)).await.expect("in time");
            let mut subscription = subscribing.expect("it is allowed").typed();
            let to = Heard::default();
            heard.push(Arc::clone(&to));
            tokio::spawn(async move {
                while let Some(next) = subscription.next().await {
                    lock(&to).push(next);
                }
            });
        }
        self.followers.push(Follower { name, socket, heard });
        for user in USERS {
            let name = format!("{user}'s device {at} ({url})");
            let id = format!("device-{at}");
            self.devices.push(Device::connect(url, user, &id, name, Handed::default()).await);
        }
    }

    /// Waits until all were given what was promised so far.
    pub async fn hears(&self, ledger: &Ledger) {
        let mut missing = Vec::new();
        for (at, channel) in CHANNELS.iter().enumerate() {
            let promised = ledger.on(channel);
            let all = self.followers.iter().map(|follower| {
                let heard =
                    move || lock(&follower.heard[at]).iter().filter_map(|next| next.clone().ok()).collect();
                has_all(&follower.name, &promised, heard)
            });
            missing.extend(join_all(all).await.into_iter().flatten());
        }
        let all = self.devices.iter().map(|device| async {
            has_all(&device.name, &ledger.to(device.user), || lock(&device.handed.0).0.clone()).await
        });
        missing.extend(join_all(all).await.into_iter().flatten());
        assert!(missing.is_empty(), "{}", missing.join("\n"));
    }

    /// Panics unless everybody was given all that was promised, once and in order. While nobody publishes or delivers.
    pub async fn check(&self, ledger: &Ledger, kept: Kept) {
        self.hears(ledger).await;
        for (at, channel) in CHANNELS.iter().enumerate() {
            let history = history(&self.followers[0].socket, channel).await;
            ledger.check_history(channel, &history);
            for Follower { name, heard, .. } in &self.followers {
                let heard: Result<Vec<Said>, _> = lock(&heard[at]).iter().cloned().collect();
                let heard = heard.unwrap_or_else(|error| panic!("{name} was told on {channel}: {error}"));
                ledger.check_follower(name, channel, &heard, &history);
            }
        }
        for Device { name, user, handed, .. } in &self.devices {
            handed.check(name, user, ledger, kept);
        }
    }

    /// Ends all of them.
    pub async fn end(self) {
        let followers = self.followers.iter().map(|follower| &follower.socket);
        for socket in followers.chain(self.devices.iter().map(|device| &device.socket)) {
            timeout(PATIENCE, socket.end()).await.expect("it ends");
        }
    }
}

/// A device that is away, and comes to look now and then.
#[derive(Debug)]
pub struct Traveller {
    url: String,
    user: &'static str,
    handed: Handed,
}

impl Traveller {
    /// A device of the user, which is there for a moment.
    pub async fn meet(url: &str, user: &'static str) -> Self {
        let traveller = Self { url: url.to_owned(), user, handed: Handed::default() };
        traveller.connect().await.socket.end().await;
        traveller
    }

    /// Comes back, takes all that was promised, and goes again.
    pub async fn look(&self, ledger: &Ledger, kept: Kept) {
        let promised = ledger.to(self.user);
        let device = self.connect().await;
        let missing = has_all(&device.name, &promised, || lock(&self.handed.0).0.clone()).await;
        assert_eq!(missing, None);
        // What it was handed it has acknowledged. When this is answered, whatever it says, that has left it and reached
        // a node: so nothing comes again, though the client that comes next knows of nothing that this one had.
        let answered = timeout(PATIENCE, device.socket.rpc::<u64>("echo", &0).into_future()).await;
        assert!(!matches!(answered, Err(_) | Ok(Err(Error::Ended))), "{answered:?}");
        timeout(PATIENCE, device.socket.end()).await.expect("it ends");
        self.handed.check(&device.name, self.user, ledger, kept);
    }

    async fn connect(&self) -> Device {
        let name = format!("{}'s device that travels", self.user);
        Device::connect(&self.url, self.user, "traveller", name, self.handed.clone()).await
    }
}

impl Device {
    /// Connects, and waits until the nodes know it.
    async fn connect(url: &str, user: &'static str, id: &str, name: String, handed: Handed) -> Self {
        let builder = builder(url, user).device(id);
        let arrived = Arc::new(Notify::new());
        let (tell, resyncs, to) = (Arc::clone(&arrived), handed.clone(), handed.clone());
        let connecting = listening(move || {
            let socket = builder.connect().expect("a client");
            // They stay as long as the client does.
            let _ = socket.on_settings(move |_| tell.notify_one());
            let _ = socket.on_resync(move |resync| {
                lock(&resyncs.0).1.push(format!("{resync:?}"));
                async { Ok::<_, String>(()) }
            });
            let _ = socket.on_delivery_by_hand(EVENT, move |delivery| {
                let said: Said = delivery.args().parse().expect("it is ours");
                // Before anybody sees that it is here.
                delivery.acknowledge();
                lock(&to.0).0.push(said);
            });
            socket
        });
        let socket = connecting.await;
        timeout(PATIENCE, arrived.notified()).await.expect("a device arrives");
        Self { name, user, socket, handed }
    }
}

/// A client that waits for anything as long as it takes, and holds whatever comes.
fn builder(url: &str, user: &str) -> Builder {
    TokenSocket::builder(url)
        .authentication(&json!({ "user": user }))
        .subscription_buffer(1 << 24, 1 << 30)
        .call_timeout(PATIENCE)
}

/// Waits until all of `promised` was given. What is missing, if it does not come in time.
async fn has_all(who: &str, promised: &[Said], given: impl Fn() -> Vec<Said>) -> Option<String> {
    let mut missing = promised.to_vec();
    let waiting = timeout(PATIENCE, async {
        loop {
            let given: HashSet<Said> = given().into_iter().collect();
            missing.retain(|said| !given.contains(said));
            if missing.is_empty() {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    });
    waiting.await.err().map(|_| {
        let (shown, given) = (&missing[..missing.len().min(10)], given().len());
        format!("{who} was given {given}, and never {} of {}: {shown:?}", missing.len(), promised.len())
    })
}

/// All that a channel has kept, in order, and where each stands.
pub async fn history(socket: &TokenSocket, channel: &str) -> Vec<(Said, String)> {
    let (mut kept, mut query) = (Vec::new(), HistoryQuery::default());
    loop {
        let page = timeout(PATIENCE, socket.history(channel, query.clone())).await.expect("in time");
        let page = page.expect("it is allowed");
        assert!(!page.gap, "nothing is too old on {channel}");
        for publication in &page.publications {
            let said = publication.message.parse().expect("it is ours");
            kept.push((said, format!("{}:{}", page.position.epoch, publication.offset)));
        }
        let Some(last) = page.publications.last().filter(|_| page.more) else { return kept };
        let mut since = page.position.clone();
        since.offset = last.offset;
        query.since = Some(since);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
