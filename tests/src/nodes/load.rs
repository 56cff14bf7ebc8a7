//! Steady traffic on all nodes.
//!
//! In: the nodes' addresses. Out: for each node, one who publishes on each channel and one who delivers, one thing after
//! the other. What was acknowledged goes into the [`Ledger`]. What has a key is tried again until it is acknowledged;
//! what has none is tried once.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};
use tokensocket_client::{PublishOptions, TokenSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{API_KEY, CHANNELS, EVENT, Face, Order, USERS};
use crate::http;
use crate::ledger::{Ledger, Said};

/// How long each waits between two things.
const EVERY: Duration = Duration::from_millis(40);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long everybody may take to end what is under way.
const PATIENCE: Duration = Duration::from_mins(2);

/// Running traffic. It ends when this is dropped.
#[derive(Debug)]
pub struct Load {
    /// What was acknowledged.
    pub ledger: Ledger,
    callers: Vec<Arc<Caller>>,
    runs: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

/// One who does one thing after the other on one node.
#[derive(Debug)]
struct Caller {
    id: u64,
    node: usize,
    work: Work,
    busy: watch::Sender<bool>,
    /// What was acknowledged.
    done: AtomicU64,
    /// What errors said, each once.
    failures: Mutex<BTreeSet<String>>,
}

#[derive(Debug, Clone, Copy)]
enum Work {
    Publish(&'static str),
    Deliver,
}

impl Load {
    /// Begins, on the nodes with these addresses.
    pub fn begin(nodes: &[SocketAddr]) -> Self {
        Self::by(Face::Wire, nodes)
    }

    /// The same, on nodes that are told like this.
    pub fn by(face: Face, nodes: &[SocketAddr]) -> Self {
        let ledger = Ledger::default();
        let runs = watch::Sender::new(true);
        let (mut callers, mut tasks) = (Vec::new(), JoinSet::new());
        for (node, address) in nodes.iter().enumerate() {
            let way = match face {
                Face::Wire => Way::Wire(
                    TokenSocket::builder(format!("http://{address}"))
                        .authentication(&json!({ "user": "caller" }))
                        .call_timeout(ATTEMPT)
                        .connect()
                        .expect("a client"),
                ),
                Face::Http => Way::Http(*address),
            };
            let work = CHANNELS.into_iter().map(Work::Publish).chain([Work::Deliver]);
            for work in work {
                let caller = Arc::new(Caller {
                    id: callers.len() as u64,
                    node,
                    work,
                    busy: watch::Sender::new(false),
                    done: AtomicU64::new(0),
                    failures: Mutex::default(),
                });
                callers.push(Arc::clone(&caller));
                tasks.spawn(caller.run(way.clone(), ledger.clone(), runs.subscribe()));
            }
        }
        Self { ledger, callers, runs, _tasks: tasks }
    }

    /// Begins nothing new, and waits until nothing is under way.
    pub async fn rest(&self) {
        self.runs.send_replace(false);
        for caller in &self.callers {
            let mut busy = caller.busy.subscribe();
            let resting = timeout(PATIENCE, busy.wait_for(|busy| !busy)).await;
            assert!(resting.is_ok(), "waited {PATIENCE:?} for {caller:?}");
        }
    }

    /// Goes on.
    pub fn go_on(&self) {
        self.runs.send_replace(true);
    }

    /// Waits until each caller of these nodes has succeeded again.
    pub async fn succeeds(&self, nodes: &[usize]) {
        let callers = self.callers.iter().filter(|caller| nodes.contains(&caller.node));
        // What is acknowledged next may have been sent before this.
        let wanted: Vec<_> = callers.map(|caller| (caller, caller.done.load(Ordering::SeqCst) + 2)).collect();
        let succeeding = timeout(PATIENCE, async {
            for (caller, wanted) in &wanted {
                while caller.done.load(Ordering::SeqCst) < *wanted {
                    sleep(Duration::from_millis(5)).await;
                }
            }
        });
        assert!(succeeding.await.is_ok(), "waited {PATIENCE:?} for callers to succeed: {wanted:?}");
    }

    /// How often callers of a node succeeded.
    pub fn done(&self, node: usize) -> u64 {
        let callers = self.callers.iter().filter(|caller| caller.node == node);
        callers.map(|caller| caller.done.load(Ordering::SeqCst)).sum()
    }

    /// What callers of a node were told of what failed, each once; forgotten with this.
    pub fn take_failures(&self, node: usize) -> BTreeSet<String> {
        let callers = self.callers.iter().filter(|caller| caller.node == node);
        callers
            .flat_map(|caller| {
                std::mem::take(&mut *caller.failures.lock().unwrap_or_else(PoisonError::into_inner))
            })
            .collect()
    }
}

impl Caller {
    async fn run(self: Arc<Self>, way: Way, ledger: Ledger, mut runs: watch::Receiver<bool>) {
        let mut number = 0;
        while runs.wait_for(|runs| *runs).await.is_ok() {
            self.busy.send_replace(true);
            // Asked once more: who waits for it to rest may have looked just before it was busy.
            if *runs.borrow() {
                number += 1;
                self.act(&way, &ledger, number).await;
            }
            self.busy.send_replace(false);
            sleep(EVERY).await;
        }
    }

    /// One thing, and again if it has a key.
    async fn act(&self, way: &Way, ledger: &Ledger, number: u64) {
        let said = (self.id, number);
        let key = number.is_multiple_of(2).then(|| format!("{}-{number}", self.id));
        loop {
            let Err(error) = self.attempt(way, ledger, said, key.clone()).await else {
                self.done.fetch_add(1, Ordering::SeqCst);
                return;
            };
            self.failures.lock().unwrap_or_else(PoisonError::into_inner).insert(error.to_string());
            if key.is_none() {
                return;
            }
            sleep(EVERY).await;
        }
    }

    async fn attempt(
        &self,
        way: &Way,
        ledger: &Ledger,
        said: Said,
        key: Option<String>,
    ) -> Result<(), Refused> {
        match self.work {
            Work::Publish(channel) => {
                let position = way.publish(channel, said, key).await?;
                ledger.published(channel, said, position);
            }
            Work::Deliver => {
                let users = USERS.len() as u64;
                let user = USERS[usize::try_from(said.1 % users).expect("few users")];
                let devices = way.deliver(user, said, key).await?;
                assert!(devices > 0, "{user} has devices");
                ledger.delivered(user, said);
            }
        }
        Ok(())
    }
}

type Refused = Box<dyn std::error::Error + Send + Sync>;

/// How a node is told.
#[derive(Debug, Clone)]
enum Way {
    Wire(TokenSocket),
    Http(SocketAddr),
}

impl Way {
    /// Where it stands, when it is acknowledged.
    async fn publish(&self, channel: &str, said: Said, key: Option<String>) -> Result<String, Refused> {
        match self {
            Self::Wire(socket) => {
                let options = key.into_iter().fold(PublishOptions::new(), PublishOptions::key);
                let published = socket.publish_with(channel, &said, options).await?;
                Ok(published.position.expect("a channel with history has positions").to_string())
            }
            Self::Http(address) => {
                let body = json!({ "channel": channel, "data": said });
                let published = post(*address, "publish", &body, key).await?;
                let position = &published["position"];
                Ok(format!("{}:{}", position["epoch"].as_str().expect("an epoch"), position["offset"]))
            }
        }
    }

    /// For how many devices it is kept, when it is.
    async fn deliver(&self, user: &str, said: Said, key: Option<String>) -> Result<u64, Refused> {
        match self {
            Self::Wire(socket) => {
                let order = Order { user: user.to_owned(), said, key };
                Ok(socket.rpc("deliver", &order).await?)
            }
            Self::Http(address) => {
                let body = json!({ "users": [user], "event": EVENT, "args": said });
                let delivered = post(*address, "deliver", &body, key).await?;
                // One that was accepted before tells of no devices.
                let is_known = delivered["duplicate"] == true;
                Ok(if is_known { 1 } else { delivered["devices"].as_u64().expect("a number") })
            }
        }
    }
}

/// What a gateway answers, if it does it.
async fn post(address: SocketAddr, what: &str, body: &Value, key: Option<String>) -> Result<Value, Refused> {
    let bearer = format!("Bearer {API_KEY}");
    let mut headers = vec![("content-type", "application/json"), ("authorization", &bearer)];
    headers.extend(key.as_deref().map(|key| ("idempotency-key", key)));
    let path = format!("/api/v1/{what}");
    let asking = http::try_request(address, Method::POST, &path, &headers, body.to_string());
    let answer = timeout(ATTEMPT, asking).await??;
    match answer.status {
        200 => Ok(answer.json()),
        // What happens here makes it refuse, or not know in time; anything else is a mistake.
        status @ (503 | 504) => Err(format!("{status}: {}", answer.body).into()),
        status => panic!("{path}: {status}: {}", answer.body),
    }
}
