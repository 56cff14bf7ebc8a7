//! What a state must do to be held alike by all nodes.
//!
//! In: commands, in one order. Out: what came of them. Pure.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::Instance;
use crate::timestamp::Timestamp;

/// A state. The same commands give the same outputs and the same state, wherever they are applied: nothing may depend on
/// a clock, on chance, or on the order of a hash table.
pub(in crate::nats) trait Machine: Sized + Send + Sync + 'static {
    /// What can be done with it.
    type Command: Serialize + DeserializeOwned + Send + 'static;
    /// What comes of that.
    type Output: Send + 'static;
    /// What the node is to hear of what other instances did.
    type Hint: Send + 'static;
    /// All of it as a value.
    type Image: Serialize + DeserializeOwned + Send + 'static;

    /// In which nothing is.
    fn empty() -> Self;

    /// Does something for the instance `by`. What concerns what `here` holds becomes hints.
    fn apply(
        &mut self,
        by: Instance,
        command: Self::Command,
        here: Instance,
        hints: &mut Vec<Self::Hint>,
    ) -> Self::Output;

    /// Lets go what an instance held.
    fn end(&mut self, who: Instance, now: Timestamp) -> Self::Output;

    /// What `before` held, `by` holds from now on.
    fn succeed(&mut self, before: Instance, by: Instance);

    /// The log has lost commands that were applied here.
    fn lost(&mut self, seed: u64, here: Instance, hints: &mut Vec<Self::Hint>);

    /// What an instance has to say to hold again what this one holds.
    fn claims(&self, of: Instance) -> Vec<Self::Command>;

    /// All of it.
    fn image(&self) -> Self::Image;

    /// The state that an image is of.
    fn from_image(image: Self::Image) -> Self;
}

/// Is told what other instances did. Its methods return quickly.
pub(in crate::nats) trait Listener<M: Machine>: Send + Sync + 'static {
    /// In the order in which it was done.
    fn hear(&self, hints: Vec<M::Hint>);

    /// Some hints may be missing.
    fn gap(&self);
}
