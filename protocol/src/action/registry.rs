//! Actions by their dotted path.
//!
//! In: paths and handlers. Out: the handler for a path. Names are looked up in a map, never in an
//! object's inherited properties.

use std::fmt;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::handler::{Erased, ErasedHandler};
use super::state::{MissingState, StateMap};
use super::{ActionFuture, Call, Handler};

/// A set of actions, nested by dots in their paths. Cloning shares the handlers.
///
/// ```
/// use tokensocket_protocol::RpcError;
/// use tokensocket_protocol::action::{Actions, Data};
///
/// async fn add(Data((a, b)): Data<(i64, i64)>) -> Result<i64, RpcError> {
///     a.checked_add(b).ok_or_else(|| RpcError::new("the sum does not fit"))
/// }
///
/// let actions: Actions<()> = Actions::new().nest("math", Actions::new().action("add", add));
/// assert!(actions.contains("math.add"));
/// ```
pub struct Actions<C> {
    /// By a fast hash that an attacker could foresee: who calls chooses no path that stands in here.
    handlers: FxHashMap<Box<str>, Arc<dyn ErasedHandler<C>>>,
    invalid: Vec<InvalidAction>,
}

impl<C: 'static> Actions<C> {
    /// No actions.
    pub fn new() -> Self {
        Self { handlers: FxHashMap::default(), invalid: Vec::new() }
    }

    /// Adds an action. Its path may have dots; a handler of the same path is replaced.
    ///
    /// A path that no call can reach is reported by [`Actions::check`].
    #[must_use]
    pub fn action<Args: 'static>(mut self, path: &str, handler: impl Handler<C, Args>) -> Self {
        if let Err(invalid) = self.insert(path, handler) {
            self.invalid.push(invalid);
        }
        self
    }

    /// Adds all of `actions` under `prefix` and a dot.
    #[must_use]
    pub fn nest(mut self, prefix: &str, actions: Self) -> Self {
        if let Err(invalid) = check_path(prefix) {
            self.invalid.push(invalid);
        }
        for (path, handler) in actions.handlers {
            self.handlers.insert(format!("{prefix}.{path}").into_boxed_str(), handler);
        }
        self.invalid.extend(actions.invalid);
        self
    }

    /// Adds all of `actions` beside these; one of the same path replaces.
    #[must_use]
    pub fn merge(mut self, actions: Self) -> Self {
        self.handlers.extend(actions.handlers);
        self.invalid.extend(actions.invalid);
        self
    }

    /// Adds or replaces an action; `true` when there was one of this path.
    pub fn insert<Args: 'static>(
        &mut self,
        path: &str,
        handler: impl Handler<C, Args>,
    ) -> Result<bool, InvalidAction> {
        check_path(path)?;
        Ok(self.handlers.insert(path.into(), Arc::new(Erased::new(handler))).is_some())
    }

    /// Removes the action `path` and all actions under it; `true` when there was any.
    pub fn remove(&mut self, path: &str) -> bool {
        let before = self.handlers.len();
        self.handlers.retain(|name, _| {
            !(name.starts_with(path) && matches!(name.as_bytes().get(path.len()), None | Some(b'.')))
        });
        self.handlers.len() < before
    }

    /// Whether there is an action of this path.
    pub fn contains(&self, path: &str) -> bool {
        self.handlers.contains_key(path)
    }

    /// The paths of all actions, in no order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.handlers.keys().map(AsRef::as_ref)
    }

    /// Starts the action `path`; `None` when there is none.
    ///
    /// The function's own code may already run here, up to its first await, and may panic.
    pub fn call(&self, path: &str, call: &Call<'_, C>) -> Option<ActionFuture> {
        self.handlers.get(path).map(|handler| handler.call(call))
    }

    /// Whether every path can be reached and every handler will find its [`super::State`].
    pub fn check(&self, state: &StateMap) -> Result<(), InvalidAction> {
        if let Some(invalid) = self.invalid.first() {
            return Err(invalid.clone());
        }
        for (path, handler) in &self.handlers {
            handler
                .check(state)
                .map_err(|missing| InvalidAction::State { path: path.to_string(), missing })?;
        }
        Ok(())
    }
}

