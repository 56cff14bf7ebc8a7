//! Programs that show TokenSocket at work: `cargo run --release --example NAME -- --help`.
//!
//! Each example is one file beside this folder. This library is empty, but for the code of the project's
//! README and of its page on nodes, which the documentation tests compile.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../docs/nodes.md")]
struct Nodes;
