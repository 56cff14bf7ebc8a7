//! Shared values that handlers ask for by type.
//!
//! In: values put in while building. Out: [`State`] in a handler's signature. A handler that asks for a
//! type nobody put in is found while building, not while serving.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use super::{Call, FromCall};
use crate::rpc_error::RpcError;
use crate::threads::MaybeSync;

/// Values by type, one for each.
#[derive(Clone, Default)]
pub struct StateMap(HashMap<TypeId, Arc<Value>>);

/// Holds an `Arc<S>`, which is what it is known by: an `Arc<dyn Any>` has no way back to its type without
/// `Send`.
#[cfg(not(target_family = "wasm"))]
type Value = dyn Any + Send + Sync;
#[cfg(target_family = "wasm")]
type Value = dyn Any;

impl StateMap {
    /// Puts a value in, in place of an earlier one of the same type.
    pub fn insert<S: MaybeSync + 'static>(&mut self, value: S) {
        self.0.insert(TypeId::of::<S>(), Arc::new(Arc::new(value)));
    }

    /// The value of a type.
    pub fn get<S: MaybeSync + 'static>(&self) -> Option<Arc<S>> {
        self.0.get(&TypeId::of::<S>())?.downcast_ref().map(Arc::clone)
    }
}

impl std::fmt::Debug for StateMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StateMap({} values)", self.0.len())
    }
}

/// Extracts the shared value of type `S`.
#[derive(Debug)]
pub struct State<S>(pub Arc<S>);

impl<S> Deref for State<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.0
    }
}

/// A handler asks for a [`State`] that was never put in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a handler asks for State<{0}>, but there is none: add it with `.state(…)`")]
pub struct MissingState(pub &'static str);

impl<C, S: MaybeSync + 'static> FromCall<C> for State<S> {
    fn from_call(call: &Call<'_, C>) -> Result<Self, RpcError> {
        call.state.get().map(State).ok_or_else(|| RpcError::new("a shared value is missing"))
    }

    fn check(state: &StateMap) -> Result<(), MissingState> {
        state.get::<S>().map(drop).ok_or(MissingState(type_name::<S>()))
    }
}
