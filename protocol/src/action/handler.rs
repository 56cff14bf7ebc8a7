//! Async functions as actions.
//!
//! In: any `async fn` or closure whose arguments are extractors. Out: [`ErasedHandler`], the one type a
//! registry keeps.

use std::future::{Future, ready};
use std::marker::PhantomData;
use std::pin::Pin;

use futures_util::future::Either;

use super::reply::IntoReply;
use super::state::{MissingState, StateMap};
use super::{Call, FromCall};
use crate::raw_json::RawJson;
use crate::rpc_error::RpcError;
use crate::threads::{MaybeSend, MaybeSync};

/// A running action. Dropping it is how a call is cancelled.
#[cfg(not(target_family = "wasm"))]
pub type ActionFuture = Pin<Box<dyn Future<Output = Result<RawJson, RpcError>> + Send>>;
/// A running action. Dropping it is how a call is cancelled.
#[cfg(target_family = "wasm")]
pub type ActionFuture = Pin<Box<dyn Future<Output = Result<RawJson, RpcError>>>>;

/// An async function whose arguments, up to eight, are extractors and whose result is
/// `Result<impl Serialize, impl Into<RpcError>>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no action",
    note = "an action is an async function of up to eight extractors that answers `Result<T, E>` with `T: Serialize` and `E: Into<RpcError>`"
)]
pub trait Handler<C, Args>: MaybeSync + 'static {
    /// Extracts the arguments and starts the function.
    fn call(
        &self,
        call: &Call<'_, C>,
    ) -> impl Future<Output = Result<RawJson, RpcError>> + MaybeSend + 'static;

    /// Whether every extractor will find what it needs.
    fn check(&self, state: &StateMap) -> Result<(), MissingState>;
}

macro_rules! handler_of {
    ($($argument:ident),*) => {
        impl<C, F, Fut, $($argument,)*> Handler<C, ($($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Fut + MaybeSync + 'static,
            Fut: Future<Output: IntoReply> + MaybeSend + 'static,
            $($argument: FromCall<C>,)*
        {
            #[allow(unused_variables, non_snake_case, reason = "one macro arm serves every number of arguments")]
            fn call(&self, call: &Call<'_, C>) -> impl Future<Output = Result<RawJson, RpcError>> + MaybeSend + 'static {
                let extract = || Ok::<_, RpcError>(($($argument::from_call(call)?,)*));
                match extract() {
                    Ok(($($argument,)*)) => {
                        let running = self($($argument),*);
                        Either::Right(async move { running.await.into_reply() })
                    }
                    Err(error) => Either::Left(ready(Err(error))),
                }
            }

            #[allow(unused_variables, reason = "a handler without arguments needs no state")]
            fn check(&self, state: &StateMap) -> Result<(), MissingState> {
                $($argument::check(state)?;)*
                Ok(())
            }
        }
    };
}

handler_of!();
handler_of!(A1);
handler_of!(A1, A2);
handler_of!(A1, A2, A3);
handler_of!(A1, A2, A3, A4);
handler_of!(A1, A2, A3, A4, A5);
handler_of!(A1, A2, A3, A4, A5, A6);
handler_of!(A1, A2, A3, A4, A5, A6, A7);
handler_of!(A1, A2, A3, A4, A5, A6, A7, A8);

/// A handler whose argument types are forgotten.
pub(super) trait ErasedHandler<C>: MaybeSync {
    fn call(&self, call: &Call<'_, C>) -> ActionFuture;
    fn check(&self, state: &StateMap) -> Result<(), MissingState>;
}

pub(super) struct Erased<H, Args> {
    handler: H,
    arguments: PhantomData<fn(Args)>,
}

impl<H, Args> Erased<H, Args> {
    pub(super) fn new(handler: H) -> Self {
        Self { handler, arguments: PhantomData }
    }
}

impl<C, Args, H: Handler<C, Args>> ErasedHandler<C> for Erased<H, Args> {
    fn call(&self, call: &Call<'_, C>) -> ActionFuture {
        Box::pin(self.handler.call(call))
    }

    fn check(&self, state: &StateMap) -> Result<(), MissingState> {
        self.handler.check(state)
    }
}
