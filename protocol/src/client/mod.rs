//! A client's session: connecting, authenticating, calls both ways, channels, and coming back after the
//! connection is lost. No clock, no randomness, no I/O: the driver hands them in.
//!
//! ```text
//!    user ── handle_call, handle_subscribe, … ──▶ ┌─────────┐ ── RequestToken, Open, Send, Close ──▶ driver
//!  driver ── handle_token, handle_opened,         │ Session │ ── Resolve, Event ──────────────────▶ user
//!            handle_text, handle_closed ────────▶ │         │ ── Invoke, CancelInvocation ────────▶ actions
//!   clock ── handle_timeout ────────────────────▶ └─────────┘ ── poll_timeout ────────────────────▶ clock
//! ```
//!
//! # How to drive it
//! One rule: after every `handle_*`, call [`Session::poll_output`] until it gives `None` and do what it
//! says, in order; then arm one timer for [`Session::poll_timeout`]. Times are [`Duration`]s since a
//! moment of the driver's choice, and never run backwards. After [`Output::Close`] the driver reports
//! nothing more of the token request or transport that was under way.
//!
//! # What it promises
//! - Every request resolves exactly once: with the server's answer, or with a [`CallError`].
//! - Requests go out in the order in which they were made.
//! - Nothing but `auth` is sent on a connection before the server has let us in.
//! - After a reconnect the wanted channels are subscribed again, in the order in which they came to be
//!   wanted, and then the requests that waited are sent.
//! - [`Event::Ready`] comes once, [`Event::Reconnect`] for every attempt after the first.
//! - A call that was in flight when the connection was lost fails with [`CallError::Disconnected`]; it is
//!   never sent twice. A subscribe or unsubscribe in flight survives, since repeating it does no harm.
//! - On a channel with history each publication is told once, in order. After a reconnect the session goes on where
//!   it stood: [`Event::Recovered`] brings what was missed, before anything newer; [`Event::Unrecovered`] says that
//!   some of it is lost.
//! - What is delivered to the device is told once for as long as the session lives, in the server's order, however
//!   often it is sent; an acknowledgement that was lost is made up for when it comes again. What the user gives back
//!   is told again when the server sends it again, after a reconnect. A batch is acknowledged once, when all of it
//!   is handled.
//!
//! # When it stays away
//! After a lost connection or a failed attempt it tries again, with a new token, after 10 ms, then 50 ms,
//! 250 ms, 1.25 s and every 5 s, each plus up to half of it at random; it starts over at 10 ms once
//! authenticated. A server's `reconnect` hint takes the place of the next delay. The session ends, and
//! every request with it, when trying again would meet the same answer:
//!
//! - the token request is refused (status 403) before the session was ever authenticated. After that it
//!   is retried, since what is refused now may be allowed again once the user logs in;
//! - the server answers `auth` with the code `forbidden`, or closes with 4403, during `auth` or later;
//! - [`Config::reconnect`] is off.
//!
//! The first attempt's failure is told by `Ready(Err)`; if it is not final, a later success is a
//! `Reconnect(Ok)`.

mod backoff;
mod calls;
mod config;
mod deliveries;
mod delivering;
mod error;
mod event;
mod following;
#[cfg(feature = "json")]
pub mod handle;
mod heartbeat;
mod invocations;
mod offline;
mod options;
mod phase;
mod random;
mod receiving;
mod sending;
mod session;
mod sorted;
mod subscriptions;

pub use backoff::{MAX_DELAY, MAX_HINT, MIN_DELAY};
pub use config::{Config, WhenFull};
pub use error::{CallError, ConnectionError};
pub use event::{CallId, DeliveryId, Event, Output, Publication, State};
pub use options::{PublishOptions, SubscribeOptions};
pub use random::Random;
pub use session::Session;

#[cfg(doc)]
use std::time::Duration;
