//! The server's actions: found by path, changed while serving.
//!
//! In: a call. Out: an action that was started. Neither polls it nor guards against its panics: that is done by who calls
//! (`command/call.rs`, `session/running.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use tokensocket_protocol::RpcError;
use tokensocket_protocol::action::{ActionFuture, Actions, Call, Handler, InvalidAction, StateMap};

use super::routes::Routes;
use crate::guarded::drop_caught;
use crate::socket::Socket;

/// Actions that may change while calls run. A call that has begun goes on with the handler it found.
pub(crate) struct Router {
    actions: ArcSwap<Actions<Socket>>,
    /// How often they have changed.
    changes: AtomicU64,
    routes: Option<Routes>,
    state: StateMap,
}

/// The actions as a burst of calls finds them. To look them up is two atomic writes, which is a good part of what a
/// call costs; so it is done for the first of a burst, and again when they have changed.
#[derive(Default)]
pub(crate) struct Found {
    actions: Option<Guard<Arc<Actions<Socket>>>>,
    /// After how many changes.
    changes: u64,
}

impl Drop for Found {
    /// It may be the last who holds an action that was removed. What that action captured is the application's, and a
    /// panic in it must not end a connection that has nothing to do with it.
    fn drop(&mut self) {
        if let Some(actions) = self.actions.take() {
            drop_caught(actions);
        }
    }
}

/// What a call may be for.
#[derive(Clone, Copy)]
pub(crate) struct Table<'a> {
    router: &'a Router,
    actions: &'a Actions<Socket>,
}

impl<'a> Table<'a> {
    /// Starts the action `path`; `None` when there is none. May panic, as the action may.
    pub(crate) fn call(self, path: &str, call: &Call<'_, Socket>) -> Option<ActionFuture> {
        let found = self.actions.call(path, call);
        found.or_else(|| self.router.routes.as_ref().map(|routes| routes.call(path, call)))
    }

    /// The shared values that actions ask for.
    pub(crate) fn state(self) -> &'a StateMap {
        &self.router.state
    }
}

impl Router {
    pub(crate) fn new(actions: Actions<Socket>, routes: Option<Routes>, state: StateMap) -> Self {
        Self { actions: ArcSwap::from_pointee(actions), changes: AtomicU64::new(0), routes, state }
    }

    /// The actions as they are now. `found` is what the burst has found before.
    pub(crate) fn table<'a>(&'a self, found: &'a mut Found) -> Table<'a> {
        let changes = self.changes.load(Ordering::Acquire);
        if found.changes != changes {
            *found = Found { actions: None, changes };
        }
        Table { router: self, actions: found.actions.get_or_insert_with(|| self.actions.load()) }
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
        self.changes.fetch_add(1, Ordering::Release);
        Ok(replaced)
    }

    pub(crate) fn remove(&self, path: &str) -> bool {
        let mut removed = false;
        self.actions.rcu(|actions| {
            let mut actions = Actions::clone(actions);
            removed = actions.remove(path);
            actions
        });
        self.changes.fetch_add(1, Ordering::Release);
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
