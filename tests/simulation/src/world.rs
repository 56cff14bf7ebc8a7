//! What all parts of one world share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokensocket_protocol::Channel;
use tokensocket_server::{Identity, Server};

use crate::client::{ClientName, Owner};
use crate::ledger::{Ledger, Promises};
use crate::network::Network;
use crate::trace::Trace;

/// One world.
pub(crate) struct World {
    pub(crate) trace: Arc<Trace>,
    pub(crate) network: Network,
    pub(crate) ledger: Mutex<Ledger>,
    /// The channels that there are.
    pub(crate) channels: Vec<Channel>,
    /// The server that is up.
    server: Mutex<Option<Server>>,
    numbers: AtomicU64,
    restless: AtomicBool,
}

impl World {
    pub(crate) fn new(
        trace: Arc<Trace>,
        network: Network,
        channels: Vec<Channel>,
        promises: Promises,
    ) -> Arc<Self> {
        Arc::new(Self {
            trace,
            network,
            ledger: Mutex::new(Ledger::new(promises)),
            channels,
            server: Mutex::new(None),
            numbers: AtomicU64::new(1),
            restless: AtomicBool::new(true),
        })
    }

    /// A number that nothing else in this world has.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether things still go wrong.
    pub(crate) fn is_restless(&self) -> bool {
        self.restless.load(Ordering::Relaxed)
    }

    /// Nothing goes wrong any more.
    pub(crate) fn calm(&self) {
        self.restless.store(false, Ordering::Relaxed);
        self.network.calm();
    }

    /// Which server answers requests for tokens.
    pub(crate) fn serve(&self, server: Option<Server>) {
        *self.server.lock() = server;
    }

    /// Asks for a token.
    pub(crate) async fn token(&self, client: ClientName, owner: &Owner) -> Result<String, String> {
        let server = self.server.lock().clone();
        let server = server.ok_or_else(|| "nobody listens".to_owned())?;
        let rooms = owner.rooms.iter().map(String::as_str);
        let identity = Identity::new(client).user(owner.user.as_str()).rooms(rooms).public(client);
        server.issue_token(identity).await.map(|token| token.to_string()).map_err(|error| error.to_string())
    }
}
