//! Functions that handle what is delivered to this device.
//!
//! In: functions by event, deliveries and resyncs. Out: what each function does, as a future. Which is whose turn is
//! [`Deliveries`](super::Deliveries)' affair.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use serde::de::DeserializeOwned;

use crate::message::ResyncReason;
use crate::raw_json::RawJson;
use crate::threads::{MaybeSend, MaybeSync};

/// A handler at work. Gives whether what it handled is done with, and may be acknowledged.
#[cfg(not(target_family = "wasm"))]
pub type Handling = Pin<Box<dyn Future<Output = bool> + Send>>;
/// A handler at work. Gives whether what it handled is done with, and may be acknowledged.
#[cfg(target_family = "wasm")]
pub type Handling = Pin<Box<dyn Future<Output = bool>>>;

#[cfg(not(target_family = "wasm"))]
type Settle = Box<dyn FnOnce(bool) + Send>;
#[cfg(target_family = "wasm")]
type Settle = Box<dyn FnOnce(bool)>;

#[cfg(not(target_family = "wasm"))]
type ByResult = Arc<dyn Fn(&RawJson) -> Handling + Send + Sync>;
#[cfg(target_family = "wasm")]
type ByResult = Arc<dyn Fn(&RawJson) -> Handling>;

#[cfg(not(target_family = "wasm"))]
type ByHand = Arc<dyn Fn(Delivery) + Send + Sync>;
#[cfg(target_family = "wasm")]
type ByHand = Arc<dyn Fn(Delivery)>;

#[cfg(not(target_family = "wasm"))]
type OnResync = Arc<dyn Fn(Resync) -> Handling + Send + Sync>;
#[cfg(target_family = "wasm")]
type OnResync = Arc<dyn Fn(Resync) -> Handling>;

/// Deliveries of an event, or of all events, are lost to this device: fetch what they were about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resync {
    /// Of which event; `None`: of all.
    pub event: Option<String>,
    /// Why.
    pub reason: ResyncReason,
}

/// Something that was delivered and is acknowledged by hand. Dropping it gives it back: the server keeps it, and
/// sends it again after the next reconnect.
#[must_use = "dropping a delivery gives it back: call `acknowledge`"]
pub struct Delivery {
    event: String,
    args: RawJson,
    settle: Option<Settle>,
}

impl Delivery {
    /// `settle` is told once whether it was acknowledged.
    pub fn new(event: String, args: RawJson, settle: impl FnOnce(bool) + MaybeSend + 'static) -> Self {
        Self { event, args, settle: Some(Box::new(settle)) }
    }

    /// The event's name.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// The arguments, a JSON array.
    pub fn args(&self) -> &RawJson {
        &self.args
    }

    /// It is handled: the server forgets it.
    pub fn acknowledge(mut self) {
        self.settle(true);
    }

    fn settle(&mut self, is_done: bool) {
        if let Some(settle) = self.settle.take() {
            settle(is_done);
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.settle(false);
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("event", &self.event)
            .field("args", &self.args)
            .finish_non_exhaustive()
    }
}

/// How an event is handled.
#[derive(Clone)]
pub(super) enum OnDelivery {
    ByResult(ByResult),
    ByHand(ByHand),
}

#[derive(Default)]
struct Inner {
    last: u64,
    deliveries: HashMap<String, (u64, OnDelivery)>,
    resync: Option<(u64, OnResync)>,
}

/// All functions that handle one client's deliveries: one for each event, and one for resyncs. Cloning gives another
/// handle to the same.
#[derive(Clone, Default)]
pub struct Handlers(Arc<Mutex<Inner>>);

impl Handlers {
    /// Handles an event by an async function of its arguments, in place of what handled it before. What the
    /// function answers with `Ok` is acknowledged; an error is logged, and arguments that are no `T` are one.
    pub fn on_delivery<T, F, Fut, E>(&self, event: impl Into<String>, handler: F) -> DeliveryHandler
    where
        T: DeserializeOwned,
        F: Fn(T) -> Fut + MaybeSync + 'static,
        Fut: Future<Output = Result<(), E>> + MaybeSend + 'static,
        E: fmt::Display,
    {
        let event = event.into();
        let name = event.clone();
        let handle = move |args: &RawJson| -> Handling {
            let name = name.clone();
            match args.parse() {
                Ok(args) => Box::pin(handler(args).map(move |outcome| is_done(&name, &outcome))),
                Err(error) => Box::pin(ready(is_done(&name, &Err(error)))),
            }
        };
        self.set(event, OnDelivery::ByResult(Arc::new(handle)))
    }

    /// Handles an event by a function that gets each [`Delivery`] and acknowledges it whenever it likes.
    pub fn on_delivery_by_hand(
        &self,
        event: impl Into<String>,
        handler: impl Fn(Delivery) + MaybeSync + 'static,
    ) -> DeliveryHandler {
        self.set(event.into(), OnDelivery::ByHand(Arc::new(handler)))
    }

    /// Handles resyncs by an async function, in place of what handled them before. It is told again of what it does
    /// not answer with `Ok`, after the next reconnect.
    pub fn on_resync<F, Fut, E>(&self, handler: F) -> DeliveryHandler
    where
        F: Fn(Resync) -> Fut + MaybeSync + 'static,
        Fut: Future<Output = Result<(), E>> + MaybeSend + 'static,
        E: fmt::Display,
    {
        let handle = move |resync: Resync| -> Handling {
            Box::pin(handler(resync).map(|outcome| is_done("resync", &outcome)))
        };
        let mut inner = self.lock();
        inner.last += 1;
        let id = inner.last;
        inner.resync = Some((id, Arc::new(handle)));
        DeliveryHandler { id, event: None, handlers: self.clone() }
    }

    fn set(&self, event: String, handler: OnDelivery) -> DeliveryHandler {
        let mut inner = self.lock();
        inner.last += 1;
        let id = inner.last;
        inner.deliveries.insert(event.clone(), (id, handler));
        DeliveryHandler { id, event: Some(event), handlers: self.clone() }
    }

    pub(super) fn of(&self, event: &str) -> Option<OnDelivery> {
        self.lock().deliveries.get(event).map(|(_, handler)| handler.clone())
    }

    pub(super) fn of_resync(&self) -> Option<OnResync> {
        self.lock().resync.as_ref().map(|(_, handler)| Arc::clone(handler))
    }

    /// Nothing that runs under the lock can leave the list half changed.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} handlers", self.lock().deliveries.len())
    }
}

fn is_done<E: fmt::Display>(event: &str, outcome: &Result<(), E>) -> bool {
    if let Err(error) = outcome {
        tracing::error!(event, %error, "a delivery was not handled, and comes again after the next reconnect");
    }
    outcome.is_ok()
}

/// A handler's place. Dropping it changes nothing: the handler stays until it is removed or replaced, or its client is
/// gone.
#[derive(Debug, Clone)]
pub struct DeliveryHandler {
    id: u64,
    event: Option<String>,
    handlers: Handlers,
}

impl DeliveryHandler {
    /// Removes the handler, if it was not replaced. It may still be running. What comes for it from now on waits for
    /// another one.
    pub fn remove(&self) {
        let mut inner = self.handlers.lock();
        match &self.event {
            Some(event) if inner.deliveries.get(event).is_some_and(|(id, _)| *id == self.id) => {
                inner.deliveries.remove(event);
            }
            None if inner.resync.as_ref().is_some_and(|(id, _)| *id == self.id) => inner.resync = None,
            _ => {}
        }
    }
}
