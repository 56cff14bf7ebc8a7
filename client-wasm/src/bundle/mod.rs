//! The JavaScript face: the class [`Connection`], which the npm package is made of.
//!
//! ```text
//! Connection ──▶ Driver<JsCodec, Host> ──▶ Host (a plain object of functions)
//! ```
//!
//! Payloads never enter WebAssembly's memory: what goes out is made JSON text by the engine at the door and
//! stays a string of the engine's; what comes in stays the object that the engine's `JSON` made of it.

mod codec;
mod connection;
mod host;
mod options;

pub use connection::Connection;

/// The standard library's allocator is twice as large.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();
