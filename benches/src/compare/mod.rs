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
mod engines;
mod error;
mod facts;
mod in_process;
mod launch;
mod nats;
mod plan;
mod plot;
mod record;
mod redis;
mod rounds;
mod scale;
mod send;
mod server;
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

use std::path::Path;

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
        eprintln!("kept in {}", path.display());
        if record.is_empty() {
            return Err(CompareError::AllFailed { path });
        }
        draw(&record, &path.with_extension("svg"))?;
        record
    };
    if let Some(path) = &arguments.svg {
        draw(&record, path)?;
    }
    Ok(table::render(&record, arguments.markdown, arguments.targets))
}

fn draw(record: &Record, path: &Path) -> Result<(), CompareError> {
    svg::save(path, &plot::draw(&Summary::of(record)))
        .map_err(|source| CompareError::File { path: path.to_owned(), source })?;
    eprintln!("drawn in {}", path.display());
    Ok(())
}
