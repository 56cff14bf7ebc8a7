//! What a handler's arguments are made of.
//!
//! In: a [`Call`]. Out: the types named in the handler's signature, or the error that the caller gets.

use std::any::{Any, TypeId};
use std::time::Duration;

use serde::de::DeserializeOwned;
use web_time::Instant;

use super::argument::Argument;
use super::state::{MissingState, StateMap};
use crate::raw_json::RawJson;
use crate::rpc_error::RpcError;

/// One call of an action.
#[derive(Debug)]
pub struct Call<'a, C> {
    /// The argument, not looked into yet.
    pub data: Argument<'a>,
    /// When the caller gives up, if it said so.
    pub deadline: Deadline,
    /// Who calls: the socket on a server, the handle on a client.
    pub context: &'a C,
    /// The shared values.
    pub state: &'a StateMap,
}

/// A type that can be taken out of a [`Call`], and so be an argument of a handler.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no extractor",
    note = "arguments of a handler are `Data<T>`, `State<S>`, `Deadline`, on a server `Socket`, `Auth<T>` and `Server`, or your own type with `FromCall`"
)]
pub trait FromCall<C>: Sized {
    /// Takes the value out. An error is the call's answer; the handler does not run.
    fn from_call(call: &Call<'_, C>) -> Result<Self, RpcError>;

    /// Whether the extractor will find what it needs; asked once, while building.
    fn check(state: &StateMap) -> Result<(), MissingState> {
        let _ = state;
        Ok(())
    }
}

/// Extracts the call's argument as a type.
///
/// An argument of another shape is answered with `bad_request` and says what was expected. Take
/// `Data<RawJson>` to leave it unread.
#[derive(Debug, Clone, Copy)]
pub struct Data<T>(pub T);

impl<C, T: DeserializeOwned + 'static> FromCall<C> for Data<T> {
    fn from_call(call: &Call<'_, C>) -> Result<Self, RpcError> {
        if TypeId::of::<T>() == TypeId::of::<RawJson>() {
            let mut unread = Some(call.data.to_raw());
            if let Some(data) = (&mut unread as &mut dyn Any).downcast_mut().and_then(Option::take) {
                return Ok(Self(data));
            }
        }
        call.data.parse().map(Data).map_err(|error| RpcError::bad_request(error.to_string()))
    }
}

/// Extracts the time until which the caller waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deadline(pub Option<Instant>);

impl Deadline {
    /// So long from now; none when that is further than the clock goes.
    pub fn after(timeout: Duration) -> Self {
        Self(Instant::now().checked_add(timeout))
    }

    /// How long the caller still waits: `None` when it set no limit, zero when it has passed.
    pub fn remaining(&self) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

impl<C> FromCall<C> for Deadline {
    fn from_call(call: &Call<'_, C>) -> Result<Self, RpcError> {
        Ok(call.deadline)
    }
}
