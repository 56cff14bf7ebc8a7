//! Our server beside those a user might pick instead.
//!
//! ```text
//! args ─▶ plan: which servers × which workloads × rounds, interleaved
//!           │
//!           ▼   for each: start it fresh and pinned, load it, stop it
//!         rounds ─▶ Record (JSON on disk) ─▶ summary ─▶ table, targets, plot
//! ```
//!
//! Every server is started anew for every measurement, so none inherits the
//! heap or the warm code of another workload. Each round runs every server
//! once before the next round begins, so that a slow minute of the machine
//! falls on all of them. [`Record`] is all that tables and plots are made from.

mod args;
mod build;
mod certificate;
mod cores;
mod durable;
mod engine;
mod engines;
mod error;
mod facts;
mod ground;
mod in_process;
mod launch;
mod medians;
mod nats;
mod plan;
mod plot;
mod record;
mod redis;
mod rounds;
mod scale;
mod sections;
mod send;
mod series;
mod server;
mod service;
mod summary;
mod table;
mod targets;
mod transports;

pub use args::CompareArgs;
pub use cores::Cores;
pub use error::CompareError;
pub use facts::Facts;
pub use record::{Measurement, Record};
pub use summary::{Cell, Summary};

use plot::Plot;

/// Runs the comparison that `arguments` ask for, keeps its record, and returns
/// its tables as text. Blocks until all of it is done.
pub fn run(arguments: &CompareArgs) -> Result<String, CompareError> {
    if arguments.only.iter().any(|name| name == durable::NAME) {
        return durable::run(arguments);
    }
    if arguments.only.iter().any(|name| name == engines::NAME) {
        return engines::run(arguments);
    }
    if arguments.only.iter().any(|name| name == send::NAME) {
        return send::run(arguments);
    }
    let record = if let Some(path) = &arguments.from {
        Record::read(path)?
    } else {
        let record = rounds::run(&plan::Plan::new(arguments)?)?;
        let path = record.keep(&arguments.results)?;
        if record.is_empty() {
            return Err(CompareError::AllFailed { path });
        }
        Plot::of(&Summary::of(&record)).save(&path.with_extension("svg"))?;
        record
    };
    if let Some(path) = &arguments.svg {
        Plot::of(&Summary::of(&record)).save(path)?;
    }
    Ok(sections::render(&record, arguments.markdown, arguments.targets))
}
