//! JSON text without types: where its values end, and its strings.
//!
//! In: text. Out: slices of it, known to be well formed. What `serde_json` does with types is not done
//! here.

pub(crate) mod scanner;
pub(crate) mod slice;
pub(crate) mod string;
#[cfg(test)]
pub(crate) mod tests;

/// The text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotJson;
