//! A client's process: the real session, driven by a task over the simulated network.
//!
//! In: wishes of its user. Out: requests on the network, and everything that the session tells, for the
//! [ledger](crate::ledger). It does what `client-native` does, with simulated time and connections. To abort its task
//! is to kill the process.

mod driver;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use tokensocket_protocol::Channel;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::world::World;
use driver::Driver;

/// Names one process of a client: its next one, after a restart, is somebody else.
pub(crate) type ClientName = u64;

/// Who a client is.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) user: String,
    /// The rooms its user is in.
    pub(crate) rooms: Vec<String>,
    /// What it names its device, if it does.
    pub(crate) device: Option<String>,
}

/// What a client's user wants.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    /// Calls an action with a number of its own.
    Call {
        path: &'static str,
        number: u64,
        timeout: Option<Duration>,
    },
    Subscribe(Channel),
    Unsubscribe(Channel),
    /// Publishes a number of its own; with a key, again and again until it is answered.
    Publish {
        channel: Channel,
        number: u64,
        keyed: bool,
    },
    Broadcast {
        number: u64,
    },
    /// Gives the latest request up.
    Cancel,
    /// Does not read for a while.
    Stall(Duration),
    /// There is reason to look at the connection.
    Wake,
    /// Ends the session.
    End,
}

/// What a client's task is told.
enum Told {
    Wish(Wish),
    /// Somebody wants to know what the session follows.
    Channels(oneshot::Sender<Vec<Channel>>),
}

/// A running process of a client.
pub(crate) struct Client {
    pub(crate) name: ClientName,
    pub(crate) owner: Owner,
    told: UnboundedSender<Told>,
    task: JoinHandle<()>,
}

impl Client {
    /// Starts it.
    pub(crate) fn start(world: &Arc<World>, owner: Owner, random: fastrand::Rng) -> Self {
        let name = world.next_number();
        world.trace.note(format_args!("client {name} starts: {owner:?}"));
        let (told, hears) = unbounded_channel();
        let driver = Driver::new(Arc::clone(world), name, owner.clone(), random);
        Self { name, owner, told, task: tokio::spawn(driver.run(hears)) }
    }

    /// Tells it what its user wants.
    pub(crate) fn wish(&self, wish: Wish) {
        // One that has ended wants nothing any more.
        let _ = self.told.send(Told::Wish(wish));
    }

    /// The channels that its session wants to follow.
    pub(crate) async fn channels(&self) -> Vec<Channel> {
        let (answer, answered) = oneshot::channel();
        let _ = self.told.send(Told::Channels(answer));
        answered.await.unwrap_or_default()
    }

    /// Ends it as an operating system does: it says nothing more.
    pub(crate) fn kill(self, world: &World) {
        world.trace.note(format_args!("client {} is killed", self.name));
        self.task.abort();
        world.ledger.lock().client_is_gone(self.name);
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) {
        let outcome = (&mut self.task).await;
        assert!(outcome.is_ok(), "a client panicked");
    }
}
