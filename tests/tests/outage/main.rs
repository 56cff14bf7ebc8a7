//! The engine goes away and comes back: nothing is lost in silence, nothing comes twice, and what needs no engine goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at what it does not expect")]

mod calls;
mod followers;
mod histories;
mod no_history;
mod presence;
mod watched;
