//! The server's actions: found by path, changed while serving.
//!
//! In: a call. Out: a running action, or the error of one that panicked while it was started. Does not poll
//! it: who does guards it (`session/running.rs`).

use std::panic::AssertUnwindSafe;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use tokensocket_protocol::RpcError;
use tokensocket_protocol::action::{ActionFuture, Actions, Call, Handler, InvalidAction, StateMap};

use super::routes::Routes;
use crate::socket::Socket;

/// Actions that may change while calls run. A call that has begun goes on with the handler it found.
pub(crate) struct Router {
    actions: ArcSwap<Actions<Socket>>,
    routes: Option<Routes>,
    pub(crate) state: StateMap,
}

impl Router {
    pub(crate) fn new(actions: Actions<Socket>, routes: Option<Routes>, state: StateMap) -> Self {
        Self { actions: ArcSwap::from_pointee(actions), routes, state }
    }

    /// Starts the action `path`; `None` when there is none.
    ///
    /// A panic here is the call's error and nobody else's. The future is not guarded.
    pub(crate) fn call(&self, path: &str, call: &Call<'_, Socket>) -> Option<ActionFuture> {
        let started = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let found = self.actions.load().call(path, call);
            found.or_else(|| self.routes.as_ref().map(|routes| routes.call(path, call)))
        }));
        match started {
            Ok(None) => None,
            Ok(Some(running)) => Some(running),
            Err(_) => Some(std::future::ready(Err(panicked(path))).boxed()),
        }
    }

    pub(crate) fn insert<Args: 'static>(
        &self,
        path: &str,
        handler: impl Handler<Socket, Args>,
    ) -> Result<bool, InvalidAction> {
        handler
            .check(&self.state)
            .map_err(|missing| InvalidAction::State { path: path.to_owned(), missing })?;
        let mut one = Actions::new();
        one.insert(path, handler)?;
        let mut replaced = false;
        self.actions.rcu(|actions| {
            replaced = actions.contains(path);
            Actions::clone(actions).merge(one.clone())
        });
        Ok(replaced)
    }

    pub(crate) fn remove(&self, path: &str) -> bool {
        let mut removed = false;
        self.actions.rcu(|actions| {
            let mut actions = Actions::clone(actions);
            removed = actions.remove(path);
            actions
        });
        removed
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths: Vec<_> = self.actions.load().paths().map(str::to_owned).collect();
        paths.sort_unstable();
        paths
    }
}

/// The answer of an action that panicked.
pub(crate) fn panicked(path: &str) -> RpcError {
    tracing::error!(path, "an action panicked");
    RpcError::text("Internal error")
}
