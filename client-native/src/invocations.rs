//! The actions that run for the server.
//!
//! In: a call's path and argument. Out: its result, by the server's name for it. Each runs as a task of
//! its own, so that a slow one holds up nobody; dropping this stops them all. How many there may be is
//! the session's affair.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use tokensocket_protocol::action::{Call, Deadline};
use tokensocket_protocol::{RawJson, RpcError};
use tokio::task::{AbortHandle, Id, JoinSet};

use crate::socket::{Actions, TokenSocket};

pub(crate) struct Invocations {
    actions: Arc<RwLock<Arc<Actions>>>,
    tasks: JoinSet<Result<RawJson, RpcError>>,
    running: HashMap<Id, String>,
    handles: HashMap<String, AbortHandle>,
}

/// A server's call of one of this client's actions.
pub(crate) struct Invocation {
    pub(crate) data: RawJson,
    pub(crate) deadline: Deadline,
    pub(crate) socket: TokenSocket,
}

impl Invocations {
    pub(crate) fn new(actions: Arc<RwLock<Arc<Actions>>>) -> Self {
        Self { actions, tasks: JoinSet::new(), running: HashMap::new(), handles: HashMap::new() }
    }

    pub(crate) fn start(&mut self, fid: String, path: String, invocation: Invocation) {
        let actions = Arc::clone(&self.actions.read());
        let handle = self.tasks.spawn(async move {
            let running = {
                let Invocation { data, deadline, socket } = invocation;
                let state = &socket.shared.state;
                actions.call(&path, &Call { data: (&data).into(), deadline, context: &socket, state })
            };
            match running {
                Some(running) => running.await,
                None => Err(RpcError::not_found()),
            }
        });
        self.running.insert(handle.id(), fid.clone());
        self.handles.insert(fid, handle);
    }

    /// Stops an action: its future is dropped.
    pub(crate) fn cancel(&mut self, fid: &str) {
        if let Some(handle) = self.handles.remove(fid) {
            self.running.remove(&handle.id());
            handle.abort();
        }
    }

    /// The next action that is done. Waits for ever when none runs. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> (String, Result<RawJson, RpcError>) {
        loop {
            let (id, outcome) = match self.tasks.join_next_with_id().await {
                Some(Ok((id, outcome))) => (id, outcome),
                Some(Err(error)) => {
                    if error.is_panic() {
                        let fid = self.running.get(&error.id());
                        tracing::error!(fid, "an action panicked");
                    }
                    (error.id(), Err(RpcError::new("The action panicked")))
                }
                None => std::future::pending().await,
            };
            if let Some(fid) = self.running.remove(&id) {
                self.handles.remove(&fid);
                return (fid, outcome);
            }
        }
    }

    /// Stops everything, and waits until it has stopped.
    pub(crate) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }
}
