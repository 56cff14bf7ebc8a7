//! What one wake-up of a connection's task needs, and an idle connection does not keep.
//!
//! In: the task's context. Out: the answers that were gathered. It stands on the task's stack, so that it costs nothing
//! while nothing happens.

use std::task::Context;

use super::answers::Answers;
use crate::rpc::router::Found;

/// One wake-up: a burst is read, answered, and written.
pub(super) struct Burst<'a, 'b> {
    /// Who wakes the task again.
    pub(super) cx: &'a mut Context<'b>,
    pub(super) answers: Answers,
    /// The actions as its calls find them.
    pub(super) actions: Found,
}
