//! How fast a TokenSocket server is, and how that compares.
//!
//! The load generator measures one running server: calls, fan-out, memory per
//! idle socket, connects, SockJS transports. It is `tokensocket bench` too. With the feature
//! `compare` (on by default) the crate also starts servers, ours and those a
//! user might pick instead, and runs the generator against each in turn.
//!
//! ```text
//! args ─▶ Target, Workload ─▶ run ─▶ workload ─▶ socket ─▶ the server
//!                              │                   ▲
//!                              ▼                dialect, sockjs
//!                            Report ─▶ compare: rounds, medians, ratios, table, JSON
//! ```
//!
//! ```no_run
//! use tokensocket_benches::{Calls, Options, Target, Workload, run};
//!
//! # fn main() -> Result<(), tokensocket_benches::BenchError> {
//! let target = Target::new("http://127.0.0.1:1337")?;
//! let report = run(&target, &Workload::Calls(Calls::default()), &Options::default())?;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```

mod args;
#[cfg(feature = "compare")]
pub mod compare;
mod dialect;
mod error;
mod files;
mod process;
mod report;
mod run;
mod socket;
mod sockjs;
mod target;
mod workload;

pub use args::BenchArgs;
pub use error::BenchError;
pub use report::{Latency, Memory, Report, Window};
pub use run::run;
pub use socket::frame::FrameError;
pub use sockjs::Transport;
pub use target::{DialectName, Options, Process, Target};
pub use workload::{
    Calls, Connect, Deliver, FanOut, Idle, Relay, Send, SockjsEcho, SockjsIdle, Whom, Workload,
};