/// An action that could never be called, or would never work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAction {
    /// Between two dots, or at an end, there is no name.
    #[error("the action path {0:?} has an empty part: name every part between the dots")]
    EmptyPart(String),
    /// Names that begin with `_`, and `auth`, belong to the wire.
    #[error("the action path {0:?} is kept for the wire: choose another name")]
    Reserved(String),
    /// A handler asks for a shared value that is not there.
    #[error("the action {path:?}: {missing}")]
    State {
        /// The action's path.
        path: String,
        /// What is missing.
        missing: MissingState,
    },
}

fn check_path(path: &str) -> Result<(), InvalidAction> {
    if path.split('.').any(str::is_empty) {
        return Err(InvalidAction::EmptyPart(path.to_owned()));
    }
    if path.starts_with('_') || path == "auth" {
        return Err(InvalidAction::Reserved(path.to_owned()));
    }
    Ok(())
}

impl<C: 'static> Default for Actions<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> Clone for Actions<C> {
    fn clone(&self) -> Self {
        Self { handlers: self.handlers.clone(), invalid: self.invalid.clone() }
    }
}

impl<C> fmt::Debug for Actions<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.handlers.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::action::{Data, Deadline, State};
    use crate::raw_json::RawJson;
    use crate::rpc_error::RpcError;

    fn call<'a>(data: &'a RawJson, state: &'a StateMap) -> Call<'a, u8> {
        Call { data: data.into(), deadline: Deadline::default(), context: &0, state }
    }

    fn answer(actions: &Actions<u8>, path: &str, data: &str) -> Option<Result<RawJson, RpcError>> {
        let data = RawJson::from_text(data.to_owned()).unwrap_or_default();
        actions.call(path, &call(&data, &StateMap::default())).and_then(FutureExt::now_or_never)
    }

    #[test]
    fn walks_the_dots_to_a_nested_action() {
        let actions = Actions::new()
            .nest("a", Actions::new().action("b.c", async |Data(n): Data<i32>| Ok::<_, RpcError>(n + 1)));
        assert_eq!(answer(&actions, "a.b.c", "1"), Some(Ok(RawJson::new(&2).unwrap_or_default())));
        assert!(answer(&actions, "a.b", "1").is_none());
        assert!(answer(&actions, "toString", "1").is_none());
    }

    #[test]
    fn answers_bad_request_when_the_argument_has_another_shape() {
        let actions = Actions::new().action("f", async |Data(n): Data<i32>| Ok::<_, RpcError>(n));
        let error = answer(&actions, "f", "\"x\"").and_then(Result::err).map(|error| error.code());
        assert_eq!(error, Some(crate::ErrorCode::BadRequest));
    }

    #[test]
    fn removes_an_action_with_all_below_it() {
        let mut actions = Actions::<u8>::new();
        for path in ["a", "a.b", "ab"] {
            assert_eq!(actions.insert(path, async || Ok::<_, RpcError>(())), Ok(false));
        }
        assert!(actions.remove("a"));
        assert_eq!(actions.paths().collect::<Vec<_>>(), ["ab"]);
    }

    #[test]
    fn finds_unreachable_and_unserved_actions_while_building() {
        let ok = async || Ok::<_, RpcError>(());
        let check = |actions: Actions<u8>| actions.check(&StateMap::default());
        assert!(matches!(check(Actions::new().action("_ping", ok)), Err(InvalidAction::Reserved(_))));
        assert!(matches!(check(Actions::new().action("a..b", ok)), Err(InvalidAction::EmptyPart(_))));
        let needs = Actions::new().action("s", async |_: State<String>| Ok::<_, RpcError>(()));
        assert!(matches!(check(needs), Err(InvalidAction::State { .. })));
    }
}
