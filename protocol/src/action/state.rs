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

/// Values by type, one for each.
#[derive(Clone, Default)]
pub struct StateMap(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl StateMap {
    /// Puts a value in, in place of an earlier one of the same type.
    pub fn insert<S: Send + Sync + 'static>(&mut self, value: S) {
        self.0.insert(TypeId::of::<S>(), Arc::new(value));
    }

    /// The value of a type.
    pub fn get<S: Send + Sync + 'static>(&self) -> Option<Arc<S>> {
        self.0.get(&TypeId::of::<S>()).and_then(|value| Arc::clone(value).downcast().ok())
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

impl<C, S: Send + Sync + 'static> FromCall<C> for State<S> {
    fn from_call(call: &Call<'_, C>) -> Result<Self, RpcError> {
        call.state.get().map(State).ok_or_else(|| RpcError::new("a shared value is missing"))
    }

    fn check(state: &StateMap) -> Result<(), MissingState> {
        state.get::<S>().map(drop).ok_or(MissingState(type_name::<S>()))
    }
}
