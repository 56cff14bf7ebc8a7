//! What can go wrong with anything that keeps things: device queues, history, presence.
//!
//! In: an engine's own errors. Out: what a sender can do about them.

/// Why a store did not do what it was asked. Nothing that it accepted before is affected, unless it says so.
///
/// [`Overloaded`](Self::Overloaded), [`Gone`](Self::Gone), [`TooMany`](Self::TooMany) and [`TooLarge`](Self::TooLarge)
/// are refusals: nothing was done. After any other it is not known whether what was asked is kept, since an engine or
/// a disk that fails may have done it before: a key makes it safe to send it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The engine cannot be reached, or refuses. Try again later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// There is no room where the store keeps its data. Make some, then try again.
    #[error("the store's disk is full: make room, then try again")]
    DiskFull,
    /// The store may not write. Mend its permissions or mount, then try again.
    #[error("the store cannot write: {0}")]
    ReadOnly(String),
    /// More waits to be written than may. Try again later, more slowly.
    #[error("the store has too much to do: try again later")]
    Overloaded,
    /// What the call refers to has gone since. Begin again without it.
    #[error("that {0} is not there any more: begin again")]
    Gone(&'static str),
    /// A limit of the store is reached.
    #[error("the store holds as many {0} as it may")]
    TooMany(&'static str),
    /// It is larger than a whole queue may be.
    #[error("a message of {bytes} bytes is larger than the {limit} bytes that a queue holds: send less")]
    TooLarge {
        /// The message, in bytes.
        bytes: usize,
        /// What a queue holds.
        limit: usize,
    },
    /// No answer came in time. The message may be kept or not: a key makes it safe to send it again.
    #[error(
        "the store did not answer in time; whether it kept the message is not known: send it again with the same key"
    )]
    Timeout,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}
