//! What a second core is worth, without a load generator that takes a part of it.
//!
//! ```text
//! shape: the server on one thread, on two, or one for each runtime (bus between them)
//!   │
//!   ├─ calls      the server is held, all calls are written, it is let go: the clock runs until the last answer
//!   └─ fan_out    followers that read nothing; the clock runs until the last one has the publication
//! ```
//!
//! `cargo xtask bench --only cores` runs it for each shape. Goes out: a
//! `Report` as JSON. Clients and server share a process, and the clients sleep
//! while the clock runs: so its CPU time is the server's.

#![allow(clippy::print_stderr, reason = "a program that tells what it does")]

mod bus;
mod calls;
mod client;
mod fan_out;
mod hold;
mod shape;
mod watch;

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokensocket_benches::Workload;

use shape::Shape;

/// Measures one shape of the server under one workload.
#[derive(Parser)]
struct Arguments {
    /// What the server runs on.
    #[arg(long, value_enum)]
    shape: Shape,
    /// Seconds to count.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds before counting.
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// `calls` or `fanout`.
    #[command(subcommand)]
    workload: Workload,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    raise_limit(&arguments.workload)?;
    let seconds = Duration::try_from_secs_f64(arguments.seconds)?;
    let warm_up = Duration::try_from_secs_f64(arguments.warm_up)?;
    let service = arguments.shape.start()?;
    let report = match &arguments.workload {
        Workload::Calls(calls) => calls::run(&service, calls, warm_up, seconds)?,
        Workload::FanOut(fan_out) => fan_out::run(&service, fan_out, warm_up, seconds)?,
        _ => return Err("only calls and fanout are measured in one process".into()),
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// Has this process open enough files: each client has two ends here.
fn raise_limit(workload: &Workload) -> Result<(), Box<dyn Error>> {
    let clients = match workload {
        Workload::Calls(calls) => calls.sockets,
        Workload::FanOut(fan_out) => fan_out.subscribers,
        _ => 0,
    };
    let wanted = 2 * u64::try_from(clients)? + 200;
    let (now, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if wanted <= now {
        return Ok(());
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, most.max(wanted)).map_err(|error| {
        format!("this process must open {wanted} files and may open {most}: {error}; raise the limit first")
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;
    use tokensocket_benches::{Calls, FanOut};

    const SHORT: Duration = Duration::from_millis(50);

    #[test]
    fn every_shape_answers_all_calls_and_serves_all_followers() -> Result<(), Box<dyn Error>> {
        for shape in Shape::value_variants() {
            let service = shape.start()?;
            let calls = Calls { sockets: 5, in_flight: 20, payload: 64 };
            let counted = calls::run(&service, &calls, SHORT, SHORT)?.window.map_or(0, |window| window.count);
            assert!(counted > 0 && counted % 100 == 0, "{shape:?}: {counted}");
            // More than one part of a channel, and more than the last ones.
            let fan_out = FanOut { subscribers: 1100, ..FanOut::default() };
            let counted =
                fan_out::run(&service, &fan_out, SHORT, SHORT)?.window.map_or(0, |window| window.count);
            assert!(counted > 0 && counted % 22_000 == 0, "{shape:?}: {counted}");
        }
        Ok(())
    }
}
